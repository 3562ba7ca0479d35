# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A socket for http.client whose every read gets the time that is left: a socket's own time-out starts anew with each byte."""

from __future__ import annotations

import io
import socket

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Patience(Protocol):
        """How long the next step may take."""

        def timeout(self) -> float:
            """Seconds, above zero; raises ``passed`` when none are left."""

        def passed(self) -> Exception:
            """The error for what took too long."""


class _TimedReader(io.RawIOBase):
    def __init__(self, connection: socket.socket, left: Patience) -> None:
        self._connection = connection
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._left.timeout())
        return self._connection.recv_into(buffer)


class TimedSocket:
    """The part of a socket that http.client uses."""

    def __init__(self, connection: socket.socket, left: Patience) -> None:
        self._connection = connection
        self._left = left

    def makefile(self, mode: str) -> io.BufferedReader:
        """Reads from here."""
        return io.BufferedReader(_TimedReader(self._connection, self._left))

    def sendall(self, data: bytes) -> None:
        """Sends everything."""
        self._connection.settimeout(self._left.timeout())
        self._connection.sendall(data)

    def close(self) -> None:
        """Left to the one who opened the socket: http.client closes before the body is read."""
