# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When runs were due, through changes of the clock, and how they came."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, MissingLibrary
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils.schedule import Clock, due_instants, parse_entry, review

pytest.importorskip("dateutil")

DAILY = "FREQ=DAILY;BYHOUR=8;BYMINUTE=0"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def due(rrule: str, now: str, zone: str) -> list[str]:
    return [rfc3339(moment)[:16] for moment in due_instants(rrule, zone, at(now))]


@pytest.mark.parametrize(
    ("rrule", "now", "zone", "expected"),
    [
        (DAILY, "2026-11-20T12:00", "UTC", ["2026-11-19T08:00", "2026-11-20T08:00"]),
        (DAILY, "2026-11-20T12:00", "America/New_York", ["2026-11-18T13:00", "2026-11-19T13:00"]),
        ("FREQ=HOURLY", "2026-11-20T02:30", "UTC", ["2026-11-20T00:00", "2026-11-20T01:00", "2026-11-20T02:00"]),
        ("FREQ=HOURLY;BYMINUTE=15", "2026-11-20T02:10", "Asia/Kolkata", ["2026-11-19T23:45", "2026-11-20T00:45", "2026-11-20T01:45"]),
        ("FREQ=MINUTELY;INTERVAL=5", "2026-11-20T02:11", "UTC", ["2026-11-20T02:00", "2026-11-20T02:05", "2026-11-20T02:10"]),
        ("FREQ=WEEKLY;BYDAY=MO;BYHOUR=7;BYMINUTE=30", "2026-11-20T00:00", "UTC", ["2026-11-02T07:30", "2026-11-09T07:30", "2026-11-16T07:30"]),
        ("FREQ=WEEKLY;BYDAY=MO", "2026-11-20T00:00", "UTC", ["2026-11-02T00:00", "2026-11-09T00:00", "2026-11-16T00:00"]),
        ("FREQ=MONTHLY;BYDAY=SA;BYSETPOS=1;BYHOUR=1;BYMINUTE=0", "2026-11-20T00:00", "UTC", ["2026-10-03T01:00", "2026-11-07T01:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-11-20T00:00", "UTC", ["2026-07-31T00:00", "2026-08-31T00:00", "2026-10-31T00:00"]),
        ("FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1", "2026-11-20T00:00", "UTC", ["2026-04-01T00:00", "2026-07-01T00:00", "2026-10-01T00:00"]),
        ("FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=2", "2026-11-20T00:00", "UTC", ["2025-01-02T00:00", "2026-01-02T00:00"]),
        ("rrule:freq=daily;byhour=8;byminute=0", "2026-11-20T12:00", "UTC", ["2026-11-19T08:00", "2026-11-20T08:00"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2026-11-20T00:00", "UTC", []),
    ],
)
def test_due(rrule: str, now: str, zone: str, expected: list[str]) -> None:
    assert due(rrule, now, zone)[-max(len(expected), 1) :] == expected


@pytest.mark.parametrize("interval", [2, 3, 7])
@pytest.mark.parametrize("frequency", ["DAILY", "WEEKLY"])
def test_every_other_means_the_same_days_whenever_it_is_asked(frequency: str, interval: int) -> None:
    rule = f"FREQ={frequency};INTERVAL={interval}"
    seen = {moment for day in range(60) for moment in due_instants(rule, "UTC", at("2026-06-01T12:00") + day * 86400)}
    days = 7 if frequency == "WEEKLY" else 1
    assert {round((two - one) / 86400) for one, two in zip(sorted(seen), sorted(seen)[1:], strict=False)} == {interval * days}


NEW_YORK = "America/New_York"
AT_HALF_PAST = "FREQ=DAILY;BYMINUTE=30;BYHOUR="


@pytest.mark.parametrize(
    ("what", "rrule", "now", "expected"),
    [
        ("left out in spring: after the gap", f"{AT_HALF_PAST}2", "2026-03-10T00:00", ["2026-03-08T07:30", "2026-03-09T06:30"]),
        ("twice in autumn: the first", f"{AT_HALF_PAST}1", "2026-11-03T00:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("hourly in spring: every real hour", "FREQ=HOURLY", "2026-03-08T08:10", ["2026-03-08T06:00", "2026-03-08T07:00", "2026-03-08T08:00"]),
        ("hourly in autumn: every real hour", "FREQ=HOURLY", "2026-11-01T07:10", ["2026-11-01T05:00", "2026-11-01T06:00", "2026-11-01T07:00"]),
        ("asked inside the repeated hour", "FREQ=HOURLY", "2026-11-01T06:10", ["2026-11-01T04:00", "2026-11-01T05:00", "2026-11-01T06:00"]),
        ("the clock time stays", DAILY, "2026-03-10T00:00", ["2026-03-08T12:00", "2026-03-09T12:00"]),
    ],
)
def test_changes_of_the_clock(what: str, rrule: str, now: str, expected: list[str]) -> None:
    assert due(rrule, now, NEW_YORK)[-len(expected) :] == expected, what


@pytest.mark.parametrize(
    "rrule",
    ["", "every day", "FREQ=SECONDLY", "FREQ=FORTNIGHTLY", "FREQ=DAILY;COUNT=3", "DTSTART:20260101T000000\nRRULE:FREQ=DAILY", "FREQ=DAILY;BYHOUR=25",
     "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;INTERVAL=x", "FREQ=WEEKLY;BYDAY=XX", "FREQ=DAILY;NO=1", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(rrule: str) -> None:
    with pytest.raises(InvalidInput, match="runbook_schedule"):
        due_instants(rrule, "UTC", at("2026-11-20T00:00"))


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Mars/Olympus"):
        due_instants(DAILY, "Mars/Olympus", at("2026-11-20T00:00"))


@pytest.mark.parametrize(
    "raw",
    ["daily", {}, {"playbook": "daily"}, {"playbook": "daily", "rrule": DAILY, "minutes": 5}, {"playbook": "daily", "rrule": DAILY, "expected_minutes": "soon"},
     {"playbook": "daily", "rrule": DAILY, "expected_minutes": 0}, {"playbook": "daily", "rrule": DAILY, "expected_minutes": 1e9}],
)  # fmt: skip
def test_what_is_no_entry_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidInput, match="runbook_schedule"):
        parse_entry(raw)


def test_the_library_is_only_needed_for_a_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateutil.rrule", None)
    assert review([], [], Clock(0.0)) == []
    with pytest.raises(MissingLibrary, match="dateutil"):
        due_instants(DAILY, "UTC", at("2026-11-20T00:00"))


def run(started: str, minutes: float = 1, state: str = "finished", **more: Any) -> dict[str, Any]:
    return {
        "run_id": f"r-{started[-5:]}",
        "playbook": "daily",
        "started_at": f"{started}:00Z",
        "duration_seconds": minutes * 60,
        "state": state,
        "check_mode": False,
        **more,
    }


def ask(now: str, *runs: dict[str, Any], since: str = "2026-01-01T00:00") -> tuple[Any, ...]:
    found = review([{"playbook": "daily", "rrule": DAILY, "expected_minutes": 5}], list(runs), Clock(at(now), "UTC", at(since)))
    return tuple(found[0][key] for key in ("status", "due_at", "run_id")) if found else ()


TODAY, YESTERDAY = "2026-11-20T08:00:00Z", "2026-11-19T08:00:00Z"


@pytest.mark.parametrize(
    ("what", "now", "runs", "expected"),
    [
        ("on time", "2026-11-20T12:00", [run("2026-11-20T08:00")], ("on_time", TODAY, "r-08:00")),
        ("at the end of its grace", "2026-11-20T12:00", [run("2026-11-20T08:05")], ("on_time", TODAY, "r-08:05")),
        ("after its grace", "2026-11-20T12:00", [run("2026-11-20T08:06")], ("late", TODAY, "r-08:06")),
        ("a clock that is ahead", "2026-11-20T12:00", [run("2026-11-20T07:59")], ("on_time", TODAY, "r-07:59")),
        ("too early is for nothing", "2026-11-20T12:00", [run("2026-11-20T07:58")], ("missed", TODAY, None)),
        ("too long", "2026-11-20T12:00", [run("2026-11-20T08:00", 6)], ("overran", TODAY, "r-08:00")),
        ("never", "2026-11-20T12:00", [run("2026-11-19T08:00")], ("missed", TODAY, None)),
        ("killed", "2026-11-20T12:00", [run("2026-11-20T08:00", state="killed")], ("missed", TODAY, "r-08:00")),
        ("killed and done again", "2026-11-20T12:00", [run("2026-11-20T08:00", state="killed"), run("2026-11-20T08:03")], ("on_time", TODAY, "r-08:03")),
        ("done twice", "2026-11-20T12:00", [run("2026-11-20T09:00"), run("2026-11-20T08:01")], ("on_time", TODAY, "r-08:01")),
        ("inside its grace the one before is told", "2026-11-20T08:04", [run("2026-11-19T08:00")], ("on_time", YESTERDAY, "r-08:00")),
        ("inside its grace, but begun", "2026-11-20T08:04", [run("2026-11-20T08:01", state="running")], ("on_time", TODAY, "r-08:01")),
        ("still at it", "2026-11-20T08:20", [run("2026-11-20T08:01", state="running", minutes=0)], ("overran", TODAY, "r-08:01")),
        ("check mode does not count", "2026-11-20T12:00", [run("2026-11-20T08:00", check_mode=True)], ("missed", TODAY, None)),
        ("another playbook", "2026-11-20T12:00", [run("2026-11-20T08:00", playbook="weekly")], ("missed", TODAY, None)),
        ("not begun to have an instant", "2026-11-20T12:00", [run("2026-11-20T08:00", started_at=None)], ("missed", TODAY, None)),
    ],
)  # fmt: skip
def test_how_a_run_came(what: str, now: str, runs: list[dict[str, Any]], expected: tuple[Any, ...]) -> None:
    assert ask(now, *runs) == expected, what


def test_what_was_due_before_the_first_record_is_not_missed() -> None:
    assert ask("2026-11-20T12:00", since="2026-11-20T10:00") == ()
    assert ask("2026-11-21T12:00", since="2026-11-20T10:00") == ("missed", "2026-11-21T08:00:00Z", None)


def test_every_entry_is_told_by_itself() -> None:
    schedule = [{"playbook": "daily", "rrule": DAILY, "expected_minutes": 5}, {"playbook": "backup", "rrule": "FREQ=HOURLY", "expected_minutes": 2}]
    found = review(schedule, [run("2026-11-20T08:00"), run("2026-11-20T12:01", playbook="backup")], Clock(at("2026-11-20T12:30"), "UTC"))
    assert [(entry["playbook"], entry["status"], entry["expected_minutes"]) for entry in found] == [
        ("daily", "on_time", 5.0),
        ("backup", "on_time", 2.0),
    ]


ROOT = Path(__file__).resolve().parents[4]
SCHEDULES = sorted((ROOT / "inventories").glob("*/group_vars/*/schedule.yml"))


def shipped(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["runbook_schedule"]
    return found


@pytest.mark.parametrize("path", SCHEDULES, ids=lambda path: path.parent.name)
def test_what_is_shipped_is_due_and_there_is_a_playbook_for_it(path: Path) -> None:
    for entry in shipped(path):
        parsed = parse_entry(entry)
        assert (ROOT / f"playbooks/{parsed.playbook}.yml").is_file()
        assert len(due_instants(parsed.rrule, "America/New_York", at("2026-11-20T12:00"))) >= 2, entry


@pytest.mark.parametrize("path", SCHEDULES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize(
    ("begun", "seconds", "status"),
    [("12:10:01", 20, "on_time"), ("12:10:01", 150, "overran"), ("12:00:01", 20, "missed")],
)
def test_the_loop_that_tells_people_is_judged(path: Path, begun: str, seconds: int, status: str) -> None:
    loops = [entry for entry in shipped(path) if entry["playbook"] == "watch"]
    assert len(loops) == 1, "nobody is told between two dailies"
    run = {"playbook": "watch", "run_id": "r", "state": "finished", "started_at": f"2026-11-20T{begun}Z", "duration_seconds": seconds, "check_mode": False}
    minutes = 1 if "INTERVAL=1" in loops[0]["rrule"] else 5
    (found,) = review(loops, [run], Clock(at("2026-11-20T12:10") + minutes * 60 - 5))
    assert (found["status"], found["due_at"]) == (status, "2026-11-20T12:10:00Z" if status != "missed" else found["due_at"])
