# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Symptoms of an inventory: merged, complete, every mistake named; and names that fit patterns."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.symptoms import compile_symptoms, describe, fits, named_like

RESTART = {"restart": {"unit": "nextrade-api"}}


def test_defaults() -> None:
    assert compile_symptoms([{"down": {"proposals": [{"when": "api", "propose": "look"}]}, "bare": None}]) == {
        "down": {"checks": ["*"], "logs": [], "proposals": [{"when": ["api"], "is": ["critical"], "propose": "look", "why": "", "act": None}]},
        "bare": {"checks": ["*"], "logs": [], "proposals": []},
    }


def test_everything_said() -> None:
    given = {"checks": "api*", "logs": ["*"], "proposals": [{"when": ["a", "b"], "is": "unknown", "propose": "p", "why": "w", "act": RESTART}]}
    found = compile_symptoms([{"down": given}])["down"]
    assert found == {"checks": ["api*"], "logs": ["*"], "proposals": [{"when": ["a", "b"], "is": ["unknown"], "propose": "p", "why": "w", "act": RESTART}]}


def test_no_check_at_all_may_be_wanted() -> None:
    assert compile_symptoms([{"noisy": {"checks": [], "logs": ["*"]}}])["noisy"]["checks"] == []


def test_later_ones_complete_earlier_ones() -> None:
    first = {"down": {"checks": ["a"], "logs": ["l"]}, "slow": {"checks": ["s"]}}
    merged = compile_symptoms([first, {"down": {"checks": ["b"]}, "new": {}}])
    assert {name: symptom["checks"] for name, symptom in merged.items()} == {"down": ["b"], "slow": ["s"], "new": ["*"]}
    assert merged["down"]["logs"] == ["l"] and first["down"]["checks"] == ["a"]
    assert compile_symptoms([]) == {}


PROPOSAL = {"when": "a", "propose": "p"}
MISTAKES: list[tuple[Any, str]] = [
    ("x", '"x" is not a mapping of checks, logs, proposals'),
    ({"check": ["a"]}, 'unknown key "check"; did you mean "checks"?'),
    ({"checks": [1]}, "checks must be names or patterns of names"),
    ({"logs": {"a": 1}}, "logs must be names or patterns of names"),
    ({"proposals": PROPOSAL}, "proposals must be a list"),
    ({"proposals": ["restart"]}, 'proposals[0]: "restart" is not a mapping'),
    ({"proposals": [PROPOSAL, {"when": "a"}]}, "proposals[1]: propose is missing"),
    ({"proposals": [{"propose": "p"}]}, "proposals[0]: when is missing"),
    ({"proposals": [{**PROPOSAL, "porpose": "p"}]}, 'proposals[0]: unknown key "porpose"; did you mean "propose"?'),
    ({"proposals": [{**PROPOSAL, "is": ["critcal"]}]}, 'proposals[0]: is: "critcal" is no verdict; did you mean "critical"?'),
    ({"proposals": [{**PROPOSAL, "act": "restart"}]}, 'proposals[0]: act: "restart" is not a mapping of restart'),
    ({"proposals": [{**PROPOSAL, "act": {"reboot": {}}}]}, 'proposals[0]: act: unknown key "reboot"'),
    ({"proposals": [{**PROPOSAL, "act": {}}]}, "proposals[0]: act: restart needs one of container and unit"),
    ({"proposals": [{**PROPOSAL, "act": {"restart": {"container": "a", "unit": "b"}}}]}, "restart needs one of container and unit"),
    ({"proposals": [{**PROPOSAL, "act": {"restart": {"service": "a"}}}]}, 'act: restart: unknown key "service"'),
    ({"proposals": [{**PROPOSAL, "act": {"restart": {"container": "--all"}}}]}, 'act: restart: container: "--all" is not the name of a container'),
    ({"proposals": [{**PROPOSAL, "act": {"restart": {"unit": "a; reboot"}}}]}, '"a; reboot" is not the name of a unit'),
    ({"proposals": [{**PROPOSAL, "act": {"restart": {"unit": "a\n"}}}]}, "is not the name of a unit"),
    ({"proposals": [{**PROPOSAL, "act": {"restart": {"container": ["a"]}}}]}, "is not the name of a container"),
]


@pytest.mark.parametrize(("symptom", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_place(symptom: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_symptoms([{"fine": {}, "down": symptom}])
    assert caught.value.message.startswith("diagnose_symptoms: down: ") and message in caught.value.message


def test_every_mistake_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_symptoms([{f"s{number}": symptom for number, (symptom, _message) in enumerate(MISTAKES)}])
    assert all(f"s{number}: " in caught.value.message and message in caught.value.message for number, (_symptom, message) in enumerate(MISTAKES))


def test_what_is_no_mapping() -> None:
    with pytest.raises(InvalidInput, match="is not a list"):
        compile_symptoms([[{"name": "down"}]])


@pytest.mark.parametrize("name", ["signal-agent", "app_1.web", "getty@tty1.service", "trading\\x2dapi.service", "9to5"])
def test_names_of_containers_and_units(name: str) -> None:
    act = {"restart": {"unit": name}}
    assert compile_symptoms([{"a": {"proposals": [{**PROPOSAL, "act": act}]}}])["a"]["proposals"][0]["act"] == act
    assert describe(act) == f"restart the unit {name}"


def test_patterns() -> None:
    checks = [{"name": "last trade of BTC"}, {"name": "postgresql"}, {"name": "Postgresql copy"}]
    assert named_like(checks, ["postgresql*", "last trade*"]) == checks[:2]
    assert named_like(checks, []) == [] and named_like(checks, ["*"]) == checks
    assert not fits("a", ["A"]) and fits("errors of 5 minutes", ["errors of ? minutes"])
