# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a list of checks: parses them, measures them in parallel under one deadline, judges each."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.errors import InvalidInput, did_you_mean
from .._core.limits import DEFAULT_SEVERITY, Rule, parse_for, parse_limits
from .._core.probe import Deadline, DeadlinePassed, Probe
from .._core.times import parse_instant, rfc3339
from .._core.units import is_number
from .._core.verdict import apply_mute, judge_error, judge_measures, judge_skipped, summarize
from .data_kinds import CONNECTION
from .kinds import KINDS, Kind
from .session import reason_to_skip

_NARROW = 4
"""Checks with limits on latency run at most this many at a time, after the others, so that they do not slow each other."""

_POSITIVE = ("timeout_seconds", "max_bytes", "interval_seconds")


@dataclass(frozen=True)
class Task:
    """One check, parsed."""

    spec: Mapping[str, Any]
    name: str
    kind: str
    options: dict[str, Any]
    rules: Sequence[Rule]
    units: Mapping[str, str]
    connection: dict[str, Any] | None
    skip: str = ""

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(rule.measure for rule in self.rules)


def prepare(params: Mapping[str, Any]) -> list[Task]:
    """The checks of the module's parameters as tasks. Raises InvalidInput that lists every mistake with its place."""
    tasks: list[Task] = []
    errors: list[str] = []
    names: set[str] = set()
    if not 0 < params["deadline_seconds"] < math.inf or params["max_parallel"] < 1:
        errors.append("deadline_seconds must be more than 0 and max_parallel at least 1")
    connections = {name: _given(connection) for name, connection in params["connections"].items()}
    known = list(CONNECTION["options"])
    errors += [f"connections: {name}: give one of {', '.join(known)}" for name, given in connections.items() if len(given) != 1 or set(given) - set(known)]
    for index, check in enumerate(params["checks"]):
        place = f"checks[{index}] ({check['name']})"
        try:
            if check["name"] in names:
                raise InvalidInput("another check has the same name")
            names.add(check["name"])
            tasks.append(_task(check, connections))
        except InvalidInput as error:
            errors.append(f"{place} {error.advice}")
    if errors:
        raise InvalidInput("; ".join(errors), "correct the inventory; nothing was checked")
    return tasks


def _given(connection: Any) -> dict[str, Any]:
    """The kind of a connection and its options: natively, every other kind is there too, as null."""
    return {kind: options for kind, options in connection.items() if options is not None} if isinstance(connection, dict) else {}


def _task(check: Mapping[str, Any], connections: Mapping[str, Any]) -> Task:
    name = next((key for key in KINDS if check.get(key) is not None), "")
    if not name:  # natively, a kind that is null counts as given
        raise InvalidInput("its kind is empty", "a kind without options is written as in host: {}")
    kind, options = KINDS[name], check[name]
    _check_numbers(check, name)
    if check.get("for") is not None:
        parse_for(check["for"])
    if check.get("mute"):
        parse_instant(check["mute"]["until"], "UTC")
    wanted = options.get("connection")
    if wanted is not None and wanted not in connections:
        raise InvalidInput(f'{name}: unknown connection "{wanted}"{did_you_mean(wanted, connections)}')
    if wanted is not None and kind.connects and not set(kind.connects) & set(connections[wanted]):
        raise InvalidInput(f'{name}: the connection "{wanted}" is of another kind', f"it needs one with {' or '.join(kind.connects)}")
    units = kind.units(options)
    return Task(check, check["name"], name, options, _rules(check, kind, options, units), units, connections.get(wanted), reason_to_skip(check))


def _check_numbers(check: Mapping[str, Any], kind: str) -> None:
    """A time-out of nothing would look like a target that does not answer."""
    for place in (kind, "poll"):
        for key, value in (check.get(place) or {}).items():
            if (key in _POSITIVE and not 0 < value < math.inf) or (key == "within_seconds" and not 0 <= value < math.inf):
                raise InvalidInput(f"{place}: {key} must be more than 0, not {value}")
    for measure, baseline in (check.get("baselines") or {}).items():
        if not is_number(baseline):
            raise InvalidInput(f"baselines: {measure} must be a number, not {baseline}")


def _rules(check: Mapping[str, Any], kind: Kind, options: dict[str, Any], units: Mapping[str, str]) -> list[Rule]:
    """The check's own limits, then the kind's for measures the check says nothing about."""
    defaults = {name: levels for name, levels in kind.defaults(options).items() if name not in check["limits"]}
    critical = check.get("severity") or DEFAULT_SEVERITY["critical"]
    severity = {"critical": critical, "warning": max(critical, DEFAULT_SEVERITY["warning"])}  # P3 is less urgent than P2
    return [*parse_limits(check["limits"], units, kind.open_ended, severity), *parse_limits(defaults, units, severities=severity)]


Pause = Callable[[float], None]


class Runner:
    """Measures tasks in daemon threads; what has not finished at the deadline is unknown, and nobody waits for it.

    A task that only waits, for a sample or for its next attempt, leaves its place to the next one and ends without a place.
    """

    def __init__(self, deadline: Deadline, now: float, check_mode: bool) -> None:
        self._deadline = deadline
        self._now = now
        self._started = time.monotonic()
        self._check_mode = check_mode

    def run(self, tasks: Sequence[Task], parallel: int) -> dict[str, dict[str, Any]]:
        """The judged results by name of the check."""
        left_out = {task.name: self.finish(task, judge_skipped(task.skip), 0.0, 0) for task in tasks if task.skip}
        timed = [task for task in tasks if "latency" in task.wanted and not task.skip]
        others = [task for task in tasks if "latency" not in task.wanted and not task.skip]
        return {**left_out, **self._phase(others, parallel), **self._phase(timed, min(parallel, _NARROW))}

    def _phase(self, tasks: Sequence[Task], parallel: int) -> dict[str, dict[str, Any]]:
        waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        for task in tasks:
            waiting.put(task)
        for _number in range(min(parallel, len(tasks))):
            self._start(waiting, done)
        results: dict[str, dict[str, Any]] = {}
        while len(results) < len(tasks):
            try:
                name, result = done.get(timeout=max(0.001, self._deadline.remaining()))
            except queue.Empty:
                break
            results[name] = result
        late = DeadlinePassed("it was not done when the time for all checks was over", "raise health_deadline_seconds, or see what hangs")
        return {task.name: results.get(task.name) or self.finish(task, judge_error(late, task.spec.get("severity")), 0.0, 1) for task in tasks}

    def _start(self, waiting: queue.SimpleQueue[Task], done: queue.SimpleQueue[tuple[str, dict[str, Any]]]) -> None:
        threading.Thread(target=self._work, args=(waiting, done), daemon=True).start()

    def _work(self, waiting: queue.SimpleQueue[Task], done: queue.SimpleQueue[tuple[str, dict[str, Any]]]) -> None:
        has_place = True

        def pause(seconds: float) -> None:
            nonlocal has_place
            if has_place:
                has_place = False
                self._start(waiting, done)
            time.sleep(seconds)

        while has_place and self._deadline.remaining() > 0:
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            done.put((task.name, self.check(task, pause)))

    def check(self, task: Task, pause: Pause) -> dict[str, Any]:
        """Measure and judge one task, again and again while it polls and is not well."""
        started = time.monotonic()
        poll = task.spec.get("poll") or {"within_seconds": 0.0, "interval_seconds": 0.0}
        patience = self._deadline.within(poll["within_seconds"])
        attempts = 1
        judged = self._once(task, pause)
        while judged["status"] not in ("ok", "skipped") and patience.remaining() > 0:
            pause(min(poll["interval_seconds"], patience.remaining()))
            attempts += 1
            judged = self._once(task, pause)
        return self.finish(task, judged, time.monotonic() - started, attempts)

    def _once(self, task: Task, pause: Pause) -> dict[str, Any]:
        now = self._now + time.monotonic() - self._started  # else a fresh timestamp of a late or repeated check lies in the future
        probe = Probe(self._deadline, now, task.connection, task.wanted, self._check_mode, pause)
        try:
            measures = KINDS[task.kind].driver().measure(task.options, probe)
            return judge_measures(measures, task.units, task.rules, task.spec.get("baselines") or {})
        except Exception as error:  # a defect of one driver must not cost the verdicts of the other checks
            return judge_error(error, task.spec.get("severity"))

    def finish(self, task: Task, judged: dict[str, Any], seconds: float, attempts: int) -> dict[str, Any]:
        """The result of a task that was judged."""
        units = {name: task.units.get(name, "number") for name in judged["measures"]}
        notes = list(task.spec.get("notes") or [])
        if task.options.get("validate_certs") is False:
            notes.append("certificates are not verified (validate_certs: false)")
        result = {"name": task.name, "kind": task.kind, **judged, "units": units, "notes": notes}
        waiting = parse_for(task.spec["for"]) if task.spec.get("for") else 0.0
        result.update(duration_seconds=round(seconds, 3), attempts=attempts, for_seconds=waiting)
        return apply_mute(result, task.spec.get("mute"), self._now)


def check_health(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``health_check_info`` for validated parameters."""
    started, now = time.monotonic(), time.time()
    tasks = prepare(params)
    runner = Runner(Deadline(params["deadline_seconds"], time.monotonic), now, check_mode)
    results = runner.run(tasks, params["max_parallel"])
    checks = [results[task.name] for task in tasks]
    return {
        "changed": False,
        **summarize(checks),
        "measured_at": rfc3339(now),
        "duration_seconds": round(time.monotonic() - started, 3),
        "checks": checks,
    }
