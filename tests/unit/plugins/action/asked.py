# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an action of the history without a playbook."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from ansible.errors import AnsibleError


def ask(action: type, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
    """The result of the task; one that Ansible would fail for its arguments has ``failed`` and ``msg``."""
    task = MagicMock(args=arguments, check_mode=check_mode, async_val=0, diff=False, action="tradeops.runbook.x", _role=None)
    made = action(task=task, connection=MagicMock(), play_context=MagicMock(), loader=MagicMock(), templar=MagicMock(), shared_loader_obj=None)
    try:
        result: dict[str, Any] = made.run(task_vars={})
    except AnsibleError as error:
        return {"failed": True, "msg": str(error)}
    return result
