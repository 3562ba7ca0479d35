# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities as people write them, and values as people read them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import format_value, is_number, parse_duration, parse_quantity, plural

HUGE = 10**400  # JSON may hold it; as a float it would overflow
UNITS = {"": 1, "%": 1, "ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9,
         "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("5", 5, ""),
        ("-3.5", -3.5, ""),
        ("+2e3", 2000, ""),
        ("80 %", 80, "percent"),
        ("80%", 80, "percent"),
        ("250 ms", 0.25, "s"),
        ("5 s", 5, "s"),
        ("10 min", 600, "s"),
        ("4 h", 14400, "s"),
        ("7 d", 604800, "s"),
        ("1 w", 604800, "s"),
        ("1 kB", 1000, "B"),
        ("1 KiB", 1024, "B"),
        ("1.5 GiB", 1610612736, "B"),
        ("2 TB", 2e12, "B"),
        ("  3   MiB\n", 3145728, "B"),
    ],
)
def test_quantities(text: str, value: float, unit: str) -> None:
    assert parse_quantity(text) == (pytest.approx(value), unit)


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "5 m", "5 M", "5 sec", "5 S", "5 Mb", "5 kib", "12,5", "1 000", ".5", "5.", "0x10", "nan", "inf", "-inf", "1e999", "1e308 TiB",
     "5 s s", "5 5", "--5", "5 % s", "५ s", "5\0", "1_000"],
)  # fmt: skip
def test_no_quantities(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_quantity(text)


@pytest.mark.parametrize("given", ["0 s", "-5 s", "5", "5 %", "5 KiB", "", "soon", None, 5, 5.0, True, [], "1e-400 s"])
def test_no_durations(given: Any) -> None:
    with pytest.raises(InvalidInput, match="is not a duration|is not a number with a unit"):
        parse_duration(given)


def test_durations() -> None:
    assert [parse_duration(text) for text in ("90 s", "10 min", "4 h", "7 d")] == [90, 600, 14400, 604800]


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value, unit = parse_quantity(text)
    except InvalidInput:
        return
    assert math.isfinite(value) and unit in ("", "s", "B", "percent")


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e200, max_value=1e200), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " ", "  "]))
def test_what_is_written_is_what_is_read(number: float, unit: str, space: str) -> None:
    value, _base = parse_quantity(f"{number!r}{space}{unit}")
    assert value == pytest.approx(number * UNITS[unit])


@pytest.mark.parametrize("value", [0, -1, 1.5, 10**300, -0.0, 5e-324])
def test_numbers(value: Any) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [True, False, None, "5", "", math.nan, math.inf, -math.inf, HUGE, -HUGE, [5], {"a": 1}, b"5", 1j])
def test_no_numbers(value: Any) -> None:
    assert not is_number(value)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "nothing"),
        (True, "", "true"),
        (False, "boolean", "false"),
        ([], "list", "none"),
        (["a", 1], "list", "a, 1"),
        ("degraded", "", "degraded"),
        (math.nan, "s", "nan"),
        (math.inf, "B", "inf"),
        (0, "s", "0 ms"),
        (0.0004, "s", "0.40 ms"),
        (0.25, "s", "250 ms"),
        (0.999, "s", "999 ms"),
        (1, "s", "1 s"),
        (6.24, "s", "6.24 s"),
        (-90, "s", "-90 s"),
        (119, "s", "119 s"),
        (120, "s", "2 min"),
        (3600, "s", "60 min"),
        (7200, "s", "2 h"),
        (172800, "s", "2.0 d"),
        (512, "B", "512 B"),
        (1024, "B", "1.0 KiB"),
        (3435973836, "B", "3.2 GiB"),
        (2**50, "B", "1024.0 TiB"),
        (-2048, "B", "-2.0 KiB"),
        (84.1, "percent", "84.1 %"),
        (5, "count", "5"),
        (5.0, "number", "5"),
        (0.12345, "number", "0.123"),
        (1234567, "number", "1234567"),
    ],
)
def test_values_for_people(value: Any, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.just(HUGE)),
       st.sampled_from(["", "s", "B", "percent", "count", "number", "text", "list", "boolean"]))  # fmt: skip
def test_every_value_can_be_shown(value: Any, unit: str) -> None:
    assert isinstance(format_value(value, unit), str)


@settings(max_examples=200)
@given(st.floats(min_value=0.001, max_value=1e9), st.sampled_from(["s", "B", "percent", "number"]))
def test_what_is_shown_is_near_what_was_measured(value: float, unit: str) -> None:
    shown, _base = parse_quantity(format_value(value, unit))
    assert shown == pytest.approx(value, rel=0.06, abs=0.6 if unit == "B" else 0.001)


def test_plural() -> None:
    assert (plural(1, "check"), plural(0, "check"), plural(1200, "check")) == ("1 check", "0 checks", "1,200 checks")
