# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real TLS servers with certificates of every age, PEM files and stores of Traefik."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import (
    InvalidInput,
    MissingLibrary,
    RunbookError,
    TimedOut,
    Unreachable,
    VerifyFailed,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _certificates, tls

from .authority import Authority

DAY = 86400.0
KEY_TEXT = "cHJpdmF0ZSBrZXkgdGV4dA=="


def endpoint(port: int, authority: Authority | None, host: str = "localhost", **more: Any) -> dict[str, Any]:
    return {"host": host, "port": port, "ca_path": authority.path if authority else None, "timeout_seconds": 5.0, **more}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def serve_tls(serve: Any) -> Callable[[ssl.SSLContext], int]:
    """A server that shakes hands and notes what it is sent; gives its port."""

    def start(context: ssl.SSLContext, received: list[bytes] | None = None) -> int:
        def handle(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as secured:
                content = secured.recv(100)
                if received is not None:
                    received.append(content)

        return int(serve(handle))

    return start


def near(days: float) -> Any:
    return pytest.approx(days * DAY, abs=30)


def test_a_good_certificate(authority: Authority, serve_tls: Any, probe: Probe) -> None:
    received: list[bytes] = []
    measures = tls.measure(endpoint(serve_tls(authority.server(), received), authority), probe)
    assert set(measures) == set(tls.MEASURES)
    assert measures["expires_in"] == near(90)
    assert (measures["trusted"], measures["problem"], measures["soonest"]) == (True, "", "localhost")
    assert (measures["certificate_count"], measures["expired_count"]) == (1, 0)
    assert measures["protocol"] in ("TLSv1.2", "TLSv1.3")
    time.sleep(0.05)
    assert not any(received), "nothing may be sent"


@pytest.mark.parametrize(
    ("days", "alternative", "host", "problem"),
    [
        pytest.param((-30, -2), "localhost", "localhost", "certificate has expired", id="expired"),
        pytest.param((2, 30), "localhost", "localhost", "certificate is not yet valid", id="not valid yet"),
        pytest.param((-1, 90), "other.example", "localhost", "Hostname mismatch", id="another name"),
        pytest.param((-1, 90), "localhost", "127.0.0.1", "IP address mismatch", id="an address it does not name"),
    ],
)
def test_a_bad_certificate_is_read_all_the_same(
    days: tuple[float, float], alternative: str, host: str, problem: str, authority: Authority, serve_tls: Any, probe: Probe
) -> None:
    measures = tls.measure(endpoint(serve_tls(authority.server("api", days, alternative)), authority, host), probe)
    assert measures["trusted"] is False
    assert problem in measures["problem"]
    assert measures["expires_in"] == near(days[1])
    assert measures["expired_count"] == int(days[1] < 0)
    assert measures["soonest"] == "api"


def test_an_unknown_authority_is_not_trusted(authority: Authority, serve_tls: Any, tmp_path: Path, probe: Probe) -> None:
    (tmp_path / "other").mkdir()
    measures = tls.measure(endpoint(serve_tls(authority.server()), Authority(tmp_path / "other")), probe)
    assert measures["trusted"] is False
    assert measures["problem"]
    assert measures["expires_in"] == near(90)


def test_the_server_name_is_asked_for_and_verified(authority: Authority, serve_tls: Any, probe: Probe) -> None:
    port = serve_tls(authority.server("inner", alternative="trade.example"))
    assert tls.measure(endpoint(port, authority, "127.0.0.1", server_name="trade.example"), probe)["trusted"] is True
    assert tls.measure(endpoint(port, authority, "127.0.0.1", server_name="else.example"), probe)["trusted"] is False


def test_old_protocols_are_refused(authority: Authority, serve_tls: Any, probe: Probe) -> None:
    context = authority.server()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1
    with pytest.raises(VerifyFailed, match="no TLS 1.2 or newer was agreed on with localhost port"):
        tls.measure(endpoint(serve_tls(context), authority), probe)


def test_what_does_not_speak_tls(serve: Any, authority: Authority, probe: Probe) -> None:
    port = serve(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with pytest.raises(VerifyFailed, match="no TLS 1.2 or newer was agreed on"):
        tls.measure(endpoint(port, authority), probe)


def test_what_hangs_up(serve: Any, authority: Authority, probe: Probe) -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with pytest.raises(Unreachable, match="broke off the TLS handshake: Connection reset by peer"):
        tls.measure(endpoint(serve(reset), authority), probe)


def silence(connection: socket.socket) -> None:
    time.sleep(10)


def drip(connection: socket.socket) -> None:
    """A record of 16 KiB, one byte at a time: each byte starts a time-out per read anew."""
    for byte in b"\x16\x03\x03\x40\x00" + bytes(500):
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


@pytest.mark.parametrize("handle", [silence, drip])
def test_a_slow_handshake_is_bounded(handle: Callable[[socket.socket], None], serve: Any, authority: Authority, probe: Probe) -> None:
    port, started = serve(handle), time.monotonic()
    with pytest.raises(TimedOut, match=f"the TLS handshake with localhost port {port} took longer than 0.3 s"):
        tls.measure(endpoint(port, authority, timeout_seconds=0.3), probe)
    assert 0.25 < time.monotonic() - started < 5


def test_a_closed_port_is_unreachable(free_port: int, authority: Authority, probe: Probe) -> None:
    with pytest.raises(Unreachable, match="Connection refused"):
        tls.measure(endpoint(free_port, authority), probe)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_an_unusable_ca_path(content: str | None, tmp_path: Path, free_port: int, probe: Probe) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="ascii")
    with pytest.raises(InvalidInput, match=f"ca_path {path} cannot be used"):
        tls.measure({**endpoint(free_port, None), "ca_path": str(path)}, probe)


def test_an_unusable_server_name(authority: Authority, serve_tls: Any, probe: Probe) -> None:
    with pytest.raises(InvalidInput, match='no server can be asked for as ".example"'):
        tls.measure(endpoint(serve_tls(authority.server()), authority, server_name=".example"), probe)


def test_a_host_without_authorities_blames_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: int, probe: Probe) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(RunbookError, match="knows no certificate authority") as caught:
        tls.measure(endpoint(free_port, None), probe)
    assert caught.value.code == "failed"


@pytest.mark.parametrize("given", [{"host": "localhost", "port": 1}, {"path": "/none"}, {"acme_path": "/none"}])
def test_a_missing_library_is_named_before_anything_else(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingLibrary) as caught:
        tls.measure({"timeout_seconds": 1.0, **given}, probe)
    assert (caught.value.library, caught.value.package) == ("cryptography", "python3-cryptography")


def test_every_certificate_of_a_pem_file(authority: Authority, tmp_path: Path, probe: Probe) -> None:
    key_and_first, _first = authority.issue("api", (-1, 90))
    rest = [authority.issue(name, days)[1] for name, days in (("old", (-30, -3)), ("older", (-30, -5)), ("later", (1, 30)))]
    path = tmp_path / "all.pem"
    path.write_bytes(Path(key_and_first).read_bytes() + b"some words between\n" + b"".join(rest))
    measures = tls.measure({"path": str(path)}, probe)
    assert measures["expires_in"] == near(-5)
    assert (measures["certificate_count"], measures["expired_count"], measures["soonest"]) == (4, 2, "older")
    assert measures["problem"] == "not valid yet: later"
    assert "trusted" not in measures


def test_a_certificate_without_common_name(authority: Authority, tmp_path: Path, probe: Probe) -> None:
    (tmp_path / "one.pem").write_bytes(authority.issue(None, alternative="short.example")[1])
    assert tls.measure({"path": str(tmp_path / "one.pem")}, probe)["soonest"] == "short.example"
    (tmp_path / "two.pem").write_bytes(authority.issue(None, alternative="")[1])
    assert tls.measure({"path": str(tmp_path / "two.pem")}, probe)["soonest"].startswith("serial ")


def store(*chains: tuple[str, bytes]) -> dict[str, Any]:
    entries = [{"domain": {"main": name}, "certificate": base64.b64encode(chain).decode(), "key": KEY_TEXT, "Store": "default"} for name, chain in chains]
    return {"Account": {"PrivateKey": KEY_TEXT}, "Certificates": entries}


def test_every_resolver_of_an_acme_store(authority: Authority, tmp_path: Path, probe: Probe) -> None:
    own = Path(authority.path).read_bytes()
    leaves = {name: authority.issue("leaf", (-1, days))[1] + own for name, days in (("a.example", 60), ("b.example", 20), ("c.example", 80))}
    content = {
        "http": store(("a.example", leaves["a.example"]), ("b.example", leaves["b.example"])),
        "dns": store(("c.example", leaves["c.example"])),
        "unused": {"Account": None, "Certificates": None},
    }
    path = tmp_path / "acme.json"
    path.write_text(json.dumps(content), encoding="ascii")
    measures = tls.measure({"acme_path": str(path)}, probe)
    assert measures["expires_in"] == near(20)
    assert (measures["certificate_count"], measures["expired_count"], measures["soonest"]) == (3, 0, "b.example")
    assert KEY_TEXT not in repr(measures)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no certificate"),
        ("{}", "holds no certificate"),
        (json.dumps({"le": {"Certificates": None}}), "holds no certificate"),
        (f'{{"le": "{KEY_TEXT}"', "is not a store of Traefik"),
        ("[]", "is not a store of Traefik"),
        (json.dumps({"Certificates": []}), "is not a store of Traefik"),
        (json.dumps({"le": {"Certificates": [{"certificate": KEY_TEXT}]}}), "is not a store of Traefik"),
        (json.dumps({"le": {"Certificates": [{"domain": {"main": "a"}, "certificate": "x"}]}}), "is not a store of Traefik"),
        (json.dumps({"le": store(("a.example", b"nothing"))}), "the chain for a.example in .* holds no certificate"),
        (json.dumps({"le": store(("a", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"))}), "cannot be read as an X.509 certificate"),
    ],
)
def test_a_broken_acme_store_is_told_without_quoting_it(content: str, message: str, tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "acme.json"
    path.write_text(content, encoding="ascii")
    with pytest.raises(VerifyFailed, match=message) as caught:
        tls.measure({"acme_path": str(path)}, probe)
    assert KEY_TEXT not in caught.value.message + caught.value.hint
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("option", ["path", "acme_path"])
def test_files_that_are_not_there_or_not_files(option: str, tmp_path: Path, probe: Probe) -> None:
    with pytest.raises(Unreachable, match="does not exist"):
        tls.measure({option: str(tmp_path / "none")}, probe)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InvalidInput, match="is not a file|is a folder"):
            tls.measure({option: str(tmp_path / name)}, probe)


def test_a_file_that_may_not_be_read_is_not_the_targets_fault(as_nobody: Any, probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "secret.pem"
    path.touch(mode=0)
    with pytest.raises(RunbookError, match="cannot be read: Permission denied") as caught:
        as_nobody(lambda: tls.measure({"path": str(path)}, probe))
    assert caught.value.code == "failed"


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200).map(lambda inner: b"-----BEGIN CERTIFICATE-----" + inner + b"-----END CERTIFICATE-----") | st.binary(max_size=200))
def test_no_content_of_a_file_is_a_defect(content: bytes) -> None:
    with pytest.raises(VerifyFailed):
        _certificates.in_pem(content, "a file")
    with pytest.raises(VerifyFailed):
        _certificates.in_acme(content, "a file")
    with pytest.raises(VerifyFailed):
        _certificates.in_der(content, "a file")
