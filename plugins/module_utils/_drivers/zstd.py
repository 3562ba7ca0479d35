# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zstandard (RFC 8878) by the library python-zstandard: what is stored is one frame that zstd(1) unpacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.backup_types import Reader, Stream
from .._core.errors import InvalidInput, MissingLibrary
from .._core.transfer import Compressor, Corrupt, NotOpened

_READ = 1 << 17
_LARGEST_WINDOW = 1 << 27
"""What zstd(1) unpacks without being told to; no level we write needs more."""


def _library() -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingLibrary("zstandard", "python3-zstandard", "to compress and unpack backups") from None
    return zstandard


class Zstd:
    """``level`` 1 (fast) to 19 (small); ``threads`` beside our own that compress (0: none)."""

    suffix = "zst"
    facts: Mapping[str, Any] = {"compression": "zstd"}

    def __init__(self, level: int = 1, threads: int = 0) -> None:
        if not 1 <= level <= 19:
            raise InvalidInput(f"compression_level must be between 1 and 19, not {level}", "1 is fast and nearly always right")
        self._level, self._threads = level, threads

    def compressor(self) -> Compressor:
        """For one frame, with a checksum of its own."""
        return _Packing(self._level, self._threads)

    def check(self) -> None:
        """Nothing that could be wrong."""

    def admit(self, part: Mapping[str, Any]) -> str:
        """Only what is packed like this. Raises NotOpened."""
        if part["compression"] != self.facts["compression"]:
            raise NotOpened(f"{part['name']} is packed as {part['compression']}, which is not known here", "use the release of the collection that wrote it")
        return ""

    def reader(self, stream: Stream, part: Mapping[str, Any]) -> Reader:
        """Unpacks in bounded memory, whatever the frame claims."""
        self.admit(part)
        return _Unpacked(stream)


class _Packing:
    def __init__(self, level: int, threads: int) -> None:
        frame = _library().ZstdCompressor(level=level, threads=threads, write_checksum=True).compressobj()
        self.compress, self.flush = frame.compress, frame.flush

    def close(self) -> None:
        pass


class _Unpacked:
    def __init__(self, stream: Stream) -> None:
        library = _library()
        self._error = library.ZstdError
        self._reader = library.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(stream, read_size=_READ)

    def read(self, size: int) -> bytes:
        try:
            block: bytes = self._reader.read(size)
        except self._error as error:
            raise Corrupt(f"what is stored cannot be unpacked: {error}", "take another backup; see the disk and what writes there") from None
        return block

    def close(self) -> None:
        pass
