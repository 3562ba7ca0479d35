# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a log are to be read, and from where: rotated, compressed, truncated, copied, replaced.

A bookmark remembers every file by the digest of its first bytes and of the bytes before the place where reading stopped. Names,
sizes and inodes change under a rotation; what was written does not.
"""

from __future__ import annotations

import os
import re
import time

from .._core.errors import InvalidInput, RunbookError
from ._log_segment import HEAD, NotPlain, Segment
from ._matches import matches
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

_FILES = 64
"""Files a bookmark remembers, the newest."""

_ATTEMPTS = 30
_PAUSE_SECONDS = 0.01
_NUMBER = re.compile(r"\.([0-9]+)(?:\.[a-z0-9]+)?$")


class Reading:
    """The segments of a log, oldest first, and where the next reading is to go on."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments
        self.lost = False
        self.notes: list[str] = []
        self._offsets: dict[int, int] = {}

    def done(self, segment: Segment, unread: int) -> None:
        """All of a segment was read; its last ``unread`` bytes, an unfinished line, were not counted."""
        reached = segment.end if segment.end is not None else segment.offset + segment.read_bytes
        self._offsets[id(segment)] = reached - unread
        if segment.damaged and segment.damaged not in self.notes:
            self.notes.append(segment.damaged)

    def bookmark(self) -> dict[str, Any]:
        """JSON data for the next reading, once all segments are done."""
        files = []
        for segment in self.segments[-_FILES:]:
            offset = self._offsets.get(id(segment), segment.offset)
            size = min(HEAD, offset if segment.end is None else segment.end)
            files.append({
                "path": segment.path, "active": segment.active, "inode": segment.status.st_ino, "size": size, "first": segment.fingerprint(size),
                "offset": offset, "tail": segment.tail_digest(offset), "stored": segment.status.st_size if segment.end is None else None,
            })  # fmt: skip
        return {"version": 1, "files": files}

    def close(self) -> None:
        """Give all files back."""
        for segment in self.segments:
            segment.close()


def open_files(patterns: list[str], bookmark: dict[str, Any] | None, since: float, left: TimeLeft) -> Reading:
    """The files that ``patterns`` match, to be read from ``since`` or from the bookmark on. Raises RunbookError, InvalidInput."""
    known = _entries(bookmark)
    segments, notes = _open_all(patterns, left)
    reading = Reading(segments)
    reading.notes = notes
    try:
        _drop_copies(reading)
        for segment in reading.segments:
            segment.active = segment.end is not None and not _NUMBER.search(segment.path)
        if known is None:
            keep = [segment for segment in reading.segments if segment.active or segment.status.st_mtime >= since]
            _close_others(reading, keep)
        else:
            _resume(reading, known, since)
    except BaseException:
        reading.close()
        raise
    return reading


def _entries(bookmark: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    if bookmark is None:
        return None
    files = bookmark.get("files")
    shape = {"path": str, "active": bool, "inode": int, "size": int, "first": str, "offset": int, "tail": str}
    sound = bookmark.get("version") == 1 and isinstance(files, list) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in shape.items()) for entry in files
    )  # fmt: skip
    if not sound:
        raise InvalidInput("the bookmark of the log cannot be read", "review the log once without it (log_review_incremental: false)")
    return list(files or [])


def _paths(patterns: list[str], left: TimeLeft) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        if not os.path.isabs(pattern) or "\0" in pattern:
            raise InvalidInput(f'log: files: "{pattern}" is not an absolute path', "write the whole path from / on")
        try:
            found.update(dict.fromkeys([pattern] if os.path.lexists(pattern) else matches("/", pattern.split("/"), left)))
        except OSError as error:
            raise RunbookError(f"{error.filename or pattern} cannot be looked at: {error.strerror}", "run the check with become: true") from None
    return list(found)


def _open_all(patterns: list[str], left: TimeLeft) -> tuple[list[Segment], list[str]]:
    """Every file once, oldest first. When a rotation comes between looking and opening, a file could be missed: then once more."""
    for _attempt in range(_ATTEMPTS):
        segments: dict[tuple[int, int], Segment] = {}
        notes: list[str] = []
        whole = True
        for path in _paths(patterns, left):
            try:
                segment = Segment(path, left)
            except FileNotFoundError:
                whole = False
            except NotPlain as error:
                notes.append(error.message)
            except OSError as error:
                _close_all(segments)
                raise RunbookError(f"{path} cannot be read: {error.strerror}", "run the check with become: true") from None
            else:
                if segments.setdefault((segment.status.st_dev, segment.status.st_ino), segment) is not segment:
                    segment.close()
        names = {_identity(path) for path in _paths(patterns, left)} - {None}
        if whole and names <= {*segments, *_unreadable(patterns, notes, left)}:
            if not segments:
                raise RunbookError(f"no log matches {', '.join(patterns)}", "see where the service writes its log, and correct the inventory")
            return sorted(segments.values(), key=_age), notes
        _close_all(segments)
        time.sleep(min(_PAUSE_SECONDS, left.timeout()))
    raise RunbookError(f"{', '.join(patterns)} are rotated faster than they can be opened", "see what rotates them")


def _unreadable(patterns: list[str], notes: list[str], left: TimeLeft) -> set[tuple[int, int] | None]:
    """Pipes, folders and the like: they are there, and not opened."""
    return {_identity(path) for path in _paths(patterns, left) if any(note.startswith(f"{path} is ") for note in notes)}


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _close_all(segments: dict[tuple[int, int], Segment]) -> None:
    for segment in segments.values():
        segment.close()


def _age(segment: Segment) -> tuple[bool, float, int]:
    """Sorts rotated files before the one that is written, oldest first. Instants come from the file system, numbers break ties."""
    number = _NUMBER.search(segment.path)
    return number is None and segment.end is not None, segment.status.st_mtime, -int(number.group(1)) if number else 0


def _close_others(reading: Reading, keep: list[Segment]) -> None:
    for segment in reading.segments:
        if segment not in keep:
            segment.close()
    reading.segments = keep


def _drop_copies(reading: Reading) -> None:
    """While a file is being compressed, it is there twice: the plain one counts."""
    plain = {segment.fingerprint(HEAD) for segment in reading.segments if segment.end}
    _close_others(reading, [segment for segment in reading.segments if segment.end is not None or segment.fingerprint(HEAD) not in plain])


def _resume(reading: Reading, known: list[dict[str, Any]], since: float) -> None:
    """Set every file to where it was left. Older files nobody remembers were there before the bookmark, and are left out."""
    left_over, keep = list(known), []
    for segment in reading.segments:
        entry = next((entry for entry in left_over if _is_same(segment, entry)), None)
        if entry is not None:
            left_over.remove(entry)
            segment.offset = entry["offset"]
            segment.unchanged = segment.end is None and _is_untouched(segment, entry)
            keep.append(segment)
        elif segment.active or segment.status.st_mtime >= since:
            keep.append(segment)
    gone = [entry for entry in left_over if entry["active"] and (entry["size"] or entry["offset"])]
    if gone:
        reading.lost = True
        reading.notes.append(f"{gone[0]['path']} of the last reading is gone, and what was written to it since then with it")
    _close_others(reading, keep)


def _is_same(segment: Segment, entry: dict[str, Any]) -> bool:
    """Whether this is the file the entry remembers, whatever it is called now."""
    if entry["size"] == 0:
        return bool(segment.status.st_ino == entry["inode"])
    if segment.end is not None and segment.end < entry["offset"]:
        return False
    if _is_untouched(segment, entry):
        return True
    return segment.fingerprint(entry["size"]) == entry["first"] and segment.tail_digest(entry["offset"]) == entry["tail"]


def _is_untouched(segment: Segment, entry: dict[str, Any]) -> bool:
    """A packed file that is byte for byte as long as it was when it was read whole, in the same place on the disk."""
    return segment.end is None and (entry.get("stored"), entry["inode"]) == (segment.status.st_size, segment.status.st_ino)
