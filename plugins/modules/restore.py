#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: Restores a backup, beside what is there first, and only as confirmed
description:
  - Makes a plan, and refuses to carry it out without the confirmation of exactly this plan, RV(confirm) of a run in check mode.
  - Then it backs up what is there, reads every byte of the backup against its digest, restores it beside what is there, compares it with the
    inventory of the backup, asks for business invariants, and only then swaps the two in one step. What was there is kept under a dated
    name, and O(undo) brings it back. When a step fails, everything is as it was before.
  - While a process has an SQLite database open, it is not replaced; sessions of a PostgreSQL database are ended for the swap.
extends_documentation_fragment:
  - tradeops.runbook.acting
  - tradeops.runbook.backups
  - tradeops.runbook.backups.source
  - tradeops.runbook.backups.encryption
  - tradeops.runbook.backups.until
  - tradeops.runbook.backups.copy
  - tradeops.runbook.backups.versions
options:
  source:
    description: What is restored, and where to; the same options as when it was backed up.
    required: true
  from:
    description: Restore a backup of another environment, system or name, which must be said on purpose.
    type: dict
    suboptions:
      environment: {description: The environment it was taken in., type: str}
      system: {description: The system it was taken of., type: str}
      name: {description: The name of the source., type: str}
  select:
    description: C(latest), C(latest_restored), an id, or the newest one that is not after an instant (RFC 3339).
    type: str
    default: latest_restored
  confirm:
    description: The confirmation of the plan. It holds for this backup over this place only, and no longer than nothing of that changes.
    type: str
    default: ''
  undo:
    description: The C(id) of an earlier restore that is to be taken back, or of the run that did it.
    type: str
    default: ''
  set:
    description: The set that the source is restored with, so that one of which only some members were restored is seen.
    type: dict
    suboptions:
      name: {description: Its name., type: str, required: true}
      members: {description: The names of all its sources., type: list, elements: str, required: true}
  invariants:
    description: Questions about what was restored, asked before the swap.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: What it is about., type: str, required: true}
      query: {description: "SQL that only reads and gives one value.", type: str, required: true}
      limits: {description: "What is bad, as in C({value: {critical: '!= 0'}}).", type: dict, required: true}
  manifest_sha256:
    description: The digest of the manifest as recorded when the backup was taken; another one is refused.
    type: str
    default: ''
  allow_suspect:
    description: Restore a C(suspect) backup, chosen by its id.
    type: bool
    default: false
  rto_seconds:
    description: The recovery time objective. The plan has a doubt when the last proof took longer. C(0) is none.
    type: float
    default: 0.0
  state_dir:
    description: Folder for the lock and for what was begun.
    type: path
    default: /var/lib/tradeops
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
    details: [It gives the plan and RV(confirm).]
  diff_mode:
    description: Shows what takes the place of what.
    support: full
requirements:
  - python3-zstandard on the host
  - the program age on the host, for what is encrypted
seealso:
  - module: tradeops.runbook.backup_verify
"""

EXAMPLES = r"""
- name: Restore the orders as of two o'clock
  tradeops.runbook.restore:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    system: nextrade
    environment: production
    name: orders
    source:
      sqlite: {path: /opt/nextrade/data/trading_orders.db}
    repository:
      directory: {path: /var/backups/tradeops}
    select: "2026-11-20T02:00:00Z"
    confirm: "{{ restore_confirm }}"
"""

RETURN = r"""
outcome:
  description: V(ok), or why not; V(refused) for what was not confirmed.
  type: str
  returned: always
code:
  description:
    - Stable word to match on, such as V(ok), V(not_confirmed), V(not_fit), V(in_use), V(not_opened), V(not_sealed), V(corrupt), V(not_restored),
      V(busy).
  type: str
  returned: always
hint:
  description: What to do next.
  type: str
  returned: always
plan:
  description: The steps, each with its reason.
  type: list
  elements: dict
  returned: always
performed:
  description: The steps that were done; empty in check mode.
  type: list
  elements: dict
  returned: always
confirm:
  description: The confirmation of this plan.
  type: str
  returned: success
doubts:
  description: What somebody should know who confirms.
  type: list
  elements: str
  returned: success
in_use:
  description: Who has it open and keeps it from being replaced; empty when nobody does.
  type: str
  returned: success
unfinished:
  description: What an earlier run left of the set half done, and how that is ended; empty when nothing.
  type: str
  returned: success
estimated_seconds:
  description: How long it may take, by the last time it was proven; null when it never was.
  type: float
  returned: success
artifact:
  description: The backup, as in RV(tradeops.runbook.backup_info#module:artifacts).
  type: dict
  returned: success
restore:
  description:
    - What was done, with C(id) (for O(undo)), C(seconds), C(lost_seconds) (how old the data is), C(saved) (the backup of what was there),
      C(swapped) (where that is kept) and C(invariants).
  type: dict
  returned: success
"""

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import RUN_ID, act
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_spec import COPY, ENCRYPTION, INVARIANTS, PLACE, REPOSITORY, SOURCE, UNTIL
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_versions import VERSIONS
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore_set import SET
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule

SPEC: dict[str, Any] = {
    **RUN_ID,
    **PLACE,
    **COPY,
    "source": {**SOURCE, "required": True},
    "repository": REPOSITORY,
    "encryption": ENCRYPTION,
    "from": {"type": "dict", "options": {name: {"type": "str"} for name in ("environment", "system", "name")}},
    "select": {"type": "str", "default": "latest_restored"},
    "confirm": {"type": "str", "default": ""},
    "undo": {"type": "str", "default": ""},
    "set": SET,
    **VERSIONS,
    "until": UNTIL,
    "invariants": INVARIANTS,
    "manifest_sha256": {"type": "str", "default": ""},
    "allow_suspect": {"type": "bool", "default": False},
    "rto_seconds": {"type": "float", "default": 0.0},
    "state_dir": {"type": "path", "default": "/var/lib/tradeops"},
}


def main() -> None:
    """Run the module."""
    module = RunbookModule(SPEC, supports_check_mode=True)
    act(module, lambda: bring_back(module.params, module.check_mode))


if __name__ == "__main__":
    main()
