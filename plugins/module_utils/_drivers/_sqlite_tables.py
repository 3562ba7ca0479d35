# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an SQLite file that nobody else has open: a copy that is a backup, or one that was restored and not yet put in place."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

from .._core.backup_types import Inventory
from .._core.errors import InvalidInput, RunbookError, TimedOut, VerifyFailed
from .._core.probe import Deadline

_STEPS = 100_000
_SHOWN = 5
_LACKING = re.compile("no such (module|collation|function)|unknown function")
"""What applications can bring along to SQLite, and this one does not have."""
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, getattr(sqlite3, "SQLITE_RECURSIVE", 33)}


class NotADatabase(VerifyFailed):
    """The file is empty, or something else than an SQLite database."""

    code = "empty_or_invalid"


@contextmanager
def at_rest(path: str, deadline: Deadline) -> Iterator[sqlite3.Connection]:
    """A connection to a file that no other process uses: read only, and without locks or side files (``immutable``)."""
    place = f"file:{quote(os.path.abspath(path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)) as connection:
            connection.set_progress_handler(lambda: deadline.remaining() <= 0, _STEPS)
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            yield connection
    except sqlite3.OperationalError as error:  # says nothing of the content
        if str(error) == "interrupted":
            raise TimedOut(f"reading {path} took longer than it may", "give it more time (timeout_seconds)") from None
        raise RunbookError(f"{path} cannot be read: {error}", "see the disk, and what this SQLite lacks") from None
    except sqlite3.Error as error:
        raise NotADatabase(f"{path} cannot be read as a database: {error}", "see what the application wrote; earlier good backups stay") from None


def count(connection: sqlite3.Connection) -> Inventory:
    """Tables with their rows, and how many of what else. Raises sqlite3.Error for a damaged file."""
    kinds = dict(connection.execute("SELECT type, count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' GROUP BY type"))
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")]
    objects: dict[str, dict[str, Any]] = {}
    for name in sorted(names):
        objects[f"table {_shown(name)}"] = _rows(connection, name)
    versions = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")}
    totals = {
        "objects": len(names), "rows": sum(figures.get("rows", 0) for figures in objects.values()),
        **{f"{kind}{'es' if kind == 'index' else 's'}": kinds.get(kind, 0) for kind in ("index", "trigger", "view")},
    }  # fmt: skip
    return Inventory({**objects, "database": versions}, totals)


def _rows(connection: sqlite3.Connection, name: str) -> dict[str, int]:
    """Nothing for a table that only the application can read, and for one whose name is no UTF-8."""
    quoted = '"' + name.replace('"', '""') + '"'
    try:
        return {"rows": connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0]}
    except UnicodeEncodeError:
        return {}
    except sqlite3.OperationalError as error:
        if not _LACKING.match(str(error)):
            raise
        return {}


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def damage(connection: sqlite3.Connection, full: bool) -> str:
    """What SQLite's own check finds; ``""`` for nothing, and where it cannot check. It does not see changed values: only digests do."""
    check = "integrity_check" if full else "quick_check"
    found: list[str] = []
    try:
        for row in connection.execute(f"PRAGMA {check}({_SHOWN})"):
            found.append(str(row[0]))
    except sqlite3.OperationalError as error:
        if not _LACKING.match(str(error)):
            raise
    except sqlite3.DatabaseError as error:  # after what it found before
        found.append(str(error))
    return "; ".join(line for line in found if line != "ok")


def _only_reads(action: int, first: str | None, *_rest: str | None) -> int:
    """ATTACH and VACUUM INTO make files, even on a connection that cannot write. json_each and its like declare their columns by an update."""
    return sqlite3.SQLITE_OK if action in _READING or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master") else sqlite3.SQLITE_DENY


def value_of(connection: sqlite3.Connection, query: str) -> Any:
    """The first column of the first row of a query that only reads; None when there is no row. Raises InvalidInput."""
    connection.set_authorizer(_only_reads)
    try:
        row = connection.execute(query).fetchone()
    except (sqlite3.Error, sqlite3.Warning) as error:
        if str(error) == "interrupted":
            raise
        raise InvalidInput(f"the query cannot be answered: {error}", query) from None
    return row[0] if row else None
