# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite databases are replaced by rename only while nobody has them open, with what belongs to them, and it can be taken back to the last byte."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InUse, InvalidInput, NoSpace, RunbookError, TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Body
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._sqlite_tables import NotADatabase
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.sqlite_restore import Target
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.backups import book, dump, files, fill, hidden, rows
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.mounts import mounted, tmpfs
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.strace import Fault, needs_strace, sweep

TAG = "20261120T021500Z-7f3a9c1e"
OTHER = "20261120T021501Z-00000001"
MANIFEST = {"id": "20261119T021500Z-00000000"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "orders.db"


@pytest.fixture
def backup(tmp_path: Path) -> bytes:
    """What is restored: thirty rows, where fifty are there."""
    fill(tmp_path / "backup.db", 30)
    return (tmp_path / "backup.db").read_bytes()


def target(path: Path | str, tag: str = TAG, seconds: float = 60.0, scratch: bool = False, **options: Any) -> Target:
    return Target({"path": str(path), **options}, Context(Deadline(seconds, time.monotonic), time.time(), tag, scratch))


def staged(path: Path, backup: bytes, tag: str = TAG) -> Target:
    made = target(path, tag)
    made.stage(Body(backup), MANIFEST)
    return made


def credits(path: Path) -> int:
    found: int = rows(path, "select count(*) from credits")[0][0]
    return found


def crashed_in_wal_mode(path: Path, number: int = 50) -> None:
    """A database whose newest row is only in the log of an application that was killed."""
    fill(path, number - 1, "wal")
    code = f"""import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("pragma wal_autocheckpoint = 0")
connection.execute("insert into credits (amount) values (99)")
os.kill(os.getpid(), 9)"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert Path(f"{path}-wal").stat().st_size > 0


@contextmanager
def application(path: Path, *statements: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with a connection that has run these and is idle."""
    code = f"""import sqlite3, sys
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
for statement in {statements!r}:
    connection.execute(statement).fetchall()
print("ready", flush=True)
sys.stdin.read()"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


# --- what is there -----------------------------------------------------------------------------------------------------------------


def test_what_is_there(path: Path, as_nobody: Callable[[Callable[[], Any]], Any]) -> None:
    assert target(path).identity().exists is False
    fill(path)
    found = target(path).identity()
    assert (found.place, found.exists, found.size_bytes, found.in_use, found.system_id) == (str(path), True, path.stat().st_size, "", "")
    with application(path, "select * from credits") as child:
        assert target(path).identity().in_use.endswith(f"({child.pid})")
    with pytest.raises(InvalidInput, match="not an absolute path"):
        target("orders.db")
    if os.geteuid() == 0:
        path.parent.chmod(0o700)
        with pytest.raises(RunbookError, match="cannot be looked at"):
            as_nobody(lambda: target(path).identity())


# --- staging -----------------------------------------------------------------------------------------------------------------------


def test_what_is_staged_can_be_counted_and_asked(path: Path, backup: bytes) -> None:
    fill(path)
    before = files(path.parent)
    made = staged(path, backup)
    assert made.inventory().objects["table credits"] == {"rows": 30} and made.inventory().totals["rows"] == 60
    assert made.ask("select count(*) from credits") == 30
    assert made.ask("with recursive n(x) as (select 1 union all select x + 1 from n where x < 9) select sum(x) from n") == 45
    assert made.ask("select value from json_each('[7]')") == 7
    assert made.ask("select 1 where 0") is None
    assert {stat.S_IMODE(name.stat().st_mode) for name in path.parent.glob(".*")} == {0o600}
    made.discard()
    made.discard()
    assert files(path.parent) == before and hidden(path.parent) == []


@pytest.mark.parametrize(
    "query",
    ["delete from credits", "create table x (y)", "select", "select nothing from credits", "attach database '{}' as x",
     "vacuum into '{}'", "select 1; select 2",
     "pragma writable_schema = on", "begin"],
)  # fmt: skip
def test_a_query_only_reads(query: str, path: Path, backup: bytes, tmp_path: Path) -> None:
    made = staged(path, backup)
    before = files(tmp_path)
    with pytest.raises(InvalidInput, match="cannot be answered"):
        made.ask(query.format(tmp_path / "made"))
    assert files(tmp_path) == before and made.ask("select count(*) from credits") == 30


def test_a_query_without_end(path: Path, backup: bytes) -> None:
    staged(path, backup)
    made = target(path, OTHER, seconds=1.0)
    made.stage(Body(backup), MANIFEST)
    with pytest.raises(TimedOut, match="took longer than it may"):
        made.ask("with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n")


def damaged(backup: bytes) -> bytes:
    return backup[:-8192] + b"\xff" * 64 + backup[-8128:]


@pytest.mark.parametrize("body", [b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 4080], ids=["text", "a header"])
def test_what_is_no_database_is_not_staged(body: bytes, path: Path, backup: bytes) -> None:
    fill(path)
    before = files(path.parent)
    made = target(path)
    with pytest.raises(NotADatabase):
        made.stage(Body(body), MANIFEST)
    assert files(path.parent) == before


def test_nothing_is_counted_as_nothing(path: Path) -> None:
    assert staged(path, b"").inventory().totals["objects"] == 0


def test_what_is_damaged_is_not_staged(path: Path, backup: bytes) -> None:
    with pytest.raises(NotADatabase, match=f"the backup {MANIFEST['id']} is damaged"):
        target(path).stage(Body(damaged(backup)), MANIFEST)
    assert list(path.parent.iterdir()) == []


class Breaking(io.RawIOBase):
    """Some bytes, then an error."""

    def __init__(self, body: bytes, error: BaseException) -> None:
        self._parts = [body[:5000]]
        self._error = error

    def read(self, size: int = -1) -> bytes:
        if self._parts:
            return self._parts.pop()
        raise self._error


@pytest.mark.parametrize("error", [RunbookError("broke"), ValueError("odd"), KeyboardInterrupt()])
def test_a_stream_that_breaks_leaves_nothing(error: BaseException, path: Path, backup: bytes) -> None:
    with pytest.raises(type(error)):
        target(path).stage(Breaking(backup, error), MANIFEST)
    assert list(path.parent.iterdir()) == []


def test_time_that_is_over(path: Path, backup: bytes) -> None:
    with pytest.raises(TimedOut, match="the restore took longer"):
        target(path, seconds=0.0).stage(Body(backup), MANIFEST)
    assert list(path.parent.iterdir()) == []


def test_a_disk_without_room_for_it(tmp_path: Path, backup: bytes) -> None:
    def full() -> None:
        tmpfs(tmp_path / "small", "64k")
        fill(tmp_path / "small" / "orders.db", 5)
        before = files(tmp_path / "small")
        with pytest.raises(NoSpace, match="there is no room"):
            staged(tmp_path / "small" / "orders.db", backup * 20)
        assert files(tmp_path / "small") == before

    mounted(full)


def test_only_looked_at_somewhere_else(path: Path, tmp_path: Path, backup: bytes) -> None:
    fill(path)
    (tmp_path / "scratch").mkdir()
    made = target(path, scratch=True, scratch_dir=str(tmp_path / "scratch"))
    made.stage(Body(backup), MANIFEST)
    assert hidden(tmp_path / "scratch") == [f".orders.db.restore-{TAG}"] and hidden(path.parent) == []
    made.discard()
    assert hidden(tmp_path) == []
    made = target(path, scratch_dir=str(tmp_path / "scratch"))
    made.stage(Body(backup), MANIFEST)
    assert hidden(path.parent) == [f".orders.db.restore-{TAG}"], "where a swap follows, it is one rename away"


def test_two_at_once_do_not_take_each_others(path: Path, backup: bytes) -> None:
    first = staged(path, backup)
    with pytest.raises(Busy, match="somebody else restores the same backup"):
        staged(path, backup)
    target(path).discard()
    assert first.ask("select count(*) from credits") == 30, "it is as it was"
    second = staged(path, backup, OTHER)
    first.discard()
    assert second.ask("select count(*) from credits") == 30 and hidden(path.parent) == [f".orders.db.restore-{OTHER}"]


def test_what_the_dead_had_staged_goes(path: Path, backup: bytes) -> None:
    def dies() -> None:
        staged(path, backup)
        staged(path, backup, OTHER)
        os.kill(os.getpid(), signal.SIGKILL)

    status_of(forked(dies))
    assert len(hidden(path.parent)) == 2
    staged(path, backup).discard()
    assert hidden(path.parent) == []


def test_a_planted_name_is_not_written_through(path: Path, backup: bytes, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (path.parent / f".orders.db.restore-{TAG}").symlink_to(victim)
    with pytest.raises(Busy):
        staged(path, backup)
    assert victim.read_text() == "mine"


# --- the swap ----------------------------------------------------------------------------------------------------------------------


def test_the_swap(path: Path, backup: bytes) -> None:
    fill(path)
    path.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    before = path.read_bytes()
    made = staged(path, backup)
    swapped = made.swap()
    assert swapped == {"place": str(path), "kept": f"{path}.before-{TAG}"}
    assert path.read_bytes() == backup and Path(swapped["kept"]).read_bytes() == before
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o664 and (os.geteuid() != 0 or (found.st_uid, found.st_gid) == (1234, 4321))
    assert sorted(name.name for name in path.parent.iterdir()) == ["orders.db", f"orders.db.before-{TAG}"]
    made.discard()
    assert path.read_bytes() == backup, "what was put in place is no longer staged"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_application_goes_on_with_the_restored_one(mode: str, path: Path, backup: bytes) -> None:
    fill(path, 50, mode)
    staged(path, backup).swap()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        book(connection, 31)
    assert credits(path) == 31


def test_a_log_that_was_left_over_does_not_leak_into_the_restored_one(path: Path, backup: bytes) -> None:
    crashed_in_wal_mode(path)
    log = Path(f"{path}-wal").read_bytes()
    swapped = staged(path, backup).swap()
    assert [Path(f"{path}{side}").exists() for side in ("-wal", "-shm")] == [False, False]
    assert dump(path) == dump(path.parent.parent / "backup.db") and Path(f"{swapped['kept']}-wal").read_bytes() == log
    assert credits(Path(swapped["kept"])) == 50, "with its log it is whole, also under its new name"


@pytest.mark.parametrize("exists", [True, False])
def test_undo_gives_back_what_was_there(exists: bool, path: Path, backup: bytes) -> None:
    if exists:
        crashed_in_wal_mode(path)
        Path(f"{path}-journal").write_bytes(b"a journal")
    before = files(path.parent)
    made = staged(path, backup)
    swapped = made.swap()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        book(connection, 31)
    target(path).undo(swapped)
    undone = f"orders.db.undone-{TAG}"
    after = files(path.parent)
    assert {name: digest for name, digest in after.items() if name != undone} == before
    assert credits(path.parent / undone) == 31, "what was written since is not lost"
    target(path).undo(swapped)
    target(path).undo({})
    assert files(path.parent) == after, "once more is nothing"


def test_undo_of_what_was_written_in_wal_mode_since(path: Path, backup: bytes) -> None:
    fill(path)
    before = files(path.parent)
    staged(path, backup).swap()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
    killed = f"""import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("insert into credits (amount) values (99)")
os.kill(os.getpid(), 9)"""
    subprocess.run([sys.executable, "-c", killed], check=False)
    target(path).undo({})
    after = files(path.parent)
    assert {name: digest for name, digest in after.items() if ".undone-" not in name} == before
    assert credits(path.parent / f"orders.db.undone-{TAG}") == 31


def test_undo_leaves_a_database_that_was_made_since(path: Path, backup: bytes) -> None:
    swapped = staged(path, backup).swap()
    target(path).undo(swapped)
    fill(path, 5)
    target(path).undo(swapped)
    assert credits(path) == 5


def test_undo_where_the_restored_one_was_removed(path: Path, backup: bytes) -> None:
    fill(path)
    before = files(path.parent)
    swapped = staged(path, backup).swap()
    path.unlink()
    target(path).undo(swapped)
    assert files(path.parent) == before


def test_undo_of_nothing(path: Path) -> None:
    target(path).undo({})
    target(path).undo({"place": str(path), "kept": ""})
    fill(path)
    before = files(path.parent)
    target(path).undo({"place": str(path), "kept": ""})
    assert files(path.parent) == before


IDLE = {
    "idle, rollback": ("delete", ()),
    "read, rollback": ("delete", ("select * from credits",)),
    "in a transaction": ("delete", ("begin", "select * from credits")),
    "idle, wal": ("wal", ("select * from credits",)),
    "writing, wal": ("wal", ("begin immediate", "insert into credits (amount) values (1)")),
    "exclusive": ("delete", ("begin exclusive",)),
}


@pytest.mark.parametrize(("mode", "statements"), IDLE.values(), ids=IDLE)
def test_a_database_that_is_open_is_not_replaced(mode: str, statements: tuple[str, ...], path: Path, backup: bytes) -> None:
    fill(path, 50, mode)
    made = staged(path, backup)
    with application(path, *statements) as child:
        before = files(path.parent)
        for step in (made.swap, lambda: target(path).undo({})):
            with pytest.raises(InUse, match=f"is open in .*{child.pid}"):
                step()
        assert files(path.parent) == before
    if mode == "delete":
        made.swap()
        with application(path, *statements), pytest.raises(InUse):
            target(path).undo({})
        assert credits(path) == 30


@pytest.mark.parametrize("lock", ["shared", "pending"])
def test_a_lock_of_a_process_we_may_not_see_counts(lock: str, path: Path, backup: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    made = staged(path, backup)
    monkeypatch.setattr(made, "_users", lambda: "")  # as where /proc hides the processes of others
    with application(path, "begin", "select * from credits") if lock == "shared" else application(path, "begin exclusive"):
        before = files(path.parent)
        with pytest.raises(InUse, match="another process uses"):
            made.swap()
        assert files(path.parent) == before
    made.swap()


def test_nobody_gets_in_during_the_swap(path: Path, backup: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    seen = []
    rename = os.rename

    def look(old: str, new: str) -> None:
        code = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('select * from credits')"
        seen.append(subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stderr.decode())
        rename(old, new)

    made = staged(path, backup)
    monkeypatch.setattr(os, "rename", look)
    made.swap()
    assert len(seen) >= 1 and all("database is locked" in error for error in seen)


def test_a_link_in_the_place_of_the_database(path: Path, tmp_path: Path, backup: bytes) -> None:
    fill(tmp_path / "real.db")
    path.symlink_to(tmp_path / "real.db")
    before = files(tmp_path)
    made = staged(path, backup)
    with pytest.raises(RunbookError, match="symbolic links"):
        made.swap()
    made.discard()
    assert files(tmp_path) == before


def test_onto_nothing(path: Path, backup: bytes) -> None:
    Path(f"{path}-wal").write_bytes(b"a log without its database")
    made = staged(path, backup)
    assert made.swap() == {"place": str(path), "kept": ""}
    assert path.read_bytes() == backup and stat.S_IMODE(path.stat().st_mode) == 0o640 and not Path(f"{path}-wal").exists()
    target(path).undo({})
    assert Path(f"{path}-wal").read_bytes() == b"a log without its database" and not path.exists()


# --- faults ------------------------------------------------------------------------------------------------------------------------

SWAPS = {"over a database": True, "onto nothing": False}


def prepared(path: Path, template: Path, backup: bytes) -> Callable[[], Callable[[], Any]]:
    def prepare() -> Callable[[], Any]:
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(template, path.parent)

        def work() -> Any:
            made = staged(path, backup)
            return made.swap()

        return work

    return prepare


@needs_strace
@pytest.mark.parametrize("exists", SWAPS.values(), ids=SWAPS)
@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO", "error=EROFS"])
def test_a_fault_at_any_step_of_a_swap_can_be_taken_back(fault: str, exists: bool, path: Path, tmp_path: Path, backup: bytes) -> None:
    template = tmp_path / "template"
    template.mkdir()
    if exists:
        crashed_in_wal_mode(template / "orders.db")
    calls = ["rename", "link", "unlink", "openat", "fsync", "write", "fchmod"]
    before, struck = files(template), set()
    for where, ended in sweep(prepared(path, template, backup), tmp_path / "log", [(call, fault) for call in calls]):
        assert ended.faulted or where.syscall == "openat", where  # the processes that are looked at come and go
        assert ended.error is None or isinstance(ended.error, RunbookError), f"{where}: {ended.error!r}"
        struck.add(where.syscall)
        for _twice in range(2):
            target(path).undo(ended.result or {})
            target(path).discard()
            after = {name: digest for name, digest in files(path.parent).items() if ".undone-" not in name}
            assert after == before, f"{where}"
    assert struck >= ({"rename", "openat", "fsync", "write"} | ({"link"} if exists else set()))


@needs_strace
@pytest.mark.parametrize("exists", SWAPS.values(), ids=SWAPS)
def test_a_death_at_any_step_of_undo_is_made_good_by_another(exists: bool, path: Path, tmp_path: Path, backup: bytes) -> None:
    template = tmp_path / "template"
    template.mkdir()
    if exists:
        crashed_in_wal_mode(template / "orders.db")
    before = files(template)

    def prepare() -> Callable[[], None]:
        prepared(path, template, backup)()()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            book(connection, 31)
        return lambda: target(path).undo({})

    for where, ended in sweep(prepare, tmp_path / "log", [(call, "signal=KILL") for call in ("rename", "link", "unlink", "fsync", "openat")]):
        assert ended.killed or where.syscall == "openat", where
        target(path).undo({})
        after = files(path.parent)
        assert {name: digest for name, digest in after.items() if ".undone-" not in name} == before, f"{where}"
        assert credits(path.parent / f"orders.db.undone-{TAG}") == 31, f"{where}"


@needs_strace
def test_a_folder_that_cannot_be_synced_after_the_rename(path: Path, tmp_path: Path, backup: bytes) -> None:
    fill(path)
    before = files(path.parent)
    made = staged(path, backup)
    ended = Fault("fsync", "error=EIO", 2).strike(made.swap, tmp_path / "log")
    assert isinstance(ended.error, RunbookError) and path.read_bytes() == backup
    target(path).undo({})
    assert {name: digest for name, digest in files(path.parent).items() if ".undone-" not in name and ".restore-" not in name} == before
