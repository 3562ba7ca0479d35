#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List backups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: Lists the backups of a source, with what is proven of each
description:
  - Reads the manifests and proofs in a repository. Nothing is changed, and no data is read.
extends_documentation_fragment: [tradeops.runbook.backups]
options:
  kind:
    description: The kind of the source.
    type: str
    choices: [sqlite, files, postgresql, redis, pgbackrest]
    required: true
  select:
    description: Only C(latest), C(latest_restored), an id, or the newest one that is not after an instant (RFC 3339). All without it.
    type: str
    default: ''
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
  diff_mode:
    description: Nothing is ever changed.
    support: none
"""

EXAMPLES = r"""
- name: What is there of the orders
  tradeops.runbook.backup_info:
    system: nextrade
    environment: production
    name: orders
    kind: sqlite
    repository:
      directory: {path: /var/backups/tradeops}
"""

RETURN = r"""
artifacts:
  description:
    - Oldest first, each with C(id), C(state) (C(good), C(suspect), C(corrupt), C(incomplete), C(removing)), C(level) (the highest that is proven,
      C(digest), C(readable) or C(restored)), C(taken_at), C(restored_at), C(size_bytes) (stored), C(plain_bytes), C(totals), C(class), C(host),
      C(run_id) (of the run that took it), C(versions) (of what ran when it was taken),
      C(holds), C(pins), C(problem), C(manifest_sha256) and C(recipients) (whom it is encrypted to).
  type: list
  elements: dict
  returned: success
newest:
  description: The newest good one.
  type: dict
  returned: success
newest_restored:
  description: The newest one that was proven to restore.
  type: dict
  returned: success
prefix:
  description: Their folder in the repository.
  type: str
  returned: success
size_bytes:
  description: What all of them take, in bytes.
  type: int
  returned: success
covered:
  description: Files of it that somebody deleted or wrote over in vain, since a lock keeps them. Find out who.
  type: list
  elements: str
  returned: success
free_bytes:
  description: Room that is left in the repository, in bytes; null when nobody knows.
  type: int
  returned: success
measured_at:
  description: When it was looked (UTC, RFC 3339).
  type: str
  returned: success
"""

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import tell
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_spec import PLACE, REPOSITORY, SOURCE_KIND
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule, run

SPEC: dict[str, Any] = {
    **PLACE,
    "repository": REPOSITORY,
    **SOURCE_KIND,
    "select": {"type": "str", "default": ""},
}


def main() -> None:
    """Run the module."""
    module = RunbookModule(SPEC, supports_check_mode=True)
    run(module, lambda: tell(module.params))


if __name__ == "__main__":
    main()
