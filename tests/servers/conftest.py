# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of real servers share."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server, programs


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server. Files whose server is another one have a fixture of their own."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    with Server() as found:
        yield found
