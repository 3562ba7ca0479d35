# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server for tests: its own data, on a socket and a loopback port, never as root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

from ansible_collections.tradeops.runbook.tests.support.running import Running

PASSWORD = "s3cret/of:the@test"
"""With the characters that an address must escape."""

ESCAPED = "s3cret%2Fof%3Athe%40test"


def programs() -> Path | None:
    """The folder of initdb and postgres of the newest version; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class Server(Running):
    """``start`` and ``stop`` as often as you like; ``remove`` at the end; as a context, both.

    Given a primary, a standby of it. ``settings`` are for the next start.
    """

    def __init__(self, primary: Server | None = None) -> None:
        self.settings: dict[str, str] = {}
        self._bin = programs()
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the path of a socket has at most 107 characters
        self.data = self.folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        secret = self.folder / "password"
        secret.write_text(PASSWORD, encoding="ascii")
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (self.folder, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        if primary is None:
            self._run("initdb", "--pgdata", str(self.data), "--username", "runbook", "--pwfile", str(secret), "--encoding", "UTF8",
                      "--locale", "C.UTF-8", "--auth-local", "trust", "--auth-host", "scram-sha-256", "--no-sync")  # fmt: skip
        else:
            self._run("pg_basebackup", "--pgdata", str(self.data), "--write-recovery-conf", "--checkpoint", "fast", "--no-sync",
                      "--host", str(primary.folder), "--port", str(primary.port), "--username", "runbook")  # fmt: skip

    def _command(self, program: str, *arguments: str) -> list[str]:
        drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        return [*drop, str(self._bin / program) if self._bin else program, *arguments]

    def _run(self, program: str, *arguments: str) -> bytes:
        command = self._command(program, *arguments)
        return subprocess.run(command, check=True, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=120).stdout

    def sql(self, database: str, *statements: str) -> str:
        """What statements print, each sent by itself; by way of the socket, as the superuser. Any text may be the name of the database."""
        quoted = database.replace("\\", "\\\\").replace("'", "\\'")
        connection = f"dbname='{quoted}' host='{self.folder}' port='{self.port}' user='runbook'"
        commands = [part for statement in statements for part in ("-c", statement)]
        return self._run("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", connection, *commands).decode().strip()

    def start(self) -> None:
        """Returns when it answers."""
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "fsync": "off", "max_connections": 60,
                   **self.settings}  # fmt: skip
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            command = self._command("postgres", "-D", str(self.data), *arguments)
            self._process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while subprocess.run(self._command("pg_isready", "-q", "-h", str(self.folder), "-p", str(self.port)), check=False).returncode != 0:
            if time.monotonic() > end or self._process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text(errors="replace"))
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends every session at once, as a crash of the machine would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def processor_seconds(self) -> float:
        """What its sessions used that are over."""
        if self._process is None:
            raise AssertionError("it does not run")
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime and cstime of proc(5)

    def remove(self) -> None:
        """Nothing is left."""
        self.stop()
        shutil.rmtree(self.folder)

    def database(self) -> str:
        """The address of a new, empty database, by way of the socket. Its locale sorts text otherwise than SQLite, where the server can."""
        name = f"history{next(self._numbers)}"
        admin = ["-h", str(self.folder), "-p", str(self.port), "-U", "runbook", "-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1"]
        create = f"create database {name} template template0 encoding 'UTF8'"
        try:
            self._run("psql", *admin, "-c", f"{create} locale_provider icu icu_locale 'en-US'")
        except subprocess.CalledProcessError:  # before version 15
            self._run("psql", *admin, "-c", create)
        return f"postgresql://runbook@/{name}?host={self.folder}&port={self.port}"

    def by_network(self, url: str, password: str = ESCAPED) -> str:
        """The same database by way of TCP, where a password is asked for."""
        name = url.partition("@/")[2].partition("?")[0]
        return f"postgresql://runbook:{password}@127.0.0.1:{self.port}/{name}"
