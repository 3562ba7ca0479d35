# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From states of limits, or from errors, to verdicts: what is in doubt is never better than unknown."""

from __future__ import annotations

import json
import math
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core import errors
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import SEVERITIES, parse_limits
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, DeadlinePassed, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import (
    STATUSES,
    apply_mute,
    conclude,
    judge_error,
    judge_measures,
    plain,
    summarize,
    worst,
)

UNITS = {"latency": "s", "code": "number", "writable": "boolean"}
LATENCY = {"latency": {"warning": "> 5 s", "critical": "> 30 s"}}
RANK = {"skipped": 0, "ok": 0, "warning": 1, "unknown": 2, "critical": 3}
STATUS_LISTS = st.lists(st.sampled_from(STATUSES), max_size=8)


def judged(limits: dict[str, Any], **measures: Any) -> dict[str, Any]:
    return judge_measures(measures, UNITS, parse_limits(limits, UNITS), {})


@given(STATUS_LISTS, STATUS_LISTS)
def test_worst_is_a_join(one: list[str], other: list[str]) -> None:
    assert worst([worst(one), worst(other)]) == worst(one + other) == worst(other + one)
    assert worst([worst(one), worst(one)]) == worst(one)
    assert RANK[worst(one)] == max((RANK[status] for status in one), default=0)
    assert worst([*one, "skipped"]) == worst(one)


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], "skipped"),
        (["skipped"], "skipped"),
        (["ok", "skipped"], "ok"),
        (["skipped", "warning"], "warning"),
        (["warning", "unknown", "ok"], "unknown"),
        (["unknown", "critical"], "critical"),
    ],
)
def test_worst(statuses: list[str], status: str) -> None:
    for order in permutations(statuses):
        assert worst(order) == status


@pytest.mark.parametrize(
    ("limits", "measures", "status", "severity", "message"),
    [
        ({}, {"latency": 99}, "ok", None, ""),
        (LATENCY, {"latency": 1}, "ok", None, ""),
        (LATENCY, {"latency": 6.24}, "warning", "P3", "latency is 6.24 s (warning: > 5 s)"),
        (LATENCY, {"latency": 31}, "critical", "P2", "latency is 31 s (critical: > 30 s); latency is 31 s (warning: > 5 s)"),
        (LATENCY, {}, "unknown", "P2", "latency could not be measured: it was not in the answer"),
        (LATENCY, {"latency": None}, "unknown", "P2", "latency is nothing, which cannot be held against > 5 s"),
        (LATENCY, {"latency": "12,5"}, "unknown", "P2", "latency is 12,5, which cannot be held against > 5 s"),
        (LATENCY, {"latency": Unmeasured("no clock")}, "unknown", "P2", "latency could not be measured: no clock"),
        ({"writable": {"critical": "!= true"}}, {"writable": SKIPPED}, "skipped", None, "left out in check mode"),
        ({**LATENCY, "writable": {"critical": "!= true"}}, {"latency": 1, "writable": SKIPPED}, "ok", None, ""),
        ({**LATENCY, "code": {"critical": "!= 200"}}, {"latency": None, "code": 500}, "critical", "P2", "code is 500 (critical: != 200)"),
        ({"latency": {"warning": "> 5 s"}, "code": {"critical": "!= 200"}}, {"latency": 9}, "unknown", "P2", "code could not be measured"),
        ({"latency": {"critical": "> 2 x baseline"}}, {"latency": 9}, "ok", None, ""),
        ({"code": {"critical": "> 5", "severity": "P1"}, "latency": {"critical": "> 1 s"}}, {"code": 9, "latency": 9}, "critical", "P1", "code is 9"),
    ],
)
def test_verdicts(limits: dict[str, Any], measures: dict[str, Any], status: str, severity: str | None, message: str) -> None:
    found = judged(limits, **measures)
    assert (found["status"], found["severity"]) == (status, severity)
    assert found["message"].startswith(message) and bool(found["message"]) == bool(message)


def test_the_shape_of_a_verdict() -> None:
    found = judged({"latency": {"critical": "> 30 s", "for": "5 min"}}, latency=SKIPPED, code=Unmeasured("x"))
    assert found["measures"] == {"code": None}
    assert found["limits"] == [
        {"measure": "latency", "level": "critical", "limit": "> 30 s", "severity": "P2", "for_seconds": 300.0, "state": "skipped", "reason": ""}]  # fmt: skip
    assert found["hint"] == ""


STATES = ["ok", "crossed", "unknown", "skipped", "pending", "learning"]
LIMITS = st.lists(
    st.fixed_dictionaries({
        "measure": st.sampled_from(["a", "b"]), "level": st.sampled_from(["warning", "critical"]), "limit": st.just("> 1"),
        "severity": st.sampled_from(SEVERITIES), "for_seconds": st.just(60.0), "state": st.sampled_from(STATES)}),
    max_size=5)  # fmt: skip


@given(LIMITS)
def test_the_status_that_follows_from_states(limits: list[dict[str, Any]]) -> None:
    found = conclude(limits, {"a": 5}, {})
    states = {limit["state"] for limit in limits}
    critical = any(limit["state"] == "crossed" and limit["level"] == "critical" for limit in limits)
    expected = (
        "critical" if critical else "unknown" if "unknown" in states else "warning" if states & {"crossed", "pending"}
        else "skipped" if states == {"skipped"} else "ok")  # fmt: skip
    assert found["status"] == expected
    assert (found["severity"] is None) == (expected in ("ok", "skipped"))
    assert bool(found["message"]) == (expected != "ok")


@given(LIMITS, LIMITS)
def test_more_trouble_is_never_less_urgent(limits: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    one, both = conclude(limits, {}, {}), conclude(limits + more, {}, {})
    assert RANK[both["status"]] >= RANK[one["status"]]
    if one["severity"]:
        assert both["severity"] <= one["severity"]


CRITICAL_ERRORS = {"Unreachable", "Busy", "VerifyFailed", "TimedOut"}


@pytest.mark.parametrize("error", [
    RunbookError("m", "h"), InvalidInput("m", "h"), errors.MissingLibrary("lib", "pkg", "to read"), errors.Unreachable("m", "h"), errors.Refused("m", "h"),
    errors.Busy("m", "h"), errors.CommandFailed(["ls"], 2, "m"), errors.VerifyFailed("m", "h"), errors.TimedOut("m", "h"), DeadlinePassed("m", "h"),
], ids=lambda error: type(error).__name__)  # fmt: skip
def test_errors_of_drivers(error: RunbookError) -> None:
    found = judge_error(error, "P4")
    assert found["status"] == ("critical" if type(error).__name__ in CRITICAL_ERRORS else "unknown")
    assert (found["severity"], found["message"], found["hint"], found["code"]) == ("P4", error.message, error.hint, error.code)
    assert found["measures"] == {} and found["limits"] == []


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(5, "odd"), KeyError("odd"), ZeroDivisionError("odd"), RecursionError("odd")])
def test_a_defect_is_unknown_and_says_so(error: Exception) -> None:
    found = judge_error(error, None)
    assert (found["status"], found["severity"], found["code"]) == ("unknown", "P2", "defect")
    assert type(error).__name__ in found["message"] and "odd" in found["message"] and "report it" in found["hint"]


MUTE = {"reason": "rebuild", "owner": "ann", "until": "2026-12-01"}
DECEMBER = 1796083200.0


@pytest.mark.parametrize("now", [DECEMBER - 1, 0.0])
@pytest.mark.parametrize("status", STATUSES)
def test_a_muted_check_does_not_count(status: str, now: float) -> None:
    found = apply_mute({"status": status, "severity": "P1", "message": "m"}, MUTE, now)
    assert found == {"status": "skipped", "severity": None, "message": "m", "measured_status": status, "muted": MUTE}


@pytest.mark.parametrize("now", [DECEMBER, DECEMBER + 1e9])
def test_an_expired_mute_says_so_and_counts(now: float) -> None:
    found = apply_mute({"status": "critical", "severity": "P1", "notes": ["n"]}, MUTE, now)
    assert (found["status"], found["severity"], found["muted"]) == ("critical", "P1", None)
    assert found["notes"][0] == "n" and all(word in found["notes"][1] for word in ("rebuild", "ann", "expired on 2026-12-01"))


def test_without_a_mute() -> None:
    assert apply_mute({"status": "ok"}, None, 0.0) == {"status": "ok", "muted": None}


@pytest.mark.parametrize(
    ("statuses", "summary"),
    [
        ([], "0 checks: none"),
        (["ok"], "1 check: 1 ok"),
        (["ok", "critical", "ok", "unknown", "skipped"], "5 checks: 1 critical, 1 unknown, 1 skipped, 2 ok"),
    ],
)
def test_summaries(statuses: list[str], summary: str) -> None:
    assert summarize([{"status": status} for status in statuses]) == {"status": worst(statuses), "summary": summary}


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (5, 5), (2**63 - 1, 2**63 - 1), (2**63, float(2**63)), (-(10**25), -1e25), (10**400, None), (1.5, 1.5),
        (math.nan, None), (-math.inf, None), (True, True),
        ("x", "x"), (None, None), ([1, math.nan, [math.inf]], [1, None, [None]]), ((1,), [1]), (Unmeasured("why"), None), ({"a": 1}, "{'a': 1}"),
        (b"x", "b'x'"),
    ],
)  # fmt: skip
def test_values_as_json(value: Any, data: Any) -> None:
    assert plain(value) == data and type(plain(value)) is type(data)
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == data
