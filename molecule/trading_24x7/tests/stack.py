# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack seen from outside, by docker alone, and runs of the shipped playbooks on it."""
from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HASH = hashlib.sha256(os.environ["RUNBOOK_CHECKOUT"].encode()).hexdigest()[:8]
STACK = f"trading_24x7-{HASH}"
NODE = f"trading_24x7-debian13-{HASH}"
COMPOSE = f"docker compose --file {ROOT}/molecule/trading_24x7/files/compose.yml"
CONTENT = 'redis-cli keys "*" | sort | while read -r key; do echo "$key"; redis-cli dump "$key"; done | sha256sum; redis-cli info persistence | grep changes'


def shell(command: str) -> str:
    """What a command on this machine prints; ``{app}``, ``{redis}`` and so on are containers of the stack, ``{node}`` is its host."""
    names = {name: f"{STACK}-{name}-1" for name in ("app", "redis", "world", "prometheus")}
    text = command.format(**names, node=NODE, stack=STACK, compose=COMPOSE, fault="mkdir -p /tmp/faults; touch /tmp/faults")
    done = subprocess.run(["bash", "-euc", text], env={**os.environ, "STACK": STACK}, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"
    return done.stdout


def everything() -> dict[str, str]:
    """The file tree of the host, the content of Redis, and the engine's containers, volumes and networks of this checkout."""
    mine = f"--filter label=tradeops.runbook.checkout={os.environ['RUNBOOK_CHECKOUT']}"
    passing = "-path /tmp -o -path /var/tmp -o -path /root/.ansible -o -path /dev/shm"  # what a module is unpacked in
    return {
        "files": shell(f"docker exec {{node}} find / /opt/trading-24x7 -xdev '(' {passing} ')' -prune -o -type f -printf '%p %s %m %T@\\n' | sort"),
        "redis": shell(f"docker exec --interactive {{redis}} sh <<'END'\n{CONTENT}\nEND"),
        "containers": shell(f"docker ps --all --quiet --no-trunc {mine} | sort | xargs docker inspect --format "
                            "'{{{{.Name}}}} {{{{.Image}}}} {{{{.State.Status}}}} {{{{.State.StartedAt}}}} {{{{.RestartCount}}}} {{{{json .Config}}}}'"),
        "volumes and networks": shell(f"docker volume ls --quiet {mine} | sort; docker network ls --quiet --no-trunc {mine} | sort"),
    }  # fmt: skip


class Run:
    """One run of a shipped playbook with the shipped inventory and the overlay, and what its report says."""

    def __init__(self, history: Path, playbook: str, *arguments: str) -> None:
        inventories = [f"--inventory={ROOT}/{place}" for place in ("inventories/trading_24x7", "molecule/inventory")]
        command = ["ansible-playbook", *inventories, "--limit=trading_24x7-debian13,localhost", *arguments, f"{ROOT}/playbooks/{playbook}.yml"]
        environment = {**os.environ, "RUNBOOK_HISTORY_DIR": str(history), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
        self.rc, self.output = done.returncode, done.stdout + done.stderr
        self.view: dict[str, Any] = json.loads(max((history / "reports").glob("*.json")).read_text(encoding="utf-8"))

    def bad(self) -> dict[str, tuple[str, str]]:
        return bad_in(self.view)


def bad_in(view: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Everything that is not ok or skipped: name to status and severity."""
    hosts = [host for system in view["systems"] for host in system["hosts"]]
    return {one["name"]: (one["status"], one["severity"]) for host in hosts for one in host["checks"] if one["status"] not in ("ok", "skipped")}
