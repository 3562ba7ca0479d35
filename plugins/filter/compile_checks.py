# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter compile_checks: lists of checks from an inventory to the one list the module takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.checks import complete, merge
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError
from ansible_collections.tradeops.runbook.plugins.plugin_utils.sessions import in_session


def compile_checks(
    lists: Sequence[Sequence[Mapping[str, Any]]], baselines: Mapping[str, Mapping[str, float]] | None = None, now: float | None = None
) -> list[dict[str, Any]]:
    """Merged and completed checks, and whether their trading sessions are open; every mistake of every check is named at once."""
    try:
        checks = merge(lists)
    except InvalidInput as error:
        raise AnsibleFilterError(f"{error.message}. {error.hint}".rstrip(". ")) from error
    moment = time.time() if now is None else now
    compiled, errors = [], []
    for index, check in enumerate(checks):
        try:
            _check_reads(check)
            compiled.append(in_session(complete(check, (baselines or {}).get(check["name"]) or {}, moment), moment))
        except RunbookError as error:
            errors.append(f"checks[{index}] ({check['name']}) {error.message}{f' ({error.hint})' if error.hint else ''}")
    if errors:
        raise AnsibleFilterError("; ".join(errors))
    return compiled


def _check_reads(check: Mapping[str, Any]) -> None:
    """JMESPath expressions are compiled here, where the library is sure to be, so that a typo shows before a host is contacted."""
    http = check.get("http")
    readings = http.get("read") if isinstance(http, Mapping) else None
    if not isinstance(readings, Mapping):
        return
    try:
        import jmespath
    except ImportError:
        raise InvalidInput("the Python library jmespath is needed on the controller", "pip install jmespath") from None
    for name, reading in readings.items():
        expression = reading.get("path") if isinstance(reading, Mapping) else reading
        try:
            jmespath.compile(str(expression))
        except jmespath.exceptions.JMESPathError as error:
            raise InvalidInput(f"http: read: {name}: {error}") from None


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"compile_checks": compile_checks}
