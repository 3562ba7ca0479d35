# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine itself, from /proc and statvfs(3): disks, memory, load, processors. See proc(5)."""

from __future__ import annotations

import os
import re
from typing import Any

from .._core.errors import RunbookError, Unreachable, VerifyFailed
from .._core.probe import Probe, Unmeasured
from . import _sample

MEASURES = {
    "disk_used_percent": "percent",
    "disk_free": "B",
    "inodes_used_percent": "percent",
    "memory_used_percent": "percent",
    "memory_available": "B",
    "swap_used_percent": "percent",
    "load_1m": "number",
    "load_per_cpu": "number",
    "cpu_percent": "percent",
    "uptime": "s",
}


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Disk figures for ``mount`` when one is given, the rest for the whole machine; processors only when they have a limit."""
    measures: dict[str, Any] = {**_memory(), **_load()}
    if options.get("mount"):
        measures.update(_disk(options["mount"]))
    if "cpu_percent" in probe.wanted:
        measures["cpu_percent"] = _cpu(probe)
    return measures


def _disk(mount: str) -> dict[str, Any]:
    """As df(1) counts: of what an ordinary user may use, so that the reserve of root does not look free."""
    try:
        found = os.statvfs(mount)
    except PermissionError:
        raise RunbookError(f"the file system at {mount} may not be looked at", "run the check with become: true") from None
    except OSError as error:
        raise Unreachable(f"the file system at {mount} cannot be read: {error.strerror}", "see whether it is mounted") from None
    if os.path.realpath(mount) not in _mount_points():
        raise VerifyFailed(f"{mount} is not a mount point: its figures would be those of another file system", "see whether it is mounted (findmnt)")
    used = found.f_blocks - found.f_bfree
    usable = used + found.f_bavail
    measures: dict[str, Any] = {"disk_free": found.f_bavail * found.f_frsize}
    if usable:
        measures["disk_used_percent"] = round(100 * used / usable, 2)
    if found.f_files:
        measures["inodes_used_percent"] = round(100 * (found.f_files - found.f_ffree) / found.f_files, 2)
    return measures


def _mount_points() -> set[str]:
    """Also bind mounts of the same file system, which os.path.ismount does not see. Blanks are written as octal numbers there."""
    fields = [line.split()[4] for line in _lines("/proc/self/mountinfo")]
    return {re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), field) for field in fields}


def _memory() -> dict[str, Any]:
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in _lines("/proc/meminfo")}
    total, available = kilobytes["MemTotal"], kilobytes["MemAvailable"]
    swap = kilobytes.get("SwapTotal", 0)
    return {
        "memory_used_percent": round(100 * (total - available) / total, 2),
        "memory_available": available * 1024,
        "swap_used_percent": round(100 * (swap - kilobytes.get("SwapFree", 0)) / swap, 2) if swap else 0.0,
    }


def _load() -> dict[str, Any]:
    load = float(_lines("/proc/loadavg")[0].split()[0])
    return {"load_1m": load, "load_per_cpu": round(load / (os.cpu_count() or 1), 3), "uptime": float(_lines("/proc/uptime")[0].split()[0])}


def _cpu(probe: Probe) -> float | Unmeasured:
    """Share of time not idle over a short sample."""
    before = _jiffies()
    _sample.wait(probe)
    after = _jiffies()
    spent = sum(after) - sum(before)
    idle = (after[3] + after[4]) - (before[3] + before[4])  # idle and iowait
    if spent <= 0:
        return Unmeasured("the kernel counted no processor time")  # as in some sandboxes
    return round(100 * min(1.0, max(0.0, (spent - idle) / spent)), 2)  # iowait may run backwards


def _jiffies() -> list[int]:
    return [int(field) for field in _lines("/proc/stat")[0].split()[1:9]]  # guest time is already inside user time


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read().splitlines()
