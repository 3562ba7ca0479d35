# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a retention plan out: tombstone, manifest, data, in this order, so that an interrupted removal is finished by the next one. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .backup_types import Repository
from .catalog import Artifact, instant_of, newest_good, note_name
from .errors import Refused
from .keep import Candidate, Plan
from .manifest import canonical
from .units import format_value

ABANDONED_SECONDS = 86400.0
"""What has no manifest after a day is what an interrupted backup left."""


class TooMuch(Refused):
    """More would go than may go without somebody looking at it."""

    code = "too_much"


def candidates(artifacts: Sequence[Artifact], copied: Mapping[str, float] | None = None) -> list[Candidate]:
    """What retention has to know of each. What was made outside, and is needed by one of ours, is not ours to keep.

    ``copied`` says for every copy up to which instant it has the data (see copied_until).
    """
    ids = {(artifact.manifest or {}).get("label"): artifact.id for artifact in artifacts}
    return [replace(_candidate(artifact, ids), not_in=_not_in(artifact, copied or {})) for artifact in artifacts]


def _not_in(artifact: Artifact, copied: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(name for name, until in copied.items() if artifact.manifest is None or artifact.taken_at > until)


def copied_until(copy: Sequence[Artifact], artifacts: Sequence[Artifact], now: float) -> float:
    """The instant of the newest good artifact that a fresh listing of a copy shows; -inf for none. Where we have it too, it has to be the same; one
    that is newer than all of ours is somebody else's, and then nobody knows what the copy has of ours."""
    ours = {artifact.id: artifact.manifest_sha256 for artifact in artifacts}
    newest = newest_good([one for one in copy if ours.get(one.id, one.manifest_sha256) == one.manifest_sha256], now)
    mine = newest_good(artifacts, now)
    foreign = newest is not None and newest.id not in ours and (mine is None or newest.taken_at > mine.taken_at)
    return newest.taken_at if newest is not None and not foreign else -math.inf


def _candidate(artifact: Artifact, ids: Mapping[Any, str]) -> Candidate:
    manifest = artifact.manifest or {}
    # what an engine of its own may have removed already is not brought back by taking a tombstone away
    whole = artifact.manifest is not None and not (artifact.removing and manifest.get("label"))
    return Candidate(
        id=artifact.id, taken_at=artifact.taken_at, complete=whole, proof=artifact.level, restored_at=artifact.restored_at,
        failed_proof=bool(artifact.problem) or artifact.failed, suspect=bool(manifest.get("suspect")), holds=artifact.holds, pins=artifact.pins,
        retention_class=str(manifest.get("class", "")), size_bytes=artifact.size_bytes, started_removal=artifact.removing,
        needs=tuple(ids[label] for label in manifest.get("needs", ()) if label in ids),
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


Forget = Callable[[Mapping[str, Any]], None]
"""Makes an engine of its own remove what a manifest is of; does nothing when it has it no more."""


@dataclass(frozen=True)
class Removal:
    """Where and on whose behalf something is removed."""

    repository: Repository
    run_id: str
    forget: Forget = lambda manifest: None


def carry_out(steps: Sequence[Mapping[str, Any]], artifacts: Sequence[Artifact], removal: Removal) -> Iterator[dict[str, Any]]:
    """Remove, step by step; each when it was done. An error ends it, and leaves nothing that looks like a backup and is none."""
    by_id = {artifact.id: artifact for artifact in artifacts}
    for step in steps:
        artifact = by_id[step["name"]]
        tombstone = note_name(artifact.prefix, artifact.id, "removed")
        if step["action"] == "revive":
            removal.repository.delete(tombstone)
        else:
            _remove(artifact, removal, tombstone, step["reason"])
        yield dict(step)


def _remove(artifact: Artifact, removal: Removal, tombstone: str, reason: str) -> None:
    repository = removal.repository
    if not artifact.removing:
        repository.create(tombstone, canonical({"run_id": removal.run_id, "reason": reason}))
    if artifact.manifest is not None:
        removal.forget(artifact.manifest)
    manifest = note_name("", artifact.id, "manifest")
    others = sorted(name for name in artifact.stored if name not in (manifest, note_name("", artifact.id, "removed")))
    for name in (manifest, *others):
        repository.delete(artifact.prefix + name)
    repository.delete(tombstone)
