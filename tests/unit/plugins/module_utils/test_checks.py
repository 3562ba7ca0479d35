# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks before they are measured (merged, completed) and after (judged over time)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.checks import (
    attention,
    complete,
    judge,
    merge,
    needed_libraries,
    schedule_checks,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339

NOW = 1795133700.0
API = {"name": "api", "http": {"url": "http://a", "timeout_seconds": 5}, "limits": {"latency": {"warning": "> 5 s"}}, "severity": "P1"}


@pytest.mark.parametrize(
    ("later", "merged"),
    [
        ({"severity": "P3"}, {**API, "severity": "P3"}),
        ({"http": {"url": "http://b"}}, {**API, "http": {"url": "http://b", "timeout_seconds": 5}}),
        ({"limits": {"latency": {"critical": "> 9 s"}}}, {**API, "limits": {"latency": {"warning": "> 5 s", "critical": "> 9 s"}}}),
        ({"limits": {"latency": {"warning": None}}}, {**API, "limits": {"latency": {"warning": None}}}),
        ({"notes": ["n"]}, {**API, "notes": ["n"]}),
        ({"baselines": {"latency": 1}}, {**API, "baselines": {"latency": 1}}),
        ({"for": "5 min", "mute": None, "poll": {"within_seconds": 3}}, {**API, "for": "5 min", "mute": None, "poll": {"within_seconds": 3}}),
        ({"tcp": {"host": "h"}}, {"name": "api", "severity": "P1", "tcp": {"host": "h"}}),
        ({"tcp": {"host": "h"}, "severity": "P4"}, {"name": "api", "severity": "P4", "tcp": {"host": "h"}}),
        ({"enabled": True}, API),
    ],
)
def test_an_overlay_completes_or_replaces(later: dict[str, Any], merged: dict[str, Any]) -> None:
    assert merge([[API], [{"name": "api", **later}]]) == [merged]


def test_what_is_switched_off_can_be_switched_on_again() -> None:
    off, on = {"name": "api", "enabled": False}, {"name": "api", "enabled": True}
    assert merge([[API], [off]]) == []
    assert merge([[API], [off], [on]]) == [API]
    assert merge([[{**API, "enabled": False}], [{"name": "api", "tcp": {}}]]) == []


@pytest.mark.parametrize("lists", [[{"name": "a"}], ["text"], [None], [5], [[{}]], [["a"]], [[None]], [[{"name": ""}]], [[{"name": 5}]], [[API, API]]])
def test_what_is_no_list_of_checks(lists: Any) -> None:
    with pytest.raises(InvalidInput, match="must be a list|needs a name of its own"):
        merge(lists)


OPTIONS = st.dictionaries(st.sampled_from(["url", "host", "read"]), st.integers() | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2), max_size=2)
CHECK = st.fixed_dictionaries(
    {"name": st.sampled_from("abc")},
    optional={"http": OPTIONS, "limits": OPTIONS, "severity": st.sampled_from(["P1", "P2"]), "notes": st.just(["n"]), "enabled": st.booleans()},
)
LISTS = st.lists(st.lists(CHECK, max_size=3, unique_by=lambda check: check["name"]), max_size=4)


@given(LISTS)
def test_merging(lists: list[Any]) -> None:
    before = copy.deepcopy(lists)
    merged = merge(lists)
    assert lists == before
    names = [check["name"] for checks in lists for check in checks]
    assert [check["name"] for check in merged] == [name for name in dict.fromkeys(names) if name in {check["name"] for check in merged}]
    assert merge([*lists, []]) == merged
    assert not any("enabled" in check for check in merged)
    if lists:  # the last list wins wherever it says something
        found = {check["name"]: check for check in merged}
        for check in lists[-1]:
            if check.get("enabled", True) and check["name"] in found:
                assert found[check["name"]].get("severity") == check.get("severity", found[check["name"]].get("severity"))


@given(st.lists(CHECK, max_size=3, unique_by=lambda check: check["name"]))
def test_merging_the_same_twice_changes_nothing(checks: list[Any]) -> None:
    assert merge([checks, checks]) == merge([checks])


@pytest.mark.parametrize(
    ("checks", "libraries"),
    [
        ([], []),
        ([{"http": {"url": "a"}}, {"tcp": {}}], []),
        ([{"http": {"read": {"a": "b"}}}, {"http": {"read": {"c": "d"}}}], ["jmespath"]),
        ([{"tls": {"host": "a"}}, {"http": {"read": {"a": "b"}}}], ["cryptography", "jmespath"]),
        ([{"http": None, "tls": None}, {"http": "text"}], []),
        ([{"sql": {"connection": "file"}}, {"sql": {"connection": "none"}}, {"sql": "text"}], []),
        ([{"sql": {"connection": "file"}}, {"sql": {"connection": "server"}}], ["psycopg2"]),
    ],
)
def test_libraries(checks: list[Any], libraries: list[str]) -> None:
    assert needed_libraries(checks, {"file": {"path": "/a"}, "server": {"postgresql": {"database": "a"}}, "odd": None}) == libraries


def test_baselines_are_given_where_a_limit_needs_them() -> None:
    plain = {"name": "a", "limits": {"latency": {"warning": "> 5 s"}}}
    relative = {"name": "a", "limits": {"latency": {"warning": ["> 5 s", "> 2 x baseline"]}}}
    assert complete(plain, {"latency": 1.0}, NOW) == plain
    assert complete(relative, {"latency": 1.0}, NOW) == {**relative, "baselines": {"latency": 1.0}}
    assert complete({**relative, "baselines": {"latency": 9.0}}, {"latency": 1.0, "size": 2.0}, NOW)["baselines"] == {"latency": 9.0, "size": 2.0}


@pytest.mark.parametrize(("until", "counts"), [(rfc3339(NOW), False), (rfc3339(NOW + 1), True), ("2026-11-20", False), ("2099-01-01", True)])
def test_benign_entries_expire(until: str, counts: bool) -> None:
    entry = {"pattern": "foo*", "reason": "known", "owner": "ann", "until": until}
    check = {"name": "a", "systemd": {"benign": [entry]}, "notes": ["mine"]}
    found = complete(check, {}, NOW)
    assert found["systemd"]["benign"] == ([entry] if counts else [])
    assert found["notes"][0] == "mine" and (len(found["notes"]) == 1) is counts
    assert check["systemd"]["benign"] == [entry]
    if not counts:
        assert all(word in found["notes"][1] for word in ("foo*", "known", "ann", until))


BENIGN = {"pattern": "p", "reason": "r", "owner": "o", "until": "2099-01-01"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"limits": ["latency"]}, {"limits": "latency"}, {"limits": {"latency": "> 5 s"}}, {"limits": {"latency": None}},
        {"limits": {"latency": {"warning": "high"}}}, {"limits": {"latency": {"warning": ["> 5 s", 5]}}}, {"limits": {"latency": {"for": "5"}}},
        {"limits": {"latency": {"for": {"warning": 5}}}}, {"for": "5"}, {"for": 5}, {"systemd": {"benign": ["foo.service"]}}, {"systemd": {"benign": [{}]}},
        *({"systemd": {"benign": [{key: value for key, value in BENIGN.items() if key != gone}]}} for gone in BENIGN),
        {"systemd": {"benign": [{**BENIGN, "until": "soon"}]}}, {"systemd": {"benign": [{**BENIGN, "reason": ""}]}}, {"systemd": {"benign": [None]}},
    ],
)  # fmt: skip
def test_mistakes_show_before_a_host_is_contacted(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        complete({"name": "a", **wrong}, {}, NOW)


def limit(state: str = "crossed", level: str = "critical", seconds: float = 0.0) -> dict[str, Any]:
    return {"measure": "latency", "level": level, "limit": "> 5 s", "severity": "P1", "for_seconds": seconds, "state": state}


def check(*limits: dict[str, Any], status: str = "critical", **more: Any) -> dict[str, Any]:
    return {"name": "a", "status": status, "severity": "P1", "message": "m", "hint": "h", "notes": [], "measures": {"latency": 9.0},
            "units": {"latency": "s"}, "limits": list(limits), "muted": None, "for_seconds": 0.0, **more}  # fmt: skip


def judged(one: dict[str, Any], earlier: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = judge({"measured_at": rfc3339(NOW), "checks": [one], "kept": 1}, {"a": earlier})
    assert result["kept"] == 1
    assert result["status"] == result["checks"][0]["status"]
    found: dict[str, Any] = result["checks"][0]
    return found


def entry(age: float, status: str) -> dict[str, Any]:
    """What an earlier run saw; ``error``: it could not measure, which was critical."""
    crossed = ["latency:critical"] if status == "crossed" else []
    return {"at": rfc3339(NOW - age), "status": {"crossed": "critical", "error": "critical"}.get(status, status), "crossed": crossed}


HISTORY = st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["ok", "crossed", "unknown", "error", "skipped"])), max_size=8, unique_by=lambda item: item[0])


def lasted_long_enough(history: list[tuple[int, bool]], seconds: int) -> bool:
    """By definition: it was bad at some point that long ago, and ever since; or nobody looked within that time."""
    nobody_looked = not any(age <= seconds for age, _bad in history)
    return nobody_looked or any(age >= seconds and all(bad for other, bad in history if other <= age) for age, _bad in history)


@settings(max_examples=300)
@given(HISTORY, st.integers(1, 30))
def test_how_long_a_limit_has_been_crossed(history: list[tuple[int, str]], seconds: int) -> None:
    history = sorted(history, reverse=True)
    found = judged(check(limit(seconds=float(seconds))), [entry(age, status) for age, status in history])
    telling = [(age, status == "crossed") for age, status in history if status not in ("unknown", "error")]
    expected = "crossed" if lasted_long_enough(telling, seconds) else "pending"
    assert found["limits"][0]["state"] == expected
    assert (found["status"], found["severity"]) == (("critical", "P1") if expected == "crossed" else ("warning", "P4"))


@settings(max_examples=200)
@given(HISTORY, st.integers(1, 30), st.sampled_from(["critical", "unknown", "warning"]))
def test_how_long_a_check_has_been_bad(history: list[tuple[int, str]], seconds: int, status: str) -> None:
    history = sorted(history, reverse=True)
    found = judged(check(limit(), status=status, for_seconds=float(seconds)), [entry(age, state) for age, state in history])
    if lasted_long_enough([(age, state not in ("ok", "skipped")) for age, state in history], seconds):
        assert (found["status"], found["severity"], found["notes"]) == (status, "P1", [])
    else:
        assert (found["status"], found["severity"]) == ("warning", "P4")
        assert found["notes"][0].startswith(f"{status} for ")


def test_only_what_is_bad_waits() -> None:
    recently = [entry(5, "ok")]
    assert judged(check(limit("ok", seconds=60.0), status="ok", for_seconds=60.0), recently)["status"] == "ok"
    assert judged(check(limit("unknown", seconds=60.0), status="unknown"), recently)["status"] == "unknown"
    assert judged(check(limit(), limit(seconds=60.0), status="critical"), recently)["status"] == "critical"
    muted = check(limit(seconds=60.0), status="skipped", muted={"reason": "r"}, for_seconds=60.0)
    assert judged(muted, recently) == muted


def test_one_check_does_not_wait_for_another() -> None:
    result = judge({"measured_at": rfc3339(NOW), "checks": [check(limit(seconds=60.0)), check(limit(seconds=60.0), name="b")]}, {"b": [entry(5, "ok")]})
    assert [one["status"] for one in result["checks"]] == ["critical", "warning"]
    assert result["summary"] == "2 checks: 1 critical, 1 warning"


def test_attention_names_what_is_not_well_worst_first() -> None:
    checks = [check(status=status, name=status, hint="") for status in ("warning", "ok", "unknown", "skipped", "critical")]
    assert attention(checks) == ["critical P1 critical: m", "unknown P1 unknown: m", "warning P1 warning: m"]
    assert attention([check()]) == ["critical P1 a: m (h)"]


def test_how_the_schedule_was_kept_becomes_checks() -> None:
    rows = [
        {"playbook": "daily", "status": "on_time", "due_at": "2026-11-20T13:00:00Z", "expected_minutes": 5.0},
        {"playbook": "backup", "status": "missed", "due_at": "2026-11-20T12:00:00Z", "expected_minutes": 2.0},
    ]
    kept, missed = schedule_checks(rows)
    assert (kept["status"], kept["hint"]) == ("ok", "")
    assert (missed["name"], missed["status"], missed["severity"]) == ("schedule of backup", "warning", "P3")
    assert "2026-11-20T12:00:00Z" in missed["hint"] and missed["message"] == "last_run is missed (warning: != on_time)"


def test_a_pending_limit_leaves_the_reason_of_another_one() -> None:
    limits = [
        {"measure": "a", "level": "critical", "limit": "> 5", "severity": "P2", "for_seconds": 0.0, "state": "unknown", "reason": "it hid"},
        {"measure": "b", "level": "warning", "limit": "> 1", "severity": "P3", "for_seconds": 600.0, "state": "crossed", "reason": ""},
    ]
    check = {"name": "x", "status": "unknown", "limits": limits, "measures": {"a": None, "b": 2}, "units": {}, "notes": [], "severity": "P2",
             "for_seconds": 0.0, "muted": None, "hint": ""}  # fmt: skip
    earlier = [{"at": "2026-11-20T12:59:00Z", "status": "ok", "crossed": []}]
    judged = judge({"measured_at": "2026-11-20T13:00:00Z", "checks": [check]}, {"x": earlier})["checks"][0]
    assert [limit["state"] for limit in judged["limits"]] == ["unknown", "pending"]
    assert "a could not be measured: it hid" in judged["message"]
    assert judged["pending"] is False  # it is unknown, whatever the other limit waits for


@pytest.mark.parametrize(
    ("whole", "limit", "lasted", "pending"), [(0.0, 600.0, 60, True), (0.0, 600.0, 900, False), (600.0, 0.0, 60, True), (600.0, 0.0, 900, False)]
)
def test_what_only_waits_for_its_time_says_so(whole: float, limit: float, lasted: int, pending: bool) -> None:
    limits = [{"measure": "b", "level": "critical", "limit": "> 1", "severity": "P1", "for_seconds": limit, "state": "crossed", "reason": ""}]
    check = {"name": "x", "status": "critical", "limits": limits, "measures": {"b": 2}, "units": {}, "notes": [], "severity": "P1",
             "for_seconds": whole, "muted": None, "hint": "", "message": ""}  # fmt: skip
    earlier = [{"at": rfc3339(NOW - age), "status": "critical", "crossed": ["b:critical"]} for age in range(lasted, 0, -30)]
    judged = judge({"measured_at": rfc3339(NOW), "checks": [check]}, {"x": [{"at": rfc3339(NOW - lasted - 30), "status": "ok", "crossed": []}, *earlier]})
    assert judged["checks"][0].get("pending", False) is pending
