# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL cluster as a target of restores by pgBackRest: restored beside the live one, replayed by a server of our own up to the point that was
asked for, looked at there, and only then promoted and put in place of the live data directory, whose server is stopped for two renames.

Nothing of the live cluster is touched before that. What was there is kept beside it; its tablespaces stay where they are, and the new ones are beside them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .._core.backup_types import Context, Identity, Inventory, Stream
from .._core.errors import Busy, CommandFailed, NoSpace, Refused, RunbookError, TimedOut, Unreachable, VerifyFailed
from .._core.probe import Deadline
from .._core.wal import WalGap
from ._pg_client import Client, Server
from ._pgbackrest import LabelGone, Pgbackrest
from ._pgbackrest_archive import CLUSTER, Way, inventory_of
from ._pgbackrest_cluster import DataDir, PgCtl, Unit, folder_of
from ._pgbackrest_scratch import Scratch, TargetNotReached
from ._pgbackrest_staging import Staging, sweep
from ._pgbackrest_swap import Swap
from ._systemd_unit import SystemdUnit

_CLEANUP_SECONDS = 120.0
_START_SECONDS = 600.0
_LARGEST_DOCUMENT = 1 << 24
_CONTENT = """
SELECT json_build_object('databases', (SELECT json_agg(json_build_array(datname, oid::bigint, datallowconn)) FROM pg_catalog.pg_database
    WHERE datname NOT IN ('template0', 'template1')),
  'tablespaces', (SELECT coalesce(json_agg(json_build_array(spcname, oid::bigint)), '[]') FROM pg_catalog.pg_tablespace
    WHERE spcname NOT IN ('pg_default', 'pg_global')),
  'system_id', (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
  'version', (current_setting('server_version_num')::int / 10000)::text, 'wal_segment_bytes', pg_size_bytes(current_setting('wal_segment_size')))
"""
_READABLE = "SELECT to_json(count(*)) FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
_LIVE = """
SELECT json_build_object('data_dir', current_setting('data_directory'), 'size', (SELECT sum(pg_database_size(oid))::bigint FROM pg_catalog.pg_database),
  'users', (SELECT coalesce(json_agg(DISTINCT format('%s (%s)', usename, coalesce(nullif(application_name, ''), host(client_addr), 'local'))), '[]')
    FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name NOT LIKE 'tradeops %'),
  'recovering', pg_is_in_recovery(), 'timeline', CASE WHEN NOT pg_is_in_recovery()
    THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END)
"""


class Lost(VerifyFailed):
    """Our repository has the artifact, and pgBackRest has not what it needs."""


class Target:
    """The cluster in one data directory; ``options`` are those of the kind ``pgbackrest``. ``unit`` is what runs its server, by default ``service``."""

    def __init__(self, options: Mapping[str, Any], context: Context, unit: Unit | None = None) -> None:
        self._options, self._context = options, context
        self._program = Pgbackrest(options, context)
        self._given_unit = unit or (SystemdUnit(options["service"]) if options.get("service") else None)
        self._staging: Staging | None = None
        self._scratch: Scratch | None = None
        self._way: Way | None = None
        self._recorded: Mapping[str, Any] = {}

    def identity(self) -> Identity:
        """See Target. The server need not run. Raises Refused where a restore could not put the data in place or start the server."""
        tools, path = self._program.version(), folder_of(self._options, self._context)
        if self._context.scratch:
            return Identity(path, False, tools=tools)
        live = self._live_dir()
        if os.path.ismount(path):
            raise Refused(f"{path} is where a disk is mounted, and cannot be renamed", "let the data directory be a folder on that disk")
        if not live.exists():
            return Identity(path, False, tools=tools)
        if self._given_unit is None and not os.path.exists(os.path.join(path, "postgresql.conf")):
            raise Refused(f"the configuration of the server on {path} is elsewhere, and nothing is known that starts it", "give service, the unit of systemd")
        if not live.pid():
            control: dict[str, str] = {}
            with suppress(CommandFailed):  # so much is broken: then nobody knows
                control = live.control()
            return Identity(path, True, live.major(), tools, control.get("Database system identifier", ""))
        with self._client().session() as session:
            server, told = Server(session), session.value(_LIVE)
        if os.path.realpath(told["data_dir"]) != path:
            raise Refused(f"the server that answers has its data in {told['data_dir']}, not in {path}", "see host, port and data_dir")
        return Identity(path, True, server.version, tools, server.system_id, int(told["size"]), ", ".join(told["users"]))

    def stage(self, stream: Stream, manifest: Mapping[str, Any]) -> None:
        """See Target. Raises Lost, NoSpace, TargetNotReached, BeforeBackup, OtherTimeline, WalGap, MissingProgram, VerifyFailed, CommandFailed."""
        self._check_document(stream, manifest)
        self._recorded = manifest
        try:
            way = self._way = Way(self._options, self._context, manifest)
        except (LabelGone, WalGap) as error:
            if self._context.until:
                raise
            lost = Lost(error.message, error.hint)
            lost.code = error.code
            raise lost from None
        path = self._staged_path()
        if self._context.scratch:
            sweep(path[: -len(self._context.tag)])
        staging = self._staging = Staging(path, self._options.get("os_user"))
        try:
            self._scratch = Scratch(DataDir(staging.data, self._options, self._context), staging.path, self._options, self._context)
            staging.create(int(way.backup["info"]["size"]))
            self._restore(staging, way)
            command = self._program.shell_command("archive-get", f"--pg1-path={staging.data}", "--no-archive-async", "%f", "%p")
            self._scratch.start(way.replay, command, durable=not self._context.scratch)
        except BaseException as error:
            full = isinstance(error, RunbookError) and staging.is_full(2 * way.segment_bytes)
            with suppress(RunbookError):  # the first error is the one to tell
                self.discard()
            if full:
                raise NoSpace(f"there is no room left beside {staging.path}: {error}", "free some room, or give scratch_dir") from None
            if isinstance(error, TargetNotReached) and way.gap():
                error.message += f"; {way.gap()} is missing in the archive"
            raise

    @property
    def reached(self) -> Mapping[str, Any]:
        """Where replay ended, once it was staged: ``lsn``, ``time`` (of the last transaction, or None), ``timeline`` and what the server said of it."""
        return self._scratch.reached if self._scratch else {}

    def inventory(self) -> Inventory:
        """See Target. Where the log was replayed beyond the backup, databases and tablespaces may be others, and those of the manifest are told."""
        scratch, way = self._running(), self._way_known()
        with scratch.session() as session:
            content = session.value(_CONTENT)
        for name, _oid, open_to_all in content["databases"]:
            if open_to_all:
                with scratch.session(name) as session:
                    session.value(_READABLE)
        told = inventory_of(way.backup, way.cluster, way.segment_bytes)
        if self._context.until:
            objects = dict(self._recorded.get("inventory", {}).get("objects", {}))
        else:
            objects = {f"database {name}": {"oid": oid} for name, oid, _open in content["databases"]}
            objects.update({f"tablespace {name}": {"oid": oid} for name, oid in content["tablespaces"]})
        objects[CLUSTER] = {key: content[key] for key in ("system_id", "version", "wal_segment_bytes")}
        return Inventory(objects, {**told.totals, "objects": len(objects) - 1})

    def ask(self, query: str) -> Any:
        """See Target. The query is asked in the database ``database``."""
        return self._running().ask(query, str(self._options.get("database") or "postgres"))

    def swap(self) -> dict[str, Any]:
        """See Target. ``reached`` is where replay ended: position, time of the last transaction, timeline. Raises Refused, VerifyFailed, TimedOut."""
        scratch, staging, live, unit = self._running(), self._staged(), self._live_dir(), self._unit()
        if self._given_unit is None and not os.path.exists(os.path.join(staging.data, "postgresql.conf")):
            raise Refused(f"the configuration of the server on {live.path} is elsewhere, and nothing is known that starts it", "give service")
        if live.pid() and unit.pid(self._context.deadline) not in (0, live.pid()):
            raise Refused(f"the server on {live.path} is not that of service", "see service and data_dir")
        timeline = scratch.promote()
        reached = {**scratch.reached, "timeline": timeline}
        scratch.stop()
        self._scratch = None
        # The scratch server archives nothing; the live one will, and this makes it begin with the history of the new timeline.
        staging.write(f"data/pg_wal/archive_status/{timeline:08X}.history.ready", "")
        staging.sync()
        swap = Swap(live.path, staging, self._context.tag)
        data = swap.begin({"reached": reached, "running": bool(live.pid())})
        try:
            unit.stop(self._context.deadline)
            self._refuse_running(live)
            swap.put(data)
            staging.release()
            unit.start(self._context.deadline)
            self._await(timeline)
        except (Busy, Refused) as error:  # by itself that would mean that nothing was begun
            raise VerifyFailed(error.message, error.hint) from None
        with suppress(RunbookError):  # it serves: a leftover is no reason to take it back
            swap.close()
        with suppress(RunbookError):
            staging.remove()
        self._staging = None
        return data

    def undo(self, swapped: Mapping[str, Any]) -> None:
        """See Target. A note beside the data tells how far a swap came, also an interrupted one."""
        self._context = replace(self._context, deadline=Deadline(max(_CLEANUP_SECONDS, self._context.deadline.remaining()), time.monotonic))
        live, unit = self._live_dir(str(swapped.get("data_dir") or "")), self._unit()
        staging = self._staging = self._staging or Staging(self._staged_path(live.path), self._options.get("os_user"))
        swap = Swap(live.path, staging, self._context.tag)
        data = swap.begun(swapped)
        if data is None:
            return
        if swap.is_put(data):
            unit.stop(self._context.deadline)
            self._refuse_running(live)
            swap.take_back(data)
        if data["old"] is not None and live.exists() and data.get("running", True):
            unit.start(self._context.deadline)
            self._await(0)
        swap.close()

    def discard(self) -> None:
        """See Target. Of a swap that was begun and could not be taken back everything stays: a later ``undo`` needs it."""
        if self._scratch:
            self._scratch.kill()
            self._scratch = None
        path = folder_of(self._options, self._context)
        staging = self._staging or Staging(self._staged_path(path), self._options.get("os_user"))
        if Swap(path, staging, self._context.tag).is_open():
            staging.close()
        else:
            staging.remove()
        self._staging = None

    def _check_document(self, stream: Stream, manifest: Mapping[str, Any]) -> None:
        """The data of the artifact is a document about the backup that the manifest names. Raises VerifyFailed."""
        body = b""
        while len(body) < _LARGEST_DOCUMENT:
            block = stream.read(_LARGEST_DOCUMENT)
            if not block:
                break
            body += block
        try:
            label = json.loads(body)["label"]
        except (ValueError, KeyError, TypeError):
            label = None
        if not label or label != manifest.get("label"):
            raise VerifyFailed(f"the artifact is of the backup {label}, and its manifest of {manifest.get('label')}", "take another one")

    def _restore(self, staging: Staging, way: Way) -> None:
        tablespaces = way.backup.get("tablespace") or ()
        if self._context.scratch:
            maps = [f"--tablespace-map-all={staging.path}/tablespaces"] if tablespaces else []
        else:
            maps = staging.place_tablespaces(tablespaces, self._context.tag)
        # no recovery as pgBackRest would set it up: its settings would stay in the live cluster for ever
        options = [f"--set={way.backup['label']}", f"--pg1-path={staging.data}", "--type=none", *maps, *self._program.processes()]
        options.append(f"--spool-path={staging.path}/spool")  # it empties the stanza's, which the live server archives through
        self._program.watch("restore", *options)
        staging.write("data/recovery.signal", "")

    def _live_dir(self, path: str = "") -> DataDir:
        return DataDir(path or folder_of(self._options, self._context), self._options, self._context)

    def _unit(self) -> Unit:
        return self._given_unit or PgCtl(self._live_dir())

    def _client(self) -> Client:
        return Client({**self._options, "database": "postgres"}, self._context)

    def _staged_path(self, live: str = "") -> str:
        live = live or folder_of(self._options, self._context)
        if self._context.scratch and self._options.get("scratch_dir"):
            folder = os.path.realpath(str(self._options["scratch_dir"]))
        else:
            folder = os.path.dirname(live)
        return os.path.join(folder, f".{os.path.basename(live)}.{'verify' if self._context.scratch else 'restore'}-{self._context.tag}")

    def _running(self) -> Scratch:
        if self._scratch is None:
            raise Refused("nothing is staged", "stage an artifact first")
        return self._scratch

    def _staged(self) -> Staging:
        if self._staging is None:
            raise Refused("nothing is staged", "stage an artifact first")
        return self._staging

    def _way_known(self) -> Way:
        if self._way is None:
            raise Refused("nothing is staged", "stage an artifact first")
        return self._way

    def _refuse_running(self, live: DataDir) -> None:
        if live.pid():
            raise Refused(f"the server on {live.path} still runs (process {live.pid()})", "see whether service is the unit that runs it")

    def _await(self, timeline: int) -> None:
        """Until the live server answers, out of recovery, on that timeline or a later one."""
        until, last = time.monotonic() + min(_START_SECONDS, self._context.deadline.remaining()), ""
        while time.monotonic() < until:
            try:
                with self._client().session() as session:
                    told = session.value(_LIVE)
                if not told["recovering"] or not timeline:
                    if timeline and int(told["timeline"]) < timeline:
                        raise VerifyFailed(f"the server is on the timeline {told['timeline']}, and {timeline} was restored", "see who started what")
                    return
            except Unreachable as error:
                last = error.message
            time.sleep(0.1)
        raise TimedOut(f"the server on {self._live_dir().path} does not serve: {last or 'it is in recovery'}", "see its log")
