# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is a unit of systemd: stopped, started, and its process. See systemctl(1)."""

from __future__ import annotations

import os

from .._core.errors import CommandFailed
from .._core.probe import Deadline
from ._child_process import PIPE_BYTES, Command, Host, Patience


class SystemdUnit:
    """``name`` such as ``redis-server.service``. Every method raises RunbookError, TimedOut."""

    def __init__(self, name: str) -> None:
        self._name = name

    def stop(self, deadline: Deadline) -> None:
        """Returns when it does not run any more. Does nothing when it does not run."""
        self._systemctl(["stop"], deadline)

    def start(self, deadline: Deadline) -> None:
        """Returns when it was started. Does nothing when it runs."""
        self._systemctl(["start"], deadline)

    def pid(self, deadline: Deadline) -> int:
        """Of its main process; 0 when it does not run, or nobody knows."""
        told = self._systemctl(["show", "--property=MainPID"], deadline).strip().partition("=")[2]
        return int(told) if told.isdigit() else 0

    def path(self, inside: str, _deadline: Deadline) -> str:
        """Where on this host is what the server calls ``inside``: there."""
        return inside

    def _systemctl(self, arguments: list[str], deadline: Deadline) -> str:
        argv = ["systemctl", "--no-pager", "--no-ask-password", *arguments, "--", self._name]
        environment = {"LC_ALL": "C", "SYSTEMD_COLORS": "0", "PATH": os.environ.get("PATH", os.defpath)}
        with Host().start(Command(argv, environment, Patience(f"systemctl {arguments[0]} {self._name}", deadline))) as child:
            printed = b"".join(iter(lambda: child.read(PIPE_BYTES), b""))
            status = child.finish()
            if status:
                error = CommandFailed(argv, status, child.said()[-1000:])
                error.hint = f"see service, and: systemctl status {self._name}"
                raise error
        return printed.decode("utf-8", "replace")
