# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an archive leads from a backup to a point: positions, segments, timelines, and every refusal."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.wal import (
    SEGMENT_BYTES, Archive, Point, Replay, first_gap, parse_history, parse_lsn, parse_segment, plan_replay, segment_name, show_lsn, target_of,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st

NOON = 1_795_000_000.0  # 2026-11-18T11:06:40Z
SHA = "0fa4de3db7691ab6ab68f4c9be388284204086e9"
POINT = Point("20261118-110000F", 1, 2 * SEGMENT_BYTES + 40, 3 * SEGMENT_BYTES + 80, NOON)


def archive(first: Iterable[int] = range(1, 9), second: Iterable[int] = (), fork: str = "") -> Archive:
    """Segments of the timelines 1 and 2, one a minute; the second began at ``fork``."""
    segments = {(timeline, number): NOON + 60 * (number - 3) for timeline, numbers in ((1, first), (2, second)) for number in numbers}
    return Archive(segments, {2: parse_history(f"1\t{fork}\tno recovery target specified\n")} if fork else {})


def at(number: float) -> str:
    """A position in the middle of a segment, or wherever."""
    return show_lsn(int(number * SEGMENT_BYTES))


def instant(seconds: float) -> str:
    return rfc3339(NOON + seconds)


@given(st.integers(0, (1 << 64) - 1))
def test_positions_are_read_as_they_are_written(position: int) -> None:
    assert parse_lsn(show_lsn(position)) == position


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/123456789", "G/0", "0-0", "0/0 0"])
def test_no_position(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_lsn(text)


@given(st.integers(1, 1 << 32 - 1), st.integers(0, (1 << 40) - 1), st.sampled_from([20, 24, 26, 30]))
def test_segments_are_read_as_they_are_named(timeline: int, number: int, bits: int) -> None:
    number %= 1 << (64 - bits)
    name = segment_name(timeline, number, 1 << bits)
    assert len(name) == 24 and parse_segment(f"0000000100000000/{name}-{SHA}.zst", 1 << bits) == (timeline, number)


@pytest.mark.parametrize(("position", "size", "name"), [
    ("0/2000028", 1 << 24, "000000010000000000000002"), ("1/28", 1 << 24, "000000010000000100000000"), ("0/FFFFFFFF", 1 << 24, "0000000100000000000000FF"),
    ("16/B374D848", 1 << 24, "0000000100000016000000B3"), ("16/B374D848", 1 << 26, "00000001000000160000002C"),
])  # fmt: skip
def test_names_as_pg_walfile_name_gives_them(position: str, size: int, name: str) -> None:
    assert segment_name(1, parse_lsn(position) // size, size) == name


@pytest.mark.parametrize("name", [
    ".", "0000000100000000", "00000002.history", "0000000100000000/000000010000000000000002.00000028.backup", "000000010000000000000002",
    f"000000010000000000000002.partial-{SHA}.gz", f"000000010000000000000002-{SHA[:-1]}.gz", f"00000001000000000000000x-{SHA}",
])  # fmt: skip
def test_no_segment(name: str) -> None:
    assert parse_segment(name, SEGMENT_BYTES) is None


def test_histories() -> None:
    text = "1\t0/E060870\tbefore LSN 0/E060870\n\n# a remark\n2\t0/F000000\tbefore 2026-11-21 16:41:10.4+00\n"
    assert parse_history(text) == ((1, parse_lsn("0/E060870")), (2, parse_lsn("0/F000000")))
    with pytest.raises(InvalidInput):
        parse_history("one\t0/0\n")


@pytest.mark.parametrize(("until", "setting"), [
    ({"time": "2026-11-20T14:03:00.123456+01:00"}, ("recovery_target_time", "2026-11-20 13:03:00.123456+00", True)),
    ({"time": "2026-11-20T14:03:00Z"}, ("recovery_target_time", "2026-11-20 14:03:00.000000+00", True)),
    ({"lsn": "0/3a8f2d8"}, ("recovery_target_lsn", "0/3A8F2D8", False)), ({"xid": "739"}, ("recovery_target_xid", "739", True)),
    ({"name": "before the release"}, ("recovery_target_name", "before the release", True)),
], ids=str)  # fmt: skip
def test_what_postgresql_is_told(until: dict[str, str], setting: tuple[str, str, bool]) -> None:
    assert target_of(until) == setting


@pytest.mark.parametrize("until", [
    {"time": "noon"}, {"time": "2026-11-20T14:03:00"}, {"xid": "-1"}, {"xid": "2"}, {"xid": "1 or 1"}, {"xid": "99999999999999999999"}, {"name": ""},
    {"name": "x" * 64}, {"name": "a\nb"},
], ids=str)  # fmt: skip
def test_what_postgresql_is_never_told(until: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        target_of(until)
    assert caught.value.hint


FORKED = archive(range(1, 7), range(5, 9), "0/5800000")
REACHED = [
    ("the end of the backup", archive(), {}, None, Replay("recovery_target", "immediate", True, 1)),
    ("the end of the backup, whatever came later", archive(range(2, 4)), {}, None, Replay("recovery_target", "immediate", True, 1)),
    ("its very end", archive(), {"lsn": show_lsn(POINT.stop)}, None, Replay("recovery_target_lsn", "0/3000050", False, 1)),
    ("the newest segment", archive(), {"lsn": at(8.5)}, None, Replay("recovery_target_lsn", "0/8800000", False, 1)),
    ("before a gap", archive([2, 3, 4, 6]), {"lsn": at(4.5)}, None, Replay("recovery_target_lsn", "0/4800000", False, 1)),
    ("a time before a gap", archive([2, 3, 4, 6]), {"time": instant(59)}, None, Replay("recovery_target_time", "2026-11-18 11:07:39.000000+00", True, 1)),
    ("the arrival of the newest", archive(), {"time": instant(300)}, None, Replay("recovery_target_time", "2026-11-18 11:11:40.000000+00", True, 1)),
    ("a transaction somewhere", archive([2, 3, 4, 6]), {"xid": "800"}, None, Replay("recovery_target_xid", "800", True, 1)),
    ("the next timeline", FORKED, {"lsn": at(8.5)}, None, Replay("recovery_target_lsn", "0/8800000", False, 2)),
    ("before the fork", FORKED, {"lsn": at(4.5)}, None, Replay("recovery_target_lsn", "0/4800000", False, 2)),
    ("the timeline that was given up", FORKED, {"lsn": at(6.5)}, 1, Replay("recovery_target_lsn", "0/6800000", False, 1)),
]


@pytest.mark.parametrize(("held", "until", "timeline", "wanted"), [case[1:] for case in REACHED], ids=[case[0] for case in REACHED])
def test_what_can_be_reached(held: Archive, until: dict[str, str], timeline: int | None, wanted: Replay) -> None:
    assert plan_replay(POINT, held, until, (NOON + 86400, timeline)) == wanted


REFUSED = [
    ("a second before its end", "before_backup", archive(), {"time": instant(-1)}, None),
    ("a byte before its end", "before_backup", archive(), {"lsn": show_lsn(POINT.stop - 1)}, None),
    ("tomorrow", "not_archived_yet", archive(), {"time": instant(2 * 86400)}, None),
    ("a second after the last arrival", "not_archived_yet", archive(), {"time": instant(301)}, None),
    ("the segment after the last", "not_archived_yet", archive(), {"lsn": at(9)}, None),
    ("the new timeline's end", "not_archived_yet", archive(range(1, 12), [5], "0/5800000"), {"lsn": at(6.5)}, None),
    ("what is behind a gap", "wal_gap", archive([2, 3, 4, 6]), {"lsn": at(6.5)}, None),
    ("a time behind a gap", "wal_gap", archive([2, 3, 4, 6]), {"time": instant(61)}, None),
    ("a backup without its own first segment", "wal_gap", archive([3, 4]), {}, None),
    ("a backup without its own last segment", "wal_gap", archive([2, 4]), {}, None),
    ("a backup without its own last segment and a point", "wal_gap", archive([2]), {"xid": "800"}, None),
    ("a fork within the backup", "other_timeline", archive(range(1, 9), range(3, 9), "0/3000000"), {"lsn": at(5)}, None),
    ("a fork before the backup", "other_timeline", archive(range(1, 9), range(1, 9), "0/1800000"), {"time": instant(60)}, None),
    ("a timeline without a history", "other_timeline", archive(range(1, 9), range(5, 9)), {"xid": "800"}, None),
    ("a timeline that nobody knows", "other_timeline", archive(), {"xid": "800"}, 7),
]


@pytest.mark.parametrize(("code", "held", "until", "timeline"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused(code: str, held: Archive, until: dict[str, str], timeline: int | None) -> None:
    with pytest.raises(Refused) as caught:
        plan_replay(POINT, held, until, (NOON + 86400, timeline))
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)


def test_a_gap_has_a_name() -> None:
    with pytest.raises(Refused, match="000000010000000000000005"):
        plan_replay(POINT, archive([2, 3, 4, 6]), {"lsn": at(6.5)}, (NOON + 86400, None))
    assert first_gap(POINT, archive([2, 3, 4, 6]), 1) == "000000010000000000000005"
    assert first_gap(POINT, archive(), 1) == ""


def test_a_timeline_with_another_origin() -> None:
    held = Archive({**archive().segments, (3, 9): NOON}, {3: parse_history("2\t0/4000000\tx\n")})
    with pytest.raises(Refused, match="another origin"):
        plan_replay(POINT, held, {"xid": "800"}, (NOON + 86400, None))


@given(st.sets(st.integers(1, 12)), st.integers(0, 13 * SEGMENT_BYTES), st.integers(2, 12))
def test_nothing_is_reached_through_a_gap(numbers: set[int], position: int, fork: int) -> None:
    held = archive(numbers, range(fork, 13), at(fork + 0.5))
    try:
        plan_replay(POINT, held, {"lsn": show_lsn(position)}, (NOON + 86400, None))
    except Refused:
        return
    needed = {(2 if number >= fork else 1, number) for number in range(2, position // SEGMENT_BYTES + 1)}
    assert needed <= set(held.segments) and position >= POINT.stop and (fork + 0.5) * SEGMENT_BYTES >= POINT.stop
