# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server of our own on a restored data directory: it listens nowhere but on a socket in its own folder, and dies with us.

It replays the log up to the point that was asked for and waits there, so that what was reached can be looked at before it becomes anything.
Settings stand on its command line, where no file of the restored cluster can change them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from .._core.backup_types import Context
from .._core.errors import Refused, RunbookError, TimedOut, VerifyFailed
from .._core.wal import BeforeBackup, OtherTimeline, Replay
from ._child_process import Child, Command, Patience
from ._pg_ask import value_of
from ._pg_client import Client, Session
from ._pg_errors import failure
from ._pgbackrest import failure as pgbackrest_failure
from ._pgbackrest_cluster import DataDir, number_of

_SOCKET_BYTES = 107 - len("/.s.PGSQL.5432")
_FIXED = {
    "listen_addresses": "", "port": "5432", "unix_socket_permissions": "0700", "archive_mode": "off", "archive_command": "", "hot_standby": "on",
    "shared_preload_libraries": "", "session_preload_libraries": "", "local_preload_libraries": "", "primary_conninfo": "", "primary_slot_name": "",
    "logging_collector": "off", "log_destination": "stderr", "log_line_prefix": "", "log_min_messages": "warning", "lc_messages": "C", "ssl": "off",
    "external_pid_file": "", "autovacuum": "off", "shared_buffers": "128MB", "huge_pages": "off", "max_wal_size": "4GB", "wal_level": "replica",
    "recovery_target_action": "pause", "recovery_end_command": "", "archive_cleanup_command": "", "recovery_min_apply_delay": "0", "cluster_name": "tradeops",
    "synchronous_standby_names": "", "max_standby_archive_delay": "-1", "log_statement": "none", "log_min_duration_statement": "-1",
    "log_connections": "off", "log_disconnections": "off", "log_checkpoints": "off",
}  # fmt: skip
_TARGETS = ("recovery_target", "recovery_target_time", "recovery_target_lsn", "recovery_target_xid", "recovery_target_name")
_LIKE_THE_PRIMARY = {  # or a standby does not open; see Hot Standby, Administrator's Overview
    "max_connections": ("max_connections setting", 20), "max_worker_processes": ("max_worker_processes setting", 8),
    "max_wal_senders": ("max_wal_senders setting", 0), "max_prepared_transactions": ("max_prepared_xacts setting", 0),
    "max_locks_per_transaction": ("max_locks_per_xact setting", 64),
}  # fmt: skip
_LOG_TRIES = 60
_STATE = """
SELECT json_build_object('recovering', pg_is_in_recovery(), 'paused', CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
  'lsn', pg_last_wal_replay_lsn()::text, 'time', to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
"""
_TIMELINE = "SELECT to_json(('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int)"
_STOPPED = re.compile(r"recovery stopping (?:before|after|at) [^\n]*")
_ARCHIVE_ERROR = re.compile(r"ERROR: \[\d{3}\]:[^\n]*(?:\n +[^\n]*)*")
_LOG_END = re.compile(r"last completed transaction was at log time ([^\n]*)")


class TargetNotReached(RunbookError):
    """All of the log was replayed, and the point that was asked for was not in it. Nothing was promoted."""

    code = "target_not_reached"


class Scratch:
    """One such server on the ``data`` in ``folder``. ``stop`` or ``kill`` it on every way out."""

    def __init__(self, data: DataDir, folder: str, options: Mapping[str, Any], context: Context) -> None:
        self._data, self._folder, self._options, self._context = data, folder, options, context
        self._owned = ExitStack()
        self._child: Child | None = None
        if len(os.fsencode(folder)) > _SOCKET_BYTES:
            raise Refused(f"the path {folder} is too long for a socket in it", f"give a scratch_dir of at most {_SOCKET_BYTES - 50} characters")
        self.reached: dict[str, Any] = {}

    def start(self, replay: Replay, restore_command: str, durable: bool) -> None:
        """Returns when it waits at the point. Raises TargetNotReached, BeforeBackup, OtherTimeline, VerifyFailed, TimedOut."""
        control = self._data.control()
        settings = {
            **_FIXED, **{name: str(number_of(control, *source)) for name, source in _LIKE_THE_PRIMARY.items()},
            **{name: "" for name in _TARGETS if name != replay.setting},  # first: each of them, set to nothing, forgets the one before
            "config_file": f"{self._folder}/postgresql.conf", "hba_file": f"{self._folder}/hba.conf", "ident_file": f"{self._folder}/ident.conf",
            "unix_socket_directories": self._folder, "fsync": "on" if durable else "off", "restore_command": restore_command,
            "recovery_target_timeline": str(replay.timeline), "recovery_target_inclusive": "on" if replay.inclusive else "off", replay.setting: replay.value,
        }  # fmt: skip
        argv = [self._data.program("postgres"), "-D", self._data.path]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
        self._child = self._owned.enter_context(self._data.host.start(Command(argv, environment, Patience("postgres", self._context.deadline))))
        self._await(replay)

    def _await(self, replay: Replay) -> None:
        child, state, pause = self._running(), None, 0.05
        while state is None or not state["paused"]:
            pause = min(1.0, pause * 1.2)
            if child.wait_readable(pause):
                raise self._ended(child, replay)
            if self._context.deadline.remaining() <= 0:
                raise TimedOut("the scratch server has not replayed the log in time", "allow more time (timeout_seconds)")
            with suppress(RunbookError):
                state = self._state()
            if state is not None and not state["recovering"]:
                raise TargetNotReached(f"the scratch server left recovery before {replay.setting} {replay.value}", "see the log of the scratch server")
        for _try in range(_LOG_TRIES):
            stopped = _STOPPED.findall(child.said())
            if stopped:
                break
            child.wait_readable(0.05)  # its log comes through a pipe
        else:
            raise TargetNotReached(f"the scratch server paused at {state['lsn']}, and not at {replay.setting} {replay.value}: {_tail(child)}", "see its log")
        self.reached = {"lsn": state["lsn"], "time": state["time"], "timeline": replay.timeline, "stopped": stopped[-1]}

    def _ended(self, child: Child, replay: Replay) -> RunbookError:
        """What it means that the server gave up."""
        with suppress(RunbookError):
            child.finish()
        said, wanted = child.said(), f"{replay.setting} {replay.value}"
        broken = _ARCHIVE_ERROR.findall(said)
        if broken:  # which the server takes for the end of the archive
            return pgbackrest_failure("archive-get", 1, broken[-1])
        if "recovery ended before configured recovery target was reached" in said:
            last = _LOG_END.search(said)
            end = f"; its last transaction is of {last[1]}" if last else ""
            return TargetNotReached(f"the archived log ends before {wanted}{end}", "choose another point, or commit something and select pg_switch_wal()")
        if "before consistent recovery point" in said:
            return BeforeBackup(f"{wanted} is before the end of the backup", "choose an earlier backup (select), or a later point")
        if "is not a child of this server's history" in said or "is not in the history of the requested timeline" in said:
            return OtherTimeline(f"the timeline {replay.timeline} does not come from that of the backup: {_tail(child)}", "choose a backup of that timeline")
        if "No space left on device" in said:
            return failure("postgres", 1, "No space left on device")
        return VerifyFailed(f"a scratch server cannot recover the backup: {_tail(child)}", "take another one")

    def _state(self) -> dict[str, Any]:
        with self.session() as session:
            found: dict[str, Any] = session.value(_STATE)
        return found

    def promote(self) -> int:
        """It leaves recovery at the point where it waits: the number of its new timeline."""
        self._data.ctl("promote")
        with self.session() as session:
            state, timeline = session.value(_STATE), int(session.value(_TIMELINE))
        if state["recovering"] or timeline <= self.reached["timeline"]:
            raise VerifyFailed(f"the restored cluster did not leave recovery (timeline {timeline})", "see its log")
        return timeline

    def stop(self) -> None:
        """Ends it, with everything on disk. Raises CommandFailed, TimedOut."""
        if self._child is not None:
            self._data.ctl("stop", "-m", "fast")
        self.kill()

    def kill(self) -> None:
        """Ends it at once. Does nothing when it does not run."""
        if self._child is not None and self._data.pid():
            with suppress(RunbookError):
                self._data.ctl("stop", "-m", "immediate")
        self._child = None
        self._owned.close()

    @contextmanager
    def session(self, database: str | None = None) -> Iterator[Session]:
        """As the superuser who may enter its folder."""
        options = {
            "database": database or "postgres", "host": self._folder, "port": 5432, "user": self._options.get("user") or self._options.get("os_user"),
            "os_user": self._options.get("os_user"), "bin_dir": os.path.dirname(self._data.program("psql")),
        }  # fmt: skip
        with Client(options, self._context).session() as session:
            yield session

    def ask(self, query: str, database: str) -> Any:
        """The one value of a query that only reads. Raises InvalidInput."""
        with self.session(database) as session:
            return value_of(session, query, self._context.deadline)

    def _running(self) -> Child:
        if self._child is None:
            raise Refused("nothing is staged", "stage an artifact first")
        return self._child


def _tail(child: Child) -> str:
    lines = [line for line in child.said().splitlines() if re.match(r"(FATAL|PANIC|ERROR|WARNING|HINT|DETAIL)", line)]
    return "; ".join(lines[-4:])[:800] or child.said()[-300:] or "it says nothing"
