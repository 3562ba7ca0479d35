# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of a diagnosis: what they hand to the rules, and what they say of nonsense."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.filter import compile_symptoms, diagnose, end_diagnosis, named_like

MODULES = {"compile_symptoms": compile_symptoms, "named_like": named_like, "diagnose": diagnose, "end_diagnosis": end_diagnosis}
ROOT = Path(__file__).resolve().parents[4]
CASE = {"host": "app", "system": "nextrade", "environment": "production", "name": "down", "command": "again"}
API = {"name": "api", "status": "critical", "severity": "P1", "message": "refused", "hint": ""}
MEASURED = {"measured_at": "2026-11-20T10:00:00Z", "checks": [API]}


def diagnosed() -> dict[str, Any]:
    symptoms = compile_symptoms.compile_symptoms([{"down": {"proposals": [{"when": "a*", "propose": "p", "act": {"restart": {"unit": "u"}}}]}}])
    return diagnose.diagnose(MEASURED, {**CASE, "symptom": symptoms["down"]}, None, {"api": [{"at": "t", "status": "ok"}]})


@pytest.mark.parametrize("name", MODULES)
def test_they_are_registered_and_documented(name: str) -> None:
    assert MODULES[name].FilterModule().filters() == {name: getattr(MODULES[name], name)}
    documentation = yaml.safe_load((ROOT / f"plugins/filter/{name}.yml").read_text(encoding="utf-8"))["DOCUMENTATION"]
    assert documentation["name"] == name


def test_from_symptoms_to_the_end() -> None:
    found = diagnosed()
    assert found["findings"][0]["well_at"] == "t" and found["shown"]["symptom"] == "down: 1 check: 1 critical"
    ended = end_diagnosis.end_diagnosis(found, {**MEASURED, "checks": [{**API, "status": "ok"}]}, found["proposals"][0])
    assert ended["acted"]["helped"] is True and ended["status"] == "ok"
    assert end_diagnosis.end_diagnosis(found, MEASURED, found["proposals"][0], "no such unit")["acted"]["done"] is False


def test_mistakes_of_the_inventory_are_named() -> None:
    with pytest.raises(AnsibleFilterError, match="diagnose_symptoms: down: proposals\\[0\\]: propose is missing \\(write it like"):
        compile_symptoms.compile_symptoms([{"down": {"proposals": [{"when": "a"}]}}])


def test_nonsense_is_an_error_of_the_filter() -> None:
    found = diagnosed()
    wrong = [
        lambda: named_like.named_like([{}], ["*"]),
        lambda: named_like.named_like(None, ["*"]),  # type: ignore[arg-type]  # no list: it must be refused
        lambda: diagnose.diagnose({}, CASE),
        lambda: diagnose.diagnose(MEASURED, {"host": "app"}),
        lambda: end_diagnosis.end_diagnosis(found, MEASURED, {"finding": "another", "does": ""}),
        lambda: end_diagnosis.end_diagnosis({}, MEASURED, found["proposals"][0]),
    ]
    for ask in wrong:
        with pytest.raises(AnsibleFilterError):
            ask()


def shipped(path: Path) -> dict[str, Any]:
    """Variables of an inventory, with a word for every template and every encrypted value."""
    text = re.sub(r"!vault|\{\{.*?\}\}", lambda found: "" if found.group().startswith("!") else "word", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return yaml.safe_load(text) or {}


INVENTORIES = sorted(path.parent for path in (ROOT / "inventories").glob("*/group_vars/*/diagnose.yml"))


@pytest.mark.parametrize("folder", INVENTORIES, ids=lambda folder: folder.name)
def test_every_symptom_that_is_shipped_names_things_that_there_are(folder: Path) -> None:
    variables = [item for path in sorted(folder.glob("*.yml")) for item in shipped(path).items()]
    of = {"checks": "health_checks", "logs": "log_review_logs"}
    known = {kind: [entry for name, entries in variables if re.fullmatch(f"{of[kind]}(_.+)?", name) for entry in entries] for kind in of}
    symptoms = compile_symptoms.compile_symptoms([value for name, value in variables if re.fullmatch("diagnose_symptoms(_.+)?", name)])
    assert symptoms
    for name, symptom in symptoms.items():
        assert [(kind, pattern) for kind in of for pattern in symptom[kind] if not named_like.named_like(known[kind], [pattern])] == []
        looked_at = [entry for kind in of for entry in named_like.named_like(known[kind], symptom[kind])]
        wanted = [pattern for proposal in symptom["proposals"] for pattern in proposal["when"]]
        assert [pattern for pattern in wanted if not named_like.named_like(looked_at, [pattern])] == [], name
