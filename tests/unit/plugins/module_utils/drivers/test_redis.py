# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What INFO of a Redis server means, and what keys hold, without a server. Real servers are in the integration tests."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import MissingLibrary, TimedOut, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Deadline, DeadlinePassed, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _engine_api, _redis_client, _redis_health_session, redis
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_health_keys import _value
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._time_left import TimeLeft

OPTIONS = {"connection": "main", "must_keep": True, "memory_limit": None, "get": {}, "write_test": False, "write_prefix": "x:", "timeout_seconds": 5.0}


def ask(probe_of: Any, seconds: float = 5.0, whole: float = 30.0, **connection: Any) -> Any:
    return redis.measure({**OPTIONS, "timeout_seconds": seconds}, probe_of(whole, connection={"redis": connection}))


@pytest.fixture
def library() -> None:
    pytest.importorskip("redis", reason="redis-py is not installed (requirements.txt)")


@pytest.mark.parametrize(("seconds", "whole", "error"), [(0.2, 30.0, TimedOut), (20.0, 0.3, DeadlinePassed)])
def test_silence(seconds: float, whole: float, error: type[Exception], library: None, serve: Callable[..., int], probe_of: Any) -> None:
    with pytest.raises(error) as caught:
        ask(probe_of, seconds, whole, port=serve(lambda connection: time.sleep(2)))
    assert isinstance(caught.value, DeadlinePassed) is (error is DeadlinePassed)


def test_a_drip(library: None, serve: Callable[..., int], probe_of: Any) -> None:
    """Every read gets the time that is left, not the whole time."""

    def drip(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"$1000\r\n")
        for _number in range(60):
            time.sleep(0.05)
            connection.sendall(b"x")

    with pytest.raises(TimedOut):
        ask(probe_of, 0.5, port=serve(drip))


@pytest.mark.parametrize("read", [lambda hurried: hurried.recv(1), lambda hurried: hurried.recv_into(bytearray(1)), lambda hurried: hurried.sendall(b"x")])
def test_the_time_that_is_left(read: Callable[[Any], Any]) -> None:
    clock = [0.0]
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            ours.settimeout(2.0)
            hurried = _redis_client._Hurried(ours, Deadline(2.0, lambda: clock[0]))
            theirs.sendall(b"x")
            clock[0] = 1.75
            read(hurried)
            assert hurried.gettimeout() == 0.25


def test_it_hangs_up(library: None, serve: Callable[..., int], probe_of: Any) -> None:
    with pytest.raises(Unreachable):
        ask(probe_of, port=serve(lambda connection: None))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, free_port: int, probe_of: Any) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingLibrary, match="redis"):
        ask(probe_of, port=free_port)


MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("info", "limit", "percent"),
    [
        ({"maxmemory": "200", "total_system_memory": "1000"}, None, 50.0),
        ({"maxmemory": "0", "total_system_memory": "1000"}, None, 10.0),
        ({"maxmemory": "0", "total_system_memory": "1000"}, "400 B", 25.0),
        ({"maxmemory": "200", "total_system_memory": "1000"}, "400 B", 50.0),
        ({"maxmemory": "800", "total_system_memory": "1000"}, "400 B", 25.0),
        ({"maxmemory": "0", "total_system_memory": "0"}, None, None),
        ({}, None, None),
    ],
)
def test_memory(info: dict[str, str], limit: str | None, percent: float | None) -> None:
    found = redis._memory({"used_memory": "100", **info}, {**OPTIONS, "memory_limit": limit})["memory_percent"]
    assert found == percent if percent is not None else isinstance(found, Unmeasured)


@pytest.mark.parametrize(("memory", "percent"), [(1000, 10.0), (0, 1.0)])
def test_the_limit_of_its_container(memory: int, percent: float, probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine_api.EngineApi, "named", lambda engine, names: [{"HostConfig": {"Memory": memory}}] if names == ["cache"] else [])
    left = TimeLeft(probe, 5.0, "it", "")
    room = _redis_health_session.room_of({"container": "cache"}, left)
    info = {"used_memory": "100", "maxmemory": "0", "total_system_memory": "10000"}
    assert redis._memory(info, OPTIONS, room)["memory_percent"] == percent
    assert _redis_health_session.room_of({"container": None}, left) == 0


@pytest.mark.parametrize(
    ("info", "fits"),
    [
        ({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}, True),
        ({"maxmemory": "100", "maxmemory_policy": "noeviction"}, True),
        ({"maxmemory": "100", "maxmemory_policy": "allkeys-lfu"}, False),
        ({"maxmemory": "100", "maxmemory_policy": "volatile-lru"}, False),
        ({"maxmemory": "100"}, None),
    ],
)
def test_policy(info: dict[str, str], fits: bool | None) -> None:
    found = redis._memory(info, OPTIONS)["policy_fits"]
    assert found is fits if fits is not None else isinstance(found, Unmeasured)


@pytest.mark.parametrize(("used", "skipped"), [(MEBIBYTE, True), (100 * MEBIBYTE, False)])
def test_fragmentation_of_a_server_without_data_says_nothing(used: int, skipped: bool) -> None:
    found = redis._memory({"used_memory": str(used), "mem_fragmentation_ratio": "8.5"}, OPTIONS)["fragmentation"]
    assert found is SKIPPED if skipped else found == 8.5


@pytest.mark.parametrize(
    ("info", "link", "lag", "size"),
    [
        ({"role": "master", "connected_slaves": "0"}, SKIPPED, SKIPPED, SKIPPED),
        ({"role": "master", "slave0": "ip=10.0.0.2,port=6379,state=online,offset=90,lag=1", "slave1": "ip=::1,port=6379,state=online,offset=70,lag=3",
          "master_repl_offset": "100"}, SKIPPED, 3, 30),
        ({"role": "master", "slave0": "ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0", "master_repl_offset": "100"}, SKIPPED, SKIPPED, 100),
        ({"role": "slave", "master_link_status": "up", "master_last_io_seconds_ago": "2"}, "up", 2, SKIPPED),
        ({"role": "slave", "master_link_status": "down", "master_last_io_seconds_ago": "-1", "master_link_down_since_seconds": "90"}, "down", 90, SKIPPED),
        ({"role": "slave", "master_link_status": "down", "master_link_down_since_seconds": "-1"}, "down", None, SKIPPED),
        ({"role": "slave"}, None, None, SKIPPED),
    ],
)  # fmt: skip
def test_replication(info: dict[str, str], link: Any, lag: Any, size: Any) -> None:
    found = redis._replication(info)
    assert (found["replica_link"], found["replication_lag_bytes"]) == (link, size)
    assert found["replication_lag"] == lag if lag is not None else isinstance(found["replication_lag"], Unmeasured)


def test_age_of_the_last_save_is_by_the_servers_clock() -> None:
    assert redis._persistence({"rdb_last_save_time": "1000", "server_time_usec": "1060000000"}, 5000.0)["last_save_age"] == 60.0
    assert redis._persistence({"rdb_last_save_time": "1000"}, 5000.0)["last_save_age"] == 4000.0
    assert isinstance(redis._persistence({}, 5000.0)["last_save_age"], Unmeasured)


UNREAD = "what cannot be read"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (b"12", "number", 12), (b" 1.5 ", "s", 1.5), (b"many", "number", UNREAD), (b"", "count", UNREAD), (b"1", "boolean", True),
        (b"False", "boolean", False), (b"perhaps", "boolean", UNREAD), (b"12", "text", "12"), (b"\xff", "text", "\ufffd"), (None, "number", None),
        (b"nan", "number", UNREAD), (b"inf", "number", UNREAD), (b"1e999", "number", UNREAD),
        (b"1_000", "number", UNREAD), (b"1_0.5", "number", UNREAD), ("\u0661\u0662".encode(), "number", UNREAD), ("\uff11.5".encode(), "s", UNREAD),
        (b"0x10", "number", UNREAD), (b"1,5", "number", UNREAD), (b"+7", "count", 7), (b"-0.25", "number", -0.25), (b"1e-05", "number", 1e-05),
    ],
)  # fmt: skip
def test_values(value: Any, unit: str, expected: Any) -> None:
    found = _value(value, unit)
    assert isinstance(found, Unmeasured) if expected is UNREAD else (found, type(found)) == (expected, type(expected))
