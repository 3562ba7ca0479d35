# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that is backed up or restored: what it must be, how large it is, whether something is mounted there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from .._core.errors import Refused
from .._core.probe import Deadline, DeadlinePassed
from ._tree import closing_fd, explained, opened_folder
from ._tree_select import Selection
from ._tree_walk import LeftOut, Walk

_SLACK = 4096  # bytes of a small file that some file systems keep without any block


def check_root(root: str) -> None:
    """Raises Refused unless it is the plain absolute path of something below ``/``, and no link or file."""
    if not os.path.isabs(root) or os.path.normpath(root) != root or root.strip("/") == "" or "\0" in root:
        raise Refused(f"{root!r} is no root for files", 'give an absolute path below "/", without "..", "//" or a slash at its end')
    try:
        mode = os.lstat(root).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(f"{root} cannot be looked at: {error.strerror}", "see the permissions of the folders above it") from None
    if not stat.S_ISDIR(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "no folder"
        raise Refused(f"{root} is {what}", "give the folder itself" if stat.S_ISLNK(mode) else "give the folder it is in, and it as one of the paths")


@contextmanager
def opened_root(root: str) -> Iterator[int]:
    """A descriptor of the folder. Raises Refused when it is none."""
    check_root(root)
    if not os.path.lexists(root):
        raise Refused(f"{root} is not there", "see whether the path is right and everything is mounted")
    with explained(f"opening {root}"):
        fd = opened_folder(root)
    with closing_fd(fd):
        yield fd


def is_mount_point(path: str) -> bool:
    """As the kernel says, bind mounts too. See proc(5), ``/proc/pid/mountinfo``."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            points = [line.split(b" ")[4] for line in file]
    except OSError:
        return os.path.ismount(path)
    wanted = os.fsencode(os.path.realpath(path))
    return wanted in (re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), point) for point in points)


def size_of(fd: int, selection: Selection, left_out: LeftOut, deadline: Deadline) -> int:
    """Bytes of data of all files, holes left out; no file is opened. Raises TimedOut."""
    size = 0
    for entry in Walk(fd, selection, left_out):
        if stat.S_ISREG(entry.stat.st_mode):
            size += min(entry.stat.st_size, entry.stat.st_blocks * 512 + _SLACK)
        elif stat.S_ISDIR(entry.stat.st_mode) and deadline.remaining() <= 0:
            raise DeadlinePassed("the time was over before all folders were counted", "allow more time")
    return size
