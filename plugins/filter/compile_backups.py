# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter compile_backups: sources as an inventory lists them to what the modules of backups take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_sources import compile_sources
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput


_Given = Optional[Mapping[str, Any]]


def compile_backups(  # house: as of compile_sources
    lists: Sequence[Sequence[Mapping[str, Any]]], repository: _Given = None, keep: _Given = None, encryption: _Given = None, copies: Any = ()
) -> dict[str, dict[str, Any]]:
    """Name to source, complete; every mistake is named at once."""
    try:
        return {source["name"]: source for source in compile_sources(lists, repository, keep or {}, encryption, copies)}
    except InvalidInput as error:
        raise AnsibleFilterError(f"{error.message}. {error.hint}".rstrip(". ")) from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"compile_backups": compile_backups}
