# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time one measurement may take: its own time-out inside the deadline of the whole call. Shared by the drivers that wait."""

from __future__ import annotations

from .._core.errors import TimedOut
from .._core.probe import DeadlinePassed, Probe

_MARGIN = 0.05  # what was started is stopped before the module ends with the call


class TimeLeft:
    """Counts down from ``seconds`` or from what is left of the whole call, and knows which of the two it was."""

    def __init__(self, probe: Probe, seconds: float, what: str, hint: str) -> None:
        self._whole = probe.deadline.remaining() <= seconds
        self.deadline = probe.deadline.within(probe.timeout(seconds) - (_MARGIN if self._whole else 0))
        self._seconds = seconds
        self._what = what
        self._hint = hint

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return self.deadline.remaining()

    def timeout(self) -> float:
        """Seconds the next blocking call may take; raises when none are left, since 0 means "do not block" to a socket."""
        left = self.remaining()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> TimedOut:
        """The error to raise: a slow target is bad news about the target, a call that ran out of time says nothing about it."""
        if self._whole:
            return DeadlinePassed(f"{self._what} was not done when the time for all checks was over", "raise health_deadline_seconds")
        return TimedOut(f"{self._what} took longer than {self._seconds:g} s", self._hint)
