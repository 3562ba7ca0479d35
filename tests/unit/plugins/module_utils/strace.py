# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in a child process whose system calls strace(1) counts, lets fail, or turns into its death.

``SWEEP=all`` tries every position of a sweep, else the first, the middle and the last one of each system call are tried.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of

EVERYTHING = os.environ.get("SWEEP") == "all"
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

_PR_SET_PTRACER = 0x59616D61
_SECONDS = 60.0


@dataclass(frozen=True)
class Ended:
    """How the child ended: what ``work`` gave or raised, or that it was killed; ``calls`` are the lines of strace."""

    killed: bool
    result: Any
    error: BaseException | None
    calls: tuple[str, ...]

    @property
    def faulted(self) -> bool:
        """Whether the fault was reached at all."""
        return self.killed or any("(INJECTED)" in line or "(DELAYED)" in line for line in self.calls)


def traced(work: Callable[[], Any], log: Path, *options: str) -> Ended:
    """``work`` in a child that strace is attached to before it begins."""
    go, start = os.pipe()
    answer, tell = os.pipe()
    pid = forked(lambda: _child(work, go, start, tell))
    os.close(go)
    os.close(tell)
    argv = ["strace", "-f", "-q", "-o", str(log), "-p", str(pid), *options]
    with os.fdopen(answer, "rb") as file, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as strace:
        try:
            _wait_for_tracer(pid, strace)
            os.close(start)  # the child sees the end of the pipe, and begins
            told = file.read()
        finally:
            with contextlib.suppress(OSError):
                os.close(start)
            status = status_of(pid)
            strace.wait(_SECONDS)
    ok, value = pickle.loads(told) if told else (False, None)
    calls = tuple(line for line in log.read_text(errors="replace").splitlines() if "(" in line)
    return Ended(status < 0, value if ok else None, None if ok else value, calls)


def _child(work: Callable[[], Any], go: int, start: int, tell: int) -> None:
    os.close(start)
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)  # where only parents may trace
    os.read(go, 1)
    _tell(work, tell)


def _tell(work: Callable[[], Any], tell: int) -> None:
    try:
        told: Any = (True, work())
    except BaseException as error:  # a skip or a failure of pytest is none of Exception
        told = (False, error)
    try:
        left = pickle.dumps(told)
        pickle.loads(left)
    except Exception:
        left = pickle.dumps((False, AssertionError(f"{type(told[1]).__name__}: {told[1]}")))
    while left:
        left = left[os.writev(tell, [left]) :]  # a system call that nothing under test makes


def _wait_for_tracer(pid: int, strace: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _SECONDS
    while f"TracerPid:\t{strace.pid}\n" not in Path(f"/proc/{pid}/status").read_text():
        if strace.poll() is not None or time.monotonic() > ends:
            message = strace.stderr.read().decode() if strace.stderr else ""
            pytest.skip(f"strace cannot attach to a child here: {message.strip()}")
        time.sleep(0.001)


@dataclass(frozen=True)
class Fault:
    """``effect`` at the ``position``-th call of ``syscall``: ``signal=KILL`` or ``error=EIO``."""

    syscall: str
    effect: str
    position: int

    def __str__(self) -> str:
        return f"{self.effect} at {self.syscall} {self.position}"

    def strike(self, work: Callable[[], Any], log: Path) -> Ended:
        """Do ``work`` with it."""
        return traced(work, log, "-e", f"trace={self.syscall}", "-e", f"inject={self.syscall}:{self.effect}:when={self.position}")


def sweep(prepare: Callable[[], Callable[[], Any]], log: Path, effects: Iterable[tuple[str, str]]) -> Iterator[tuple[Fault, Ended]]:
    """Every (system call, effect) at every position, or at a few; each time on what ``prepare`` made anew, which gives the work."""
    wanted = list(effects)
    names = ",".join(sorted({syscall for syscall, _effect in wanted}))
    calls = traced(prepare(), log, "-e", f"trace={names}").calls
    counts = Counter(line.split("(")[0].split()[-1] for line in calls if "resumed>" not in line)
    for syscall, effect in wanted:
        most = counts[syscall]
        for position in range(1, most + 1) if EVERYTHING or most < 3 else (1, (most + 1) // 2, most):
            fault = Fault(syscall, effect, position)
            yield fault, fault.strike(prepare(), log)
