# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions that read the history share: they run on the controller, where it is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, places


_WHERE: dict[str, Any] = {"history_dir": {"type": "path"}, "history_url": {"type": "str", "no_log": True}}


def where_of(options: dict[str, Any]) -> Places:
    """The history that the options of an action name."""
    return places(options["history_dir"], options.get("reports_dir"), options.get("key_file"), options["history_url"])


class HistoryAction(ActionBase):
    """Validates arguments, asks ``answer`` and turns errors into a result with a code and a hint."""

    SPEC: ClassVar[dict[str, Any]] = {}
    _requires_connection = False
    _supports_check_mode = True

    @abstractmethod
    def answer(self, options: dict[str, Any]) -> dict[str, Any]:
        """The result for validated options."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec({**_WHERE, **self.SPEC})
        try:
            return {**result, **self.answer(options)}
        except RunbookError as error:
            return {**result, "failed": True, "msg": error.message, "code": error.code, "hint": error.hint}
        except OSError as error:
            hint = "see tradeops.runbook.ledger_verify_info, the owner of the history and the free space"
            return {**result, "failed": True, "msg": f"the history cannot be read: {error}", "code": "history_unreadable", "hint": hint}
