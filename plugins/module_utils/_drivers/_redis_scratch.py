# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis server of our own beside the live one: it listens nowhere but on a socket in its own folder, and dies with us.

It starts as a replica of nobody, since a master drops keys that have expired when it loads them: counts would differ from the artifact's.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, Protocol

from .._core.backup_types import Context
from .._core.errors import InvalidInput, Refused, RunbookError, TimedOut, VerifyFailed
from .._core.probe import Deadline
from .._core.rdb import Rdb
from ._child_process import PIPE_BYTES, Child, Command, Host, Patience
from ._pg_errors import MissingProgram
from ._redis_client import Client, CommandRefused, Session, in_container
from ._redis_docker import ContainerProgram

_NOBODY = "255.255.255.255 1"  # connecting there fails at once, always
_RDB_OF = ((12, (7, 4)), (11, (7, 2)), (10, (7, 0)), (9, (5, 0)), (8, (4, 0)), (7, (3, 2)))
"""Versions of the file format, and the first Redis that reads them (rdb.h of its releases)."""
_NO_LIMIT_KNOWN = (8, 0)
_QUICK_SECONDS = 30.0
_REFUSED = ("eval", "evalsha", "fcall", "xread")  # scripts, and what may wait: Redis before 7.0 does not tell that of it


class ServerTooOld(Refused):
    """The server cannot read an artifact of a newer one."""

    code = "server_too_old"


def version_tuple(version: str) -> tuple[int, int]:
    """(7, 0) of ``7.0.15``."""
    numbers = re.findall(r"\d+", version)
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else (0, 0)


def check_format(rdb_version: int, server: str) -> None:
    """Raises ServerTooOld."""
    version = version_tuple(server)
    newest = next((number for number, first in _RDB_OF if version >= first), 6)
    if version < _NO_LIMIT_KNOWN and rdb_version > newest:
        raise ServerTooOld(
            f"the artifact has RDB version {rdb_version}, and redis-server {server} reads up to {newest}", "restore it into a server as new as its own"
        )


def check_memory(rdb: Rdb) -> None:
    """The scratch server must not take the memory of the live one. Raises Refused."""
    needed = rdb.aux.get("used-mem", "")
    with suppress(OSError), open("/proc/meminfo", encoding="ascii") as file:
        free = next((int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")), None)
        if free is not None and needed.isdecimal() and int(needed) > free:
            raise Refused(f"the data needs {int(needed)} B of memory beside the live server, and {free} B are free", "restore on a machine with more memory")


class Program(Protocol):
    """A redis-server that can be run: its ``path`` where it runs, and its ``version``."""

    path: str
    version: str

    def run(self, arguments: Sequence[str], folder: str, context: Context) -> AbstractContextManager[Child]:
        """Started, as the folder's owner; ended on every way out, and when we die."""

    def forget(self, tag: str) -> None:
        """End what a killed attempt of that tag left. Does nothing when there is nothing."""


def program(options: Mapping[str, Any], deadline: Deadline) -> Program:
    """``server``, or else the one on PATH: of ``container``, or of this host. Raises MissingProgram, RunbookError."""
    path = options.get("server")
    if options.get("container"):
        name = path or "redis-server"
        return ContainerProgram(options["container"], name, _version(name, in_container(options, [name, "--version"], deadline)))
    found = path or shutil.which("redis-server")
    if not found or not os.access(found, os.X_OK):
        raise MissingProgram(f"{path or 'redis-server'} is not installed", "install it (Debian package redis-server), or give server")
    patience = Patience(found, deadline, _QUICK_SECONDS)
    with Host().start(Command([found, "--version"], {"LC_ALL": "C"}, patience)) as child:
        return HostProgram(found, _version(found, b"".join(iter(lambda: child.read(PIPE_BYTES), b""))))


def _version(name: str, printed: bytes) -> str:
    said = printed.decode("utf-8", "replace")
    match = re.search(r"server v=(\d+\.\d+\S*)", said)
    if not match:
        raise RunbookError(f"{name} does not tell its version: {said[:200]!r}", "see whether it is a redis-server")
    return match[1]


class HostProgram:
    """One of this host; see Program."""

    def __init__(self, path: str, version: str) -> None:
        self.path, self.version = path, version

    def run(self, arguments: Sequence[str], folder: str, context: Context) -> AbstractContextManager[Child]:
        """See Program."""
        environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
        patience = Patience("redis-server", context.deadline)
        return Host(_name_of(os.stat(folder).st_uid)).start(Command([self.path, *arguments], environment, patience))

    def forget(self, _tag: str) -> None:
        """See Program."""


class Scratch:
    """One such server, with its data in ``folder``. ``stop`` it on every way out."""

    def __init__(self, program: Program, folder: str, context: Context) -> None:
        self._program, self._folder, self._context = program, folder, context
        self._owned = ExitStack()
        self._session: Session | None = None
        self._socket = ""

    def start(self, settings: Mapping[str, str]) -> None:
        """Returns when it has loaded its data. Raises VerifyFailed when it cannot."""
        fixed = {
            "port": "0", "unixsocket": "socket", "unixsocketperm": "700", "dir": self._folder, "daemonize": "no", "logfile": f"{self._folder}/log",
            "save": "", "appendonly": "no", "replicaof": _NOBODY, "maxmemory": "0", "appendfsync": "no", "hz": "100",
        }  # fmt: skip
        arguments = []
        for name, value in {**fixed, **settings}.items():
            arguments += [f"--{name}", *(value.split(" ") if name == "replicaof" else [value])]
        child = self._owned.enter_context(self._program.run(arguments, self._folder, self._context))
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._owned.callback(os.close, descriptor)
        self._socket = f"/proc/self/fd/{descriptor}/socket"  # a path of any length would not fit into an address
        while True:
            if child.wait_readable(0.02) and not child.read(PIPE_BYTES):
                raise VerifyFailed(f"a scratch redis-server {self._program.version} cannot load the artifact: {self._log_tail()}", "take another one")
            if self._context.deadline.remaining() <= 0:
                raise TimedOut("the scratch server has not loaded the artifact in time", "allow more time (timeout_seconds)")
            if self._session is None:
                with suppress(RunbookError):
                    self._session = self._owned.enter_context(self._client().session())
            elif self._session.info("persistence").get("loading") == "0":
                return

    @property
    def session(self) -> Session:
        """Raises Refused when it does not run."""
        if self._session is None:
            raise Refused("nothing is staged", "stage an artifact first")
        return self._session

    def answer(self, query: str) -> Any:
        """What one command answers that only reads; ``-n 2`` before it chooses another database than 0. Raises InvalidInput."""
        session = self.session
        try:
            words = shlex.split(query)
        except ValueError as error:
            raise InvalidInput(f"the query cannot be read: {error}", query) from None
        database, words = (words[1], words[2:]) if words[:1] == ["-n"] and len(words) > 2 else ("0", words)
        told = session.ask("COMMAND", "INFO", words[0])[0] if words else None
        flags = {flag.decode("ascii") for flag in told[2]} if told else set()
        if "readonly" not in flags or "blocking" in flags or words[0].lower().startswith(_REFUSED):
            raise InvalidInput(f"the query is no command that only reads: {query}", 'ask for one value, as in "GET trading:halt"')
        try:
            session.ask("SELECT", database)
            return number_or_text(session.ask(*words))
        except CommandRefused as error:
            raise InvalidInput(f"the query cannot be answered: {error.message}", query) from None
        finally:
            session.ask("SELECT", "0")

    def save(self) -> None:
        """Its data as an RDB file."""
        with self._client(self._context.deadline.remaining()).session() as session:  # it answers when it has written everything
            session.ask("SAVE")

    def append_only(self) -> None:
        """From now on its data as an append-only file, too; complete when this returns."""
        self.session.ask("CONFIG", "SET", "appendonly", "yes")
        while True:
            told = self.session.info("persistence")
            if told.get("aof_rewrite_in_progress") == "0" and told.get("aof_rewrite_scheduled") == "0":
                break
            self.session.pause()
        if told.get("aof_enabled") != "1" or told.get("aof_last_bgrewrite_status") != "ok":
            raise VerifyFailed(f"the scratch server could not write an append-only file: {self._log_tail()}", "see the disk")

    def finish(self) -> None:
        """Ends it by itself, with everything on disk."""
        with suppress(RunbookError), self._client(self._context.deadline.remaining()).session() as session:
            session.ask("SHUTDOWN", "NOSAVE")  # it hangs up instead of an answer
        self.stop()

    def stop(self) -> None:
        """Ends it. Does nothing when it does not run."""
        self._session = None
        self._owned.close()

    def _client(self, stall: float | None = None) -> Client:
        """``stall`` is how long one answer may take (seconds); by default as long as that of any server."""
        return Client({"unix_socket": self._socket, "stall_timeout_seconds": stall}, self._context)

    def _log_tail(self) -> str:
        try:
            with open(f"{self._folder}/log", encoding="utf-8", errors="replace") as log:
                lines = [line for line in log.read()[-8192:].splitlines() if re.search(r" # ", line)]
        except OSError:
            lines = []
        return "; ".join(line.partition(" # ")[2] for line in lines[-3:])[:500] or "it says nothing"


def _name_of(uid: int) -> str | None:
    """The account to run as: whose the folder is. A number without a name is a container's, and is not taken."""
    if uid == os.geteuid():
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def number_or_text(answer: Any) -> Any:
    """What Redis answers as JSON data: text that is a number becomes one, since Redis has only text."""
    if isinstance(answer, list):
        return [number_or_text(item) for item in answer]
    if not isinstance(answer, bytes):
        return answer
    text = answer.decode("utf-8", "replace")
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,30}\.\d{1,30}", text) else text
