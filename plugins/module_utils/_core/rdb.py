# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an RDB file, the snapshot of a Redis server: keys by type and database, a digest of the content, whether it is whole. Pure.

The format is what rdb.c of Redis writes (https://github.com/redis/redis/blob/7.4.0/src/rdb.c): a header, opcodes and keys, a checksum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .backup_types import Inventory, Stream
from .rdb_bytes import Bytes, Damaged, UnknownFormat
from .rdb_content import Content

KNOWN = range(3, 13)
"""Versions of the format: from Redis 2.6 to 8.0."""


@dataclass(frozen=True)
class Rdb:
    """``version`` is that of the format; ``created_at`` in seconds since 1970, where the file says it.

    ``checked`` tells whether the checksum was there, was asked for, and is right. ``inventory`` has for each database (``database 0``)
    ``keys``, ``expires`` (keys that have an end) and the count of each type that occurs; ``digest`` where digests were asked for.
    """

    version: int
    redis_version: str
    created_at: float | None
    checked: bool
    aux: Mapping[str, str]
    inventory: Inventory
    notes: Sequence[str]


def read_rdb(stream: Stream, digests: bool = False, checksum: bool = True) -> Rdb:
    """Read all of it once. Held are some megabytes, and with ``digests`` the largest value, whatever the file claims.

    A digest is the same for the same keys, types, values and ends, however they are written; rdb_values.py says what of a value does not count.
    Keys that had ended when the file was written are counted too: a server drops them when it loads the file, unless it is a replica.

    Raises VerifyFailed: with the code ``corrupt`` when it is no RDB file, cut, damaged or followed by anything, with ``unknown_format`` for
    formats and types that are not known here.
    """
    data = Bytes(stream, checksum)
    version = _version(data)
    content = Content(data, digests)
    content.read()
    checked = _checked(data, version, checksum)
    if not data.at_end():
        raise Damaged(f"the RDB file goes on after its end, at byte {data.position}")
    notes = content.notes()
    if not checked:
        notes.append("it has no checksum: damage inside of values would not be seen" if checksum else "its checksum was not looked at")
    created = content.aux.get("ctime", "")
    created_at = float(created) if created.isdecimal() else None
    return Rdb(version, content.aux.get("redis-ver", ""), created_at, checked, content.aux, content.inventory(), notes)


def _version(data: Bytes) -> int:
    try:
        header = data.take(9)
    except Damaged:
        raise Damaged("the RDB file is empty, or shorter than its header") from None
    if header.startswith(b"VALKEY"):  # from its version 9 on it has a format of its own
        raise UnknownFormat("the file is of Valkey, not of Redis")
    if not header.startswith(b"REDIS") or not header[5:].isdigit():
        raise Damaged(f"it is no RDB file of Redis: it starts with {header!r}")
    version = int(header[5:])
    if version not in KNOWN:
        raise UnknownFormat(f"the RDB file has the format {version}")
    return version


def _checked(data: Bytes, version: int, checksum: bool) -> bool:
    """Whether there is a checksum to go by, and it is right. Raises Damaged when it is not."""
    if version < 5:
        return False
    found = data.sum() if checksum else 0
    written = data.number(8)
    if not checksum or not written:  # 0: rdbchecksum is off
        return False
    if found != written:
        raise Damaged("the RDB file does not have the content that its checksum is of")
    return True
