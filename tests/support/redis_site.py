# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of Redis as a source and a target share: contexts, artifacts, and a stand-in for the unit that runs a server."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context, Taken
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.redis_backup import Source
from ansible_collections.tradeops.runbook.tests.support.redis import Server
from ansible_collections.tradeops.runbook.tests.support.waiting import until


def context(tag: str = "20261121T120000Z-aaaaaaaa", seconds: float = 60.0, scratch: bool = False) -> Context:
    return Context(Deadline(seconds, time.monotonic), time.time(), tag, scratch)


def way_to(server: Server, **more: Any) -> dict[str, Any]:
    """Options that lead to it."""
    return {"host": "127.0.0.1", "port": server.port, **more}


def backed_up(options: Mapping[str, Any], seconds: float = 60.0) -> tuple[bytes, Taken]:
    """All bytes of a backup, and what is known of it."""
    source = Source(options, context(seconds=seconds))
    with source.open() as stream:
        data = b"".join(iter(lambda: stream.read(65536), b""))
    return data, source.taken()


def stream_of(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)


def alive(pid: int) -> bool:
    """Also a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Unit:
    """Runs ``server`` as systemd would; also for a process that was forked off. ``calls`` is what was asked of it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.calls: list[str] = []

    def stop(self, deadline: Deadline) -> None:
        self.calls.append("stop")
        pid = self.pid(deadline)
        if pid:
            os.kill(pid, signal.SIGTERM)
            until(lambda: not alive(pid))

    def start(self, deadline: Deadline) -> None:
        self.calls.append("start")
        if not self.pid(deadline):
            self._server.stop()
            self._server.start()

    def path(self, inside: str, deadline: Deadline) -> str:
        return inside

    def pid(self, deadline: Deadline) -> int:
        try:
            told = self._server.ask("INFO", "server").decode()
        except (OSError, EOFError):
            return 0
        return int(told.partition("process_id:")[2].split()[0])
