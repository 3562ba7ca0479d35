# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of an RDB file: numbers, lengths and strings, their LZF compression, and the sum over all. Pure.

A whole file is never held. What the program says that writes it: rdb.c, lzf_d.c and crc64.c of Redis.
"""

from __future__ import annotations

from array import array
from typing import Any

from .backup_types import Stream
from .errors import VerifyFailed
from .rdb_crc import crc64

_CHUNK = 1 << 20
_LONGEST = 1 << 32
"""More than this (bytes) is not held: Redis takes 512 MiB at most unless told otherwise (proto-max-bulk-len)."""
_MOST_EXPANDED = 88
"""How many bytes one byte of LZF can become at most: three become 264."""

INT8, INT16, INT32, LZF = range(4)


class Damaged(VerifyFailed):
    """It is no RDB file, or not a whole one."""

    code = "corrupt"

    def __init__(self, message: str) -> None:
        super().__init__(message, "do not use this copy: take another artifact, or make a new backup")


class UnknownFormat(VerifyFailed):
    """It may be whole, and was written by a program that is newer than this one, or another."""

    code = "unknown_format"

    def __init__(self, message: str) -> None:
        super().__init__(message, "formats 3 to 12 are known (Redis up to 8.0); a newer collection may know more")


class Bytes:
    """What was not read yet. Every method raises Damaged when the stream ends within what is read."""

    def __init__(self, stream: Stream, summed: bool) -> None:
        self._stream = stream
        self._summed = summed
        self._sum = 0
        self._chunk = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._before + self._at

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return self._at == len(self._chunk) and not self._next()

    def sum(self) -> int:
        """CRC-64 of everything that was read."""
        return crc64(memoryview(self._chunk)[: self._at], self._sum)

    def _next(self) -> bool:
        if self._summed:
            self._sum = crc64(self._chunk, self._sum)
        self._before += len(self._chunk)
        parts, missing = [], _CHUNK
        while missing:
            part = self._stream.read(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        self._chunk, self._at = b"".join(parts), 0
        return bool(parts)

    def _more(self) -> None:
        if not self._next():
            raise Damaged(f"the RDB file ends after {self._before} bytes, in the middle of its content")

    def byte(self) -> int:
        """One, as a number."""
        if self._at == len(self._chunk):
            self._more()
        self._at += 1
        return self._chunk[self._at - 1]

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes. What a damaged length claims is not allocated before it is there."""
        start, end = self._at, self._at + count
        if end <= len(self._chunk):
            self._at = end
            return self._chunk[start:end]
        if count > _LONGEST:
            raise Damaged(f"the RDB file claims {count} bytes for one string, before byte {self.position}")
        parts = []
        while count:
            if self._at == len(self._chunk):
                self._more()
            parts.append(self._chunk[self._at : self._at + count])
            self._at += len(parts[-1])
            count -= len(parts[-1])
        return b"".join(parts)

    def skip(self, count: int) -> None:
        """As take, of any length, and nothing is kept."""
        while count > len(self._chunk) - self._at:
            count -= len(self._chunk) - self._at
            self._more()
        self._at += count

    def number(self, size: int, signed: bool = False) -> int:
        """Of ``size`` bytes, the lowest first."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def length(self) -> int:
        """A count, or the length of what follows. Raises Damaged."""
        first = self.byte()
        if first < 0xC0:
            return self._length(first)
        raise Damaged(f"the RDB file has no length where one must be, at byte {self.position - 1}")

    def _length(self, first: int) -> int:
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | self.byte()
        if first in (0x80, 0x81):
            return int.from_bytes(self.take(8 if first & 1 else 4), "big")
        raise Damaged(f"the RDB file has no length where one must be, at byte {self.position - 1}")

    def string(self) -> bytes:
        """Whatever way it is written; a number as its digits."""
        first = self.byte()
        if first < 0xC0:
            return self.take(first if first < 0x40 else self._length(first))
        form = first & 0x3F
        if form < LZF:
            return b"%d" % self.number(1 << form, signed=True)
        packed, size = self._lzf(form)
        return expanded(self.take(packed), size)

    def skip_string(self) -> None:
        """As string, without looking into it."""
        chunk, at = self._chunk, self._at
        if at < len(chunk) and chunk[at] < 0x40 and at + chunk[at] < len(chunk):  # most of them
            self._at = at + 1 + chunk[at]
            return
        first = self.byte()
        if first < 0xC0:
            self.skip(first if first < 0x40 else self._length(first))
        elif first & 0x3F < LZF:
            self.skip(1 << (first & 0x3F))
        else:
            self.skip(self._lzf(first & 0x3F)[0])

    def _lzf(self, form: int) -> tuple[int, int]:
        if form != LZF:
            raise Damaged(f"the RDB file has no string where one must be, at byte {self.position - 1}")
        packed, size = self.length(), self.length()
        if size > min(packed * _MOST_EXPANDED, _LONGEST):
            raise Damaged(f"the RDB file claims that {packed} compressed bytes are {size}, before byte {self.position}")
        return packed, size


def numbers(code: str, data: bytes) -> array[Any]:
    """Numbers of one form (a code of the module array), the lowest byte first. Raises ValueError for half a number."""
    found = array(code, data)
    if array("H", b"\x01\x00")[0] != 1:  # on a machine that has the highest one first
        found.byteswap()
    return found


def expanded(packed: bytes, size: int) -> bytes:
    """What LZF made smaller (liblzf's format: http://oldhome.schmorp.de/marc/liblzf.html). Raises Damaged unless it is ``size`` bytes."""
    found = bytearray()
    at, end = 0, len(packed)
    try:
        while at < end:
            first = packed[at]
            if first < 32:  # as it is
                found += packed[at + 1 : at + 2 + first]
                at += first + 2
                continue
            length = first >> 5
            if length == 7:
                at += 1
                length += packed[at]
            start = len(found) - ((first & 31) << 8 | packed[at + 1]) - 1
            if start < 0:
                break
            at, length = at + 2, length + 2
            again = found[start : start + length]
            found += again if len(again) == length else (again * (length // len(again) + 1))[:length]  # it may go on into what it says
    except IndexError:  # cut within a reference
        at = end + 1
    if at != end or len(found) != size:
        raise Damaged(f"the RDB file has compressed data that is not the {size} bytes it should be")
    return bytes(found)
