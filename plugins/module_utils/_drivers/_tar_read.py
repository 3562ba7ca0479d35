# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads an archive member by member, with an end to bytes and to time. Writes nothing anywhere.

Source of the sparse format 1.0: the manual of GNU tar.
"""

from __future__ import annotations

from collections.abc import Iterator

from .._core.backup_types import Stream
from .._core.probe import Deadline, DeadlinePassed
from ._tar_fields import BLOCK, DAMAGED, DISTRUST, SPARSE, BadArchive, Header, LimitExceeded, Records, decimal, parsed_records
from ._tree import CHUNK, FILE, MAX_EXTENTS, Content, Member, shown

_EMPTY = bytes(BLOCK)
_LONG = {b"L": b"path", b"K": b"linkpath"}  # of GNU tar
_MAX_RECORDS = 16 << 20  # of one member: an extended attribute has up to 64 KiB
_MAX_DIGITS = 20


class _Input:
    """Exactly so many bytes of a stream."""

    def __init__(self, stream: Stream, deadline: Deadline, max_bytes: int) -> None:
        self._stream = stream
        self._deadline = deadline
        self._left = max_bytes
        self._data = b""
        self._at = 0

    def some(self, size: int) -> bytes:
        """At least one byte and at most ``size``; ``b""`` is the end."""
        if self._at == len(self._data):
            self._fill()
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def exactly(self, size: int) -> bytes:
        """Raises BadArchive when the stream ends before."""
        pieces = []
        while size > 0:
            piece = self.some(size)
            if not piece:
                raise cut_off()
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _fill(self) -> None:
        if self._deadline.remaining() <= 0:
            raise DeadlinePassed("the time was over before the archive was read to its end", "allow more time")
        self._data = self._stream.read(CHUNK)
        self._at = 0
        self._left -= len(self._data)
        if self._left < 0:
            raise LimitExceeded("the archive is longer than its manifest says", "it is not what was backed up: restore another one")


def cut_off() -> BadArchive:
    """The error of an archive that ends too early."""
    return BadArchive("the archive ends in the middle", "it was cut off: restore another one")


class TarReader:
    """The members of an archive; the data of each must be read to its end before the next one.

    Raises BadArchive, UnsafeArchive, LimitExceeded, TimedOut.
    """

    def __init__(self, stream: Stream, deadline: Deadline, max_bytes: int) -> None:
        self._input = _Input(stream, deadline, max_bytes)
        self._unread = 0

    def __iter__(self) -> Iterator[tuple[Member, Content]]:
        records: Records = {}
        while True:
            block = self._input.exactly(BLOCK)
            if block == _EMPTY:
                break
            header = Header(block)
            if header.type == b"x" or header.type in _LONG:
                more = self._records(header)
                if records.keys() & more.keys():
                    raise BadArchive("a member has two extended headers", DISTRUST)
                records.update(more)
                continue
            member, records = self._with_holes(header.member(records), records), {}
            stored = self._unread
            yield member, self._content(member)
            if self._unread:
                raise BadArchive(f"the data of {shown(member.path)} was not read to its end", "report this defect")
            self._input.exactly(-stored % BLOCK)
        if records:
            raise cut_off()
        self._end()

    def _records(self, header: Header) -> Records:
        if header.size > _MAX_RECORDS:
            raise LimitExceeded(f"an extended header has {header.size} bytes, more than {_MAX_RECORDS}", DISTRUST)
        data = self._input.exactly(header.size)
        self._input.exactly(-header.size % BLOCK)
        return parsed_records(data) if header.type == b"x" else {_LONG[header.type]: data[:-1] if data.endswith(b"\0") else data}

    def _with_holes(self, member: Member, records: Records) -> Member:
        """The member as it is on disk, the map of its data read."""
        self._unread = member.size
        if not any(key.startswith(SPARSE) for key in records):
            return member
        version = records.get(SPARSE + b"major"), records.get(SPARSE + b"minor")
        if member.kind != FILE or version != (b"1", b"0"):
            raise BadArchive(f"the holes of {shown(member.path)} are in an unknown format", "write the archive with tar --sparse-version=1.0")
        size = decimal(records.get(SPARSE + b"realsize", b""), "size")
        return member._replace(size=size, extents=self._extents(size))

    def _extents(self, size: int) -> list[tuple[int, int]]:
        """The map: the number of extents, then offset and length of each, in lines, padded to whole blocks."""
        numbers: list[int] = []
        line = b""
        while not numbers or len(numbers) < 1 + 2 * numbers[0]:
            if self._unread < BLOCK or len(line) > _MAX_DIGITS or (numbers and numbers[0] > MAX_EXTENTS + 1):
                raise BadArchive("the map of a file with holes is broken", DAMAGED)
            *lines, line = (line + self._input.exactly(BLOCK)).split(b"\n")
            self._unread -= BLOCK
            numbers += [decimal(text, "offset") for text in lines]
        found = list(zip(numbers[1::2], numbers[2::2]))
        ends = [0, *(offset + length for offset, length in found)]
        ordered = all(end <= offset for end, (offset, _length) in zip(ends, found))
        if len(numbers) != 1 + 2 * numbers[0] or line.strip(b"\0") or not ordered or ends[-1] > size or sum(numbers[2::2]) != self._unread:
            raise BadArchive("the map of a file with holes is wrong", DAMAGED)
        return [extent for extent in found if extent[1]]

    def _content(self, member: Member) -> Content:
        for offset, length in [(0, member.size)] if member.extents is None else member.extents:
            while length:
                data = self._input.some(min(length, CHUNK))
                if not data:
                    raise cut_off()
                yield offset, data
                offset += len(data)
                length -= len(data)
                self._unread -= len(data)

    def _end(self) -> None:
        """A second empty block, then nothing but padding."""
        if self._input.exactly(BLOCK) != _EMPTY:
            raise BadArchive("the archive has an empty block in its middle", DAMAGED)
        while True:
            rest = self._input.some(CHUNK)
            if not rest:
                return
            if rest.count(0) != len(rest):
                raise BadArchive("there is something behind the end of the archive", "it is not what was backed up: restore another one")
