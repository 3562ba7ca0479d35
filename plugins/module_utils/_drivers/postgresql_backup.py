# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL database as a source of backups: one archive of pg_dump, counted in the snapshot it was made of. See pg_dump(1).

The role needs CONNECT and, for every table and sequence, SELECT: the predefined role pg_read_all_data has it. Tables with row-level security
need BYPASSRLS as well. What cannot be read makes the backup fail; nothing is left out in silence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from .._core.backup_types import Context, Identity, Stream, Taken
from .._core.errors import NotThere, RunbookError, VerifyFailed
from ._child_process import PAUSE_SECONDS, PIPE_BYTES, Child
from ._pg_ask import value_of
from ._pg_client import STALL_SECONDS, Client, Server, Session, finished, major_of
from ._pg_count import Count
from ._pg_errors import ClientTooOld, Denied, ReplicaTooOld
from ._pg_sql import HIDDEN, LAG, LOCKS, SNAPSHOT
from ._pg_target import Target

__all__ = ["Source", "Target"]

_REPEATABLE = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_MILLISECONDS = 1000


class Source:
    """One database, read through PostgreSQL's own programs; ``options`` are those of the kind ``postgresql``."""

    format = "pgdump"

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._options, self._context = options, context
        self._client = Client(options, context)
        self._taken: Taken | None = None

    def identity(self) -> Identity:
        """See Source. Raises ClientTooOld, ReplicaTooOld, NotThere, AuthFailed, TlsFailed, Unreachable."""
        with self._client.session() as session:
            server, tools, _at, _notes = self._look(session)
        return Identity(self._client.place, True, server.version, tools, server.system_id, server.size_bytes)

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """See Source. Raises LockTimeout, Denied, RecoveryConflict, ConnectionLost, Stalled, TimedOut, CommandFailed."""
        self._taken = None
        with ExitStack() as stack:
            session = stack.enter_context(self._client.session())
            server, _tools, at, notes = self._look(session)
            attachments = self._globals(server, notes)
            wait = int(self._options.get("lock_timeout_seconds", 60) * _MILLISECONDS)
            session.rows(_REPEATABLE)
            session.rows(f"SET lock_timeout = {wait}")
            session.each(LOCKS)
            session.rows("SET lock_timeout = 0")
            session.rows("SET max_parallel_workers_per_gather = 0")  # the server has other work
            _refuse_hidden(session)
            count = Count(session, bool(self._options.get("checksums")))
            dump = stack.enter_context(self._dump(str(session.value(SNAPSHOT)), wait))
            dump.wait_readable()  # the table of contents is complete now, and with it the values of all sequences
            count.send()
            stream = _Dump(dump)
            yield stream
            stream.finish()
            inventory = count.collect()
            notes += [*count.notes, *_warnings(dump.said())]
            session.rows("ROLLBACK")
            self._taken = Taken(inventory, at, attachments, notes=notes)

    def ask(self, query: str) -> Any:
        """The one value that a query which only reads gives in the database as it is. Raises InvalidInput."""
        with self._client.session() as session:
            return value_of(session, query, self._context.deadline)

    def taken(self) -> Taken:
        """See Source."""
        if self._taken is None:
            raise VerifyFailed("nothing was taken: the stream was not read to its end", "read it to its end, and leave its context")
        return self._taken

    def _dump(self, snapshot: str, wait: int) -> Child:
        argv = ["pg_dump", "--format=custom", "--compress=0", f"--snapshot={snapshot}", f"--lock-wait-timeout={wait}"]
        return self._client.start(argv, self._client.database, float(self._options.get("stall_timeout_seconds") or STALL_SECONDS))

    def _look(self, session: Session) -> tuple[Server, str, float, list[str]]:
        """The gates: the server, the version of pg_dump, the instant that a copy made now would be from, and what is worth a note."""
        server = Server(session)
        self._client.fit(server.major)
        tools = self._client.version("pg_dump")
        if major_of(tools) < server.major:
            raise ClientTooOld(
                f"pg_dump {tools} cannot read a server of version {server.version}", f"install postgresql-client-{server.major}, or give bin_dir or container"
            )
        now, lag = session.value(LAG)
        age = "an unknown time" if lag is None else f"{lag:g} s"
        limit = self._options.get("max_replica_lag_seconds")
        if server.standby and limit is not None and (lag is None or lag > limit):
            raise ReplicaTooOld(
                f"{self._client.place} is a standby, {age} behind its primary", f"{limit:g} s are allowed; see its replication, or back up the primary"
            )
        notes = [f"taken from a standby, {age} behind its primary"] if server.standby else []
        return server, tools, float(now) - float(lag or 0), notes

    def _globals(self, server: Server, notes: list[str]) -> dict[str, bytes]:
        """Roles and tablespaces, which belong to the server and to no database; with passwords (hashed) where the role may see them."""
        if not self._options.get("globals", True):
            return {}
        try:
            argv = ["pg_dumpall", "--globals-only", *([] if server.superuser else ["--no-role-passwords"])]
            with self._client.start(argv, "postgres", STALL_SECONDS) as child:
                text = b"".join(iter(lambda: child.read(PIPE_BYTES), b""))
                finished(child, "pg_dumpall")
        except (Denied, NotThere) as error:
            notes.append(f"roles and tablespaces are not in this backup: {error.message}")
            return {}
        if not server.superuser:
            notes.append("globals.sql has no passwords of roles, since this role may not read them")
        return {"globals.sql": text}


def _refuse_hidden(session: Session) -> None:
    hidden = session.rows(HIDDEN)
    if hidden:
        error = Denied(["pg_dump"], 1, f"row-level security hides rows of {', '.join(hidden[:5])} from this role")
        error.hint = "give the backup role BYPASSRLS: what a policy hides would be missing from the backup"
        raise error


def _warnings(said: str) -> list[str]:
    """What pg_dump did not like, though it went on."""
    return [line for line in said.splitlines() if line.startswith("pg_dump: warning:")][:10]


class _Dump:
    """The bytes of pg_dump, which end well only when it does."""

    def __init__(self, child: Child) -> None:
        self._child, self._size, self._over = child, 0, False

    def read(self, size: int) -> bytes:
        """See Stream."""
        if not self._over:
            time.sleep(PAUSE_SECONDS)
        block = self._child.read(min(size, PIPE_BYTES))
        self._size += len(block)
        if not block and not self._over:
            self._over = True
            finished(self._child, "pg_dump")  # before whoever reads takes this for the end
            if not self._size:
                raise VerifyFailed("pg_dump wrote nothing", "see the server's log")
        return block

    def finish(self) -> None:
        """Raises unless everything was read."""
        if not self._over and self.read(1):
            raise RunbookError("the copy was not read to its end", "see what stopped the reading")
