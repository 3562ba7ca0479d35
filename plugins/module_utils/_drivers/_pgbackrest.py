# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgBackRest as a program: how it is called, what it tells, and what its errors mean. See pgbackrest(1), https://pgbackrest.org/command.html.

What it is told beyond its own configuration goes by argument and is never secret; keys and passphrases stay in its configuration file, which
is only ever read by pgBackRest itself. Variables PGBACKREST_* of our own environment do not reach it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._core.backup_types import Context
from .._core.errors import Busy, CommandFailed, InvalidInput, NoSpace, Refused, RunbookError, Unreachable, VerifyFailed
from ._child_process import PIPE_BYTES, Command, Host, Patience
from ._pg_errors import MissingProgram, ToolTooOld

PROGRAM = "pgbackrest"
FIRST_VERSION = (2, 41)
"""The first that keeps annotations, by which a backup is known as ours."""
STALL_SECONDS = 600.0
ANNOTATION = "tradeops"
QUICK_SECONDS = 120.0

_LABEL = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")
_ERROR = re.compile(r"ERROR: \[(\d{3})\]:?\s*(.*)", re.DOTALL)
_NO_STANZA = (1, 2, 3)  # of "status" in info: no path, no backup, no data
_NO_BACKUP = 2


class ArchiveFailing(RunbookError):
    """The server does not get its log archived, so that no backup could be restored."""

    code = "archive_failing"


class OtherCluster(Refused):
    """The stanza, or the label, is of another cluster."""

    code = "other_cluster"


class NoStanza(Refused):
    """pgBackRest has no such stanza."""

    code = "no_stanza"


class LabelGone(Refused):
    """pgBackRest has no backup of that label any more."""

    code = "not_there"


# Numbers of src/common/error.auto.c: what it is, and what to do.
_MEANINGS: Mapping[int, tuple[type[RunbookError], str]] = {
    27: (InvalidInput, "see the configuration file of pgBackRest"),
    28: (OtherCluster, "see stanza and pg1-path; after a major upgrade of the server run: pgbackrest stanza-upgrade"),
    31: (InvalidInput, "see the configuration file of pgBackRest, and its version"),
    32: (InvalidInput, "see the configuration file of pgBackRest"),
    37: (InvalidInput, "see stanza, and whether the configuration file has it"),
    50: (Busy, "wait until the other pgBackRest process is done"),
    51: (OtherCluster, "see stanza and pg1-path; after a major upgrade of the server run: pgbackrest stanza-upgrade"),
    56: (Unreachable, "see whether the server runs, and pg1-port, pg1-socket-path and pg1-user in the configuration file"),
    62: (Refused, "somebody ran: pgbackrest stop; if that is over, run: pgbackrest start"),
    72: (Refused, "run it on the host that pgBackRest names; a repository that another host writes to (repo1-host) is not supported"),
    82: (ArchiveFailing, "see archive_command, the server's log and pg_stat_archiver"),
    87: (Refused, "set archive_mode = on and archive_command, and restart the server"),
    103: (NoStanza, "see the configuration file, and whether the repository can be reached"),
}
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|\[28\]")


def failure(what: str, status: int, said: str) -> RunbookError:
    """The error that the end of ``pgbackrest <what>`` means: exit status and its standard error."""
    text = "\n".join(line for line in said.splitlines() if line.strip())
    found = _ERROR.search(text)
    told = " ".join((found[2] if found else text).split())[:1500] or (f"it was killed by signal {-status}" if status < 0 else "it says nothing")
    if _NO_SPACE.search(told):
        return NoSpace(f"pgbackrest {what}: {told}", "free some room, or enlarge the disk")
    kind, hint = _MEANINGS.get(int(found[1]) if found else status, (CommandFailed, "see the message, and the log of pgBackRest (log-path)"))
    if issubclass(kind, CommandFailed):
        error = kind([PROGRAM, what], status, told)
        error.hint = hint
        return error
    return kind(f"pgbackrest {what}: {told}", hint)


class Pgbackrest:
    """The program for one stanza and one of its repositories; ``options`` are those of the kind ``pgbackrest``."""

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._options, self._context = options, context
        self.stanza, self.repo = str(options["stanza"]), int(options.get("repo") or 1)
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", self.stanza):
            raise InvalidInput(f"{self.stanza!r} is no name of a stanza", "correct stanza in the inventory")
        if options.get("container"):
            raise Refused("pgBackRest is driven on a host, not in a container", "use the kind postgresql for a server in a container")
        self.host = Host(options.get("os_user"))

    def version(self) -> str:
        """``2.45``. Raises MissingProgram, ToolTooOld."""
        said = self._run(["version"], QUICK_SECONDS, None)
        match = re.search(r"(\d+)\.(\d+)\S*", said)
        if not match:
            raise RunbookError(f"pgbackrest does not tell its version: {said[:200]!r}", "see whether it is pgBackRest's own program")
        if (int(match[1]), int(match[2])) < FIRST_VERSION:
            raise ToolTooOld(f"pgBackRest is {match[0]}, and {'.'.join(map(str, FIRST_VERSION))} is the first that can be used", "install a newer package")
        return match[0]

    def command(self, name: str, *options: str, repo: bool = True) -> list[str]:
        """The argument list of a command."""
        config = [f"--config={self._options['config']}"] if self._options.get("config") else []
        return [name, *config, f"--stanza={self.stanza}", *([f"--repo={self.repo}"] if repo else []), *options]

    def run(self, name: str, *options: str, repo: bool = True) -> str:
        """What a command prints that is soon done. Raises what its error means."""
        return self._run([*self.command(name, *options, repo=repo), "--log-level-console=off", "--log-level-stderr=error"], QUICK_SECONDS, None)

    def watch(self, name: str, *options: str) -> list[str]:
        """A command that takes its time: the warnings in its log. It must say something every ``stall_timeout_seconds``."""
        found: list[str] = []

        def heard(line: str) -> None:
            if "WARN:" in line and len(found) < 10:
                found.append(line.partition("WARN:")[2].strip()[:500])

        argv = [*self.command(name, *options), "--log-level-console=detail", "--log-level-stderr=error", "--no-log-timestamp"]
        self._run(argv, float(self._options.get("stall_timeout_seconds") or STALL_SECONDS), heard)
        return found

    def processes(self) -> list[str]:
        """The option for commands that copy."""
        return [f"--process-max={int(self._options['process_max'])}"] if self._options.get("process_max") else []

    def setting(self, command: str, option: str) -> str:
        """What an option of a command is set to by the configuration file; "" when it is not, or cannot be told."""
        config = [f"--config={self._options['config']}"] if self._options.get("config") else []
        said = self._run(["help", *config, f"--stanza={self.stanza}", command, option], QUICK_SECONDS, None)
        match = re.search(r"^current: (.+)$", said, re.MULTILINE)
        return match[1].strip() if match else ""

    def listing(self, path: str) -> dict[str, Mapping[str, Any]]:
        """Everything below a path of the repository."""
        return dict(_json(self.run("repo-ls", path, "--recurse", "--output=json"), "repo-ls"))

    def shell_command(self, name: str, *options: str) -> str:
        """A command as the server runs it (restore_command); ``%`` of ours is doubled."""
        words = [self._path(), *self.command(name, *options), "--log-level-console=off", "--log-level-stderr=warn", "--log-level-file=off"]
        return " ".join(_shell(word) for word in words)

    def _path(self) -> str:
        path = shutil.which(PROGRAM)
        if not path:
            raise MissingProgram("pgbackrest is not installed", "install it (Debian package pgbackrest)")
        return path

    def _run(self, arguments: Sequence[str], stall_seconds: float, heard: Callable[[str], None] | None) -> str:
        environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath), "HOME": "/"}
        patience = Patience(f"pgbackrest {arguments[0]}", self._context.deadline, stall_seconds)
        printed, rest = [], b""
        with self.host.start(Command([self._path(), *arguments], environment, patience)) as child:
            for block in iter(lambda: child.read(PIPE_BYTES), b""):
                if heard is None:
                    printed.append(block)
                    continue
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    heard(line.decode("utf-8", "replace"))
            status = child.finish()
            said = child.said()
        if status:
            raise failure(str(arguments[0]), status, said)
        return b"".join(printed).decode("utf-8", "replace")


class Info:
    """What ``pgbackrest info`` tells of the stanza, in our repository."""

    def __init__(self, program: Pgbackrest, label: str = "") -> None:
        self._program = program
        found = _json(program.run("info", "--output=json", *([f"--set={label}"] if label else [])), "info")
        self._stanza: Mapping[str, Any] = next((one for one in found if one.get("name") == program.stanza), {})
        self.backups: list[Mapping[str, Any]] = list(self._stanza.get("backup", ()))

    def exists(self) -> bool:
        """Whether the stanza was created. Raises RunbookError for one that is broken."""
        status = self._stanza.get("status") or {"code": 1}
        if status["code"] in (0, _NO_BACKUP):
            return True
        if status["code"] in _NO_STANZA:
            return False
        seen = "; ".join(str(repo.get("status", {}).get("message")) for repo in self._stanza.get("repo", ()))
        raise RunbookError(f"the stanza {self._program.stanza}: {status.get('message')}: {seen}", "see: pgbackrest info")

    def database(self, number: int | None = None) -> Mapping[str, Any]:
        """The cluster as of an entry in its history, or as it is now: ``id, system-id, version``."""
        known: list[Mapping[str, Any]] = [one for one in self._stanza.get("db", ()) if one.get("repo-key") == self._program.repo]
        found = known[-1:] if number is None else [one for one in known if one["id"] == number]
        if not found:
            raise NoStanza(f"the stanza {self._program.stanza} has no cluster", "see: pgbackrest info")
        return found[0]

    def labelled(self, label: str) -> Mapping[str, Any]:
        """One backup. Raises LabelGone."""
        if not _LABEL.fullmatch(label):
            raise LabelGone(f"{label!r} is no label of pgBackRest", "the manifest is not one of a backup by pgBackRest")
        found = [one for one in self.backups if one["label"] == label]
        if not found:
            raise LabelGone(
                f"pgBackRest has no backup {label} in the stanza {self._program.stanza} any more",
                "choose another one (backup_info); repo1-retention-full in its configuration may have removed it",
            )
        one: Mapping[str, Any] = found[0]
        return one


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise VerifyFailed(f"pgbackrest {what} does not print JSON: {text[:200]!r}", "see its version") from None


def _shell(word: str) -> str:
    """A word of a command line of sh(1), in which PostgreSQL replaces ``%p`` and ``%f``; those two alone are left as they are."""
    if word in ("%f", "%p"):
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'").replace("%", "%%") + "'"
