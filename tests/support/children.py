# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes that can import the collection: a test runner's import hooks do not reach them."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def environment(**more: str) -> dict[str, str]:
    """What the test has, its import path, and ``more``."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[5]), *sys.path]), **more}
