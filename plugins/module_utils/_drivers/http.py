# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over the standard library: one request, bounded in time and size, never led to another host."""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from .._core.errors import InvalidInput, MissingLibrary, TimedOut, Unreachable, VerifyFailed
from .._core.probe import Deadline, Probe, Unmeasured
from .._core.times import parse_instant

MEASURES = {"status_code": "number", "latency": "s", "size": "B"}

_REDIRECTS = 3
_FUTURE_SECONDS = 60.0  # clocks of two machines may differ by this much before "in the future" means a wrong value


def dynamic_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """What ``read`` adds: each name, its ``.age`` (it is a point in time) and its ``.count`` (it is a list)."""
    found: dict[str, str] = {}
    for name, wanted in (options.get("read") or {}).items():
        found[name] = _reading(name, wanted).get("unit", "number")
        found[f"{name}.age"] = "s"
        found[f"{name}.count"] = "count"
    return found


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Request ``url`` and read the answer. Raises Unreachable, TimedOut or VerifyFailed when there is none that counts."""
    started = time.monotonic()
    answer = _Request(options, Deadline(probe.timeout(options["timeout_seconds"]), time.monotonic)).answer()
    measures: dict[str, Any] = {"status_code": answer.status, "latency": time.monotonic() - started, "size": len(answer.body)}
    if options.get("read"):
        measures.update(_read(options["read"], answer.body, probe))
    return measures


class _TimedReader(io.RawIOBase):
    """Reads a socket with the remaining time before every read: a socket's own time-out starts anew with each byte."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline.remaining()
        if left <= 0:
            raise TimeoutError("timed out")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _TimedSocket:
    """The part of a socket that http.client uses."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._connection, self._deadline))

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(max(0.001, self._deadline.remaining()))
        self._connection.sendall(data)

    def close(self) -> None:
        """Left to the one who opened the socket: http.client closes before the body is read."""


class _Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class _Request:
    """One request and the redirects of the same host it leads to."""

    def __init__(self, options: dict[str, Any], deadline: Deadline) -> None:
        self._options = options
        self._deadline = deadline
        self._headers = {"User-Agent": "tradeops.runbook", "Accept": "application/json, */*", "Connection": "close"}
        for given in (options.get("headers"), options.get("secret_headers")):
            self._headers.update({name: str(value) for name, value in (given or {}).items()})

    def answer(self) -> _Answer:
        url = self._options["url"]
        target = _checked(url)
        for _redirect in range(_REDIRECTS + 1):
            answer = self._exchange(target)
            if answer.status not in (301, 302, 303, 307, 308) or not answer.headers.get("Location"):
                return answer
            target = self._next(target, answer)
        raise VerifyFailed(f"{url} redirected more than {_REDIRECTS} times", "give the final address")

    def _next(self, target: SplitResult, answer: _Answer) -> SplitResult:
        following = _checked(urljoin(target.geturl(), answer.headers["Location"]))
        if following.hostname != target.hostname or (target.scheme == "https" and following.scheme == "http"):
            raise VerifyFailed(
                f"{self._options['url']} redirects to {following.scheme}://{following.hostname}, which is not followed",
                "give the address of the other host if that is what should be checked",
            )
        return following

    def _exchange(self, target: SplitResult) -> _Answer:
        url = self._options["url"]
        try:
            return self._talk(target)
        except (TimeoutError, socket.timeout):
            raise TimedOut(f"{url} did not answer within {self._options['timeout_seconds']:g} s", "see whether it hangs") from None
        except ssl.SSLCertVerificationError as error:
            raise VerifyFailed(f"the certificate of {url} is not trusted: {error.verify_message}", "renew it, or name its authority in ca_path") from None
        except socket.gaierror as error:
            raise Unreachable(f"{target.hostname} could not be resolved: {error.strerror}", "check the name and the resolver") from None
        except (http.client.HTTPException, ssl.SSLError) as error:
            raise VerifyFailed(f"{url} did not answer in HTTP: {type(error).__name__} {error}".rstrip(), "see what listens there") from None
        except ValueError as error:
            raise InvalidInput(f"the request to {url} cannot be sent: {error}", "correct its headers") from None
        except OSError as error:
            raise Unreachable(f"{url} did not answer: {error.strerror or error}", "see whether the service runs and listens there") from None

    def _talk(self, target: SplitResult) -> _Answer:
        limit = self._options["max_bytes"]
        with self._connect(target) as connected:
            connection = http.client.HTTPConnection(target.hostname or "")
            connection.sock = _TimedSocket(connected, self._deadline)
            path = (target.path or "/") + (f"?{target.query}" if target.query else "")
            connection.request(self._options["method"], path, headers={"Host": target.netloc, **self._headers})
            response = connection.getresponse()
            body = response.read(limit + 1)
        if len(body) > limit:
            raise InvalidInput(f"{self._options['url']} answered with more than {limit} bytes", "raise max_bytes, or check a smaller answer")
        return _Answer(response.status, response.headers, body)

    def _connect(self, target: SplitResult) -> socket.socket:
        port = target.port or (443 if target.scheme == "https" else 80)
        plain = socket.create_connection((target.hostname, port), timeout=max(0.001, self._deadline.remaining()))
        try:
            _refuse_metadata(plain.getpeername()[0])
            if target.scheme != "https":
                return plain
            plain.settimeout(max(0.001, self._deadline.remaining()))
            return _context(self._options).wrap_socket(plain, server_hostname=target.hostname)
        except BaseException:
            plain.close()
            raise


def _checked(url: str) -> SplitResult:
    target = urlsplit(url)
    if target.scheme not in ("http", "https") or not target.hostname:
        raise InvalidInput(f'"{url}" is not an http or https address')
    if target.username or target.password:
        raise InvalidInput("an address must not carry a name and password", "send them with secret_headers")
    return target


def _refuse_metadata(address: str) -> None:
    """Link-local addresses are where clouds answer with credentials; no service to be checked lives there."""
    if ipaddress.ip_address(address.split("%")[0]).is_link_local:
        raise InvalidInput(f"{address} is a link-local address, which is never requested")


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ca_path"))
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"ca_path {options.get('ca_path')} cannot be read: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not options["validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reading(name: str, wanted: Any) -> dict[str, Any]:
    """``components.llm`` or ``{path: llm_seconds, unit: s}`` or ``{path: last_trade, timezone: America/New_York}``."""
    reading = {"path": wanted} if isinstance(wanted, str) else wanted
    if not isinstance(reading, dict) or not reading.get("path") or set(reading) - {"path", "unit", "timezone"}:
        raise InvalidInput(f"http: read: {name}: write a JMESPath, or {{path: ..., unit: ..., timezone: ...}}")
    return reading


def _read(readings: Mapping[str, Any], body: bytes, probe: Probe) -> dict[str, Any]:
    """The values JMESPath finds in the JSON answer, and of those that have limits their age and count."""
    try:
        import jmespath
    except ImportError:
        raise MissingLibrary("jmespath", "python3-jmespath", "to read JSON answers") from None
    try:
        answer = json.loads(body)
    except ValueError:
        reason = Unmeasured(f"the answer is not JSON; it starts with {body[:40]!r}")
        return {name: reason for base in readings for name in (base, f"{base}.age", f"{base}.count") if name == base or name in probe.wanted}
    measures: dict[str, Any] = {}
    for name, wanted in readings.items():
        reading = _reading(name, wanted)
        try:
            measures[name] = jmespath.search(reading["path"], answer)
        except jmespath.exceptions.JMESPathError as error:
            raise InvalidInput(f"read: {name}: {reading['path']}: {error}") from None
        measures.update(_derived(name, measures[name], reading.get("timezone", ""), probe))
    return measures


def _derived(name: str, value: Any, zone: str, probe: Probe) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if f"{name}.count" in probe.wanted:
        found[f"{name}.count"] = len(value) if isinstance(value, (list, dict)) else Unmeasured(f"{name} is not a list")
    if f"{name}.age" in probe.wanted:
        try:
            age = probe.now - parse_instant(value, zone)
            found[f"{name}.age"] = age if age >= -_FUTURE_SECONDS else Unmeasured(f"{name} is {-age:.0f} s in the future")
        except InvalidInput as error:
            found[f"{name}.age"] = Unmeasured(f"{name}: {error.message}")
    return found
