# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped playbook diagnose with the shipped symptoms on a real service: it finds, proposes, and restarts only what it is told to.

There is no service manager here: behind a stand-in for systemctl, the service is really stopped and started.
"""
from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.tests.support.service import OVERLAY, PROGRAM, Service, checks_of, newest_report, running_service
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from conftest import PlaybookRun, PlaybookRunner

COLLECTION = Path(__file__).resolve().parents[2]
Diagnose = Callable[..., PlaybookRun]

SYSTEMCTL = """#!/bin/sh
# systemctl show|start|restart UNIT
state={state}
echo "$1" >> "$state/systemctl.log"
pid=$(cat "$state/nextrade.pid" 2>/dev/null)
running() {{ [ -n "$pid" ] && grep -q '^State:.[^ZX]' "/proc/$pid/status" 2>/dev/null; }}
case $1 in
  show) echo "Id=nextrade-api.service"; echo "LoadState=loaded"; running && echo "ActiveState=active" || echo "ActiveState=failed" ;;
  start|restart)
    running && kill "$pid"; while running; do sleep 0.05; done
    setsid {python} {program} --state "$state" --port {port} </dev/null >/dev/null 2>&1 & ;;
esac
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path / "state") as running:
        yield running
        with suppress(FileNotFoundError, ProcessLookupError):  # the one that was restarted is nobody's child
            os.kill(int((running.state / "nextrade.pid").read_text(encoding="ascii")), signal.SIGTERM)
            until(lambda: not (running.state / "nextrade.pid").exists())


@pytest.fixture
def diagnose(playbook: PlaybookRunner, service: Service, tmp_path: Path) -> Diagnose:
    """Runs diagnose.yml on the service with the shipped inventories, for a symptom, with more arguments; what preflight does is tested elsewhere."""
    programs = tmp_path / "bin"
    programs.mkdir()
    values = {"state": service.state, "python": sys.executable, "program": PROGRAM, "port": service.environment["DEMO_PORT"]}
    (programs / "systemctl").write_text(SYSTEMCTL.format(**{name: shlex.quote(str(value)) for name, value in values.items()}), encoding="ascii")
    (programs / "systemctl").chmod(0o755)
    environment = {**service.environment, "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(symptom: str, *arguments: str, **more: str) -> PlaybookRun:
        return playbook("diagnose.yml", *OVERLAY, f"-ediagnose_symptom={symptom}", "--skip-tags=preflight", *arguments, environment={**environment, **more})

    return run


def flat(run: PlaybookRun) -> str:
    """What was printed, without the line breaks the output plugin puts in."""
    return " ".join((run.stdout + run.stderr).split())


def token(run: PlaybookRun) -> str:
    found = set(re.findall(r"-e diagnose_act=([0-9a-f]{8})", flat(run)))
    assert len(found) == 1, flat(run)
    return found.pop()


def commands(service: Service) -> list[str]:
    log = service.state / "systemctl.log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def bookmarks(run: PlaybookRun) -> list[Any]:
    with sqlite3.connect(f"file:{run.history}/history.sqlite?mode=ro", uri=True) as history:
        return [bookmark for (bookmark,) in history.execute("select bookmark from bookmarks")]


def test_a_dead_service_is_restarted_by_nothing_but_its_token(diagnose: Diagnose, service: Service) -> None:
    session = [{"name": "memory", "when_session": {"calendar": "24/7", "in": False}}]
    well = diagnose("down", "--extra-vars", json.dumps({"health_checks_session": session}))
    assert well.rc == 0 and "nothing that was looked at is bad" in flat(well), flat(well)
    asleep = checks_of(newest_report(well.history))["memory"]
    assert asleep["status"] == "skipped" and asleep["message"].startswith("not judged: inside of the trading session 24/7"), asleep
    assert "[WARNING]" not in well.stderr, well.stderr
    service.stop()
    found = diagnose("down")
    assert found.rc == 0, flat(found)  # what it finds is no failure of the diagnosis
    assert "critical P1 api answers" in flat(found) and "new; well at" in flat(found)
    assert "does: restart the unit nextrade-api" in flat(found)
    act = token(found)
    planned = diagnose("down", f"-ediagnose_act={act}", "--check")
    assert planned.rc == 0 and "would restart the unit nextrade-api, since api answers is critical" in flat(planned)
    unrecorded = diagnose("down", f"-ediagnose_act={act}", RUNBOOK_RECORD="false")
    assert unrecorded.rc == 2 and "this run is not recorded, so nothing was done" in flat(unrecorded)
    assert set(commands(service)) <= {"show"}
    done = diagnose("down", f"-ediagnose_act={act}")
    assert done.rc == 0, flat(done)
    assert "Done: restart the unit nextrade-api. api answers was critical and is ok" in flat(done)
    assert commands(service)[-1] == "start"  # of what does not run, a restart is a start
    report = newest_report(done.history)
    assert checks_of(report)["api answers"]["status"] == "ok"
    assert "restart the unit nextrade-api, since api answers is critical" in str(report)


def test_what_does_not_help_is_told(diagnose: Diagnose, service: Service) -> None:
    service.fault("database_locked")  # which comes back with the service, as a lock that another process holds would
    found = diagnose("database")
    assert found.rc == 0 and "critical P1 database works" in flat(found)
    done = diagnose("database", f"-ediagnose_act={token(found)}", "-ediagnose_settle_seconds=3")
    assert done.rc == 2 and "database works was critical and still is critical" in flat(done), flat(done)
    assert commands(service)[-1] == "restart"


def test_a_wrong_token_does_nothing_and_logs_tell_without_a_review_going_on_from_there(diagnose: Diagnose, service: Service) -> None:
    log = service.state / "logs/nextrade.log"
    with log.open("a", encoding="utf-8") as stream:
        stamp = log.read_text(encoding="utf-8").splitlines()[-1].partition(" - ")[0]
        stream.writelines(f"{stamp} - nextrade.llm - ERROR - provider refuses key\n" for _number in range(400))
    found = diagnose("error_rate", "-ediagnose_act=00000000")
    assert "400 x ERROR provider refuses key" in flat(found), flat(found)
    assert found.rc == 2 and 'Nothing was done: "00000000" is the token of nothing that is proposed now' in flat(found)
    assert f"restart the unit nextrade-api, with ansible-playbook {COLLECTION}/playbooks/diagnose.yml -i" in flat(found)
    assert set(bookmarks(found)) == {"null"} and commands(service) == []


def test_an_unknown_symptom_is_refused_with_those_there_are(diagnose: Diagnose) -> None:
    run = diagnose("dwon")
    assert run.rc == 2 and 'No host knows the symptom "dwon". The inventory has database, down, error_rate, slow' in flat(run)
