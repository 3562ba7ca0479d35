# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real look-ups of localhost; every answer a resolver can give through the named seam."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, TimedOut, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _connect, dns


def options(name: str = "api.example", *expect: str) -> dict[str, Any]:
    return {"name": name, "expect": list(expect), "timeout_seconds": 0.2}


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The resolver answers with these addresses."""

    def answer(*addresses: str) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
        monkeypatch.setattr(_connect, "lookup", lambda *given, **named: found)

    return answer


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The resolver fails in this way."""

    def fail(number: int) -> None:
        def lookup(*given: Any, **named: Any) -> None:
            raise socket.gaierror(number, "as the resolver says it")

        monkeypatch.setattr(_connect, "lookup", lookup)

    return fail


def test_localhost_for_real(probe: Probe) -> None:
    measures = dns.measure({**options("localhost", "127.0.0.1"), "timeout_seconds": 10.0}, probe)
    assert set(measures) == set(dns.MEASURES)
    assert "127.0.0.1" in measures["addresses"]
    assert (measures["address_count"], measures["missing"], measures["missing_count"]) == (len(measures["addresses"]), [], 0)
    assert measures["latency"] > 0


def test_an_address_is_its_own_answer(probe: Probe) -> None:
    assert dns.measure(options("192.0.2.1"), probe)["addresses"] == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("found", "expected", "missing"),
    [
        (["192.0.2.1", "192.0.2.2"], [], []),
        (["192.0.2.1", "192.0.2.2"], ["192.0.2.2"], []),
        (["192.0.2.1"], ["192.0.2.1", "192.0.2.2"], ["192.0.2.2"]),
        (["2001:db8::1"], ["2001:0DB8:0::1"], []),
        (["192.0.2.1", "192.0.2.1"], ["192.0.2.1"], []),
    ],
)
def test_expected_addresses(found: list[str], expected: list[str], missing: list[str], answering: Any, probe: Probe) -> None:
    answering(*found)
    measures = dns.measure(options("api.example", *expected), probe)
    assert measures["addresses"] == sorted(set(found))
    assert (measures["missing"], measures["missing_count"]) == (missing, len(missing))


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_NODATA])
def test_a_name_that_does_not_exist_has_no_addresses(number: int, failing: Any, probe: Probe) -> None:
    failing(number)
    measures = dns.measure(options("api.example", "192.0.2.1"), probe)
    assert (measures["address_count"], measures["addresses"], measures["missing"]) == (0, [], ["192.0.2.1"])


@pytest.mark.parametrize("number", [socket.EAI_AGAIN, socket.EAI_FAIL])
def test_a_resolver_without_answer_is_unreachable(number: int, failing: Any, probe: Probe) -> None:
    failing(number)
    with pytest.raises(Unreachable, match="gave no answer for api.example: as the resolver says it") as caught:
        dns.measure(options(), probe)
    assert "resolv.conf" in caught.value.hint


def test_a_resolver_that_hangs_times_out(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    monkeypatch.setattr(_connect, "lookup", lambda *given, **named: time.sleep(10))
    with pytest.raises(TimedOut, match="looking up api.example took longer than 0.2 s"):
        dns.measure(options(), probe)


def test_a_name_is_not_an_address(probe: Probe) -> None:
    with pytest.raises(InvalidInput, match='"api2.example", expected for api.example, is not an IP address'):
        dns.measure(options("api.example", "api2.example"), probe)
