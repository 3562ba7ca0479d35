# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores an archive of pg_dump into a new database beside the live one, and puts it in place by two renames in one transaction.

The role makes databases, gives them and everything in them to their owners, and ends sessions of others: a superuser, or the owner of
everything with CREATEDB and pg_signal_backend. See pg_restore(1).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .._core.backup_types import Context, Identity, Inventory, Stream
from .._core.errors import InvalidInput, NotThere, Refused, RunbookError, VerifyFailed
from .._core.probe import Deadline
from ._child_process import PIPE_BYTES
from ._pg_ask import value_of
from ._pg_client import STALL_SECONDS, Client, Server, Session, database_figures, finished, major_of
from ._pg_count import Count, as_recorded
from ._pg_errors import ToolTooOld
from ._pg_sql import create, dress, own_name, quote_name, quote_text

_LOADING = "-c synchronous_commit=off"
_TERMINATE_EVERY_SECONDS = 0.1
_CLEANUP_SECONDS = 60.0
_LEFT_SECONDS = 86_400


class Target:
    """One database to be replaced or made; ``options`` are those of the kind ``postgresql``."""

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._options, self._context = options, context
        self._client = Client(options, context)
        self._name = self._client.database
        self._staged = own_name(self._name, f"_{'verify' if context.scratch else 'restore'}_{context.tag[-8:]}")
        self._before = own_name(self._name, f"_before_{context.tag}")
        self._recorded: Mapping[str, Any] = {}
        self._fresh_oid = 0  # of what was swapped to where nothing was

    def identity(self) -> Identity:
        """See Target. ``tools`` is the version of pg_restore; ``in_use`` names who is connected."""
        with self._client.admin() as session:
            server = Server(session)
            size = session.rows(f"SELECT to_json(pg_database_size(oid)) FROM pg_database WHERE datname = {quote_text(self._name)}")
            users = session.rows(_USERS + quote_text(self._name))
        self._client.fit(server.major)
        return Identity(
            self._client.place, bool(size), server.version, self._client.version("pg_restore"), server.system_id, size[0] if size else 0, ", ".join(users)
        )

    def stage(self, stream: Stream, manifest: Mapping[str, Any]) -> None:
        """See Target. Raises ToolTooOld, MissingRole, MissingExtension, NoSpace, VerifyFailed, CommandFailed."""
        figures = _figures(manifest)
        self._recorded = manifest
        with self._client.admin() as session:
            server = Server(session)
            self._check_tools(server, str(manifest.get("identity", {}).get("tools") or ""))
            _drop(session, self._staged)  # what an interrupted attempt left
            if self._context.scratch:
                _sweep(session)
            try:
                session.rows(create(self._staged, figures, server.version_num) + self._tablespace(session))
                if self._context.scratch:
                    _mark(session, self._staged)
                self._load(stream)
                for statement in dress(self._staged, figures, _present(session, self._staged)):
                    session.rows(statement)
            except BaseException:
                with suppress(RunbookError):  # the first error is the one to tell
                    self.discard()
                raise

    def inventory(self) -> Inventory:
        """See Target."""
        with self._client.session(self._staged) as session:
            server = Server(session)
            session.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            recorded = self._recorded.get("inventory", {})
            count = Count(session, bool(recorded.get("digest") if recorded else self._options.get("checksums")))
            count.send()
            engine = str(self._recorded.get("identity", {}).get("engine", ""))
            return as_recorded(count.collect(), recorded, major_of(engine) == server.major)

    def ask(self, query: str) -> Any:
        """See Target."""
        with self._client.session(self._staged) as session:
            return value_of(session, query, self._context.deadline)

    def swap(self) -> dict[str, Any]:
        """See Target. Raises InUse when a session cannot be ended; then nothing was renamed.

        A server that waits to rename a database lets nobody in, and waits five seconds for sessions to end: that is when they are ended.
        So no right has to be taken away for the time, and none can stay away after a crash.
        """
        with self._client.admin() as session:
            names = _oids(session)
            if self._staged not in names:
                raise Refused(f"nothing is staged as {self._staged}", "stage an artifact first")
            if self._before in names:
                raise Refused(f"there is a database {self._before} already", "see whether this restore was done before, and undo it")
            self._analyze()
            self._fresh_oid = 0 if self._name in names else names[self._staged]
            statements = list(self._swap_statements(session))
        _rename(self._in_time(), statements, [names[name] for name in (self._name, self._staged) if name in names])
        return {"database": self._name, "before": "" if self._fresh_oid else self._before, "oid": names[self._staged]}

    def undo(self, swapped: Mapping[str, Any]) -> None:
        """See Target. The names tell whether a swap took place, since all of it does or nothing; ``swapped`` is needed where nothing was before."""
        client = self._in_time()
        with client.admin() as session:
            names = _oids(session)
        fresh = swapped.get("oid") if swapped.get("before") == "" else self._fresh_oid
        if self._before in names:
            statements = [_renamed(self._name, self._staged)] if self._name in names else []
            statements.append(_renamed(self._before, self._name))
        elif fresh and names.get(self._name) == fresh:
            statements = [_renamed(self._name, self._staged)]
        else:
            return
        _rename(client, statements, [names[name] for name in (self._name, self._before) if name in names])

    def discard(self) -> None:
        """See Target."""
        with self._in_time().admin() as session:
            _drop(session, self._staged)

    def _in_time(self) -> Client:
        """For what must be done also when the time is over."""
        deadline = Deadline(max(_CLEANUP_SECONDS, self._context.deadline.remaining()), time.monotonic)
        return Client(self._options, replace(self._context, deadline=deadline))

    def _check_tools(self, server: Server, dumped_by: str) -> None:
        major = major_of(dumped_by)
        self._client.fit(max(server.major, major))
        tools = self._client.version("pg_restore")
        if major_of(tools) < major:
            raise ToolTooOld(
                f"pg_restore {tools} cannot read what pg_dump {dumped_by} wrote", f"install postgresql-client-{major}, or give bin_dir or container"
            )

    def _tablespace(self, session: Session) -> str:
        """That of the live database, where there is one: that is where the room is."""
        found = session.rows(
            "SELECT to_json(spcname) FROM pg_tablespace t JOIN pg_database d ON d.dattablespace = t.oid "
            f"WHERE d.datname = {quote_text(self._name)} AND spcname <> 'pg_default'"
        )
        return f" TABLESPACE = {quote_name(found[0])}" if found else ""

    def _load(self, stream: Stream) -> None:
        # not in a single transaction: one of thousands of tables needs more locks than a server has, and what fails is dropped anyway
        argv = ["pg_restore", "--format=custom", "--exit-on-error"]
        stall = float(self._options.get("stall_timeout_seconds") or STALL_SECONDS)
        with self._client.start(argv, self._staged, stall, _LOADING) as child:
            refused = False
            while True:
                block = stream.read(PIPE_BYTES)
                if not block:
                    break
                try:
                    child.write(block)
                except BrokenPipeError:
                    refused = True
                    break
            child.close_input()
            finished(child, "pg_restore")
            if refused:
                raise VerifyFailed("the artifact goes on after the end of the archive", "it is damaged: take another one")

    def _analyze(self) -> None:
        """Statistics are in no archive, and without them the first queries are slow."""
        with self._client.session(self._staged) as session:
            session.rows("SET default_transaction_read_only = off")  # which may be a setting of the database
            session.rows("ANALYZE")

    def _swap_statements(self, session: Session) -> Iterator[str]:
        if not self._fresh_oid:
            yield _renamed(self._name, self._before)
        yield _renamed(self._staged, self._name)
        if not self._fresh_oid:
            yield from dress(self._name, _present(session, self._name), _present(session, self._staged))
            yield from session.rows(_REST + quote_text(self._name))


_USERS = """
SELECT to_json(format('%s (%s)', usename, coalesce(nullif(application_name, ''), host(client_addr), 'local'))) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name NOT LIKE 'tradeops %' AND datname = """

_REST = """
SELECT to_json(statement) FROM pg_database, unnest(ARRAY[
  format('COMMENT ON DATABASE %I IS %L', datname, shobj_description(oid, 'pg_database')),
  format('ALTER DATABASE %I IS_TEMPLATE %s ALLOW_CONNECTIONS %s', datname, datistemplate::text, datallowconn::text)]) AS statement WHERE datname = """


_MARK = "tradeops: made to verify a backup, and worth nothing, at "
_INSTANT = "SELECT to_json(extract(epoch FROM now())::bigint)"
_LEFT = f"""
SELECT to_json(datname) FROM pg_database d, substring(shobj_description(d.oid, 'pg_database') FROM '^{_MARK}([0-9]+)$') AS since
WHERE datname ~ '_verify_[0-9a-f]{{8}}$' AND since::bigint < extract(epoch FROM now()) - {_LEFT_SECONDS}
  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)"""
"""Copies that carry our mark, are a day old, and are used by nobody. One that was given another name is somebody's, whatever its mark."""


def _rename(client: Client, statements: Sequence[str], oids: Sequence[int]) -> None:
    """All or nothing, while the sessions of the databases ``oids`` are ended."""
    with client.admin() as session, client.admin() as other:
        session.rows("BEGIN")
        session.rows("SET LOCAL synchronous_commit = on")
        session.rows("SET LOCAL lock_timeout = '30s'")
        for statement in statements:
            session.send(statement)
            while not session.ready(_TERMINATE_EVERY_SECONDS):
                other.rows(_terminate(oids))
            session.collect()
        session.rows("COMMIT")


def _mark(session: Session, name: str) -> None:
    with suppress(RunbookError):  # a role that may not: then it is left, should we be killed
        session.rows(f"COMMENT ON DATABASE {quote_name(name)} IS {quote_text(_MARK + str(session.value(_INSTANT)))}")


def _sweep(session: Session) -> None:
    """What verifications left that were killed: nobody asks for the same artifact again."""
    for name in session.rows(_LEFT):
        with suppress(RunbookError):  # somebody else's, with our mark in it
            _drop(session, name)


def _drop(session: Session, name: str) -> None:
    oid = _oids(session).get(name)
    if oid is not None:
        session.rows(_terminate([oid]))
        force = " WITH (FORCE)" if session.value("SELECT to_json(current_setting('server_version_num')::int)") >= 130000 else ""
        session.rows(f"DROP DATABASE IF EXISTS {quote_name(name)}{force}")


def _figures(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the database was made that the artifact is of."""
    try:
        figures: Mapping[str, Any] = manifest["inventory"]["objects"]["database"]
        missing = {"encoding", "collate", "ctype", "provider", "locale", "owner", "connection_limit", "acl", "settings"} - set(figures)
    except (KeyError, TypeError):
        raise InvalidInput("the manifest does not tell how the database was made", "see whether the artifact is of a PostgreSQL database") from None
    if missing:
        raise InvalidInput(f"the manifest does not tell {', '.join(sorted(missing))} of the database", "see where the manifest comes from")
    return figures


def _present(session: Session, name: str) -> dict[str, Any]:
    figures = database_figures(session, name)
    if figures is None:
        raise NotThere(f"there is no database {name} any more", "see who removed it")
    return figures


def _oids(session: Session) -> dict[str, int]:
    return dict(session.rows("SELECT json_build_array(datname, oid::bigint) FROM pg_database"))


def _terminate(oids: Sequence[int]) -> str:
    return f"SELECT to_json(count(pg_terminate_backend(pid))) FROM pg_stat_activity WHERE datid IN ({', '.join(str(int(oid)) for oid in oids)})"


def _renamed(old: str, new: str) -> str:
    return f"ALTER DATABASE {quote_name(old)} RENAME TO {quote_name(new)}"
