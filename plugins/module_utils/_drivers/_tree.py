# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and system calls that everything about trees of files shares. Paths are bytes, relative to the top of their tree; the top is ``b"."``."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .._core.errors import NoSpace, RunbookError

FILE, FOLDER, LINK, HARDLINK = "file", "folder", "link", "hardlink"
TOP = b"."

MAX_DEPTH = 128
"""Folders inside each other. What is deeper is neither taken nor restored: every level costs an open file."""

MAX_MEMBERS = 10_000_000
MAX_EXTENTS = 1_000_000
CHUNK = 1 << 20

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO that took the place of a file must not block


class Member(NamedTuple):
    """One member of a tree, on disk or in an archive.

    ``mode`` has the permissions with setuid, setgid and sticky; ``target`` is where a link points to, or the member that a hard link is
    another name of. ``extents`` are the (offset, length) of the data of a file with holes; None means data from beginning to end.
    """

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    target: bytes = b""
    xattrs: Sequence[tuple[bytes, bytes]] = ()
    extents: Sequence[tuple[int, int]] | None = None


Content = Iterator[tuple[int, bytes]]
"""The data of a file: (offset, bytes), in order, holes left out."""


def shown(path: bytes) -> str:
    """A path for people and JSON: what is no UTF-8, and what would break a line, is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def restorable(xattr: bytes) -> bool:
    """Whether an extended attribute is put back by a restore and told by a digest: those of users, and access control lists."""
    return xattr.startswith((b"user.", b"system.posix_acl_"))


def opened_folder(name: str | bytes, parent: int | None = None) -> int:
    """A descriptor of a folder, never of what a link points to. Raises OSError."""
    return _opened(name, _FOLDER_FLAGS, parent)


def opened_file(name: bytes, parent: int) -> int:
    """A descriptor for reading that leaves the time of the last access alone where that is permitted. Raises OSError."""
    return _opened(name, _FILE_FLAGS, parent)


def _opened(name: str | bytes, flags: int, parent: int | None) -> int:
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=parent)
    except PermissionError:  # only the owner may leave the time of access alone
        return os.open(name, flags, dir_fd=parent)


def opened_below(top: int, names: Sequence[bytes]) -> int:
    """A descriptor of the folder that is reached from ``top`` by names, none of them a link. Raises OSError."""
    fd = os.dup(top)
    for name in names:
        with closing_fd(fd):
            fd = opened_folder(name, fd)
    return fd


@contextmanager
def closing_fd(fd: int) -> Iterator[int]:
    """Closes the descriptor in the end."""
    try:
        yield fd
    finally:
        with suppress(OSError):
            os.close(fd)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Errors of the operating system become ours: ``what`` says what was tried, on what."""
    try:
        yield
    except OSError as error:
        # a limit of the size of files (RLIMIT_FSIZE) is no more room either
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(f"{what}: {error.strerror}", "free or add space there, then try again") from error
        name = f" ({shown(os.fsencode(error.filename))})" if isinstance(error.filename, (str, bytes)) else ""
        raise RunbookError(f"{what}: {error.strerror}{name}", "see the permissions, the mount and the health of that file system") from error
