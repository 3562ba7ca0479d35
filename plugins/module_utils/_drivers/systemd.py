# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd, one or all that failed, as systemctl(1) tells them."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import signal
import subprocess
import time
from typing import Any

from .._core.errors import CommandFailed, InvalidInput, RunbookError, VerifyFailed
from .._core.probe import Probe
from ._time_left import TimeLeft

MEASURES = {
    "active_state": "text",
    "sub_state": "text",
    "enabled_state": "text",
    "result": "text",
    "restarts": "count",
    "memory": "B",
    "age": "s",
    "failed_count": "count",
    "failed": "list",
    "failed_benign": "list",
    "system_state": "text",
}

_PROPERTIES = "LoadState,ActiveState,SubState,UnitFileState,Result,NRestarts,MemoryCurrent,ActiveEnterTimestampMonotonic"
_TEXTS = {"active_state": "ActiveState", "sub_state": "SubState", "enabled_state": "UnitFileState", "result": "Result"}
_NUMBERS = {"restarts": "NRestarts", "memory": "MemoryCurrent"}
_NOT_SET = 2**64 - 1  # how systemd before 250 writes "unknown" in some properties
_SYSTEM_STATES = {"initializing", "starting", "running", "degraded", "maintenance", "stopping"}
_HINT = "see whether this host runs systemd; elsewhere use a process check"


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """The state of ``unit``, or without one which units failed; those that ``benign`` names are listed apart.

    ``age`` is the time since the unit became active. Raises VerifyFailed when systemd knows no such unit or cannot read its
    file, CommandFailed or RunbookError when systemd itself cannot be asked, TimedOut.
    """
    left = TimeLeft(probe, options["timeout_seconds"], "asking systemd", "see whether systemd (process 1) and D-Bus answer")
    return _unit(options["unit"], left) if options.get("unit") else _manager(options["benign"], left)


def _unit(unit: str, left: TimeLeft) -> dict[str, Any]:
    if any(sign in unit for sign in "*?[ \n"):
        raise InvalidInput(f'systemd: "{unit}" is not the name of one unit', "write one check per unit")
    told = dict(line.split("=", 1) for line in _asked(["show", f"--property={_PROPERTIES}", "--", unit], left).splitlines() if "=" in line)
    if told.get("LoadState") in ("not-found", "bad-setting", "error") and told.get("ActiveState") == "inactive":
        problem = "does not exist" if told["LoadState"] == "not-found" else f"cannot be loaded ({told['LoadState']})"
        raise VerifyFailed(f"unit {unit} {problem} on this host", f"correct the name, or see: systemctl status {unit}")
    measures: dict[str, Any] = {name: told[key] for name, key in _TEXTS.items() if key in told}
    for name, key in _NUMBERS.items():
        value = told.get(key, "")
        if value.isdigit() and int(value) != _NOT_SET:  # otherwise "[not set]", or the unit is of a type without it
            measures[name] = int(value)
    since = int(told.get("ActiveEnterTimestampMonotonic") or 0)
    if told.get("ActiveState") == "active" and since:  # a unit that failed keeps the time it was last active
        measures["age"] = max(0.0, time.monotonic() - since / 1_000_000)
    return measures


def _manager(benign: list[dict[str, Any]], left: TimeLeft) -> dict[str, Any]:
    lines = _asked(["--full", "--plain", "--no-legend", "--failed", "list-units"], left).splitlines()
    units = [line.split()[0] for line in lines if line.strip()]
    tolerated = [unit for unit in units if any(fnmatch.fnmatchcase(unit, item["pattern"]) for item in benign)]
    failed = [unit for unit in units if unit not in tolerated]
    return {"failed_count": len(failed), "failed": failed, "failed_benign": tolerated, "system_state": _system_state(left)}


def _system_state(left: TimeLeft) -> str:
    argv, rc, printed, errors = _run(["is-system-running"], left)
    state = printed.strip()
    if state not in _SYSTEM_STATES:  # its exit status says only whether the state is "running"
        raise _failed(argv, rc, errors or printed)
    return state


def _asked(arguments: list[str], left: TimeLeft) -> str:
    argv, rc, printed, errors = _run(arguments, left)
    if rc != 0:
        raise _failed(argv, rc, errors or printed)
    return printed


def _failed(argv: list[str], rc: int, tail: str) -> CommandFailed:
    error = CommandFailed(argv, rc, tail[-1000:])
    error.hint = _HINT
    return error


def _run(arguments: list[str], left: TimeLeft) -> tuple[list[str], int, str, str]:
    """systemctl in a process group of its own, all of it killed when time is up."""
    argv = ["systemctl", "--no-pager", "--no-ask-password", *arguments]
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        # run_command belongs to AnsibleModule, which a driver does not know, and has no time-out
        child = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
            start_new_session=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise RunbookError(f"systemctl cannot be run on this host: {error.strerror}", _HINT) from None
    with child:
        try:
            printed, errors = child.communicate(timeout=left.timeout())
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise left.passed() from None
            raise
    return argv, child.returncode, printed, errors
