# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads processes out of /proc; one that vanishes while it is read was never there. The reading half of the process driver; see proc(5)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

PROC = "/proc"

_COMMAND_BYTES = 65536


@dataclass(frozen=True)
class Process:
    """What /proc says of one process; ``used`` and ``started`` (after boot) are in clock ticks, ``memory`` in pages."""

    pid: int
    name: str
    argv: tuple[str, ...]
    parent: int
    threads: int
    used: int
    started: int
    memory: int


def processes() -> Iterator[Process]:
    """Every process that runs. Dead ones that nobody collected (zombies) do not."""
    for entry in os.listdir(PROC):
        found = read(int(entry)) if entry.isdigit() else None
        if found is not None:
            yield found


def read(pid: int) -> Process | None:
    """One process, or None when there is none, or it is dead or hidden."""
    try:
        # the name is in brackets and may hold brackets and spaces itself
        name, fields = _content(pid, "stat").split("(", 1)[1].rsplit(")", 1)
        argv = _content(pid, "cmdline").rstrip("\0").split("\0")
    except (OSError, IndexError):
        return None
    state, parent, *numbers = fields.split()
    if state in "ZXx":
        return None
    # proc(5) counts from 1 and state is its field 3: numbers[0] is field 5
    utime, stime, threads, started, pages = (int(numbers[field - 5]) for field in (14, 15, 20, 22, 24))
    return Process(pid, name, tuple(argv), int(parent), threads, utime + stime, started, pages)


def owner(pid: int) -> int | None:
    """The number of the effective user."""
    try:
        found = re.search(r"^Uid:\s+\d+\s+(\d+)", _content(pid, "status"), re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) if found else None


def open_files(pid: int) -> int:
    """Open file descriptors. Raises PermissionError for other users' processes."""
    try:
        return len(os.listdir(f"{PROC}/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def booted_at() -> int:
    """When the machine was started, in seconds since 1970."""
    with open(f"{PROC}/stat", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("btime "))


def hidden() -> bool:
    """Whether other users' processes are hidden from us (/proc mounted with hidepid)."""
    try:
        _content(1, "cmdline")
    except OSError:
        return True
    return False


def ourselves() -> set[int]:
    """This process and those it was started by.

    A service we descend from (sshd, cron: a child of process 1) is none of ours, unless it is Ansible under a timer.
    """
    own: set[int] = set()
    pid = int(os.readlink(f"{PROC}/self"))
    while pid > 1:
        found = read(pid)
        if found is None or (own and found.parent <= 1 and not is_ansible(found)):
            break
        own.add(pid)
        pid = found.parent
    return own


def is_ansible(process: Process) -> bool:
    """Whether the command is one of Ansible's (ansible-playbook, AnsiballZ_...), also as a script of an interpreter."""
    return any(os.path.basename(word).lower().startswith("ansib") for word in process.argv[:2])


def _content(pid: int, name: str) -> str:
    with open(f"{PROC}/{pid}/{name}", "rb") as file:
        return file.read(_COMMAND_BYTES).decode("utf-8", "replace")
