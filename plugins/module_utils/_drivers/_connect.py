# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names to addresses, and addresses to a connected socket, inside a deadline. Shared by the drivers that talk over TCP."""

from __future__ import annotations

import errno
import queue
import socket
import threading
from typing import Any

from .._core.errors import InvalidInput, RunbookError, Unreachable
from ._time_left import TimeLeft

lookup = socket.getaddrinfo  # a name of its own, so that a test can put a slow or broken resolver in its place

# Everything else (no permission, no file descriptors, a firewall on this machine) says nothing about the target.
_TARGET_ERRORS = {
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL,
}  # fmt: skip


def addresses_of(host: str, port: int | None, left: TimeLeft) -> list[Any]:
    """What getaddrinfo(3) says of ``host``. Raises ``socket.gaierror`` as it came; it means different things to different callers."""
    if not host or "\0" in host or (port is not None and not 0 < port < 65536):
        raise InvalidInput(f'"{host}" port {port} is not an address', "give a host name or address and a port from 1 to 65535")
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # getaddrinfo takes no time-out: it is asked in a thread that may be left behind
    threading.Thread(target=_look_up, args=(host, port, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=left.timeout())
    except queue.Empty:
        raise left.passed() from None
    if isinstance(answer, ValueError):
        raise InvalidInput(f'"{host}" cannot be a host name: {answer}', "correct it")
    if isinstance(answer, Exception):
        raise answer
    return list(answer)


def _look_up(host: str, port: int | None, answers: queue.SimpleQueue[Any]) -> None:
    try:
        answers.put(lookup(host, port, type=socket.SOCK_STREAM))
    except Exception as error:  # handed over to the thread that waits
        answers.put(error)


def resolve(host: str, port: int, left: TimeLeft) -> list[Any]:
    """The addresses to connect to. Raises Unreachable when the name has none."""
    try:
        return addresses_of(host, port, left)
    except socket.gaierror as error:
        raise Unreachable(
            f"{host} could not be resolved to an address: {error.strerror}", "check the name, and the resolver of this host (/etc/resolv.conf)"
        ) from None


def connect(host: str, addresses: list[Any], left: TimeLeft) -> socket.socket:
    """A socket connected to the first of ``addresses`` that answers. Raises Unreachable when all refuse or none answers."""
    errors: list[OSError] = []
    for number, (family, kind, protocol, _name, address) in enumerate(addresses):
        share = left.timeout() / (len(addresses) - number)  # so that a silent address leaves time for the others
        try:
            return _open(socket.socket(family, kind, protocol), address, share)
        except OSError as error:
            errors.append(error)
    raise _failed(host, addresses, errors, left)


def _open(connection: socket.socket, address: Any, seconds: float) -> socket.socket:
    try:
        connection.settimeout(seconds)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _failed(host: str, addresses: list[Any], errors: list[OSError], left: TimeLeft) -> RunbookError:
    silent = [isinstance(error, socket.timeout) and error.errno is None for error in errors]
    if all(silent):
        return left.passed()
    tried = "; ".join(f"{item[4][0]}: {error.strerror or 'no answer'}" for item, error in zip(addresses, errors))
    message = f"connecting to {host} port {addresses[0][4][1]} failed ({tried})"
    if any(silent) or any(error.errno in _TARGET_ERRORS for error in errors):
        return Unreachable(message, "see whether the service runs and listens there, and what a firewall says")
    return RunbookError(message, "this host itself prevents it: see its limits and its firewall")
