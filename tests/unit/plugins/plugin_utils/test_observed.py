# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a result is recorded: the contract, bounded, nothing of a hidden one, nothing that breaks JSON or SQLite."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import canonical
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import migrate, rows_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed import (
    CHECK_LIMIT,
    DIFF_LIMIT,
    EVENT_LIMIT,
    HIDDEN,
    PRUNE_ACTION,
    Observed,
    checks,
    drops,
    is_worth_a_step,
    plain,
    step,
)
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view

from .recorded import chained, check, ended, run_id, started

RESULT = {"status": "warning", "summary": "1 check: 1 warning", "measured_at": "2026-11-20T02:15:00Z"}


def seen(result: dict[str, Any], state: str = "ok", **more: Any) -> Observed:
    return Observed(
        **{"host": "app", "task": "Check", "action": "tradeops.runbook.health_check_info", "state": state, "result": result, "role": "health", **more}
    )


class Text(str):
    """A text that carries something, as Ansible's do."""


class Strange:
    def __str__(self) -> str:
        return "strange"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), (True, True), (3, 3), (1.5, 1.5), ("x", "x"), (Text("x"), "x"), (("a", 1), ["a", 1]), ({"b"}, ["b"]),
        (OrderedDict(a=[Text("x")]), {"a": ["x"]}),
        (Strange(), "strange"), (float("nan"), "nan"), (float("-inf"), "-inf"), (2**63, "a number of more than 63 bits"), (-(2**63) + 1, -(2**63) + 1),
        ("\ud800x", "\\ud800x"), (b"x", "b'x'"), ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
    ],
)  # fmt: skip
def test_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_plain_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert len(canonical(plain(endless))) < 500


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5) | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(anything)
@settings(deadline=None)
def test_whatever_a_host_sends_fits_into_json_and_sqlite(value: Any) -> None:
    data = json.loads(canonical(plain(value)))
    texts = [data] if isinstance(data, str) else list(data) if isinstance(data, dict) else []
    for text in texts:
        assert sqlite3.connect(":memory:").execute("select ?", (text,)).fetchone() == (text,)


@given(
    st.dictionaries(st.sampled_from(["msg", "checks", "outcome", "status", "plan", "diff", "ansible_facts", "warnings"]), anything),
    st.sampled_from(["ok", "failed"]),
)
@settings(deadline=None)
def test_no_result_breaks_the_record(result: dict[str, Any], state: str) -> None:
    for action in ("ansible.builtin.set_fact", "x.y.z"):
        observed = seen(result, state, action=action)
        is_worth_a_step(observed)
        assert len(canonical(step(observed))) <= EVENT_LIMIT
        assert list(checks(observed)) == [] or "checks" in result or "ansible_facts" in result


named = st.fixed_dictionaries(
    {"name": st.text(max_size=5), "status": st.sampled_from(["ok", "critical"])},
    optional={key: anything for key in ("kind", "severity", "message", "hint", "measures", "units", "limits", "notes", "muted", "duration_seconds")},
)
results = st.fixed_dictionaries(
    {"status": anything, "checks": st.lists(named, max_size=3)},
    optional={key: anything for key in ("outcome", "performed", "summary", "hint", "measured_at", "system", "environment")},
)


@given(results, st.sampled_from(["ok", "failed", "unreachable"]), st.booleans())
@settings(deadline=None)
def test_whatever_a_module_answers_the_run_can_be_shown_and_stored(result: dict[str, Any], state: str, judged: bool) -> None:
    by_role = {"action": "ansible.builtin.set_fact", "result": {**result, "ansible_facts": {"health_result": result}}}
    observed = replace(seen(result, state), **by_role) if judged else seen(result, state, action="tradeops.runbook.run_note")
    drafts = [started(), ("step", step(observed)), *(("checks", body) for body in checks(observed)), ended()]
    view = build_view(chained(run_id(1), drafts))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        db = open_database(Places(folder, folder, folder / "key"))
        with db.transaction():
            migrate(db)
            for table, rows in rows_of(view).items():
                db.insert(table, rows)
        assert db.execute("select count(*) from checks").fetchone() == (len({plain(check["name"]) for check in result["checks"]}),)
        db.close()


@pytest.mark.parametrize(
    ("state", "result", "hidden", "expected"),
    [
        ("ok", {}, False, False),
        ("ok", {"changed": False, "msg": "x"}, False, False),
        ("ok", {"outcome": "ok"}, False, True),
        ("ok", {"checks": [], "status": "ok"}, False, True),
        ("ok", {"checks": ["a package's own idea of checks"], "status": "ok"}, False, False),
        ("ok", {"outcome": "ok"}, True, False),
        ("changed", {}, False, True),
        ("failed", {}, True, True),
        ("unreachable", {}, False, True),
    ],
)
def test_what_is_worth_a_step(state: str, result: dict[str, Any], hidden: bool, expected: bool) -> None:
    assert is_worth_a_step(seen(result, state, hidden=hidden)) is expected


def test_only_the_contract_is_kept() -> None:
    result = {**RESULT, "outcome": "refused", "code": "c", "hint": "h", "plan": [1], "performed": [], "diff": {"before": "a", "after": "b"},
              "stdout": "secret", "invocation": {"module_args": {"password": "secret"}}, "checks": [], "msg": "m", "warnings": ["w"]}  # fmt: skip
    body = step(seen(result, "failed", play="p", item="two", duration_seconds=1.5))
    assert body == {
        "play": "p", "role": "health", "task": "Check", "action": "tradeops.runbook.health_check_info", "host": "app", "state": "failed",
        "duration_seconds": 1.5, "message": "two: m",
        "result": {key: result[key] for key in ("status", "summary", "outcome", "code", "hint", "plan", "performed", "measured_at", "warnings", "diff")},
    }  # fmt: skip
    assert "secret" not in canonical(body)


def test_a_hidden_result_leaves_only_that_it_happened() -> None:
    observed = seen({"msg": "secret", "outcome": "ok", "checks": [check()], "status": "ok"}, "failed", hidden=True, item="secret item")
    body = step(observed)
    assert (body["message"], "result" in body) == (HIDDEN, False)
    assert "secret" not in canonical(body)
    assert list(checks(observed)) == []


@pytest.mark.parametrize(
    ("result", "item", "message"),
    [
        ({"msg": "m", "summary": "s"}, "", "m"),
        ({"summary": "s"}, "", "s"),
        ({"msg": ["m"], "hint": "h"}, "", "h"),
        ({}, "", ""),
        ({}, "two", "two"),
        ({"msg": "m"}, "two", "two: m"),
    ],
)
def test_the_message_is_the_most_telling_text(result: dict[str, Any], item: str, message: str) -> None:
    assert step(seen(result, "failed", item=item))["message"] == message


def test_large_things_are_cut_and_say_so() -> None:
    huge = {
        "plan": [{"path": "x" * 100} for _number in range(50_000)],
        "performed": [["y" * 10_000] * 100],
        "outcome": "ok",
        "msg": "m" * 10_000,
        "hint": "h" * 10**6,
    }
    body = step(seen(huge, "changed", task="t" * 10_000))
    assert len(canonical(body)) <= EVENT_LIMIT
    assert body["truncated"] is True
    assert (len(body["message"]), len(body["task"]), body["result"]["outcome"]) == (2049, 513, "ok")
    diff = step(seen({"diff": {"before": "", "after": "z" * 10**6}}, "changed"))["result"]["diff"]
    assert diff["truncated"] is True and len(canonical(diff)) < DIFF_LIMIT


def test_a_module_and_a_role_speak_of_checks() -> None:
    own = list(checks(seen({**RESULT, "checks": [check()]}, identity={"system": "nextrade", "environment": "production"})))
    assert own == [{
        "host": "app", "role": "health", "judged": False, "system": "nextrade", "environment": "production", "measured_at": RESULT["measured_at"],
        "part": 1, "parts": 1, "checks": [check()],
    }]  # fmt: skip
    verdict = {**RESULT, "checks": [check()], "system": "tft", "environment": "staging"}
    facts = {"ansible_facts": {"log_review_result": verdict, "other_result": {"checks": 5}, "health": verdict, "plain_result": "x"}}
    judged = list(checks(seen(facts, action="ansible.builtin.set_fact", identity={"system": "nextrade"})))
    assert [(body["role"], body["judged"], body["system"], body["environment"]) for body in judged] == [("log_review", True, "tft", "staging")]


def test_no_checks_are_a_verdict_too() -> None:
    assert [body["checks"] for body in checks(seen({**RESULT, "checks": []}))] == [[]]


def test_many_checks_come_in_parts() -> None:
    bodies = list(checks(seen({**RESULT, "checks": [check(f"c{number}") for number in range(250)]})))
    assert [(body["part"], body["parts"], len(body["checks"])) for body in bodies] == [(1, 3, 100), (2, 3, 100), (3, 3, 50)]
    large = list(checks(seen({**RESULT, "checks": [check(f"c{number}", notes=["n" * 12_000]) for number in range(60)]})))
    assert len(large) == 3 and all(len(canonical(body)) <= EVENT_LIMIT for body in large)


@pytest.mark.parametrize(
    "more",
    [
        {"notes": ["n" * 100_000]},
        {"measures": {"tables": ["t" * 50] * 10_000}},
        {"measures": {"x" * 30 + str(number): number for number in range(5000)}},
    ],
)
def test_a_check_that_is_too_large_keeps_its_verdict(more: dict[str, Any]) -> None:
    kept = next(checks(seen({**RESULT, "checks": [check("c", "critical", message="bad", **more)]})))["checks"][0]
    assert len(canonical(kept)) <= CHECK_LIMIT
    assert (kept["name"], kept["status"], kept["message"], kept["truncated"]) == ("c", "critical", "bad", True)


def test_only_a_prune_drops() -> None:
    record: dict[str, Any] = {"columns": {}, "groups": [], "cut": None}
    prune = seen({"changed": True, "records": [record]}, "changed", action=PRUNE_ACTION)
    assert list(drops(prune)) == [record]
    others: list[dict[str, Any]] = [{"action": "a.b.c"}, {"state": "ok"}, {"state": "failed"}, {"hidden": True}, {"result": {}}, {"result": {"records": "x"}}]
    for changes in others:
        assert list(drops(replace(prune, **changes))) == []
