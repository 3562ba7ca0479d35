# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``when_session`` of a check: what an inventory says, and what the filter compile_checks made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.errors import InvalidInput

SESSION: dict[str, Any] = {
    "type": "dict",
    "options": {
        "calendar": {"type": "str"},
        "hours": {"type": "str"},
        "timezone": {"type": "str"},
        "in": {"type": "bool", "default": True},
        "after_open": {"type": "str"},
        "before_close": {"type": "str"},
        "skip": {"type": "str"},
    },
    "mutually_exclusive": [["calendar", "hours"]],
    "required_one_of": [["calendar", "hours"]],
    "required_together": [["hours", "timezone"]],
}


def reason_to_skip(check: Mapping[str, Any]) -> str:
    """Why the session of this check says not to judge it now; empty when it does not.

    Hosts know no calendars, so the controller decides. Raises InvalidInput when it did not: to judge always would be an alarm every night.
    """
    session = check.get("when_session")
    if not session:
        return ""
    if session.get("skip") is None:
        raise InvalidInput("when_session: nobody has decided whether the session is open", "pass the checks through the filter compile_checks")
    return str(session["skip"])
