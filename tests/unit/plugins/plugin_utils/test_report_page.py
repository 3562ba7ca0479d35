# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_changes import compare
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_page import Material, build_page
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils.report_views import make_check, make_host, make_view

BAD = {"status": "critical"}
CUT = [{"host": "", "task": "the run itself", "status": "unknown", "severity": "P2", "message": "the run was killed", "hint": ""}]


def page_of(view: dict[str, Any], previous: dict[str, Any] | None = None) -> dict[str, Any]:
    """The page of a view without plots."""
    return build_page(Material(view, compare(previous, view), [], [], ""))


@pytest.mark.parametrize(
    ("view", "status", "sentence"),
    [
        (make_view(make_host(checks=[make_check(), make_check("b")])), "ok", "All 2 checks on 1 host are ok"),
        (make_view(make_host(checks=[make_check()])), "ok", "The only check on 1 host is ok"),
        (make_view(make_host(checks=[make_check(), make_check("b"), make_check("c", "skipped")])), "ok", "All 2 checks on 1 host are ok, 1 left out"),
        (make_view(make_host(), changes=[{"host": "app", "task": "t"}]), "ok", "Nothing was checked; 1 change made and nothing failed"),
        (make_view(make_host()), "ok", "Nothing was checked; nothing changed and nothing failed"),
        (make_view(), "ok", "Nothing was checked; nothing changed and nothing failed"),
        (make_view(make_host(checks=[make_check("orders", "critical")])), "critical", "\u201corders\u201d is critical on app"),
        (make_view(make_host("db", reachable=False)), "unknown", "db cannot be reached"),
        (make_view(make_host(checks=[make_check("a", "critical"), make_check("b", "warning"), make_check("c", "warning")]), make_host("db", reachable=False)),
         "critical", "1 critical, 1 unreachable host and 2 warnings; first of all, \u201ca\u201d is critical on app"),
        (make_view(make_host(), status="critical", issues=[{"host": "app", "task": "Copy", "status": "critical"}]), "critical",
         "\u201cCopy\u201d failed on app"),
        (make_view(make_host(checks=[make_check()]), status="critical"), "critical", "The run ended critical, and no check or task says why"),
        (make_view(make_host(checks=[make_check(), make_check("b")]), state="killed", status="unknown", issues=CUT), "unknown",
         "The run was killed before it finished; all 2 checks measured until then on 1 host are ok"),
        (make_view(make_host("All", [make_check("All", "critical")]), state="interrupted"), "critical",
         "The run was interrupted before it finished; \u201cAll\u201d is critical on All"),
        (make_view(make_host(checks=[make_check()]), state="running"), "unknown", "The run has no recorded end; the only check on 1 host is ok"),
        (make_view(make_host(checks=[make_check("a", "never heard of")])), "unknown", "\u201ca\u201d is unknown on app"),
    ],
)  # fmt: skip
def test_the_verdict_is_one_true_sentence(view: dict[str, Any], status: str, sentence: str) -> None:
    assert (page_of(view)["verdict"]["status"], page_of(view)["verdict"]["sentence"]) == (status, sentence)


def test_facts_are_honest_about_what_is_not_known() -> None:
    view = make_view(ended_at=None, duration_seconds=None, exit_code=None, user=None, controller=None, limit=None, state="killed", check_mode=True)
    facts = {label: value for label, value, _exact in page_of(view)["facts"]}
    assert facts == {"Playbook": "daily", "Started by": "–", "Start": "2026-11-20 02:15:00 UTC", "End": "not recorded", "Duration": "not recorded",
                     "State": "killed", "Mode": "check mode, nothing changed", "Limit": "none, all hosts"}  # fmt: skip


def test_systems_keep_their_own_hosts() -> None:
    view = make_view(make_host("a"))
    view["systems"].append({"name": "tft", "environment": "staging", "status": "ok", "hosts": [make_host("a")]})
    assert [(system["name"], len(system["hosts"])) for system in page_of(view)["systems"]] == [("nextrade / production", 1), ("tft / staging", 1)]


@pytest.mark.parametrize(
    ("anchor", "text", "command"),
    [
        ({"seq": 7, "mac": "9f0c", "key_id": "k"}, "7:9f0c", "ansible-playbook tradeops.runbook.verify_ledger -e '{\"runbook_anchors\": [\"7:9f0c\"]}'"),
        ({"seq": 7, "mac": "9f'; rm -rf ~ #", "key_id": "k"}, "7:9f'; rm -rf ~ #", "ansible-playbook tradeops.runbook.verify_ledger"),
    ],
)
def test_only_a_plain_anchor_gets_into_the_command(anchor: dict[str, Any], text: str, command: str) -> None:
    page = page_of(make_view(anchor=anchor))
    assert (page["anchor"]["text"], page["anchor"]["command"]) == (text, command)


@pytest.mark.parametrize("anchor", [None, {}, "x", []])
def test_a_run_that_is_not_sealed_has_no_anchor(anchor: Any) -> None:
    assert page_of(make_view(anchor=anchor))["anchor"] is None


def test_the_change_log_has_what_was_said_and_nothing_else() -> None:
    notes = [{"host": "app", "kind": kind, "text": f"a {kind}", "by": "jane"} for kind in ("note", "issue", "next_step", "validation", "reason", "novel")]
    log = page_of(make_view(make_host(), notes=notes, changes=[{"host": "app", "task": "Copy", "role": "backup", "message": "3 files"}]))["log"]
    assert [entry["text"] for entry in log["notes"]] == ["a note", "a novel"]
    assert [log[key][0]["text"] for key in ("noted_issues", "next_steps", "reasons", "changes")] == ["a issue", "a next_step", "a reason", "Copy"]
    assert log["validation"][-1] == {"done": True, "text": "a validation", "by": "jane", "host": "app"}
    assert (log["downtime"], log["issues"]) == ([], [])


@pytest.mark.parametrize(
    ("view", "boxes"),
    [
        (make_view(make_host(checks=[make_check()])), [True, True, True, True]),
        (make_view(make_host(checks=[make_check(**BAD)]), make_host("db", reachable=False), state="killed"), [False, False, True, False]),
        (make_view(make_host(), issues=[{"host": "app", "task": "Copy", "status": "critical"}]), [True, True, False]),
        (make_view(), [True, False, True]),
    ],
)
def test_boxes_are_ticked_only_for_what_held(view: dict[str, Any], boxes: list[bool]) -> None:
    assert [box["done"] for box in page_of(view)["log"]["validation"]] == boxes


def test_what_moved_is_in_words() -> None:
    units = {"latency": "s", "code": "number", "size": "B", "rest": "s"}
    before = make_view(make_host(checks=[make_check(measures={"latency": 0.3, "code": 200, "size": 2**30, "rest": 1.0}, units=units)]))
    after = make_view(make_host(checks=[make_check(measures={"latency": 6.2, "code": 503, "size": 2**29, "rest": 0.001}, units=units)]))
    moved = {entry["measure"]: (entry["before"], entry["now"], entry["change"]) for entry in page_of(after, before)["changes"]["measures"]}
    assert moved == {"latency": ("300 ms", "6.2 s", "× 21"), "code": ("200", "503", ""), "size": ("1 GiB", "512 MiB", "−50 %"),
                     "rest": ("1 s", "1 ms", "−99 %")}  # fmt: skip


def test_a_quiet_comparison_says_so() -> None:
    view = make_view(make_host(checks=[make_check()]))
    assert page_of(view, view)["changes"]["quiet"] is True
    assert page_of(view)["changes"] is None


def test_what_a_cut_run_did_not_reach_is_not_called_gone() -> None:
    before = make_view(make_host(checks=[make_check(), make_check("b")]))
    groups = page_of(make_view(make_host(checks=[make_check()]), state="killed"), before)["changes"]["groups"]
    assert [(group["heading"], group["why"]) for group in groups] == [("Not measured", "this run was killed")]
