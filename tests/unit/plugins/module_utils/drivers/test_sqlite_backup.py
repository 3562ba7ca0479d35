# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of real SQLite databases: while they are written to, locked, broken, odd or full; each is one state that there was, or an honest error."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context, Taken
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import (
    Busy,
    InvalidInput,
    NoSpace,
    RunbookError,
    TimedOut,
    Unreachable,
    VerifyFailed,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import sqlite_backup
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._sqlite_tables import NotADatabase
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.sqlite_backup import Source
from ansible_collections.tradeops.runbook.tests.support.children import environment
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.backups import book, files, fill, hidden
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.mounts import mounted, tmpfs
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.strace import Fault, needs_strace

TAG = "20261120T021500Z-7f3a9c1e"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "orders.db"


@pytest.fixture(autouse=True)
def folder(path: Path) -> Path:
    path.parent.mkdir()
    return path.parent


def source(path: Path | str, seconds: float = 60.0, **options: Any) -> Source:
    return Source({"path": str(path), **options}, Context(Deadline(seconds, time.monotonic), time.time(), TAG))


def copied(made: Source, copy: Path) -> Taken:
    """The stream as a file, and what is told of it."""
    with made.open() as stream, open(copy, "wb") as file:
        while True:
            block = stream.read(65537)
            if not block:
                break
            file.write(block)
    return made.taken()


def read(copy: Path, query: str) -> Any:
    with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as connection:
        return connection.execute(query).fetchall()


@contextlib.contextmanager
def writers(path: Path, count: int = 2) -> Iterator[list[int]]:
    """Processes that book all the time, each row in both tables or in none, and have begun; gives the numbers of the processes."""
    code = f"""import sqlite3, sys, time
connection = sqlite3.connect({str(path)!r}, isolation_level=None, timeout=30)
connection.execute("pragma wal_autocheckpoint = 0")
number = 0
while True:
    number += 1
    connection.execute("begin immediate")
    connection.execute("insert into credits (amount, note) values (?, ?)", (number, "n" * 200))
    connection.execute("insert into debits (amount) values (?)", (number,))
    connection.execute("commit")
    if number == 1:
        print("ready", flush=True)
    time.sleep(0.002)
"""
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _number in range(count)]
    try:
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        yield [child.pid for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


# --- while it is in use ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["wal", "delete", "truncate", "persist"])
def test_copies_while_others_write_are_states_that_there_were(mode: str, path: Path, tmp_path: Path) -> None:
    fill(path, 3000, mode)
    counts = [3000]
    with writers(path):
        for number in range(5):
            taken = copied(source(path), tmp_path / f"{number}")
            credit, debit, rows, others = read(
                tmp_path / f"{number}", "select (select sum(amount) from credits), (select sum(amount) from debits), (select count(*) from credits), "
                "(select count(*) from debits)")[0]  # fmt: skip
            assert credit == debit and rows == others, "a half of a transaction"
            assert taken.inventory.objects["table credits"] == {"rows": rows} and taken.suspect == ""
            assert rows >= counts[-1], "older than the copy before"
            counts.append(rows)
    assert counts[-1] > counts[0], "nobody wrote"
    assert hidden(path.parent) == []


@pytest.mark.parametrize("grows", [True, False], ids=["by new rows", "by changed rows"])
def test_writers_that_disturb_a_copy_too_often_wait_for_it(grows: bool, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 3000, "delete")
    monkeypatch.setattr(sqlite_backup, "_PAGES", 20)
    watch = sqlite_backup._Watch.__call__
    booked, refused = [3000], []
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as application:

        def write_between_steps(self: Any, *step: int) -> None:
            try:
                application.execute("begin immediate")
                book(application, len(booked)) if grows else application.execute("update credits set note = note || 'x' where id = 1")
                application.execute("commit")
                booked.append(booked[-1] + grows)
            except sqlite3.OperationalError:
                application.execute("rollback")
                refused.append(step)
            watch(self, *step)

        monkeypatch.setattr(sqlite_backup._Watch, "__call__", write_between_steps)
        taken = copied(source(path), tmp_path / "copy")
    assert ["had to wait" in note for note in taken.notes] == [True] and len(refused) >= 7, "in one go, once it had to begin anew too often"
    assert taken.inventory.objects["table credits"] == {"rows": booked[-1]} and 4 <= len(booked) <= 8


def test_in_wal_mode_nobody_waits(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 3000, "wal")
    monkeypatch.setattr(sqlite_backup, "_PAGES", 20)
    watch = sqlite_backup._Watch.__call__
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)) as application:
        steps: list[int] = []

        def write_between_steps(self: Any, *step: int) -> None:
            book(application, len(steps))
            steps.append(step[1])
            watch(self, *step)

        monkeypatch.setattr(sqlite_backup._Watch, "__call__", write_between_steps)
        taken = copied(source(path), tmp_path / "copy")
        assert len(steps) > 5 and steps == sorted(steps, reverse=True), "it began again"
        assert taken.inventory.objects["table credits"] == {"rows": 3000} and taken.notes == []


def test_what_was_committed_and_not_checkpointed_is_in_it(path: Path, tmp_path: Path) -> None:
    fill(path, 10, "wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as application:
        application.execute("pragma wal_autocheckpoint = 0")
        book(application, 11)
        assert os.path.getsize(f"{path}-wal") > 0
        assert copied(source(path), tmp_path / "copy").inventory.objects["table credits"] == {"rows": 11}
        application.execute("begin")
        book(application, 12)
        assert copied(source(path), tmp_path / "copy").inventory.objects["table credits"] == {"rows": 11}, "what is not committed is not"


@pytest.mark.parametrize("shared_memory", [True, False], ids=["with its shared memory", "without"])
def test_the_log_of_an_application_that_was_killed(shared_memory: bool, path: Path, tmp_path: Path) -> None:
    fill(path, 10, "wal")
    killed_after_booking(path)
    assert os.path.getsize(f"{path}-wal") > 0
    if not shared_memory:
        os.unlink(f"{path}-shm")
        with pytest.raises(RunbookError, match="write-ahead log that no process has open"):
            source(path).identity()
        return
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert copied(source(path), tmp_path / "copy").inventory.objects["table credits"] == {"rows": 11}
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == before, "a backup takes no log in"


def killed_after_booking(path: Path) -> None:
    code = f"""import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("pragma wal_autocheckpoint = 0")
connection.execute("begin")
connection.execute("insert into credits (amount) values (99)")
connection.execute("insert into debits (amount) values (99)")
connection.execute("commit")
os.kill(os.getpid(), 9)"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


def test_a_write_that_was_cut_off_is_for_the_application_to_take_back(path: Path) -> None:
    fill(path, 2000, "delete")
    code = f"""import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("pragma cache_size = 1")
connection.execute("begin")
connection.execute("update credits set note = 'x'")
os.kill(os.getpid(), 9)"""
    subprocess.run([sys.executable, "-c", code], check=False)
    before = files(path.parent)
    with pytest.raises(RunbookError, match="journal of a write that was cut off"):
        source(path).identity()
    assert files(path.parent) == before


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_database_at_rest_stays_as_it_is(mode: str, path: Path, tmp_path: Path) -> None:
    fill(path, 10, mode)
    before = files(path.parent)
    made = source(path)
    identity = made.identity()
    copied(made, tmp_path / "copy")
    assert files(path.parent) == before and list(before) == ["orders.db"]
    assert (identity.place, identity.exists, identity.size_bytes) == (str(path), True, path.stat().st_size)
    assert identity.engine == identity.tools == sqlite3.sqlite_version


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_database_that_is_locked_is_waited_for_and_no_longer(when: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 3000)
    monkeypatch.setattr(sqlite_backup, "_PAGES", 20)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)) as application:
        made = source(path, busy_timeout_seconds=0.3)
        if when == "before":
            application.execute("begin exclusive")
        else:
            watch = sqlite_backup._Watch.__call__

            def lock(self: Any, *step: int) -> None:
                if not application.in_transaction:
                    application.execute("begin exclusive")
                watch(self, *step)

            monkeypatch.setattr(sqlite_backup._Watch, "__call__", lock)
        started = time.monotonic()
        with pytest.raises(Busy, match="locked"):
            copied(made, tmp_path / "copy")
        assert time.monotonic() - started < 10, "it may take sixty"
        application.execute("rollback")
    assert hidden(path.parent) == []


def test_time_that_is_over(path: Path, tmp_path: Path) -> None:
    fill(path, 3000)
    with pytest.raises(TimedOut, match="took longer than it may"):
        copied(source(path, seconds=0.0), tmp_path / "copy")
    now = [0.0]
    made = Source({"path": str(path)}, Context(Deadline(10.0, lambda: now[0]), 1.0, TAG))
    with pytest.raises(TimedOut, match="the backup took longer"), made.open() as stream:
        assert stream.read(16) == b"SQLite format 3\0"
        now[0] = 11.0
        stream.read(16)
    assert hidden(path.parent) == []


def test_the_instant_the_data_is_from(path: Path, tmp_path: Path) -> None:
    fill(path)
    now = [100.0]
    made = Source({"path": str(path)}, Context(Deadline(60.0, lambda: now[0]), 1_800_000_000.0, TAG))
    now[0] = 130.0  # it waited that long
    assert copied(made, tmp_path / "copy").taken_at == 1_800_000_030.0


# --- what is no database -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", NotADatabase, "is empty"),
        (b"no database\n" * 1000, VerifyFailed, "not a database"),
        (b"SQLite format 3\0" + b"\xff" * 84, VerifyFailed, "not a database|is empty"),
        (b"x", NotADatabase, "is empty"),
    ],
    ids=["empty", "text", "a header of nonsense", "a byte"],
)
def test_files_that_are_no_database(content: bytes, error: type[RunbookError], message: str, path: Path, tmp_path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        source(path).identity()
        copied(source(path), tmp_path / "copy")
    assert caught.value.hint and files(path.parent) == files(path.parent) and hidden(path.parent) == []
    assert path.read_bytes() == content


def test_places_that_are_no_file(path: Path, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="does not exist"):
        source(path).identity()
    with pytest.raises(InvalidInput, match="not an absolute path"):
        source("orders.db").identity()
    path.mkdir()
    with pytest.raises(InvalidInput, match="is not a file"):
        source(path).identity()
    os.mkfifo(path.parent / "pipe")
    with pytest.raises(InvalidInput, match="is not a file"):
        source(path.parent / "pipe").identity()


def test_no_tables(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 7")
        connection.execute("vacuum")
    taken = copied(source(path), tmp_path / "copy")
    assert taken.inventory.totals["objects"] == 0 and taken.inventory.objects["database"]["user_version"] == 7


@pytest.mark.parametrize("integrity", ["quick", "full", "off"])
@pytest.mark.parametrize("place", ["a leaf", "the schema"])
def test_a_damaged_database_is_kept_and_not_trusted(place: str, integrity: str, path: Path, tmp_path: Path) -> None:
    fill(path, 3000)
    size = 4096
    body = bytearray(path.read_bytes())
    start = size * (len(body) // size - 3) if place == "a leaf" else 100
    body[start : start + 40] = b"\xff" * 40
    path.write_bytes(body)
    made = source(path, integrity=integrity)
    if place == "the schema":
        with pytest.raises(VerifyFailed, match="malformed"):
            made.identity()
            copied(made, tmp_path / "copy")
    else:
        made.identity()
        taken = copied(made, tmp_path / "copy")
        assert taken.suspect.startswith("SQLite finds damage: ") and (tmp_path / "copy").read_bytes()[100:] == bytes(body)[100:]
    assert hidden(path.parent) == []


def test_damage_at_random_never_passes_for_another_database(path: Path, tmp_path: Path) -> None:
    fill(path, 300)
    whole = path.read_bytes()
    chance = random.Random(20261120)
    told = {"good": 0, "suspect": 0, "error": 0}
    for _number in range(150):
        body = bytearray(whole)
        start = chance.randrange(0, len(body) - 64)
        body[start : start + 64] = chance.randbytes(64) if chance.random() < 0.5 else bytes(64)
        path.write_bytes(body)
        try:
            taken = copied(source(path, integrity="full"), tmp_path / "copy")
        except RunbookError:
            told["error"] += 1
            continue
        assert (tmp_path / "copy").read_bytes()[100:] == bytes(body)[100:], "the copy is what was there"  # its header counts changes
        told["suspect" if taken.suspect else "good"] += 1
    assert told["suspect"] > 10 and told["good"] > 10, told


# --- what is odd about it ----------------------------------------------------------------------------------------------------------


def test_names_and_tables_of_all_sorts(path: Path, tmp_path: Path) -> None:
    names = ['we"ird; drop--', "new\nline", "it's", "emoji 🚀", "[brackets]", "sqlite3_mine", "sqlite", "%_\\", " ", "select", "-leading"]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for number, name in enumerate(names):
            quoted = '"' + name.replace('"', '""') + '"'
            connection.execute(f"create table {quoted} (id integer primary key autoincrement, x)")
            connection.executemany(f"insert into {quoted} (x) values (?)", [(row,) for row in range(number)])
        connection.execute("create table flat (a text primary key, b) without rowid")
        connection.executemany("insert into flat values (?, ?)", [(str(row), row) for row in range(40)])
        connection.execute("create virtual table words using fts5(body)")
        connection.execute("insert into words values ('some words')")
        connection.execute("create index by_b on flat (b)")
        connection.execute("create view v as select 1")
        connection.execute("create trigger t after insert on flat begin select 1; end")
        connection.execute("pragma application_id = 99")
    inventory = copied(source(path), tmp_path / "copy").inventory
    assert {name: inventory.objects[f"table {name}"]["rows"] for name in names} == {name: number for number, name in enumerate(names)}
    assert (inventory.objects["table flat"], inventory.objects["table words"]) == ({"rows": 40}, {"rows": 1})
    assert inventory.objects["database"] == {"user_version": 0, "application_id": 99}
    tables = len([name for name in inventory.objects if name.startswith("table ")])
    assert {name: inventory.totals[name] for name in ("objects", "indexes", "triggers", "views")} == {
        "objects": tables,
        "indexes": 1,
        "triggers": 1,
        "views": 1,
    }
    assert inventory.totals["rows"] == sum(figures.get("rows", 0) for figures in inventory.objects.values())
    assert "table sqlite_sequence" not in inventory.objects


def test_what_only_the_application_can_read_is_copied_all_the_same(path: Path, tmp_path: Path) -> None:
    """A virtual table of a module that is not here, an order of texts that is not here, a name that is no UTF-8."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_collation("mine", lambda one, other: (one > other) - (one < other))
        connection.create_function("own", 1, lambda value: value, deterministic=True)
        connection.execute("create table sorted (name text collate mine, n int)")
        connection.execute("create index by_name on sorted (name)")
        connection.execute("create index by_own on sorted (own(n))")
        connection.executemany("insert into sorted values (?, 1)", [("b",), ("a",)])
        connection.execute("create table plain (x)")
        connection.execute("create table odd (x)")
        connection.execute("pragma writable_schema = on")
        connection.execute("insert into sqlite_master values ('table', 'places', 'places', 0, 'create virtual table places using spatial(x)')")
        connection.execute("update sqlite_master set name = cast(x'6f64ff' as text), tbl_name = cast(x'6f64ff' as text), "
                           "sql = cast(x'637265617465207461626c6520226f64ff222028782900' as text) where name = 'odd'")  # fmt: skip
    for integrity in ("quick", "full"):
        taken = copied(source(path, integrity=integrity), tmp_path / "copy")
        assert taken.inventory.objects["table places"] == {} and taken.inventory.objects["table plain"] == {"rows": 0}
        assert taken.inventory.objects["table sorted"] == {"rows": 2} and taken.inventory.objects["table od\\xff"] == {}
        assert taken.inventory.totals["objects"] == 4


def test_a_file_with_an_odd_name(folder: Path, tmp_path: Path) -> None:
    path = folder / "or[d]er*s ?mode=x&é\n#.db"
    fill(path, 10)
    assert copied(source(path), tmp_path / "copy").inventory.totals["rows"] == 20
    assert [name.name for name in folder.iterdir()] == [path.name]


def test_a_link_to_a_database(path: Path, tmp_path: Path) -> None:
    fill(tmp_path / "real.db", 10, "wal")
    path.symlink_to(tmp_path / "real.db")
    with closing(sqlite3.connect(tmp_path / "real.db", isolation_level=None)) as application:
        application.execute("pragma wal_autocheckpoint = 0")
        book(application, 11)
        assert copied(source(path), tmp_path / "copy").inventory.objects["table credits"] == {"rows": 11}
    assert path.is_symlink() and sorted(name.name for name in path.parent.iterdir()) == ["orders.db"]


# --- room, leftovers, faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_nobody_else_may_read_the_copy(umask: int, path: Path) -> None:
    fill(path)
    modes = []
    watch = sqlite_backup._Watch.__call__
    before = os.umask(umask)
    try:
        with pytest.MonkeyPatch.context() as patch:

            def look(self: Any, *step: int) -> None:
                modes.extend(stat.S_IMODE(found.stat().st_mode) for found in path.parent.glob(".*"))
                watch(self, *step)

            patch.setattr(sqlite_backup._Watch, "__call__", look)
            with source(path).open():
                assert hidden(path.parent) == [], "it has no name while it is read"
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(path: Path, tmp_path: Path) -> None:
    fill(path)
    code = f"""import os, sys
from pathlib import Path
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._disk import claimed_file
for name in sys.argv[1:]:
    claimed_file({str(path.parent / ".orders.db.backup-")!r} + name)
print("ready", flush=True)
sys.stdin.read()"""
    names = {"living": ["1", "2"], "dead": ["3", "4"]}
    children = {
        who: subprocess.Popen([sys.executable, "-c", code, *tags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        for who, tags in names.items()
    }
    (path.parent / ".orders.db.backup-5").touch()
    (path.parent / ".orders.db.backup-6").symlink_to(path)
    os.mkfifo(path.parent / ".orders.db.backup-7")
    (path.parent / ".orders.db.other-8").touch()
    try:
        for child in children.values():
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        children["dead"].kill()
        children["dead"].wait()
        assert len(hidden(path.parent)) == 8
        copied(source(path), tmp_path / "copy")
        assert hidden(path.parent) == [".orders.db.backup-1", ".orders.db.backup-2", ".orders.db.backup-6", ".orders.db.other-8"]
    finally:
        for child in children.values():
            child.kill()
            child.communicate()
    assert sqlite3.connect(path).execute("select count(*) from credits").fetchone() == (50,), "what a link named is whole"


@needs_strace
def test_a_copy_that_was_taken_for_a_leftover_is_made_again(path: Path, tmp_path: Path) -> None:
    fill(path)

    code = f"""import os
while True:
    try:
        os.unlink({str(path.parent / f".orders.db.backup-{TAG}")!r})
    except FileNotFoundError:
        continue
    break"""
    with subprocess.Popen([sys.executable, "-c", code]) as sweeper:
        try:
            ended = Fault("flock", "delay_enter=500000", 1).strike(lambda: copied(source(path), tmp_path / "copy").inventory.totals, tmp_path / "log")
            assert sweeper.wait(5) == 0
        finally:
            sweeper.kill()
    assert ended.faulted and ended.error is None and ended.result["rows"] == 100, ended


def test_a_spool_name_that_is_taken(path: Path, tmp_path: Path) -> None:
    fill(path)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (path.parent / f".orders.db.backup-{TAG}").symlink_to(victim)
    with pytest.raises(RunbookError, match="File exists"):
        copied(source(path), tmp_path / "copy")
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("spare", [0.5, 0.98])
def test_a_disk_with_too_little_room(spare: float, tmp_path: Path) -> None:
    def full() -> None:
        tmpfs(tmp_path / "small", "4m")
        path = tmp_path / "small" / "orders.db"
        fill(path, 4000)
        free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
        with open(tmp_path / "small" / "other", "wb") as file:
            file.write(b"x" * int(free - spare * path.stat().st_size))
        before = files(path.parent)
        with pytest.raises(NoSpace, match="free, and the copy needs"):
            copied(source(path), tmp_path / "copy")
        assert files(path.parent) == before

    mounted(full)


def test_a_disk_that_fills_up_during_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_backup, "_PAGES", 20)

    def full() -> None:
        tmpfs(tmp_path / "small", "4m")
        path = tmp_path / "small" / "orders.db"
        fill(path, 4000)
        watch = sqlite_backup._Watch.__call__

        def eat(self: Any, *step: int) -> None:
            with contextlib.suppress(OSError), open(tmp_path / "small" / "other", "ab") as file:
                file.write(b"x" * (4 << 20))
            watch(self, *step)

        monkeypatch.setattr(sqlite_backup._Watch, "__call__", eat)
        with pytest.raises(NoSpace, match="no room beside"):
            copied(source(path), tmp_path / "copy")
        assert hidden(path.parent) == []

    mounted(full)


def test_a_limit_of_the_size_of_files(path: Path, tmp_path: Path) -> None:
    fill(path, 4000)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with pytest.raises(RunbookError, match="the copy of .* broke") as caught:
            copied(source(path), Path("/dev/null"))
        assert caught.value.code == "failed"

    mounted(limited)
    assert hidden(path.parent) == []


@needs_strace
@pytest.mark.parametrize("syscall", ["pread64", "pwrite64", "openat", "unlink", "flock", "statfs,fstatfs"])
def test_a_disk_that_fails(syscall: str, path: Path, tmp_path: Path) -> None:
    fill(path, 300)
    outcomes = set()
    for position in (1, 2, 3, 5, 8, 13, 21):
        ended = Fault(syscall, "error=EIO", position).strike(lambda: copied(source(path), tmp_path / "copy"), tmp_path / "log")
        if ended.error is not None:
            assert isinstance(ended.error, RunbookError), f"{position}: {ended.error!r}"
            known = {"failed", "no_space"} | ({"verify_failed"} if syscall == "pread64" else set())  # SQLite takes what it cannot read for damage
            assert ended.error.code in known, f"{position}: {ended.error!r}"
        elif not ended.result.suspect:
            assert read(tmp_path / "copy", "select count(*) from credits") == [(300,)]
        outcomes.add((ended.faulted, ended.error is None))
        copied(source(path), tmp_path / "again")
        assert hidden(path.parent) == [], position
    assert (True, False) in outcomes or syscall == "unlink", outcomes
