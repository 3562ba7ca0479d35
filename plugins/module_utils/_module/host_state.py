# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state that acting modules keep on a host, by itself: what only looks at it ships no other driver."""

from __future__ import annotations

from typing import Any


def state_of(folder: str) -> Any:
    """Leases and intents of this host."""
    from .._drivers.state import State

    return State(folder)
