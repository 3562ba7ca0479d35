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
from .._core.errors import InUse, InvalidInput, RunbookError
from .._core.transfer import BLOCK
from ._disk import disk_errors, new_file, sync_folder
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
        self._folder = (options.get("scratch_dir") or folder) if context.scratch else folder
        self._staged = os.path.join(self._folder, f".{name}.restore-{context.tag}")
        self._kept = f"{self._path}.before-{context.tag}"
        self._context = context

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
            self.discard()
            descriptor = new_file(self._staged)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                while True:
                    block = stream.read(BLOCK)
                    if not block:
                        break
                    view = memoryview(block)
                    while view:
                        view = view[file.write(view) or 0 :]
                os.fsync(descriptor)

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
            for side in _SIDES:
                with suppress(FileNotFoundError):
                    os.rename(self._path + side, self._kept + side)
            if exists:
                os.link(self._path, self._kept)
            os.rename(self._staged, self._path)  # in one step: there is no moment without a database
            sync_folder(os.path.dirname(self._path))
        return {"place": self._path, "kept": self._kept if exists else ""}

    def undo(self, swapped: Mapping[str, Any]) -> None:
        """See Target. The names on disk tell how far a swap came, also an interrupted one; ``swapped`` is needed only where nothing was before."""
        path, kept = self._path, self._kept
        with disk_errors(path, _ROOM), self._nobody_else():
            if not os.path.lexists(kept):
                undone = f"{path}.undone-{self._context.tag}"
                if swapped.get("kept") == "" and os.path.lexists(path) and not os.path.lexists(undone):
                    os.rename(path, undone)
            elif os.path.samefile(kept, path):
                os.unlink(kept)
            else:
                for side in _SIDES:  # those of the restored one mean nothing to the other
                    with suppress(FileNotFoundError):
                        os.unlink(path + side)
                os.rename(kept, path)
            for side in self._sides_aside():
                os.rename(kept + side, path + side)
            sync_folder(os.path.dirname(path))

    def _sides_aside(self) -> list[str]:
        return [side for side in _SIDES if os.path.lexists(self._kept + side)]

    def discard(self) -> None:
        """See Target."""
        for side in ("", *_SIDES):
            with disk_errors(self._staged), suppress(FileNotFoundError):
                os.unlink(self._staged + side)

    def _like_before(self, exists: bool) -> None:
        """Owner and mode of the database that is there, else of its folder: the application has to be able to open it."""
        model = os.stat(self._path if exists else os.path.dirname(self._path))
        mode = model.st_mode & 0o777 if exists else 0o640
        with suppress(PermissionError):
            os.chown(self._staged, model.st_uid, model.st_gid)
        os.chmod(self._staged, mode)

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
