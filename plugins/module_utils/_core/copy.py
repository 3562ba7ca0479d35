# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies artifacts as they are stored into another repository: same names, same bytes, same manifest, so that a copy restores without the first. Pure.

Every byte is compared with its digest when it is read, and once more when it is read back from where it went; the manifest goes last. What was
proven of the first is not copied: a proof is of bytes in a place, and nobody has restored from the copy yet. It gets the one proof that it earned
on its way, that of its digests.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from .backup_types import Repository
from .catalog import Artifact, newest_good, note_name, read_note, select
from .errors import Exists, NoSpace, Refused, RunbookError, VerifyFailed
from .manifest import digest_of
from .proof import Bench, parts_of, prove, prove_stored
from .transfer import BLOCK, Corrupt, Counted
from .units import format_value

NEW, ALL = "new", "all"


class NotTheSame(Refused):
    """The copy has something else under the name of a backup, and nothing is ever written over."""

    code = "not_the_same"


@dataclass(frozen=True)
class Wish:
    """What is to be copied to ``place``: ``new`` (everything since the newest that is good in both; at first the newest good one), ``all`` that is not
    corrupt, or one that is chosen as catalog.select does."""

    wanted: str
    place: str
    now: float


@dataclass(frozen=True)
class Plan:
    """``steps`` in their order, each with its reason; ``notes`` are what somebody should know; ``blocked`` is raised once the others were copied."""

    steps: list[dict[str, Any]]
    notes: list[str]
    blocked: NotTheSame | None = None


def plan_copy(here: Sequence[Artifact], there: Sequence[Artifact], wish: Wish) -> Plan:
    """What goes from ``here`` to ``there``, both oldest first. Raises NotTheSame, NotThere, and Corrupt for one that was chosen and is not whole."""
    copied = {artifact.id: artifact for artifact in there if artifact.state != "incomplete"}
    chosen, blocked = _chosen(here, copied, wish), None
    for artifact in chosen:
        try:
            _check(artifact, copied.get(artifact.id), wish.place)
        except NotTheSame as error:
            blocked = blocked or error
    steps, missing = [], {artifact.id for artifact in chosen} - set(copied)
    for artifact in here:
        going, known = artifact.id in missing, copied.get(artifact.id)
        cases = artifact.holds if going else [case for case in artifact.holds if known and _equal(artifact, known) and case not in known.holds]
        # before it is whole, so that nobody removes it between the two
        steps += [{"action": "hold", "name": artifact.id, "case": case, "bytes": 0, "reason": f"it is held for {case}"} for case in cases]
        steps += [_step(artifact)] if going else []
    if blocked and not steps:
        raise blocked
    return Plan(steps, [*_notes(here, copied, wish)], blocked)


def _chosen(here: Sequence[Artifact], copied: Mapping[str, Artifact], wish: Wish) -> list[Artifact]:
    worth = [artifact for artifact in here if artifact.state in ("good", "suspect")]
    if wish.wanted == ALL:
        return worth
    if wish.wanted != NEW:
        one = select(list(here), wish.wanted, wish.now)
        if one not in worth:
            raise Corrupt(f"the backup {one.id} is {one.state}: {one.problem or 'no copy is made of it'}", "choose another one (backup_info)")
        return [one]
    both = [number for number, artifact in enumerate(worth) if artifact.id in copied and _in_both(artifact, copied[artifact.id])]
    newest, known = newest_good(here, wish.now), newest_good(copied.values(), wish.now)
    if not both and known is not None:  # what both had was pruned here meanwhile
        return [artifact for artifact in worth if artifact.taken_at > known.taken_at]
    return worth[both[-1] + 1 :] if both else [newest] if newest else []


def _in_both(artifact: Artifact, copy: Artifact) -> bool:
    return artifact.state == copy.state == "good" and _equal(artifact, copy)


def _equal(artifact: Artifact, copy: Artifact) -> bool:
    return artifact.manifest_sha256 == copy.manifest_sha256 != "" and not copy.removing


def _check(artifact: Artifact, copy: Artifact | None, place: str) -> None:
    """Raises NotTheSame."""
    if copy is None or copy.removing or (_equal(artifact, copy) and copy.state == artifact.state):
        return
    seen = f"is {copy.state} ({copy.problem or 'a proof of it failed'})" if _equal(artifact, copy) else "has another manifest"
    raise NotTheSame(
        f"{artifact.id} {seen} in {place}", "nothing is written over: see who else writes there, remove that one by hand, then copy again"
    )


def _step(artifact: Artifact) -> dict[str, Any]:
    doubt = f", and suspect: {(artifact.manifest or {})['suspect']}" if artifact.state == "suspect" else ""
    size = sum(part["stored_bytes"] for part in parts_of(artifact))
    return {"action": "copy", "name": artifact.id, "bytes": size, "reason": f"it is not there yet{doubt}"}


def _notes(here: Sequence[Artifact], copied: Mapping[str, Artifact], wish: Wish) -> Iterator[str]:
    """What somebody should know."""
    for artifact in here:
        if artifact.state == "corrupt" and artifact.id not in copied:
            yield f"{artifact.id} is corrupt, and no copy is made of it"
    known, newest = {artifact.id for artifact in here}, newest_good(here, wish.now)
    for copy in copied.values():
        if copy.id not in known and copy.manifest is not None and newest is not None and copy.taken_at > newest.taken_at:
            yield f"{wish.place} has {copy.id}, which is newer than all that is here: see who else writes there"


def check_room(plan: Plan, target: Repository) -> None:
    """Raises NoSpace."""
    free, needed = target.free_bytes(), sum(step["bytes"] for step in plan.steps)
    if free is not None and free < needed:
        raise NoSpace(
            f"{target.identity().place} has {format_value(free, 'B')} free, and the copies need {format_value(needed, 'B')}",
            "prune the copies (prune_backups), or enlarge the disk",
        )


class Copying:
    """Carries a plan out between two repositories."""

    def __init__(self, source: Bench, target: Bench) -> None:
        self._source, self._target = source, target
        self._done = self._total = 0

    def carry_out(self, plan: Plan, here: Sequence[Artifact], there: Sequence[Artifact]) -> Iterator[dict[str, Any]]:
        """Step by step, each when it was done. One artifact that is not what it was keeps no other from being copied; its error is raised at the end."""
        artifacts, begun = {artifact.id: artifact for artifact in here}, {artifact.id: artifact.stored for artifact in there}
        self._total = sum(step["bytes"] for step in plan.steps)
        wrong: RunbookError | None = plan.blocked
        for step in plan.steps:
            try:
                if step["action"] == "hold":
                    self._hold(artifacts[step["name"]], step["case"])
                else:
                    self._copy(artifacts[step["name"]], begun.get(step["name"], {}))
            except (NotTheSame, VerifyFailed) as error:
                wrong = wrong or error
            else:
                yield dict(step)
        if wrong is not None:
            raise wrong

    def _copy(self, artifact: Artifact, begun: Mapping[str, int]) -> None:
        started = self._target.clock()
        for part in parts_of(artifact):
            if part["name"] in begun:  # of a copy that was interrupted
                self._take_up(artifact.prefix, part)
            else:
                self._send(artifact, part)
        self._note(note_name(artifact.prefix, artifact.id, "manifest"), artifact.manifest_sha256)
        seconds = round(self._target.clock() - started, 3)
        prove(artifact, "digest", self._target, lambda: {"seconds": seconds})

    def _send(self, artifact: Artifact, part: Mapping[str, Any]) -> None:
        name = artifact.prefix + part["name"]
        try:
            with self._target.repository.write(name) as sink:
                with closing(self._blocks(self._source.repository, name, part)) as blocks:
                    for block in blocks:
                        sink.write(block)
        except Corrupt:
            with suppress(RunbookError):  # it is read once more, and what that showed is kept beside it
                prove(artifact, "digest", self._source, lambda: self._read_again(artifact))
            raise
        try:
            self._read_back(name, part)
        except Corrupt as error:
            with suppress(RunbookError):  # a writer may have no right to delete
                self._target.repository.delete(name)
            raise Corrupt(f"{error.message}, though it was sent right to {self._target.repository.identity().place}", "see that disk or server") from None

    def _read_again(self, artifact: Artifact) -> dict[str, Any]:
        prove_stored(artifact, self._source)
        return {}

    def _take_up(self, prefix: str, part: Mapping[str, Any]) -> None:
        self._count(part["stored_bytes"])
        try:
            self._read_back(prefix + part["name"], part)
        except Corrupt as error:
            raise NotTheSame(f"{error.message}, in {self._target.repository.identity().place}", "remove that file by hand, then copy again") from None

    def _read_back(self, name: str, part: Mapping[str, Any]) -> None:
        with closing(self._blocks(self._target.repository, name, part)) as blocks:
            for _block in blocks:
                pass

    def _blocks(self, repository: Repository, name: str, part: Mapping[str, Any]) -> Generator[bytes, None, None]:
        """A stored part; its end comes only when it was the one that was written. Raises Corrupt."""
        with repository.open(name) as reader:
            stored = Counted(reader, part["stored_bytes"], part["name"])
            while True:
                block = stored.read(BLOCK)
                if not block:
                    break
                self._count(len(block))
                yield block
            stored.verify(part["stored_sha256"])

    def _count(self, count: int) -> None:
        """Every byte counts half when it is sent, and half when it is read back."""
        self._done += count
        self._target.progress(self._done // 2, self._total)

    def _hold(self, artifact: Artifact, case: str) -> None:
        self._note(note_name(artifact.prefix, artifact.id, "hold", case))

    def _note(self, name: str, sha256: str = "") -> None:
        """A small file as it is."""
        body = read_note(self._source.repository, name)
        if sha256 and digest_of(body) != sha256:
            raise VerifyFailed(f"{name} was changed while it was copied", "see who else writes there")
        with suppress(Exists):  # it was interrupted after this, or another host was faster
            self._target.repository.create(name, body)
        if sha256 and read_note(self._target.repository, name) != body:
            raise NotTheSame(f"{name} is not the same in {self._target.repository.identity().place}", "see who else writes there")
