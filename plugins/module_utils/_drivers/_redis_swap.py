# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swaps the files of a stopped Redis server with staged ones, and takes that back, also when it was cut off in the middle.

Each of them is exchanged in one step, the one that the server will load last: whatever is there at any moment is all old, or all new.
What was there is kept as ``<name>.before-<tag>``, and what is taken back as ``<name>.undone-<tag>``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .._core.errors import RunbookError
from ._disk import disk_errors, new_file, sync_folder
from ._tree_rename import Place, Step, TargetChanged, put


class Files:
    """Those in ``folder``, of the restore ``tag``; staged ones of the same names are in ``staged``. What undo needs is in a file beside them."""

    def __init__(self, folder: str, staged: str, tag: str) -> None:
        self._folder, self._staged, self._tag = folder, staged, tag
        self._journal = os.path.join(folder, f".restored-{tag}.json")

    def begin(self) -> None:
        """Before the server is stopped."""
        self._write({"steps": []})

    def state(self) -> dict[str, Any] | None:
        """``steps`` that were done or begun, ``undone`` once they were taken back, and what ``put`` was given; None when nothing was begun."""
        try:
            with disk_errors(self._journal), open(self._journal, encoding="utf-8") as file:
                found: dict[str, Any] = json.load(file)
            return found
        except RunbookError:
            if os.path.lexists(self._journal):
                raise
            return None

    def put(self, names: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
        """In this order; ``more`` is kept for whoever takes it back. Raises RunbookError; then ``take_back`` is due."""
        with disk_errors(self._folder), self._opened(self._folder) as live, self._opened(self._staged) as staged:
            steps = []
            for name in names:
                new = Place(staged, os.fsencode(name)).inode()
                if new is None:
                    raise RunbookError(f"{name} was not staged", "see the log of the scratch server")
                steps.append(Step(name, Place(live, os.fsencode(name)).inode(), new))
                self._dress(live, staged, name)
            data = {**more, "folder": self._folder, "steps": [step._asdict() for step in steps]}
            self._write(data)
            for step in steps:
                place = Place(live, os.fsencode(step.path))
                put(step, Place(staged, place.name), place, place.beside(self._tag))
        self._write({**data, "whole": True})
        return data

    def take_back(self) -> None:
        """Does nothing that was done already."""
        data = self.state() or {}
        with disk_errors(self._folder), self._opened(self._folder) as live:
            for step in reversed([Step(item["path"], item["old"], item["new"]) for item in data.get("steps", [])]):
                self._take_back(step, Place(live, os.fsencode(step.path)), data.get("whole", False))
            os.fsync(live)
        self._write({**data, "undone": True})

    def _take_back(self, step: Step, live: Place, whole: bool) -> None:
        """A server that ran meanwhile may have saved over what is live; what is kept it never touches, and that tells how far it came."""
        kept, undone = live.beside(self._tag), Place(live.folder, live.name + b".undone-" + self._tag.encode())
        if step.old is None:
            if live.inode() is not None and undone.inode() is None and not self._still_staged(step):
                _rename(live, undone)
            return
        if undone.inode() == step.old:  # cut off while it was taken back
            _rename(undone, kept)
        if kept.inode() == step.old:
            put(Step(step.path, live.inode(), step.old), kept, live, undone)
        elif kept.inode() is not None:  # cut off before an exchange, or after the one that took it back
            _rename(kept, undone)
        elif whole and undone.inode() is None:
            raise TargetChanged(f"what was kept of {step.path} in {self._folder} is gone", "see who moved it; nothing was removed")

    def _still_staged(self, step: Step) -> bool:
        try:
            return os.lstat(os.path.join(self._staged, step.path)).st_ino == step.new
        except FileNotFoundError:
            return False

    def _dress(self, live: int, staged: int, name: str) -> None:
        """Owner and mode as of what is there, else of the folder; and everything on disk."""
        top = os.path.join(self._staged, name)
        try:
            model = os.stat(name, dir_fd=live, follow_symlinks=False)
        except FileNotFoundError:
            model = os.stat(live)
        for folder, _folders, files in os.walk(top):
            for file in files:
                _settle(os.path.join(folder, file), model, model.st_mode & 0o666)
        _settle(top, model, model.st_mode & 0o7777 if os.path.isdir(top) else model.st_mode & 0o666)
        os.fsync(staged)

    def _write(self, data: Mapping[str, Any]) -> None:
        new = f"{self._journal}.new"
        with disk_errors(self._journal):
            with suppress(FileNotFoundError):
                os.unlink(new)
            with os.fdopen(new_file(new), "w", encoding="utf-8") as file:
                json.dump(data, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(new, self._journal)
            sync_folder(self._folder)

    @contextmanager
    def _opened(self, folder: str) -> Iterator[int]:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _rename(old: Place, new: Place) -> None:
    os.rename(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)


def _settle(path: str, model: os.stat_result, mode: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with suppress(PermissionError):
            os.fchown(descriptor, model.st_uid, model.st_gid)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
