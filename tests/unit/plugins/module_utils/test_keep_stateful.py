# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups over months, with bad ones, wrong clocks, pauses and interruptions: whatever happens in whatever order, the good ones survive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Refused
from ansible_collections.tradeops.runbook.plugins.module_utils._core.keep import Plan, plan_prune
from ansible_collections.tradeops.runbook.plugins.module_utils._core.keep_rules import Candidate, Policy

from .test_keep import DAY, HOUR, NEW, POLICIES, actions_of, at, carried_out, expected, proven_of, removed_by, sound

PICKS = st.integers(0, 1000)
KINDS = st.sampled_from(["restored", "restored", "restored", "", "", "suspect", "empty", "broken", "notes", "transactions"])
NIGHTS = st.lists(KINDS, min_size=3, max_size=9)
MANY = 40  # more would only be slow
FIRST = Candidate("0000", 0.0, 10)
AHEAD, BEHIND = 60 * DAY, -3650 * DAY


class Backups(RuleBasedStateMachine):
    """One source, its artifacts, and a machine whose clock is wrong at times.

    ``floor`` is how many proven artifacts there must be: as many as ever were at once, at most ``minimum_restored``, less those that
    something other than retention spoilt since.
    """

    @initialize(policy=POLICIES.filter(Policy.rules), nights=NIGHTS)
    def begin(self, policy: Policy, nights: list[str]) -> None:
        self.policy, self.truth, self.skew = policy, at(NEW), 0.0
        self.shelf: dict[str, Candidate] = {}
        self.taken, self.floor = 0, 0
        self.some_nights(nights)

    @property
    def clock(self) -> float:
        return self.truth + self.skew

    def change(self, found: Candidate | None, **changes: Any) -> None:
        """Anything but retention happens to an artifact; the floor moves with the number of proven ones."""
        before = len(proven_of(self.shelf.values()))
        if found is not None:
            self.shelf[found.id] = replace(found, **changes)
        gained = len(proven_of(self.shelf.values())) - before
        self.floor = min(self.policy.minimum_restored, max(0, self.floor + gained))

    def pick(self, pick: int) -> Candidate | None:
        """Some artifact; the newest ones more often."""
        names = sorted(self.shelf)[::-1]
        return self.shelf[names[pick % len(names) if pick % 2 else min(pick % 3, len(names) - 1)]] if names else None

    @precondition(lambda self: len(self.shelf) < MANY)
    @rule(kind=KINDS, base=st.none() | PICKS)
    def backup(self, kind: str, base: int | None = None) -> None:
        """With ``base``, an increment."""
        self.taken += 1
        kinds: dict[str, dict[str, Any]] = {
            "restored": {"proof": "restored", "restored_at": self.clock},
            "suspect": {"suspect": True},
            "empty": {"size_bytes": 0},
            "broken": {"complete": False, "taken_at": 0.0},  # it never gets a manifest
            "notes": {"retention_class": "notes"},
            "transactions": {"retention_class": "transactions"},
        }
        changes = kinds.get(kind, {})
        below = self.pick(base) if base is not None else None
        if below is not None and below.complete and (kind != "restored" or sound(below, self.shelf)):
            changes["needs"] = (below.id,)
        self.change(replace(Candidate(f"{self.taken:04}", self.clock, 10), **changes))

    @precondition(lambda self: len(self.shelf) < MANY)
    @rule(nights=NIGHTS)
    def some_nights(self, nights: list[str]) -> None:
        for kind in nights:
            self.wait(24)
            self.backup(kind)

    @rule(pick=PICKS, verdict=st.sampled_from(["restored", "restored", "digest", "corrupt"]))
    def prove(self, pick: int, verdict: str) -> None:
        found = self.pick(pick)
        if found is None or not found.complete:
            return
        if verdict == "corrupt":
            self.change(found, failed_proof=True)
        elif verdict == "digest":
            self.change(found, proof=found.proof or "digest")
        elif sound(replace(found, failed_proof=False), self.shelf):
            self.change(found, proof="restored", restored_at=self.clock, failed_proof=False)

    @rule(pick=PICKS, hold=st.booleans(), pin=st.booleans())
    def mark(self, pick: int, hold: bool, pin: bool) -> None:
        found = self.pick(pick)
        if found is not None:
            self.change(found, holds=("case-17",) if hold else (), pins=("run-3",) if pin else ())

    @rule(picks=st.lists(PICKS, max_size=4), copied=st.booleans())
    def copy(self, picks: list[int], copied: bool) -> None:
        """A copy off site gets everything, or lost some of it."""
        for found in [self.pick(pick) for pick in picks] if not copied else [*self.shelf.values()]:
            self.change(found, **({} if found is None else {"not_in": () if copied else ("offsite",)}))

    @rule(hours=st.sampled_from([1, 6, 24, 24, 24 * 7]))
    def wait(self, hours: int) -> None:
        self.truth += hours * HOUR

    @rule()
    def pause(self) -> None:
        """200 days, and nobody made a backup."""
        self.truth += 200 * DAY

    @rule(skew=st.sampled_from([0.0, 0.0, AHEAD, BEHIND, 7 * DAY, -300.0]))
    def step_the_clock(self, skew: float) -> None:
        self.skew = skew

    def plan(self) -> Plan | None:
        """The plan of this moment, which is also what a slow reading gives; None for a refusal."""
        artifacts = list(self.shelf.values())
        try:
            plan = plan_prune(artifacts, self.policy, self.clock)
        except Refused as refused:
            assert expected(artifacts, self.policy, self.clock) == refused.code
            return None
        assert expected(artifacts, self.policy, self.clock) == actions_of(plan)
        return plan

    @rule(steps=st.just(1000) | st.integers(0, 8))
    def prune(self, steps: int) -> None:
        """Carried out, or killed after some steps."""
        plan = self.plan()
        if plan is None:
            return
        before, newest = dict(self.shelf), proven_of(self.shelf.values())[:1]
        self.shelf = {found.id: found for found in carried_out(list(before.values()), plan, steps)}
        assert [self.shelf[found.id].restored_at for found in newest] == [found.restored_at for found in newest]
        assert {name for name, found in before.items() if found.holds or found.pins or (found.complete and found.not_in)} <= set(self.shelf)
        assert not max((found for found in before.values() if found.complete), key=lambda found: (found.taken_at, found.id), default=FIRST).suspect
        again = self.plan()
        assert again is not None and removed_by(again) == removed_by(plan) & set(self.shelf)

    @precondition(lambda self: len(self.shelf) > 3)
    @rule(data=st.data())
    def prune_and_lose_the_machine_each_time(self, data: st.DataObject) -> None:
        for _attempt in range(4):
            self.prune(data.draw(st.integers(1, 5)))

    @invariant()
    def enough_proven_ones_are_left(self) -> None:
        assert len(proven_of(self.shelf.values())) >= self.floor

    @invariant()
    def no_chain_is_broken(self) -> None:
        for found in self.shelf.values():
            if found.complete and not found.failed_proof and not found.suspect and found.size_bytes:
                assert all(need in self.shelf and self.shelf[need].complete for need in found.needs)

    @invariant()
    def a_plan_can_be_made_or_is_refused_for_a_known_reason(self) -> None:
        self.plan()

    def teardown(self) -> None:
        """With the clock right again, a backup that is proven is all it takes to go on."""
        self.skew, self.truth = 0.0, self.truth + AHEAD
        self.taken += 1
        self.change(Candidate(f"{self.taken:04}", self.clock, 10, proof="restored", restored_at=self.clock))
        self.prune(1000)
        plan = self.plan()
        assert plan is not None and removed_by(plan) == set()
        self.enough_proven_ones_are_left()
        self.no_chain_is_broken()


TestBackups = Backups.TestCase
TestBackups.settings = settings(max_examples=300, stateful_step_count=40)
