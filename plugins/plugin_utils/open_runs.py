# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of runs under way in a shared history, for the day a controller vanishes with its files.

A run is announced with its first event. Its controller then adds events and a heartbeat, on the server's clock, in one
transaction that also takes the lock of its row; whoever adopts a silent run deletes that row first. So either the heartbeat
comes in and the run is alive, or it is adopted, and its controller learns that it was. Each event carries a voucher made with the
key of the ledger: whoever can write to the database, and does not have the key, cannot have invented events sealed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Event, Journal, encode, make_voucher, parse_journal
from ansible_collections.tradeops.runbook.plugins.plugin_utils import journal
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, Row
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

DEAD_SECONDS = "RUNBOOK_HISTORY_DEAD_SECONDS"
"""For tests: how long a run of another controller must be silent before it is taken for dead, instead of a minute."""

_COLUMNS = ", ".join(Event._fields)


def dead_seconds() -> float:
    """A heartbeat comes twenty times as often."""
    return float(os.environ.get(DEAD_SECONDS) or 60)


def announce(db: Database, key: bytes, run_id: str, events: Sequence[Event]) -> None:
    """A run begins."""
    with db.transaction(alone=False):
        db.execute(f"insert into open_runs values (?, ?, {db.clock})", (run_id, socket.gethostname()))
        db.insert("open_events", _rows(key, run_id, events))


def beat(db: Database, key: bytes, run_id: str, events: Sequence[Event]) -> bool:
    """The run lives, and this happened since; False when the run is no longer open: somebody took it for dead."""
    with db.transaction(alone=False):
        if db.execute(f"update open_runs set beat = {db.clock} where run_id = ?", (run_id,)).count == 0:
            return False
        # The commit before may have come through although its answer was lost.
        db.insert("open_events", _rows(key, run_id, events), "on conflict (run_id, seq) do nothing")
    return True


def dead(db: Database, places: Places) -> list[str]:
    """Runs that fell silent. A journal that lies here, or whose process lives here, speaks for itself."""
    statement = f"select run_id from open_runs where beat < {db.clock} - ? order by run_id"
    found = [str(row[0]) for row in db.execute(statement, (dead_seconds(),))]
    return [run_id for run_id in found if not (places.open / f"{run_id}{journal.SUFFIX}").exists()]


def _rows(key: bytes, run_id: str, events: Sequence[Event]) -> list[Row]:
    return [(run_id, *event, make_voucher(key, run_id, event)) for event in events]


def take(db: Database, key: bytes, run_id: str) -> Journal | None:
    """What arrived of a run that is still silent, taken apart; None when it lives or somebody else was faster."""
    if db.execute(f"delete from open_runs where run_id = ? and beat < {db.clock} - ?", (run_id, dead_seconds())).count == 0:
        return None
    lines, doubtful = b"", b""
    for *fields, voucher in db.execute(f"select {_COLUMNS}, voucher from open_events where run_id = ? order by seq", (run_id,)):
        event = Event(*fields)
        line = f"{encode(event)}\n".encode("ascii")
        if doubtful or voucher != make_voucher(key, run_id, event):
            doubtful += line
        else:
            lines += line
    found = parse_journal(run_id, lines)
    return found._replace(rest=found.rest + doubtful)


def forget(db: Database, run_id: str) -> None:
    """The run is sealed."""
    db.execute("delete from open_runs where run_id = ?", (run_id,))
    db.execute("delete from open_events where run_id = ?", (run_id,))


def alive(db: Database) -> dict[str, list[Event]]:
    """The runs under way on all controllers."""
    statement = f"select run_id from open_runs where beat >= {db.clock} - ?"
    return {str(row[0]): _events(db, str(row[0])) for row in db.execute(statement, (dead_seconds(),))}


def _events(db: Database, run_id: str) -> list[Event]:
    return [Event(*row) for row in db.execute(f"select {_COLUMNS} from open_events where run_id = ? order by seq", (run_id,))]
