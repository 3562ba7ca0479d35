# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries the events of a run under way, and its heartbeat, to a shared history.

A daemon thread with a connection of its own: it neither slows the run down nor keeps it from ending. Ansible forks: no fork may
happen while the thread is inside the library, and a child never uses the connection it inherited (psycopg2 does not close it
there either). Nothing here decides about the record: the journal on the controller is what is sealed.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Event
from ansible_collections.tradeops.runbook.plugins.plugin_utils import open_runs
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

_FORK_WAITS_SECONDS = 1.0
"""A server that hangs must not hang the run."""
_STOP_SECONDS = 5.0
_MOST_EVENTS = 200

_talking = threading.Lock()
_forking: list[threading.Lock] = []


def _keep_forks_out() -> None:
    if _talking.acquire(timeout=_FORK_WAITS_SECONDS):
        _forking.append(_talking)


def _let_forks_in() -> None:
    if _forking:
        _forking.pop().release()


def _renew() -> None:
    global _talking  # the thread that may hold it does not exist in the child
    _talking = threading.Lock()
    _forking.clear()


os.register_at_fork(before=_keep_forks_out, after_in_parent=_let_forks_in, after_in_child=_renew)


class Relay:
    """Started with the run, stopped before it is over."""

    def __init__(self, places: Places, run_id: str, key: bytes) -> None:
        self.lost = False
        """Another controller took this run for dead and sealed it."""
        self._places = places
        self._run_id = run_id
        self._key = key
        self._pending: list[Event] = []
        self._troubles: list[str] = []
        self._warned = False
        self._well = True
        self._db: Database | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="run_record", daemon=True)
        self._thread.start()

    def push(self, event: Event) -> None:
        """An event to carry; the thread only ever takes from the front."""
        self._pending.append(event)

    def troubles(self) -> list[str]:
        """What the operator has not been told yet."""
        told, self._troubles = self._troubles, []
        return told

    def stop(self) -> None:
        """No more heartbeats. A thread that hangs in the network is left to die with the process."""
        self._end.set()
        self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        while not self._end.wait(open_runs.dead_seconds() / (20 if self._well else 4)) and not self.lost:
            self._carry()
        if self._pending and not self.lost:
            self._carry()
        with _talking:
            self._drop()

    def _carry(self) -> None:
        batch = self._pending[:_MOST_EVENTS]
        with _talking:
            try:
                self._db = self._db or open_database(self._places)
                self.lost = not open_runs.beat(self._db, self._key, self._run_id, batch)
                del self._pending[: len(batch)]
                self._well = True
            except Exception as error:  # whatever it is, the heart must beat on
                self._drop()
                self._well = False
                self._complain(f"The shared history cannot be reached: {error}. The run goes on; its journal is kept here until it is sealed.")
        if self.lost:
            self._troubles.append(f"Run {self._run_id} was out of touch: another controller took it for dead. Tasks that act will refuse.")

    def _complain(self, text: str) -> None:
        if not self._warned:
            self._troubles.append(text)
        self._warned = True

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(Exception):  # whatever state it is in
                self._db.close()
            self._db = None
