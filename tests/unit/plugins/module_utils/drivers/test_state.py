# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host on a real disk: leases that die with their holders and with nobody else, and intents that are there before what they tell of."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, NoSpace, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.lease import Claim
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.state import State, moment
from ansible_collections.tradeops.runbook.tests.support.children import environment
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.mounts import mounted, tmpfs
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.strace import needs_strace, sweep, traced

CLAIM = Claim("deploy", "run-1", "a release", 60.0)
OTHERS = Claim("deploy", "run-2", "a restore", 60.0)
OVER = Claim("deploy", "run-1", "a release", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def state(folder: Path) -> State:
    return State(str(folder))


@contextmanager
def holder(folder: Path, seconds: float = 60.0) -> Iterator[subprocess.Popen[bytes]]:
    """Another process at work with the lease."""
    code = f"""import sys
from ansible_collections.tradeops.runbook.plugins.module_utils._core.lease import Claim
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.state import State
with State({str(folder)!r}).locked(Claim("deploy", "run-0", "a long work", {seconds!r})):
    print("ready", flush=True)
    sys.stdin.read()"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


def test_both_clocks() -> None:
    now = moment()
    assert abs(now.wall - time.time()) < 60 and abs(now.monotonic - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    assert now.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip() and len(now.boot_id) == 36


def test_a_lease_for_a_piece_of_work(state: State) -> None:
    assert state.lease("deploy") is None
    with state.locked(CLAIM) as lease:
        assert state.lease("deploy") == lease and (lease.held, lease.owner, lease.epoch) == (True, "run-1", 1)
    back = state.lease("deploy")
    assert back is not None and (back.held, back.epoch) == (False, 2)
    with pytest.raises(ValueError, match="odd"), state.locked(OTHERS):
        raise ValueError("odd")
    after = state.lease("deploy")
    assert after is not None and (after.held, after.epoch, after.owner) == (False, 4, "run-2")


@pytest.mark.parametrize("seconds", [60.0, 0.0], ids=["in its time", "after its time"])
def test_who_lives_is_not_robbed(seconds: float, folder: Path, state: State) -> None:
    with holder(folder, seconds):
        with pytest.raises(Busy, match="deploy is held by run-0 .*a long work"), state.locked(CLAIM):
            pass
        known = state.lease("deploy")
        assert known is not None and (known.owner, known.held) == ("run-0", True)


def test_who_is_dead_blocks_nobody(folder: Path, state: State) -> None:
    with holder(folder, 86400.0) as child:
        child.kill()
        child.wait()
        known = state.lease("deploy")
        assert known is not None and known.held, "it had no time to give it back"
        with state.locked(CLAIM) as lease:
            assert lease.owner == "run-1"


def test_of_eight_at_once_one_wins(folder: Path, state: State) -> None:
    code = f"""import sys
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy
from ansible_collections.tradeops.runbook.plugins.module_utils._core.lease import Claim
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.state import State
state = State({str(folder)!r})
print("ready", flush=True)
sys.stdin.readline()
try:
    with state.locked(Claim("deploy", sys.argv[1], "a race", 60.0)):
        print("won", flush=True)
        sys.stdin.readline()
except Busy as error:
    print("busy", flush=True)
    sys.stdin.readline()"""
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", code, f"run-{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
            )
            for number in range(8)
        ]
        streams = [(child.stdin, child.stdout) for child in children if child.stdin and child.stdout]
        assert [stdout.readline() for _stdin, stdout in streams] == [b"ready\n"] * 8
        for stdin, _stdout in streams:
            stdin.write(b"go\n")
            stdin.flush()
        answers = [stdout.readline() for _stdin, stdout in streams]
        for stdin, _stdout in streams:
            stdin.write(b"end\n")
            stdin.close()
    assert sorted(answers) == [b"busy\n"] * 7 + [b"won\n"]
    known = state.lease("deploy")
    assert known is not None and (known.held, known.epoch) == (False, 2)


def test_a_lease_beyond_the_end_of_a_process(folder: Path, state: State) -> None:
    lease = state.take(CLAIM)
    with pytest.raises(Busy, match="deploy is held by run-1"):
        State(str(folder)).take(OTHERS)
    renewed = state.take(CLAIM)
    with pytest.raises(Busy, match="no longer its own"):
        state.release(lease)
    state.release(renewed)
    with pytest.raises(Busy, match="nobody holds it"):
        state.release(renewed)
    assert State(str(folder)).take(OTHERS).epoch == 4


def test_a_lease_whose_time_is_over(state: State) -> None:
    state.take(OVER)
    assert state.take(OTHERS).owner == "run-2"


@pytest.mark.parametrize("body", ["", "{", "[]", "5", '"text"', "{}", '{"name": "deploy"}', "[" * 100_000, "\xff"])
def test_a_lease_that_cannot_be_read_stops_everybody(body: str, folder: Path, state: State) -> None:
    state.take(CLAIM)
    (folder / "leases" / "deploy.json").write_text(body, encoding="latin-1")
    for use in (lambda: state.lease("deploy"), lambda: state.take(OTHERS), lambda: state.locked(OTHERS).__enter__()):
        with pytest.raises(VerifyFailed, match="cannot be read"):
            use()
    assert (folder / "leases" / "deploy.json").read_text(encoding="latin-1") == body


def test_intents(state: State) -> None:
    assert state.intents() == {} and state.intent("restore-1") is None
    state.begin("restore-1", {"stage": "stage", "place": "/a\udcff"})
    state.begin("restore-2", {"stage": "swap"})
    state.begin("restore-1", {"stage": "swap", "place": "/a\udcff"})
    assert state.intents() == {"restore-1": {"stage": "swap", "place": "/a\udcff"}, "restore-2": {"stage": "swap"}}
    assert state.intent("restore-2") == {"stage": "swap"}
    state.done("restore-1")
    state.done("restore-1")
    assert list(state.intents()) == ["restore-2"]


def test_what_a_restore_did_is_remembered(state: State) -> None:
    assert state.kept("1") == {}
    state.begin("restore-1", {"stage": "swap"})
    assert state.kept("1") == {"stage": "swap"}, "also of one that was interrupted"
    state.keep("1", {"swapped": {"kept": "x"}})
    assert state.kept("1") == {"swapped": {"kept": "x"}}


@pytest.mark.parametrize("body", ["", "{", "[1]", "5", "[" * 100_000])
def test_an_intent_that_cannot_be_read(body: str, folder: Path, state: State) -> None:
    state.begin("restore-1", {})
    (folder / "intents" / "restore-1.json").write_text(body)
    with pytest.raises(VerifyFailed, match="restore-1.json cannot be read"):
        state.intents()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 200, "a\0b", "a\n", "/x"])
def test_names_that_would_leave_the_folder(name: str, folder: Path, state: State) -> None:
    for use in (state.lease, state.intent, state.kept, state.done, lambda name: state.begin(name, {}), lambda name: state.take(Claim(name, "", "", 1))):
        with pytest.raises(InvalidInput, match="cannot be the name of"):
            use(name)
    assert not folder.exists()


def test_looking_makes_nothing(folder: Path, state: State) -> None:
    assert (state.lease("deploy"), state.intent("a"), state.intents(), state.kept("a")) == (None, None, {}, {})
    state.done("a")
    assert not folder.exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_nobody_else_may_look(umask: int, folder: Path, state: State) -> None:
    before = os.umask(umask)
    try:
        state.begin("restore-1", {})
        state.keep("1", {})
        with state.locked(CLAIM):
            pass
    finally:
        os.umask(before)
    found = {name: stat.S_IMODE(name.stat().st_mode) for name in (folder, *folder.rglob("*"))}
    assert {mode for name, mode in found.items() if name.is_dir()} == {0o700}
    assert {mode for name, mode in found.items() if name.is_file()} == {0o600} and len(found) == 8


def test_planted_links_and_pipes(folder: Path, state: State, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    state.begin("restore-1", {})
    for name in ("restore-2.json", ".restore-3.json.new"):
        (folder / "intents" / name).symlink_to(victim)
    with pytest.raises(RunbookError, match="symbolic links"):
        state.intent("restore-2")
    with pytest.raises(RunbookError, match="symbolic links"):
        state.begin("restore-3", {})
    state.begin("restore-2", {"a": 1})
    assert victim.read_text() == "mine" and state.intent("restore-2") == {"a": 1}
    os.mkfifo(folder / "intents" / "restore-4.json")
    with pytest.raises(VerifyFailed):
        state.intent("restore-4")


def test_a_folder_that_may_not_be_read(folder: Path, state: State, as_nobody: Callable[[Callable[[], Any]], Any]) -> None:
    state.begin("restore-1", {})
    if os.geteuid() != 0:
        pytest.skip("needs a folder of another user")
    for use in (state.intents, lambda: state.intent("restore-1"), lambda: state.begin("restore-2", {}), lambda: state.done("restore-1")):
        with pytest.raises(RunbookError, match="Permission denied"):
            as_nobody(use)


def test_a_full_disk_keeps_what_there_was(tmp_path: Path) -> None:
    def full() -> None:
        tmpfs(tmp_path / "small", "64k")
        state = State(str(tmp_path / "small" / "state"))
        state.begin("restore-1", {"stage": "stage"})
        with open(tmp_path / "small" / "other", "wb", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        with pytest.raises(NoSpace):
            state.begin("restore-1", {"stage": "swap", "more": "x" * 20000})
        assert state.intents() == {"restore-1": {"stage": "stage"}}
        assert [name.name for name in (tmp_path / "small" / "state" / "intents").iterdir()] == ["restore-1.json"]

    mounted(full)


@needs_strace
@pytest.mark.parametrize("effect", ["signal=KILL", "error=EIO", "error=ENOSPC"])
def test_an_intent_is_the_old_one_or_the_new_one(effect: str, folder: Path, state: State, tmp_path: Path) -> None:
    def prepare() -> Callable[[], Any]:
        shutil.rmtree(folder, ignore_errors=True)
        state.begin("restore-1", {"stage": "stage"})
        return lambda: state.begin("restore-1", {"stage": "swap"})

    calls = ("openat", "write", "fsync", "rename")
    seen = []
    for where, ended in sweep(prepare, tmp_path / "log", [(call, effect) for call in calls]):
        assert ended.faulted and (ended.error is None or isinstance(ended.error, RunbookError)), f"{where}: {ended.error!r}"
        stage = state.intents()["restore-1"]["stage"]
        assert stage in ("stage", "swap") and (stage == "stage" or where.syscall in ("openat", "fsync")), where
        seen.append(stage)
        state.begin("restore-1", {"stage": "again"})
        assert [name.name for name in (folder / "intents").iterdir()] == ["restore-1.json"], "nothing is left of it"
    assert set(seen) == {"stage", "swap"}


@needs_strace
def test_an_intent_is_on_disk_when_begin_returns(state: State, folder: Path, tmp_path: Path) -> None:
    state.begin("restore-0", {})
    ended = traced(lambda: state.begin("restore-1", {}), tmp_path / "log", "-e", "trace=fsync,rename")
    calls = [line.split(None, 1)[1].split("(")[0] for line in ended.calls]
    assert calls == ["fsync", "rename", "fsync"], "the file, its name, the folder"


def test_broken_json_never_frees_a_lease_of_the_living(folder: Path, state: State) -> None:
    with holder(folder):
        (folder / "leases" / "deploy.json").write_text("{")
        with pytest.raises((Busy, VerifyFailed)), state.locked(CLAIM):
            pass
        assert (folder / "leases" / "deploy.json").read_text() == "{"
