# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a history is as it was written: seals, events, the journals beside it, and the tables derived from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import (
    BODIES_DROPPED,
    Event,
    Problem,
    Seal,
    encode,
    unsealed,
    verify_events,
    verify_seals,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history_queries as queries
from ansible_collections.tradeops.runbook.plugins.plugin_utils import retention
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import DERIVED, rows_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import SUFFIX
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view


def verify_history(db: Database, places: Places, key: bytes, anchors: list[tuple[int, str]]) -> list[Problem]:
    """Every problem. What cannot even be read is one, too."""
    try:
        damage = db.damage()
        problems = [Problem("history_damaged", places.name, damage)] if damage else []
        drops, seals = retention.read_drops(db), queries.seals(db)
        known = [row[0] for table in ("events", *DERIVED) for row in db.execute(f"select distinct run_id from {table}")]
        problems += [*verify_seals(seals, key, anchors, drops.cut), *unsealed(seals, known), *_strange_journals(places, seals)]
        dropped = drops.numbers()
        for place, seal in enumerate(seals, drops.begin + 1):
            events = list(queries.events(db, seal.run_id))
            problems += _dropped_problems(db, places, seal, events) if place in dropped else run_problems(db, seal, events)
            problems += _verify_journal(db, places, seal, events) if place not in dropped else []
        problems += _verify_kept(db, seals, drops)
    except RunbookError as error:
        return [Problem("history_damaged", places.name, error.message)]
    return problems


def run_problems(db: Database, seal: Seal, events: Sequence[Event]) -> list[Problem]:
    """Everything wrong with one run of which nothing was dropped."""
    return [*verify_events(seal.run_id, events, seal), *_verify_derived(db, seal, events)]


def _dropped_problems(db: Database, places: Places, seal: Seal, events: Sequence[Event]) -> Iterator[Problem]:
    """A run whose bodies were dropped: its hashes hold, and nothing else came in its place."""
    yield from verify_events(seal.run_id, events, seal, dropped=True)
    where = f"run {seal.run_id}"
    for table in retention.GONE:
        if db.execute(f"select 1 from {table} where run_id = ? limit 1", (seal.run_id,)).fetchone():
            yield Problem("table_changed", where, f"the table {table} says something of a run whose bodies were dropped")
    kept = any(event.body is not None and event.type != BODIES_DROPPED for event in events)
    if kept or (places.sealed / f"{seal.run_id}{SUFFIX}").exists():
        yield Problem("body_kept", where, "it is recorded that its bodies were dropped, and a copy is left: prune the history here", "warning")


def _verify_kept(db: Database, seals: Sequence[Seal], drops: retention.Drops) -> Iterator[Problem]:
    """The rows that stayed are those that were there when the bodies were dropped."""
    for group, columns in drops.groups:
        members = seals[group.first - drops.begin - 1 : group.last - drops.begin]
        if retention.stored_digest(db, members, columns) != group.digest:
            where = f"runs of seals {group.first} to {group.last}"
            yield Problem("table_changed", where, "the tables runs and measures do not say what was kept when the bodies were dropped")


def _verify_journal(db: Database, places: Places, seal: Seal, events: Sequence[Event]) -> Iterator[Problem]:
    """The sealed journal holds the same events, byte for byte. In a shared history it may lie with another controller."""
    path = places.sealed / f"{seal.run_id}{SUFFIX}"
    try:
        raw = path.read_bytes()
    except OSError as error:
        if db.shared and isinstance(error, FileNotFoundError):
            return
        yield Problem(
            "journal_missing", f"run {seal.run_id}", f"{path.name} cannot be read ({error.strerror}); the history has its events", "warning"
        )
        return
    try:
        stored = "".join(f"{encode(event)}\n" for event in events).encode("ascii")
    except TypeError:  # a column holds what JSON cannot say; the events themselves are reported, too
        stored = b""
    if raw != stored:
        yield Problem("journal_changed", f"run {seal.run_id}", f"{path.name} does not hold the events of the history")


def _verify_derived(db: Database, seal: Seal, events: Sequence[Event]) -> Iterator[Problem]:
    """The tables that answer questions say what the events say."""
    try:
        expected = rows_of({**build_view(events), "run_id": seal.run_id})
    except Exception as error:  # whatever a forger put there
        yield Problem("not_readable", f"run {seal.run_id}", f"its events make no sense: {error}")
        return
    for table in DERIVED:
        stored = db.execute(f"select * from {table} where run_id = ?", (seal.run_id,)).fetchall()
        if Counter(stored) != Counter(expected[table]):
            yield Problem("table_changed", f"run {seal.run_id}", f"the table {table} does not say what its events say")


def _strange_journals(places: Places, seals: list[Seal]) -> Iterator[Problem]:
    known = {seal.run_id for seal in seals}
    for path in sorted(places.sealed.glob(f"*{SUFFIX}")):
        if path.stem not in known:
            yield Problem("not_sealed", path.name, "a journal lies in sealed/ for a run that the history does not have")
