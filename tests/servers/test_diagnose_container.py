# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook diagnose on a container of the real engine that was killed: restarted with the token of its proposal; one that is not there says so."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

IMAGE = os.environ.get("RUNBOOK_POSTGRESQL_IMAGE")
pytestmark = pytest.mark.skipif(not IMAGE, reason="no image with a shell: RUNBOOK_POSTGRESQL_IMAGE=$(tools/images postgresql)")
ROOT = Path(__file__).resolve().parents[2]


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def agent() -> Iterator[str]:
    name = f"runbook-agent-{secrets.token_hex(4)}"
    docker("run", "--detach", "--name", name, "--network", "none", "--label", "tradeops.runbook.test=diagnose", str(IMAGE), "sleep", "infinity")
    yield name
    docker("rm", "--force", "--volumes", name)


def inventory(folder: Path, agent: str) -> Path:
    proposals = [
        {"when": "agents", "propose": "restart the agent", "act": {"restart": {"container": agent}}},
        {"when": "agents", "propose": "restart another", "act": {"restart": {"container": f"{agent}-gone"}}},
    ]
    host = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
        "health_checks": [{"name": "agents", "container": {"names": [agent]}}, {"name": "disk", "host": {"mount": "/"}}],
        "diagnose_symptoms": {"no_trades": {"checks": ["agents"], "proposals": proposals}},
    }  # fmt: skip
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": {"engine": host}}}), encoding="utf-8")
    return path


def diagnose(folder: Path, agent: str, **variables: object) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNBOOK_")}
    places = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "ansible"), "RUNBOOK_HISTORY_DIR": str(folder / "history"),
              "ANSIBLE_REMOTE_TEMP": str(folder / "tmp"), "ANSIBLE_NOCOLOR": "1"}  # fmt: skip
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(ROOT / "playbooks/diagnose.yml"), "--inventory", str(inventory(folder, agent))]
    command += ["--skip-tags=preflight", "--extra-vars", json.dumps({"diagnose_symptom": "no_trades", **variables})]
    done = subprocess.run(command, env={**kept, **places}, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_killed_container_is_restarted(agent: str, tmp_path: Path) -> None:
    docker("kill", agent)
    rc, said = diagnose(tmp_path, agent)
    assert rc == 0 and f"restart the container {agent}" in said, said
    first, second = re.findall(r"diagnose_act=([0-9a-f]{8})", said)
    rc, said = diagnose(tmp_path, agent, diagnose_act=second, diagnose_settle_seconds=0)
    assert rc == 2 and f"Could not restart the container {agent}-gone: " in said and "No such container" in said, said
    assert docker("inspect", "--format", "{{.State.Running}}", agent) == "false"
    rc, said = diagnose(tmp_path, agent, diagnose_act=first)
    assert rc == 0 and f"Done: restart the container {agent}. agents was critical and is ok" in said, said
    assert docker("inspect", "--format", "{{.State.Running}}", agent) == "true"
