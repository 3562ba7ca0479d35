# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of the headers of pax, ustar and GNU archives, read strictly: what two readers could understand differently is an error.

Sources: pax and ustar in POSIX.1-2017; GNU long names and base-256 numbers in the manual of GNU tar.
"""

from __future__ import annotations

import re
import struct

from .._core.errors import Refused, VerifyFailed
from ._tree import FILE, FOLDER, HARDLINK, LINK, Member, shown

BLOCK = 512
SPARSE = b"GNU.sparse."

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_POSIX, _GNU = b"ustar\x0000", b"ustar  \0"
_KINDS = {b"0": FILE, b"\0": FILE, b"1": HARDLINK, b"2": LINK, b"5": FOLDER}
_XATTR = b"SCHILY.xattr."
_MAX_SIZE = 1 << 63
_MAX_ID = (1 << 32) - 1  # this very number means "leave it" to chown
_MAX_SECONDS = 1 << 40

_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_INSTANT = re.compile(rb"(-?)([0-9]{1,13})(?:\.([0-9]*))?")
_LENGTH = re.compile(rb"([1-9][0-9]{0,8}) ")

Records = dict[bytes, bytes]
"""Extended header: key -> value."""


class BadArchive(VerifyFailed):
    """The bytes are no archive, or a broken one."""

    code = "bad_archive"


class UnsafeArchive(Refused):
    """A member that no backup of ours has, and that could do harm."""

    code = "unsafe_archive"


class LimitExceeded(VerifyFailed):
    """The archive has more in it than it may."""

    code = "limit"


DISTRUST = "no usual program makes such an archive: do not trust it, restore another one"
DAMAGED = "it is damaged: restore another one"


class Header:
    """One block of 512 bytes. Raises BadArchive when its checksum or its magic is wrong."""

    def __init__(self, block: bytes) -> None:
        self._fields = _HEADER.unpack(block)
        if _number(self._fields[6], "checksum") != sum(block) - sum(block[148:156]) + 256:
            raise BadArchive("the checksum of a header is wrong", DAMAGED)
        if self._fields[9] not in (_POSIX, _GNU):
            raise BadArchive("a header is of an unknown format", "write the archive with tar --format=pax")
        self.type = self._fields[7]
        self.size = _number(self._fields[4], "size")
        if not 0 <= self.size < _MAX_SIZE:
            raise BadArchive(f"a member has {self.size} bytes", DISTRUST)

    def member(self, records: Records) -> Member:
        """With what its extended header says instead; ``size`` is that of the data in the archive."""
        path = records.get(SPARSE + b"name") or records.get(b"path") or self._path()
        kind = _KINDS.get(self.type)
        if kind is None:
            raise UnsafeArchive(
                f"{shown(path)} is no file, folder or link (type {self.type!r})", "such members are not restored; leave them out of the archive"
            )
        size = decimal(records[b"size"], "size") if b"size" in records else self.size
        if size and kind != FILE:
            raise BadArchive(f"the {kind} {shown(path)} has data", DISTRUST)
        return Member(
            path=path.rstrip(b"/") or path if kind == FOLDER else path,
            kind=kind,
            mode=_number(self._fields[1], "mode") & 0o7777,
            uid=self._owner(2, records.get(b"uid"), path),
            gid=self._owner(3, records.get(b"gid"), path),
            mtime_ns=_nanoseconds(records[b"mtime"]) if b"mtime" in records else self._mtime(),
            size=size,
            target=(records.get(b"linkpath") or _text(self._fields[8])) if kind in (LINK, HARDLINK) else b"",
            xattrs=[(_unescaped(key[len(_XATTR) :]), value) for key, value in sorted(records.items()) if key.startswith(_XATTR)],
        )

    def _path(self) -> bytes:
        name, prefix = _text(self._fields[0]), _text(self._fields[14])
        return prefix + b"/" + name if prefix and self._fields[9] == _POSIX else name

    def _owner(self, field: int, record: bytes | None, path: bytes) -> int:
        number = _number(self._fields[field], "owner") if record is None else decimal(record, "owner")
        if not 0 <= number < _MAX_ID:
            raise BadArchive(f"{shown(path)} belongs to {number}", DISTRUST)
        return number

    def _mtime(self) -> int:
        seconds = _number(self._fields[5], "mtime")
        if abs(seconds) > _MAX_SECONDS:
            raise BadArchive(f"a time of {seconds} seconds", DISTRUST)
        return seconds * 10**9


def parsed_records(data: bytes) -> Records:
    """The extended header ``<length> <key>=<value>\\n`` ... Raises BadArchive."""
    records: Records = {}
    at = 0
    while at < len(data):
        head = _LENGTH.match(data, at)
        end = at + int(head[1]) if head else 0
        record = data[head.end() : end - 1] if head else b""
        key, equals, value = record.partition(b"=")
        if end > len(data) or data[end - 1 : end] != b"\n" or not key or not equals:
            raise BadArchive("an extended header is broken", DAMAGED)
        if key in records:
            raise BadArchive(f"an extended header has {shown(key)} twice", DISTRUST)
        records[key] = value
        at = end
    return records


def decimal(text: bytes, what: str) -> int:
    """A number without sign. Raises BadArchive."""
    if not _DECIMAL.fullmatch(text) or int(text) >= _MAX_SIZE:
        raise BadArchive(f"the {what} {shown(text[:40])} is no number", DAMAGED)
    return int(text)


def _number(field: bytes, what: str) -> int:
    """Octal digits, or base 256 when the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        return int.from_bytes(field, "big", signed=True)
    found = _OCTAL.fullmatch(field)
    if not found:
        raise BadArchive(f"the {what} {shown(field)} in a header is no number", DAMAGED)
    return int(found[1], 8)


def _nanoseconds(text: bytes) -> int:
    found = _INSTANT.fullmatch(text)
    if not found or int(found[2]) > _MAX_SECONDS:
        raise BadArchive(f"the time {shown(text[:40])} is none", DAMAGED)
    value = int(found[2]) * 10**9 + int((found[3] or b"").ljust(9, b"0")[:9])
    return -value if found[1] else value


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _unescaped(name: bytes) -> bytes:
    return name.replace(b"%3D", b"=").replace(b"%25", b"%")
