# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has been counted in a log so far, in bounded memory, and how two counts become one. Times are minutes since the window began."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping

from .log_shapes import WORSE

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

VALUES = 50000
"""Distinct values of a timing that are kept exactly; beyond, values are rounded to four significant digits (0.05 %)."""

POINTS = 290
"""A series has at most this many points: five minutes each for a day, whose first and last minute may be cut."""


class Values:
    """Numbers as they stood in the log, counted. Percentiles are nearest-rank: the value that ``sort -n`` would show there."""

    __slots__ = ("_texts", "_rounded")

    def __init__(self) -> None:
        self._texts: Counter[bytes] = Counter()
        self._rounded: Counter[float] = Counter()

    def add(self, texts: Iterable[bytes]) -> None:
        """Count numbers in their spelling."""
        self._texts.update(texts)
        if len(self._texts) > VALUES:
            for text, count in self._texts.items():
                value = _number(text)
                if value is not None:
                    self._rounded[float(f"{value:.4g}")] += count
            self._texts.clear()

    def merge(self, other: Mapping[str, Mapping[str, int]]) -> None:
        """Take in what ``data`` of another process gave."""
        for text, count in other["exact"].items():
            self._texts[text.encode("latin-1")] += count
        for text, count in other["rounded"].items():
            self._rounded[float(text)] += count
        self.add(())

    def data(self) -> dict[str, dict[str, int]]:
        """For another process."""
        exact = {text.decode("latin-1"): count for text, count in self._texts.items()}
        return {"exact": exact, "rounded": {repr(value): count for value, count in self._rounded.items()}}

    def summary(self, factor: float = 1.0) -> dict[str, float | int | bool | None]:
        """``count, p50, p95, p99, max`` (times ``factor``) and whether they were rounded."""
        counts = Counter(self._rounded)
        for text, count in self._texts.items():
            value = _number(text)
            if value is not None:
                counts[value] += count
        total, values = sum(counts.values()), sorted(counts)
        found: dict[str, float | int | bool | None] = {"count": total, "approximate": bool(self._rounded)}
        for name, share in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
            rank, seen, at = -(-total * share // 100), 0, None
            for value in values:
                seen += counts[value]
                if seen >= rank:
                    at = round(value * factor, 9)
                    break
            found[name] = at
        return found


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


class Tally:
    """Counts of one log in one window of ``minutes`` minutes."""

    def __init__(self, minutes: int, patterns: int, extracts: int) -> None:
        self.counts: Counter[str] = Counter()
        self.levels: Counter[str] = Counter()
        self.secrets: Counter[int] = Counter()
        self.benign: Counter[int] = Counter()
        self.entries = array("Q", bytes(8 * minutes))
        self.patterns = [array("Q", bytes(8 * minutes)) for _number in range(patterns)]
        self.in_entries = [0] * patterns
        self.values = [Values() for _number in range(extracts)]
        self.signatures: dict[str, list[Any]] = {}
        self.samples: list[list[dict[str, Any]]] = [[] for _number in range(patterns)]
        self.secret_samples: dict[int, str] = {}
        self.newest: float | None = None

    def sign(self, identity: tuple[str, str, str], minute: int, count: int) -> None:
        """``count`` more entries of a signature (id, level, text) in a minute."""
        known = self.signatures.get(identity[0])
        if known is None:
            self.signatures[identity[0]] = [count, minute, minute, identity[1], identity[2], ""]
            return
        known[0] += count
        if minute < known[1]:
            known[1] = minute
        if minute > known[2]:
            known[2] = minute

    def merge(self, other: Mapping[str, Any]) -> None:
        """Add what ``data`` of another process gave; it read what comes later."""
        for name in ("counts", "levels"):
            getattr(self, name).update(other[name])
        for name in ("secrets", "benign"):
            getattr(self, name).update({int(key): count for key, count in other[name].items()})
        for mine, theirs in [(self.entries, other["entries"]), *zip(self.patterns, other["patterns"])]:
            for minute, count in theirs:
                mine[minute] += count
        self.in_entries = [mine + more for mine, more in zip(self.in_entries, other["in_entries"])]
        for values, data in zip(self.values, other["values"]):
            values.merge(data)
        for key, (count, first, last, level, text, example) in other["signatures"].items():
            self.sign((key, level, text), first, count)
            self.sign((key, level, text), last, 0)
            self.signatures[key][5] = self.signatures[key][5] or example
        for number, later in enumerate(other["samples"]):
            self.samples[number] = sorted([*self.samples[number], *later], key=lambda sample: sample["at"])
        self.secret_samples = {**{int(key): text for key, text in other["secret_samples"].items()}, **self.secret_samples}
        newest = [moment for moment in (self.newest, other["newest"]) if moment is not None]
        self.newest = max(newest, default=None)

    def data(self) -> dict[str, Any]:
        """Everything as JSON data, for another process."""
        same = ("counts", "levels", "secrets", "benign", "in_entries", "signatures", "samples", "secret_samples", "newest")
        return {
            **{name: getattr(self, name) for name in same},
            "entries": _sparse(self.entries),
            "patterns": [_sparse(counts) for counts in self.patterns],
            "values": [values.data() for values in self.values],
        }

    def top(self, most: int) -> list[tuple[str, list[Any]]]:
        """The most frequent signatures; those of warnings and worse always get half of the places they can fill."""
        ordered = sorted(self.signatures.items(), key=lambda item: (-item[1][0], item[0]))
        worse = [item for item in ordered if str(item[1][3]).upper() in WORSE][: (most + 1) // 2]
        chosen = {key for key, _known in worse}
        chosen |= {key for key, _known in [item for item in ordered if item[0] not in chosen][: most - len(worse)]}
        return [item for item in ordered if item[0] in chosen]


def _sparse(counts: Iterable[int]) -> list[list[int]]:
    return [[place, count] for place, count in enumerate(counts) if count]


def points(counts: array[int], most: int = POINTS) -> tuple[int, list[int]]:
    """Counts of minutes as at most ``most`` sums, and how many minutes each of them spans: a length people know."""
    spans = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440)
    span = next((span for span in spans if len(counts) <= span * most), -(-len(counts) // most))
    return span, [sum(counts[start : start + span]) for start in range(0, len(counts), span)]
