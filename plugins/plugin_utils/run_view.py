# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of a run as one picture: systems, hosts, checks, steps, changes, issues. Pure: same events, same view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Event
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import DEFAULT_SEVERITY
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import summarize, worst
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import plural

UNASSIGNED = "unassigned"
"""The system of a host that has no ``runbook_system``, such as localhost."""

NOTE_ACTION = "tradeops.runbook.run_note"

_STATE_STATUS = {"failed": "critical", "unreachable": "unknown"}
_OUTCOME_STATUS = {"warn": "warning", "partial": "warning", "refused": "warning", "busy": "warning", "unknown": "unknown", "failed": "critical"}
_VERDICT_ACTIONS = {"ansible.builtin.fail", "ansible.builtin.assert"}
_STARTED = ("run_id", "playbook", "user", "controller", "check_mode", "limit", "tags", "skip_tags", "versions", "launch")


@dataclass
class _Host:
    name: str
    system: str = UNASSIGNED
    environment: str = ""
    checks: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Role, then name of the check."""
    logs: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Role, then name of the log."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)

    def all_checks(self) -> list[dict[str, Any]]:
        return [{**check, "role": role} for role, named in self.checks.items() for check in named.values()]

    def was_rescued(self) -> bool:
        """Something failed, and in the end nothing had."""
        return bool(self.stats) and not self.stats.get("failures") and not self.stats.get("unreachable")


def build_view(events: Iterable[Event]) -> dict[str, Any]:
    """The RunView of a run; its ``anchor`` is None until the history says how it was sealed."""
    read = list(events)
    started: dict[str, Any] = {}
    ended: dict[str, Any] = {}
    hosts: dict[str, _Host] = {}
    faults: list[dict[str, Any]] = []
    notices: list[dict[str, Any]] = []
    for event in read:
        body = event.data()
        if event.type == "run_started":
            started = body
        elif event.type == "run_ended":
            ended = body
        elif event.type == "quarantined":
            faults.append(_run_issue(body.get("message", "")))
        elif event.type == "notices":
            notices += [notice for notice in body.get("notices") or [] if isinstance(notice, dict)]
        else:
            _take(event.type, body, hosts)
    for name, stats in ended.get("stats", {}).items():
        hosts.setdefault(name, _Host(name)).stats = stats
    state = ended.get("state", "running")
    if state in ("interrupted", "killed"):
        faults.insert(0, _run_issue(f"the run was {state}: what it had begun may be half done"))
    shown = [_show_host(host) for host in sorted(hosts.values(), key=lambda host: host.name)]
    return {
        **{key: started.get(key) for key in _STARTED},
        "state": state,
        "status": worst([*(host["status"] for host in shown), *(fault["status"] for fault in faults)]),
        "exit_code": ended.get("exit_code"),
        **_span(read, ended.get("ended_at")),
        "systems": _systems(shown, hosts),
        "changes": [_mention(step) for host in hosts.values() for step in host.steps if step.get("state") == "changed"],
        "issues": [*faults, *(issue for host in hosts.values() for issue in _issues(host))],
        "notes": [{"host": host.name, **note} for host in hosts.values() for note in _notes(host)],
        "notices": notices,
        "measured_at": max((host["measured_at"] for host in shown if host["measured_at"]), default=None),
        "anchor": None,
    }


def systems_of(view: dict[str, Any]) -> list[dict[str, str]]:
    """Which systems, in which environment, took part in a run."""
    return [{"name": system["name"], "environment": system["environment"]} for system in view["systems"]]


def _take(kind: str, body: dict[str, Any], hosts: dict[str, _Host]) -> None:
    """Add one event of a host to what is known."""
    if kind == "hosts":
        for name, identity in body.get("hosts", {}).items():
            host = hosts.setdefault(name, _Host(name))
            host.system, host.environment = identity.get("system") or UNASSIGNED, identity.get("environment") or ""
        return
    if kind not in ("step", "checks", "log_report"):
        return
    host = hosts.setdefault(str(body.get("host")), _Host(str(body.get("host"))))
    if kind == "step":
        host.steps.append(body)
        return
    if host.system == UNASSIGNED and body.get("system"):
        host.system, host.environment = body["system"], body.get("environment") or ""
    if kind == "log_report":
        _take_log(body, host.logs.setdefault(body.get("role") or "", {}))
        return
    named = host.checks.setdefault(body.get("role") or "", {})
    if body.get("judged") and body.get("part") == 1:
        named.clear()  # the verdict of the role replaces what its modules said
    named.update({check["name"]: {**check, "measured_at": body.get("measured_at")} for check in body.get("checks", [])})


def _take_log(body: dict[str, Any], named: dict[str, dict[str, Any]]) -> None:
    """Add the report of one log; the one that the role judged replaces what its modules said."""
    if body.get("judged"):
        for name in [name for name, log in named.items() if not log["judged"]]:
            del named[name]
    report = body.get("report") or {}
    named[report.get("name") or ""] = {**report, **{key: body.get(key) for key in ("role", "bookmark", "measured_at")}, "judged": bool(body.get("judged"))}


def _show_logs(host: _Host) -> list[dict[str, Any]]:
    return [{key: value for key, value in log.items() if key != "judged"} for named in host.logs.values() for log in named.values()]


def _show_host(host: _Host) -> dict[str, Any]:
    checks = host.all_checks()
    bad = [step for step in host.steps if _step_status(host, step) != "ok"]
    reachable = not host.stats.get("unreachable") and not any(step.get("state") == "unreachable" for step in host.steps)
    status = worst([*(check["status"] for check in checks), *(_step_status(host, step) for step in host.steps)]) if checks or host.steps else "ok"
    summary = summarize(checks)["summary"] if checks else plural(len(host.steps), "recorded step")
    if not reachable:
        summary = "it could not be reached"
    elif bad and not checks:
        summary = bad[0].get("message") or f"{bad[0].get('task')}: {bad[0].get('state')}"
    measured = [check["measured_at"] for check in checks if check["measured_at"]]
    return {
        "name": host.name, "status": status, "reachable": reachable, "summary": summary, "checks": checks, "steps": host.steps,
        "logs": _show_logs(host), "stats": host.stats, "measured_at": max(measured, default=None),
    }  # fmt: skip


def _step_status(host: _Host, step: dict[str, Any]) -> str:
    """What a step says about its host. What was ignored or rescued is a warning at most."""
    if step.get("action") in _VERDICT_ACTIONS and host.checks.get(step.get("role") or ""):
        return "ok"  # the task that fails a host for its verdict; the checks themselves say how bad that is
    outcome = _OUTCOME_STATUS.get((step.get("result") or {}).get("outcome", ""), "ok")
    status = worst([_STATE_STATUS.get(step.get("state", ""), "ok"), outcome])
    forgiven = step.get("state") == "ignored" or (step.get("state") == "failed" and host.was_rescued())
    return "warning" if forgiven and status != "ok" else status


def _systems(shown: list[dict[str, Any]], hosts: dict[str, _Host]) -> list[dict[str, Any]]:
    """Hosts by system and environment; those without a system come last."""
    found: dict[tuple[bool, str, str], list[dict[str, Any]]] = {}
    for host in shown:
        known = hosts[host["name"]]
        found.setdefault((known.system == UNASSIGNED, known.system, known.environment), []).append(host)
    return [
        {"name": name, "environment": environment, "status": worst([host["status"] for host in members]), "hosts": members}
        for (_last, name, environment), members in sorted(found.items())
    ]


def _issues(host: _Host) -> list[dict[str, Any]]:
    checks = [
        {"host": host.name, "check": check["name"], **{key: check.get(key) for key in ("status", "severity", "message", "hint")}}
        for check in host.all_checks()
        if check["status"] not in ("ok", "skipped")
    ]
    steps = [(step, _step_status(host, step)) for step in host.steps]
    return checks + [
        {
            **_mention(step), "status": status, "severity": DEFAULT_SEVERITY.get(status, DEFAULT_SEVERITY["critical"]),
            "hint": (step.get("result") or {}).get("hint") or "",
        }
        for step, status in steps
        if status != "ok"
    ]  # fmt: skip


def _mention(step: dict[str, Any]) -> dict[str, Any]:
    return {key: step.get(key) for key in ("host", "task", "role", "message")}


def _run_issue(message: str) -> dict[str, Any]:
    return {
        "host": "",
        "task": "the run itself",
        "role": "",
        "status": "unknown",
        "severity": DEFAULT_SEVERITY["critical"],
        "message": message,
        "hint": "",
    }


def _notes(host: _Host) -> list[dict[str, Any]]:
    performed = [step["result"].get("performed") for step in host.steps if step.get("action") == NOTE_ACTION and step.get("result")]
    return [{key: note.get(key) for key in ("kind", "text", "by")} for notes in performed for note in notes or [] if isinstance(note, dict)]


def _span(events: list[Event], ended_at: str | None) -> dict[str, Any]:
    """Beginning, end and length of the run. Whole seconds outside, so that instants of all kinds sort as text."""
    if not events:
        return {"started_at": None, "ended_at": None, "duration_seconds": None}
    first, last = events[0].at, ended_at or events[-1].at
    seconds = parse_instant(last, "UTC") - parse_instant(first, "UTC")
    return {"started_at": f"{first[:19]}Z", "ended_at": f"{last[:19]}Z", "duration_seconds": round(max(seconds, 0.0), 3)}
