# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver is told besides its options: the connection, the time left, what is wanted."""

from __future__ import annotations

from collections.abc import Callable

from .errors import TimedOut

TYPE_CHECKING = False  # importing typing takes milliseconds, and dataclasses ten
if TYPE_CHECKING:
    from typing import Any


class _Skipped:
    """The type of SKIPPED."""

    def __repr__(self) -> str:
        return "SKIPPED"


SKIPPED = _Skipped()
"""Value of a measure that was left out on purpose, such as a write test in check mode."""


class Unmeasured:
    """Value of a measure that could not be taken although the target answered; ``reason`` reaches the operator."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Unmeasured({self.reason!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unmeasured) and other.reason == self.reason

    def __hash__(self) -> int:
        return hash(self.reason)


class DeadlinePassed(TimedOut):
    """The time of the whole call is over: says nothing about the target."""

    code = "deadline_passed"


class Deadline:
    """An instant on a monotonic clock (seconds); the clock is handed in."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - self._clock())

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and the one ``seconds`` from now."""
        return Deadline(min(seconds, self.remaining()), self._clock)


class Probe:
    """One measurement about to be made.

    ``wanted`` names the measures that have limits, so that a costly one is taken only on demand; ``now`` is the wall clock
    when this measurement starts, in seconds since 1970 (UTC); ``pause`` waits (seconds) while others may work, where there are any.
    """

    __slots__ = ("deadline", "now", "connection", "wanted", "check_mode", "pause")

    def __init__(  # house: what a frozen dataclass would write by itself, without its ten milliseconds
        self, deadline: Deadline, now: float, connection: dict[str, Any] | None = None, wanted: frozenset[str] = frozenset(), check_mode: bool = False,
        pause: Callable[[float], object] | None = None,
    ) -> None:  # fmt: skip
        self.deadline = deadline
        self.now = now
        self.connection = connection
        self.wanted = wanted
        self.check_mode = check_mode
        self.pause = pause

    def timeout(self, seconds: float) -> float:
        """Seconds the next blocking call may take: ``seconds``, or what is left of the whole call."""
        left = self.deadline.remaining()
        if left <= 0:
            raise DeadlinePassed("the time for all checks was over before this one was done", "raise health_deadline_seconds")
        return min(seconds, left)
