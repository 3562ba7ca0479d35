# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real SQLite databases, live, at rest, crashed, locked and broken; nothing beside them may change."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, RunbookError, TimedOut, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import DeadlinePassed, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import sql

ENDLESS = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database in rollback mode; its folder's name needs quoting in an address."""
    folder = tmp_path / "odd ?name#%41"
    folder.mkdir()
    return create(folder / "orders.db", "delete")


def create(path: Path, mode: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
        connection.execute("pragma synchronous = off")
        connection.execute("create table orders (id integer, status text, price real, note blob)")
        connection.executemany("insert into orders values (?, ?, ?, ?)", [(1, "pending", 1.5, None), (2, "filled", 2.5, b"abc"), (3, "pending", 3.5, None)])
    return path


@pytest.fixture
def ask(path: Path, probe_of: Any) -> Any:
    def run(query: str, *parameters: Any, at: Path = path, seconds: float = 5.0, whole: float = 30.0) -> dict[str, Any]:
        options = {"connection": "orders", "query": query, "parameters": list(parameters), "timeout_seconds": seconds}
        return sql.measure(options, probe_of(whole, connection={"path": str(at)}))

    return run


@pytest.fixture(autouse=True)
def untouched(path: Path) -> Iterator[None]:
    """Whatever a test asks: the same files with the same content afterwards, unless it says so by making others itself."""
    before = listing(path.parent)
    yield
    after = listing(path.parent)
    assert {name: after.get(name) for name in before} == before
    assert not [name for name in after if name not in before and not name.startswith("made-")]


def listing(folder: Path) -> dict[str, str]:
    return {entry.name: hashlib.sha256(entry.read_bytes()).hexdigest() for entry in folder.iterdir() if entry.is_file()}


def test_the_first_column_of_the_first_row(ask: Any) -> None:
    measures = ask("select count(*), MAX(price) as Top_Price from orders where status = ?", "pending")
    assert 0 < measures.pop("latency") < 5
    assert measures == {"value": 2, "rows": 1, "count(*)": 2, "top_price": 3.5}


@pytest.mark.parametrize(
    ("query", "value", "rows"),
    [
        ("select id from orders order by id desc", 3, 3),
        ("select id from orders where id = 99", None, 0),
        ("select max(id) from orders where id = 99", None, 1),
        ("select null", None, 1),
        ("select 'x'", "x", 1),
        ("select 0.5", 0.5, 1),
        ("select 9e999", None, 1),
        ("select x'00ff00'", "3 bytes", 1),
        ("select cast(x'61ff62' as text)", "a\ufffdb", 1),
        ("select replace(hex(zeroblob(5000)), '00', 'é')", "é" * 1000, 1),
        ("select 9007199254740993", 9007199254740993, 1),
        ("values (7)", 7, 1),
        ("select 5 as value, 6 as other", 5, 1),
        ("with x as (select 1 as a) select a from x", 1, 1),
        ("pragma user_version", 0, 1),
        ("pragma quick_check", "ok", 1),
        ("select count(*) from pragma_table_info('orders')", 4, 1),
        ("select sum(value) from json_each('[1, 2, 3]')", 6, 1),
        ("select count(*) from sqlite_master", 1, 1),
        ("-- a comment\nselect 1;", 1, 1),
    ],
)
def test_values(query: str, value: Any, rows: int, ask: Any) -> None:
    measures = ask(query)
    assert (measures["value"], measures["rows"]) == (value, rows)


def test_parameters(ask: Any) -> None:
    assert ask("select id from orders where status = ? and price < ?", "pending", 2)["value"] == 1
    assert ask("select ?", None)["value"] is None


@pytest.mark.parametrize(
    "query",
    [
        "delete from orders",
        "insert into orders (id) values (9)",
        "update orders set id = 1",
        "create table more (x)",
        "create temp table more (x)",
        "drop table orders",
        "begin immediate",
        "vacuum",
        "vacuum into 'copy.db'",
        "attach 'other.db' as other",
        "attach ':memory:' as other",
        "pragma journal_mode = wal",
        "pragma query_only = off",
        "pragma writable_schema = on",
        "pragma wal_checkpoint(truncate)",
        "select load_extension('x')",
        "delete from sqlite_master",
        "update sqlite_master set sql = ''",
    ],
)
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nothing_but_reading(query: str, mode: str, ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    monkeypatch.chdir(tmp_path / "more")
    other = create(tmp_path / "more/other.sqlite", mode)
    before = listing(other.parent)
    with pytest.raises(RunbookError) as caught:
        ask(query, at=other)
    assert caught.value.code in ("invalid_input", "failed"), "a mistake in the query is not the database's fault"
    assert listing(other.parent) == before


@pytest.mark.parametrize(
    ("query", "parameters", "error", "message"),
    [
        ("select 1; select 2", [], InvalidInput, "one statement at a time"),
        ("select ?", [], InvalidInput, "Incorrect number of bindings"),
        ("select 1", [1], InvalidInput, "Incorrect number of bindings"),
        ("select ?", [{"a": 1}], InvalidInput, "cannot be run"),
        ("select 1 as x, 2 as X", [], InvalidInput, "the column name x is taken"),
        ("select 1 as rows", [], InvalidInput, "the column name rows is taken"),
        ("select 1, 2 as value", [], InvalidInput, "the column name value is taken"),
        ("select '\0'", [], RunbookError, "."),
        ("selec 1", [], RunbookError, "syntax error"),
        ("select 1 from none", [], VerifyFailed, "no such table: none"),
        ("select none from orders", [], VerifyFailed, "no such column: none"),
    ],
)
def test_queries_that_cannot_be_run(query: str, parameters: list[Any], error: type[RunbookError], message: str, ask: Any) -> None:
    with pytest.raises(RunbookError, match=message) as caught:
        ask(query, *parameters)
    assert caught.value.hint
    assert isinstance(caught.value, error)
    assert not isinstance(caught.value, VerifyFailed) or error is VerifyFailed


def test_a_slow_query_times_out(ask: Any) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match="the query of .* took longer than 0.2 s"):
        ask(ENDLESS, seconds=0.2)
    assert time.monotonic() - started < 5


def test_a_call_without_time_says_nothing_about_the_database(ask: Any) -> None:
    with pytest.raises(DeadlinePassed):
        ask(ENDLESS, whole=0.2)


def test_a_locked_database_is_busy(path: Path, ask: Any) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("begin exclusive")
        started = time.monotonic()
        with pytest.raises(Busy, match="locked"):
            ask("select count(*) from orders", seconds=0.3)
        assert 0.2 < time.monotonic() - started < 5
        holder.execute("rollback")


def test_a_lock_that_goes_away_is_waited_for(path: Path, ask: Any) -> None:
    code = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('begin exclusive'); print(flush=True); time.sleep(0.3)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert ask("select count(*) from orders")["value"] == 3


def test_the_locks_of_others_in_this_process_are_kept(path: Path, ask: Any) -> None:
    """POSIX drops all locks of a process on a file when it closes any descriptor of that file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        assert ask("select count(*) from orders")["value"] == 3
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute('begin immediate')"
        assert b"locked" in subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False).stderr
        writer.execute("rollback")


def test_wal_at_rest_is_read_without_a_trace(path: Path, ask: Any) -> None:
    other = create(path.parent / "made-rest.db", "wal")
    before = listing(path.parent)
    assert ask("select count(*) from orders", at=other)["value"] == 3
    assert listing(path.parent) == before


def test_wal_in_use_is_read_up_to_date(path: Path, ask: Any) -> None:
    other = create(path.parent / "made-live.db", "wal")
    with closing(sqlite3.connect(other, isolation_level=None)) as writer:
        writer.execute("insert into orders (id) values (4)")
        names = set(listing(path.parent))
        assert ask("select count(*) from orders", at=other)["value"] == 4
        writer.execute("begin immediate")
        writer.execute("insert into orders (id) values (5)")
        assert ask("select count(*) from orders", at=other)["value"] == 4
        writer.execute("commit")
        assert set(listing(path.parent)) == names


@pytest.fixture
def crashed(path: Path) -> Path:
    """A database in WAL mode whose process was killed: part of the data is in the log only."""
    other = create(path.parent / "made-crashed.db", "wal")
    code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('insert into orders (id) values (4)'); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(other)], check=False)
    return other


def test_a_crashed_writers_log_is_read(crashed: Path, ask: Any) -> None:
    content, names = crashed.read_bytes(), set(listing(crashed.parent))
    assert ask("select count(*) from orders", at=crashed)["value"] == 4
    assert (crashed.read_bytes(), set(listing(crashed.parent))) == (content, names)


def test_a_log_nobody_has_open_is_not_passed_over(crashed: Path, ask: Any) -> None:
    os.unlink(f"{crashed}-shm")
    with pytest.raises(RunbookError, match="has a write-ahead log that no process has open") as caught:
        ask("select count(*) from orders", at=crashed)
    assert caught.value.code == "failed"
    assert not os.path.exists(f"{crashed}-shm")


def test_a_writer_that_comes_meanwhile_is_noticed(path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = create(path.parent / "made-late.db", "wal")
    writers: list[sqlite3.Connection] = []

    def write(value: Any) -> Any:
        writers.append(sqlite3.connect(other, isolation_level=None))
        writers[0].execute("insert into orders (id) values (4)")
        return value

    monkeypatch.setattr(sql, "_plain", write)
    with pytest.raises(RunbookError, match="was opened by another process while it was read"):
        ask("select count(*) from orders", at=other)
    writers[0].close()


def test_an_interrupted_rollback_is_not_guessed_at(path: Path, ask: Any) -> None:
    other = create(path.parent / "made-hot.db", "delete")
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('pragma cache_size = 1'); c.execute('begin')\n"
        "c.executemany('insert into orders values (?, ?, 0, 0)', [(n, 'x' * 500) for n in range(200)]); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(other)], check=False)
    before = listing(path.parent)
    assert "made-hot.db-journal" in before
    with pytest.raises(RunbookError):
        ask("select count(*) from orders", at=other)
    assert listing(path.parent) == before


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, Unreachable, "does not exist"),
        (b"", VerifyFailed, "is empty"),
        (b"this is not a database" * 500, VerifyFailed, "not a database"),
    ],
)
def test_files_that_are_no_database(content: bytes | None, error: type[RunbookError], message: str, path: Path, ask: Any) -> None:
    other = path.parent / "made-other.db"
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(error, match=message):
        ask("select 1 from sqlite_master", at=other)
    assert other.exists() is (content is not None)


def test_a_damaged_database(path: Path, ask: Any) -> None:
    other = create(path.parent / "made-damaged.db", "delete")
    other.write_bytes(other.read_bytes()[:4096] + b"\xff" * 4096)
    with pytest.raises(VerifyFailed, match="malformed"):
        ask("select * from orders", at=other)


@pytest.mark.parametrize("name", [".", "made-pipe"])
def test_what_is_no_file_is_refused(name: str, path: Path, ask: Any) -> None:
    os.mkfifo(path.parent / "made-pipe")
    with pytest.raises(InvalidInput, match="is not a file"):
        ask("select 1", at=path.parent / name)
    os.unlink(path.parent / "made-pipe")


def test_a_relative_path_is_refused(ask: Any) -> None:
    with pytest.raises(InvalidInput, match="is not an absolute path"):
        ask("select 1", at=Path("orders.db"))


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_not_allowed_is_not_the_databases_fault(closed: str, path: Path, ask: Any, as_nobody: Any) -> None:
    (path if closed == "file" else path.parent).chmod(0)
    with pytest.raises(RunbookError, match="cannot be opened|may not be looked at") as caught:
        as_nobody(lambda: ask("select 1"))
    path.parent.chmod(0o755)
    path.chmod(0o644)
    assert caught.value.code == "failed"


@pytest.mark.parametrize("connection", [None, {}, {"host": "db.example"}])
def test_a_connection_of_no_known_shape(connection: dict[str, Any] | None, probe_of: Any) -> None:
    with pytest.raises(InvalidInput, match="the connection orders has no path"):
        sql.measure({"connection": "orders", "query": "select 1", "parameters": [], "timeout_seconds": 1.0}, probe_of(connection=connection))


def test_the_contract_names_its_measures(ask: Any) -> None:
    assert set(sql.MEASURES) <= set(ask("select 1 as one"))


def test_no_connection_stays_open(path: Path, ask: Any, probe: Probe) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for query in ("select 1", "selec 1", "select 1 from none", "attach 'x' as x"):
        try:
            ask(query)
        except RunbookError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before
