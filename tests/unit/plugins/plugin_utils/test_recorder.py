# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run from begin to finish, and what happens when its record cannot be kept."""

from __future__ import annotations

import json
import os
import re
import syslog
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Refused
from ansible_collections.tradeops.runbook.plugins.plugin_utils import journal as journal_module
from ansible_collections.tradeops.runbook.plugins.plugin_utils import recorder as recorder_module
from ansible_collections.tradeops.runbook.plugins.plugin_utils import report
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import JournalFile
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import HISTORY_DIR, HISTORY_URL, JOURNAL, KEY_FILE, RUN_ID, RUN_PID, Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.recorder import Ending, Recorder, forget_run, new_run_id, not_recorded

from .recorded import check, checks, hosts, lay_down, raising, run_id, started

FACTS = dict(started()[1])


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    return Places(folder, folder / "reports", folder / "ledger.key")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The environment comes back as it was, nothing reaches the system log, temporary folders stay inside the test."""
    for name in (RUN_ID, RUN_PID, JOURNAL, HISTORY_DIR):
        monkeypatch.setenv(name, "before")
    for name in (KEY_FILE, HISTORY_URL):
        monkeypatch.setenv(name, "")
    logged: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: logged.append(text))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield logged
    for made in list(journal_module._mine.values()):
        made.close()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def recorder(where: Places, said: list[str]) -> Recorder:
    return Recorder(where, said.append)


def record_some(recorder: Recorder) -> None:
    recorder.record(*hosts(app="nextrade/production"))
    recorder.record(*checks(check("disk", "warning")))


def test_a_run_is_published_recorded_sealed_and_reported(recorder: Recorder, where: Places, said: list[str], environment: list[str]) -> None:
    recorder.begin(FACTS)
    assert (os.environ[RUN_ID], os.environ[RUN_PID], os.environ[HISTORY_DIR]) == (recorder.run_id, str(os.getpid()), str(where.history))
    assert os.environ[JOURNAL] == str(where.open / f"{recorder.run_id}.jsonl")
    record_some(recorder)
    ending = recorder.finish("finished", {"app": {"ok": 1}}, 0)
    assert said == []
    assert os.environ[RUN_ID] == os.environ[JOURNAL] == ""
    assert ending.anchor
    assert ending.line() == f"run record: warning · {where.reports}/{recorder.run_id}.html · ledger 1:{ending.anchor['mac'][:16]}"
    assert environment == [f"ledger 1:{ending.anchor['mac']} run {recorder.run_id}"]
    written = json.loads((where.reports / f"{recorder.run_id}.json").read_text("utf-8"))
    assert (written["anchor"], written["exit_code"], written["playbook"]) == (ending.anchor, 0, "daily")
    with History(where, read_only=True) as history:
        assert history.verify(history.ledger_key(), [(1, ending.anchor["mac"])]) == []


def test_the_report_knows_the_runs_before(recorder: Recorder, where: Places, said: list[str]) -> None:
    first = Recorder(where, said.append)
    for one in (first, recorder):
        one.begin(FACTS)
        record_some(one)
        one.finish("finished", {}, 0)
    written = json.loads((where.reports / f"{recorder.run_id}.json").read_text("utf-8"))
    assert written["changes_since"]["run_id"] == first.run_id


def test_a_killed_run_is_taken_in_said_and_reported(recorder: Recorder, where: Places, said: list[str]) -> None:
    lay_down(where, run_id(7), [started()])
    lay_down(where, run_id(8), [started(), ("hosts", {"hosts": 5})])
    recorder.begin(FACTS)
    report_path = where.reports / f"{run_id(7)}.html"
    assert said[0] == f"Run {run_id(7)} was killed or could not be sealed at its end. See what it had begun: {report_path}"
    assert report_path.is_file()
    assert said[1].startswith(f"A journal in {where.open} cannot be taken into the history: {run_id(8)}.jsonl: ")
    assert len(said) == 2
    assert os.environ[RUN_ID], "that is no reason to refuse anything"


def assert_refuses(said: list[str]) -> None:
    assert os.environ[RUN_ID] == os.environ[JOURNAL] == ""
    assert len(said) == 1
    assert said[0].startswith("This run is not recorded: ") and "Tasks that act will refuse. What to do: " in said[0]


def test_a_folder_that_is_none(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("x", encoding="ascii")
    where = Places(tmp_path / "file" / "history", tmp_path / "file" / "reports", tmp_path / "key")
    recorder = Recorder(where, said.append)
    recorder.begin(FACTS)
    assert_refuses(said)
    record_some(recorder)
    ending = recorder.finish("finished", {}, 0)
    assert (ending.anchor, ending.status, Path(ending.report).is_file()) == (None, "warning", True)
    assert ending.line().endswith("· not in the ledger")
    assert [text[:40] for text in said[1:]] == [f"{tmp_path}/file/reports cannot be written"[:40]]
    written = json.loads(Path(ending.report).with_suffix(".json").read_text("utf-8"))
    assert (written["playbook"], written["anchor"]) == ("daily", None), "the whole run is in the report"


def test_a_disk_that_fills_up_and_is_freed_gets_the_whole_record(
    recorder: Recorder, where: Places, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.begin(FACTS)
    with monkeypatch.context() as patch:
        patch.setattr(JournalFile, "append", raising(OSError(28, "No space left on device")))
        record_some(recorder)
    assert_refuses(said)
    assert "No space left on device" in said[0]
    assert recorder.finish("finished", {}, 0).anchor
    with History(where, read_only=True) as history:
        view = history.view(recorder.run_id)
        assert view and view["status"] == "warning"
        assert history.counts()["events"] == 4
    assert os.environ[RUN_ID] == "", "what was refused stays refused"


def test_a_disk_that_stays_full_still_gives_a_report(recorder: Recorder, where: Places, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.begin(FACTS)
    monkeypatch.setattr(JournalFile, "append", raising(OSError(28, "No space left on device")))
    record_some(recorder)
    ending = recorder.finish("finished", {}, 2)
    assert_refuses(said)
    assert (ending.status, ending.anchor, Path(ending.report).is_file()) == ("warning", None, True)
    assert len(list(where.open.iterdir())) == 1, "what could be written waits for the next run"


def test_a_missing_key_does_not_cost_the_journal(recorder: Recorder, where: Places, said: list[str]) -> None:
    first = Recorder(where, said.append)
    first.begin(FACTS)
    first.finish("finished", {}, 0)
    kept = where.key.rename(where.history / "kept.key")
    recorder.begin(FACTS)
    assert_refuses(said)
    assert "bring it back from the backup" in said[0]
    record_some(recorder)
    assert recorder.finish("finished", {}, 0).anchor is None
    kept.rename(where.key)
    with History(where) as history:
        assert history.adopt(history.ledger_key()) == ([recorder.run_id], [])
        assert [run["state"] for run in history.runs()] == ["finished", "finished"]


def test_a_report_that_fails_is_said_and_hides_nothing(recorder: Recorder, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "write_report", raising(RuntimeError("a defect")))
    recorder.begin(FACTS)
    ending = recorder.finish("finished", {}, 0)
    assert ending.anchor and ending.report == ""
    assert said == ["The report could not be written: RuntimeError: a defect. Make it later with tradeops.runbook.run_report."]


def test_a_seal_that_fails_leaves_the_journal_for_the_next_run(
    recorder: Recorder, where: Places, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.begin(FACTS)
    with monkeypatch.context() as patch:
        patch.setattr(recorder_module.History, "seal_run", raising(RuntimeError("a defect")))
        assert recorder.finish("finished", {}, 0).anchor is None
    assert_refuses(said)
    with History(where) as history:
        assert history.adopt(history.ledger_key())[0] == [recorder.run_id]


def test_a_system_without_a_log_is_no_problem(recorder: Recorder, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "openlog", raising(OSError("no log")))
    recorder.begin(FACTS)
    assert recorder.finish("finished", {}, 0).anchor
    assert said == []


def test_run_ids_sort_by_time_and_differ() -> None:
    ids = [new_run_id() for _number in range(100)]
    assert len(set(ids)) == 100
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", one) for one in ids)


@pytest.mark.parametrize(
    ("error", "words", "advice"),
    [
        (OSError(28, "No space left on device"), "No space left on device", "RUNBOOK_HISTORY_DIR"),
        (PermissionError(13, "Permission denied", "/h"), "Permission denied: /h", "RUNBOOK_HISTORY_DIR"),
        (Refused("the key is missing", "bring it back"), "the key is missing", "bring it back"),
        (KeyError("x"), "KeyError: 'x'", "report it"),
    ],
)
def test_what_to_do_fits_what_went_wrong(error: Exception, words: str, advice: str) -> None:
    text = not_recorded(error)
    assert text.startswith(f"This run is not recorded: {words}. Tasks that act will refuse. What to do: ") and advice in text


def test_no_run_is_an_empty_id() -> None:
    forget_run()
    assert (os.environ[RUN_ID], os.environ[RUN_PID], os.environ[JOURNAL]) == ("", "", "")


def test_an_ending_without_anything() -> None:
    assert Ending("unknown", "", None).line() == "run record: unknown · no report · not in the ledger"
