# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of our own in which a tree is restored: only we may enter it, it has the tag of the restore in its name, and a journal of its swap."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .._core.errors import Busy, Exists, Refused
from ._tree import CHUNK, closing_fd, explained, opened_folder

TREE = b"tree"
_JOURNAL = "swap.json"
_OURS = re.compile(r"tree|swap\.json(\.new)?|undone-[0-9]+")


class Staging:
    """``<parent>/<name>``. Only one process at a time has it open."""

    def __init__(self, parent: str, name: str) -> None:
        self.path = os.path.join(parent, name)
        self._parent = parent
        self._name = os.fsencode(name)
        self.fd = -1

    def create(self) -> None:
        """Make it, with an empty tree in it. Raises Exists, Busy, NoSpace."""
        with explained(f"making {self.path}"), closing_fd(os.open(self._parent, os.O_RDONLY | os.O_DIRECTORY)) as parent:
            try:
                os.mkdir(self._name, 0o700, dir_fd=parent)
            except FileExistsError:
                raise Exists(f"{self.path} is there already", "another restore with the same id left it, or is at work") from None
            try:
                self._lock(opened_folder(self._name, parent))
                for xattr in ("system.posix_acl_access", "system.posix_acl_default"):  # the parent may hand down its own to all that is restored
                    with suppress(OSError):
                        os.removexattr(self.fd, xattr)
                os.fchmod(self.fd, 0o700)
                os.mkdir(TREE, 0o700, dir_fd=self.fd)
            except BaseException:
                self.close()
                os.rmdir(self._name, dir_fd=parent)
                raise

    def reopen(self) -> bool:
        """Whether an earlier call left it; then it is open. Raises Busy, and Refused when it is not ours."""
        if self.fd >= 0:
            return True
        with explained(f"opening {self.path}"):
            try:
                fd = opened_folder(self.path)
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise Refused(f"{self.path} is no folder, so it is not ours", "see what it is, and move it away") from None
            if not _is_ours(fd):
                os.close(fd)
                raise Refused(f"{self.path} has another owner, mode or content than we give it", "see what it is, and move it away")
            self._lock(fd)
        return True

    def sync(self) -> None:
        """All that was written is on disk. Raises OSError."""
        try:
            import ctypes

            syncfs = ctypes.CDLL(None, use_errno=True).syncfs
        except (ImportError, AttributeError, OSError):
            os.sync()
            return
        if syncfs(self.fd) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), self.path)

    def journal(self) -> dict[str, Any] | None:
        """What a swap was about to do, or None."""
        try:
            fd = os.open(_JOURNAL, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        with closing_fd(fd):
            found: dict[str, Any] = json.loads(os.read(fd, CHUNK))
        return found

    def write_journal(self, data: Mapping[str, Any]) -> None:
        """Whole and on disk, or not at all. Raises OSError."""
        with closing_fd(os.open(_JOURNAL + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)) as fd:
            os.write(fd, json.dumps(data).encode())
            os.fsync(fd)
        os.rename(_JOURNAL + ".new", _JOURNAL, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        os.fsync(self.fd)

    def remove(self) -> None:
        """With all that is in it, never following a link. Does nothing when it is not there."""
        if not self.reopen():
            return
        with explained(f"removing {self.path}"):
            with closing_fd(os.open(self._parent, os.O_RDONLY | os.O_DIRECTORY)) as parent:
                _empty(self.fd)
                os.rmdir(self._name, dir_fd=parent)
            self.close()

    def close(self) -> None:
        """Leave it as it is."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Busy(f"{self.path} is in use by another restore", "wait until that one is done") from None
        self.fd = fd


def _is_ours(fd: int) -> bool:
    """Who may write into the parent may also have moved a folder there that is none of ours."""
    status = os.fstat(fd)
    return status.st_uid == os.geteuid() and status.st_mode & 0o777 == 0o700 and all(_OURS.fullmatch(name) for name in os.listdir(fd))


def _empty(folder: int) -> None:
    """Removes all that is in an open folder, which nobody else may enter."""
    for name in map(os.fsencode, os.listdir(folder)):
        mode = os.lstat(name, dir_fd=folder).st_mode
        if not stat.S_ISDIR(mode):
            os.unlink(name, dir_fd=folder)
            continue
        if mode & 0o700 != 0o700:  # or an ordinary user could not empty it
            os.chmod(name, 0o700, dir_fd=folder)
        with closing_fd(opened_folder(name, folder)) as inner:
            _empty(inner)
        os.rmdir(name, dir_fd=folder)
