# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits that hold by default for containers and monitoring: each is on something that is measured."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import parse_limits
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import judge_measures
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import KINDS

SEVERITIES = ["critical", "warning", "info"]


@pytest.mark.parametrize(
    ("kind", "options", "names"),
    [
        ("container", {"names": ["api"], "digests": {}}, {"down", "unhealthy", "oom_killed"}),
        ("container", {"project": "p", "digests": {"api": "sha256:" + "a" * 64}}, {"down", "unhealthy", "oom_killed", "wrong_image"}),
        ("prometheus", {"query": "up", "expect": {}}, {"max"}),
        ("prometheus", {"query": "up", "unit": "B", "expect": {"api": {"job": "api"}}}, {"max", "missing"}),
        ("prometheus", {}, {"ready", "targets", "down"}),
        ("alertmanager", {"severities": SEVERITIES, "expect": []}, {"ready", "alerts", "firing_critical"}),
        ("alertmanager", {"severities": ["page"], "expect": ["Watchdog"]}, {"ready", "alerts", "missing"}),
    ],
)
def test_default_limits_are_on_what_is_measured(kind: str, options: dict[str, Any], names: set[str]) -> None:
    found = KINDS[kind].defaults(options)
    assert set(found) == names and len(parse_limits(found, KINDS[kind].units(options))) == len(names)


@pytest.mark.parametrize(("value", "status"), [(5.0, "ok"), (0.0, "ok"), (-1e300, "ok"), (Unmeasured("too old"), "unknown")])
def test_a_query_without_limits_is_ok_when_it_can_be_believed(value: Any, status: str) -> None:
    options = {"query": "up", "expect": {}}
    units = KINDS["prometheus"].units(options)
    found = judge_measures({"max": value}, units, parse_limits(KINDS["prometheus"].defaults(options), units), {})
    assert found["status"] == status and ("too old" in found["message"]) is (status == "unknown")
