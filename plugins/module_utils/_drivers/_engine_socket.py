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

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

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


def connected(seconds: float) -> socket.socket:
    """A connection, each step of which may take ``seconds``.

    Raises Unreachable without an engine that answers, TimedOut when it is too slow, RunbookError when it may not be asked.
    """
    path = address()
    if seconds <= 0:
        raise _too_slow()
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        connection.connect(path)
    except OSError as error:
        connection.close()
        if error.errno in (errno.EACCES, errno.EPERM):
            raise RunbookError(f"the container engine at {path} may not be asked", "use become: true, or the group docker") from None
        if isinstance(error, socket.timeout):
            raise _too_slow() from None
        raise Unreachable(f"the container engine at {path} does not answer: {error.strerror}", "see whether it runs (systemctl status docker)") from None
    return connection


def opened(connection: socket.socket, method: str, path: str, body: Any = None) -> HTTPResponse:
    """The answer to one request, its body not read yet. Raises NotThere for 404, Unreachable for every other bad status, TimedOut."""
    http = HTTPConnection("localhost")
    http.sock = connection
    try:
        http.request(method, path, None if body is None else json.dumps(body), {} if body is None else {"Content-Type": "application/json"})
        answer = http.getresponse()
    except (OSError, HTTPException) as error:
        raise broken_off(error) from None
    if not 200 <= answer.status < 300 and answer.status != 304:  # that one: it is so already
        refuse(answer.status, _read(answer, method, path))
    return answer


def ask(method: str, path: str, seconds: float, body: Any = None) -> Any:
    """One small request and the document that answers it; an empty one for 204 and 304, which have no content."""
    with closing(connected(seconds)) as connection:
        answer = opened(connection, method, path, body)
        said = _read(answer, method, path)
    return {} if answer.status in (204, 304) else _document(answer.status, said)


def refuse(status: int, said: bytes) -> None:
    """Raise what an answer of this status means."""
    answer = _document(status, said)
    message = answer.get("message") if isinstance(answer, dict) else None
    if status == 404:
        raise NotThere(f"the container engine answers: {message or 'there is no such thing'}", "correct the name in the inventory (docker ps -a)")
    raise Unreachable(f"the container engine answers: {message or f'status {status}'}", "see its own log, and: docker ps -a")


def broken_off(error: Exception) -> RunbookError:
    """What an error of the connection means."""
    if isinstance(error, socket.timeout):
        return _too_slow()
    return Unreachable(f"the container engine broke off: {error or type(error).__name__}", "see its own log")


def _read(answer: HTTPResponse, method: str, path: str) -> bytes:
    said = b""
    try:
        for block in iter(lambda: answer.read(_BLOCK), b""):
            said += block
            if len(said) > _LONGEST:
                raise Unreachable(f"the container engine answers {method} {path} with more than {_LONGEST} B", "see its own log")
    except (OSError, HTTPException) as error:
        raise broken_off(error) from None
    return said


def _document(status: int, said: bytes) -> Any:
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if not isinstance(answer, (dict, list)):
        raise Unreachable(f"the container engine answers: status {status}, and no document: {said[:100]!r}", "see what listens at its socket")
    return answer


def _too_slow() -> TimedOut:
    return TimedOut(f"the container engine at {address()} did not answer in time", "see whether it hangs (its own log), and how busy the host is")
