# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter judge_backups: what a module made of each source, as the verdict of a role."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_sources import judge_sources


def judge_backups(results: Sequence[Mapping[str, Any]], sources: Mapping[str, Mapping[str, Any]], system: str = "", environment: str = "") -> dict[str, Any]:
    """One check for each source: that it went well, and measured times against RTO and RPO."""
    try:
        return {**judge_sources(results, sources, time.time()), "system": system, "environment": environment}
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"judge_backups needs the results of a loop over names of sources: {error!r}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"judge_backups": judge_backups}
