# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs in a window of time: files with their rotated and compressed predecessors, the systemd journal, containers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from .._core.errors import InvalidInput, RunbookError
from .._core.log_formats import Clock, Format, parse_format
from .._core.log_report import MEASURES, Read, dynamic_measures, measures_of, report_of, wanted_of
from .._core.log_scan import Scanner
from .._core.log_tally import Tally
from .._core.log_window import DISORDER, Window
from .._core.probe import Probe
from .._core.units import parse_duration
from ._log_files import Reading, open_files
from ._log_segment import Segment
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MEASURES", "Resume", "analyse", "dynamic_measures", "measure"]

_WORTH_SHARING = 8 << 20
_PRIMING = 1 << 16


class Resume:
    """How to read: from where an earlier reading stopped (``bookmark``), and with how many processes."""

    __slots__ = ("bookmark", "incremental", "processes")

    def __init__(self, bookmark: dict[str, Any] | None = None, incremental: bool = False, processes: int = 1) -> None:
        self.bookmark = bookmark if incremental else None
        self.incremental = incremental
        self.processes = processes


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Count the log in its window. Raises RunbookError when it cannot be read, TimedOut, InvalidInput."""
    return measures_of(options, _read(options, probe, Resume())[0])


def analyse(options: dict[str, Any], probe: Probe, resume: Resume) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The measures, the report, and the bookmark for the next reading."""
    read, bookmark = _read(options, probe, resume)
    return measures_of(options, read), report_of(options, read), bookmark


def _read(options: dict[str, Any], probe: Probe, resume: Resume) -> tuple[Read, dict[str, Any]]:
    form, clock = _form(options), Clock(options["timezone"], probe.now)
    start = probe.now - parse_duration(options["window"])
    if resume.bookmark is not None:
        start = min(max(_taken_at(resume.bookmark), probe.now - 400 * 86400.0), probe.now)
    window = Window(start, probe.now, keep=resume.bookmark is not None)
    left = TimeLeft(probe, options["timeout_seconds"], f"reading {_source(options)}", "give it more time (timeout_seconds), or a shorter window")
    reading = _open(options, resume.bookmark, start, left)
    try:
        if resume.bookmark is None:
            for segment in reading.segments:
                segment.start_after(lambda block: _is_older(block, form, clock, start - DISORDER))
        job = _Job(options, form, clock, window)
        tally = job.run(reading, resume.processes)
        read = Read(window, tally, probe.now)
        read.files = [{"path": segment.path, "bytes": segment.read_bytes} for segment in reading.segments]
        read.lost, read.notes, read.incremental = reading.lost, list(reading.notes), resume.bookmark is not None
        return read, {"taken_at": probe.now, "place": reading.bookmark()}
    finally:
        reading.close()


def _form(options: Mapping[str, Any]) -> Format:
    """The journal and the engine put a stamp of their own in front of every line."""
    if options.get("container"):
        return parse_format("iso")
    return parse_format("syslog" if options.get("journal") else options["format"])


def _taken_at(bookmark: Mapping[str, Any]) -> float:
    taken = bookmark.get("taken_at")
    if not isinstance(taken, (int, float)) or isinstance(taken, bool) or not isinstance(bookmark.get("place"), dict):
        raise InvalidInput("the bookmark of the log is not one", "review it once without log_review_incremental")
    return float(taken)


def _source(options: Mapping[str, Any]) -> str:
    if options.get("journal"):
        return f"the journal of {options['journal']}"
    return f"the log of container {options['container']}" if options.get("container") else ", ".join(options["files"])


def _open(options: dict[str, Any], bookmark: dict[str, Any] | None, since: float, left: TimeLeft) -> Reading:
    place = bookmark["place"] if bookmark else None
    if options.get("files"):
        return open_files(options["files"], place, since, left)
    from ._log_streams import open_container, open_journal

    if options.get("journal"):
        return open_journal(options["journal"], place, since, left)
    return open_container(options["container"], place, since, left)


def _is_older(block: bytes, form: Format, clock: Clock, moment: float) -> bool:
    """Whether every stamp in a block lies before a moment, and there is one."""
    found = {max(instants) for instants in (clock.instants(form.stamp(line), form.style) for line in _spread(block.split(b"\n"))) if instants}
    return bool(found) and max(found) < moment


def _spread(lines: Sequence[bytes]) -> Sequence[bytes]:
    """At most about a thousand lines, and the last ones: enough to see how old a block is."""
    return [*lines[:: max(1, len(lines) // 1000)], *lines[-50:]]


class _Job:
    """One log to be counted, by one process or several."""

    def __init__(self, options: dict[str, Any], form: Format, clock: Clock, window: Window) -> None:
        self._form, self._clock, self._window = form, clock, window
        self._wanted = wanted_of(options)

    def run(self, reading: Reading, processes: int) -> Tally:
        """Everything in the reading, counted. Other processes read plain files only; what has to be unpacked is read by this one."""
        shares = _shares([segment for segment in reading.segments if segment.end is not None], processes)
        if len(shares) < 2:
            return self._scan(reading, [(segment, None) for segment in reading.segments])
        children = [self._fork(reading, share) for share in shares[:-1]]
        mine = self._scan(reading, [*((segment, None) for segment in reading.segments if segment.end is None), *shares[-1]])
        total = Tally(self._window.minutes, len(self._wanted.patterns), len(self._wanted.extracts))
        for child in children:
            total.merge(_result(child))
        total.merge(json.loads(json.dumps(mine.data())))
        for segment, _part in (place for share in shares[:-1] for place in share):
            if segment is not shares[-1][0][0]:
                reading.done(segment, 0)
        return total

    def _scan(self, reading: Reading, share: Sequence[tuple[Segment, tuple[int, int] | None]]) -> Tally:
        scanner = Scanner(self._form, self._clock, self._window, self._wanted)
        for segment, part in share:
            scanner.begin(segment.path)
            start, end = part or (segment.offset, None)
            if part and start > segment.offset:
                scanner.prime(segment.before(start, _PRIMING))
            for block in segment.blocks() if part is None else segment.range_blocks(*part):
                scanner.feed(block)
            is_last = part is None or end == segment.end
            unread = scanner.finish(complete=not segment.active or not is_last)
            if is_last:
                reading.done(segment, unread)
        return scanner.tally

    def _fork(self, reading: Reading, share: Sequence[tuple[Segment, tuple[int, int] | None]]) -> tuple[int, int]:
        """A child that counts a share and writes what it has to a pipe; its process id and our end of the pipe."""
        ours, theirs = os.pipe()
        process = os.fork()
        if process:
            os.close(theirs)
            return process, ours
        try:
            os.close(ours)
            with os.fdopen(theirs, "w", encoding="ascii") as pipe:
                pipe.write(json.dumps(self._scan(reading, share).data()))
        finally:
            os._exit(0)


def _result(child: tuple[int, int]) -> dict[str, Any]:
    process, pipe = child
    with os.fdopen(pipe, encoding="ascii") as file:
        text = file.read()
    os.waitpid(process, 0)
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        raise RunbookError("a process that read a part of the log ended without a result", "run it with processes: 1 to see why") from None
    return found


def _shares(segments: Sequence[Segment], processes: int) -> list[list[tuple[Segment, tuple[int, int] | None]]]:
    """Plain files in as many shares of about equal size, in order; a file may be cut, at the beginning of a line."""
    total = sum(segment.end - segment.offset for segment in segments)
    if processes < 2 or total < _WORTH_SHARING:
        return []
    shares: list[list[tuple[Segment, tuple[int, int] | None]]] = [[]]
    size, most = 0, total / processes
    for segment in segments:
        start = segment.offset
        while len(shares) < processes and size + segment.end - start > most:
            cut = segment.line_after(start + int(most - size))
            if cut >= segment.end:
                break
            shares[-1].append((segment, (start, cut)))
            shares.append([])
            start, size = cut, 0
        shares[-1].append((segment, (start, segment.end)))
        size += segment.end - start
    return shares
