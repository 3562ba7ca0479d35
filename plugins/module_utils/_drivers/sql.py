# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One reading query against a database, by the kind of its connection.

SQLite: see https://sqlite.org/lang_select.html, PostgreSQL: https://www.postgresql.org/docs/current/sql-select.html.
"""

from __future__ import annotations

import math
import re
import sqlite3
import time
from typing import Any

from .._core.errors import InvalidInput, VerifyFailed
from .._core.probe import Probe
from ._pg_health_query import query
from ._pg_health_session import place_of
from ._sqlite_quiet import opened_quietly
from ._time_left import TimeLeft

MEASURES = {"latency": "s", "value": "number", "rows": "count"}

_TEXT_LENGTH = 1000
# Reading tables, calling functions, recursion. Not among them: ATTACH and VACUUM INTO, which make files even on a read-only connection.
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, getattr(sqlite3, "SQLITE_RECURSIVE", 33)}
_PRAGMAS = {
    "application_id", "data_version", "foreign_key_check", "foreign_key_list", "freelist_count", "index_info", "index_list",
    "integrity_check", "page_count", "page_size", "quick_check", "schema_version", "table_info", "table_xinfo", "user_version",
}  # fmt: skip


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Run ``query``. ``value`` is the first column of the first row (None: there is no row, or it is NULL).

    Every column of that row is a measure under its own name, in lower case. Nothing can be written and no file is made.
    Raises Unreachable (no such file, no server), Busy (locked), VerifyFailed (not a database, no such table), TimedOut, InvalidInput.
    """
    connection = probe.connection or {}
    if connection.get("postgresql"):
        return _postgresql(connection["postgresql"], options, probe)
    if "path" not in connection:
        raise InvalidInput(f"sql: the connection {options['connection']} has no path", "write it as {path: /path/to/database} or {postgresql: ...}")
    return _sqlite(connection["path"], options, probe)


def _postgresql(connection: dict[str, Any], options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    left = TimeLeft(probe, options["timeout_seconds"], f"the query of {place_of(connection)}", "look for a missing index, a lock or a long transaction")
    names, first, rows, latency = query(connection, options, left)
    return {"value": None, **_columns(names, first), "rows": rows, "latency": latency}


def _sqlite(path: str, options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    left = TimeLeft(probe, options["timeout_seconds"], f"the query of {path}", "look for a missing index, a slow disk or a long transaction")
    with opened_quietly(path, left) as connection:
        connection.set_authorizer(_authorize)
        connection.text_factory = _text
        started = time.monotonic()
        try:
            cursor = connection.execute(options["query"], options["parameters"])
            first = cursor.fetchone()
            rows = 0 if first is None else 1 + sum(1 for _row in cursor)
        except (sqlite3.Warning, sqlite3.Error, ValueError) as error:
            _raise_clearer(path, error)
            raise
        latency = time.monotonic() - started
        columns = _columns([item[0] for item in cursor.description or []], first)
    return {"value": None, **columns, "rows": rows, "latency": latency}


def _columns(names: list[str], row: tuple[Any, ...] | None) -> dict[str, Any]:
    lowered = [name.lower() for name in names]
    taken = [name for number, name in enumerate(lowered) if name in lowered[:number] or name in ("rows", "latency") or (name == "value" and number)]
    if taken:
        raise InvalidInput(f"sql: the column name {taken[0]} is taken", 'give the column another name ("select count(*) as open_orders")')
    if row is None:
        return {}
    values = [_plain(value) for value in row]
    return {"value": values[0], **dict(zip(lowered, values))}


def _authorize(action: int, first: str | None, *_rest: str | None) -> int:
    allowed = action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and str(first).lower() in _PRAGMAS)
    # how table-valued functions such as json_each declare their columns; the connection itself cannot write
    allowed = allowed or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master")
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _raise_clearer(path: str, error: Exception) -> None:
    """For what the opener cannot know; everything else keeps its own error."""
    text = str(error)
    if "not authorized" in text or "authorization denied" in text or "prohibited" in text:
        raise InvalidInput(f"sql: the query of {path} does more than read", "write one select statement") from None
    if re.match("no such (table|column)", text):
        raise VerifyFailed(f"{path}: {text}", "see whether this is the right database and whether its schema is complete") from None
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, (sqlite3.ProgrammingError, sqlite3.InternalError)):
        raise InvalidInput(f"sql: the query of {path} cannot be run: {text}", "give one statement, and one parameter for each ?") from None


def _text(content: bytes) -> str:
    return content[: 4 * _TEXT_LENGTH].decode("utf-8", "replace")[:_TEXT_LENGTH]


def _plain(value: Any) -> Any:
    """As JSON can carry it: infinity cannot be compared, so it is as good as NULL."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        return value[:_TEXT_LENGTH]
    return None if isinstance(value, float) and not math.isfinite(value) else value
