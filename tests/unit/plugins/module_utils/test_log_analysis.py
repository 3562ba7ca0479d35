# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reviews of logs: how long each may take, and what it means that one took too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import log
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._time_left import TimeLeft
from ansible_collections.tradeops.runbook.plugins.module_utils._module.log_analysis import review_logs

OPTIONS: dict[str, Any] = {
    "files": ["/var/log/app.log"], "format": "python", "timezone": "UTC", "window": "1 d", "patterns": {}, "extract": {}, "benign": [], "leaks": True,
    "top": 20, "samples": 3, "context": 0, "timeout_seconds": 30.0,
}  # fmt: skip


def reviewed(names: tuple[str, ...] = ("app",), **given: Any) -> dict[str, Any]:
    logs = [{"name": name, "severity": "P2", "limits": {}, "notes": [], "baselines": {}, "log": OPTIONS} for name in names]
    return review_logs({"logs": logs, "bookmarks": {}, "incremental": False, "window": None, "processes": 1, "deadline_seconds": 300.0, **given})


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds each log was given; reading it takes longer."""
    given: list[float] = []

    def analyse(options: dict[str, Any], probe: Probe, _resume: Any) -> Any:
        left = TimeLeft(probe, options["timeout_seconds"], "reading it", "give it more time")
        given.append(round(left.remaining(), 0))
        raise left.passed()

    monkeypatch.setattr(log, "analyse", analyse)
    yield given


def test_a_log_has_its_own_time(patience: list[float]) -> None:
    reviewed()
    assert patience == [30.0]


def test_a_log_has_all_the_time_there_is_for_a_window_that_is_not_its_own(patience: list[float]) -> None:
    reviewed(("app", "more"), window="31 d", deadline_seconds=3600.0)
    assert patience == [3600.0, 3600.0]


@pytest.mark.parametrize("given", [{}, {"window": "31 d"}])
def test_a_review_that_was_too_slow_says_nothing_about_the_log(patience: list[float], given: dict[str, Any]) -> None:
    found = reviewed(**given)
    assert (found["status"], found["checks"][0]["code"]) == ("unknown", "deadline_passed")
    assert "reading it" in found["checks"][0]["message"] and found["bookmarks"] == {}


def test_a_log_that_cannot_be_reached_is_critical(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: Any) -> Any:
        raise Unreachable("the engine refused")

    monkeypatch.setattr(log, "analyse", refused)
    assert reviewed()["status"] == "critical"
