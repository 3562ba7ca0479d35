# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback hands on what Ansible tells, survives its own defects, and knows how ansible-playbook will exit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.executor.stats import AggregateStats
from ansible.parsing.dataloader import DataLoader

from ansible_collections.tradeops.runbook.plugins.callback import run_record
from ansible_collections.tradeops.runbook.plugins.callback.run_record import DOCUMENTATION, CallbackModule
from ansible_collections.tradeops.runbook.plugins.plugin_utils import recorder as recorder_module
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_queries import HostPlace
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import HISTORY_DIR, HISTORY_URL, JOURNAL, KEY_FILE, RUN_ID, RUN_PID, places

from ..plugin_utils.recorded import check, log, notice, raising


class Screen:
    """Stands for Ansible's display."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.lines: list[str] = []
        self.verbosity = 0

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def display(self, text: str) -> None:
        self.lines.append(text)


class Manager:
    """Stands for the variable manager of a play."""

    def __init__(self, variables: dict[str, dict[str, Any]], extra: dict[str, Any]) -> None:
        self.variables = variables
        self.extra_vars = extra
        self.asked: list[str] = []
        self._inventory = SimpleNamespace(get_hosts=lambda _pattern: [SimpleNamespace(name=name, implicit=name == "localhost") for name in variables])

    def get_vars(self, play: Any, host: Any, include_hostvars: bool) -> dict[str, Any]:
        assert play is not None and include_hostvars is False
        self.asked.append(host.name)
        return self.variables[host.name]


class Play:
    def __init__(self, variables: dict[str, dict[str, Any]] | None = None, extra: dict[str, Any] | None = None) -> None:
        self.hosts = ["all"]
        self.manager = Manager(variables or {"app": {"runbook_system": "nextrade", "runbook_environment": "production"}}, extra or {})

    def get_name(self) -> str:
        return "Play"

    def get_variable_manager(self) -> Manager:
        return self.manager

    def get_loader(self) -> DataLoader:
        return DataLoader()


def playbook(name: str = "/x/daily.yml", play: Play | None = None) -> Any:
    return SimpleNamespace(_file_name=name, get_plays=lambda: [play or Play()])


def task(name: str = "Do", action: str = "ansible.builtin.command", role: str = "", **more: Any) -> Any:
    whose = SimpleNamespace(get_name=lambda include_role_fqcn=True: role) if role else None
    base = {
        "_uuid": f"uuid-{name}",
        "_role": whose,
        "resolved_action": action,
        "action": action,
        "no_log": False,
        "ignore_errors": None,
        "ignore_unreachable": None,
        "name": name,
    }
    return SimpleNamespace(**{**base, **more})


def result(of: Any, data: dict[str, Any], host: str = "app") -> Any:
    name = f"{of._role.get_name()} : {of.name}" if of._role else of.name
    return SimpleNamespace(task=of, host=SimpleNamespace(name=host), result=data, task_name=name, is_changed=lambda: bool(data.get("changed")))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (RUN_ID, RUN_PID, JOURNAL, HISTORY_DIR):
        monkeypatch.setenv(name, "before")
    for name in (KEY_FILE, HISTORY_URL):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(recorder_module, "_announce", lambda *_all: None)
    yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "history"


@pytest.fixture
def callback(folder: Path) -> Iterator[CallbackModule]:
    made = CallbackModule(display=Screen())
    made._plugin_options = {"record": True, "history_dir": str(folder), "reports_dir": None, "key_file": None, "history_url": None}
    yield made
    made._exit()


def events(folder: Path) -> list[dict[str, Any]]:
    """All events of all sealed runs."""
    lines = [line for path in sorted((folder / "sealed").glob("*.jsonl")) for line in path.read_text("ascii").splitlines()]
    return [{"type": event["type"], **json.loads(event["body"])} for event in map(json.loads, lines)]


def end(callback: CallbackModule, **counts: int) -> None:
    stats = AggregateStats()
    for what, number in counts.items():
        for _time in range(number):
            stats.increment(what, "app")
    callback.v2_playbook_on_stats(stats)


def test_a_run_from_start_to_stats(callback: CallbackModule, folder: Path) -> None:
    play = Play(extra={"awx_job_id": 7, "tower_user_name": "ada", "secret": "x", "awx_payload": {"a": 1}})
    callback.v2_playbook_on_start(playbook(play=play))
    assert os.environ[RUN_ID] and os.environ[RUN_PID] == str(os.getpid())
    callback.v2_playbook_on_play_start(play)
    change = task("Change", role="cleanup")
    callback.v2_runner_on_start(SimpleNamespace(name="app"), change)
    callback.v2_runner_on_ok(result(change, {"changed": True, "msg": "done"}))
    callback.v2_runner_on_ok(result(task("Quiet"), {"changed": False}))
    end(callback, ok=2, changed=1)
    found = events(folder)
    assert [event["type"] for event in found] == ["run_started", "hosts", "step", "run_ended"]
    assert (found[0]["playbook"], found[0]["launch"]) == ("daily", {"awx_job_id": "7", "tower_user_name": "ada"})
    assert found[1]["hosts"] == {"app": {"system": "nextrade", "environment": "production"}}
    assert (found[2]["task"], found[2]["role"], found[2]["state"], found[2]["play"], found[2]["message"]) == (
        "Change",
        "cleanup",
        "changed",
        "Play",
        "done",
    )
    assert found[2]["duration_seconds"] >= 0
    assert found[3]["stats"] == {"app": {"ok": 2, "changed": 1, "failures": 0, "unreachable": 0, "skipped": 0, "rescued": 0, "ignored": 0}}
    assert callback._display.warnings == []
    assert callback._display.lines[0].startswith("run record: ok · ")
    assert os.environ[RUN_ID] == ""


def test_states(callback: CallbackModule, folder: Path) -> None:
    callback.v2_playbook_on_start(playbook())
    callback.v2_runner_on_failed(result(task("a"), {"msg": "no"}))
    callback.v2_runner_on_failed(result(task("b"), {"msg": "no"}), ignore_errors=True)
    callback.v2_runner_on_unreachable(result(task("c"), {"msg": "gone"}))
    callback.v2_runner_on_unreachable(result(task("d", ignore_unreachable=True), {"msg": "gone"}))
    callback.v2_runner_on_skipped(result(task("e"), {}))
    end(callback, failures=1)
    assert [(event["task"], event["state"]) for event in events(folder) if event["type"] == "step"] == [
        ("a", "failed"), ("b", "ignored"), ("c", "unreachable"), ("d", "ignored"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "data"),
    [(task(no_log=True), {"msg": "secret"}), (task(), {"msg": "secret", "_ansible_no_log": True}), (task(), {"censored": "hidden", "msg": "secret"})],
)
def test_nothing_of_a_hidden_result_is_recorded(callback: CallbackModule, folder: Path, of: Any, data: dict[str, Any]) -> None:
    callback.v2_playbook_on_start(playbook())
    callback.v2_runner_on_failed(result(of, data))
    callback.v2_runner_item_on_failed(result(of, {**data, "_ansible_item_label": "secret"}))
    end(callback, failures=1)
    steps = [event for event in events(folder) if event["type"] == "step"]
    assert [(step["message"], "result" in step) for step in steps] == [("hidden by no_log", False)] * 2
    assert "secret" not in json.dumps(events(folder))


def test_items_of_a_loop_are_recorded_as_they_come_and_once(callback: CallbackModule, folder: Path) -> None:
    callback.v2_playbook_on_start(playbook())
    loop = task("Loop", ignore_errors=True)
    callback.v2_runner_on_start(SimpleNamespace(name="app"), loop)
    callback.v2_runner_item_on_ok(result(loop, {"changed": True, "item": "one", "_ansible_item_label": "label"}))
    callback.v2_runner_item_on_ok(result(loop, {"changed": False, "item": "two", "outcome": "ok"}))
    callback.v2_runner_item_on_failed(result(loop, {"msg": "no", "item": {"name": "three"}}))
    callback.v2_runner_on_failed(result(loop, {"results": [], "changed": True}), ignore_errors=True)
    callback.v2_runner_on_ok(result(loop, {"changed": True}))
    end(callback, ok=1)
    assert [(event["state"], event["message"]) for event in events(folder) if event["type"] == "step"] == [
        ("changed", "label"), ("ok", "two"), ("ignored", "{'name': 'three'}: no"), ("changed", ""),
    ]  # fmt: skip


def test_checks_of_a_module_and_the_verdict_of_a_role(callback: CallbackModule, folder: Path) -> None:
    play = Play()
    callback.v2_playbook_on_start(playbook(play=play))
    callback.v2_playbook_on_play_start(play)
    answer = {"status": "critical", "summary": "s", "measured_at": "2026-11-20T02:15:00Z", "checks": [check("disk", "critical")]}
    callback.v2_runner_on_ok(result(task("Check", "tradeops.runbook.health_check_info", "health"), answer))
    verdict = {**answer, "status": "warning", "checks": [check("disk", "warning")]}
    callback.v2_runner_on_ok(result(task("Judge", "ansible.builtin.set_fact", "health"), {"ansible_facts": {"health_result": verdict}}))
    end(callback, ok=2)
    assert [(event["judged"], event["role"], event["system"]) for event in events(folder) if event["type"] == "checks"] == [
        (False, "health", "nextrade"), (True, "health", "nextrade"),
    ]  # fmt: skip
    with History(places(str(folder)), read_only=True) as history:
        assert history.runs()[0]["status"] == "warning"


def test_logs_of_a_module_and_the_verdict_of_a_role(callback: CallbackModule, folder: Path) -> None:
    play = Play()
    callback.v2_playbook_on_start(playbook(play=play))
    callback.v2_playbook_on_play_start(play)
    answer = {"status": "ok", "measured_at": "2026-11-20T02:15:00Z", "checks": [], "logs": [log("a"), log("b")], "bookmarks": {"a": {"taken_at": 5}}}
    callback.v2_runner_on_ok(result(task("Review", "tradeops.runbook.log_analysis_info", "log_review"), answer))
    verdict = {**answer, "logs": [log("a")]}
    callback.v2_runner_on_ok(result(task("Judge", "ansible.builtin.set_fact", "log_review"), {"ansible_facts": {"log_review_result": verdict}}))
    end(callback, ok=2)
    found = [event for event in events(folder) if event["type"] == "log_report"]
    assert [(event["judged"], event["report"]["name"], event["bookmark"]) for event in found] == [
        (False, "a", {"taken_at": 5}), (False, "b", None), (True, "a", {"taken_at": 5}),
    ]  # fmt: skip
    with History(places(str(folder)), read_only=True) as history:
        assert history.bookmarks(HostPlace("app", "nextrade", "production")) == {"a": {"taken_at": 5}}


def test_whose_a_host_is_is_asked_once_and_rendered(callback: CallbackModule, folder: Path) -> None:
    from ansible.template import trust_as_template

    play = Play({
        "app": {"runbook_system": trust_as_template("{{ name }}"), "name": "nextrade", "runbook_environment": "production"},
        "odd": {"runbook_system": trust_as_template("{{ nothing }}"), "runbook_environment": 5},
        "raw": {"runbook_system": "{{ name }}"},
        "none": {},
    })  # fmt: skip
    callback.v2_playbook_on_start(playbook(play=play))
    for _time in range(2):
        callback.v2_playbook_on_play_start(play)
    end(callback, ok=1)
    hosts = [event["hosts"] for event in events(folder) if event["type"] == "hosts"]
    assert hosts == [{
        "app": {"system": "nextrade", "environment": "production"}, "odd": {"system": "", "environment": "5"},
        "raw": {"system": "{{ name }}", "environment": ""}, "none": {"system": "", "environment": ""},
    }]  # fmt: skip
    assert play.manager.asked == ["app", "odd", "raw", "none"]


def test_where_this_machine_only_stands_by_it_is_no_part_of_the_run(callback: CallbackModule, folder: Path) -> None:
    whose = {"runbook_system": "nextrade", "runbook_environment": "production"}
    stats = AggregateStats()
    callback.v2_playbook_on_start(playbook())
    callback.v2_playbook_on_play_start(Play({"app": whose, "localhost": {}}))
    for count, host in (("ok", "app"), ("skipped", "localhost"), ("ok", "localhost")):
        stats.increment(count, host)
    callback.v2_playbook_on_stats(stats)
    callback.v2_playbook_on_start(playbook("verify_ledger.yml"))
    callback.v2_playbook_on_play_start(Play({"localhost": {}}))
    stats.increment("ok", "localhost")
    callback.v2_playbook_on_stats(stats)
    found = events(folder)
    assert sorted(list(event["hosts"]) for event in found if event["type"] == "hosts") == [["app"], ["localhost"]]
    assert sorted(list(event["stats"]) for event in found if event["type"] == "run_ended") == [["app"], ["localhost"]]


def test_what_people_were_told_is_an_event(callback: CallbackModule, folder: Path) -> None:
    callback.v2_playbook_on_start(playbook())
    answer = {"outcome": "ok", "changed": True, "records": [notice()]}
    callback.v2_runner_on_ok(result(task("Tell", "tradeops.runbook.notify"), answer))
    end(callback, ok=1)
    assert [event["notices"] for event in events(folder) if event["type"] == "notices"] == [[notice()]]


def test_a_second_playbook_is_a_second_run_with_its_own_counts(callback: CallbackModule, folder: Path) -> None:
    stats, ids = AggregateStats(), []
    for name in ("daily", "weekly"):
        callback.v2_playbook_on_start(playbook(f"{name}.yml"))
        ids.append(os.environ[RUN_ID])
        callback.v2_playbook_on_play_start(Play())
        stats.increment("ok", "app")
        callback.v2_playbook_on_stats(stats)
    assert len(set(ids)) == 2
    ended = [event["stats"]["app"]["ok"] for event in events(folder) if event["type"] == "run_ended"]
    assert ended == [1, 1]
    assert len([event for event in events(folder) if event["type"] == "hosts"]) == 2


def test_a_process_that_ends_early_leaves_an_interrupted_run(callback: CallbackModule, folder: Path) -> None:
    callback.v2_playbook_on_start(playbook())
    callback._pid += 1
    callback._exit()
    assert not (folder / "sealed").exists(), "a forked worker has no say"
    callback._pid -= 1
    callback._exit()
    callback._exit()
    assert [(event["state"], event["exit_code"]) for event in events(folder) if event["type"] == "run_ended"] == [("interrupted", None)]


@pytest.mark.parametrize("broken", ["step", "is_worth_a_step", "checks", "log_reports"])
def test_its_own_defects_are_survived_and_refuse_action(callback: CallbackModule, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    callback.v2_playbook_on_start(playbook())
    monkeypatch.setattr(run_record, broken, lambda _seen: 1 / 0)
    for _time in range(3):
        callback.v2_runner_on_ok(result(task(), {"changed": True}))
    assert os.environ[RUN_ID] == ""
    assert len(callback._display.warnings) == 1
    assert "ZeroDivisionError" in callback._display.warnings[0] and "What to do" in callback._display.warnings[0]
    end(callback, ok=1)
    assert callback._display.lines[0].startswith("run record: ok · ")


def test_a_defect_before_there_is_a_record(callback: CallbackModule) -> None:
    callback._plugin_options = {}
    callback.v2_playbook_on_start(playbook())
    assert os.environ[RUN_ID] == ""
    assert "Tasks that act will refuse" in callback._display.warnings[0]
    for hook in (callback.v2_runner_on_ok, callback.v2_runner_on_failed, callback.v2_runner_on_unreachable):
        hook(result(task(), {"changed": True}))
    callback.v2_playbook_on_play_start(Play())
    end(callback, ok=1)
    assert callback._display.lines == []


@pytest.mark.parametrize(
    ("counts", "code"), [({"ok": 1}, 0), ({"failures": 1}, 2), ({"dark": 1, "failures": 1}, 4), ({"rescued": 1}, 0), ({"ignored": 1}, 0)]
)
def test_the_exit_code_by_the_counts(callback: CallbackModule, folder: Path, counts: dict[str, int], code: int) -> None:
    callback.v2_playbook_on_start(playbook())
    end(callback, **counts)
    assert events(folder)[-1]["exit_code"] == code


class PlaybookExecutor:
    """Has the name and the variable by which the callback finds how Ansible will exit."""

    def run(self, callback: CallbackModule, result: Any, **counts: int) -> None:
        end(callback, **counts)
        assert result is not None


@pytest.mark.parametrize(("found", "counts", "code"), [(2, {"dark": 1}, 2), (0, {"failures": 1}, 0), ("odd", {"failures": 1}, 2)])
def test_ansible_itself_knows_better(callback: CallbackModule, folder: Path, found: Any, counts: dict[str, int], code: int) -> None:
    callback.v2_playbook_on_start(playbook())
    PlaybookExecutor().run(callback, found, **counts)
    assert events(folder)[-1]["exit_code"] == code


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", raising(KeyError("uid")))
    assert run_record._user() == str(os.getuid())


def test_the_options_are_documented_with_their_environment() -> None:
    options = yaml.safe_load(DOCUMENTATION)["options"]
    assert {name: option["env"][0]["name"] for name, option in options.items()} == {
        "record": "RUNBOOK_RECORD", "history_dir": "RUNBOOK_HISTORY_DIR", "reports_dir": "RUNBOOK_REPORTS_DIR", "key_file": "RUNBOOK_LEDGER_KEY_FILE",
        "history_url": "RUNBOOK_HISTORY_URL",
    }  # fmt: skip
    assert (CallbackModule.CALLBACK_NEEDS_ENABLED, CallbackModule.CALLBACK_NAME) == (True, "tradeops.runbook.run_record")
