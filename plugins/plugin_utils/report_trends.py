# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which measures have a course over the runs, and which of them are worth a plot. Pure: history in, trends out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import parse_limit
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import is_number
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES

from .history_queries import TREND_MINIMUM
from .report_changes import Place, places, status_of
from .report_format import as_dict, as_dicts, as_text, seconds_of

LONGEST = 60

_LARGEST = 1e18
"""No quantity of a system is larger; sums and differences of such values are still numbers."""

_PLOTTABLE = ("s", "B", "percent", "count", "number", "")

Series = Mapping[Place, Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]]
"""(system, environment, host) to what ``History.series`` returned for it: (check, measure) to its points."""


@dataclass(frozen=True)
class Point:
    """One measured value of one run."""

    at: float
    value: float
    status: str


@dataclass(frozen=True)
class Bound:
    """A limit with a place on the axis."""

    level: str
    comparator: str
    value: float
    text: str
    """As it was written; the grammar of limits leaves nothing in it but a comparison, a number and a unit."""

    def crossed(self, value: float) -> bool:
        """Whether ``value`` is beyond it."""
        return {">": value > self.value, ">=": value >= self.value, "<": value < self.value, "<=": value <= self.value}[self.comparator]


@dataclass(frozen=True)
class Trend:
    """The course of one measure, oldest point first."""

    place: Place
    check: str
    measure: str
    unit: str
    points: tuple[Point, ...]
    bounds: tuple[Bound, ...]
    limited: bool
    crossed: bool

    @property
    def key(self) -> tuple[Place, str, str]:
        """What identifies a trend inside one report."""
        return self.place, self.check, self.measure

    @property
    def varies(self) -> bool:
        """Whether it ever moved."""
        return len({point.value for point in self.points}) > 1


def collect(view: Mapping[str, Any], series: Series) -> list[Trend]:
    """Every course of a measure in this run with at least two points, in the order of the view."""
    found: list[Trend] = []
    for place, host in places(view):
        history = as_dict(series.get(place))
        for check in as_dicts(host.get("checks")):
            found.extend(_trends(view, place, check, history))
    return found


def _trends(view: Mapping[str, Any], place: Place, check: Mapping[str, Any], history: Mapping[Any, Any]) -> Iterable[Trend]:
    name, units = as_text(check.get("name")), as_dict(check.get("units"))
    at = seconds_of(check.get("measured_at") or view.get("measured_at") or view.get("started_at"))
    for measure, value in as_dict(check.get("measures")).items():
        unit, past = as_text(units.get(measure)), as_dicts(history.get((name, measure)))
        points = _points(past)
        if unit not in _PLOTTABLE or not points:
            continue
        if _drawable(value) and at is not None and not any(point.get("run_id") == view.get("run_id") for point in past):
            points = _in_order([*points, Point(at, float(value), status_of(check))])
        limits = [limit for limit in as_dicts(check.get("limits")) if limit.get("measure") == measure]
        bounds = tuple(_bounds(limits, unit))
        if len(bounds) == len(limits) > 0:
            points = [_own(point, bounds) for point in points]
        if len(points) > 1:
            crossed = any(limit.get("state") == "crossed" for limit in limits)
            yield Trend(place, name, as_text(measure), unit, tuple(points[-LONGEST:]), bounds, bool(limits), crossed)


def _own(point: Point, bounds: Iterable[Bound]) -> Point:
    """A point in the colour of its own measure, not of the worst one of its check; never worse than the verdict that was given."""
    levels = {bound.level for bound in bounds if bound.crossed(point.value)}
    status = "critical" if "critical" in levels else "warning" if levels else "ok"
    return Point(point.at, point.value, min(status, point.status, key=STATUSES.index))


def _drawable(value: Any) -> TypeGuard[float]:
    return is_number(value) and abs(value) <= _LARGEST


def _points(past: Iterable[Mapping[str, Any]]) -> list[Point]:
    points = []
    for entry in past:
        at, value = seconds_of(entry.get("at")), entry.get("value")
        if at is not None and _drawable(value):
            points.append(Point(at, float(value), status_of(entry)))
    return _in_order(points)


def _in_order(points: Iterable[Point]) -> list[Point]:
    return sorted(points, key=lambda point: point.at)


def _bounds(limits: Iterable[Mapping[str, Any]], unit: str) -> Iterable[Bound]:
    """The limits that are a line on an axis: a comparison with a number in the measure's own unit."""
    for limit in limits:
        try:
            parsed = parse_limit(limit.get("limit"))
        except InvalidInput:
            continue
        ordered = parsed.comparator in (">", ">=", "<", "<=") and not parsed.of_baseline and is_number(parsed.operand)
        if ordered and parsed.unit in ("", unit) and limit.get("level") in ("warning", "critical"):
            yield Bound(str(limit["level"]), parsed.comparator, float(parsed.operand), " ".join(parsed.text.split()))


def choose(trends: Iterable[Trend]) -> list[Trend]:
    """Those worth a plot, the most telling first: crossed now, then with limits, then moving; never a flat line without a bound."""
    worth = [trend for trend in trends if len(trend.points) >= TREND_MINIMUM and (trend.varies or trend.bounds)]
    return sorted(worth, key=_rank)


def _rank(trend: Trend) -> int:
    if trend.crossed:
        return 0
    return 1 if trend.bounds and trend.varies else 2 if trend.limited and trend.varies else 3 if trend.varies else 4
