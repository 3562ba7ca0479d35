# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of kinds: documentation, options, measures and default limits say the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tradeops.runbook.plugins.doc_fragments.checks import ModuleDocFragment
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import parse_limits
from ansible_collections.tradeops.runbook.plugins.module_utils._module import kinds
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import CHECKS, CONNECTIONS, KINDS
from ansible_collections.tradeops.runbook.tests.support.children import environment

UNITS = {"s", "B", "percent", "count", "boolean", "text", "list", "number", "timestamp"}
OPTION = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
DOCUMENTED = OPTION["checks"]["suboptions"]


def described(option: dict[str, Any]) -> str:
    text = option["description"]
    return text if isinstance(text, str) else " ".join(text)


def shape(documented: dict[str, Any]) -> dict[str, Any]:
    """A documented option as an argument spec, without words."""
    found = {key: value for key, value in documented.items() if key not in ("description", "suboptions")}
    if "suboptions" in documented:
        found["options"] = {name: shape(option) for name, option in documented["suboptions"].items()}
    return found


def spec_shape(option: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in option.items() if key in ("type", "elements", "default", "required", "choices")}
    if "options" in option:
        kept["options"] = {name: spec_shape(inner) for name, inner in option["options"].items()}
    return kept


def test_every_option_is_documented_as_it_is() -> None:
    assert list(DOCUMENTED) == list(CHECKS["options"])
    for name, option in CHECKS["options"].items():
        assert shape(DOCUMENTED[name]) == spec_shape(option), name
    assert shape(OPTION["checks"]) == spec_shape(CHECKS)
    assert shape(OPTION["connections"]) == spec_shape(CONNECTIONS)


def test_a_check_has_exactly_one_kind() -> None:
    assert CHECKS["mutually_exclusive"] == CHECKS["required_one_of"] == [list(KINDS)]
    assert set(KINDS) < set(CHECKS["options"])


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_measure_is_documented(name: str) -> None:
    words = set(re.findall(r"C\(([\w.<>]+)\)", described(DOCUMENTED[name])))
    measures = KINDS[name].driver().MEASURES
    missing = set(measures) - words - {"readable"}  # always true: what cannot be read raises
    assert not missing, f"{name}: not in its description: {sorted(missing)}"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_units_that_people_read_are_the_units_measured(name: str) -> None:
    measures = KINDS[name].driver().MEASURES
    for measure, unit in re.findall(r"C\((\w+)\) \((s|B|list)\b", described(DOCUMENTED[name])):
        assert measures[measure] == unit, (name, measure)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_drivers_keep_their_promise(name: str) -> None:
    driver = KINDS[name].driver()
    assert callable(driver.measure)
    assert driver.__name__.rpartition(".")[2] == name, "the file is named after the kind"
    assert set(driver.MEASURES.values()) <= UNITS
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", measure) for measure in driver.MEASURES)
    for measure, unit in driver.MEASURES.items():
        assert measure.endswith("_percent") == (unit == "percent"), f"{name}: {measure} carries a unit in its name, or misses one"


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("http", {"url": "u"}), ("http", {"url": "u", "expect_refused": True}), ("tcp", {}), ("dns", {}), ("tls", {"host": "h"}), ("tls", {"path": "/p"}),
    ("tls", {"acme_path": "/p"}), ("host", {}), ("process", {}), ("systemd", {}), ("systemd", {"unit": "u"}), ("file", {}), ("sqlite", {}),
    ("sqlite", {"write_test": False}), ("sqlite", {"quick_check": False}), ("sql", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_default_limits_hold_for_what_is_measured(name: str, options: dict[str, Any]) -> None:
    kind = KINDS[name]
    rules = parse_limits(kind.defaults(options), kind.units(options))
    text = described(DOCUMENTED[name])
    assert not rules or "critical" in text, "what holds by default is documented"
    assert all(rule.measure in kind.driver().MEASURES for rule in rules)


@pytest.mark.parametrize(
    ("name", "options", "limits"),
    [
        ("http", {"url": "u"}, {"status_code": {"critical": ">= 300"}}),
        ("http", {"url": "u", "expect_refused": True}, {"status_code": {"critical": "not in [401, 403]"}}),
        ("tls", {"host": "h"}, {"expires_in": {"warning": "< 21 d", "critical": "< 7 d"}, "trusted": {"critical": "!= true"}}),
        ("tls", {"path": "/p"}, {"expires_in": {"warning": "< 21 d", "critical": "< 7 d"}}),
        ("dns", {}, {"address_count": {"critical": "< 1"}, "missing_count": {"critical": "> 0"}}),
        ("process", {"name": "n"}, {"count": {"critical": "< 1"}}),
        ("systemd", {"unit": "u"}, {"active_state": {"critical": "!= active"}}),
        ("systemd", {}, {"failed_count": {"critical": "> 0"}}),
        ("file", {}, {"exists": {"critical": "!= true"}}),
        ("sqlite", {}, {"writable": {"critical": "!= true"}, "quick_check": {"critical": "!= ok"}}),
        ("sqlite", {"write_test": False, "quick_check": False}, {}),
    ],
)
def test_default_limits(name: str, options: dict[str, Any], limits: dict[str, Any]) -> None:
    assert KINDS[name].defaults(options) == limits


def test_only_queries_measure_what_nobody_can_know_before() -> None:
    assert [name for name, kind in KINDS.items() if kind.open_ended] == ["sql"]


def test_options_with_secrets_are_marked() -> None:
    """S08: whatever is named like a secret is no_log, and nothing else is."""
    found: dict[str, bool] = {}

    def walk(options: dict[str, Any]) -> None:
        for name, option in options.items():
            if re.search(r"secret|password|token|api_?key", name):
                found[name] = option.get("no_log") is True
            else:
                assert not option.get("no_log"), name  # False tells Ansible that the name only sounds like a secret
            walk(option.get("options", {}))

    walk(CHECKS["options"])
    assert found == {"secret_headers": True, "secret_access_key": True, "secret_session_token": True}


def test_units_of_what_is_read() -> None:
    units = KINDS["http"].units({"read": {"status": "status", "age": {"path": "a", "unit": "s"}}})
    assert units == {"status_code": "number", "latency": "s", "size": "B", "status": "number", "status.age": "s", "status.count": "count",
                     "age": "s", "age.age": "s", "age.count": "count"}  # fmt: skip


def test_a_driver_is_loaded_when_it_is_asked_for() -> None:
    """Importing all of them would cost every call; only literal imports are shipped to the target."""
    name = "ansible_collections.tradeops.runbook.plugins.module_utils"
    code = f"""import sys
from {name}._module.kinds import KINDS
loaded = lambda: sorted(item.rpartition(".")[2] for item in sys.modules if item.startswith("{name}._drivers."))
before = loaded(); KINDS["host"].driver(); print(before, loaded())"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(), timeout=60)
    assert run.stdout.strip() == "[] ['_sample', 'host']"
    source = Path(kinds.__file__).read_text(encoding="utf-8")
    assert {f"    from .._drivers import {kind}\n" in source for kind in KINDS} == {True}
