# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action run_report: the report of a run that is in the history, made anew."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_action import HistoryAction, where_of

LATEST = "latest"


class ActionModule(HistoryAction):
    """Reads the history and writes two files."""

    SPEC: ClassVar[dict[str, Any]] = {"run_id": {"type": "str", "default": LATEST}, "reports_dir": {"type": "path"}}

    def answer(self, options: dict[str, Any]) -> dict[str, Any]:
        """Where the report is."""
        from ansible_collections.tradeops.runbook.plugins.plugin_utils.report import write_report

        where = where_of(options)
        try:
            history = History(where, read_only=True)
        except FileNotFoundError:
            raise InvalidInput(
                f"there is no history in {where.history}", "run a playbook with the callback tradeops.runbook.run_record first"
            ) from None
        with history:
            run_id = (history.latest_run() or "") if options["run_id"] == LATEST else options["run_id"]
            view = history.view(run_id)
            if view is None:
                message = f'the run "{run_id}" is not in the history, or its details were dropped after their time'
                raise InvalidInput(message, "tradeops.runbook.run_history_info lists the runs")
            found = {"html_path": str(where.reports / f"{run_id}.html"), "json_path": str(where.reports / f"{run_id}.json")}
            if not self._task.check_mode:
                found = write_report(view, *history.context(view), str(where.reports))
            return {"changed": True, "run_id": run_id, **found}
