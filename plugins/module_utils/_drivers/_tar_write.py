# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes members as a POSIX.1-2001 (pax) archive that GNU tar, bsdtar and Python read.

Sources: pax in POSIX.1-2017; sparse format 1.0, and ``SCHILY.xattr`` records, as in the manual and the source of GNU tar.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
import struct
from collections.abc import Generator, Iterable

from .._core.probe import Deadline, DeadlinePassed
from ._tree import FILE, FOLDER, HARDLINK, LINK, Content, Member, explained

BLOCK = 512
END = bytes(2 * BLOCK)

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_MAGIC = b"ustar\x0000"
_NO_DEVICE = b"0000000\0"
_TYPES = {FILE: b"0", HARDLINK: b"1", LINK: b"2", FOLDER: b"5"}
_NAME, _SIZE, _ID, _OWNER = 100, 0o77777777777, 0o7777777, 32  # what fits into the old fields


class ArchiveStream:
    """The archive as a stream. ``ended`` once everything was handed out."""

    def __init__(self, members: Iterable[tuple[Member, Content]], deadline: Deadline) -> None:
        self._pieces = archive(members)
        self._deadline = deadline
        self._next = b""
        self.ended = False

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, as many as fit without cutting large pieces. Raises TimedOut, RunbookError."""
        if self._deadline.remaining() <= 0:
            raise DeadlinePassed("the time was over before all files were read", "allow more time, or back up less at once")
        found: list[bytes] = []
        with explained("reading the files"):
            while size > 0:
                piece = self._next or next(self._pieces, None)
                if piece is None:
                    self.ended = True
                    break
                if len(piece) > size and found:
                    self._next = piece
                    break
                found.append(piece[:size])
                self._next = piece[size:]
                size -= len(found[-1])
        return b"".join(found)

    def close(self) -> None:
        """Gives back what is open."""
        self._pieces.close()


def archive(members: Iterable[tuple[Member, Content]]) -> Generator[bytes, None, None]:
    """The bytes of the archive, in pieces. Every content is read to its end before the next member is asked for."""
    for member, content in members:
        piece, stored = _head(member)
        for _offset, data in content:
            yield piece
            piece = data
        yield piece + bytes(-stored % BLOCK)
    yield END


def _head(member: Member) -> tuple[bytes, int]:
    """All that comes before the data of a member, and the length of the data."""
    name = member.path + b"/" if member.kind == FOLDER else member.path
    size, sparse_map = member.size, b""
    records = _records(member, name)
    if member.extents is not None:
        sparse_map = _sparse_map(member)
        size = len(sparse_map) + sum(length for _offset, length in member.extents)
        sparse = {b"major": b"1", b"minor": b"0", b"name": name, b"realsize": b"%d" % member.size}
        records[b"path"] = name = b"GNUSparseFile.0/" + member.path
        records.update((b"GNU.sparse." + key, value) for key, value in sparse.items())
    if size > _SIZE:
        records[b"size"] = b"%d" % size
    pax = b"".join(_record(key, value) for key, value in records.items())
    pax_head = _pax_header(len(pax)) + pax + bytes(-len(pax) % BLOCK) if pax else b""
    return pax_head + _member_header(member, name, size) + sparse_map, size


def _records(member: Member, name: bytes) -> dict[bytes, bytes]:
    """What the old fields cannot say."""
    records = {}
    for key, text in ((b"path", name), (b"linkpath", member.target)):
        if len(text) > _NAME or not text.isascii():
            records[key] = text
    if not all(_is_utf8(text) for text in records.values()):
        records = {b"hdrcharset": b"BINARY", **records}
    seconds, nanoseconds = divmod(abs(member.mtime_ns), 10**9)
    if nanoseconds or member.mtime_ns < 0 or seconds > _SIZE:
        records[b"mtime"] = b"%s%d.%09d" % (b"-" if member.mtime_ns < 0 else b"", seconds, nanoseconds)
    for key, number in ((b"uid", member.uid), (b"gid", member.gid)):
        if number > _ID:
            records[key] = b"%d" % number
    for xattr, value in member.xattrs:
        records[b"SCHILY.xattr." + xattr.replace(b"%", b"%25").replace(b"=", b"%3D")] = value
    return records


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(key: bytes, value: bytes) -> bytes:
    """``<length> <key>=<value>\\n``, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _sparse_map(member: Member) -> bytes:
    """The number of extents and the extents, in decimal lines; a hole at the end is an empty extent there."""
    extents = list(member.extents or ())
    if not extents or sum(extents[-1]) < member.size:
        extents.append((member.size, 0))
    text = b"%d\n" % len(extents) + b"".join(b"%d\n%d\n" % extent for extent in extents)
    return text + bytes(-len(text) % BLOCK)


@functools.lru_cache(maxsize=256)
def _pax_header(size: int) -> bytes:
    return _with_checksum((b"././@PaxHeader", b"0000644\0", _octal(0, 8), _octal(0, 8), _octal(size, 12), _octal(0, 12)), b"x", b"", (b"", b""))


def _member_header(member: Member, name: bytes, size: int) -> bytes:
    numbers = (
        _octal(member.mode, 8),
        _octal(member.uid if member.uid <= _ID else 0, 8),
        _octal(member.gid if member.gid <= _ID else 0, 8),
        _octal(size if size <= _SIZE else 0, 12),
        _octal(min(max(member.mtime_ns // 10**9, 0), _SIZE), 12),
    )
    return _with_checksum((name[:_NAME], *numbers), _TYPES[member.kind], member.target[:_NAME], (_user(member.uid), _group(member.gid)))


def _with_checksum(first: tuple[bytes, ...], kind: bytes, target: bytes, owner: tuple[bytes, bytes]) -> bytes:
    """``first`` are the fields from name to mtime."""
    header = _HEADER.pack(*first, b"        ", kind, target, _MAGIC, *owner, _NO_DEVICE, _NO_DEVICE, b"")
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


@functools.lru_cache(maxsize=1024)
def _user(uid: int) -> bytes:
    """The name of a user; "" when there is none that fits."""
    try:
        name = os.fsencode(pwd.getpwuid(uid).pw_name)
    except (KeyError, OverflowError):
        return b""
    return name if len(name) < _OWNER else b""


@functools.lru_cache(maxsize=1024)
def _group(gid: int) -> bytes:
    try:
        name = os.fsencode(grp.getgrgid(gid).gr_name)
    except (KeyError, OverflowError):
        return b""
    return name if len(name) < _OWNER else b""
