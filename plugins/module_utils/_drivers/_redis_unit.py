# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the server that is restored into is stopped and started, and where its data is: as a unit of systemd, or a container. See systemctl(1)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

from .._core.errors import CommandFailed, InvalidInput
from .._core.probe import Deadline
from ._child_process import PIPE_BYTES, Command, Host, Patience
from ._redis_docker import ContainerUnit


class Unit(Protocol):
    """What runs a server. Every method raises RunbookError, TimedOut."""

    def stop(self, deadline: Deadline) -> None:
        """Returns when it does not run any more, whatever it does to start again by itself. Does nothing when it does not run."""

    def start(self, deadline: Deadline) -> None:
        """Returns when it was started. Does nothing when it runs."""

    def pid(self, deadline: Deadline) -> int:
        """Of its main process; 0 when it does not run, or nobody knows."""

    def path(self, inside: str, deadline: Deadline) -> str:
        """Where on this host is what the server calls ``inside``. Raises Refused for what it alone has."""


class SystemdUnit:
    """``name`` such as ``redis-server.service``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def stop(self, deadline: Deadline) -> None:
        """See Unit."""
        self._systemctl(["stop"], deadline)

    def start(self, deadline: Deadline) -> None:
        """See Unit."""
        self._systemctl(["start"], deadline)

    def pid(self, deadline: Deadline) -> int:
        """See Unit."""
        told = self._systemctl(["show", "--property=MainPID"], deadline).strip().partition("=")[2]
        return int(told) if told.isdigit() else 0

    def path(self, inside: str, _deadline: Deadline) -> str:
        """See Unit."""
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


def unit_of(options: Mapping[str, Any]) -> Unit | None:
    """That of ``service``, or of ``container``."""
    if options.get("service") and options.get("container"):
        raise InvalidInput("redis: service excludes container", "leave one of them out: a container is stopped and started through its engine")
    if options.get("container"):
        return ContainerUnit(options["container"])
    return SystemdUnit(options["service"]) if options.get("service") else None
