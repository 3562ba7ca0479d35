# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the report: checks with their measures against limits, hosts, and what needs attention. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import SEVERITIES
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import is_number, plural
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES

from .charts_svg import sparkline, status_bar
from .report_changes import BAD, Place, places, reachable, status_of
from .report_format import as_dict, as_dicts, as_list, as_text, exact, human, instant
from .history_queries import TREND_MINIMUM
from .report_trends import Trend

UNREACHABLE = "unreachable"
_STATES = {"crossed": "crossed", "unknown": "not known", "pending": "crossed, not long enough yet", "learning": "still learning the baseline"}
_ISSUE_STATUS = {"failed": "critical", "error": "critical", "warn": "warning"}


@dataclass(frozen=True)
class LimitCell:
    """One limit as it stands beside its value."""

    level: str
    text: str
    state: str
    words: str


@dataclass(frozen=True)
class MeasureCell:
    """One measured value."""

    name: str
    value: str
    exact: str
    limits: tuple[LimitCell, ...]
    level: str
    spark: str


@dataclass(frozen=True)
class CheckRow:
    """One check of one host."""

    id: str
    place: Place
    name: str
    kind: str
    status: str
    severity: str
    message: str
    hint: str
    measures: tuple[MeasureCell, ...]
    more: tuple[MeasureCell, ...]
    notes: tuple[str, ...]
    mute: Mapping[str, str] | None
    measured_status: str


@dataclass(frozen=True)
class HostRow:
    """One host with all its checks."""

    id: str
    place: Place
    name: str
    status: str
    summary: str
    counts: tuple[tuple[str, int], ...]
    status_bar: str
    rows: tuple[CheckRow, ...]
    steps: tuple[Mapping[str, str], ...]
    stats: str


@dataclass(frozen=True)
class Item:
    """One thing that needs attention."""

    status: str
    severity: str
    title: str
    host: str
    kind: str
    message: str
    hint: str = ""
    facts: tuple[MeasureCell, ...] = field(default_factory=tuple)
    target: str = ""


def host_rows(view: Mapping[str, Any], trends: Sequence[Trend]) -> list[HostRow]:
    """Every host of the view in its order."""
    known = {trend.key: trend for trend in trends}
    return [_host(f"h{index}", place, host, known) for index, (place, host) in enumerate(places(view), start=1)]


def _host(ident: str, place: Place, host: Mapping[str, Any], known: Mapping[Any, Trend]) -> HostRow:
    checks = as_dicts(host.get("checks"))
    rows = tuple(_check(f"{ident}c{index}", place, check, known) for index, check in enumerate(checks, start=1))
    counts = count_statuses(rows)
    return HostRow(
        id=ident,
        place=place,
        name=place[2],
        status=status_of(host) if reachable(host) else UNREACHABLE,
        summary=as_text(host.get("summary")) or ("" if reachable(host) else "Nothing could be measured: its state is not known."),
        counts=counts,
        status_bar=status_bar(dict(counts)),
        rows=rows,
        steps=tuple(_step(step) for step in as_dicts(host.get("steps"))[:200]),
        stats=", ".join(f"{as_text(count, 20)} {as_text(name, 20)}" for name, count in as_dict(host.get("stats")).items() if count),
    )


def count_statuses(rows: Iterable[CheckRow]) -> tuple[tuple[str, int], ...]:
    """(status, how many), worst first, without those that are none."""
    counts = Counter(row.status for row in rows)
    return tuple((status, counts[status]) for status in reversed(STATUSES) if counts[status])


def _step(step: Mapping[str, Any]) -> dict[str, str]:
    result = as_dict(step.get("result"))
    return {
        "state": as_text(step.get("state"), 20),
        "task": as_text(step.get("task"), 160) or as_text(step.get("action"), 160),
        "role": as_text(step.get("role"), 80),
        "duration": human(step.get("duration_seconds"), "s") if is_number(step.get("duration_seconds")) else "",
        "message": as_text(step.get("message")) or as_text(result.get("summary")) or as_text(result.get("hint")),
        "outcome": as_text(result.get("outcome"), 20) or as_text(result.get("status"), 20),
    }


def _check(ident: str, place: Place, check: Mapping[str, Any], known: Mapping[Any, Trend]) -> CheckRow:
    name, limits, units = as_text(check.get("name")), as_dicts(check.get("limits")), as_dict(check.get("units"))
    measures = as_dict(check.get("measures"))
    wanted = (as_text(limit.get("measure")) for limit in limits if limit.get("state") != "skipped")
    missing = {measure: None for measure in wanted if measure not in measures}
    cells = [_measure(as_text(measure), value, as_text(units.get(measure)), limits) for measure, value in {**measures, **missing}.items()]
    cells = [_with_spark(cell, known.get((place, name, cell.name))) for cell in cells]
    mute = as_dict(check.get("muted"))
    return CheckRow(
        id=ident,
        place=place,
        name=name or "(no name)",
        kind=as_text(check.get("kind"), 40),
        status=status_of(check),
        severity=check["severity"] if check.get("severity") in SEVERITIES else "",
        message=as_text(check.get("message")),
        hint=as_text(check.get("hint")),
        measures=tuple(cell for cell in cells if cell.limits) or tuple(cells[:2]),
        more=tuple(cell for cell in cells if not cell.limits) if any(cell.limits for cell in cells) else tuple(cells[2:]),
        notes=tuple(as_text(note) for note in as_list(check.get("notes"))[:20]),
        mute={key: as_text(mute.get(key)) for key in ("reason", "owner", "until")} if mute else None,
        measured_status=as_text(check.get("measured_status"), 20),
    )


def _measure(name: str, value: Any, unit: str, limits: Iterable[Mapping[str, Any]]) -> MeasureCell:
    cells = tuple(_limit(limit) for limit in limits if as_text(limit.get("measure")) == name)
    crossed = [cell.level for cell in cells if cell.state == "crossed"]
    unknown = any(cell.state == "unknown" for cell in cells)
    level = "critical" if "critical" in crossed else "unknown" if unknown else "warning" if crossed else ""
    return MeasureCell(name, as_text(human(value, unit), 120), exact(value, unit), cells, level, "")


def _with_spark(cell: MeasureCell, trend: Trend | None) -> MeasureCell:
    if trend is None or len(trend.points) < TREND_MINIMUM:
        return cell
    values = [point.value for point in trend.points]
    words = f"{plural(len(values), 'run')}: from {human(min(values), trend.unit)} to {human(max(values), trend.unit)}"
    return MeasureCell(cell.name, cell.value, cell.exact, cell.limits, cell.level, sparkline(trend.points, words))


def _limit(limit: Mapping[str, Any]) -> LimitCell:
    level, state = as_text(limit.get("level"), 20), as_text(limit.get("state"), 20)
    words = [f"{level} limit", f"severity {as_text(limit.get('severity'), 20)}", _STATES.get(state, state)]
    if is_number(limit.get("for_seconds")) and limit["for_seconds"] > 0:
        words.append(f"for {human(limit['for_seconds'], 's')}")
    return LimitCell(level if level in ("warning", "critical") else "unknown", as_text(limit.get("limit"), 80), state, ", ".join(filter(None, words)))


def attention(view: Mapping[str, Any], hosts: Sequence[HostRow]) -> list[Item]:
    """What somebody has to look at: critical, unreachable, unknown, warning; within each the most urgent first."""
    issues = as_dicts(view.get("issues"))
    items = [_item(row) for host in hosts for row in host.rows if row.status in BAD]
    shown = {(row.place[2], row.name) for host in hosts for row in host.rows}
    gone = {host.name: host for host in hosts if host.status == UNREACHABLE}
    # The last task that a lost host has an issue with is the one that found it gone.
    last = {as_text(issue.get("host")): issue for issue in issues if issue.get("task") and as_text(issue.get("host")) in gone}
    items += [_gone(host, last.get(name, {})) for name, host in gone.items()]
    for issue in issues:
        host, name = as_text(issue.get("host")), as_text(issue.get("check")) or as_text(issue.get("task"))
        if (host, as_text(issue.get("check"))) not in shown and issue is not last.get(host):
            items.append(_issue(issue, host, name))
    return sorted(items, key=_urgency)


def _urgency(item: Item) -> tuple[int, str]:
    return ("critical", UNREACHABLE, "unknown", "warning").index(item.status), item.severity or "P9"


def _item(row: CheckRow) -> Item:
    facts = tuple(cell for cell in row.measures if cell.level)
    return Item(row.status, row.severity, row.name, row.place[2], row.kind, row.message, row.hint, facts, row.id)


def _gone(host: HostRow, issue: Mapping[str, Any]) -> Item:
    severity = issue["severity"] if issue.get("severity") in SEVERITIES else "P2"
    message, hint = as_text(issue.get("message")) or host.summary, as_text(issue.get("hint"))
    return Item(UNREACHABLE, severity, f"{host.name} cannot be reached", host.name, "", message,
                hint or "Is it up, does its name resolve, does the login still work?", target=host.id)  # fmt: skip


def _issue(issue: Mapping[str, Any], host: str, name: str) -> Item:
    status = _ISSUE_STATUS.get(str(issue.get("status")), str(issue.get("status")))
    status = status if status in (*BAD, UNREACHABLE) else "unknown"
    severity = issue["severity"] if issue.get("severity") in SEVERITIES else ""
    kind = ("task" if issue.get("task") else "check") if host else ""
    return Item(status, severity, name or "(no name)", host, kind, as_text(issue.get("message")), as_text(issue.get("hint")))


def exempt(hosts: Iterable[HostRow]) -> list[dict[str, str]]:
    """Muted and skipped checks: what was left out, why, on whose word and until when."""
    return [
        {
            "id": row.id,
            "name": row.name,
            "host": row.place[2],
            "how": "muted" if row.mute else "skipped",
            "measured": row.measured_status if row.mute else "",
            "reason": (row.mute["reason"] if row.mute else row.message) or "no reason recorded",
            "owner": row.mute["owner"] if row.mute else "",
            "until": instant(row.mute["until"]) if row.mute and row.mute["until"] else "",
        }
        for host in hosts
        for row in host.rows
        if row.mute or row.status == "skipped"
    ]
