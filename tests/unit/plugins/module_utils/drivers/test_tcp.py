# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting, refused, silent and unresolvable targets, over real sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, TimedOut, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import DeadlinePassed, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _connect, tcp


def options(port: int, host: str = "127.0.0.1", seconds: float = 5.0) -> dict[str, Any]:
    return {"host": host, "port": port, "timeout_seconds": seconds}


def answer(*ports: int, family: int = socket.AF_INET, address: str = "127.0.0.1") -> list[Any]:
    return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for port in ports]


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    return lambda work: monkeypatch.setattr(_connect, "lookup", lambda *given, **named: work())


def test_an_open_port_has_a_latency_and_is_sent_nothing(serve: Any, probe: Probe) -> None:
    received: list[bytes] = []
    port = serve(lambda connection: received.append(connection.recv(100)))
    measures = tcp.measure(options(port), probe)
    assert set(measures) == set(tcp.MEASURES)
    assert 0 < measures["latency"] < 5
    tcp.measure(options(port, "localhost"), probe)
    time.sleep(0.05)
    assert received in ([b"", b""], [b""])


def test_a_closed_port_is_unreachable(free_port: int, probe: Probe) -> None:
    with pytest.raises(Unreachable, match=rf"127.0.0.1 port {free_port} failed \(127.0.0.1: Connection refused\)") as caught:
        tcp.measure(options(free_port), probe)
    assert "listens" in caught.value.hint


def test_a_silent_host_times_out(silent_port: int, probe: Probe) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match=f"connecting to 127.0.0.1 port {silent_port} took longer than 0.2 s"):
        tcp.measure(options(silent_port, seconds=0.2), probe)
    assert 0.15 < time.monotonic() - started < 5


def test_a_call_without_time_says_nothing_about_the_host(silent_port: int, probe_of: Callable[..., Probe]) -> None:
    with pytest.raises(DeadlinePassed):
        tcp.measure(options(silent_port), probe_of(0.2))


def test_a_silent_address_leaves_time_for_the_next(silent_port: int, serve: Any, lookup: Any, probe: Probe) -> None:
    port = serve(lambda connection: None)
    lookup(lambda: answer(silent_port, port))
    assert 0.4 < tcp.measure(options(port, seconds=1.0), probe)["latency"] < 1.0


def test_every_address_tried_is_named(silent_port: int, free_port: int, lookup: Any, probe: Probe) -> None:
    lookup(lambda: answer(silent_port, free_port))
    with pytest.raises(Unreachable, match=r"\(127.0.0.1: no answer; 127.0.0.1: Connection refused\)"):
        tcp.measure(options(free_port, seconds=0.3), probe)


def test_a_lack_on_this_host_is_not_the_targets_fault(lookup: Any, probe: Probe) -> None:
    lookup(lambda: answer(80, family=socket.AF_UNIX, address="x"))
    with pytest.raises(RunbookError) as caught:
        tcp.measure(options(80), probe)
    assert caught.value.code == "failed"
    assert "this host itself" in caught.value.hint


def test_a_name_without_address_is_unreachable(lookup: Any, probe: Probe) -> None:
    def fail() -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    lookup(fail)
    with pytest.raises(Unreachable, match="api.example could not be resolved to an address: Name or service not known"):
        tcp.measure(options(80, "api.example"), probe)


def test_a_resolver_that_hangs_is_left_behind(lookup: Any, probe: Probe) -> None:
    lookup(lambda: time.sleep(10))
    started = time.monotonic()
    with pytest.raises(TimedOut):
        tcp.measure(options(80, "api.example", seconds=0.1), probe)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 0), ("127.0.0.1", 65536), ("127.0.0.1", -1), ("", 80), ("a" * 64 + ".example", 80), ("a\0b", 80)])
def test_what_cannot_be_an_address_is_refused(host: str, port: int, probe: Probe) -> None:
    with pytest.raises(InvalidInput):
        tcp.measure(options(port, host), probe)


def test_an_ipv6_address(probe: Probe) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this host has no IPv6: {error}")
    with listener:
        assert tcp.measure(options(listener.getsockname()[1], "::1"), probe)["latency"] > 0


def test_no_socket_stays_open(serve: Any, free_port: int, silent_port: int, probe: Probe) -> None:
    port = serve(lambda connection: None)
    before = len(os.listdir("/proc/self/fd"))
    for _number in range(5):
        tcp.measure(options(port), probe)
        for other, seconds in ((free_port, 1), (silent_port, 0.01)):
            with pytest.raises((Unreachable, TimedOut)):
                tcp.measure(options(other, seconds=seconds), probe)
    time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before
