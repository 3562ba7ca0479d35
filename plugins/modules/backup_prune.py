#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove old backups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_prune
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: Removes the backups of a source that no rule keeps
description:
  - Keeps what any rule, class, legal hold or pin keeps, and always the newest backups that were proven to restore. Backups that were never
    proven, or are damaged, never make a proven one go.
  - Removes nothing at all, and fails with the outcome V(refused), when nothing was proven to restore for too long, when the clock cannot be
    right, when the listing is not whole, when a class is unknown, when the newest backup is suspect, or when a larger share would go than
    O(max_remove_percent).
  - With O(copies), what a copy should have stays until that copy holds it or something newer that is good, as a fresh look at the copy shows. While
    a copy cannot be listed, or has no good backup, nothing is removed, and the outcome is V(warn).
  - A removal that was interrupted is finished by the next call. What an interrupted backup left is removed after a day.
extends_documentation_fragment:
  - tradeops.runbook.acting
  - tradeops.runbook.backups
  - tradeops.runbook.backups.source
  - tradeops.runbook.backups.copies
options:
  kind:
    description: The kind of the source, where O(source) is not given.
    type: str
    choices: [sqlite, files, postgresql, redis, pgbackrest]
  keep:
    description:
      - C(last), C(hourly), C(daily), C(weekly), C(monthly), C(yearly) (counts, as of C(restic forget)), C(within) (a duration such as C(30 d)),
        C(classes) (a class and its floor, such as C(transactions) with C(at_least) C(7 y)), C(minimum_restored) (3),
        C(stale_after) (C(8 d)), C(timezone) (C(UTC)), C(plausible_gap) (C(45 d)) and C(max_future) (C(10 min)).
      - Without a keep rule nothing is removed.
    type: dict
    required: true
  max_remove_percent:
    description: Refuse when more than this share of the backups would go.
    type: float
    default: 50.0
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
    details: [It lists what would go, why, and how many bytes.]
  diff_mode:
    description: Shows the backups before and after.
    support: full
seealso:
  - module: tradeops.runbook.backup_verify
  - module: tradeops.runbook.backup_copy
"""

EXAMPLES = r"""
- name: Keep a week of hourly backups, and transactions for seven years
  tradeops.runbook.backup_prune:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    system: nextrade
    environment: production
    name: orders
    kind: sqlite
    repository:
      directory: {path: /var/backups/tradeops}
    keep:
      hourly: 168
      daily: 90
      classes: {transactions: {at_least: 7 y}}
"""

RETURN = r"""
outcome:
  description: V(ok), V(warn) when the newest backup does not count or a copy is not known to have anything, V(refused) when nothing may be removed.
  type: str
  returned: always
code:
  description: Stable word to match on, such as V(ok), V(clock_implausible), V(no_recent_proof), V(unknown_class), V(quarantined), V(too_much), V(busy).
  type: str
  returned: always
hint:
  description: What to do next.
  type: str
  returned: always
plan:
  description: What is to go, each with its bytes and the reason.
  type: list
  elements: dict
  returned: always
performed:
  description: What went; empty in check mode.
  type: list
  elements: dict
  returned: always
decisions:
  description: Every backup with C(action) and all C(rules) that keep it.
  type: list
  elements: dict
  returned: success
notes:
  description: What somebody should know.
  type: list
  elements: str
  returned: success
freed_bytes:
  description: What is freed, in bytes.
  type: int
  returned: success
"""

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import RUN_ID, act
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_spec import PLACE, REPOSITORY, SOURCE, SOURCE_KIND
from ansible_collections.tradeops.runbook.plugins.module_utils._module.copy import COPIES
from ansible_collections.tradeops.runbook.plugins.module_utils._module.prune import prune
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule

SPEC: dict[str, Any] = {
    **RUN_ID,
    **PLACE,
    "kind": {**SOURCE_KIND["kind"], "required": False},
    "source": SOURCE,
    "repository": REPOSITORY,
    "copies": COPIES,
    "keep": {"type": "dict", "required": True},
    "max_remove_percent": {"type": "float", "default": 50.0},
}


def main() -> None:
    """Run the module."""
    module = RunbookModule(SPEC, supports_check_mode=True)
    act(module, lambda: prune(module.params, module.check_mode))


if __name__ == "__main__":
    main()
