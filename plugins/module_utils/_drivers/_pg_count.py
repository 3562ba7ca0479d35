# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what is in a database, in the snapshot of a session. The same for what is backed up and for what was restored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._core.backup_types import Inventory
from ._pg_client import Session
from ._pg_sql import DATABASE, EXTENSIONS, LARGE_OBJECTS, RELATIONS, SEQUENCES, TOTALS, counts


class Count:
    """``send`` asks everything at once and does not wait; ``collect`` has the answers. ``notes`` is what was not counted.

    Sequences belong to no snapshot: pg_dump reads them when it writes its table of contents. They are read here when this is made, and again
    when the questions are sent: pg_dump's reading is in between. One that moved meanwhile is given as ``at_least`` and ``at_most``.
    """

    def __init__(self, session: Session, checksums: bool) -> None:
        self._session, self._checksums = session, checksums
        self._before = _by_name(session.each(SEQUENCES))
        self.notes: list[str] = []

    def send(self) -> None:
        """Ask."""
        self._session.send(SEQUENCES, each=True)
        self._session.send(RELATIONS)
        self._session.send(EXTENSIONS)
        self._session.send(TOTALS)
        self._session.send(f"{DATABASE} current_database()")
        self._session.send(counts(self._checksums), each=True)
        if self._checksums:
            self._session.send(LARGE_OBJECTS, each=True)

    def collect(self) -> Inventory:
        """The answers, which may take long."""
        after, relations, extensions, (totals,), (database,) = (self._session.collect() for _number in range(5))
        objects: dict[str, dict[str, Any]] = {"database": database}
        objects.update((name, {"version": version}) for name, version in extensions)
        objects.update((name, _position(self._before.get(name, [None, None]), value)) for name, value in _by_name(after).items())
        for name, kind, unreadable, populated in relations:
            objects[name] = {"rows": 0} if kind == "r" else {"populated": populated} if kind == "m" else {}
            if unreadable:
                self.notes.append(f"{name} is unlogged: a standby has no rows of it, and neither has this backup")
        for name, rows, digest in self._session.collect():
            objects[name] = {"rows": rows, **({"digest": digest or "0"} if self._checksums else {})}
        if self._checksums:
            objects.update((name, {"digest": digest or "0"}) for name, _rows, digest in self._session.collect())
        rows = sum(objects[name]["rows"] for name, kind, _unreadable, _populated in relations if kind == "r")
        return Inventory(objects, {"objects": totals["tables"], "rows": rows, **totals}, _whole(objects) if self._checksums else "")


def _by_name(rows: list[Any]) -> dict[str, list[Any]]:
    return {name: rest for name, *rest in rows}


def _position(before: list[Any], after: list[Any]) -> dict[str, Any]:
    """The figures of a sequence: [last value, whether it was given out]."""
    if before == after:
        return {"value": after[0], "called": after[1]}
    return {"at_least": before[0], "at_most": after[0]}


def _whole(objects: dict[str, dict[str, Any]]) -> str:
    """One digest of all rows of all tables."""
    digests = sorted((name, figures["digest"]) for name, figures in objects.items() if "digest" in figures)
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def as_recorded(found: Inventory, recorded: Mapping[str, Any], same_major: bool) -> Inventory:
    """``found`` in a restored database, told as the manifest tells it where that is no difference.

    A sequence that was moving lies between two values; a server of another major version brings its own versions of extensions.
    """
    objects = dict(found.objects)
    for name, figures in recorded.get("objects", {}).items():
        value = objects.get(name, {}).get("value")
        if value is not None and "at_least" in figures:
            low, high = sorted((figures["at_least"], figures["at_most"]))
            objects[name] = figures if low <= value <= high else objects[name]
        elif name in objects and name.startswith("extension ") and not same_major:
            objects[name] = figures
    return replace(found, objects=objects)
