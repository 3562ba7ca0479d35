# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of one log to what the scanner needs, and from its tally to measures and a report. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import InvalidInput, did_you_mean
from .log_formats import parse_format
from .log_shapes import RULE_NAMES, compile_pattern
from .log_tally import Tally, points
from .log_window import Wanted, Window
from .probe import Unmeasured
from .times import rfc3339
from .units import parse_duration

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

    Options = Mapping[str, Any]

MEASURES = {
    "lines": "count", "entries": "count", "bytes": "B", "files": "count", "age": "s", "lines_per_minute": "number",
    "lines_per_minute_max": "number", "signatures": "count", "secrets": "count", "benign": "count", "unparsed": "count", "lost": "boolean",
}  # fmt: skip

UNITS = {"s": ("s", 1.0), "ms": ("s", 0.001), "B": ("B", 1.0), "count": ("count", 1.0), "number": ("number", 1.0)}
"""Units a number in a log can have, the unit of the measure, and the factor between them."""

LONGEST_WINDOW = 400 * 86400.0
_PATTERN_KEYS = ("match", "ignore_case", "of")


def pattern_of(name: str, given: Any) -> dict[str, Any]:
    """A pattern written short or long, as ``{match, ignore_case, of}``. Raises InvalidInput."""
    if isinstance(given, str):
        return {"match": given, "ignore_case": False, "of": None}
    if not isinstance(given, Mapping) or not isinstance(given.get("match"), str):
        raise InvalidInput(f"patterns: {name}: write it as a regular expression, or as {{match: ..., ignore_case: ..., of: ...}}")
    for key in given:
        if key not in _PATTERN_KEYS:
            raise InvalidInput(f'patterns: {name}: unknown key "{key}"{did_you_mean(key, _PATTERN_KEYS)}')
    return {"match": given["match"], "ignore_case": given.get("ignore_case") is True, "of": given.get("of")}


def extract_of(name: str, given: Any) -> dict[str, str]:
    """A number to collect, as ``{match, unit}``. Raises InvalidInput unless its expression has one group."""
    if not isinstance(given, Mapping) or not isinstance(given.get("match"), str) or set(given) - {"match", "unit"}:
        raise InvalidInput(f"extract: {name}: write it as {{match: 'took ([0-9.]+) s', unit: s}}")
    unit = given.get("unit", "number")
    if unit not in UNITS:
        raise InvalidInput(f'extract: {name}: the unit "{unit}" is not known', f"units are {', '.join(UNITS)}")
    if compile_pattern(given["match"]).groups != 1:
        raise InvalidInput(f"extract: {name}: the expression needs one pair of ( ) around the number, and no other", "write (?: ) to group")
    return {"match": given["match"], "unit": unit}


def dynamic_measures(options: Options) -> dict[str, str]:
    """The measures of these patterns and numbers, with their units. Raises InvalidInput for options that make no sense."""
    found: dict[str, str] = {}
    patterns: Mapping[str, Any] = options.get("patterns") or {}
    for name, given in patterns.items():
        pattern = pattern_of(name, given)
        compile_pattern(str(pattern["match"]))
        if pattern["of"] is not None and pattern["of"] not in patterns:
            raise InvalidInput(f'patterns: {name}: of: there is no pattern "{pattern["of"]}"{did_you_mean(pattern["of"], patterns)}')
        rates = ("per_minute", "per_minute_max", "per_hour")
        found |= {f"{name}.count": "count", f"{name}.ratio": "percent", **{f"{name}.{rate}": "number" for rate in rates}}
    for name, given in (options.get("extract") or {}).items():
        unit = UNITS[extract_of(name, given)["unit"]][0]
        found |= {f"{name}.count": "count", **{f"{name}.{part}": unit for part in ("p50", "p95", "p99", "max")}}
    for entry in options.get("benign") or []:
        compile_pattern(entry["pattern"])
    parse_format(options.get("format") or "python")
    if parse_duration(options.get("window") or "1 d") > LONGEST_WINDOW:
        raise InvalidInput(f"window: {options['window']} is longer than 400 days", "review a shorter one more often")
    return found


def wanted_of(options: Options) -> Wanted:
    """What the scanner is to count."""
    patterns = [pattern_of(name, given) for name, given in options["patterns"].items()]
    extracts = [extract_of(name, given)["match"] for name, given in options["extract"].items()]
    wanted = Wanted([(item["match"], item["ignore_case"]) for item in patterns], extracts, [entry["pattern"] for entry in options["benign"]])
    wanted.secrets, wanted.samples, wanted.context = options["leaks"], options["samples"], options["context"]
    return wanted


class Read:
    """One log as it was read: the window, the tally, and from where."""

    __slots__ = ("window", "tally", "files", "lost", "notes", "incremental", "now")

    def __init__(self, window: Window, tally: Tally, now: float) -> None:
        self.window = window
        self.tally = tally
        self.now = now
        self.files: list[dict[str, Any]] = []
        self.lost = False
        self.notes: list[str] = []
        self.incremental = False

    @property
    def length_minutes(self) -> float:
        """Length of the window, for rates."""
        return max((self.window.end - self.window.start) / 60, 1 / 60)


def figures_of(options: Options, read: Read) -> dict[str, dict[str, Any]]:
    """Pattern to ``count, ratio, per_minute, per_minute_max, per_hour``. Ratios are of all entries, or of the pattern named by ``of``."""
    names: list[str] = list(options["patterns"])
    entries, found = read.tally.counts["entries"], {}
    for number, (name, given) in enumerate(options["patterns"].items()):
        series, of = read.tally.patterns[number], pattern_of(name, given)["of"]
        count = sum(series)
        whole = sum(read.tally.patterns[names.index(str(of))]) if of else entries
        part = count if of else read.tally.in_entries[number]
        found[name] = {
            "count": count,
            "ratio": 100 * part / whole if whole else 0.0,
            "per_minute": count / read.length_minutes,
            "per_minute_max": max(series),
            "per_hour": 60 * count / read.length_minutes,
        }
    return found


def timings_of(options: Options, read: Read) -> dict[str, dict[str, Any]]:
    """Number to ``count, p50, p95, p99, max, unit, approximate``."""
    found = {}
    for values, (name, given) in zip(read.tally.values, options["extract"].items()):
        unit, factor = UNITS[extract_of(name, given)["unit"]]
        found[name] = {**values.summary(factor), "unit": unit}
    return found


def measures_of(options: Options, read: Read) -> dict[str, Any]:
    """Every measure of a check. No entry at all leaves ``age`` and percentiles unmeasured."""
    counts = read.tally.counts
    measures: dict[str, Any] = {
        **{name: counts[name] for name in ("lines", "entries", "bytes", "unparsed")},
        "files": len(read.files),
        "age": Unmeasured("there is no entry in the window") if read.tally.newest is None else max(0.0, read.now - read.tally.newest),
        "lines_per_minute": counts["entries"] / read.length_minutes,
        "lines_per_minute_max": max(read.tally.entries),
        "signatures": len(read.tally.signatures),
        "secrets": counts["secret_lines"],
        "benign": sum(read.tally.benign.values()),
        "lost": read.lost,
    }
    for name, figures in figures_of(options, read).items():
        measures |= {f"{name}.{part}": value for part, value in figures.items()}
    for name, timing in timings_of(options, read).items():
        for part in ("count", "p50", "p95", "p99", "max"):
            measures[f"{name}.{part}"] = Unmeasured(f"no line in the window has a {name}") if timing[part] is None else timing[part]
    return measures


def report_of(options: Options, read: Read) -> dict[str, Any]:
    """Everything a person may want to look at, as JSON data. All texts are printable, and show no secret."""
    tally = read.tally
    span, entries = points(tally.entries)
    first = read.window.start // 60 * 60
    names = list(options["patterns"])
    samples = [[{**sample, "at": rfc3339(sample["at"])} for sample in found[-options["samples"] :]] for found in tally.samples]
    figures = figures_of(options, read)
    notes = list(read.notes)
    if tally.counts["long_lines"]:
        notes.append(f"{tally.counts['long_lines']} lines are longer than 1 MiB: searched whole, shown by their beginning")
    return {
        "format": options["format"] if isinstance(options["format"], str) else "own",
        "timezone": options["timezone"], "from": rfc3339(read.window.start), "to": rfc3339(read.window.end), "incremental": read.incremental,
        **{name: tally.counts[name] for name in ("lines", "entries", "bytes")}, "files": read.files,
        "levels": dict(sorted(tally.levels.items(), key=lambda item: -item[1])) if set(tally.levels) - {""} else {},
        "bucket_seconds": span * 60,
        "series": {"start": rfc3339(first), "entries": entries, "patterns": {name: points(series)[1] for name, series in zip(names, tally.patterns)}},
        "patterns": {name: {**figures[name], "samples": found} for name, found in zip(names, samples)},
        "extract": timings_of(options, read),
        "signatures": [_show_signature(key, known, first) for key, known in tally.top(options["top"])],
        "signature_count": len(tally.signatures),
        "benign": [{**entry, "count": tally.benign[number]} for number, entry in enumerate(options["benign"])],
        "secrets": [{"rule": RULE_NAMES[rule], "count": count, "text": tally.secret_samples.get(rule, "")} for rule, count in sorted(tally.secrets.items())],
        "notes": notes,
    }  # fmt: skip


def _show_signature(key: str, known: list[Any], first: float) -> dict[str, Any]:
    count, begun, last, level, text, example = known
    seen = {name: rfc3339(first + minute * 60) for name, minute in (("first_at", begun), ("last_at", last))}
    return {"id": key, "level": level, "text": text, "count": count, "example": example, **seen}
