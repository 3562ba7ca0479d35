# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a restored data directory in the place of a live one whose server is stopped, and takes that back, also when it was cut off anywhere.

Both are exchanged in one step: at any moment the old one or the new one is there. The old one is kept as ``<data_dir>.before-<tag>``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._core.errors import RunbookError
from ._disk import disk_errors
from ._pgbackrest_staging import ASIDE, Staging
from ._tree_rename import Place, Step, put, take_back

_JOURNAL = "swap"


class Swap:
    """Of the data directory ``path``, by the restore ``tag``."""

    def __init__(self, path: str, staging: Staging, tag: str) -> None:
        self._path, self._staging, self._tag = path, staging, tag

    def begin(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """What is about to be done, on disk; due before the server is stopped."""
        with disk_errors(self._path), self._live() as live:
            new = _inode(self._staging.data)
            if new is None:
                raise RunbookError(f"nothing was staged in {self._staging.data}", "see the log of pgBackRest")
            data = {**more, "data_dir": self._path, "before": live.beside(self._tag).name.decode(errors="surrogateescape"), "old": live.inode(), "new": new}
        self._staging.note(_JOURNAL, data)
        return data

    def put(self, data: Mapping[str, Any]) -> None:
        """Raises RunbookError; then ``take_back`` is due."""
        with disk_errors(self._path), self._live() as live:
            put(self._step(data, live), Place(self._staging.claim, b"data"), live, live.beside(self._tag))

    def begun(self, swapped: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was about to be done or is, by the journal, by what the restore told, or by the names that are there; None when nothing was."""
        known = self._staging.noted(_JOURNAL) if self._staging.reopen() else None
        if known is not None or "new" in swapped:
            return known or dict(swapped)
        with disk_errors(self._path), self._live() as live:
            old, new = live.beside(self._tag).inode(), live.inode()
        return {"data_dir": self._path, "old": old, "new": new} if old is not None and new is not None else None

    def is_open(self) -> bool:
        """Whether one was begun, and neither done nor taken back."""
        return self._staging.reopen() and self._staging.noted(_JOURNAL) is not None

    def close(self) -> None:
        """It is done, or was taken back: what is in the staging folder can be removed."""
        self._staging.unnote(_JOURNAL)

    def is_put(self, data: Mapping[str, Any]) -> bool:
        """Whether the new one is in place, or neither is."""
        with disk_errors(self._path), self._live() as live:
            return bool(live.inode() != data["old"])

    def take_back(self, data: Mapping[str, Any]) -> None:
        """Does nothing that was done already; what was new is in the staging folder then."""
        self._staging.ensure()
        with disk_errors(self._path), self._live() as live:
            take_back(self._step(data, live), Place(self._staging.claim, ASIDE.encode()), live, live.beside(self._tag))

    def _step(self, data: Mapping[str, Any], live: Place) -> Step:
        return Step(os.fsdecode(live.name), data["old"], data["new"])

    @contextmanager
    def _live(self) -> Iterator[Place]:
        folder = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Place(folder, os.fsencode(os.path.basename(self._path)))
        finally:
            os.close(folder)


def _inode(path: str) -> int | None:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None
