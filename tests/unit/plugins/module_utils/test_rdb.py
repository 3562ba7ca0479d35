# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDB files byte by byte: every encoding of every version, written here as rdb.c writes it, and every way to break a file."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.rdb import KNOWN, Rdb, read_rdb
from ansible_collections.tradeops.runbook.plugins.module_utils._core.rdb_bytes import expanded
from ansible_collections.tradeops.runbook.plugins.module_utils._core.rdb_crc import MULTIPLE, crc64
from ansible_collections.tradeops.runbook.plugins.module_utils._core.rdb_values import TYPES
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.rdb_writer import (
    ID,
    intset,
    key,
    length,
    listpack,
    literal_lzf,
    older,
    plain_crc,
    rdb,
    small,
    stream,
    text,
    texts,
    ziplist,
)  # fmt: skip
from hypothesis import example, given, settings
from hypothesis import strategies as st


def parsed(data: bytes, **options: bool) -> Rdb:
    return read_rdb(io.BytesIO(data), **{"digests": True, **options})


def digest_of(data: bytes) -> str:
    """Of database 0."""
    return str(parsed(data).inventory.objects["database 0"]["digest"])


# --- the same content in all its forms

LONG, MIDDLE = b"m" * 20000, b"n" * 300
SAME: dict[str, list[bytes]] = {
    "a string": [key(0, text(b"aaaaaaaaaa")), key(0, literal_lzf(b"aaaaaaaaaa")), key(0, b"\xc3\x05\x0a\x00a\xe0\x00\x00"),
                 key(0, text(b"aaaaaaaaaa"), b"k"), b"\xf8\x05" + key(0, text(b"aaaaaaaaaa")), b"\xf9\x05" + key(0, text(b"aaaaaaaaaa"))],
    "a number": [key(0, text(b"-5")), key(0, b"\xc0\xfb"), key(0, b"\xc1\xfb\xff"), key(0, b"\xc2\xfb\xff\xff\xff")],
    "an end": [b"\xfc" + struct.pack("<q", 5000) + key(0, text(b"v")), b"\xfd" + struct.pack("<i", 5) + key(0, text(b"v"))],
    "a list": [key(1, length(3) + texts(b"a", b"-129", MIDDLE)),
               key(10, text(ziplist(older(b"a"), b"\xc0\x7f\xff", older(MIDDLE)))),
               key(14, length(2) + text(ziplist(older(b"a"))) + text(ziplist(b"\xc0\x7f\xff", older(MIDDLE)))),
               key(18, length(2) + length(2) + text(listpack(small(b"a"), b"\xf1\x7f\xff")) + length(1) + text(MIDDLE)),
               key(18, length(1) + length(2) + literal_lzf(listpack(small(b"a"), b"\xdf\x7f", small(MIDDLE))))],
    "a set": [key(2, length(2) + texts(b"b", b"a")), key(2, length(2) + texts(b"a", b"b")), key(20, text(listpack(small(b"b"), small(b"a"))))],
    "a set of numbers": [key(11, text(intset(2, -1, 5))), key(11, text(intset(4, -1, 5))), key(11, text(intset(8, -1, 5))),
                         key(2, length(2) + texts(b"5", b"-1")), key(20, text(listpack(b"\x05", b"\xdf\xff")))],
    "a hash": [key(4, length(2) + texts(b"f", b"1", LONG, b"")), key(4, length(2) + texts(LONG, b"", b"f", b"1")),
               key(13, text(ziplist(older(b"f"), b"\xf2", older(LONG), older(b"")))),
               key(9, text(b"\x02\x01f\x01\x02" + b"1  " + b"\xfe" + struct.pack("<I", len(LONG)) + LONG + b"\x00\x00\xff")),
               key(16, text(listpack(small(b"f"), b"\x01", small(LONG), small(b"")))),
               key(24, struct.pack("<Q", 0) + length(2) + length(0) + texts(b"f", b"1") + length(0) + texts(LONG, b""))],
    "a hash with ends": [key(24, struct.pack("<Q", 1000) + length(3) + length(1) + texts(b"f", b"1") + length(500) + texts(b"g", b"2")
                             + length(0) + texts(b"h", b"3")),
                         key(25, struct.pack("<Q", 1000) + text(listpack(*map(small, (b"f", b"1", b"1000", b"g", b"2", b"1499", b"h", b"3")), b"\x00"))),
                         key(22, length(3) + length(0) + texts(b"h", b"3") + length(1000) + texts(b"f", b"1") + length(1499) + texts(b"g", b"2")),
                         key(23, text(listpack(*map(small, (b"f", b"1", b"1000", b"g", b"2", b"1499", b"h", b"3", b"0")))))],
    "a sorted set": [key(3, length(4) + text(b"m") + text(b"1.5") + text(b"x") + b"\xff" + text(b"y") + b"\xfe" + text(b"z") + text(b"0")),
                     key(5, length(4) + b"".join(text(name) + struct.pack("<d", score)
                                                 for name, score in ((b"x", float("-inf")), (b"z", -0.0), (b"m", 1.5), (b"y", float("inf"))))),
                     key(12, text(ziplist(*map(older, (b"x", b"-inf", b"z")), b"\xf1", *map(older, (b"m", b"1.5", b"y", b"inf"))))),
                     key(17, text(listpack(*map(small, (b"x", b"-inf", b"z")), b"\x00", *map(small, (b"m", b"1.5", b"y", b"inf")))))],
    "a stream": [key(15, stream(1)), key(19, stream(2)), key(21, stream(3)), key(21, stream(3, seen=1 << 40))],
}  # fmt: skip


@pytest.mark.parametrize("forms", SAME.values(), ids=SAME)
def test_one_content_has_one_digest_in_every_form(forms: list[bytes]) -> None:
    found = [parsed(rdb(form)) for form in forms]
    assert len({one.inventory.digest for one in found}) == 1
    assert all(one.inventory.totals["objects"] == 1 for one in found)


def test_another_content_has_another_digest() -> None:
    others = [forms[0] for forms in SAME.values()] + [
        key(0, text(b"v")), key(0, text(b"v"), b"kv"), key(0, text(b"")), key(0, text(b"kv"), b""), key(0, text(b"v"), b"K"),
        b"\xfc" + struct.pack("<q", 5001) + key(0, text(b"v")),
        key(1, length(3) + texts(b"a", MIDDLE, b"-129")), key(1, length(2) + texts(b"a", b"b")), key(1, length(1) + texts(b"ab")),
        key(1, length(2) + texts(b"ab", b"")),
        key(4, length(1) + texts(b"a", b"b")), key(4, length(1) + texts(b"b", b"a")), key(5, length(1) + text(b"m") + struct.pack("<d", 1.5)),
        key(5, length(1) + text(b"m") + struct.pack("<d", 1.5000000000000002)),
        key(15, stream(1, delivered=8)), key(15, stream(1).replace(b"v1", b"v2")), key(15, stream(1).replace(b"\x01g", b"\x01h")),
        key(15, stream(1).replace(b"\x01c", b"\x01d")), key(24, struct.pack("<Q", 1000) + length(1) + length(1) + texts(b"f", b"1")),
        key(24, struct.pack("<Q", 1001) + length(1) + length(1) + texts(b"f", b"1")), b"\xf5" + text(b"#!lua name=l"), b"",
    ]  # fmt: skip
    found = [parsed(rdb(body)).inventory.digest for body in others]
    assert len(set(found)) == len(others)


def test_the_database_is_part_of_the_content_and_the_order_of_keys_is_not() -> None:
    one, two = key(0, text(b"1"), b"a"), key(0, text(b"2"), b"b")
    first = parsed(rdb(one + two)).inventory
    assert parsed(rdb(two + one)).inventory == first
    assert parsed(rdb(b"\xfe\x00" + two + b"\xfe\x00" + one)).inventory == first
    apart = parsed(rdb(one + b"\xfe\x05" + two)).inventory
    assert set(apart.objects) == {"database 0", "database 5"} and apart.digest != first.digest
    assert apart.objects["database 5"]["digest"] == digest_of(rdb(two))
    assert parsed(rdb(two + two)).inventory.digest != first.digest


def test_strings_of_lists_of_many_parts_are_told_apart() -> None:
    lists = [[b"a"] * 20, [b"a"] * 21, [b"aa", b""] + [b"a"] * 18, [b"a"] * 19 + [b"b"]]
    found = [digest_of(rdb(key(1, length(len(parts)) + texts(*parts)))) for parts in lists]
    assert len(set(found)) == len(lists)


def test_what_it_counts() -> None:
    name = length(0x8120000000000402)
    module = name + length(2) + length(7) + length(4) + struct.pack("<d", 1.0) + length(3) + struct.pack("<f", 1.0) + length(5) + text(b"x") + length(0)
    aux = b"\xf7" + name + length(2) + length(1) + length(2) + length(4) + length(0)
    body = (
        b"\xfb\x0a\x01\xf4\x05\x01\x00" + b"".join(key(*pair, name=b"%d" % at) for at, pair in enumerate([
            (0, text(b"1")), (0, text(b"2")), (1, length(0)), (2, length(0)), (4, length(0)), (5, length(0)), (21, stream(3)), (15, stream(1)), (7, module)]))
        + b"\xfc" + struct.pack("<q", 1) + key(0, text(b"3"), b"z") + b"\xf5" + text(b"#!lua name=l") + aux
    )  # fmt: skip
    for digests in (True, False):
        found = parsed(rdb(body, 12), digests=digests)
        assert (found.version, found.redis_version, found.created_at, found.checked) == (12, "7.0.15", 1700000000.0, True)
        figures = dict(found.inventory.objects["database 0"])
        assert bool(figures.pop("digest", "")) is bool(found.inventory.digest) is digests
        kinds = {"expires": 1, "strings": 3, "lists": 1, "sets": 1, "hashes": 1, "sorted_sets": 1, "streams": 2, "modules": 1}
        assert figures == {"keys": 10, **kinds}
        assert found.inventory.totals == {"objects": 10, "rows": 10, **kinds, "libraries": 1}
        assert found.inventory.objects["functions"]["libraries"] == 1
        assert len(found.notes) == 1 and "module gSAAAAAAB" in found.notes[0]


def test_an_empty_file_has_no_database() -> None:
    found = parsed(rdb(b"", aux={}))
    assert (found.inventory.objects, found.inventory.totals) == ({}, {"objects": 0, "rows": 0})
    assert (found.redis_version, found.created_at, found.aux) == ("", None, {})


def test_other_counts_than_it_says_are_a_note() -> None:
    assert parsed(rdb(b"\xfb\x01\x00" + key(0, text(b"1")))).notes == []
    assert parsed(rdb(b"\xfb\x02\x01" + key(0, text(b"1")))).notes == ["database 0 has 1 keys and 0 with an end, and says 2 and 1"]


def test_aux_is_kept_only_where_it_is_short_and_no_script() -> None:
    found = parsed(rdb(b"", aux={"lua": "return 1", "x": "y" * 5000, "a": "\u00e4"}))
    assert found.aux == {"a": "\u00e4"}


@pytest.mark.parametrize("version", KNOWN)
def test_every_version(version: int) -> None:
    found = parsed(rdb(key(0, text(b"v")), version))
    assert (found.version, found.checked) == (version, version >= 5)
    assert bool(found.notes) is (version < 5)


# --- faults


def small_file(summed: bool = True) -> bytes:
    keys = [key(0, text(b"v")), key(11, text(intset(2, -1, 5))), key(15, stream(1)), key(17, text(listpack(small(b"m"), b"\x01"))),
            key(12, text(ziplist(older(b"m"), b"\xf1"))), key(18, length(1) + length(2) + text(listpack(small(b"a")))),
            key(9, text(b"\x01\x01f\x01\x00v\xff")), b"\xfc" + struct.pack("<q", 5000) + key(0, b"\xc0\xfb"),
            key(0, b"\xc3\x05\x0a\x00a\xe0\x00\x00"), key(5, length(1) + text(b"m") + struct.pack("<d", 1.5))]  # fmt: skip
    return rdb(b"".join(keys), 11, summed)


CODES = ("corrupt", "unknown_format")


@pytest.mark.parametrize("digests", [False, True])
def test_every_flipped_bit_is_found(digests: bool) -> None:
    whole = small_file()
    assert parsed(whole, digests=digests).checked
    for bit in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerifyFailed) as raised:
            parsed(bytes(broken), digests=digests)
        assert raised.value.code in CODES and raised.value.hint


@pytest.mark.parametrize("summed", [False, True])
def test_every_cut_and_every_addition_is_found(summed: bool) -> None:
    whole = small_file(summed)
    for size in range(len(whole)):
        with pytest.raises(VerifyFailed) as raised:
            parsed(whole[:size])
        assert raised.value.code == "corrupt"
    with pytest.raises(VerifyFailed, match="goes on after its end"):
        parsed(whole + b"\x00")


def test_a_file_without_a_checksum_says_so_and_never_breaks_the_reader() -> None:
    whole = small_file(summed=False)
    assert parsed(whole).checked is False and "no checksum" in parsed(whole).notes[0]
    for digests in (False, True):
        for bit in range(8 * (len(whole) - 8)):
            broken = bytearray(whole)
            broken[bit // 8] ^= 1 << bit % 8
            try:
                assert parsed(bytes(broken), digests=digests).checked is False
            except VerifyFailed as error:
                assert error.code in CODES


def test_the_checksum_can_be_left_out() -> None:
    broken = bytearray(rdb(key(0, text(b"value"))))
    broken[-12] ^= 1
    found = parsed(bytes(broken), checksum=False)
    assert found.checked is False and found.notes == ["its checksum was not looked at"]


@given(st.binary(max_size=300), st.sampled_from(sorted(TYPES)), st.booleans())
def test_no_content_breaks_the_reader(noise: bytes, code: int, packed: bool) -> None:
    body = key(code, text(noise) if packed else noise)
    for digests in (False, True):
        try:
            parsed(rdb(body, summed=False), digests=digests)
        except VerifyFailed as error:
            assert error.code in CODES


@given(st.sampled_from([form for forms in SAME.values() for form in forms if len(form) < 1000]), st.data())
def test_no_damage_within_values_breaks_the_reader(form: bytes, data: st.DataObject) -> None:
    broken = bytearray(form)
    for _unused in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(form) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed(rdb(bytes(broken), summed=False))
    except VerifyFailed as error:
        assert error.code in CODES


HUGE = b"\x81" + struct.pack(">Q", 1 << 62)


@pytest.mark.parametrize(
    "body",
    [key(0, HUGE + b"x"), b"\x00" + HUGE, key(0, b"\xc3" + HUGE + HUGE + b"x"), key(0, b"\xc3\x05" + HUGE + b"xxxxx"),
     *(key(code, HUGE) for code in range(1, 6)),
     key(14, HUGE), key(18, HUGE), key(15, HUGE), key(15, length(0) + length(0) * 3 + HUGE), key(24, bytes(8) + HUGE), b"\xfa" + HUGE, b"\xf5" + HUGE,
     key(7, length(1) + length(5) + HUGE), key(5, length(1) + HUGE), key(20, text(b"\xf0\xff\xff\xff" * 4))],
)  # fmt: skip
@pytest.mark.parametrize("digests", [False, True])
def test_what_a_length_claims_is_not_allocated(body: bytes, digests: bool) -> None:
    whole = rdb(body, summed=False)
    tracemalloc.start()
    try:
        if digests or body[0] != 20:
            with pytest.raises(VerifyFailed):
                parsed(whole, digests=digests)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


class Slow:
    """A stream that gives ever different amounts."""

    def __init__(self, data: bytes, seed: int = 0) -> None:
        self._file = io.BytesIO(data)
        self._random = random.Random(seed)

    def read(self, size: int) -> bytes:
        return self._file.read(self._random.randint(1, max(1, min(size, 70000))))


def test_a_large_file_is_read_in_pieces() -> None:
    body = b"".join(key(0, text(bytes([at]) * 1500000), b"%d" % at) for at in range(5)) + b"".join(key(0, text(b"v"), b"x%d" % at) for at in range(50000))
    head = b"REDIS0010\xfe\x00" + body + b"\xff"
    whole = head + struct.pack("<Q", crc64(head))
    found = read_rdb(Slow(whole), digests=True)
    assert found.checked and found.inventory.totals["objects"] == 50005
    assert found.inventory == read_rdb(io.BytesIO(whole), digests=True).inventory
    assert read_rdb(Slow(whole, 1)).inventory.totals == found.inventory.totals
    broken = bytearray(whole)
    broken[3000000] ^= 4
    with pytest.raises(VerifyFailed):
        read_rdb(Slow(bytes(broken)))


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (b"", "corrupt", "empty, or shorter"),
        (b"REDIS", "corrupt", "empty, or shorter"),
        (b"PGDMP\x01\x0e\x00\x04\x08", "corrupt", "no RDB file"),
        (b"REDIS00x1\xff", "corrupt", "no RDB file"),
        (b"VALKEY080\xff", "unknown_format", "of Valkey"),
        (b"REDIS0013\xff" + bytes(8), "unknown_format", "format 13"),
        (b"REDIS0002\xff" + bytes(8), "unknown_format", "format 2"),
        (rdb(key(6, text(b"v"))), "unknown_format", "unknown type 6"),
        (rdb(key(26, text(b"v"))), "unknown_format", "unknown type 26"),
        (rdb(b"\xf6" + text(b"l")), "unknown_format", "functions"),
        (rdb(key(7, length(1) + length(6))), "unknown_format", "unknown form 6"),
        (rdb(key(16, text(listpack(b"\x01")))), "corrupt", "odd number"),
        (rdb(key(17, text(listpack(b"\x01", small(b"x"))))), "corrupt", "no number"),
        (rdb(key(3, length(1) + text(b"m") + text(b"x"))), "corrupt", "no number"),
        (rdb(key(18, length(1) + length(3) + text(listpack(b"\x01")))), "corrupt", "form 3"),
        (rdb(key(23, text(listpack(b"\x01", b"\x01")))), "corrupt", "end at an instant"),
        (rdb(key(0, b"\xc4")), "corrupt", "no string"),
        (rdb(key(0, b"\x82")), "corrupt", "no length"),
        (rdb(b"\xfe\xc0"), "corrupt", "no length"),
        (rdb(key(0, b"\xc3\x05\x0b\x00a\xe0\x00\x00")), "corrupt", "compressed data"),
        (rdb(key(0, b"\xc3\x02\x0a\x20\x05")), "corrupt", "compressed data"),
        (rdb(key(10, text(b"short"))), "corrupt", "ziplist"),
        (rdb(key(15, length(1) + text(b"id") + text(listpack(b"\x01")))), "corrupt", "id of 2 bytes"),
        (rdb(key(15, length(1) + text(ID) + text(listpack(b"\x01")))), "corrupt", "part of a stream"),
        (rdb(b"")[:-8] + b"\x01" * 8, "corrupt", "checksum"),
    ],
)  # fmt: skip
def test_what_is_no_good(data: bytes, code: str, told: str) -> None:
    with pytest.raises(VerifyFailed, match=told) as raised:
        parsed(data)
    assert raised.value.code == code


@pytest.mark.parametrize("digests", [False, True])
def test_many_values_take_no_more_room_than_one(digests: bool) -> None:
    body = b"".join(key(0, text(bytes([at]) * 2000000), b"%d" % at) for at in range(20))
    stream_of_them = io.BytesIO(rdb(body, summed=False))
    tracemalloc.start()
    try:
        assert read_rdb(stream_of_them, digests).inventory.totals["strings"] == 20
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


# --- the pieces


def test_the_checksum_of_the_source_code_of_redis() -> None:
    assert crc64(b"123456789") == plain_crc(b"123456789") == 0xE9C6D914C4B8D9CA


def test_the_multiple_is_one() -> None:
    """x to each exponent, modulo the polynomial: together nothing."""
    remainder, power = 0, 1
    for exponent in range(MULTIPLE[0] + 1):
        remainder ^= power if exponent in MULTIPLE else 0
        power <<= 1
        if power >> 64:
            power ^= 1 << 64 | 0xAD93D23594C935A9
    assert remainder == 0 and list(MULTIPLE) == sorted(MULTIPLE, reverse=True) and MULTIPLE[-1] == 0


@settings(max_examples=30)
@given(st.integers(0, 1 << 32), st.integers(0, (1 << 64) - 1), st.one_of(st.integers(0, 40), st.integers(6000, 9000), st.integers(9000, 40000)))
@example(1, 0, 6476)
@example(1, 0, 6477)
@example(2, 5, 120000)
def test_the_checksum_is_that_of_single_bits(seed: int, before: int, size: int) -> None:
    data = random.Random(seed).randbytes(size)
    assert crc64(data, before) == plain_crc(data, before)
    half = size // 2
    assert crc64(data[half:], crc64(data[:half], before)) == crc64(data, before)


def test_compressed_data() -> None:
    assert expanded(b"\x02abc", 3) == b"abc"
    assert expanded(b"\x02abc\x20\x02", 6) == b"abcabc"
    assert expanded(b"\x00a\xe0\xff\x00", 265) == b"a" * 265
    assert expanded(b"\x01ab\xe0\x01\x01", 12) == b"ab" * 6
