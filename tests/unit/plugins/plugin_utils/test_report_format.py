# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_format import as_text, enumeration, exact, human, instant, shorten, visible


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.2, "s", "1.2 s"), (84, "percent", "84 %"), (3.4 * 2**30, "B", "3.4 GiB"), (7500, "s", "2 h 5 min"),
        (0, "s", "0 s"), (0.0007, "s", "0.7 ms"), (0.24, "s", "240 ms"), (0.9996, "s", "1 s"), (59.96, "s", "1 min"), (303, "s", "5 min 3 s"),
        (3599.9, "s", "1 h"), (10799, "s", "3 h"), (86400, "s", "1 d"), (1_051_200, "s", "12 d 4 h"), (-3 * 86400, "s", "−3 d"),
        (0, "B", "0 B"), (1023, "B", "1,023 B"), (1024, "B", "1 KiB"), (1048575, "B", "1 MiB"), (2**60, "B", "1,024 PiB"),
        (8.44, "percent", "8.4 %"), (99.97, "percent", "99.97 %"), (99.9999, "percent", "99.99 %"), (100, "percent", "100 %"), (100.4, "percent", "100.4 %"),
        (200, "number", "200"), (1234567, "count", "1,234,567"), (0.12345, "number", "0.1235"), (12345.6, "number", "12,346"), (1e20, "number", "1e+20"),
        (True, "boolean", "yes"), (False, "boolean", "no"), ("healthy", "text", "healthy"), ("", "text", "empty"),
        ([], "list", "none"), (["a", "b"], "list", "a, b"), (None, "s", "not measured"), (math.nan, "s", "not a number"), (math.inf, "B", "not a number"),
        ("12,5", "s", "12,5"), ("2026-11-20T02:15:00Z", "timestamp", "2026-11-20 02:15 UTC"), (1795140900, "timestamp", "2026-11-20 02:15 UTC"),
    ],
)  # fmt: skip
def test_human(value: Any, unit: str, shown: str) -> None:
    assert human(value, unit) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(1.23456789, "s", "1.23456789 s"), (84.25, "percent", "84.25 %"), (5, "count", "5"), ("x", "text", "x"), (True, "boolean", "True"),
     (None, "s", "not measured")],
)  # fmt: skip
def test_exact(value: Any, unit: str, shown: str) -> None:
    assert exact(value, unit) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ÄÖ 漢字 🙂", "plain ÄÖ 漢字 🙂"),
        ("line\nand\ttab", "line\nand\ttab"),
        ("\x1b[31mred\x07\x00\r", "\\x1b[31mred\\x07\\x00\\x0d"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202egpj.exe\u2066\u2069\u200f", "abc\\u202egpj.exe\\u2066\\u2069\\u200f"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("para\u2029graph", "para\\u2029graph"),
        ("lone \ud800", "lone \\ud800"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("wide\u3000space", "wide space"),
    ],
)
def test_visible_shows_what_would_act(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [("2026-11-20T02:15:09Z", "2026-11-20 02:15 UTC"), ("2026-11-19T21:15:09-05:00", "2026-11-20 02:15 UTC"), ("yesterday", "yesterday"),
     (None, "–"), ("", "–"), (1e300, "1e+300"), (True, "True"), ({"a": 1}, "{'a': 1}")],
)  # fmt: skip
def test_instant(value: Any, shown: str) -> None:
    assert instant(value) == shown


def test_instant_with_seconds() -> None:
    assert instant("2026-11-20T02:15:09Z", seconds=True) == "2026-11-20 02:15:09 UTC"


def test_texts_are_bounded() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert len(as_text("x" * 10**6)) == 400
    assert as_text(list(range(1000)), 2000).endswith("and 980 more")


def test_words() -> None:
    assert (enumeration([]), enumeration(["a"]), enumeration(["a", "b", "c"])) == ("", "a", "a, b and c")
