# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine of this host, asked through its socket. See the Docker Engine API, Exec, Containers, Images (version 1.25 and newer)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from .._core.errors import Unreachable
from .._core.probe import Deadline
from ._engine_socket import Until, address, ask, broken_off, connected, refuse

_BLOCK = 1 << 20


class Engine:
    """Programs in the container ``name``: made, attached to, and asked about. Every call raises what ``_engine_socket`` raises."""

    ANSWER_SECONDS: ClassVar[float] = 10.0

    def __init__(self, name: str) -> None:
        address()
        self._name = name

    def create(self, body: Mapping[str, Any], deadline: Deadline) -> str:
        """The id of a program to come, ``body`` as in the API. Raises NotThere for an unknown container."""
        return str(self._ask("POST", f"/containers/{quote(self._name, safe='')}/exec", body, deadline)["Id"])

    def state(self, exec_id: str, deadline: Deadline) -> Mapping[str, Any]:
        """``Running`` and ``ExitCode`` of a program."""
        found: Mapping[str, Any] = self._ask("GET", f"/exec/{exec_id}/json", None, deadline)
        return found

    def attach(self, exec_id: str, deadline: Deadline) -> tuple[socket.socket, bytes]:
        """Starts it: the connection that becomes its input and output, and what of the output came with the engine's answer."""
        left = self._until(deadline)
        connection = connected(left)
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
                refuse(status, first)
            return connection, first
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, ValueError, IndexError)):  # the last two: what came is no HTTP
                raise broken_off(error, left) from None
            raise

    def inspect(self, deadline: Deadline) -> Mapping[str, Any]:
        """The container as the API tells it. Raises NotThere."""
        found: Mapping[str, Any] = self._ask("GET", f"/containers/{quote(self._name, safe='')}/json", None, deadline)
        return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, deadline: Deadline) -> Any:
        return ask(method, path, self._until(deadline), body)

    def _until(self, deadline: Deadline) -> Until:
        return Until(deadline, self.ANSWER_SECONDS, least=0.01)
