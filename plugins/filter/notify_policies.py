# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter notify_policies: who is told what goes on on which hosts, from the variables of each host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_VARIABLES = ("channels", "routes", "max_messages", "heartbeat")
UNASSIGNED = "unassigned"


def notify_policies(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> list[dict[str, Any]]:
    """One policy for each system, environment and set of variables, with its hosts.

    A variable of one system that cannot be rendered, such as a secret that is not there, must not keep the others from being told.
    """
    if not isinstance(hostvars, Mapping):
        raise AnsibleFilterError("notify_policies needs hostvars")
    found: list[dict[str, Any]] = []
    for host in hosts:
        policy = _policy(hostvars[host])
        same = next((known for known in found if {**known, "hosts": None} == {**policy, "hosts": None}), None)
        if same is None:
            found.append(same := {**policy, "hosts": []})
        same["hosts"].append(str(host))
    return [policy for policy in found if policy["channels"] or policy["problem"]]


def _policy(variables: Mapping[str, Any]) -> dict[str, Any]:
    problem = ""
    values: dict[str, Any] = {}
    for name in ("runbook_system", "runbook_environment", *(f"notify_{name}" for name in _VARIABLES)):
        try:
            values[name] = _whole(variables.get(name))
        except Exception as error:  # whatever a template may do
            problem = f"{name} cannot be read: {str(error).splitlines()[0][:200]}"
    return {"system": str(values.get("runbook_system") or UNASSIGNED), "environment": str(values.get("runbook_environment") or ""),
            **{name: values.get(f"notify_{name}") or {} for name in _VARIABLES}, "problem": problem}  # fmt: skip


def _whole(value: Any) -> Any:
    """All of it: what is inside is rendered when it is looked at, and text that cannot be has no text."""
    if isinstance(value, Mapping):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    str(value)
    return value


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"notify_policies": notify_policies}
