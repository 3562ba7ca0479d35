# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of what a log held over its window: entries as an area, or patterns as lines. As in ``charts``, no text of a host is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import Library, sheet, studio, written
from .charts_axis import time_axis, value_axis
from .charts_svg import COURSES, DASHES, adopt, course, sentinel
from .report_format import duration, local, number, zone_of


@dataclass(frozen=True)
class Rates:
    """Counts of the buckets of one window: of all entries (one course), or of up to ``COURSES`` patterns."""

    title: str
    zone: str
    start: float
    span: float
    courses: tuple[tuple[int, ...], ...]
    area: bool = False

    @property
    def end(self) -> float:
        """Where the last bucket ends."""
        return self.start + self.span * len(self.courses[0])


def draw_rates(rates: Sequence[Rates]) -> list[str]:
    """One SVG text for each, in order. Raises MissingLibrary; imports nothing when there is nothing to draw."""
    if not rates:
        return []
    with studio() as library:
        return [_plot(library, one, f"r{index}") for index, one in enumerate(rates, start=1)]


def _plot(library: Library, rates: Rates, prefix: str) -> str:
    x_axis = time_axis([rates.start, rates.end], zone_of(rates.zone))
    y_axis = value_axis([0, *(max(counts) for counts in rates.courses)], [], "count")
    figure, axes = sheet(library, x_axis, y_axis)
    for index, counts in enumerate(rates.courses[:COURSES]):
        _draw_course(axes, rates, list(_corners(rates, counts)), index)
    return adopt(written(figure), prefix, describe(rates), {})


def _draw_course(axes: Any, rates: Rates, corners: Sequence[tuple[float, int]], index: int) -> None:
    times, heights = [place for place, _count in corners], [count for _place, count in corners]
    if rates.area:
        axes.fill([times[0], *times, times[-1]], [0, *heights, 0], facecolor=sentinel("plot-area"), edgecolor="none", linewidth=0)
        axes.plot(times, heights, color=sentinel("plot-line"), linewidth=1.2, clip_on=False)
        return
    line = {"dashes": DASHES[index]} if DASHES[index] else {}
    axes.plot(times, heights, color=sentinel(course(index + 1)), linewidth=1.6, clip_on=False, solid_joinstyle="round", **line)


def _corners(rates: Rates, counts: Sequence[int]) -> Iterator[tuple[float, int]]:
    """The outline of a row of bars: a point wherever the height changes."""
    before: int | None = None
    for index, count in enumerate(counts):
        at = rates.start + index * rates.span
        if count != before:
            if before is not None:
                yield at, before
            yield at, count
        before = count
    yield rates.end, counts[-1]


def describe(rates: Rates) -> str:
    """The courses in one sentence, for those who cannot see the plot."""
    zone = zone_of(rates.zone)
    most = ", ".join(number(max(counts)) for counts in rates.courses)
    return f"{rates.title}, from {local(rates.start, zone)} to {local(rates.end, zone)}: at most {most} in {duration(rates.span)}"
