# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens an SQLite file for reading and leaves no trace beside it. Shared by the drivers that only read SQLite; see https://sqlite.org/wal.html."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

from .._core.errors import InvalidInput, RunbookError, TimedOut, VerifyFailed
from ._sqlite_open import opened
from ._time_left import TimeLeft


@contextmanager
def opened_quietly(path: str, left: TimeLeft) -> Iterator[sqlite3.Connection]:
    """A connection that only reads. In WAL mode even that makes ``-wal`` and ``-shm`` files when nobody has the database open.

    They would stay, and belong to whoever ran the check; so a database at rest is opened as immutable instead.
    """
    _checked(path)
    at_rest = os.path.exists(path) and in_wal_mode_at_rest(path)
    before = _state(path)
    try:
        with opened(path, left.deadline, "ro&immutable=1" if at_rest else "ro") as connection:
            connection.execute("PRAGMA query_only = ON")
            yield connection
    except TimedOut:
        raise left.passed() from None
    if at_rest and _state(path) != before:
        raise RunbookError(f"{path} was opened by another process while it was read", "run the check again")


def _checked(path: str) -> None:
    if not os.path.isabs(path):
        raise InvalidInput(f'"{path}" is not an absolute path', "write the whole path of the database from / on")
    try:
        found = os.stat(path)
    except PermissionError:
        raise RunbookError(f"{path} may not be looked at", "run the check with become: true") from None
    except (OSError, ValueError):
        return  # opening it says why
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{path} is not a file", "give the path of the database file itself")
    if not found.st_size:
        raise VerifyFailed(f"{path} is empty, which is no database", "see whether the application has made its tables; restore a backup if they are lost")


def in_wal_mode_at_rest(path: str) -> bool:
    """Whether ``path`` is in WAL mode and nobody has it open.

    Asked through SQLite: opening the file ourselves would, on closing, drop the locks of other connections in this process.
    """
    if os.path.exists(path + "-wal") and os.path.exists(path + "-shm"):
        return False
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro&nolock=1", uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
        return False
    except sqlite3.Error as error:
        if "unable to open" not in str(error):  # what SQLite answers when a database in WAL mode is not to be locked
            return False
    if _size(path + "-wal"):
        raise RunbookError(f"{path} has a write-ahead log that no process has open", "start the application, which takes the log in, and check again")
    return True


def _state(path: str) -> tuple[Any, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, _size(path + "-wal")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
