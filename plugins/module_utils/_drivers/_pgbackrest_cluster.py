# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory of PostgreSQL and the server on it, by the server's own programs. See pg_ctl(1), pg_controldata(1)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from .._core.backup_types import Context
from .._core.errors import CommandFailed, NotThere, Refused
from .._core.probe import Deadline
from ._child_process import PIPE_BYTES, Command, Host, Patience
from ._pg_errors import MissingProgram
from ._pgbackrest import Pgbackrest

_FOLDERS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")
_START_SECONDS = 600


def folder_of(options: Mapping[str, Any], context: Context) -> str:
    """The live data directory: as said, or as the stanza's configuration has it. Raises NotThere."""
    path = str(options.get("data_dir") or "") or Pgbackrest(options, context).setting("restore", "pg-path")
    if not path.startswith("/"):
        raise NotThere("the data directory of the server is not known", "give data_dir, or pg1-path in the configuration of the stanza")
    return os.path.realpath(path)


class DataDir:
    """The one in ``path``, of ``os_user``."""

    def __init__(self, path: str, options: Mapping[str, Any], context: Context) -> None:
        self.path, self._options, self._context = path, options, context
        self.host = Host(options.get("os_user"))

    def exists(self) -> bool:
        """Whether a cluster is there."""
        return os.path.exists(os.path.join(self.path, "PG_VERSION"))

    def major(self) -> str:
        """``15``. Raises NotThere."""
        try:
            with open(os.path.join(self.path, "PG_VERSION"), encoding="ascii") as file:
                return file.read().strip()
        except OSError as error:
            raise NotThere(f"{self.path} is no data directory: {error.strerror}", "see data_dir") from None

    def pid(self) -> int:
        """Of the server that runs on it; 0 when none does. A server has its data directory as working directory."""
        number = 0
        try:
            with open(os.path.join(self.path, "postmaster.pid"), encoding="utf-8", errors="replace") as file:
                number = int(file.readline())
            return number if os.readlink(f"/proc/{number}/cwd") == os.path.realpath(self.path) else 0
        except PermissionError:
            return number  # somebody's, whoever it is: better not touched
        except (OSError, ValueError):
            return 0

    def program(self, name: str) -> str:
        """One that was made for exactly this cluster's version. Raises MissingProgram."""
        major = self.major()
        folders = [str(self._options["bin_dir"])] if self._options.get("bin_dir") else [folder.format(major=major) for folder in _FOLDERS]
        for folder in folders:
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK):
                return path
        raise MissingProgram(f"{name} of PostgreSQL {major} is not installed in {' or '.join(folders)}", f"install postgresql-{major}, or give bin_dir")

    def control(self) -> dict[str, str]:
        """What pg_controldata tells, by its own words."""
        said = self._run("pg_controldata", [self.path], self._context.deadline)
        return {name.strip(): value.strip() for name, _colon, value in (line.partition(":") for line in said.splitlines())}

    def ctl(self, action: str, *arguments: str, deadline: Deadline | None = None) -> None:
        """``pg_ctl <action>``, until it is done."""
        deadline = deadline or self._context.deadline
        seconds = max(1, min(_START_SECONDS, int(deadline.remaining())))
        self._run("pg_ctl", [action, "-D", self.path, "-s", "-w", "-t", str(seconds), *arguments], deadline)

    def _run(self, name: str, arguments: list[str], deadline: Deadline) -> str:
        argv = [self.program(name), *arguments]
        environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
        with self.host.start(Command(argv, environment, Patience(name, deadline))) as child:
            printed = b"".join(iter(lambda: child.read(PIPE_BYTES), b""))
            status = child.finish()
            if status:
                raise CommandFailed(argv, status, child.said()[-1500:])
        return printed.decode("utf-8", "replace")


class Unit(Protocol):
    """What runs a server. Every method raises RunbookError, TimedOut."""

    def stop(self, deadline: Deadline) -> None:
        """Returns when it does not run any more. Does nothing when it does not run."""

    def start(self, deadline: Deadline) -> None:
        """Returns when it was started. Does nothing when it runs."""

    def pid(self, deadline: Deadline) -> int:
        """Of its main process; 0 when it does not run, or nobody knows."""


class PgCtl:
    """Starts and stops the server on a data directory that has its own configuration in it: where there is no systemd."""

    def __init__(self, folder: DataDir) -> None:
        self._folder = folder

    def stop(self, deadline: Deadline) -> None:
        """See Unit."""
        if self._folder.pid():
            try:
                self._folder.ctl("stop", "-m", "fast", deadline=deadline)
            except CommandFailed:
                if self._folder.pid():
                    raise

    def start(self, deadline: Deadline) -> None:
        """See Unit. Raises Refused for a configuration that is elsewhere, as Debian has it."""
        if self._folder.pid():
            return
        if not os.path.exists(os.path.join(self._folder.path, "postgresql.conf")):
            raise Refused(f"{self._folder.path} has no postgresql.conf, so only who knows where it is can start the server", "give service")
        log = os.path.join(os.path.dirname(self._folder.path), f"{os.path.basename(self._folder.path)}.log")
        try:
            self._folder.ctl("start", "-l", log, deadline=deadline)
        except CommandFailed as error:
            error.hint = f"see {log}"
            raise

    def pid(self, deadline: Deadline) -> int:
        """See Unit."""
        del deadline
        return self._folder.pid()


def number_of(control: Mapping[str, str], name: str, least: int) -> int:
    """A figure of pg_controldata; ``least`` where it is less or missing."""
    with suppress(ValueError):
        return max(least, int(control.get(name, "")))
    return least
