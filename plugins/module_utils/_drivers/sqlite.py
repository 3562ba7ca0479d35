# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of an SQLite database: readable, writable, whole, how large. See https://sqlite.org/pragma.html."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Any

from .._core.errors import Busy, TimedOut
from .._core.probe import SKIPPED, DeadlinePassed, Probe
from ._sqlite_open import opened
from ._sqlite_quiet import in_wal_mode_at_rest, opened_quietly
from ._time_left import TimeLeft

MEASURES = {
    "latency": "s",
    "readable": "boolean",
    "writable": "boolean",
    "quick_check": "text",
    "size": "B",
    "wal_size": "B",
    "free_percent": "percent",
    "tables": "count",
    "journal_mode": "text",
}


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Open the database as an application would. The write test takes the write lock and rolls back; nothing is ever written.

    Raises Unreachable (no such file), Busy (not even readable), VerifyFailed (not a database), TimedOut.
    """
    path = options.get("path") or (probe.connection or {})["path"]
    left = TimeLeft(probe, options["timeout_seconds"], f"looking into {path}", "look for a slow disk, or switch quick_check off")
    started = time.monotonic()
    with opened_quietly(path, left) as connection:
        measures = {"readable": True, **_figures(connection, path)}
        measures["latency"] = time.monotonic() - started
        if options["quick_check"]:
            measures["quick_check"] = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if options["write_test"]:
            # while this one is open, so that closing the other does not move a leftover write-ahead log into the database
            measures["writable"] = SKIPPED if probe.check_mode else _writable(path, left)
    return measures


def _figures(connection: sqlite3.Connection, path: str) -> dict[str, Any]:
    def pragma(name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    pages = pragma("page_count")
    return {
        "tables": connection.execute("select count(*) from sqlite_master where type = 'table'").fetchone()[0],
        "journal_mode": "wal" if in_wal_mode_at_rest(path) else pragma("journal_mode"),  # opened as immutable, SQLite calls it "delete"
        "size": os.stat(path).st_size,
        "wal_size": os.stat(path + "-wal").st_size if os.path.exists(path + "-wal") else 0,
        "free_percent": round(100 * pragma("freelist_count") / pages, 2) if pages else 0.0,
    }


def _writable(path: str, left: TimeLeft) -> bool:
    """Whether the write lock can be had in time; it is given back at once."""
    left.timeout()  # without any time even a free lock would look taken
    if os.statvfs(path).f_flag & os.ST_RDONLY:  # after disk errors the kernel mounts a file system so
        return False
    try:
        with opened(path, left.deadline, mode="rw") as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except Busy:
        if isinstance(left.passed(), DeadlinePassed):  # it was not waited for as long as the check allows
            raise left.passed() from None
        return False
    except TimedOut:
        raise left.passed() from None
    return True
