# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role: same stages, every input documented with the same default, nothing blinded, playbooks of one screen."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
STAGES = {"plan", "apply", "judge"}, {"preflight", "plan", "apply", "verify", "report"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_defaults_and_argument_specs_name_the_same_inputs(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(defaults) == set(options)
    for name, option in options.items():
        templated = isinstance(defaults[name], str) and "{{" in defaults[name]
        assert templated or option["default"] == defaults[name], name


def test_every_default_has_its_comment(role: Path) -> None:
    lines = (role / "defaults/main.yml").read_text(encoding="utf-8").splitlines()
    inputs = [number for number, line in enumerate(lines) if line and not line.startswith((" ", "#", "-"))]
    assert inputs
    assert all(lines[number - 1].startswith("# ") for number in inputs)


def test_inputs_and_internals_carry_the_name_of_the_role(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in load(role / "defaults/main.yml"))
    internals = role / "vars/main.yml"
    assert all(name.startswith(f"__{role.name}_") for name in load(internals)) if internals.exists() else True


def test_main_is_a_table_of_contents_over_the_stages(role: Path) -> None:
    stages = [Path(task["ansible.builtin.import_tasks"]).stem for task in load(role / "tasks/main.yml")]
    assert set(stages) in STAGES
    tasks = [task for stage in stages for task in load(role / f"tasks/{stage}.yml")]
    parts = {Path(task["ansible.builtin.import_tasks"]).stem for task in tasks if "ansible.builtin.import_tasks" in task}
    assert {path.stem for path in (role / "tasks").glob("*.yml")} == {*stages, *parts, "main"}


def test_no_task_blinds_the_record(role: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in role.rglob("*.yml"))
    assert "no_log" not in text
    assert "ignore_errors" not in text


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_a_playbook_fits_one_screen_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert all(word in header for word in ("Cadence:", "Takes", "hange", "When it fails"))
    assert len(text.splitlines()) <= 65
    assert "roles:" in text or "tasks:" in text or "import_playbook:" in text
