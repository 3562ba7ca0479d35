# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real PostgreSQL servers, well and in every trouble that the checks have to tell apart; and queries that may only read."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _connect, postgresql
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.postgresql import MEASURES
from ansible_collections.tradeops.runbook.tests.support.health_checks import states, verdict
from ansible_collections.tradeops.runbook.tests.support.postgresql import PASSWORD, Server, programs
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.authority import Authority

psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed (requirements.txt)")

pytestmark = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (Debian package postgresql)")


@pytest.fixture
def own() -> Iterator[Server]:
    """For tests that break it."""
    with Server() as started:
        yield started


def main(server: Server, **more: Any) -> dict[str, Any]:
    """The connection, by the socket."""
    return {"postgresql": {"database": "postgres", "host": str(server.folder), "port": server.port, "user": "runbook", **more}}


def by_network(server: Server, **more: Any) -> dict[str, Any]:
    given = {"host": "127.0.0.1", "secret_password": PASSWORD, "sslmode": "disable", **more}
    return main(server, **{name: value for name, value in given.items() if value is not None})


@contextlib.contextmanager
def session(server: Server, *statements: str) -> Iterator[Any]:
    """Somebody else's session, in the transaction that ``statements`` have begun."""
    connection = psycopg2.connect(dbname="postgres", host=str(server.folder), port=server.port, user="runbook", application_name="desk")
    try:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        yield connection
    finally:
        connection.close()


def stop(server: Server, number: int) -> None:
    """A signal for the server's main process."""
    os.kill(int((server.data / "postmaster.pid").read_text(encoding="ascii").split()[0]), number)


@contextlib.contextmanager
def frozen(server: Server) -> Iterator[None]:
    stop(server, signal.SIGSTOP)
    try:
        yield
    finally:
        stop(server, signal.SIGCONT)


def test_a_new_server_is_well(server: Server) -> None:
    found = verdict("postgresql", main(server))
    assert (found["status"], found["message"]) == ("ok", "")
    assert set(found["measures"]) <= set(MEASURES) and states(found, "unknown") == []
    nothing = {"cache_hit_percent", "replication_lag", "replication_lag_bytes", "slot_retained"}
    assert set(states(found, "skipped")) - {"checksum_failures"} == nothing, "from version 18 on there are checksums"
    measures = found["measures"]
    assert 0 < measures["latency"] < 10 and measures["size"] > 1 << 20 and measures["version"] == server.sql("postgres", "show server_version").split()[0]
    assert (measures["in_recovery"], measures["autovacuum"], measures["replicas"]) == (False, True, 0)


def test_it_leaves_nothing_behind(server: Server) -> None:
    before = server.sql("postgres", "select count(*) from pg_stat_activity where backend_type = 'client backend'")
    assert verdict("postgresql", by_network(server))["status"] == "ok"
    count = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
    until(lambda: server.sql("postgres", count) == before)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"secret_password": "wrong"}, "auth", "password authentication failed"),
        ({"secret_password": None}, "auth", "password"),
        ({"user": "nobody-there"}, "auth", "nobody-there"),
        ({"database": "nothing"}, "verify_failed", 'database "nothing" does not exist'),
        ({"port": 1}, "unreachable", "refused"),
        ({"host": "no-such-host.invalid"}, "unreachable", "could not be resolved"),
        ({"sslmode": None}, "tls", "SSL"),
    ],
)
def test_no_way_in_is_critical(change: dict[str, Any], code: str, words: str, server: Server) -> None:
    found = verdict("postgresql", by_network(server, **change))
    assert (found["status"], found["code"]) == ("critical", code) and words in found["message"] and found["hint"]
    assert PASSWORD not in str(found)


def test_encrypted_and_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path, _certificate = authority.issue("localhost")
    server = Server()
    file = str(shutil.copy(path, server.folder / "server.pem"))
    shutil.chown(file, server.data.owner())
    os.chmod(file, 0o600)
    server.settings = {"ssl": "on", "ssl_cert_file": file, "ssl_key_file": file}
    with server:
        given = {"host": "localhost", "sslmode": None, "sslrootcert": authority.path}
        assert verdict("postgresql", by_network(server, **given))["status"] == "ok"
        for wrong in ({"host": "127.0.0.1"}, {"sslrootcert": str(tmp_path / "none.pem")}):
            found = verdict("postgresql", by_network(server, **{**given, **wrong}))
            assert (found["status"], found["code"]) == ("critical", "tls")


def test_stopped(own: Server) -> None:
    own.stop()
    found = verdict("postgresql", main(own))
    assert (found["status"], found["code"]) == ("critical", "unreachable")


def test_a_frozen_server_is_told_in_time(own: Server) -> None:
    with frozen(own):
        started = time.monotonic()
        found = verdict("postgresql", main(own), timeout_seconds=1.0)
        assert time.monotonic() - started < 20  # without an end of its own it would be the deadline, 60 s
    assert (found["status"], found["code"]) == ("critical", "timed_out")
    assert verdict("postgresql", main(own))["status"] == "ok"


def test_a_server_that_lets_in_and_then_hangs(own: Server) -> None:
    with session(own, "begin", "lock table pg_catalog.pg_tablespace in access exclusive mode"), session(own):
        found = verdict("sql", main(own), {}, query="select count(*) from pg_tablespace", timeout_seconds=1.0)
        assert (found["status"], found["code"]) == ("critical", "timed_out")
        until(lambda: own.sql("postgres", "select count(*) from pg_stat_activity where application_name = 'tradeops health'") == "0")


def test_without_the_right_nothing_is_green(server: Server) -> None:
    server.sql("postgres", "create role plain login", "create role watcher login", "grant pg_monitor to watcher")
    found = verdict("postgresql", main(server, user="plain"))
    assert (found["status"], states(found, "crossed")) == ("unknown", [])
    assert states(found, "unknown") == ["connections_percent", "idle_in_transaction", "oldest_transaction", "replication_lag", "replication_lag_bytes"]
    assert "grant pg_monitor" in found["message"]
    assert verdict("postgresql", main(server, user="watcher"))["status"] == "ok"


def test_no_connection_left() -> None:
    server = Server()
    server.settings = {"max_connections": "5", "superuser_reserved_connections": "1"}
    with server, contextlib.ExitStack() as stack:
        server.sql("postgres", "create role plain login", "grant pg_monitor to plain")
        for _number in range(3):
            stack.enter_context(session(server))
        few = verdict("postgresql", main(server, user="plain"))
        assert (few["status"], states(few, "crossed"), few["measures"]["connections_percent"]) == ("critical", ["connections_percent"], 100.0)
        stack.enter_context(session(server))
        none = verdict("postgresql", main(server, user="plain"))
        assert (none["status"], none["code"]) == ("critical", "unreachable") and "takes no more connections" in none["message"]


@contextlib.contextmanager
def silent(address: str, port: int) -> Iterator[None]:
    """The kernel answers nobody there: the queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _number in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield


def test_a_silent_address_leaves_time_for_the_others(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port)) for address in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(_connect, "lookup", lambda *_given, **_more: both)
    with silent("127.0.0.2", server.port):
        found = verdict("postgresql", by_network(server, host="db.example"), timeout_seconds=4.0)
    assert (found["status"], found["message"]) == ("ok", "")


SOON = {
    "oldest_transaction": {"warning": "> 0.2 s"},
    "idle_in_transaction": {"warning": "> 0.2 s"},
    "longest_wait": {"warning": "> 0.2 s"},
    "locks_waiting": {"warning": "> 0"},
}


def test_a_stuck_transaction(server: Server) -> None:
    with session(server, "select 1"):
        both = ["idle_in_transaction", "oldest_transaction"]
        found = until(lambda: states(seen := verdict("postgresql", main(server), SOON), "crossed") == both and seen)
        assert found["measures"]["oldest_transaction_of"].startswith("runbook (desk, pid ")
    assert verdict("postgresql", main(server), SOON)["status"] == "ok"


def test_who_waits_and_who_blocks(own: Server) -> None:
    own.sql("postgres", "create table orders (id int)", "insert into orders values (1)")
    blocker = psycopg2.connect(dbname="postgres", host=str(own.folder), port=own.port, user="runbook", application_name="blocker")
    waiter = psycopg2.connect(dbname="postgres", host=str(own.folder), port=own.port, user="runbook", async_=True)
    try:
        blocker.cursor().execute("update orders set id = 2")
        until(lambda: waiter.poll() == psycopg2.extensions.POLL_OK)
        waiter.cursor().execute("update orders set id = 3")
        found = until(lambda: "longest_wait" in states(seen := verdict("postgresql", main(own), SOON), "crossed") and seen)
        assert found["measures"]["locks_waiting"] == 1 and "blocker" in found["measures"]["blocked_by"]
    finally:
        waiter.close()
        blocker.close()


@pytest.mark.parametrize(("version", "seen"), [("130018", False), ("150000", True)])
def test_since_when_others_wait(version: str, seen: bool, own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before version 14 only their sessions tell it, which a role without the right does not see."""
    monkeypatch.setattr(postgresql, "FACTS", postgresql.FACTS.replace("current_setting('server_version_num')::int", version))
    own.sql("postgres", "create table orders (id int)", "create role plain login")
    plain = main(own, user="plain")
    assert "longest_wait" not in states(verdict("postgresql", plain), "unknown"), "nobody waits"
    waiter = psycopg2.connect(dbname="postgres", host=str(own.folder), port=own.port, user="runbook", async_=True)
    try:
        with session(own, "lock table orders in access exclusive mode"):
            until(lambda: waiter.poll() == psycopg2.extensions.POLL_OK)
            waiter.cursor().execute("select * from orders")
            found = until(lambda: (seen := verdict("postgresql", plain))["measures"]["locks_waiting"] and seen)
            assert ("longest_wait" in states(found, "unknown")) is not seen
            assert "longest_wait" not in states(verdict("postgresql", main(own)), "unknown")
    finally:
        waiter.close()


def test_a_forgotten_prepared_transaction(own: Server) -> None:
    own.stop()
    own.settings = {"max_prepared_transactions": "2"}
    own.start()
    with session(own, "create table orders (id int)", "prepare transaction 'forgotten'"):
        pass
    found = until(lambda: "oldest_transaction" in states(seen := verdict("postgresql", main(own), SOON), "crossed") and seen)
    assert "prepared transaction forgotten" in found["measures"]["oldest_transaction_of"] and "idle_in_transaction" not in states(found, "crossed")
    own.sql("postgres", "rollback prepared 'forgotten'")


def test_dead_tuples(own: Server) -> None:
    own.sql("postgres", "create table ticks (x int) with (autovacuum_enabled = off)", "insert into ticks select generate_series(1, 30000)")
    own.sql("postgres", "analyze ticks")
    assert verdict("postgresql", main(own))["status"] == "ok"
    own.sql("postgres", "delete from ticks where x <= 25000")
    found = until(lambda: states(seen := verdict("postgresql", main(own)), "crossed") and seen)
    assert "dead_tuples_percent" in states(found, "crossed") and found["measures"]["dead_tuples_table"] == "public.ticks"
    assert found["measures"]["dead_tuples_percent"] == pytest.approx(83.3, abs=0.1)
    few = verdict("postgresql", main(own), min_dead_tuples=30000)
    assert "dead_tuples_percent" not in states(few, "crossed")
    own.sql("postgres", "vacuum analyze ticks")
    until(lambda: verdict("postgresql", main(own))["status"] == "ok")


def test_an_empty_table_has_no_dead_tuples(own: Server) -> None:
    own.sql("postgres", "create table ticks (x int)")
    found = verdict("postgresql", main(own), min_dead_tuples=0)
    assert (found["status"], found["measures"]["dead_tuples_percent"], found["measures"]["dead_tuples_table"]) == ("ok", 0, "")


def test_no_statistics(own: Server) -> None:
    own.sql("postgres", "create table ticks (x int) with (autovacuum_enabled = off)", "insert into ticks select generate_series(1, 50000)")
    found = verdict("postgresql", main(own))
    assert (found["status"], states(found, "crossed"), found["measures"]["never_analyzed_table"]) == ("warning", ["never_analyzed"], "public.ticks")
    own.sql("postgres", "analyze ticks")
    assert verdict("postgresql", main(own))["status"] == "ok"


def test_statistics_that_are_about_to_be_made(own: Server) -> None:
    own.sql("postgres", "create table ticks (x int)", "insert into ticks select generate_series(1, 50000)")
    until(lambda: verdict("postgresql", main(own))["status"] == "ok")  # at once; before version 15 the counters come half a second later


def test_statistics_lost_in_an_upgrade(own: Server) -> None:
    """Nobody counted the changes, so autovacuum sees nothing to do."""
    own.sql("postgres", "create table ticks (x int)", "insert into ticks select generate_series(1, 50000)")
    own.sql("postgres", "select pg_stat_reset_single_table_counters('ticks'::regclass)")
    assert states(verdict("postgresql", main(own)), "crossed") == ["never_analyzed"]


def test_old_statistics(own: Server) -> None:
    old = {"statistics_age": {"warning": "> 0.2 s"}}
    own.sql("postgres", "create table ticks (x int) with (autovacuum_enabled = off)", "insert into ticks select generate_series(1, 50000)")
    own.sql("postgres", "analyze ticks")  # by another session: what the same one has not reported yet would count as changes since
    time.sleep(0.3)
    assert verdict("postgresql", main(own), old)["measures"]["statistics_age"] == 0, "nothing has changed since"
    own.sql("postgres", "insert into ticks select generate_series(1, 10000)")
    found = until(lambda: states(seen := verdict("postgresql", main(own), old), "crossed") and seen)
    assert states(found, "crossed") == ["statistics_age"]


def test_a_locked_table_does_not_hold_up_the_check(own: Server) -> None:
    own.sql("postgres", "create table ticks (x int) with (autovacuum_enabled = off)", "insert into ticks select generate_series(1, 50000)")
    with session(own, "lock table ticks in access exclusive mode"):
        found = verdict("postgresql", main(own))
        assert (found["status"], found["measures"]["never_analyzed"]) == ("ok", 0)


def test_what_has_no_limit_is_not_looked_for(server: Server) -> None:
    off = {name: {"warning": None} for name in ("dead_tuples_percent", "never_analyzed", "statistics_age")}
    found = verdict("postgresql", main(server), off)
    assert found["status"] == "ok" and not {"dead_tuples_percent", "never_analyzed", "statistics_age"} & set(found["measures"])


def test_switched_off_and_held_back() -> None:
    server = Server()
    server.settings = {"autovacuum": "off", "wal_level": "replica"}
    with server:
        server.sql("postgres", "select pg_create_physical_replication_slot('gone', true)", "create table t as select generate_series(1, 1000)")
        found = verdict("postgresql", main(server), {"slot_retained": {"warning": "> 1 KiB"}})
        assert (found["status"], states(found, "crossed")) == ("warning", ["autovacuum", "slot_retained"]) and found["measures"]["inactive_slots"] == 1


LAG = {"replication_lag": {"warning": "> 0.5 s"}, "replication_lag_bytes": {"warning": "> 100 kB"}, "replicas": {"critical": "< 1"}}


def test_standby(own: Server) -> None:
    own.sql("postgres", "create table ticks (x int)", "select txid_current()")
    assert "replicas" in states(verdict("postgresql", main(own), LAG), "crossed")
    with Server(own) as standby:
        until(lambda: verdict("postgresql", main(own), LAG)["status"] == "ok")
        alone = {name: limits for name, limits in LAG.items() if name != "replicas"}
        until(lambda: verdict("postgresql", main(standby), alone)["status"] == "ok")
        own.sql("postgres", "insert into ticks values (0)")
        until(lambda: standby.sql("postgres", "select count(*) from ticks") == "1")
        measures = verdict("postgresql", main(standby), alone)["measures"]
        assert measures["in_recovery"] is True and "dead_tuples_percent" not in measures
        standby.sql("postgres", "select pg_wal_replay_pause()")
        own.sql("postgres", "insert into ticks select generate_series(1, 50000)")
        both = ["replication_lag", "replication_lag_bytes"]
        until(lambda: states(verdict("postgresql", main(standby), alone), "crossed") == both)
        until(lambda: "replication_lag_bytes" in states(verdict("postgresql", main(own), LAG), "crossed"))
        standby.sql("postgres", "select pg_wal_replay_resume()")
        until(lambda: verdict("postgresql", main(own), LAG)["status"] == "ok")
        until(lambda: verdict("postgresql", main(standby), alone)["status"] == "ok")
        own.stop()
        until(lambda: states(verdict("postgresql", main(standby), alone), "crossed") == ["replication_lag"])


@contextlib.contextmanager
def receiving(server: Server) -> Iterator[None]:
    """Somebody takes its log as it is written, and replays nothing."""
    folder = server.folder / "received"
    folder.mkdir()
    shutil.chown(folder, server.data.owner())
    place = ["--host", str(server.folder), "--port", str(server.port), "--username", "runbook", "--no-loop"]
    process = subprocess.Popen(server._command("pg_receivewal", "--directory", str(folder), *place), cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


def test_only_standbys_are_replicas(own: Server) -> None:
    own.stop()
    own.settings = {"wal_level": "logical"}
    own.start()
    own.sql("postgres", "create table ticks (x int)", "create publication ticks for table ticks")
    address = f"host={own.folder} port={own.port} user=runbook dbname=postgres"
    with receiving(own), Server() as subscriber:
        subscriber.sql("postgres", "create table ticks (x int)", f"create subscription ticks connection '{address}' publication ticks")
        counts = "select count(*), count(replay_lsn) from pg_stat_replication where state = 'streaming'"
        until(lambda: own.sql("postgres", counts) == "2|1")
        measures = verdict("postgresql", main(own))["measures"]
        assert measures["replicas"] == 0 and not {"replication_lag", "replication_lag_bytes"} & set(measures)
        with Server(own):
            until(lambda: verdict("postgresql", main(own))["measures"]["replicas"] == 1)


def test_a_standby_with_standbys_of_its_own(own: Server) -> None:
    with Server(own) as standby:
        assert verdict("postgresql", main(standby))["measures"]["replicas"] == 0
        with Server(standby):
            until(lambda: verdict("postgresql", main(standby))["measures"]["replicas"] == 1)
            assert verdict("postgresql", main(own))["measures"]["replicas"] == 1
        own.sql("postgres", "create role plain login")
        until(lambda: standby.sql("postgres", "select count(*) from pg_roles where rolname = 'plain'") == "1")
        assert "replicas" in states(verdict("postgresql", main(standby, user="plain"), LAG), "unknown")


def test_a_standby_that_knows_nothing_is_unknown(own: Server) -> None:
    standby = Server(own)
    own.stop()
    with standby:
        found = verdict("postgresql", main(standby))
        assert (found["status"], states(found, "unknown")) == ("unknown", ["replication_lag"]) and "replayed no transaction" in found["message"]


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("select 5 as value, 6 as other", 5),
        ("select count(*) from pg_database", 3),
        ("select 2.5::numeric", 2.5),
        ("select 12345678901234567::numeric", 12345678901234567),
        ("select 'nan'::float8", None),
        ("select 'infinity'::float8", None),
        ("select null", None),
        ("select 1 where false", None),
        ("select true", True),
        ("select interval '90 s'", 90.0),
        ("select '100 %'", "100 %"),
        ("select repeat('é', 5000)", "é" * 1000),
        ("select '\\x00ff'::bytea", "2 bytes"),
        ("select timestamptz '2026-11-21 12:00:00+00'", "2026-11-21 12:00:00+00:00"),
        ("values (7)", 7),
        ("with x as (select 1 as a) select a from x;", 1),
        ("-- a comment\nselect 1", 1),
    ],
)
def test_values_of_a_query(query: str, value: Any, server: Server) -> None:
    found = verdict("sql", main(server), query=query)
    assert found["measures"]["value"] == value and found["measures"]["rows"] == (0 if "false" in query else 1), found


def test_columns_rows_and_parameters(server: Server) -> None:
    query = "select x as Oldest, %s as named, count(*) over () as total from generate_series(1, 100000) x where x > %s order by x"
    found = verdict("sql", main(server), {"oldest": {"critical": "> 5"}, "total": {"warning": "< 5"}}, query=query, parameters=["a'b\\ %s", 10])
    assert (found["status"], states(found, "crossed")) == ("critical", ["oldest"])
    measures = found["measures"]
    assert {name: measures[name] for name in ("oldest", "named", "total", "rows")} == {"oldest": 11, "named": "a'b\\ %s", "total": 99990, "rows": 99990}


def test_null_is_unknown(server: Server) -> None:
    for query in ("select max(oid) as a from pg_database where false", "select 1 as a where false"):
        found = verdict("sql", main(server), {"a": {"critical": "> 5"}}, query=query)
        assert found["status"] == "unknown"


@pytest.mark.parametrize(
    "query",
    [
        "create table made (x int)", "insert into pg_class select * from pg_class", "with gone as (delete from orders returning 1) select * from gone",
        "select 1; select 2", "select 1; commit; create table made (x int)", "commit", "begin", "select nextval('numbers')", "vacuum", "set x.y = 1",
        "select set_config('transaction_read_only', 'off', false)", "copy orders to '/tmp/made'", "", "select", "select %s", "selec", "listen news",
    ],
)  # fmt: skip
def test_nothing_is_written(query: str, server: Server) -> None:
    server.sql("postgres", "create table if not exists orders (x int)", "create sequence if not exists numbers")
    before = server.sql("postgres", "select count(*) from pg_class", "select count(*) from orders", "select is_called from numbers")
    if query == "select":  # one row without a column
        assert verdict("sql", main(server), {"value": {"critical": "> 1"}}, query=query)["status"] == "unknown"
        return
    found = verdict("sql", main(server), query=query, parameters=[1, 2] if "%s" in query else [])
    assert (found["status"], found["code"]) == ("unknown", "invalid_input"), found
    assert server.sql("postgres", "select count(*) from pg_class", "select count(*) from orders", "select is_called from numbers") == before


def test_what_a_query_may_not_or_cannot_read(server: Server) -> None:
    server.sql("postgres", "create table if not exists orders (x int)", "drop role if exists reader", "create role reader login")
    denied = verdict("sql", main(server, user="reader"), query="select * from orders")
    assert (denied["status"], denied["code"]) == ("unknown", "permission_denied")
    for query in ("select * from nowhere", "select nothing from orders", "select nothing(1)"):
        missing = verdict("sql", main(server), query=query)
        assert (missing["status"], missing["code"]) == ("critical", "verify_failed")


@pytest.mark.parametrize(
    "value", ["'0044-03-15 BC'::date", "'0044-03-15 BC'::timestamptz", "'10000-01-01'::date", "interval '178000000 years'", "array['0044-03-15 BC'::date]"]
)
def test_a_value_that_python_has_not(value: str, server: Server) -> None:
    found = verdict("sql", main(server), query=f"select {value}")
    assert (found["status"], found["code"]) == ("unknown", "failed") and "cannot be read" in found["message"] and "::text" in found["hint"]
    assert verdict("sql", main(server), query=f"select ({value})::text")["status"] == "ok"


def test_a_damaged_table_is_critical(own: Server) -> None:
    own.sql("postgres", "create table orders as select generate_series(1, 1000) as id", "checkpoint")
    file = own.data / own.sql("postgres", "select pg_relation_filepath('orders')")
    own.stop()
    with file.open("r+b") as pages:
        pages.write(os.urandom(4096))
    own.start()
    found = verdict("sql", main(own), query="select count(*) from orders")
    assert (found["status"], found["code"]) == ("critical", "verify_failed") and "invalid page" in found["message"]


def test_a_damaged_server_is_critical(own: Server) -> None:
    """One of its own views meets every error that damage has."""
    columns = "null::xid as transaction, null::text as gid, damaged() as prepared, null::name as owner, null::name as database"
    function = "create or replace function damaged() returns timestamptz language plpgsql as $$ begin raise 'no more' using errcode = '%s'; end $$"
    for state in ("XX001", "XX002", "58030"):
        own.sql("postgres", "set allow_system_table_mods = on", function % state, f"create or replace view pg_catalog.pg_prepared_xacts as select {columns}")
        for kind, options in (("postgresql", {}), ("sql", {"query": "select damaged()"})):
            found = verdict(kind, main(own), **options)
            assert (found["status"], found["code"]) == ("critical", "verify_failed") and "no more" in found["message"]


def test_a_slow_query_ends_here_and_there(server: Server) -> None:
    found = verdict("sql", main(server), query="select pg_sleep(300)", timeout_seconds=0.5)
    assert (found["status"], found["code"]) == ("critical", "timed_out")
    until(lambda: server.sql("postgres", "select count(*) from pg_stat_activity where application_name = 'tradeops health'") == "0")


def test_somebody_ends_the_session(server: Server) -> None:
    found = verdict("sql", main(server), query="select pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")
    assert found["status"] == "critical" and found["code"] == "unreachable" and "cancel" in found["message"]
