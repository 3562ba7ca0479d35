# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fifty HTTP checks over ssh: in one call, as fifty built-in tasks, and as plain curl. Ratios of paired runs, never seconds."""
from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Remote, Rounds, evidence, run_rounds

CHECKS = 50
ROUNDS = 3
LATENCIES = {"0 ms": 0.0, "100 ms": 0.1}


def playbook(folder: Path, name: str, tasks: list[dict[str, object]]) -> Path:
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump([{"hosts": "remote", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    return path


def ansible(inventory: Path, book: Path) -> Callable[[], None]:
    settings = inventory.parent / "ansible.cfg"  # no callbacks, and pipelining for everybody
    settings.write_text("[ssh_connection]\npipelining = true\n", encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(settings)}
    return lambda: quiet(["ansible-playbook", "-i", str(inventory), str(book)], environment)


def quiet(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def contenders(folder: Path, remote: Remote, port: int) -> dict[str, Callable[[], None]]:
    inventory, url = remote.inventory(folder), f"http://127.0.0.1:{port}/health"
    checks = [{"name": f"endpoint {number}", "http": {"url": url}} for number in range(CHECKS)]
    one_call = [{"name": "Check", "tradeops.runbook.health_check_info": {"checks": checks}}]
    many = [{"name": f"Endpoint {number}", "ansible.builtin.uri": {"url": url}} for number in range(CHECKS)]
    ping = [{"name": "Ping", "ansible.builtin.ping": {}}]
    ssh = ["ssh", *remote.options(), "127.0.0.1"]
    curl = f"curl -fsS -o /dev/null -m 10 {url}"
    return {
        "one call": ansible(inventory, playbook(folder, "one", one_call)),
        "50 uri tasks": ansible(inventory, playbook(folder, "many", many)),
        "one ping task": ansible(inventory, playbook(folder, "ping", ping)),
        "ssh, curl one by one": lambda: quiet([*ssh, f"for i in $(seq {CHECKS}); do {curl}; done"]),
        "ssh, xargs -P 8 curl": lambda: quiet([*ssh, f"seq {CHECKS} | xargs -P 8 -I{{}} {curl}"]),
    }


@pytest.fixture(scope="module")
def measured() -> dict[str, Rounds]:
    return {}


@pytest.mark.parametrize("latency", LATENCIES)
def test_fifty_checks_in_one_call(
    latency: str, tmp_path: Path, remote: Remote, endpoint: Callable[[float], int], measured: dict[str, Rounds]
) -> None:
    rounds = measured[latency] = run_rounds(contenders(tmp_path, remote, endpoint(LATENCIES[latency])), ROUNDS)
    assert rounds.ratio("one call", "50 uri tasks")[0] <= 0.08
    if latency == "0 ms":
        assert rounds.ratio("one call", "one ping task")[0] <= 1.2


def test_table_is_written(measured: dict[str, Rounds]) -> None:
    lines = [
        "# Fifty HTTP checks over ssh",
        "",
        "Wall time of one `health_check_info` call relative to other ways of checking the same fifty endpoints on the same host, median (smallest to",
        f"largest) of {ROUNDS} paired runs. Below 1 the one call is faster.",
        "The two rows with ssh start no Ansible, which costs about as much as the ping task.",
        f"ansible-core {version()}, Python {platform.python_version()}, {os.cpu_count()} processors, sshd on loopback. Made by `make bench`.",
        "",
        "| Compared with | " + " | ".join(f"endpoint latency {latency}" for latency in measured) + " |",
        "|---|" + "---:|" * len(measured),
    ]
    others = [name for name in next(iter(measured.values())).seconds if name != "one call"]
    for other in others:
        ratios = [rounds.ratio("one call", other) for rounds in measured.values()]
        lines.append(f"| {other} | " + " | ".join(f"{median:.3f} ({low:.3f} to {high:.3f})" for median, low, high in ratios) + " |")
    assert len(measured) == len(LATENCIES)
    evidence("bench-health.md", "\n".join(lines) + "\n")


def version() -> str:
    from ansible.release import __version__

    return str(__version__)
