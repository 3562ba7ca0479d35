# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis as a target of restores: loaded into a scratch server beside the live one, which writes the files that the live one then starts with.

That server writes an RDB and, where the live one has its append-only file on, a whole one of those, too: with it on, Redis loads nothing else, and
without it there starts empty. Files are swapped while the live server is stopped; what its stop wrote goes aside with everything else.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .._core.backup_types import Context, Identity, Inventory, Stream
from .._core.errors import Busy, Refused, RunbookError, TimedOut, Unreachable, VerifyFailed
from .._core.probe import Deadline
from .._core.rdb import Rdb, read_rdb
from ._disk import disk_errors
from ._pg_errors import AuthFailed, TlsFailed
from ._redis_client import RIGHTS, Client, Session
from ._redis_live import Live, check_stopped, digests, keep, keyspace, look, pause_writes, paused, save_into, values
from ._redis_scratch import Program, Scratch, check_format, check_memory, program, version_tuple
from ._redis_staging import Staging, staging_path
from ._redis_swap import Files
from ._redis_unit import Unit, unit_of

_RIGHTS = f"{RIGHTS} +dump +pttl +client|pause +client|unpause, and to read keep_keys"
_CLEANUP_SECONDS = 120.0
_START_SECONDS = 60.0
_TRIES = 3


class Target:
    """One server whose data is replaced; ``options`` are those of the kind ``redis``. ``unit`` is what runs it, else ``service`` or ``container`` does."""

    def __init__(self, options: Mapping[str, Any], context: Context, unit: Unit | None = None) -> None:
        self._options, self._context = options, context
        self._client = Client(options, context, _RIGHTS)
        self._unit = unit or unit_of(options)
        self._live: Live | None = None
        self._staging: Staging | None = None
        self._scratch: Scratch | None = None
        self._digests = bool(options.get("digests"))

    def identity(self) -> Identity:
        """See Target. Of a place that only looks no server is asked. One that is down is only named: so a restore leaves it that was cut off, and
        taking that back begins here. Raises Refused where a restore could not stop and start the server.
        """
        if self._context.scratch:
            return Identity(self._client.place, False, self._program().version)
        self._runner()
        try:
            with self._client.session() as session:
                live = self._look(session)
                size = int(session.info("memory").get("used_memory", 0))
        except (AuthFailed, TlsFailed):
            raise
        except Unreachable:
            return Identity(self._client.place)
        return Identity(self._client.place, True, live.version, self._program().version, size_bytes=size)

    def stage(self, stream: Stream, manifest: Mapping[str, Any]) -> None:
        """See Target. Raises ServerTooOld, Refused, NoSpace, VerifyFailed."""
        runs = self._program()
        if manifest:
            self._digests = bool(manifest.get("inventory", {}).get("digest"))
        if not self._context.scratch:
            with self._client.session() as session:
                self._live = self._look(session)
            if version_tuple(runs.version) != version_tuple(self._live.version):
                raise Refused(f"the server is {self._live.version}, and {runs.path} is {runs.version}", "give server: the program that it runs")
        try:
            self._staging = Staging(self._live.folder if self._live else self._scratch_folder(), self._context, runs.forget)
            rdb = self._staging.write(stream, self._file)
            check_format(rdb.version, runs.version)
            check_memory(rdb)
            self._scratch = Scratch(runs, self._staging.path, self._context)
            self._scratch.start(self._settings(rdb))
        except BaseException:
            self.discard()
            raise

    def inventory(self) -> Inventory:
        """See Target."""
        scratch = self._running()
        scratch.save()
        path = os.path.join(self._staged, self._file)
        with disk_errors(path), open(path, "rb") as file:
            return read_rdb(file, self._digests).inventory

    def ask(self, query: str) -> Any:
        """The answer to one command that only reads, such as ``GET trading:halt``; ``-n 2`` before it chooses another database than 0."""
        return self._running().answer(query)

    def swap(self) -> dict[str, Any]:
        """See Target. Clients that write wait from when ``keep_keys`` are read until the server stops. Raises Refused, Busy, VerifyFailed, TimedOut."""
        scratch = self._running()
        with self._client.session() as session:
            live = self._look(session)
            if live != self._live:
                raise Refused(f"{session.place} is not what it was when the artifact was staged", "see who changed its configuration, and restore again")
            files = Files(live.folder, self._staged, self._context.tag)
            scratch.session.ask("REPLICAOF", "NO", "ONE")
            if live.aof:
                scratch.append_only()
            least = sum(figures["keys"] - figures["expires"] for figures in keyspace(scratch.session))  # how many never end
            least -= len(self._options.get("keep_keys") or [])  # those may go; and come behind what a loading server counts
            with paused(session):
                kept = self._settle(session, scratch, live)
                scratch.finish()
                files.begin()
                swapped = self._exchange(files, live, least, kept)
        self.discard()
        return swapped

    def undo(self, swapped: Mapping[str, Any]) -> None:
        """See Target. A file beside the data tells how far a swap came, also an interrupted one. Raises Refused when a key of ``keep_keys`` changed since."""
        unit = self._runner()
        self._context = replace(self._context, deadline=Deadline(max(_CLEANUP_SECONDS, self._context.deadline.remaining()), time.monotonic))
        self._client = Client(self._options, self._context, _RIGHTS)
        folder = str(swapped.get("folder") or self._folder(unit))
        files = Files(folder, self._staged or staging_path(folder, self._context), self._context.tag)
        state = files.state()
        if state is None:
            return
        if state["steps"] and not state.get("undone"):
            self._refuse_changed(state.get("keep", {}))
            unit.stop(self._context.deadline)
            check_stopped(self._client)
            files.take_back()
        unit.start(self._context.deadline)
        self._await_live()
        with suppress(RunbookError), self._client.session() as session:
            session.ask("CLIENT", "UNPAUSE")  # where it was not even stopped

    def discard(self) -> None:
        """See Target."""
        if self._scratch:
            self._scratch.stop()
            self._scratch = None
        if self._staging:
            self._staging.remove()
            self._staging = None

    @property
    def _staged(self) -> str:
        return self._staging.path if self._staging else ""

    @property
    def _file(self) -> str:
        return self._live.file if self._live else "dump.rdb"

    def _program(self) -> Program:
        return program(self._options, self._context.deadline)

    def _look(self, session: Session) -> Live:
        unit, deadline = self._runner(), self._context.deadline
        live = look(session, lambda inside: unit.path(inside, deadline))
        if unit.pid(deadline) not in (None, live.pid):  # to stop that one would not stop this one
            raise Refused(f"what service or container names does not run {session.place}", "see service or container, and host and port")
        return live

    def _scratch_folder(self) -> str:
        options = self._options
        beside = None if options.get("container") else options.get("data_dir")  # that of a container is no folder of this host
        return str(options.get("scratch_dir") or beside or tempfile.gettempdir())

    def _runner(self) -> Unit:
        if self._unit is None:
            raise Refused(f"nothing is known that stops and starts {self._client.place}", "give service (the unit of systemd that runs it), or container")
        return self._unit

    def _running(self) -> Scratch:
        if self._scratch is None:
            raise Refused("nothing is staged", "stage an artifact first")
        return self._scratch

    def _folder(self, unit: Unit) -> str:
        """Where the live data is. A server that an interrupted restore left stopped is started: its files are all old, or all new."""
        if self._options.get("data_dir"):
            return unit.path(str(self._options["data_dir"]), self._context.deadline)
        try:
            with self._client.session() as session:
                return unit.path(session.needed("dir", "data_dir"), self._context.deadline)
        except (AuthFailed, TlsFailed):
            raise
        except Unreachable:
            unit.start(self._context.deadline)
            self._await_live()
            with self._client.session() as session:
                return unit.path(session.needed("dir", "data_dir"), self._context.deadline)

    def _settings(self, rdb: Rdb) -> dict[str, str]:
        needed = 1 + max((int(name.split()[1]) for name in rdb.inventory.objects if name.startswith("database ")), default=0)
        if self._live is None:
            return {"databases": str(max(16, needed)), "dbfilename": self._file}
        if needed > self._live.databases:
            raise Refused(f"the artifact has a database {needed - 1}, and the server has {self._live.databases}", "raise its parameter databases")
        return {"databases": str(self._live.databases), "dbfilename": self._file, **self._live.aof_settings}

    def _settle(self, session: Session, scratch: Scratch, live: Live) -> dict[str, str]:
        """The scratch server has ``keep_keys`` as the live one has them, both have everything on disk; digests of those keys."""
        names = self._options.get("keep_keys") or []
        for _try in range(_TRIES):
            kept = digests(keep(session, scratch.session, names))
            scratch.save()
            save_into(session, os.path.join(live.folder, live.file))
            pause_writes(session)
            if kept == digests(values(session, names)):
                return kept
        raise Busy(f"{', '.join(names)} change all the time", "see who writes them, and restore again")

    def _exchange(self, files: Files, live: Live, least: int, kept: Mapping[str, str]) -> dict[str, Any]:
        """The server is stopped, gets its new files, and is started."""
        unit, deadline = self._runner(), self._context.deadline
        try:
            unit.stop(deadline)
            check_stopped(self._client)
            swapped = files.put([self._file, *([live.aof] if live.aof else [])], {"keep": kept})
            unit.start(deadline)
            self._check_started(live, least)
        except (Busy, Refused) as error:  # by itself that would mean that nothing was begun
            raise VerifyFailed(error.message, error.hint) from None
        return swapped

    def _refuse_changed(self, kept: Mapping[str, str]) -> None:
        if not kept:
            return
        try:
            with self._client.session() as session:
                now = digests(values(session, list(kept)))
        except (AuthFailed, TlsFailed):
            raise
        except (Unreachable, Busy):
            return  # it does not serve: there is nothing to lose
        except TimedOut:
            if self._runner().pid(self._context.deadline) == 0:
                return
            raise
        changed = [name for name in kept if now[name] != kept[name]]
        if changed:
            raise Refused(
                f"{', '.join(changed)} changed since the restore, and the files that would come back have what it was before",
                "set it back, take the restore back, and set it again; keep clients away meanwhile",
            )

    def _check_started(self, live: Live, least: int) -> None:
        told, databases = self._await_live()
        if told.get("run_id") == live.run_id:
            raise VerifyFailed(f"{self._client.place} was not started anew", "see whether service or container is what runs it")
        found = int(told.get("rdb_last_load_keys_loaded", sum(figures["keys"] for figures in databases)))
        if found < least:
            raise VerifyFailed(f"{self._client.place} loaded {found} keys, and at least {least} were restored", "see its log")
        if (told.get("aof_enabled") == "1") != bool(live.aof):
            raise VerifyFailed(
                f"the append-only file of {self._client.place} was {'on' if live.aof else 'off'}, and is not any more",
                "its configuration had been changed while it ran: CONFIG REWRITE keeps that, then restore again",
            )

    def _await_live(self) -> tuple[dict[str, str], list[dict[str, int]]]:
        """What it tells once it has loaded its data."""
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                with self._client.session() as session:
                    told = {**session.info("server"), **session.info("persistence")}
                    if told.get("loading", "0") == "0":
                        return told, keyspace(session)
                until = time.monotonic() + _START_SECONDS
            except (AuthFailed, TlsFailed):
                raise
            except (Unreachable, Busy):
                if time.monotonic() > until:
                    raise
            if self._context.deadline.remaining() <= 0:
                raise TimedOut(f"{self._client.place} did not load its data in time", "see its log")
            time.sleep(0.05)
