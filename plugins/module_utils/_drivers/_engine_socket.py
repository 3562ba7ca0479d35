# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question to the container engine of this host, over its socket. See the Docker Engine API (version 1.25 and newer)."""

from __future__ import annotations

import errno
import json
import os
import socket
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse

from .._core.errors import NotThere, RunbookError, TimedOut, Unreachable
from .._core.probe import Deadline
from ._timed_socket import TimedSocket

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from ._timed_socket import Patience

_SOCKET = "/var/run/docker.sock"
_BLOCK = 1 << 20
_LONGEST = 1 << 25
"""More than this (bytes) is no answer about a container."""


def address() -> str:
    """The path of the socket. Raises RunbookError where DOCKER_HOST names another host."""
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix://"):
        raise RunbookError(f"DOCKER_HOST is {host}: only a local engine is asked", "run this on the host of the containers")
    return host[len("unix://") :] or _SOCKET


class Until:
    """How long a step may take: until ``deadline``, at most ``most`` and at least ``least`` seconds."""

    def __init__(self, deadline: Deadline, most: float = float("inf"), least: float = 0.0) -> None:
        self._deadline, self._most, self._least = deadline, most, least

    def timeout(self) -> float:
        """Seconds, above zero; raises ``passed`` when none are left."""
        seconds = max(self._least, min(self._most, self._deadline.remaining()))
        if seconds <= 0:
            raise self.passed()
        return seconds

    def passed(self) -> TimedOut:
        """The error for an engine that is too slow."""
        return TimedOut(f"the container engine at {address()} did not answer in time", "see whether it hangs (its own log), and how busy the host is")


def connected(left: Patience) -> socket.socket:
    """A connection. Raises Unreachable without an engine that answers, ``left.passed()`` when it is too slow, RunbookError when it may not be asked."""
    path, connection = address(), socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(left.timeout())
        connection.connect(path)
    except BaseException as error:
        connection.close()
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.EACCES, errno.EPERM):
            raise RunbookError(f"the container engine at {path} may not be asked", "use become: true, or the group docker") from None
        if isinstance(error, socket.timeout):
            raise left.passed() from None
        raise Unreachable(f"the container engine at {path} does not answer: {error.strerror}", "see whether it runs (systemctl status docker)") from None
    return connection


def opened(connection: socket.socket, left: Patience, path: str, body: Any = None, method: str = "GET") -> HTTPResponse:  # house: what makes a request
    """The answer to one request, its body not read yet. Raises what ``refuse`` raises for a bad status, ``left.passed()`` when it takes too long."""
    http = HTTPConnection("localhost")
    http.sock = TimedSocket(connection, left)
    try:
        http.request(method, path, None if body is None else json.dumps(body), {} if body is None else {"Content-Type": "application/json"})
        answer = http.getresponse()
    except (OSError, HTTPException) as error:
        raise broken_off(error, left) from None
    if not 200 <= answer.status < 300 and answer.status != 304:  # that one: it is so already
        refuse(answer.status, _read(answer, left, path))
    return answer


def ask(method: str, path: str, left: Patience, body: Any = None) -> Any:
    """One small request and the document that answers it; an empty one for 204 and 304, which have no content."""
    with closing(connected(left)) as connection:
        answer = opened(connection, left, path, body, method)
        said = _read(answer, left, path)
    return {} if answer.status in (204, 304) else _document(answer.status, said)


def refuse(status: int, said: bytes) -> NoReturn:
    """Raise what an answer of this status means: NotThere for 404, RunbookError for what it cannot do, Unreachable for an engine that is not well."""
    try:
        message = json.loads(said)["message"]
    except (ValueError, LookupError, TypeError):
        message = None
    told = f"the container engine answers: {message or f'status {status}'}"
    if status == 404:
        raise NotThere(told, "correct the name in the inventory (docker ps -a)")
    if status == 501 or (status < 500 and status != 409):  # 409: the container does not run, or is going
        raise RunbookError(told, "see the container: docker ps -a, docker inspect")
    raise Unreachable(told, "see its own log, and: docker ps -a")


def broken_off(error: Exception, left: Patience) -> Exception:
    """What an error of the connection means."""
    if isinstance(error, socket.timeout):
        return left.passed()
    return Unreachable(f"the container engine broke off: {error or type(error).__name__}", "see its own log")


def _read(answer: HTTPResponse, left: Patience, path: str) -> bytes:
    said = b""
    try:
        for block in iter(lambda: answer.read(_BLOCK), b""):
            said += block
            if len(said) > _LONGEST:
                raise Unreachable(f"the container engine answers {path} with more than {_LONGEST} B", "see its own log")
    except (OSError, HTTPException) as error:
        raise broken_off(error, left) from None
    return said


def _document(status: int, said: bytes) -> Any:
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if not isinstance(answer, (dict, list)):
        raise Unreachable(f"the container engine answers: status {status}, and no document: {said[:100]!r}", "see what listens at its socket")
    return answer
