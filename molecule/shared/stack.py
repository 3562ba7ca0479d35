# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack of containers and the node beside it, for tests: runs of the shipped playbooks, faults that are switched on and off, and what was there before."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ANY = "*"


@dataclass(frozen=True)
class Fault:
    """How it is switched on and off, and what a run must say of it. ``also`` are checks that cannot stay well with it, ``ANY`` means all of them."""

    check: str
    status: str
    severity: str
    on: str
    off: str
    also: tuple[str, ...] = ()
    daily: bool = False  # only the review of logs in the daily runbook finds it
    early: str = ""  # what has to begin a while before


@dataclass
class Run:
    """What a playbook ended with, and its report."""

    rc: int
    output: str
    view: dict[str, Any]
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (host,) = [host for system in self.view["systems"] for host in system["hosts"]]
        self.checks = {found["name"]: found for found in host["checks"]}
        self.logs = [found["name"] for found in host["logs"]]  # reviewed; their verdicts are among the checks

    def bad(self) -> dict[str, str]:
        """What is neither ok nor left out, with its message."""
        return {name: f"{found['status']}: {found['message']}" for name, found in self.checks.items() if found["status"] not in ("ok", "skipped")}


class Stack:
    """The stack of ``system``; ``prelude`` are functions of the shell that its faults use."""

    def __init__(self, system: str, prelude: str) -> None:
        listed = subprocess.run([sys.executable, str(ROOT / "molecule/inventory/nodes.py")], check=True, capture_output=True, text=True).stdout
        hosts = json.loads(listed)["_meta"]["hostvars"]
        (self.host,) = [name for name in hosts if name.startswith(f"{system}-")]
        self.system, self.name, self.node = system, hosts[self.host]["node_stack"], hosts[self.host]["ansible_host"]
        self._prelude = prelude
        self._environment = {**os.environ, "STACK": self.name, "NODE": self.node, "COMPOSE_FILE": str(ROOT / f"molecule/{system}/files/compose.yml")}

    def shell(self, script: str, seconds: float = 120) -> str:
        """What a script prints on the controller."""
        command = ["bash", "-euo", "pipefail", "-c", f"{self._prelude}\n{script}"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{script}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def play(self, history: Path, *arguments: str, playbook: str = "health") -> Run:
        """Run a shipped playbook with the shipped inventory and the overlay."""
        inventories = [f"--inventory={ROOT}/{place}" for place in (f"inventories/{self.system}", "molecule/inventory")]
        command = ["ansible-playbook", *inventories, f"--limit={self.host}", *arguments, f"{ROOT}/playbooks/{playbook}.yml"]
        environment = {**os.environ, "RUNBOOK_HISTORY_DIR": str(history), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        output = done.stdout + done.stderr
        reports = sorted((history / "reports").glob("*.json"))
        assert reports, output
        return Run(done.returncode, output, json.loads(reports[-1].read_text(encoding="utf-8")))

    def with_faults(self, faults: Mapping[str, Fault], history: Path, settled: str) -> Run:
        """A run while all of them are on; ``settled`` waits until what they leave behind is gone."""
        playbook = "daily" if any(fault.daily for fault in faults.values()) else "health"
        try:
            for fault in faults.values():
                self.shell(fault.on)
            return self.play(history, playbook=playbook)
        finally:
            for fault in reversed(list(faults.values())):
                self.shell(fault.off)
            self.shell(settled)


def wrong(run: Run, faults: Mapping[str, Fault], also: Iterable[str] = ()) -> list[str]:
    """What the run says otherwise than its faults, one line each: not found, graded otherwise, or an alarm that nothing (nor ``also``) stands for."""
    lines = []
    for name, fault in faults.items():
        found = run.checks.get(fault.check, {})
        seen = (found.get("status"), found.get("severity"))
        if seen != (fault.status, fault.severity) or not found.get("message"):
            lines.append(f"{name}: {fault.check} is {seen}, not {(fault.status, fault.severity)}: {found.get('message')}")
    expected = {*also, *(check for fault in faults.values() for check in (fault.check, *fault.also))}
    if ANY not in expected:
        lines += [f"false alarm: {name} is {said}" for name, said in run.bad().items() if name not in expected]
    return lines

