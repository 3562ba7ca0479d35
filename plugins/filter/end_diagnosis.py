# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter end_diagnosis: whether it helped to do what was proposed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core import diagnosis


def end_diagnosis(before: Mapping[str, Any], after: Mapping[str, Any], act: Mapping[str, Any], failed: str = "") -> dict[str, Any]:
    """The result of the diagnosis with the second look at the checks, and ``acted``."""
    try:
        return diagnosis.conclude(before, after, act, failed)
    except (KeyError, TypeError, StopIteration) as error:
        raise AnsibleFilterError(f"end_diagnosis needs the result of diagnose, one of health_check_info, and a proposal: {error!r}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"end_diagnosis": end_diagnosis}
