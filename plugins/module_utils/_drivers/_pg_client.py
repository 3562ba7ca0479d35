# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own client programs as the way to a server: nothing else needs to be installed, on the host or in a container.

A password reaches them as a file in memory (libpq's ``passfile``), never by argument, environment or disk.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path
from typing import Any

from .._core.backup_types import Context
from .._core.errors import InvalidInput, RunbookError, VerifyFailed
from ._child_process import PIPE_BYTES, Child, Command, Host, Patience
from ._docker_exec import Container
from ._pg_errors import MissingProgram, failure
from ._pg_sql import DATABASE, FACTS, SETTLE, SYSTEM_ID, checked_name, conninfo, passfile_line, quote_text

_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")  # of Debian, and of the project's own packages for the RHEL family
_QUICK_SECONDS = 60.0

STALL_SECONDS = 300.0
"""How long a copy may stand still. The schema of a very large database takes pg_dump minutes, in which it writes nothing."""


class Client:
    """Runs psql, pg_dump, pg_restore and pg_dumpall as ``options`` say (the ones of the source and target), on the host or in a container."""

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self.options, self._deadline = options, context.deadline
        self.database = checked_name(options["database"], "the name of the database")
        self._name = f"tradeops {context.tag}"[:63]
        self._folder: str | None = options.get("bin_dir")
        self._programs: Host | Container = _transport(options)
        self._secret = options.get("secret_password")

    @property
    def place(self) -> str:
        """Where the database is, for people."""
        if self.options.get("container"):
            return f"{self.database} in container {self.options['container']}"
        return f"{self.database} on {self.options.get('host') or 'the local socket'}:{self.options.get('port') or 5432}"

    def fit(self, major: int) -> None:
        """From now on, use the programs made for servers of this version, or else the next newer ones that are installed, or the newest."""
        if self._in_container or self.options.get("bin_dir"):
            return
        found = _installed()
        newer = [number for number in found if number >= major]
        self._folder = found[min(newer)] if newer else found[max(found)] if found else None

    def version(self, program: str) -> str:
        """``15.14`` of a client program."""
        said = self.output([self._path(program), "--version"])
        match = re.search(r"\(PostgreSQL\) (\d+\S*)", said)
        if not match:
            raise RunbookError(f"{program} does not tell its version: {said[:200]!r}", "see whether it is PostgreSQL's own")
        return match[1]

    def output(self, argv: Sequence[str]) -> str:
        """What a program that is soon done prints."""
        patience = Patience(os.path.basename(argv[0]), self._deadline, _QUICK_SECONDS)
        with self._programs.start(Command(argv, self._environment(), patience)) as child:
            printed = b"".join(iter(lambda: child.read(PIPE_BYTES), b""))
            finished(child, argv[0])
        return printed.decode("utf-8", "replace")

    def start(self, argv: Sequence[str], database: str, stall_seconds: float | None = None, settings: str = "") -> Child:
        """``argv`` (a program's name and its options) connected to ``database``; psql and pg_restore read their input.

        ``settings`` are options for the server, such as ``-c synchronous_commit=off``. The child may outlive this call, and must be left as a context.
        """
        text = self._conninfo(database, settings)
        with self._passfile() as (passfile, inherited):
            full = [self._path(argv[0]), *argv[1:], "--no-password", f"--dbname={text}{passfile}"]
            patience = Patience(argv[0], self._deadline, stall_seconds)
            return self._programs.start(Command(full, self._environment(), patience, argv[0] in ("psql", "pg_restore"), inherited))

    @contextmanager
    def session(self, database: str | None = None) -> Iterator[Session]:
        """A session on ``database``, by default ours, in which no setting of role or server gets in the way."""
        argv = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--echo-errors", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose"]
        with self.start(argv, database or self.database) as child:
            session = Session(child)
            session.rows(SETTLE)
            yield session

    @contextmanager
    def admin(self) -> Iterator[Session]:
        """A session on a database that every server has and that is not ours, to look at and rename ours."""
        with self.session("template1" if self.database == "postgres" else "postgres") as session:
            yield session

    def _conninfo(self, database: str, settings: str) -> str:
        options = self.options
        host = options.get("host") or ""
        remote = bool(host) and not host.startswith(("/", "@"))
        return conninfo({
            "dbname": database, "host": host, "port": options.get("port") or 5432, "user": options.get("user"),
            "sslmode": options.get("sslmode") or ("verify-full" if remote else "disable"), "sslrootcert": options.get("sslrootcert"), "gssencmode": "disable",
            "application_name": self._name, "connect_timeout": 10, "options": settings,
            **({"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60000} if remote else {}),
        })  # fmt: skip

    @contextmanager
    def _passfile(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The part of the connection string that names the password's file, and its descriptor: memory without a name."""
        if not self._secret:
            yield "", ()
            return
        memory = os.memfd_create("passfile")
        try:
            os.fchmod(memory, 0o600)  # libpq takes no other
            os.write(memory, passfile_line(self._secret))
            yield f" passfile='/proc/self/fd/{memory}'", (memory,)
        finally:
            os.close(memory)

    @property
    def _in_container(self) -> bool:
        return bool(self.options.get("container"))

    def _path(self, program: str) -> str:
        if self._in_container:
            return program
        if self._folder is None and _installed():
            self.fit(max(_installed()))
        path = os.path.join(self._folder, program) if self._folder else shutil.which(program)
        if not path or not os.access(path, os.X_OK):
            where = f" in {self._folder}" if self._folder else ""
            raise MissingProgram(f"{program} is not installed{where}", "install it (Debian package postgresql-client)")
        return path

    def _environment(self) -> dict[str, str]:
        """Nothing of ours: PGHOST, PGOPTIONS or PGSERVICE would lead elsewhere."""
        common = {"LC_ALL": "C"}
        if self._in_container:
            return common
        return {**common, "PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}


def _transport(options: Mapping[str, Any]) -> Host | Container:
    if not options.get("container"):
        if "," in (options.get("host") or ""):
            raise InvalidInput("postgresql: host is one host, so that a backup tells what it is of", "name the primary, or one standby")
        return Host(options.get("os_user"))
    for name in ("host", "os_user", "bin_dir"):
        if options.get(name):
            raise InvalidInput(f"postgresql: {name} and container exclude each other", "inside the container its own programs use its own socket")
    if options.get("secret_password"):
        raise InvalidInput("postgresql: a password cannot be given to programs in a container without leaving it there",
                           "let pg_hba.conf trust local connections of container_user (the official image does), or use host and port")  # fmt: skip
    return Container(options["container"], options.get("container_user") or "postgres")


def _installed() -> dict[int, str]:
    """Folders with client programs, by major version."""
    found = {}
    for pattern in _FOLDERS:
        for folder in glob(pattern):
            number = re.search(r"(\d+)/bin$", folder)
            if number and os.access(Path(folder) / "pg_dump", os.X_OK):
                found[int(number[1])] = folder
    return found


def major_of(version: str) -> int:
    """15 of ``15.14``, 17 of ``17beta1``; 0 of nothing."""
    match = re.match(r"\d+", version)
    return int(match[0]) if match else 0


def finished(child: Child, program: str) -> None:
    """Wait for its end. Raises what a bad exit status means."""
    status = child.finish()
    if status:
        raise failure(program, status, child.said())


class Session:
    """psql at work: statements go in, JSON values come out, one a line. After an error it is over."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._awaited: deque[bytes] = deque()
        self._lines: deque[bytes] = deque()
        self._rest = b""

    def rows(self, statement: str) -> list[Any]:
        """What one statement gives."""
        self.send(statement)
        return self.collect()

    def value(self, statement: str) -> Any:
        """The only row of a statement."""
        found = self.rows(statement)
        if len(found) != 1:
            raise VerifyFailed(f"the server gave {len(found)} rows where one was due", "see its log")
        return found[0]

    def each(self, statement: str) -> list[Any]:
        """Everything that the statements give which ``statement`` gives."""
        self.send(statement, each=True)
        return self.collect()

    def send(self, statement: str, each: bool = False) -> None:
        """Ask, and do other things while the server works. Answers come in the order of the questions."""
        marker = f"end-{secrets.token_hex(8)}"
        text = f"{statement.strip()} {chr(92) + 'gexec' if each else ';'}\n\\echo {marker}\n"
        self._awaited.append(marker.encode())
        with suppress(BrokenPipeError):  # it ended: collect tells why
            self._child.write(text.encode("utf-8", "replace"))

    def ready(self, seconds: float) -> bool:
        """Whether an answer, or a part of it, comes within that time."""
        return bool(self._lines) or self._child.wait_readable(seconds)

    def collect(self) -> list[Any]:
        """The answer to the oldest question."""
        marker = self._awaited.popleft()
        found: list[Any] = []
        while True:
            while not self._lines:
                self._take()
            line = self._lines.popleft()
            if line == marker:
                return found
            if line:
                found.append(json.loads(line.decode("utf-8", "replace")))

    def _take(self) -> None:
        block = self._child.read(PIPE_BYTES)
        if not block:
            finished(self._child, "psql")
            raise VerifyFailed("psql ended too early", "see the server's log")
        *lines, self._rest = (self._rest + block).split(b"\n")
        self._lines.extend(lines)


class Server:
    """What a server says of itself and of the database that was asked."""

    def __init__(self, session: Session) -> None:
        facts = session.value(FACTS)
        self.version_num, self.version = int(facts["version_num"]), str(facts["version"]).partition(" ")[0]
        self.major = self.version_num // 10000
        self.standby, self.superuser, self.size_bytes = bool(facts["standby"]), bool(facts["superuser"]), int(facts["size_bytes"])
        self.system_id = str(session.value(SYSTEM_ID)) if facts["system_id_allowed"] else ""


def database_figures(session: Session, name: str) -> dict[str, Any] | None:
    """How a database was made and what belongs to it (see DATABASE); None when there is none of that name."""
    found = session.rows(DATABASE + quote_text(name))
    return found[0] if found else None
