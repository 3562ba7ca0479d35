# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_rows import attention, exempt, host_rows
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_trends import collect
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils.report_views import make_check, make_host, make_limit, make_series, make_view


def rows_of(*hosts: dict[str, Any], **fields: Any) -> Any:
    """The rows of the hosts of one view, and what needs attention in it."""
    view = make_view(*hosts, **fields)
    rows = host_rows(view, [])
    return rows, attention(view, rows)


def check_row(**fields: Any) -> Any:
    """The row of one check."""
    return rows_of(make_host(checks=[make_check(**fields)]))[0][0].rows[0]


def test_measures_with_limits_are_shown_and_the_others_folded() -> None:
    row = check_row()
    assert [(cell.name, cell.value, cell.exact) for cell in row.measures] == [("latency", "1.2 s", "1.25 s")]
    assert [cell.name for cell in row.more] == ["status_code"]


def test_without_limits_the_first_measures_are_shown() -> None:
    row = check_row(limits=[], measures={"a": 1, "b": 2, "c": 3})
    assert ([cell.name for cell in row.measures], [cell.name for cell in row.more]) == (["a", "b"], ["c"])


def test_a_limit_on_what_was_not_measured_is_not_hidden() -> None:
    row = check_row(limits=[make_limit("quick_check", "critical", "!= ok", state="unknown"), make_limit("writable", state="skipped")])
    assert [(cell.name, cell.value, cell.level) for cell in row.measures] == [("quick_check", "not measured", "unknown")]


@pytest.mark.parametrize(
    ("states", "level"),
    [(("ok", "ok"), ""), (("crossed", "ok"), "warning"), (("crossed", "crossed"), "critical"), (("ok", "unknown"), "unknown"),
     (("pending", "learning"), ""), (("crossed", "unknown"), "unknown")],
)  # fmt: skip
def test_a_value_has_the_colour_of_the_worst_limit_it_crossed(states: tuple[str, str], level: str) -> None:
    row = check_row(limits=[make_limit(state=states[0]), make_limit(level="critical", limit="> 30 s", state=states[1])])
    assert row.measures[0].level == level


def test_a_limit_says_what_it_waits_for() -> None:
    (limit,) = check_row(limits=[make_limit(state="pending", for_seconds=600)]).measures[0].limits
    assert (limit.text, limit.words) == ("> 5 s", "warning limit, severity P3, crossed, not long enough yet, for 10 min")


@pytest.mark.parametrize(("values", "drawn"), [([], False), ([1], False), ([1, 2], True)])
def test_a_small_line_needs_three_points(values: list[float], drawn: bool) -> None:
    view = make_view(make_host(checks=[make_check()]))
    rows = host_rows(view, collect(view, make_series(values=values)))
    assert bool(rows[0].rows[0].measures[0].spark) is drawn


def test_what_needs_attention_is_in_order_of_urgency() -> None:
    bad = [make_check("warn", "warning", severity="P1"), make_check("doubt", "unknown"), make_check("late", "critical", severity="P3"),
           make_check("page", "critical", severity="P1"), make_check("fine"), make_check("left out", "skipped")]  # fmt: skip
    _rows, items = rows_of(make_host(checks=bad), make_host("db", reachable=False))
    assert [item.title for item in items] == ["page", "late", "db cannot be reached", "doubt", "warn"]


def test_an_item_shows_only_the_values_at_fault() -> None:
    limits = [make_limit(state="crossed"), make_limit("status_code", "critical", "!= 200")]
    _rows, (item,) = rows_of(make_host(checks=[make_check(status="warning", limits=limits)]))
    assert [cell.name for cell in item.facts] == ["latency"]


def issue(host: str, task: str = "", **fields: Any) -> dict[str, Any]:
    """One issue of the run view."""
    return {"host": host, **({"task": task} if task else {}), "status": "critical", "severity": "P2", "message": "m", "hint": "", **fields}


def test_the_issue_of_a_shown_check_is_not_shown_twice() -> None:
    _rows, items = rows_of(make_host(checks=[make_check(status="critical")]), issues=[issue("app", check="api answers")])
    assert len(items) == 1


def test_a_failed_task_is_an_item() -> None:
    _rows, (item,) = rows_of(make_host(), issues=[issue("app", "Copy the file", message="no space left")])
    assert (item.title, item.kind, item.status, item.message) == ("Copy the file", "task", "critical", "no space left")


def test_a_lost_host_is_one_item_with_the_words_of_the_task_that_found_it_gone() -> None:
    issues = [issue("db", "Earlier", status="warning"), issue("db", "Gathering Facts", message="No route to host")]
    (host,), items = rows_of(make_host("db", reachable=False), issues=issues)
    assert host.status == "unreachable" and host.summary
    assert [(item.title, item.status, item.message) for item in items] == [
        ("db cannot be reached", "unreachable", "No route to host"), ("Earlier", "warning", "m")]  # fmt: skip


def test_muted_and_skipped_say_why_who_and_until_when() -> None:
    mute = {"reason": "holiday", "owner": "jane", "until": "2026-11-23T08:00:00Z"}
    checks = [make_check("a", "skipped", muted=mute, measured_status="critical"), make_check("b", "skipped", message="left out in check mode"),
              make_check("c", "skipped"), make_check("d")]  # fmt: skip
    rows, _items = rows_of(make_host(checks=checks))
    assert [(entry["name"], entry["how"], entry["measured"], entry["reason"], entry["owner"], entry["until"]) for entry in exempt(rows)] == [
        ("a", "muted", "critical", "holiday", "jane", "2026-11-23 08:00 UTC"),
        ("b", "skipped", "", "left out in check mode", "", ""),
        ("c", "skipped", "", "no reason recorded", "", ""),
    ]


def test_ids_are_ours_and_unique() -> None:
    rows, _items = rows_of(make_host('"><script>', [make_check(), make_check("api answers", role="other")]), make_host("b", [make_check()]))
    assert [row.id for host in rows for row in host.rows] == ["h1c1", "h1c2", "h2c1"]
