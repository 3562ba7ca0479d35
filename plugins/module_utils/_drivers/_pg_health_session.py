# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with a PostgreSQL server by psycopg2, that never waits longer than it may and can change nothing.

libpq is driven step by step (https://www.psycopg.org/docs/advanced.html#asynchronous-support): its own calls have no time-out for a server
that took the connection and then stands still.
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .._core.errors import CommandFailed, InvalidInput, MissingLibrary, RunbookError, TimedOut, Unreachable, VerifyFailed
from ._connect import connect, resolve
from ._container_address import host_of
from ._pg_errors import AuthFailed, failure
from ._time_left import TimeLeft

_FULL = re.compile(r"53300|too many (clients|connections)|remaining connection slots|connection limit exceeded", re.IGNORECASE)
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"  # local to the transaction, so that a pooler hands on a clean session
_SETTLE = """
SELECT set_config(given.name, given.value, true) FROM (VALUES ('statement_timeout', %s), ('standard_conforming_strings', 'on'),
  ('cursor_tuple_fraction', '1')) AS given (name, value)"""

_DAMAGED = ("XX001", "XX002", "58030")  # data_corrupted, index_corrupted, io_error

MONITOR = "grant pg_monitor to the role"


class Denied(RunbookError):
    """The role lacks a right."""

    code = "permission_denied"


class Failed(RunbookError):
    """The server answered a statement with an error; ``state`` is its code (SQLSTATE)."""

    def __init__(self, message: str, hint: str, state: str) -> None:
        super().__init__(message, hint)
        self.state = state


def place_of(options: Mapping[str, Any]) -> str:
    """Where the database is, for people."""
    if options.get("container"):
        return f"{options['database']} in container {options['container']}"
    return f"{options['database']} on {options.get('host') or 'the local socket'}:{options.get('port') or 5432}"


@contextmanager
def opened(options: Mapping[str, Any], left: TimeLeft) -> Iterator[Session]:
    """A session in a transaction that only reads, as ``options`` of the connection say.

    Raises Unreachable (also AuthFailed, TlsFailed), VerifyFailed (no such database), TimedOut, MissingLibrary.
    """
    try:
        import psycopg2
    except ImportError:
        raise MissingLibrary("psycopg2", "python3-psycopg2", "to talk to PostgreSQL") from None
    place, started = place_of(options), time.monotonic()
    connection = None
    try:
        try:
            connection = psycopg2.connect(async_=True, **_parameters(options, left))
            session = Session(connection, place, left)
            session.wait()
        except psycopg2.Error as error:
            raise _refused(place, str(error)) from None
        session.latency = time.monotonic() - started
        session.begin()
        yield session
    finally:
        if connection is not None:
            connection.close()


def _parameters(options: Mapping[str, Any], left: TimeLeft) -> dict[str, Any]:
    from psycopg2.extensions import libpq_version

    host, port = host_of(options, left, options.get("host") or ""), options.get("port") or 5432
    local = not host or host.startswith(("/", "@"))
    secure = "disable" if local else "prefer" if options.get("container") else "verify-full"  # a container's own network does not leave this host
    given = {
        "dbname": options["database"], "host": host, "port": port, "user": options.get("user"), "password": options.get("secret_password"),
        "sslmode": options.get("sslmode") or secure, "sslrootcert": options.get("sslrootcert"),
    }  # fmt: skip
    if not local:
        # libpq would look the name up without a time-out
        found = _hosts(host, port, left)
        given.update(hostaddr=",".join(found), host=",".join([host] * len(found)))
    fixed = {"application_name": "tradeops health", "client_encoding": "UTF8", **({"gssencmode": "disable"} if libpq_version() >= 120000 else {})}
    return {**{name: value for name, value in given.items() if value not in (None, "")}, **fixed}


def _hosts(host: str, port: int, left: TimeLeft) -> list[str]:
    """The address to connect to. Among several, libpq would wait for a silent one until the whole time is over: the first that answers."""
    found = {address[4][0]: address for address in resolve(host, port, left)}
    if len(found) > 1:
        with connect(host, list(found.values()), left) as answering:
            with suppress(OSError):  # it has hung up already: libpq shall say why
                return [answering.getpeername()[0]]
    return list(found)


def _refused(place: str, said: str) -> RunbookError:
    """The error that a failed connection means."""
    text = " ".join(said.split())
    if _FULL.search(text):
        return Unreachable(f"{place} takes no more connections: {text}", "see who holds them (pg_stat_activity), and max_connections")
    if re.search(r'database "(?s:.)*" does not exist', text):
        return VerifyFailed(f"{place}: {text}", "see whether the name of the database is right")
    found = failure("libpq", 1, text)
    if isinstance(found, AuthFailed):
        found.hint = "see user, secret_password (also whether it expired) and pg_hba.conf"
    kind = Unreachable if isinstance(found, CommandFailed) or not isinstance(found, (Unreachable, TimedOut)) else type(found)
    return kind(f"{place} cannot be reached: {text}", found.hint)


class Session:
    """Statements, one after the other. What one of them breaks is taken back, so that the next can be asked.

    ``latency`` is how many seconds logging in took.
    """

    def __init__(self, connection: Any, place: str, left: TimeLeft) -> None:
        self._connection, self._left = connection, left
        self.place = place
        self.latency = 0.0

    def wait(self) -> None:
        """Until the connection, or what was sent by it, is done. Raises TimedOut."""
        import psycopg2.extensions

        while True:
            state = self._connection.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            poller = select.poll()  # anew, since libpq may go on to another address
            poller.register(self._connection.fileno(), select.POLLIN if state == psycopg2.extensions.POLL_READ else select.POLLOUT)
            if not poller.poll(max(1, int(self._left.timeout() * 1000))):
                raise self._left.passed()

    def begin(self) -> None:
        """The transaction; the server ends by itself what takes longer than we wait."""
        self._run(_BEGIN)
        self.settle(_SETTLE, [str(max(1, int(self._left.timeout() * 1000)))])

    def settle(self, statement: str, parameters: list[Any] | None = None) -> None:
        """What holds for all that follows."""
        self._run(statement, parameters)
        self._run("SAVEPOINT clean")

    def ask(self, statement: str, parameters: list[Any] | None = None) -> Any:
        """The cursor after ``statement``. Raises Denied, Failed, VerifyFailed (damaged data), TimedOut, Unreachable; it goes on after the first two."""
        try:
            return self._run(statement, parameters)
        except (Denied, Failed):
            self._run("ROLLBACK TO SAVEPOINT clean")
            raise

    def one(self, statement: str, parameters: list[Any] | None = None) -> Any:
        """The first column of the first row; None where there is none."""
        row = self.ask(statement, parameters).fetchone()
        return row[0] if row else None

    def literal(self, statement: str, parameters: list[Any]) -> str:
        """``statement`` with its parameters in it, each as a literal. Raises InvalidInput when they do not fit its placeholders (%s)."""
        if not parameters:
            return statement
        with self._explained():
            text: str = self._connection.cursor().mogrify(statement, parameters).decode()
        return text

    def _run(self, statement: str, parameters: list[Any] | None = None) -> Any:
        cursor = self._connection.cursor()
        with self._explained():
            cursor.execute(statement, parameters or None)
            self.wait()
        return cursor

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import psycopg2

        try:
            yield
        except psycopg2.Error as error:
            raise self._failure(error) from None
        except (TypeError, IndexError, ValueError) as error:  # placeholders and parameters do not fit
            raise InvalidInput(f"the query of {self.place} cannot be run: {error}", "give one parameter for each %s, and write % as %%") from None

    def _failure(self, error: Any) -> RunbookError:
        state = error.pgcode or ""
        text = (getattr(error.diag, "message_primary", None) or " ".join(str(error).split()) or type(error).__name__)[:1000]
        if state == "57014":
            return self._left.passed() if self._left.remaining() < 0.5 else Unreachable(f"{self.place}: {text}", "see who cancelled it there")
        if not state or state.startswith(("08", "57P")):  # libpq lost the connection, or the server ended it
            return Unreachable(f"{self.place} broke off: {text}", "see the server's log")
        if state == "42501":
            return Denied(f"{self.place}: {text}", MONITOR)
        if state in _DAMAGED:
            return VerifyFailed(f"{self.place} cannot read its data: {text}", "see the server's log and its disk; restore what is damaged from a backup")
        return Failed(f"{self.place}: {text}", "see the server's log", state)
