# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request over the standard library, bounded in time and size, never led to another host. Shared by the drivers that speak HTTP."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from .._core.errors import InvalidInput, Unreachable, VerifyFailed
from ._connect import connect, resolve
from ._container_address import host_of
from ._time_left import TimeLeft
from ._timed_socket import TimedSocket
from ._tls_context import trusting, verifying

_CLOUD_ADDRESSES = ("fd00:ec2::254", "100.100.100.200")  # metadata services that are not link-local
_REDIRECTS = 3


class Answer:
    """What came back, whatever its status."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Request:
    """One request and the redirects of the same host it leads to. ``options`` are those of every kind that speaks HTTP; with ``form`` it is a POST."""

    def __init__(self, options: dict[str, Any], left: TimeLeft, form: str | None = None) -> None:
        self._options = options
        self._left = left
        self._body = None if form is None else form.encode("ascii")
        self._host = host_of(options, left, "")
        given = {**(options.get("headers") or {}), **(options.get("secret_headers") or {})}
        self._given = {name: str(value) for name, value in given.items()}

    def _headers(self, target: SplitResult) -> dict[str, str]:
        """Ours unless the check gives its own, since servers refuse a field that comes twice."""
        ours = {"Host": target.netloc, "User-Agent": "tradeops.runbook", "Accept": "application/json, */*", "Connection": "close"}
        if self._body is not None:
            ours["Content-Type"] = "application/x-www-form-urlencoded"
        names = {name.lower() for name in self._given}
        return {**{name: value for name, value in ours.items() if name.lower() not in names}, **self._given}

    def answer(self) -> Answer:
        """Raises Unreachable, TimedOut, VerifyFailed or InvalidInput when there is none that counts."""
        url = self._options["url"]
        target = checked(url)
        for _redirect in range(_REDIRECTS + 1):
            answer = self._exchange(target)
            if self._body is not None or answer.status not in (301, 302, 303, 307, 308) or not answer.headers.get("Location"):
                return answer
            target = self._next(target, answer)
        raise VerifyFailed(f"{url} redirected more than {_REDIRECTS} times", "give the final address")

    def _next(self, target: SplitResult, answer: Answer) -> SplitResult:
        try:
            following = checked(urljoin(target.geturl(), answer.headers["Location"]))
        except (InvalidInput, ValueError):
            raise VerifyFailed(f"{self._options['url']} redirects to what is no http or https address", "see its configuration") from None
        to_https = _origin(target) == ("http", target.hostname, 80) and _origin(following) == ("https", target.hostname, 443)
        if _origin(following) != _origin(target) and not to_https:  # another port is another service
            raise VerifyFailed(
                f"{self._options['url']} redirects to {following.scheme}://{following.netloc}, which is not followed",
                "give that address if it is what should be checked",
            )
        return following

    def _exchange(self, target: SplitResult) -> Answer:
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

    def _talk(self, target: SplitResult) -> Answer:
        limit = self._options["max_bytes"]
        with self._connect(target) as connected:
            connection = http.client.HTTPConnection("unused")  # it would take the end of an IPv6 address for a port
            connection.sock = TimedSocket(connected, self._left)
            path = (target.path or "/") + (f"?{target.query}" if target.query else "")
            method = "POST" if self._body is not None else self._options.get("method") or "GET"
            connection.request(method, path, self._body, self._headers(target))
            response = connection.getresponse()
            body = response.read(limit + 1)
        if len(body) > limit:
            raise InvalidInput(f"{self._options['url']} answered with more than {limit} bytes", "raise max_bytes, or check a smaller answer")
        if response.length:  # read(amount) does not mind
            raise VerifyFailed(f"{self._options['url']} broke off {response.length} bytes before the end of its answer", "see its log")
        return Answer(response.status, response.headers, body)

    def _context(self) -> ssl.SSLContext:
        return verifying(self._options.get("ca_path")) if self._options["validate_certs"] else trusting()

    def _connect(self, target: SplitResult) -> socket.socket:
        host, port = target.hostname or "", _port(target)
        addresses = resolve(self._host or host, port, self._left)
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


def checked(url: str) -> SplitResult:
    """The parts of an http or https address without a name in it. Raises InvalidInput."""
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
