# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trend plots as SVG, drawn by matplotlib where it is installed on the controller.

No text of a host is drawn: labels are numbers we formatted, since matplotlib reads ``$...$`` as a formula.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import MissingLibrary
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES

from .charts_axis import Axis, time_axis, value_axis
from .charts_svg import LABEL, adopt, sentinel
from .report_format import human, instant
from .report_trends import Point, Trend

_WIDTH, _HEIGHT = 400, 164
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 10, 8, 25
_CROWDED = 40
"""With more points than this only the telling ones are marked."""

_MARKS = {"ok": ("o", 4.5), "skipped": ("o", 6.0), "warning": ("^", 7.5), "unknown": ("D", 5.5), "critical": ("X", 7.5)}
"""Shape and size: a colour is never the only sign."""
_DASHES = {"warning": (2.5, 2.5), "critical": (6.0, 2.5)}
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "tradeops.runbook", "path.simplify": False, "text.usetex": False, "font.size": 10}


@dataclass(frozen=True)
class Library:
    """The parts of matplotlib that are used; never pyplot, which keeps state and looks for a screen."""

    rc_context: Any
    rc_defaults: Any
    rc_params: Any
    figure: Any
    canvas: Any


def load() -> Library:
    """matplotlib, or MissingLibrary with what to install where."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        missing = MissingLibrary("matplotlib", "python3-matplotlib", f"on the controller ({sys.executable}) to draw plots", "pip install matplotlib there")
        missing.hint = "install it there (pip install matplotlib, or the package python3-matplotlib)"
        raise missing from error
    return Library(matplotlib.rc_context, matplotlib.rcdefaults, matplotlib.rcParams, Figure, FigureCanvasSVG)


def draw(trends: Sequence[Trend]) -> list[str]:
    """One SVG text for each trend, in order. Raises MissingLibrary; imports nothing when there is nothing to draw."""
    if not trends:
        return []
    with studio() as library:
        return [_plot(library, trend, f"t{index}") for index, trend in enumerate(trends, start=1)]


@contextmanager
def studio() -> Iterator[Library]:
    """The library in the style of the report, and silent."""
    with _quiet():
        library = load()
        with library.rc_context():
            library.rc_defaults()  # the style file of whoever runs Ansible must not change the report
            library.rc_params.update(_STYLE)
            yield library


@contextmanager
def _quiet() -> Iterator[None]:
    """matplotlib tells about its font cache on stderr, which would stand in the middle of Ansible's output."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _plot(library: Library, trend: Trend, prefix: str) -> str:
    x_axis = time_axis([point.at for point in trend.points])
    y_axis = value_axis([point.value for point in trend.points], [bound.value for bound in trend.bounds], trend.unit)
    figure, axes = sheet(library, x_axis, y_axis)
    _draw_bounds(axes, trend, y_axis)
    titles = _draw_points(axes, trend)
    return adopt(written(figure), prefix, describe(trend), titles)


def sheet(library: Library, x_axis: Axis, y_axis: Axis) -> tuple[Any, Any]:
    """A figure, and its axes with a grid."""
    figure = library.figure(figsize=(_WIDTH / 72, _HEIGHT / 72), dpi=72)
    library.canvas(figure)
    figure.patch.set_visible(False)
    box = (_LEFT / _WIDTH, _BOTTOM / _HEIGHT, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, (_HEIGHT - _TOP - _BOTTOM) / _HEIGHT)
    axes = figure.add_axes(box, xlim=(x_axis.low, x_axis.high), ylim=(y_axis.low, y_axis.high))
    axes.set_axis_off()  # ticks are drawn by hand: a tenth of the time, and the same on every version
    _draw_grid(axes, x_axis, y_axis)
    return figure, axes


def written(figure: Any) -> str:
    """A figure as the library writes it; ``adopt`` it before it goes into a page."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _draw_grid(axes: Any, x_axis: Axis, y_axis: Axis) -> None:
    words = {"color": sentinel("plot-text"), "fontsize": 12, "clip_on": False}
    right, below = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    for place, label in y_axis.ticks:
        axes.plot([0, 1], [place, place], transform=below, color=sentinel("plot-grid"), linewidth=1, clip_on=False)
        axes.text(-7 / (_WIDTH - _LEFT - _RIGHT), place, label, transform=below, ha="right", va="center_baseline", **words)
    for place, label in x_axis.ticks:
        axes.text(place, -19 / (_HEIGHT - _TOP - _BOTTOM), label, transform=right, ha="center", va="baseline", **words)


def _draw_bounds(axes: Any, trend: Trend, y_axis: Axis) -> None:
    """Limits within the axis, labelled where the oldest points are: the latest are what people look at."""
    beside = axes.get_yaxis_transform()
    crowded = 0.11 * (y_axis.high - y_axis.low)
    labelled: list[float] = []
    for bound in trend.bounds:
        if not y_axis.low <= bound.value <= y_axis.high:
            continue
        axes.plot([0, 1], [bound.value] * 2, transform=beside, color=sentinel(f"{bound.level}-fill"), linewidth=1.2,
                  dashes=_DASHES[bound.level], clip_on=False)  # fmt: skip
        place = 0.01 + 0.4 * sum(abs(bound.value - other) < crowded for other in labelled)
        labelled.append(bound.value)
        label = axes.annotate(f"{bound.level} {bound.text}", (place, bound.value), (0, 3.5), xycoords=beside, textcoords="offset points",
                              color=sentinel(bound.level), fontsize=11, va="baseline", zorder=1.5)  # fmt: skip
        label.set_gid(LABEL)


def _draw_points(axes: Any, trend: Trend) -> dict[str, list[str]]:
    """The line, and on it a mark for each status; returns the words of the marks of each."""
    points, last = trend.points, trend.points[-1]
    axes.plot([point.at for point in points], [point.value for point in points], color=sentinel("plot-line"), linewidth=1.6, clip_on=False)
    titles: dict[str, list[str]] = {}
    for status in STATUSES:
        marked = [point for point in points if point.status == status and (len(points) <= _CROWDED or status != "ok" or point is last)]
        if not marked:
            continue
        shape, size = _MARKS[status]
        (line,) = axes.plot([point.at for point in marked], [point.value for point in marked], shape, color=sentinel(f"{status}-fill"),
                            markersize=size, markeredgewidth=0, clip_on=False)  # fmt: skip
        line.set_gid(f"points-{status}")
        titles[f"points-{status}"] = [_words(point, trend.unit) for point in marked]
    return titles


def _words(point: Point, unit: str) -> str:
    return f"{instant(point.at)}: {human(point.value, unit)} ({point.status})"


def describe(trend: Trend) -> str:
    """The course in one sentence, for those who cannot see the plot."""
    values = [point.value for point in trend.points]
    spread = f"between {human(min(values), trend.unit)} and {human(max(values), trend.unit)}" if trend.varies else f"always {human(values[0], trend.unit)}"
    return f"{trend.check}, {trend.measure} on {trend.place[2]}: {len(values)} runs, {spread}, last {human(values[-1], trend.unit)}"


def out_of_sight(trend: Trend) -> list[str]:
    """The limits that lie too far from the data to be drawn, as words for the caption."""
    axis = value_axis([point.value for point in trend.points], [bound.value for bound in trend.bounds], trend.unit)
    return [f"{bound.level} {bound.text}" for bound in trend.bounds if not axis.low <= bound.value <= axis.high]
