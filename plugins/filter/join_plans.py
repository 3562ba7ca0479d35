# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter join_plans: the plans of several restores as one that is confirmed at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.sets import summarize_plans


def join_plans(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One confirmation, and what people should know before they give it."""
    try:
        return summarize_plans(results)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"join_plans needs the results of a loop of restore in check mode: {error!r}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"join_plans": join_plans}
