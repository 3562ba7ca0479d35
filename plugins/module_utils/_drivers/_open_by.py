# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes have a file open (/proc/PID/fd, see proc(5)), containers of this machine included."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ._proc import PROC, read


def open_by(paths: Sequence[str]) -> list[str]:
    """``name (pid)`` of every other process that has one of these files open, as far as this user may see."""
    wanted = set()
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        wanted.add((found.st_dev, found.st_ino))
    own = os.getpid()
    return [_named(int(pid)) for pid in os.listdir(PROC) if wanted and pid.isdigit() and int(pid) != own and _has(pid, wanted)]


def _has(pid: str, wanted: set[tuple[int, int]]) -> bool:
    try:
        descriptors = os.listdir(f"{PROC}/{pid}/fd")
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            found = os.stat(f"{PROC}/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) in wanted:
            return True
    return False


def _named(pid: int) -> str:
    found = read(pid)
    return f"{found.name if found else 'a process'} ({pid})"
