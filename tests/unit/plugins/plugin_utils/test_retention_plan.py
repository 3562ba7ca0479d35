# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan takes, and where it stops."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils import retention_plan
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.retention_plan import Limits

from .recorded import KEY, seal, step


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    found = Places(folder, folder / "reports", folder / "ledger.key")
    for number in range(1, 6):
        seal(found, number, step("changed"))
    return found


def test_one_plan_takes_only_so_much(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_plan, "MOST", 3)
    with History(where, read_only=True) as history:
        found = history.plan_prune(KEY, Limits(time.time() + 1, 0))
    assert (found.steps[0]["last"], found.steps[0]["runs"]) == (3, 3)
    assert found.freed_bytes == sum(step["bytes"] for step in found.steps) > 0


def test_a_long_plan_is_recorded_in_parts(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_plan, "_GROUP", 1)
    monkeypatch.setattr(retention_plan, "_GROUPS_IN_RECORD", 2)
    with History(where, read_only=True) as history:
        found = history.plan_prune(KEY, Limits(time.time() + 1, 0))
    assert [[group.first for group in record.groups] for record in found.records] == [[1, 2], [3, 4], [5]]


def test_nothing_old_is_no_plan(where: Places) -> None:
    with History(where, read_only=True) as history:
        found = history.plan_prune(KEY, Limits(time.time() - 60, 0))
    assert (found.records, found.steps, found.freed_bytes) == ([], [], 0)
