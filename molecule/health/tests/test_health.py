# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped daily runbook on nodes under systemd: well, in check mode, broken in many ways. Seen from outside with plain tools."""
from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://health"]

ROOT = Path(__file__).resolve().parents[3]
NODES = ["health-debian11", "health-debian12", "health-debian13"]
FAULT = "python3 /opt/nextrade/app/trading_service.py --state /opt/nextrade fault"
SERVICE = "systemctl {} nextrade-api"
ASK = "python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:8000/health\")'"
WAIT_UNTIL_WELL = f"for i in $(seq 50); do {ASK} && exit 0; sleep 0.2; done; exit 1"

# name of the fault: how to switch it on and off, the check that must find it, the verdict. Those of the answers alone are tried on every
# version of Python without a node (tests/integration/test_daily.py, tests/unit).
FAULTS = {
    "stopped service": (SERVICE.format("stop"), SERVICE.format("start"), "service runs", "critical"),
    "degraded": (f"{FAULT} on degraded", f"{FAULT} off degraded", "api answers", "warning"),
    "language model down": (f"{FAULT} on llm_down", f"{FAULT} off llm_down", "language model answers", "critical"),
    "locked database": (f"{FAULT} on database_locked", f"{FAULT} off database_locked", "database works", "critical"),
    "stuck orders": (f"{FAULT} on stuck_orders", f"{FAULT} off stuck_orders", "stuck orders", "critical"),
    "market data down": (f"{FAULT} on market_data_down", f"{FAULT} off market_data_down", "external market data", "critical"),
    "compliance log gone": ("mv /var/log/nextrade/compliance.log /root/", "mv /root/compliance.log /var/log/nextrade/",
                            "compliance log is written", "critical"),
    "error burst": (f"{FAULT} on error_burst", f"{FAULT} off error_burst", "application log", "critical"),
}  # fmt: skip
TOGETHER = [["stopped service"], ["degraded"], ["locked database"],
            ["language model down", "stuck orders", "market data down", "compliance log gone", "error burst"]]  # fmt: skip
"""Those that do not hide each other are switched on at once."""


REVIEWED = {log["name"]: log for log in yaml.safe_load((ROOT / "inventories/nextrade/group_vars/nextrade/logs.yml").read_text())["log_review_logs"]}
COPY = "/root/reviewed"
READ = {name: f"cd {COPY} && {{ zcat {file}.2.gz; cat {file}.1 {file}; }}"
        for name, file in {"application log": "nextrade.log", "compliance log": "compliance.log"}.items()}  # fmt: skip


class Run:
    """One run of a shipped playbook, with its report."""

    def __init__(self, history: Path, *arguments: str, playbook: str = "daily") -> None:
        inventories = [f"--inventory={ROOT}/{place}" for place in ("inventories/nextrade", "molecule/inventory")]
        command = ["ansible-playbook", *inventories, "--limit=health", *arguments, f"{ROOT}/playbooks/{playbook}.yml"]
        environment = {**os.environ, "RUNBOOK_HISTORY_DIR": str(history), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
        self.rc, self.output = done.returncode, done.stdout + done.stderr
        report = max((history / "reports").glob("*.json"))
        self.view: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))

    def _named(self, kind: str) -> dict[str, dict[str, dict[str, Any]]]:
        hosts = [host for system in self.view["systems"] for host in system["hosts"]]
        return {host["name"]: {found["name"]: found for found in host[kind]} for host in hosts}

    def checks(self) -> dict[str, dict[str, dict[str, Any]]]:
        return self._named("checks")

    def logs(self) -> dict[str, dict[str, dict[str, Any]]]:
        return self._named("logs")


def everywhere(command: str) -> None:
    """Run a shell command on every node."""
    for node in NODES:
        done = testinfra.get_host(f"ansible://{node}?ansible_inventory={ROOT}/molecule/inventory").run(command)
        assert done.rc == 0, f"{command} on {node}: {done.stderr}"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("history"))


def test_service_runs_under_systemd(host: Host) -> None:
    assert host.service("nextrade-api").is_running
    assert host.socket("tcp://127.0.0.1:8000").is_listening


def test_preflight_installed_the_library(host: Host) -> None:
    assert host.package("python3-jmespath").is_installed


def test_healthy_nodes_are_found_healthy(host: Host, healthy: Run) -> None:
    name = host.check_output("hostname")
    assert healthy.rc == 0, healthy.output
    assert {check["status"] for check in healthy.checks()[name].values()} == {"ok"}, healthy.output


def test_measures_agree_with_plain_tools(host: Host, healthy: Run) -> None:
    checks = healthy.checks()[host.check_output("hostname")]
    used = int(host.check_output("df --output=pcent / | tail -1 | tr -dc 0-9"))
    assert abs(checks["root disk"]["measures"]["disk_used_percent"] - used) <= 1.5
    assert checks["process"]["measures"]["count"] == len(host.process.filter(user="nextrade"))
    assert checks["service runs"]["measures"]["active_state"] == host.check_output("systemctl show -P ActiveState nextrade-api")


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A review of the whole logs while nothing is added to them, and a copy of them for other tools."""
    everywhere(SERVICE.format("stop"))
    try:
        run = Run(tmp_path_factory.mktemp("history"), playbook="log_review")
        everywhere(f"cp -a /var/log/nextrade {COPY}")
        return run
    finally:
        everywhere(f"{SERVICE.format('start')}; {WAIT_UNTIL_WELL}")


@pytest.mark.parametrize("name", REVIEWED)
def test_the_review_counts_what_grep_counts(host: Host, reviewed: Run, name: str) -> None:
    found = reviewed.logs()[host.check_output("hostname")][name]

    def count(pattern: str, options: str = "-cE") -> int:
        return int(host.check_output(f"{{ {READ[name]}; }} | grep {options} {shlex.quote(pattern)} || true"))

    assert found["files"][0]["path"].endswith(".2.gz") and len(found["files"]) == 3
    assert found["lines"] == count("")
    assert found["entries"] == count("^20[0-9]{2}-")
    for pattern, given in REVIEWED[name]["log"]["patterns"].items():
        expression = given if isinstance(given, str) else given["match"]
        ignore_case = not isinstance(given, str) and given.get("ignore_case")
        assert found["patterns"][pattern]["count"] == count(expression, "-cEi" if ignore_case else "-cE"), pattern
    if name == "application log":
        assert found["patterns"]["retries"]["count"] == 6 and found["patterns"]["errors"]["samples"][0]["after"][-1]
        ranked = f"{{ {READ[name]}; }} | grep -oE 'completed in [0-9.]+' | awk '{{print $3}}' | sort -n"
        nearest = "awk '{v[NR]=$1} END {i=int(NR*0.95); if (i<NR*0.95) i++; print v[i]}'"
        assert found["extract"]["completed"]["p95"] == float(host.check_output(f"{ranked} | {nearest}"))
    else:
        assert found["patterns"]["failed_validations"]["ratio"] == pytest.approx(100 / 6)


def test_check_mode_gives_a_verdict_and_writes_nothing(tmp_path: Path) -> None:
    everywhere("touch /root/before && sleep 1")
    run = Run(tmp_path, "--check", "--diff")
    assert run.rc == 0, run.output
    assert run.view["check_mode"] is True
    own = ["/opt/nextrade/*", "/var/log/*", "/root/.ansible*", "/tmp/*", "/var/tmp/*", "/root/before", "/var/lib/systemd/*", "/run/*"]
    but = " ".join(f"-not -path '{path}'" for path in own)
    everywhere(f"test -z \"$(find / -xdev -newer /root/before -type f {but} | tee /dev/stderr)\"")
    for found in run.checks().values():
        assert {limit["state"] for limit in found["database works"]["limits"] if limit["measure"] == "writable"} == {"skipped"}


@pytest.mark.parametrize("faults", TOGETHER, ids=", ".join)
def test_faults_are_found_named_and_graded_everywhere(faults: list[str], tmp_path: Path) -> None:
    switch_on, switch_off, names, statuses = zip(*(FAULTS[fault] for fault in faults))
    everywhere(f"{' && '.join(switch_on)} && sleep 1")
    try:
        run = Run(tmp_path)  # a history of its own: no earlier run says how long it has lasted
    finally:
        everywhere(f"{'; '.join(switch_off)}; {WAIT_UNTIL_WELL}")
    for node, found in run.checks().items():
        for name, status in zip(names, statuses):
            assert found[name]["status"] == status, (node, found[name])
            assert found[name]["message"]
    assert run.rc == (0 if set(statuses) == {"warning"} else 2), run.output


def test_every_fault_is_tried() -> None:
    assert sorted(fault for faults in TOGETHER for fault in faults) == sorted(FAULTS)
