# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped daily runbook on the stack of cli_trading: well, in check mode, and broken in many ways; SWEEP=all breaks it in every way, one at a time."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import BATCHES, EVERY, PRELUDE, SETTLED
from stack import Run, Stack, wrong

EVERYTHING = os.environ.get("SWEEP") == "all"
EVIDENCE = os.environ.get("RUNBOOK_EVIDENCE_DIR", "")
HEALTHY_RUNS = 20
EARLY = {fault.check for fault in EVERY.values() if fault.early}
SNAPSHOT = r"""
docker ps --all --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.State}}' --filter "name=$STACK" | sort
about='{{.Name}} {{.RestartCount}} {{json .Config}} {{json .HostConfig}} {{.State.StartedAt}}'
docker ps --all --quiet --filter "name=^$STACK-" | xargs docker inspect --format "$about" | sort
docker network ls --quiet --filter "name=$STACK" | sort; docker volume ls --quiet --filter "name=$STACK" | sort
docker exec --user postgres "$STACK-postgres-1" pg_dump --no-owner trading | grep -v '^.\(un\)\?restrict ' | sha256sum
docker exec "$STACK-redis-1" redis-cli --scan | sort | while read -r key; do docker exec "$STACK-redis-1" redis-cli dump "$key" | sha256sum; done
node 'find /opt/cli-trading /root/identity /etc -xdev -not -path "*/logs/*" -type f -exec sha256sum {} + | sort'
node 'find /opt/cli-trading -xdev -printf "%p %m %u %T@\n" | grep -v /logs | sort'
"""


@pytest.fixture(scope="module")
def stack() -> Stack:
    found = Stack("cli_trading", PRELUDE)
    found.shell(SETTLED)
    return found


def test_the_daily_runbook_was_green_twice(stack: Stack) -> None:
    reports = sorted((Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "history/reports").glob("*.json"))
    runs = [Run(0, "", json.loads(report.read_text(encoding="utf-8"))) for report in reports[-2:]]
    assert len(runs) == 2
    for run in runs:
        assert run.bad() == {} and len(run.checks) > 80 and len(run.logs) == 3
        assert run.view["systems"][0]["name"] == stack.system


def test_check_mode_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    before = stack.shell(SNAPSHOT)
    run = stack.play(tmp_path, "--check", "--diff", playbook="daily")
    assert run.rc == 0 and run.bad() == {}, f"{run.bad()}{run.output}"
    assert run.view["check_mode"] is True
    assert {limit["state"] for limit in run.checks["redis"]["limits"] if limit["measure"] == "writable"} == {"skipped"}
    assert stack.shell(SNAPSHOT) == before


@pytest.fixture(scope="module")
def began(stack: Stack) -> None:
    """What takes a while to be a fault begins before the others, and is asserted with the last batch."""
    if not EVERYTHING:
        for fault in EVERY.values():
            stack.shell(fault.early)


@pytest.mark.skipif(EVERYTHING, reason="SWEEP=all: every fault alone, instead of in batches")
@pytest.mark.usefixtures("began")
@pytest.mark.parametrize("batch", BATCHES)
def test_faults_are_found_named_and_graded(batch: str, stack: Stack, tmp_path: Path) -> None:
    faults = BATCHES[batch]
    run = stack.with_faults(faults, tmp_path, SETTLED)
    lines = wrong(run, faults, EARLY)  # what began early shows once it has lasted
    assert not lines, "\n".join(lines)
    assert run.rc == 2
    # Notifications: one for each of these checks (role notify), asserted here once the shipped daily runbook sends them.


@pytest.fixture(scope="module")
def after(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run when every fault is switched off again."""
    return stack.play(tmp_path_factory.mktemp("history"), playbook="daily")


def test_all_is_well_again(after: Run) -> None:
    assert after.rc == 0 and after.bad() == {}, f"{after.bad()}{after.output}"
    # Notifications: one that each is resolved, asserted here as above.


def test_measures_agree_with_plain_tools(stack: Stack, after: Run) -> None:
    measures = {name: found["measures"] for name, found in after.checks.items()}
    used = int(stack.shell("node 'df --output=pcent /opt/cli-trading | tail -1 | tr -dc 0-9'"))
    assert abs(measures["disk of the application"]["disk_used_percent"] - used) <= 1.5
    assert measures["profit and loss of today"]["realized"] == 2.5
    told = stack.shell("told \"select count(*) from pnl_days where date >= (now() at time zone 'utc')::date - 1\"")
    assert measures["profit and loss is written down"]["days"] == int(told)
    ended = stack.shell("at traefik 'date -d \"$(openssl x509 -in /letsencrypt/good.pem -noout -enddate | cut -d= -f2)\" +%s'; date +%s").split()
    assert abs(measures["certificate of the edge"]["expires_in"] - (int(ended[0]) - int(ended[1]))) < 120
    keys = int(stack.shell("docker exec $STACK-redis-1 redis-cli dbsize").split()[-1])
    assert measures["redis"]["keys"] == keys
    assert measures["containers have limits"]["count"] == 16


@pytest.fixture(scope="module")
def evidence() -> Iterator[dict[str, list[str]]]:
    """Rows of faults, and a line for each healthy run that raised an alarm; written down in the end, whatever failed."""
    found: dict[str, list[str]] = {"faults": [], "runs": [], "alarms": []}
    yield found
    if EVIDENCE and found["faults"]:
        said = f"The healthy stack raised {len(found['alarms'])} alarms in {len(found['runs'])} runs of the playbook daily."
        head = ["# Faults of cli_trading, one at a time", "", said, ""]
        head += ["| Fault | Check | Verdict | Severity | Message | Not well either |", "|---|---|---|---|---|---|"]
        (Path(EVIDENCE) / "faults-cli_trading.md").write_text("\n".join([*head, *found["faults"], ""]), encoding="utf-8")


@pytest.mark.skipif(not EVERYTHING, reason="every fault alone takes long: SWEEP=all")
@pytest.mark.parametrize("name", EVERY)
def test_a_fault_alone(name: str, stack: Stack, tmp_path: Path, evidence: dict[str, list[str]]) -> None:
    fault = EVERY[name]
    stack.shell(fault.early)
    run = stack.with_faults({name: fault}, tmp_path, SETTLED)
    found = run.checks[fault.check]
    others = ", ".join(sorted(set(run.bad()) - {fault.check})) or "-"
    message = found["message"].replace("|", "/").replace(f"{stack.name}-", "")[:160]
    evidence["faults"].append(f"| {name} | {fault.check} | {found['status']} | {found['severity']} | {message} | {others} |")
    lines = wrong(run, {name: fault})
    assert not lines, "\n".join(lines)


@pytest.mark.skipif(not EVERYTHING, reason=f"{HEALTHY_RUNS} runs take long: SWEEP=all")
def test_a_healthy_stack_raises_no_alarm(stack: Stack, tmp_path: Path, evidence: dict[str, list[str]]) -> None:
    for number in range(HEALTHY_RUNS):
        alarms = stack.play(tmp_path / str(number), playbook="daily").bad()
        evidence["runs"].append(str(number))
        evidence["alarms"] += [f"{number}: {alarms}"] if alarms else []
    assert evidence["alarms"] == []
