# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run saw so far, as notifications need it: from its own journal, while it is under way. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Event
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import CHECK, HOST, STEP, Key, Seen, severity_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view

ROLE = "notify"
"""What this role itself could not do is no news of the run: telling it would need what failed."""

_BAD = ("warning", "unknown", "critical")


def watched(events: Sequence[Event], shift: float = 0.0) -> dict[str, Any]:
    """The view of a run so far, with when it saw what of each host (``seen_at``): checks by role, the first counts; steps under "step", the last one.

    ``shift`` is what the clock of a test differs by.
    """
    found: dict[str, dict[str, float]] = {}
    for event in events:
        if event.type in ("checks", "step"):
            body, at = event.data(), parse_instant(event.at, "UTC") + shift
            times = found.setdefault(str(body.get("host")), {})
            if body.get("role") == ROLE:
                continue
            if event.type == "step":
                times["step"] = at
            else:
                times.setdefault(f"checks {body.get('role') or ''}", at)
    return {**build_view(events), "seen_at": found}


def observe(view: Mapping[str, Any], told: Iterable[Key] = ()) -> list[Seen]:
    """Checks, hosts and failed steps. ``told`` are things that somebody was told to be wrong: a step that is not seen any more is well."""
    found: list[Seen] = []
    for system in view["systems"]:
        for host in system["hosts"]:
            found += _of_host(view, system, host)
    return [*found, *_steps_done(view, found, told)]


def _of_host(view: Mapping[str, Any], system: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Seen]:
    def key(kind: str, role: str, name: str) -> Key:
        return Key(system["name"], system["environment"], host["name"], kind, role, name)

    times = view["seen_at"].get(host["name"], {})
    for check in host["checks"]:
        seen, at = _status(check), times.get(f"checks {check.get('role') or ''}")
        if seen and check.get("role") != ROLE:
            where = key(CHECK, str(check.get("role") or ""), check["name"])
            yield Seen(where, seen, severity_of(seen, check.get("severity")), str(check.get("message") or ""), str(check.get("hint") or ""), at)
    away = [step for step in host["steps"] if step.get("state") == "unreachable"]
    if away:
        yield Seen(key(HOST, "", "reachable"), "unknown", "P2", str(away[0].get("message") or ""), "see its network, its SSH server and its power",
                   times.get("step"))  # fmt: skip
    elif host["checks"] or any(step.get("role") != ROLE for step in host["steps"]):
        yield Seen(key(HOST, "", "reachable"), "ok", at=max(times.values(), default=None))
    failed = {(step.get("task"), step.get("role")) for step in host["steps"] if step.get("state") == "failed"}
    for issue in view["issues"]:
        mine = issue["host"] == host["name"] and (issue.get("task"), issue.get("role")) in failed
        if mine and issue["status"] in _BAD and issue.get("role") != ROLE:
            where = key(STEP, str(issue.get("role") or ""), f"{view['playbook']}: {issue['task']}")
            yield Seen(where, issue["status"], severity_of(issue["status"], issue.get("severity")), str(issue.get("message") or ""), issue["hint"])


def _status(check: Mapping[str, Any]) -> str:
    """``ok`` or how bad it is; "" for what says neither: skipped, muted, or not bad for long enough yet."""
    status = str(check["status"])
    return status if status == "ok" or (status in _BAD and not check.get("pending")) else ""


def _steps_done(view: Mapping[str, Any], found: Iterable[Seen], told: Iterable[Key]) -> Iterator[Seen]:
    """Steps that had failed, on hosts that went through the whole of the same playbook now without anything failing."""
    whole = not (view["check_mode"] or view["skip_tags"] or set(view["tags"] or ()) - {"all"})
    troubled = {seen.key.host for seen in found if seen.key.kind in (HOST, STEP) and seen.status != "ok"}
    present = {host["name"] for system in view["systems"] for host in system["hosts"] if host["checks"] or host["steps"]}
    for key in told:
        if whole and key.kind == STEP and key.host in present - troubled and key.name.startswith(f"{view['playbook']}: "):
            yield Seen(key, "ok")
