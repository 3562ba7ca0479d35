# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One health check from arguments as a user writes them to its verdict, without a module's process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tradeops.runbook.plugins.module_utils._module.data_kinds import CONNECTION
from ansible_collections.tradeops.runbook.plugins.module_utils._module.health import check_health
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import CHECKS

_SPEC: dict[str, Any] = {
    "connections": {"type": "dict", "options": {"main": CONNECTION}},
    "checks": CHECKS,
    "deadline_seconds": {"type": "float", "default": 60.0},
    "max_parallel": {"type": "int", "default": 1},
}


def checked(
    kind: str, options: Mapping[str, Any], limits: Mapping[str, Any] | None = None, *, connection: Mapping[str, Any] | None = None, check_mode: bool = False
) -> dict[str, Any]:  # house: what makes a check
    """What one check comes to, by its default limits where ``limits`` say nothing. ``connection`` (kind to options) is called main."""
    check = {"name": "it", kind: dict(options), "limits": dict(limits or {})}
    validated = ArgumentSpecValidator(_SPEC).validate({"connections": {"main": dict(connection)} if connection else {}, "checks": [check]})
    if validated.error_messages:
        raise AssertionError(validated.error_messages)
    given = validated.validated_parameters
    found: dict[str, Any] = check_health(given if connection else {**given, "connections": {}}, check_mode)["checks"][0]
    return found


def verdict(kind: str, connection: Mapping[str, Any], limits: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """What a check of ``kind`` on ``connection`` comes to; ``check_mode`` among the options is that of the module."""
    check_mode = bool(options.pop("check_mode", False))
    return checked(kind, {"connection": "main", **options}, limits, connection=connection, check_mode=check_mode)


def states(check: Mapping[str, Any], state: str) -> list[str]:
    """The measures with a limit in ``state``, such as ``crossed``."""
    return sorted({limit["measure"] for limit in check["limits"] if limit["state"] == state})
