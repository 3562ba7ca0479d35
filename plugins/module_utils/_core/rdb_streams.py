# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams in RDB files: entries, and groups with what their consumers did not acknowledge yet. Pure. See t_stream.c and rdb.c of Redis."""

from __future__ import annotations

from itertools import chain

from .rdb_bytes import Bytes, Damaged
from .rdb_packed import listpack

_DELETED, _SAME_FIELDS = 1, 2


def skip_stream(data: Bytes, version: int) -> None:
    """As stream, without looking into the entries."""
    for _unused in range(data.length() * 2):
        data.skip_string()
    _last_id(data, version)
    for _unused in range(data.length()):
        _group(data, version)


def stream(data: Bytes, version: int) -> list[bytes]:
    """All entries, the last id, all groups. ``version`` is that of the type: RDB_TYPE_STREAM_LISTPACKS is 1, _2 and _3 follow."""
    entries: list[list[bytes]] = []
    for _unused in range(data.length()):
        first, packed = data.string(), data.string()
        if len(first) != 16:
            raise Damaged(f"the RDB file has a stream with an id of {len(first)} bytes, before byte {data.position}")
        try:
            entries += _entries(first, listpack(packed))
        except (IndexError, ValueError):
            raise Damaged(f"the RDB file has a damaged part of a stream, before byte {data.position}") from None
    last = _last_id(data, version)
    groups = sorted(_group(data, version) for _unused in range(data.length()))
    sizes = b",".join(b"%d" % len(part) for part in (*entries, *groups))  # where each begins
    return [b"%d" % len(entries), last, sizes, *chain.from_iterable(entries), *chain.from_iterable(groups)]


def _entries(first: bytes, members: list[bytes]) -> list[list[bytes]]:
    """Each its id, fields and values in turn. The first entry of a pack names the fields that most others share."""
    high, low = int.from_bytes(first[:8], "big"), int.from_bytes(first[8:], "big")
    shared = members[3 : 3 + int(members[2])]
    at = 4 + len(shared)
    found = []
    while at < len(members):
        flags = int(members[at])
        parts = [b"%d-%d" % (high + int(members[at + 1]), low + int(members[at + 2]))]
        at += 3
        if flags & _SAME_FIELDS:
            end = at + len(shared)
            for field, value in zip(shared, members[at:end]):
                parts += (field, value)
        else:
            end = at + 1 + 2 * int(members[at])
            parts += members[at + 1 : end]
        if end <= at - 1 or end >= len(members):
            raise ValueError
        at = end + 1  # behind it, how many members it has
        if not flags & _DELETED:
            found.append(parts)
    return found


def _id(data: Bytes) -> bytes:
    return b"%d-%d" % (data.length(), data.length())


def _last_id(data: Bytes, version: int) -> bytes:
    data.length()  # of entries
    last = _id(data)
    if version >= 2:
        for _unused in range(5):  # first id, largest deleted id, how many were ever added
            data.length()
    return last


def _group(data: Bytes, version: int) -> list[bytes]:
    """Name, last id, then the pending ones with when and how often they were delivered and to whom."""
    name, last = data.string(), _id(data)
    if version >= 2:
        data.length()  # how many it has read
    pending = {}
    for _unused in range(data.length()):
        entry = data.take(16)
        pending[entry] = b"%d %d" % (data.number(8), data.length())
    consumers = []
    for _unused in range(data.length()):
        consumer = data.string()
        data.skip(16 if version >= 3 else 8)  # last seen, last active
        its = sorted(data.take(16) for _unused in range(data.length()))
        consumers.append([consumer, *(part for entry in its for part in (entry, pending.get(entry, b"")))])
    consumers.sort()
    sizes = b",".join(b"%d" % len(consumer) for consumer in consumers)
    return [name, last, sizes, *chain.from_iterable(consumers)]
