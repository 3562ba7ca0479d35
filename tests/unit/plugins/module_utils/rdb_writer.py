# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDB files, written as plainly as can be: by what rdb.c of Redis says, and nothing of the reader."""

from __future__ import annotations

import struct
from collections.abc import Mapping


def plain_crc(data: bytes, before: int = 0) -> int:
    """Bit by bit: crc64.c of Redis, in its comment."""
    for byte in data:
        before ^= byte
        for _bit in range(8):
            before = before >> 1 ^ (0x95AC9329AC4BC9B5 if before & 1 else 0)
    return before


def length(number: int) -> bytes:
    if number < 64:
        return bytes([number])
    if number < 1 << 14:
        return bytes([0x40 | number >> 8, number & 0xFF])
    return b"\x80" + struct.pack(">I", number) if number < 1 << 32 else b"\x81" + struct.pack(">Q", number)


def text(data: bytes) -> bytes:
    return length(len(data)) + data


def literal_lzf(data: bytes) -> bytes:
    """A form that says the same without any reference."""
    packed = b"".join(bytes([len(data[at : at + 32]) - 1]) + data[at : at + 32] for at in range(0, len(data), 32))
    return b"\xc3" + length(len(packed)) + length(len(data)) + packed


def texts(*parts: bytes) -> bytes:
    return b"".join(text(part) for part in parts)


def rdb(body: bytes, version: int = 10, summed: bool = True, aux: Mapping[str, str] | None = None) -> bytes:
    """A file of database 0 that holds ``body``."""
    told = {"redis-ver": "7.0.15", "ctime": "1700000000"} if aux is None else aux
    head = b"REDIS%04d" % version + b"".join(b"\xfa" + texts(name.encode(), value.encode()) for name, value in told.items())
    whole = head + b"\xfe\x00" + body + b"\xff"
    return whole + (struct.pack("<Q", plain_crc(whole) if summed else 0) if version >= 5 else b"")


def key(code: int, value: bytes, name: bytes = b"k") -> bytes:
    return bytes([code]) + text(name) + value


def intset(size: int, *numbers: int) -> bytes:
    letter = {2: "h", 4: "i", 8: "q"}[size]
    return struct.pack(f"<II{len(numbers)}{letter}", size, len(numbers), *numbers)


def ziplist(*entries: bytes) -> bytes:
    """Of ready encodings; the length of the one before is written in its long form after long ones."""
    body, before = b"", 0
    for entry in entries:
        whole = (bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)) + entry
        body, before = body + whole, len(whole)
    return struct.pack("<IIH", len(body) + 11, 10, len(entries)) + body + b"\xff"


def listpack(*entries: bytes) -> bytes:
    body = b""
    for entry in entries:
        size = len(entry)
        last = sum(size > limit for limit in (127, 16382, 2097150, 268435454))
        body += entry + bytes(size >> 7 * at & 127 | (128 if at < last else 0) for at in range(last, -1, -1))  # its size, to be read backwards
    return struct.pack("<IH", len(body) + 7, len(entries)) + body + b"\xff"


def small(data: bytes) -> bytes:
    """A string of a listpack."""
    size = len(data)
    head = bytes([0x80 | size]) if size < 64 else bytes([0xE0 | size >> 8, size & 255]) if size < 4096 else b"\xf0" + struct.pack("<I", size)
    return head + data


def older(data: bytes) -> bytes:
    """A string of a ziplist."""
    size = len(data)
    head = bytes([size]) if size < 64 else bytes([0x40 | size >> 8, size & 255]) if size < 16384 else b"\x80" + struct.pack(">I", size)
    return head + data


ID = struct.pack(">QQ", 5, 1)
ENTRIES = [small(b"2"), b"\x00", b"\x01", small(b"f"), b"\x00",  # of the master entry: count, deleted, fields
           b"\x02", b"\x00", b"\x00", small(b"v1"), b"\x04",
           b"\x03", b"\x00", b"\x01", small(b"deleted"), b"\x04",
           b"\x00", b"\x07", b"\xdf\xff", b"\x02", small(b"a"), small(b"1"), small(b"b"), small(b"2"), b"\x08"]  # fmt: skip


def stream(version: int, seen: int = 7, delivered: int = 9) -> bytes:
    head = length(1) + text(ID) + text(listpack(*ENTRIES)) + length(2) + length(12) + length(0)
    more = length(5) + length(1) + length(5) + length(2) + length(3) if version >= 2 else b""
    pending = length(1) + ID + struct.pack("<Q", delivered) + length(2)
    times = struct.pack("<Q", seen) + (struct.pack("<Q", seen + 1) if version >= 3 else b"")
    consumers = length(1) + text(b"c") + times + length(1) + ID
    return head + more + length(1) + text(b"g") + length(5) + length(1) + (length(1) if version >= 2 else b"") + pending + consumers
