# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an archive of PostgreSQL's write-ahead log leads from a backup to a point in time: segments, timelines, positions. Pure.

See the manual, Continuous Archiving and Point-in-Time Recovery, and xlog_internal.h for the names of files. Doubt is a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from .errors import InvalidInput, Refused
from .times import parse_instant, rfc3339

SEGMENT_BYTES = 1 << 24
"""Of a cluster that was made without ``initdb --wal-segsize``."""

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_SEGMENT = re.compile(r"(?:.*/)?([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})-[0-9a-f]{40}(?:\.[a-z0-9]+)?")
_HISTORY = re.compile(r"\s*([0-9]+)\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})(?:\s.*)?")
_XID = re.compile(r"[0-9]{1,20}")
_LONGEST_NAME = 63  # MAXFNAMELEN - 1 of xlog_internal.h


class BeforeBackup(Refused):
    """The point is before the end of the backup: what it copied is newer."""

    code = "before_backup"


class NotArchivedYet(Refused):
    """The point is in the future, or behind the newest segment of the archive."""

    code = "not_archived_yet"


class OtherTimeline(Refused):
    """The history that leads to the point left that of the backup before the backup ended."""

    code = "other_timeline"


class WalGap(Refused):
    """A segment is missing between the backup and the point."""

    code = "wal_gap"


def parse_lsn(text: str) -> int:
    """``16/B374D848`` as a number of bytes. Raises InvalidInput."""
    found = _LSN.fullmatch(text.strip())
    if not found:
        raise InvalidInput(f'"{text}" is not a position in the log', "it is written as in 0/3A8F2D8 (pg_current_wal_lsn)")
    return int(found[1], 16) << 32 | int(found[2], 16)


def show_lsn(position: int) -> str:
    """As PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def _instant(text: str) -> float:
    try:
        return parse_instant(text)
    except InvalidInput as error:
        raise InvalidInput(error.message, "write it like 2026-11-20T14:03:00Z") from None


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """The file that holds the segment ``number`` (from 0 on)."""
    high, low = divmod(number, (1 << 32) // segment_bytes)
    return f"{timeline:08X}{high:08X}{low:08X}"


def parse_segment(name: str, segment_bytes: int) -> tuple[int, int] | None:
    """Timeline and number of a segment in the archive of pgBackRest (``<24 digits>-<SHA-1>[.zst]``); None for other files, also partial ones."""
    found = _SEGMENT.fullmatch(name)
    if not found:
        return None
    timeline, high, low = (int(part, 16) for part in found.groups())
    return timeline, high * ((1 << 32) // segment_bytes) + low


def parse_history(text: str) -> tuple[tuple[int, int], ...]:
    """A timeline's history: each timeline before it, and the position at which that was left. Raises InvalidInput."""
    found = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            match = _HISTORY.fullmatch(line)
            if not match:
                raise InvalidInput(f"the history of a timeline has a line {line[:80]!r}", "see the archive")
            found.append((int(match[1]), parse_lsn(match[2])))
    return tuple(found)


@dataclass(frozen=True)
class Archive:
    """What is in an archive: when each segment came (seconds since 1970), and the history of every timeline but the first."""

    segments: Mapping[tuple[int, int], float]
    histories: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)
    segment_bytes: int = SEGMENT_BYTES

    @property
    def newest_timeline(self) -> int:
        """The one that somebody who says nothing means. See recovery_target_timeline."""
        return max([1, *self.histories, *(timeline for timeline, _number in self.segments)])


@dataclass(frozen=True)
class Point:
    """What a backup needs of the log: its timeline, the positions of its begin and end, and the instant of its end."""

    label: str
    timeline: int
    start: int
    stop: int
    stopped_at: float


@dataclass(frozen=True)
class Replay:
    """What PostgreSQL is told: a setting such as ``recovery_target_time`` with its value, whether what is at the point is in it, the timeline."""

    setting: str
    value: str
    inclusive: bool
    timeline: int


def target_of(until: Mapping[str, str]) -> tuple[str, str, bool]:
    """Setting, value and inclusiveness for ``Context.until``. Raises InvalidInput.

    A position means the state there: all that was written before it. So the one that pg_current_wal_lsn() tells after a commit includes that
    commit and nothing later; PostgreSQL itself would replay one record more.
    """
    [(kind, value)] = until.items() or [("", "")]
    if kind == "time":
        moment = datetime.fromtimestamp(_instant(value), timezone.utc)
        return "recovery_target_time", moment.strftime("%Y-%m-%d %H:%M:%S.%f+00"), True
    if kind == "lsn":
        return "recovery_target_lsn", show_lsn(parse_lsn(value)), False
    if kind == "xid" and not (_XID.fullmatch(value) and 3 <= int(value) < 1 << 64):
        raise InvalidInput(f'"{value}" is not a transaction', "it is a number, as pg_current_xact_id() tells it")
    if kind == "name" and not (0 < len(value.encode("utf-8", "replace")) <= _LONGEST_NAME and value.isprintable()):
        raise InvalidInput(f"{value!r} cannot be the name of a restore point", f"it has 1 to {_LONGEST_NAME} bytes")
    return f"recovery_target_{kind}", value, True


def plan_replay(point: Point, archive: Archive, until: Mapping[str, str], wish: tuple[float, int | None]) -> Replay:
    """How to get there; ``wish`` is the wall clock and, where one was chosen, the timeline. Without ``until`` the end of the backup is meant.

    Raises BeforeBackup, NotArchivedYet, OtherTimeline, WalGap, InvalidInput. A transaction or a name may turn out to be unknown when all was replayed.
    """
    if not until:
        _Way(archive, point, point.timeline).need(point.stop - 1)
        return Replay("recovery_target", "immediate", True, point.timeline)
    setting, value, inclusive = target_of(until)
    now, chosen = wish
    timeline = chosen or archive.newest_timeline
    if "time" in until and _instant(until["time"]) > now:
        raise NotArchivedYet(f"{until['time']} is in the future", "give an instant that is over")
    way = _Way(archive, point, timeline)
    _check_before(point, until)
    way.need(point.stop - 1)
    if "lsn" in until:
        way.need(parse_lsn(until["lsn"]))
    if "time" in until:
        way.need_instant(_instant(until["time"]))
    return Replay(setting, value, inclusive, timeline)


def first_gap(point: Point, archive: Archive, timeline: int) -> str:
    """The segment that is missing though later ones are there; "" when none is."""
    way = _Way(archive, point, timeline)
    missing = way.missing()
    return segment_name(*missing, archive.segment_bytes) if way.goes_on(missing[1]) else ""


def _check_before(point: Point, until: Mapping[str, str]) -> None:
    hint = "choose an earlier backup (select), or a later point"
    if "time" in until and _instant(until["time"]) < point.stopped_at:
        raise BeforeBackup(f"{until['time']} is before the backup {point.label} ended, at {rfc3339(point.stopped_at)}", hint)
    if "lsn" in until and parse_lsn(until["lsn"]) < point.stop:
        raise BeforeBackup(f"{until['lsn']} is before the backup {point.label} ended, at {show_lsn(point.stop)}", hint)


class _Way:
    """Through an archive, from the begin of a backup along the timelines that lead to ``timeline``. Raises OtherTimeline."""

    def __init__(self, archive: Archive, point: Point, timeline: int) -> None:
        self._archive, self._point, self._size = archive, point, archive.segment_bytes
        self._begins = [(point.timeline, 0), *self._later(timeline)]

    def _later(self, timeline: int) -> list[tuple[int, int]]:
        """The timelines after that of the backup, each with the segment it begins in."""
        point = self._point
        if timeline == point.timeline:
            return []
        history = self._archive.histories.get(timeline)
        if history is None:
            raise OtherTimeline(
                f"the archive has no history of the timeline {timeline}, so nobody knows where it began", "archive it (pg_wal/*.history), or give timeline"
            )
        left = dict(history)
        if left.get(point.timeline, -1) < point.stop:
            seen = f"left that of the backup at {show_lsn(left[point.timeline])}" if point.timeline in left else "has another origin"
            raise OtherTimeline(
                f"the backup {point.label} ended at {show_lsn(point.stop)} on the timeline {point.timeline}, and the timeline {timeline} {seen}",
                f"choose a backup of the timeline {timeline} (select), or give timeline: {point.timeline} to follow the one that was given up",
            )
        numbers = [*(number for number, _position in history), timeline]
        begins = list(zip(numbers[1:], (position // self._size for _number, position in history)))
        return begins[numbers.index(point.timeline) :]

    def _file(self, number: int) -> tuple[int, int]:
        """The file that a segment is read from: that of the newest timeline which had begun."""
        return next(timeline for timeline, begin in reversed(self._begins) if begin <= number), number

    def missing(self) -> tuple[int, int]:
        """The first segment that is not there."""
        number = self._point.start // self._size
        while self._file(number) in self._archive.segments:
            number += 1
        return self._file(number)

    def goes_on(self, number: int) -> bool:
        """Whether later ones are there."""
        return any(later > number and self._file(later) == (timeline, later) for timeline, later in self._archive.segments)

    def need(self, position: int) -> None:
        """Raises WalGap or NotArchivedYet unless everything up to there is archived."""
        missing = self.missing()
        if missing[1] * self._size > position:
            return
        if position < self._point.stop or self.goes_on(missing[1]):
            raise self._gap(missing)
        raise NotArchivedYet(
            f"{show_lsn(position)} is in {self._name(self._file(position // self._size))}, and the archive ends before {self._name(missing)}",
            "if the server runs: select pg_switch_wal(), wait until that is archived, and try again",
        )

    def need_instant(self, instant: float) -> None:
        """A segment holds nothing newer than its arrival; whether anything between the last arrival and ``instant`` is there, nobody knows."""
        missing = self.missing()
        arrived = self._archive.segments[self._file(missing[1] - 1)]
        if instant <= arrived:
            return
        if self.goes_on(missing[1]):
            raise self._gap(missing)
        raise NotArchivedYet(
            f"{rfc3339(instant)} is after the last archived segment came ({rfc3339(arrived)})",
            "if the server runs: commit something, select pg_switch_wal(), wait until that is archived, and try again",
        )

    def _name(self, segment: tuple[int, int]) -> str:
        return segment_name(*segment, self._size)

    def _gap(self, missing: tuple[int, int]) -> WalGap:
        return WalGap(
            f"the archive lacks {self._name(missing)}, which is needed after the backup {self._point.label}",
            "choose a later backup, or an earlier point; see archive_command and who removed it",
        )
