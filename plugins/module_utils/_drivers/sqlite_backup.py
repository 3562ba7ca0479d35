# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite as a source of backups, writers active: SQLite's online backup into a copy beside the database, which is then streamed.

In WAL mode the copy is of one snapshot, held by a read transaction, so that writers neither wait nor make it start again; in the other modes
it is made in steps, and once it was disturbed too often in one go, while writers wait (https://www.sqlite.org/backup.html).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from urllib.parse import quote

from .._core.backup_types import Context, Identity, Inventory, Stream, Taken
from .._core.errors import Busy, InvalidInput, NoSpace, RunbookError, TimedOut
from .._core.probe import Deadline
from .._core.units import format_value
from ._disk import claimed_file, disk_errors, remove_unclaimed
from ._sqlite_open import opened
from ._sqlite_quiet import in_wal_mode_at_rest
from ._sqlite_tables import NotADatabase, at_rest, count, damage, value_of

_ROOM = "free as much beside the database as it is large"
_PAGES = 2000
_PATIENCE = 3
"""How often writers may make a copy start again before they have to wait for one."""
_LOCKED = (5, 6)
"""SQLITE_BUSY and SQLITE_LOCKED, which sqlite3 names only from Python 3.11 on."""


class _Disturbed(Exception):
    """A writer made the copy start again once more than it may."""


class Source:
    """``options``: path, integrity (quick, full or off), busy_timeout_seconds."""

    format = "sqlite"

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._path: str = options["path"]
        self._integrity: str = options.get("integrity", "quick")
        self._busy: float = options.get("busy_timeout_seconds", 30.0)
        self._context = context
        self._notes: list[str] = []
        self._began = context.deadline.remaining()
        self._taken_at = context.now
        self._look: _Look | None = None

    def identity(self) -> Identity:
        """Raises NotADatabase, Unreachable, Busy."""
        with self._opened() as connection:
            size = _size_of(connection)
        if not size:
            raise NotADatabase(f"{self._path} is empty", "see whether the application has made its tables")
        return Identity(self._path, engine=sqlite3.sqlite_version, tools=sqlite3.sqlite_version, size_bytes=size)

    def _opened(self) -> AbstractContextManager[sqlite3.Connection]:
        """Only for reading; but of a database in WAL mode at rest, such a connection would leave its side files behind."""
        if not os.path.isabs(self._path):
            raise InvalidInput(f'"{self._path}" is not an absolute path', "write the whole path of the database from / on")
        if os.path.exists(self._path) and not os.path.isfile(self._path):
            raise InvalidInput(f"{self._path} is not a file", "give the path of the database file itself")
        at_rest = os.path.exists(self._path) and in_wal_mode_at_rest(self._path)
        return opened(self._path, self._context.deadline.within(self._busy), "rw" if at_rest else "ro")

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """See Source."""
        folder, name = os.path.split(self._path)
        spools = os.path.join(folder, f".{name}.backup-")
        spool = spools + self._context.tag
        with disk_errors(spool, _ROOM):
            remove_unclaimed(spools)  # of backups that were killed
            descriptor = claimed_file(spool)
        try:
            self._copy(spool)
            look = self._look = _Look(spool, self._integrity, self._context.deadline)
            try:
                look.start()
                with disk_errors(spool):
                    os.unlink(spool)  # what was opened stays readable, and nothing is left if we are killed
                yield _File(descriptor, self._context.deadline)
            finally:
                look.finish()
        finally:
            with suppress(OSError):
                os.unlink(spool)
            os.close(descriptor)

    def _copy(self, spool: str) -> None:
        with self._opened() as source:
            source.set_progress_handler(None, 0)
            self._check_room(source)
            wal = source.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            try:
                self._copy_once(source, spool, pinned=wal)
            except _Disturbed:
                self._notes.append("writers had to wait for the copy: they had made it start again too often (WAL mode avoids this)")
                self._copy_once(source, spool, pinned=True)

    def _check_room(self, source: sqlite3.Connection) -> None:
        """The copy must not fill the disk on which the application writes."""
        needed = _size_of(source)
        folder = os.path.dirname(self._path)
        with disk_errors(folder):
            found = os.statvfs(folder)
        free = found.f_bavail * found.f_frsize
        if free < needed:
            raise NoSpace(f"{folder} has {format_value(free, 'B')} free, and the copy needs {format_value(needed, 'B')}", _ROOM)

    def _copy_once(self, source: sqlite3.Connection, spool: str, pinned: bool) -> None:
        watch = _Watch(self._context.deadline, None if pinned else _PATIENCE)
        target = sqlite3.connect(f"file:{quote(spool)}?mode=rw", uri=True, isolation_level=None)
        try:
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            self._taken_at = self._context.now + self._began - self._context.deadline.remaining()
            if pinned:
                source.execute("BEGIN")
                source.execute("PRAGMA schema_version").fetchone()
            source.backup(target, pages=_PAGES, progress=watch, sleep=0.005)
            if pinned:
                source.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "disk is full" in str(error):
                raise NoSpace(f"there is no room beside {self._path} for a copy: {error}", _ROOM) from None
            if "disk I/O" in str(error):
                raise RunbookError(f"the copy of {self._path} broke: {error}", "see the disk, its quota, and the room beside the database") from None
            raise
        finally:
            target.close()

    def ask(self, query: str) -> Any:
        """The one value that a query which only reads gives in the database as it is. Raises InvalidInput."""
        with self._opened() as connection:
            return value_of(connection, query)

    def taken(self) -> Taken:
        """See Source. A damaged database is kept as ``suspect``."""
        if self._look is None:
            raise RunbookError("the database was not read")
        inventory, doubt = self._look.result()
        return Taken(inventory, self._taken_at, suspect=doubt, notes=self._notes)


class _Watch:
    """Called after every step of a copy: ends it at the deadline, or when it began anew too often."""

    def __init__(self, deadline: Deadline, patience: int | None) -> None:
        self._deadline, self._patience = deadline, patience
        self._least: int | None = None

    def __call__(self, status: int, remaining: int, total: int) -> None:
        if self._deadline.remaining() <= 0:
            raise TimedOut("the copy of the database took longer than it may", "give it more time (timeout_seconds)")
        if status in _LOCKED:  # SQLite has waited for as long as it may
            raise Busy("the database was locked by another process during the copy", "find who holds the lock (fuser, lsof)")
        if self._patience is not None and self._least is not None and remaining >= self._least:
            self._patience -= 1
            if self._patience < 0:
                raise _Disturbed
        self._least = remaining


class _Look:
    """Counts and checks the copy beside the stream, in a thread: SQLite works without Python's lock."""

    def __init__(self, path: str, integrity: str, deadline: Deadline) -> None:
        self._path, self._integrity, self._deadline = path, integrity, deadline
        self._inventory: Inventory | None = None
        self._doubt = ""
        self._error: Exception | None = None
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Returns when the file was opened."""
        self._thread.start()
        self._open.wait()

    def _work(self) -> None:
        try:
            with at_rest(self._path, self._deadline) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                self._open.set()
                self._doubt = "" if self._integrity == "off" else damage(connection, self._integrity == "full")
                self._inventory = count(connection)
        except Exception as error:  # it is raised where the result is asked for
            self._error = error
        finally:
            self._open.set()

    def finish(self) -> None:
        """Wait for it."""
        self._thread.join()

    def result(self) -> tuple[Inventory, str]:
        """What is in it, and why it is not to be trusted."""
        if isinstance(self._error, NotADatabase):  # not even countable: kept for whoever has to save what can be saved
            return Inventory({}, {"objects": 0}), f"SQLite finds damage: {self._doubt or 'it cannot be counted'}"
        if self._error is not None:
            raise self._error
        if self._inventory is None:
            raise RunbookError("the copy was not counted")
        return self._inventory, f"SQLite finds damage: {self._doubt}" if self._doubt else ""


class _File:
    """The copy, from its beginning."""

    def __init__(self, descriptor: int, deadline: Deadline) -> None:
        self._descriptor, self._deadline = descriptor, deadline
        self._position = 0

    def read(self, size: int) -> bytes:
        if self._deadline.remaining() <= 0:
            raise TimedOut("the backup took longer than it may", "give it more time (timeout_seconds)")
        with disk_errors("the copy of the database"):
            block = os.pread(self._descriptor, size, self._position)
        self._position += len(block)
        return block


def _size_of(connection: sqlite3.Connection) -> int:
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)
