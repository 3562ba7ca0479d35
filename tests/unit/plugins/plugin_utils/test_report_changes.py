# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_changes import GROUPS, compare, notable
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils.report_views import make_check, make_host, make_limit, make_view


def change_of(before: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, list[Any]]:
    """The groups that are not empty when one check goes from ``before`` to ``now``."""
    found = compare(make_view(make_host(checks=[before] if before else [])), make_view(make_host(checks=[now] if now else [])))
    assert found is not None and set(found["checks"]) == set(GROUPS)
    return {group: entries for group, entries in found["checks"].items() if entries}


@pytest.mark.parametrize(
    ("before", "now", "group"),
    [
        ("ok", "ok", None), ("ok", "warning", "new"), ("ok", "critical", "new"), ("ok", "unknown", "new"), ("ok", "skipped", "skipped"),
        ("warning", "ok", "resolved"), ("warning", "critical", "worsened"), ("warning", "unknown", "worsened"), ("warning", "warning", "continuing"),
        ("unknown", "critical", "worsened"), ("unknown", "ok", "resolved"), ("critical", "unknown", "improved"), ("critical", "warning", "improved"),
        ("critical", "critical", "continuing"), ("critical", "skipped", "skipped"), ("skipped", "critical", "new"), ("skipped", "ok", None),
        ("skipped", "skipped", None), (None, "ok", "added"), (None, "skipped", "added"), (None, "critical", "new"), ("ok", None, "missing"),
        ("critical", None, "missing"), ("nonsense", "ok", "resolved"), ("ok", "nonsense", "new"),
    ],
)  # fmt: skip
def test_each_change_has_one_group(before: str | None, now: str | None, group: str | None) -> None:
    made = [{**make_check(), "status": status} if status else None for status in (before, now)]
    assert list(change_of(*made)) == ([group] if group else [])


def test_an_entry_names_the_check_and_both_verdicts() -> None:
    entry = change_of(make_check(), make_check(status="critical", severity="P1", message="no answer"))["new"][0]
    assert entry == {"system": "nextrade", "environment": "production", "host": "app", "check": "api answers", "kind": "http", "before": "ok",
                     "now": "critical", "severity": "P1", "message": "no answer"}  # fmt: skip


def test_one_name_under_two_roles_is_two_checks() -> None:
    before = make_view(make_host(checks=[make_check(role="health"), make_check(role="backup", status="critical")]))
    now = make_view(make_host(checks=[make_check(role="health"), make_check(role="backup")]))
    found = compare(before, now)
    assert found and [len(found["checks"][group]) for group in ("resolved", "new", "added", "missing")] == [1, 0, 0, 0]


def test_without_an_earlier_run_there_is_no_comparison() -> None:
    assert compare(None, make_view()) is None


@pytest.mark.parametrize(
    ("before", "now", "group"),
    [
        ([], [make_host("new", [make_check()])], "added"),
        ([make_host("old", [make_check()])], [], "missing"),
        ([make_host("db", [make_check()])], [make_host("db", reachable=False)], "lost"),
        ([make_host("db", reachable=False)], [make_host("db", [make_check()])], "back"),
    ],
)
def test_a_host_that_comes_or_goes_is_one_line(before: list[Any], now: list[Any], group: str) -> None:
    found = compare(make_view(*before), make_view(*now))
    assert found is not None
    assert [name for name, entries in found["hosts"].items() if entries] == [group]
    assert not any(found["checks"].values())


def test_a_problem_on_a_new_host_is_a_new_problem() -> None:
    found = compare(make_view(), make_view(make_host("new", [make_check(status="critical")])))
    assert found and [entry["host"] for entry in found["checks"]["new"]] == ["new"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""), ({"state": "killed"}, "this run was killed"), ({"limit": "app"}, "this run was limited to app"),
        ({"tags": ["backup", "x"]}, "this run had the tags backup, x"),
    ],
)  # fmt: skip
def test_it_says_why_something_is_missing(fields: dict[str, Any], why: str) -> None:
    found = compare(make_view(make_host("app", [make_check()]), make_host("db")), make_view(make_host("app"), **fields))
    assert found is not None
    assert found["hosts"]["missing"] == [{"system": "nextrade", "environment": "production", "host": "db", "why": why}]
    assert found["checks"]["missing"][0]["why"] == why


@pytest.mark.parametrize(
    ("before", "now", "unit", "moved"),
    [
        (1.0, 1.4, "s", False), (1.0, 1.6, "s", True), (0.001, 0.05, "s", False), (2**30, 1.1 * 2**30, "B", False), (2**30, 2**31, "B", True),
        (1000, 5000, "B", False), (71.0, 75.9, "percent", False), (71.0, 76.0, "percent", True), (10, 14, "count", False), (100, 110, "count", False),
        (10, 16, "count", True), (200, 503, "number", True), (0, 3, "number", True), (0, 0, "number", False), (5, 5, "unheard of", False),
        (True, False, "boolean", True), ("ok", "degraded", "text", True), ("ok", "ok", "text", False), (["a", "b"], ["b", "a"], "list", False),
        (["a"], ["a", "b"], "list", True), (1, "1", "number", False), (None, 1, "s", False), (math.nan, 1.0, "s", False), ({}, [], "list", False),
    ],
)  # fmt: skip
def test_notable(before: Any, now: Any, unit: str, moved: bool) -> None:
    assert notable(before, now, unit) is moved


def test_measures_with_limits_come_first_then_the_farthest() -> None:
    units = {"latency": "s", "size": "B", "rows": "count", "age": "s"}
    before = make_check(measures={"latency": 1.0, "size": 2**30, "rows": 10, "age": 1}, units=units, limits=[make_limit()])
    now = make_check(measures={"latency": 2.0, "size": 2**34, "rows": 100, "age": 90000}, units=units, limits=[make_limit()])
    found = compare(make_view(make_host(checks=[before])), make_view(make_host(checks=[now])))
    assert found and [(entry["measure"], entry["change_percent"]) for entry in found["measures"]] == [("latency", 100.0), ("size", 1500.0), ("rows", 900.0)]


def test_a_measure_whose_unit_changed_is_not_compared() -> None:
    before, now = make_check(units={"latency": "number"}), make_check(measures={"latency": 99})
    found = compare(make_view(make_host(checks=[before])), make_view(make_host(checks=[now])))
    assert found and found["measures"] == []


def test_it_is_pure_and_can_be_written_as_json() -> None:
    before, now = make_view(make_host(checks=[make_check()])), make_view(make_host(checks=[make_check(status="critical")]))
    kept = copy.deepcopy((before, now))
    found = compare(before, now)
    assert (before, now) == kept
    assert found and json.loads(json.dumps(found)) == found
    assert (found["seconds_between"], found["status"]) == (0.0, {"before": "ok", "now": "critical"})
