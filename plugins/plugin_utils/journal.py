# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a run under way: one file, one writer, one line per event.

The lock that says "this run lives" is a POSIX record lock, not flock: a forked worker of Ansible outlives a killed
controller and would keep an flock, but never inherits a record lock. The price: a process loses the lock when it closes *any*
descriptor of the file. So within the process that writes it, a journal is read and probed through its own descriptor alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from datetime import datetime, timezone
from pathlib import Path

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Event, Journal, encode, parse_journal
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import make_folder, sync_folder

SUFFIX = ".jsonl"
_RUN_ID_FORM = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")

_mine: dict[Path, JournalFile] = {}


def now_text() -> str:
    """This instant in UTC, RFC 3339 with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JournalFile:
    """The journal that this process writes. Raises OSError where the folder cannot be written."""

    def __init__(self, folder: Path, run_id: str) -> None:
        make_folder(folder)
        self.path = folder / f"{run_id}{SUFFIX}"
        self._pid = os.getpid()
        draft = folder / f".{run_id}.new"  # gets its name only with the lock held: else another run could take it for a dead one's
        self._descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self.path)
        except OSError:
            os.close(self._descriptor)
            draft.unlink(missing_ok=True)
            raise
        _mine[self.path] = self

    def is_mine(self) -> bool:
        """Whether this process holds the lock: a forked child has the object and the descriptor, but not the lock."""
        return self._pid == os.getpid() and self._descriptor >= 0

    def append(self, event: Event) -> None:
        """Write one event. A line that does not fit on the disk is taken back, so that the journal stays sound."""
        if not self.is_mine():
            raise OSError(errno.EPERM, "only the process that opened a journal may write to it", str(self.path))
        size = os.fstat(self._descriptor).st_size
        data = f"{encode(event)}\n".encode("ascii")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def sync(self) -> None:
        """Make what was appended last through a power cut."""
        os.fsync(self._descriptor)
        sync_folder(self.path.parent)

    def read(self) -> bytes:
        """All of the file, through the descriptor that holds the lock."""
        return _read_all(self._descriptor)

    def close(self) -> None:
        """Give up the lock."""
        if self._descriptor >= 0:
            _mine.pop(self.path, None)
            os.close(self._descriptor)
            self._descriptor = -1


def _read_all(descriptor: int) -> bytes:
    parts, position = [], 0
    while part := os.pread(descriptor, 1 << 20, position):
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def run_id_of(path: Path) -> str:
    """The run whose journal this is; ``""`` for any other file."""
    return path.stem if path.suffix == SUFFIX and _RUN_ID_FORM.fullmatch(path.stem) else ""


def is_alive(path: Path) -> bool:
    """Whether a process holds the lock of the journal; False when the file is gone."""
    own = _mine.get(path)
    if own is not None and own.is_mine():
        return True
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(descriptor)
    return False


def read_bytes(path: Path) -> bytes:
    """All of a journal, without giving up its lock when it is this process's own."""
    own = _mine.get(path)
    return own.read() if own is not None and own.is_mine() else path.read_bytes()


def read(path: Path) -> Journal:
    """A journal taken apart into its sound events and the rest."""
    return parse_journal(run_id_of(path), read_bytes(path))


def quarantine(path: Path, found: Journal) -> bytes:
    """Cut what is not sound off a dead run's journal and keep it beside it; all that was ever cut off."""
    beside = path.with_suffix(".quarantine")
    if found.rest:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(found.rest)
            file.flush()
            os.fsync(file.fileno())
        os.truncate(path, path.stat().st_size - len(found.rest))
    return beside.read_bytes() if beside.exists() else b""


def extend(path: Path, events: list[Event]) -> None:
    """Append events to a dead run's journal. The caller holds the history's write lock, so nobody else does the same."""
    with path.open("ab") as file:
        file.write("".join(f"{encode(event)}\n" for event in events).encode("ascii"))
        file.flush()
        os.fsync(file.fileno())


def shelve(path: Path, folder: Path) -> Path:
    """Move the journal of a sealed run, and what was cut off it, to ``folder``. Done twice, it does nothing."""
    make_folder(folder)
    for name in (path, path.with_suffix(".quarantine")):
        try:
            name.rename(folder / name.name)
        except FileNotFoundError:
            continue
    sync_folder(path.parent)
    sync_folder(folder)
    return folder / path.name
