# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner of checks: in parallel, under one deadline, and no driver can cost the verdict of another check."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core import errors
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Probe, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._module.health import check_health, prepare
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import KINDS, Kind

Measure = Callable[[dict[str, Any], Probe], Any]
OK = {"load": {"critical": "> 5"}}
LATENCY = {"latency": {"critical": "> 5 s"}}


class Driver:
    """Measures with the function a test gives; notes what it was told and when it ran."""

    MEASURES = {"latency": "s", "load": "number", "writable": "boolean"}

    def __init__(self) -> None:
        self.work: Measure = lambda options, probe: {"load": 1, "latency": 0.1}
        self.probes: list[Probe] = []
        self.spans: list[tuple[float, float, bool]] = []

    def measure(self, options: dict[str, Any], probe: Probe) -> Any:
        self.probes.append(probe)
        started = time.monotonic()
        try:
            return self.work(options, probe)
        finally:
            self.spans.append((started, time.monotonic(), "latency" in probe.wanted))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    fake = Driver()
    monkeypatch.setitem(KINDS, "fake", Kind(lambda: fake, {}, defaults=lambda options: options.get("defaults", {})))
    return fake


def check(name: str = "a", limits: dict[str, Any] | None = None, kind: str = "fake", options: Any = None, **more: Any) -> dict[str, Any]:
    """A check as the native validator hands it over."""
    empty = {key: None for key in (*KINDS, "for", "mute", "poll")}
    return {**empty, "name": name, "limits": limits or {}, "severity": "P2", "baselines": {}, "notes": [], kind: {} if options is None else options, **more}


def health(*checks: dict[str, Any], check_mode: bool = False, **more: Any) -> dict[str, Any]:
    result = check_health({"checks": list(checks), "connections": {}, "deadline_seconds": 20.0, "max_parallel": 8, **more}, check_mode)
    json.dumps(result, allow_nan=False)
    return result


def one(*args: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = health(check(*args, **more))["checks"][0]
    return found


def test_the_shape_of_the_result(driver: Driver) -> None:
    driver.work = lambda options, probe: {"load": 9, "extra": "x"}
    result = health(check(limits={"load": {"critical": "> 5", "for": "5 min"}}, **{"for": "1 h"}, notes=["n"]))
    assert set(result) == {"changed", "status", "summary", "measured_at", "duration_seconds", "checks"}
    assert (result["changed"], result["status"], result["summary"]) == (False, "critical", "1 check: 1 critical")
    assert time.strptime(result["measured_at"], "%Y-%m-%dT%H:%M:%SZ")
    found = result["checks"][0]
    assert found.pop("duration_seconds") < 1
    assert found == {
        "name": "a", "kind": "fake", "status": "critical", "severity": "P2", "message": "load is 9 (critical: > 5)", "hint": "",
        "measures": {"load": 9, "extra": "x"}, "units": {"load": "number", "extra": "number"}, "attempts": 1, "notes": ["n"], "muted": None,
        "for_seconds": 3600.0, "limits": [
            {"measure": "load", "level": "critical", "limit": "> 5", "severity": "P2", "for_seconds": 300.0, "state": "crossed", "reason": ""}]}  # fmt: skip


def test_many_checks_keep_their_order_and_share_the_workers(driver: Driver) -> None:
    gate = threading.Barrier(8)
    driver.work = lambda options, probe: (gate.wait(10) if len(driver.probes) <= 8 else 0, {"load": 1})[1]
    started = time.monotonic()
    result = health(*(check(f"check {number}", OK) for number in range(500)))
    assert [found["name"] for found in result["checks"]] == [f"check {number}" for number in range(500)]
    assert result["summary"] == "500 checks: 500 ok"
    assert time.monotonic() - started < 10
    assert most_at_once(driver) == 8


def most_at_once(driver: Driver) -> int:
    marks = sorted([(start, 1) for start, _end, _timed in driver.spans] + [(end, -1) for _start, end, _timed in driver.spans])
    running = [sum(step for _at, step in marks[: number + 1]) for number in range(len(marks))]
    return max(running)


def test_a_driver_that_hangs_costs_only_its_own_verdict(driver: Driver) -> None:
    def hang(options: dict[str, Any], probe: Probe) -> Any:
        if options.get("hang"):
            threading.Event().wait(30)
        return {"load": 1}

    driver.work = hang
    started = time.monotonic()
    checks = [check(f"{number}", OK, options={"hang": number in (0, 1)}) for number in range(20)]
    result = health(*checks, check("timed", LATENCY), deadline_seconds=0.6)
    assert time.monotonic() - started < 3
    assert [found["status"] for found in result["checks"]] == ["unknown"] * 2 + ["ok"] * 18 + ["unknown"]
    late = result["checks"][0]
    assert (late["code"], late["severity"], late["measures"]) == ("deadline_passed", "P2", {})
    assert "time for all checks was over" in late["message"] and "health_deadline_seconds" in late["hint"]


def test_when_every_worker_hangs_nothing_is_ok_and_nothing_runs_on(driver: Driver) -> None:
    release = threading.Event()
    driver.work = lambda options, probe: release.wait(10)
    result = health(*(check(f"{number}", OK) for number in range(10)), deadline_seconds=0.3, max_parallel=2)
    assert {found["status"] for found in result["checks"]} == {"unknown"}
    release.set()
    time.sleep(0.2)
    assert len(driver.probes) == 2, "what was not started in time is not started later"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Unreachable("m", "h"), "critical", "unreachable"),
        (errors.TimedOut("m", "h"), "critical", "timed_out"),
        (errors.Busy("m", "h"), "critical", "busy"),
        (errors.VerifyFailed("m", "h"), "critical", "verify_failed"),
        (errors.InvalidInput("m", "h"), "unknown", "invalid_input"),
        (errors.MissingLibrary("m", "p", "why"), "unknown", "missing_library"),
        (ZeroDivisionError("m"), "unknown", "defect"),
        (RecursionError("m"), "unknown", "defect"),
    ],
)
def test_a_driver_that_raises(error: Exception, status: str, code: str, driver: Driver) -> None:
    def work(options: dict[str, Any], probe: Probe) -> Any:
        if options.get("bad"):
            raise error
        return {"load": 1}

    driver.work = work
    result = health(check("bad", OK, options={"bad": True}, severity="P1"), check("good", OK))
    bad, good = result["checks"]
    assert (bad["status"], bad["code"], bad["severity"]) == (status, code, "P1")
    assert "m" in bad["message"] and bad["hint"]
    assert good["status"] == "ok"


@pytest.mark.parametrize("answer", [None, [], "text", 5, {"load": object()}, {"load": float("nan")}, {"load": Unmeasured("why")}, {}])
def test_an_answer_that_is_none_is_unknown(answer: Any, driver: Driver) -> None:
    driver.work = lambda options, probe: answer
    assert one(limits=OK)["status"] == "unknown"


def test_the_time_of_the_whole_call_is_no_proof_against_the_target(driver: Driver) -> None:
    def work(options: dict[str, Any], probe: Probe) -> Any:
        while True:
            time.sleep(min(0.05, probe.timeout(5.0)))

    driver.work = work
    found = health(check(limits=OK), deadline_seconds=0.3)["checks"][0]
    assert (found["status"], found["code"]) == ("unknown", "deadline_passed")


def test_latency_is_measured_when_little_else_runs(driver: Driver) -> None:
    driver.work = lambda options, probe: (time.sleep(0.02), {"load": 1, "latency": 0.1})[1]
    result = health(*(check(f"{number}", OK if number % 2 else LATENCY) for number in range(24)))
    assert result["status"] == "ok"
    timed = [span for span in driver.spans if span[2]]
    others = [span for span in driver.spans if not span[2]]
    assert len(timed) == len(others) == 12
    assert max(end for _start, end, _timed in others) <= min(start for start, _end, _timed in timed)
    driver.spans = timed
    assert most_at_once(driver) <= 4


def test_one_that_only_waits_leaves_its_place_to_the_next(driver: Driver) -> None:
    went = threading.Event()

    def work(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
        if options.get("bad"):  # only the check after it can end its wait
            while not went.is_set():
                assert probe.pause is not None
                probe.pause(min(0.01, probe.timeout(1.0)))
        else:
            went.set()
        return {"load": 1}

    driver.work = work
    result = health(check("waits", OK, options={"bad": True}), check("goes", OK), max_parallel=1, deadline_seconds=5.0)
    assert result["status"] == "ok"


def test_one_that_polls_does_not_keep_the_others_waiting(driver: Driver) -> None:
    went = threading.Event()

    def work(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
        if not options.get("bad"):
            went.set()
        return {"load": 1 if went.is_set() else 9}

    driver.work = work
    patient = {"interval_seconds": 0.01, "within_seconds": 4.0}
    result = health(check("polls", OK, options={"bad": True}, poll=patient), check("goes", OK), max_parallel=1, deadline_seconds=5.0)
    assert result["status"] == "ok" and result["checks"][0]["attempts"] > 1


def test_polling_until_it_is_well(driver: Driver) -> None:
    driver.work = lambda options, probe: {"load": 9 if len(driver.probes) < 3 else 1}
    found = one(limits=OK, poll={"interval_seconds": 0.2, "within_seconds": 5.0})
    assert (found["status"], found["attempts"]) == ("ok", 3)
    assert 0.4 <= found["duration_seconds"] < 3
    clocks = [probe.now for probe in driver.probes]
    assert clocks[2] - clocks[0] == pytest.approx(0.4, abs=0.3), "the wall clock goes on, or fresh timestamps would lie in the future"


@pytest.mark.parametrize(("within", "deadline"), [(0.5, 20.0), (60.0, 0.5)])
def test_polling_ends(within: float, deadline: float, driver: Driver) -> None:
    driver.work = lambda options, probe: {"load": 9}
    started = time.monotonic()
    found = health(check(limits=OK, poll={"interval_seconds": 0.1, "within_seconds": within}), deadline_seconds=deadline)["checks"][0]
    assert found["status"] in ("critical", "unknown") and time.monotonic() - started < 5
    assert len(driver.probes) >= 3


def test_what_is_left_out_is_not_polled(driver: Driver) -> None:
    driver.work = lambda options, probe: {"writable": SKIPPED if probe.check_mode else True}
    limits = {"writable": {"critical": "!= true"}}
    result = health(check(limits=limits, poll={"interval_seconds": 0.1, "within_seconds": 5.0}), check_mode=True)
    assert (result["status"], result["checks"][0]["attempts"], result["checks"][0]["measures"]) == ("skipped", 1, {})
    assert health(check(limits=limits))["status"] == "ok"


@pytest.mark.parametrize(("until", "status"), [("2999-01-01", "skipped"), ("2001-01-01", "critical")])
def test_mutes(until: str, status: str, driver: Driver) -> None:
    driver.work = lambda options, probe: {"load": 9}
    result = health(check(limits=OK, mute={"reason": "r", "owner": "o", "until": until}))
    found = result["checks"][0]
    assert result["status"] == found["status"] == status
    assert found.get("measured_status") == ("critical" if status == "skipped" else None)
    assert found["limits"][0]["state"] == "crossed" and bool(found["notes"]) == (status == "critical")


def test_what_the_driver_is_told(driver: Driver) -> None:
    params = {"checks": [check(limits={**OK, **LATENCY}, options={"connection": "orders", "defaults": {"load": {"critical": "> 1"}}})],
              "connections": {"orders": {"path": "/x.db"}}, "deadline_seconds": 20.0, "max_parallel": 1}  # fmt: skip
    check_health(params, True)
    probe = driver.probes[0]
    assert (probe.connection, probe.wanted, probe.check_mode) == ({"path": "/x.db"}, frozenset(["load", "latency"]), True)
    assert 0 < probe.deadline.remaining() <= 20 and abs(probe.now - time.time()) < 5


def test_default_limits_hold_for_measures_without_their_own(driver: Driver) -> None:
    defaults = {"defaults": {"load": {"warning": "> 1", "critical": "> 5"}, "writable": {"critical": "!= true"}}}
    driver.work = lambda options, probe: {"load": 3, "writable": True}
    found = one(options=defaults, severity="P1")
    assert [(limit["measure"], limit["level"], limit["severity"]) for limit in found["limits"]] == [
        ("load", "warning", "P3"), ("load", "critical", "P1"), ("writable", "critical", "P1")]  # fmt: skip
    assert (found["status"], found["severity"]) == ("warning", "P3")
    assert {limit["severity"] for limit in one(options=defaults, severity="P4")["limits"]} == {"P4"}
    own = one(limits={"load": {"critical": "> 9"}}, options=defaults, severity="P1")
    assert [limit["severity"] for limit in own["limits"]] == ["P1", "P1"]
    own = one(limits={"load": {"warning": "> 7", "critical": "> 9", "severity": {"critical": "P4"}}}, options={}, severity="P1")
    assert [limit["severity"] for limit in own["limits"]] == ["P3", "P4"]
    own = one(limits={"load": {"critical": "> 9"}}, options=defaults)
    assert [limit["limit"] for limit in own["limits"]] == ["> 9", "!= true"]
    assert [limit["limit"] for limit in one(limits={"load": {"critical": None}}, options=defaults)["limits"]] == ["!= true"]


def test_baselines(driver: Driver) -> None:
    limits = {"load": {"critical": "> 2 x baseline"}}
    driver.work = lambda options, probe: {"load": 9}
    assert (one(limits=limits)["status"], one(limits=limits)["limits"][0]["state"]) == ("ok", "learning")
    assert one(limits=limits, baselines={"load": 4})["status"] == "critical"
    assert one(limits=limits, baselines={"load": 5})["status"] == "ok"


def test_a_check_that_trusts_everybody_says_so(driver: Driver) -> None:
    assert "not verified" in one(options={"validate_certs": False})["notes"][0]
    assert one(options={"validate_certs": True})["notes"] == []


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (check("a", {"lod": {"critical": "> 5"}}), 'checks[1] (a) limits: unknown measure "lod"; did you mean "load"?'),
    (check("ok", OK), "checks[1] (ok) another check has the same name"),
    (check("a", options={"connection": "order"}), 'checks[1] (a) fake: unknown connection "order"; did you mean "orders"?'),
    (check("a", options={"timeout_seconds": 0.0}), "checks[1] (a) fake: timeout_seconds must be more than 0"),
    (check("a", options={"timeout_seconds": float("inf")}), "fake: timeout_seconds must be more than 0, not inf"),
    (check("a", options={"timeout_seconds": float("nan")}), "fake: timeout_seconds must be more than 0"),
    (check("a", options={"max_bytes": -1}), "fake: max_bytes must be more than 0"),
    (check("a", poll={"interval_seconds": 0.0, "within_seconds": 5.0}), "poll: interval_seconds must be more than 0"),
    (check("a", poll={"interval_seconds": 1.0, "within_seconds": -1.0}), "poll: within_seconds must be more than 0"),
    (check("a", **{"for": "5"}), 'checks[1] (a) "5" is not a duration'),
    (check("a", mute={"reason": "r", "owner": "o", "until": "soon"}), 'checks[1] (a) "soon" is not a point in time'),
    (check("a", baselines={"load": "3"}), "baselines: load must be a number, not 3"),
    (check("a", when_session={"calendar": "XNYS", "skip": None}), "when_session: nobody has decided whether the session is open (pass the checks through"),
    ({**check("a"), "fake": None}, "checks[1] (a) its kind is empty (a kind without options is written as in host: {})"),
]


def test_every_mistake_at_once(driver: Driver) -> None:
    wrong = [{**one, "name": one["name"].replace("a", f"c{number}")} for number, (one, _message) in enumerate(MISTAKES, 1)]
    connections = {"orders": {"path": "/x"}, "bad": {}, "worse": {"path": None}}
    params = {"checks": [check("ok", OK), *wrong], "connections": connections, "deadline_seconds": 0.0, "max_parallel": 0}
    with pytest.raises(InvalidInput) as caught:
        prepare(params)
    for number, (_wrong, message) in enumerate(MISTAKES, 1):
        assert message.replace("checks[1]", f"checks[{number}]").replace("(a)", f"(c{number})") in caught.value.message
    assert "connections: bad:" in caught.value.message and "connections: worse:" in caught.value.message
    assert "deadline_seconds must be more than 0" in caught.value.message and not driver.probes


def test_no_checks() -> None:
    assert health()["status"] == "skipped" and health()["checks"] == []


def test_outside_of_its_session_a_check_is_not_measured_and_says_why(driver: Driver) -> None:
    closed = {"calendar": "XNYS", "skip": "outside of the trading session XNYS, which opens next at 2026-11-23T14:30:00Z"}
    broken = check("broken", OK)
    driver.work = lambda options, probe: {"load": 9}
    result = health(check("trades", LATENCY, when_session=closed), broken, check("open", OK, when_session={**closed, "skip": ""}))
    assert [entry["status"] for entry in result["checks"]] == ["skipped", "critical", "critical"] and len(driver.probes) == 2
    skipped = result["checks"][0]
    assert skipped["message"] == f"not judged: {closed['skip']}"
    assert (skipped["severity"], skipped["measures"], skipped["limits"], skipped["attempts"]) == (None, {}, [], 0)
    assert set(result["checks"][1]) == set(skipped)
