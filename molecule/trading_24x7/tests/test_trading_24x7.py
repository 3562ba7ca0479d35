# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped runbook on the stack of trading_24x7: well, in check mode, and broken in many ways; SWEEP=all breaks it in every way, one at a time."""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from faults import BATCHES, EVERY, PRELUDE, Fault, Found
from stack import Run, Stack

EVERYTHING = os.environ.get("SWEEP") == "all"
EVIDENCE = os.environ.get("RUNBOOK_EVIDENCE_DIR", "")
HEALTHY_RUNS = 20
MINE = '--filter "label=tradeops.runbook.checkout=$RUNBOOK_CHECKOUT"'
SNAPSHOTS = {
    "files": "node \"find / /opt/trading-24x7 -xdev '(' -path /tmp -o -path /var/tmp -o -path /root/.ansible ')' -prune -o"
             " -type f -printf '%p %s %m %U %T@\\n' | sort\"",  # where a module is unpacked is left out
    "redis": "at redis 'redis-cli keys \"*\" | sort | while read -r key; do echo \"$key\"; redis-cli dump \"$key\" | sha256sum; done;"
             " redis-cli info persistence | grep -E \"changes_since|last_save_time\"'",
    "containers": f"docker ps --all --quiet --no-trunc {MINE} | sort | xargs docker inspect --format"
                  " '{{.Name}} {{.Image}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{json .Config}} {{json .HostConfig}}'",
    "volumes and networks": f"docker volume ls --quiet {MINE} | sort; docker network ls --quiet --no-trunc {MINE} | sort",
}  # fmt: skip


@pytest.fixture(scope="module")
def stack() -> Stack:
    found = Stack("trading_24x7", PRELUDE)
    found.shell("up; settled")
    return found


def bad(run: Run) -> Found:
    """Everything that is neither ok nor left out: its name, status and severity."""
    return {name: (found["status"], found["severity"]) for name, found in run.checks.items() if found["status"] not in ("ok", "skipped")}


def broken(stack: Stack, faults: list[Fault], history: Path) -> Run:
    """A run while faults are on, in a history of its own: no earlier run says how long they have lasted."""
    tried: list[Fault] = []
    try:
        for fault in faults:
            tried.append(fault)
            stack.shell(fault.on)
        return stack.play(history, playbook=faults[0].playbook)
    finally:
        left = "\n".join(f"{{ {fault.off}; }} || failed=1" for fault in reversed(tried) if fault.off)  # one that stays on must not keep the others on
        anew = "anew" if any(fault.anew for fault in tried) else ""
        stack.shell(f"failed=0\n{left}\n{anew}\nsettled\ntest $failed = 0", 240)


def test_the_daily_runbook_was_well_twice(stack: Stack) -> None:
    """Converge and idempotence were the two."""
    reports = sorted((Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "history/reports").glob("*.json"))
    views = [json.loads(path.read_text(encoding="utf-8")) for path in reports]
    runs = [Run(0, "", view) for view in views if view["playbook"] == "converge" and [one["name"] for one in view["systems"]] == [stack.system]]
    assert len(runs) >= 2
    for run in runs[-2:]:
        assert bad(run) == {} and run.view["exit_code"] == 0
        assert len(run.checks) > 40 and {"application log", "log of redis"} <= set(run.checks)


def test_check_mode_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    stack.shell("on app still; sleep 4")  # the service itself writes all the time
    try:
        before = {name: stack.shell(script) for name, script in SNAPSHOTS.items()}
        run = stack.play(tmp_path, "--check", "--diff", playbook="daily")
        after = {name: stack.shell(script) for name, script in SNAPSHOTS.items()}
    finally:
        stack.shell("off app still")
    assert run.rc == 0 and run.view["check_mode"] is True, run.output
    assert before["files"].count("\n") > 1000 and "trading:positions" in before["redis"] and before["containers"].count("\n") >= 5
    assert after == before


@pytest.mark.skipif(EVERYTHING, reason="SWEEP=all: every fault alone, instead of in batches")
@pytest.mark.parametrize("batch", BATCHES)
def test_faults_are_found_named_and_graded(batch: str, stack: Stack, tmp_path: Path) -> None:
    faults = [EVERY[name] for name in BATCHES[batch]]
    wanted = {check: grade for fault in faults for check, grade in fault.found.items()}
    run = broken(stack, faults, tmp_path)
    unsaid = {check for fault in faults for check in fault.also} - set(wanted)
    assert {check: grade for check, grade in bad(run).items() if check not in unsaid} == wanted, run.output
    assert run.rc == 2 and all(run.checks[check]["message"] for check in wanted)


@pytest.fixture(scope="module")
def evidence() -> list[str]:
    return []


@pytest.mark.skipif(not EVERYTHING, reason="every fault alone takes long: SWEEP=all")
@pytest.mark.parametrize("name", EVERY)
def test_a_fault_alone(name: str, stack: Stack, tmp_path: Path, evidence: list[str]) -> None:
    fault = EVERY[name]
    run = broken(stack, [fault], tmp_path)
    found = bad(run)
    seen = [f"{check}: {found[check][0]} {found[check][1]}, {run.checks[check]['message'].replace('|', '/')[:120]}" for check in fault.found if check in found]
    evidence.append(f"| {name} | {'<br>'.join(seen)} | {', '.join(sorted(set(found) - set(fault.found))) or '-'} |")
    assert {check: grade for check, grade in found.items() if check not in set(fault.also) - set(fault.found)} == fault.found, run.output
    assert run.rc == (2 if {status for status, _severity in found.values()} - {"warning"} else 0)


@pytest.mark.skipif(not EVERYTHING, reason=f"{HEALTHY_RUNS} runs take long: SWEEP=all")
def test_a_healthy_stack_raises_no_alarm(stack: Stack, tmp_path: Path, evidence: list[str]) -> None:
    """In one history, as in use: `for` and baselines count. After all faults, so that nothing of them is left."""
    stack.shell("anew")
    alarms = [bad(stack.play(tmp_path, playbook="daily")) for _run in range(HEALTHY_RUNS)]
    if EVIDENCE and len(evidence) == len(EVERY):
        title = f"# Faults of trading_24x7, one at a time\n\nThe healthy stack raised {sum(map(bool, alarms))} alarms in {HEALTHY_RUNS} runs of `daily`.\n"
        table = "Made by `make acceptance`.\n\n| Fault | Found | Others that are not well with it |\n|---|---|---|\n"
        (Path(EVIDENCE) / "faults-trading_24x7.md").write_text(f"{title}{table}{chr(10).join(evidence)}\n", encoding="utf-8")
    assert alarms == [{}] * HEALTHY_RUNS
