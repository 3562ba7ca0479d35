# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.charts_svg import COLOURS, adopt, sentinel, sparkline, status_bar
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_trends import Point

DRAWN = """<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 400 164">
<metadata>when and by what</metadata><script>alert(1)</script><image href="http://example.com/x.png"/><a href="http://example.com"><text>x</text></a>
<defs><style type="text/css">*{color: red}</style></defs>
<g id="figure_1"><g id="points-ok"><defs><path id="m1" d="M 0 3.123456 z" style="stroke: %(line)s"/></defs>
<g><use xlink:href="#m1" x="1.25" y="2.00" style="fill: %(ok)s; font-family: x; stroke: #123456"/><use xlink:href="#m1" x="3" y="4"/></g></g>
<g id="label"><text style="fill: %(warning)s; text-anchor: end" x="5" y="6" onclick="alert(1)">a &lt; b \u202e</text></g></g></svg>"""


@pytest.fixture
def adopted() -> ElementTree.Element:
    """A drawn figure after it was taken into the page."""
    drawn = DRAWN % {name.replace("plot-", ""): sentinel(name) for name in ("plot-line", "ok", "warning")}
    return ElementTree.fromstring(adopt(drawn, "t7", "what <it> shows\x07", {"points-ok": ["first", "second"]}))


def test_only_what_draws_is_left(adopted: ElementTree.Element) -> None:
    assert {node.tag for node in adopted.iter()} == {"svg", "title", "defs", "path", "use", "g", "text"}
    attributes = {name for node in adopted.iter() for name in node.attrib}
    assert attributes == {"class", "viewBox", "role", "aria-label", "id", "d", "x", "y", "href", "fill", "stroke", "text-anchor"}


def test_sentinels_become_variables_of_the_page(adopted: ElementTree.Element) -> None:
    assert [node.get("stroke") or node.get("fill") for node in adopted.iter() if node.tag in ("path", "text")] == ["var(--plot-line)", "var(--warning)"]


def test_ids_have_the_prefix_and_references_follow(adopted: ElementTree.Element) -> None:
    assert [node.get("id") for node in adopted.iter("path")] == ["t7-m1"]
    assert {node.get("href") for node in adopted.iter("use")} == {"#t7-m1"}


def test_markers_and_the_whole_have_words(adopted: ElementTree.Element) -> None:
    assert adopted.get("aria-label") == "what <it> shows\\x07"
    assert [title.text for title in adopted.iter("title")] == ["what <it> shows\\x07", "first", "second"]
    assert [text.text for text in adopted.iter("text")] == ["a < b \\u202e"]


def test_numbers_are_short(adopted: ElementTree.Element) -> None:
    assert [node.get("d") for node in adopted.iter("path")] == ["M 0 3.1 z"]
    assert next(adopted.iter("use")).get("y") == "2"


def test_every_sentinel_has_its_own_variable() -> None:
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in COLOURS)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [5.0, 5.0, 5.0], [-1e18, 1e18], [0.0] * 60, list(map(float, range(60)))])
def test_a_sparkline_stays_in_its_box(values: list[float]) -> None:
    svg = ElementTree.fromstring(sparkline([Point(index, value, "ok") for index, value in enumerate(values)], "words"))
    line = svg.find("polyline")
    places = [tuple(map(float, pair.split(","))) for pair in (line.get("points") or "").split()] if line is not None else []
    assert len(places) == min(24, len(values))
    assert all(0 <= x <= 84 and 0 <= y <= 20 for x, y in places)


def test_a_sparkline_marks_the_last_status_and_says_its_words() -> None:
    svg = sparkline([Point(0, 1.0, "ok"), Point(1, 2.0, "critical")], "2 runs & more")
    assert '<circle class="s-critical"' in svg and "<title>2 runs &amp; more</title>" in svg


@pytest.mark.parametrize(
    ("counts", "classes"),
    [({}, []), ({"ok": 5}, ["s-ok"]), ({"ok": 999, "critical": 1}, ["s-critical", "s-ok"]), ({"unheard of": 3, "warning": 1}, ["s-warning"])],
)
def test_a_status_bar_goes_from_bad_to_good(counts: dict[str, int], classes: list[str]) -> None:
    boxes = list(ElementTree.fromstring(status_bar(counts)))
    assert [box.get("class") for box in boxes] == classes
    assert all(float(box.get("width") or 0) >= 12 for box in boxes), "one among a thousand is still seen"
    assert not boxes or float(boxes[-1].get("x") or 0) + float(boxes[-1].get("width") or 0) == pytest.approx(1000, abs=1)
