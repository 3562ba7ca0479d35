# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that a shell pattern matches, without ever taking "not allowed" for "not there"."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator

from ._time_left import TimeLeft

_MAGIC = re.compile(r"[*?\[]")


def matches(folder: str, parts: list[str], left: TimeLeft) -> Iterator[str]:
    """Unlike ``glob``, it raises when a folder may not be read, so that "not allowed" is never taken for "not there"."""
    if not parts:
        yield folder
    elif not _MAGIC.search(parts[0]):
        yield from matches(os.path.join(folder, parts[0]), parts[1:], left)
    else:
        try:
            entries = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        with entries:
            for entry in entries:
                left.timeout()
                if fnmatch.fnmatchcase(entry.name, parts[0]) and (parts[0][0] == "." or entry.name[0] != "."):
                    yield from matches(entry.path, parts[1:], left)
