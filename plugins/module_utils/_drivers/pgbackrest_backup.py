# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL cluster as a source of physical backups, made and kept by pgBackRest. What our repository gets is a small document about each.

pgBackRest never expires anything through us by its own rules: our retention decides what goes (see ``forget``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .._core.backup_types import Context, Identity, Stream, Taken
from .._core.errors import Refused, RunbookError, Unreachable, VerifyFailed
from .._core.manifest import canonical
from .._core.probe import Deadline
from .._core.transfer import Body
from .._core.units import parse_duration
from .._core.wal import WalGap
from ._pg_client import Client, Server
from ._pgbackrest import ANNOTATION, ArchiveFailing, Info, LabelGone, NoStanza, OtherCluster, Pgbackrest
from ._pgbackrest_archive import Way, inventory_of, point_of
from ._pgbackrest_cluster import DataDir, folder_of

_ARCHIVE_SECONDS = 60
_FORGET_SECONDS = 3600.0
_ALL = "9999999"  # the largest number of backups to keep, which pgBackRest takes for all
_SETTINGS = """
SELECT json_build_object('archive_mode', current_setting('archive_mode'), 'archive_command', current_setting('archive_command', true),
  'archive_library', coalesce(current_setting('archive_library', true), ''), 'data_dir', current_setting('data_directory'),
  'wal_segment_bytes', pg_size_bytes(current_setting('wal_segment_size')), 'failed', (SELECT last_failed_wal FROM pg_catalog.pg_stat_archiver))
"""


class NotRunning(RunbookError):
    """There is a data directory, and no server runs on it."""

    code = "not_running"


class Standby(Refused):
    """The server is in recovery."""

    code = "standby"


class ArchiveOff(Refused):
    """The server archives nothing, or not by pgBackRest."""

    code = "archive_off"


class StillNeeded(Refused):
    """pgBackRest cannot do without it."""

    code = "still_needed"


class Source:
    """One cluster; ``options`` are those of the kind ``pgbackrest``."""

    format = "pgbackrest"

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._options, self._context = options, context
        self._program = Pgbackrest(options, context)
        self._client = Client({"database": "postgres", **options}, context)
        self._segment_bytes = 0
        self._taken: Taken | None = None

    def identity(self) -> Identity:
        """See Source. Raises Standby, ArchiveOff, ArchiveFailing, NoStanza, OtherCluster, NotRunning, Unreachable, ToolTooOld.

        ``size_bytes`` stays 0: it is pgBackRest's repository that takes the data, and ours a page of text.
        """
        tools = self._program.version()
        try:
            with self._client.session() as session:
                server, settings = Server(session), session.value(_SETTINGS)
        except Unreachable:
            self._refuse_dead()
            raise
        self._segment_bytes = int(settings["wal_segment_bytes"])
        if server.standby:
            raise Standby(f"{self._client.place} is in recovery", "back up the primary; pgBackRest can read a standby meanwhile (backup-standby)")
        self._check_archiving(settings)
        if self._has_stanza(server):
            self._check(str(settings["failed"] or ""))
        return Identity(os.path.realpath(settings["data_dir"]), True, server.version, tools, server.system_id)

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """See Source. Raises Busy, ArchiveFailing, Stalled, TimedOut, NoSpace, CommandFailed."""
        self._taken = None
        notes = []
        if not self._segment_bytes:
            self.identity()
        if not Info(self._program).exists():
            self._program.run("stanza-create", repo=False)
            self._check("")
        wish = f"--type={self._type()}"
        speed = ["--start-fast"] if self._options.get("start_fast", True) else []
        ours = [*self._program.processes(), "--archive-check", "--no-expire-auto", f"--annotation={ANNOTATION}={self._context.tag}"]
        ours.append(f"--repo{self._program.repo}-retention-full={_ALL}")  # or it warns that none is set
        notes += self._program.watch("backup", wish, *speed, *ours)
        backup = self._made()
        try:
            retention = self._program.setting("backup", "repo-retention-full")
            if retention and retention != _ALL:
                setting = f"repo{self._program.repo}-retention-full={retention}"
                notes.append(f"{setting}: a pgBackRest that somebody else runs expires backups by itself; leave it out")
            yield Body(canonical(_document(backup, self._program.stanza)))
            self._taken = self._told(backup, notes)
        except BaseException:  # nobody would ever know of it, nor remove it
            with suppress(RunbookError):  # the first error is the one to tell
                forget(self._options)({"label": backup["label"]})
            raise

    def taken(self) -> Taken:
        """See Source."""
        if self._taken is None:
            raise VerifyFailed("nothing was taken: the stream was not read to its end", "read it to its end, and leave its context")
        return self._taken

    def _refuse_dead(self) -> None:
        """A restore keeps what is there by its files alone, when it is certain that no server runs on them."""
        folder = DataDir(folder_of(self._options, self._context), self._options, self._context)
        if folder.exists() and not folder.pid():
            raise NotRunning(f"no server runs on {folder.path}", "start it, or restore it: without it only its files can be kept")

    def _check_archiving(self, settings: Mapping[str, Any]) -> None:
        wanted = f"archive_command = 'pgbackrest --stanza={self._program.stanza} archive-push %p'"
        if settings["archive_mode"] not in ("on", "always"):
            raise ArchiveOff(f"{self._client.place} archives nothing: archive_mode is {settings['archive_mode']}", f"set archive_mode = on, {wanted}")
        command = str(settings["archive_command"] or "")
        if settings["archive_library"] or "pgbackrest" not in command or "archive-push" not in command:
            shown = f"library {settings['archive_library']}" if settings["archive_library"] else f"command {command or '(empty)'!r}"
            raise ArchiveOff(f"{self._client.place} does not archive by pgBackRest, but by the {shown[:200]}", f"set {wanted}, and reload")

    def _has_stanza(self, server: Server) -> bool:
        """Raises NoStanza, OtherCluster."""
        info = Info(self._program)
        if not info.exists():
            if self._options.get("create_stanza"):
                return False
            raise NoStanza(f"pgBackRest has no stanza {self._program.stanza}", "give create_stanza: true, or run: pgbackrest stanza-create")
        known = info.database()
        if server.system_id and str(known["system-id"]) != server.system_id:
            raise OtherCluster(
                f"the stanza {self._program.stanza} is of the cluster {known['system-id']}, and {self._client.place} is {server.system_id}", "see stanza, port"
            )
        if str(known["version"]) != str(server.major):
            raise OtherCluster(f"the stanza {self._program.stanza} is of version {known['version']}, and the server is {server.version}",
                               "run: pgbackrest stanza-upgrade")  # fmt: skip
        return True

    def _check(self, failed: str) -> None:
        """A segment of the log is switched, and has to arrive in the repository."""
        seconds = max(1, min(_ARCHIVE_SECONDS, int(self._options.get("archive_timeout_seconds") or _ARCHIVE_SECONDS), int(self._context.deadline.remaining())))
        try:
            self._program.run("check", f"--archive-timeout={seconds}", repo=False)
        except ArchiveFailing as error:
            raise ArchiveFailing(f"{error.message}{f' (the last that failed: {failed})' if failed else ''}", error.hint) from None

    def _type(self) -> str:
        """``auto``: an incremental one, which pgBackRest makes full when there is none; and full when the last is too old."""
        wanted, every = str(self._options.get("type") or "auto"), self._options.get("full_every")
        if wanted != "auto":
            return wanted
        newest = max([float(one["timestamp"]["stop"]) for one in Info(self._program).backups if one["type"] == "full"], default=0.0)
        return "full" if every and self._context.now - newest >= parse_duration(every) else "incr"

    def _made(self) -> Mapping[str, Any]:
        """The backup that has our annotation. Raises VerifyFailed."""
        ours = [one for one in Info(self._program).backups if (one.get("annotation") or {}).get(ANNOTATION) == self._context.tag]
        if len(ours) != 1:
            raise VerifyFailed(f"pgBackRest made no backup that carries our mark {self._context.tag}", "see its log")
        backup = Info(self._program, str(ours[0]["label"])).labelled(str(ours[0]["label"]))
        point_of(backup, self._segment_bytes)
        return backup

    def _told(self, backup: Mapping[str, Any], notes: list[str]) -> Taken:
        broken = [str(one.get("name")) if isinstance(one, Mapping) else str(one) for one in backup.get("error-list") or ()]
        suspect = f"pgBackRest found pages with wrong checksums: {', '.join(broken[:5]) or 'see its log'}" if backup.get("error") else ""
        cluster = Info(self._program).database(backup["database"]["id"])
        return Taken(
            inventory_of(backup, cluster, self._segment_bytes), float(backup["timestamp"]["stop"]), notes=notes, suspect=suspect,
            label=str(backup["label"]), needs=[str(label) for label in backup.get("reference") or ()],
        )  # fmt: skip


def _document(backup: Mapping[str, Any], stanza: str) -> dict[str, Any]:
    """What somebody needs who has our repository and pgBackRest's. The backups that it refers to are in the manifest."""
    kept = ("label", "type", "prior", "archive", "lsn", "timestamp", "info", "database", "database-ref", "tablespace", "link", "backrest")
    return {"format": 1, "stanza": stanza, **{key: backup.get(key) for key in kept}}


def forget(options: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """What removes the backup of a manifest from pgBackRest, and with the oldest full one the log before the next.

    Raises StillNeeded when a backup that is none of ours depends on it, or it is the last full one; OtherCluster, Busy, CommandFailed.
    """

    def remove(manifest: Mapping[str, Any]) -> None:
        program = Pgbackrest(options, Context(Deadline(_FORGET_SECONDS, time.monotonic), time.time(), "forget"))
        info, label = Info(program), str(manifest.get("label") or "")
        found = [one for one in info.backups if one["label"] == label]
        if not found:
            return
        cluster = str(info.database(found[0]["database"]["id"])["system-id"])
        if cluster != str(manifest.get("identity", {}).get("system_id") or cluster):
            raise OtherCluster(f"the backup {label} in the stanza {program.stanza} is of another cluster, {cluster}", "see stanza and config")
        needing = [str(one["label"]) for one in info.backups if label in (one.get("reference") or ())]
        fulls = sum(one["type"] == "full" and one["label"] != label for one in info.backups)
        if needing or not fulls:
            raise StillNeeded(
                f"pgBackRest does not give up {label}: {f'{needing[0]} depends on it' if needing else 'it has no other full backup'}",
                "somebody made that one without us: expire it by pgbackrest" if needing else "take a full one first",
            )
        repo = f"--repo{program.repo}-retention"
        # all others stay, also one that ends meanwhile; of the log goes what none of those that are left needs
        kept = [f"{repo}-full={_ALL}", f"{repo}-full-type=count", f"{repo}-archive={fulls}", f"{repo}-archive-type=full"]
        program.watch("expire", f"--set={label}", *kept)

    return remove


def replay(options: Mapping[str, Any], context: Context, manifest: Mapping[str, Any]) -> None:
    """Raises Refused when the log does not lead from this backup to where it is to lead: BeforeBackup, NotArchivedYet, OtherTimeline, WalGap, LabelGone.

    A backup that cannot even be restored to its own end is let through to its proof, which then fails and is kept.
    """
    try:
        Way(options, context, manifest)
    except (LabelGone, WalGap):
        if context.until or not context.scratch:
            raise
