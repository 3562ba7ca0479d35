# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that reach the disk, and errors of the file system as ours. Shared by the drivers that write (rename(2), fsync(2))."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .._core.errors import NoSpace, RunbookError


def sync_folder(folder: str) -> None:
    """Names made, changed or removed in it are on disk when this returns. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_file(path: str) -> int:
    """A descriptor of a new file that only its owner may use, whatever the umask. Raises OSError, also when the name is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def claimed_file(path: str) -> int:
    """A new file as of ``new_file``, locked (flock(2)) as long as its maker has it open, so that leftovers are told from work. Raises OSError."""
    while True:
        descriptor = new_file(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # somebody took it for a leftover before it was locked


def remove_unclaimed(beginning: str) -> None:
    """Remove the claimed files whose makers are dead, of those whose path begins like this."""
    for path in glob.glob(f"{glob.escape(beginning)}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(descriptor)


@contextmanager
def disk_errors(path: str, room: str = "free some room, or enlarge the disk") -> Iterator[None]:
    """OSError as NoSpace (with the hint ``room``) or RunbookError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"there is no room for {path}: {error.strerror}", room) from None
        raise RunbookError(f"{error.filename or path}: {error.strerror}", "run with become: true, or see its permissions and the disk") from None
