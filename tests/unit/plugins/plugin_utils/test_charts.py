# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
import sys
from typing import Any
from xml.etree import ElementTree

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import MissingLibrary
from ansible_collections.tradeops.runbook.plugins.plugin_utils import charts
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_trends import Bound, Point, Trend

DAY = 86400.0
WARNING, CRITICAL = Bound("warning", ">", 5.0, "> 5 s"), Bound("critical", ">", 30.0, "> 30 s")


def make_trend(values: Any = (1, 2, 6), bounds: Any = (WARNING, CRITICAL), statuses: Any = (), **fields: Any) -> Trend:
    """The course of one latency over days."""
    given = list(statuses) or ["ok"] * len(values)
    points = tuple(Point(1793499300 + DAY * index, float(value), given[index]) for index, value in enumerate(values))
    defaults: dict[str, Any] = {"place": ("nextrade", "production", "app"), "check": "api answers", "measure": "latency", "unit": "s", "limited": True}
    return Trend(**{**defaults, "points": points, "bounds": tuple(bounds), "crossed": False, **fields})


@pytest.fixture
def drawn() -> Any:
    """Draws one trend and reads the figure; needs the library."""
    pytest.importorskip("matplotlib")
    return lambda trend: ElementTree.fromstring(charts.draw([trend])[0])


def texts(svg: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in svg.iter("text")]


def test_a_plot_has_axes_limits_and_words(drawn: Any) -> None:
    svg = drawn(make_trend())
    assert {"0", "2 s", "4 s", "6 s", "warning > 5 s"} <= set(texts(svg))
    assert "critical > 30 s" not in texts(svg)
    assert svg.get("aria-label") == "api answers, latency on app: 3 runs, between 1 s and 6 s, last 6 s"
    assert svg.find("title").text == svg.get("aria-label")


def test_limits_too_far_to_draw_are_told() -> None:
    assert charts.out_of_sight(make_trend()) == ["critical > 30 s"]
    assert charts.out_of_sight(make_trend(values=[10, 20, 28])) == []


def test_marks_differ_in_shape_and_colour_by_status(drawn: Any) -> None:
    svg = drawn(make_trend(values=[1, 2, 3, 4, 5], statuses=["ok", "warning", "unknown", "critical", "skipped"]))
    fills = {node.get("fill") for node in svg.iter("use")}
    assert fills == {f"var(--{status}-fill)" for status in ("ok", "warning", "unknown", "critical", "skipped")}
    shapes = {node.get("d") for node in svg.iter("path") if node.get("id")}
    assert len(shapes) == 5
    assert [node.find("title").text for node in svg.iter("use") if node.get("fill") == "var(--warning-fill)"] == ["2026-11-02 02:15 UTC: 2 s (warning)"]


def test_a_crowded_plot_marks_only_what_tells_something(drawn: Any) -> None:
    svg = drawn(make_trend(values=range(60), statuses=["critical" if index == 7 else "ok" for index in range(60)]))
    assert len(list(svg.iter("use"))) == 2


def test_ids_of_several_plots_do_not_clash() -> None:
    pytest.importorskip("matplotlib")
    ids = [node.get("id") for text in charts.draw([make_trend()] * 3) for node in ElementTree.fromstring(text).iter() if node.get("id")]
    assert ids and len(ids) == len(set(ids))


def test_it_draws_the_same_every_time_whatever_the_user_set() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    first = charts.draw([make_trend()])
    with matplotlib.rc_context({"axes.facecolor": "red", "lines.linewidth": 9, "svg.fonttype": "path", "font.size": 40, "figure.dpi": 300}):
        kept = dict(matplotlib.rcParams)
        assert charts.draw([make_trend()]) == first
        assert dict(matplotlib.rcParams) == kept


@pytest.mark.parametrize(
    "trend",
    [
        make_trend(values=[0, 0, 0]), make_trend(values=[-1e18, 1e18, 0]), make_trend(values=[5e-324, 0, 0]), make_trend(values=[7, 7, 7], unit="B"),
        make_trend(values=[1, 2], points=(Point(0, 1.0, "ok"), Point(0, 2.0, "ok"), Point(0, 1.5, "ok"))), make_trend(bounds=[WARNING] * 9),
        make_trend(bounds=[Bound("critical", "<", -1e300, "< -1e300")]),
    ],
)  # fmt: skip
def test_odd_courses_are_drawn(drawn: Any, trend: Trend) -> None:
    assert "nan" not in ElementTree.tostring(drawn(trend), encoding="unicode")


@pytest.mark.parametrize("name", ["$\\frac{1}{0$ $x$", "<script>alert(1)</script>", "\u202egnp.exe\x1b[2J", "a" * 10000, "]]>&amp;", "{{ 7*7 }}"])
def test_names_of_hosts_and_checks_are_only_words(drawn: Any, name: str) -> None:
    svg = drawn(make_trend(check=name, measure=name, place=("s", "e", name)))
    assert {node.tag for node in svg.iter()} <= {"svg", "title", "defs", "path", "use", "g", "text"}
    assert not any(name in text for text in texts(svg))
    assert (svg.get("aria-label") or "").isprintable()


def test_nothing_to_draw_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "load", lambda: pytest.fail("imported"))
    assert charts.draw([]) == []


def test_without_the_library_it_says_what_to_install_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingLibrary) as caught:
        charts.draw([make_trend()])
    assert "matplotlib" in caught.value.message and sys.executable in caught.value.message
    assert "pip install matplotlib" in caught.value.hint


def test_the_library_is_silent_and_its_logger_is_given_back(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Any:
        logging.getLogger("matplotlib.font_manager").warning("building the font cache; this may take a moment")
        raise MissingLibrary("matplotlib", "x", "y")

    monkeypatch.setattr(charts, "load", load)
    level = logging.getLogger("matplotlib").level
    with pytest.raises(MissingLibrary):
        charts.draw([make_trend()])
    assert not caplog.records
    assert logging.getLogger("matplotlib").level == level
