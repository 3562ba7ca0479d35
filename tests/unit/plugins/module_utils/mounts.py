# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in a child process that may mount what it likes, without anybody else seeing it (mount_namespaces(7))."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.tests.support.children import answer

_CLONE_NEWNS = 0x00020000


def mounted(work: Callable[[], Any]) -> Any:
    """``work`` in a child that may mount; gives or raises what it does. Skips where that is forbidden."""

    def apart() -> Any:
        if ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
            pytest.skip("mount namespaces are not permitted here")
        mount("--make-rprivate", "/")
        return work()

    return answer(apart)


def mount(*options: str) -> None:
    """mount(8); only in work of ``mounted``."""
    subprocess.run(["mount", *options], check=True, timeout=60, capture_output=True)


def tmpfs(place: Path, size: str = "4m") -> None:
    """An empty disk of that size; only in work of ``mounted``."""
    place.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
