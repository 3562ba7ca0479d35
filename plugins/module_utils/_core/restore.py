# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores an artifact: plan, confirmation of that very plan, safety backup, check, stage beside, compare, swap; undone when a step fails.

Pure: target, repository and clock are handed in. Until the swap nothing that exists is changed, and after it what was there is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .backup_types import Identity, Target
from .catalog import Artifact, Place
from .errors import Busy, InUse, Refused, RunbookError, Unsure
from .proof import Bench, Invariant, ask, check_restored, parts_of, prove_stored, stage
from .times import parse_instant, rfc3339
from .units import format_value


class NotConfirmed(Refused):
    """The plan was not confirmed, or another one was."""

    code = "not_confirmed"


class NotFit(Refused):
    """The artifact must not be restored here."""

    code = "not_fit"


@dataclass(frozen=True)
class Wish:
    """What is to be restored, and what was allowed on purpose. ``manifest_sha256`` is what the record of the run that took it says, if known."""

    host: str
    invariants: Sequence[Invariant] = ()
    manifest_sha256: str = ""
    allow_suspect: bool = False
    place: Place | None = None
    """What is restored into, in the words of the catalog."""
    rto_seconds: float = 0.0
    """How long it may take (its recovery time objective); 0 for no such limit."""
    until: Mapping[str, str] = field(default_factory=dict)
    """Up to where a log is replayed, as in Context."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What runs now, in the words of the manifest's ``versions``."""


@dataclass(frozen=True)
class Plan:
    """``steps`` for people; ``token`` stands for exactly this plan: this artifact, over this place, with these doubts."""

    steps: Sequence[Mapping[str, Any]]
    doubts: Sequence[str]
    token: str


def plan_restore(artifact: Artifact, identity: Identity, wish: Wish) -> Plan:
    """What would be done. Raises NotFit, Corrupt."""
    manifest = artifact.manifest or {}
    plain = parts_of(artifact)[0]["plain_bytes"]
    if artifact.state != "good" and not (artifact.state == "suspect" and wish.allow_suspect):
        raise NotFit(
            f"the backup {artifact.id} is {artifact.state}: {artifact.problem or manifest.get('suspect') or 'its last proof failed'}",
            "choose another one (backup_info); allow_suspect: true takes a suspect one all the same",
        )
    if wish.manifest_sha256 and wish.manifest_sha256 != artifact.manifest_sha256:
        raise NotFit(f"the manifest of {artifact.id} is not the one that was recorded when it was taken", "somebody changed the repository: find out who")
    doubts = _doubts(artifact, identity, wish)
    steps: list[dict[str, Any]] = []
    if identity.exists:
        steps.append({"action": "back_up", "name": identity.place, "reason": "what is there is saved before it is replaced"})
    steps += [
        {"action": "check", "name": artifact.id, "reason": "every stored byte is read and compared with its digest"},
        {"action": "stage", "name": artifact.id, "bytes": plain, "reason": f"beside {identity.place}, and compared with the inventory of the backup"},
        *({"action": "replay", "name": artifact.id, "reason": f"the log is replayed up to {name} {value}"} for name, value in wish.until.items()),
        {"action": "swap", "name": identity.place, "reason": f"the data of {rfc3339(artifact.taken_at)} takes its place; what was there is kept beside it"},
    ]
    # What runs may be stopped between the plan and its being carried out: the token does not stand for that.
    return Plan(steps, [*doubts, *changed_versions(manifest.get("versions"), wish.versions)], _token(artifact, identity, wish, [steps, doubts]))


def changed_versions(before: Any, now: Mapping[str, str]) -> list[str]:
    """How what runs now differs from what ran when the artifact was taken, each in a sentence. What took it does not count."""
    known = {name: str(value) for name, value in before.items() if name != "python"} if isinstance(before, Mapping) else {}
    return [
        f"the {name} was {value} and is now {now[name]}" if name in now else f"the {name} was {value}, and what it is now is not known"
        for name, value in sorted(known.items())
        if now.get(name) != value
    ]


def _doubts(artifact: Artifact, identity: Identity, wish: Wish) -> list[str]:
    """What somebody should know who confirms."""
    manifest = artifact.manifest or {}
    before: Mapping[str, Any] = manifest["identity"]
    told = []
    if artifact.level != "restored":
        told.append(f"the backup was never proven to restore (its level is {artifact.level or 'none'})")
    seconds = estimate_seconds(artifact)
    if wish.rto_seconds and seconds is not None and seconds > wish.rto_seconds:
        told.append(f"it took {format_value(seconds, 's')} when it was last proven, longer than the {format_value(wish.rto_seconds, 's')} of its RTO")
    if manifest["suspect"]:
        told.append(f"the backup is suspect: {manifest['suspect']}")
    whose = "/".join(str(manifest[key]) for key in ("environment", "system", "source"))
    if wish.place and whose != f"{wish.place.environment}/{wish.place.system}/{wish.place.source}":
        told.append(f"it is a backup of {whose}, and goes to {wish.place.environment}/{wish.place.system}/{wish.place.source}")
    if manifest["host"] != wish.host:
        told.append(f"it was taken on the host {manifest['host']}, and this is {wish.host}")
    if before["place"] != identity.place:
        told.append(f"it was taken of {before['place']}, and goes to {identity.place}")
    if before["system_id"] and identity.system_id and before["system_id"] != identity.system_id:
        told.append(f"it was taken of a server with the identifier {before['system_id']}, and this one has {identity.system_id}")
    return told


def _token(artifact: Artifact, identity: Identity, wish: Wish, told: Sequence[Sequence[Any]]) -> str:
    steps, doubts = told
    facts = [artifact.id, artifact.manifest_sha256, identity.place, identity.system_id, identity.exists, [step["action"] for step in steps], list(doubts)]
    facts += [dict(wish.until)] if wish.until else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]


def confirm(plan: Plan, token: str) -> None:
    """Raises NotConfirmed unless ``token`` is that of this plan."""
    if token != plan.token:
        doubts = f" Mind: {'; '.join(plan.doubts)}." if plan.doubts else ""
        seen = f'"{token}" is the confirmation of another plan' if token else "a restore replaces what is there, and this one was not confirmed"
        raise NotConfirmed(f"{seen}.{doubts}", f"look at the plan (check mode shows it), then confirm it with restore_confirm={plan.token}")


def estimate_seconds(artifact: Artifact) -> float | None:
    """How long it may take, by the last time it was restored, or None."""
    seconds = [proof["seconds"] for proof in artifact.proofs if proof["ok"] and proof["level"] == "restored" and isinstance(proof.get("seconds"), (int, float))]
    return float(seconds[-1]) if seconds else None


@dataclass(frozen=True)
class Steps:
    """The effects of a restore that are not the target's own: ``save`` takes the safety backup; ``note`` writes what was begun to disk."""

    save: Callable[[], Mapping[str, Any] | None]
    note: Callable[[Mapping[str, Any]], None]


def restore(artifact: Artifact, bench: Bench, target: Target, wish: Wish, steps: Steps) -> dict[str, Any]:  # house: what is restored, with what, into what, why
    """Do it. After an error the target is as it was; the error says if not. ``saved, differences, invariants, swapped, seconds``."""
    started = bench.clock()
    in_use = target.identity().in_use
    if in_use:
        raise InUse(f"{target.identity().place} is open in {in_use}", "stop the application first")
    saved = steps.save()
    prove_stored(artifact, bench)
    try:
        told = stage(artifact, bench, target)
        answers = [] if told else ask(target, wish.invariants)
        check_restored(artifact, told, answers)
        steps.note({"stage": "swap"})
        swapped = _swap(target, lambda done: steps.note({"stage": "swapped", "swapped": done}))
    except BaseException:
        with suppress(RunbookError):  # the first error is the one to tell
            target.discard()
        raise
    ended = bench.clock()
    return {
        "saved": saved, "invariants": answers, "swapped": swapped, "seconds": round(ended - started, 3),
        "lost_seconds": round(started - parse_instant((artifact.manifest or {})["taken_at"])),
    }  # fmt: skip


def _swap(target: Target, note: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """A swap that breaks half-way, or of which nothing can be told, is taken back at once."""
    swapped: dict[str, Any] = {}
    try:
        swapped = target.swap()
        note(swapped)
        return swapped
    except BaseException as error:
        if isinstance(error, (Busy, Refused)) and not swapped:  # it did not begin
            raise
        try:
            target.undo(swapped)
        except RunbookError as second:
            first = str(error) or type(error).__name__
            raise Unsure(f"{first}; and it could not be taken back: {second.message}", "take it back with undo, or by hand") from None
        raise


def describe(plan: Plan, artifact: Artifact) -> str:
    """The plan in a few lines."""
    lines = [f"{step['action']}: {step['name']} ({step['reason']})" for step in plan.steps]
    seconds = estimate_seconds(artifact)
    if seconds is not None:
        lines.append(f"it took {format_value(seconds, 's')} when it was last proven")
    return "\n".join([*lines, *(f"mind: {doubt}" for doubt in plan.doubts)]) + "\n"
