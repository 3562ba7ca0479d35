# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter judge_checks: final verdicts, and whose they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.filter.judge_checks import FilterModule, judge_checks

LIMIT = {"measure": "latency", "level": "critical", "limit": "> 5 s", "severity": "P1", "for_seconds": 600.0, "state": "crossed"}
CHECK = {"name": "api", "kind": "http", "status": "critical", "severity": "P1", "message": "m", "hint": "", "notes": [], "measures": {"latency": 9.0},
         "units": {"latency": "s"}, "limits": [LIMIT], "muted": None, "for_seconds": 0.0}  # fmt: skip
RESULT: dict[str, Any] = {"changed": False, "measured_at": "2026-11-20T02:15:00Z", "status": "critical", "summary": "", "checks": [CHECK], "failed": False}
WELL = {"api": [{"at": "2026-11-20T02:10:00Z", "status": "ok", "crossed": []}]}
BAD = {"api": [{"at": "2026-11-20T02:04:00Z", "status": "warning", "crossed": ["latency:critical"]},
               {"at": "2026-11-20T02:10:00Z", "status": "warning", "crossed": ["latency:critical"]}]}  # fmt: skip


def test_it_is_registered() -> None:
    assert FilterModule().filters() == {"judge_checks": judge_checks}


@pytest.mark.parametrize(("recent", "status", "severity"), [(None, "critical", "P1"), ({}, "critical", "P1"), (BAD, "critical", "P1"), (WELL, "warning", "P4")])
def test_verdicts(recent: Any, status: str, severity: str) -> None:
    before = copy.deepcopy((RESULT, recent))
    judged = judge_checks(RESULT, recent, "nextrade", "production")
    assert (RESULT, recent) == before
    assert (judged["status"], judged["checks"][0]["status"], judged["checks"][0]["severity"]) == (status, status, severity)
    assert (judged["system"], judged["environment"], judged["measured_at"]) == ("nextrade", "production", RESULT["measured_at"])
    assert judged["summary"] == f"1 check: 1 {status}"
    assert judged["attention"] == [f"{status} {severity} api: {judged['checks'][0]['message']}"]


def test_without_a_system() -> None:
    judged = judge_checks({**RESULT, "checks": []})
    assert (judged["system"], judged["environment"], judged["status"], judged["attention"]) == ("", "", "skipped", [])


@pytest.mark.parametrize("result", [{}, {"msg": "failed"}, {**RESULT, "measured_at": "soon"}, {**RESULT, "checks": [{}]}])
def test_what_is_no_result(result: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="needs the result of a health module"):
        judge_checks(result)
