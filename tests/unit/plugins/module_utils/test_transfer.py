# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a source into a repository and back: whatever was changed meanwhile is seen before its end is reached."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import Bench, prove_readable, prove_stored
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import BLOCK, Body, Corrupt, Counted, NotOpened, Part, check_stored, drain, store
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd

CHANGES = 1000
TEXT = b"an order of 100 shares\n" * 3000 + random.Random(7).randbytes(30_000)


class Sink(io.BytesIO):
    """Takes bytes."""


def stored(body: bytes, codec: Any = None) -> tuple[bytes, dict[str, Any]]:
    sink = Sink()
    figures = store(Body(body), sink, codec or Zstd(), lambda count: None)
    return sink.getvalue(), {"name": "x.data.sqlite.zst", **figures}


def read(body: bytes, part: dict[str, Any], size: int = 65_536) -> bytes:
    stream = Part(io.BytesIO(body), part, Zstd(), lambda count: None)
    return b"".join(iter(lambda: stream.read(size), b""))


class Slow:
    """A stream that gives less than it is asked for, as pipes do."""

    def __init__(self, body: bytes) -> None:
        self._file = io.BytesIO(body)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 1000))

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("body", [b"x", TEXT, bytes(3 * BLOCK + 1)], ids=["a byte", "text", "zeros"])
def test_what_a_part_says_of_the_bytes(body: bytes) -> None:
    packed, part = stored(body)
    assert part == {
        "name": "x.data.sqlite.zst", "compression": "zstd", "plain_bytes": len(body), "stored_bytes": len(packed),
        "plain_sha256": hashlib.sha256(body).hexdigest(), "stored_sha256": hashlib.sha256(packed).hexdigest(),
    }  # fmt: skip
    assert read(packed, part) == body
    check_stored(io.BytesIO(packed), part, lambda count: None)


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_any_bytes_in_any_pieces(body: bytes, size: int) -> None:
    sink = Sink()
    part = {"name": "x", **store(Slow(body), sink, Zstd(), lambda count: None)}
    stream = Part(Slow(sink.getvalue()), part, Zstd(), lambda count: None)
    assert b"".join(iter(lambda: stream.read(size), b"")) == body
    assert stream.read(size) == b"", "the end stays the end"


def test_progress_is_told_as_it_is_made() -> None:
    told: list[int] = []
    sink = Sink()
    part = {"name": "x", **store(Body(bytes(2 * BLOCK + 5)), sink, Zstd(), told.append)}
    assert told == [BLOCK, 2 * BLOCK, 2 * BLOCK + 5, 2 * BLOCK + 5]
    seen: list[int] = []
    assert drain(Part(io.BytesIO(sink.getvalue()), part, Zstd(), seen.append)) == 2 * BLOCK + 5
    assert seen[-1] == 2 * BLOCK + 5 and seen == sorted(seen)
    noise, other = stored(random.Random(1).randbytes(2 * BLOCK))
    seen = []
    check_stored(io.BytesIO(noise), other, seen.append)
    assert seen[-1] == other["stored_bytes"] and len(seen) >= 2


def test_nothing_is_kept_but_one_block() -> None:
    class Endless:
        def __init__(self) -> None:
            self.left = 200

        def read(self, size: int) -> bytes:
            assert size <= BLOCK
            self.left -= 1
            return bytes(size) if self.left >= 0 else b""

    class Nowhere:
        largest = 0

        def write(self, data: bytes) -> None:
            self.largest = max(self.largest, len(data))

    sink = Nowhere()
    assert store(Endless(), sink, Zstd(), lambda count: None)["plain_bytes"] == 200 * BLOCK
    assert sink.largest <= 2 * BLOCK


def test_a_body_in_pieces() -> None:
    body = Body(b"abcdef")
    assert [body.read(4), body.read(4), body.read(4)] == [b"abcd", b"ef", b""]


def test_counting() -> None:
    counted = Counted(io.BytesIO(b"abc"), 3, "it")
    with pytest.raises(Corrupt, match="it has 0 bytes instead of 3"):
        counted.verify(hashlib.sha256(b"abc").hexdigest())
    assert counted.read(10) == b"abc" and counted.count == 3
    counted.verify(hashlib.sha256(b"abc").hexdigest())
    with pytest.raises(Corrupt, match="it has other bytes"):
        counted.verify(hashlib.sha256(b"abd").hexdigest())
    with pytest.raises(Corrupt, match="it is longer than it was"):
        Counted(io.BytesIO(b"abcd"), 3, "it").read(10)


def changes(body: bytes) -> Any:
    """A thousand ways in which stored bytes go bad, each with its name."""
    chance = random.Random(20261120)
    for number in range(CHANGES):
        kind = ("flip", "flip", "cut", "zero", "append", "double", "swap")[number % 7]
        changed = bytearray(body)
        place = chance.randrange(len(body))
        if kind == "flip":
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del changed[place:]
        elif kind == "zero":
            changed[place : place + 64] = bytes(len(changed[place : place + 64]))
        elif kind == "append":
            changed += chance.randbytes(chance.randrange(1, 50))
        elif kind == "double":
            changed += body
        else:
            other = chance.randrange(len(body))
            changed[place], changed[other] = changed[other], changed[place]
        if bytes(changed) != body:
            yield f"{kind} {number}", bytes(changed)


def test_a_thousand_changes_of_stored_data_are_all_seen(tmp_path: Path) -> None:
    packed, part = stored(TEXT)
    repository = Directory({"path": str(tmp_path / "repository")})
    repository.initialize()
    repository.create("p/x.data.sqlite.zst", packed)
    file = tmp_path / "repository/p/x.data.sqlite.zst"
    artifact = Artifact("20261120T021500Z-7f3a9c1e", "p/", {}, {"parts": [part]})
    bench = Bench(repository, Zstd(), lambda: 0.0)
    prove_stored(artifact, bench)
    prove_readable(artifact, bench)
    tried, missed = 0, []
    for what, changed in changes(packed):
        tried += 1
        file.write_bytes(changed)
        for level in (prove_stored, prove_readable):
            try:
                level(artifact, bench)
            except Corrupt:
                continue
            missed.append((what, level.__name__))
    assert missed == [] and tried > 0.95 * CHANGES, (missed, tried)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("plain_sha256", "0" * 64, "what x.data.sqlite.zst unpacks to has other bytes"),
        ("stored_sha256", "0" * 64, "x.data.sqlite.zst has other bytes"),
        ("plain_bytes", len(TEXT) - 1, "is longer than it was"),
        ("plain_bytes", len(TEXT) + 1, "bytes instead of"),
        ("plain_bytes", -1, "is longer than it was"),
        ("stored_bytes", 5, "is longer than it was"),
        ("stored_bytes", 10**9, "bytes instead of"),
    ],
)
def test_a_manifest_that_says_something_else(name: str, value: Any, message: str) -> None:
    packed, part = stored(TEXT)
    with pytest.raises(Corrupt, match=message) as caught:
        read(packed, {**part, name: value})
    assert caught.value.code == "corrupt" and caught.value.hint


def test_a_second_frame_behind_the_first_is_seen() -> None:
    packed, part = stored(TEXT)
    more, _part = stored(b"more")
    for behind in (more, b"garbage", bytes(2 * BLOCK)):
        with pytest.raises(Corrupt):
            read(packed + behind, part)


def test_a_bomb_ends_where_the_manifest_ends() -> None:
    packed, part = stored(bytes(64 << 20))
    assert len(packed) < 20_000
    delivered = 0
    stream = Part(io.BytesIO(packed), {**part, "plain_bytes": 1000}, Zstd(), lambda count: None)
    with pytest.raises(Corrupt, match="is longer than it was"):
        while True:
            delivered += len(stream.read(500))
    assert delivered <= 1000


# --- packing that holds something ----------------------------------------------------------------------------------------------------


class Holding(Zstd):
    """Counts what was begun and not given up."""

    held = 0

    def compressor(self) -> Any:
        return Held(self, super().compressor())

    def reader(self, stream: Any, part: Any) -> Any:
        return Held(self, super().reader(stream, part))


class Held:
    def __init__(self, owner: Holding, inner: Any) -> None:
        self._owner, self._inner = owner, inner
        owner.held += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def close(self) -> None:
        self._owner.held -= 1


class Locked(Zstd):
    """Opens nothing."""

    def reader(self, stream: Any, part: Any) -> Any:
        stream.read(10)
        return self

    def read(self, size: int) -> bytes:
        raise NotOpened("it is locked")


class Broken:
    def read(self, size: int) -> bytes:
        raise OSError("the source broke")


def test_what_packs_is_given_up_on_every_way_out() -> None:
    codec = Holding()
    packed, part = stored(TEXT, codec)
    assert codec.held == 0
    with pytest.raises(OSError, match="the source broke"):
        store(Broken(), Sink(), codec, lambda count: None)
    assert codec.held == 0
    stream = Part(io.BytesIO(packed), part, codec, lambda count: None)
    assert stream.read(10) and codec.held == 1
    stream.close()
    assert codec.held == 0


def test_what_cannot_be_opened_is_called_damaged_only_when_it_is() -> None:
    packed, part = stored(TEXT)
    for body, error in ((packed, NotOpened), (packed[:-1], Corrupt), (packed[:-1] + b"?", Corrupt), (packed + b"?", Corrupt)):
        with pytest.raises(error):
            Part(io.BytesIO(body), part, Locked(), lambda count: None).read(100)
