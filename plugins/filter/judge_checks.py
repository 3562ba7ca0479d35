# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter judge_checks: what was measured, held against what earlier runs saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.checks import judge
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput


def judge_checks(  # house: the options of a filter are its parameters
    result: Mapping[str, Any],
    recent: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    system: str = "",
    environment: str = "",
    schedule: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """``result`` of health_check_info with ``for`` applied, how the schedule was kept, and whose it is."""
    try:
        return {**judge(result, recent or {}, schedule), "system": system, "environment": environment}
    except (InvalidInput, KeyError) as error:
        raise AnsibleFilterError(f"judge_checks needs the result of a health module: {error}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"judge_checks": judge_checks}
