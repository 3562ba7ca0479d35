# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run record under real ansible-playbook: every way a run can end, and every way its record can be spoilt."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

NOTE = {
    "name": "Note",
    "tradeops.runbook.run_note": {"run_id": "{{ lookup('tradeops.runbook.run', 'id') }}", "text": "word of a person", "kind": "reason", "by": "Ada"},
}
CHECK = {
    "name": "disk", "kind": "host", "status": "warning", "severity": "P3", "message": "it is full", "hint": "make room", "measures": {"used": 91.5},
    "units": {"used": "percent"}, "notes": [], "muted": None,
    "limits": [{"measure": "used", "level": "warning", "limit": "> 80 %", "state": "crossed", "severity": "P3", "for_seconds": 0}],
}  # fmt: skip
VERDICT = {
    "name": "Judge",
    "ansible.builtin.set_fact": {"health_result": {"status": "warning", "summary": "1 check: 1 warning", "measured_at": "2026-11-20T02:15:00Z", "checks": [CHECK]}},
}
DEAF = os.geteuid() == 0 and shutil.which("setpriv") is None


class Site:
    """A folder with playbooks and an inventory of local hosts, and the history of its runs."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.folder: Path = runner.home
        self.history: Path = runner.history
        other = self.folder / "other.cfg"
        other.write_text("[defaults]\n", encoding="ascii")
        self.unrecorded = {"ANSIBLE_CONFIG": str(other)}  # the shipped one enables the callback; a user's may not
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbook_environment": "production"}
        away = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_ssh_common_args": "-o ConnectTimeout=1 -o BatchMode=yes"}
        nextrade = {"hosts": {"app": {}, "away": away}, "vars": {"runbook_system": "{{ group_names[0] }}"}}
        self.write("hosts.yml", {"all": {"vars": here, "children": {"nextrade": nextrade}, "hosts": {"localhost": {}}}})

    def write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def play(self, *tasks: dict[str, Any], hosts: str = "app", **more: Any) -> dict[str, Any]:
        return {"name": f"Play on {hosts}", "hosts": hosts, "gather_facts": False, "tasks": list(tasks), **more}

    def run_both(self, first: list[dict[str, Any]], second: Path) -> Any:
        """Two playbooks on one command line."""
        return self.runner(self.write("daily.yml", first), str(second), "--inventory", str(self.folder / "hosts.yml"))

    def run(self, *plays: dict[str, Any], arguments: tuple[str, ...] = (), environment: dict[str, str] | None = None, name: str = "daily.yml") -> Any:
        path = self.write(name, list(plays))
        return self.runner(path, *arguments, inventory=self.folder / "hosts.yml", environment=environment)

    def start(self, *plays: dict[str, Any]) -> subprocess.Popen[str]:
        path = self.write("daily.yml", list(plays))
        command = self.runner.command(path, inventory=self.folder / "hosts.yml")
        return subprocess.Popen(command, env=self.runner.environ(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.history / "history.sqlite") as db:
            found = db.execute(statement).fetchall()
        db.close()
        return found

    def events(self, run_id: str) -> list[dict[str, Any]]:
        lines = (self.history / "sealed" / f"{run_id}.jsonl").read_text("ascii").splitlines()
        return [{"type": event["type"], **json.loads(event["body"])} for event in map(json.loads, lines)]

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text("utf-8")) for path in sorted((self.history / "reports").glob("*.json"))]

    def verify(self, **options: Any) -> dict[str, Any]:
        """The answer of ledger_verify_info, asked by a run that is not recorded itself."""
        show = {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(self.folder / "found.json"), "mode": "0600"}}
        plays = self.play({"tradeops.runbook.ledger_verify_info": options, "register": "found"}, show, hosts="localhost")
        done = self.run(plays, environment=self.unrecorded, name="verify.yml")
        assert done.rc == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads((self.folder / "found.json").read_text("utf-8"))
        return answer


@pytest.fixture
def site(playbook: Any) -> Site:
    return Site(playbook)


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came true")


def under_way(site: Site, marker: Path) -> str:
    """The id of the run under way, once its slow task has begun."""
    wait_for(marker.exists)
    return next((site.history / "open").glob("*.jsonl")).stem


def slow(marker: Path, seconds: int = 60) -> dict[str, Any]:
    code = f"import pathlib, time; pathlib.Path({str(marker)!r}).touch(); time.sleep({seconds})"
    return {"name": "Slow", "ansible.builtin.command": {"argv": [sys.executable, "-c", code]}}


def children(pid: int) -> list[int]:
    """Every descendant of a process."""
    found, parents = [], {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    wanted = [pid]
    for parent in wanted:
        wanted += [child for child, its in parents.items() if its == parent]
        found = wanted[1:]
    return found


@pytest.fixture
def killed(site: Site, tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """A run whose controller was killed in the middle of a task, and what it left running."""
    marker = tmp_path / "slow"
    process = site.start(site.play(NOTE, slow(marker)))
    run_id = under_way(site, marker)
    left = children(process.pid)
    process.kill()
    process.communicate()
    yield run_id, left
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


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
    assert (hosts["away"]["reachable"], hosts["away"]["status"], hosts["app"]["reachable"]) == (False, "critical", True)
    assert report["exit_code"] == 4
    assert any(issue["host"] == "away" and issue["status"] == "critical" for issue in report["issues"])


def test_all_hosts_unreachable_still_gives_a_sealed_run_and_a_report(site: Site) -> None:
    done = site.run(site.play({"ansible.builtin.ping": {}}, hosts="away"), site.play(NOTE, hosts="localhost"))
    assert done.rc == 4
    assert "ledger 1:" in done.stdout
    assert site.reports()[0]["status"] == "critical"


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
    assert site.rows("select playbook, state from runs order by started_at, run_id") in ([("daily", "finished"), ("weekly", "finished")], [("weekly", "finished"), ("daily", "finished")])
    assert sorted(report["playbook"] for report in site.reports()) == ["daily", "weekly"]
    weekly = next(report for report in site.reports() if report["playbook"] == "weekly")
    assert weekly["systems"][0]["hosts"][0]["stats"]["changed"] == 0, "each run has its own share of Ansible's counts"
    assert len(weekly["notes"]) == 1
    assert site.verify()["status"] == "ok"


def test_a_killed_run_is_sealed_by_the_next_one_while_its_worker_still_lives(site: Site, killed: tuple[str, list[int]]) -> None:
    run_id, left = killed
    assert any(Path(f"/proc/{pid}").exists() for pid in left), "a forked worker outlives its controller"
    done = site.run(site.play(NOTE))
    assert done.rc == 0
    assert f"Run {run_id} was killed" in done.stderr + done.stdout
    assert any(Path(f"/proc/{pid}").exists() for pid in left)
    assert site.rows(f"select state, status, exit_code from runs where run_id = '{run_id}'") == [("killed", "unknown", None)]
    assert [event["type"] for event in site.events(run_id)] == ["run_started", "hosts", "step", "run_ended"]
    assert site.verify()["status"] == "ok"


def test_a_torn_last_line_is_told_from_tampering(site: Site, killed: tuple[str, list[int]]) -> None:
    run_id, _left = killed
    journal = site.history / "open" / f"{run_id}.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"seq": 4, "at": "2026-1')
    site.run(site.play(NOTE))
    quarantined = next(event for event in site.events(run_id) if event["type"] == "quarantined")
    assert (quarantined["reason"], quarantined["bytes"], quarantined["text"]) == ("torn", 24, '{"seq": 4, "at": "2026-1')
    assert (site.history / "sealed" / f"{run_id}.quarantine").read_bytes() == b'{"seq": 4, "at": "2026-1'
    assert site.verify()["status"] == "ok"


def test_a_journal_changed_before_it_was_sealed_is_not_blessed(site: Site, killed: tuple[str, list[int]]) -> None:
    run_id, _left = killed
    journal = site.history / "open" / f"{run_id}.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"word of a person", b"word of somebody", 1))
    site.run(site.play(NOTE))
    events = site.events(run_id)
    assert [event["type"] for event in events] == ["run_started", "hosts", "quarantined", "run_ended"]
    assert events[2]["reason"] == "changed"


def test_control_c_is_an_interrupted_run_with_seal_and_report(site: Site, tmp_path: Path) -> None:
    marker = tmp_path / "slow"
    process = site.start(site.play(VERDICT, slow(marker)))
    run_id = under_way(site, marker)
    left = children(process.pid)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    for pid in left:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)
    assert process.returncode == 99, output
    assert site.rows("select run_id, state, exit_code from runs") == [(run_id, "interrupted", None)]
    assert "ledger 1:" in output
    assert site.reports()[0]["state"] == "interrupted"


def test_a_playbook_that_cannot_be_loaded_after_the_first_one_ends_is_no_run(site: Site) -> None:
    broken = site.folder / "broken.yml"
    broken.write_text("- hosts: app\n  roles: [no_such_role]\n", encoding="utf-8")
    done = site.run_both([site.play(NOTE)], broken)
    assert done.rc != 0
    assert site.rows("select playbook, state from runs") == [("daily", "finished")]


def test_an_error_between_plays_is_an_interrupted_run(site: Site) -> None:
    done = site.run(site.play(NOTE), site.play(NOTE, hosts="{{ no_such_variable }}"))
    assert done.rc != 0
    assert site.rows("select state from runs") == [("interrupted",)]


def test_without_the_callback_acting_modules_refuse(site: Site) -> None:
    done = site.run(site.play(NOTE), environment=site.unrecorded)
    assert done.rc == 2
    assert "run_not_recorded" in done.stdout and "callbacks_enabled = tradeops.runbook.run_record" in done.stdout
    assert not site.history.exists()


def test_an_inner_playbook_that_is_not_recorded_does_not_pass_for_the_outer_one(site: Site) -> None:
    inner = site.write("inner.yml", [site.play(NOTE)])
    start = {
        "name": "Start another", "ansible.builtin.command": {"argv": site.runner.command(inner, inventory=site.folder / "hosts.yml")},
        "environment": site.unrecorded, "register": "inner", "failed_when": "inner.rc != 2 or 'run_not_recorded' not in inner.stdout",
    }  # fmt: skip
    done = site.run(site.play(NOTE, start))
    assert done.rc == 0, done.stdout


@pytest.mark.skipif(DEAF, reason="root reads and writes everything, and setpriv (util-linux) is missing")
def test_a_history_that_cannot_be_written_refuses_action_and_reports_elsewhere(site: Site) -> None:
    site.history.mkdir(mode=0o500)
    runner = site.runner
    command = runner.command(site.write("daily.yml", [site.play(VERDICT, NOTE)]), inventory=site.folder / "hosts.yml")
    if os.geteuid() == 0:  # root without the right to ignore modes
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, env=runner.environ(), cwd=site.folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode == 2
    assert said.count("This run is not recorded") == 1
    assert "Tasks that act will refuse" in said and "run_not_recorded" in said
    report = re.search(r"run record: critical · (\S+\.html) · not in the ledger", said)
    assert report and Path(report.group(1)).is_file()
    shutil.rmtree(Path(report.group(1)).parent)
    assert list(site.history.iterdir()) == []


def test_a_missing_key_is_never_made_anew_and_the_run_is_kept_for_later(site: Site) -> None:
    site.run(site.play(NOTE))
    key = site.history / "ledger.key"
    kept = key.rename(site.folder / "kept.key")
    done = site.run(site.play(NOTE))
    assert done.rc == 2
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert "ledger.key is missing, and there are runs sealed with it" in said and "run_not_recorded" in said
    assert not key.exists()
    assert len(list((site.history / "open").iterdir())) == 1
    assert site.verify()["status"] == "unknown"
    kept.rename(key)
    assert site.run(site.play(NOTE)).rc == 0
    assert site.rows("select state, exit_code from runs order by started_at, run_id") == [("finished", 0), ("finished", 2), ("finished", 0)]
    assert site.verify()["status"] == "ok"


def test_a_key_that_others_may_read_is_refused(site: Site) -> None:
    site.run(site.play(NOTE))
    (site.history / "ledger.key").chmod(0o644)
    done = site.run(site.play(NOTE))
    assert done.rc == 2
    assert "chmod 600" in done.stdout + done.stderr


TAMPERING: dict[str, tuple[str, str]] = {
    "a changed body": ("update events set body = replace(body, 'Ada', 'Bob') where type = 'step'", "event_changed"),
    "a removed event": ("delete from events where type = 'step'", "order_changed"),
    "a verdict made better": ("update checks set status = 'ok'", "table_changed"),
    "a run made better": ("update runs set status = 'ok', exit_code = 0", "table_changed"),
    "a run without a seal": ("insert into runs (run_id) values ('20260101T000000Z-00000000')", "not_sealed"),
    "a seal made by hand": ("update seals set sealed_at = '2026-01-01T00:00:00.000Z'", "seal_forged"),
    "the newest run cut off": ("delete from seals", "anchor_missing"),
}


def test_tampering_with_the_database_is_found(site: Site) -> None:
    site.run(site.play(NOTE, VERDICT))
    database = site.history / "history.sqlite"
    pristine = database.read_bytes()
    for name, (statement, kind) in TAMPERING.items():
        database.write_bytes(pristine)
        site.rows(statement)
        found = site.verify()
        assert found["status"] == "critical" and kind in {problem["kind"] for problem in found["problems"]}, name
    database.write_bytes(pristine)
    assert site.verify()["status"] == "ok"


def test_a_ledger_that_was_cut_off_is_found_by_an_anchor_kept_elsewhere(site: Site) -> None:
    site.run(site.play(NOTE))
    before = {path: path.read_bytes() for path in site.history.rglob("*") if path.is_file()}
    done = site.run(site.play(NOTE))
    anchor = re.search(r"ledger (2:[0-9a-f]{16})", done.stdout)
    assert anchor
    for path in site.history.rglob("*"):
        if path.is_file() and path not in before:
            path.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    assert site.verify()["status"] == "ok", "in itself what is left is right"
    found = site.verify(anchors=[anchor.group(1)])
    assert (found["status"], [problem["kind"] for problem in found["problems"]]) == ("critical", ["anchor_missing"])


def test_eight_runs_at_once_make_one_chain(site: Site, tmp_path: Path) -> None:
    barrier = {"name": "Wait for the others", "ansible.builtin.wait_for": {"path": str(tmp_path / "go"), "timeout": 120, "sleep": 1}}
    processes = [site.start(site.play(barrier, VERDICT)) for _number in range(8)]
    wait_for(lambda: len(list((site.history / "open").glob("*.jsonl"))) == 8, 120)
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=180)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert [row[0] for row in site.rows("select seq from seals order by seq")] == list(range(1, 9))
    assert sorted(re.findall(r"ledger (\d):", "".join(outputs))) == [str(number) for number in range(1, 9)]
    found = site.verify()
    assert (found["status"], found["runs"], found["problems"]) == ("ok", 8, [])


def test_the_history_answers_a_later_run(site: Site) -> None:
    for _number in range(5):
        site.run(site.play({**VERDICT, "ansible.builtin.set_fact": {"health_result": {**VERDICT["ansible.builtin.set_fact"]["health_result"], "checks": [{**CHECK, "status": "ok"}]}}}))
    show = {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(site.folder / "found.json"), "mode": "0600"}}
    ask = {
        "tradeops.runbook.run_history_info": {
            "system": "nextrade", "environment": "production", "hosts": ["app", "stranger"], "runs": 3, "now": 1795140960,
            "schedule": [{"playbook": "daily", "rrule": "FREQ=DAILY", "expected_minutes": 5}], "timezone": "America/New_York",
        },
        "register": "found", "run_once": True, "delegate_to": "localhost",
    }  # fmt: skip
    done = site.run(site.play(ask, show, {"name": "Report", "tradeops.runbook.run_report": {"reports_dir": str(site.folder / "again")}}), name="weekly.yml")
    assert done.rc == 0, done.stdout
    found = json.loads((site.folder / "found.json").read_text("utf-8"))
    assert len(found["runs"]) == 3 and found["runs"][0]["playbook"] == "daily"
    assert found["baselines"] == {"app": {"disk": {"used": 91.5}}, "stranger": {}}
    assert len(found["recent"]["app"]["disk"]) == 5
    assert len(list((site.folder / "again").iterdir())) == 2
