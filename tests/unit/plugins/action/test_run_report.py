# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_report: the report of a run in the history, made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.action.run_report import ActionModule
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

from ..plugin_utils.recorded import START, check, checks, hosts, run_id, seal
from .asked import ask


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    found = Places(folder, folder / "reports", folder / "ledger.key")
    for number in (1, 2):
        seal(found, number, hosts(app="nextrade/production"), checks(check("api")), at=START + number)
    return found


def test_the_newest_run_against_the_one_before(where: Places) -> None:
    result = ask(ActionModule, history_dir=str(where.history))
    assert (result["changed"], result["run_id"], result["json_path"]) == (True, run_id(2), str(where.reports / f"{run_id(2)}.json"))
    written = json.loads(Path(result["json_path"]).read_text("utf-8"))
    assert (written["anchor"]["seq"], written["changes_since"]["run_id"]) == (2, run_id(1))
    assert "<html" in Path(result["html_path"]).read_text("utf-8")


def test_a_run_without_results_is_not_what_latest_means(where: Places) -> None:
    seal(where, 3, at=START + 3)
    assert ask(ActionModule, history_dir=str(where.history))["run_id"] == run_id(2)


def test_a_run_without_results_is_better_than_none(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    seal(Places(folder, folder / "reports", folder / "ledger.key"), 3)
    assert ask(ActionModule, history_dir=str(folder))["run_id"] == run_id(3)


def test_a_certain_run_elsewhere(where: Places, tmp_path: Path) -> None:
    result = ask(ActionModule, history_dir=str(where.history), run_id=run_id(1), reports_dir=str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{run_id(1)}.html", f"{run_id(1)}.json"]
    assert result["run_id"] == run_id(1)


def test_check_mode_only_tells(where: Places) -> None:
    result = ask(ActionModule, check_mode=True, history_dir=str(where.history))
    assert (result["changed"], result["html_path"]) == (True, str(where.reports / f"{run_id(2)}.html"))
    assert not where.reports.exists()


def test_what_is_not_there(where: Places, tmp_path: Path) -> None:
    for arguments in ({"history_dir": str(where.history), "run_id": run_id(9)}, {"history_dir": str(tmp_path / "none")}):
        result = ask(ActionModule, **arguments)
        assert (result["failed"], result["code"], bool(result["hint"])) == (True, "invalid_input", True)
    assert not (tmp_path / "none").exists()
