# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which a run can be cut short, and its record be spoilt."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from record_site import NOTE, VERDICT, Site, children, slow, under_way

NO_SETPRIV = os.geteuid() == 0 and shutil.which("setpriv") is None


@pytest.fixture
def site(playbook: Any) -> Site:
    return Site(playbook)


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


@pytest.mark.skipif(NO_SETPRIV, reason="root reads and writes everything, and setpriv (util-linux) is missing")
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
