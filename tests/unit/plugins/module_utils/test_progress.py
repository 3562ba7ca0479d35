# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a copy came: told at most once a second, in a file that is whole whenever somebody reads it, and never at the cost of the copy."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._module import progress as progress_module
from ansible_collections.tradeops.runbook.plugins.module_utils._module.progress import Progress


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=made))
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.json"


def progress(path: Path | None, clock: Clock, seconds: float = 1e6) -> Progress:
    return Progress(str(path) if path else None, "backup", Deadline(seconds, clock))


def test_it_says_what_and_how_far_and_nothing_else(path: Path, clock: Clock) -> None:
    told = progress(path, clock)
    clock.now += 1.26
    told(1024, 4096)
    assert json.loads(path.read_bytes()) == {"what": "backup", "done_bytes": 1024, "total_bytes": 4096, "seconds": 1.3}
    assert path.stat().st_mode & 0o777 == 0o600 and [found.name for found in path.parent.iterdir()] == [path.name]
    clock.now += 60
    told(4096, 0)
    assert json.loads(path.read_bytes()) == {"what": "backup", "done_bytes": 4096, "total_bytes": 0, "seconds": 61.3}


def test_it_is_written_at_most_once_a_second(path: Path, clock: Clock) -> None:
    told, seen = progress(path, clock), []
    told(0, 100)
    assert not path.exists(), "what is done within a second needs no file"
    for number in range(1, 101):
        clock.now += 0.125
        told(number, 100)
        if path.exists():
            done = json.loads(path.read_bytes())["done_bytes"]
            seen += [done] if done not in seen else []
    assert seen == list(range(8, 101, 8))


def test_it_is_whole_whenever_somebody_looks(path: Path, clock: Clock) -> None:
    """A reader that never waits, while a thousand of them are written."""
    told = progress(path, clock)
    clock.now += 1
    told(1, 10**18)
    broken, read, stop = list[str](), list[int](), threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                read.append(json.loads(path.read_bytes())["done_bytes"])
            except (OSError, ValueError) as error:
                broken.append(repr(error))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(1000):
            clock.now += 1
            told(10 ** (number % 19), 10**18)
    finally:
        stop.set()
        reader.join()
    assert broken == [] and len(read) > 10 and min(read) > 0


@pytest.mark.parametrize("place", ["there is no such folder", "a file", "a link", "a folder"])
def test_what_cannot_be_shown_is_done_all_the_same(place: str, tmp_path: Path, clock: Clock) -> None:
    path, precious = tmp_path / "folder/progress.json", tmp_path / "precious"
    precious.write_text("precious")
    if place == "a file":
        (tmp_path / "folder").touch()
    elif place == "a link":
        (tmp_path / "folder").mkdir()
        os.symlink(precious, f"{path}.new")
    elif place == "a folder":
        path.mkdir(parents=True)
    told = progress(path, clock)
    for number in range(3):
        clock.now += 1
        told(number, 3)
    assert precious.read_text() == "precious" and not path.is_file()


def test_it_does_not_try_again_where_it_failed(path: Path, clock: Clock) -> None:
    path.mkdir()
    told = progress(path, clock)
    clock.now += 1
    told(1, 3)
    path.rmdir()
    clock.now += 1
    told(2, 3)
    assert not path.exists()


def test_nobody_wants_to_know(tmp_path: Path, clock: Clock) -> None:
    told = progress(None, clock)
    clock.now += 10
    told(1, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shown", [True, False])
def test_the_end_of_the_time_ends_the_work(shown: bool, path: Path, clock: Clock) -> None:
    """Also within a second of the last writing, and where nothing is shown."""
    told: Any = progress(path if shown else None, clock, 10.0)
    clock.now += 9.9
    told(7, 9)
    clock.now += 0.1
    with pytest.raises(TimedOut, match="the backup took longer than it may, with 8 bytes done") as caught:
        told(8, 9)
    assert "timeout_seconds" in caught.value.hint
