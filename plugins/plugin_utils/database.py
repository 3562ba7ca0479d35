# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One small face for the databases a history can live in: a file of its own, or PostgreSQL for a team.

Statements carry ``?`` or ``:name`` for values; whatever else differs between the two is in here and in ``postgresql``.
No connection is kept across a fork: SQLite's locks would not survive it.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, make_folder

BUSY_SECONDS = 30.0
"""How long to wait while another run seals; that takes well under a second."""

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any]


class Answer:
    """What a statement found, and how many rows it touched."""

    def __init__(self, cursor: Any) -> None:
        self._rows: list[Row] = cursor.fetchall() if cursor.description else []
        self.count: int = cursor.rowcount

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def fetchall(self) -> list[Row]:
        """All rows."""
        return self._rows

    def fetchone(self) -> Row | None:
        """The first row."""
        return self._rows[0] if self._rows else None


class Database(ABC):
    """An open database. Its errors are ours and say what to do; they never hold a password."""

    shared: ClassVar[bool] = False
    """Whether several controllers write to it, each with journals of its own."""
    clock: ClassVar[str]
    """The database's own clock, in seconds, as an expression."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._db: Any = None

    @abstractmethod
    def _run(self, statement: str, parameters: Parameters = ()) -> Any:
        """The cursor of a statement."""

    @abstractmethod
    def _begin(self, alone: bool) -> None:
        """Start a transaction."""

    @abstractmethod
    def _roll_back(self) -> None:
        """Undo it, if it is still there."""

    @abstractmethod
    def explained(self) -> AbstractContextManager[None]:
        """The library's errors as ours."""

    @abstractmethod
    def columns(self, table: str) -> list[str]:
        """The columns of a table, in order; none when there is no such table."""

    @abstractmethod
    def damage(self) -> str:
        """What is wrong between tables and indexes; "" when nothing is, or when the server sees to it."""

    def close(self) -> None:
        """Give it back."""
        self._db.close()

    def execute(self, statement: str, parameters: Parameters = ()) -> Answer:
        """Run one statement."""
        with self.explained():
            return Answer(self._run(statement, parameters))

    def insert(self, table: str, rows: Iterable[Row], otherwise: str = "") -> None:
        """Add whole rows; ``otherwise`` is an ``on conflict`` clause."""
        marks = ", ".join("?" * len(self.columns(table)))
        with self.explained():
            self._insert(f"insert into {table} values ({marks}) {otherwise}", list(rows))

    @abstractmethod
    def _insert(self, statement: str, rows: list[Row]) -> None:
        """One statement for many rows."""

    @abstractmethod
    def stream(self, statement: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Rows one by one: there may be millions, and the caller may stop early."""

    def define(self, script: str) -> None:
        """Run the statements of a migration; the caller is inside a transaction."""
        for statement in filter(str.strip, script.split(";")):
            self.execute(statement)

    @contextmanager
    def transaction(self, alone: bool = True) -> Iterator[None]:
        """All or nothing; ``alone``: nobody else seals meanwhile."""
        with self.explained():
            self._begin(alone)
            try:
                yield
                self._run("commit")
            except BaseException:
                self._roll_back()
                raise


class SqliteDatabase(Database):
    """A file on the controller."""

    clock = "((julianday('now') - 2440587.5) * 86400.0)"

    def __init__(self, places: Places, read_only: bool) -> None:
        super().__init__(str(places.database))
        if not read_only:
            make_folder(places.history)
            places.database.touch(mode=0o600)
        elif not places.database.exists():
            raise FileNotFoundError(places.database)
        # Read-write also for readers: only so can SQLite finish what a crash left half done. query_only keeps them readers.
        self._db = sqlite3.connect(f"{places.database.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")  # damaged text must reach verification
        try:
            self.execute(f"pragma query_only = {'on' if read_only else 'off'}")
            self.execute("pragma synchronous = full")
            self.execute("pragma secure_delete = on")  # what retention drops is overwritten, not only forgotten
        except BaseException:
            self._db.close()
            raise

    def _run(self, statement: str, parameters: Parameters = ()) -> Any:
        return self._db.execute(statement, parameters)

    def _insert(self, statement: str, rows: list[Row]) -> None:
        self._db.executemany(statement, rows)

    def _begin(self, alone: bool) -> None:
        self._run("begin immediate")

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._run("rollback")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """SQLite's errors as ours, with what to do about them."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                hint = "see which process holds it (fuser), then run again"
                raise Busy(f"{self.name} was locked for {BUSY_SECONDS:.0f} s by another process", hint) from error
            raise VerifyFailed(f"{self.name}: {error}", "see its owner, its mode and the free space") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the words of an error may be damaged, too
            hint = "restore it from the backup; the journals in sealed/ hold the same events"
            raise VerifyFailed(f"{self.name} is damaged: {error}", hint) from error

    def columns(self, table: str) -> list[str]:
        """The columns of a table."""
        return [row[1] for row in self.execute(f"pragma table_info({table})")]

    def damage(self) -> str:
        """A question that an index answers must not get another answer than one that a table answers."""
        found = str((self.execute("pragma integrity_check(1)").fetchone() or ("no answer",))[0])
        return "" if found == "ok" else found

    def stream(self, statement: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Rows as SQLite finds them."""
        with self.explained():
            yield from self._run(statement, parameters)


def open_database(places: Places, read_only: bool = False) -> Database:
    """The database of a history. Raises FileNotFoundError to a reader where there is none."""
    if not places.url:
        return SqliteDatabase(places, read_only)
    from ansible_collections.tradeops.runbook.plugins.plugin_utils.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(places.url, read_only)
