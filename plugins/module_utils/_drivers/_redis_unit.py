# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the server that is restored into is stopped and started, and where its data is: as a unit of systemd, or a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .._core.errors import InvalidInput
from .._core.probe import Deadline
from ._redis_docker import ContainerUnit
from ._systemd_unit import SystemdUnit


class Unit(Protocol):
    """What runs a server. Every method raises RunbookError, TimedOut."""

    def stop(self, deadline: Deadline) -> None:
        """Returns when it does not run any more, whatever it does to start again by itself. Does nothing when it does not run."""

    def start(self, deadline: Deadline) -> None:
        """Returns when it was started. Does nothing when it runs."""

    def pid(self, deadline: Deadline) -> int | None:
        """Of its main process; 0 when it does not run, None when it runs and nobody knows."""

    def path(self, inside: str, deadline: Deadline) -> str:
        """Where on this host is what the server calls ``inside``. Raises Refused for what it alone has."""


def unit_of(options: Mapping[str, Any]) -> Unit | None:
    """That of ``service``, or of ``container``."""
    if options.get("service") and options.get("container"):
        raise InvalidInput("redis: service excludes container", "leave one of them out: a container is stopped and started through its engine")
    if options.get("container"):
        return ContainerUnit(options["container"])
    return SystemdUnit(options["service"]) if options.get("service") else None
