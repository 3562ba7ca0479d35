# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves what an artifact is worth: its bytes, that they unpack, that they restore with everything in them and its business invariants.

A proof is a file of its own beside the artifact, also one that failed; nothing else ever makes an artifact better or worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from .backup_types import Repository, Target
from .catalog import LEVELS, Artifact, note_name
from .errors import Exists, InvalidInput, RunbookError, VerifyFailed
from .inventory import differences
from .limits import Rule, parse_limits
from .manifest import canonical
from .times import rfc3339
from .transfer import Codec, Corrupt, Part, check_stored, drain
from .verdict import judge_measures


class NotRestored(VerifyFailed):
    """What was restored is not what was backed up, or breaks a business invariant."""

    code = "not_restored"


@dataclass(frozen=True)
class Invariant:
    """A question about restored data whose answer must not cross its limits; ``value`` is the only measure."""

    name: str
    query: str
    rules: Sequence[Rule]


@dataclass(frozen=True)
class Bench:
    """Where and how something is proven. ``clock`` gives seconds since 1970; ``progress`` hears plain bytes done and of how many."""

    repository: Repository
    codec: Codec
    clock: Callable[[], float]
    progress: Callable[[int, int], None] = lambda done, total: None


_AS_IN = 'as in {name: no order is lost, query: "SELECT ...", limits: {value: {critical: "!= 0"}}}'


def invariants_of(given: Sequence[Mapping[str, Any]]) -> list[Invariant]:
    """``[{name, query, limits: {value: {critical: "!= 0"}}}]``. Raises InvalidInput that names the place."""
    found = []
    for index, item in enumerate(given):
        missing = [key for key in ("name", "query", "limits") if not (isinstance(item, Mapping) and item.get(key))]
        if missing:
            name = f" ({item['name']})" if missing[0] != "name" else ""
            raise InvalidInput(f"invariants[{index}]{name} has no {missing[0]}", _AS_IN)
        try:
            rules = parse_limits(item["limits"], {"value": "number"})
        except InvalidInput as error:
            raise InvalidInput(f"invariants[{index}] ({item['name']}): {error.message}", error.hint) from None
        if not rules:
            raise InvalidInput(f"invariants[{index}] ({item['name']}) has no limits", _AS_IN)
        found.append(Invariant(item["name"], item["query"], rules))
    return found


def parts_of(artifact: Artifact) -> list[Mapping[str, Any]]:
    """Its parts, the data first. Raises Corrupt for an artifact that is known not to be whole."""
    if artifact.manifest is None:
        raise Corrupt(f"the backup {artifact.id} is {artifact.state}: {artifact.problem or 'it has no manifest'}", "choose another one (backup_info)")
    if artifact.problem:
        raise Corrupt(f"the backup {artifact.id} is damaged: {artifact.problem}", "choose another one (backup_info)")
    return list(artifact.manifest["parts"])


def admit(artifact: Artifact, bench: Bench) -> str:
    """The public key that opens its data here, or "" (see Codec). Raises NotOpened when it is known beforehand that it cannot be unpacked here."""
    return [*(bench.codec.admit(part) for part in (artifact.manifest or {}).get("parts", ())), ""][0]


def prove_stored(artifact: Artifact, bench: Bench) -> None:
    """Level ``digest``: every stored byte is read and is the one that was written. Raises Corrupt."""
    for part in parts_of(artifact):
        with bench.repository.open(artifact.prefix + part["name"]) as reader:
            check_stored(reader, part, lambda count, part=part: bench.progress(count, part["stored_bytes"]))


def prove_readable(artifact: Artifact, bench: Bench) -> None:
    """Level ``readable``: everything unpacks to the bytes that were taken. Raises Corrupt."""
    for part in parts_of(artifact):
        with bench.repository.open(artifact.prefix + part["name"]) as reader:
            with closing(Part(reader, part, bench.codec, lambda count, part=part: bench.progress(count, part["plain_bytes"]))) as stream:
                drain(stream)


def stage(artifact: Artifact, bench: Bench, target: Target) -> list[str]:
    """Restore the data beside what is there, and compare: how it differs from the manifest. Raises Corrupt and what the target raises."""
    part = parts_of(artifact)[0]
    with bench.repository.open(artifact.prefix + part["name"]) as reader:
        with closing(Part(reader, part, bench.codec, lambda count: bench.progress(count, part["plain_bytes"]))) as stream:
            target.stage(stream, artifact.manifest or {})
            drain(stream)  # a target may stop early, as tar does at its end marker: only the very end proves the digests
    return differences((artifact.manifest or {})["inventory"], target.inventory())


def ask(target: Target, invariants: Sequence[Invariant]) -> list[dict[str, Any]]:
    """The answers to all invariants: ``name, value, status, message``."""
    answers = []
    for invariant in invariants:
        value = target.ask(invariant.query)
        judged = judge_measures({"value": value}, {"value": "number"}, invariant.rules, {})
        answers.append({"name": invariant.name, "value": judged["measures"]["value"], "status": judged["status"], "message": judged["message"]})
    return answers


def prove_restored(artifact: Artifact, bench: Bench, target: Target, invariants: Sequence[Invariant]) -> dict[str, Any]:
    """Level ``restored``: restored into a scratch target, compared and asked; what was staged is removed. Raises NotRestored.

    ``reached`` is where a log was replayed to, for a target that replays one.
    """
    try:
        told = stage(artifact, bench, target)
        answers = [] if told else ask(target, invariants)
        check_restored(artifact, told, answers)
    except BaseException:
        with suppress(RunbookError):  # the first error is the one to tell
            target.discard()
        raise
    reached = dict(getattr(target, "reached", {}))
    target.discard()
    return {"invariants": answers, **({"reached": reached} if reached else {})}


def check_restored(artifact: Artifact, told: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> None:
    """Raises NotRestored unless what was restored is what was backed up and every invariant holds."""
    bad = [f"{answer['name']}: {answer['message'] or answer['status']}" for answer in answers if answer["status"] != "ok"]
    if told or bad:
        raise NotRestored(f"the backup {artifact.id} does not restore right: {'; '.join([*told, *bad])}", "take another one, and see why this one is wrong")


def prove(artifact: Artifact, level: str, bench: Bench, check: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Do ``check`` and keep the proof, good or bad: its data. Raises what the check raised; a failure that says nothing of the artifact leaves none."""
    if level not in LEVELS:
        raise InvalidInput(f'the level "{level}" is not known', f"levels are {', '.join(LEVELS)}")
    started = bench.clock()
    try:
        found, error = dict(check()), None
    except VerifyFailed as failure:
        found, error = {"reason": failure.message}, failure
    ended = bench.clock()
    proof = {
        "id": artifact.id, "level": level, "ok": error is None, "at": rfc3339(ended), "seconds": round(ended - started, 3),
        "manifest_sha256": artifact.manifest_sha256, **found,
    }  # fmt: skip
    try:
        _keep(artifact, proof, bench.repository)
    except RunbookError as second:
        if error is None:
            raise
        error.hint += f" (this proof could not be kept: {second.message})"
    if error is not None:
        raise error
    return proof


def _keep(artifact: Artifact, proof: Mapping[str, Any], repository: Repository) -> None:
    instant = str(proof["at"]).replace("-", "").replace(":", "")
    for number in range(100):
        try:
            repository.create(note_name(artifact.prefix, artifact.id, "proof", f"{proof['level']}.{instant}{f'-{number}' if number else ''}"), canonical(proof))
            return
        except Exists:  # two in one second
            continue
    raise RunbookError(f"a proof of {artifact.id} could not be kept", "see the repository")
