# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs that are not files: the systemd journal (journalctl(1)) and containers (Docker Engine API, /containers/{id}/logs)."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from urllib.parse import quote

from .._core.errors import CommandFailed, InvalidInput, RunbookError
from ._engine_socket import ask, broken_off, connected, opened
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

_BLOCK = 1 << 16
_CURSOR = b"-- cursor: "


class Stream:
    """One source that is read once, from its beginning to its end."""

    active = False
    end = None
    offset = 0

    def __init__(self, path: str, blocks: Callable[[], Iterator[bytes]]) -> None:
        self.path = path
        self.read_bytes = 0
        self._blocks = blocks

    def blocks(self) -> Iterator[bytes]:
        """Everything it has."""
        for block in self._blocks():
            self.read_bytes += len(block)
            yield block

    def start_after(self, is_older: Callable[[bytes], bool]) -> None:
        """The source itself was asked for a window."""


class Streamed:
    """The reading of one stream; ``place`` is what its bookmark will hold."""

    def __init__(self, path: str, blocks: Callable[[], Iterator[bytes]], place: dict[str, Any]) -> None:
        self.segments = [Stream(path, blocks)]
        self.lost = False
        self.notes: list[str] = []
        self._place = place

    def done(self, segment: Stream, unread: int) -> None:
        """Streams end with a whole line."""

    def bookmark(self) -> dict[str, Any]:
        """JSON data for the next reading."""
        return {"version": 1, **self._place}

    def close(self) -> None:
        """Nothing is kept open."""


def _checked(bookmark: dict[str, Any] | None, key: str) -> Any:
    if bookmark is None:
        return None
    if bookmark.get("version") != 1 or not isinstance(bookmark.get(key), str):
        raise InvalidInput("the bookmark of the log cannot be read", "review the log once without it (log_review_incremental: false)")
    return bookmark[key]


def open_journal(unit: str, bookmark: dict[str, Any] | None, since: float, left: TimeLeft) -> Streamed:
    """The journal of a unit, from ``since`` or from the bookmark on. Raises RunbookError when it cannot be read."""
    if not unit or unit.startswith("-") or "\0" in unit:
        raise InvalidInput(f'log: journal: "{unit}" is not the name of a unit')
    cursor = _checked(bookmark, "cursor") or ""
    place = {"cursor": cursor}
    command = ["journalctl", f"--unit={unit}", "--output=short-iso-precise", "--no-pager", "--utc", "--quiet", "--show-cursor"]
    from_time = f"--since=@{int(since)}"

    def blocks() -> Iterator[bytes]:
        try:
            yield from _without_cursor(_run([*command, f"--after-cursor={cursor}" if cursor else from_time], left), place)
        except CommandFailed as error:
            if not cursor:
                raise
            streamed.lost = True
            streamed.notes.append(f"the place of the last reading is no longer in the journal of {unit}: {error.message}")
            yield from _without_cursor(_run([*command, from_time], left), place)

    streamed = Streamed(f"journal of {unit}", blocks, place)
    return streamed


def _without_cursor(blocks: Iterator[bytes], place: dict[str, Any]) -> Iterator[bytes]:
    """The lines of journalctl; its last one, the cursor, goes to ``place``."""
    held = b""
    for block in blocks:
        held += block
        cut = held.rfind(b"\n", 0, max(0, len(held) - 1)) + 1  # the last line may be the cursor
        if cut and len(held) > _BLOCK:
            yield held[:cut]
            held = held[cut:]
    start = held.rfind(_CURSOR)
    if start >= 0 and (start == 0 or held[start - 1 : start] == b"\n"):
        place["cursor"] = held[start + len(_CURSOR) :].strip().decode("ascii", "replace")
        held = held[:start]
    if held:
        yield held


def _run(command: list[str], left: TimeLeft) -> Iterator[bytes]:
    """What a command writes. It is killed when the time is over or nobody reads on."""
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    with tempfile.TemporaryFile() as errors:
        try:
            # AnsibleModule.run_command keeps all output in memory; this reads on as it comes.
            child = subprocess.Popen(  # pylint: disable=ansible-bad-function
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment
            )
        except OSError as error:
            raise RunbookError(f"{command[0]} cannot be run: {error.strerror}", "the journal can only be read under systemd") from None
        with child:
            try:
                yield from _read(child.stdout, left)
                code = child.wait(left.timeout())
            except subprocess.TimeoutExpired:
                raise left.passed() from None
            finally:
                child.kill()
        errors.seek(0)
        said = errors.read(2000).decode("utf-8", "replace").strip()
        if code and not (code == 1 and not said):  # journalctl ends so, without a word, when there is no entry
            raise CommandFailed(command, code, said)


def _read(pipe: Any, left: TimeLeft) -> Iterator[bytes]:
    """What a child writes, until it closes its end or the time is over."""
    while True:
        if not select.select([pipe], [], [], left.timeout())[0]:
            raise left.passed()
        block = os.read(pipe.fileno(), _BLOCK)
        if not block:
            return
        yield block


def open_container(name: str, bookmark: dict[str, Any] | None, since: float, left: TimeLeft) -> Streamed:
    """The log of a container, every line with the engine's stamp, from ``since`` or from the bookmark on."""
    at = _checked(bookmark, "at")
    path = f"/containers/{quote(name, safe='')}"
    about = ask("GET", f"{path}/json", left)
    place = {"at": at or "", "count": (bookmark or {}).get("count", 0), "id": about["Id"]}
    asked = at if at and (bookmark or {}).get("id") == about["Id"] else ""
    start = _nanoseconds(asked) if asked else f"{since:.9f}"
    if not asked:
        place.update(at="", count=0)
    frames = not about.get("Config", {}).get("Tty", False)

    def blocks() -> Iterator[bytes]:
        with closing(connected(left)) as connection:
            answer = opened(connection, left, f"{path}/logs?stdout=1&stderr=1&timestamps=1&since={start}")
            yield from _fresh(_lines(_chunks(answer, left), frames), place)

    streamed = Streamed(f"container {name}", blocks, place)
    if at and not asked:
        streamed.notes.append(f"container {name} was made anew since the last reading: its log is read from its beginning")
    return streamed


def _nanoseconds(stamp: str) -> str:
    """``2026-11-20T10:15:00.123456789Z`` as the engine wants it: seconds and nanoseconds since 1970."""
    from calendar import timegm
    from time import strptime

    whole, _dot, fraction = stamp.rstrip("Z").partition(".")
    return f"{timegm(strptime(whole, '%Y-%m-%dT%H:%M:%S'))}.{fraction or '0':0<9}"


def _chunks(answer: HTTPResponse, left: TimeLeft) -> Iterator[bytes]:
    while True:
        left.timeout()
        try:
            block = answer.read1(_BLOCK)
        except (OSError, HTTPException) as error:
            raise broken_off(error, left) from None
        if not block:
            return
        yield block


def _lines(blocks: Iterator[bytes], frames: bool) -> Iterator[bytes]:
    """Whole lines. Without a terminal the engine sends frames: one byte of stream, three of nothing, four of length, then the data."""
    raw, parts = bytearray(), {0: b"", 1: b"", 2: b""}
    for block in blocks:
        raw += block
        while raw:
            if not frames:
                stream, data, used = 0, bytes(raw), len(raw)
            else:
                size = int.from_bytes(raw[4:8], "big")
                if len(raw) < 8 or len(raw) < 8 + size:
                    break
                stream, data, used = raw[0], bytes(raw[8 : 8 + size]), 8 + size
            del raw[:used]
            *whole, parts[stream] = (parts.get(stream, b"") + data).split(b"\n")
            yield from whole
    yield from (rest for rest in parts.values() if rest)


def _fresh(lines: Iterator[bytes], place: dict[str, Any]) -> Iterator[bytes]:
    """Lines that the last reading did not see, in blocks; ``place`` follows. The engine repeats the lines of the instant asked for."""
    skip_at, skip = place["at"].encode(), place["count"]
    found: list[bytes] = []
    for line in lines:
        stamp = line[:40].partition(b" ")[0]
        if skip and stamp == skip_at:
            skip -= 1
            continue
        text = stamp.decode("ascii", "replace")
        place["count"] = place["count"] + 1 if text == place["at"] else 1
        place["at"] = text
        found.append(line)
        if len(found) >= 1000:
            yield b"\n".join(found) + b"\n"
            found = []
    if found:
        yield b"\n".join(found) + b"\n"
