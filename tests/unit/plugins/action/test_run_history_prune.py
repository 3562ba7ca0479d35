# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_history_prune: what it refuses, what it plans, and that it only plans."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.action.run_history_prune import DAY, ActionModule
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

from ..plugin_utils.recorded import KEY, run_id, seal, step
from .asked import ask


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    found = Places(folder, folder / "reports", folder / "ledger.key")
    for number in (1, 2):
        seal(found, number, step("changed"))
    found.key.write_text(KEY.hex(), encoding="ascii")
    found.key.chmod(0o600)
    return found


def prune(where: Places, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
    return ask(ActionModule, check_mode, **{"history_dir": str(where.history), "run_id": run_id(9), **arguments})


def test_what_is_young_stays(where: Places) -> None:
    result = prune(where)
    assert {**result, "changed": False, "outcome": "ok", "code": "ok", "hint": "", "plan": [], "performed": [], "freed_bytes": 0, "records": []} == result


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_old_is_planned(where: Places, check_mode: bool) -> None:
    before = where.database.read_bytes()
    result = prune(where, check_mode, now=time.time() + 91 * DAY)
    assert (result["changed"], [step["step"] for step in result["plan"]]) == (True, ["drop_bodies", "remove_journals"])
    assert result["freed_bytes"] > 0 and all(step["reason"] for step in result["plan"])
    assert (result["performed"], len(result["records"])) == (([], 0) if check_mode else (result["plan"], 1))
    assert where.database.read_bytes() == before and len(list(where.sealed.iterdir())) == 2


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a run that is not recorded": ({"run_id": ""}, "refused", "run_not_recorded"),
    "less than a week": ({"body_days": 6}, "refused", "invalid_input"),
    "a chain shorter than its bodies": ({"chain_days": 89}, "refused", "invalid_input"),
    "no key": ({"key_file": "/nonexistent/key"}, "refused", "refused"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused(where: Places, name: str) -> None:
    arguments, outcome, code = REFUSALS[name]
    result = prune(where, **arguments)
    assert {**result, "failed": True, "changed": False, "outcome": outcome, "code": code, "plan": [], "performed": [], "freed_bytes": 0} == result
    assert result["msg"] and result["hint"]


def test_a_changed_history_is_left_as_it_is(where: Places) -> None:
    open_database(where).execute("update runs set status = 'critical'")
    result = prune(where, now=time.time() + 91 * DAY)
    assert (result["failed"], result["outcome"], result["code"]) == (True, "failed", "verify_failed")


def test_no_history_is_nothing_to_do(where: Places) -> None:
    where.database.unlink()
    assert prune(where)["changed"] is False
