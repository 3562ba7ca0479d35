# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: `make faults` tries every position of them and keeps the tables, `make test` one or a few."""
from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRunner, make_runner

EVERYTHING = os.environ.get("SWEEP") == "all"


def evidence(name: str, lines: Iterable[str]) -> None:
    """Keep the table of a whole sweep, where RUNBOOK_EVIDENCE_DIR says."""
    folder = os.environ.get("RUNBOOK_EVIDENCE_DIR")
    if folder and EVERYTHING:
        (Path(folder) / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def playbook(tmp_path: Path) -> PlaybookRunner:
    """A runner of playbooks whose files stay inside this test's folder."""
    return make_runner(tmp_path)
