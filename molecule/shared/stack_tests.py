# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shipped runbook does on any stack: well, in check mode, and broken in many ways; SWEEP=all breaks it in every way, one at a time."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from stack import Fault, Run, Stack, Story, desk

EVERYTHING = os.environ.get("SWEEP") == "all"
EVIDENCE = os.environ.get("RUNBOOK_EVIDENCE_DIR", "")
HEALTHY_RUNS = 20
ONCE = ["opened", "resolved"]


class StackTests:
    """A scenario says what its stack is, and adds tests of its own."""

    system: ClassVar[str]
    prelude: ClassVar[str]
    settled: ClassVar[str]
    every: ClassVar[Mapping[str, Fault]]
    batches: ClassVar[Mapping[str, Sequence[str]]]
    """Faults that do not hide each other, switched on together where time is short."""
    snapshots: ClassVar[Mapping[str, str]]
    """What must be the same after check mode, seen from outside, and between these two scripts."""
    still: ClassVar[tuple[str, str]] = ("true", "true")
    fewest: ClassVar[int]
    """Checks that there are at least."""
    stale: ClassVar[str]
    """The fault that makes the last trade days old."""
    in_session: ClassVar[str]
    """The check of the last trade that is judged inside trading hours alone."""

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """The faults of this stack; those that are left out are one skipped test, not one each."""
        alone, together = (cls.every, ["none"]) if EVERYTHING else (["none"], cls.batches)
        for name, known in (("batch", together), ("fault", alone)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, list(known))

    @pytest.fixture(scope="class")
    def stack(self) -> Stack:
        found = Stack(self.system, self.prelude, self.settled)
        found.settle()
        return found

    @pytest.fixture(scope="class")
    def story(self, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
        """The batches, and what follows them, in one history. What takes a while to be a fault begins here."""
        chosen = [self.every[name] for names in self.batches.values() for name in names]
        for fault in chosen:
            if fault.early:
                stack.shell(fault.early)
        with desk() as people:
            yield Story(stack, tmp_path_factory.mktemp("story"), people)

    def test_the_daily_runbook_was_well_twice(self, stack: Stack) -> None:
        """Converge and idempotence were the two."""
        reports = sorted((Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "history/reports").glob("*.json"))
        views = [json.loads(path.read_text(encoding="utf-8")) for path in reports]
        runs = [Run(0, "", view) for view in views if view["playbook"] == "converge" and [one["name"] for one in view["systems"]] == [stack.system]]
        assert len(runs) >= 2
        for run in runs[-2:]:
            assert run.bad() == {} and run.view["exit_code"] == 0 and len(run.checks) >= self.fewest

    def test_check_mode_changes_nothing(self, stack: Stack, tmp_path: Path) -> None:
        stack.shell(self.still[0])
        try:
            before = {name: stack.shell(script) for name, script in self.snapshots.items()}
            run = stack.play(tmp_path, "--check", "--diff", playbook="daily")
            after = {name: stack.shell(script) for name, script in self.snapshots.items()}
        finally:
            stack.shell(self.still[1])
        assert run.rc == 0 and run.bad() == {} and run.view["check_mode"] is True, run.output
        assert all(before.values()) and after == before

    @pytest.mark.skipif(EVERYTHING, reason="SWEEP=all: every fault alone, instead of in batches")
    def test_faults_are_found_named_and_graded(self, batch: str, story: Story) -> None:
        faults = [self.every[name] for name in self.batches[batch]]
        early = [name for fault in self.every.values() if fault.early and fault not in faults for name in fault.found]  # it has begun, too
        run = story.broken(faults)
        lines = run.otherwise([*faults, Fault("", "", {}, tuple(early))])
        assert not lines, "\n".join(lines)
        assert run.rc == 2

    @pytest.mark.skipif(EVERYTHING, reason="SWEEP=all: every fault alone, instead of in batches")
    def test_people_are_told_once_of_each_and_once_that_it_is_over(self, story: Story) -> None:
        run = story.play(playbook="daily")
        assert run.rc == 0 and run.bad() == {}, f"{run.bad()}{run.output}"
        told, seen = story.told(), [set(one.bad()) for one in story.runs]
        assert set(told) == set().union(*seen)
        once = [name for name in told if sum(name in names for names in seen) == 1]
        assert len(once) >= 20 and {name: told[name] for name in once} == dict.fromkeys(once, ONCE)
        assert story.people.messages() and set(story.people.messages().values()) == {1}  # however much a run found
        assert story.people.incidents("trigger") == story.people.incidents("resolve") != set()

    def test_a_stale_trade_is_an_alarm_inside_trading_hours(self, stack: Stack, tmp_path: Path) -> None:
        """Outside of them it is not, as the batch with this fault tells: the overlay's trading hours begin in six hours."""
        fault, hours = self.every[self.stale], {"hours": "mon-sun 00:00-24:00", "timezone": "UTC"}
        stack.shell(fault.on)
        try:
            run = stack.play(tmp_path, "-e", json.dumps({f"{self.system}_session": hours}))
        finally:
            stack.switch_off([fault])
        assert run.bad()[self.in_session][0] == "critical"
        assert {"last trade", self.in_session} == set(run.bad()), run.bad()

    @pytest.fixture(scope="class")
    def evidence(self) -> Iterator[dict[str, list[str]]]:
        """Rows of faults, and a line for each healthy run that raised an alarm; written down in the end, whatever failed."""
        found: dict[str, list[str]] = {"faults": [], "runs": [], "alarms": []}
        yield found
        if EVIDENCE and found["runs"]:
            said = f"The healthy stack raised {len(found['alarms'])} alarms in {len(found['runs'])} runs of the playbook daily. Made by `make acceptance`."
            head = [f"# Faults of {self.system}, one at a time", "", said, ""]
            head += ["| Fault | Found | People were told | Not well either |", "|---|---|---|---|"]
            (Path(EVIDENCE) / f"faults-{self.system}.md").write_text("\n".join([*head, *found["faults"], ""]), encoding="utf-8")

    @pytest.mark.skipif(not EVERYTHING, reason="every fault alone takes long: SWEEP=all")
    def test_a_fault_alone(self, fault: str, stack: Stack, tmp_path: Path, evidence: dict[str, list[str]]) -> None:
        one = self.every[fault]
        with desk() as people:
            story = Story(stack, tmp_path, people)
            if one.early:
                stack.shell(one.early)
            run = story.broken([one])
            after = story.play(playbook=one.playbook)
            told, bad = story.told(), run.bad()
            words = [f"{name}: {' '.join(bad[name])}, {self.words(stack, run.checks[name])}" for name in one.found if name in bad]
            news = sorted({", ".join(told.get(name, ["nothing"])) for name in one.found})
            evidence["faults"].append(f"| {fault} | {'<br>'.join(words)} | {'; '.join(news)} | {', '.join(sorted(set(bad) - set(one.found))) or '-'} |")
            lines = run.otherwise([one])
            assert not lines, "\n".join(lines)
            assert after.bad() == {} and {name: told.get(name) for name in one.found} == dict.fromkeys(one.found, ONCE), f"{after.bad()} {told}"
            assert set(people.messages().values()) <= {1} and people.incidents("trigger") == people.incidents("resolve")

    @staticmethod
    def words(stack: Stack, found: Mapping[str, Any]) -> str:
        """The message of a check, for a table."""
        return str(found["message"]).replace("|", "/").replace(f"{stack.name}-", "")[:160]

    @pytest.mark.skipif(not EVERYTHING, reason=f"{HEALTHY_RUNS} runs take long: SWEEP=all")
    def test_a_healthy_stack_raises_no_alarm(self, stack: Stack, tmp_path: Path, evidence: dict[str, list[str]]) -> None:
        """In one history, as in use: `for` and baselines count."""
        with desk() as people:
            story = Story(stack, tmp_path, people)
            for number in range(HEALTHY_RUNS):
                alarms = story.play(playbook="daily").bad()
                evidence["runs"].append(str(number))
                evidence["alarms"] += [f"{number}: {alarms}"] if alarms else []
            assert evidence["alarms"] == [] and not people.messages() and not people.incidents("trigger") and story.told() == {}
