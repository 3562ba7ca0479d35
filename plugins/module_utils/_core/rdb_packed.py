# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small collections that Redis packs into one string: ziplist, listpack, intset, zipmap. Pure.

Each function gives the members in order, numbers as their digits. What is no such packing raises Damaged: none of them trusts a length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from .rdb_bytes import Damaged, numbers

END = 0xFF


def _whole(unpack: Callable[[bytes], list[bytes]]) -> Callable[[bytes], list[bytes]]:
    """Whatever goes wrong in unpacking is damage. A length that reaches too far shows by the place of the end mark."""

    @wraps(unpack)
    def checked(data: bytes) -> list[bytes]:
        try:
            return unpack(data)
        except (IndexError, ValueError):
            raise Damaged(f"the RDB file has {len(data)} bytes that should be a {unpack.__name__} and are not") from None

    return checked


def _end(data: bytes, at: int) -> None:
    if at != len(data) - 1 or data[at] != END:
        raise ValueError


def _integer(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise IndexError
    return b"%d" % int.from_bytes(data[at : at + size], "little", signed=True)


_ZIPLIST_NUMBERS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}


@_whole
def ziplist(data: bytes) -> list[bytes]:
    """See ziplist.c."""
    found = []
    at = 10
    while data[at] != END:
        at += 1 if data[at] < 254 else 5  # the length of the one before
        form = data[at]
        if form < 0xC0:
            if form < 0x40:
                start, size = at + 1, form
            elif form < 0x80:
                start, size = at + 2, (form & 0x3F) << 8 | data[at + 1]
            else:
                start, size = at + 5, int.from_bytes(data[at + 1 : at + 5], "big")
            at = start + size
            found.append(data[start:at])
        elif form in _ZIPLIST_NUMBERS:
            found.append(_integer(data, at + 1, _ZIPLIST_NUMBERS[form]))
            at += 1 + _ZIPLIST_NUMBERS[form]
        elif 0xF1 <= form <= 0xFD:
            found.append(b"%d" % (form - 0xF1))
            at += 1
        else:
            raise ValueError
    _end(data, at)
    return found


_LISTPACK_NUMBERS = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}


@_whole
def listpack(data: bytes) -> list[bytes]:
    """See listpack.c."""
    found = []
    at = 6
    while True:
        form = data[at]
        if form < 0x80:  # a small number
            found.append(b"%d" % form)
            at += 2
            continue
        if form < 0xC0:
            start, size = at + 1, form & 0x3F
        elif form < 0xE0:
            number = (form & 0x1F) << 8 | data[at + 1]
            found.append(b"%d" % (number if number < 1 << 12 else number - (1 << 13)))
            at += 3
            continue
        elif form < 0xF0:
            start, size = at + 2, (form & 0x0F) << 8 | data[at + 1]
        elif form == 0xF0:
            start, size = at + 5, int.from_bytes(data[at + 1 : at + 5], "little")
        elif form in _LISTPACK_NUMBERS:
            found.append(_integer(data, at + 1, _LISTPACK_NUMBERS[form]))
            at += 2 + _LISTPACK_NUMBERS[form]
            continue
        else:
            break
        found.append(data[start : start + size])
        used = start + size - at
        at += used + (1 if used < 128 else 2 if used < 16383 else 3 if used < 2097151 else 4 if used < 268435455 else 5)  # its own length again
    _end(data, at)
    return found


_INTSET_FORMS = {2: "h", 4: "i", 8: "q"}


@_whole
def intset(data: bytes) -> list[bytes]:
    """See intset.c."""
    size, count = numbers("I", data[:8])
    if size not in _INTSET_FORMS or len(data) != 8 + size * count:
        raise ValueError
    return [b"%d" % number for number in numbers(_INTSET_FORMS[size], data[8:])]


@_whole
def zipmap(data: bytes) -> list[bytes]:
    """Fields and values in turn, as Redis before 2.6 packed them: see zipmap.c."""
    found = []
    at = 1
    while data[at] != END:
        for spare in (0, 1):  # only values have room to grow
            size = data[at]
            at += 1
            if size == 254:
                size = int.from_bytes(data[at : at + 4], "little")
                at += 4
            elif size == END:
                raise ValueError
            room = data[at] if spare else 0
            at += spare
            found.append(data[at : at + size])
            at += size + room
    _end(data, at)
    return found
