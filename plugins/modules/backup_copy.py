#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy backups to another repository."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_copy
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: Copies the backups of a source to another repository
description:
  - Copies backups as they are stored, oldest first, under the same names. What is encrypted stays encrypted; no key is needed. A copy has the same
    manifest with the same digest, and restores without the first repository.
  - Every byte is compared with its digest when it is read and once more when it is read back from where it went. The manifest goes last, so that
    what was interrupted is never taken for a backup; the next call finishes it.
  - Backups that are C(suspect) are copied as such, those that are C(corrupt) never. One that turns out to be damaged keeps no other from being copied;
    it is read once more, and the proof that failed is kept beside it. Legal holds are copied, too; nothing is ever removed from a copy.
  - What was proven of the first is not copied, since a proof is of bytes in a place. A copy gets the proof C(digest) that it earned on its way, and
    the level C(restored) once it was restored from there (M(tradeops.runbook.backup_verify)).
  - Backups of a kind whose engine keeps the data in a repository of its own are refused; give that engine a second repository.
extends_documentation_fragment:
  - tradeops.runbook.acting
  - tradeops.runbook.backups
  - tradeops.runbook.backups.to
  - tradeops.runbook.backups.copy
options:
  kind:
    description: The kind of the source.
    type: str
    choices: [sqlite, files, postgresql, redis, pgbackrest]
    required: true
  select:
    description:
      - V(new) copies what is newer than the newest good one that both have, and at first the newest good one. V(all) copies everything that is not
        corrupt. Else it is one, chosen as in O(tradeops.runbook.backup_verify#module:select).
    type: str
    default: new
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
    details: [It lists what would be copied, and how many bytes.]
  diff_mode:
    description: Shows the backups of the copy before and after.
    support: full
seealso:
  - module: tradeops.runbook.backup
  - module: tradeops.runbook.backup_prune
"""

EXAMPLES = r"""
- name: Copy the backups of the orders off site
  tradeops.runbook.backup_copy:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    system: nextrade
    environment: production
    name: orders
    kind: sqlite
    repository:
      directory: {path: /var/backups/tradeops}
    to:
      s3:
        bucket: nextrade-backups
        region: eu-central-1
        access_key: "{{ vault_backup_access_key }}"
        secret_access_key: "{{ vault_backup_secret_access_key }}"
"""

RETURN = r"""
outcome:
  description: V(ok), or why not; V(partial) when something was copied before it failed.
  type: str
  returned: always
code:
  description: Stable word to match on, such as V(ok), V(corrupt), V(not_the_same), V(no_space), V(busy), V(unreachable), V(not_there).
  type: str
  returned: always
hint:
  description: What to do next.
  type: str
  returned: always
plan:
  description: What is to be copied, each with its bytes and the reason.
  type: list
  elements: dict
  returned: always
performed:
  description: What was copied; empty in check mode.
  type: list
  elements: dict
  returned: always
notes:
  description: What somebody should know.
  type: list
  elements: str
  returned: success
copied_bytes:
  description: What is copied, in bytes.
  type: int
  returned: success
newest:
  description: The newest good backup of the copy, as in RV(tradeops.runbook.backup_info#module:artifacts). Also where the copying broke.
  type: dict
  returned: success
"""

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import RUN_ID, act
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup_spec import COPY, PLACE, REPOSITORY, SOURCE_KIND
from ansible_collections.tradeops.runbook.plugins.module_utils._module.copy import copy
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule

SPEC: dict[str, Any] = {
    **RUN_ID,
    **PLACE,
    **COPY,
    **SOURCE_KIND,
    "repository": REPOSITORY,
    "to": REPOSITORY,
    "select": {"type": "str", "default": "new"},
}


def main() -> None:
    """Run the module."""
    module = RunbookModule(SPEC, supports_check_mode=True)
    act(module, lambda: copy(module.params, module.check_mode))


if __name__ == "__main__":
    main()
