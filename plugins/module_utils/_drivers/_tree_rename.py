# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a restored file or folder in the place of a live one by renames, and takes that back. See rename(2) for RENAME_EXCHANGE.

What was there is kept as ``<name>.before-<tag>``. The new one takes that name first, then both are exchanged at once: there is no
instant without either, and the old one is never inside a folder that gets removed.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from .._core.errors import Exists, Refused
from ._tree import closing_fd, opened_folder, shown

_NOREPLACE, _EXCHANGE = 1, 2
_MOUNTED = -1  # instead of an inode number


class TargetChanged(Refused):
    """What was to be replaced is no longer what it was."""

    code = "target_changed"


class Place(NamedTuple):
    """A name in an open folder."""

    folder: int
    name: bytes

    def inode(self) -> int | None:
        """The number of what is there; None when nothing is, and no number of ours when something was mounted there."""
        try:
            status = os.lstat(self.name, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        mounted = stat.S_ISDIR(status.st_mode) and status.st_dev != os.fstat(self.folder).st_dev
        return _MOUNTED if mounted else status.st_ino

    def beside(self, tag: str) -> Place:
        """Where what is there is kept."""
        return Place(self.folder, self.name + b".before-" + tag.encode())


class Step(NamedTuple):
    """One path to put in place: the inode number of what is there (None: nothing), and of what comes."""

    path: str
    old: int | None
    new: int


def put(step: Step, staged: Place, live: Place, kept: Place) -> None:
    """Put ``staged`` in the place of ``live``. Raises TargetChanged, Exists, OSError; then ``take_back`` is due."""
    if step.old is None:
        _move(staged, live)
    else:
        _move(staged, kept)
        if not _exchange(live, kept):
            _move(kept, staged)
            _move(live, kept)
            _move(staged, live)
        if kept.inode() != step.old or live.inode() != step.new:  # somebody else renamed in the instant before
            if not _exchange(live, kept):
                _move(live, staged)
                _move(kept, live)
            raise _changed(live)
    os.fsync(live.folder)


def take_back(step: Step, aside: Place, live: Place, kept: Place) -> None:
    """What was there before is there again; what was put goes to ``aside``. Does only what is still to do. Raises TargetChanged, OSError.

    Where neither the old nor the new one is at a place of theirs, there is nothing to take back.
    """
    if live.inode() == step.new:
        if step.old is None:
            _move(live, aside)
        elif kept.inode() != step.old:
            raise _changed(kept)
        elif not _exchange(live, kept):
            _move(live, aside)
    if live.inode() is None and step.old is not None and kept.inode() == step.old:
        _move(kept, live)
    if kept.inode() == step.new:
        _move(kept, aside)
    if step.old is not None and kept.inode() == step.old:
        raise _changed(live)
    os.fsync(live.folder)


def _changed(place: Place) -> TargetChanged:
    return TargetChanged(
        f"{shown(place.name)} is neither what was there before nor what was restored",
        "somebody else changed it meanwhile: see what it is; nothing was removed",
    )


def _move(source: Place, target: Place) -> None:
    """Never over something."""
    try:
        _renamed(source, target)
    except PermissionError as error:
        # moving a folder to another folder writes into it (its ".."), which its mode may forbid even to its owner
        try:
            fd = opened_folder(source.name, source.folder)
        except OSError:
            raise error from None
        with closing_fd(fd):
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if mode & stat.S_IWUSR:
                raise
            os.fchmod(fd, mode | stat.S_IWUSR)
            try:
                _renamed(source, target)
            finally:
                os.fchmod(fd, mode)


def _renamed(source: Place, target: Place) -> None:
    try:
        if _renameat2(source, target, _NOREPLACE):
            return
        if target.inode() is None:
            os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)
            return
    except FileExistsError:
        pass
    raise Exists(f"{shown(target.name)} is there already", "it was kept by an earlier restore: see what it is, and move it away")


def _exchange(one: Place, other: Place) -> bool:
    """Whether the kernel and the file system can."""
    return _renameat2(one, other, _EXCHANGE)


def _renameat2(source: Place, target: Place, flags: int) -> bool:
    try:
        import ctypes

        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (ImportError, AttributeError, OSError):
        return False
    if function(source.folder, source.name, target.folder, target.name, flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number), os.fsdecode(source.name))
