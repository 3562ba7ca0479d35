# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of containers, one by one and of several: the worst, by name, and never well where something is not known."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.containers import MEASURES, NONE, Seen, digest_of, facts_of, measures_of, missing
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import parse_limits
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import judge_measures
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import KINDS

NOW = 1763604900.0  # 2025-11-20T02:15:00Z
IMAGE = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
RUNNING: dict[str, Any] = {
    "State": {"Status": "running", "Running": True, "Restarting": False, "OOMKilled": False, "ExitCode": 0, "StartedAt": "2025-11-20T02:05:00.123456789Z",
              "Health": {"Status": "healthy", "FailingStreak": 0}},
    "HostConfig": {"Memory": 1000, "NanoCpus": 500000000, "CpuQuota": 0, "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}},
    "RestartCount": 0,
    "Image": IMAGE,
}  # fmt: skip


def inspected(**changes: Any) -> dict[str, Any]:
    """The engine's description of a container that is well, but for ``changes`` of its state, its configuration or itself."""
    made = copy.deepcopy(RUNNING)
    for name, value in changes.items():
        place = next((part for part in ("State", "HostConfig") if name in RUNNING[part]), None)
        (made[place] if place else made)[name] = value
    return made


def seen(**values: Any) -> Seen:
    return Seen(**{"memory": 500, "pids": 3, "cpu_percent": 1.5, "log_size": 10, "tagged": IMAGE, "digests": ["repo@" + OTHER], **values})


def of(*containers: dict[str, Any], **values: Any) -> dict[str, Any]:
    labels = ("api", "db", "cache")
    return measures_of([facts_of(label, one, seen(**values), NOW) for label, one in zip(labels, containers)])


def verdict(measures: dict[str, Any], limits: dict[str, Any] | None = None) -> dict[str, Any]:
    defaults = KINDS["container"].defaults({})
    return judge_measures(measures, MEASURES, parse_limits({**defaults, **(limits or {})}, MEASURES), {})


def test_one_that_is_well() -> None:
    measures = of(inspected())
    assert measures == {
        "count": 1, "running_count": 1, "missing_count": 0, "unhealthy_count": 0, "state": "running", "health": "healthy",
        "uptime": pytest.approx(599.9, abs=0.1),
        "restarts": 0, "exit_code": 0, "cpu_percent": 1.5, "memory": 500, "memory_percent": 50.0, "pids": 3, "log_size": 10,
        "down": NONE, "missing": NONE, "unhealthy": NONE, "restarting": NONE, "oom_killed": NONE, "without_memory_limit": NONE, "without_cpu_limit": NONE,
        "without_log_limit": NONE, "drifted": NONE, "wrong_image": SKIPPED,
    }  # fmt: skip
    assert set(measures) == set(MEASURES) and verdict(measures)["status"] == "ok"


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"Status": "exited", "ExitCode": 1}, "down", "api (exited with code 1)"),
        ({"Status": "exited", "ExitCode": 0}, "down", "api (exited with code 0)"),
        ({"Status": "dead", "ExitCode": 255}, "down", "api (dead with code 255)"),
        ({"Status": "paused"}, "down", "api (paused)"),
        ({"Status": "created"}, "down", "api (created)"),
        ({"Status": "restarting", "Restarting": True}, "down", "api (restarting)"),
        ({"Status": "hibernating"}, "down", "api (hibernating)"),
        ({"RestartCount": 4, "StartedAt": "2025-11-20T02:14:30Z"}, "down", "api (started again by the engine less than a minute ago, 4 restarts)"),
        ({"RestartCount": 4, "StartedAt": "2025-11-20T02:14:30Z"}, "restarting", "api (4 restarts)"),
        ({"RestartCount": 4}, "down", NONE),
        ({"RestartCount": 0, "StartedAt": "2025-11-20T02:14:59Z"}, "down", NONE),
        ({"Health": {"Status": "unhealthy", "FailingStreak": 3}}, "unhealthy", "api (3 failures in a row)"),
        ({"Health": {"Status": "starting", "FailingStreak": 1}}, "unhealthy", NONE),
        ({"OOMKilled": True}, "oom_killed", "api"),
        ({"OOMKilled": True, "Status": "exited", "ExitCode": 137}, "oom_killed", "api"),
        ({"Status": "exited", "ExitCode": 1}, "oom_killed", NONE),
        ({"Memory": 0}, "without_memory_limit", "api"),
        ({"NanoCpus": 0}, "without_cpu_limit", "api"),
        ({"NanoCpus": 0, "CpuQuota": 50000}, "without_cpu_limit", NONE),
        ({"NanoCpus": 0, "CpuQuota": -1}, "without_cpu_limit", "api"),
        ({"LogConfig": {"Type": "json-file", "Config": {}}}, "without_log_limit", "api"),
        ({"LogConfig": {"Type": "json-file", "Config": None}}, "without_log_limit", "api"),
        ({"LogConfig": {"Type": "local", "Config": {}}}, "without_log_limit", NONE),
        ({"LogConfig": {"Type": "journald", "Config": {}}}, "without_log_limit", NONE),
        ({"Image": OTHER}, "drifted", "api"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], name: str, text: str) -> None:
    assert of(inspected(**changes))[name] == text


@pytest.mark.parametrize("name", ["memory", "memory_percent", "pids", "cpu_percent", "uptime", "health"])
def test_nothing_is_claimed_of_one_that_does_not_run(name: str) -> None:
    assert of(inspected(Status="exited", ExitCode=1))[name] == Unmeasured("api is not running")


@pytest.mark.parametrize(
    ("state", "values", "name", "words"),
    [
        ({"Status": "exited", "ExitCode": 137}, {}, "oom_killed", "does not say by whom"),
        ({}, {"oom_kills": Unmeasured("no control group")}, "oom_killed", "no control group"),
        ({}, {"memory": Unmeasured("no control group")}, "memory_percent", "no control group"),
        ({"Memory": 0}, {}, "memory_percent", "api has no memory limit"),
        ({}, {"tagged": Unmeasured("the tag is gone")}, "drifted", "the tag is gone"),
        ({}, {"pinned": OTHER, "digests": Unmeasured("gone")}, "wrong_image", "gone"),
    ],
)
def test_doubt_is_never_well(state: dict[str, Any], values: dict[str, Any], name: str, words: str) -> None:
    measures = of(inspected(**state), **values)
    assert isinstance(measures[name], Unmeasured) and words in measures[name].reason
    limit = {"critical": "> 1000000 %"} if name.endswith("percent") else {"critical": "!= none"}
    assert verdict(measures, {name: limit})["status"] in ("unknown", "critical")


@pytest.mark.parametrize(("pinned", "wrong"), [(IMAGE, NONE), (OTHER, NONE), ("sha256:" + "c" * 64, "api")])
def test_the_image_that_is_wanted(pinned: str, wrong: str) -> None:
    """Its own id, or the digest of a repository it came from."""
    assert of(inspected(), pinned=pinned)["wrong_image"] == wrong


def test_of_several_the_worst() -> None:
    first, second = inspected(RestartCount=2, Memory=0), inspected(Status="exited", ExitCode=3, RestartCount=1)
    measures = of(first, second, inspected(Health={"Status": "unhealthy", "FailingStreak": 1}))
    assert (measures["count"], measures["running_count"], measures["unhealthy_count"]) == (3, 2, 1)
    assert (measures["state"], measures["restarts"], measures["exit_code"]) == ("exited", 2, 3)
    assert measures["down"] == "db (exited with code 3)" and measures["without_memory_limit"] == "api" and measures["unhealthy"] == "cache (1 failure in a row)"
    assert measures["memory_percent"] == Unmeasured("api has no memory limit; db is not running")
    assert verdict(measures)["status"] == "critical"


@pytest.mark.parametrize(("states", "worst"), [
    (("healthy", "healthy"), "healthy"), (("healthy", "starting"), "starting"), (("starting", None), NONE), (("healthy", None), NONE),
    ((None, "unhealthy"), "unhealthy"), (("unhealthy", "healthy"), "unhealthy"), (("healthy", "odd"), "odd"),
])  # fmt: skip
def test_the_worst_health(states: tuple[str | None, ...], worst: str) -> None:
    made = [inspected(Health={"Status": state} if state else None) for state in states]
    assert of(*made)["health"] == worst == of(*reversed(made))["health"]


def test_one_that_is_missing() -> None:
    measures = measures_of([facts_of("api", inspected(), seen(), NOW), missing("db")])
    assert (measures["count"], measures["missing_count"], measures["missing"], measures["down"], measures["state"]) == (1, 1, "db", "db (missing)", "missing")
    assert verdict(measures)["status"] == "critical"
    assert verdict(measures, {"down": {"critical": None}, "memory": {"warning": "> 5 GiB"}})["status"] == "unknown"


@pytest.mark.parametrize("text", ["", "sha256:abc", "sha256:" + "g" * 64, "latest", None, 5, "sha512:" + "a" * 64, "sha256:" + "A" * 64])
def test_what_is_no_digest(text: Any) -> None:
    with pytest.raises(InvalidInput, match="not a digest"):
        digest_of(text)
    assert digest_of(f"registry:5000/app@{IMAGE}") == digest_of(IMAGE) == IMAGE


STATES = st.sampled_from(["running", "paused", "created", "restarting", "removing", "exited", "dead", "odd"])
HEALTHS = st.sampled_from([None, {"Status": "healthy"}, {"Status": "starting"}, {"Status": "unhealthy", "FailingStreak": 2}])


@given(st.lists(st.tuples(STATES, HEALTHS, st.booleans(), st.integers(0, 3)), min_size=1, max_size=3))
def test_green_means_that_every_one_runs_and_none_is_unhealthy(drawn: list[tuple[str, Any, bool, int]]) -> None:
    made = [inspected(Status=state, Health=health, OOMKilled=killed, RestartCount=restarts) for state, health, killed, restarts in drawn]
    well = all(state == "running" and (health or {}).get("Status") != "unhealthy" and not killed for state, health, killed, _restarts in drawn)
    assert (verdict(of(*made))["status"] == "ok") is well
