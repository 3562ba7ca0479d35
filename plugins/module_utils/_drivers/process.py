# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running processes, counted and measured from /proc, so that nothing is executed. See proc(5)."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from .._core.errors import InvalidInput, RunbookError, Unreachable, VerifyFailed
from .._core.probe import Probe, Unmeasured
from . import _proc, _sample
from ._proc import Process
from ._read import read_regular

MEASURES = {
    "count": "count",
    "memory": "B",
    "age": "s",
    "threads": "count",
    "open_files": "count",
    "cpu_percent": "percent",
}

_NAME_BYTES = 15  # the kernel cuts the names of processes to this length
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Count the processes of this ``name``, with a command line that matches ``pattern``, with the number in ``pid_file``.

    ``age`` is that of the oldest; the sums of none are 0. Ansible itself does not count; ``cpu_percent`` takes half a second.
    Raises InvalidInput, VerifyFailed (no number in the pid file), RunbookError (other users' processes are hidden).
    """
    chosen, user = _choice(options), _user(options.get("user"))
    found = [process for process in _proc.processes() if chosen(process) and user in (None, _proc.owner(process.pid))]
    if not found and _proc.hidden():
        raise RunbookError(f"{_proc.PROC} hides the processes of other users, and none was found", "run the check with become: true")
    measures: dict[str, Any] = {
        "count": len(found),
        "memory": sum(process.memory for process in found) * _PAGE,
        "threads": sum(process.threads for process in found),
        "open_files": _open_files(found),
    }
    if found:
        oldest = min(process.started for process in found)
        measures["age"] = max(0.0, probe.now - _proc.booted_at() - oldest / _TICKS)
    if "cpu_percent" in probe.wanted:
        measures["cpu_percent"] = _cpu_percent(found, probe)
    return measures


def _choice(options: dict[str, Any]) -> Callable[[Process], bool]:
    """All that is asked for must hold: a number from an old pid file may by now belong to another program."""
    wanted: list[Callable[[Process], bool]] = []
    if options.get("pid_file"):
        number = _number(options["pid_file"])
        wanted.append(lambda process: process.pid == number)
    if options.get("name"):
        wanted.append(lambda process: _has_name(process, options["name"]))
    if options.get("pattern"):
        wanted.append(_by_pattern(options["pattern"]))
    own = () if options.get("pid_file") else _proc.ourselves()
    return lambda process: process.pid not in own and all(holds(process) for holds in wanted)


def _by_pattern(text: str) -> Callable[[Process], bool]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InvalidInput(f'process: pattern "{text}" is not a regular expression: {error}', "correct it") from None
    # Ansible's command lines hold paths and names of the inventory, which are just what patterns look for
    any_command = "ansib" in text.lower()
    return lambda process: pattern.search(" ".join(process.argv)) is not None and (any_command or not _proc.is_ansible(process))


def _number(pid_file: str) -> int | None:
    """The number in the file; None without a file, since services that stop take theirs away."""
    try:
        content = read_regular(pid_file)
    except Unreachable:
        return None
    found = re.match(rb"\s*(\d{1,10})\b", content)
    if found is None:
        raise VerifyFailed(f"{pid_file} holds no process number; it starts with {content[:20]!r}", "see whether this is the pid file of the service")
    return int(found.group(1))


def _has_name(process: Process, name: str) -> bool:
    """By the kernel's name or the program's. Longer names are cut by the kernel; a script is then known by its first argument."""
    programs = [os.path.basename(word) for word in process.argv[:2]]
    if len(name.encode()) > _NAME_BYTES:
        return name in programs
    return name in (process.name, programs[0])


def _user(name: str | None) -> int | None:
    if not name:
        return None
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise InvalidInput(f"process: the user {name} does not exist on this host", "correct the name, or give the number") from None


def _open_files(found: Sequence[Process]) -> int | Unmeasured:
    try:
        return sum(_proc.open_files(process.pid) for process in found)
    except PermissionError:
        return Unmeasured("the open files of another user's process cannot be seen; run the check with become: true")


def _cpu_percent(found: Sequence[Process], probe: Probe) -> float:
    """Of one processor: 200 is two of them. Processes that come or go meanwhile are left out."""
    started = time.monotonic()
    _sample.wait(probe)
    later = {process.pid: process for process in (_proc.read(before.pid) for before in found) if process is not None}
    used = sum(later[before.pid].used - before.used for before in found if before.pid in later and later[before.pid].started == before.started)
    return round(100 * used / _TICKS / (time.monotonic() - started), 2)
