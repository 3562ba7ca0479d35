# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a folder: a name is there only when its bytes are, nobody else may look, and what cannot be listed is never taken for gone."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Entry
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, Exists, InvalidInput, NoSpace, NotThere, Refused, RunbookError, Unsure
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import MARK, Directory
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.backups import hidden
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.mounts import mounted, tmpfs
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.strace import Fault, needs_strace, sweep, traced

NAME = "production/nextrade/sqlite/orders/20261120T021500Z-7f3a9c1e.data.sqlite.zst"
PREFIX = "production/nextrade/sqlite/orders/"
BODY = b"whole" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "repository"


@pytest.fixture
def repository(path: Path) -> Directory:
    made = Directory({"path": str(path)})
    made.initialize()
    return made


def read(repository: Directory, name: str, offset: int = 0) -> bytes:
    with repository.open(name, offset) as reader:
        return b"".join(iter(lambda: reader.read(777), b""))


def below(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if not found.is_dir())


@pytest.mark.parametrize("given", ["relative", "/", "//", "/..", "/a/..", "", "/a\0b"])
def test_paths_that_are_no_folder_of_a_repository(given: str) -> None:
    with pytest.raises(InvalidInput, match="absolute path"):
        Directory({"path": given})


def test_it_is_made_once(path: Path) -> None:
    repository = Directory({"path": str(path)})
    assert not repository.identity().exists and not path.exists(), "looking makes nothing"
    repository.initialize()
    known = repository.identity()
    assert (known.exists, known.place, len(known.system_id)) == (True, str(path), 16)
    repository.initialize()
    assert repository.identity() == known and below(path) == [MARK]
    assert list(repository.list("production")) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_look_whatever_the_umask(umask: int, path: Path) -> None:
    before = os.umask(umask)
    try:
        repository = Directory({"path": str(path)})
        repository.initialize()
        with repository.locked(PREFIX):
            repository.create(NAME, BODY)
            with repository.write(f"{NAME}.b") as sink:
                modes = {stat.S_IMODE(found.stat().st_mode) for found in (path / PREFIX).iterdir()}
                assert modes == {0o600}, "also while it is written"
                sink.write(b"x")
    finally:
        os.umask(before)
    found = {found: stat.S_IMODE(found.stat().st_mode) for found in (path.parent, path, *path.rglob("*"))}
    assert {mode for name, mode in found.items() if name.is_dir()} == {0o700}
    assert {mode for name, mode in found.items() if name.is_file()} == {0o600}


def test_a_folder_that_others_could_enter_is_closed(path: Path) -> None:
    path.mkdir(parents=True, mode=0o777)
    path.chmod(0o777)
    (path / "lost+found").mkdir()
    Directory({"path": str(path)}).initialize()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_folder_with_something_else_in_it_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    (path / ".bashrc").touch()
    with pytest.raises(Refused, match="not empty and no repository"):
        Directory({"path": str(path)}).initialize()
    assert below(path) == [".bashrc"]


@pytest.mark.parametrize(
    ("mark", "error", "message"),
    [
        ('{"format": 2, "id": "a"}', Refused, "another format"),
        ("[]", Refused, "another format"),
        ("", RunbookError, "cannot be read"),
        ("{", RunbookError, "cannot be read"),
        ("[" * 60000, RunbookError, "cannot be read"),
    ],
)
def test_marks_that_are_none_of_ours(mark: str, error: type[RunbookError], message: str, repository: Directory, path: Path) -> None:
    (path / MARK).write_text(mark)
    with pytest.raises(error, match=message):
        repository.identity()


def test_a_file_in_the_place_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    repository = Directory({"path": str(tmp_path / "file")})
    with pytest.raises(RunbookError):
        repository.identity()
    with pytest.raises(RunbookError):
        repository.initialize()


def test_nothing_is_mounted(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nothing is mounted"):
        Directory({"path": str(tmp_path / "r"), "require_mount": True}).identity()
    with pytest.raises(Refused, match="another format|not empty|no repository"):
        Directory({"path": "/proc", "require_mount": True}).identity()


def test_what_was_written_can_be_read(repository: Directory) -> None:
    with repository.write(NAME) as sink:
        for start in range(0, len(BODY), 999):
            sink.write(BODY[start : start + 999])
        assert list(repository.list(PREFIX)) == [], "not there before it is whole"
    assert list(repository.list(PREFIX)) == [Entry(NAME, len(BODY))]
    assert (read(repository, NAME), read(repository, NAME, 4995)) == (BODY, b"whole")
    repository.delete(NAME)
    repository.delete(NAME)
    assert list(repository.list(PREFIX)) == []
    with pytest.raises(NotThere), repository.open(NAME):
        pass


def test_names_come_in_order(repository: Directory) -> None:
    names = [f"production/{middle}/{name}" for middle in ("b", "a-b", "a") for name in ("z", "20261120T021500Z-2", "20261120T021500Z-10", "a.b")]
    for name in names:
        repository.create(name, name.encode())
    assert [entry.name for entry in repository.list("production")] == sorted(names)
    assert [entry.name for entry in repository.list("production/a/")] == sorted(name for name in names if "/a/" in name)


def test_an_error_leaves_nothing(repository: Directory, path: Path) -> None:
    before = below(path)
    for error in (RunbookError("broke"), ValueError("odd"), KeyboardInterrupt()):
        with pytest.raises(type(error)), repository.write(NAME) as sink:
            sink.write(BODY)
            raise error
    assert below(path) == before


def test_nothing_is_written_over(repository: Directory, path: Path, tmp_path: Path) -> None:
    repository.create(NAME, b"first")
    for write in (lambda: repository.create(NAME, b"second"), lambda: _write(repository, NAME, b"third")):
        with pytest.raises(Exists, match="nothing is ever written over"):
            write()
    assert read(repository, NAME) == b"first" and hidden(path) == []


def _write(repository: Directory, name: str, body: bytes) -> None:
    with repository.write(name) as sink:
        sink.write(body)


def test_a_name_taken_while_it_is_written_keeps_what_it_has(repository: Directory) -> None:
    with pytest.raises(Exists), repository.write(NAME) as sink:
        sink.write(b"slow")
        repository.create(NAME, b"fast")
    assert read(repository, NAME) == b"fast"


@needs_strace
@pytest.mark.parametrize("number", ["EPERM", "EOPNOTSUPP", "EMLINK"])
def test_a_file_system_without_hard_links(number: str, repository: Directory, path: Path, tmp_path: Path) -> None:
    def twice() -> str:
        repository.create(NAME, b"first")
        try:
            repository.create(NAME, b"second")
        except Exists:
            return "exists"
        return "written over"

    ended = traced(twice, tmp_path / "log", "-e", "trace=link,linkat", "-e", f"inject=link,linkat:error={number}")
    assert (ended.result, ended.faulted, read(repository, NAME), hidden(path)) == ("exists", True, b"first", [])


@pytest.mark.parametrize("name", ["../x", "a/../b", "/etc/x", "a//b", "", ".", "..", "a/", ".hidden", "a/.hidden", "a\n", "a\0b", "a b", "-a", "ä"])
def test_names_that_would_leave_it_or_hide(name: str, repository: Directory, path: Path) -> None:
    before = below(path.parent)
    for use in (lambda: repository.create(name, b""), lambda: read(repository, name), lambda: repository.delete(name)):
        with pytest.raises(InvalidInput, match="no name in a repository"):
            use()
    if name.rstrip("/") != "a":  # which is a fine prefix
        with pytest.raises(InvalidInput, match="no name in a repository"):
            list(repository.list(f"{name}/"))
    assert below(path.parent) == before


def test_planted_links_are_neither_followed_nor_replaced(repository: Directory, path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (path / PREFIX).mkdir(parents=True)
    (path / NAME).symlink_to(victim)
    with pytest.raises(Exists):
        repository.create(NAME, b"over it")
    with pytest.raises(RunbookError, match="symbolic links"):
        read(repository, NAME)
    (path / PREFIX / ".lock").symlink_to(victim)
    with pytest.raises(RunbookError, match="symbolic links"), repository.locked(PREFIX):
        pass
    (path / PREFIX / ".lock").unlink()
    (path / PREFIX / ".x.part").symlink_to(victim)
    with repository.locked(PREFIX):
        pass
    assert (victim.read_text(), hidden(path)) == ("mine", [])
    repository.delete(NAME)
    assert victim.read_text() == "mine" and not (path / NAME).is_symlink()


def test_a_link_at_the_temporary_name(repository: Directory, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (path / PREFIX).mkdir(parents=True)
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (path / PREFIX / f".{Path(NAME).name}.guessed.part").symlink_to(victim)
    with pytest.raises(RunbookError, match="File exists"):
        repository.create(NAME, b"through it")
    assert victim.read_text() == "mine" and not (path / NAME).exists()


@pytest.mark.parametrize("writer", [False, True], ids=["nobody writes", "somebody writes"])
def test_a_pipe_never_blocks(writer: bool, repository: Directory, path: Path) -> None:
    (path / PREFIX).mkdir(parents=True)
    descriptors = []
    for name in (NAME, MARK):
        with suppress(FileNotFoundError):
            (path / name).unlink()
        os.mkfifo(path / name)
        if writer:
            descriptors.append(os.open(path / name, os.O_RDWR))
    try:
        assert list(repository.list(PREFIX)) == [Entry(NAME, 0)]
        with pytest.raises(RunbookError, match="is no file"):
            read(repository, NAME)
        with pytest.raises(RunbookError, match="is no file"):
            repository.identity()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@pytest.mark.parametrize("closed", ["production", "production/nextrade", "production/nextrade/sqlite/orders"])
@pytest.mark.parametrize("mode", [0o700, 0o744, 0o711])
def test_a_folder_that_cannot_be_looked_at_is_not_empty(
    closed: str, mode: int, repository: Directory, path: Path, as_nobody: Callable[[Callable[[], Any]], Any]
) -> None:
    repository.create(NAME, BODY)
    for folder in (path.parent, path, *path.rglob("*")):
        folder.chmod(0o755)
    (path / closed).chmod(mode)
    if mode == 0o711 and not PREFIX.rstrip("/").endswith(closed):
        assert as_nobody(lambda: list(repository.list(PREFIX))) == [Entry(NAME, len(BODY))], "it may be passed"
    else:
        with pytest.raises(RunbookError, match="Permission denied"):
            as_nobody(lambda: list(repository.list(PREFIX)))
    (path / closed).chmod(0o755)


@needs_strace
@pytest.mark.parametrize("syscall", ["getdents64", "newfstatat,lstat,statx"])
def test_a_disk_that_cannot_be_read_is_not_empty(syscall: str, repository: Directory, tmp_path: Path) -> None:
    repository.create(NAME, BODY)
    for position in range(1, 4):
        ended = Fault(syscall, "error=EIO", position).strike(lambda: list(repository.list(PREFIX)), tmp_path / "log")
        assert isinstance(ended.error, RunbookError) if ended.faulted else ended.result == [Entry(NAME, len(BODY))]
        assert ended.faulted or position > 1


def test_what_vanishes_meanwhile_is_no_error(repository: Directory, path: Path) -> None:
    repository.create(NAME, BODY)
    (path / PREFIX / "gone").symlink_to("nowhere")
    assert [entry.name for entry in repository.list(PREFIX)] == [NAME, f"{PREFIX}gone"]
    assert list(repository.list("staging/nextrade")) == []


def test_only_one_at_a_time(repository: Directory, path: Path) -> None:
    with repository.locked(PREFIX):
        with pytest.raises(Busy, match="another backup or cleanup works in"), Directory({"path": str(path)}).locked(PREFIX):
            pass
        with repository.locked("production/nextrade/sqlite/other/"):
            pass
    with repository.locked(PREFIX):
        pass


def test_of_eight_at_once_one_gets_the_lock(repository: Directory, tmp_path: Path) -> None:
    barrier_in, barrier_out = os.pipe()
    hold_in, hold_out = os.pipe()
    answer_in, answer_out = os.pipe()

    def contend() -> None:
        os.close(barrier_out)
        os.close(hold_out)
        os.read(barrier_in, 1)
        try:
            with repository.locked(PREFIX):
                os.write(answer_out, b"1")
                os.read(hold_in, 1)
        except Busy:
            os.write(answer_out, b"0")

    children = [forked(contend) for _number in range(8)]
    for descriptor in (barrier_out, answer_out):
        os.close(descriptor)
    answers = b""
    while len(answers) < 8:
        answers += os.read(answer_in, 8)
    os.close(hold_out)
    for pid in children:
        status_of(pid)
    assert sorted(answers) == sorted(b"00000001")
    with repository.locked(PREFIX):
        pass
    for descriptor in (barrier_in, hold_in, answer_in):
        os.close(descriptor)


def test_what_an_interrupted_one_left_goes_with_the_next_lock(repository: Directory, path: Path) -> None:
    (path / PREFIX).mkdir(parents=True)
    for name in (f"{PREFIX}.{Path(NAME).name}.1234abcd.part", f".{MARK}.1234abcd.part"):
        (path / name).touch()
    (path / PREFIX / ".keep").touch()
    with repository.locked(PREFIX):
        assert hidden(path) == [".keep"]


def test_free_bytes(repository: Directory, path: Path) -> None:
    found = os.statvfs(path)
    for where in (path, path / "not" / "there"):
        free = Directory({"path": str(where)}).free_bytes()
        assert free is not None and abs(free - found.f_bavail * found.f_frsize) < 1 << 30


# --- faults ------------------------------------------------------------------------------------------------------------------------


def _site(path: Path) -> Callable[[], Callable[[], str]]:
    def prepare() -> Callable[[], str]:
        for found in sorted(path.parent.rglob("*"), reverse=True):
            found.rmdir() if found.is_dir() else found.unlink()
        repository = Directory({"path": str(path)})

        def work() -> str:
            repository.initialize()
            with repository.locked(PREFIX):
                repository.create(NAME, BODY)
            return "written"

        return work

    return prepare


def assert_a_rerun_succeeds(path: Path) -> None:
    repository = Directory({"path": str(path)})
    repository.initialize()
    with repository.locked(PREFIX):
        with suppress(Exists):
            repository.create(NAME, BODY)
        assert read(repository, NAME) == BODY
    assert hidden(path) == [] and len(json.loads((path / MARK).read_text())["id"]) == 16


@needs_strace
def test_a_death_at_any_step(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    struck = 0
    for fault, ended in sweep(
        _site(path), tmp_path / "log", [(name, "signal=KILL") for name in ("openat", "write", "fsync", "link", "unlink", "mkdir", "flock")]
    ):
        assert ended.killed, fault
        struck += 1
        for name, body in ((NAME, BODY), (MARK, None)):
            if (path / name).exists():
                assert (path / name).read_bytes() == body if body else json.loads((path / name).read_text()), fault
        assert_a_rerun_succeeds(path)
    assert struck >= 15


@needs_strace
def test_a_disk_that_fails_at_any_step(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    calls = {"openat": ("EIO", "EROFS"), "write": ("ENOSPC", "EIO", "EDQUOT"), "fsync": ("EIO", "ENOSPC"), "link": ("ENOSPC", "EDQUOT", "EROFS", "EIO"),
             "unlink": ("EIO", "EROFS"), "mkdir": ("ENOSPC", "EROFS"), "fchmod": ("EIO",), "chmod": ("EROFS",), "flock": ("ENOLCK",)}  # fmt: skip
    seen: set[str] = set()
    for fault, ended in sweep(_site(path), tmp_path / "log", [(call, f"error={error}") for call, errors in calls.items() for error in errors]):
        there = (path / NAME).exists()
        if not ended.faulted:  # Python by itself opened one file less than when the calls were counted
            assert fault.syscall == "openat" and ended.error is None and there, fault
            continue
        if ended.error is None:
            assert there, f"{fault}: said to be written"
            seen.add("ok")
        else:
            assert isinstance(ended.error, RunbookError), f"{fault}: {ended.error!r}"
            full = fault.effect in ("error=ENOSPC", "error=EDQUOT") and fault.syscall != "fsync"
            assert ended.error.code in ({"no_space"} if full else {"failed", "no_space", "unsure"}), f"{fault}: {ended.error!r}"
            assert not there or isinstance(ended.error, Unsure), f"{fault}: {ended.error!r}, and it is there"
            seen.add(ended.error.code)
        if there:
            assert (path / NAME).read_bytes() == BODY, fault
        assert_a_rerun_succeeds(path)
    assert seen >= {"ok", "failed", "no_space", "unsure"}


def test_a_full_disk(path: Path) -> None:
    path.parent.mkdir()

    def fill_it() -> None:
        tmpfs(path.parent, "1m")
        repository = Directory({"path": str(path)})
        repository.initialize()
        with pytest.raises(NoSpace, match="there is no room for") as caught, repository.write(NAME) as sink:
            for _block in range(100):
                sink.write(b"x" * 65536)
        assert "prune" in caught.value.hint and hidden(path) == [] and list(repository.list(PREFIX)) == []
        repository.create(NAME, BODY)

    mounted(fill_it)
