# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What retention dropped from a history: the record of it, and doing it.

A pruning run only plans. The callback writes the plan into its journal as ``bodies_dropped`` events, and the transaction that
seals the run carries them out: a crash leaves nothing dropped, or a record of everything that was. Each record names groups of
seals with a digest over the rows that stay (``runs`` and ``measures``), and, for the front of the chain, the last seal removed.
Such events keep their body for as long as the chain. A group is only ever cut off whole, by a later prune than the one that dropped
its bodies, and once its journals are gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import BODIES_DROPPED, Cut, Event, Seal, canonical, digest
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, Row
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import DERIVED
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, sync_folder

KEPT, GONE = ("runs", "measures"), ("steps", "checks", "signatures", "bookmarks", "notices")
"""Derived tables of a run whose bodies were dropped: what trends rest on stays."""

Columns = Mapping[str, Sequence[str]]

_NAME = re.compile(r"[a-z_]+")
_OF_THE_GROUP = "run_id in (select run_id from seals where seq between ? and ?)"


class Group(NamedTuple):
    """Neighbouring seals whose runs lost their bodies, and a digest over the rows that stayed."""

    first: int
    last: int
    digest: str


@dataclass(frozen=True)
class Record:
    """The body of one ``bodies_dropped`` event. The digests are over these columns: a later release may add others."""

    columns: Columns
    groups: tuple[Group, ...] = ()
    cut: Cut | None = None

    def body(self) -> dict[str, Any]:
        """As data."""
        cut = self.cut._asdict() if self.cut else None
        return {"columns": dict(self.columns), "groups": [group._asdict() for group in self.groups], "cut": cut}


def parse_record(data: Any) -> Record:
    """A record from the body of an event or from a result. Raises VerifyFailed when it is none."""
    try:
        columns = {table: tuple(data["columns"][table]) for table in KEPT}
        groups = tuple(Group(int(raw["first"]), int(raw["last"]), str(raw["digest"])) for raw in data["groups"])
        cut = Cut(int(data["cut"]["seq"]), str(data["cut"]["mac"])) if data["cut"] else None
        if not all(_NAME.fullmatch(name) for names in columns.values() for name in names):
            raise ValueError("a column")
    except (TypeError, ValueError, KeyError) as error:
        raise VerifyFailed(f"this is no record of dropped bodies: {error}", "it is written by tradeops.runbook.run_history_prune") from None
    return Record(columns, groups, cut)


@dataclass
class Drops:
    """All that is recorded as dropped: what verification accepts, and nothing more."""

    groups: list[tuple[Group, Columns]] = field(default_factory=list)
    cut: Cut | None = None

    @property
    def begin(self) -> int:
        """Number of the last seal before the chain that is left."""
        return self.cut.seq if self.cut else 0

    @property
    def end(self) -> int:
        """Number of the last seal whose run lost its bodies."""
        return max([self.begin, *(group.last for group, _columns in self.groups)])

    def numbers(self) -> set[int]:
        """The seals whose runs lost their bodies and are still proven by a digest."""
        return {number for group, _columns in self.groups for number in range(group.first, group.last + 1)}


def read_drops(db: Database) -> Drops:
    """What sealed runs recorded. A record speaks only of runs that were sealed before its own."""
    found = Drops()
    statement = f"""select seals.seq, events.body from events join seals on seals.run_id = events.run_id
        where events.type = '{BODIES_DROPPED}' order by seals.seq, events.seq"""
    for number, body in db.stream(statement):
        try:
            record = parse_record(json.loads(body))
        except (VerifyFailed, TypeError, ValueError):  # verification reports the event itself
            continue
        found.groups += [(group, record.columns) for group in record.groups if isinstance(number, int) and group.last < number]
        if record.cut and isinstance(number, int) and found.begin < record.cut.seq < number:
            found.cut = record.cut
    found.groups = [(group, columns) for group, columns in found.groups if group.first > found.begin]  # one that was cut proves nothing
    return found


def kept_columns(db: Database) -> dict[str, list[str]]:
    """What a digest made today is over."""
    return {table: db.columns(table) for table in KEPT}


def digest_of_run(rows: Mapping[str, Iterable[Row]]) -> str:
    """One digest over the kept rows of a run, in whatever order a database gives them."""
    return digest("\n".join(sorted(canonical([table, *row]) for table in KEPT for row in rows[table])))


def digest_of_group(digests: Iterable[tuple[int, str, str]]) -> str:
    """One digest over (number, run, digest of the run)."""
    return digest("\n".join(f"{number} {run_id} {of_run}" for number, run_id, of_run in digests))


def stored_digest(db: Database, seals: Iterable[Seal], columns: Columns) -> str:
    """The digest over the rows as they are now; "" when they are not even data."""
    known = {table: set(db.columns(table)) for table in KEPT}
    if any(not names or set(names) - known[table] for table, names in columns.items()):
        return ""
    found = []
    try:
        for seal in seals:
            rows = {table: _rows(db, table, columns[table], seal.run_id) for table in KEPT}
            found.append((seal.seq, seal.run_id, digest_of_run(rows)))
    except (TypeError, ValueError):
        return ""
    return digest_of_group(found)


def _rows(db: Database, table: str, columns: Sequence[str], run_id: str) -> list[Row]:
    names = ", ".join(f'"{name}"' for name in columns)
    return db.execute(f"select {names} from {table} where run_id = ?", (run_id,)).fetchall()


def carry_out(db: Database, events: Iterable[Event], number: int) -> None:
    """Drop what the events of a run say; the caller is inside the transaction that seals it with this number."""
    for event in events:
        if event.type != BODIES_DROPPED:
            continue
        record = parse_record(event.data())
        if max([record.cut.seq if record.cut else 0, *(group.last for group in record.groups)]) >= number:
            raise VerifyFailed("a record of dropped bodies speaks of runs that were not sealed before it", "see who could write the journal")
        for group in record.groups:
            limits = (group.first, group.last)
            db.execute(f"update events set body = null where type <> '{BODIES_DROPPED}' and body is not null and {_OF_THE_GROUP}", limits)
            for table in GONE:
                db.execute(f"delete from {table} where {_OF_THE_GROUP}", limits)
        if record.cut:
            _cut(db, record.cut)


def _cut(db: Database, cut: Cut) -> None:
    row = db.execute("select mac from seals where seq = ?", (cut.seq,)).fetchone()
    if row is None:  # another prune was faster
        return
    if row[0] != cut.mac:
        raise VerifyFailed(f"seal {cut.seq} is not the one the record wants to cut after", "verify the ledger; nothing was cut")
    for table in ("events", *DERIVED):
        db.execute(f"delete from {table} where {_OF_THE_GROUP}", (0, cut.seq))
    db.execute("delete from seals where seq <= ?", (cut.seq,))


def leftovers(places: Places, db: Database, numbers: set[int]) -> Iterator[Path]:
    """Journals, and what was cut off them, of runs whose bodies were dropped."""
    known: dict[str, int] = dict(db.stream("select run_id, seq from seals"))
    for folder in (places.sealed, places.late):
        for path in sorted(folder.glob("*")):
            if known.get(path.stem) in numbers:
                yield path


def sweep(places: Places, db: Database) -> None:
    """Remove the journals of runs whose bodies were dropped. Interrupted, the next prune goes on."""
    for path in list(leftovers(places, db, read_drops(db).numbers())):
        with suppress(OSError):
            path.unlink()
    for folder in (places.sealed, places.late):
        if folder.is_dir():
            sync_folder(folder)
