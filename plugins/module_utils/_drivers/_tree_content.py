# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of one file as long as it was when it was opened, whatever happens to it meanwhile: its data without the holes, and a digest."""

from __future__ import annotations

import errno
import hashlib
import os

from ._tree import CHUNK, MAX_EXTENTS, Content

_BLOCK = 1 << 16
_ZEROS = bytes(_BLOCK)


class ContentDigest:
    """SHA-256 of a content that may have holes of terabytes.

    Whole aligned blocks of 64 KiB of zeros are left out; the SHA-256 of their places (lines of offset and length) ends the content instead.
    So a hole and written zeros are the same, file systems may round holes as they like, and without such blocks it is the plain SHA-256.
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._at = 0
        self._rest = b""  # of a block that is not whole yet
        self._places = hashlib.sha256()
        self._zeros = (0, 0)  # offset and length of the last run

    def add(self, offset: int, data: bytes) -> None:
        """More data; what lies between it and the data before are zeros."""
        if offset > self._at:
            self._skip(offset - self._at)
        self._take(data)

    def hexdigest(self, size: int) -> str:
        """Of the whole content, which ends at ``size``."""
        if size > self._at:
            self._skip(size - self._at)
        self._sha.update(self._rest)
        if self._zeros[1]:
            self._places.update(b"%d %d\n" % self._zeros)
            self._sha.update(self._places.digest())
        return self._sha.hexdigest()

    def _take(self, data: bytes) -> None:
        block = self._at - len(self._rest)
        self._at += len(data)
        if self._rest:
            data = self._rest + data
        whole = len(data) - len(data) % _BLOCK
        pending = 0
        for start in range(0, whole, _BLOCK):
            if data.startswith(_ZEROS, start):
                self._sha.update(data[pending:start])
                self._run(block + start, _BLOCK)
                pending = start + _BLOCK
        if whole:
            self._sha.update(memoryview(data)[pending:whole])
        self._rest = data[whole:]

    def _skip(self, size: int) -> None:
        if self._rest:
            head = min(size, _BLOCK - len(self._rest))
            self._take(bytes(head))
            size -= head
        whole = size - size % _BLOCK
        if whole:
            self._run(self._at, whole)
            self._at += whole
        self._take(bytes(size - whole))

    def _run(self, offset: int, length: int) -> None:
        start, so_far = self._zeros
        if start + so_far != offset:
            if so_far:
                self._places.update(b"%d %d\n" % self._zeros)
            start, so_far = offset, 0
        self._zeros = start, so_far + length


class FileContent:
    """Reads an open regular file. ``extents`` is None when it has no holes."""

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self._fd = fd
        self._stat = status
        self.size = status.st_size
        self.unreadable = False
        self.changed = False
        found = _extents(fd, self.size) if status.st_blocks * 512 < self.size else None
        self.extents = None if found == [(0, self.size)] else found
        self._digest = ContentDigest()

    def chunks(self) -> Content:
        """Exactly the data that ``extents`` and ``size`` promise: cut, or padded with zeros, when the file changes meanwhile."""
        extents = [(0, self.size)] if self.extents is None else self.extents
        for offset, length in extents:
            end = offset + length
            while offset < end:
                data = self._read(min(CHUNK, end - offset), offset)
                self._digest.add(offset, data)
                yield offset, data
                offset += len(data)
        after = os.fstat(self._fd)
        self.changed = self.changed or (after.st_size, after.st_mtime_ns) != (self.size, self._stat.st_mtime_ns)

    def digest(self) -> str:
        """Of what was read; once ``chunks`` came to its end."""
        return self._digest.hexdigest(self.size)

    def _read(self, size: int, offset: int) -> bytes:
        try:
            data = os.pread(self._fd, size, offset)
        except OSError:  # a bad block: the archive promised the length already
            self.unreadable = True
            return bytes(size)
        if not data:
            self.changed = True
            return bytes(size)
        return data


def _extents(fd: int, size: int) -> list[tuple[int, int]]:
    """Where the data is. Where the file system does not tell (EINVAL), that is everywhere."""
    found: list[tuple[int, int]] = []
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data from there on
                break
            return [(0, size)]
        if len(found) + 1 == MAX_EXTENTS:  # the rest as data, with zeros where it has holes
            end = size
        if end > start:
            found.append((start, end - start))
    return found
