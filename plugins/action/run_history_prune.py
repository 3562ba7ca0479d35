# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action run_history_prune: plans what the run drops from the history when it is sealed."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, MissingLibrary, Refused, RunbookError
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_action import HistoryAction, where_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import read_key
from ansible_collections.tradeops.runbook.plugins.plugin_utils.retention_plan import Limits, Plan

DAY = 86400.0
SHORTEST_DAYS = 7
"""Whoever looks into last week must find it."""

_NOTHING: dict[str, Any] = {"changed": False, "plan": [], "performed": [], "freed_bytes": 0, "records": []}


class ActionModule(HistoryAction):
    """Only plans: the callback records the plan, and the transaction that seals this run carries it out."""

    SPEC: ClassVar[dict[str, Any]] = {
        "run_id": {"type": "str", "required": True},
        "body_days": {"type": "int", "default": 90},
        "chain_days": {"type": "int", "default": 2557},
        "now": {"type": "float"},
        "key_file": {"type": "path", "no_log": False},
    }

    def answer(self, options: dict[str, Any]) -> dict[str, Any]:
        """The result, in the shape of all modules that act."""
        try:
            plan = _plan(options)
        except RunbookError as error:
            outcome = "refused" if isinstance(error, (Refused, InvalidInput, MissingLibrary)) else "busy" if isinstance(error, Busy) else "failed"
            return {**_NOTHING, "failed": True, "msg": error.message, "outcome": outcome, "code": error.code, "hint": error.hint}
        result = {"changed": bool(plan.steps), "outcome": "ok", "code": "ok", "hint": "", "plan": plan.steps, "freed_bytes": plan.freed_bytes}
        if self._task.check_mode:
            return {**_NOTHING, **result}
        return {**result, "performed": plan.steps, "records": [record.body() for record in plan.records]}


class _NotRecorded(Refused):
    code = "run_not_recorded"


def _plan(options: dict[str, Any]) -> Plan:
    if not options["run_id"]:
        hint = "set callbacks_enabled = tradeops.runbook.run_record in ansible.cfg; if it is set, see its warning at the start of the run"
        raise _NotRecorded("this run is not recorded, so nothing was done", hint)
    bodies, chain = options["body_days"], options["chain_days"]
    if bodies < SHORTEST_DAYS or chain < bodies:
        raise InvalidInput(f"body_days is {bodies} and chain_days {chain}", f"keep bodies {SHORTEST_DAYS} days or longer, and the chain as long")
    where, now = where_of(options), time.time() if options["now"] is None else options["now"]
    key = read_key(where.key)
    if key is None:
        raise Refused(f"the ledger's key {where.key} is missing", "nothing is dropped that cannot be verified first; bring the key back")
    try:
        with History(where, read_only=True) as history:
            return history.plan_prune(key, Limits(now - bodies * DAY, now - chain * DAY))
    except FileNotFoundError:
        return Plan()
