# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens an SQLite file that exists, never makes one, and gives up in time. Shared by the drivers that talk to SQLite."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from .._core.errors import Busy, RunbookError, TimedOut, Unreachable, VerifyFailed
from .._core.probe import Deadline

_STEPS = 10000  # virtual machine instructions between two looks at the clock: about a millisecond


@contextmanager
def opened(path: str, deadline: Deadline, mode: str = "ro") -> Iterator[sqlite3.Connection]:
    """A connection to ``path`` (``ro``: it may only read), interrupted at ``deadline``; its errors become ours."""
    if not os.path.exists(path):
        raise Unreachable(f"{path} does not exist", "see whether the path is right and the application has made it")
    connection = None
    try:
        connection = sqlite3.connect(
            f"file:{quote(os.path.abspath(path))}?mode={mode}", uri=True, timeout=deadline.remaining(), isolation_level=None
        )
        connection.execute(f"PRAGMA query_only = {'ON' if mode == 'ro' else 'OFF'}")
        connection.set_progress_handler(lambda: deadline.remaining() <= 0, _STEPS)
        yield connection
    except sqlite3.Error as error:
        raise _translated(path, error) from None
    finally:
        if connection is not None:
            connection.close()


def _translated(path: str, error: sqlite3.Error) -> RunbookError:
    text = str(error)
    if re.match(r"database( \w+)? is (dead)?locked", text):  # not a column of that name
        return Busy(f"{path} is locked by another process: {text}", "find who holds the lock (fuser, lsof); a long write blocks the application too")
    if text == "interrupted":
        return TimedOut(f"{path} did not answer in time", "look for a slow query or a slow disk")
    if "is not a database" in text or "disk image is malformed" in text or "malformed database schema" in text:
        return VerifyFailed(f"{path}: {text}", "restore it from a proven backup")
    if "write a readonly database" in text and os.path.exists(f"{path}-journal"):
        return RunbookError(f"{path} has the journal of a write that was cut off", "start the application, which takes that write back, and check again")
    if "unable to open database" in text or "write a readonly database" in text or "disk I/O error" in text:
        return RunbookError(f"{path} cannot be opened: {text}", "see its permissions and those of its folder")
    return RunbookError(f"{path}: {text}", "correct the query, or see the database")
