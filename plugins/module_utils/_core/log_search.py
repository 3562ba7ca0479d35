# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches for what a shape cannot tell: patterns that name digits, numbers to collect, lines too long to keep."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from .log_shapes import compile_pattern, works_in_bulk

LONG_LINE = 1 << 20
"""A longer line is searched in pieces and kept in none."""

OVERLAP = 4096
"""Bytes that pieces of a long line share, so that a match on their border is found."""


class Search:
    """A pattern that has to see the lines themselves."""

    __slots__ = ("number", "_pattern", "_bulk")

    def __init__(self, number: int, text: str, ignore_case: bool) -> None:
        self.number = number
        self._pattern = compile_pattern(text, ignore_case)
        self._bulk = works_in_bulk(text)

    def hits(self, data: bytes, lines: Sequence[bytes], starts: Sequence[int]) -> list[int]:
        """The numbers of the lines that match. A match across lines is none: then that line is searched by itself."""
        search = self._pattern.search
        if not self._bulk:
            return [place for place, line in enumerate(lines) if search(line)]
        found, place, size = [], 0, len(data)
        position = 0
        while position <= size:
            match = search(data, position)
            if match is None:
                break
            place = bisect_right(starts, match.start()) - 1
            after = starts[place] + len(lines[place]) + 1
            if match.end() < after or search(lines[place]):
                found.append(place)
            position = after
        return found


class Extract:
    """An expression with one group whose numbers are collected."""

    __slots__ = ("_each", "_whole", "_bulk")

    def __init__(self, text: str) -> None:
        self._each = compile_pattern(text)
        self._whole = compile_pattern(f"({text})")
        self._bulk = works_in_bulk(text)

    def values(self, data: bytes, lines: Sequence[bytes]) -> list[bytes]:
        """Every number in these lines."""
        if self._bulk:
            pairs = self._whole.findall(data)
            if not any(b"\n" in pair[0] for pair in pairs):
                return [pair[1] for pair in pairs]
        return [value for line in lines for value in self._each.findall(line)]


class LongLine:
    """A line of any length: its beginning, its size, and the patterns and secrets seen in it so far."""

    __slots__ = ("head", "size", "patterns", "secrets", "_tail")

    def __init__(self, head: bytes) -> None:
        self.head = head[:OVERLAP]
        self.size = 0
        self.patterns: set[int] = set()
        self.secrets: set[int] = set()
        self._tail = b""

    def add(self, piece: bytes, look: Callable[[bytes], tuple[set[int], set[int]]]) -> None:
        """Take the next piece, without line breaks."""
        self.size += len(piece)
        patterns, secrets = look(self._tail + piece)
        self.patterns |= patterns
        self.secrets |= secrets
        self._tail = piece[-OVERLAP:]
