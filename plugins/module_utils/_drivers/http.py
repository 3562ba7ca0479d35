# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over the standard library: one request, bounded in time and size, never led to another host."""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from .._core.errors import InvalidInput, MissingLibrary, Unreachable, VerifyFailed
from .._core.probe import Probe, Unmeasured
from .._core.times import parse_instant
from ._connect import connect, resolve
from ._time_left import TimeLeft
from ._tls_context import trusting, verifying

MEASURES = {"status_code": "number", "latency": "s", "size": "B"}

_UNITS = ("s", "B", "percent", "count", "number", "boolean", "text")
_CLOUD_ADDRESSES = ("fd00:ec2::254", "100.100.100.200")  # metadata services that are not link-local

_REDIRECTS = 3
_FUTURE_SECONDS = 60.0  # clocks of two machines may differ by this much before "in the future" means a wrong value


def dynamic_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """What ``read`` adds: each name, its ``.age`` (it is a point in time) and its ``.count`` (it is a list)."""
    found: dict[str, str] = {}
    for name, wanted in (options.get("read") or {}).items():
        if name in MEASURES:
            raise InvalidInput(f"http: read: {name} is measured anyway", "give what is read another name")
        found[name] = _reading(name, wanted).get("unit", "number")
        found[f"{name}.age"] = "s"
        found[f"{name}.count"] = "count"
    return found


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Request ``url`` and read the answer. Raises Unreachable, TimedOut or VerifyFailed when there is none that counts."""
    started = time.monotonic()
    left = TimeLeft(probe, options["timeout_seconds"], f"{options['method']} {options['url']}", "see whether it hangs")
    answer = _Request(options, left).answer()
    measures: dict[str, Any] = {"status_code": answer.status, "latency": time.monotonic() - started, "size": len(answer.body)}
    if options.get("read"):
        measures.update(_read(options["read"], answer, probe))
    return measures


class _TimedReader(io.RawIOBase):
    """Reads a socket with the remaining time before every read: a socket's own time-out starts anew with each byte."""

    def __init__(self, connection: socket.socket, left: TimeLeft) -> None:
        self._connection = connection
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._left.timeout())
        return self._connection.recv_into(buffer)


class _TimedSocket:
    """The part of a socket that http.client uses."""

    def __init__(self, connection: socket.socket, left: TimeLeft) -> None:
        self._connection = connection
        self._left = left

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._connection, self._left))

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(self._left.timeout())
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

    def __init__(self, options: dict[str, Any], left: TimeLeft) -> None:
        self._options = options
        self._left = left
        given = {**(options.get("headers") or {}), **(options.get("secret_headers") or {})}
        self._given = {name: str(value) for name, value in given.items()}

    def _headers(self, target: SplitResult) -> dict[str, str]:
        """Ours unless the check gives its own, since servers refuse a field that comes twice."""
        ours = {"Host": target.netloc, "User-Agent": "tradeops.runbook", "Accept": "application/json, */*", "Connection": "close"}
        names = {name.lower() for name in self._given}
        return {**{name: value for name, value in ours.items() if name.lower() not in names}, **self._given}

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
        try:
            following = _checked(urljoin(target.geturl(), answer.headers["Location"]))
        except (InvalidInput, ValueError):
            raise VerifyFailed(f"{self._options['url']} redirects to what is no http or https address", "see its configuration") from None
        to_https = _origin(target) == ("http", target.hostname, 80) and _origin(following) == ("https", target.hostname, 443)
        if _origin(following) != _origin(target) and not to_https:  # another port is another service
            raise VerifyFailed(
                f"{self._options['url']} redirects to {following.scheme}://{following.netloc}, which is not followed",
                "give that address if it is what should be checked",
            )
        return following

    def _exchange(self, target: SplitResult) -> _Answer:
        url = self._options["url"]
        try:
            return self._talk(target)
        except socket.timeout:
            raise self._left.passed() from None
        except ssl.SSLCertVerificationError as error:
            raise VerifyFailed(f"the certificate of {url} is not trusted: {error.verify_message}", "renew it, or name its authority in ca_path") from None
        except (http.client.HTTPException, ssl.SSLError) as error:
            raise VerifyFailed(f"{url} did not answer in HTTP: {type(error).__name__} {error}".rstrip(), "see what listens there") from None
        except ValueError as error:
            raise InvalidInput(f"the request to {url} cannot be sent: {error}", "correct its address or its headers") from None
        except OSError as error:
            raise Unreachable(f"{url} did not answer: {error.strerror or error}", "see whether the service runs and listens there") from None

    def _talk(self, target: SplitResult) -> _Answer:
        limit = self._options["max_bytes"]
        with self._connect(target) as connected:
            connection = http.client.HTTPConnection("unused")  # it would take the end of an IPv6 address for a port
            connection.sock = _TimedSocket(connected, self._left)
            path = (target.path or "/") + (f"?{target.query}" if target.query else "")
            connection.request(self._options["method"], path, headers=self._headers(target))
            response = connection.getresponse()
            body = response.read(limit + 1)
        if len(body) > limit:
            raise InvalidInput(f"{self._options['url']} answered with more than {limit} bytes", "raise max_bytes, or check a smaller answer")
        if response.length:  # read(amount) does not mind
            raise VerifyFailed(f"{self._options['url']} broke off {response.length} bytes before the end of its answer", "see its log")
        return _Answer(response.status, response.headers, body)

    def _context(self) -> ssl.SSLContext:
        return verifying(self._options.get("ca_path")) if self._options["validate_certs"] else trusting()

    def _connect(self, target: SplitResult) -> socket.socket:
        host, port = target.hostname or "", _port(target)
        addresses = resolve(host, port, self._left)
        for address in addresses:
            _refuse_metadata(address[4][0])
        plain = connect(host, addresses, self._left)
        try:
            if target.scheme != "https":
                return plain
            plain.settimeout(self._left.timeout())
            return self._context().wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise


def _checked(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        good = target.scheme in ("http", "https") and target.hostname and target.port != 0
    except ValueError:  # half an IPv6 address, or a port that is none
        good = False
    if not good or re.search(r"[\0-\x20\x7f]", url):
        raise InvalidInput(f'"{url}" is not an http or https address')
    if "@" in target.netloc:
        raise InvalidInput("an address must not carry a name and password", "send them with secret_headers")
    return target


def _origin(target: SplitResult) -> tuple[str, str | None, int]:
    return target.scheme, target.hostname, _port(target)


def _port(target: SplitResult) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def _refuse_metadata(address: str) -> None:
    """Link-local addresses are where clouds answer with credentials; no service to be checked lives there."""
    given = ipaddress.ip_address(address.split("%")[0])
    found = getattr(given, "ipv4_mapped", None) or given
    if found.is_link_local or str(found) in _CLOUD_ADDRESSES:
        raise InvalidInput(f"{address} is a link-local address or one of a cloud's own, which are never requested")


def _reading(name: str, wanted: Any) -> dict[str, Any]:
    """``components.llm`` or ``{path: llm_seconds, unit: s}`` or ``{path: last_trade, timezone: America/New_York}``."""
    reading = {"path": wanted} if isinstance(wanted, str) else wanted
    if not isinstance(reading, dict) or not reading.get("path") or set(reading) - {"path", "unit", "timezone"}:
        raise InvalidInput(f"http: read: {name}: write a JMESPath, or {{path: ..., unit: ..., timezone: ...}}")
    if not all(isinstance(value, str) for value in reading.values()) or reading.get("unit", "number") not in _UNITS:
        raise InvalidInput(f"http: read: {name}: path and timezone are texts, and units are {', '.join(_UNITS)}")
    return reading


def _read(readings: Mapping[str, Any], given: _Answer, probe: Probe) -> dict[str, Any]:
    """The values JMESPath finds in the JSON answer, and of those that have limits their age and count."""
    try:
        import jmespath
    except ImportError:
        raise MissingLibrary("jmespath", "python3-jmespath", "to read JSON answers") from None
    try:
        answer = json.loads(given.body)
    except (ValueError, RecursionError):
        # not its first characters: a secret that it echoes would be cut, and half a secret is not recognized
        reason = Unmeasured(f"the answer of {len(given.body)} bytes is not JSON but {given.headers.get('Content-Type', 'of no known type')}")
        return {name: reason for base in readings for name in (base, f"{base}.age", f"{base}.count") if name == base or name in probe.wanted}
    measures: dict[str, Any] = {}
    for name, wanted in readings.items():
        reading = _reading(name, wanted)
        try:
            measures[name] = jmespath.search(reading["path"], answer)
        except jmespath.exceptions.JMESPathError as error:  # often what the answer holds; it must not cost the other verdicts
            measures[name] = Unmeasured(f"{reading['path']}: {error}")
        measures.update(_derived(name, measures[name], reading.get("timezone", ""), probe))
    return measures


def _derived(name: str, value: Any, zone: str, probe: Probe) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(value, Unmeasured):
        return {wanted: value for wanted in (f"{name}.age", f"{name}.count") if wanted in probe.wanted}
    if f"{name}.count" in probe.wanted:
        found[f"{name}.count"] = len(value) if isinstance(value, (list, dict)) else Unmeasured(f"{name} is not a list")
    if f"{name}.age" in probe.wanted:
        try:
            age = probe.now - parse_instant(value, zone)
            found[f"{name}.age"] = age if age >= -_FUTURE_SECONDS else Unmeasured(f"{name} is {-age:.0f} s in the future")
        except InvalidInput as error:
            found[f"{name}.age"] = Unmeasured(f"{name}: {error.message}")
    return found
