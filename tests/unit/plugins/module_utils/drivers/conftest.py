# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all drivers share: a probe, servers on loopback, and an ordinary user."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, Probe
from ansible_collections.tradeops.runbook.tests.support import ports
from ansible_collections.tradeops.runbook.tests.support.children import answer

NOBODY = 65534


@pytest.fixture
def probe_of() -> Callable[..., Probe]:
    """Makes a probe: seconds until the deadline of the whole call, then any field of Probe."""

    def make(seconds: float = 30.0, **fields: Any) -> Probe:
        return Probe(Deadline(seconds, time.monotonic), fields.pop("now", time.time()), **fields)

    return make


@pytest.fixture
def probe(probe_of: Callable[..., Probe]) -> Probe:
    return probe_of()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Starts a server on loopback that handles each connection with the given function; gives its port."""
    with contextlib.ExitStack() as stack:

        def start(handle: Callable[[socket.socket], None]) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=_accept, args=(listener, handle), daemon=True).start()
            return int(listener.getsockname()[1])

        yield start


def _accept(listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _address = listener.accept()
            with connection, contextlib.suppress(OSError):
                handle(connection)


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose queue is full, so that the kernel answers nobody."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _number in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@pytest.fixture
def as_nobody(tmp_path: Path) -> Callable[[Callable[[], Any]], Any]:
    """Calls a function as an ordinary user, in a child process when the tests run as root; returns or raises what it does."""
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest-of-" in str(folder):  # pytest closes its own folders to others; nothing above them is touched
            folder.chmod(0o755)

    def call(work: Callable[[], Any]) -> Any:
        if os.geteuid() != 0:
            return work()
        return answer(lambda: _become_nobody() or work())

    return call


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
