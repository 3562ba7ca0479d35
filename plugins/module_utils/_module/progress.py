# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells how far a long copy came, in a file that the controller reads while the module runs."""

from __future__ import annotations

import json
import os
import time

from .._core.errors import TimedOut
from .._core.probe import Deadline

_EVERY_SECONDS = 1.0


class Progress:
    """Called with the bytes done and, where known, of how many; writes at most once a second. Nothing but the end of its time breaks the work."""

    def __init__(self, path: str | None, what: str, deadline: Deadline) -> None:
        self._path, self._what, self._deadline = path, what, deadline
        self._started = self._written = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._deadline.remaining() <= 0:
            raise TimedOut(f"the {self._what} took longer than it may, with {done} bytes done", "give it more time (timeout_seconds)")
        if not self._path or now - self._written < _EVERY_SECONDS:
            return
        self._written = now
        body = {"what": self._what, "done_bytes": done, "total_bytes": total, "seconds": round(now - self._started, 1)}
        try:
            descriptor = os.open(f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(body, file)
            os.replace(f"{self._path}.new", self._path)
        except OSError:  # what cannot be shown is done all the same
            self._path = None
