# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section of the report on logs that were reviewed: one card each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import is_number, plural

from .charts_rates import Rates
from .charts_svg import COURSES, key_line
from .report_changes import places
from .report_format import NOTHING, as_dict, as_dicts, as_list, as_text, duration, exact, human, instant, local, seconds_of, zone_of
from .report_rows import HostRow

MOST_ROWS = 100
"""Rows of one table of a card; the JSON has them all."""
_LATEST = 4e9
"""An instant beyond the year 2096 is no instant of a log."""
_LONGEST = 400 * 86400.0
_LEVELS = {"WARNING": "warning", "WARN": "warning", "ERROR": "critical", "CRITICAL": "critical", "FATAL": "critical"}
_SHORT = "%-d %b %H:%M"

Log = Mapping[str, Any]


@dataclass(frozen=True)
class LogPlot:
    """What is drawn in the card ``card``."""

    card: str
    caption: str
    names: tuple[str, ...]
    rates: Rates


def _logs(view: Mapping[str, Any]) -> Iterator[tuple[int, str, Log]]:
    """(number of the host, id of the card, log) in the order of the view."""
    for number, (_place, host) in enumerate(places(view), start=1):
        for index, log in enumerate(as_dicts(host.get("logs")), start=1):
            yield number, f"h{number}l{index}", log


def log_plots(view: Mapping[str, Any]) -> list[LogPlot]:
    """What there is to draw: the entries of each log over its window, and its patterns."""
    return [plot for _number, card, log in _logs(view) for plot in _plots_of(card, log)]


def _plots_of(card: str, log: Log) -> Iterator[LogPlot]:
    series = as_dict(log.get("series"))
    span: Any = log.get("bucket_seconds")
    start, entries = seconds_of(series.get("start")), _counts(series.get("entries"))
    if start is None or not is_number(span) or not 1 <= span <= _LONGEST or not any(entries) or not 0 < start < start + span * len(entries) < _LATEST:
        return
    per, zone = f"per {duration(span)}", as_text(log.get("timezone"), 80)
    yield LogPlot(card, f"Entries {per}", (), Rates("entries", zone, start, float(span), (tuple(entries),), area=True))
    courses = {name: tuple(_counts(as_dict(series.get("patterns")).get(name))) for name in _drawn(log)}
    courses = {name: counts for name, counts in courses.items() if len(counts) == len(entries)}
    if courses:
        yield LogPlot(card, f"Patterns {per}", tuple(courses), Rates("patterns", zone, start, float(span), tuple(courses.values())))


def _counts(value: Any) -> list[int]:
    found = as_list(value)
    return found if all(isinstance(count, int) and 0 <= count < 2**63 for count in found) else []


def _drawn(log: Log) -> list[str]:
    """The patterns with a line in the plot: the most frequent ones. One that most entries match has the course of all entries, and would
    press the others flat."""
    entries: Any = log.get("entries")
    counts: dict[Any, Any] = {name: as_dict(found).get("count") for name, found in as_dict(log.get("patterns")).items()}
    found = {name: count for name, count in counts.items() if is_number(count) and count > 0}
    rare = {name: count for name, count in found.items() if is_number(entries) and count <= entries / 2} or found
    chosen = sorted(rare, key=lambda name: -rare[name])[:COURSES]
    return [name for name in counts if name in chosen]


def log_hosts(view: Mapping[str, Any], hosts: Sequence[HostRow], plots: Sequence[tuple[LogPlot, str]]) -> list[dict[str, Any]]:
    """Each host with logs, and its cards."""
    found: dict[int, list[dict[str, Any]]] = {}
    for number, card, log in _logs(view):
        own = [(plot, svg) for plot, svg in plots if plot.card == card]
        found.setdefault(number, []).append(_card(card, log, hosts[number - 1], own))
    return [{"name": hosts[number - 1].name, "target": hosts[number - 1].id, "cards": cards} for number, cards in found.items()]


def _card(ident: str, log: Log, host: HostRow, plots: Sequence[tuple[LogPlot, str]]) -> dict[str, Any]:
    zone, keys = zone_of(log.get("timezone")), {name: number for plot, _svg in plots for number, name in enumerate(plot.names, start=1)}
    check = next((row for row in host.rows if row.name == as_text(log.get("name"))), None)
    return {
        "id": ident,
        "name": as_text(log.get("name")) or "(no name)",
        "status": check.status if check else "",
        "target": check.id if check else "",
        "source": as_text(log.get("source")),
        "format": as_text(log.get("format"), 40),
        "window": _window(log, zone),
        "mode": _mode(log),
        "figures": _figures(log),
        "levels": [(as_text(name, 40) or "no level", human(count, "count"), _LEVELS.get(str(name).upper(), ""))
                   for name, count in list(as_dict(log.get("levels")).items())[:12]],
        "secrets": _secrets(log),
        "empty": not log.get("lines") and not log.get("entries"),
        "plots": [{"caption": plot.caption, "zone": as_text(str(zone), 80), "svg": svg} for plot, svg in plots],
        "patterns": [_pattern(name, as_dict(found), keys) for name, found in list(as_dict(log.get("patterns")).items())[:MOST_ROWS]],
        "timings": [_timing(name, as_dict(found)) for name, found in list(as_dict(log.get("extract")).items())[:MOST_ROWS]],
        "signatures": [_signature(found, as_dict(log.get("earlier")), zone) for found in as_dicts(log.get("signatures"))[:MOST_ROWS]],
        "signature_note": _signature_note(log),
        "samples": [_samples(name, as_dict(found), zone) for name, found in as_dict(log.get("patterns")).items() if as_dicts(as_dict(found).get("samples"))],
        "benign": [_benign(entry) for entry in as_dicts(log.get("benign"))[:MOST_ROWS]],
        "notes": [as_text(note) for note in as_list(log.get("notes"))[:20]],
    }  # fmt: skip


def _mode(log: Log) -> str:
    """An incremental review that is the first one reads its window."""
    is_first = "earlier" in log and not as_dict(log["earlier"]).get("first_at")
    return "what came since the last review" if log.get("incremental") is True and not is_first else "the whole window"


def _window(log: Log, zone: tzinfo) -> str:
    begun, ended = (_when(log.get(key), zone, "%Y-%m-%d %H:%M") for key in ("from", "to"))
    return f"{begun} to {ended} {as_text(str(zone), 80)}"


def _when(value: Any, zone: tzinfo, form: str = _SHORT) -> str:
    epoch = seconds_of(value)
    return local(epoch, zone, form) if epoch is not None and 0 < epoch < _LATEST else as_text(value, 40) or NOTHING


def _figures(log: Log) -> list[tuple[str, str, str]]:
    """(label, value, exact value)."""
    files = as_dicts(log.get("files"))
    sizes = as_text([f"{as_text(file.get('path'), 200)} ({human(file.get('bytes'), 'B')})" for file in files], 2000)
    figures = [(label, human(log.get(key), unit), exact(log.get(key), unit)) for label, key, unit in
               (("Lines", "lines", "count"), ("Entries", "entries", "count"), ("Read", "bytes", "B"))]  # fmt: skip
    return [*figures, *([("Files", human(len(files)), sizes)] if files else [])]


def _secrets(log: Log) -> list[dict[str, str]]:
    """What was found, and where in a line; the value itself never came from the host."""
    found = as_dicts(log.get("secrets"))[:20]
    return [{"rule": as_text(entry.get("rule"), 80), "lines": _lines(entry.get("count")), "text": _masked(entry.get("text"))} for entry in found]


def _lines(count: Any) -> str:
    return plural(count, "line") if isinstance(count, int) else as_text(count, 40)


def _masked(text: Any) -> str:
    return as_text(text) if "***" in str(text) else ""


def _pattern(name: Any, found: Log, keys: Mapping[Any, int]) -> dict[str, str]:
    rates = {key: human(found.get(key), "number") for key in ("per_minute", "per_minute_max")}
    return {
        "name": as_text(name), "key": key_line(keys[name]) if name in keys else "", "count": human(found.get("count"), "count"),
        "ratio": human(found.get("ratio"), "percent"), **rates,
    }  # fmt: skip


def _timing(name: Any, found: Log) -> dict[str, Any]:
    unit = as_text(found.get("unit"), 20)
    parts = [found.get(key) for key in ("p50", "p95", "p99", "max")]
    values = [(NOTHING if value is None else as_text(human(value, unit), 40), exact(value, unit)) for value in parts]
    return {"name": as_text(name), "count": human(found.get("count"), "count"), "values": values, "approximate": found.get("approximate") is True}


def _signature(found: Log, earlier: Log, zone: tzinfo) -> dict[str, Any]:
    level = as_text(found.get("level"), 20)
    return {
        "count": human(found.get("count"), "count"), "level": level, "class": _LEVELS.get(level.upper(), ""), "text": as_text(found.get("text")),
        "example": as_text(found.get("example")), "first": _when(found.get("first_at"), zone), "last": _when(found.get("last_at"), zone),
        "new": earlier.get("reviewed") is True and as_text(found.get("id")) not in as_dict(earlier.get("signatures")),
    }  # fmt: skip


def _signature_note(log: Log) -> str:
    """How many kinds there are, and what "new" is measured against."""
    count: Any = log.get("signature_count")
    shown, earlier = len(as_dicts(log.get("signatures"))), as_dict(log.get("earlier"))
    words = [f"{human(count, 'count')} kinds of lines, shown are {shown}."] if is_number(count) and count > shown > 0 else []
    if not shown or not earlier:
        return " ".join(words)
    if not earlier.get("first_at"):
        words.append("First review of this log: there is nothing yet to tell what is new.")
    elif earlier.get("reviewed") is not True:
        words.append("No review in the 7 days before: what is new cannot be told.")
    else:
        since = max(as_text(earlier["first_at"], 40), as_text(earlier.get("since"), 40))
        words.append(f"New is what no review since {instant(since)} had among its most frequent kinds.")
    return " ".join(words)


def _samples(name: Any, found: Log, zone: tzinfo) -> dict[str, Any]:
    samples = as_dicts(found.get("samples"))[:20]
    return {"name": as_text(name), "count": plural(len(samples), "sample"), "samples": [
        {"at": _when(sample.get("at"), zone), "path": as_text(sample.get("path")), "text": as_text(sample.get("text"), 600),
         **{key: [as_text(line, 600) for line in as_list(sample.get(key))[:20]] for key in ("before", "after")}} for sample in samples]}  # fmt: skip


def _benign(entry: Log) -> dict[str, str]:
    texts = {key: as_text(entry.get(key)) for key in ("pattern", "reason", "owner")}
    return {**texts, "until": instant(entry.get("until"))[:10] if entry.get("until") else "", "count": human(entry.get("count"), "count")}
