# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs inside a running container, fed and read through the container engine.

The engine does not end a program when its caller goes away; and two seconds after a program's end it throws away, without a word, what nobody
fetched of its output. So a program that reads no input runs below a few lines of shell: they end it once the connection closes, which it does
when we die, and else put a mark behind its output, and stay until that has arrived. A program that reads input sees the end of it instead.
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .._core.errors import RunbookError, Unreachable
from .._core.probe import Deadline
from ._child_process import Child, Command, Patience, Tail
from ._docker_engine import Engine

_READER = 'echo $$; exec "$@"'
# Nothing is left for process 1 to collect: where that is PostgreSQL, it takes the end of an orphan by a signal for a crash of its own. And only
# the shell kills, before it waited: until then nobody else gets the number of its child.
_GUARDED = """
exec 3<&0
mark=$1; shift
echo $$
trap 'kill -KILL $program; wait; exit 137' TERM
"$@" </dev/null 3<&- & program=$!
(read -r end <&3; kill -TERM $$) >/dev/null 2>&1 &
exec 3<&-
wait $program; status=$?
trap '' TERM
printf %s%03d "$mark" $status
wait
exit $status
"""
_STATUS_DIGITS = 3  # behind the mark
_HEADER = 8
_KILL_SECONDS = 5.0
_BLOCK = 1 << 18


class Container:
    """Programs in the container ``name``, run there as ``user``."""

    def __init__(self, name: str, user: str) -> None:
        self._engine, self._user = Engine(name), user

    def start(self, command: Command) -> Child:
        """Start it. Raises NotThere for an unknown container, Unreachable without an engine."""
        mark = "" if command.reads_input else secrets.token_hex(16)
        shell = ["sh", "-c", _GUARDED, "sh", mark] if mark else ["sh", "-c", _READER, "sh"]
        exec_id, connection, first = self._run([*shell, *command.argv], command.environment, command.patience.deadline)
        child = ContainerChild(self, exec_id, command.patience, connection)
        try:
            child.begin(first, command.argv[0], mark)
        except BaseException:
            child.kill()
            raise
        return child

    def _run(self, argv: Sequence[str], environment: Mapping[str, str], deadline: Deadline) -> tuple[str, socket.socket, bytes]:
        exec_id = self._engine.create({
            "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False, "User": self._user, "Cmd": list(argv),
            "Env": [f"{name}={value}" for name, value in environment.items()],
        }, deadline)  # fmt: skip
        return (exec_id, *self._engine.attach(exec_id, deadline))

    def status(self, exec_id: str, patience: Patience) -> int:
        """How a program ended whose output is over."""
        left = Patience(patience.what, patience.deadline).timer()
        while True:
            found = self._engine.state(exec_id, patience.deadline)
            if not found.get("Running") and found.get("ExitCode") is not None:
                return int(found["ExitCode"])
            time.sleep(min(0.05, left()))

    def kill(self, exec_id: str, pid: str) -> None:
        """End the program, which has the number ``pid`` in the container, if it still runs: else another one may have that number."""
        deadline = Deadline(_KILL_SECONDS, time.monotonic)
        if self._engine.state(exec_id, deadline).get("Running"):
            _id, connection, _first = self._run(["sh", "-c", 'kill -KILL "$1"', "sh", pid], {}, deadline)
            with connection:  # it ends with the killer
                while connection.recv(_BLOCK):
                    pass


class ContainerChild:
    """A program in a container; see Child. Its output and errors come in frames: one byte of stream, three of nothing, four of length, the data."""

    def __init__(self, container: Container, exec_id: str, patience: Patience, connection: socket.socket) -> None:
        self._container, self._exec_id, self._patience, self._connection, self._tail = container, exec_id, patience, connection, Tail()
        self._connection.setblocking(False)
        self._header = b""  # as much as came of it
        self._stream, self._left = 0, 0  # of the frame that is being read
        self._held: deque[bytes] = deque()
        self._pid, self._mark, self._last = "", b"", b""  # _last: the end of the output so far, which may turn out to be the mark
        self._status: int | None = None
        self._over, self._closed = False, False  # the output, the connection

    def __enter__(self) -> ContainerChild:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def begin(self, first: bytes, program: str, mark: str = "") -> None:
        """Reads what the shell tells before it runs the program; ``first`` came with the engine's answer, ``mark`` comes behind the output."""
        self._sort(first)
        line = b""
        while b"\n" not in line:
            line += self.read(_BLOCK) or b"\n"
        told, _end, rest = line.partition(b"\n")
        if not told.isdigit():
            said = told[:500].decode("utf-8", "replace").strip() or self.said() or "it says nothing"
            raise RunbookError(f"{program} cannot be run in the container: {said}", "see whether the image has sh, and whether the user is right")
        self._pid, self._mark = told.decode("ascii"), mark.encode("ascii")
        self._print(rest)

    def read(self, size: int) -> bytes:
        """See Child. As much as is there: every frame is small."""
        self.wait_readable()
        blocks = []
        while size and self._held:
            block = self._held.popleft()
            if len(block) > size:
                self._held.appendleft(block[size:])
            blocks.append(block[:size])
            size -= len(blocks[-1])
        return b"".join(blocks)

    def wait_readable(self, seconds: float | None = None) -> bool:
        """See Child."""
        left = self._patience.timer()
        until = None if seconds is None else time.monotonic() + seconds
        while not self._held and not self._over:
            rest = left() if until is None else min(left(), until - time.monotonic())
            if rest <= 0:
                return False
            self._take(rest)
        return True

    def write(self, data: bytes) -> None:
        """See Child."""
        rest = memoryview(data)
        while rest:
            left = self._patience.timer()
            while True:
                event = self._wait(select.POLLIN | select.POLLOUT, left())
                if event & ~select.POLLOUT:  # what it says is taken in, so that it never waits for us
                    self._take(0)
                if self._closed:
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
            self._take(left())
            self._held.clear()
        if self._mark:
            self.close_input()  # everything has arrived: the shell may end
        while not self._closed:
            self._take(left())
        if self._mark and self._status is None:
            raise Unreachable(f"{self._patience.what} was cut off in its container", "see whether the container was stopped or killed (docker ps -a)")
        code = self._container.status(self._exec_id, self._patience) if self._status is None else self._status
        return 128 - code if 128 < code < 160 else code  # a shell's way to tell of a signal

    def said(self) -> str:
        """See Child."""
        return self._tail.text()

    def kill(self) -> None:
        """See Child."""
        with suppress(RunbookError, OSError):  # an engine that is gone, or a container that stopped, keeps no program
            if self._mark:
                self._await_end()
            elif self._pid and not self._closed:
                self._container.kill(self._exec_id, self._pid)
        self._over = self._closed = True
        self._connection.close()

    def _await_end(self) -> None:
        """Of the shell, which ends the program; what is still printed is thrown away."""
        self.close_input()
        until = time.monotonic() + _KILL_SECONDS
        while not self._closed and time.monotonic() < until:
            self._take(until - time.monotonic())
            self._held.clear()

    def _wait(self, events: int, seconds: float) -> int:
        poll = select.poll()
        poll.register(self._connection, events)
        found = poll.poll(seconds * 1000)
        return found[0][1] if found else 0

    def _take(self, seconds: float) -> None:
        """One look at the connection."""
        if not self._wait(select.POLLIN, seconds):
            return
        try:
            block = self._connection.recv(_BLOCK)
        except ConnectionResetError:  # how a socket ends when what we fed was not read
            block = b""
        except OSError as error:
            raise Unreachable(f"the container engine broke off: {error}", "see its own log") from None
        if not block:
            self._over = self._closed = True
            if self._left or self._header:
                raise Unreachable("the container engine broke off in the middle of a frame", "see its own log")
        self._sort(block)

    def _sort(self, block: bytes) -> None:
        """Output goes to ``_held``, errors to the tail."""
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
                self._print(data)

    def _print(self, data: bytes) -> None:
        """Of the output the end is kept back, as long as it may be the mark, or a part of it."""
        if self._mark:
            data, size = self._last + data, len(self._mark) + _STATUS_DIGITS
            ends = range(max(0, len(data) - size), len(data))
            cut = next((at for at in ends if self._mark.startswith(data[at : at + len(self._mark)])), len(data))
            data, self._last = data[:cut], data[cut:]
            if len(self._last) == size:
                self._status, self._over = int(self._last[-_STATUS_DIGITS:]), True
        if data:
            self._held.append(data)
