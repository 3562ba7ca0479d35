# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a clean service, fifty in a whole sweep: not one false alarm, and a ledger that is whole."""
from __future__ import annotations

from collections import Counter
from pathlib import Path

from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING, evidence
from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRunner
from ansible_collections.tradeops.runbook.tests.support.service import OVERLAY, checks_of, newest_report, running_service

RUNS = 50 if EVERYTHING else 1


def test_fifty_runs_on_a_clean_service_raise_no_alarm(playbook: PlaybookRunner, tmp_path: Path) -> None:
    verdicts: Counter[str] = Counter()
    with running_service(tmp_path / "state") as service:
        for _run in range(RUNS):
            run = playbook("daily.yml", *OVERLAY, environment=service.environment)
            found = checks_of(newest_report(run.history))
            bad = {name: check["message"] for name, check in found.items() if check["status"] != "ok"}
            assert (run.rc, bad) == (0, {}), run.stdout[-2000:]
            verdicts.update(check["status"] for check in found.values())
    assert playbook("verify_ledger.yml").rc == 0
    lines = ["# No false alarm", "", f"{RUNS} runs of `daily` on the clean demo service. Made by `make faults`.", ""]
    lines += ["| Verdict | Checks |", "|---|---:|"]
    lines += [f"| {status} | {count} |" for status, count in sorted(verdicts.items())]
    evidence("no-false-alarm.md", lines)
