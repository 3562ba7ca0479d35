# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs inside a running container, through the engine's socket. See the Docker Engine API, Exec (version 1.25 and newer).

The engine does not end a program when its caller goes away. So each is started by a line of shell that first tells its process id, by which
it is killed; where it reads no input, that line also ends it once the connection closes, which it does when we die. A program that reads
sees the end of its input then.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from .._core.errors import NotThere, RunbookError, Unreachable
from .._core.probe import Deadline
from ._child_process import Child, Command, Patience, Tail

_SOCKET = "/var/run/docker.sock"
_READER = ("sh", "-c", 'echo $$; exec "$@"', "sh")
# The guard is an orphan for a moment when the program ended by itself, and where PostgreSQL is process 1 it becomes a child of the server:
# it must end with status 0, since the server takes any other end of a child for a crash of its own.
_GUARDED = ("sh", "-c", 'exec 3<&0; (read -r end <&3; kill -KILL $$; exit 0) >/dev/null 2>&1 & exec 3<&-; echo $$; exec "$@" </dev/null', "sh")
_KILLER = ("sh", "-c", 'kill -KILL "$1"', "sh")
_HEADER = 8
_QUICK_SECONDS = 10.0
_BLOCK = 1 << 20


class Container:
    """Programs in the container ``name``, run there as ``user``."""

    def __init__(self, name: str, user: str) -> None:
        self._name, self._user = name, user
        host = os.environ.get("DOCKER_HOST", "")
        if host and not host.startswith("unix://"):
            raise RunbookError(f"DOCKER_HOST is {host}: only a local engine is used", "run this on the host of the container")
        self._address = host[len("unix://") :] or _SOCKET

    def start(self, command: Command) -> Child:
        """Start it. Raises NotThere for an unknown container, Unreachable without an engine."""
        argv = [*(_READER if command.reads_input else _GUARDED), *command.argv]
        exec_id = self._create(argv, command.environment, command.patience.deadline)
        connection, first = self._attach(exec_id, command.patience.deadline)
        child = ContainerChild(self, exec_id, command.patience, connection)
        try:
            child.begin(first, command.argv[0])
        except BaseException:
            child.kill()
            raise
        return child

    def _create(self, argv: Sequence[str], environment: Mapping[str, str], deadline: Deadline) -> str:
        body = {
            "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False, "User": self._user, "Cmd": list(argv),
            "Env": [f"{name}={value}" for name, value in environment.items()],
        }  # fmt: skip
        return str(self._ask("POST", f"/containers/{quote(self._name, safe='')}/exec", body, deadline)["Id"])

    def status(self, exec_id: str, patience: Patience) -> int:
        """How a program ended whose output is over."""
        left = Patience(patience.what, patience.deadline).timer()
        while True:
            found = self._ask("GET", f"/exec/{exec_id}/json", None, patience.deadline)
            if not found.get("Running") and found.get("ExitCode") is not None:
                code = int(found["ExitCode"])
                return 128 - code if 128 < code < 160 else code  # a shell's way to tell of a signal
            time.sleep(min(0.05, left()))

    def kill(self, pid: str) -> None:
        """End the process with this number in the container."""
        deadline = Deadline(_QUICK_SECONDS, time.monotonic)
        exec_id = self._create([*_KILLER, pid], {}, deadline)
        connection, _first = self._attach(exec_id, deadline)
        with connection:  # it ends with the killer
            while connection.recv(_BLOCK):
                pass

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, deadline: Deadline) -> dict[str, Any]:
        """One small request and its answer."""
        with closing(_Engine(self._connected(deadline))) as engine:
            try:
                engine.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
                answer = engine.getresponse()
                said = answer.read(_BLOCK)
            except (OSError, HTTPException) as error:
                raise Unreachable(f"the container engine broke off: {error or type(error).__name__}", "see its own log") from None
        return self._checked(answer.status, said)

    def _attach(self, exec_id: str, deadline: Deadline) -> tuple[socket.socket, bytes]:
        """The connection that becomes the program's input and output, and what of the output came with the engine's answer."""
        connection = self._connected(deadline)
        try:
            body = b'{"Detach": false, "Tty": false}'
            head = f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            said = b""
            while b"\r\n\r\n" not in said:
                block = connection.recv(_BLOCK)
                if not block:
                    raise Unreachable("the container engine broke off", "see its own log")
                said += block
            top, _gap, first = said.partition(b"\r\n\r\n")
            status = int(top.split()[1])
            if status not in (101, 200):
                self._checked(status, first)
                raise Unreachable(f"the container engine answers with status {status} where a connection was due", "see its own log")
            return connection, first
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise Unreachable(f"the container engine broke off: {error}", "see its own log") from None
            raise

    def _connected(self, deadline: Deadline) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(max(0.01, min(_QUICK_SECONDS, deadline.remaining())))
            connection.connect(self._address)
        except OSError as error:
            connection.close()
            raise Unreachable(f"the container engine at {self._address} does not answer: {error.strerror}", "see whether it runs; use become: true") from None
        return connection

    def _checked(self, status: int, said: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(said)
        except ValueError:
            answer = {}
        if 200 <= status < 300 and isinstance(answer, dict):
            return answer
        message = answer.get("message") if isinstance(answer, dict) else None
        if status == 404:
            raise NotThere(f"there is no container {self._name}: {message}", "correct the name of the container in the inventory")
        raise Unreachable(f"the container engine answers: {message or f'status {status}'}", f"see whether the container {self._name} runs")


class _Engine(HTTPConnection):
    """HTTP on a socket that is connected."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__("localhost")
        self.sock = connection


class ContainerChild:
    """A program in a container; see Child. Its output and errors come in frames: one byte of stream, three of nothing, four of length, the data."""

    def __init__(self, container: Container, exec_id: str, patience: Patience, connection: socket.socket) -> None:
        self._container, self._exec_id, self._patience, self._connection, self._tail = container, exec_id, patience, connection, Tail()
        self._connection.setblocking(False)
        self._header = b""  # as much as came of it
        self._stream, self._left = 0, 0  # of the frame that is being read
        self._held: deque[bytes] = deque()
        self._pid, self._over, self._ended = "", False, False

    def __enter__(self) -> ContainerChild:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def begin(self, first: bytes, program: str) -> None:
        """Reads what the line of shell tells before it becomes the program; ``first`` came with the engine's answer."""
        self._sort(first)
        line = b""
        while b"\n" not in line:
            block = self.read(_BLOCK)
            line += block or b"\n"
        told, _end, rest = line.partition(b"\n")
        if not told.isdigit():
            said = told.decode("utf-8", "replace").strip() or self.said() or "it says nothing"
            raise RunbookError(f"{program} cannot be run in the container: {said}", "see whether the image has sh, and whether the user is right")
        self._pid = told.decode("ascii")
        if rest:
            self._held.appendleft(rest)

    def read(self, size: int) -> bytes:
        """See Child."""
        left = self._patience.timer()
        while not self._held and not self._over:
            self._take(size, left())
        if not self._held:
            return b""
        block = self._held.popleft()
        if len(block) > size:
            self._held.appendleft(block[size:])
        return block[:size]

    def wait_readable(self, seconds: float | None = None) -> bool:
        """See Child."""
        left = self._patience.timer()
        until = None if seconds is None else time.monotonic() + seconds
        while not self._held and not self._over:
            rest = left() if until is None else min(left(), until - time.monotonic())
            if rest <= 0:
                return False
            self._take(_BLOCK, rest)
        return True

    def write(self, data: bytes) -> None:
        """See Child."""
        rest = memoryview(data)
        while rest:
            left = self._patience.timer()
            while True:
                event = self._wait(select.POLLIN | select.POLLOUT, left())
                if event & ~select.POLLOUT:  # what it says is taken in, so that it never waits for us
                    self._take(_BLOCK, 0)
                if self._over:
                    raise BrokenPipeError
                if event == select.POLLOUT:
                    break
            try:
                rest = rest[self._connection.send(rest) :]
            except ConnectionResetError:
                raise BrokenPipeError from None

    def close_input(self) -> None:
        """See Child."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def finish(self) -> int:
        """See Child."""
        left = Patience(self._patience.what, self._patience.deadline).timer()
        while not self._over:
            self._take(_BLOCK, left())
            self._held.clear()
        code = self._container.status(self._exec_id, self._patience)
        self._ended = True
        return code

    def said(self) -> str:
        """See Child."""
        return self._tail.text()

    def kill(self) -> None:
        """See Child."""
        if self._pid and not self._ended:
            with suppress(RunbookError, OSError):  # an engine that is gone, or a container that stopped, keeps no program
                self._container.kill(self._pid)
        self._ended = self._over = True
        self._connection.close()

    def _wait(self, events: int, seconds: float) -> int:
        poll = select.poll()
        poll.register(self._connection, events)
        found = poll.poll(seconds * 1000)
        return found[0][1] if found else 0

    def _take(self, size: int, seconds: float) -> None:
        """One look at the connection. Header and data are read apart, so that data is never copied together."""
        if not self._wait(select.POLLIN, seconds):
            return
        try:
            block = self._connection.recv(min(size, self._left) or _HEADER - len(self._header))
        except ConnectionResetError:  # how a socket ends when what we fed was not read
            block = b""
        except OSError as error:
            raise Unreachable(f"the container engine broke off: {error}", "see its own log") from None
        self._over = not block
        if self._over and (self._left or self._header):
            raise Unreachable("the container engine broke off in the middle of a frame", "see its own log")
        self._sort(block)

    def _sort(self, block: bytes) -> None:
        """Data of the program goes to ``_held``, its errors to the tail."""
        while block:
            if not self._left:
                need = _HEADER - len(self._header)
                self._header, block = self._header + block[:need], block[need:]
                if len(self._header) == _HEADER:
                    self._stream, self._left, self._header = self._header[0], int.from_bytes(self._header[4:], "big"), b""
                continue
            data, block = block[: self._left], block[self._left :]
            self._left -= len(data)
            if self._stream == 2:
                self._tail.add(data)
            else:
                self._held.append(data)
