# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel counts for one container, from the files of its control group, version 1 or 2. See cgroups(7).

Not from the engine's statistics: those are zeros without a word where the engine cannot read these files.
"""

from __future__ import annotations

import os

from .._core.probe import Unmeasured

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FILES = {
    "memory": ("memory", "memory.usage_in_bytes", "memory.current"),
    "cache": ("memory", "memory.stat:total_inactive_file", "memory.stat:inactive_file"),
    "oom_kills": ("memory", "memory.oom_control:oom_kill", "memory.events:oom_kill"),
    "pids": ("pids", "pids.current", "pids.current"),
    "cpu": ("cpuacct", "cpuacct.usage", "cpu.stat:usage_usec"),
}
"""What is asked: the controller of version 1, its file, and the file in version 2; a key when the file has several lines."""


class Cgroup:
    """The control group of process ``pid``, which must be that of container ``container`` (its full id). What cannot be told is Unmeasured."""

    def __init__(self, pid: int, container: str, root: str = "/") -> None:
        self._pid, self._container = pid, container
        self._root = root  # of the files of the kernel; another one in tests
        self._folders: dict[str, str] = {}  # controller to the path of the group; version 2 has no name
        self._mounts: dict[str, str] = {}
        try:
            for line in self._lines(f"proc/{pid}/cgroup"):
                _number, controllers, path = line.split(":", 2)
                if container in path:  # else it is another process: this Python may see other numbers than the engine
                    before, found, below = path.partition(container)  # its first process may have gone further down, as systemd does
                    self._folders.update({name: before + found + below.partition("/")[0] for name in controllers.split(",")})
            self._mounts.update(self._mounted())
        except (OSError, ValueError):
            self._folders = {}

    def ended(self) -> bool:
        """Whether its process is not there any more, or was never seen; a container that does not run has none (0)."""
        try:
            return self._pid > 0 and not any(self._container in line for line in self._lines(f"proc/{self._pid}/cgroup"))
        except OSError:
            return True

    def memory(self) -> Any:
        """Bytes in use, without the part of the page cache that can be dropped, as docker-stats(1) shows it."""
        return self._measure("the memory", lambda: max(0, self._number("memory") - self._number("cache")) or None)

    def pids(self) -> Any:
        """Processes and threads."""
        return self._measure("the number of its processes", lambda: self._number("pids") or None)

    def cpu_seconds(self) -> Any:
        """Processor time since it was started."""
        return self._measure("its processor time", lambda: self._number("cpu") / (1e6 if self._is_v2("cpuacct") else 1e9) or None)

    def oom_kills(self) -> Any:
        """Processes that the kernel killed in it for want of memory."""
        return self._measure("what was killed for want of memory", lambda: self._number("oom_kills"))

    def _measure(self, what: str, read: Callable[[], float | None]) -> Any:
        """A running container uses something of everything: where the kernel counts nothing, it does not count (read gives None)."""
        try:
            value = read()
        except (OSError, ValueError, LookupError):
            return Unmeasured(f"the kernel does not tell {what} (no control group that can be read)")
        return Unmeasured(f"the kernel counts zero for {what}, which cannot be") if value is None else value

    def _is_v2(self, controller: str) -> bool:
        return controller not in self._folders or controller not in self._mounts

    def _number(self, asked: str) -> int:
        controller, first, second = _FILES[asked]
        if self._is_v2(controller):
            controller, first = "", second
        name, _colon, key = first.partition(":")
        folder = os.path.join(self._mounts[controller], self._folders[controller].lstrip("/"))
        lines = self._lines(os.path.join(folder, name))
        return int(dict(line.split() for line in lines)[key] if key else lines[0])

    def _mounted(self) -> dict[str, str]:
        """Controller to mount point."""
        found: dict[str, str] = {}
        for line in self._lines("proc/self/mountinfo"):
            fields, _dash, tail = line.partition(" - ")
            kind, _source, options = tail.split(" ", 2)
            if kind == "cgroup":
                found.update({name: fields.split()[4] for name in options.split(",")})
            elif kind == "cgroup2":
                found[""] = fields.split()[4]
        return found

    def _lines(self, path: str) -> list[str]:
        with open(os.path.join(self._root, path.lstrip("/")), encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
