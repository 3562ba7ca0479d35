# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run a set is restored from, on whose word, and how it ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, NotThere
from ansible_collections.tradeops.runbook.plugins.module_utils._core.sets import check_sets, choose, conclude, summarize_plans
from hypothesis import given
from hypothesis import strategies as st

MEMBERS = ("ledger", "cache", "settings")


def run_of(day: int) -> str:
    return f"202611{day:02}T120000Z-000000{day:02}"


def artifact(day: int, second: int = 0, **changes: Any) -> dict[str, Any]:
    instant = f"2026-11-{day:02}T12:00:{second:02}Z"
    return {"id": f"202611{day:02}T1200{second:02}Z-aaaaaaaa", "run_id": run_of(day), "state": "good", "taken_at": instant, "restored_at": instant, "pins": [],
            "problem": "", **changes}  # fmt: skip


def three(days: tuple[int, ...] = (1, 2, 3), **of: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: of.get(name, [artifact(day, second) for day in days]) for second, name in enumerate(MEMBERS)}


SUSPECT = {"state": "suspect", "problem": "table a is missing"}


@pytest.mark.parametrize(
    ("of", "wanted", "day", "passed"),
    [
        ({}, "latest_restored", 3, []),
        ({}, "latest", 3, []),
        ({}, run_of(2), 2, []),
        ({}, "2026-11-02T12:00:02Z", 2, ["cache: 20261103"]),
        ({}, "2026-11-02T12:00:01Z", 1, ["settings: 20261102T120002Z-aaaaaaaa was taken later"]),
        ({"cache": [artifact(1), artifact(2), artifact(3, **SUSPECT)]}, "latest", 2, ["cache: 20261103T120000Z-aaaaaaaa is suspect (table a is missing)"]),
        ({"cache": [artifact(1), artifact(2), artifact(3, restored_at=None)]}, "latest", 3, []),
        ({"cache": [artifact(1), artifact(2), artifact(3, restored_at=None)]}, "latest_restored", 2, ["was never proven to restore"]),
        ({"cache": [artifact(1), artifact(3)]}, "latest", 3, []),
        ({"cache": [artifact(1), artifact(2)]}, "latest", 2, ["cache: the run took none"]),
        ({"cache": [artifact(1), artifact(2), artifact(3, pins=["x"])]}, "latest", 2, ["cache: the run took none"]),
        ({"cache": [artifact(2), artifact(3, pins=["x"]), artifact(3, 9)]}, "latest", 3, []),
        ({"cache": [artifact(2), artifact(3, 8), artifact(3, 9, **SUSPECT)]}, "latest", 3, []),
        ({name: [artifact(1), artifact(9, run_id="")] for name in MEMBERS}, "latest", 1, []),
    ],
)
def test_the_newest_run_that_has_all_of_it(of: dict[str, Any], wanted: str, day: int, passed: list[str]) -> None:
    found = choose(three(**of), wanted)
    assert json.loads(json.dumps(found)) == found and found["run_id"] == run_of(day) and list(found["artifacts"]) == list(MEMBERS)
    assert all(said in "\n".join(found["passed_over"]) for said in passed) and bool(found["passed_over"]) is bool(passed)


def test_what_is_named_and_how_far_it_is_apart() -> None:
    found = choose(three(cache=[artifact(3), artifact(3, 40)]), "latest")
    assert found == {
        "run_id": run_of(3), "skew_seconds": 40, "passed_over": [],
        "artifacts": {"ledger": artifact(3)["id"], "cache": artifact(3, 40)["id"], "settings": artifact(3, 2)["id"]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lists", "wanted", "error", "said"),
    [
        ({}, "latest", InvalidInput, "no members"),
        (three(()), "latest", NotThere, "there is none at all"),
        (three(cache=[]), "latest", NotThere, "cache: the run took none"),
        (three(), run_of(9), NotThere, "no run has a whole set of ledger, cache, settings"),
        (three(), "2026-11-01T00:00:00Z", NotThere, "was taken later"),
        (three(cache=[artifact(3, **SUSPECT)]), run_of(3), NotThere, "is suspect"),
        (three(), "yesterday", InvalidInput, "the id of a run"),
    ],
)
def test_when_there_is_none(lists: Any, wanted: str, error: type[InvalidInput], said: str) -> None:
    with pytest.raises(error) as caught:
        choose(lists, wanted)
    assert said in f"{caught.value.message} {caught.value.hint}"


# No two have one id.
DRAWN = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["good", "suspect"]), st.integers(0, 59)), max_size=12, unique_by=lambda one: (one[0], one[2]))


@given(DRAWN, st.sampled_from(MEMBERS))
def test_never_half_of_one_and_half_of_another(drawn: list[Any], name: str) -> None:
    lists = three(tuple(range(1, 10)), **{name: sorted((artifact(day, second, state=state) for day, state, second in drawn), key=lambda one: one["taken_at"])})
    good = {day for day, state, _second in drawn if state == "good"}
    if not good:
        with pytest.raises(NotThere):
            choose(lists, "latest")
        return
    found = choose(lists, "latest")
    assert found["run_id"] == run_of(max(good))
    chosen = [one for name, wanted in found["artifacts"].items() for one in lists[name] if one["id"] == wanted]
    assert {one["run_id"] for one in chosen} == {found["run_id"]} and {one["state"] for one in chosen} == {"good"}


def plan(item: str, **more: Any) -> dict[str, Any]:
    return {"item": item, "plan": [{"reason": "swapped"}], "doubts": [], "confirm": f"{item}-token", "in_use": "", "unfinished": "", **more}


def test_a_confirmation_stands_for_all_plans() -> None:
    alone = summarize_plans([plan("orders", doubts=["old"], in_use="python (7)")])
    assert alone == {"confirm": "orders-token", "unfinished": "", "plan": ["swapped"], "mind": ["old"], "in_use": "python (7)"}
    both = summarize_plans([plan("orders", doubts=["old"]), plan("cache", in_use="x")])
    assert (both["plan"], both["mind"], both["in_use"]) == (["orders: swapped", "cache: swapped"], ["orders: old"], "cache: x")
    others = [
        [plan("orders", confirm="other"), plan("cache")], [plan("cache"), plan("orders")], [plan("orders")],
        [plan("orders", unfinished="half"), plan("cache", unfinished="half")],
    ]  # fmt: skip
    assert len({summarize_plans(other)["confirm"] for other in others} | {both["confirm"]}) == 5
    assert summarize_plans(others[3])["mind"] == ["half"] and summarize_plans([plan("orders", unfinished="half")])["confirm"] != "orders-token"
    assert summarize_plans([{"item": "orders", "plan": []}])["confirm"] == "", "what is taken back needs none"


GOOD: dict[str, Any] = {"outcome": "ok", "restore": {"id": "x"}}
BAD: dict[str, Any] = {"outcome": "failed", "msg": "it broke", "hint": "mend it"}


def results(**outcomes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"item": name, **outcome} for name, outcome in outcomes.items()]


@pytest.mark.parametrize(
    ("done", "back", "state", "told"),
    [
        (results(ledger=GOOD, cache=GOOD, settings=GOOD), [], "new", ["", "", ""]),
        (results(ledger=GOOD, cache=GOOD, settings={"outcome": "warn"}), results(ledger={"skipped": True}), "new", ["", "", ""]),
        (results(ledger=GOOD, cache=BAD), results(settings=GOOD, cache=GOOD, ledger=GOOD), "old",
         ["it was restored and taken back, since cache failed", "it broke", "it was not restored, since cache failed"]),
        (results(ledger=GOOD, cache=BAD), results(settings=GOOD, cache=GOOD, ledger=BAD), "mixed",
         ["it could not be taken back: it broke", "it broke", "it was not restored, since cache failed"]),
        (results(ledger=GOOD, cache=BAD), [], "mixed", ["it was restored and not taken back, since cache failed", "it broke",
                                                        "it was not restored, since cache failed"]),
        (results(ledger={"outcome": "unknown", "msg": "?"}), results(settings=GOOD, cache=GOOD, ledger=BAD), "mixed",
         ["it could not be taken back: it broke", "it was not restored, since ledger failed", "it was not restored, since ledger failed"]),
        (results(ledger=GOOD), [], "mixed", ["it was restored and not taken back, since it did not come to that"] + 2 * [
            "it was not restored, since it did not come to that"]),
        (results(ledger={"msg": "a crash has no outcome"}), results(settings=GOOD, cache=GOOD, ledger=GOOD), "old",
         ["a crash has no outcome"] + 2 * ["it was not restored, since ledger failed"]),
    ],
)  # fmt: skip
def test_how_it_ended(done: list[Any], back: list[Any], state: str, told: list[str]) -> None:
    found = conclude(done, back, MEMBERS)
    assert (found["state"], [result.get("msg", "") for result in found["results"]]) == (state, told)
    assert [result["item"] for result in found["results"]] == list(MEMBERS)
    if state != "new":
        assert not any(result["restore"] for result in found["results"]) and not any(result.get("outcome") == "ok" for result in found["results"])


def test_services_stay_stopped_while_another_run_is_at_it() -> None:
    busy = {"outcome": "busy", "msg": "it is being restored"}
    assert conclude(results(ledger=busy), results(settings=GOOD, cache=GOOD, ledger=GOOD), MEMBERS)["state"] == "mixed"
    assert conclude([{**busy, "item": "ledger"}], [{**GOOD, "item": "ledger"}], ["ledger"])["state"] == "mixed"


def test_what_an_earlier_run_left_half_done_is_not_whole() -> None:
    half = {**GOOD, "unfinished": "the run a was interrupted"}
    assert conclude(results(ledger=half), [], ["ledger"])["state"] == "mixed"
    assert conclude(results(ledger=half, cache=GOOD), [], ["ledger", "cache"])["state"] == "new", "the last one ended it"
    assert conclude(results(ledger=BAD), results(ledger=half), ["ledger"])["state"] == "mixed"


SOURCES: dict[str, dict[str, Any]] = {**{name: {"set": "trading"} for name in MEMBERS}, "log": {"set": ""}}


def took(second: int = 0, run: str = "r") -> dict[str, Any]:
    return {"outcome": "ok", "newest": None, "artifact": {"run_id": run, "taken_at": f"2026-11-20T12:00:{second:02}Z"}}


@pytest.mark.parametrize(
    ("done", "status", "told"),
    [
        (results(ledger=took(), cache=took(7), settings=took(3), log=took()), "ok", ""),
        (results(ledger=took(), cache=BAD, settings=took()), "critical", "the set of this run is not whole: cache failed"),
        (results(ledger=took(), cache={**took(), "outcome": "failed"}, settings=BAD), "critical", "the set of this run is not whole: cache, settings failed"),
        (results(ledger=took(), cache=took()), None, ""),
        (results(ledger=took(), cache=took(run="earlier"), settings=took()), None, ""),
        (results(ledger=BAD, cache=BAD, settings=BAD), None, ""),
        (results(ledger={"outcome": "ok", "proof": {}}, cache=BAD, settings={"outcome": "ok", "proof": {}}), None, ""),
        (results(log=BAD), None, ""),
    ],
)
def test_whether_a_run_has_all_of_a_set(done: list[Any], status: str | None, told: str) -> None:
    checks = check_sets(done, SOURCES)
    assert [(check["name"], check["status"], check["message"]) for check in checks] == ([("set trading", status, told)] if status else [])
    if status == "ok":
        assert checks[0]["measures"] == {"skew": 7.0} and checks[0]["units"] == {"skew": "s"}
