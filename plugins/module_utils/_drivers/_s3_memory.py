# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host remembers of a bucket: who works there (flock(2)), and the uploads that are open, so that a killed run leaves none behind."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .._core.errors import Busy
from ._disk import disk_errors, new_file, sync_folder


class Memory:
    """``folder`` is made on demand, for its owner alone; ``place`` names the bucket and the prefix in it."""

    def __init__(self, folder: str, place: str) -> None:
        self._folder = folder
        self._place = place

    @contextmanager
    def locked(self, prefix: str) -> Iterator[None]:
        """Raises Busy. On this host only: a lock in the bucket would need a right to delete, which writers should not have."""
        path = f"{self._beginning(prefix)}.lock"
        with disk_errors(path):
            self._make()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with disk_errors(path):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Busy(f"another backup or cleanup works in {self._place}{prefix}", "wait until it is done") from None
            yield
        finally:
            os.close(descriptor)

    def begin(self, prefix: str, key: str) -> str:
        """Before an upload is opened; the path of the note about it."""
        path = f"{self._beginning(prefix)}.{secrets.token_hex(8)}.upload"
        with disk_errors(path):
            self._make()
            self._add(new_file(path), key)
            sync_folder(self._folder)
        return path

    def opened(self, path: str, upload_id: str) -> None:
        """Once its id is known, before the first part."""
        with disk_errors(path):
            self._add(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC), upload_id)

    def left_open(self, prefix: str) -> Iterator[tuple[str, str, str]]:
        """Path of the note, key, upload id (``""`` when it is not known). Only while locked: else they are of one who works."""
        for path in sorted(glob.glob(f"{glob.escape(self._beginning(prefix))}.*.upload")):
            with disk_errors(path), open(path, encoding="utf-8") as file:
                lines = [*file.read().splitlines(), "", ""]
            yield path, lines[0], lines[1]

    @staticmethod
    def ended(path: str) -> None:
        """Nothing of it is open any more."""
        with suppress(OSError):  # the next one finds the upload gone
            os.unlink(path)

    def _beginning(self, prefix: str) -> str:
        return os.path.join(self._folder, hashlib.sha256(f"{self._place}{prefix}".encode()).hexdigest()[:24])

    def _make(self) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)

    @staticmethod
    def _add(descriptor: int, line: str) -> None:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
