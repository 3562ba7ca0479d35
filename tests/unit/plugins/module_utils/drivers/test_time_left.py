# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of two clocks ran out decides whether the target is blamed."""

from __future__ import annotations

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, DeadlinePassed, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._time_left import TimeLeft


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("whole", "own", "error", "message"),
    [
        pytest.param(60.0, 5.0, TimedOut, "asking took longer than 5 s", id="its own time-out blames the target"),
        pytest.param(5.0, 60.0, DeadlinePassed, "asking was not done when the time for all checks was over", id="the call's deadline does not"),
        pytest.param(5.0, 5.0, DeadlinePassed, "asking was not done", id="a tie is no proof against the target"),
    ],
)
def test_what_ran_out_is_told(whole: float, own: float, error: type[TimedOut], message: str) -> None:
    clock = Clock()
    left = TimeLeft(Probe(Deadline(whole, clock), 0.0), own, "asking", "see why")
    assert 0 < left.timeout() <= 5.0
    clock.now += 5.0
    assert left.remaining() == 0
    with pytest.raises(TimedOut, match=message) as caught:
        left.timeout()
    assert caught.value.code == error.code
    assert caught.value.hint


def test_a_call_that_is_over_starts_nothing() -> None:
    clock = Clock()
    probe = Probe(Deadline(1.0, clock), 0.0)
    clock.now += 1.0
    with pytest.raises(DeadlinePassed):
        TimeLeft(probe, 5.0, "asking", "")


def test_what_was_started_is_stopped_before_the_call_ends() -> None:
    clock = Clock()
    probe = Probe(Deadline(1.0, clock), 0.0)
    left = TimeLeft(probe, 5.0, "asking", "")
    assert left.remaining() < probe.deadline.remaining()
