# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether something accepts TCP connections at a host and port, and how fast. See tcp(7)."""

from __future__ import annotations

import time
from typing import Any

from .._core.probe import Probe
from ._connect import connect, resolve
from ._container_address import host_of
from ._time_left import TimeLeft

MEASURES = {"latency": "s"}


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Connect to a host or container and hang up; nothing is sent. ``latency`` is the connecting alone, without looking up the name.

    Raises Unreachable (refused, no route, no such name), TimedOut.
    """
    target, port = options["host"] or options.get("container"), options["port"]
    hint = "see whether the host is up and a firewall drops packets"
    left = TimeLeft(probe, options["timeout_seconds"], f"connecting to {target} port {port}", hint)
    host = host_of(options, left, options["host"])
    addresses = resolve(host, port, left)
    started = time.monotonic()
    with connect(host, addresses, left):
        return {"latency": time.monotonic() - started}
