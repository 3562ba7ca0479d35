# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine of this host, asked through its socket. See the Docker Engine API, Exec, Containers, Images (version 1.25 and newer)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from .._core.errors import NotThere, RunbookError, Unreachable
from .._core.probe import Deadline

_SOCKET = "/var/run/docker.sock"
_QUICK_SECONDS = 10.0
_BLOCK = 1 << 20
_LONGEST = 1 << 24
"""More than this (bytes) is no answer about a container."""


class Engine:
    """Programs in the container ``name``: made, attached to, and asked about. Every call raises Unreachable without an engine that answers."""

    def __init__(self, name: str) -> None:
        self._name = name
        host = os.environ.get("DOCKER_HOST", "")
        if host and not host.startswith("unix://"):
            raise RunbookError(f"DOCKER_HOST is {host}: only a local engine is used", "run this on the host of the container")
        self._address = host[len("unix://") :] or _SOCKET

    def create(self, body: Mapping[str, Any], deadline: Deadline) -> str:
        """The id of a program to come, ``body`` as in the API. Raises NotThere for an unknown container."""
        return str(self._ask("POST", f"/containers/{quote(self._name, safe='')}/exec", body, deadline)["Id"])

    def state(self, exec_id: str, deadline: Deadline) -> Mapping[str, Any]:
        """``Running`` and ``ExitCode`` of a program."""
        found: Mapping[str, Any] = self._ask("GET", f"/exec/{exec_id}/json", None, deadline)
        return found

    def attach(self, exec_id: str, deadline: Deadline) -> tuple[socket.socket, bytes]:
        """Starts it: the connection that becomes its input and output, and what of the output came with the engine's answer."""
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
            if isinstance(error, (OSError, ValueError, IndexError)):  # the last two: what came is no HTTP
                raise Unreachable(f"the container engine broke off: {error}", "see its own log") from None
            raise

    def containers(self, labels: Mapping[str, str], deadline: Deadline) -> list[str]:
        """Ids of all containers with these labels, running or not."""
        filters = quote(json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]}), safe="")
        found: Any = self._ask("GET", f"/containers/json?all=1&filters={filters}", None, deadline)
        return [str(one["Id"]) for one in found]

    def inspect(self, deadline: Deadline) -> Mapping[str, Any]:
        """The container as the API tells it. Raises NotThere."""
        found: Mapping[str, Any] = self._ask("GET", f"/containers/{quote(self._name, safe='')}/json", None, deadline)
        return found

    def image(self, name: str, deadline: Deadline) -> Mapping[str, Any]:
        """An image as the API tells it."""
        found: Mapping[str, Any] = self._ask("GET", f"/images/{quote(name, safe='')}/json", None, deadline)
        return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, deadline: Deadline) -> Any:
        """One small request and its answer."""
        with closing(_Http(self._connected(deadline))) as http:
            try:
                http.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
                answer = http.getresponse()
                said = b""
                for block in iter(lambda: answer.read(_BLOCK), b""):
                    said += block
                    if len(said) > _LONGEST:
                        raise Unreachable(f"the container engine answers {method} {path} with more than {_LONGEST} B", "see its own log")
            except (OSError, HTTPException) as error:
                raise Unreachable(f"the container engine broke off: {error or type(error).__name__}", "see its own log") from None
        return self._checked(answer.status, said)

    def _connected(self, deadline: Deadline) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(max(0.01, min(_QUICK_SECONDS, deadline.remaining())))
            connection.connect(self._address)
        except OSError as error:
            connection.close()
            raise Unreachable(f"the container engine at {self._address} does not answer: {error.strerror}", "see whether it runs; use become: true") from None
        return connection

    def _checked(self, status: int, said: bytes) -> Any:
        try:
            answer = {} if status == 204 else json.loads(said)  # that one has no content
        except ValueError:
            answer = None
        if 200 <= status < 300 and isinstance(answer, (dict, list)):
            return answer
        message = answer.get("message") if isinstance(answer, dict) else None
        if status == 404:
            raise NotThere(f"there is no container {self._name}: {message}", "correct the name of the container in the inventory")
        told = message or f"status {status}, and no document: {said[:100]!r}"
        raise Unreachable(f"the container engine answers: {told}", f"see whether the container {self._name} runs")


class _Http(HTTPConnection):
    """HTTP on a socket that is connected."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__("localhost")
        self.sock = connection
