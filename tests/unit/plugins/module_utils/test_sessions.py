# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions as hours in a named zone: what may be written, daylight saving both ways, weekends, nights, first and last minutes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.sessions import join, open_hours, parse_session, why_not

NEW_YORK = {"hours": "mon-fri 09:30-16:00", "timezone": "America/New_York"}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def reason(given: dict[str, Any], now: str) -> str:
    session = parse_session(given)
    return why_not(session, open_hours(session, at(now)), at(now))


@pytest.mark.parametrize(
    ("now", "opens"),
    [  # None: it is open
        ("2026-11-20T09:30:00-05:00", None),
        ("2026-11-20T15:59:59-05:00", None),
        ("2026-11-20T09:29:59-05:00", "2026-11-20T14:30:00Z"),
        ("2026-11-20T16:00:00-05:00", "2026-11-23T14:30:00Z"),  # Friday evening
        ("2026-11-22T12:00:00-05:00", "2026-11-23T14:30:00Z"),  # Sunday
        ("2026-03-06T09:30:00-05:00", None),  # before the clocks go forward on 8 March
        ("2026-03-06T17:00:00-05:00", "2026-03-09T13:30:00Z"),
        ("2026-03-09T09:30:00-04:00", None),
        ("2026-03-09T09:29:59-04:00", "2026-03-09T13:30:00Z"),
        ("2026-10-30T17:00:00-04:00", "2026-11-02T14:30:00Z"),  # they go back on 1 November
        ("2026-11-02T09:00:00-05:00", "2026-11-02T14:30:00Z"),
        ("2026-11-02T15:59:59-05:00", None),
    ],
)
def test_hours_hang_on_the_clock_of_their_zone(now: str, opens: str | None) -> None:
    label = "mon-fri 09:30-16:00 America/New_York"
    assert reason(NEW_YORK, now) == ("" if opens is None else f"outside of the trading session {label}, which opens next at {opens}")
    assert bool(reason({**NEW_YORK, "in": False}, now)) is (opens is None)


def test_outside_says_when_it_closes() -> None:
    assert reason({**NEW_YORK, "in": False}, "2026-11-20T12:00:00-05:00").endswith(", which closes at 2026-11-20T21:00:00Z")


def test_what_never_closes_does_not_say_when() -> None:
    given = {"hours": "mon-sun 00:00-24:00", "timezone": "UTC", "in": False}
    assert reason(given, "2026-11-20T12:00:00+00:00").endswith(", which does not close in the days that are known")


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("sun 18:00-17:00", ["2026-11-22T18:00:00", "2026-11-23T16:59:59"], ["2026-11-22T17:59:59", "2026-11-23T17:00:00"]),
        ("fri-mon 22:00-02:00", ["2026-11-21T01:00:00", "2026-11-24T01:59:00"], ["2026-11-20T01:00:00", "2026-11-24T22:30:00"]),
        ("mon 00:00-24:00, tue 00:00-24:00", ["2026-11-23T00:00:00", "2026-11-23T23:59:59", "2026-11-24T00:00:00"], ["2026-11-25T00:00:00"]),
        ("MON-FRI  9:30-16:00,sat 10:00-12:00", ["2026-11-21T10:00:00", "2026-11-23T09:30:00"], ["2026-11-21T09:30:00"]),
        ("mon-sun 00:00-00:00", ["2026-11-23T00:00:00", "2026-11-24T00:00:00"], []),
    ],
)
def test_nights_several_spans_and_whole_days(hours: str, inside: list[str], outside: list[str]) -> None:
    given = {"hours": hours, "timezone": "UTC"}
    assert [moment for moment in inside if reason(given, f"{moment}+00:00")] == []
    assert [moment for moment in outside if not reason(given, f"{moment}+00:00")] == []


@pytest.mark.parametrize(
    ("day", "hours", "opens", "closes"),
    [
        ("2026-03-08", "sun 01:00-04:00", "06:00", "08:00"),  # the hour from 2 to 3 does not come
        ("2026-03-08", "sun 02:30-05:00", "07:30", "09:00"),  # opens as long after the change as it would have
        ("2026-11-01", "sun 01:00-04:00", "05:00", "09:00"),  # the hour from 1 to 2 comes twice
        ("2026-11-01", "sun 01:30-04:00", "05:30", "09:00"),  # opens at its first coming
        ("2026-11-01", "sun 00:00-01:30", "04:00", "05:30"),  # and closes there
    ],
)
def test_sessions_in_the_night_of_the_change(day: str, hours: str, opens: str, closes: str) -> None:
    session = parse_session({"hours": hours, "timezone": "America/New_York"})
    found = open_hours(session, at(f"{day}T12:00:00+00:00"))
    assert (at(f"{day}T{opens}:00+00:00"), at(f"{day}T{closes}:00+00:00")) in found


def test_first_and_last_minutes() -> None:
    given = {**NEW_YORK, "after_open": "15 min", "before_close": "5 min"}
    assert reason(given, "2026-11-20T09:44:59-05:00").startswith("in the first 15 min of the trading session")
    assert reason(given, "2026-11-20T09:45:00-05:00") == ""
    assert reason(given, "2026-11-20T15:54:59-05:00") == ""
    assert reason(given, "2026-11-20T15:55:00-05:00").endswith("opens next at 2026-11-23T14:30:00Z")


def test_a_session_shorter_than_its_margins_is_never_judged() -> None:
    given = {"hours": "mon 09:00-09:10", "timezone": "UTC", "after_open": "1 h"}
    assert all(reason(given, f"2026-11-23T09:{minute:02}:00+00:00") for minute in range(0, 60, 3))


def test_the_next_opening_is_found_a_week_ahead() -> None:
    start = datetime(2026, 11, 23, 9, 5, tzinfo=timezone.utc)
    for hours in range(0, 24 * 7, 5):
        found = reason({"hours": "mon 09:00-09:01", "timezone": "UTC"}, (start + timedelta(hours=hours)).isoformat())
        assert found.endswith("2026-11-30T09:00:00Z"), hours


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("XNYS", 'when_session: "XNYS" is no session'),
        ({}, "give one of calendar and hours"),
        ({"calendar": ""}, "give one of calendar and hours"),
        ({"calendar": "", "hours": None, "timezone": ""}, "give one of calendar and hours"),
        ({"calendar": "", "hours": "mon 09:00-10:00", "timezone": ""}, "hours need a timezone"),
        ({"calendar": "XNYS", **NEW_YORK}, "give one of calendar and hours"),
        ({"calender": "XNYS"}, 'unknown key "calender"; did you mean "calendar"?'),
        ({"calendar": "XNYS", "skip": ""}, 'unknown key "skip"'),
        ({"calendar": "XNYS", "timezone": "UTC"}, "a calendar has its own"),
        ({"hours": "mon-fri 09:30-16:00"}, "hours need a timezone"),
        ({**NEW_YORK, "in": "no"}, 'in is true or false, not "no"'),
        ({**NEW_YORK, "after_open": 15}, '"15" is not a duration'),
        ({**NEW_YORK, "in": False, "after_open": "15 min"}, "after_open is for checks inside of a session"),
        ({**NEW_YORK, "hours": "09:30-16:00"}, '"09:30-16:00" is not a day or days and a time'),
        ({**NEW_YORK, "hours": "mon-fir 09:30-16:00"}, '"fir" is no day of the week; did you mean "fri"?'),
        ({**NEW_YORK, "hours": "mon 09:60-16:00"}, "a time that is not on the clock"),
        ({**NEW_YORK, "hours": "mon 24:00-16:00"}, "a time that is not on the clock"),
        ({**NEW_YORK, "hours": "mon 09:00-24:30"}, "a time that is not on the clock"),
        ({**NEW_YORK, "hours": "mon 09:00-10:00,"}, '"" is not a day'),
    ],
)
def test_what_makes_no_sense_is_named(given: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_session(given)
    assert message in caught.value.message


def test_an_unknown_zone_is_named() -> None:
    for zone in ("America/Gotham", "America"):
        with pytest.raises(InvalidInput, match="is not known on this machine"):
            open_hours(parse_session({"hours": "mon 09:00-10:00", "timezone": zone}), 1.7e9)


def test_joining() -> None:
    assert join([(5, 6), (1, 3), (3, 4), (2, 2.5), (9, 9)]) == [(1, 4), (5, 6)]
