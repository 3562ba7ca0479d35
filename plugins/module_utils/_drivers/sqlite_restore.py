# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite as a target of restores: staged beside the database, swapped by rename(2) while nobody has it open.

A write-ahead log that was left over goes aside with the database it belongs to: SQLite would play it into the restored one
(https://www.sqlite.org/howtocorrupt.html, "mispairing database files and hot journals").
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .._core.backup_types import Context, Identity, Inventory, Stream
from .._core.errors import Busy, InUse, InvalidInput, RunbookError, TimedOut
from .._core.transfer import BLOCK
from ._disk import claimed_file, disk_errors, new_file, remove_unclaimed, sync_folder
from ._open_by import open_by
from ._sqlite_tables import NotADatabase, at_rest, count, damage, value_of

_ROOM = "free as much as the database is large"
_STOP = "stop the application first"
_SIDES = ("-wal", "-shm", "-journal")
_LOCKS = (0x40000000, 512)
"""PENDING_BYTE, and how many bytes SQLite locks from it on: pending, reserved, and 510 of shared (os_unix.c)."""


class Target:
    """``options``: path, and scratch_dir for a Context that only looks."""

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._path: str = options["path"]
        if not os.path.isabs(self._path):
            raise InvalidInput(f'"{self._path}" is not an absolute path', "write the whole path of the database from / on")
        folder, name = os.path.split(self._path)
        staging = (options.get("scratch_dir") or folder) if context.scratch else folder
        self._all_staged = os.path.join(staging, f".{name}.restore-")
        self._staged = self._all_staged + context.tag
        self._kept = f"{self._path}.before-{context.tag}"
        self._nothing = f"{self._kept}.nothing"
        self._undone = f"{self._path}.undone-{context.tag}"
        self._context = context
        self._descriptor = -1

    def identity(self) -> Identity:
        """See Target."""
        try:
            size = os.stat(self._path).st_size
        except FileNotFoundError:
            return Identity(self._path, exists=False, engine=sqlite3.sqlite_version, tools=sqlite3.sqlite_version)
        except OSError as error:
            raise RunbookError(f"{self._path} cannot be looked at: {error.strerror}", "run with become: true") from None
        return Identity(self._path, engine=sqlite3.sqlite_version, tools=sqlite3.sqlite_version, size_bytes=size, in_use=self._users())

    def _users(self) -> str:
        return ", ".join(open_by([self._path, *(self._path + side for side in _SIDES)])[:5])

    def stage(self, stream: Stream, manifest: Mapping[str, Any]) -> None:
        """See Target. SQLite's own check is made, too: what is damaged is not staged."""
        try:
            self._write(stream)
            with at_rest(self._staged, self._context.deadline) as connection:
                found = damage(connection, full=True)
            if found:
                raise NotADatabase(f"the backup {manifest['id']} is damaged: {found}", "restore another one")
        except BaseException:
            self.discard()
            raise

    def _write(self, stream: Stream) -> None:
        with disk_errors(self._staged, _ROOM):
            remove_unclaimed(self._all_staged)  # of restores and verifications that were killed
            try:
                self._descriptor = claimed_file(self._staged)
            except FileExistsError:
                raise Busy(f"{self._staged} is there: somebody else restores the same backup", "wait until that is done") from None
            while True:
                if self._context.deadline.remaining() <= 0:
                    raise TimedOut("the restore took longer than it may", "give it more time (timeout_seconds)")
                block = stream.read(BLOCK)
                if not block:
                    break
                while block:
                    block = block[os.write(self._descriptor, block) :]
            os.fsync(self._descriptor)

    def inventory(self) -> Inventory:
        """See Target."""
        with at_rest(self._staged, self._context.deadline) as connection:
            return count(connection)

    def ask(self, query: str) -> Any:
        """See Target."""
        with at_rest(self._staged, self._context.deadline) as connection:
            return value_of(connection, query)

    def swap(self) -> dict[str, Any]:
        """See Target. Raises InUse while any process has the database open."""
        with disk_errors(self._path, _ROOM), self._nobody_else():
            exists = os.path.lexists(self._path)
            self._like_before(exists)
            _move_sides(self._path, self._kept)
            if exists:
                os.link(self._path, self._kept)
            else:
                os.close(new_file(self._nothing))
            sync_folder(os.path.dirname(self._path))
            os.rename(self._staged, self._path)  # in one step: there is no moment without a database
            sync_folder(os.path.dirname(self._path))
        self._let_go()
        return {"place": self._path, "kept": self._kept if exists else ""}

    def undo(self, swapped: Mapping[str, Any]) -> None:
        """See Target. The names on disk tell how far a swap came, also an interrupted one, so ``swapped`` is not needed.

        What was restored is kept as ``.undone-<tag>``, with all that was written to it since.
        """
        path, kept = self._path, self._kept
        with disk_errors(path, _ROOM), self._nobody_else():
            if os.path.lexists(self._nothing):
                if not os.path.lexists(self._staged) and not os.path.lexists(self._undone):
                    _move_sides(path, self._undone)
                    _move(path, self._undone)
                os.unlink(self._nothing)
            elif os.path.lexists(kept):
                if os.path.lexists(path) and os.path.samefile(kept, path):  # the swap did not come so far
                    os.unlink(kept)
                else:
                    with suppress(FileExistsError, FileNotFoundError):
                        os.link(path, self._undone)
                    _move_sides(path, self._undone)
                    os.rename(kept, path)
            _move_sides(kept, path)
            sync_folder(os.path.dirname(path))

    def discard(self) -> None:
        """See Target. What another process stages is left to it."""
        with disk_errors(self._staged):
            if self._descriptor < 0:
                remove_unclaimed(self._staged)
                return
            with suppress(FileNotFoundError):
                os.unlink(self._staged)
            self._let_go()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _like_before(self, exists: bool) -> None:
        """Owner and mode of the database that is there, else of its folder: the application has to be able to open it."""
        model = os.stat(self._path if exists else os.path.dirname(self._path))
        with suppress(PermissionError):
            os.fchown(self._descriptor, model.st_uid, model.st_gid)
        os.fchmod(self._descriptor, model.st_mode & 0o777 if exists else 0o640)

    @contextmanager
    def _nobody_else(self) -> Iterator[None]:
        """Holds SQLite's exclusive lock. A connection that is idle holds none, so processes that have the file open are looked for, too."""
        users = self._users()
        if users:
            raise InUse(f"{self._path} is open in {users}", _STOP)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            yield
            return
        try:
            start, length = _LOCKS
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
            except BlockingIOError:
                raise InUse(f"another process uses {self._path}", _STOP) from None
            yield
        finally:
            os.close(descriptor)


def _move(old: str, new: str) -> None:
    """Unless there is nothing to move."""
    with suppress(FileNotFoundError):
        os.rename(old, new)


def _move_sides(old: str, new: str) -> None:
    for side in _SIDES:
        _move(old + side, new + side)
