# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_trends import Bound, choose, collect
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils.report_views import (
    RUN, make_check, make_host, make_limit, make_points, make_series, make_view,
)  # fmt: skip

APP = ("nextrade", "production", "app")
VIEW = make_view(make_host(checks=[make_check()]))


def collected(values: Any, **check: Any) -> Any:
    """The trend of the latency of one check with a history of ``values``, or None."""
    made = collect(make_view(make_host(checks=[make_check(**check)])), make_series(values=values))
    return made[0] if made else None


def test_the_present_run_is_the_last_point_when_the_history_has_it_not() -> None:
    assert [point.value for point in collected([3, 2]).points] == [3.0, 2.0, 1.25]


def test_the_present_run_is_not_counted_twice() -> None:
    series = make_series(values=[3, 2])
    series["nextrade", "production", "app"]["api answers", "latency"][-1]["run_id"] = RUN
    assert [point.value for point in collect(VIEW, series)[0].points] == [3.0, 2.0]


def test_points_are_in_order_of_time_and_only_numbers() -> None:
    series = make_series(values=[5, None, "7", math.nan, True, 9])
    series["nextrade", "production", "app"]["api answers", "latency"].reverse()
    assert [point.value for point in collect(VIEW, series)[0].points] == [5.0, 9.0, 1.25]


def test_the_present_run_stands_at_its_own_time_among_later_points() -> None:
    later = {"at": "2026-11-21T02:15:00Z", "value": 2, "status": "ok"}
    series = {APP: {("api answers", "latency"): [*make_points([3]), later]}}
    assert [point.value for point in collect(VIEW, series)[0].points] == [3.0, 1.25, 2.0]


def test_another_environment_is_another_course() -> None:
    assert collect(VIEW, {("nextrade", "staging", "app"): {("api answers", "latency"): make_points([1, 2, 3])}}) == []


def test_a_long_course_is_cut_to_the_latest() -> None:
    series = {APP: {("api answers", "latency"): make_points(range(28)) * 5}}
    assert len(collect(VIEW, series)[0].points) == 60


@pytest.mark.parametrize("series", [{}, {("nextrade", "production", "other"): {}}, {APP: None}, {APP: {("api answers", "latency"): ["x"]}}])
def test_without_history_there_is_no_trend(series: Any) -> None:
    assert collect(VIEW, series) == []


@pytest.mark.parametrize("unit", ["text", "boolean", "list", "timestamp"])
def test_what_is_no_quantity_has_no_trend(unit: str) -> None:
    assert collected([1, 2, 3], units={"latency": unit}) is None


@pytest.mark.parametrize(
    ("limit", "bounds"),
    [
        ("> 5 s", (Bound("warning", ">", 5.0, "> 5 s"),)), ("<  2 min", (Bound("warning", "<", 120.0, "< 2 min"),)), ("> 1.5 x baseline", ()),
        ("!= 200", ()), ("not in [a]", ()), ("> 5 GiB", ()), ("rubbish", ()), (None, ()), (["> 5 s"], ()),
        (">= 1e3 ms", (Bound("warning", ">=", 1.0, ">= 1e3 ms"),)),
    ],
)  # fmt: skip
def test_only_comparable_limits_are_bounds(limit: Any, bounds: tuple[Bound, ...]) -> None:
    assert collected([1, 2, 3], limits=[make_limit(limit=limit)]).bounds == bounds


@pytest.mark.parametrize(
    ("value", "verdict", "status"),
    [(1, "ok", "ok"), (1, "critical", "ok"), (6, "critical", "warning"), (31, "critical", "critical"), (31, "warning", "warning"), (31, "ok", "ok"),
     (6, "unknown", "warning")],
)  # fmt: skip
def test_a_point_has_the_colour_of_its_own_measure_and_is_never_worse_than_the_verdict(value: float, verdict: str, status: str) -> None:
    series = {APP: {("api answers", "latency"): make_points([1, 1, value], ["ok", "ok", verdict])}}
    assert collect(VIEW, series)[0].points[2].status == status


def test_a_measure_with_other_limits_keeps_the_verdict_of_the_check() -> None:
    series = {APP: {("api answers", "status_code"): make_points([200, 200, 503], ["ok", "ok", "critical"])}}
    check = make_check(limits=[make_limit("status_code", "critical", "!= 200")])
    assert [point.status for point in collect(make_view(make_host(checks=[check])), series)[0].points] == ["ok", "ok", "critical", "ok"]


def test_the_most_telling_come_first_and_flat_lines_without_a_bound_not_at_all() -> None:
    measures = {"still": 1, "flat": 1, "free": 3, "bounded": 3, "crossed": 9, "short": 1}
    check = make_check(measures=measures, units=dict.fromkeys(measures, "s"),
                       limits=[make_limit("still"), make_limit("bounded"), make_limit("crossed", state="crossed")])  # fmt: skip
    history = {("api answers", name): make_points([value, value if name in ("still", "flat") else 1]) for name, value in measures.items()}
    history["api answers", "short"] = make_points([2])
    chosen = choose(collect(make_view(make_host(checks=[check])), {APP: history}))
    assert [trend.measure for trend in chosen] == ["crossed", "bounded", "free", "still"]
