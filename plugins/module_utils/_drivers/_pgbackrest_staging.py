# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder in which pgBackRest restores a cluster: only its owner may enter; claimed (flock(2)), so that leftovers are told from work.

For a restore it is beside the live data directory, and also has what tells how far the swap came.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import pwd
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from .._core.errors import Busy, NoSpace, RunbookError
from .._core.units import format_value
from ._disk import disk_errors, new_file, sync_folder

_ROOM = "free as much beside the data as it is large, or give scratch_dir"
_REMOVE_TRIES = 50  # sessions of a server that was killed end a moment later, and write until then
_SUFFIX = re.compile(r"\.restored-[0-9A-Za-z-]+$")


ASIDE = "undone"
"""The name in it of a cluster that was restored and taken back."""


class Staging:
    """``path``, with the cluster in ``data``; everything belongs to the system user ``os_user``."""

    def __init__(self, path: str, os_user: str | None) -> None:
        self.path, self.data = path, os.path.join(path, "data")
        self._account = pwd.getpwnam(os_user) if os_user and os.geteuid() == 0 else None
        self.claim = -1

    def create(self, needed_bytes: int) -> None:
        """Made, with an empty data directory. Raises Busy, NoSpace, RunbookError."""
        with disk_errors(self.path, _ROOM):
            status = os.statvfs(os.path.dirname(self.path))
            free = status.f_bavail * status.f_frsize
            if free < needed_bytes:
                raise NoSpace(f"{os.path.dirname(self.path)} has {format_value(free, 'B')} free, and the cluster is {format_value(needed_bytes, 'B')}", _ROOM)
            try:
                os.mkdir(self.path, 0o700)
            except FileExistsError:
                raise Busy(f"{self.path} is there: somebody else restores the same backup", "wait until that is done") from None
            self._claim()
            for name, text in (("postgresql.conf", ""), ("hba.conf", "local all all trust\n"), ("ident.conf", "")):
                self.write(name, text)  # only who may enter the folder may enter the server
            os.mkdir(self.data, 0o700)
            self._own(self.data)
            self._own(self.path)

    def reopen(self) -> bool:
        """Whether an earlier call left it; then it is claimed. Raises Busy."""
        if self.claim >= 0:
            return True
        if not os.path.isdir(self.path):
            return False
        with disk_errors(self.path):
            self._claim()
        return True

    def ensure(self) -> None:
        """It is there, to put something aside."""
        if not self.reopen():
            with disk_errors(self.path):
                os.mkdir(self.path, 0o700)
                self._claim()

    def write(self, name: str, text: str) -> str:
        """A file of the server's user, whole and on disk: its path."""
        path = os.path.join(self.path, name)
        with disk_errors(path, _ROOM):
            with suppress(FileNotFoundError):
                os.unlink(f"{path}.new")
            with os.fdopen(new_file(f"{path}.new"), "w", encoding="utf-8") as file:
                if self._account:
                    os.fchown(file.fileno(), self._account.pw_uid, self._account.pw_gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"{path}.new", path)
            sync_folder(os.path.dirname(path))
        return path

    def note(self, name: str, data: Mapping[str, Any]) -> None:
        """Kept for whoever goes on after us."""
        self.write(f"{name}.json", json.dumps(data))

    def noted(self, name: str) -> dict[str, Any] | None:
        """None when it was not."""
        with disk_errors(self.path), suppress(FileNotFoundError):
            with open(os.path.join(self.path, f"{name}.json"), encoding="utf-8") as file:
                found: dict[str, Any] = json.load(file)
            return found
        return None

    def unnote(self, name: str) -> None:
        """It is over, on disk."""
        with disk_errors(self.path), suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, f"{name}.json"))
            sync_folder(self.path)

    def place_tablespaces(self, known: Sequence[Mapping[str, Any]], tag: str) -> list[str]:
        """Where each tablespace of a restore goes, beside where it was: options of pgBackRest. They stay there: a link in the data leads to them."""
        paths = {str(one["name"]): f"{_SUFFIX.sub('', str(one['destination']))}.restored-{tag}" for one in known}
        self.note("tablespaces", paths)
        for path in paths.values():
            with disk_errors(path, _ROOM):
                os.makedirs(path, 0o700, exist_ok=True)
                self._own(path)
        return [f"--tablespace-map={name}={path}" for name, path in paths.items()]

    def sync(self) -> None:
        """All that was written is on disk."""
        try:
            import ctypes

            if ctypes.CDLL(None).syncfs(self.claim) == 0:
                return
        except (ImportError, AttributeError, OSError):
            pass
        os.sync()

    def is_full(self, needed_bytes: int) -> bool:
        """Whether there is less room than that. pgBackRest does not always say that a disk was full."""
        with suppress(OSError):
            status = os.statvfs(self.path)
            return status.f_bavail * status.f_frsize < needed_bytes
        return False

    def release(self) -> None:
        """The tablespaces are the live cluster's from now on."""
        self.unnote("tablespaces")

    def remove(self) -> None:
        """With everything in it, and with the tablespaces that belong to it."""
        if not self.reopen():
            return
        try:
            with disk_errors(self.path):
                for path in {*(self.noted("tablespaces") or {}).values(), *self._linked()}:
                    if path.endswith(f".restored-{os.path.basename(self.path).rpartition('.restore-')[2]}"):
                        _remove(path)
                _remove(self.path)
        finally:
            self.close()

    def _linked(self) -> list[str]:
        """Where the data that is here, or was put aside here, has its tablespaces."""
        return [os.readlink(link) for link in glob.glob(f"{glob.escape(self.path)}/*/pg_tblspc/*") if os.path.islink(link)]

    def close(self) -> None:
        """Leave it as it is."""
        if self.claim >= 0:
            os.close(self.claim)
            self.claim = -1

    def _claim(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise Busy(f"{self.path} is in use by another restore", "wait until that one is done") from None
        self.claim = descriptor

    def _own(self, path: str) -> None:
        if self._account:
            os.chown(path, self._account.pw_uid, self._account.pw_gid, follow_symlinks=False)


def sweep(beginning: str) -> None:
    """Remove the folders of verifications that were killed: their path begins like this."""
    for path in glob.glob(f"{glob.escape(beginning)}*"):
        left = Staging(path, None)
        with suppress(RunbookError):
            left.remove()


def _remove(path: str) -> None:
    for number in range(_REMOVE_TRIES):
        shutil.rmtree(path, ignore_errors=number + 1 < _REMOVE_TRIES)
        if not os.path.lexists(path):
            return
        time.sleep(0.1)
