# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter needed_libraries: the Python libraries a host needs for its checks and its backups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core import checks
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput


_Lists = Sequence[Sequence[Mapping[str, Any]]]


def needed_libraries(  # house: the options of a filter are its parameters
    lists: _Lists, backup_lists: _Lists = (), repositories: Sequence[Any] = (), connections: Mapping[str, Any] | None = None
) -> list[str]:
    """Names of libraries, sorted."""
    try:
        return sorted({*checks.needed_libraries(checks.merge(lists), connections or {}), *checks.libraries_of_backups(backup_lists, repositories)})
    except InvalidInput as error:
        raise AnsibleFilterError(error.message) from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"needed_libraries": needed_libraries}
