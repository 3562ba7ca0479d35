# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of Redis that is newer than the question for it, and the reading of one as it passes by.

BGSAVE answers when it starts, and its result is seen only in INFO; until it ends, the file is the one from before
(https://redis.io/docs/latest/commands/bgsave/).
"""

from __future__ import annotations

import queue
import threading

from .._core.backup_types import Stream
from .._core.errors import TimedOut, VerifyFailed
from .._core.probe import Deadline
from .._core.rdb import Rdb, read_rdb
from ._pg_errors import ConnectionLost
from ._redis_client import CommandRefused, Session

_TICK_MICROSECONDS = 100_000
"""How far time(2), by which a server dates its file, may lag behind the clock that TIME tells: a tick of the kernel, and some."""

_BLOCKS = 8
"""How many blocks of the stream may wait for the parser."""


class SaveFailed(VerifyFailed):
    """The server could not write its snapshot."""

    code = "save_failed"


def save(session: Session) -> int:
    """Have a snapshot written that starts now; an instant before it by the server's clock (seconds since 1970). Raises SaveFailed, ConnectionLost, TimedOut."""
    run_id = session.info("server").get("run_id")
    while True:
        _await_idle(session)
        seconds, microseconds = (int(part) for part in session.ask("TIME"))
        before = seconds - (microseconds < _TICK_MICROSECONDS)
        try:
            session.ask("BGSAVE")
            break
        except CommandRefused as error:
            if "in progress" not in error.message and "BGSAVE SCHEDULE" not in error.message:  # somebody else was faster
                raise SaveFailed(error.message, error.hint) from None
    told = _await_idle(session)
    if session.info("server").get("run_id") != run_id:
        raise ConnectionLost(f"{session.place} was restarted during its BGSAVE", "see its log, and try again")
    if told.get("rdb_last_bgsave_status") != "ok" or int(told.get("rdb_last_save_time", 0)) < before:
        raise SaveFailed(
            f"BGSAVE on {session.place} started and failed (rdb_last_bgsave_status: {told.get('rdb_last_bgsave_status')})",
            "see the server's log: most often its disk is full, its folder is gone, or there is no memory for a fork (vm.overcommit_memory)",
        )
    return before


def _await_idle(session: Session) -> dict[str, str]:
    """What INFO tells once no child of the server works."""
    while True:
        told = session.info("persistence")
        if not any(told.get(name, "0") != "0" for name in ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")):
            return told
        session.pause()


class Passing:
    """A stream that is an RDB, parsed in a thread as it is read: ``result`` once it was read to its end."""

    def __init__(self, stream: Stream, deadline: Deadline, digests: bool = False) -> None:
        self._stream, self._deadline, self._digests = stream, deadline, digests
        self._blocks: queue.Queue[bytes] = queue.Queue(_BLOCKS)
        self._over = self._ended = False  # for the parser, for whoever reads
        self._rdb: Rdb | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def read(self, size: int) -> bytes:
        """See Stream. Raises what the parser finds, at the latest before the end."""
        if self._deadline.remaining() <= 0:
            raise TimedOut("the copy took longer than it may", "give it more time (timeout_seconds)")
        block = b"" if self._ended else self._stream.read(size)
        if self._error is None and not self._ended:
            self._blocks.put(block)
        if not block:
            self._ended = True
            self._thread.join()
        if self._error is not None:
            raise self._error
        return block

    def result(self) -> Rdb:
        """Raises VerifyFailed unless it was read to its end."""
        if not self._ended and self.read(1):
            raise VerifyFailed("the copy was not read to its end", "see what stopped the reading")
        if self._rdb is None:
            raise VerifyFailed("the copy was not parsed", "see what stopped the reading")
        return self._rdb

    def close(self) -> None:
        """End the thread, also where the stream was not read to its end."""
        if not self._ended:
            self._ended = True
            self._blocks.put(b"")
        self._thread.join()

    def _work(self) -> None:
        try:
            self._rdb = read_rdb(_Fed(self), self._digests)
        except Exception as error:  # it is raised where the stream is read
            self._error = error
        while not self._over:  # whoever reads must never wait for us
            self.next()

    def next(self) -> bytes:
        """The next block for the parser."""
        block = b"" if self._over else self._blocks.get()
        self._over = self._over or not block
        return block


class _Fed:
    """The parser's side of it."""

    def __init__(self, passing: Passing) -> None:
        self._passing, self._rest = passing, b""

    def read(self, size: int) -> bytes:
        """See Stream."""
        if not self._rest:
            self._rest = self._passing.next()
        block, self._rest = self._rest[:size], self._rest[size:]
        return block
