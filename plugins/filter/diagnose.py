# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter diagnose: from what was measured to findings, worst first, and what to do about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core import diagnosis


def diagnose(
    measured: Mapping[str, Any], case: Mapping[str, Any], logs: Mapping[str, Any] | None = None, recent: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The result of a diagnosis, and how it is ``shown`` to people."""
    try:
        found = diagnosis.diagnose(measured, logs or {}, recent or {}, diagnosis.Case(**case))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"diagnose needs the result of health_check_info and a case: {error!r}") from error
    return {**found, "shown": diagnosis.lines(found)}


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"diagnose": diagnose}
