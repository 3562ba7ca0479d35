# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter choose_set: the backups of one run that are restored together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.sets import choose


def choose_set(results: Sequence[Mapping[str, Any]], wanted: str = "latest_restored") -> dict[str, Any]:
    """The newest run of which every member has a good backup, and which that is."""
    try:
        return choose({result["item"]: result["artifacts"] for result in results}, wanted)
    except RunbookError as error:
        raise AnsibleFilterError(error.advice) from error
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"choose_set needs the results of a loop of backup_info over names of sources: {error!r}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"choose_set": choose_set}
