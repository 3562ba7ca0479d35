# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run record under real ansible-playbook: what is recorded, sealed and reported, and how a run ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from record_site import CHECK, NOTE, VERDICT, Site

from ansible_collections.tradeops.runbook.tests.support.waiting import until


@pytest.fixture
def site(playbook: Any) -> Site:
    return Site(playbook)


def test_a_run_is_recorded_sealed_and_reported(site: Site) -> None:
    changed = {"name": "Change", "ansible.builtin.command": "true"}
    quiet = {"name": "Quiet", "ansible.builtin.command": "true", "no_log": True}
    done = site.run(site.play(NOTE, VERDICT, changed, quiet, {"name": "Ordinary", "ansible.builtin.debug": {"msg": "x"}}))
    assert done.rc == 0, done.stdout + done.stderr
    line = re.search(r"^run record: warning · (\S+\.html) · ledger 1:([0-9a-f]{16})$", done.stdout, re.MULTILINE)
    assert line and Path(line.group(1)).is_file()
    assert "WARNING" not in done.stderr

    run_id, status, state, exit_code, systems = site.rows("select run_id, status, state, exit_code, systems from runs")[0]
    assert (status, state, exit_code) == ("warning", "finished", 0)
    assert json.loads(systems) == [{"environment": "production", "name": "nextrade"}]
    assert site.rows("select system, environment, host, role, name, status, crossed from checks") == [
        ("nextrade", "production", "app", "health", "disk", "warning", '["used:warning"]')
    ]
    assert site.rows("select measure, unit, value from measures") == [("used", "percent", 91.5)]
    events = site.events(run_id)
    assert [event["type"] for event in events] == ["run_started", "hosts", "step", "checks", "step", "step", "run_ended"]
    assert [event["state"] for event in events if event["type"] == "step"] == ["ok", "changed", "changed"]
    assert events[5] == {**events[5], "task": "Quiet", "message": "hidden by no_log"} and "result" not in events[5]
    assert events[-1]["stats"]["app"]["changed"] == 2
    assert events[0]["playbook"] == "daily" and events[0]["versions"]["collection"] != "unknown"

    report = site.reports()[0]
    assert report["notes"] == [{"host": "app", "kind": "reason", "text": "word of a person", "by": "Ada"}]
    assert report["anchor"]["mac"].startswith(line.group(2))
    assert list((site.history / "open").iterdir()) == []
    found = site.verify()
    assert found == {**found, "status": "ok", "problems": [], "runs": 1, "events": 7, "anchors": 1}


def test_modes_keep_others_out(site: Site) -> None:
    site.run(site.play(NOTE))
    modes = {path.relative_to(site.history).parts[0]: path.stat().st_mode & 0o777 for path in site.history.iterdir()}
    assert modes == {"history.sqlite": 0o600, "ledger.key": 0o600, "open": 0o700, "sealed": 0o700, "reports": 0o750}
    assert site.history.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (site.history / "sealed").iterdir()] == [0o600]


def test_an_unreachable_host_is_in_the_record_and_the_report_comes(site: Site) -> None:
    done = site.run(site.play(VERDICT, {"ansible.builtin.ping": {}}, hosts="nextrade"), site.play(NOTE, hosts="localhost"))
    assert done.rc == 4
    report = site.reports()[0]
    hosts = {host["name"]: host for system in report["systems"] for host in system["hosts"]}
    assert (hosts["away"]["reachable"], hosts["away"]["status"], hosts["app"]["reachable"]) == (False, "unknown", True)
    assert report["exit_code"] == 4
    assert any(issue["host"] == "away" and issue["status"] == "unknown" for issue in report["issues"])


def test_all_hosts_unreachable_still_gives_a_sealed_run_and_a_report(site: Site) -> None:
    done = site.run(site.play({"ansible.builtin.ping": {}}, hosts="away"), site.play(NOTE, hosts="localhost"))
    assert done.rc == 4
    assert "ledger 1:" in done.stdout
    assert site.reports()[0]["status"] == "unknown"


def test_a_limit_without_localhost_changes_nothing_about_the_record(site: Site) -> None:
    done = site.run(site.play(VERDICT), site.play(NOTE, hosts="localhost"), arguments=("--limit", "app"))
    assert done.rc == 0
    report = site.reports()[0]
    assert report["limit"] == "app"
    assert [system["name"] for system in report["systems"]] == ["nextrade"]


EXITS: dict[str, tuple[int, Callable[[Site], list[dict[str, Any]]]]] = {
    "ok": (0, lambda site: [site.play(NOTE)]),
    "failed": (2, lambda site: [site.play({"ansible.builtin.command": "false"})]),
    "failed, and a later play goes well": (2, lambda site: [site.play({"ansible.builtin.command": "false"}), site.play(NOTE, hosts="localhost")]),
    "ignored": (0, lambda site: [site.play({"ansible.builtin.command": "false", "ignore_errors": True})]),
    "rescued": (0, lambda site: [site.play({"block": [{"ansible.builtin.command": "false"}], "rescue": [NOTE]})]),
    "unreachable and failed": (
        4, lambda site: [site.play({"ansible.builtin.ping": {}}, {"ansible.builtin.command": "false"}, hosts="nextrade")],
    ),
    "unreachable, and too many failed": (
        2, lambda site: [site.play({"ansible.builtin.command": "false"}, {"ansible.builtin.ping": {}}, hosts="nextrade,localhost", max_fail_percentage=0)],
    ),
    "errors cleared": (
        0, lambda site: [site.play({"ansible.builtin.ping": {}}, {"ansible.builtin.meta": "clear_host_errors"}, hosts="app,away"), site.play(NOTE)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXITS)
def test_the_recorded_exit_code_is_that_of_ansible(site: Site, name: str) -> None:
    expected, plays = EXITS[name]
    done = site.run(*plays(site))
    assert (done.rc, site.rows("select exit_code from runs")) == (expected, [(expected,)]), done.stdout


def test_two_playbooks_on_one_command_line_are_two_runs(site: Site) -> None:
    second = site.write("weekly.yml", [site.play(NOTE, VERDICT)])
    done = site.run_both([site.play({"ansible.builtin.command": "true"})], second)
    assert done.rc == 0
    assert site.rows("select playbook, state from runs order by started_at, run_id") in (
        [("daily", "finished"), ("weekly", "finished")],
        [("weekly", "finished"), ("daily", "finished")],
    )
    assert sorted(report["playbook"] for report in site.reports()) == ["daily", "weekly"]
    weekly = next(report for report in site.reports() if report["playbook"] == "weekly")
    assert weekly["systems"][0]["hosts"][0]["stats"]["changed"] == 0, "each run has its own share of Ansible's counts"
    assert len(weekly["notes"]) == 1
    assert site.verify()["status"] == "ok"


def test_eight_runs_at_once_make_one_chain(site: Site, tmp_path: Path) -> None:
    barrier = {"name": "Wait for the others", "ansible.builtin.wait_for": {"path": str(tmp_path / "go"), "timeout": 120, "sleep": 1}}
    processes = [site.start(site.play(barrier, VERDICT)) for _number in range(8)]
    until(lambda: len(list((site.history / "open").glob("*.jsonl"))) == 8, 120)
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=180)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert [row[0] for row in site.rows("select seq from seals order by seq")] == list(range(1, 9))
    assert sorted(re.findall(r"ledger (\d):", "".join(outputs))) == [str(number) for number in range(1, 9)]
    found = site.verify()
    assert (found["status"], found["runs"], found["problems"]) == ("ok", 8, [])


def test_the_history_answers_a_later_run(site: Site) -> None:
    for _number in range(5):
        site.run(
            site.play(
                {
                    **VERDICT,
                    "ansible.builtin.set_fact": {
                        "health_result": {**VERDICT["ansible.builtin.set_fact"]["health_result"], "checks": [{**CHECK, "status": "ok"}]}
                    },
                }
            )
        )
    show = {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(site.folder / "found.json"), "mode": "0600"}}
    ask = {
        "tradeops.runbook.run_history_info": {
            "system": "nextrade", "environment": "production", "hosts": ["app", "stranger"], "runs": 3, "now": 1795140960,
            "schedule": [{"playbook": "daily", "rrule": "FREQ=DAILY", "expected_minutes": 5}], "timezone": "America/New_York",
        },
        "register": "found", "run_once": True, "delegate_to": "localhost",
    }  # fmt: skip
    done = site.run(
        site.play(ask, show, {"name": "Report", "tradeops.runbook.run_report": {"reports_dir": str(site.folder / "again")}}), name="weekly.yml"
    )
    assert done.rc == 0, done.stdout
    found = json.loads((site.folder / "found.json").read_text("utf-8"))
    assert len(found["runs"]) == 3 and found["runs"][0]["playbook"] == "daily"
    assert found["baselines"] == {"app": {"disk": {"used": 91.5}}, "stranger": {}}
    assert len(found["recent"]["app"]["disk"]) == 5
    assert len(list((site.folder / "again").iterdir())) == 2
