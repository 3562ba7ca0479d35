# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes of tests."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def environment(**more: str) -> dict[str, str]:
    """For a new Python that can import the collection (import hooks of a test runner do not reach it): what the test has, and ``more``."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[5]), *sys.path]), **more}


def forked(work: Callable[[], object]) -> int:
    """The process number of a copy of this process that does ``work``; it ends with 0, or with 1 after an exception."""
    collecting = gc.isenabled()
    gc.disable()  # no thread is in the copy, and garbage that ends threads of its own would wait for them for ever (zstd)
    pid = os.fork()
    if pid and collecting:
        gc.enable()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def status_of(pid: int) -> int:
    """Waits for a child; its exit status, or the negative number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed(work: Callable[[], object], seconds: float) -> bool:
    """``work`` in a child that is killed after a while; whether it was still alive."""
    pid, end = forked(work), time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    status_of(pid)
    return True


def answer(work: Callable[[], Any]) -> Any:
    """Gives or raises what ``work`` does in a copy of this process."""
    receiving, sending = os.pipe()

    def tell() -> None:
        try:
            result = work()
        except BaseException as error:  # also the outcomes of pytest: a skip, a failure
            result = error
        with os.fdopen(sending, "wb") as file:
            pickle.dump(result, file)

    child = forked(tell)
    os.close(sending)
    with os.fdopen(receiving, "rb") as file:
        result = pickle.loads(file.read())
    status_of(child)
    if isinstance(result, BaseException):
        raise result
    return result
