# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of backup and restore, shared by rules and drivers: Source, Target, Repository, and what they hand to each other.

A Source is read from, a Target is restored into, a Repository keeps artifacts. Their methods raise RunbookError and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from .probe import Deadline


class Stream(Protocol):
    """Bytes, once, from beginning to end."""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; fewer than asked is no end, ``b""`` is."""


class Sink(Protocol):
    """Where the bytes of one object of a repository go."""

    def write(self, data: bytes) -> None:
        """Take all of ``data``."""


@dataclass(frozen=True)
class Identity:
    """What a source or a target is at this moment: for gates, plans, and so that nothing is restored over something else.

    ``place`` is what a restore would replace (a path, ``database on host:port``), ``exists`` whether there is anything, ``engine`` the
    version of what serves it (``"15.14"``), ``tools`` the version of the client programs, ``system_id`` what tells two places of the same
    name apart (the system identifier of a cluster), ``size_bytes`` how large it is now, ``in_use`` who keeps it from being replaced.
    """

    place: str
    exists: bool = True
    engine: str = ""
    tools: str = ""
    system_id: str = ""
    size_bytes: int = 0
    in_use: str = ""

    def data(self) -> dict[str, Any]:
        """JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Inventory:
    """What is in an artifact, as counted in the artifact itself or its snapshot, never in the live source.

    ``objects`` maps a name such as ``table public.trades`` to its figures such as ``{"rows": 500}``; ``totals`` has counts over all, and
    always ``objects`` (tables, or files), which the gates watch; ``digest`` tells the whole content where that can be had, else "".
    ``lasting`` says that the objects are things that stay, such as tables: one that is gone is worth an alarm, unlike a file.
    """

    objects: Mapping[str, Mapping[str, Any]]
    totals: Mapping[str, int]
    digest: str = ""
    lasting: bool = True

    def data(self) -> dict[str, Any]:
        """JSON data."""
        return {"objects": {name: dict(figures) for name, figures in self.objects.items()}, "totals": dict(self.totals), "digest": self.digest}


@dataclass(frozen=True)
class Taken:
    """What a source knows once its stream was read to the end.

    ``taken_at`` is the instant the data is from (seconds since 1970). ``attachments`` are small texts that belong to the artifact and
    are stored beside it, such as ``globals.sql``. ``suspect`` says why the copy must not be trusted although it is complete. ``label`` is
    its name in an engine of its own (pgBackRest), ``needs`` are the labels of others without which it cannot be restored.
    """

    inventory: Inventory
    taken_at: float
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    suspect: str = ""
    notes: Sequence[str] = ()
    label: str = ""
    needs: Sequence[str] = ()


@dataclass(frozen=True)
class Context:
    """What a driver is told besides its options.

    ``tag`` (letters, digits and hyphens: the id of the artifact) is part of every name a driver makes for itself, so that leftovers can be
    recognised; ``now`` is the wall clock at the start (seconds since 1970); ``scratch`` asks a Target to stage for looking only, where a
    swap will not follow. ``until`` is the one point (``time``, ``lsn``, ``xid`` or ``name``) up to which a Target replays a log; empty for the
    state of the artifact itself, or for what has no log.
    """

    deadline: Deadline
    now: float
    tag: str
    scratch: bool = False
    until: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """What can be backed up. ``format`` is the suffix of its data: ``pgdump``, ``sqlite``, ``tar``."""

    format: str

    def identity(self) -> Identity:
        """Also the gate: refuses (Refused) what cannot be backed up right, before anything is written."""

    def open(self) -> AbstractContextManager[Stream]:
        """The data. Leaving the context checks every child's exit status and cleans up, also after an error."""

    def taken(self) -> Taken:
        """Once ``open`` was left without an error."""


class Target(Protocol):
    """What can be restored into: staged beside what is there, then swapped in one step that can be undone."""

    def identity(self) -> Identity:
        """What is there now. ``exists`` is false when nothing is."""

    def stage(self, stream: Stream, manifest: Mapping[str, Any]) -> None:
        """Restore beside what is there, never over it. ``manifest`` is the artifact's. After an error nothing staged is left."""

    def inventory(self) -> Inventory:
        """Of what was staged, counted as the Source counts."""

    def ask(self, query: str) -> Any:
        """The one value that a read-only SQL query of a business invariant gives in what was staged."""

    def swap(self) -> dict[str, Any]:
        """Put what was staged in place; what was there is kept under a dated name. JSON data for ``undo``."""

    def undo(self, swapped: Mapping[str, Any]) -> None:
        """Take a swap back. Does nothing that was done already: it may be called again after an interruption."""

    def discard(self) -> None:
        """Remove what was staged. Does nothing when nothing is."""


@dataclass(frozen=True)
class Entry:
    """One object of a repository: its ``name`` from the root of the repository on, and its size."""

    name: str
    size_bytes: int


class Reader(Stream, Protocol):
    """A stored object, open for reading."""

    def close(self) -> None:
        """Give it back."""


class Repository(Protocol):
    """Where artifacts live. Names are relative, with ``/`` between their parts.

    ``covered`` are the names, as far as they were listed, of what somebody deleted or wrote over in vain, since a lock keeps it.
    """

    covered: Collection[str]

    def identity(self) -> Identity:
        """``system_id`` is the id of the repository, in its ``tradeops-repository.json``. Refused for a format of another major version."""

    def initialize(self) -> None:
        """Make it a repository, unless it is one."""

    def locked(self, prefix: str) -> AbstractContextManager[None]:
        """Only one at a time writes or removes below ``prefix``; what an interrupted one wrote half is removed. Raises Busy."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Everything below ``prefix``, in order of names. Raises when a part could not be listed: half a listing looks like lost backups."""

    def write(self, name: str) -> AbstractContextManager[Sink]:
        """A new object: there, whole and on disk once the context was left without an error; else it never was there."""

    def create(self, name: str, body: bytes) -> None:
        """A small object, at once. Raises Exists when there is one."""

    def open(self, name: str, offset: int = 0) -> AbstractContextManager[Reader]:
        """Read one. Raises NotThere."""

    def delete(self, name: str) -> None:
        """Remove one. Does nothing when there is none."""

    def free_bytes(self) -> int | None:
        """Room for more; None when nobody knows (S3)."""
