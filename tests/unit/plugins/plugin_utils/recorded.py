# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs for tests of the record: events without Ansible, journals without a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Chain, Event, encode
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

START = 1_795_140_960.0
"""2026-11-20T02:16:00Z"""

KEY = b"k" * 32

Draft = tuple[str, Mapping[str, Any]]


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that always fails in the same way."""

    def fail(*_arguments: Any, **_named: Any) -> Any:
        raise error

    return fail


def run_id(number: int) -> str:
    return f"20261120T021600Z-{number:08x}"


def check(name: str = "disk", status: str = "ok", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "kind": "host", "status": status, "severity": None, "message": "", "hint": "", "measures": {}, "units": {}, "limits": [],
        "notes": [], "muted": None, "duration_seconds": 0.1, "attempts": 1, **more,
    }  # fmt: skip


def started(**more: Any) -> Draft:
    facts = {
        "playbook": "daily",
        "user": "ops",
        "controller": "ctl",
        "check_mode": False,
        "limit": "",
        "tags": ["all"],
        "skip_tags": [],
        "versions": {},
        "launch": {},
        "run_id": run_id(1),
    }
    return "run_started", {**facts, **more}


def hosts(**systems: str) -> Draft:
    """app="nextrade/production"."""
    return "hosts", {"hosts": {name: dict(zip(("system", "environment"), place.split("/"), strict=False)) for name, place in systems.items()}}


def checks(*found: dict[str, Any], host: str = "app", **more: Any) -> Draft:
    body = {"host": host, "role": "health", "judged": True, "system": "", "environment": "", "measured_at": rfc3339(START), "part": 1, "parts": 1}
    return "checks", {**body, "checks": list(found), **more}


def signature(ident: str = "aa", count: int = 1, **more: Any) -> dict[str, Any]:
    seen = {"first_at": rfc3339(START - 600), "last_at": rfc3339(START - 60)}
    return {"id": ident, "level": "ERROR", "text": f"failed {ident}", "count": count, "example": f"failed {ident} now", **seen, **more}


def log(name: str = "app log", *signatures: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The report of one log, as log_analysis_info gives it."""
    return {
        "name": name, "source": ["/var/log/app.log*"], "format": "python", "timezone": "UTC", "from": rfc3339(START - 3600), "to": rfc3339(START),
        "incremental": False, "lines": 120, "entries": 100, "bytes": 4096, "files": [{"path": "/var/log/app.log", "bytes": 4096}],
        "levels": {"INFO": 90, "ERROR": 10}, "bucket_seconds": 60,
        "series": {"start": rfc3339(START - 3600), "entries": [1, 2] * 30, "patterns": {"errors": [0, 1] * 30}},
        "patterns": {"errors": {"count": 30, "ratio": 30.0, "per_minute": 0.5, "per_minute_max": 1, "per_hour": 30.0, "samples": [
            {"at": rfc3339(START - 60), "path": "/var/log/app.log", "text": "it failed", "before": ["the line before"], "after": ["the line after"]}]}},
        "extract": {"took": {"count": 9, "p50": 0.35, "p95": 1.52, "p99": 2.3, "max": 5.123, "unit": "s", "approximate": False}},
        "signatures": list(signatures), "signature_count": len(signatures), "benign": [], "secrets": [], "notes": [], **more,
    }  # fmt: skip


def log_report(report: dict[str, Any], bookmark: Any = None, **more: Any) -> Draft:
    body = {"host": "app", "role": "log_review", "judged": True, "system": "", "environment": "", "measured_at": rfc3339(START)}
    return "log_report", {**body, "bookmark": bookmark, "report": report, **more}


def notice(name: str = "api", change: str = "opened", at: float = START, **more: Any) -> dict[str, Any]:
    """What people were told of one check, as the module notify records it."""
    place = {"system": "nextrade", "environment": "production", "host": "app", "kind": "check", "role": "health", "name": name}
    return {**place, "change": change, "status": "critical", "worst": "critical", "severity": "P1", "message": "it is", "hint": "", "at": at, "opened_at": at,
            "told_at": at, "incident": "abc", "opens": [at], "calm_at": None, "channels": ["chat"], **more}  # fmt: skip


def notices(*found: dict[str, Any], host: str = "app") -> Draft:
    return "notices", {"host": host, "notices": list(found)}


def step(state: str, host: str = "app", **more: Any) -> Draft:
    return "step", {
        "play": "p",
        "role": "",
        "task": "t",
        "action": "a.b.c",
        "host": host,
        "state": state,
        "duration_seconds": 1.0,
        "message": "",
        "result": {},
        **more,
    }


def ended(state: str = "finished", stats: Mapping[str, Any] | None = None, exit_code: int | None = 0, at: float = START + 9) -> Draft:
    return "run_ended", {"state": state, "stats": stats or {}, "exit_code": exit_code, "ended_at": rfc3339(at)}


def chained(identity: str, drafts: Sequence[Draft], at: float = START) -> list[Event]:
    chain = Chain(identity)
    return [chain.next(kind, rfc3339(at + number), body) for number, (kind, body) in enumerate(drafts)]


def lay_down(places: Places, identity: str, drafts: Sequence[Draft], at: float = START, tail: bytes = b"") -> Path:
    """The journal of a run whose process is gone."""
    places.open.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = places.open / f"{identity}.jsonl"
    path.write_bytes("".join(f"{encode(event)}\n" for event in chained(identity, drafts, at)).encode() + tail)
    return path


def seal(places: Places, number: int, *drafts: Draft, at: float = START, **facts: Any) -> dict[str, Any]:
    """Take a finished run into the history; its anchor."""
    identity = run_id(number)
    body = [started(run_id=identity, **facts), *drafts, ended(at=at + 9)]
    with History(places) as history:
        return history.seal_run(lay_down(places, identity, body, at), KEY)
