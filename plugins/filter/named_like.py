# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter named_like: the checks or logs whose names fit patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core import symptoms


def named_like(entries: Sequence[Mapping[str, Any]], patterns: Sequence[str]) -> list[dict[str, Any]]:
    """In their own order."""
    try:
        return symptoms.named_like(entries, patterns)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"named_like needs a list of mappings with names, and a list of patterns: {error!r}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"named_like": named_like}
