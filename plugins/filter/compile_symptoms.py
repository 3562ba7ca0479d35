# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter compile_symptoms: several descriptions of symptoms as one, every mistake named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core import symptoms
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput


def compile_symptoms(given: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Merged by name, and complete with defaults."""
    try:
        return symptoms.compile_symptoms(given)
    except InvalidInput as error:
        raise AnsibleFilterError(error.advice) from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"compile_symptoms": compile_symptoms}
