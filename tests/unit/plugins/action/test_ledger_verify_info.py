# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ledger_verify_info: its verdict, and where it finds anchors."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.action.ledger_verify_info import ActionModule
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

from ..plugin_utils.recorded import KEY, run_id, seal
from .asked import ask


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    found = Places(folder, folder / "reports", folder / "ledger.key")
    found.reports.mkdir(parents=True)
    found.key.write_text(KEY.hex(), encoding="ascii")
    found.key.chmod(0o600)
    return found


def verify(where: Places, **arguments: Any) -> dict[str, Any]:
    return ask(ActionModule, history_dir=str(where.history), **arguments)


def kinds(result: dict[str, Any]) -> list[str]:
    return [problem["kind"] for problem in result["problems"]]


def publish(where: Places, number: int, anchor: Any) -> None:
    (where.reports / f"{run_id(number)}.json").write_text(json.dumps({"anchor": anchor}), encoding="ascii")


def test_a_sound_history(where: Places) -> None:
    for number in (1, 2):
        publish(where, number, seal(where, number))
    publish(where, 3, None)
    result = verify(where, anchors=[f"1:{seal(where, 1)['mac']}"])
    assert {key: result[key] for key in ("changed", "status", "problems", "runs", "events", "anchors")} == {
        "changed": False, "status": "ok", "problems": [], "runs": 2, "events": 4, "anchors": 3,
    }  # fmt: skip
    assert result["summary"] == "2 runs, 4 events and 3 anchors verified: nothing was changed"
    assert result["checks"][0]["measures"] == {"runs": 2, "events": 4, "anchors": 3, "problems": 0}


def test_an_empty_history_proves_nothing(where: Places) -> None:
    for _attempt in ("without a database", "with an empty one"):
        result = verify(where)
        assert (result["status"], result["runs"], result["problems"]) == ("unknown", 0, [])
        assert result["summary"] == f"nothing was verified: there is no sealed run in {where.history}"
        assert "RUNBOOK_HISTORY_DIR" in result["checks"][0]["hint"]
        History(where).close()


def test_no_history_is_critical_when_an_anchor_speaks_of_one(where: Places) -> None:
    shutil.rmtree(where.history)
    assert verify(where)["status"] == "unknown"
    result = verify(where, anchors=["3:0123456789abcdef"])
    assert (result["status"], kinds(result)) == ("critical", ["history_missing"])
    assert not where.history.exists()


def test_an_anchor_in_a_report_shows_what_was_cut_off(where: Places) -> None:
    seal(where, 1)
    shutil.copytree(where.history, where.history.parent / "copy")
    publish(where, 2, seal(where, 2))
    for name in ("history.sqlite", "sealed"):
        target, source = where.history / name, where.history.parent / "copy" / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    result = verify(where)
    assert (result["status"], kinds(result)) == ("critical", ["anchor_missing"])
    check = result["checks"][0]
    assert (check["status"], check["severity"]) == ("critical", "P2") and "seal 2" in check["message"] and check["hint"]


def test_tampering_is_critical_and_every_problem_is_told(where: Places) -> None:
    seal(where, 1)
    with sqlite3.connect(where.database) as db:
        db.execute("update runs set status = 'critical'")
        db.execute("update events set body = '{}' where seq = 1")
    db.close()
    result = verify(where)
    assert result["status"] == "critical"
    assert result["summary"] == f"1 run, 2 events and 0 anchors verified: {len(result['problems'])} problems"
    assert {"event_changed", "table_changed", "journal_changed"} <= set(kinds(result))
    assert result["checks"][0]["message"].endswith(f"and {len(result['problems']) - 1} more")


def test_a_missing_key_is_unknown(where: Places) -> None:
    seal(where, 1)
    where.key.unlink()
    result = verify(where)
    assert (result["status"], result["checks"][0]["severity"]) == ("unknown", "P2")
    assert "ledger.key is missing" in result["checks"][0]["message"]


def test_a_key_and_reports_elsewhere(where: Places, tmp_path: Path) -> None:
    anchor = seal(where, 1)
    shutil.move(where.key, tmp_path / "kept.key")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / f"{run_id(1)}.json").write_text(json.dumps({"anchor": anchor}), encoding="ascii")
    result = verify(where, key_file=str(tmp_path / "kept.key"), reports_dir=str(tmp_path / "reports"))
    assert (result["status"], result["anchors"]) == ("ok", 1)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"anchor": {"seq": 1}}', '{"anchor": 5}'])
def test_a_report_that_cannot_be_read_is_a_warning(where: Places, content: str) -> None:
    seal(where, 1)
    (where.reports / f"{run_id(1)}.json").write_text(content, encoding="ascii")
    result = verify(where)
    assert (result["status"], kinds(result)) == ("warning", ["report_unreadable"])


def test_an_anchor_that_is_none_is_an_error(where: Places) -> None:
    result = verify(where, anchors=["12"])
    assert (result["failed"], result["code"]) == (True, "invalid_input")


def test_its_check_has_the_shape_of_all_checks(where: Places) -> None:
    check = verify(where)["checks"][0]
    assert check["status"] in STATUSES
    assert {
        "name",
        "kind",
        "status",
        "severity",
        "message",
        "hint",
        "measures",
        "units",
        "limits",
        "notes",
        "muted",
        "attempts",
        "duration_seconds",
    } == set(check)
