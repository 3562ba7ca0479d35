# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are slow, endless, broken or no HTTP servers at all: every request ends in time and with an honest error."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, TimedOut, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import DeadlinePassed, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _connect, http

from .exchange import options, reply, request_of

SLACK = 1.5  # seconds a busy machine may add


def sending(*chunks: bytes, pause: float = 0.0, forever: bool = False) -> Callable[[socket.socket], None]:
    """Answers a request with ``chunks``, ``pause`` seconds apart; the last one again and again when it is to go on forever."""

    def handle(connection: socket.socket) -> None:
        request_of(connection)
        for chunk in chunks:
            connection.sendall(chunk)
            time.sleep(pause)
        while forever:
            connection.sendall(chunks[-1])
            time.sleep(pause)

    return handle


def silent(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(3)


def resetting(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


HEAD = b"HTTP/1.1 200 OK\r\n"
SLOW: dict[str, Callable[[socket.socket], None]] = {
    "silent": silent,
    "dripping status line": sending(*[b"H", b"T", b"T", b"P"] * 9, pause=0.1),
    "dripping fields": sending(HEAD, b"X: 1\r\n", pause=0.1, forever=True),
    "dripping one field": sending(HEAD, b"X", pause=0.1, forever=True),
    "dripping body": sending(HEAD + b"Content-Length: 1000\r\n\r\n", b"x", pause=0.1, forever=True),
    "dripping body without length": sending(HEAD + b"\r\n", b"x", pause=0.1, forever=True),
    "dripping chunks": sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", pause=0.1, forever=True),
    "stalled body": sending(HEAD + b"Content-Length: 1000\r\n\r\n12345", b"", pause=3),
}


@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_slow_server_is_not_waited_for(name: str, serve: Any, probe: Probe) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match="took longer than 0.4 s") as caught:
        http.measure(options(serve(SLOW[name]), timeout_seconds=0.4), probe)
    assert not isinstance(caught.value, DeadlinePassed)
    assert 0.35 < time.monotonic() - started < 0.4 + SLACK


@pytest.mark.parametrize("name", ["silent", "dripping body"])
def test_when_the_whole_call_ends_the_target_is_not_blamed(name: str, serve: Any, probe_of: Any) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlinePassed):
        http.measure(options(serve(SLOW[name]), timeout_seconds=10.0), probe_of(0.4))
    assert time.monotonic() - started < 0.4 + SLACK


def test_a_server_that_accepts_nobody(silent_port: int, probe: Probe) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut):
        http.measure(options(silent_port, timeout_seconds=0.4), probe)
    assert time.monotonic() - started < 0.4 + SLACK


def test_a_slow_resolver(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connect, "lookup", lambda *_arguments, **_options: time.sleep(3))
    started = time.monotonic()
    with pytest.raises(TimedOut):
        http.measure(options(0, url="http://slow.example/", timeout_seconds=0.3), probe)
    assert time.monotonic() - started < 0.3 + SLACK


def test_redirects_share_one_time_out(serve: Any, probe: Probe) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut):
        http.measure(options(serve(sending(reply(302, Location="/health"), pause=0.3)), timeout_seconds=0.5), probe)
    assert time.monotonic() - started < 0.5 + SLACK


def test_a_slow_start_is_waited_for(serve: Any, probe: Probe) -> None:
    measures = http.measure(options(serve(sending(b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\n", b"ok", pause=0.1))), probe)
    assert (measures["status_code"], measures["size"]) == (200, 2) and 0.2 <= measures["latency"] < 2


def refused(port: int, probe: Probe, **more: Any) -> RunbookError:
    with pytest.raises(RunbookError) as caught:
        http.measure(options(port, **more), probe)
    assert caught.value.message and caught.value.hint
    return caught.value


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "nothing": b"", "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n", "binary": bytes(range(256)), "half a status line": b"HTTP/1.1",
    "no status": b"HTTP/1.1 abc OK\r\n\r\n", "five digits": b"HTTP/1.1 20000 OK\r\n\r\n",
    "huge status line": b"HTTP/1.1 200 " + b"x" * 70000, "huge field": HEAD + b"X: " + b"x" * 70000 + b"\r\n\r\n",
    "many fields": HEAD + b"X: 1\r\n" * 200 + b"\r\n", "cut body": HEAD + b"Content-Length: 100\r\n\r\n12345", "no body": HEAD + b"Content-Length: 1\r\n\r\n",
    "cut chunk": CHUNKED + b"10\r\nabc", "no last chunk": CHUNKED + b"3\r\nabc\r\n", "no chunk length": CHUNKED + b"zz\r\nabc\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_answer_is_no_good_answer(name: str, serve: Any, probe: Probe) -> None:
    assert isinstance(refused(serve(sending(BROKEN[name])), probe), (VerifyFailed, Unreachable))


def test_a_connection_that_is_reset(serve: Any, probe: Probe) -> None:
    assert isinstance(refused(serve(resetting), probe), (VerifyFailed, Unreachable))


def test_nobody_listens(free_port: int, probe: Probe) -> None:
    error = refused(free_port, probe)
    assert isinstance(error, Unreachable) and "refused" in error.message and str(free_port) in error.message


def test_no_such_name(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: Any, **_options: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(_connect, "lookup", unknown)
    error = refused(0, probe, url="http://nowhere.example/")
    assert isinstance(error, Unreachable) and "nowhere.example" in error.message


def test_a_server_that_closes_its_half_still_gets_an_answer_read(serve: Any, probe: Probe) -> None:
    def handle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nbody")
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            connection.recv(1)

    assert http.measure(options(serve(handle)), probe)["size"] == 4


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_as_large_as_allowed(size: int, serve: Any, probe: Probe) -> None:
    assert http.measure(options(serve(sending(reply(200, b"x" * size))), max_bytes=100), probe)["size"] == size


@pytest.mark.parametrize("answer", [reply(200, b"x" * 101), HEAD + b"\r\n" + b"x" * 101, CHUNKED + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n"])
def test_one_byte_too_many(answer: bytes, serve: Any, probe: Probe) -> None:
    error = refused(serve(sending(answer)), probe, max_bytes=100)
    assert isinstance(error, InvalidInput) and "max_bytes" in error.hint


def test_an_endless_answer_is_cut(serve: Any, probe: Probe) -> None:
    started = time.monotonic()
    error = refused(serve(sending(HEAD + b"\r\n", b"x" * 65536, forever=True)), probe, max_bytes=200000)
    assert isinstance(error, InvalidInput) and time.monotonic() - started < SLACK


def test_a_proxy_of_the_environment_is_not_used(serve: Any, free_port: int, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    assert http.measure(options(serve(sending(reply()))), probe)["status_code"] == 200


PIECES = st.sampled_from([
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 500 X\r\n", b"HTTP/1.1 302 X\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 3\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n", b"Location: /\r\n", b"Location: http://[\r\n", b"Location: \xff\r\n", b"\r\n", b"\n",
    b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b'{"a": [1]}', b"\x00",
])  # fmt: skip


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES | st.binary(max_size=8), max_size=8).map(b"".join), st.sampled_from(["GET", "HEAD"]))
def test_whatever_comes_back(serve: Any, probe: Probe, answer: bytes, method: str) -> None:
    """A number, or an error of ours; never another exception."""
    with contextlib.suppress(RunbookError):
        measures = http.measure(options(serve(sending(answer)), method=method, read={"a": "a"}, timeout_seconds=3.0), probe)
        assert 100 <= measures["status_code"] <= 999 and "a" in measures
