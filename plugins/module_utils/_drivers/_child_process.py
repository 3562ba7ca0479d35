# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that is fed and read as it runs, and is owned: it never outlives the work it was started for, however that ends."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .._core.errors import InvalidInput, Refused, RunbookError, TimedOut
from .._core.probe import Deadline

PIPE_BYTES = 1 << 19
"""What a pipe holds, and is read and written at once: large enough for few switches between programs, small enough for the processor's cache."""

PAUSE_SECONDS = 0.0003
"""Meanwhile a pipe fills, or empties: ten times fewer and larger blocks, and less time of the processor."""

_TAIL_BYTES = 8192
_F_SETPIPE_SZ = 1031  # fcntl has the name from Python 3.10 on
_PR_SET_PDEATHSIG = 1  # prctl(2)
_KILL_SECONDS = 10.0


class Stalled(TimedOut):
    """It runs, and does nothing."""

    code = "stalled"


@dataclass(frozen=True)
class Patience:
    """How long to wait for ``what``: until the deadline, and never ``stall_seconds`` (None: no such limit) without any sign of life."""

    what: str
    deadline: Deadline
    stall_seconds: float | None = None

    def timer(self) -> Callable[[], float]:
        """Seconds that the wait which begins now may still last, above zero. Raises TimedOut or Stalled."""
        began = time.monotonic()

        def left() -> float:
            whole = self.deadline.remaining()
            if whole <= 0:
                raise TimedOut(f"{self.what} was not done when its time was over", "allow more time, or see what slows it down")
            if self.stall_seconds is None:
                return whole
            quiet = began + self.stall_seconds - time.monotonic()
            if quiet <= 0:
                raise Stalled(f"{self.what} gave no sign of life for {self.stall_seconds:g} s", "see the server's log and load, and the network between")
            return min(whole, quiet)

        return left


@dataclass(frozen=True)
class Command:
    """A program to start. ``inherited`` are descriptors that it gets under the same numbers."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    patience: Patience
    reads_input: bool = False
    inherited: tuple[int, ...] = ()


class Child(Protocol):
    """A program at work, here or in a container. As a context manager it is killed and reaped on every way out."""

    def read(self, size: int) -> bytes:
        """Some of what it prints, at most ``size`` bytes; b"" once it closed its output. Raises TimedOut, Stalled."""

    def wait_readable(self, seconds: float | None = None) -> bool:
        """Whether ``read`` will not wait; with no ``seconds`` it waits as long as patience allows."""

    def write(self, data: bytes) -> None:
        """All of ``data`` to its input. Raises BrokenPipeError when it reads no more; TimedOut, Stalled."""

    def close_input(self) -> None:
        """The end of its input."""

    def finish(self) -> int:
        """Its exit status (negative: the signal that ended it), once it ended by itself. Raises TimedOut."""

    def said(self) -> str:
        """The end of what it wrote to its standard error."""

    def kill(self) -> None:
        """End it now. Does nothing when it ended."""

    def __enter__(self) -> Child: ...

    def __exit__(self, *_error: object) -> None: ...


class Tail:
    """The last few thousand bytes of something."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """More of it."""
        self._data += data
        del self._data[:-_TAIL_BYTES]

    def text(self) -> str:
        """As far as it is text."""
        return self._data.decode("utf-8", "replace").strip()


class HostChild:
    """A program on this host, in a session of its own. It dies with the thread that started it, since the kernel sees to that."""

    def __init__(self, command: Command, account: pwd.struct_passwd | None) -> None:
        self._patience, self._tail = command.patience, Tail()
        self._process = _start(command, account)
        self._out, self._errors = self._process.stdout.fileno(), self._process.stderr.fileno()  # type: ignore[union-attr]  # both are pipes
        self._in = self._process.stdin.fileno() if self._process.stdin else -1
        self._hears = True
        for descriptor in (self._in, self._out, self._errors):
            if descriptor >= 0:
                os.set_blocking(descriptor, False)
        for descriptor in (self._in, self._out):
            if descriptor >= 0:
                _widen(descriptor)

    def __enter__(self) -> HostChild:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def read(self, size: int) -> bytes:
        """See Child."""
        self._wait(self._out, select.POLLIN, self._patience.timer())
        return os.read(self._out, size)

    def wait_readable(self, seconds: float | None = None) -> bool:
        """See Child."""
        left = self._patience.timer()
        if seconds is None:
            return self._wait(self._out, select.POLLIN, left)
        return self._ready(self._out, select.POLLIN, min(seconds, left()))

    def write(self, data: bytes) -> None:
        """See Child."""
        rest = memoryview(data)
        while rest:
            self._wait(self._in, select.POLLOUT, self._patience.timer())
            rest = rest[os.write(self._in, rest) :]
            if rest:
                time.sleep(PAUSE_SECONDS)

    def exchange(self, data: bytes | memoryview, size: int) -> tuple[int, bytes | None]:
        """Of ``data`` what fits now, and at most ``size`` bytes of what it printed: how many bytes it took, and what was read.

        For a program that prints while it is fed: neither of us ever waits for the other. What was read is None when nothing was there yet,
        b"" once it closed its output. Raises BrokenPipeError when it reads no more; TimedOut, Stalled.
        """
        left, taken, found = self._patience.timer(), 0, None
        wanted = {self._out: select.POLLIN, **({self._in: select.POLLOUT} if data else {})}
        ready: set[int] = set()
        while not ready:
            ready = self._look(wanted, left())
        if self._out in ready:
            found = os.read(self._out, size)
        if self._in in ready:
            taken = os.write(self._in, data)
        return taken, found

    def close_input(self) -> None:
        """See Child."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()

    def finish(self) -> int:
        """See Child."""
        left = Patience(self._patience.what, self._patience.deadline).timer()
        while self._hears:
            self._ready(self._errors, select.POLLIN, left())
        try:
            return self._process.wait(left())
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self._patience.what} does not end", "see what it waits for") from None

    def said(self) -> str:
        """See Child."""
        return self._tail.text()

    def kill(self) -> None:
        """See Child."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads its own group, and is not reaped yet: the number is still its own
            try:
                self._process.wait(_KILL_SECONDS)
            except subprocess.TimeoutExpired:  # it hangs in the kernel: init will reap it
                pass
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe and not pipe.closed:
                pipe.close()
        self._hears = False

    def _wait(self, descriptor: int, event: int, left: Callable[[], float]) -> bool:
        while not self._ready(descriptor, event, left()):
            pass
        return True

    def _ready(self, descriptor: int, event: int, seconds: float) -> bool:
        return descriptor in self._look({descriptor: event}, seconds)

    def _look(self, wanted: Mapping[int, int], seconds: float) -> set[int]:
        """Which of ``wanted`` are ready after one look; what the program says meanwhile is taken in, so that it never waits for us."""
        poll = select.poll()
        if self._hears:
            poll.register(self._errors, select.POLLIN)
        for descriptor, event in wanted.items():
            if descriptor != self._errors:
                poll.register(descriptor, event)
        found = {number for number, _events in poll.poll(seconds * 1000)}
        if self._errors in found:
            said = os.read(self._errors, PIPE_BYTES)
            self._tail.add(said)
            self._hears = bool(said)
        return found & set(wanted)


class Host:
    """Programs on this host; as another system user where ``os_user`` is given, which takes root."""

    def __init__(self, os_user: str | None = None) -> None:
        self._account = None
        if os_user:
            try:
                self._account = pwd.getpwnam(os_user)
            except KeyError:
                raise InvalidInput(f'there is no system user "{os_user}"', "correct os_user") from None
            if os.geteuid() not in (0, self._account.pw_uid):
                raise Refused(f'programs can be run as "{os_user}" only by root', "use become: true, or leave os_user out")
            if os.geteuid():
                self._account = None

    def start(self, command: Command) -> Child:
        """Start it."""
        for descriptor in command.inherited:
            if self._account:
                os.fchown(descriptor, self._account.pw_uid, self._account.pw_gid)
        return HostChild(command, self._account)


def _start(command: Command, account: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    environment = dict(command.environment)
    identity: dict[str, Any] = {}
    if account:
        environment["HOME"] = account.pw_dir
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": os.getgrouplist(account.pw_name, account.pw_gid)}
    try:
        return subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(command.argv), stdin=subprocess.PIPE if command.reads_input else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd="/", bufsize=0, pass_fds=command.inherited, start_new_session=True, preexec_fn=_last_steps(), **identity,
        )  # fmt: skip
    except OSError as error:
        raise RunbookError(f"{command.argv[0]} cannot be run: {error.strerror}", "see whether it is installed and may be run") from None


def _last_steps() -> Callable[[], None]:
    """What the child does before it becomes the program. Everything it needs is made before the fork."""
    libc, us = ctypes.CDLL(None), os.getpid()

    def take() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file with a secret in it
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != us:  # we died in between
            os._exit(1)

    return take


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:  # the user's share of pipe memory is used up: slower, and still right
        pass
