# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The heavy tests run playbooks like the integration tests do."""
from __future__ import annotations

from ansible_collections.tradeops.runbook.tests.integration.conftest import playbook  # noqa: F401  # a fixture, found by name
