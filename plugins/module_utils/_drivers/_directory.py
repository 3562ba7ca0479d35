# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a folder. A name is there only when its bytes are: temporary name, fsync, rename, fsync of the folder (rename(2), fsync(2)).

Folders have mode 0700 and files 0600, whatever the umask. Files that begin with a dot are ours for a while: being written, or locks.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from .._core.backup_types import Entry, Identity, Reader
from .._core.errors import Busy, Exists, InvalidInput, NotThere, Refused, RunbookError, Unsure
from ._disk import disk_errors, new_file, sync_folder

MARK = "tradeops-repository.json"
FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_TEMPORARY = ".part"
_SYNC_BYTES = 1 << 25
"""Brought to disk whenever so many are not: all of them at the end would make the commits of a database on the same disk wait."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Directory:
    """``options``: path (absolute), require_mount. A folder that is empty becomes a repository by ``initialize``."""

    covered: Collection[str] = ()

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.path: str = options["path"]
        if not os.path.isabs(self.path) or not os.path.normpath(self.path).strip("/") or "\0" in self.path:
            raise InvalidInput(f'the repository "{self.path}" is not the absolute path of a folder', "write the whole path, such as /var/backups/tradeops")
        self._require_mount = bool(options.get("require_mount"))

    def identity(self) -> Identity:
        """``exists`` is false while it is not a repository. Raises Refused for a folder that holds something else, or a format we do not know."""
        if self._require_mount and not os.path.ismount(self.path):
            raise Refused(f"nothing is mounted at {self.path}", "mount the backup disk; without it the backup would fill the disk it protects")
        try:
            with self.open(MARK) as file:
                mark = json.loads(file.read(65536))
        except NotThere:
            return self._unmarked()
        except (ValueError, RecursionError) as error:
            raise RunbookError(f"{self.path}/{MARK} cannot be read: {error}", "see who changed it, and its permissions") from None
        if not isinstance(mark, dict) or mark.get("format") != FORMAT:
            raise Refused(f"{self.path} is a repository of another format", f"this release reads format {FORMAT}")
        return Identity(self.path, system_id=str(mark.get("id", "")))

    def _unmarked(self) -> Identity:
        try:
            there = [name for name in os.listdir(self.path) if name != "lost+found" and not _half_written(name)]
        except FileNotFoundError:
            there = []
        except OSError as error:
            raise RunbookError(f"{self.path} cannot be looked at: {error.strerror}", "run with become: true, or see its permissions") from None
        if os.path.isfile(os.path.join(self.path, MARK)):  # another run has just made it one
            return self.identity()
        if there:
            raise Refused(f"{self.path} is not empty and no repository", "give the repository a folder of its own")
        return Identity(self.path, exists=False)

    def initialize(self) -> None:
        """Make it a repository, unless it is one."""
        if not self.identity().exists:
            with _errors(self.path):
                self._make(self.path)
                os.chmod(self.path, 0o700)
            try:
                self.create(MARK, (json.dumps({"format": FORMAT, "id": secrets.token_hex(8)}) + "\n").encode())
            except RunbookError as error:
                if isinstance(error, Unsure) or not self.identity().exists:  # else another run was faster
                    raise

    def list(self, prefix: str) -> Iterator[Entry]:
        """See Repository. A folder that is not there is an empty one."""
        top = self._full(prefix.rstrip("/"))
        found: list[Entry] = []
        if _there(top):
            for folder, folders, names in os.walk(top, onerror=_raise):
                folders.sort()
                for name in names:
                    if not name.startswith("."):
                        path = os.path.join(folder, name)
                        with _errors(path), suppress(FileNotFoundError):
                            found.append(Entry(os.path.relpath(path, self.path), os.lstat(path).st_size))
        yield from sorted(found, key=lambda entry: entry.name)

    @contextmanager
    def write(self, name: str) -> Iterator[io.FileIO]:
        """See Repository."""
        path = self._full(name)
        folder = os.path.dirname(path)
        with _errors(path):
            self._make(folder)
            temporary = os.path.join(folder, f".{os.path.basename(path)}.{secrets.token_hex(4)}{_TEMPORARY}")
            descriptor = new_file(temporary)
            try:
                with _Whole(descriptor, "wb") as file:
                    yield file
                    os.fsync(descriptor)
                _put(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
        self._settle(folder, path)

    def _make(self, folder: str) -> None:
        """Every folder down to this one, each on disk before the next."""
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for path in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(path, 0o700)
                os.chmod(path, 0o700)
            sync_folder(os.path.dirname(path))

    def _settle(self, folder: str, path: str) -> None:
        try:
            sync_folder(folder)
        except OSError as error:
            raise Unsure(f"{path} was written, but its folder could not be brought to disk: {error.strerror}", "see the disk; verify the backup") from None

    def create(self, name: str, body: bytes) -> None:
        """See Repository."""
        with self.write(name) as file:
            file.write(body)

    @contextmanager
    def open(self, name: str, offset: int = 0) -> Iterator[Reader]:
        """See Repository."""
        path = self._full(name)
        with _errors(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                raise NotThere(f"{path} is not there", "see what removed it; backup_info lists what there is") from None
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise RunbookError(f"{path} is no file", "see who put it there")
            with io.FileIO(descriptor) as file:
                os.posix_fadvise(descriptor, offset, 0, os.POSIX_FADV_SEQUENTIAL)
                file.seek(offset)
                yield file

    def delete(self, name: str) -> None:
        """See Repository."""
        path = self._full(name)
        with _errors(path):
            with suppress(FileNotFoundError):
                os.unlink(path)
                sync_folder(os.path.dirname(path))

    def free_bytes(self) -> int | None:
        """For this user, in the file system of the repository, which may not be there yet."""
        path = self.path
        while not _there(path):
            path = os.path.dirname(path)
        with _errors(path):
            found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    @contextmanager
    def locked(self, prefix: str) -> Iterator[None]:
        """Only one at a time writes or removes below ``prefix``. What an interrupted one left half written is removed. Raises Busy.

        The lock is flock(2), which the kernel gives back when its holder dies.
        """
        folder = self._full(prefix.rstrip("/"))
        with _errors(folder):
            self._make(folder)
            descriptor = os.open(os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with _errors(folder):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Busy(f"another backup or cleanup works in {folder}", "wait until it is done") from None
                for place in (folder, self.path):
                    for name in filter(_half_written, os.listdir(place)):
                        with suppress(FileNotFoundError):
                            os.unlink(os.path.join(place, name))
            yield
        finally:
            os.close(descriptor)

    def _full(self, name: str) -> str:
        if not _NAME.fullmatch(name) or ".." in name.split("/"):
            raise InvalidInput(f'"{name}" is no name in a repository')
        return os.path.join(self.path, name)


class _Whole(io.FileIO):
    """Writes all it is given, as write(2) may not."""

    _loose = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        while view:
            view = view[super().write(view) or 0 :]
        self._loose += len(data)
        if self._loose >= _SYNC_BYTES:
            os.fdatasync(self.fileno())
            self._loose = 0
        return len(data)


def _put(temporary: str, path: str) -> None:
    """Give it its name, unless the name is taken: link(2) says so, rename(2) would not."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise Exists(f"{path} exists already, and nothing is ever written over", "see who else writes here") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise Exists(f"{path} exists already, and nothing is ever written over", "see who else writes here") from None
        os.rename(temporary, path)
    else:
        with suppress(OSError):  # it has its name; what is left of the other one goes with the next lock
            os.unlink(temporary)


def _half_written(name: str) -> bool:
    return name.startswith(".") and name.endswith(_TEMPORARY)


def _there(path: str) -> bool:
    """Unlike os.path.lexists(), which takes what may not be looked at for nothing."""
    with _errors(path), suppress(FileNotFoundError):
        os.lstat(path)
        return True
    return False


def _raise(error: OSError) -> None:
    raise RunbookError(f"{error.filename} cannot be listed: {error.strerror}", "nothing is decided on half a listing; see its permissions and the disk")


def _errors(path: str) -> AbstractContextManager[None]:
    return disk_errors(path, "prune old backups (prune_backups), or enlarge the disk")
