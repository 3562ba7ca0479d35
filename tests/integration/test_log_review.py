# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reviews of real log files by the shipped playbooks: what is new, what was rotated, what is bad, what must not be shown."""
from __future__ import annotations

import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tradeops.runbook.tests.support.service import OVERLAY, checks_of, hosts_of, newest_report, running_service
from conftest import PlaybookRun, PlaybookRunner
from test_secrets import forms

HOUR = 3600
SECRET = "Kx9tr+QvPlanted27/Value"


@dataclass(frozen=True)
class Log:
    """A log in the format of Python's logging."""

    path: Path

    def write(self, count: int, level: str = "INFO", text: str = "order {} placed", age: float = 60) -> None:
        """``count`` entries more, all of this age in seconds."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S,000", time.gmtime(time.time() - age))
        with self.path.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{stamp} - trader - {level} - {text.format(number)}\n" for number in range(count))

    def rotate(self) -> None:
        """By name, as logging and logrotate do; the one before is compressed."""
        old = self.path.with_suffix(".log.1")
        if old.exists():
            with gzip.open(self.path.with_suffix(".log.2.gz"), "wb") as packed:
                packed.write(old.read_bytes())
        self.path.rename(old)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    folder = tmp_path / "logs"
    folder.mkdir()
    return Log(folder / "app.log")


@pytest.fixture
def inventory(tmp_path: Path, log: Log) -> Callable[..., Path]:
    """Writes an inventory of one host with that log; ``more`` are variables of the host."""

    def write(**more: Any) -> Path:
        options = {"files": [f"{log.path}*"], "window": "1 d", "context": 1, "patterns": {"errors": " - (ERROR|CRITICAL) - "}}
        logs = [{"name": "app", "log": options, "limits": {"errors.ratio": {"warning": "> 1 %", "critical": "> 10 %"}}}]
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbook_system": "logs", "log_review_logs": logs}
        path = tmp_path / "hosts.yml"
        path.write_text(yaml.safe_dump({"all": {"hosts": {"here": {**here, **more}}}}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def review(playbook: PlaybookRunner, inventory: Callable[..., Path]) -> Callable[..., PlaybookRun]:
    """Runs log_review.yml on that host."""
    place = inventory()
    return lambda *arguments, **options: playbook("log_review.yml", *arguments, **{"inventory": place, **options})


def logs(run: PlaybookRun, host: str = "here") -> dict[str, dict[str, Any]]:
    """What the newest report shows of each log."""
    return {found["name"]: found for found in hosts_of(newest_report(run.history))[host]["logs"]}


def checks(run: PlaybookRun) -> dict[str, dict[str, Any]]:
    return checks_of(newest_report(run.history), "here")


def test_the_first_review_reads_the_window_and_the_next_one_what_is_new(review: Callable[..., PlaybookRun], log: Log) -> None:
    log.write(10, age=25 * HOUR)
    log.write(20, age=2 * HOUR)
    first = review()
    assert first.rc == 0, first.stdout + first.stderr
    assert (logs(first)["app"]["lines"], checks(first)["app"]["measures"]["entries"]) == (20, 20)
    log.write(7)
    assert logs(review())["app"]["lines"] == 7
    assert logs(review())["app"]["lines"] == 0
    again = review("--extra-vars=log_review_incremental=false")
    assert (logs(again)["app"]["lines"], logs(again)["app"]["incremental"]) == (27, False)
    longer = review(variables={"log_review_incremental": False, "log_review_window": "2 d"})
    assert logs(longer)["app"]["lines"] == 37


def test_check_mode_moves_no_bookmark(review: Callable[..., PlaybookRun], log: Log) -> None:
    log.write(5)
    review()
    log.write(3)
    assert logs(review("--check"))["app"]["lines"] == 3
    log.write(1)
    assert logs(review())["app"]["lines"] == 4


def test_rotation_between_two_reviews_loses_nothing(review: Callable[..., PlaybookRun], log: Log) -> None:
    log.write(5)
    review()
    for count in (3, 4):  # the second rotation compresses what the first one moved aside
        log.write(count)
        log.rotate()
    log.write(2)
    run = review()
    assert (logs(run)["app"]["lines"], checks(run)["app"]["status"]) == (9, "ok"), checks(run)["app"]
    assert checks(run)["app"]["measures"]["lost"] is False


def test_lines_that_nobody_can_review_any_more_are_a_warning(review: Callable[..., PlaybookRun], log: Log) -> None:
    log.write(5)
    review()
    log.write(3)
    log.path.unlink()
    log.write(2, text="a new beginning {}")
    run = review()
    assert (run.rc, checks(run)["app"]["status"]) == (0, "warning") and "lost" in checks(run)["app"]["message"]


def test_a_burst_of_errors_is_critical_named_and_shown(review: Callable[..., PlaybookRun], log: Log) -> None:
    log.write(50)
    assert review().rc == 0
    log.write(30, "ERROR", "LLM provider error: retry attempt {}/3 failed")
    log.write(20)
    run = review()
    assert run.rc == 2 and "errors.ratio is 60 % (critical: > 10 %)" in " ".join(run.stdout.split())
    found = logs(run)["app"]
    top = found["signatures"][0]
    assert (top["text"], top["level"], top["count"]) == ("LLM provider error: retry attempt <n>/<n> failed", "ERROR", 30)
    assert found["earlier"]["reviewed"] and top["id"] not in found["earlier"]["signatures"]
    newest = found["patterns"]["errors"]["samples"][-1]
    assert newest["text"].endswith("retry attempt 29/3 failed")
    assert newest["before"][0].endswith("retry attempt 28/3 failed") and newest["after"][0].endswith("order 0 placed")
    page = max((run.history / "reports").glob("*.html")).read_text(encoding="utf-8")
    assert "LLM provider error: retry attempt &lt;n&gt;/&lt;n&gt; failed" in page


def test_a_secret_in_a_log_is_critical_and_shown_nowhere(playbook: PlaybookRunner, review: Callable[..., PlaybookRun], log: Log) -> None:
    log.write(5)
    log.write(1, "ERROR", f"request refused: api_key={SECRET} is not valid")
    log.write(1, "INFO", f"Authorization: Bearer {SECRET}")
    run = review("-vvvv", "--diff")
    assert run.rc == 2 and checks(run)["app"]["measures"]["secrets"] == 2
    assert {found["rule"] for found in logs(run)["app"]["secrets"]} == {"password or key", "authorization"}
    assert "api_key=***" in logs(run)["app"]["patterns"]["errors"]["samples"][0]["text"]
    places = {"stdout": run.stdout.encode(), "stderr": run.stderr.encode()}
    places |= {str(path): path.read_bytes() for path in playbook.home.rglob("*") if path.is_file()}
    assert len(places) > 5
    assert [name for name, blob in places.items() if any(form in blob.lower() for form in forms(SECRET))] == []


@pytest.mark.parametrize("broken", ["gone", "loop", "forbidden"])
def test_a_log_that_cannot_be_read_is_unknown_and_the_others_are_reviewed(
    playbook: PlaybookRunner, inventory: Callable[..., Path], log: Log, tmp_path: Path, broken: str
) -> None:
    folder = tmp_path / broken
    if broken == "loop":
        folder.symlink_to(folder)
    elif broken == "forbidden":
        folder.mkdir()
        (folder / "app.log").touch()
        folder.chmod(0)
        if subprocess.run(["ls", str(folder)], capture_output=True, check=False).returncode == 0:
            pytest.skip("root may read everything")
    log.write(5)
    place = inventory(log_review_logs_more=[{"name": "other", "log": {"files": [f"{folder}/app.log*"]}}])
    run = playbook("log_review.yml", inventory=place)
    folder.chmod(0o700) if broken == "forbidden" else None
    assert run.rc == 2
    assert (checks(run)["other"]["status"], checks(run)["app"]["status"]) == ("unknown", "ok")
    assert checks(run)["other"]["message"] and checks(run)["other"]["hint"]
    assert list(logs(run)) == ["app"]


def test_a_typo_is_named_with_its_place(playbook: PlaybookRunner, inventory: Callable[..., Path], log: Log) -> None:
    log.write(1)
    run = playbook("log_review.yml", inventory=inventory(log_review_logs_wrong=[{"name": "app", "log": {"paterns": {}}}]))
    assert run.rc == 2
    assert 'unknown key "paterns"; did you mean "patterns"?' in " ".join((run.stdout + run.stderr).split())


def test_a_host_without_logs_is_left_alone(playbook: PlaybookRunner, inventory: Callable[..., Path]) -> None:
    run = playbook("log_review.yml", inventory=inventory(log_review_logs=[]))
    assert run.rc == 0, run.stdout
    host = hosts_of(newest_report(run.history))["here"]
    assert host["logs"] == [] and {check["role"] for check in host["checks"]} == {"preflight"}


def test_the_logs_of_a_host_that_is_not_well_are_reviewed_all_the_same(playbook: PlaybookRunner, tmp_path: Path) -> None:
    with running_service(tmp_path / "state") as service:
        service.fault("stuck_orders")
        run = playbook("daily.yml", *OVERLAY, environment=service.environment)
    assert run.rc == 2, run.stdout
    found = logs(run, "nextrade_app")
    assert checks_of(newest_report(run.history))["stuck orders"]["status"] == "critical"
    assert set(found) == {"application log", "compliance log"} and all(log["entries"] for log in found.values())


def test_the_weekly_runbook_verifies_prunes_and_reviews_seven_days(playbook: PlaybookRunner, tmp_path: Path) -> None:
    with running_service(tmp_path / "state") as service:
        assert playbook("daily.yml", *OVERLAY, environment=service.environment).rc == 0
        run = playbook("weekly.yml", *OVERLAY, environment=service.environment)
    assert run.rc == 0, run.stdout + run.stderr
    found = logs(run, "nextrade_app")["application log"]
    days = [time.strptime(found[key], "%Y-%m-%dT%H:%M:%SZ") for key in ("from", "to")]
    assert time.mktime(days[1]) - time.mktime(days[0]) == 7 * 24 * HOUR
    assert found["incremental"] is False
    assert {check["kind"] for host in hosts_of(newest_report(run.history)).values() for check in host["checks"]} >= {"ledger", "log"}
