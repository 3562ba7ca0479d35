# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.charts_axis import time_axis, value_axis

DAY = 86400.0
START = 1793499300.0  # 2026-11-01T02:15:00Z


@pytest.mark.parametrize(
    ("values", "bounds", "unit", "labels"),
    [
        ([1, 3], [], "s", ["0", "1 s", "2 s", "3 s"]),
        ([0.2, 0.31], [], "s", ["0", "100 ms", "200 ms", "300 ms"]),
        ([4000, 7300], [], "s", ["0", "1 h", "2 h"]),
        ([17 * DAY, 40 * DAY], [21 * DAY], "s", ["0", "10 d", "20 d", "30 d", "40 d"]),
        ([0, 3], [], "count", ["0", "1", "2", "3"]),
        ([0, 0, 0], [0], "count", ["0", "1"]),
        ([66, 83], [80, 90], "percent", ["70 %", "80 %", "90 %"]),
        ([58, 64], [85], "percent", ["0", "25 %", "50 %", "75 %"]),
        ([2 * 2**30, 3 * 2**30], [], "B", ["0", "1 GiB", "2 GiB", "3 GiB"]),
        ([-5, 5], [], "number", ["-5", "-2.5", "0", "2.5", "5"]),
        ([-5, -5], [], "number", ["-4", "-2", "0"]),
        ([0.0004, 0.0005], [], "number", ["0", "0.0002", "0.0004"]),
    ],
)
def test_ticks_are_round_numbers_with_units(values: list[float], bounds: list[float], unit: str, labels: list[str]) -> None:
    assert [label for _place, label in value_axis(values, bounds, unit).ticks] == labels


@pytest.mark.parametrize("values", [[0, 0], [5, 5], [-3, -3], [1e-9, 2e-9], [1e18, -1e18], [5e-324, 0], [1, 1 + 1e-15], [-1e12, 1e12]])
@pytest.mark.parametrize("unit", ["s", "B", "percent", "count", "number", ""])
def test_every_axis_has_a_height_and_few_ticks_inside(values: list[float], unit: str) -> None:
    axis = value_axis(values, [values[0]], unit)
    assert axis.low <= min(values) <= max(values) < axis.high
    assert len(axis.ticks) <= 8
    assert all(axis.low <= place <= axis.high for place, _label in axis.ticks)


def test_a_limit_within_reach_is_on_the_axis_and_a_far_one_is_not() -> None:
    axis = value_axis([0.2, 6.2], [5, 30], "s")
    assert axis.low <= 5 <= axis.high < 30


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        ([0, 3.9], ["2 Nov", "3 Nov", "4 Nov"]),
        ([0, 12], ["5 Nov", "12 Nov"]),
        ([0, 0.5], ["03:00", "06:00", "09:00", "12:00"]),
        ([0, 40 / DAY], ["02:15:00", "02:15:15", "02:15:30"]),
        ([0, 0], ["02:15:00"]),
        ([0, 365 * 9], ["2028", "2030", "2032", "2034"]),
    ],
)
def test_time_labels(days: list[float], labels: list[str]) -> None:
    shown = [label for _place, label in time_axis([START + DAY * day for day in days]).ticks]
    assert shown == labels or days[-1] > 3000 and 1 <= len(shown) <= 5


@pytest.mark.parametrize("seconds", [0, 1, 59, 3601, DAY, 45 * DAY, 400 * DAY, 9000 * DAY])
def test_time_ticks_are_even_and_few(seconds: float) -> None:
    axis = time_axis([START, START + seconds])
    gaps = {round(later - earlier) for (earlier, _one), (later, _other) in pairwise(axis.ticks)}
    assert 1 <= len(axis.ticks) <= 5 and len(gaps) <= 1
    assert axis.low < START <= START + seconds < axis.high


@pytest.mark.parametrize(
    ("zone", "start", "hours", "labels"),
    [
        ("America/New_York", START, 24, ["1 Nov", "06:00", "12:00", "18:00"]),
        ("Asia/Kolkata", START, 3, ["08:00", "09:00", "10:00"]),
        ("America/New_York", START, 2, ["22:30", "23:00", "23:30", "1 Nov"]),
        ("Europe/Berlin", 1792886400.0, 24, ["06:00", "12:00", "18:00", "26 Oct"]),
        ("Asia/Kolkata", START, 24 * 9, ["5 Nov"]),
    ],
)
def test_a_time_axis_follows_the_clock_of_its_zone(zone: str, start: float, hours: float, labels: list[str]) -> None:
    axis = time_axis([start, start + hours * 3600], ZoneInfo(zone))
    assert [label for _place, label in axis.ticks] == labels
    assert all(start <= place <= start + hours * 3600 for place, _label in axis.ticks)


@pytest.mark.parametrize("start", [1792882800.0 + 1800 * step for step in range(8)])
@pytest.mark.parametrize("seconds", [0, 59, 1800, 7200, DAY, 9 * DAY])
def test_a_change_of_the_clock_leaves_ticks(start: float, seconds: float) -> None:
    axis = time_axis([start, start + seconds], ZoneInfo("Europe/Berlin"))
    assert 1 <= len(axis.ticks) <= 6
    assert all(axis.low <= place <= axis.high for place, _label in axis.ticks)
