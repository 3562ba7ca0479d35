# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped daily runbook with the shipped inventory on a real service: well, broken, and given nonsense."""
from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tradeops.runbook.tests.support.service import OVERLAY, Service, checks_of, hosts_of, newest_report, running_service
from conftest import PlaybookRun, PlaybookRunner


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path / "state") as running:
        yield running


@pytest.fixture
def daily(playbook: PlaybookRunner, service: Service) -> Callable[..., PlaybookRun]:
    """Runs daily.yml on the service with the shipped inventories, and more arguments or environment."""
    environment = service.environment

    def run(*arguments: str, **options: Any) -> PlaybookRun:
        return playbook("daily.yml", *OVERLAY, *arguments, environment=environment, **options)

    return run


def report(run: PlaybookRun) -> dict[str, Any]:
    return newest_report(run.history)


def hosts(run: PlaybookRun) -> dict[str, dict[str, Any]]:
    return hosts_of(report(run))


def checks(run: PlaybookRun) -> dict[str, dict[str, Any]]:
    return checks_of(report(run))


def variables(tmp_path: Path, **values: Any) -> str:
    path = tmp_path / "variables.yml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return f"--extra-vars=@{path}"


def test_a_clean_service_is_well(daily: Callable[..., PlaybookRun]) -> None:
    run = daily()
    assert run.rc == 0, run.stdout + run.stderr
    assert {check["status"] for check in checks(run).values()} == {"ok"}
    assert len(checks(run)) == 23  # seventeen of the inventory, two logs, four of preflight
    assert "[WARNING]" not in run.stderr, run.stderr


FAULTS = [
    ("dripping", "api answers", "critical", 2),
    ("slow", "api answers", "warning", 0),
    ("degraded", "api answers", "warning", 0),
    ("llm_down", "language model answers", "critical", 2),
    ("database_locked", "database works", "critical", 2),
    ("stuck_orders", "stuck orders", "critical", 2),
    ("null_values", "language model answers", "unknown", 2),
    ("html_error", "api answers", "unknown", 2),
    ("market_data_down", "external market data", "critical", 2),
]


@pytest.mark.parametrize("fault, name, status, rc", FAULTS)
def test_a_fault_is_found_named_and_graded(
    daily: Callable[..., PlaybookRun], service: Service, fault: str, name: str, status: str, rc: int
) -> None:
    service.fault(fault)
    run = daily()
    found = checks(run)[name]
    assert (found["status"], run.rc) == (status, rc), found
    assert found["message"]


def test_a_dead_service_is_critical_and_says_what_to_do(daily: Callable[..., PlaybookRun], service: Service) -> None:
    service.stop()
    run = daily()
    assert run.rc == 2
    found = checks(run)
    assert {name for name, check in found.items() if check["status"] == "critical"} >= {"api answers", "service runs", "process"}
    assert "Connection refused" in found["api answers"]["message"] and found["api answers"]["hint"]


def test_an_unreachable_host_is_unknown_and_the_others_are_checked(daily: Callable[..., PlaybookRun], tmp_path: Path, free_port: int) -> None:
    more = tmp_path / "more.yml"
    more.write_text(yaml.safe_dump({"nextrade": {"hosts": {"gone": {"ansible_host": "127.0.0.1", "ansible_port": free_port}}}}), encoding="utf-8")
    run = daily(f"--inventory={more}")
    assert run.rc == 4
    found = hosts(run)
    assert found["nextrade_app"]["status"] == "ok"
    assert (found["gone"]["reachable"], found["gone"]["status"]) == (False, "unknown")
    assert report(run)["status"] == "unknown"


def test_every_host_unreachable_still_gives_a_report(playbook: PlaybookRunner, tmp_path: Path, free_port: int) -> None:
    more = tmp_path / "hosts.yml"
    more.write_text(yaml.safe_dump({"all": {"hosts": {"gone": {"ansible_host": "127.0.0.1", "ansible_port": free_port}}}}), encoding="utf-8")
    run = playbook("daily.yml", inventory=more)
    assert run.rc == 4
    assert report(run)["exit_code"] == 4


def test_a_limit_without_localhost_changes_nothing(daily: Callable[..., PlaybookRun]) -> None:
    run = daily("--limit=nextrade_app")
    assert run.rc == 0 and report(run)["limit"] == "nextrade_app"


def test_check_mode_judges_without_write_tests(daily: Callable[..., PlaybookRun]) -> None:
    run = daily("--check", "--diff")
    assert run.rc == 0 and report(run)["check_mode"] is True
    assert {limit["state"] for limit in checks(run)["database works"]["limits"] if limit["measure"] == "writable"} == {"skipped"}


def test_a_typo_is_named_with_its_place(daily: Callable[..., PlaybookRun], tmp_path: Path) -> None:
    wrong = [{"name": "api answers", "http": {"methd": "GET"}}, {"name": "disk", "hots": {"mount": "/"}}]
    run = daily(variables(tmp_path, health_checks_wrong=wrong))
    assert run.rc == 2
    assert 'checks[0] (api answers) http: unknown key "methd"; did you mean "method"?' in flat(run)
    assert 'unknown key "hots"; did you mean "host"?' in flat(run)
    assert report(run)["status"] != "ok"


def test_a_limit_that_cannot_be_read_is_named_before_anything_is_measured(daily: Callable[..., PlaybookRun], tmp_path: Path) -> None:
    wrong = [{"name": "root disk", "limits": {"disk_used_percent": {"warning": "over 80"}}}]
    run = daily(variables(tmp_path, health_checks_wrong=wrong))
    assert run.rc == 2
    assert "(root disk)" in flat(run) and '"over 80" is not a limit' in flat(run)
    assert "health" not in {check.get("role") for check in checks(run).values()}


def test_a_malformed_inventory_stops_the_run(daily: Callable[..., PlaybookRun], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("nextrade:\n  hosts: [unclosed\n", encoding="utf-8")
    run = daily(f"--inventory={broken}")
    assert run.rc not in (0, 2, 4) and "broken.yml" in run.stderr


def test_checks_that_are_no_list_are_refused(daily: Callable[..., PlaybookRun], tmp_path: Path) -> None:
    run = daily(variables(tmp_path, health_checks_wrong={"name": "x"}))
    assert run.rc == 2 and "health_checks must be a list" in flat(run)


def test_five_hundred_checks_are_all_reported(daily: Callable[..., PlaybookRun], service: Service, tmp_path: Path) -> None:
    port = int(service.environment["DEMO_PORT"])
    many = [{"name": f"port {number}", "tcp": {"host": "127.0.0.1", "port": port}} for number in range(500)]
    run = daily(variables(tmp_path, health_checks_many=many))
    assert run.rc == 0, run.stdout[-3000:]
    assert sum(name.startswith("port ") for name in checks(run)) == 500


def test_a_server_that_never_answers_costs_no_more_than_the_deadline(daily: Callable[..., PlaybookRun], tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        hanging = [{"name": "silent", "http": {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/", "timeout_seconds": 600}}]
        run = daily(variables(tmp_path, health_checks_hanging=hanging, health_deadline_seconds=4))
    assert checks(run)["silent"]["status"] == "unknown"
    assert checks(run)["root disk"]["status"] == "ok"


def test_the_report_of_a_past_run_is_rendered_again(daily: Callable[..., PlaybookRun], playbook: PlaybookRunner) -> None:
    run = daily()
    before = report(run)
    for path in (run.history / "reports").iterdir():
        path.unlink()
    again = playbook("report.yml", environment={"ANSIBLE_LOCALHOST_WARNING": "false"})
    assert again.rc == 0, again.stdout + again.stderr
    rendered = json.loads((run.history / "reports" / f"{before['run_id']}.json").read_text(encoding="utf-8"))
    assert rendered["systems"] == before["systems"]


def test_verify_and_remove_end_the_tour(daily: Callable[..., PlaybookRun], playbook: PlaybookRunner) -> None:
    run = daily()
    assert playbook("verify_ledger.yml").rc == 0
    refused = playbook("remove.yml", "--tags=history", variables={"remove_history": str(run.history)})
    assert refused.rc == 2 and "being recorded" in flat(refused)
    stranger = playbook("remove.yml", "--tags=history", variables={"remove_history": os.sep}, environment={"RUNBOOK_RECORD": "false"})
    assert stranger.rc == 2 and "holds no history" in flat(stranger)
    done = playbook("remove.yml", "--tags=history", variables={"remove_history": str(run.history)}, environment={"RUNBOOK_RECORD": "false"})
    assert done.rc == 0, done.stdout + done.stderr
    assert list(run.history.iterdir()) == []


def flat(run: PlaybookRun) -> str:
    """What was printed, without the line breaks the output plugin puts in."""
    return " ".join((run.stdout + run.stderr).split())
