# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files by path or pattern: whether they are there, how many, how large, how old, who may read them. See inode(7)."""

from __future__ import annotations

import math
import os
import pwd
import stat
from typing import Any

from .._core.errors import InvalidInput, RunbookError
from .._core.probe import Probe, Unmeasured
from ._matches import matches
from ._time_left import TimeLeft

MEASURES = {
    "exists": "boolean",
    "count": "count",
    "size": "B",
    "age": "s",
    "oldest_age": "s",
    "mode": "text",
    "owner": "text",
}

_FUTURE_SECONDS = 60.0  # a file server's clock may differ by this much before "in the future" means a wrong time


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Look at every entry that ``path`` matches (``*``, ``?`` and ``[...]`` within one folder's names), links not followed.

    ``age`` is that of the newest, ``mode`` every permission that any of them grants, ``owner`` the names of all owners.
    Without a match there is only ``exists`` and ``count``. Raises RunbookError when a folder may not be read, TimedOut.
    """
    path = options["path"]
    if not os.path.isabs(path) or "\0" in path:
        raise InvalidInput(f'file: "{path}" is not an absolute path', "write the whole path from / on")
    left = TimeLeft(probe, options["timeout_seconds"], f"looking at {path}", "see whether its file system hangs, or narrow the pattern")
    tally = _Tally()
    try:
        for name in [path] if os.path.lexists(path) else matches("/", path.split("/"), left):
            tally.add(name)
    except OSError as error:
        raise RunbookError(f"{error.filename or path} cannot be looked at: {error.strerror}", "run the check with become: true") from None
    return tally.measures(probe.now)


class _Tally:
    """Sums up entries one by one, so that a folder of millions costs no memory."""

    def __init__(self) -> None:
        self._count = 0
        self._size = 0
        self._mode: int | None = None
        self._oldest = math.inf
        self._newest = -math.inf
        self._owners: set[int] = set()

    def add(self, name: str) -> None:
        try:
            found = os.lstat(name)
        except (FileNotFoundError, NotADirectoryError):  # it went away, or the pattern leads through a file
            return
        self._count += 1
        self._size += found.st_size
        self._owners.add(found.st_uid)
        self._oldest = min(self._oldest, found.st_mtime)
        self._newest = max(self._newest, found.st_mtime)
        if not stat.S_ISLNK(found.st_mode):  # every link has mode 0777, which grants nothing
            self._mode = (self._mode or 0) | stat.S_IMODE(found.st_mode)

    def measures(self, now: float) -> dict[str, Any]:
        if not self._count:
            return {"exists": False, "count": 0}
        mode = {} if self._mode is None else {"mode": format(self._mode, "04o")}
        return {
            "exists": True,
            "count": self._count,
            "size": self._size,
            "age": _age(now, self._newest),
            "oldest_age": _age(now, self._oldest),
            "owner": ", ".join(sorted(map(_user, self._owners))),
            **mode,
        }


def _age(now: float, changed: float) -> float | Unmeasured:
    if changed > now + _FUTURE_SECONDS:
        return Unmeasured(f"it was last changed {changed - now:.0f} s in the future")
    return max(0.0, now - changed)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
