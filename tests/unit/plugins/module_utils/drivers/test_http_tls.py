# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS with certificates of every kind: verification is on, its verdict does not depend on the Python of the host."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, TimedOut, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import http

from .authority import Authority
from .exchange import options, reply, request_of

Secured = Callable[..., dict[str, Any]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secured(serve: Any) -> Secured:
    """Options for a server with this context and answer; by the name ``localhost`` unless told otherwise."""

    def start(context: ssl.SSLContext, answer: bytes | None = None, host: str = "localhost", **more: Any) -> dict[str, Any]:
        def handle(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
                if request_of(wrapped):
                    wrapped.sendall(answer if answer is not None else reply(200, b"body"))

        port = serve(handle)
        return options(port, **{"url": f"https://{host}:{port}/health", **more})

    return start


def self_signed(folder: Path) -> ssl.SSLContext:
    """Signed by an authority of its own that nobody knows."""
    (folder / "other").mkdir()
    return Authority(folder / "other").server()


def test_an_authority_of_ones_own(authority: Authority, secured: Secured, probe: Probe) -> None:
    measures = http.measure(secured(authority.server(), ca_path=authority.path), probe)
    assert (measures["status_code"], measures["size"]) == (200, 4)


@pytest.mark.parametrize(
    ("days", "alternative", "host", "known", "reason"),
    [
        ((-90, -1), "localhost", "localhost", True, "expired"),
        ((1, 90), "localhost", "localhost", True, "not yet valid"),
        ((-1, 90), "other.example", "localhost", True, "localhost"),
        ((-1, 90), "localhost", "127.0.0.1", True, "127.0.0.1"),
        ((-1, 90), "localhost", "localhost", False, "issuer|self.signed"),
    ],
)
def test_certificates_that_are_not_trusted(
    days: tuple[float, float], alternative: str, host: str, known: bool, reason: str, authority: Authority, secured: Secured, probe: Probe
) -> None:
    given = secured(authority.server(days=days, alternative=alternative), host=host, ca_path=authority.path if known else None)
    with pytest.raises(VerifyFailed, match=f"is not trusted: .*({reason})"):
        http.measure(given, probe)
    given["validate_certs"] = False
    assert http.measure(given, probe)["status_code"] == 200


def test_a_server_that_signs_for_itself(authority: Authority, secured: Secured, probe: Probe, tmp_path: Path) -> None:
    with pytest.raises(VerifyFailed, match="is not trusted"):
        http.measure(secured(self_signed(tmp_path), ca_path=authority.path), probe)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_authority_that_cannot_be_read(content: bytes | None, authority: Authority, secured: Secured, probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match="ca_path"):
        http.measure(secured(authority.server(), ca_path=str(path)), probe)


def test_the_secret_is_sent_only_after_verification(authority: Authority, serve: Any, probe: Probe, tmp_path: Path) -> None:
    received: list[bytes] = []
    done = threading.Event()
    context = self_signed(tmp_path)

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            received.append(wrapped.recv(65536))
        done.set()

    port = serve(handle)
    with pytest.raises(VerifyFailed):
        http.measure(options(port, url=f"https://localhost:{port}/", secret_headers={"X": "secret"}, ca_path=authority.path), probe)
    assert done.wait(5) and b"secret" not in b"".join(received)


@pytest.mark.parametrize(("location", "followed"), [("/final", True), ("https://localhost:{port}/final", True), ("http://localhost:{port}/final", False)])
def test_a_redirect_never_leaves_encryption(location: str, followed: bool, authority: Authority, serve: Any, probe: Probe) -> None:
    context, requests = authority.server(), []

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            requests.append(request_of(wrapped))
            wrapped.sendall(reply(200) if "/final" in requests[-1] else reply(302, Location=location.format(port=port)))

    port = serve(handle)
    given = options(port, url=f"https://localhost:{port}/", ca_path=authority.path)
    if followed:
        assert http.measure(given, probe)["status_code"] == 200
    else:
        with pytest.raises(VerifyFailed, match="not followed"):
            http.measure(given, probe)
        assert len(requests) == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b""])
def test_a_server_without_tls(answer: bytes, authority: Authority, serve: Any, probe: Probe) -> None:
    port = serve(lambda connection: (connection.recv(65536), connection.sendall(answer)))
    with pytest.raises((VerifyFailed, Unreachable)):
        http.measure(options(port, url=f"https://localhost:{port}/", ca_path=authority.path), probe)


def test_a_server_with_tls_that_is_asked_without(authority: Authority, secured: Secured, probe: Probe) -> None:
    given = secured(authority.server())
    with pytest.raises((VerifyFailed, Unreachable)):
        http.measure({**given, "url": given["url"].replace("https", "http")}, probe)


def test_old_versions_are_not_spoken(authority: Authority, secured: Secured, probe: Probe) -> None:
    context = authority.server()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((VerifyFailed, Unreachable)):
        http.measure(secured(context, ca_path=authority.path), probe)
    with pytest.raises((VerifyFailed, Unreachable)):
        http.measure(secured(context, validate_certs=False), probe)


def dripping(connection: socket.socket) -> None:
    connection.recv(65536)
    for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x00" * 30:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


@pytest.mark.parametrize("handle", [dripping, lambda connection: time.sleep(3)], ids=["dripping", "silent"])
def test_a_slow_handshake_is_not_waited_for(handle: Any, serve: Any, authority: Authority, probe: Probe) -> None:
    port = serve(handle)
    started = time.monotonic()
    with pytest.raises(TimedOut):
        http.measure(options(port, url=f"https://localhost:{port}/", ca_path=authority.path, timeout_seconds=0.4), probe)
    assert time.monotonic() - started < 2
