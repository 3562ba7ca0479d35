# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a log to be read: plain and compressed files through descriptors that a rotation cannot take away.

A part is read up to the size it had when it was opened; what is written meanwhile comes next time.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator

from .._core.errors import RunbookError
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

BLOCK = 1 << 20
"""Bytes that are read at once."""

HEAD, TAIL = 1024, 256
"""A file is known by the digest of its first bytes, and the place in it by the digest of the bytes before."""

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
_UNREAD = {b"\x28\xb5\x2f\xfd": "zstd"}


class NotPlain(RunbookError):
    """Something that must not be opened, or cannot be read, as a log."""


class Segment:
    """One file of a log, from ``offset`` on (in uncompressed bytes). ``end`` is None where the size is only known after unpacking."""

    __slots__ = ("path", "offset", "active", "end", "read_bytes", "damaged", "unchanged", "status", "_descriptor", "_library", "_left")

    def __init__(self, path: str, left: TimeLeft) -> None:
        self.path = path
        self.offset = 0
        self.active = False
        self.read_bytes = 0
        self.damaged = ""
        self.unchanged = False
        """A packed file of which nothing is to be read: unpacking it again would only show that."""
        self._left = left
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # not blocking: it may be a pipe
        try:
            self.status = os.fstat(self._descriptor)
            if not stat.S_ISREG(self.status.st_mode):
                raise NotPlain(f"{path} is not a regular file: it was not read")
            magic = os.pread(self._descriptor, 6, 0)
            for start, name in _UNREAD.items():
                if magic.startswith(start):
                    raise NotPlain(f"{path} is compressed with {name}, which cannot be unpacked here: it was not read")
            self._library = next((name for start, name in _MAGIC.items() if magic.startswith(start)), "")
            self.end = None if self._library else self.status.st_size
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _pread(self, size: int, position: int) -> bytes:
        self._left.timeout()
        return os.pread(self._descriptor, size, position)

    def blocks(self) -> Iterator[bytes]:
        """Everything from ``offset`` to the end."""
        if self.end is not None:
            yield from self.range_blocks(self.offset, self.end)
            return
        position = 0
        for block in self._unpacked() if not self.unchanged else ():
            fresh = block[max(0, self.offset - position) :]
            position += len(block)
            self.read_bytes += len(fresh)
            if fresh:
                yield fresh

    def range_blocks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end`` of a plain file."""
        while start < end:
            block = self._pread(min(BLOCK, end - start), start)
            if not block:  # it was truncated under our eyes
                return
            start += len(block)
            self.read_bytes += len(block)
            yield block

    def _unpacked(self) -> Iterator[bytes]:
        """Blocks of an unpacked file; what is damaged ends it, and ``damaged`` says so."""
        seen = 0
        with io.FileIO(os.dup(self._descriptor)) as raw:
            raw.seek(0)
            try:
                with _opener(self._library)(raw) as file:
                    while True:
                        self._left.timeout()
                        block = file.read(BLOCK)
                        if not block:
                            return
                        seen += len(block)
                        yield block
            except (EOFError, OSError, ValueError, _lzma_error(self._library)) as error:
                self.damaged = f"{self.path} is damaged after {seen} bytes: the rest was not read ({error})"

    def first(self, size: int) -> bytes:
        """The first bytes, unpacked."""
        if self.end is not None:
            return self._pread(size, 0)
        found = next(self._unpacked(), b"")[:size]
        self.damaged = ""
        return found

    def before(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes right before a position of a plain file."""
        start = max(0, position - size)
        return self._pread(position - start, start)

    def line_after(self, position: int) -> int:
        """Where the first line begins after a position of a plain file; its end when there is none."""
        end = self.end or 0
        while position < end:
            block = self._pread(min(BLOCK, end - position), position)
            found = block.find(b"\n")
            if found >= 0:
                return position + found + 1
            position += max(len(block), 1)
        return end

    def start_after(self, is_older: Callable[[bytes], bool]) -> None:
        """Leave out what stands before a block that is older throughout. A compressed file is read from its beginning."""
        position = self.end or 0
        while position - BLOCK > self.offset:
            position -= BLOCK
            if is_older(self._pread(BLOCK, position)):
                self.offset = self.line_after(position + BLOCK - 1)
                return

    def fingerprint(self, size: int) -> str:
        """The digest of the first ``size`` bytes."""
        return hashlib.sha256(self.first(size)).hexdigest()[:32]

    def tail_digest(self, position: int) -> str:
        """The digest of the bytes before a position; "" when the file does not reach so far."""
        if self.end is not None:
            return hashlib.sha256(self.before(position, TAIL)).hexdigest()[:32] if position <= self.end else ""
        kept, seen = b"", 0
        for block in self._unpacked():
            kept = (kept + block)[-(len(block) + TAIL) :]
            seen += len(block)
            if seen >= position:
                stop = len(kept) - (seen - position)
                return hashlib.sha256(kept[max(0, stop - TAIL) : stop]).hexdigest()[:32]
        return ""


def _opener(library: str) -> Any:
    """What makes an unpacking file of a raw one."""
    if library == "gzip":
        import gzip

        return lambda raw: gzip.GzipFile(fileobj=raw)
    if library == "bz2":
        import bz2

        return bz2.BZ2File
    import lzma

    return lzma.LZMAFile


def _lzma_error(library: str) -> type[Exception]:
    """Errors of unpacking that are neither OSError nor EOFError."""
    if library == "lzma":
        import lzma

        return lzma.LZMAError
    import zlib

    return zlib.error
