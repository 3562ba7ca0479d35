# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a source into a repository and back: one pass, digests of what was read and of what was stored.

read -> SHA-256 of the plain bytes -> compress -> SHA-256 of the stored bytes -> write. Nothing is kept but one block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Protocol

from .backup_types import Reader, Sink, Stream
from .errors import Refused, VerifyFailed

BLOCK = 1 << 20


class Corrupt(VerifyFailed):
    """What is stored is not what was written."""

    code = "corrupt"


class NotOpened(Refused):
    """What is stored cannot be unpacked here: that says nothing of what it is worth."""

    code = "not_opened"


class Compressor(Protocol):
    """One frame."""

    def compress(self, data: bytes) -> bytes:
        """What can be written already."""

    def flush(self) -> bytes:
        """The rest."""

    def close(self) -> None:
        """Give up what it was made with, on every way out."""


class Codec(Protocol):
    """A way to pack: ``suffix`` of the file (``zst``), and both directions. Raises MissingLibrary.

    ``facts`` is what a part of a manifest says of it: ``compression`` (``zstd``), and ``recipients`` where it is encrypted to somebody.
    """

    suffix: str
    facts: Mapping[str, Any]

    def compressor(self) -> Compressor:
        """For one frame."""

    def check(self) -> None:
        """Raises when it is known beforehand that it cannot pack, as for recipients that are none."""

    def admit(self, part: Mapping[str, Any]) -> str:
        """The public key of the identity that opens ``part`` here; "" where none is needed, or where that is not known beforehand.

        Raises NotOpened when it is known from the manifest that it cannot be unpacked here.
        """

    def reader(self, stream: Stream, part: Mapping[str, Any]) -> Reader:
        """The plain bytes of the stored ones of ``part``. Raises Corrupt, NotOpened."""


def store(stream: Stream, sink: Sink, codec: Codec, progress: Callable[[int], None]) -> dict[str, Any]:
    """Copy all of ``stream``; what a part of a manifest says about the bytes. ``progress`` hears how many plain bytes were read so far."""
    plain, stored = hashlib.sha256(), hashlib.sha256()
    plain_bytes = stored_bytes = 0
    with closing(codec.compressor()) as compressor:
        while True:
            block = stream.read(BLOCK)
            packed = compressor.compress(block) if block else compressor.flush()
            plain.update(block)
            if packed:
                stored.update(packed)
                sink.write(packed)
            plain_bytes, stored_bytes = plain_bytes + len(block), stored_bytes + len(packed)
            progress(plain_bytes)
            if not block:
                break
    digests = {"plain_sha256": plain.hexdigest(), "stored_sha256": stored.hexdigest()}
    return {**codec.facts, "plain_bytes": plain_bytes, "stored_bytes": stored_bytes, **digests}


class Body:
    """Bytes that are there already, as a stream."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    def read(self, size: int) -> bytes:
        """Part of the rest."""
        block, self._rest = self._rest[:size], self._rest[size:]
        return block


class Counted:
    """A stream whose bytes are counted and digested as they pass; more than it should have is refused."""

    def __init__(self, stream: Stream, most: int, what: str) -> None:
        self._stream, self._most, self._what = stream, most, what
        self._digest = hashlib.sha256()
        self.count = 0

    def read(self, size: int) -> bytes:
        """Raises Corrupt for a stream that is too long."""
        block = self._stream.read(size)
        self.count += len(block)
        if self.count > self._most:
            raise Corrupt(f"{self._what} is longer than it was", "take another backup")
        self._digest.update(block)
        return block

    def verify(self, expected: str) -> None:
        """At the end. Raises Corrupt unless all bytes came, as they were."""
        if self.count != self._most or self._digest.hexdigest() != expected:
            seen = "other bytes" if self.count == self._most else f"{self.count} bytes instead of {self._most}"
            raise Corrupt(f"{self._what} has {seen}: it is not what was written", "take another backup; see the disk and what writes there")


class Part:
    """A stored part, unpacked while it is read; the end comes only after both digests were right. Raises Corrupt otherwise."""

    def __init__(self, reader: Reader, part: Mapping[str, Any], codec: Codec, progress: Callable[[int], None]) -> None:
        self._part, self._progress = part, progress
        self._stored = Counted(reader, part["stored_bytes"], part["name"])
        self._unpacked = codec.reader(self._stored, part)
        self._plain = Counted(self._unpacked, part["plain_bytes"], f"what {part['name']} unpacks to")
        self._ended = False

    def read(self, size: int) -> bytes:
        """Plain bytes."""
        if self._ended or not size:
            return b""
        try:
            block = self._plain.read(size)
        except NotOpened:  # where the bytes are not those that were written, that is why
            self._verify_stored()
            raise
        self._progress(self._plain.count)
        if not block:
            self._verify_stored()
            self._plain.verify(self._part["plain_sha256"])
            self._ended = True
        return block

    def close(self) -> None:
        """Give up what it was unpacked with; the stored part stays open."""
        self._unpacked.close()

    def _verify_stored(self) -> None:
        drain(self._stored)  # what stands after the end of the frame counts, too
        self._stored.verify(self._part["stored_sha256"])


def drain(stream: Stream) -> int:
    """Read to the end; how many bytes that were."""
    count = 0
    while True:
        block = stream.read(BLOCK)
        if not block:
            return count
        count += len(block)


def check_stored(reader: Reader, part: Mapping[str, Any], progress: Callable[[int], None]) -> None:
    """Proof of level ``digest``. Raises Corrupt."""
    stored = Counted(reader, part["stored_bytes"], part["name"])
    while stored.read(BLOCK):
        progress(stored.count)
    stored.verify(part["stored_sha256"])
