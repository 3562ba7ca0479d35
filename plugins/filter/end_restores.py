# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter end_restores: what became of several restores, and of their being taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.sets import conclude


def end_restores(done: Sequence[Mapping[str, Any]], back: Sequence[Mapping[str, Any]], members: Sequence[str]) -> dict[str, Any]:
    """Whether all of them are new, all are old, or neither; and a result for each."""
    try:
        return conclude(done, back, members)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"end_restores needs the results of loops of restore over names of sources: {error!r}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"end_restores": end_restores}
