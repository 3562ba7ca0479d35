# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ledger_verify_info: whether the history is as it was written."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import parse_anchor
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import DEFAULT_SEVERITY
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import plural
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import worst
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_action import HistoryAction, where_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, read_key

_REPORTS = 100
"""Newest reports whose anchors are read. Each seal rests on all before it, so the newest anchors speak for the older ones."""

_HINTS = {
    "ok": "",
    "warning": "compare with the backup of the history",
    "critical": "keep history, journals and reports as they are, find out who could write there, compare with the backup",
    "unknown": "bring the key back from the backup",
}
_NOTHING_HINT = "was nothing recorded yet, or is RUNBOOK_HISTORY_DIR (or history_dir) another folder than that of the runs?"


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
        where = where_of(options)
        anchors = [parse_anchor(anchor) for anchor in options["anchors"]]
        reported, problems = _reported(where)
        anchors += reported
        counts = {"runs": 0, "events": 0}
        key, exists = read_key(where.key), False
        with suppress(FileNotFoundError), History(where, read_only=True) as history:
            exists = True
            if key is not None:
                problems += history.verify(key, anchors)
                counts = history.counts()
        if anchors and not exists:
            problems.append(
                {"kind": "history_missing", "where": where.name, "message": "there are anchors, and no history", "level": "critical"}
            )
        measures = {**counts, "anchors": len(anchors), "problems": len(problems)}
        check = _check(_judge(where, key is None and exists, counts["runs"], problems), measures, time.monotonic() - started)
        return {
            "changed": False, "status": check["status"], "summary": _summary(check), "checks": [check], "problems": problems, **counts,
            "anchors": len(anchors), "measured_at": rfc3339(now), "duration_seconds": check["duration_seconds"],
        }  # fmt: skip


def _judge(where: Places, keyless: bool, runs: int, problems: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Status, message and hint. Where nothing was verified, nothing is known: that is not the same as sound."""
    if keyless:
        return "unknown", f"the ledger's key {where.key} is missing", _HINTS["unknown"]
    status = worst(["ok", *(problem["level"] for problem in problems)])
    if status != "critical" and not runs:
        return "unknown", f"nothing was verified: there is no sealed run in {where.name if where.url else where.history}", _NOTHING_HINT
    return status, _tell(problems), _HINTS[status]


def _summary(check: dict[str, Any]) -> str:
    """How much was verified, and what came of it."""
    if check["status"] == "unknown":
        return str(check["message"])
    runs, events, anchors, problems = (plural(check["measures"][name], name[:-1]) for name in ("runs", "events", "anchors", "problems"))
    return f"{runs}, {events} and {anchors} verified: {problems if check['measures']['problems'] else 'nothing was changed'}"


def _tell(problems: list[dict[str, Any]]) -> str:
    if not problems:
        return ""
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{problems[0]['where']}: {problems[0]['message']}{more}"


def _check(verdict: tuple[str, str, str], measures: dict[str, int], seconds: float) -> dict[str, Any]:
    """The verdict in the shape of a health check, so that record, report and history treat it as one."""
    status, message, hint = verdict
    return {
        "name": "the ledger is as it was written",
        "kind": "ledger",
        "status": status,
        "severity": None if status == "ok" else DEFAULT_SEVERITY.get(status, DEFAULT_SEVERITY["critical"]),
        "message": message,
        "hint": hint,
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
