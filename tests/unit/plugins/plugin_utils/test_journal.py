# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Journals: one writer, a lock that dies with it, lines that are whole or not there."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Chain, Event
from ansible_collections.tradeops.runbook.plugins.plugin_utils import journal
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import JournalFile, extend, is_alive, quarantine, read, run_id_of, shelve
from ansible_collections.tradeops.runbook.tests.support.children import answer, environment

from .recorded import chained, run_id, started, step

RUN = run_id(1)
PROBE = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("free")
    except OSError:
        print("held")
"""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[JournalFile]:
    made = JournalFile(tmp_path / "open", RUN)
    yield made
    made.close()


@pytest.fixture
def events() -> list[Event]:
    return chained(RUN, [started(), step("changed"), step("failed")])


def seen_by_another_process(path: Path) -> str:
    return subprocess.run([sys.executable, "-c", PROBE, str(path)], check=True, capture_output=True, text=True).stdout.strip()


def test_it_is_for_its_owner_alone(opened: JournalFile) -> None:
    assert opened.path.name == f"{RUN}.jsonl"
    assert opened.path.stat().st_mode & 0o777 == 0o600
    assert opened.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in opened.path.parent.iterdir()] == [opened.path.name]


def test_what_is_appended_is_read(opened: JournalFile, events: list[Event]) -> None:
    for event in events:
        opened.append(event)
    opened.sync()
    assert read(opened.path) == (events, b"", False)
    opened.close()
    assert read(opened.path).events == events


def test_the_lock_holds_through_everything_its_own_process_does(opened: JournalFile, events: list[Event]) -> None:
    """A POSIX record lock is lost when its process closes any descriptor of the file."""
    opened.append(events[0])
    for use in (lambda: is_alive(opened.path), lambda: read(opened.path), lambda: journal.read_bytes(opened.path)):
        assert use()
        assert seen_by_another_process(opened.path) == "held"
    opened.close()
    assert seen_by_another_process(opened.path) == "free"
    assert not is_alive(opened.path)


def test_a_forked_child_neither_writes_nor_holds_nor_breaks_the_lock(opened: JournalFile, events: list[Event]) -> None:
    def child() -> bool:
        try:
            opened.append(events[0])
        except PermissionError:
            alive = is_alive(opened.path)
            journal.read_bytes(opened.path)
            opened.close()
            return alive
        return False

    assert answer(child)
    assert seen_by_another_process(opened.path) == "held"
    assert read(opened.path).events == []


def test_a_child_that_outlives_its_killed_parent_does_not_keep_it_alive(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import JournalFile
made = JournalFile(Path({str(tmp_path)!r}), {RUN!r})
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment())
    assert parent.stdout
    child = int(parent.stdout.readline())
    path = tmp_path / f"{RUN}.jsonl"
    try:
        assert is_alive(path)
        parent.kill()
        parent.wait()
        os.kill(child, 0)
        assert not is_alive(path)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_no_other_run_ever_sees_it_without_its_lock(tmp_path: Path) -> None:
    """Eight openers, and one that looks for dead journals all the time."""
    folder, stop, dead = tmp_path / "open", threading.Event(), []
    code = f"""
import sys, time
from pathlib import Path
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import JournalFile
kept = [JournalFile(Path({str(folder)!r}), f"20261120T021600Z-{{number:08x}}") for number in range(300)]
print("done", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert process.stdout and process.stdin

    def look() -> None:
        while not stop.is_set():
            dead.extend(path.name for path in folder.glob("*.jsonl") if not is_alive(path))

    watcher = threading.Thread(target=look)
    watcher.start()
    assert process.stdout.readline() == b"done\n"
    time.sleep(0.1)
    stop.set()
    watcher.join()
    process.communicate()
    assert dead == []
    assert len(list(folder.glob("*.jsonl"))) == 300


def test_a_line_that_does_not_fit_on_the_disk_is_taken_back(opened: JournalFile, events: list[Event]) -> None:
    opened.append(events[0])
    size = opened.path.stat().st_size

    def child_limits_itself() -> bool:
        own = JournalFile(opened.path.parent, run_id(2))
        own.append(chained(run_id(2), [started()])[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, resource.RLIM_INFINITY))
        before = read(own.path)
        try:
            own.append(Chain(run_id(2), before.events[-1]).next("step", "x", {"text": "y" * 500}))
        except OSError:
            return read(own.path) == before
        return False

    assert answer(child_limits_itself)


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "open").write_text("not a folder", encoding="ascii")
    with pytest.raises(OSError):
        JournalFile(tmp_path / "open", RUN)
    assert journal._mine == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{RUN}.jsonl", RUN), (f"{RUN}.quarantine", ""), (f".{RUN}.new", ""), ("notes.jsonl", ""), (f"{RUN}x.jsonl", ""), (f"{RUN[:-1]}F.jsonl", ""),
    ],
)  # fmt: skip
def test_only_journals_are_taken_for_journals(name: str, expected: str) -> None:
    assert run_id_of(Path("/x") / name) == expected


def test_a_journal_that_is_gone_is_not_alive(tmp_path: Path) -> None:
    assert not is_alive(tmp_path / f"{RUN}.jsonl")


def test_what_is_not_sound_is_kept_beside_the_journal_and_never_lost(opened: JournalFile, events: list[Event]) -> None:
    opened.append(events[0])
    opened.close()
    for tail, kept in ((b'{"seq": 2', b'{"seq": 2'), (b"", b'{"seq": 2'), (b"more", b'{"seq": 2more')):
        with opened.path.open("ab") as file:
            file.write(tail)
        assert quarantine(opened.path, read(opened.path)) == kept
        assert read(opened.path) == (events[:1], b"", False)
    extend(opened.path, events[1:])
    assert read(opened.path).events == events
    assert opened.path.with_suffix(".quarantine").stat().st_mode & 0o777 == 0o600


def test_shelving_twice_does_nothing(opened: JournalFile, tmp_path: Path) -> None:
    opened.close()
    opened.path.with_suffix(".quarantine").write_bytes(b"x")
    for _time in range(2):
        assert shelve(opened.path, tmp_path / "sealed") == tmp_path / "sealed" / opened.path.name
    assert sorted(path.suffix for path in (tmp_path / "sealed").iterdir()) == [".jsonl", ".quarantine"]
    assert list(opened.path.parent.iterdir()) == []


def test_instants_are_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", journal.now_text())
