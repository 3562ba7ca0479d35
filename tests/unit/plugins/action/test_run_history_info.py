# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_history_info: one answer for all hosts, an empty one without a history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.action.run_history_info import ActionModule
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import JournalFile
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

from ..plugin_utils.recorded import START, chained, check, checks, hosts, log, log_report, raising, run_id, seal, started
from .asked import ask

EVERY_MINUTE = {"playbook": "daily", "rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=16", "expected_minutes": 5}


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    return Places(folder, folder / "reports", folder / "ledger.key")


def fill(where: Places, runs: int = 6) -> None:
    for number in range(1, runs + 1):
        at = START + number
        verdicts = [checks(check("api", measures={"latency": float(number)}), host=host, measured_at=rfc3339(at)) for host in ("app", "db")]
        seal(where, number, hosts(app="nextrade/production", db="tft/staging"), *verdicts, at=at)


def test_without_a_history_everything_is_empty(where: Places) -> None:
    result = ask(ActionModule, history_dir=str(where.history), hosts=["app"], schedule=[EVERY_MINUTE])
    assert {key: result[key] for key in ("changed", "runs", "baselines", "recent", "schedule")} == {
        "changed": False, "runs": [], "baselines": {"app": {}}, "recent": {"app": {}}, "schedule": [],
    }  # fmt: skip
    assert "trend" not in result
    assert ask(ActionModule, history_dir=str(where.history), hosts=["app"], trends=True)["trend"] == {"app": {}}
    assert not where.history.exists()


def test_all_hosts_at_once(where: Places) -> None:
    fill(where)
    several = ["app", {"name": "db", "system": "tft", "environment": "staging"}, "stranger"]
    asked = {"hosts": several, "system": "nextrade", "runs": 2, "now": START + 60, "schedule": [EVERY_MINUTE], "trends": True}
    result = ask(ActionModule, history_dir=str(where.history), **asked)
    assert [run["run_id"] for run in result["runs"]] == [run_id(6), run_id(5)]
    assert result["baselines"] == {"app": {"api": {"latency": 3.5}}, "db": {"api": {"latency": 3.5}}, "stranger": {}}
    assert {host: len(found.get("api", [])) for host, found in result["recent"].items()} == {"app": 6, "db": 6, "stranger": 0}
    assert result["trend"]["app"]["api"]["latency"]["points"] == 6
    assert [(entry["playbook"], entry["status"], entry["run_id"]) for entry in result["schedule"]] == [("daily", "on_time", run_id(1))]


def test_bookmarks_come_when_asked(where: Places) -> None:
    assert ask(ActionModule, history_dir=str(where.history), hosts=["app"], bookmarks=True)["bookmarks"] == {"app": {}}
    seal(where, 1, hosts(app="nextrade/production"), log_report(log(), {"taken_at": 5}))
    seal(where, 2, hosts(app="nextrade/production"), log_report(log(), {"taken_at": 6}, measured_at=rfc3339(START + 60)), at=START + 60, check_mode=True)
    result = ask(ActionModule, history_dir=str(where.history), hosts=["app", "db"], system="nextrade", bookmarks=True)
    assert result["bookmarks"] == {"app": {"app log": {"taken_at": 5}}, "db": {}}
    assert "bookmarks" not in ask(ActionModule, history_dir=str(where.history), hosts=["app"])


def test_the_window_and_the_minimum_are_options(where: Places) -> None:
    fill(where)
    result = ask(ActionModule, history_dir=str(where.history), hosts=["app"], now=START + 6, recent_seconds=2, baseline_minimum=7)
    assert (len(result["recent"]["app"]["api"]), result["baselines"]) == (3, {"app": {}})


def test_a_run_under_way_counts_for_the_schedule(where: Places) -> None:
    seal(where, 1, at=START - 86400)
    own = JournalFile(where.open, run_id(7))
    own.append(chained(run_id(7), [started(run_id=run_id(7))])[0])
    for system in (None, "nextrade"):
        result = ask(ActionModule, history_dir=str(where.history), now=START + 60, schedule=[EVERY_MINUTE], **({"system": system} if system else {}))
        assert [(entry["status"], entry["run_id"]) for entry in result["schedule"]] == [("on_time", run_id(7))]
    own.close()


def test_nobody_pays_for_what_was_not_asked(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(where)
    monkeypatch.setattr(History, "open_runs", raising(AssertionError("no schedule was given")))
    monkeypatch.setattr(History, "trends", raising(AssertionError("no trends were asked for")))
    result = ask(ActionModule, history_dir=str(where.history), hosts=["app"])
    assert (result["schedule"], "trend" in result, len(result["runs"])) == ([], False, 6)


def test_runs_and_the_schedule_are_of_the_environment(where: Places) -> None:
    seal(where, 1, hosts(app="nextrade/production"))
    seal(where, 2, hosts(app="nextrade/staging"), at=START + 60)

    def asked(environment: str) -> tuple[list[str], list[str]]:
        options = {"system": "nextrade", "environment": environment, "now": START + 120, "schedule": [EVERY_MINUTE]}
        result = ask(ActionModule, history_dir=str(where.history), **options)
        return [run["run_id"] for run in result["runs"]], [entry["run_id"] for entry in result["schedule"]]

    assert (asked("production"), asked("staging")) == (([run_id(1)], [run_id(1)]), ([run_id(2)], [run_id(2)]))


def test_nothing_is_missed_before_the_first_run_on_the_same_system_and_environment(where: Places) -> None:
    seal(where, 1, hosts(app="nextrade/production"), at=START - 30 * 86400)
    seal(where, 2, hosts(app="nextrade/staging"), at=START + 600)

    def missed(**place: str) -> list[str]:
        result = ask(ActionModule, history_dir=str(where.history), now=START + 7200, schedule=[{**EVERY_MINUTE, "playbook": "weekly"}], **place)
        return [entry["status"] for entry in result["schedule"]]

    assert missed(system="nextrade", environment="production") == ["missed"]
    assert (missed(system="nextrade", environment="staging"), missed(system="new")) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hosts": [5]}, "is not a host"), ({"hosts": [{"host": "app"}]}, "is not a host"), ({"schedule": [{"playbook": "daily"}]}, "is not an entry"),
        ({"timezone": "Mars/Olympus", "schedule": [EVERY_MINUTE]}, "Mars/Olympus"), ({"host": "app"}, "Unsupported parameters"), ({"runs": "many"}, "many"),
    ],
)  # fmt: skip
def test_wrong_arguments_say_what_is_wrong(where: Places, arguments: dict[str, Any], words: str) -> None:
    fill(where, 1)
    result = ask(ActionModule, history_dir=str(where.history), **arguments)
    assert result["failed"] and words in result["msg"]


def test_a_damaged_history_is_an_error_with_a_hint(where: Places) -> None:
    where.history.mkdir()
    where.database.write_bytes(b"no database " * 500)
    result = ask(ActionModule, history_dir=str(where.history))
    assert (result["failed"], result["code"]) == (True, "verify_failed")
    assert "backup" in result["hint"]
