# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trading sessions of exchanges: holidays, early closes, breaks, and what happens without the library or past its calendars."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.plugin_utils import sessions
from ansible_collections.tradeops.runbook.plugins.plugin_utils.sessions import decide, in_session

ROOT = Path(__file__).resolve().parents[7]


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("calendar", "now", "opens"),
    [  # the calendars of 2024 are history: no release of the library changes them. None: it is open
        ("XNYS", "2024-11-26T14:30:00+00:00", None),
        ("XNYS", "2024-11-26T14:29:59+00:00", "2024-11-26T14:30:00Z"),
        ("XNYS", "2024-11-26T20:59:59+00:00", None),
        ("XNYS", "2024-11-26T21:00:00+00:00", "2024-11-27T14:30:00Z"),
        ("XNYS", "2024-11-28T16:00:00+00:00", "2024-11-29T14:30:00Z"),  # Thanksgiving
        ("XNYS", "2024-11-29T17:59:59+00:00", None),  # the day after closes at 13:00
        ("XNYS", "2024-11-29T18:00:00+00:00", "2024-12-02T14:30:00Z"),
        ("XNYS", "2024-11-30T16:00:00+00:00", "2024-12-02T14:30:00Z"),  # Saturday
        ("XNYS", "2024-03-08T14:00:00+00:00", "2024-03-08T14:30:00Z"),  # winter time, and from Monday on summer time
        ("XNYS", "2024-03-08T21:30:00+00:00", "2024-03-11T13:30:00Z"),
        ("XNYS", "2024-11-01T20:30:00+00:00", "2024-11-04T14:30:00Z"),  # and back
        ("XNYS", "2025-01-09T16:00:00+00:00", "2025-01-10T14:30:00Z"),  # a day of mourning, declared eleven days before
        ("XHKG", "2024-11-26T03:59:00+00:00", None),
        ("XHKG", "2024-11-26T04:30:00+00:00", "2024-11-26T05:00:00Z"),  # lunch
        ("XSHG", "2024-10-02T03:00:00+00:00", "2024-10-08T01:30:00Z"),  # eight days of holidays
        ("24/7", "2024-11-30T00:00:00+00:00", None),
        ("24/5", "2024-11-27T00:00:00+00:00", None),
        ("24/5", "2024-11-30T00:00:00+00:00", "2024-12-02T00:00:00Z"),
    ],
)
def test_when_an_exchange_is_open(calendar: str, now: str, opens: str | None) -> None:
    skip, note = decide({"calendar": calendar}, at(now))
    assert skip == ("" if opens is None else f"outside of the trading session {calendar}, which opens next at {opens}")
    assert note == ""
    reverse, _note = decide({"calendar": calendar, "in": False}, at(now))
    assert bool(reverse) is (opens is None)


@pytest.mark.parametrize(
    ("now", "skip"),
    [
        ("2024-11-26T14:44:59+00:00", "in the first 15 min of the trading session XHKG, which opened at"),
        ("2024-11-29T14:45:00+00:00", ""),
        ("2024-11-29T17:54:59+00:00", ""),
        ("2024-11-29T17:55:00+00:00", "in the last 5 min of the trading session XNYS, which opens next at 2024-12-02T14:30:00Z"),
    ],
)
def test_the_first_and_last_minutes(now: str, skip: str) -> None:
    found, _note = decide({"calendar": "XNYS", "after_open": "15 min", "before_close": "5 min"}, at(now))
    assert found.startswith(skip.replace("XHKG", "XNYS")) and bool(found) is bool(skip)


def test_the_first_minutes_after_lunch_are_first_minutes() -> None:
    found, _note = decide({"calendar": "XHKG", "after_open": "15 min"}, at("2024-11-26T05:10:00+00:00"))
    assert found == "in the first 15 min of the trading session XHKG, which opened at 2024-11-26T05:00:00Z"


def test_midnight_is_no_opening_of_a_market_that_does_not_close() -> None:
    assert decide({"calendar": "24/5", "after_open": "15 min", "before_close": "15 min"}, at("2024-11-27T00:05:00+00:00")) == ("", "")


def test_past_the_end_of_a_calendar_a_check_is_judged_and_says_so() -> None:
    for inside in (True, False):
        skip, note = decide({"calendar": "XNYS", "in": inside}, at("2090-01-01T03:00:00+00:00"))
        assert skip == "" and "the calendar XNYS ends on" in note and "upgrade exchange_calendars" in note


def test_the_last_session_of_a_calendar_is_still_one() -> None:
    import exchange_calendars

    last = exchange_calendars.get_calendar("XNYS").schedule.iloc[-1]
    assert decide({"calendar": "XNYS"}, last.close.timestamp() - 60) == ("", "")
    skip, _note = decide({"calendar": "XNYS"}, last.close.timestamp() + 60)
    assert skip == "outside of the trading session XNYS, which does not open in the days that are known"


def test_an_unknown_calendar_is_named_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match='no calendar "xnys"; did you mean "XNYS"'):
        decide({"calendar": "xnys"}, 1.7e9)


def test_a_calendar_that_cannot_be_read_takes_no_check_away(monkeypatch: pytest.MonkeyPatch) -> None:
    import exchange_calendars

    def broken(_name: str) -> Any:
        raise NotImplementedError("by subclasses")

    monkeypatch.setattr(exchange_calendars, "get_calendar", broken)
    skip, note = decide({"calendar": "XNYS"}, 1.7e9)
    assert skip == "" and "judged whatever the session is" in note and "the calendar XNYS cannot be read: NotImplementedError: by subclasses" in note


def test_without_the_library_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    skip, note = decide({"calendar": "XNYS"}, 1.7e9)
    assert skip == "" and "exchange_calendars is needed for when_session: calendar: XNYS; pip install exchange_calendars on the controller" in note
    assert decide({"hours": "mon-sun 00:00-24:00", "timezone": "UTC"}, 1.7e9) == ("", "")


def test_only_a_calendar_brings_pandas() -> None:
    program = (
        "import sys\n"
        "from ansible_collections.tradeops.runbook.plugins.filter.compile_checks import compile_checks\n"
        "check = {'name': 'a', 'host': {}}\n"
        "compile_checks([[check, {**check, 'name': 'b', 'when_session': {'hours': 'mon 09:00-10:00', 'timezone': 'UTC'}}]])\n"
        "print('pandas' in sys.modules)\n"
        "compile_checks([[{**check, 'when_session': {'calendar': 'XNYS'}}]])\n"
        "print('pandas' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False, env={"PYTHONPATH": str(ROOT)})
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_the_check_carries_the_decision_and_the_note() -> None:
    check = {"name": "a", "host": {}, "notes": ["old"], "when_session": {"calendar": "XNYS"}}
    closed = in_session(check, at("2024-11-30T16:00:00+00:00"))
    assert closed["when_session"]["calendar"] == "XNYS" and closed["when_session"]["skip"].startswith("outside of")
    assert closed["notes"] == ["old"]
    late = in_session(check, at("2090-01-01T03:00:00+00:00"))
    assert late["when_session"]["skip"] == "" and late["notes"][0] == "old" and len(late["notes"]) == 2
    assert "notes" not in in_session({"name": "a", "when_session": {"calendar": "24/7"}}, 1.7e9)


def test_what_a_template_left_empty_is_not_said() -> None:
    check = {"name": "a", "host": {}, "when_session": {"calendar": "", "hours": "mon-sun 00:00-24:00", "timezone": "UTC", "after_open": ""}}
    assert in_session(check, 1.7e9)["when_session"] == {"hours": "mon-sun 00:00-24:00", "timezone": "UTC", "skip": ""}


@pytest.mark.parametrize("check", [{"name": "a", "host": {}}, {"name": "a", "host": {}, "when_session": None}])
def test_a_check_without_a_session_stays_as_it_is(check: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "decide", None)
    assert in_session(check, 1.7e9) == {"name": "a", "host": {}}
