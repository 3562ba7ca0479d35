# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an SQLite file that nobody else has open: a copy that is a backup, or one that was restored and not yet put in place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from .._core.backup_types import Inventory
from .._core.errors import InvalidInput, TimedOut, VerifyFailed
from .._core.probe import Deadline

_STEPS = 100_000
_SHOWN = 5


class NotADatabase(VerifyFailed):
    """The file is empty, or something else than an SQLite database."""

    code = "empty_or_invalid"


@contextmanager
def at_rest(path: str, deadline: Deadline) -> Iterator[sqlite3.Connection]:
    """A connection to a file that no other process uses: read only, and without locks or side files (``immutable``)."""
    connection = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    connection.set_progress_handler(lambda: deadline.remaining() <= 0, _STEPS)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield connection
    except sqlite3.Error as error:
        if str(error) == "interrupted":
            raise TimedOut(f"reading {path} took longer than it may", "give it more time (timeout_seconds)") from None
        raise NotADatabase(f"{path} cannot be read as a database: {error}", "see what the application wrote; earlier good backups stay") from None
    finally:
        connection.close()


def count(connection: sqlite3.Connection) -> Inventory:
    """Tables with their rows, and how many of what else. Raises sqlite3.Error for a damaged file."""
    kinds = dict(connection.execute("SELECT type, count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' GROUP BY type"))
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")]
    objects: dict[str, dict[str, Any]] = {}
    for name in sorted(names):
        quoted = '"' + name.replace('"', '""') + '"'
        objects[f"table {_shown(name)}"] = {"rows": connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0]}
    versions = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")}
    totals = {
        "objects": len(names), "rows": sum(figures["rows"] for figures in objects.values()),
        **{f"{kind}{'es' if kind == 'index' else 's'}": kinds.get(kind, 0) for kind in ("index", "trigger", "view")},
    }  # fmt: skip
    return Inventory({**objects, "database": versions}, totals)


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def damage(connection: sqlite3.Connection, full: bool) -> str:
    """What SQLite's own check finds; ``""`` for nothing. It does not see changed values: only digests do."""
    check = "integrity_check" if full else "quick_check"
    found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({_SHOWN})")]
    return "" if found == ["ok"] else "; ".join(found)


def value_of(connection: sqlite3.Connection, query: str) -> Any:
    """The first column of the first row of a query that only reads; None when there is no row. Raises InvalidInput."""
    try:
        row = connection.execute(query).fetchone()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise InvalidInput(f"the query cannot be answered: {error}", query) from None
    return row[0] if row else None
