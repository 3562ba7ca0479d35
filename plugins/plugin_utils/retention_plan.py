# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is old enough to be dropped from a history. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import BODIES_DROPPED, Cut, Seal, verify_seals
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history_queries as queries
from ansible_collections.tradeops.runbook.plugins.plugin_utils import retention
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import rows_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_verify import run_problems
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.retention import Group, Record
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view

MOST = 20_000
"""Runs in one plan: their bodies are dropped in one transaction, for which every other run waits. The next prune goes on."""

_GROUP = 100
_GROUPS_IN_RECORD = 1000
_HINT = "verify the ledger first (playbook verify_ledger): nothing is dropped from a history that is not as it was written"


@dataclass(frozen=True)
class Limits:
    """Instants: what was sealed before them is old."""

    bodies: float
    chain: float


@dataclass
class Plan:
    """What is to be dropped, for the record and for people."""

    records: list[Record] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    freed_bytes: int = 0


def make_plan(db: Database, places: Places, key: bytes, limits: Limits) -> Plan:
    """Everything old, after proof that it is still what was written. Raises VerifyFailed when it is not."""
    drops, seals = retention.read_drops(db), queries.seals(db)
    for problem in verify_seals(seals, key, (), drops.cut):
        if problem.level == "critical":
            raise VerifyFailed(f"{problem.where}: {problem.message}", _HINT)
    plan, columns = Plan(), retention.kept_columns(db)
    old = [seal for seal in _older(seals, limits.bodies) if seal.seq > drops.end][:MOST]
    groups = []
    for begin in range(0, len(old), _GROUP):
        group, size = _group(db, old[begin : begin + _GROUP])
        groups.append(group)
        plan.freed_bytes += size
    if groups:
        numbers = {"first": old[0].seq, "last": old[-1].seq, "runs": len(old), "bytes": plan.freed_bytes}
        plan.steps.append(_step("drop_bodies", f"sealed before {rfc3339(limits.bodies)}", **numbers))
    _plan_journals(db, places, plan, drops.numbers() | {seal.seq for seal in old})
    left = any(True for _path in retention.leftovers(places, db, drops.numbers()))
    cut = None if left else _cut(seals, limits.chain, [group for group, _columns in drops.groups])
    if cut:
        runs = sum(seal.seq <= cut.seq for seal in seals)
        plan.steps.append(_step("cut_chain", f"sealed before {rfc3339(limits.chain)}", last=cut.seq, runs=runs))
    if plan.steps:
        parts = [groups[begin : begin + _GROUPS_IN_RECORD] for begin in range(0, len(groups), _GROUPS_IN_RECORD)] or [[]]
        plan.records = [Record(columns, tuple(part), cut if part is parts[-1] else None) for part in parts]
    return plan


def _step(what: str, reason: str, **numbers: int) -> dict[str, Any]:
    return {"step": what, "reason": reason, **numbers}


def _older(seals: Sequence[Seal], limit: float) -> Iterator[Seal]:
    """Always from the front: what is left of the chain stays in one piece."""
    return takewhile(lambda seal: parse_instant(seal.sealed_at, "UTC") < limit, seals)


def _group(db: Database, seals: Sequence[Seal]) -> tuple[Group, int]:
    """The group of these seals, and the size of its bodies. The digest is over what the events say, not over what the tables hold."""
    size, digests = 0, []
    for seal in seals:
        events = list(queries.events(db, seal.run_id))
        for problem in run_problems(db, seal, events):
            if problem.level == "critical":
                raise VerifyFailed(f"{problem.where}: {problem.message}", _HINT)
        rows = rows_of({**build_view(events), "run_id": seal.run_id})
        digests.append((seal.seq, seal.run_id, retention.digest_of_run(rows)))
        size += sum(len(event.body or "") for event in events if event.type != BODIES_DROPPED)
    return Group(seals[0].seq, seals[-1].seq, retention.digest_of_group(digests)), size


def _cut(seals: Sequence[Seal], limit: float, groups: Sequence[Group]) -> Cut | None:
    """The last seal of a whole group before the limit. The groups were dropped by earlier prunes, and no journal of theirs is left to outlive its seal."""
    macs = {seal.seq: seal.mac for seal in _older(seals, limit)}
    last = max((group.last for group in groups if group.last in macs), default=0)
    split = [group for group in groups if group.first <= last < group.last]
    return Cut(last, macs[last]) if last and not split else None


def _plan_journals(db: Database, places: Places, plan: Plan, numbers: set[int]) -> None:
    sizes = [path.stat().st_size for path in retention.leftovers(places, db, numbers)]
    if sizes:
        plan.steps.append(_step("remove_journals", "their runs are to lose, or lost, their bodies", files=len(sizes), bytes=sum(sizes)))
        plan.freed_bytes += sum(sizes)
