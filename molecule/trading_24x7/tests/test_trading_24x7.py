# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""trading_24x7 as shipped, on its stack: well, in check mode, and with faults. SWEEP=all tries every fault alone and asks the healthy stack 20 times."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import BATCHES, FAULTS, Found
from stack import Run, bad_in, everything, shell

EVERYTHING = os.environ.get("SWEEP") == "all"
HEALTHY_RUNS = 20


def reports() -> list[dict[str, Any]]:
    """What converge and idempotence reported."""
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "history/reports"
    views = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [view for view in views if view["playbook"] == "converge" and [system["name"] for system in view["systems"]] == ["trading_24x7"]]


@pytest.fixture(scope="session")
def told() -> Iterator[dict[str, tuple[Found, Found]]]:
    """What was found of each fault that was tried alone: kept as a table where RUNBOOK_EVIDENCE_DIR says."""
    seen: dict[str, tuple[Found, Found]] = {}
    yield seen
    folder = os.environ.get("RUNBOOK_EVIDENCE_DIR")
    if folder and set(seen) == set(FAULTS):
        rows = [f"| {name} | {graded(wanted)} | {graded({check: more[check] for check in more if check not in wanted}) or '-'} |"
                for name, (wanted, more) in seen.items()]  # fmt: skip
        head = ["# Faults of the stack trading_24x7", "", "Each switched on alone, from outside, then one run of the shipped playbook with the shipped inventory.",
                "Before and after all of them every check was ok. Made by `make acceptance`.", "", "| Fault | Found | Seen beside it |", "|---|---|---|"]  # fmt: skip
        (Path(folder) / "faults-trading_24x7.md").write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


def graded(found: Found) -> str:
    return ", ".join(f"{check} ({status} {severity})" for check, (status, severity) in sorted(found.items()))


def test_the_daily_runbook_was_well_twice() -> None:
    last = reports()[-2:]
    assert len(last) == 2
    assert [bad_in(view) for view in last] == [{}, {}]
    checks, logs = ([one for host in last[0]["systems"][0]["hosts"] for one in host[kind]] for kind in ("checks", "logs"))
    assert len(checks) > 35 and len(logs) == 2


def test_check_mode_changes_nothing(tmp_path: Path) -> None:
    shell("docker exec {app} sh -c '{fault}/still' && sleep 4")  # the service itself writes all the time
    try:
        before = everything()
        run = Run(tmp_path, "daily", "--check", "--diff")
        after = everything()
    finally:
        shell("docker exec {app} rm /tmp/faults/still")
    assert run.rc == 0 and run.view["check_mode"] is True, run.output
    assert before["redis"] and before["files"].count("\n") > 1000 and before["containers"].count("\n") >= 5
    assert {name: after[name] for name in before} == before


@pytest.mark.skipif(EVERYTHING, reason="each fault is tried alone")
@pytest.mark.parametrize("names", BATCHES, ids=lambda names: f"{len(names)} faults")
def test_faults_at_once_are_found_named_and_graded(names: list[str], tmp_path: Path) -> None:
    faults = [FAULTS[name] for name in names]
    wanted: Found = {}
    for fault in faults:
        wanted.update(fault.found)
    run = switched_on(names, tmp_path)
    ignored = {check for fault in faults for check in fault.also} - set(wanted)
    assert {check: found for check, found in run.bad().items() if check not in ignored} == wanted, run.output
    assert run.rc == 2


def switched_on(names: list[str], history: Path) -> Run:
    """A run while faults are on, in a history of its own: no earlier run says how long they have lasted."""
    done: list[str] = []
    try:
        for name in names:
            done.append(name)
            shell(FAULTS[name].on)
        return Run(history, FAULTS[names[0]].playbook)
    finally:
        for off in dict.fromkeys(FAULTS[name].off for name in reversed(done)):
            shell(off)


@pytest.mark.skipif(not EVERYTHING, reason="make acceptance does it")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_alone_is_found_named_and_graded(name: str, tmp_path: Path, told: dict[str, tuple[Found, Found]]) -> None:
    fault = FAULTS[name]
    run = switched_on([name], tmp_path)
    bad = run.bad()
    assert {check: found for check, found in bad.items() if check not in set(fault.also) - set(fault.found)} == fault.found, run.output
    assert run.rc == (0 if {status for status, _severity in bad.values()} == {"warning"} else 2)
    told[name] = fault.found, bad


@pytest.mark.skipif(not EVERYTHING, reason="make acceptance does it")
def test_the_healthy_stack_gives_no_false_alarm(tmp_path: Path) -> None:
    """In one history, as they are in use: `for` and baselines count."""
    shell("{compose} up --detach --wait --force-recreate app redis")
    assert [Run(tmp_path, "daily").bad() for _run in range(HEALTHY_RUNS)] == [{}] * HEALTHY_RUNS
