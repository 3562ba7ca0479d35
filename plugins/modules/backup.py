#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: Takes a backup of a database or of files
description:
  - Reads one source in one pass into a repository, compressed, with digests of what was read and of what was stored, and an inventory of what
    is in it. The manifest is written last; without it there is no backup, so that one that was interrupted is never taken for one.
  - A backup whose source is damaged, or that is unusual for its source, is kept as C(suspect) and the module fails; it never replaces a good
    one. Usual is what the good backups before had, seven at most. Unusual is to be much smaller or larger than the median of them, to lack a
    table or database that all of them have, and to have no rows where all of them have some.
  - A backup counts only once it was restored. See M(tradeops.runbook.backup_verify).
extends_documentation_fragment:
  - tradeops.runbook.acting
  - tradeops.runbook.backups
  - tradeops.runbook.backups.source
  - tradeops.runbook.backups.encryption
  - tradeops.runbook.backups.copy
  - tradeops.runbook.backups.versions
options:
  source:
    required: true
  retention_class:
    description:
      - Class that decides how long it has to be kept at least; see O(tradeops.runbook.backup_prune#module:keep).
      - What is of the class C(secret) is refused unless it is encrypted to two recipients at least, those of the operations and of the escrow.
    type: str
    default: ''
  fresh_seconds:
    description: Nothing is done while the newest good backup is younger than this.
    type: float
    default: 0.0
  min_objects:
    description: Fewer tables or files than this are a failure, and no backup is kept.
    type: int
    default: 1
  max_shrink_percent:
    description: A backup that has this much fewer objects or bytes than usual is C(suspect).
    type: float
    default: 50.0
  max_growth_percent:
    description:
      - A backup that has this much more objects or bytes than usual is C(suspect); C(0) allows any growth.
      - 1000 more objects and 64 MiB more are always allowed, so that a young source may grow as it likes.
    type: float
    default: 400.0
  accept_anomaly:
    description:
      - Somebody has looked, and what is unusual is right, such as a table that was dropped on purpose. The reasons become notes, and what is
        usual starts anew with this backup. Damage is never accepted.
    type: bool
    default: false
  compression_level:
    description: Level of zstd, 1 (fast) to 19 (small).
    type: int
    default: 1
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
    details: [Source and repository are looked at as they would be; nothing is read from the one or written to the other.]
  diff_mode:
    description: Shows the newest good backup before and after.
    support: full
requirements:
  - python3-zstandard on the host
  - the program age on the host, for O(encryption)
  - the client programs of PostgreSQL, at least as new as the server, for the kind C(postgresql)
seealso:
  - module: tradeops.runbook.backup_verify
  - module: tradeops.runbook.backup_info
"""

EXAMPLES = r"""
- name: Back up the orders
  tradeops.runbook.backup:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    system: nextrade
    environment: production
    name: orders
    source:
      sqlite: {path: /opt/nextrade/data/trading_orders.db}
    repository:
      directory: {path: /var/backups/tradeops}
    retention_class: transactions
"""

RETURN = r"""
outcome:
  description: V(ok), or why not.
  type: str
  returned: always
code:
  description: Stable word to match on, such as V(ok), V(suspect), V(no_space), V(busy), V(not_sealed), V(too_few_objects), V(empty_or_invalid).
  type: str
  returned: always
hint:
  description: What to do next.
  type: str
  returned: always
plan:
  description: What is to be done, each step with its reason.
  type: list
  elements: dict
  returned: always
performed:
  description: What was done; empty in check mode.
  type: list
  elements: dict
  returned: always
artifact:
  description: The backup that was taken, as in RV(tradeops.runbook.backup_info#module:artifacts), or the one that is fresh enough.
  type: dict
  returned: success
notes:
  description: What somebody should know of it; also what was accepted.
  type: list
  elements: str
  returned: when a backup was taken
newest:
  description: The newest good backup before.
  type: dict
  returned: success
"""

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import RUN_ID, act
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_spec import COPY, ENCRYPTION, PLACE, REPOSITORY, SOURCE
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_versions import VERSIONS
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule

SPEC: dict[str, Any] = {
    **RUN_ID,
    **PLACE,
    **COPY,
    "source": {**SOURCE, "required": True},
    "repository": REPOSITORY,
    "encryption": ENCRYPTION,
    "retention_class": {"type": "str", "default": ""},
    "fresh_seconds": {"type": "float", "default": 0.0},
    "min_objects": {"type": "int", "default": 1},
    "max_shrink_percent": {"type": "float", "default": 50.0},
    "max_growth_percent": {"type": "float", "default": 400.0},
    "accept_anomaly": {"type": "bool", "default": False},
    **VERSIONS,
    "compression_level": {"type": "int", "default": 1},
}


def main() -> None:
    """Run the module."""
    module = RunbookModule(SPEC, supports_check_mode=True)
    act(module, lambda: take(module.params, module.check_mode))


if __name__ == "__main__":
    main()
