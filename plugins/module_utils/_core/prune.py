# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a retention plan out: tombstone, manifest, data, in this order, so that an interrupted removal is finished by the next one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .backup_types import Repository
from .catalog import Artifact, instant_of, note_name
from .errors import Refused
from .keep import Candidate, Plan
from .manifest import canonical
from .units import format_value

ABANDONED_SECONDS = 86400.0
"""What has no manifest after a day is what an interrupted backup left."""


class TooMuch(Refused):
    """More would go than may go without somebody looking at it."""

    code = "too_much"


def candidate(artifact: Artifact) -> Candidate:
    """What retention has to know of an artifact."""
    manifest = artifact.manifest or {}
    return Candidate(
        id=artifact.id, taken_at=artifact.taken_at, complete=artifact.manifest is not None, proof=artifact.level, restored_at=artifact.restored_at,
        failed_proof=bool(artifact.problem) or artifact.failed, suspect=bool(manifest.get("suspect")), holds=artifact.holds, pins=artifact.pins,
        retention_class=str(manifest.get("class", "")), size_bytes=artifact.size_bytes, started_removal=artifact.removing,
    )  # fmt: skip


def steps_of(plan: Plan, artifacts: Sequence[Artifact], now: float) -> list[dict[str, Any]]:
    """What is to go, in order, with the reason and the bytes; what an interrupted backup left goes last."""
    by_id = {artifact.id: artifact for artifact in artifacts}
    steps = [
        {"action": "remove", "name": decision.id, "bytes": by_id[decision.id].size_bytes, "reason": decision.reason}
        for decision in plan.decisions
        if decision.action in ("remove", "finish")
    ]
    steps += [
        {"action": "revive", "name": decision.id, "bytes": 0, "reason": decision.reason}
        for decision in plan.decisions
        if decision.action == "keep" and by_id[decision.id].removing
    ]
    return steps + [
        {"action": "sweep", "name": artifact.id, "bytes": artifact.size_bytes, "reason": "an interrupted backup left it: it has no manifest"}
        for artifact in artifacts
        if _abandoned(artifact, now)
    ]


def _abandoned(artifact: Artifact, now: float) -> bool:
    known = artifact.manifest is not None or artifact.problem or artifact.proofs or artifact.holds or artifact.pins or artifact.removing
    return not known and now - instant_of(artifact.id) > ABANDONED_SECONDS


def check_amount(steps: Iterable[Mapping[str, Any]], artifacts: Sequence[Artifact], most_percent: float) -> None:
    """Raises TooMuch when a larger share of the complete artifacts would go."""
    complete = [artifact for artifact in artifacts if artifact.manifest is not None]
    going = {step["name"] for step in steps if step["action"] == "remove"} & {artifact.id for artifact in complete}
    if complete and 100.0 * len(going) / len(complete) > most_percent:
        raise TooMuch(
            f"{len(going)} of {len(complete)} backups would go, more than {format_value(most_percent)} %",
            "look at the plan (check mode shows it); if it is right, raise max_remove_percent for this once",
        )


def carry_out(steps: Sequence[Mapping[str, Any]], artifacts: Sequence[Artifact], repository: Repository, run_id: str) -> Iterator[dict[str, Any]]:
    """Remove, step by step; each when it was done. An error ends it, and leaves nothing that looks like a backup and is none."""
    by_id = {artifact.id: artifact for artifact in artifacts}
    for step in steps:
        artifact = by_id[step["name"]]
        tombstone = note_name(artifact.prefix, artifact.id, "removed")
        if step["action"] == "revive":
            repository.delete(tombstone)
        else:
            _remove(artifact, repository, tombstone, {"run_id": run_id, "reason": step["reason"]})
        yield dict(step)


def _remove(artifact: Artifact, repository: Repository, tombstone: str, why: Mapping[str, Any]) -> None:
    if not artifact.removing:
        repository.create(tombstone, canonical(why))
    manifest = note_name("", artifact.id, "manifest")
    others = sorted(name for name in artifact.stored if name not in (manifest, note_name("", artifact.id, "removed")))
    for name in (manifest, *others):
        repository.delete(artifact.prefix + name)
    repository.delete(tombstone)
