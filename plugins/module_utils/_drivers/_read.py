# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a small file without hanging on a pipe or a device. Shared by the drivers that look into files."""

from __future__ import annotations

import os
import stat

from .._core.errors import InvalidInput, RunbookError, Unreachable

_MOST_BYTES = 16 * 1024 * 1024


def read_regular(path: str) -> bytes:
    """The content of a regular file. Raises Unreachable when there is none; what cannot be read says nothing about the target."""
    try:
        # without O_NONBLOCK opening a pipe waits for somebody to write into it
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
                raise InvalidInput(f"{path} is not a file, or larger than {_MOST_BYTES} bytes", "give the path of the file itself")
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise Unreachable(f"{path} does not exist", "see whether the path is right and the file has been made") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder", "give the path of the file itself") from None
    except OSError as error:
        raise RunbookError(f"{path} cannot be read: {error.strerror}", "see its permissions, or run the check with become: true") from None
