# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup tells of this run alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError

from ansible_collections.tradeops.runbook.plugins.lookup.run import LookupModule
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import HISTORY_DIR, JOURNAL, RUN_ID, RUN_PID


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in ((RUN_ID, "r-1"), (JOURNAL, "/h/open/r-1.jsonl"), (HISTORY_DIR, "/h"), (RUN_PID, str(os.getpid()))):
        monkeypatch.setenv(name, value)
    return lambda *terms: LookupModule().run(list(terms), {})


def test_a_recorded_run(look: Any) -> None:
    assert look("id", "journal", "history_dir") == ["r-1", "/h/open/r-1.jsonl", "/h"]


def test_a_worker_of_the_run_knows_it_too(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_PID, str(os.getppid()))
    assert look("id") == ["r-1"]


@pytest.mark.parametrize("pid", ["1", "", "x"])
def test_the_run_of_another_process_is_not_ours(look: Any, monkeypatch: pytest.MonkeyPatch, pid: str) -> None:
    monkeypatch.setenv(RUN_PID, pid)
    assert look("id", "journal", "history_dir") == ["", "", "/h"]


def test_no_run(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (RUN_ID, JOURNAL, HISTORY_DIR, RUN_PID):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert look("id", "journal", "history_dir") == ["", "", str(Path("/state/tradeops"))]


def test_what_it_does_not_know(look: Any) -> None:
    with pytest.raises(AnsibleLookupError, match="knows id, journal and history_dir"):
        look("pid")
