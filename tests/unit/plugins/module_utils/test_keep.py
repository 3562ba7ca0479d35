# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention: what restic keeps is kept, what is not proven makes nothing go, and doubt removes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, Refused, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.keep import Decision, Plan, plan_prune
from ansible_collections.tradeops.runbook.plugins.module_utils._core.keep_rules import COUNTS, Candidate, Floor, Policy, days, slot

HOUR, DAY = 3600.0, 86400.0
NEW_YORK = "America/New_York"


def at(text: str) -> float:
    """``"2026-11-20 02:15"`` (UTC) in seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def artifact(text: str, **changes: Any) -> Candidate:
    """One that was taken then and proven a minute later; its id is the text."""
    return replace(Candidate(text, at(text), 100, proof="restored", restored_at=at(text) + 60), **changes)


def unproven(text: str, **changes: Any) -> Candidate:
    return artifact(text, **{"proof": "", "restored_at": None, **changes})


def rules_of(plan: Plan) -> dict[str, list[str]]:
    """What stays, and why."""
    return {decision.id: list(decision.rules) for decision in plan.decisions if decision.action == "keep"}


def actions_of(plan: Plan) -> dict[str, str]:
    return {decision.id: decision.action for decision in plan.decisions}


def removed_by(plan: Plan) -> set[str]:
    return {decision.id for decision in plan.decisions if decision.action in ("remove", "finish")}


def decision_of(plan: Plan, name: str) -> Decision:
    return next(decision for decision in plan.decisions if decision.id == name)


# --- what the rules keep -----------------------------------------------------------------------------------------------------------

FORTNIGHT = [f"2026-11-{day:02} {hour}" for day in range(7, 21) for hour in ("02:15", "14:15")]


@pytest.mark.parametrize(
    ("policy", "texts", "kept"),
    [
        ({"last": 2}, FORTNIGHT, {"2026-11-20 14:15": ["last 1 of 2"], "2026-11-20 02:15": ["last 2 of 2"]}),
        ({"last": 3}, FORTNIGHT[:2], {"2026-11-07 14:15": ["last 1 of 3"], "2026-11-07 02:15": ["last 2 of 3"]}),
        ({"daily": 2}, FORTNIGHT, {"2026-11-20 14:15": ["daily 2026-11-20"], "2026-11-19 14:15": ["daily 2026-11-19"]}),
        ({"hourly": 2}, [*FORTNIGHT, "2026-11-20 14:45"],
         {"2026-11-20 14:45": ["hourly 2026-11-20T14Z"], "2026-11-20 02:15": ["hourly 2026-11-20T02Z"]}),
        ({"weekly": 2}, FORTNIGHT, {"2026-11-20 14:15": ["weekly 2026-W47"], "2026-11-15 14:15": ["weekly 2026-W46"]}),
        # days without a backup are not counted
        ({"daily": 3}, ["2026-01-05 01:00", "2026-03-01 01:00", "2026-03-01 02:00", "2026-11-20 01:00", "2025-01-01 01:00"],
         {"2026-11-20 01:00": ["daily 2026-11-20"], "2026-03-01 02:00": ["daily 2026-03-01"], "2026-01-05 01:00": ["daily 2026-01-05"]}),
        # the oldest stays while there are fewer than wanted, so that a young history keeps its beginning
        ({"monthly": 3}, FORTNIGHT, {"2026-11-20 14:15": ["monthly 2026-11"], "2026-11-07 02:15": ["monthly, the oldest"]}),
        ({"monthly": 2}, ["2026-10-01 00:00", "2026-10-02 00:00", "2026-11-20 00:00"],
         {"2026-11-20 00:00": ["monthly 2026-11"], "2026-10-02 00:00": ["monthly 2026-10"]}),
        ({"yearly": 5}, ["2024-05-01 00:00", "2025-01-01 00:00", "2025-12-31 23:59", "2026-11-20 00:00"],
         {"2026-11-20 00:00": ["yearly 2026"], "2025-12-31 23:59": ["yearly 2025"], "2024-05-01 00:00": ["yearly 2024"]}),
        ({"last": 1, "daily": 2, "weekly": 2, "monthly": 1}, FORTNIGHT, {
            "2026-11-20 14:15": ["last 1 of 1", "daily 2026-11-20", "weekly 2026-W47", "monthly 2026-11"],
            "2026-11-19 14:15": ["daily 2026-11-19"],
            "2026-11-15 14:15": ["weekly 2026-W46"],
        }),
        # after the edge of the window, and the last before it, which is what could be restored at the edge
        ({"within": "1 d"}, FORTNIGHT, {
            "2026-11-20 14:15": ["within 1 d"], "2026-11-20 02:15": ["within 1 d"], "2026-11-19 14:15": ["last before within 1 d"],
        }),
        ({"within": "36 h"}, FORTNIGHT[:4], {
            "2026-11-08 14:15": ["within 1.5 d"], "2026-11-08 02:15": ["within 1.5 d"], "2026-11-07 14:15": ["within 1.5 d"],
            "2026-11-07 02:15": ["last before within 1.5 d"],
        }),
        ({"within": "36 h"}, FORTNIGHT[1:4], {text: ["within 1.5 d"] for text in FORTNIGHT[1:4]}),
        # leap day
        ({"daily": 2}, ["2028-02-28 12:00", "2028-02-29 12:00", "2028-03-01 12:00"],
         {"2028-03-01 12:00": ["daily 2028-03-01"], "2028-02-29 12:00": ["daily 2028-02-29"]}),
        # a week that lies in two years is one: 2026 has 53
        ({"weekly": 2}, ["2026-12-27 12:00", "2026-12-28 12:00", "2026-12-31 12:00", "2027-01-03 23:59", "2027-01-04 00:00"],
         {"2027-01-04 00:00": ["weekly 2027-W01"], "2027-01-03 23:59": ["weekly 2026-W53"]}),
        # the same for days of New York: 03:59 UTC is still the day before, in summer
        ({"daily": 1, "timezone": NEW_YORK}, ["2026-07-01 03:58", "2026-07-01 03:59"], {"2026-07-01 03:59": ["daily 2026-06-30"]}),
        ({"yearly": 2, "timezone": NEW_YORK}, ["2026-12-31 12:00", "2027-01-01 04:59", "2027-01-01 05:00"],
         {"2027-01-01 05:00": ["yearly 2027"], "2027-01-01 04:59": ["yearly 2026"]}),
        # 2026-11-01 in New York has the hour from one to two twice: two hours, one day
        ({"hourly": 2, "timezone": NEW_YORK}, ["2026-11-01 04:30", "2026-11-01 05:30", "2026-11-01 06:30"],
         {"2026-11-01 06:30": ["hourly 2026-11-01T06Z"], "2026-11-01 05:30": ["hourly 2026-11-01T05Z"]}),
        ({"daily": 1, "timezone": NEW_YORK}, ["2026-11-01 04:30", "2026-11-01 05:30", "2026-11-01 06:30"],
         {"2026-11-01 06:30": ["daily 2026-11-01"]}),
    ],
)  # fmt: skip
def test_what_the_counts_keep(policy: dict[str, Any], texts: list[str], kept: dict[str, list[str]]) -> None:
    plan = plan_prune([artifact(text) for text in texts], Policy.parse({**policy, "minimum_restored": 1}), at(max(texts)) + HOUR)
    rules = {name: [rule for rule in rules if rule != "newest restored 1 of 1"] for name, rules in rules_of(plan).items()}
    assert rules == kept
    assert plan.freed_bytes == 100 * (len(texts) - len(kept))


@pytest.mark.parametrize(
    ("rule", "text", "zone", "name"),
    [
        ("hourly", "2026-11-20 02:15", "Asia/Kolkata", "2026-11-20T02Z"),
        ("daily", "2026-11-20 18:30", "Asia/Kolkata", "2026-11-21"),
        ("daily", "2026-03-08 04:59", NEW_YORK, "2026-03-07"),
        ("daily", "2026-03-08 05:00", NEW_YORK, "2026-03-08"),  # the day clocks go forward: 23 hours
        ("daily", "2026-03-09 03:59", NEW_YORK, "2026-03-08"),
        ("daily", "2026-11-02 04:59", NEW_YORK, "2026-11-01"),  # the day they go back: 25
        ("daily", "2028-02-29 23:00", "Europe/Berlin", "2028-03-01"),
        ("weekly", "2020-12-31 00:00", "UTC", "2020-W53"),
        ("weekly", "2021-01-03 23:59", "UTC", "2020-W53"),
        ("weekly", "2021-01-04 00:00", "UTC", "2021-W01"),
        ("weekly", "2024-12-30 00:00", "UTC", "2025-W01"),
        ("weekly", "2026-11-16 00:00", "Europe/Berlin", "2026-W47"),
        ("weekly", "2026-11-15 22:59", "Europe/Berlin", "2026-W46"),
        ("monthly", "2026-10-31 23:00", "Europe/Berlin", "2026-11"),
        ("yearly", "2026-12-31 23:00", "Europe/Berlin", "2027"),
        ("yearly", "1970-01-02 00:00", "UTC", "1970"),
    ],
)
def test_hours_days_weeks_months_years(rule: str, text: str, zone: str, name: str) -> None:
    assert slot(rule, at(text), Policy(timezone=zone).zone()) == name


@pytest.mark.parametrize(("rule", "name"), [("hourly", "2026-11-20T23Z"), ("daily", "2026-11-20")])
def test_the_last_instant_of_a_day_is_not_rounded_into_the_next(rule: str, name: str) -> None:
    assert slot(rule, at("2026-11-20 23:59:59") + 0.9999997, timezone.utc) == name


@pytest.mark.parametrize(
    ("written", "text", "zone", "until"),
    [
        ("7 y", "2026-11-20 02:15", "UTC", "2033-11-20 02:15"),
        ("1 y", "2028-02-29 12:00", "UTC", "2029-03-01 12:00"),
        (" 1  y ", "2026-11-20 02:15", "UTC", "2027-11-20 02:15"),
        ("4 y", "2028-02-29 12:00", "UTC", "2032-02-29 12:00"),
        ("100 y", "2000-02-29 12:00", "UTC", "2100-03-01 12:00"),
        ("1 y", "2026-12-31 23:30", "Europe/Berlin", "2027-12-31 23:30"),
        ("30 d", "2026-11-20 02:15", "UTC", "2026-12-20 02:15"),
        ("2 w", "2026-10-24 12:00", "Europe/Berlin", "2026-11-07 12:00"),
        ("36 h", "2026-11-20 00:00", "UTC", "2026-11-21 12:00"),
    ],
)
def test_until_when_a_class_keeps(written: str, text: str, zone: str, until: str) -> None:
    policy = Policy.parse({"classes": {"transactions": {"at_least": written}}, "timezone": zone})
    assert policy.classes["transactions"].until(at(text), policy.zone()).timestamp() == at(until)


OLD, BASE, NEW = "2026-11-01 02:15", "2026-11-10 02:15", "2026-11-20 02:15"
NOW = at(NEW) + HOUR


@pytest.mark.parametrize(
    ("changes", "action", "rules"),
    [
        ({}, "remove", []),
        ({"holds": ("case-17", "case-9")}, "keep", ["hold case-17", "hold case-9"]),
        ({"pins": ("run-3",)}, "keep", ["pin run-3"]),
        ({"retention_class": "transactions"}, "keep", ["class transactions until 2033-11-01"]),
        ({"retention_class": "notes"}, "remove", []),
        ({"retention_class": "transactions", "holds": ("case-17",)}, "keep", ["hold case-17", "class transactions until 2033-11-01"]),
        ({"failed_proof": True, "holds": ("case-17",)}, "keep", ["hold case-17"]),
        ({"suspect": True, "retention_class": "transactions"}, "keep", ["class transactions until 2033-11-01"]),
        # a removal that was begun
        ({"started_removal": True}, "finish", []),
        ({"started_removal": True, "holds": ("case-17",)}, "keep", ["hold case-17"]),
        ({"started_removal": True, "complete": False, "taken_at": 0.0}, "finish", []),
        ({"started_removal": True, "complete": False, "taken_at": 0.0, "holds": ("case-17",)}, "leave", ["hold case-17"]),
        # no manifest: of a backup that is running, for all we know
        ({"complete": False, "taken_at": 0.0}, "leave", []),
        ({"complete": False, "taken_at": 0.0, "holds": ("case-17",)}, "leave", ["hold case-17"]),
    ],
)
def test_what_else_keeps_an_old_one(changes: dict[str, Any], action: str, rules: list[str]) -> None:
    policy = Policy.parse({"last": 1, "minimum_restored": 1, "classes": {"transactions": {"at_least": "7 y"}, "notes": {"at_least": "19 d"}}})
    plan = plan_prune([unproven(OLD, **changes), artifact(NEW)], policy, NOW)
    found = decision_of(plan, OLD)
    assert (found.action, list(found.rules)) == (action, rules)
    assert decision_of(plan, NEW).action == "keep"
    assert plan.freed_bytes == (100 if action in ("remove", "finish") else 0)


def test_a_class_counts_from_the_newest_proven_artifact_and_not_from_the_clock() -> None:
    policy = Policy.parse({"last": 1, "minimum_restored": 1, "classes": {"notes": {"at_least": "19 d"}}})
    fresh = [artifact(OLD, retention_class="notes"), artifact("2026-11-20 02:14")]
    assert removed_by(plan_prune(fresh, policy, at(NEW) + 5 * DAY)) == set()
    assert removed_by(plan_prune([*fresh, artifact(NEW)], policy, at(NEW) + 5 * DAY)) == {OLD, "2026-11-20 02:14"}
    assert removed_by(plan_prune([*fresh, artifact(NEW)], policy, at(NEW) - 60)) == {"2026-11-20 02:14"}


# --- what is not proven makes nothing go -------------------------------------------------------------------------------------------

BAD: dict[str, dict[str, Any]] = {"failed": {"failed_proof": True}, "suspect": {"suspect": True}, "empty": {"size_bytes": 0}}
MORNING, NOON, EVENING = "2026-11-19 06:00", "2026-11-19 12:00", "2026-11-19 18:00"


@pytest.mark.parametrize("rule", ["last", "daily", "weekly", "monthly", "yearly"])
def test_an_unproven_one_takes_no_place_of_a_proven_one(rule: str) -> None:
    """The day has a proven one in the morning and an unproven one later: both stay."""
    policy = Policy.parse({rule: 2 if rule == "last" else 1, "timezone": "UTC", "minimum_restored": 1})
    shelf = [artifact(MORNING), artifact(NOON, restored_at=None, proof="readable"), artifact("2026-11-19 05:00")]
    rules = rules_of(plan_prune(shelf, policy, at(EVENING)))
    assert MORNING in rules and NOON in rules
    assert any(text.startswith(f"restored {rule}") for text in rules[MORNING])
    assert any(text.startswith(rule) for text in rules[NOON])


def test_an_unproven_one_older_than_the_newest_proven_one_has_a_place_of_its_own() -> None:
    shelf = [unproven(NOON), artifact(MORNING), artifact(EVENING), unproven("2026-11-18 01:00"), unproven("2026-11-18 02:00")]
    rules = rules_of(plan_prune(shelf, Policy.parse({"daily": 3, "minimum_restored": 1}), at(EVENING)))
    assert rules == {
        EVENING: ["newest restored 1 of 1", "daily 2026-11-19"],
        "2026-11-18 02:00": ["daily 2026-11-18"],
        "2026-11-18 01:00": ["daily, the oldest"],
        MORNING: ["restored daily, the oldest"],
    }


@pytest.mark.parametrize("bad", ["failed", "empty"])
def test_a_bad_one_takes_no_place_at_all(bad: str) -> None:
    policy = Policy.parse({"last": 1, "daily": 1, "minimum_restored": 1})
    shelf = [artifact("2026-11-18 06:00", **BAD[bad]), unproven("2026-11-18 05:00"), artifact(MORNING), artifact(NOON, **BAD[bad])]
    plan = plan_prune(shelf, policy, at(EVENING))
    assert rules_of(plan) == {
        NOON: ["newer than the newest restored"],
        MORNING: ["newest restored 1 of 1", "last 1 of 1", "daily 2026-11-19"],
    }
    assert any("does not count" in note for note in plan.notes)


def test_a_suspect_one_takes_no_place_at_all_either() -> None:
    policy = Policy.parse({"last": 2, "daily": 1, "minimum_restored": 1})
    shelf = [artifact("2026-11-18 06:00", suspect=True), unproven("2026-11-18 05:00"), artifact(MORNING), artifact(NOON, suspect=True), unproven(EVENING)]
    assert rules_of(plan_prune(shelf, policy, at(EVENING))) == {
        EVENING: ["newer than the newest restored", "last 1 of 2", "daily 2026-11-19"],
        NOON: ["newer than the newest restored"],
        MORNING: ["newest restored 1 of 1", "last 2 of 2", "restored last 1 of 2", "restored daily 2026-11-19"],
    }


# --- quarantine --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more", [{}, {"failed_proof": True}, {"size_bytes": 0}, {"started_removal": True}, {"holds": ("case-17",)}, {"proof": "", "restored_at": None}]
)
@pytest.mark.parametrize("policy", [{"last": 1, "minimum_restored": 1}, {"within": "1 d"}, {}])
def test_while_the_newest_is_suspect_nothing_goes(policy: dict[str, Any], more: dict[str, Any]) -> None:
    shelf = [artifact(OLD), artifact(BASE), artifact(OLD + ":30", started_removal=True), artifact(MORNING), artifact(NEW, suspect=True, **more)]
    with pytest.raises(Refused, match=f"^{NEW}, the newest artifact, is suspect") as caught:
        plan_prune(shelf, Policy.parse(policy), NOW)
    assert caught.value.code == "quarantined" and "backup_accept_anomaly" in caught.value.hint


@pytest.mark.parametrize("after", [artifact(NEW), unproven(NEW), unproven(NEW, size_bytes=0)])
def test_it_ends_with_the_next_one_that_is_not_suspect(after: Candidate) -> None:
    shelf = [artifact(OLD), artifact(MORNING), artifact("2026-11-19 06:30", suspect=True), after]
    assert OLD in removed_by(plan_prune(shelf, Policy.parse({"last": 1, "minimum_restored": 1}), NOW))


def test_what_is_damaged_does_not_end_it() -> None:
    shelf = [artifact(OLD), artifact(MORNING), artifact("2026-11-19 06:30", suspect=True), artifact(NEW, failed_proof=True)]
    with pytest.raises(Refused, match="^2026-11-19 06:30, the newest artifact, is suspect"):
        plan_prune(shelf, Policy.parse({"last": 1, "minimum_restored": 1}), NOW)


def test_what_has_no_manifest_neither_begins_nor_ends_it() -> None:
    shelf = [artifact(OLD), artifact(MORNING), unproven(NEW, complete=False, suspect=True)]
    policy = Policy.parse({"last": 1, "minimum_restored": 1})
    assert removed_by(plan_prune(shelf, policy, NOW)) == {OLD}
    with pytest.raises(Refused, match="is suspect"):
        plan_prune([artifact(OLD), artifact(MORNING), artifact(EVENING, suspect=True), unproven(NEW, complete=False)], policy, NOW)


# --- copies ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "action", "rules"),
    [
        ({"not_in": ("offsite",)}, "keep", ["not yet in offsite"]),
        ({"not_in": ("offsite", "vault")}, "keep", ["not yet in offsite", "not yet in vault"]),
        ({"not_in": ("offsite",), "failed_proof": True}, "keep", ["not yet in offsite"]),
        ({"not_in": ("offsite",), "started_removal": True}, "keep", ["not yet in offsite"]),
        ({"not_in": ("offsite",), "started_removal": True, "complete": False, "taken_at": 0.0}, "finish", []),
        ({"not_in": ("offsite",), "complete": False, "taken_at": 0.0}, "leave", []),
        ({"not_in": ()}, "remove", []),
    ],
)
def test_what_a_copy_does_not_have_yet_stays(changes: dict[str, Any], action: str, rules: list[str]) -> None:
    plan = plan_prune([artifact(OLD, **changes), artifact(NEW)], Policy.parse({"last": 1, "minimum_restored": 1}), NOW)
    found = decision_of(plan, OLD)
    assert (found.action, list(found.rules)) == (action, rules)
    assert decision_of(plan, NEW).action == "keep"


def test_what_it_needs_stays_as_well() -> None:
    shelf = chain(not_in=("offsite",))
    plan = plan_prune(shelf, Policy.parse({"last": 1, "minimum_restored": 1}), at("2026-11-04 12:00"))
    assert removed_by(plan) == {"2026-10-01 00:00"}
    assert rules_of(plan)["2026-11-02 00:00"] == ["needed by 2026-11-03 00:00"]


@pytest.mark.parametrize("bad", ["", *BAD])
def test_nothing_newer_than_the_newest_proven_one_goes(bad: str) -> None:
    """It may be all there is of the last days; which of them is good is not known yet."""
    shelf = [artifact(MORNING), *(unproven(f"2026-11-19 {hour}:00", **BAD.get(bad, {})) for hour in range(10, 20))]
    shelf += [unproven("2026-11-19 19:59")] if bad == "suspect" else []  # else nothing would go anyway
    plan = plan_prune(shelf, Policy.parse({"last": 1}), at("2026-11-19 20:00"))
    assert removed_by(plan) == set() and len(rules_of(plan)) == len(shelf)


@pytest.mark.parametrize("bad", BAD)
def test_bad_ones_are_not_counted_as_restored(bad: str) -> None:
    texts = [f"2026-11-{day:02} 02:15" for day in range(10, 20)]
    shelf = [artifact(text, **(BAD[bad] if number % 2 else {})) for number, text in enumerate(texts)]
    last = [unproven(EVENING)] if bad == "suspect" else []  # else nothing would go anyway
    plan = plan_prune([*shelf, *last], Policy.parse({"last": 1, "minimum_restored": 3}), at(EVENING))
    kept = {name for name, rules in rules_of(plan).items() if rules[0].startswith("newest restored")}
    assert kept == {texts[8], texts[6], texts[4]}
    assert set(rules_of(plan)) == kept | {texts[9]} | {found.id for found in last}  # which are newer than the newest proven one


def test_a_window_keeps_bad_ones_as_well() -> None:
    shelf = [artifact(MORNING, suspect=True), artifact(NOON), artifact("2026-11-17 00:00", failed_proof=True)]
    rules = rules_of(plan_prune(shelf, Policy.parse({"within": "1 d"}), at(EVENING)))
    assert rules[MORNING] == ["within 1 d"]
    assert "2026-11-17 00:00" not in rules


def test_forty_days_without_a_backup_remove_nothing_and_the_first_one_after_that_leaves_the_minimum() -> None:
    texts = [f"2026-10-{day:02} 02:15" for day in range(1, 32)]
    shelf, policy = [artifact(text) for text in texts], Policy.parse({"within": "30 d"})
    with pytest.raises(Refused, match="40.* d old") as caught:
        plan_prune(shelf, policy, at("2026-12-10 02:15"))
    assert caught.value.code == "no_recent_proof"
    assert removed_by(plan_prune([*shelf, unproven("2026-11-05 02:15")], policy, at("2026-11-06 02:15"))) == set()
    plan = plan_prune([*shelf, artifact("2026-12-10 02:15")], policy, at("2026-12-10 03:00"))
    assert list(rules_of(plan)) == ["2026-12-10 02:15", "2026-10-31 02:15", "2026-10-30 02:15"]


# --- chains ------------------------------------------------------------------------------------------------------------------------


def chain(**last: Any) -> list[Candidate]:
    """Full, two increments, and an unrelated one that is newer and older."""
    return [
        artifact("2026-11-01 00:00"),
        artifact("2026-11-02 00:00", needs=("2026-11-01 00:00",)),
        artifact("2026-11-03 00:00", **{"needs": ("2026-11-02 00:00", "2026-11-02 00:00"), **last}),
        artifact("2026-11-04 00:00"),
        artifact("2026-10-01 00:00"),
    ]


def test_all_that_a_kept_one_needs_stays() -> None:
    plan = plan_prune(chain(), Policy.parse({"last": 2, "minimum_restored": 1}), at("2026-11-04 12:00"))
    assert rules_of(plan) == {
        "2026-11-04 00:00": ["newest restored 1 of 1", "last 1 of 2"],
        "2026-11-03 00:00": ["last 2 of 2"],
        "2026-11-02 00:00": ["needed by 2026-11-03 00:00"],
        "2026-11-01 00:00": ["needed by 2026-11-02 00:00"],
    }


def test_what_has_no_manifest_yet_keeps_what_it_needs() -> None:
    running = Candidate("2026-11-04 06:00", 0.0, 10, complete=False, needs=("2026-11-03 00:00",))
    plan = plan_prune([*chain(), running], Policy.parse({"last": 1, "minimum_restored": 1}), at("2026-11-04 12:00"))
    assert removed_by(plan) == {"2026-10-01 00:00"}


def test_what_has_no_manifest_comes_last_whatever_time_is_said_of_it() -> None:
    plan = plan_prune([unproven("2026-11-21 02:15", complete=False), artifact(NEW), artifact(OLD)], Policy.parse({"last": 2}), NOW)
    assert [decision.id for decision in plan.decisions] == [NEW, OLD, "2026-11-21 02:15"]


def test_a_whole_chain_goes_from_its_end_to_its_beginning() -> None:
    backwards = replace(chain()[1], taken_at=at("2026-10-30 00:00"))  # the clock was set back between the two
    shelf = [chain()[0], backwards, *chain()[2:]]
    plan = plan_prune(shelf, Policy.parse({"last": 1, "minimum_restored": 1}), at("2026-11-04 12:00"))
    assert [decision.id for decision in plan.decisions if decision.action == "remove"] == [
        "2026-11-03 00:00", "2026-11-02 00:00", "2026-11-01 00:00", "2026-10-01 00:00",
    ]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_what_needs_a_bad_one_is_bad(bad: str) -> None:
    shelf = chain()
    shelf[0] = replace(shelf[0], **BAD[bad])
    plan = plan_prune([*shelf, artifact("2026-09-01 00:00")], Policy.parse({"last": 2, "minimum_restored": 3}), at("2026-11-04 12:00"))
    assert {name for name, action in actions_of(plan).items() if action == "keep"} == {"2026-11-04 00:00", "2026-10-01 00:00", "2026-09-01 00:00"}
    assert "it needs 2026-11-02 00:00, which" in decision_of(plan, "2026-11-03 00:00").reason


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, True),
        ({"restored_at": None, "proof": ""}, True),
        ({"failed_proof": True}, False),  # known to be bad: how an operator gets out of it
        ({"suspect": True}, False),
        ({"started_removal": True}, False),
    ],
)
@pytest.mark.parametrize("state", ["gone", "without a manifest"])
def test_a_lost_part_of_a_chain(changes: dict[str, Any], refused: bool, state: str) -> None:
    shelf = chain(**changes)
    shelf[1:2] = [] if state == "gone" else [replace(shelf[1], complete=False, taken_at=0.0, started_removal=True)]
    policy = Policy.parse({"last": 1, "minimum_restored": 1})
    if refused:
        with pytest.raises(Refused, match="2026-11-03 00:00 needs 2026-11-02 00:00, which is not there") as caught:
            plan_prune(shelf, policy, at("2026-11-04 12:00"))
        assert caught.value.code == "broken_chain"
    else:
        assert "2026-11-03 00:00" in removed_by(plan_prune(shelf, policy, at("2026-11-04 12:00")))


def test_a_chain_that_was_lost_is_not_proven_any_more() -> None:
    """Even when its tombstone says that the loss was meant, it fills no place among the restored ones."""
    shelf = chain(started_removal=True)
    del shelf[1]
    plan = plan_prune(shelf, Policy.parse({"last": 1, "minimum_restored": 2}), at("2026-11-04 12:00"))
    assert [name for name, rules in rules_of(plan).items() if rules[0].startswith("newest restored")] == ["2026-11-04 00:00", "2026-11-01 00:00"]


def test_a_circle_of_needs_ends() -> None:
    shelf = [artifact(OLD, needs=(BASE,)), artifact(BASE, needs=(OLD, BASE)), artifact(NEW)]
    assert removed_by(plan_prune(shelf, Policy.parse({"last": 1, "minimum_restored": 1}), NOW)) == {OLD, BASE}
    assert removed_by(plan_prune(shelf, Policy.parse({"last": 2, "minimum_restored": 1}), NOW)) == set()


def test_a_long_chain() -> None:
    shelf = [Candidate(f"{number:05}", number * HOUR, 1, proof="restored", restored_at=number * HOUR, needs=(f"{number - 1:05}",) * (number > 1))
             for number in range(1, 3001)]  # fmt: skip
    plan = plan_prune(reversed(shelf), Policy.parse({"last": 1}), 3001 * HOUR)
    assert removed_by(plan) == set()
    assert [decision.id for decision in plan.decisions][:2] == ["03000", "02999"]


# --- no plan -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "shelf", "code"),
    [
        (NOW, [artifact(OLD), artifact(NEW)], ""),
        (at(NEW) - 600, [artifact(NEW, restored_at=at(NEW))], ""),
        (at(NEW) - 601, [artifact(NEW, restored_at=at(NEW))], "clock_implausible"),
        (at("2016-11-20 02:15"), [artifact(OLD), artifact(NEW)], "clock_implausible"),
        (NOW, [artifact(NEW), unproven("2026-12-01 02:15")], "clock_implausible"),
        (NOW, [artifact(NEW), unproven("2038-01-19 03:14", failed_proof=True)], "clock_implausible"),
        (NOW, [artifact(NEW), unproven("2038-01-19 03:14", started_removal=True)], "clock_implausible"),
        (NOW, [artifact(NEW), unproven("2038-01-19 03:14", complete=False)], ""),  # nobody says that it was taken then
        (NOW, [artifact(OLD, restored_at=NOW + 601), artifact(NEW)], "clock_implausible"),
        (NOW, [artifact(OLD, restored_at=NOW + 600), artifact(NEW)], ""),
        (at(NEW) + 8 * DAY, [artifact(NEW)], ""),
        (at(NEW) + 8 * DAY + 1, [artifact(NEW)], "no_recent_proof"),
        (at(NEW) + 45 * DAY, [artifact(NEW)], "no_recent_proof"),
        (at(NEW) + 45 * DAY + 1, [artifact(NEW)], "clock_implausible"),
        (at(NEW) + 60 * DAY, [artifact(NEW), artifact(OLD)], "clock_implausible"),
        (at(NEW) + 3650 * DAY, [artifact(NEW)], "clock_implausible"),
        (0.0, [artifact(NEW)], "clock_implausible"),
        (-1.0, [artifact(NEW)], "clock_implausible"),
        (math.nan, [artifact(NEW)], "clock_implausible"),
        (math.inf, [artifact(NEW)], "clock_implausible"),
        (True, [artifact(NEW)], "clock_implausible"),
        (40000000000.0, [artifact(NEW, taken_at=39999999999.0)], "clock_implausible"),
        # nothing that could be relied on
        (NOW, [unproven(NEW), unproven(OLD)], "no_recent_proof"),
        (NOW, [unproven(NEW), artifact(OLD)], "no_recent_proof"),
        (NOW, [artifact(NEW, failed_proof=True), artifact(OLD)], "no_recent_proof"),
        (NOW, [artifact(NEW, suspect=True), artifact(OLD)], "quarantined"),
        (NOW, [artifact(BASE, suspect=True), unproven(NEW)], "no_recent_proof"),
        (at(NEW) + 60 * DAY, [artifact(NEW, suspect=True), artifact(OLD)], "clock_implausible"),
        (NOW, [artifact(NEW, size_bytes=0), artifact(OLD)], "no_recent_proof"),
        (NOW, [artifact(OLD, restored_at=NOW), unproven(NEW)], "no_recent_proof"),  # an old one restored once more proves nothing new
        (NOW, [unproven(OLD, complete=False, started_removal=True)], "no_recent_proof"),
        # listings that cannot be
        (NOW, [artifact(NEW), artifact(NEW)], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, taken_at=0.0)], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, taken_at=-5.0)], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, taken_at=math.nan)], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, taken_at=None)], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, restored_at=None)], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, restored_at=math.nan)], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, proof="verified")], "listing_implausible"),
        (NOW, [artifact(NEW), artifact(OLD, retention_class="orders")], "unknown_class"),
        (NOW, [artifact(NEW), artifact(OLD, retention_class="orders", failed_proof=True)], "unknown_class"),
        # nothing there, or only what runs
        (math.nan, [], ""),
        (NOW, [unproven(NEW, complete=False)], ""),
        (NOW, [artifact(NEW), unproven(OLD, complete=False, taken_at=None), unproven(BASE, complete=False, taken_at=math.nan)], ""),
    ],
)
@pytest.mark.parametrize("policy", [{"last": 1}, {}])
def test_when_there_is_no_plan(now: float, shelf: list[Candidate], code: str, policy: dict[str, Any]) -> None:
    rules = Policy.parse({**policy, "classes": {"transactions": {"at_least": "7 y"}}})
    if not code:
        assert len(plan_prune(shelf, rules, now).decisions) == len(shelf)
        return
    with pytest.raises(Refused) as caught:
        plan_prune(shelf, rules, now)
    assert caught.value.code == code
    assert caught.value.message and caught.value.hint


@pytest.mark.parametrize("policy", [{}, {"timezone": NEW_YORK}, {"minimum_restored": 1}, {"classes": {"notes": {"at_least": "1 h"}}}])
def test_without_a_keep_rule_nothing_is_removed(policy: dict[str, Any]) -> None:
    shelf = [artifact(NEW), unproven(OLD), artifact(BASE, failed_proof=True), artifact("2026-11-02 00:00", started_removal=True),
             Candidate("half", 0.0, 5, complete=False, started_removal=True)]  # fmt: skip
    plan = plan_prune(shelf, Policy.parse(policy), NOW)
    assert (removed_by(plan), plan.freed_bytes) == (set(), 0)
    assert "the policy has no keep rule" in plan.notes[0] and "daily" in plan.notes[0]
    assert "the policy has no keep rule" in decision_of(plan, OLD).rules


# --- the policy --------------------------------------------------------------------------------------------------------------------


def test_a_policy_as_it_is_written() -> None:
    policy = Policy.parse({
        "last": 3, "hourly": 24, "daily": 7, "weekly": 4, "monthly": 12, "yearly": 10_000, "within": "7 d", "minimum_restored": 1,
        "stale_after": "14 d", "timezone": NEW_YORK, "max_future": "5 min", "plausible_gap": "100 d",
        "classes": {"transactions": {"at_least": "7 y"}, "notes": {"at_least": "30 d"}},
    })  # fmt: skip
    assert policy == Policy(3, 24, 7, 4, 12, 10_000, 7 * DAY, 1, 14 * DAY, NEW_YORK, 300.0, 100 * DAY,
                            {"transactions": Floor(years=7), "notes": Floor(seconds=30 * DAY)})  # fmt: skip
    assert policy.zone() == ZoneInfo(NEW_YORK)
    assert policy.rules() == ["last 3", "hourly 24", "daily 7", "weekly 4", "monthly 12", "yearly 10000", "within 7 d"]


def test_defaults_are_careful() -> None:
    assert Policy.parse({}) == Policy(0, 0, 0, 0, 0, 0, 0.0, 3, 8 * DAY, "UTC", 600.0, 45 * DAY, {})
    assert Policy.parse({}).rules() == []


NOT_COUNTS: tuple[Any, ...] = (0, -1, True, False, "7d", "7", "", None, 7.0, math.nan, [], {}, [7], 10_001, 10**30)
NOT_DURATIONS: tuple[Any, ...] = ("7", 7, 7.0, "", None, True, "0 d", "-1 d", "7 days", "1 y", "7 %", "1e400 d", [], {}, "200 y", "36600000 d")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        *(({name: value}, f"retention: {name}: ") for name in (*COUNTS, "minimum_restored") for value in NOT_COUNTS),
        *(({name: value}, f"retention: {name}: ") for name in ("within", "stale_after", "max_future", "plausible_gap") for value in NOT_DURATIONS),
        ({"minimum_restored": 1001}, "retention: minimum_restored: "),
        ({"within": "30 min"}, "retention: within: "),
        ({"stale_after": "401 d"}, "retention: stale_after: "),
        ({"stale_after": "59 min"}, "retention: stale_after: "),
        ({"plausible_gap": "401 d"}, "retention: plausible_gap: "),
        ({"plausible_gap": "23 h"}, "retention: plausible_gap: "),
        ({"max_future": "25 h"}, "retention: max_future: "),
        ({"max_future": "999 ms"}, "retention: max_future: "),
        *(({"timezone": value}, "retention: timezone: ") for value in ("Mars/Olympus", "", None, 5, True, "America", "../x", [], {}, "EST5\0")),
        *(({"classes": value}, "retention: classes: ") for value in (None, "", [], "7 y", 7)),
        *(({"classes": {"notes": value}}, "retention: classes: notes: ")
          for value in (None, "7 y", 7, {}, {"at_most": "7 y"}, {"at_least": "7 y", "at_most": "9 y"}, ["at_least"])),
        *(({"classes": {"notes": {"at_least": value}}}, "retention: classes: notes: at_least: ")
          for value in ("0 y", "-1 y", "1.5 y", "101 y", "y", " y", "7y", "٧ y", "", None, 7, True, "0 d", "59 min", "40000 d", [], {})),
        *((value, "retention: ") for value in (None, "", [], "daily", 7, [{"daily": 7}])),
        ({"dayly": 7}, 'retention: unknown key "dayly"; did you mean "daily"?'),
        ({"keep_daily": 7}, 'retention: unknown key "keep_daily"'),
        ({7: 7}, 'retention: unknown key "7"'),
        ({None: 7}, 'retention: unknown key "None"'),
    ],
)  # fmt: skip
def test_mistakes_in_a_policy(given: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Policy.parse(given)
    assert caught.value.message.startswith(place)
    assert caught.value.hint


def test_a_mistake_is_quoted_and_what_to_write_is_said() -> None:
    with pytest.raises(InvalidInput) as caught:
        Policy.parse({"daily": "7d"}, "backups: trades: retention")
    assert caught.value.message == 'backups: trades: retention: daily: "7d" is not a count'
    assert caught.value.hint == "write a whole number from 1 to 10,000, such as 7, or leave the key out"
    with pytest.raises(InvalidInput, match='retention: within: "7d" is not|retention: within: "7" is not a duration'):
        Policy.parse({"within": "7"})


@pytest.mark.parametrize("wrong", [{"minimum_restored": 0}, {"last": -1}, {"yearly": -1}, {"within": -1.0}])
def test_a_careless_policy_cannot_be_made_in_another_way(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Policy(**wrong)


# --- what is said ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["no rule keeps it (last 1, daily 1, within 1 d)", "it is proven"]),
        ({"restored_at": None, "proof": "digest"}, ["it was never restored (proof: digest)"]),
        ({"restored_at": None, "proof": ""}, ["it was never restored (proof: none)"]),
        ({"failed_proof": True}, ["its newest proof found it corrupt"]),
        ({"suspect": True}, ["it is suspect"]),
        ({"size_bytes": 0}, ["it is empty"]),
        ({"retention_class": "notes"}, ["class notes ended 2026-11-02"]),
        ({"started_removal": True}, ["its removal was begun; no rule keeps it"]),
        ({"started_removal": True, "complete": False}, ["its removal was begun; no rule keeps it", "it has no manifest"]),
        ({"complete": False}, ["it has no manifest: a backup that is running"]),
        ({"started_removal": True, "holds": ("case-17",)}, ["hold case-17", "take the tombstone away"]),
        ({"started_removal": True, "complete": False, "holds": ("case-17",)}, ["hold case-17; it does not count"]),
        ({"failed_proof": True, "holds": ("case-17",)}, ["hold case-17; it does not count for other rules: its newest proof found it corrupt"]),
    ],
)
def test_every_decision_says_why(changes: dict[str, Any], words: list[str]) -> None:
    policy = Policy.parse({"last": 1, "daily": 1, "within": "1 d", "minimum_restored": 1, "classes": {"notes": {"at_least": "1 d"}}})
    plan = plan_prune([artifact(NEW), artifact(BASE), artifact(OLD, **changes)], policy, NOW)
    assert all(word in decision_of(plan, OLD).reason for word in words)
    half_gone = changes.get("complete") is False
    assert not (half_gone and "take the tombstone away" in decision_of(plan, OLD).reason)
    assert decision_of(plan, NEW).reason == "newest restored 1 of 1, within 1 d, last 1 of 1, daily 2026-11-20"


@pytest.mark.parametrize(
    ("shelf", "age", "notes"),
    [
        ([artifact(OLD), artifact(BASE), artifact(NEW)], HOUR, []),
        ([artifact(BASE), artifact(NEW)], HOUR, ["only 2 of minimum_restored 3 are proven by a restore"]),
        ([artifact(OLD), artifact(BASE), artifact(NEW)], 7 * DAY, []),
        ([artifact(OLD), artifact(BASE), artifact(NEW)], 7 * DAY + 60,
         [f"{NEW}, the newest proven by a restore, is 7.001 d old; above 8 d nothing is removed any more"]),
        ([artifact(OLD), artifact(BASE), artifact(NEW), unproven("2026-11-20 03:00", size_bytes=0)], HOUR,
         ["the newest artifact, 2026-11-20 03:00, does not count: it is empty"]),
        ([unproven("2026-11-20 03:00", complete=False)], HOUR, []),
    ],
)  # fmt: skip
def test_what_somebody_should_know(shelf: list[Candidate], age: float, notes: list[str]) -> None:
    assert list(plan_prune(shelf, Policy.parse({"last": 5}), at(NEW) + age).notes) == notes


def test_a_plan_is_json_data() -> None:
    plan = plan_prune([artifact(NEW), unproven(OLD, size_bytes=7)], Policy.parse({"last": 1, "minimum_restored": 1}), NOW)
    data = json.loads(json.dumps(plan.data()))
    assert data == plan.data()
    assert data["freed_bytes"] == 7
    assert data["decisions"][1] == {
        "id": OLD, "action": "remove", "rules": [], "reason": "no rule keeps it (last 1); it was never restored (proof: none)",
    }  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), [(HOUR, "0.04167 d"), (7 * DAY, "7 d"), (36 * HOUR, "1.5 d"), (36500 * DAY, "3.65e+04 d")])
def test_days(seconds: float, text: str) -> None:
    assert days(seconds) == text


# --- against a slow reading of the same rules --------------------------------------------------------------------------------------


def sound(found: Candidate, shelf: dict[str, Candidate], path: tuple[str, ...] = ()) -> bool:
    good = found.complete and not found.failed_proof and not found.suspect and found.size_bytes > 0
    parts = (need in path or need in shelf and sound(shelf[need], shelf, (*path, found.id)) for need in found.needs)
    return good and all(parts)


def proven_of(artifacts: Iterable[Candidate]) -> list[Candidate]:
    """Newest first."""
    shelf = {found.id: found for found in artifacts}
    good = [found for found in shelf.values() if found.restored_at is not None and sound(found, shelf)]
    return sorted(good, key=lambda found: (found.taken_at, found.id))[::-1]


def place(name: str, found: Candidate, zone: str) -> str:
    local = (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=int(found.taken_at))).astimezone(ZoneInfo(zone))
    shapes = {"hourly": "", "daily": "%j of %Y", "weekly": "%V of %G", "monthly": "%m of %Y", "yearly": "%Y", "last": found.id}
    return local.strftime(shapes[name]) or str(found.taken_at // HOUR)


def counted(among: Sequence[Candidate], policy: Policy) -> set[str]:
    """The ids that a count keeps; ``among`` is newest first."""
    kept = set()
    for name in COUNTS:
        wanted = getattr(policy, name)
        places = [place(name, found, policy.timezone) for found in among] if wanted else []
        for number, found in enumerate(among if wanted else []):
            newer = set(places[:number])
            oldest_while_few = number == len(among) - 1 and len(set(places)) < wanted
            if oldest_while_few or len(newer) < wanted and places[number] not in newer:
                kept.add(found.id)
    return kept


def kept_for_their_own_sake(artifacts: Sequence[Candidate], policy: Policy, now: float) -> set[str]:
    if not policy.rules():
        return {found.id for found in artifacts}
    shelf, proven = {found.id: found for found in artifacts}, proven_of(artifacts)
    newest_first = sorted((found for found in artifacts if found.complete), key=lambda found: (found.taken_at, found.id))[::-1]
    kept = {found.id for found in artifacts if found.holds or found.pins or (found.not_in and found.complete)}
    kept |= {found.id for found in proven[: policy.minimum_restored]}
    kept |= counted([found for found in newest_first if sound(found, shelf)], policy) | counted(proven, policy)
    for found in artifacts:
        floor = policy.classes.get(found.retention_class)
        if floor and floor.until(found.taken_at, ZoneInfo(policy.timezone)).timestamp() > min(now, proven[0].taken_at):
            kept.add(found.id)
    for found in newest_first if proven else []:
        if found == proven[0]:
            break
        kept.add(found.id)
    if policy.within and proven:
        edge = proven[0].taken_at - policy.within
        kept |= {found.id for found in newest_first if found.taken_at > edge} | {found.id for found in [one for one in proven if one.taken_at <= edge][:1]}
    return kept


def expected(artifacts: Sequence[Candidate], policy: Policy, now: float) -> dict[str, str] | str:
    """The action for each, or the code of the refusal."""
    stamped = [found for found in artifacts if found.complete]
    if stamped or any(found.started_removal for found in artifacts):
        instants = [instant for found in stamped for instant in (found.taken_at, found.restored_at) if instant is not None]
        if stamped and (max(instants) - now > policy.max_future or now - max(found.taken_at for found in stamped) > policy.plausible_gap):
            return "clock_implausible"
        telling = [found for found in stamped if found.suspect or not found.failed_proof]
        if telling and max(telling, key=lambda found: (found.taken_at, found.id)).suspect:
            return "quarantined"
        if not proven_of(artifacts) or now - proven_of(artifacts)[0].taken_at > policy.stale_after:
            return "no_recent_proof"
    stay = {found.id for found in artifacts if not found.complete and not found.started_removal} | kept_for_their_own_sake(artifacts, policy, now)
    while needed := {need for found in artifacts if found.id in stay for need in found.needs} & {found.id for found in artifacts} - stay:
        stay |= needed
    return {found.id: ("keep" if found.complete else "leave") if found.id in stay else "finish" if found.started_removal else "remove" for found in artifacts}


STATES: list[dict[str, Any]] = [
    {"proof": "restored", "restored_at": 1.0},
    {"proof": "restored", "restored_at": 1.0, "started_removal": True},
    {},
    {"proof": "readable"},
    {"proof": "restored", "restored_at": 1.0, "failed_proof": True},
    {"failed_proof": True},
    {"suspect": True},
    {"size_bytes": 0},
    {"started_removal": True},
    {"complete": False, "taken_at": 0.0},
    {"complete": False, "taken_at": 0.0, "started_removal": True},
]
MARKS: list[dict[str, Any]] = [{}, {}, {}, {}, {"holds": ("case-17",)}, {"pins": ("run-3",)}, {"retention_class": "transactions"}, {"retention_class": "notes"},
                               {"not_in": ("offsite",)}]  # fmt: skip
AGES = st.one_of(st.integers(0, 72).map(float), st.integers(0, 60).map(lambda day: 24.0 * day), st.floats(0, 24 * 1500, width=32))
COUNT = st.sampled_from([0, 0, 0, 1, 2, 3, 5])
POLICIES = st.builds(
    Policy, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT, st.sampled_from([0.0, 0.0, HOUR, DAY, 7 * DAY, 400 * DAY]), st.integers(1, 4),
    timezone=st.sampled_from(["UTC", NEW_YORK, "Asia/Kolkata"]),
    classes=st.just({"transactions": Floor(years=3), "notes": Floor(seconds=10 * DAY)}),
)  # fmt: skip


@st.composite
def shelves(draw: st.DrawFn, chains: bool = True) -> list[Candidate]:
    """Artifacts of one source; the newest is proven, and what is good has all that it needs."""
    ages = [0.0, *draw(st.lists(AGES, min_size=3, max_size=16))]
    found: list[Candidate] = []
    for number, age in enumerate(sorted(ages, reverse=True)):
        last = number == len(ages) - 1
        state = STATES[0] if last else draw(st.sampled_from(STATES))
        fresh = Candidate(f"{number:02}", at(NEW) - age * HOUR, 2**number)
        whole = {other.id: other for other in found if other.complete}
        bases = [name for name, other in whole.items() if not last or sound(other, whole)] if chains and draw(st.booleans()) else []
        needs = (draw(st.sampled_from(bases)),) if bases else ()
        changes: dict[str, Any] = {**draw(st.sampled_from(MARKS)), **state, "needs": needs}
        found.append(replace(fresh, **changes))
    return draw(st.permutations(found))


@settings(max_examples=1000)
@given(shelves(), POLICIES, st.floats(-0.1, 9))
def test_every_plan_is_the_one_that_a_slow_reading_gives(shelf: list[Candidate], policy: Policy, age: float) -> None:
    try:
        plan: Any = actions_of(plan_prune(shelf, policy, at(NEW) + age * DAY))
    except Refused as refused:
        plan = refused.code
    assert plan == expected(shelf, policy, at(NEW) + age * DAY)


@settings(max_examples=250)
@given(shelves(), POLICIES, st.sampled_from(STATES), st.floats(0, 8))
def test_a_suspect_newest_stops_everything_and_the_next_one_lets_it_go_on(
    shelf: list[Candidate], policy: Policy, state: dict[str, Any], age: float
) -> None:  # fmt: skip
    doubted = Candidate("98", at(NEW) + 60, 2**30, suspect=True)
    later: Any = replace(Candidate("99", at(NEW) + 120, 2**31), **{**state, "suspect": False})
    now = at(NEW) + 120 + age * DAY
    with pytest.raises(Refused) as caught:
        plan_prune([*shelf, doubted], policy, now)
    assert caught.value.code == expected([*shelf, doubted], policy, now) == "quarantined"
    before, after = expected(shelf, policy, now), expected([*shelf, doubted, later], policy, now)
    if later.complete and isinstance(before, dict) and isinstance(after, dict):
        plan = plan_prune([*shelf, doubted, later], policy, now)
        assert actions_of(plan) == after and actions_of(plan)["99"] == "keep"


@settings(max_examples=250)
@given(shelves(), POLICIES, st.sets(st.integers(0, 16)), st.sets(st.integers(0, 16)))
def test_the_less_a_copy_has_the_more_stays(shelf: list[Candidate], policy: Policy, few: set[int], more: set[int]) -> None:
    """Whatever is missing in a copy stays as it is, and nothing else goes for that."""
    def lacking(numbers: set[int]) -> list[Candidate]:
        return [replace(found, not_in=("offsite",) if int(found.id) in numbers else ()) for found in shelf]

    before, after = (plan_prune(lacking(numbers), policy, NOW) for numbers in (few, few | more))
    assert removed_by(after) <= removed_by(before)
    assert not {found.id for found in lacking(few | more) if found.complete and found.not_in} & removed_by(after)


@settings(max_examples=250)
@given(shelves(), POLICIES, st.floats(-600, 8 * DAY), st.floats(-600, 8 * DAY))
def test_time_alone_removes_nothing(shelf: list[Candidate], policy: Policy, one: float, other: float) -> None:
    """Once the newest proven artifact exists, it does not matter when a plan is made; within the tolerance before, it only removes less."""
    plans = [plan_prune(shelf, policy, at(NEW) + after) for after in sorted((one, other))]
    assert removed_by(plans[0]) <= removed_by(plans[1])
    if min(one, other) >= 0:
        assert plans[0].decisions == plans[1].decisions


def carried_out(shelf: Sequence[Candidate], plan: Plan, steps: int) -> list[Candidate]:
    """The artifacts after so many steps of the plan: tombstone, manifest, data of each that goes; the tombstone of each that stays."""
    left = {found.id: found for found in shelf}
    for decision in plan.decisions:
        found = left[decision.id]
        if decision.action == "keep" and found.started_removal and steps > 0:
            left[found.id], steps = replace(found, started_removal=False), steps - 1
        if decision.action not in ("remove", "finish"):
            continue
        gone = replace(found, started_removal=True, complete=False, taken_at=0.0, proof="", restored_at=None, retention_class="", needs=())
        for after in ([] if found.started_removal else [replace(found, started_removal=True)]) + ([gone] if found.complete else []) + [None]:
            if steps > 0 and after is not None:
                left[found.id] = after
            elif steps > 0:
                del left[found.id]
            steps -= 1
    return list(left.values())


@settings(max_examples=300)
@given(shelves(), POLICIES, st.integers(0, 40))
def test_a_plan_carried_out_in_part_or_whole_leaves_nothing_more_to_remove(shelf: list[Candidate], policy: Policy, steps: int) -> None:
    plan = plan_prune(shelf, policy, NOW)
    rest = plan_prune(carried_out(shelf, plan, steps), policy, NOW)
    assert removed_by(rest) == removed_by(plan) & {decision.id for decision in rest.decisions}
    done = plan_prune(carried_out(shelf, plan, 1000), policy, NOW)
    assert removed_by(done) == set()
    assert rules_of(done) == rules_of(plan)


@settings(max_examples=300)
@given(shelves(), POLICIES, st.sampled_from([*COUNTS, "within", "minimum_restored", "classes"]), st.integers(1, 3))
def test_to_ask_for_more_never_removes_more(shelf: list[Candidate], policy: Policy, what: str, more: int) -> None:
    if not policy.rules():
        return  # the first keep rule of all is what makes removals possible
    now = getattr(policy, what)
    larger: Any = {name: replace(floor, years=floor.years + more) for name, floor in now.items()} if what == "classes" else now + more
    changes: dict[str, Any] = {what: larger}
    before, after = plan_prune(shelf, policy, NOW), plan_prune(shelf, replace(policy, **changes), NOW)
    assert removed_by(after) <= removed_by(before)


@settings(max_examples=300)
@given(shelves(chains=False), POLICIES)
def test_the_fate_of_proven_ones_is_theirs_alone(shelf: list[Candidate], policy: Policy) -> None:
    proven = proven_of(shelf)
    alone = plan_prune(proven, policy, NOW)
    assert removed_by(plan_prune(shelf, policy, NOW)) & {found.id for found in proven} == removed_by(alone)


ODD_INSTANTS = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, at(NEW), at(NEW) + 60 * DAY, at("2038-01-19 03:14")]), st.none(), st.booleans())


@settings(max_examples=300)
@given(
    st.lists(st.builds(
        Candidate, st.sampled_from("abcdef"), ODD_INSTANTS, st.sampled_from([0, 1, -1, 10**20]), st.booleans(), st.sampled_from(["", "restored", "x"]),
        ODD_INSTANTS, st.booleans(), st.booleans(), needs=st.lists(st.sampled_from("abcxyz"), max_size=2).map(tuple), started_removal=st.booleans(),
    ), max_size=5).map(lambda odd: [*odd, artifact(NEW)]),
    st.one_of(ODD_INSTANTS, st.just(NOW)),
)  # fmt: skip
def test_whatever_the_listing_and_the_clock_say_the_newest_proven_one_stays(shelf: list[Candidate], now: Any) -> None:
    try:
        plan = plan_prune(shelf, Policy(last=1, minimum_restored=1), now)
    except RunbookError:
        return
    assert actions_of(plan)[proven_of(shelf)[0].id] == "keep"
    assert all(decision.rules for decision in plan.decisions if decision.action == "keep")
    assert all(decision.reason for decision in plan.decisions)
