# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A last trade that is two hours old is an alarm inside trading hours, and none outside of them."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from faults import PRELUDE
from stack import ROOT, Stack

OVERLAY = yaml.safe_load((ROOT / "molecule/inventory/group_vars/cli_trading.yml").read_text(encoding="utf-8"))
CHECKS = ("last trade in the session", "last trade outside of the session")
AT_ANY_TIME = {"hours": "mon-sun 00:00-23:59", "timezone": "UTC"}


@pytest.mark.skipif(OVERLAY.get("health_checks_sessions") == [], reason="the overlay leaves the checks with sessions out")
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_a_stale_last_trade(inside: bool, tmp_path: Path) -> None:
    stack = Stack("cli_trading", PRELUDE)
    # Now is inside of a session, or outside: everything else of these checks is as the inventory has it.
    sessions = [{"name": name, "when_session": {**AT_ANY_TIME, "in": one}} for name, one in zip(CHECKS, (inside, not inside))]
    stack.shell("sql \"update trades set created_at = created_at - interval '26 hours'\"")
    try:
        run = stack.play(tmp_path, "--extra-vars", json.dumps({"health_checks_sessions_test": sessions}))
    finally:
        stack.shell("sql \"update trades set created_at = created_at + interval '26 hours'\"")
    assert [run.checks[name]["status"] for name in CHECKS] == (["critical", "skipped"] if inside else ["skipped", "ok"])
    assert set(run.bad()) == ({CHECKS[0]} if inside else set()), run.bad()
    assert run.checks[CHECKS[0]]["severity"] == ("P1" if inside else None)
