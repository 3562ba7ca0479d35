# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with a Redis server for looking at it: never longer than it may, and reached as a health check's connection says."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._core.backup_types import Context
from .._core.errors import Busy, RunbookError, TimedOut
from ._connect import resolve
from ._container_address import host_of
from ._engine_api import EngineApi
from ._redis_client import Client, CommandRefused, Denied, Session
from ._time_left import TimeLeft

RIGHTS = "+ping +info +config|get +select +type +getrange +hget +hlen +llen +scard +zcard +xlen +pttl, and ~ the keys that are read"
"""What the checks ask."""


class _Reached(Client):
    """A client whose host is known, with the connection's own name for it."""

    def __init__(self, options: Mapping[str, Any], left: TimeLeft) -> None:
        host = "" if options.get("unix_socket") else host_of(options, left, options.get("host") or "127.0.0.1")
        if host and not host.startswith("/"):
            resolve(host, options.get("port") or 6379, left)  # redis-py would wait for a silent resolver without an end
        given = {**options, "host": host, "container": None, "stall_timeout_seconds": left.timeout()}
        super().__init__(given, Context(left.deadline, 0.0, "health"), RIGHTS)
        self._place = place_of(options)
        self.started = 0.0

    def _connection(self) -> Any:
        found = super()._connection()
        self.started = time.monotonic()  # loading the library does not count
        return found

    @property
    def place(self) -> str:
        """Where the data is, for people."""
        return self._place


def place_of(options: Mapping[str, Any]) -> str:
    """Where the data is, for people."""
    if options.get("container"):
        return f"redis in container {options['container']}"
    return f"redis on {options.get('unix_socket') or '{}:{}'.format(options.get('host') or '127.0.0.1', options.get('port') or 6379)}"


def room_of(options: Mapping[str, Any], left: TimeLeft) -> int:
    """Bytes of memory that the server's container may use; 0 without a limit, or without a container."""
    if not options.get("container"):
        return 0
    found = EngineApi(left).named([options["container"]])
    return int(found[0]["HostConfig"].get("Memory") or 0) if found else 0


@contextmanager
def opened(options: Mapping[str, Any], left: TimeLeft) -> Iterator[tuple[Session, float]]:
    """A session and the seconds until it was logged in and the server has answered a PING: it is not loading its data, and no script holds it up.

    Raises Unreachable (also AuthFailed, TlsFailed), Busy, TimedOut, Denied, MissingLibrary.
    """
    try:
        client = _Reached(options, left)
        with client.session() as session:
            _ping(session)
            latency = time.monotonic() - client.started
            if options.get("database"):
                session.ask("SELECT", options["database"])
            yield session, latency
    except TimedOut:
        raise left.passed() from None
    except CommandRefused as error:
        raise _busy(error) from None


def config(session: Session, name: str) -> str | None:
    """A parameter of the configuration; None where this user may not see it, or there is none of that name."""
    try:
        found = session.ask("CONFIG", "GET", name)
    except (Denied, CommandRefused):
        return None
    values = list(found.values()) if isinstance(found, dict) else found[1::2]  # by the newer protocol and by the older one
    return str(values[0].decode("utf-8", "replace")) if values else None


def _ping(session: Session) -> None:
    try:
        session.ask("PING")
    except CommandRefused as error:
        # What it cannot save it does not take, nor a PING; nor does a replica without its master (MASTERDOWN, a word that redis-py cuts off). INFO says why.
        if "MISCONF" not in error.message and "Link with MASTER is down" not in error.message:
            raise


def _busy(error: CommandRefused) -> RunbookError:
    if "BUSY " in error.message:
        return Busy(error.message, "a script holds the server up: see what it does, and SCRIPT KILL")
    return error
