# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From measures and limits, or from an error, to the verdict of a check; from checks to the verdict of a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import Busy, RunbookError, TimedOut, Unreachable, VerifyFailed
from .limits import DEFAULT_SEVERITY, SEVERITIES, Rule
from .probe import SKIPPED, DeadlinePassed, Unmeasured
from .times import parse_instant
from .units import format_value, is_number, plural

STATUSES = ("ok", "skipped", "warning", "unknown", "critical")
"""From good to bad. Unknown is worse than warning: nobody knows how bad it is."""

PENDING_SEVERITY = "P4"
"""Of what is bad and has not lasted long enough yet."""

_BAD_ANSWER = (Unreachable, Busy, VerifyFailed, TimedOut)
_MISSING = Unmeasured("it was not in the answer")


def worst(statuses: Iterable[str]) -> str:
    """The worst of several statuses; ``skipped`` when nothing at all was judged."""
    return max(set(statuses) - {"skipped"}, key=STATUSES.index, default="skipped")


def judge_measures(
    measures: Mapping[str, Any], units: Mapping[str, str], rules: Sequence[Rule], baselines: Mapping[str, float]
) -> dict[str, Any]:
    """The verdict of a check that was measured: ``status``, ``severity``, ``message`` and every limit with its state."""
    limits = [_judge_rule(rule, measures, baselines) for rule in rules]
    shown = {name: plain(value) for name, value in measures.items() if value is not SKIPPED}
    return {"measures": shown, "limits": limits, "hint": "", **conclude(limits, measures, units)}


def _judge_rule(rule: Rule, measures: Mapping[str, Any], baselines: Mapping[str, float]) -> dict[str, Any]:
    value = measures.get(rule.measure, _MISSING)
    return {
        "measure": rule.measure,
        "level": rule.level,
        "limit": rule.limit.text,
        "severity": rule.severity,
        "for_seconds": rule.for_seconds,
        "state": rule.limit.state(value, baselines.get(rule.measure)),
        "reason": value.reason if isinstance(value, Unmeasured) else "",
    }


def conclude(limits: Sequence[Mapping[str, Any]], measures: Mapping[str, Any], units: Mapping[str, str]) -> dict[str, Any]:
    """Status, severity and message that follow from the states of all limits of a check."""
    crossed = [limit for limit in limits if limit["state"] == "crossed"]
    unknown = [limit for limit in limits if limit["state"] == "unknown"]
    judged = [limit for limit in limits if limit["state"] != "skipped"]
    pending = [limit for limit in limits if limit["state"] == "pending"]
    level = "critical" if any(limit["level"] == "critical" for limit in crossed) else "warning" if crossed or pending else "ok"
    if unknown and level != "critical":
        level = "unknown"
    if limits and not judged:
        level = "skipped"
    telling = [limit for limit in crossed if limit["level"] == level] or (unknown if level == "unknown" else pending)
    # of everything that is not well: one trouble more must never make the whole less urgent
    severities = [PENDING_SEVERITY if limit["state"] == "pending" else limit["severity"] for limit in [*crossed, *unknown, *pending]]
    return {
        "status": level,
        "severity": min(severities, key=SEVERITIES.index) if severities else None,
        "message": _message(level, [*telling, *(limit for limit in crossed if limit not in telling)], measures, units),
    }


def _message(level: str, limits: Sequence[Mapping[str, Any]], measures: Mapping[str, Any], units: Mapping[str, str]) -> str:
    if level in ("ok", "skipped"):
        return "" if level == "ok" else "left out in check mode"
    parts: list[str] = []
    for limit in limits:
        name, value = limit["measure"], measures.get(limit["measure"])
        if limit["state"] in ("crossed", "pending"):
            waiting = f", not yet for {format_value(limit['for_seconds'], 's')}" if limit["state"] == "pending" else ""
            part = f"{name} is {format_value(value, units.get(name, ''))} ({limit['level']}: {limit['limit']}{waiting})"
        elif limit.get("reason"):
            part = f"{name} could not be measured: {limit['reason']}"
        else:
            part = f"{name} is {format_value(value)}, which cannot be held against {limit['limit']}"
        if part not in parts:
            parts.append(part)
    return "; ".join(parts)


def judge_error(error: Exception, severity: str | None) -> dict[str, Any]:
    """The verdict of a check whose driver raised.

    A target that refuses, hangs or answers wrongly is critical; a probe that could not measure is unknown.
    """
    bad = isinstance(error, _BAD_ANSWER) and not isinstance(error, DeadlinePassed)
    status = "critical" if bad else "unknown"
    known = isinstance(error, RunbookError)
    message = error.message if isinstance(error, RunbookError) else f"the check itself failed: {type(error).__name__}: {error}"
    hint = error.hint if isinstance(error, RunbookError) else "this is a defect of the check; report it with this message"
    return {
        "status": status,
        "severity": severity or DEFAULT_SEVERITY["critical"],
        "message": message,
        "hint": hint,
        "code": error.code if known and isinstance(error, RunbookError) else "defect",
        "measures": {},
        "limits": [],
    }


def judge_skipped(reason: str) -> dict[str, Any]:
    """The verdict of a check that was not measured, on purpose."""
    return {"status": "skipped", "severity": None, "message": f"not judged: {reason}", "hint": "", "measures": {}, "limits": []}


def apply_mute(check: dict[str, Any], mute: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
    """A muted check is measured and shown, but does not count until its mute expires."""
    if mute is None:
        return {**check, "muted": None}
    if parse_instant(mute["until"], "UTC") <= now:
        note = f"its mute ({mute['reason']}, {mute['owner']}) expired on {mute['until']}: mend it, or renew it with a new date"
        return {**check, "muted": None, "notes": [*check.get("notes", []), note]}
    return {**check, "status": "skipped", "severity": None, "measured_status": check["status"],
            "muted": {key: str(mute[key]) for key in ("reason", "owner", "until")}}  # fmt: skip


def summarize(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``status`` and the one-line ``summary`` of all checks of a host."""
    counts = {status: sum(check["status"] == status for check in checks) for status in reversed(STATUSES)}
    parts = [f"{count} {status}" for status, count in counts.items() if count]
    return {"status": worst(check["status"] for check in checks), "summary": f"{plural(len(checks), 'check')}: {', '.join(parts) or 'none'}"}


_LONGEST = 2000
"""Characters of a measured text that are kept: somebody may read a whole document."""


def plain(value: Any) -> Any:
    """A measured value as JSON data, which knows neither NaN nor infinity; larger integers fit no database."""
    if isinstance(value, Unmeasured):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value) if abs(value) >= 2**63 else value) if is_number(value) else None
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    text = value if isinstance(value, str) else str(value)
    return value if isinstance(value, (bool, type(None))) else text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
