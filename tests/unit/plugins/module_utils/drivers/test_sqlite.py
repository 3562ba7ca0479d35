# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real SQLite files: live, at rest, crashed, locked and broken. Looking at them changes nothing, and an honest error says what is wrong."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, RunbookError, TimedOut, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Deadline, DeadlinePassed, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _sqlite_open, sqlite

MODES = ["delete", "wal"]
ENDLESS = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"


def options(path: Path, **more: Any) -> dict[str, Any]:
    return {"connection": None, "path": str(path), "write_test": True, "quick_check": True, "timeout_seconds": 5.0, **more}


def fill(path: Path, mode: str, rows: int = 200) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute(f"pragma journal_mode = {mode}")
    connection.execute("pragma synchronous = off")
    connection.execute("create table orders (id integer primary key, note text)")
    connection.execute("create index by_note on orders (note)")
    connection.execute("begin")
    connection.executemany("insert into orders (note) values (?)", [(f"{number:0500}",) for number in range(rows)])
    connection.execute("commit")
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


@pytest.fixture(params=MODES)
def live(request: Any, path: Path) -> Iterator[sqlite3.Connection]:
    """The connection of an application that is running."""
    with closing(fill(path, request.param)) as connection:
        yield connection


def state(folder: Path) -> dict[str, Any]:
    """Names, content and times of all files; of the shared memory of readers only that it is there."""
    found = {}
    for entry in folder.iterdir():
        compared = entry.is_file() and not entry.name.endswith("-shm")
        found[entry.name] = (hashlib.sha256(entry.read_bytes()).hexdigest(), entry.stat().st_mtime_ns) if compared else None
    return found


@contextlib.contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    before = state(folder)
    yield
    assert state(folder) == before


def crashed(path: Path, mode: str) -> None:
    """An application killed in the middle of a write."""
    code = f"""import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("pragma journal_mode = {mode}")
connection.execute("create table orders (note text)")
connection.execute("insert into orders values ('kept')")
connection.execute("pragma cache_size = 1")
connection.execute("begin")
connection.executemany("insert into orders values (?)", [("x" * 2000,) for number in range(200)])
os.kill(os.getpid(), 9)"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_live_database(live: sqlite3.Connection, path: Path, check_mode: bool, probe_of: Any) -> None:
    with unchanged(path.parent):
        measures = sqlite.measure(options(path), probe_of(check_mode=check_mode))
    assert set(measures) == set(sqlite.MEASURES)
    mode = live.execute("pragma journal_mode").fetchone()[0]
    assert (measures["readable"], measures["quick_check"], measures["tables"], measures["journal_mode"]) == (True, "ok", 1, mode)
    assert measures["writable"] is (SKIPPED if check_mode else True)
    assert measures["size"] == path.stat().st_size and 0 < measures["latency"] < 5
    assert (measures["wal_size"] > 0) == (mode == "wal")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_database_at_rest(path: Path, mode: str, check_mode: bool, probe_of: Any) -> None:
    fill(path, mode).close()
    open_files = len(os.listdir("/proc/self/fd"))
    with unchanged(path.parent):
        measures = sqlite.measure(options(path), probe_of(check_mode=check_mode))
    assert (measures["journal_mode"], measures["tables"], measures["wal_size"]) == (mode, 1, 0)
    assert measures["writable"] is (SKIPPED if check_mode else True)
    assert len(os.listdir("/proc/self/fd")) == open_files


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_log_left_by_a_crash_is_not_moved_into_the_database(path: Path, check_mode: bool, probe_of: Any) -> None:
    crashed(path, "wal")
    assert path.with_name("orders.db-wal").stat().st_size > 0
    with unchanged(path.parent):
        measures = sqlite.measure(options(path), probe_of(check_mode=check_mode))
    assert (measures["quick_check"], measures["tables"]) == ("ok", 1) and measures["wal_size"] > 0


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_write_cut_off_by_a_crash_is_not_taken_back_here(path: Path, check_mode: bool, probe_of: Any) -> None:
    crashed(path, "delete")
    with unchanged(path.parent), pytest.raises(RunbookError, match="journal of a write that was cut off") as caught:
        sqlite.measure(options(path), probe_of(check_mode=check_mode))
    assert caught.type is RunbookError, "the check could not measure; it is no proof of damage"


def test_a_writer_at_work(live: sqlite3.Connection, path: Path, probe: Probe) -> None:
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            while not stop.is_set():
                writer.execute("insert into orders (note) values ('new')")
                time.sleep(0.002)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _round in range(5):
            measures = sqlite.measure(options(path), probe)
            assert (measures["writable"], measures["quick_check"]) == (True, "ok")
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("lock", ["immediate", "exclusive"])
def test_a_lock_that_is_held(live: sqlite3.Connection, path: Path, lock: str, probe: Probe) -> None:
    """Somebody who writes shuts out other writers; in rollback mode an exclusive lock shuts out readers too."""
    unreadable = lock == "exclusive" and live.execute("pragma journal_mode").fetchone()[0] == "delete"
    live.execute(f"begin {lock}")
    started = time.monotonic()
    with unchanged(path.parent):
        if unreadable:
            with pytest.raises(Busy, match="locked by another process"):
                sqlite.measure(options(path, timeout_seconds=0.4), probe)
        else:
            measures = sqlite.measure(options(path, timeout_seconds=0.4), probe)
            assert (measures["readable"], measures["quick_check"], measures["writable"]) == (True, "ok", False)
    assert 0.3 < time.monotonic() - started < 2
    live.execute("rollback")
    assert sqlite.measure(options(path), probe)["writable"] is True


def test_a_lock_that_is_given_back_in_time(live: sqlite3.Connection, path: Path, probe: Probe) -> None:
    live.execute("begin immediate")
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    live.execute("rollback")
    held.execute("begin immediate")
    timer = threading.Timer(0.3, held.close)
    timer.start()
    assert sqlite.measure(options(path), probe)["writable"] is True
    timer.join()


def test_a_lock_at_the_end_of_the_whole_call_is_no_proof(live: sqlite3.Connection, path: Path, probe_of: Any) -> None:
    live.execute("begin immediate")
    started = time.monotonic()
    with pytest.raises(DeadlinePassed):
        sqlite.measure(options(path), probe_of(0.4))
    assert time.monotonic() - started < 2


def test_without_the_tests(live: sqlite3.Connection, path: Path, probe: Probe) -> None:
    measures = sqlite.measure(options(path, write_test=False, quick_check=False), probe)
    assert set(measures) == set(sqlite.MEASURES) - {"writable", "quick_check"}


def test_by_the_name_of_a_connection(live: sqlite3.Connection, path: Path, probe_of: Any) -> None:
    given = {**options(path), "path": None, "connection": "orders"}
    assert sqlite.measure(given, probe_of(connection={"path": str(path)}))["readable"] is True


def test_free_pages(path: Path, probe: Probe) -> None:
    with closing(fill(path, "delete")) as connection:
        assert sqlite.measure(options(path), probe)["free_percent"] == 0
        connection.execute("delete from orders")
        assert 80 < sqlite.measure(options(path), probe)["free_percent"] < 100


@pytest.mark.parametrize("name", ["a b.db", "a?mode=memory.db", "a#b.db", "a%20b.db", "a%.db", "ä€.db", "a'b\".db", "a\nb.db", "a&b=c.db", "a.db-wal"])
def test_odd_names(name: str, tmp_path: Path, probe: Probe) -> None:
    folder = tmp_path / name
    folder.mkdir()
    fill(folder / name, "delete").close()
    with unchanged(folder):
        assert sqlite.measure(options(folder / name), probe)["tables"] == 1


def broken(path: Path, probe: Probe) -> RunbookError:
    with unchanged(path.parent), pytest.raises(RunbookError) as caught:
        sqlite.measure(options(path), probe)
    assert caught.value.hint
    return caught.value


def test_a_missing_file_is_not_made(path: Path, probe: Probe) -> None:
    assert isinstance(broken(path, probe), Unreachable)
    with pytest.raises(Unreachable):
        sqlite.measure(options(path.parent / "no" / "folder.db"), probe)
    assert state(path.parent) == {}


@pytest.mark.parametrize("content", [b"", b"SQLite", b"no database, but long enough to be read as one" * 90, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database(content: bytes, path: Path, probe: Probe) -> None:
    path.write_bytes(content)
    assert isinstance(broken(path, probe), VerifyFailed)


@pytest.mark.parametrize("mode", MODES)
def test_corrupt_pages(mode: str, path: Path, probe: Probe) -> None:
    """Whichever page is hit, the database is not called whole, unless the page is free or holds only text."""
    fill(path, mode).close()
    good = path.read_bytes()
    found = 0
    for page in range(1, len(good) // 4096, 5):
        path.write_bytes(good[: page * 4096] + b"\xa5" * 4096 + good[(page + 1) * 4096 :])
        try:
            found += sqlite.measure(options(path), probe)["quick_check"] != "ok"
        except VerifyFailed as error:
            found += "malformed" in error.message
    assert found == len(range(1, len(good) // 4096, 5))


def test_a_truncated_file(path: Path, probe: Probe) -> None:
    fill(path, "delete").close()
    os.truncate(path, path.stat().st_size // 2)
    assert isinstance(broken(path, probe), VerifyFailed)


def test_a_folder_and_a_relative_path(tmp_path: Path, probe: Probe) -> None:
    assert isinstance(broken(tmp_path, probe), InvalidInput)
    with pytest.raises(InvalidInput, match="absolute"):
        sqlite.measure(options(Path("orders.db")), probe)


@pytest.mark.parametrize(("what", "mode"), [("file", 0o000), ("folder", 0o000)])
def test_without_permission_nothing_is_said_of_the_database(what: str, mode: int, path: Path, as_nobody: Any) -> None:
    fill(path, "delete").close()
    (path if what == "file" else path.parent).chmod(mode)
    with pytest.raises(RunbookError) as caught:
        as_nobody(lambda: sqlite.measure(options(path), Probe(Deadline(10.0, time.monotonic), time.time())))
    path.parent.chmod(0o755)
    assert caught.type is RunbookError and ("permission" in caught.value.hint or "become" in caught.value.hint)


@pytest.mark.parametrize("mode", MODES)
def test_reading_in_a_folder_that_cannot_be_written(mode: str, path: Path, as_nobody: Any) -> None:
    fill(path, mode).close()
    path.chmod(0o644)
    path.parent.chmod(0o555)
    with unchanged(path.parent):
        measures = as_nobody(lambda: sqlite.measure(options(path, write_test=False), Probe(Deadline(10.0, time.monotonic), time.time())))
    assert (measures["readable"], measures["quick_check"]) == (True, "ok")


@pytest.mark.parametrize(("whole", "error"), [(30.0, TimedOut), (0.3, DeadlinePassed)])
def test_a_slow_database_is_not_waited_for(
    live: sqlite3.Connection, path: Path, whole: float, error: type, probe_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_figures", lambda connection, path: connection.execute(ENDLESS).fetchone())
    started = time.monotonic()
    with unchanged(path.parent), pytest.raises(TimedOut) as caught:
        sqlite.measure(options(path, timeout_seconds=0.4), probe_of(whole))
    assert time.monotonic() - started < 2 and caught.type is error


@pytest.mark.parametrize(
    ("text", "kind"),
    [("database is locked", Busy), ("database table is locked: orders", Busy), ("database schema is locked: main", Busy), ("interrupted", TimedOut),
     ("database disk image is malformed", VerifyFailed), ("file is not a database", VerifyFailed), ("malformed database schema (x)", VerifyFailed),
     ("unable to open database file", RunbookError), ("attempt to write a readonly database", RunbookError), ("disk I/O error", RunbookError),
     ("no such column: is_locked", RunbookError), ("no such table: interrupted", RunbookError), ("no such column: malformed", RunbookError)],
)  # fmt: skip
def test_what_sqlite_says_and_what_it_means(text: str, kind: type) -> None:
    error = _sqlite_open._translated("/x.db", sqlite3.OperationalError(text))
    assert error.__class__ is kind and "/x.db" in error.message and error.hint
