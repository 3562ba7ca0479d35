# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long what is counted over time is counted: the processor time of hosts, processes and containers."""

from __future__ import annotations

import time

from .._core.probe import Probe

_SECONDS = 0.5


def wait(probe: Probe, most: float = _SECONDS) -> None:
    """Return after a sample's time, or ``most`` seconds. Raises DeadlinePassed when none is left."""
    (probe.pause or time.sleep)(min(_SECONDS, probe.timeout(most)))
