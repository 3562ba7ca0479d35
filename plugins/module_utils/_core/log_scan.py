# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts a log while it is read: bulk operations over chunks of lines, and Python code only for what is new or special.

Per chunk: split into lines, mask the digits, look up every line's shape and minute, count pairs of both. What cannot be
answered so (continuation lines, minutes that the window cuts, hours that a clock repeats) is settled line by line, in such chunks only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

from .log_formats import Clock, Format, nearest
from .log_search import LONG_LINE, Extract, LongLine, Search
from .log_shapes import Shape, Shapes, compile_pattern, mask, printable, sees_ids
from .log_tally import Tally
from .log_window import CONTINUATION, OUTSIDE, SPECIAL, Minutes, Wanted, Window


class _Chunk:
    """Whole lines, and the shape and the minute of each. A continuation line's shape is complemented (negative)."""

    __slots__ = ("body", "lines", "shapes", "minutes", "starts")

    def __init__(self, body: bytes, lines: list[bytes]) -> None:
        self.body = body
        self.lines = lines
        self.shapes: list[int] = []
        self.minutes: list[int] = []
        self.starts: list[int] = []


class Scanner:
    """Reads blocks of a log, in order, into a Tally."""

    def __init__(self, form: Format, clock: Clock, window: Window, wanted: Wanted) -> None:
        self._form, self._clock, self._wanted = form, clock, wanted
        self.tally = Tally(window.minutes, len(wanted.patterns), len(wanted.extracts))
        self._minutes = Minutes(form, clock, window)
        patterns = {number: compile_pattern(text, case) for number, (text, case) in enumerate(wanted.patterns) if not sees_ids(text)}
        benign = {number: compile_pattern(text) for number, text in enumerate(wanted.benign) if not sees_ids(text)}
        self._shapes = Shapes(form.entry, patterns, benign, wanted.secrets)
        self._searches = [Search(number, *given) for number, given in enumerate(wanted.patterns) if sees_ids(given[0])]
        self._benign = [Search(number, text, False) for number, text in enumerate(wanted.benign) if sees_ids(text)]
        self._extracts = [Extract(text) for text in wanted.extracts]
        self._rest: list[bytes] = []
        self._rest_length = 0
        self._long: LongLine | None = None
        self._place = CONTINUATION
        self._previous: float | None = None
        self._path = ""
        self._seen = 0
        self._examples: dict[str, str] = {}
        self._before: list[bytes] = []
        self._owed: list[list[str]] = []

    def begin(self, path: str) -> None:
        """The next blocks belong to this file."""
        self._path = path

    def prime(self, block: bytes) -> None:
        """What stands right before the first block: it is not counted, but says which entry the first lines belong to."""
        lines = block.split(b"\n")[1:-1]
        chunk = _Chunk(b"", lines)
        chunk.minutes = list(map(self._minutes.__getitem__, self._form.keys(lines)))
        chunk.shapes = [0] * len(lines)
        self._settle(chunk)
        self._before = lines[-self._wanted.context :] if self._wanted.context else []

    def feed(self, block: bytes) -> None:
        """Take a block; what follows its last line break waits for the next one."""
        if self._long is not None:
            first = block.find(b"\n") + 1
            if not first:
                self._long.add(block, self._look)
                return
            self._end_long(block[: first - 1], 1)
            block = block[first:]
        end = block.rfind(b"\n") + 1
        if end:
            self._lines(b"".join((*self._rest, block[: end - 1])), 1)
            self._rest, self._rest_length = [], 0
        self._rest.append(block[end:])
        self._rest_length += len(block) - end
        if self._rest_length > LONG_LINE:
            start = b"".join(self._rest)
            self._long = LongLine(start)
            self._long.add(start, self._look)
            self._rest, self._rest_length = [], 0

    def finish(self, complete: bool) -> int:
        """The end of a file: how many bytes were not counted because their line is not finished; none when it is ``complete``."""
        rest, self._rest, self._rest_length = b"".join(self._rest), [], 0
        if self._long is not None and complete:
            self._end_long(b"", 0)
        elif rest and complete:
            self._lines(rest, 0)
        unread = self._long.size if self._long is not None else 0 if complete else len(rest)
        self._long = None
        return unread

    def _look(self, piece: bytes) -> tuple[set[int], set[int]]:
        """Patterns and secrets in a piece of a long line."""
        shape = self._shapes.known[self._shapes[mask(self._form.named(piece))]]
        return {*shape.patterns, *(search.number for search in self._searches if search.hits(piece, [piece], [0]))}, set(shape.secrets)

    def _end_long(self, tail: bytes, line_break: int) -> None:
        """Count a long line: its beginning says when and what, its pieces which patterns."""
        long, self._long = self._long, None
        if long is not None:
            long.add(tail, self._look)
            self._lines(long.head, line_break + long.size - len(long.head), long)
            self.tally.counts["long_lines"] += 1

    def _lines(self, body: bytes, unseen: int, long: LongLine | None = None) -> None:
        """Count whole lines, and bytes that are not in ``body``: the last line break, or most of a long line."""
        chunk = _Chunk(body, body.split(b"\n"))
        masked = mask(self._form.named(body)).split(b"\n")
        chunk.shapes = list(map(self._shapes.__getitem__, masked))
        if long is not None:
            chunk.shapes = [self._shapes.widened(chunk.shapes[0], long.patterns, long.secrets)]
        chunk.minutes = list(map(self._minutes.__getitem__, self._form.keys(chunk.lines)))
        if self._searches or self._benign:
            chunk.starts = list(accumulate((len(line) + 1 for line in chunk.lines[:-1]), initial=0))
        for search in self._benign:
            for place in search.hits(body, chunk.lines, chunk.starts):
                chunk.shapes[place] = self._shapes.benign_twin(chunk.shapes[place], search.number)
        self._introduce(chunk)
        self._pay(chunk)
        if min(chunk.minutes) < OUTSIDE:
            self._settle(chunk)
        else:
            self._stay(chunk.minutes[-1])
        self.tally.counts["bytes"] += len(body) + unseen
        matched = self._count(Counter(zip(chunk.minutes, chunk.shapes)))
        if long is None:  # its pieces were searched
            self._count_searches(chunk)
        self._extract(chunk)
        self._remember(chunk)
        self._sample(chunk, matched)

    def _stay(self, minute: int) -> None:
        self._place = minute
        if minute >= 0:
            self._previous = (self._minutes.first + minute) * 60.0

    def _settle(self, chunk: _Chunk) -> None:
        """Line by line: continuation lines get the minute of their entry, special minutes are looked at closely."""
        for number, minute in enumerate(chunk.minutes):
            if minute == CONTINUATION:
                chunk.minutes[number] = self._place
                chunk.shapes[number] = ~chunk.shapes[number]
            elif minute == SPECIAL:
                instants = self._clock.instants(self._form.stamp(chunk.lines[number]), self._form.style)
                self._previous = nearest(instants, self._previous)
                chunk.minutes[number] = self._place = self._minutes.place(self._previous)
            else:
                self._stay(minute)

    def _introduce(self, chunk: _Chunk) -> None:
        """An example for every signature and every kind of secret seen for the first time."""
        new = self._shapes.known[self._seen :]
        if new:
            places = dict(zip(reversed(chunk.shapes), range(len(chunk.lines) - 1, -1, -1)))
            for number, shape in enumerate(new, self._seen):
                if number in places and shape.signature.id not in self._examples:
                    self._examples[shape.signature.id] = printable(chunk.lines[places[number]])
                for rule in shape.secrets:
                    if number in places and rule not in self.tally.secret_samples:
                        self.tally.secret_samples[rule] = printable(chunk.lines[places[number]], 200)
            self._seen += len(new)

    def _count(self, pairs: Mapping[tuple[int, int], int]) -> dict[int, set[int]]:
        """Add up pairs of minute and shape; pattern to the shapes it was found in."""
        tally, known = self.tally, self._shapes.known
        matched: dict[int, set[int]] = {}
        for (minute, number), count in pairs.items():
            if minute < 0:
                tally.counts["unparsed" if minute == CONTINUATION else "outside"] += count
                continue
            shape = known[number if number >= 0 else ~number]
            tally.counts["lines"] += count
            if number >= 0:
                tally.entries[minute] += count
                self._sign(shape, minute, count)
            if shape.secrets:
                tally.counts["secret_lines"] += count
                for rule in shape.secrets:
                    tally.secrets[rule] += count
            if shape.benign >= 0:
                tally.benign[shape.benign] += count
                continue
            for pattern in shape.patterns:
                tally.patterns[pattern][minute] += count
                tally.in_entries[pattern] += count if number >= 0 else 0
                matched.setdefault(pattern, set()).add(number)
        return matched

    def _sign(self, shape: Shape, minute: int, count: int) -> None:
        tally, identity = self.tally, shape.signature.id
        tally.counts["entries"] += count
        tally.levels[shape.level] += count
        tally.sign((identity, shape.level, shape.signature.text), minute, count)
        if not tally.signatures[identity][5]:
            tally.signatures[identity][5] = self._examples.get(identity, "")

    def _count_searches(self, chunk: _Chunk) -> None:
        """Patterns that a shape cannot answer."""
        tally, known = self.tally, self._shapes.known
        for search in self._searches:
            lines = set()
            for place in search.hits(chunk.body, chunk.lines, chunk.starts):
                minute, number = chunk.minutes[place], chunk.shapes[place]
                if minute >= 0 and known[number if number >= 0 else ~number].benign < 0:
                    tally.patterns[search.number][minute] += 1
                    tally.in_entries[search.number] += 1 if number >= 0 else 0
                    lines.add(place)
            if self._wanted.samples:
                self._sample_lines(chunk, search.number, sorted(lines)[-self._wanted.samples :])

    def _extract(self, chunk: _Chunk) -> None:
        if not self._extracts:
            return
        body, lines = chunk.body, chunk.lines
        if min(chunk.minutes) < 0:
            lines = [line for line, minute in zip(lines, chunk.minutes) if minute >= 0]
            body = b"\n".join(lines)
        for extract, values in zip(self._extracts, self.tally.values):
            values.add(extract.values(body, lines))

    def _remember(self, chunk: _Chunk) -> None:
        """When the newest entry was written."""
        minute = max(chunk.minutes)
        newest = self.tally.newest
        if minute < 0 or (newest is not None and newest >= (self._minutes.first + minute + 1) * 60):
            return
        for number in range(len(chunk.lines) - 1, -1, -1):
            if chunk.minutes[number] == minute and chunk.shapes[number] >= 0:
                instants = self._clock.instants(self._form.stamp(chunk.lines[number]), self._form.style)
                moment = nearest(instants, (self._minutes.first + minute) * 60.0)
                self.tally.newest = moment if newest is None else max(newest, moment)
                return

    def _pay(self, chunk: _Chunk) -> None:
        """The lines after a sample that stood at the end of the chunk before."""
        for after in self._owed:
            after += [printable(line) for line in chunk.lines[: self._wanted.context - len(after)]]
        self._owed = []

    def _sample(self, chunk: _Chunk, matched: Mapping[int, set[int]]) -> None:
        """The newest lines of each pattern, with the lines around them."""
        for pattern, shapes in matched.items() if self._wanted.samples else ():
            found: list[int] = []
            for place in range(len(chunk.lines) - 1, -1, -1):
                if len(found) == self._wanted.samples:
                    break
                if chunk.shapes[place] in shapes and chunk.minutes[place] >= 0:
                    found.append(place)
            self._sample_lines(chunk, pattern, found[::-1])
        context = self._wanted.context
        self._before = [*self._before, *chunk.lines[-context:]][-context:] if context else []

    def _sample_lines(self, chunk: _Chunk, pattern: int, places: Sequence[int]) -> None:
        context = self._wanted.context
        for place in places:
            before = [*(self._before if place < context else []), *chunk.lines[max(0, place - context) : place]][-context:] if context else []
            after = [printable(line) for line in chunk.lines[place + 1 : place + 1 + context]]
            at = (self._minutes.first + chunk.minutes[place]) * 60
            line = {"at": at, "path": self._path, "text": printable(chunk.lines[place]), "before": [printable(text) for text in before], "after": after}
            self.tally.samples[pattern] = [*self.tally.samples[pattern], line][-self._wanted.samples :]
            if len(after) < context:
                self._owed.append(after)
