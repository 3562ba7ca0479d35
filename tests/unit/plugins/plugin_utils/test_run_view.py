# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From events to the picture of a run."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view, systems_of

from .recorded import Draft, chained, check, checks, ended, hosts, log, log_report, run_id, started, step

RUN = run_id(1)
NOTE = {"kind": "reason", "text": "because", "by": "Ada"}


def view_of(*drafts: Draft) -> dict[str, Any]:
    return build_view(chained(RUN, [started(), hosts(app="nextrade/production"), *drafts]))


def host_of(view: dict[str, Any], name: str = "app") -> dict[str, Any]:
    return next(host for system in view["systems"] for host in system["hosts"] if host["name"] == name)


def test_a_whole_run() -> None:
    bad = check("api", "critical", severity="P1", message="it refuses", hint="start it")
    view = build_view(chained(RUN, [
        started(playbook="weekly", limit="app", check_mode=True),
        hosts(app="nextrade/production", db="nextrade/staging", localhost=""),
        checks(check("disk", "ok"), bad, system="nextrade", environment="production"),
        step("changed", task="Install", role="patching", message="1 package"),
        step("ok", action="tradeops.runbook.run_note", result={"outcome": "ok", "performed": [NOTE]}),
        ended(stats={"app": {"ok": 3, "failures": 0}, "db": {"ok": 1}}),
    ]))  # fmt: skip
    assert {key: view[key] for key in ("run_id", "playbook", "limit", "check_mode", "state", "status", "exit_code")} == {
        "run_id": RUN, "playbook": "weekly", "limit": "app", "check_mode": True, "state": "finished", "status": "critical", "exit_code": 0,
    }  # fmt: skip
    assert (view["started_at"], view["ended_at"], view["duration_seconds"]) == ("2026-11-20T02:16:00Z", "2026-11-20T02:16:09Z", 9.0)
    assert systems_of(view) == [
        {"name": "nextrade", "environment": "production"}, {"name": "nextrade", "environment": "staging"}, {"name": "unassigned", "environment": ""},
    ]  # fmt: skip
    assert [system["status"] for system in view["systems"]] == ["critical", "ok", "ok"]
    assert host_of(view)["summary"] == "2 checks: 1 critical, 1 ok"
    assert [found["name"] for found in host_of(view)["checks"]] == ["disk", "api"]
    assert view["changes"] == [{"host": "app", "task": "Install", "role": "patching", "message": "1 package"}]
    assert view["issues"] == [{"host": "app", "check": "api", "status": "critical", "severity": "P1", "message": "it refuses", "hint": "start it"}]
    assert view["notes"] == [{"host": "app", **NOTE}]
    assert view["measured_at"] == "2026-11-20T02:16:00Z"
    assert view["anchor"] is None


def test_no_events_are_a_view_too() -> None:
    view = build_view([])
    assert (view["state"], view["status"], view["run_id"], view["systems"], view["started_at"]) == ("running", "skipped", None, [], None)


def test_a_verdict_replaces_what_the_modules_of_its_role_said() -> None:
    raw = [checks(check("a", "critical"), judged=False), checks(check("b", "critical"), judged=False)]
    assert [found["name"] for found in host_of(view_of(*raw))["checks"]] == ["a", "b"]
    verdict = host_of(view_of(*raw, checks(check("a", "warning"))))["checks"]
    assert [(found["name"], found["status"], found["role"]) for found in verdict] == [("a", "warning", "health")]


def test_the_parts_of_a_verdict_belong_together_and_roles_stay_apart() -> None:
    view = view_of(checks(check("a"), part=1, parts=2), checks(check("b"), part=2, parts=2), checks(check("a"), role="log_review"))
    assert [(found["role"], found["name"]) for found in host_of(view)["checks"]] == [("health", "a"), ("health", "b"), ("log_review", "a")]


def test_a_second_look_in_the_same_run_counts() -> None:
    view = view_of(checks(check("a", "critical")), checks(check("a", "ok"), judged=False), checks(check("a", "warning")))
    assert view["status"] == "warning"


def test_a_verdict_can_say_whose_host_it_is() -> None:
    view = build_view(chained(RUN, [started(), checks(check(), system="tft", environment="staging")]))
    assert systems_of(view) == [{"name": "tft", "environment": "staging"}]


@pytest.mark.parametrize(
    ("state", "result", "stats", "status"),
    [
        ("failed", {}, {"failures": 1}, "critical"),
        ("failed", {}, {}, "critical"),
        ("failed", {"outcome": "refused"}, {"failures": 1}, "critical"),
        ("failed", {}, {"failures": 0, "rescued": 1}, "warning"),
        ("ignored", {"outcome": "failed"}, {"ignored": 1}, "warning"),
        ("ignored", {}, {"ignored": 1}, "ok"),
        ("unreachable", {}, {"unreachable": 1}, "unknown"),
        ("changed", {"outcome": "ok"}, {"ok": 1}, "ok"),
        ("changed", {"outcome": "warn"}, {"ok": 1}, "warning"),
        ("changed", {"outcome": "partial"}, {"ok": 1}, "warning"),
        ("ok", {"outcome": "unknown"}, {"ok": 1}, "unknown"),
        ("ok", {"outcome": "busy"}, {"ok": 1}, "warning"),
        ("ok", {"outcome": "something else"}, {"ok": 1}, "ok"),
    ],
)
def test_what_a_step_says_about_its_host(state: str, result: dict[str, Any], stats: dict[str, int], status: str) -> None:
    view = view_of(step(state, result=result, message="m"), ended(stats={"app": stats} if stats else {}))
    assert (view["status"], host_of(view)["status"]) == (status, status)
    assert [issue["status"] for issue in view["issues"]] == ([] if status == "ok" else [status])


def test_the_task_that_fails_a_host_for_its_verdict_makes_nothing_worse() -> None:
    judged = checks(check("disk", "warning", severity="P3", message="full"))
    view = view_of(judged, step("failed", role="health", action="ansible.builtin.fail"), ended(stats={"app": {"failures": 1}}))
    assert view["status"] == "warning"
    assert [issue["check"] for issue in view["issues"]] == ["disk"]
    assert view_of(step("failed", role="backup", action="ansible.builtin.fail"))["status"] == "critical"


def test_an_unreachable_host_is_told_even_when_it_was_well_before() -> None:
    view = view_of(checks(check()), step("unreachable", message="timed out"), ended(stats={"app": {"unreachable": 1}}))
    host = host_of(view)
    assert (host["reachable"], host["status"], host["summary"]) == (False, "unknown", "it could not be reached")
    assert view["issues"][0] | {"hint": ""} == {
        "host": "app", "task": "t", "role": "", "message": "timed out", "status": "unknown", "severity": "P2", "hint": "",
    }  # fmt: skip


def test_a_host_without_checks_says_what_happened_to_it() -> None:
    assert host_of(view_of(step("failed", message="no space")))["summary"] == "no space"
    assert host_of(view_of(step("failed")))["summary"] == "t: failed"
    assert host_of(view_of(step("changed")))["summary"] == "1 recorded step"


@pytest.mark.parametrize("state", ["killed", "interrupted"])
def test_a_run_that_did_not_end_by_itself_is_unknown_at_best(state: str) -> None:
    view = view_of(checks(check()), ended(state, exit_code=None))
    assert (view["status"], view["state"], view["issues"][0]["task"]) == ("unknown", state, "the run itself")
    assert view_of(checks(check("a", "critical")), ended(state))["status"] == "critical"


def test_what_was_quarantined_is_an_issue() -> None:
    assert "torn" in view_of(("quarantined", {"message": "torn line"}))["issues"][0]["message"]


def test_muted_and_skipped_checks_are_no_issues() -> None:
    muted = check("a", "skipped", measured_status="critical", muted={"reason": "r", "owner": "o", "until": "2027-01-01"})
    view = view_of(checks(muted, check("b", "ok")))
    assert (view["issues"], view["status"]) == ([], "ok")


def test_a_dropped_body_leaves_the_rest() -> None:
    events = chained(RUN, [started(), checks(check()), ended()])
    view = build_view([events[0], events[1]._replace(body=None), events[2]])
    assert (view["run_id"], view["state"]) == (RUN, "finished")


def test_logs_stand_with_their_host_and_the_role_has_the_last_word() -> None:
    of_module = [log_report(log(name), judged=False) for name in ("a", "b")]
    view = view_of(*of_module, log_report(log("a", lines=7), {"x": 1}), log_report(log("a"), role="other", judged=False))
    found = host_of(view)["logs"]
    assert [(one["role"], one["name"], one["lines"], one["bookmark"]) for one in found] == [("log_review", "a", 7, {"x": 1}), ("other", "a", 120, None)]
    assert found[0] == {**log("a", lines=7), "role": "log_review", "bookmark": {"x": 1}, "measured_at": "2026-11-20T02:16:00Z"}


def test_a_second_review_in_the_same_run_counts() -> None:
    first, again = log_report(log("a", lines=1)), log_report(log("a", lines=2), judged=False)
    assert [one["lines"] for one in host_of(view_of(first, again))["logs"]] == [2]
    assert [one["lines"] for one in host_of(view_of(first, log_report(log("b"), judged=False), again, log_report(log("a", lines=3))))["logs"]] == [3]


def test_a_report_cannot_speak_for_its_event() -> None:
    odd = log("a", role="x", measured_at="never", bookmark={"x": 2}, judged=True)
    (found,) = host_of(view_of(log_report(odd, judged=False)))["logs"]
    assert (found["role"], found["bookmark"], found["measured_at"]) == ("log_review", None, "2026-11-20T02:16:00Z")
    assert "judged" not in found


def test_a_log_whose_report_is_gone_is_still_no_defect() -> None:
    assert host_of(view_of(log_report({})))["logs"][0]["role"] == "log_review"
    assert host_of(view_of(checks(check())))["logs"] == []
