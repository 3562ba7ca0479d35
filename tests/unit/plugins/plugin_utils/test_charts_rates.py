# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils import charts
from ansible_collections.tradeops.runbook.plugins.plugin_utils.charts_rates import Rates, _corners, describe, draw_rates

START = 1_795_132_800.0  # 2026-11-20T00:00:00Z


def make_rates(*courses: tuple[int, ...], **fields: Any) -> Rates:
    """An hour in steps of ten minutes."""
    return Rates(**{"title": "entries", "zone": "UTC", "start": START, "span": 600.0, "courses": courses or ((1, 4, 4, 0, 2, 9),), **fields})


@pytest.fixture
def drawn() -> Any:
    """Draws one plot and reads the figure; needs the library."""
    pytest.importorskip("matplotlib")
    return lambda rates: ElementTree.fromstring(draw_rates([rates])[0])


def texts(svg: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in svg.iter("text")]


def test_entries_are_an_area(drawn: Any) -> None:
    svg = drawn(make_rates(area=True))
    assert [node.get("fill") for node in svg.iter("path") if node.get("fill") not in (None, "none")] == ["var(--plot-area)"]
    assert {"0", "3", "9", "00:15", "00:30"} <= set(texts(svg))
    assert svg.get("aria-label") == "entries, from 2026-11-20 00:00 to 2026-11-20 01:00: at most 9 in 10 min"


def test_patterns_are_lines_that_differ_in_colour_and_dash(drawn: Any) -> None:
    svg = drawn(make_rates(*[(number, 0, 1, 2, 3, 4) for number in range(1, 6)]))
    lines = [node for node in svg.iter("path") if "course" in (node.get("stroke") or "")]
    assert [node.get("stroke") for node in lines] == [f"var(--course-{letter})" for letter in "abcd"], "a fifth has no colour"
    assert len({node.get("stroke-dasharray") for node in lines}) == 4


def test_the_clock_is_the_one_of_the_zone(drawn: Any) -> None:
    assert "19:15" in texts(drawn(make_rates(zone="America/New_York")))
    assert "00:15" in texts(drawn(make_rates(zone="Mars/Olympus")))
    assert "from 2026-11-19 19:00 to 2026-11-19 20:00" in describe(make_rates(zone="America/New_York"))


def test_a_bar_has_its_corners_where_the_height_changes() -> None:
    assert list(_corners(make_rates(), (1, 4, 4, 0))) == [
        (START, 1), (START + 600, 1), (START + 600, 4), (START + 1800, 4), (START + 1800, 0), (START + 3600, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("rates", [make_rates((5,)), make_rates((0, 0)), make_rates((2**63 - 1, 0)), make_rates((1,) * 300), make_rates(start=1.0, span=1.0)])
def test_odd_courses_are_drawn(drawn: Any, rates: Rates) -> None:
    for area in (True, False):
        svg = drawn(make_rates(*rates.courses, start=rates.start, span=rates.span, area=area))
        assert "nan" not in ElementTree.tostring(svg, encoding="unicode")


def test_ids_do_not_clash_with_each_other_and_it_draws_the_same_every_time() -> None:
    pytest.importorskip("matplotlib")
    first = draw_rates([make_rates(), make_rates(area=True)])
    assert draw_rates([make_rates(), make_rates(area=True)]) == first
    ids = [node.get("id") for text in first for node in ElementTree.fromstring(text).iter() if node.get("id")]
    assert len(ids) == len(set(ids))


def test_nothing_to_draw_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "load", lambda: pytest.fail("imported"))
    assert draw_rates([]) == []
