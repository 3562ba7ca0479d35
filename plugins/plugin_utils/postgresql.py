# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A history in PostgreSQL: connection, dialect, and errors without passwords."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, MissingLibrary, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.plugin_utils import database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, Parameters, Row
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_url import SCHEMES, is_ambiguous, label, secrets_in

_LOCK = 0x7472_6164_656F_7073
"""The advisory lock that makes writers take turns: "tradeops"."""

_CONNECT = {"connect_timeout": "10", "application_name": "tradeops.runbook", "keepalives_idle": "15", "keepalives_interval": "5", "tcp_user_timeout": "20000"}
_SECURE = "verify-full"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FETCH = 500
_ABANDONED_SECONDS = 15
"""A killed controller's worker keeps the socket, and with it an open transaction: the server ends it, before others give up waiting."""

_PLACEHOLDER = re.compile(r"\?|(?<!:):([a-z_]+)|%")
_TEXT = re.compile(r"\btext\b")
_environment = threading.Lock()


@lru_cache(maxsize=256)
def translate(statement: str) -> str:
    """``?`` and ``:name`` as psycopg2 writes them."""
    return _PLACEHOLDER.sub(lambda found: "%%" if found[0] == "%" else "%s" if found[0] == "?" else f"%({found[1]})s", statement)


def settings(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What to connect with. Encrypted and verified, unless the address says otherwise or the server is on this machine."""
    import psycopg2.extensions

    try:
        if not url.startswith(SCHEMES) or is_ambiguous(url):
            raise ValueError
        given = dict(psycopg2.extensions.parse_dsn(url))
    except (ValueError, psycopg2.Error):  # its message would show the whole address
        hint = "write postgresql://user@host:5432/database, with special characters in the password escaped (%40 for @)"
        raise InvalidInput("history_url is not the address of a PostgreSQL database", hint) from None
    hosts = (given.get("hostaddr") or given.get("host") or environ.get("PGHOSTADDR") or environ.get("PGHOST") or "").split(",")
    here = all(host in _LOOPBACK or not host or host.startswith(("/", "@")) for host in hosts)
    by_service = bool(given.get("service") or environ.get("PGSERVICE"))
    if not (here or by_service or "sslmode" in given or environ.get("PGSSLMODE")):
        given["sslmode"] = _SECURE
    return {**_CONNECT, **given}


def _connect(url: str) -> Any:
    import psycopg2

    given = settings(url, os.environ)
    if "sslmode" in given or not (given.get("service") or os.environ.get("PGSERVICE")):
        return psycopg2.connect(**given)
    with _environment:  # only a default from the environment gives way to what the service file says
        missing = "PGSSLMODE" not in os.environ
        try:
            os.environ.setdefault("PGSSLMODE", _SECURE)
            return psycopg2.connect(**given)
        finally:
            if missing:
                os.environ.pop("PGSSLMODE", None)


class PostgresqlDatabase(Database):
    """A database on a server, shared by controllers. A process that was forked must not touch its parent's connection."""

    shared = True
    clock = "extract(epoch from clock_timestamp())"

    def __init__(self, url: str, read_only: bool) -> None:
        super().__init__(label(url))
        self._secrets = secrets_in(url)
        self._numbers = count()
        self._in_transaction = False
        try:
            import psycopg2
        except ImportError:
            hint = "pip install psycopg2-binary on the controller (Debian package python3-psycopg2)"
            raise MissingLibrary("psycopg2", "python3-psycopg2", "on the controller for a history in PostgreSQL (psycopg2-binary)", hint) from None
        self._library = psycopg2
        with self.explained():
            self._db = _connect(url)
        try:
            self._prepare(read_only)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        self._db.autocommit = True
        encoding = self._db.get_parameter_status("server_encoding")
        if encoding != "UTF8":
            raise VerifyFailed(f"{self.name} has the encoding {encoding}", "create the database with encoding UTF8")
        with self.explained():
            self._db.set_client_encoding("UTF8")
            self._run(f"set lock_timeout = {int(database.BUSY_SECONDS * 1000)}")
            self._run(f"set idle_in_transaction_session_timeout = {_ABANDONED_SECONDS * 1000}")
            self._run(f"set default_transaction_read_only = {'on' if read_only else 'off'}")
        if read_only and not self.columns("meta"):
            raise FileNotFoundError(self.name)

    def _run(self, statement: str, parameters: Parameters = ()) -> Any:
        cursor = self._db.cursor()
        cursor.execute(*((translate(statement), parameters) if parameters else (statement,)))
        return cursor

    def _insert(self, statement: str, rows: list[Row]) -> None:
        from psycopg2.extras import execute_batch

        with self._db.cursor() as cursor:
            execute_batch(cursor, translate(statement), rows)

    def _begin(self, alone: bool) -> None:
        self._run("begin")
        self._in_transaction = True
        if alone:
            self._run("select pg_advisory_xact_lock(?)", (_LOCK,))

    def _roll_back(self) -> None:
        with suppress(self._library.Error):  # a connection that broke has nothing to undo
            self._run("rollback")

    @contextmanager
    def transaction(self, alone: bool = True) -> Iterator[None]:
        """All or nothing."""
        try:
            with super().transaction(alone):
                yield
        finally:
            self._in_transaction = False

    @contextmanager
    def explained(self) -> Iterator[None]:
        """The server's errors as ours, with what to do about them."""
        try:
            yield
        except self._library.Error as error:
            raise self._explain(error) from None  # the error itself may show what was sent

    def _explain(self, error: Exception) -> Exception:
        text = " ".join(str(error).split()) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        code = getattr(error, "pgcode", None) or ""
        if code in ("55P03", "57014"):
            return Busy(f"{self.name}: another run held its lock for {database.BUSY_SECONDS:.0f} s", "see pg_stat_activity, then run again")
        if isinstance(error, (self._library.OperationalError, self._library.InterfaceError)):
            return Unreachable(f"{self.name}: {text}", "see that the server runs, and that RUNBOOK_HISTORY_URL, the password file and sslmode fit it")
        if code == "42501":
            return VerifyFailed(f"{self.name}: {text}", "the first run needs the right to create tables in the schema, all need them to read and write")
        return VerifyFailed(f"{self.name}: {text}", "see the server's log")

    def columns(self, table: str) -> list[str]:
        """The columns of a table, as the search path finds it."""
        statement = "select attname from pg_attribute where attrelid = to_regclass(?) and attnum > 0 and not attisdropped order by attnum"
        return [row[0] for row in self.execute(statement, (table,))]

    def damage(self) -> str:
        """The server sees to it."""
        return ""

    def define(self, script: str) -> None:
        """Text sorts by its bytes, as in SQLite, whatever the locale of the database: instants and ids are compared as text."""
        super().define(_TEXT.sub('text collate "C"', script))

    def stream(self, statement: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Rows by way of a cursor on the server, which needs a transaction."""
        name, own = f"rows_{next(self._numbers)}", not self._in_transaction
        with self.explained():
            if own:
                self._run("begin")
                self._in_transaction = True
            try:
                self._run(f"declare {name} no scroll cursor for {statement}", parameters)
                while rows := self._run(f"fetch {_FETCH} from {name}").fetchall():
                    yield from rows
            finally:
                self._in_transaction = self._in_transaction and not own
                with suppress(self._library.Error):
                    self._run("commit" if own else f"close {name}")
