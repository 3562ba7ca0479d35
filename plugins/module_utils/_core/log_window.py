# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines of a log count, by when they were written, and what is counted in them."""

from __future__ import annotations

from collections.abc import Sequence

from .log_formats import Clock, Format

OUTSIDE, CONTINUATION, SPECIAL = -1, -2, -3
"""Instead of a minute: not in the window; no stamp at all; the window or a clock set back cuts this minute."""

DISORDER = 7200.0
"""Seconds by which entries may be out of order: clocks go back an hour."""

_KEYS = 100000


class Wanted:
    """What is to be counted: ``patterns`` and ``benign`` as (expression, ignore case), ``extracts`` as expressions with one group."""

    __slots__ = ("patterns", "extracts", "benign", "secrets", "samples", "context")

    def __init__(self, patterns: Sequence[tuple[str, bool]], extracts: Sequence[str], benign: Sequence[str]) -> None:
        self.patterns = patterns
        self.extracts = extracts
        self.benign = benign
        self.secrets = True
        self.samples = 3
        self.context = 0


class Window:
    """From and to, in seconds since 1970, both included. ``keep`` counts what lies outside at the nearer end: nothing read once may be lost."""

    __slots__ = ("start", "end", "keep")

    def __init__(self, start: float, end: float, keep: bool = False) -> None:
        self.start = start
        self.end = end
        self.keep = keep

    @property
    def minutes(self) -> int:
        """How many minutes of the clock it touches."""
        return int(self.end // 60) - int(self.start // 60) + 1


class Minutes(dict[bytes, int]):
    """Key of a line to its minute in the window, or why that takes a closer look."""

    def __init__(self, form: Format, clock: Clock, window: Window) -> None:
        super().__init__()
        self._form, self._clock, self._window = form, clock, window
        self.first = int(window.start // 60)

    def __missing__(self, key: bytes) -> int:
        if len(self) >= _KEYS:
            self.clear()
        self[key] = found = self._find(key)
        return found

    def _find(self, key: bytes) -> int:
        style = self._form.style
        instants = self._clock.instants(key if style != "clf" else key[:17] + b":00 " + key[17:].strip(), style)
        if not instants:
            return CONTINUATION
        if len(instants) > 1:
            return SPECIAL
        return self.place(instants[0], 1.0 if style == "epoch" or (style == "json" and key[:1] != b'"') else 60.0)

    def place(self, start: float, seconds: float = 0.0) -> int:
        """The minute of what lies within ``seconds`` from ``start``; SPECIAL when the window cuts it."""
        window = self._window
        if window.keep and start + seconds >= window.start - DISORDER:
            return min(max(int(start // 60) - self.first, 0), window.minutes - 1)
        if start + seconds < window.start or start > window.end:
            return OUTSIDE
        if start < window.start or start + seconds > window.end + 1e-9:
            return SPECIAL if seconds else OUTSIDE
        return int(start // 60) - self.first
