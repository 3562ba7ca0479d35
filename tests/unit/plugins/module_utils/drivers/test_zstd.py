# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored is one frame that zstd(1) unpacks; what was changed since never unpacks to something else in silence."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
from typing import Any

import pytest
import zstandard

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, MissingLibrary
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Corrupt, NotOpened, drain
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd

PART: dict[str, Any] = {"name": "x.data.sqlite.zst", "compression": "zstd"}
BODIES = {"nothing": b"", "a byte": b"x", "text": b"some text " * 10_000, "noise": os.urandom(300_000), "zeros": bytes(5 << 20)}


def packed(body: bytes, level: int = 1, threads: int = 0) -> bytes:
    compressor = Zstd(level, threads).compressor()
    parts = [compressor.compress(body[start : start + 70_001]) for start in range(0, len(body), 70_001)]
    return b"".join([*parts, compressor.flush()])


def unpacked(frame: bytes, size: int = 10_007) -> bytes:
    stream = Zstd().reader(io.BytesIO(frame), PART)
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("level", "threads"), [(1, 0), (3, 2), (19, 0)])
def test_there_and_back(body: bytes, level: int, threads: int) -> None:
    frame = packed(body[: 1 << 20], level, threads)
    assert unpacked(frame) == body[: 1 << 20]
    assert zstandard.get_frame_parameters(frame).has_checksum, "the frame carries a checksum of its own"


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the program zstd is not installed")
@pytest.mark.parametrize("level", [1, 19])
def test_the_program_unpacks_it(level: int) -> None:
    body = BODIES["text"] + BODIES["noise"]
    found = subprocess.run(["zstd", "--decompress", "--stdout"], input=packed(body, level), capture_output=True, check=True, timeout=30)
    assert found.stdout == body


def test_each_compressor_makes_its_own_frame() -> None:
    codec = Zstd()
    first, second = codec.compressor(), codec.compressor()
    frames = [first.compress(b"one") + first.flush(), second.compress(b"two") + second.flush()]
    assert [unpacked(frame) for frame in frames] == [b"one", b"two"]
    assert (codec.suffix, codec.facts) == ("zst", {"compression": "zstd"})


@pytest.mark.parametrize("level", [0, 20, -1, 100])
def test_levels_that_are_none(level: int) -> None:
    with pytest.raises(InvalidInput, match="between 1 and 19"):
        Zstd(level)


@pytest.mark.parametrize("frame", [b"no frame at all", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd" + b"\xff" * 40], ids=["text", "a magic number", "nonsense"])
def test_what_is_no_frame(frame: bytes) -> None:
    if len(frame) == 4:
        assert unpacked(frame) == b"", "an end too early is for the digests to see"
        return
    with pytest.raises(Corrupt, match="cannot be unpacked"):
        unpacked(frame)


def test_changed_frames_never_unpack_to_something_else_of_the_same_length() -> None:
    frame, chance, silent = packed(BODIES["text"][:5000] + BODIES["noise"][:5000]), random.Random(1), 0
    for _number in range(300):
        changed = bytearray(frame)
        changed[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
        try:
            body = unpacked(bytes(changed))
        except Corrupt:
            continue
        silent += 1
        assert len(body) < 10_000 or body == BODIES["text"][:5000] + BODIES["noise"][:5000]
    assert silent < 30


def test_what_stands_after_the_frame_is_not_lost() -> None:
    assert unpacked(packed(b"one") + packed(b"two")) == b"onetwo", "so that its length shows it"
    with pytest.raises(Corrupt):
        unpacked(packed(b"one") + b"garbage")


def test_a_frame_that_claims_much_takes_little_memory() -> None:
    code = f"""import io, resource, sys
sys.path[:0] = {sys.path!r}
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Corrupt, drain
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
import zstandard
small = Zstd().compressor()
bomb = b"".join(small.compress(bytes(1 << 20)) for _number in range(512)) + small.flush()
assert len(bomb) < 1 << 20
wide = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)).compressobj()
wide = wide.compress(bytes(100)) + wide.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert drain(Zstd().reader(io.BytesIO(bomb), {PART!r})) == 512 << 20
try:
    drain(Zstd().reader(io.BytesIO(wide), {PART!r}))
except Corrupt as error:
    print("refused", error)
print("grown", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    refused, grown = found.stdout.splitlines()
    assert refused.startswith("refused") and int(grown.split()[1]) < 64, found


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for use in (lambda: Zstd().compressor(), lambda: Zstd().reader(io.BytesIO(b""), PART)):
        with pytest.raises(MissingLibrary, match="zstandard") as caught:
            use()
        assert "python3-zstandard" in caught.value.hint


def test_draining_counts() -> None:
    assert drain(Zstd().reader(io.BytesIO(packed(BODIES["zeros"])), PART)) == 5 << 20


@pytest.mark.parametrize("other", ["lz4", "zstd+age", ""])
def test_what_is_packed_otherwise_is_refused_and_not_called_damaged(other: str) -> None:
    with pytest.raises(NotOpened, match="not known here"):
        Zstd().reader(io.BytesIO(packed(b"x")), {**PART, "compression": other})
