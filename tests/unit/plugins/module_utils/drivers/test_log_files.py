# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a log across rotations: every line is read once, whatever happens to the files in between."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._log_files import open_files
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._time_left import TimeLeft


def left() -> TimeLeft:
    return TimeLeft(Probe(Deadline(60, time.monotonic), time.time()), 60, "reading", "wait")


def read(folder: Path, bookmark: dict[str, Any] | None = None, since: float = 0.0) -> tuple[list[bytes], dict[str, Any], bool]:
    """Every line since the bookmark, the next bookmark (as the history keeps it), and whether lines were lost."""
    reading = open_files([f"{folder}/app.log*"], bookmark, since, left())
    lines: list[bytes] = []
    try:
        for segment in reading.segments:
            data = b"".join(segment.blocks())
            *whole, rest = data.split(b"\n")
            lines += whole
            if rest and not segment.active:
                lines.append(rest)
            reading.done(segment, len(rest) if segment.active else 0)
        return lines, json.loads(json.dumps(reading.bookmark())), reading.lost
    finally:
        reading.close()


def write(path: Path, *lines: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("\n".join(lines) + end)


def rotate(folder: Path) -> None:
    for number in range(9, 0, -1):
        for suffix in ("", ".gz"):
            old = folder / f"app.log.{number}{suffix}"
            if old.exists():
                old.rename(folder / f"app.log.{number + 1}{suffix}")
    (folder / "app.log").rename(folder / "app.log.1")
    (folder / "app.log").touch()


def compress(path: Path) -> None:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    shutil.copystat(path, packed)
    path.unlink()


def test_oldest_first_and_everything_once(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    for text in ("one", "two", "three"):
        write(log, text)
        os.utime(log, (1000, 1000))  # the same instant: numbers decide
        rotate(tmp_path)
    compress(tmp_path / "app.log.3")
    write(log, "four")
    lines, bookmark, lost = read(tmp_path)
    assert lines == [b"one", b"two", b"three", b"four"]
    assert read(tmp_path, bookmark) == ([], read(tmp_path, bookmark)[1], False)
    assert not lost


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bz2", "xz"])
def test_compressed_by_content(tmp_path: Path, pack: Any) -> None:
    (tmp_path / "app.log.1").write_bytes(pack(b"a\nb\n"))
    assert read(tmp_path)[0] == [b"a", b"b"]


@pytest.mark.parametrize("cut", [30, 200, 1000])
def test_damaged_archive_is_read_as_far_as_it_goes(tmp_path: Path, cut: int) -> None:
    text = b"".join(b"line %d %s\n" % (number, os.urandom(8).hex().encode()) for number in range(5000))
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(text)[:-cut])
    reading = open_files([f"{tmp_path}/app.log*"], None, 0.0, left())
    data = b"".join(b"".join(segment.blocks()) for segment in reading.segments)
    reading.done(reading.segments[0], 0)
    assert text.startswith(data)
    assert "is damaged after" in reading.notes[0]
    reading.close()


def test_a_packed_file_that_was_read_is_not_unpacked_again(tmp_path: Path) -> None:
    write(tmp_path / "app.log.1", *map(str, range(1000)))
    compress(tmp_path / "app.log.1")
    write(tmp_path / "app.log", "now")
    bookmark = read(tmp_path)[1]
    reading = open_files([f"{tmp_path}/app.log*"], bookmark, 0.0, left())
    assert [segment.unchanged for segment in reading.segments] == [True, False]
    assert [b"".join(segment.blocks()) for segment in reading.segments] == [b"", b""]
    reading.close()


def test_half_a_line_waits_and_follows_its_file(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, "whole", "half", end="")
    lines, bookmark, _lost = read(tmp_path)
    assert lines == [b"whole"]
    write(log, " and the rest")
    rotate(tmp_path)
    write(log, "new")
    assert read(tmp_path, bookmark)[0] == [b"half and the rest", b"new"]


def test_copytruncate(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, "one", "two")
    bookmark = read(tmp_path)[1]
    write(log, "three")
    shutil.copy2(log, tmp_path / "app.log.1")
    os.truncate(log, 0)
    write(log, "four")
    lines, _bookmark, lost = read(tmp_path, bookmark)
    assert (sorted(lines), lost) == ([b"four", b"three"], False)


def test_truncated_without_a_copy_is_lost(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, "one", "two")
    bookmark = read(tmp_path)[1]
    os.truncate(log, 0)
    write(log, "three")
    assert read(tmp_path, bookmark)[0::2] == ([b"three"], True)


def test_replaced_file(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, "one")
    bookmark = read(tmp_path)[1]
    write(tmp_path / "fresh", "other")
    (tmp_path / "fresh").rename(log)
    assert read(tmp_path, bookmark)[0::2] == ([b"other"], True)


def test_rotated_away_by_its_own_retention_is_not_lost(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    write(log, "one")
    rotate(tmp_path)
    write(log, "two")
    bookmark = read(tmp_path)[1]
    (tmp_path / "app.log.1").unlink()
    assert read(tmp_path, bookmark)[0::2] == ([], False)


def test_copy_being_made_while_it_is_compressed_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "app.log.1", "one")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress((tmp_path / "app.log.1").read_bytes())[:15])
    write(tmp_path / "app.log", "two")
    assert read(tmp_path)[0] == [b"one", b"two"]


def test_old_files_are_left_out_without_a_bookmark(tmp_path: Path) -> None:
    write(tmp_path / "app.log.1", "old")
    os.utime(tmp_path / "app.log.1", (1000, 1000))
    write(tmp_path / "app.log", "new")
    assert read(tmp_path, since=2000.0)[0] == [b"new"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_named_and_not_opened(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "app.log.pipe")
    write(tmp_path / "app.log", "one")
    reading = open_files([f"{tmp_path}/app.log*"], None, 0.0, left())
    assert len(reading.segments) == 1
    assert "app.log.pipe is not a regular file" in reading.notes[0]
    reading.close()


def test_zstd_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.log.1.zst").write_bytes(b"\x28\xb5\x2f\xfd123")
    write(tmp_path / "app.log", "one")
    reading = open_files([f"{tmp_path}/app.log*"], None, 0.0, left())
    assert "zstd" in reading.notes[0]
    reading.close()


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no log matches"):
        open_files([f"{tmp_path}/app.log*"], None, 0.0, left())
    with pytest.raises(InvalidInput, match="not an absolute path"):
        open_files(["app.log"], None, 0.0, left())


@pytest.mark.parametrize("bookmark", [{}, {"version": 2, "files": []}, {"version": 1, "files": [{"path": "x"}]}, {"version": 1, "files": "x"}])
def test_a_bookmark_that_is_none(tmp_path: Path, bookmark: dict[str, Any]) -> None:
    write(tmp_path / "app.log", "one")
    with pytest.raises(InvalidInput, match="bookmark"):
        open_files([f"{tmp_path}/app.log*"], bookmark, 0.0, left())


def test_a_window_begins_near_the_end_of_a_large_file(tmp_path: Path) -> None:
    with (tmp_path / "app.log").open("w") as file:
        for number in range(60000):
            file.write(f"{number:09d} {'x' * 90}\n")
    reading = open_files([f"{tmp_path}/app.log*"], None, 0.0, left())
    segment = reading.segments[0]
    segment.start_after(lambda block: int(block.split(b"\n")[-2][:9]) < 40000)
    first = next(segment.blocks())
    assert segment.offset > 2 << 20
    assert int(first[:9]) <= 40000
    reading.close()


class Rotations(RuleBasedStateMachine):
    """A log under every kind of rotation, read now and then. Lines are numbered, so each is a witness of its own."""

    @initialize(folder=st.uuids())
    def begin(self, folder: Any) -> None:
        self.folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"log-{os.getpid()}-{folder}-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.log = self.folder / "app.log"
        self.log.touch()
        self.written, self.open_line, self.count = Counter[bytes](), "", 0
        self.seen: Counter[bytes] = Counter()
        self.bookmark: dict[str, Any] | None = None

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def line(self) -> str:
        self.count += 1
        return f"line {self.count} of the log"

    @rule(number=st.integers(1, 5))
    def append(self, number: int) -> None:
        for _number in range(number):
            text = self.open_line or self.line()
            write(self.log, text if not self.open_line else "")
            self.written[text.encode()] += 1
            self.open_line = ""

    @rule()
    def append_half(self) -> None:
        if not self.open_line:
            self.open_line = self.line()
            write(self.log, self.open_line, end="")

    @rule()
    def rotate(self) -> None:
        if not self.open_line:
            rotate(self.folder)

    @rule()
    def compress(self) -> None:
        if (self.folder / "app.log.1").exists() and not (self.folder / "app.log.1.gz").exists():
            compress(self.folder / "app.log.1")

    @rule()
    def copy_and_truncate(self) -> None:
        if not self.open_line and self.log.stat().st_size and not list(self.folder.glob("app.log.1*")):
            shutil.copy2(self.log, self.folder / "app.log.1")
            os.truncate(self.log, 0)

    @rule()
    def read(self) -> None:
        lines, self.bookmark, lost = read(self.folder, self.bookmark)
        self.seen.update(lines)
        assert not lost
        assert self.seen == self.written


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_fast_writer_that_rotates_loses_nothing(tmp_path: Path) -> None:
    """Rename and create, again and again, while it is read: every line exactly once."""
    log, seen, total = tmp_path / "app.log", Counter[bytes](), 20000
    log.touch()
    over = threading.Event()

    def run() -> None:
        for part in range(20):
            with log.open("a") as file:
                for number in range(total // 20):
                    file.write(f"line {part * (total // 20) + number} {'x' * 40}\n")
            if part < 9:
                rotate(tmp_path)
            time.sleep(0.01)
        over.set()

    writer = threading.Thread(target=run)
    writer.start()
    bookmark: dict[str, Any] | None = None
    finished = False
    while not finished:
        finished = over.is_set()
        lines, bookmark, lost = read(tmp_path, bookmark)
        seen.update(lines)
        assert not lost
    writer.join()
    assert len(seen) == total
    assert set(seen.values()) == {1}
