# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus answers, and what may be believed of it. See https://prometheus.io/docs/prometheus/latest/querying/api/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import InvalidInput, RunbookError, VerifyFailed, did_you_mean
from .probe import Unmeasured
from .units import is_number, parse_duration, plural

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

MEASURES = {
    "value": "number", "min": "number", "max": "number", "series": "count", "samples": "count", "missing": "text", "age": "s", "latency": "s",
    "ready": "boolean", "targets": "count", "targets_down": "count", "down": "text",
}  # fmt: skip

NONE = "none"

_UNITS = ("s", "B", "percent", "count", "number")
_MOST_POINTS = 11000  # more, and the server refuses
_REMARK = "PromQL info:"  # on how a query is written: versions before 3 list it among the warnings, which the answer is whole without


class Window:
    """The range of a query, in seconds: how long, how far apart the samples are, and how few of them are too few."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.seconds, self.step = parse_duration(options["range"]), parse_duration(options.get("step") or "30 s")
        self.points = int(self.seconds / self.step) + 1
        if not 2 <= self.points <= _MOST_POINTS:
            raise InvalidInput(f"prometheus: a range of {options['range']} in steps of {options.get('step') or '30 s'} has {plural(self.points, 'sample')}",
                               f"choose a step that gives 2 to {_MOST_POINTS}")  # fmt: skip
        self.fewest = options.get("min_samples") or (self.points + 1) // 2
        if not 1 <= self.fewest <= self.points:
            raise InvalidInput(f"prometheus: min_samples is {self.fewest}, and {options['range']} holds at most {self.points}")


def dynamic_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """Each name of ``expect``; and the unit of values. Raises InvalidInput for options that make no sense."""
    unit, expect = options.get("unit") or "number", options.get("expect") or {}
    given = [name for name in ("range", "step", "min_samples", "max_age", "source", "expect") if options.get(name)]
    if given and not options.get("query"):
        raise InvalidInput(f"prometheus: {given[0]} is about a query", "give the query, or leave it out to look at the server itself")
    if unit not in _UNITS:
        raise InvalidInput(f'prometheus: unknown unit "{unit}"{did_you_mean(unit, _UNITS)}', f"units are {', '.join(_UNITS)}")
    if options.get("range"):
        Window(options)
    elif options.get("step") or options.get("min_samples"):
        raise InvalidInput("prometheus: step and min_samples are about a range", "say how long it is (range: 10 min)")
    if options.get("max_age"):
        parse_duration(options["max_age"])
    for name, labels in expect.items():
        if name in MEASURES:
            raise InvalidInput(f"prometheus: expect: {name} is measured anyway", "give what is expected another name")
        if not isinstance(labels, dict) or not labels or not all(isinstance(value, str) for value in labels.values()):
            raise InvalidInput(f"prometheus: expect: {name}: write its labels, as in {{job: api}}")
    return dict.fromkeys(("value", "min", "max", *expect), unit)


class Series:
    """One series of an answer: its labels, and its samples as (time, value), oldest first; or why it cannot be believed."""

    def __init__(self, labels: Mapping[str, str], points: Sequence[Sequence[Any]], doubt: str = "") -> None:
        self.labels = dict(labels)
        self.points = [(float(at), float(text)) for at, text in points]
        self.doubt = doubt
        if not doubt and not self.points:
            self.doubt = f"{self} has no sample that is a number"
        elif not doubt and not all(is_number(value) for _at, value in self.points):
            self.doubt = f"{self} is no number (NaN or infinite)"

    def __str__(self) -> str:
        labels = ", ".join(f'{name}="{value}"' for name, value in sorted(self.labels.items()) if name != "__name__")
        return f"{self.labels.get('__name__', '')}{{{labels}}}" if labels or "__name__" in self.labels else "the value"

    def key(self) -> frozenset[tuple[str, str]]:
        """Its labels as they are left after an operation."""
        return frozenset((name, value) for name, value in self.labels.items() if name != "__name__")

    @property
    def last(self) -> Any:
        """The newest value."""
        return Unmeasured(self.doubt) if self.doubt else self.points[-1][1]


def data_of(answer: Any, status: int) -> Any:
    """What the server says, as a whole. Raises InvalidInput for a query it cannot read, RunbookError or VerifyFailed for anything less than all of it."""
    said = answer if isinstance(answer, dict) else {}
    if status != 200 or said.get("status") != "success":
        problem = f"{said.get('error') or f'status {status}'}"
        if said.get("errorType") == "bad_data":
            raise InvalidInput(f"prometheus: the query cannot be read: {problem}", "try it in the server's own page (Graph)")
        if status in (401, 403):
            raise RunbookError(f"Prometheus refuses the request ({problem})", "see secret_headers")
        if said.get("errorType") == "execution":
            raise RunbookError(f"the query could not be run: {problem}", "try it in the server's own page (Graph)")
        raise VerifyFailed(f"Prometheus answers: {problem}", "see its log, and whether the address is that of its API")
    warnings = [str(one) for one in said.get("warnings") or [] if not str(one).startswith(_REMARK)]
    if warnings:
        raise RunbookError(f"the answer of Prometheus may be only a part: {'; '.join(warnings)}", "see the servers behind it")
    return said.get("data")


def series_of(data: Any, expected: str = "vector") -> list[Series]:
    """The series of an answer, a ``matrix`` when a range was asked for. Raises RunbookError when there is none: nothing measured is not nothing wrong."""
    try:
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return [Series({}, [result])]
        if kind != expected:
            raise InvalidInput(f"prometheus: the query gives a {kind}, not a number", "write one that gives numbers (rate, max_over_time, ...), or set range")
        found = [Series(item["metric"], item.get("values") or ([item["value"]] if "value" in item else [])) for item in result]
    except (KeyError, TypeError, ValueError):
        raise VerifyFailed("Prometheus answers in a form that is not that of its API", "see what listens at this address") from None
    if not found:
        raise RunbookError("the query gave no series", 'see whether the metric still exists; where nothing is good news, let it say so ("... or vector(0)")')
    return found


def doubt_range(found: Sequence[Series], window: Window, start: float) -> None:
    """Series of a range with too few samples, or without one at its end, are not to be believed."""
    end = start + (window.points - 1) * window.step
    for one in found:
        if not one.doubt and len(one.points) < window.fewest:
            one.doubt = f"{one} has only {plural(len(one.points), 'sample')} of the {window.fewest} it must have"
        elif not one.doubt and one.points[-1][0] < end - window.step / 2:
            one.doubt = f"{one} ended {end - one.points[-1][0]:.0f} s before the end of the range"


def doubt_age(found: Sequence[Series], ages: Sequence[Series], longest: float, by_source: bool) -> None:
    """Series whose newest sample is older than ``longest`` seconds are not to be believed; with a source of its own, none is when that is old."""
    known = {one.key(): one for one in ages if not one.doubt}
    oldest = max(known.values(), key=lambda one: one.last, default=None)
    for one in found:
        told = oldest if by_source else known.get(one.key())
        if not one.doubt and told is None:
            one.doubt = f"nobody knows how old the newest sample of {one} is"
        elif not one.doubt and told is not None and told.last > longest:
            one.doubt = f"the newest sample {'behind ' if by_source else 'of '}{one} is {told.last:.0f} s old, more than {longest:g} s"


def measures_of(found: Sequence[Series], expect: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """``value`` of the only series, ``min`` and ``max`` of everything, and what is expected by its name."""
    doubts = [one.doubt for one in found if one.doubt]
    values = [value for one in found if not one.doubt for _at, value in one.points]
    doubt = Unmeasured("; ".join(doubts[:3]))
    several = f"the query gave {len(found)} series: make them one (sum, max), or name them in expect"
    measures: dict[str, Any] = {
        "series": len(found),
        "samples": min(len(one.points) for one in found),
        "value": found[0].last if len(found) == 1 else Unmeasured(several),
        "min": doubt if doubts else min(values),
        "max": doubt if doubts else max(values),
    }
    missing = []
    for name, labels in expect.items():
        fits = [one for one in found if labels.items() <= one.labels.items()]
        measures[name] = fits[0].last if len(fits) == 1 else Unmeasured(f"{name} is {'missing' if not fits else f'{len(fits)} series, not one'}")
        missing += [] if fits else [name]
    return {**measures, "missing": ", ".join(missing) or NONE} if expect else measures


def age_of(ages: Sequence[Series]) -> Any:
    """Of the series whose newest sample is the oldest, in seconds."""
    doubt = next((one.doubt for one in ages if one.doubt), "")
    return Unmeasured(doubt) if doubt else max(0.0, *(one.points[-1][1] for one in ages))


def targets_of(data: Any) -> dict[str, Any]:
    """How many there are to be scraped, and which of them are not known to be up."""
    try:
        active = [(target["health"], target["labels"]) for target in data["activeTargets"]]
    except (KeyError, TypeError):
        raise VerifyFailed("Prometheus answers in a form that is not that of its API", "see what listens at this address") from None
    down = sorted(f"{labels.get('job', '')} {labels.get('instance', '')} ({health})" for health, labels in active if health != "up")
    return {"targets": len(active), "targets_down": len(down), "down": ", ".join(down) or NONE}
