# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants: what applications write, and that no Python reads it differently."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339

EPOCH = 1763604900.0
MINUTE, HOUR = 60, 3600


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2025-11-20T02:15:00Z", EPOCH),
        ("2025-11-20t02:15:00z", EPOCH),
        ("2025-11-20 02:15:00Z", EPOCH),
        ("2025-11-20 02:15:00 Z", EPOCH),
        ("2025-11-20T02:15Z", EPOCH),
        ("2025-11-20T02:15:00.5Z", EPOCH + 0.5),
        ("2025-11-20T02:15:00,25Z", EPOCH + 0.25),
        ("2025-11-20T02:15:00.123456789Z", EPOCH + 0.123456),
        ("2025-11-20T03:15:00+01:00", EPOCH),
        ("2025-11-20T03:15:00+0100", EPOCH),
        ("2025-11-20T03:15:00+01", EPOCH),
        ("2025-11-19T21:15:00-05:00", EPOCH),
        ("2025-11-20T07:45:00+05:30", EPOCH),
        ("  2025-11-20T02:15:00-00:00 ", EPOCH),
        (1763604900, EPOCH),
        (1763604900.25, EPOCH + 0.25),
        (1763604900000, EPOCH),
        (1763604900123, EPOCH + 0.123),
    ],
)
def test_instants(given: Any, instant: float) -> None:
    assert parse_instant(given) == pytest.approx(instant, abs=1e-5)


@pytest.mark.parametrize(
    "given",
    [None, True, False, 0, -1, math.nan, math.inf, -math.inf, 10**400, "", " ", "Z", "now", "1763604900", "20251120", "20251120T021500Z", "2025-W47-4T02:15Z",
     "2025-324T02:15Z", "2025-13-01T00:00:00Z", "2025-02-30T00:00:00Z", "2025-11-20T25:00:00Z", "2025-11-20T02:15:60Z", "2025-11-20T02:15:00+99:99",
     "2025-11-20T02Z", "2025-11-20T02:15:00.Z", "20/11/2025 02:15", "2025-11-20Z", "2025-11-20T02:15:00ZZ", "٢٠٢٥-11-20T02:15:00Z",
     "2025-11-20T02:15:00Z\0", [], {}, ["2025-11-20T02:15:00Z"], b"2025-11-20T02:15:00Z"],
)  # fmt: skip
def test_no_instants(given: Any) -> None:
    with pytest.raises(InvalidInput, match="is not a point in time"):
        parse_instant(given)


@pytest.mark.parametrize("text", ["2025-11-20T02:15:00", "2025-11-20 02:15", "2025-11-20"])
def test_without_a_zone_nobody_guesses(text: str) -> None:
    with pytest.raises(InvalidInput, match="time zone") as caught:
        parse_instant(text)
    assert "timezone" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2025-11-20T02:15:00", "UTC", EPOCH),
        ("2025-11-19T21:15:00", "America/New_York", EPOCH),
        ("2025-07-01T08:00:00", "America/New_York", 1751371200.0),
        ("2025-11-20", "UTC", EPOCH - 2 * HOUR - 15 * MINUTE),
        ("2025-11-20T02:15:00Z", "America/New_York", EPOCH),
    ],
)
def test_zones(text: str, zone: str, instant: float) -> None:
    assert parse_instant(text, zone) == instant


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "/etc/passwd", "../UTC", "x" * 5000, "a\0b", 5, ["UTC"]])
def test_no_zones(zone: Any) -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        parse_instant("2025-11-20T02:15:00", zone)


@given(st.text(max_size=40) | st.floats() | st.integers() | st.binary(max_size=10) | st.lists(st.integers(), max_size=3))
def test_anything_is_read_or_refused(value: Any) -> None:
    try:
        assert math.isfinite(parse_instant(value, "UTC"))
    except InvalidInput:
        pass


SHAPES = st.from_regex(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+-]\d\d(:?\d\d)?)?)?", fullmatch=True)


@settings(max_examples=300)
@given(SHAPES, st.sampled_from(["", "UTC", "Europe/Berlin", "Pacific/Apia"]))
def test_whatever_looks_like_an_instant_is_read_or_refused(text: str, zone: str) -> None:
    try:
        assert math.isfinite(parse_instant(text, zone))
    except InvalidInput:
        pass


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(min_value=-23 * 60, max_value=23 * 60))
def test_reading_what_python_writes(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_instant(aware.isoformat()) == pytest.approx(aware.timestamp(), abs=1e-5)


@given(st.integers(min_value=1, max_value=10**10))
def test_reading_what_we_write(epoch: int) -> None:
    assert parse_instant(rfc3339(epoch)) == epoch
    assert rfc3339(epoch + 0.999) == rfc3339(epoch)
    assert len(rfc3339(epoch)) == 20


def test_how_we_write() -> None:
    assert rfc3339(EPOCH + 0.2) == "2025-11-20T02:15:00Z"
