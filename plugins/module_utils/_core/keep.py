# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups of one source are removed, and which rules keep the others.

What can be relied on, whatever the policy, the clock and the listing are (where it could not be held, there is no plan but an error):

* What is *proven* (restored, and nothing bad known of it or of what it needs) is judged as if nothing else existed: nothing that is
  unproven, suspect, corrupt or empty ever makes it go. The newest proven artifact stays, as do the ``minimum_restored`` newest ones.
  So with one proof a week, ``daily: 7`` keeps the backups of seven days, and the proven ones of seven weeks.
* What is newer than the newest proven one stays: it may be the only copy of the newest data.
* What a copy off site should have stays until that copy holds it, or something newer.
* While the newest complete artifact is suspect nothing is removed at all: nobody knows yet what happened to the source, and since when.
* Time alone removes nothing: ages count back from the newest proven artifact, never from a clock that is ahead of it. Of the same
  artifacts, every plan from that instant on is the same; a plan of before (max_future) removes no more.
* What stays can be restored: all that it needs stays too.
* After a plan was carried out, there is nothing more to remove; after a part of it, no more than the rest.
* A larger count, ``within``, floor or ``minimum_restored`` never removes more (but the first keep rule of all does: without one,
  nothing is removed).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from .errors import Refused
from .keep_rules import Candidate, Policy, days, slots, within
from .times import rfc3339
from .units import is_number, plural

PROOFS = ("", "digest", "readable", "restored")
STALE_SOON = 7 / 8
NEWEST_DOES_NOT_COUNT = "the newest artifact"  # how the note of it begins
END_OF_TIME = 32503680000.0  # the year 3000: the calendar of Python ends some time after it


class ClockImplausible(Refused):
    """The clock is wrong, or that by which an artifact was stamped; or there were no backups for so long that it looks like that."""

    code = "clock_implausible"


class NoRecentProof(Refused):
    """Nothing new was restored for too long: nobody knows whether what would be left is any good."""

    code = "no_recent_proof"


class Quarantined(Refused):
    """The newest artifact is suspect: those before it may be the last that are right."""

    code = "quarantined"


class UnknownClass(Refused):
    """An artifact is of a retention class that the policy does not know."""

    code = "unknown_class"


class BrokenChain(Refused):
    """An artifact needs another one that is not there."""

    code = "broken_chain"


class ListingImplausible(Refused):
    """What is said of the artifacts cannot be."""

    code = "listing_implausible"


@dataclass(frozen=True)
class Decision:
    """What happens to one artifact. ``rules`` are all that keep it.

    ``keep``: it is complete and stays; if it has a tombstone, that is to be taken away. ``remove``: tombstone, manifest, data, in this
    order. ``finish``: the same, from where it was interrupted. ``leave``: it has no manifest, and is not for retention to remove.
    """

    id: str
    action: str
    rules: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Plan:
    """Decisions, newest first, but nothing before what needs it: carried out in this order, no chain is broken at any moment."""

    decisions: tuple[Decision, ...]
    freed_bytes: int
    notes: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """JSON data."""
        decisions = [{**asdict(decision), "rules": list(decision.rules)} for decision in self.decisions]
        return {"decisions": decisions, "freed_bytes": self.freed_bytes, "notes": list(self.notes)}


def plan_prune(artifacts: Iterable[Candidate], policy: Policy, now: float) -> Plan:
    """What becomes of each of the artifacts of one source (all of them: half a listing looks like lost backups), at ``now``.

    Raises ClockImplausible, Quarantined, NoRecentProof, UnknownClass, BrokenChain, ListingImplausible: then nothing may be removed.
    """
    shelf = _Shelf(artifacts, policy)
    if any(artifact.complete or artifact.started_removal for artifact in shelf.newest_first):
        shelf.check_clock(now)
        shelf.check_newest()
        shelf.check_proof(now)
    kept: dict[str, list[str]] = {artifact.id: [] for artifact in shelf.newest_first}
    for artifact, rule in shelf.rules(now):
        if rule not in kept[artifact.id]:
            kept[artifact.id].append(rule)
    shelf.add_needed(kept)
    decisions = tuple(shelf.decide(artifact, kept[artifact.id]) for artifact in shelf.dependents_first())
    freed = sum(shelf.by_id[decision.id].size_bytes for decision in decisions if decision.action in ("remove", "finish"))
    return Plan(decisions, freed, tuple(shelf.notes(now)))


class _Shelf:
    """The artifacts in order, and what can be said of them."""

    def __init__(self, artifacts: Iterable[Candidate], policy: Policy) -> None:
        self.policy = policy
        self.newest_first = sorted(_checked(list(artifacts), policy), key=_age, reverse=True)
        self.by_id = {artifact.id: artifact for artifact in self.newest_first}
        self.complete = [artifact for artifact in self.newest_first if artifact.complete]
        self.flaws = _flaws(self.newest_first)
        self.sound = [artifact for artifact in self.complete if artifact.id not in self.flaws]
        self.proven = [artifact for artifact in self.sound if artifact.restored_at is not None]

    def check_clock(self, now: float) -> None:
        """Raises ClockImplausible."""
        if not is_number(now) or not 0 < now < END_OF_TIME:
            raise ClockImplausible(f"the clock says {now}, which is no time to remove backups at", "set the clock of this machine")
        for artifact in self.complete:
            for what, instant in (("taken", artifact.taken_at), ("restored", artifact.restored_at or 0.0)):
                if instant > now + self.policy.max_future:
                    raise ClockImplausible(
                        f"the clock says {rfc3339(now)}, but {artifact.id} was {what} {days(instant - now)} after that",
                        "set the clock of this machine; if it is right, that artifact has a wrong time: move it out of the repository",
                    )
        if self.complete and now - self.complete[0].taken_at > self.policy.plausible_gap:
            raise ClockImplausible(
                f"the clock says {rfc3339(now)}, {days(now - self.complete[0].taken_at)} after the newest artifact, {self.complete[0].id}",
                "set the clock of this machine; if it is right, make a backup and prove it before any is removed",
            )

    def check_newest(self) -> None:
        """Raises Quarantined. What is damaged says nothing of the source."""
        newest = next((artifact for artifact in self.complete if artifact.suspect or not artifact.failed_proof), None)
        if newest is not None and newest.suspect:
            raise Quarantined(
                f"{newest.id}, the newest artifact, is suspect: those before it may be the last that are right",
                "look at the source; take a good backup, or accept the change with backup_accept_anomaly",
            )

    def check_proof(self, now: float) -> None:
        """Raises NoRecentProof. The age is that of the data: to restore an old artifact once more proves nothing new."""
        hint = "make a backup and prove it by a restore (backup_verify)"
        if not self.proven:
            raise NoRecentProof(f"{plural(len(self.complete), 'artifact')}, and none that is proven by a restore", hint)
        age = now - self.proven[0].taken_at
        if age > self.policy.stale_after:
            raise NoRecentProof(f"{self.proven[0].id}, the newest proven by a restore, is {days(age)} old: above stale_after", hint)

    def rules(self, now: float) -> Iterator[tuple[Candidate, str]]:
        """Each artifact that is kept for its own sake, with the rule; the same may come twice."""
        today = min([now, *(artifact.taken_at for artifact in self.proven[:1])])
        for artifact in self.newest_first:
            yield from ((artifact, f"hold {case}") for case in artifact.holds)
            yield from ((artifact, f"pin {run}") for run in artifact.pins)
            yield from ((artifact, f"not yet in {place}") for place in artifact.not_in if artifact.complete)
            floor = self.floor(artifact)
            if floor is not None and floor.timestamp() > today:
                yield artifact, f"class {artifact.retention_class} until {floor.date()}"
            if not self.policy.rules():
                yield artifact, "the policy has no keep rule"
        wanted = self.policy.minimum_restored
        yield from ((artifact, f"newest restored {place} of {wanted}") for place, artifact in enumerate(self.proven[:wanted], 1))
        newer = self.complete[: self.complete.index(self.proven[0])] if self.proven else []
        yield from ((artifact, "newer than the newest restored") for artifact in newer)
        yield from within(self.policy, self.complete, self.proven)
        slotted = {(artifact.id, rule): artifact for artifact, rule in slots(self.policy, self.sound)}
        yield from ((artifact, rule) for (_id, rule), artifact in slotted.items())
        # once more among the proven alone, so that what is not proven takes no place of theirs
        for artifact, rule in slots(self.policy, self.proven):
            yield artifact, rule if (artifact.id, rule) in slotted else f"restored {rule}"

    def floor(self, artifact: Candidate) -> datetime | None:
        """Until when its class keeps it; None without a class."""
        if not artifact.retention_class:
            return None
        return self.policy.classes[artifact.retention_class].until(artifact.taken_at, self.policy.zone())

    def add_needed(self, kept: Mapping[str, list[str]]) -> None:
        """Give everything that something else needs, which stays, a rule for that."""
        staying = [artifact for artifact in self.newest_first if kept[artifact.id] or _untouched(artifact)]
        asked = {artifact.id for artifact in staying}
        for artifact in staying:  # it grows meanwhile
            for need in dict.fromkeys(artifact.needs):
                if need in kept:
                    kept[need].append(f"needed by {artifact.id}")
                    if need not in asked:
                        asked.add(need)
                        staying.append(self.by_id[need])

    def dependents_first(self) -> list[Candidate]:
        """Newest first, but nothing before what needs it."""
        oldest_first: list[Candidate] = []
        met: set[str] = set()
        for artifact in reversed(self.newest_first):
            path = [] if artifact.id in met else [artifact]
            while path:
                met.add(path[-1].id)
                deeper = next((need for need in path[-1].needs if need in self.by_id and need not in met), None)
                if deeper is None:
                    oldest_first.append(path.pop())
                else:
                    path.append(self.by_id[deeper])
        return oldest_first[::-1]

    def decide(self, artifact: Candidate, rules: Sequence[str]) -> Decision:
        """The action, and the reason in words."""
        if _untouched(artifact):
            return Decision(artifact.id, "leave", tuple(rules), "it has no manifest: a backup that is running, or what a broken one left")
        flaw = self.flaws.get(artifact.id, "")
        if rules:
            also = f"; it does not count for other rules: {flaw}" if flaw else ""
            also += "; its removal was begun: take the tombstone away" if artifact.started_removal and artifact.complete else ""
            return Decision(artifact.id, "keep" if artifact.complete else "leave", tuple(rules), ", ".join(rules) + also)
        why = flaw or (f"it was never restored (proof: {artifact.proof or 'none'})" if artifact.restored_at is None else "it is proven")
        floor = self.floor(artifact)
        why += f"; class {artifact.retention_class} ended {floor.date()}" if floor else ""
        begun = "its removal was begun; " if artifact.started_removal else ""
        return Decision(artifact.id, "finish" if begun else "remove", (), f"{begun}no rule keeps it ({', '.join(self.policy.rules())}); {why}")

    def notes(self, now: float) -> Iterator[str]:
        """What somebody should know."""
        if not self.policy.rules():
            yield "the policy has no keep rule (last, hourly, daily, weekly, monthly, yearly, within): nothing is removed"
        if self.complete and self.complete[0].id in self.flaws:
            yield f"{NEWEST_DOES_NOT_COUNT}, {self.complete[0].id}, does not count: {self.flaws[self.complete[0].id]}"
        if 0 < len(self.proven) < self.policy.minimum_restored:
            yield f"only {len(self.proven)} of minimum_restored {self.policy.minimum_restored} are proven by a restore"
        if self.proven and now - self.proven[0].taken_at > STALE_SOON * self.policy.stale_after:
            age = f"{self.proven[0].id}, the newest proven by a restore, is {days(now - self.proven[0].taken_at)} old"
            yield f"{age}; above {days(self.policy.stale_after)} nothing is removed any more"


def _age(artifact: Candidate) -> tuple[float, str]:
    return (artifact.taken_at if artifact.complete else 0.0, artifact.id)  # only a manifest knows when


def _untouched(artifact: Candidate) -> bool:
    return not artifact.complete and not artifact.started_removal


def _flaws(artifacts: Sequence[Candidate]) -> dict[str, str]:
    """Why an artifact does not count, for those that do not: its own flaw, or one of something that it needs."""
    flaws = {artifact.id: artifact.flaw() for artifact in artifacts if artifact.flaw()}
    dependents: dict[str, list[str]] = {}
    for artifact in artifacts:
        for need in artifact.needs:
            dependents.setdefault(need, []).append(artifact.id)
    listed = {artifact.id for artifact in artifacts}
    bad = [*flaws, *(need for need in dependents if need not in listed)]
    for need in bad:  # it grows meanwhile
        fresh = [name for name in dependents.get(need, []) if name not in flaws]
        flaws.update(dict.fromkeys(fresh, f"it needs {need}, which is missing or does not count"))
        bad += fresh
    return flaws


def _checked(artifacts: list[Candidate], policy: Policy) -> list[Candidate]:
    """Raises ListingImplausible, UnknownClass, BrokenChain."""
    complete = {artifact.id for artifact in artifacts if artifact.complete}
    if len({artifact.id for artifact in artifacts}) < len(artifacts):
        raise ListingImplausible("an id is listed twice", "this is a defect of what listed them")
    for artifact in artifacts:
        instants: list[Any] = [artifact.taken_at] * artifact.complete + [artifact.restored_at] * (artifact.restored_at is not None)
        proof_fits = artifact.proof in PROOFS and (artifact.restored_at is not None or artifact.proof != "restored")
        if not proof_fits or not all(is_number(instant) and instant > 0 for instant in instants):
            raise ListingImplausible(f"what is said of {artifact.id} cannot be: {artifact}", "look at its manifest and its proofs")
        if artifact.retention_class and artifact.retention_class not in policy.classes:
            raise UnknownClass(
                f'{artifact.id} is of class "{artifact.retention_class}", which the policy does not know',
                f"write it into the policy: classes: {{{artifact.retention_class}: {{at_least: 7 y}}}}",
            )
        lost = [need for need in artifact.needs if need not in complete]
        if lost and not artifact.flaw() and not artifact.started_removal:
            raise BrokenChain(
                f"{artifact.id} needs {lost[0]}, which is not there", "list again; if it is really lost, verify what needs it: corrupt ones do not count"
            )
    return artifacts
