# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swaps the paths of a staged tree with those of a live one, and takes that back, also when it was cut off in the middle."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Optional

from .._core.errors import Exists, InvalidInput, Refused, RunbookError
from ._tree import TOP, closing_fd, explained, opened_below, opened_folder
from ._tree_rename import Place, Step, TargetChanged, put, take_back
from ._tree_root import is_mount_point
from ._tree_select import relative
from ._tree_staging import TREE, Staging

Before = Mapping[str, Optional[int]]
"""Path -> inode number of what is there; None when nothing is."""


class Swap:
    """``staging`` is where the new tree is, and where what is taken back goes."""

    def __init__(self, root: str, tag: str, staging: Staging) -> None:
        self._root = root
        self._tag = tag
        self._staging = staging

    def before(self, paths: Sequence[str]) -> Before:
        """What would be replaced. Raises Refused for what cannot be renamed, and Exists when there is no room to keep it."""
        found = {}
        for path in paths:
            with self._live(path) as live:
                found[path] = live.inode()
                if is_mount_point(os.path.join(self._root, path)):
                    raise Refused(
                        f"{path} of {self._root} is a mount point, which cannot be exchanged", "restore the folders in it instead: give them as paths"
                    )
                if live.beside(self._tag).inode() is not None:
                    raise Exists(f"what an earlier restore {self._tag} replaced is still beside {path} of {self._root}", "see what it is, and move it away")
        return found

    def apply(self, before: Before) -> dict[str, Any]:
        """Put the staged paths in place. Data for ``undo``. Raises TargetChanged and OSError; then nothing is changed."""
        steps = []
        for path, old in before.items():
            with self._live(path) as live, self._staged(path) as staged:
                new = staged.inode()
                if new is None or live.inode() != old:
                    raise TargetChanged(f"{path} of {self._root} is not what it was when the restore began", "see who changes it, then restore again")
                steps.append(Step(path, old, new))
        data = {"root": self._root, "tag": self._tag, "steps": [step._asdict() for step in steps]}
        self._staging.sync()
        self._staging.write_journal(data)
        try:
            for step in steps:
                with self._live(step.path) as live, self._staged(step.path) as staged:
                    put(step, staged, live, live.beside(self._tag))
        except BaseException:
            with suppress(RunbookError):  # the first error says more, and undo may be called again
                self.undo(data)
            raise
        return data

    def undo(self, data: Mapping[str, Any]) -> None:
        """Take a swap back, all of it or what was done of it. Raises TargetChanged when a path is neither what it was nor what was put."""
        if data["root"] != self._root:
            raise InvalidInput(f"this swap was of {data['root']}, not of {self._root}", "undo it with its own options")
        failed: RunbookError | None = None
        for number, step in reversed(list(enumerate(_steps(data)))):
            try:
                with explained(f"taking back the restore of {step.path} of {self._root}"), self._live(step.path) as live:
                    kept = live.beside(data["tag"])
                    if live.inode() != step.old or kept.inode() == step.new:
                        take_back(step, self._aside(number), live, kept)
            except RunbookError as error:
                failed = failed or error
        if failed:
            raise failed

    def complete(self, data: Mapping[str, Any]) -> bool:
        """Whether everything was put, whatever became of it since."""
        return all(self._put(step, data["tag"]) for step in _steps(data))

    def _put(self, step: Step, tag: str) -> bool:
        with self._live(step.path) as live:
            return live.inode() is not None and live.inode() != step.old and (step.old is None or live.beside(tag).inode() == step.old)

    def _aside(self, number: int) -> Place:
        if not self._staging.reopen():
            self._staging.create()
        return Place(self._staging.fd, b"undone-%d" % number)

    @contextmanager
    def _live(self, path: str) -> Iterator[Place]:
        """Where a path is, or is to be. Raises Refused when the folder it would be in is not there."""
        names = _names(path)
        try:
            if not names:
                above, name = os.path.split(self._root)
                fd = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
                names = [os.fsencode(name)]
            else:
                with closing_fd(opened_folder(self._root)) as root:
                    fd = opened_below(root, names[:-1])
        except (FileNotFoundError, NotADirectoryError):
            raise Refused(f"the folder for {path} of {self._root} is not there", "make it, or restore the whole root") from None
        with closing_fd(fd):
            yield Place(fd, names[-1])

    @contextmanager
    def _staged(self, path: str) -> Iterator[Place]:
        names = _names(path)
        with closing_fd(opened_below(self._staging.fd, [TREE, *names][:-1])) as fd:
            yield Place(fd, names[-1] if names else TREE)


def _names(path: str) -> list[bytes]:
    encoded = relative(path)
    return [] if encoded == TOP else encoded.split(b"/")


def _steps(data: Mapping[str, Any]) -> list[Step]:
    return [Step(step["path"], step["old"], step["new"]) for step in data["steps"]]
