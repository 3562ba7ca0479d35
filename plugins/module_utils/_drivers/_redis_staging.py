# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder in which a Redis restore or verification works, with the artifact in it; claimed (flock(2)), so that leftovers are told from work."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from .._core.backup_types import Context, Stream
from .._core.errors import Busy
from .._core.rdb import Rdb
from .._core.transfer import BLOCK
from ._disk import disk_errors, new_file
from ._redis_save import Passing

_ROOM = "free as much beside the data as it is large, twice where the append-only file is on"


def staging_path(folder: str, context: Context) -> str:
    """Its name in ``folder``."""
    return os.path.join(folder, f".{'tradeops-redis-verify' if context.scratch else 'restore'}-{context.tag}")


class Staging:
    """Made in ``folder``, for its owner and nobody else; those of killed attempts go, each once ``forget`` was told its tag.

    Raises Busy, NoSpace, RunbookError.
    """

    def __init__(self, folder: str, context: Context, forget: Callable[[str], None]) -> None:
        self.path, self._context = staging_path(folder, context), context
        with disk_errors(folder, _ROOM):
            owner = os.stat(folder)
            _sweep(self.path[: -len(context.tag)], {os.geteuid()} if context.scratch else {os.geteuid(), owner.st_uid}, forget)
            self._claim = _claimed(self.path)
            if os.geteuid() == 0 and not context.scratch:
                os.fchown(self._claim, owner.st_uid, owner.st_gid)

    def write(self, stream: Stream, name: str) -> Rdb:
        """The artifact as a file of that name: what is in it."""
        passing = Passing(stream, self._context.deadline)
        path = os.path.join(self.path, name)
        try:
            with disk_errors(path, _ROOM), os.fdopen(new_file(path), "wb") as file:
                owner = os.fstat(self._claim)
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                for block in iter(lambda: passing.read(BLOCK), b""):
                    file.write(block)
            return passing.result()
        finally:
            passing.close()

    def remove(self) -> None:
        """With everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._claim)


def _claimed(path: str) -> int:
    """The new folder, open and locked; made again where somebody who sweeps saw it before it was locked. Raises Busy."""
    while True:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            raise Busy(f"{path} is there: somebody else restores the same backup", "wait until that is done") from None
        with suppress(FileNotFoundError):
            descriptor = _opened(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.path.samestat(os.lstat(path), os.fstat(descriptor)):
                    return descriptor
            except FileNotFoundError:
                pass
            os.close(descriptor)


def _sweep(beginning: str, owners: Collection[int], forget: Callable[[str], None]) -> None:
    """Remove the folders of attempts of ``owners`` that were killed."""
    for path in glob.glob(f"{glob.escape(beginning)}*"):
        with suppress(OSError), _open_folder(path) as descriptor:
            if os.fstat(descriptor).st_uid in owners:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                forget(path[len(beginning) :])
                shutil.rmtree(path)


@contextmanager
def _open_folder(path: str) -> Iterator[int]:
    descriptor = _opened(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
