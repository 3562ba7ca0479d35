# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a history is as it was written: seals, events, the journals beside it, and the tables derived from them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Event, Problem, Seal, encode, unsealed, verify_events, verify_seals
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history_queries as queries
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import DERIVED, rows_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import SUFFIX
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view


def verify_history(db: sqlite3.Connection, places: Places, key: bytes, anchors: list[tuple[int, str]]) -> list[Problem]:
    """Every problem. What cannot even be read is one, too."""
    try:
        seals = queries.seals(db)
        known = [row[0] for table in ("events", *DERIVED) for row in db.execute(f"select distinct run_id from {table}")]
        problems = [*_verify_file(db, places), *verify_seals(seals, key, anchors), *unsealed(seals, known), *_strange_journals(places, seals)]
        for seal in seals:
            events = list(queries.events(db, seal.run_id))
            problems += verify_events(seal.run_id, events, seal)
            problems += _verify_journal(places, seal, events)
            problems += _verify_derived(db, seal, events)
    except sqlite3.DatabaseError as error:
        return [Problem("history_damaged", places.database.name, str(error))]
    return problems


def _verify_file(db: sqlite3.Connection, places: Places) -> Iterator[Problem]:
    """Tables and indexes agree: a question that an index answers must not get another answer than one that a table answers."""
    found = db.execute("pragma integrity_check(1)").fetchone()[0]
    if found != "ok":
        yield Problem("history_damaged", places.database.name, str(found))


def _verify_journal(places: Places, seal: Seal, events: Sequence[Event]) -> Iterator[Problem]:
    """The sealed journal holds the same events, byte for byte."""
    path = places.sealed / f"{seal.run_id}{SUFFIX}"
    try:
        raw = path.read_bytes()
    except OSError as error:
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


def _verify_derived(db: sqlite3.Connection, seal: Seal, events: Sequence[Event]) -> Iterator[Problem]:
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
