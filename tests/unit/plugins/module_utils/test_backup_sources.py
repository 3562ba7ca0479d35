# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of backups as an inventory lists them: what is completed, which mistakes are named, and what verdict a run gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_sources import KEYS, compile_sources, judge_sources
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant

REPOSITORY = {"directory": {"path": "/backups"}}
SQLITE = {"sqlite": {"path": "/data/orders.db"}}
ORDERS: dict[str, Any] = {"name": "orders", "source": SQLITE}
NOON = parse_instant("2026-11-20T12:00:00Z")


def compiled(*lists: list[dict[str, Any]], repository: Any = "common", **keep: Any) -> dict[str, Any]:
    known = REPOSITORY if repository == "common" else repository
    return {source["name"]: source for source in compile_sources(lists, known, keep)}


def mistake(*lists: Any, repository: Any = "common", **keep: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        compiled(*lists, repository=repository, **keep)
    return str(caught.value)


# --- completed ---------------------------------------------------------------------------------------------------------------------


def test_every_key_has_its_default() -> None:
    assert compiled([ORDERS], daily=7) == {
        "orders": {
            "name": "orders", "source": SQLITE, "kind": "sqlite", "repository": REPOSITORY, "class": "", "keep": {"daily": 7}, "rpo": None, "rto": None,
            "fresh": None, "timeout": "4 h", "rpo_seconds": None, "rto_seconds": None, "fresh_seconds": None, "timeout_seconds": 14400.0, "min_objects": 1,
            "max_shrink_percent": 50.0, "max_growth_percent": 400.0, "set": "", "versions": {}, "revision": "", "images": None,
            "invariants": (), "scratch": None, "encryption": {}, "enabled": True,
            "copies": [], "places": {}, "pairs": [], "verify": "restored",
        }
    }  # fmt: skip


def test_how_far_this_host_proves_a_source() -> None:
    keyless, runner = [{**ORDERS, "verify": "digest"}], [{"name": "orders", "verify": "restored"}]
    assert compiled(keyless)["orders"]["verify"] == "digest"
    assert compiled(keyless, runner)["orders"]["verify"] == "restored"
    assert 'verify: "digests" is no level of proof; did you mean "digest"?' in mistake([{**ORDERS, "verify": "digests"}])
    assert 'verify: "None" is no level of proof' in mistake([{**ORDERS, "verify": None}])


def test_what_is_given_stays() -> None:
    given = {
        "class": "compliance", "rpo": "1 h", "rto": "4 h", "fresh": "23 h", "timeout": "10 min", "min_objects": 3, "max_shrink_percent": 95,
        "invariants": [{"name": "a", "query": "select 0", "limits": {"value": {"critical": "!= 0"}}}], "scratch": {"sqlite": {"path": "/tmp/x"}},
        "repository": {"directory": {"path": "/other"}}, "keep": {"daily": 90, "classes": {"compliance": {"at_least": "3 y"}}},
    }  # fmt: skip
    found = compiled([{**ORDERS, **given}], daily=7, weekly=4)["orders"]
    assert {key: found[key] for key in given if key != "keep"} == {key: value for key, value in given.items() if key != "keep"}
    assert found["keep"] == {"daily": 90, "weekly": 4, "classes": {"compliance": {"at_least": "3 y"}}}, "single keys change, the others stay"
    assert [found[f"{key}_seconds"] for key in ("rpo", "rto", "fresh", "timeout")] == [3600.0, 14400.0, 82800.0, 600.0]


def test_encryption_of_all_and_of_one() -> None:
    log = {"name": "log", "source": {"files": {"root": "/log"}}}
    alone = {**ORDERS, "encryption": {"recipients": ["age1b", "age1c"]}}
    plain = {**log, "name": "plain", "encryption": {"recipients": []}}
    found = compile_sources([[alone, log, plain]], REPOSITORY, {}, {"recipients": ["age1a"], "identity_file": "/key"})
    assert [(source["encryption"]["recipients"], source["encryption"]["identity_file"]) for source in found] == [
        (["age1b", "age1c"], "/key"), (["age1a"], "/key"), ([], "/key"),
    ]  # fmt: skip


def test_what_comes_back_is_complete_already() -> None:
    once = compile_sources([[ORDERS, {"name": "log", "source": {"files": {"root": "/log"}}}]], REPOSITORY, {"daily": 7})
    known = [{key: source[key] for key in KEYS if key != "enabled"} for source in once]
    assert compile_sources([known], None, {}) == once and [source["kind"] for source in once] == ["sqlite", "files"]


@pytest.mark.parametrize("none", [None, {}])
def test_a_repository_of_nothing_is_the_common_one(none: Any) -> None:
    assert compiled([{**ORDERS, "repository": none}])["orders"]["repository"] == REPOSITORY


def test_lists_are_merged_by_name() -> None:
    found = compiled([{**ORDERS, "rpo": "1 h"}, {"name": "log", "source": {"files": {"root": "/log"}}}], [{"name": "orders", "rpo": "2 h"}], [])
    assert list(found) == ["orders", "log"] and found["orders"]["rpo_seconds"] == 7200.0 and found["orders"]["source"] == SQLITE
    moved = compiled([ORDERS], [{"name": "orders", "source": {"sqlite": {"path": "/new.db"}}}])
    assert moved["orders"]["source"] == {"sqlite": {"path": "/new.db"}}


def test_what_is_not_enabled_is_left_out() -> None:
    assert list(compiled([ORDERS], [{"name": "orders", "enabled": False}])) == []
    assert list(compiled([{**ORDERS, "enabled": False}], [{"name": "orders", "enabled": True}])) == ["orders"]
    assert compiled() == {} == compiled([])


@pytest.mark.parametrize(
    "more",
    [
        {"rpo": "1 h"}, {"class": "compliance", "keep": {"classes": {"compliance": {"at_least": "3 y"}}}}, {"keep": {"daily": 7}}, {"min_objects": 5},
        {"repository": {"directory": {"path": "/b"}}},
    ],
)  # fmt: skip
def test_a_later_list_adds_a_key(more: dict[str, Any]) -> None:
    found = compiled([ORDERS], [{"name": "orders", **more}])["orders"]
    assert found["source"] == SQLITE and all(found[key] == value for key, value in more.items())


def test_a_later_list_replaces_the_source_by_one_of_another_kind() -> None:
    files = {"files": {"root": "/data"}}
    assert compiled([ORDERS], [{"name": "orders", "source": files}])["orders"]["source"] == files


# --- mistakes ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rpoo": "1 h"}, 'unknown key "rpoo"; did you mean "rpo"? (keys are name, source, '),
        ({"kind": "sqlite"}, 'unknown key "kind"'),
        ({"source": None}, "source must have its kind as the only key (as in source: {sqlite: "),
        ({"source": {}}, "source must have its kind as the only key"),
        ({"source": {**SQLITE, "files": {"root": "/"}}}, "source must have its kind as the only key"),
        ({"source": "sqlite"}, "source must have its kind as the only key"),
        ({"source": ["sqlite"]}, "source must have its kind as the only key"),
        ({"repository": {"directory": {}, "s3": {}}}, "repository must have its kind as the only key"),
        ({"repository": "/backups"}, "repository must have its kind as the only key"),
        ({"rpo": "soon"}, '"soon"'),
        ({"rto": 14400}, '"14400" is not a duration'),
        ({"fresh": "0 s"}, '"0 s" is not a duration'),
        ({"timeout": "4 GiB"}, '"4 GiB" is not a duration'),
        ({"keep": {"dayly": 7}}, 'keep: unknown key "dayly"; did you mean "daily"?'),
        ({"keep": {"daily": "7d"}}, "keep: daily"),
    ],
)
def test_each_mistake_is_named_with_its_place(changes: dict[str, Any], said: str) -> None:
    told = mistake([{"name": "log", "source": {"files": {"root": "/log"}}}, {**ORDERS, **changes}])
    assert told.startswith("backup_sources[1] (orders): ") and said in told, told


def test_an_entry_without_a_source_or_any_repository() -> None:
    assert "source must have its kind" in mistake([{"name": "orders"}])
    assert "repository must have its kind" in mistake([ORDERS], repository=None)


def test_all_mistakes_are_told_at_once() -> None:
    told = mistake([{"name": "a", "sorce": SQLITE}, ORDERS, {"name": "b", "source": SQLITE, "rpo": "soon"}])
    assert told.startswith('backup_sources[0] (a): unknown key "sorce"; did you mean "source"?') and "; backup_sources[2] (b): " in told
    assert "orders" not in told


def test_the_common_policy_is_checked_too() -> None:
    assert 'keep: unknown key "dayly"' in mistake([ORDERS], dayly=7)


@pytest.mark.parametrize("lists", [[[ORDERS, ORDERS]], [[{"source": SQLITE}]], [[{**ORDERS, "name": ""}]], [[{**ORDERS, "name": 7}]], [["orders"]]])
def test_every_source_needs_a_name_of_its_own(lists: Any) -> None:
    assert "a name of its own" in mistake(*lists)


@pytest.mark.parametrize("given", [{"orders": SQLITE}, "orders", None, 7])
def test_what_is_no_list(given: Any) -> None:
    assert f", not {type(given).__name__}" in mistake(given)


@pytest.mark.parametrize("lists", [[[ORDERS, ORDERS]], [{"orders": SQLITE}]])
def test_mistakes_in_a_list_name_the_variable(lists: Any) -> None:
    told = mistake(*lists)
    assert "health_checks" not in told and "checks[" not in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"invariants": [{"name": "a", "query": "select 0", "limits": {"values": {"critical": "!= 0"}}}]}, 'did you mean "value"'),
        ({"invariants": [{"name": "a", "query": "select 0", "limits": {}}]}, "has no limits"),
        ({"invariants": [{"name": "a", "limits": {"value": {"critical": "!= 0"}}}]}, "query"),
        ({"invariants": {"name": "a"}}, "invariants"),
        ({"class": "compliance", "keep": {"daily": 7}}, 'class: "compliance" has no rule in keep.classes (keep.classes has none)'),
        ({"class": "logs", "keep": {"classes": {"compliance": {"at_least": "3 y"}}}}, "classes are compliance"),
        ({"min_objects": "many"}, "min_objects"),
        ({"max_shrink_percent": "half"}, "max_shrink_percent"),
        ({"max_growth_percent": -1}, "max_growth_percent"),
        ({"set": ["trading"]}, "cannot be the name of a set"),
        ({"set": "a/b"}, 'set: "a/b" cannot be the name of a set'),
        ({"revision": 7}, "revision must be a query"),
        ({"versions": "4f2a91c"}, "versions must be a mapping"),
        ({"scratch": {}}, "scratch"),
    ],
)
def test_mistakes_that_are_found_too_late(changes: dict[str, Any], said: str) -> None:
    assert said in mistake([{**ORDERS, **changes}])


def test_a_restore_has_no_policy_and_needs_none() -> None:
    assert compiled([{**ORDERS, "class": "compliance"}])["orders"]["class"] == "compliance"


@pytest.mark.parametrize("key", ["rpo", "rto", "fresh", "timeout"])
def test_a_duration_that_is_none_is_named(key: str) -> None:
    assert f"{key}: " in mistake([{**ORDERS, key: "soon"}])


# --- the verdict -------------------------------------------------------------------------------------------------------------------

SOURCES = compiled([{**ORDERS, "rto": "4 h", "rpo": "1 h"}, {"name": "log", "source": {"files": {"root": "/log"}}}])
PROOF = {"level": "restored", "seconds": 60.0, "rpo_seconds": 1800}
ARTIFACT = {"size_bytes": 4096, "totals": {"objects": 12, "rows": 500}}


def judged(**result: Any) -> dict[str, Any]:
    check: dict[str, Any]
    [check] = judge_sources([{"item": "orders", "outcome": "ok", **result}], SOURCES, NOON)["checks"]
    assert json.loads(json.dumps(check)) == check
    return check


@pytest.mark.parametrize(
    ("result", "measures"),
    [
        ({}, {}),
        ({"artifact": ARTIFACT}, {"size": 4096, "objects": 12}),
        ({"artifact": {"size_bytes": 0, "totals": {}}}, {"size": 0}),
        ({"artifact": ARTIFACT, "proof": PROOF}, {"duration": 60.0, "rto": 60.0, "rpo": 1800, "size": 4096, "objects": 12}),
        ({"proof": {"level": "digest", "seconds": 3.0}}, {"duration": 3.0}),
        ({"proof": None, "restore": None, "artifact": None}, {}),
        ({"restore": {"seconds": 90.0, "lost_seconds": 1200}, "proof": PROOF}, {"duration": 90.0, "rto": 90.0, "rpo": 1200}),
        ({"freed_bytes": 0, "plan": []}, {"freed": 0, "removed": 0}),
        ({"freed_bytes": 7, "plan": [{}, {}]}, {"freed": 7, "removed": 2}),
        ({"plan": [{}, {}]}, {}),
    ],
)
def test_what_is_measured(result: dict[str, Any], measures: dict[str, Any]) -> None:
    check = judged(**result)
    units = {"duration": "s", "rto": "s", "rpo": "s", "size": "B", "freed": "B", "removed": "count", "objects": "count"}
    assert (check["measures"], check["status"], check["severity"]) == (measures, "ok", None)
    assert check["units"] == {name: units[name] for name in measures}
    assert (check["name"], check["kind"], check["notes"], check["hint"], check["muted"]) == ("backup of orders", "sqlite", [], "", None)


@pytest.mark.parametrize(
    ("seconds", "lost", "status", "said"),
    [
        (14400.0, 3600, "ok", ""),
        (14400.1, 3600, "critical", "rto is 4 h (critical: > 4 h)"),
        (60.0, 3601, "critical", "rpo is 60 min (critical: > 1 h)"),
        (14401.0, 3601, "critical", "rto is"),
    ],
)
@pytest.mark.parametrize("by", ["proof", "restore"])
def test_objectives_are_limits(seconds: float, lost: int, status: str, said: str, by: str) -> None:
    proof, restore = {"level": "restored", "seconds": seconds, "rpo_seconds": lost}, {"seconds": seconds, "lost_seconds": lost}
    check = judged(**({"proof": proof} if by == "proof" else {"restore": restore}))
    assert (check["status"], check["severity"]) == (status, None if status == "ok" else "P2")
    assert said in check["message"]
    assert {limit["measure"] for limit in check["limits"]} == {"rto", "rpo"}


def test_without_an_objective_there_is_no_limit() -> None:
    told = judge_sources([{"item": "log", "outcome": "ok", "proof": {**PROOF, "seconds": 1e9, "rpo_seconds": 1e9}}], SOURCES, NOON)
    assert told["status"] == "ok" and told["checks"][0]["limits"] == [] and told["checks"][0]["measures"]["rto"] == 1e9


@pytest.mark.parametrize("outcome", ["refused", "failed", "unknown", "busy", "partial", None])
def test_what_did_not_go_well_is_critical_whatever_was_measured(outcome: str | None) -> None:
    given = {"outcome": outcome, "msg": "the disk is full", "hint": "enlarge it", "artifact": ARTIFACT, "proof": PROOF}
    if outcome is None:
        del given["outcome"]
    told = judge_sources([{"item": "orders", **given}], SOURCES, NOON)
    [check] = told["checks"]
    assert (check["status"], check["severity"], check["message"], check["hint"]) == ("critical", "P2", "the disk is full", "enlarge it")
    assert told["status"] == "critical" and told["attention"] == ["P2 backup of orders: the disk is full (enlarge it)"]
    assert check["measures"]["size"] == 4096


def test_a_failure_without_words_and_of_a_plan_in_part() -> None:
    check = judged(outcome="failed")
    assert (check["message"], check["hint"], check["measures"]) == ("it failed", "", {})
    partial = judged(outcome="partial", freed_bytes=5, plan=[{}, {}], msg="the power failed")
    assert partial["status"] == "critical" and partial["measures"]["freed"] == 5


@pytest.mark.parametrize(("notes", "message"), [(["a", "b"], "a; b"), ([], ""), (None, "")])
def test_a_warning(notes: Any, message: str) -> None:
    check = judged(outcome="warn", notes=notes)
    assert (check["status"], check["severity"], check["message"], check["notes"]) == ("warning", "P3", message, notes or [])


def test_a_warning_does_not_hide_that_an_objective_was_missed() -> None:
    check = judged(outcome="warn", notes=["a"], proof={**PROOF, "seconds": 1e6})
    assert (check["status"], check["severity"]) == ("critical", "P2") and "rto is" in check["message"] and check["notes"] == ["a"]


def test_all_of_them_together() -> None:
    results: list[dict[str, Any]] = [
        {"item": "orders", "outcome": "warn", "notes": ["look here"]}, {"item": "log", "outcome": "ok"}, {"item": "gone", "skipped": True},
    ]  # fmt: skip
    told = judge_sources(results, SOURCES, NOON + 0.7)
    assert (told["status"], told["summary"], told["measured_at"]) == ("warning", "2 checks: 1 warning, 1 ok", "2026-11-20T12:00:00Z")
    assert [check["name"] for check in told["checks"]] == ["backup of orders", "backup of log"] and told["attention"] == ["P3 backup of orders: look here"]
    assert judge_sources([], {}, NOON)["status"] == "skipped", "nothing was judged"
    read = {"item": "orders", "outcome": "failed", "code": "corrupt", "msg": "it is not what was written"}
    for both in ([{"item": "orders", "outcome": "ok"}, read], [read, {"item": "orders", "outcome": "ok"}]):
        [check] = judge_sources(both, SOURCES, NOON)["checks"]
        assert (check["status"], check["message"]) == ("critical", "it is not what was written"), "what was taken, and cannot be read back"
    with pytest.raises(KeyError):
        judge_sources([{"item": "trades", "outcome": "ok"}], SOURCES, NOON)
