# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ledger_verify_info: whether the history is as it was written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import parse_anchor
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import DEFAULT_SEVERITY
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import summarize, worst
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_action import HistoryAction
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, places, read_key

_REPORTS = 100
"""Newest reports whose anchors are read. Each seal rests on all before it, so the newest anchors speak for the older ones."""

_HINTS = {
    "ok": "",
    "warning": "compare with the backup of the history",
    "critical": "keep history, journals and reports as they are, find out who could write there, compare with the backup",
    "unknown": "bring the key back from the backup",
}


class ActionModule(HistoryAction):
    """Recomputes everything from the stored text."""

    SPEC: ClassVar[dict[str, Any]] = {
        "reports_dir": {"type": "path"},
        "key_file": {"type": "path", "no_log": False},
        "anchors": {"type": "list", "elements": "raw", "default": []},
    }

    def answer(self, options: dict[str, Any]) -> dict[str, Any]:
        """The verdict, as one check, and every problem found."""
        started, now = time.monotonic(), time.time()
        where = places(options["history_dir"], options["reports_dir"], options["key_file"])
        anchors = [parse_anchor(anchor) for anchor in options["anchors"]]
        reported, problems = _reported(where)
        anchors += reported
        counts = {"runs": 0, "events": 0}
        key = read_key(where.key)
        if where.database.exists() and key is not None:
            with History(where, read_only=True) as history:
                problems += history.verify(key, anchors)
                counts = history.counts()
        elif anchors and not where.database.exists():
            problems.append(
                {"kind": "history_missing", "where": str(where.database), "message": "there are anchors, and no history", "level": "critical"}
            )
        unknown = where.database.exists() and key is None
        status = "unknown" if unknown else worst(["ok", *(problem["level"] for problem in problems)])
        message = f"the ledger's key {where.key} is missing" if unknown else _tell(problems)
        check = _check(status, message, {**counts, "anchors": len(anchors), "problems": len(problems)}, time.monotonic() - started)
        return {
            "changed": False, **summarize([check]), "checks": [check], "problems": problems, **counts, "anchors": len(anchors),
            "measured_at": rfc3339(now), "duration_seconds": check["duration_seconds"],
        }  # fmt: skip


def _tell(problems: list[dict[str, Any]]) -> str:
    if not problems:
        return ""
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{problems[0]['where']}: {problems[0]['message']}{more}"


def _check(status: str, message: str, measures: dict[str, int], seconds: float) -> dict[str, Any]:
    """The verdict in the shape of a health check, so that record, report and history treat it as one."""
    return {
        "name": "the ledger is as it was written",
        "kind": "ledger",
        "status": status,
        "severity": None if status == "ok" else DEFAULT_SEVERITY.get(status, DEFAULT_SEVERITY["critical"]),
        "message": message,
        "hint": _HINTS[status],
        "measures": measures,
        "units": dict.fromkeys(measures, "count"),
        "limits": [],
        "notes": [],
        "muted": None,
        "attempts": 1,
        "duration_seconds": round(seconds, 3),
    }


def _reported(where: Places) -> tuple[list[tuple[int, str]], list[dict[str, Any]]]:
    """The anchors in the newest reports, and the reports that cannot be read."""
    anchors, problems = [], []
    for path in sorted(where.reports.glob("*.json"), reverse=True)[:_REPORTS]:
        try:
            found = _anchor_in(path)
            anchors += [parse_anchor(found)] if found else []
        except (OSError, ValueError, InvalidInput, AttributeError) as error:
            problems.append({"kind": "report_unreadable", "where": path.name, "message": str(error), "level": "warning"})
    return anchors, problems


def _anchor_in(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")).get("anchor")
