# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The heavy tests run playbooks like the integration tests do."""
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRunner, make_runner


@pytest.fixture
def playbook(tmp_path: Path) -> PlaybookRunner:
    """A runner of playbooks whose files stay inside this test's folder."""
    return make_runner(tmp_path)
