# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver is told: the time left, on whatever clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Deadline, DeadlinePassed, Probe, Unmeasured

SECONDS = st.floats(min_value=0, max_value=1e6)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(SECONDS, SECONDS)
def test_time_runs_out_and_stays_out(seconds: float, passed: float) -> None:
    clock = Clock()
    deadline = Deadline(seconds, clock)
    clock.now += passed
    assert deadline.remaining() == pytest.approx(max(0.0, seconds - passed), abs=1e-6)
    clock.now += 1e9
    assert deadline.remaining() == 0


@given(SECONDS, SECONDS, SECONDS)
def test_a_deadline_within_another_is_never_later(whole: float, own: float, passed: float) -> None:
    clock = Clock()
    outer = Deadline(whole, clock)
    clock.now += passed
    inner = outer.within(own)
    assert inner.remaining() <= outer.remaining() + 1e-6
    assert inner.remaining() == pytest.approx(min(own, outer.remaining()), abs=1e-6)


@pytest.mark.parametrize(("seconds", "timeout"), [(5.0, 5.0), (10.0, 10.0), (11.0, 10.0), (0.0, 0.0)])
def test_a_call_may_take_what_is_left(seconds: float, timeout: float) -> None:
    assert Probe(Deadline(10.0, Clock()), 0.0).timeout(seconds) == timeout


@pytest.mark.parametrize("passed", [10.0, 10.1, 1e6])
def test_when_nothing_is_left_nothing_is_started(passed: float) -> None:
    clock = Clock()
    probe = Probe(Deadline(10.0, clock), 0.0)
    clock.now += passed
    with pytest.raises(DeadlinePassed) as caught:
        probe.timeout(1.0)
    assert isinstance(caught.value, TimedOut) and caught.value.code == "deadline_passed" and caught.value.hint


def test_a_probe_as_it_is_when_nothing_is_said() -> None:
    probe = Probe(Deadline(1.0, Clock()), 5.0)
    assert (probe.connection, probe.wanted, probe.check_mode, probe.now) == (None, frozenset(), False, 5.0)


def test_values_that_are_none() -> None:
    assert repr(SKIPPED) == "SKIPPED"
    assert Unmeasured("why") == Unmeasured("why") != Unmeasured("other")
