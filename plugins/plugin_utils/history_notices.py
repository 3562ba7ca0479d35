# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people were told, out of the history."""

from __future__ import annotations

import json

from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import Key, Notice, latest, read_notice
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database

_TOLD = """select notice from notices t where (select check_mode from runs where runs.run_id = t.run_id) = 0
    order by at, run_id, number"""


def told(db: Database) -> dict[Key, Notice]:
    """The newest notice of each thing. What a later release wrote and this one cannot read is passed over: at worst it is told again."""
    found = []
    for (text,) in db.stream(_TOLD):
        try:
            found.append(read_notice(json.loads(text)))
        except (KeyError, TypeError, ValueError):
            continue
    return latest(found)
