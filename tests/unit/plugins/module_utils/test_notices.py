# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is news and what is not: each row is a course of runs and what people are told in each of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import SEVERITIES
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import (
    FLAPPING_TIMES,
    Key,
    Moment,
    Notice,
    Seen,
    decide,
    incidents_left,
    latest,
    read_notice,
    severity_of,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES

KEY = Key("shop", "production", "app", "check", "health", "api")
START = 1_790_000_000.0
REMIND = {"P1": 900.0, "P2": 3600.0, "P3": None}

OK, WARN, CRIT, WORST, UNKNOWN, NOT_SEEN = "ok", "warning P3", "critical P2", "critical P1", "unknown P2", ""


def seen(text: str) -> list[Seen]:
    status, _space, severity = text.partition(" ")
    return [Seen(KEY, status, severity or "P2", f"it is {status}")] if text else []


def course(runs: list[str], every: float = 60.0) -> list[list[Notice]]:
    """The notices of each run, one run after the other."""
    told: dict[Key, Notice] = {}
    found = []
    for number, text in enumerate(runs):
        notices = decide(told, seen(text), REMIND, Moment(START + number * every, f"run{number}"))
        told = latest([*told.values(), *notices])
        found.append(notices)
    return found


def changes(runs: list[str], every: float = 60.0) -> list[str]:
    return [notices[0].change if notices else "" for notices in course(runs, every)]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([OK, OK, OK], ["", "", ""]),
        ([CRIT, CRIT, CRIT], ["opened", "", ""]),
        ([OK, CRIT, CRIT, OK, OK], ["", "opened", "", "resolved", ""]),
        ([UNKNOWN, OK], ["opened", "resolved"]),
        ([WARN, CRIT, WORST], ["opened", "worsened", "worsened"]),
        ([CRIT, WORST], ["opened", "worsened"]),  # the same status, more urgent
        ([WARN, UNKNOWN, CRIT], ["opened", "worsened", "worsened"]),
        ([CRIT, WARN, CRIT, WARN, CRIT], ["opened", "better", "again", "better", "again"]),  # better, and again as bad as was told
        ([CRIT, WARN, OK], ["opened", "better", "resolved"]),
        ([WORST, "unknown P1", WORST], ["opened", "better", "again"]),
        ([CRIT, NOT_SEEN, NOT_SEEN, CRIT, OK], ["opened", "", "", "", "resolved"]),  # not looked at is not well
        ([NOT_SEEN, OK], ["", ""]),
        ([CRIT, OK, CRIT, OK], ["opened", "resolved", "opened", "resolved"]),
    ],
)
def test_one_notification_for_each_change(runs: list[str], expected: list[str]) -> None:
    assert changes(runs) == expected


@pytest.mark.parametrize(
    ("text", "every", "told"),
    [
        ("critical P1", 900.0, [1, 2, 3, 4]),
        ("critical P1", 300.0, [3]),
        ("critical P1", 290.0, [4]),  # 870 s are the 30 s too early that a loop is allowed; three of 290 are not
        ("critical P2", 900.0, [4]),
        ("warning P3", 86400.0, []),  # no reminders wanted
        ("warning P4", 86400.0, []),  # nothing said
    ],
)
def test_reminders_come_when_they_are_due(text: str, every: float, told: list[int]) -> None:
    found = changes([text] * 5, every)
    assert [number for number, change in enumerate(found) if change == "reminder"] == ([3] if every == 290.0 else told)


def test_what_was_better_for_a_while_and_gets_as_bad_again_is_told_again() -> None:
    found = changes([WORST, WARN, WARN, WARN, WORST], 600.0)
    assert found == ["opened", "better", "", "better", "worsened"]  # the second time after twenty minutes: from then on it is a warning
    assert changes([WORST, WARN, WORST, WARN, WORST], 600.0) == ["opened", "better", "reminder", "better", "reminder"]  # and this is what was told


def test_people_are_reminded_as_often_as_it_is_urgent_now() -> None:
    assert "reminder" not in changes([WORST, WARN, WARN, WARN, WARN, WARN], 900.0)


def test_a_reminder_counts_from_what_was_told_last() -> None:
    assert changes(["critical P2", "critical P1", "critical P1", "critical P1"], 600.0) == ["opened", "worsened", "", "reminder"]


def test_what_flaps_is_told_three_times_and_once_when_it_stays_well() -> None:
    flapping = changes([CRIT, OK] * 30)
    assert flapping[: 2 * FLAPPING_TIMES] == ["opened", "resolved", "opened", "resolved", "opened", "calming"]
    assert {change for change in flapping[2 * FLAPPING_TIMES :] if change not in ("again", "calming", "")} <= {"reminder"}
    calm = changes([CRIT, OK] * 3 + [OK] * 20)
    assert [change for change in calm if change] == ["opened", "resolved"] * 2 + ["opened", "calming", "resolved"]
    assert calm.index("calming") + 15 == len(calm) - 1 - calm[::-1].index("resolved")  # a quarter of an hour later


def test_what_flaps_still_is_told_when_it_gets_worse() -> None:
    assert changes([CRIT, OK] * 3 + [WORST])[-1] == "worsened"


def test_once_an_hour_is_no_flapping() -> None:
    assert changes([CRIT, OK] * 4, 1900.0) == ["opened", "resolved"] * 4


def test_an_incident_is_one_from_opened_to_resolved() -> None:
    (opened,), (worse,), (resolved,), (again,) = course([WARN, CRIT, OK, WARN])
    assert opened.incident == worse.incident == resolved.incident != again.incident
    assert (worse.opened_at, worse.worst, worse.severity) == (opened.at, "critical", "P2")
    assert (resolved.severity, resolved.is_open, opened.is_open) == ("P2", False, True)


def test_things_of_one_system_in_one_run_are_one_incident_until_all_are_well() -> None:
    keys = [KEY._replace(name=name) for name in ("a", "b")] + [KEY._replace(system="bank")]
    first = [notice._replace(channels=("pager",)) for notice in decide({}, [Seen(key, "critical") for key in keys], REMIND, Moment(START, "r"))]
    assert len({notice.incident for notice in first}) == 2
    told = latest(first)
    second = decide(told, [Seen(keys[0], "ok")], REMIND, Moment(START + 60, "s"))
    assert (first[0].incident, "pager") in incidents_left(told, second)
    third = decide(latest([*first, *second]), [Seen(keys[1], "ok")], REMIND, Moment(START + 120, "t"))
    assert (first[0].incident, "pager") not in incidents_left(latest([*first, *second]), third)


def test_the_worst_of_one_thing_seen_twice_counts() -> None:
    (notice,) = decide({}, [Seen(KEY, "ok"), Seen(KEY, "critical"), Seen(KEY, "warning")], REMIND, Moment(START, "r"))
    assert notice.status == "critical"


def test_a_notice_is_read_as_it_was_written() -> None:
    for notices in course([WARN, CRIT, OK, CRIT, OK, CRIT, OK]):
        for notice in notices:
            assert read_notice(notice.record()) == notice


@pytest.mark.parametrize("data", [{}, {"system": "a"}, {**course([CRIT])[0][0].record(), "at": "never"}, {**course([CRIT])[0][0].record(), "opens": None}])
def test_what_is_no_notice_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_notice(data)


def test_a_verdict_without_severity_has_the_default() -> None:
    assert [severity_of(*pair) for pair in (("critical", None), ("warning", None), ("unknown", "P9"), ("warning", "P1"))] == ["P2", "P3", "P2", "P1"]


VERDICTS = st.sampled_from(["", OK, WARN, CRIT, WORST, UNKNOWN, "warning P4"])


@settings(max_examples=80, deadline=None)
@given(st.lists(VERDICTS, max_size=40), st.sampled_from([30.0, 60.0, 300.0, 3600.0]))
def test_whatever_happens_people_know_how_it_stands(runs: list[str], every: float) -> None:
    """No change of anything without cause, never resolved before opened, and never worse than what was told."""
    told: Notice | None = None
    for number, notices in enumerate(course(runs, every)):
        status, _space, severity = runs[number].partition(" ")
        if notices:
            (notice,) = notices
            was_open = told is not None and told.is_open
            assert (notice.change == "opened") == (not was_open and status != "ok")
            assert notice.change not in ("resolved", "calming") or (was_open and status == "ok")
            told = notice
        if status not in ("", "ok"):
            assert told is not None and told.is_open
            assert STATUSES.index(told.worst) >= STATUSES.index(status)
            assert SEVERITIES.index(told.severity) <= SEVERITIES.index(severity)
