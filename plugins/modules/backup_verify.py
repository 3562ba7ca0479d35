#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: Proves that a backup restores, by restoring it
description:
  - Level C(digest) reads every stored byte, C(readable) unpacks it, C(restored) restores it into a scratch place beside the original, compares
    what came out with the inventory of the backup, and asks for business invariants. What was restored is removed again.
  - Each proof, good or bad, is kept beside the backup. A backup with a bad one is C(corrupt), and is never restored by accident.
extends_documentation_fragment:
  - tradeops.runbook.acting
  - tradeops.runbook.backups
  - tradeops.runbook.backups.source
  - tradeops.runbook.backups.scratch
  - tradeops.runbook.backups.encryption
  - tradeops.runbook.backups.until
  - tradeops.runbook.backups.copy
options:
  source:
    description: What was backed up. Its kind finds the backups, and beside it they are restored, unless O(scratch) is given.
    required: true
  select:
    description: C(latest), C(latest_restored), an id, or the newest one that is not after an instant (RFC 3339).
    type: str
    default: latest
  level:
    description: What is to be proven.
    type: str
    choices: [digest, readable, restored]
    default: restored
  invariants:
    description: Questions about what was restored.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: What it is about., type: str, required: true}
      query: {description: "SQL that only reads and gives one value.", type: str, required: true}
      limits: {description: "What is bad, as in C({value: {critical: '!= 0'}}).", type: dict, required: true}
  fresh_seconds:
    description: Nothing is done while the last good proof of this level is younger than this.
    type: float
    default: 0.0
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
    details: [It says which backup would be proven.]
  diff_mode:
    description: Has nothing to show as a difference.
    support: none
requirements:
  - python3-zstandard on the host
  - the program age on the host, for what is encrypted
seealso:
  - module: tradeops.runbook.backup
"""

EXAMPLES = r"""
- name: Restore the newest backup into scratch and ask it
  tradeops.runbook.backup_verify:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    system: nextrade
    environment: production
    name: orders
    source:
      sqlite: {path: /opt/nextrade/data/trading_orders.db}
    repository:
      directory: {path: /var/backups/tradeops}
    invariants:
      - name: no order without a symbol
        query: select count(*) from orders where symbol is null
        limits: {value: {critical: "!= 0"}}
"""

RETURN = r"""
outcome:
  description: V(ok), or why not.
  type: str
  returned: always
code:
  description: Stable word to match on, such as V(ok), V(corrupt), V(not_opened), V(not_restored), V(not_there), V(no_space).
  type: str
  returned: always
hint:
  description: What to do next.
  type: str
  returned: always
plan:
  description: What is to be proven, with the reason.
  type: list
  elements: dict
  returned: always
performed:
  description: What was proven; empty in check mode.
  type: list
  elements: dict
  returned: always
artifact:
  description: The backup, as in RV(tradeops.runbook.backup_info#module:artifacts).
  type: dict
  returned: success
proof:
  description:
    - The proof, with C(level), C(ok), C(at), C(seconds) (how long the restore took), C(rpo_seconds) (how old the data was) and C(invariants).
    - C(opened_with) is the public key of the identity that opened it; empty for what is not encrypted, and where only a plugin of age knows.
  type: dict
  returned: success
"""

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import RUN_ID, act
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import verify
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_spec import COPY, ENCRYPTION, INVARIANTS, PLACE, REPOSITORY, SOURCE, UNTIL
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule

SPEC: dict[str, Any] = {
    **RUN_ID,
    **PLACE,
    **COPY,
    "source": {**SOURCE, "required": True},
    "scratch": SOURCE,
    "repository": REPOSITORY,
    "encryption": ENCRYPTION,
    "select": {"type": "str", "default": "latest"},
    "level": {"type": "str", "choices": ["digest", "readable", "restored"], "default": "restored"},
    "until": UNTIL,
    "invariants": INVARIANTS,
    "fresh_seconds": {"type": "float", "default": 0.0},
}


def main() -> None:
    """Run the module."""
    module = RunbookModule(SPEC, supports_check_mode=True)
    act(module, lambda: verify(module.params, module.check_mode))


if __name__ == "__main__":
    main()
