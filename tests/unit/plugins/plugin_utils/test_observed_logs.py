# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a reviewed log is recorded: the contract, in 64 KiB, whatever a host sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import canonical
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import rows_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed import Observed, is_worth_a_step
from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed_logs import BOOKMARK_LIMIT, LOG_LIMIT, log_reports
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view

from .recorded import chained, ended, log, run_id, signature, started

RESULT = {"status": "ok", "summary": "1 check: 1 ok", "measured_at": "2026-11-20T02:15:00Z"}
PLACE = {"system": "nextrade", "environment": "production"}


def seen(result: dict[str, Any], action: str = "tradeops.runbook.log_analysis_info", **more: Any) -> Observed:
    return Observed(**{"host": "app", "task": "Review", "action": action, "state": "ok", "result": result, "role": "log_review", "identity": PLACE, **more})


def reported(*logs: Any, **more: Any) -> list[dict[str, Any]]:
    return list(log_reports(seen({**RESULT, "logs": list(logs), **more})))


def sample(text: str = "it failed", around: int = 0) -> dict[str, Any]:
    return {"at": "2026-11-20T02:00:00Z", "path": "/x", "text": text, "before": ["b" * 400] * around, "after": ["a" * 400] * around}


def test_a_module_and_a_role_speak_of_logs() -> None:
    marks = {"app log": {"taken_at": 5.5, "place": {}}}
    assert reported(log("app log", signature()), log("quiet"), bookmarks=marks) == [
        {"host": "app", "role": "log_review", "judged": False, **PLACE, "measured_at": RESULT["measured_at"], "bookmark": mark, "report": report}
        for mark, report in ((marks["app log"], log("app log", signature())), (None, log("quiet")))
    ]
    verdict = {**RESULT, "logs": [log()], "system": "tft", "environment": "staging"}
    facts = {"ansible_facts": {"log_review_result": verdict, "other_result": {"logs": 5}, "log_review": verdict}}
    judged = list(log_reports(seen(facts, "ansible.builtin.set_fact", role="x")))
    assert [(body["role"], body["judged"], body["system"], body["environment"]) for body in judged] == [("log_review", True, "tft", "staging")]


@pytest.mark.parametrize(
    "result",
    [
        {"logs": [log()]}, {**RESULT, "logs": "text"}, {**RESULT, "logs": ["/var/log/app"]}, {**RESULT, "logs": [{"name": "x"}]}, {**RESULT, "logs": []},
        {**RESULT, "logs": [{"name": 5, "lines": 1}]}, {**RESULT, "logs": [log(), None]}, {},
    ],
)  # fmt: skip
def test_what_others_call_logs_is_not_ours(result: dict[str, Any]) -> None:
    assert list(log_reports(seen(result))) == []
    assert not is_worth_a_step(seen(result))


def test_a_review_is_worth_a_step_and_a_hidden_one_is_not() -> None:
    result = {**RESULT, "logs": [log()]}
    assert is_worth_a_step(seen(result))
    assert not is_worth_a_step(seen(result, hidden=True))
    assert list(log_reports(seen(result, hidden=True))) == []


@pytest.mark.parametrize(
    ("report", "kept", "words"),
    [
        (log(patterns={"p": {"count": 3, "samples": [sample(around=20)] * 20}}), ("samples", "signatures", "points"), ["the lines around samples"]),
        (log(patterns={f"p{number}": {"count": 3, "samples": [sample("t" * 400)] * 20} for number in range(9)}), ("signatures", "points"), ["the samples"]),
        (log("x", *(signature(str(number), text="s" * 1500) for number in range(60))), ("points",), ["signatures"]),
        (log(series={"start": "2026-11-20T00:00:00Z", "entries": [10**6] * 288, "patterns": {f"p{n}": [10**6] * 288 for n in range(60)}}),
         (), ["points of the series"]),
        (log(source=["x" * 2000] * 300), (), ["what is longer than 200"]),
        (log(levels={f"{'l' * 1000}{number}": 1 for number in range(500)}), (), ["everything but the figures"]),
    ],
)  # fmt: skip
def test_a_large_report_loses_first_what_tells_least(report: dict[str, Any], kept: tuple[str, ...], words: list[str]) -> None:
    whole = {**report, "signatures": report["signatures"] or [signature("aa")]}
    (body,) = reported(whole)
    small = body["report"]
    assert len(canonical(body)) <= LOG_LIMIT
    assert (small["name"], small["lines"], small["entries"]) == (report["name"], 120, 100)
    note = small["notes"][-1]
    assert note.startswith("left out of the record to keep it small: ") and all(text in note for text in words)
    assert "signatures" not in kept or small["signatures"] == whole["signatures"]
    assert "points" not in kept or small["series"] == whole["series"]
    assert "samples" not in kept or [found["text"] for found in small["patterns"]["p"]["samples"]] == ["it failed"] * 20


def test_signatures_go_from_the_end_and_no_more_than_have_to() -> None:
    (body,) = reported(log("x", *(signature(str(number), text="s" * 1500) for number in range(60))))
    left = [found["id"] for found in body["report"]["signatures"]]
    assert left == [str(number) for number in range(len(left))] and len(left) > 30
    assert f"the last {60 - len(left)} signatures" in body["report"]["notes"][-1]
    assert len(canonical(body)) > LOG_LIMIT - 4000


def test_fewer_points_have_the_same_sum() -> None:
    series = {"start": "2026-11-20T00:00:00Z", "entries": [7] * 289, "patterns": {f"p{number}": [10**6] * 289 for number in range(60)}}
    (body,) = reported(log(series=series, bucket_seconds=300))
    found = body["report"]
    assert (sum(found["series"]["entries"]), sum(found["series"]["patterns"]["p3"])) == (7 * 289, 289 * 10**6)
    assert found["bucket_seconds"] in (600, 1200) and len(found["series"]["entries"]) == -(-289 * 300 // found["bucket_seconds"])


def test_long_texts_are_cut_and_cost_no_signature() -> None:
    (body,) = reported(log("n" * 10**6, signature("aa", text="t" * 10**6, level="l" * 10**6), notes=["x" * 10**6]), measured_at="m" * 10**6)
    found = body["report"]
    assert len(canonical(body)) <= LOG_LIMIT
    assert (len(found["name"]), len(found["signatures"][0]["text"]), len(found["notes"][0]), len(body["measured_at"])) == (201, 2049, 2049, 513)


def test_a_bookmark_that_is_too_large_is_not_half_recorded() -> None:
    (body,) = reported(log(), bookmarks={"app log": {"place": "x" * BOOKMARK_LIMIT}})
    assert body["bookmark"] is None and "the bookmark is too large" in body["report"]["notes"][0]
    assert [reported(log(), bookmarks=odd)[0]["bookmark"] for odd in (None, [], {"app log": "text"}, {"app log": float("nan")})] == [None] * 4


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4),
    max_leaves=15,
)
signatures = st.lists(st.fixed_dictionaries({"id": anything, "count": anything}) | anything, max_size=3)
logs = st.fixed_dictionaries(
    {"name": st.text(st.characters(), max_size=5), "lines": anything},
    optional={key: anything for key in log() if key not in ("name", "lines")} | {"signatures": signatures},
)


@given(st.lists(logs, max_size=3), anything, anything)
@settings(deadline=None)
def test_whatever_a_module_answers_the_run_can_be_shown_and_stored(found: list[Any], marks: Any, measured_at: Any) -> None:
    bodies = list(log_reports(seen({"status": "ok", "measured_at": measured_at, "logs": found, "bookmarks": marks})))
    assert all(len(canonical(body)) <= LOG_LIMIT for body in bodies) and len(bodies) == len(found)
    view = build_view(chained(run_id(1), [started(), *(("log_report", body) for body in bodies), ended()]))
    rows = rows_of(view)
    assert len({(row[0], row[3], row[4], row[5]) for row in rows["signatures"]}) == len(rows["signatures"])
    assert all(isinstance(row[8], int) and 0 <= row[8] < 2**63 for row in rows["signatures"])
    assert all(isinstance(json.loads(row[6]), (dict, type(None))) for row in rows["bookmarks"])
