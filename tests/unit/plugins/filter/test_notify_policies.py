# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter notify_policies: each system has its own people, and a secret that is missing silences nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ansible.errors import AnsibleError, AnsibleFilterError
from jinja2 import UndefinedError

from ansible_collections.tradeops.runbook.plugins.filter.notify_policies import notify_policies


class Lazy(Mapping[str, Any]):
    """The variables of a host, which are rendered when they are read."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        if isinstance(self._values[name], Exception):
            raise self._values[name]
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


CHAT = {"chat": {"slack": {"webhook_url": "https://a"}}}
SHOP = {"runbook_system": "shop", "runbook_environment": "test", "notify_channels": CHAT, "notify_routes": {"P1": {"channels": ["chat"]}}}


def test_hosts_with_the_same_are_together_and_those_without_channels_are_left_out() -> None:
    variables = {"a": Lazy(SHOP), "b": Lazy(SHOP), "c": Lazy({**SHOP, "runbook_environment": "production"}), "localhost": Lazy({})}
    found = notify_policies(variables, list(variables))
    assert [(policy["environment"], policy["hosts"]) for policy in found] == [("test", ["a", "b"]), ("production", ["c"])]
    assert found[0] == {"system": "shop", "environment": "test", "channels": CHAT, "routes": SHOP["notify_routes"], "max_messages": {}, "heartbeat": {},
                        "problem": "", "hosts": ["a", "b"]}  # fmt: skip


def test_what_cannot_be_rendered_is_a_problem_of_that_host_alone() -> None:
    broken = Lazy({**SHOP, "runbook_system": "bank", "notify_channels": AnsibleError("'vault_key' is undefined\nand more")})
    good, bad = notify_policies({"a": Lazy(SHOP), "b": broken}, ["a", "b"])
    assert good["problem"] == "" and bad["problem"] == "notify_channels cannot be read: 'vault_key' is undefined" and bad["channels"] == {}


class Missing:
    """What a template that cannot be rendered is, inside of a value: it fails when its text is asked for, with an error of Jinja's own."""

    def __str__(self) -> str:
        raise UndefinedError("'vault_key' is undefined")


def test_a_secret_that_is_missing_deep_inside_is_a_problem_of_that_host_alone() -> None:
    broken = Lazy({**SHOP, "runbook_system": "bank", "notify_channels": {"chat": {"webhook": {"headers": ["x", Missing()]}}}})
    good, bad = notify_policies({"a": Lazy(SHOP), "b": broken}, ["a", "b"])
    assert good["channels"] == CHAT and bad["problem"] == "notify_channels cannot be read: 'vault_key' is undefined" and bad["channels"] == {}


def test_other_input_is_refused() -> None:
    with pytest.raises(AnsibleFilterError):
        notify_policies([], [])  # type: ignore[arg-type]  # no mapping: it must be refused
