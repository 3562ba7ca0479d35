# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a backup: gates, one stream into the repository, attachments, and at last the manifest that makes it one.

Pure: source, repository and clock are handed in. What goes wrong before the manifest leaves no artifact, and nothing is ever written over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .backup_types import Identity, Repository, Source, Taken
from .catalog import LARGEST_NOTE, Artifact, Place, good_ones, newest_good, note_name, read_catalog, recipients_of
from .errors import NoSpace, Refused, RunbookError, Unsure, VerifyFailed
from .inventory import Bounds, anomalies, check_objects
from .manifest import FORMAT, canonical, digest_of
from .times import rfc3339
from .transfer import Body, Codec, store
from .units import format_value

ROOM = 1.2
"""Free space that is asked for, as a multiple of the size of the last backup."""

HISTORY = 7
"""How many good artifacts, the newest ones, say what is usual for a source."""


SECRET = "secret"
"""The retention class of what may never be stored as it is."""


class NotSealed(Refused):
    """It would be stored for everybody to read."""

    code = "not_sealed"


class Suspect(VerifyFailed):
    """A backup was taken and kept, but must not be trusted: it never replaces a good one."""

    code = "suspect"


@dataclass(frozen=True)
class Order:
    """What is wanted: whose backup, on whose behalf, and what makes it doubtful; ``accept_anomaly`` says that what is unusual is right."""

    place: Place
    id: str
    host: str
    run_id: str
    retention_class: str = ""
    min_objects: int = 1
    max_shrink_percent: float = 50.0
    versions: Mapping[str, str] = field(default_factory=dict)
    max_growth_percent: float = 400.0
    accept_anomaly: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Tools:
    """What a backup is made with. ``clock`` gives seconds since 1970; ``progress`` hears the bytes read so far and, if known, of how many."""

    repository: Repository
    codec: Codec
    clock: Callable[[], float]
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class Plan:
    """What would be done, and beside what: the newest good artifact is the measure for room and shrinkage."""

    identity: Identity
    artifacts: Sequence[Artifact]
    newest: Artifact | None
    steps: list[dict[str, Any]]


class Backup:
    """One backup: ``plan`` looks at everything and changes nothing, ``take`` does it."""

    def __init__(self, order: Order, source: Source, tools: Tools) -> None:
        self._order, self._source, self._tools = order, source, tools
        self._what = f"the {order.place.kind} {order.place.source}"
        self._stored: list[str] = []

    def plan(self) -> Plan:
        """Raises what would stop it: Refused, NoSpace, Unreachable and so on."""
        repository = self._tools.repository
        check_sealed(self._order.retention_class, self._tools.codec)
        self._tools.codec.check()
        known, identity = repository.identity(), self._source.identity()
        artifacts = read_catalog(repository, self._order.place) if known.exists else []
        newest = newest_good(artifacts, self._tools.clock())
        _check_room(repository, newest, identity)
        steps: list[dict[str, Any]] = [] if known.exists else [{"action": "initialize", "name": known.place, "reason": "the repository is not there yet"}]
        steps.append({
            "action": "write", "name": f"{self._order.place.prefix}{self._order.id}", "bytes": identity.size_bytes,
            "reason": f"the newest good backup is {newest.id}{_rotated(newest, self._tools.codec)}" if newest else "there is no good backup yet",
        })  # fmt: skip
        return Plan(identity, artifacts, newest, steps)

    def take(self, plan: Plan) -> dict[str, Any]:
        """The manifest of a new artifact, with ``manifest_sha256``. Raises Suspect after an artifact that must not be trusted was kept."""
        order, repository = self._order, self._tools.repository
        started = self._tools.clock()
        try:
            parts, taken = self._copy(plan.identity.size_bytes)
            manifest = {
                **_facts(order, taken), **_links(plan.artifacts), "started_at": rfc3339(started), "finished_at": rfc3339(self._tools.clock()),
                "duration_seconds": round(self._tools.clock() - started, 3), "identity": plan.identity.data(), "parts": parts,
            }  # fmt: skip
            manifest = _judged(order, manifest, taken, usual(plan.artifacts, started))
            body = canonical(manifest)
            if len(body) > LARGEST_NOTE:
                raise RunbookError(f"{self._what} has so many objects that the manifest would have {len(body)} bytes", "back it up in parts")
            repository.create(note_name(order.place.prefix, order.id, "manifest"), body)
        except Unsure:
            raise
        except RunbookError:
            for name in self._stored:
                with suppress(RunbookError):  # the first error counts, and what stays is swept
                    repository.delete(name)
            raise
        result = {**manifest, "manifest_sha256": digest_of(body)}
        if manifest["suspect"]:
            raise Suspect(f"the backup {order.id} was kept but must not be trusted: {manifest['suspect']}", "see the source; earlier good backups stay")
        return result

    def _copy(self, expected: int) -> tuple[list[dict[str, Any]], Taken]:
        """Store the data and what belongs to it."""
        order, source, tools = self._order, self._source, self._tools
        name = f"{order.id}.data.{source.format}.{tools.codec.suffix}"
        with tools.repository.write(order.place.prefix + name) as sink:
            with source.open() as stream:
                figures = store(stream, sink, tools.codec, lambda count: tools.progress(count, expected))
            taken = source.taken()
            if not taken.suspect:  # what is damaged is kept, however little of it can be counted
                check_objects(taken.inventory, order.min_objects, self._what)
            if not figures["plain_bytes"]:
                raise VerifyFailed(f"{self._what} gave no data", "see the source")
        self._stored.append(order.place.prefix + name)
        return [{"name": name, "role": "data", "format": source.format, **figures}, *self._attach(taken)], taken

    def _attach(self, taken: Taken) -> Iterator[dict[str, Any]]:
        order, tools = self._order, self._tools
        for role, body in taken.attachments.items():
            name = f"{order.id}.part.{role}.{tools.codec.suffix}"
            with tools.repository.write(order.place.prefix + name) as sink:
                figures = store(Body(body), sink, tools.codec, lambda count: None)
            self._stored.append(order.place.prefix + name)
            yield {"name": name, "role": role, "format": role.rpartition(".")[2], **figures}


def check_sealed(retention_class: str, codec: Codec) -> None:
    """Secrets are encrypted to two recipients at least, so that one lost key loses nothing. Raises NotSealed."""
    if retention_class == SECRET and len(recipients_of(codec.facts)) < 2:
        raise NotSealed(
            f"a backup of the class {SECRET} is encrypted to two recipients at least, and {len(recipients_of(codec.facts))} were given",
            "give encryption.recipients the public keys of the operations and of the escrow",
        )


def _rotated(newest: Artifact, codec: Codec) -> str:
    """What somebody should know who expects the keys of last time to open the next one."""
    before, after = ({*recipients_of(facts)} for facts in ((newest.manifest or {})["parts"][0], codec.facts))
    if before == after:
        return ""
    changes = [f"{word} {', '.join(sorted(keys))}" for word, keys in (("no longer", before - after), ("now also", after - before)) if keys]
    return f"; encrypted to other recipients than that: {', '.join(changes)}{'' if after else ' (it is not encrypted any more)'}"


def _check_room(repository: Repository, newest: Artifact | None, identity: Identity) -> None:
    free = repository.free_bytes()
    needed = int(ROOM * (newest.size_bytes if newest else identity.size_bytes))
    if free is not None and free < needed:
        raise NoSpace(
            f"{repository.identity().place} has {format_value(free, 'B')} free, and this backup may need {format_value(needed, 'B')}",
            "prune old backups (prune_backups), or enlarge the disk",
        )


def _facts(order: Order, taken: Taken) -> dict[str, Any]:
    """What the manifest says of the order and of what was taken."""
    return {
        "format": FORMAT, "id": order.id, "kind": order.place.kind, "source": order.place.source, "system": order.place.system,
        "environment": order.place.environment, "host": order.host, "class": order.retention_class, "run_id": order.run_id,
        "taken_at": rfc3339(taken.taken_at), "inventory": taken.inventory.data(), "notes": [*order.notes, *taken.notes], "versions": dict(order.versions),
        "label": taken.label, "needs": list(taken.needs),
    }  # fmt: skip


def _links(artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """Number and digest of the manifest before: one that is exchanged or left out breaks the row."""
    complete = [artifact for artifact in artifacts if artifact.manifest is not None]
    previous = complete[-1] if complete else None
    return {
        "sequence": max([artifact.manifest["sequence"] for artifact in complete if artifact.manifest], default=0) + 1,
        "previous": {"id": previous.id, "manifest_sha256": previous.manifest_sha256} if previous else None,
    }


def usual(artifacts: Sequence[Artifact], now: float) -> list[Mapping[str, Any]]:
    """The manifests that the next one is held against, newest first: good ones, back to the newest in which somebody accepted a change."""
    found: list[Mapping[str, Any]] = []
    for artifact in reversed(good_ones(artifacts, now)[-HISTORY:]):
        found.append(artifact.manifest or {})
        if found[-1].get("accepted"):
            break
    return found


def _judged(order: Order, manifest: Mapping[str, Any], taken: Taken, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """With ``suspect`` or ``accepted``: what is unusual is the one or the other, and damage is never accepted."""
    told = anomalies(history, manifest, taken.inventory.lasting, Bounds(order.max_shrink_percent, order.max_growth_percent))
    accepted, doubts = (told, []) if order.accept_anomaly else ([], told)
    notes = [*manifest["notes"], *(f"accepted: {reason}" for reason in accepted)]
    return {**manifest, "notes": notes, "accepted": accepted, "suspect": "; ".join(filter(None, [taken.suspect, *doubts]))}
