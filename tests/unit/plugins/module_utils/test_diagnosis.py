# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings in their order, since when, proposals with tokens, and whether it helped."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.diagnosis import Case, conclude, diagnose, lines, rank, since
from ansible_collections.tradeops.runbook.plugins.module_utils._core.symptoms import compile_symptoms

AT = "2026-11-20T10:00:00Z"
AGENT = {"restart": {"container": "signal-agent"}}


def check(name: str, status: str = "critical", severity: str | None = "P2", **more: Any) -> dict[str, Any]:
    bad = status not in ("ok", "skipped")
    shared = {"kind": "http", "message": f"{name} is {status}" if bad else "", "hint": "", "measures": {}, "units": {}, "limits": [], "notes": []}
    return {"name": name, "status": status, "severity": severity if bad else None, **shared, **more}


def measured(*checks: dict[str, Any]) -> dict[str, Any]:
    return {"measured_at": AT, "checks": list(checks), "status": "x", "summary": "y"}


def case(*proposals: dict[str, Any], **more: Any) -> Case:
    symptom = compile_symptoms([{"down": {"proposals": list(proposals), **more}}])["down"]
    return Case("app", "nextrade", "production", "down", symptom, "ansible-playbook diagnose.yml -e diagnose_symptom=down")


def proposals(*checks: dict[str, Any], of: Case) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = diagnose(measured(*checks), {}, {}, of)["proposals"]
    return found


def test_the_worst_comes_first_then_the_most_urgent_then_what_broke_first() -> None:
    checks = [
        check("w", "warning", "P1"), check("ok", "ok"), check("u", "unknown", "P1"), check("late", "critical", "P2"), check("urgent", "critical", "P1"),
        check("first", "critical", "P2"), check("new", "critical", "P2"), check("muted", "skipped"),
    ]  # fmt: skip
    bad = {name: [{"at": f"2026-11-20T09:0{number}:00Z", "status": "critical"}] for number, name in enumerate(["first", "late"])}
    assert [finding["name"] for finding in rank(checks, bad)] == ["urgent", "first", "late", "new", "u", "w"]


@pytest.mark.parametrize(
    ("earlier", "begun", "well"),
    [
        ("", None, None),
        ("o", None, 0),
        ("oc", 1, 0),
        ("ocuw", 1, 0),
        ("cocc", 2, 1),
        ("cc", 0, None),
        ("osc", 2, 0),  # what was skipped tells nothing
        ("s", None, None),
        ("occo", None, 3),
    ],
)
def test_since_when(earlier: str, begun: int | None, well: int | None) -> None:
    statuses = {"o": "ok", "c": "critical", "u": "unknown", "w": "warning", "s": "skipped"}
    seen = [{"at": f"t{number}", "status": statuses[letter]} for number, letter in enumerate(earlier)]
    assert since(seen) == {"since": None if begun is None else f"t{begun}", "well_at": None if well is None else f"t{well}"}


def test_a_proposal_is_made_once_for_the_worst_check_it_fits_in_the_order_of_the_inventory() -> None:
    wanted = case(
        {"when": "nothing*", "propose": "no"},
        {"when": "trade*", "is": ["warning", "critical"], "propose": "second", "why": "reason"},
        {"when": "agent", "propose": "third", "act": AGENT},
        {"when": "agent", "is": "warning", "propose": "not this verdict"},
        {"when": "disk", "is": "ok", "propose": "when it is well"},
    )
    found = proposals(check("trade a", "warning"), check("agent"), check("trade b"), check("disk", "ok"), of=wanted)
    assert [(one["propose"], one["finding"], one["since_it_is"]) for one in found] == [
        ("second", "trade b", "trade b is critical"), ("third", "agent", "agent is critical"), ("when it is well", "disk", "disk is ok")]  # fmt: skip
    assert [bool(one["token"]) for one in found] == [False, True, False]
    assert found[0] | {"why": "reason", "act": None, "run": "", "does": ""} == found[0]
    assert found[1]["does"] == "restart the container signal-agent"
    assert found[1]["run"] == f"ansible-playbook diagnose.yml -e diagnose_symptom=down -e diagnose_act={found[1]['token']}"


def test_a_token_is_of_one_host_one_deed_and_one_finding() -> None:
    def tokens(of: Case, *checks: dict[str, Any]) -> list[str]:
        return [one["token"] for one in proposals(*checks, of=of)]

    one = case({"when": "a*", "is": ["critical", "unknown"], "propose": "p", "act": AGENT})
    other = case({"when": "a*", "is": ["critical", "unknown"], "propose": "p", "act": {"restart": {"unit": "signal-agent"}}})
    (first,) = tokens(one, check("a1"))
    assert len(first) == 8 and int(first, 16) >= 0
    assert tokens(one, check("a1", message="another figure", severity="P1"), check("b")) == [first]
    changed = [
        tokens(one, check("a2")), tokens(one, check("a1", "unknown")), tokens(other, check("a1")),
        *(tokens(Case(**{**vars(one), key: "other"}), check("a1")) for key in ("host", "system", "environment", "name")),
    ]  # fmt: skip
    assert len({first, *(found for (found,) in changed)}) == 8


LOG = {
    "name": "application log", "lines": 9, "bookmark": {"x": 1},
    "signatures": [
        {"level": "INFO", "text": "fine", "count": 90, "last_at": AT},
        *({"level": "ERROR", "text": f"no {number}", "count": 9 - number, "last_at": AT} for number in range(7)),
    ],
}  # fmt: skip


def test_logs_bring_messages_and_no_bookmarks() -> None:
    logs = {"checks": [check("application log", "warning"), check("api", "ok")], "logs": [LOG], "bookmarks": {"application log": {"x": 1}}, "status": "warning"}
    found = diagnose(measured(check("api")), logs, {}, case({"when": "application log", "is": "warning", "propose": "read"}, logs=["app*"]))
    assert [one["name"] for one in found["checks"]] == ["api", "application log", "log: api"]
    assert found["messages"] == [f"application log: {9 - number} x ERROR no {number} (last at {AT})" for number in range(5)]
    assert found["logs"] == [LOG] and "bookmarks" not in found
    assert found["proposals"][0]["finding"] == "application log"


def test_the_result_has_the_shape_of_a_health_result() -> None:
    found = diagnose(measured(check("api"), check("disk", "ok")), {}, {}, case())
    assert (found["status"], found["summary"], found["measured_at"]) == ("critical", "2 checks: 1 critical, 1 ok", AT)
    assert (found["system"], found["environment"], found["symptom"]) == ("nextrade", "production", "down")
    assert found["attention"] == ["critical P2 api: api is critical"]


def test_patterns_that_fit_nothing_are_told() -> None:
    found = diagnose(measured(check("api")), {"checks": [check("api", "ok")]}, {}, case(checks=["api", "last trade*", "*"], logs=["ap*", "audit"]))
    assert found["unmatched"] == ["last trade*", "audit"]
    assert lines(found)["not_on_this_host"] == ["last trade*", "audit"]


def test_what_people_see() -> None:
    well, bad = {"at": "t1", "status": "ok"}, {"at": "t2", "status": "critical"}
    recent = {"a": [well, bad], "b": [well], "c": [{**bad, "at": "t0"}]}
    wanted = case({"when": "a", "propose": "do", "why": "it helps", "act": AGENT}, {"when": "b", "propose": "look"})
    found = diagnose(measured(check("a", hint="try"), check("b"), check("c"), check("d")), {}, recent, wanted)
    shown = lines(found)
    assert shown["symptom"] == "down: 4 checks: 4 critical"
    assert sorted(shown["findings"]) == [
        "critical P2 a: a is critical (try) [since t2, well at t1]", "critical P2 b: b is critical [new; well at t1]",
        "critical P2 c: c is critical [since t0, or longer]", "critical P2 d: d is critical [nobody looked before]"]  # fmt: skip
    token = found["proposals"][0]["token"]
    assert shown["proposals"][0] == {
        "propose": "do", "why": "it helps; a is critical",
        "does": "restart the container signal-agent", "run": f"{wanted.command} -e diagnose_act={token}"}  # fmt: skip
    assert shown["proposals"][1] == {"propose": "look", "why": "b is critical"}
    assert "messages" not in shown and "not_on_this_host" not in shown


def test_nothing_is_bad() -> None:
    shown = lines(diagnose(measured(check("a", "ok")), {}, {}, case()))
    assert shown["findings"] == ["nothing that was looked at is bad"] and shown["proposals"] == ["nothing that the inventory knows of"]


@pytest.mark.parametrize(
    ("then", "now", "helped"),
    [
        ("critical", "ok", True), ("critical", "skipped", None), ("critical", "warning", True), ("critical", "unknown", False), ("critical", "critical", False),
        ("unknown", "ok", True), ("unknown", "warning", True), ("unknown", "critical", False), ("warning", "ok", True), ("warning", "warning", False),
    ],
)  # fmt: skip
def test_whether_it_helped(then: str, now: str, helped: bool | None) -> None:
    wanted = case({"when": "a", "is": ["critical", "unknown", "warning"], "propose": "p", "act": AGENT})
    before = diagnose(measured(check("a", then), check("b"), check("c", "ok")), {}, {}, wanted)
    kept = copy.deepcopy(before)
    after = conclude(before, {**measured(check("b"), check("c", "ok"), check("a", now)), "measured_at": "later"}, before["proposals"][0])
    assert before == kept
    acted = after["acted"]
    assert (acted["helped"], acted["done"], acted["left"], acted["finding"]) == (helped, True, ["b"], "a")
    how = "is not judged now" if helped is None else f"{'is' if helped else 'still is'} {now}"
    assert acted["said"] == f"Done: restart the container signal-agent. a was {then} and {how}. Not well: b"
    assert [(one["name"], one["status"]) for one in after["checks"]] == [("a", now), ("b", "critical"), ("c", "ok")]
    assert after["measured_at"] == "later" and after["summary"].startswith("3 checks")


def test_what_could_not_be_done_did_not_help() -> None:
    before = diagnose(measured(check("a")), {}, {}, case({"when": "a", "propose": "p", "act": AGENT}))
    acted = conclude(before, measured(check("a", "ok")), before["proposals"][0], "No such container")["acted"]
    assert (acted["done"], acted["helped"]) == (False, False)
    assert acted["said"] == "Could not restart the container signal-agent: No such container"


def test_a_log_tells_later() -> None:
    logs = {"checks": [check("application log")], "logs": []}
    before = diagnose(measured(check("b", "ok")), logs, {}, case({"when": "app*", "propose": "p", "act": AGENT}, logs=["*"]))
    after = conclude(before, measured(check("b", "ok")), before["proposals"][0])
    assert after["acted"]["helped"] is None and after["acted"]["said"].endswith("application log is a log, which tells later")
    assert [one["status"] for one in after["checks"]] == ["ok", "critical"]
