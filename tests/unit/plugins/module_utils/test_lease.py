# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases as a table: two clocks, reboots, other owners, renewal, and whoever saw an older one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.lease import Claim, Lease, Moment, read_lease, release, take

NOW = Moment(wall=1_800_000_000.0, monotonic=5000.0, boot_id="boot-1")
CLAIM = Claim("deploy", "run-1", "a release", 60.0, {"halted": False})
HELD = take(None, CLAIM, NOW)
OTHERS = replace(CLAIM, owner="run-2", reason="a restore", prior={"halted": True})


def moment(after: float = 0.0, wall: float = 0.0, boot: str = "boot-1", monotonic: float | None = None) -> Moment:
    """``after`` seconds later; the wall clock was set by ``wall`` seconds more."""
    return Moment(NOW.wall + after + wall, NOW.monotonic + after if monotonic is None else monotonic, boot)


def test_the_first_one() -> None:
    assert HELD == Lease("deploy", "run-1", "a release", 1, True, NOW.wall, NOW.wall + 60, 5060.0, "boot-1", {"halted": False})


@pytest.mark.parametrize(
    ("now", "expired"),
    [
        (moment(0), False),
        (moment(59.9), False),
        (moment(60), True),
        (moment(61), True),
        (moment(10, wall=+86400), False),  # a wall clock that was set ahead ends nothing
        (moment(61, wall=-86400), True),  # one that was set back keeps nothing
        (moment(59, boot="boot-2", monotonic=3.0), False),  # after a reboot the monotonic clock means nothing
        (moment(60, boot="boot-2", monotonic=3.0), True),
        (moment(0, boot="boot-2", monotonic=999_999.0), False),
        (moment(0, wall=+3600, boot="boot-2", monotonic=3.0), True),
        (moment(0, wall=-3600, boot="boot-2", monotonic=999_999.0), False),
    ],
)
def test_whose_time_is_over(now: Moment, expired: bool) -> None:
    assert HELD.expired(now) is expired
    if expired:
        taken = take(HELD, OTHERS, now)
        assert (taken.owner, taken.epoch, taken.prior, taken.ends_monotonic) == ("run-2", 2, {"halted": True}, now.monotonic + 60)
    else:
        with pytest.raises(Busy, match="deploy is held by run-1 since 2027-01-15T08:00:00Z .a release. until 2027-01-15T08:01:00Z"):
            take(HELD, OTHERS, now)


def test_its_owner_renews_it_and_keeps_what_was_before() -> None:
    again = take(HELD, replace(CLAIM, seconds=600.0, prior={"halted": "wrong"}), moment(50))
    assert (again.epoch, again.prior, again.ends_wall, again.ends_monotonic, again.taken_wall) == (2, {"halted": False}, NOW.wall + 650, 5650.0, NOW.wall + 50)
    assert take(again, CLAIM, moment(5000)).epoch == 3, "also late"


def test_it_is_given_back_once_and_by_its_owner() -> None:
    back = release(HELD, "run-1", 1)
    assert (back.held, back.epoch, replace(back, held=True, epoch=1)) == (False, 2, HELD)
    for known, owner, epoch in ((None, "run-1", 1), (back, "run-1", 2), (HELD, "run-2", 1), (HELD, "run-1", 2), (HELD, "run-1", 0)):
        with pytest.raises(Busy, match="no longer its own") as caught:
            release(known, owner, epoch)
        assert ("nobody holds it" in caught.value.message) is (known is not HELD)


def test_one_that_was_given_back_is_anybodys() -> None:
    taken = take(release(HELD, "run-1", 1), OTHERS, moment(1))
    assert (taken.owner, taken.epoch, taken.prior) == ("run-2", 3, {"halted": True})
    again = take(release(HELD, "run-1", 1), replace(CLAIM, prior={"halted": "new"}), moment(1))
    assert again.prior == {"halted": "new"}, "the old owner takes it anew"


@given(st.lists(st.tuples(st.sampled_from(["run-1", "run-2"]), st.sampled_from(["take", "release"]), st.floats(0, 100)), max_size=12))
def test_the_epoch_grows_with_every_change_and_with_nothing_else(steps: list[tuple[str, str, float]]) -> None:
    known: Lease | None = None
    passed = 0.0
    for owner, step, seconds in steps:
        passed += seconds
        before = known.epoch if known else 0
        try:
            claim = replace(CLAIM, owner=owner)
            known = take(known, claim, moment(passed)) if step == "take" else release(known, owner, before)
        except Busy:
            assert known is None or (known.owner != owner) or not known.held
            continue
        assert known.epoch == before + 1 and known.owner == owner and known.held is (step == "take")


def test_data_goes_there_and_back() -> None:
    assert read_lease(json.loads(json.dumps(HELD.data()))) == HELD
    whole = replace(HELD, taken_wall=5, ends_wall=6, ends_monotonic=7)
    assert read_lease(whole.data()) == whole, "whole seconds are fine"


@pytest.mark.parametrize("data", [None, 5, "text", [], {}, {**HELD.data(), "more": 1}, {name: value for name, value in HELD.data().items() if name != "epoch"}])
def test_what_is_no_lease(data: Any) -> None:
    with pytest.raises(VerifyFailed, match="cannot be read"):
        read_lease(data)


@pytest.mark.parametrize("name", list(HELD.data()))
@pytest.mark.parametrize("value", [None, "1", True, [], float("nan"), float("inf"), 1e30, -1.0])
def test_a_lease_with_one_wrong_value_is_none(name: str, value: Any) -> None:
    if type(value) is type(HELD.data()[name]) and not isinstance(value, float):
        value = 5
    with pytest.raises(VerifyFailed, match="cannot be read"):
        read_lease({**HELD.data(), name: value})
