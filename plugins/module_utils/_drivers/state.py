# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection keeps on a host: leases, and intents that say what was begun. Files of mode 0600 in folders of mode 0700.

An intent is on disk (fsync(2)) before the first effect, and goes when all is done: one that is found tells of an interrupted step.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .._core.errors import Busy, InvalidInput, VerifyFailed
from .._core.lease import Claim, Lease, Moment, read_lease, release, take
from ._disk import disk_errors, sync_folder

FOLDER = "/var/lib/tradeops"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def moment() -> Moment:
    """Now, by both clocks (CLOCK_BOOTTIME goes on while the machine sleeps)."""
    with open(_BOOT_ID, encoding="ascii") as file:
        return Moment(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), file.read().strip())


class State:
    """The folder of one host's state."""

    def __init__(self, folder: str = FOLDER) -> None:
        self._folder = folder

    def _file(self, kind: str, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise InvalidInput(f'"{name}" cannot be the name of a {kind}')
        return os.path.join(self._folder, f"{kind}s", f"{name}.json")

    # -- leases

    @contextmanager
    def locked(self, claim: Claim) -> Iterator[Lease]:
        """Hold a lease while a piece of work is done. Whoever dies gives it back; whoever lives is never robbed, also after its time. Raises Busy."""
        path = self._file("lease", claim.name)
        with _flocked(f"{path}.lock", path, wait=False):
            lease = self._change(path, lambda known: take(None if known is None else _over(known), claim, moment()))
            try:
                yield lease
            finally:
                self._change(path, lambda known: release(known, claim.owner, lease.epoch))

    def take(self, claim: Claim) -> Lease:
        """Hold a lease beyond the end of this process, until its time is over. Raises Busy."""
        path = self._file("lease", claim.name)
        with _flocked(f"{path}.lock", path, wait=True):
            return self._change(path, lambda known: take(known, claim, moment()))

    def release(self, lease: Lease) -> None:
        """Give it back. Raises Busy when it is no longer ours."""
        path = self._file("lease", lease.name)
        with _flocked(f"{path}.lock", path, wait=True):
            self._change(path, lambda known: release(known, lease.owner, lease.epoch))

    def lease(self, name: str) -> Lease | None:
        """As it is now. Raises VerifyFailed for one that cannot be read."""
        return _read_lease(self._file("lease", name))

    def _change(self, path: str, decide: Callable[[Lease | None], Lease]) -> Lease:
        lease = decide(_read_lease(path))
        _write(path, lease.data())
        return lease

    # -- intents

    def begin(self, name: str, body: Mapping[str, Any]) -> None:
        """Say what is about to be done, or how far it came. On disk when this returns."""
        _write(self._file("intent", name), body)

    def done(self, name: str) -> None:
        """It is over: nothing is left to tell."""
        path = self._file("intent", name)
        with disk_errors(path), suppress(FileNotFoundError):
            os.unlink(path)
            sync_folder(os.path.dirname(path))

    def intent(self, name: str) -> dict[str, Any] | None:
        """One of them, or None."""
        return _read(self._file("intent", name))

    def keep(self, name: str, body: Mapping[str, Any]) -> None:
        """Remember what a restore did, for taking it back later."""
        _write(self._file("restore", name), body)

    def kept(self, name: str) -> dict[str, Any]:
        """What was remembered, also of one that was interrupted; nothing when nothing was."""
        found = _read(self._file("restore", name))
        return (self.intent(f"restore-{name}") or {}) if found is None else found

    def restores(self) -> dict[str, dict[str, Any]]:
        """What was remembered of all restores, also of those that were interrupted, by their ids and so oldest first."""
        begun = [name[len("restore-") :] for name in self._names("intent") if name.startswith("restore-")]
        return {name: self.kept(name) for name in sorted({*self._names("restore"), *begun})}

    def intents(self) -> dict[str, dict[str, Any]]:
        """Everything that was begun and is not over."""
        found = {name: self.intent(name) for name in self._names("intent")}
        return {name: body for name, body in found.items() if body is not None}

    def _names(self, kind: str) -> list[str]:
        folder = os.path.join(self._folder, f"{kind}s")
        with disk_errors(folder):
            try:
                return sorted(name[: -len(".json")] for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
            except FileNotFoundError:
                return []

    def interrupted(self) -> dict[str, dict[str, Any]]:
        """What was begun, is not over, and has nobody at work on it: nobody holds the ``lease`` that its intent names."""
        return {name: body for name, body in self.intents().items() if not self._worked_on(str(body.get("lease", "")))}

    def _worked_on(self, lease: str) -> bool:
        if not _NAME.fullmatch(lease):
            return False
        path = f"{self._file('lease', lease)}.lock"
        with disk_errors(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(descriptor)
        return False


def _over(known: Lease) -> Lease | None:
    """Of a lock that another process had: we hold the flock, so it is dead."""
    return Lease(**{**known.data(), "held": False})


def _read_lease(path: str) -> Lease | None:
    found = _read(path)
    return None if found is None else read_lease(found)


def _read(path: str) -> dict[str, Any] | None:
    with disk_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            body = file.read(1 << 20)
    try:
        found = json.loads(body or b"")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise VerifyFailed(f"{path} cannot be read", "see who wrote it; remove it once you know that nothing was begun")
    return found


def _write(path: str, body: Mapping[str, Any]) -> None:
    """Whole or not at all: temporary name, fsync, rename, fsync of the folder."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")  # only one at a time writes it
    _make_folder(path)
    with disk_errors(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(body, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(os.path.dirname(path))


def _make_folder(path: str) -> None:
    folder = os.path.dirname(path)
    state = os.path.dirname(folder)
    with disk_errors(folder):
        os.makedirs(state, 0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
            sync_folder(state)


@contextmanager
def _flocked(lock: str, path: str, wait: bool) -> Iterator[None]:
    """flock(2) on a file of its own, since the lease itself is replaced by rename."""
    _make_folder(lock)
    with disk_errors(lock):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with disk_errors(lock):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                known = _read_lease(path)
                raise Busy(known.who() if known else f"another run holds {path}", "wait until it is done") from None
        yield
    finally:
        os.close(descriptor)
