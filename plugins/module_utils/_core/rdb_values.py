# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the values of an RDB file say, whatever way they are written: the parts that two equal values share. Pure.

A value is a list of byte strings, the same for the same content in every encoding: sets, hashes and sorted sets in order of their members.
Of a stream these are no content, since older formats do not have them or reading moves them: when consumers were last seen or active, how
many entries there ever were, the largest deleted one, and how many a group has read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .rdb_bytes import Bytes, Damaged, UnknownFormat, numbers
from .rdb_packed import intset, listpack, ziplist, zipmap
from .rdb_streams import skip_stream, stream

Value = list[bytes]


def _pairs(members: list[bytes], what: str) -> list[tuple[bytes, bytes]]:
    if len(members) % 2:
        raise Damaged(f"the RDB file has {what} with an odd number of members")
    return list(zip(members[::2], members[1::2]))


def _strings(data: Bytes) -> list[bytes]:
    return [data.string() for _unused in range(data.length())]


def _set(members: Iterable[bytes]) -> Value:
    return sorted(members)


def _hash(fields: Iterable[tuple[bytes, bytes]]) -> Value:
    return _timed_hash((field, value, 0) for field, value in fields)


def _timed_hash(fields: Iterable[tuple[bytes, bytes, int]]) -> Value:
    """Of fields, values and when each ends (ms since 1970; 0 for never)."""
    return [part for field, value, ends in sorted(fields) for part in (field, value, b"%d" % ends)]


def _sorted_set(members: Iterable[tuple[bytes, float]]) -> Value:
    return [part for member, score in sorted(members) for part in (member, b"%r" % (score + 0.0))]  # some forms know no -0.0


def _scored(members: list[bytes]) -> Value:
    try:
        return _sorted_set((member, float(score)) for member, score in _pairs(members, "a sorted set"))
    except ValueError:
        raise Damaged("the RDB file has a sorted set with a score that is no number") from None


_SPECIAL = {253: "nan", 254: "inf", 255: "-inf"}


def _text_score(data: Bytes) -> float:
    """As formats before 8 write it."""
    size = data.byte()
    text = _SPECIAL[size] if size in _SPECIAL else data.take(size)
    try:
        return float(text)
    except ValueError:
        raise Damaged(f"the RDB file has a score that is no number, at byte {data.position}") from None


def _skip_text_score(data: Bytes) -> None:
    size = data.byte()
    if size not in _SPECIAL:
        data.skip(size)


def _score(data: Bytes) -> float:
    return float(numbers("d", data.take(8))[0])


def _nodes(data: Bytes) -> Value:
    """A list in nodes, each plain (one member) or packed: quicklist.h."""
    found: Value = []
    for _node in range(data.length()):
        container, body = data.length(), data.string()
        if container not in (1, 2):
            raise Damaged(f"the RDB file has a list with a node of the form {container}, before byte {data.position}")
        found += [body] if container == 1 else listpack(body)
    return found


def _fields_with_ends(data: Bytes, based: bool) -> Value:
    """A hash whose fields end: relative to the earliest one, or, before Redis 7.4.0 was released, as they are."""
    base = data.number(8) - 1 if based else 0
    fields = []
    for _field in range(data.length()):
        end, field, value = data.length(), data.string(), data.string()
        fields.append((field, value, end + base if end else 0))
    return _timed_hash(fields)


def _packed_fields_with_ends(data: Bytes, based: bool) -> Value:
    if based:
        data.skip(8)  # the earliest one again
    members = listpack(data.string())
    try:
        return _timed_hash((members[at], members[at + 1], int(members[at + 2])) for at in range(0, len(members), 3))
    except (IndexError, ValueError):
        raise Damaged("the RDB file has a hash whose fields do not end at an instant") from None


def _module(data: Bytes) -> Value:
    """Numbers and strings with their kinds, as the module wrote them."""
    return [b"%d" % data.length(), *module_parts(data)]


def module_parts(data: Bytes) -> Value:
    """To the end of what a module wrote: each kind, and what it is."""
    found: Value = []
    while True:
        kind = data.length()
        found.append(b"%d" % kind)
        if kind == 0:
            return found
        if kind in (1, 2):
            found.append(b"%d" % data.length())
        elif kind in (3, 4):
            found.append(data.take(kind * 4 - 8))
        elif kind == 5:
            found.append(data.string())
        else:
            raise UnknownFormat(f"the RDB file has data of a module in the unknown form {kind}, before byte {data.position}")


def _skipping(*steps: Callable[[Bytes], object]) -> Callable[[Bytes], None]:
    """Skips a count, and that many times each of ``steps``."""

    def skip(data: Bytes) -> None:
        for _unused in range(data.length()):
            for step in steps:
                step(data)

    return skip


_string = Bytes.skip_string
_strings_only, _two_strings = _skipping(_string), _skipping(_string, _string)


class Type:
    """One of the types of RDB files: what it is counted as, how its value is read, and how it is skipped."""

    __slots__ = ("counted", "read", "skip")

    def __init__(self, counted: str, read: Callable[[Bytes], Value], skip: Callable[[Bytes], object] = Bytes.skip_string) -> None:
        self.counted = counted
        self.read = read
        self.skip = skip


def _after(size: int, step: Callable[[Bytes], object]) -> Callable[[Bytes], None]:
    def skip(data: Bytes) -> None:
        data.skip(size)
        step(data)

    return skip


_timed = _skipping(Bytes.length, _string, _string)

TYPES = {
    0: Type("strings", lambda data: [data.string()]),
    1: Type("lists", _strings, _strings_only),
    2: Type("sets", lambda data: _set(_strings(data)), _strings_only),
    3: Type("sorted_sets", lambda data: _sorted_set([(data.string(), _text_score(data)) for _unused in range(data.length())]),
            _skipping(_string, _skip_text_score)),
    4: Type("hashes", lambda data: _hash([(data.string(), data.string()) for _unused in range(data.length())]), _two_strings),
    5: Type("sorted_sets", lambda data: _sorted_set([(data.string(), _score(data)) for _unused in range(data.length())]),
            _skipping(_string, lambda data: data.skip(8))),
    7: Type("modules", _module, _module),
    9: Type("hashes", lambda data: _hash(_pairs(zipmap(data.string()), "a hash"))),
    10: Type("lists", lambda data: ziplist(data.string())),
    11: Type("sets", lambda data: _set(intset(data.string()))),
    12: Type("sorted_sets", lambda data: _scored(ziplist(data.string()))),
    13: Type("hashes", lambda data: _hash(_pairs(ziplist(data.string()), "a hash"))),
    14: Type("lists", lambda data: [member for _unused in range(data.length()) for member in ziplist(data.string())], _strings_only),
    15: Type("streams", lambda data: stream(data, 1), lambda data: skip_stream(data, 1)),
    16: Type("hashes", lambda data: _hash(_pairs(listpack(data.string()), "a hash"))),
    17: Type("sorted_sets", lambda data: _scored(listpack(data.string()))),
    18: Type("lists", _nodes, _skipping(Bytes.length, _string)),
    19: Type("streams", lambda data: stream(data, 2), lambda data: skip_stream(data, 2)),
    20: Type("sets", lambda data: _set(listpack(data.string()))),
    21: Type("streams", lambda data: stream(data, 3), lambda data: skip_stream(data, 3)),
    22: Type("hashes", lambda data: _fields_with_ends(data, False), _timed),
    23: Type("hashes", lambda data: _packed_fields_with_ends(data, False)),
    24: Type("hashes", lambda data: _fields_with_ends(data, True), _after(8, _timed)),
    25: Type("hashes", lambda data: _packed_fields_with_ends(data, True), _after(8, _string)),
}  # fmt: skip
"""By the number in the file (RDB_TYPE_* of rdb.h)."""
