# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: messages on disk from before the first try until after one arrived, so that each arrives at least once.

One file for each message, for this user alone, written whole or not at all and through a power cut. A file holds the message and the name of its
channel, never a secret of it. Beside them lies what runs told that are not sealed yet: without it the run after a killed one would tell it again.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy
from ansible_collections.tradeops.runbook.plugins.module_utils._core.messages import Message, read_message
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import Notice, read_notice
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import make_folder, sync_folder

KEPT_EXPIRED_SECONDS = 30 * 86400.0
_SUFFIX = ".json"


@dataclass(frozen=True)
class Waiting:
    """A message in the outbox, and how its delivery goes."""

    path: Path
    message: Message
    notices: tuple[Notice, ...] = ()
    tries: int = 0
    next_at: float = 0.0
    error: str = ""
    replaced: bool = False
    """Its second channels have it, too."""
    reached: bool = False
    """One of them delivered it."""
    done: tuple[str, ...] = ()
    """Addresses that took it, when others did not."""

    def data(self) -> dict[str, Any]:
        """What its file holds."""
        own = {"tries": self.tries, "next_at": self.next_at, "error": self.error, "replaced": self.replaced, "reached": self.reached,
               "done": list(self.done)}  # fmt: skip
        return {"message": self.message.record(), "notices": [notice.record() for notice in self.notices], **own}


def read_waiting(path: Path) -> Waiting:
    """A message from its file, also that of a release that knew less. Raises KeyError, TypeError or ValueError for anything else."""
    data = json.loads(path.read_text(encoding="utf-8"))
    message = read_message(data["message"])
    tries, next_at, error = int(data.get("tries", 0)), float(data.get("next_at", 0.0)), str(data.get("error", ""))
    told = tuple(map(read_notice, data.get("notices", ())))
    done = tuple(map(str, data.get("done", ())))
    return Waiting(path, message, told, tries, next_at, error, bool(data.get("replaced")), bool(data.get("reached")), done)


class Outbox:
    """A folder of messages. Use it with ``locked``: two passes at once would send everything twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unreadable: dict[Path, str] = {}

    @property
    def problems(self) -> list[str]:
        """What is wrong with it."""
        return [f"{path.name} in the outbox cannot be read ({why}): nobody gets it; the run that delivers keeps it as {path.name}.bad"
                for path, why in self._unreadable.items()]  # fmt: skip

    @contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Alone with it. Raises Busy when another pass does not end within ``seconds``. A killed pass holds nothing."""
        make_folder(self.folder)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, seconds)
            for draft in [*self.folder.glob(".*.new"), *self.folder.glob("told/.*.new")]:
                draft.unlink()  # of a pass that was killed while it wrote
            yield
        finally:
            os.close(descriptor)

    def add(self, message: Message, notices: Iterable[Notice] = (), **state: Any) -> Waiting:
        """Keep a message until it was delivered. The same one twice is one."""
        path = self.folder / f"{int(message.created_at * 1000):015d}-{message.id}{_SUFFIX}"
        waiting = Waiting(path, message, tuple(notices), **state)
        if not path.exists():
            self._write(path, waiting.data())
        return waiting

    def update(self, waiting: Waiting, **changes: Any) -> Waiting:
        """Note how its delivery goes."""
        changed = replace(waiting, **changes)
        self._write(changed.path, changed.data())
        return changed

    def remove(self, waiting: Waiting) -> None:
        """It was delivered, or is part of another message."""
        waiting.path.unlink(missing_ok=True)
        sync_folder(self.folder)

    def expire(self, waiting: Waiting) -> None:
        """Nobody wants it any more; it is kept aside for whoever asks why nobody was told."""
        make_folder(self.folder / "expired")
        waiting.path.rename(self.folder / "expired" / waiting.path.name)
        sync_folder(self.folder)

    def waiting(self) -> list[Waiting]:
        """Every message, the oldest first. What cannot be read is a problem. Changes nothing."""
        found = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")) if self.folder.is_dir() else []:
            try:
                found.append(read_waiting(path))
            except FileNotFoundError:  # delivered by another run: who only looks holds no lock
                continue
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self._unreadable[path] = type(error).__name__
        return found

    def set_aside(self) -> None:
        """Take what cannot be read out of the way; whoever does that holds the lock."""
        self.waiting()
        for path in self._unreadable:
            with suppress(FileNotFoundError):
                path.rename(path.with_name(f"{path.name}.bad"))

    def tell(self, run_id: str, notices: Iterable[Notice]) -> None:
        """Keep what a run told until the history has it."""
        found = [*self.told_by(run_id), *notices]
        if found:
            make_folder(self.folder / "told")
            self._write(self.folder / "told" / f"{run_id}{_SUFFIX}", {"notices": [notice.record() for notice in found]})

    def told_by(self, run_id: str) -> list[Notice]:
        """What a run told that the history may not have yet."""
        try:
            data = json.loads((self.folder / "told" / f"{run_id}{_SUFFIX}").read_text(encoding="utf-8"))
            return [read_notice(notice) for notice in data["notices"]]
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return []

    def tellers(self) -> list[str]:
        """Runs of which something is kept."""
        return sorted(path.stem for path in (self.folder / "told").glob(f"*{_SUFFIX}"))

    def forget(self, run_id: str) -> None:
        """The history has it."""
        (self.folder / "told" / f"{run_id}{_SUFFIX}").unlink(missing_ok=True)

    def sent(self) -> dict[str, list[float]]:
        """Channel to when something was sent lately."""
        try:
            data = json.loads((self.folder / ".sent").read_text(encoding="utf-8"))
            return {str(name): [float(at) for at in times] for name, times in data.items()}
        except (FileNotFoundError, AttributeError, TypeError, ValueError):
            return {}

    def note_sent(self, sent: dict[str, list[float]]) -> None:
        """Keep it for the next pass."""
        self._write(self.folder / ".sent", sent)

    def tidy(self, now: float) -> None:
        """Take away what expired long ago."""
        for path in (self.folder / "expired").glob(f"*{_SUFFIX}"):
            if now - path.stat().st_mtime > KEPT_EXPIRED_SECONDS:
                path.unlink()

    def _write(self, path: Path, data: Any) -> None:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(data, file)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise
        sync_folder(path.parent)


def _lock(descriptor: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Busy("another run is delivering notifications", "nothing is lost: the next run tells what this one could not") from None
        time.sleep(0.1)
