# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules that act share: no effect without a recorded run, and one shape of result."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .._core.errors import Busy, InvalidInput, MissingLibrary, Refused, RunbookError, Unsure
from .runbook_module import RunbookModule, defect

RUN_ID: dict[str, Any] = {"run_id": {"type": "str", "required": True}}
"""Every acting module takes these options; the documentation fragment ``acting`` describes them."""

GOOD = ("ok", "warn")
"""Outcomes with which a step did what it was asked for. A result with another one has a ``msg``."""

_NOTHING_DONE = (Refused, InvalidInput, MissingLibrary)


class RunNotRecorded(Refused):
    """There is no run record that could tell later what was done."""

    code = "run_not_recorded"


def act(module: RunbookModule, work: Callable[[], dict[str, Any]]) -> None:
    """Do ``work`` if the run is recorded, and end the module in the shape of the result contract."""
    try:
        if not module.params["run_id"]:
            raise RunNotRecorded(
                "this run is not recorded, so nothing was done",
                "set callbacks_enabled = tradeops.runbook.run_record in ansible.cfg; if it is set, see its warning at the start of the run",
            )
        os.umask(0o077)  # whatever it writes is nobody else's
        result = work()
    except RunbookError as error:
        module.fail_json(msg=error.message, hint=error.hint, changed=False, plan=[], performed=[], **classify(error))
    except Exception as error:  # the last net; nobody knows what was done before
        module.fail_json(changed=False, outcome="unknown", plan=[], performed=[], **defect(module, error))
    else:
        whole = {"changed": False, "outcome": "ok", "code": "ok", "hint": "", "plan": [], "performed": [], **result}
        if whole["outcome"] in GOOD:
            module.exit_json(**whole)
        else:
            module.fail_json(**whole)


def classify(error: RunbookError) -> dict[str, str]:
    """The outcome and the code of a step that ended with ``error``."""
    outcomes = ((_NOTHING_DONE, "refused"), (Busy, "busy"), (Unsure, "unknown"))
    return {"outcome": next((outcome for kind, outcome in outcomes if isinstance(error, kind)), "failed"), "code": error.code}
