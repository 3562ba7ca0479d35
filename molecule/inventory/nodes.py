#!/usr/bin/env python
"""Inventory of all scenarios: one group per scenario, one container per host.

A script instead of a list because container names carry the checkout (all checkouts of a machine share one Docker
engine) and the verifier reads the inventory without resolving templates.
"""
from __future__ import annotations

import hashlib
import json
import os
from typing import Any

SCENARIOS = {
    "health": ["debian11", "debian12", "debian13"],
    "backup": ["debian12", "debian13"],
    "backup_offsite": ["debian12", "debian13"],
    "cli_trading": ["debian12"],
    "trading_24x7": ["debian13"],
}
SYSTEMS = {"nextrade": ["health"]}  # which scenarios' nodes stand for a shipped system's hosts

# Scenarios of the same name as a shipped system, whose stack of containers compose starts beside the node: volumes that both have, and where they
# are on the node, and folders of it that are file systems of their own.
STACKS: dict[str, dict[str, Any]] = {
    "cli_trading": {
        "volumes": {"logs": "/opt/cli-trading/logs", "traefik-letsencrypt": "/srv/letsencrypt"},
        "tmpfs": ["/opt/cli-trading:size=96m"],
    },
    "trading_24x7": {"volumes": {}, "tmpfs": ["/opt/trading-24x7:size=16m"]},
}

# Such a node stands for the engine's own host: it has its socket, its files of logs, its processes and their control groups.
ENGINE = ["/var/run/docker.sock:/var/run/docker.sock", "/var/lib/docker/containers:/var/lib/docker/containers:ro", "/sys/fs/cgroup:/sys/fs/cgroup:ro"]


def node(name: str, release: str) -> dict[str, Any]:
    """What one host needs to be created and reached."""
    checkout = hashlib.sha256(os.environ["RUNBOOK_CHECKOUT"].encode()).hexdigest()[:8]
    found: dict[str, Any] = {
        "ansible_host": f"{name}-{checkout}",
        "node_image": f"tradeops-runbook-node:{release}-{os.environ['RUNBOOK_NODE_TAG']}",
    }
    scenario = name.rpartition("-")[0]
    if scenario in STACKS:
        stack = f"{scenario}-{checkout}"
        scratch = f"{os.environ['RUNBOOK_CHECKOUT']}/.build/{stack}"  # the engine mounts folders of its own host, so it has to have the same name there
        shared = {f"{stack}_{volume}": place for volume, place in STACKS[scenario]["volumes"].items()}
        found.update(
            node_stack=stack,
            node_command="sleep infinity",  # systemd wants to be process 1, and these are the engine's host's
            node_pid_mode="host",
            node_shared=list(shared),
            node_scratch=scratch,
            node_volumes=[*ENGINE, f"{scratch}:{scratch}"] + [f"{volume}:{place}" for volume, place in shared.items()],
            node_tmpfs=STACKS[scenario]["tmpfs"],
        )
    return found


def inventory() -> dict[str, object]:
    """The inventory as Ansible's script protocol wants it."""
    hosts = {f"{scenario}-{release}": node(f"{scenario}-{release}", release)
             for scenario, releases in SCENARIOS.items() for release in releases}
    groups = {scenario: {"hosts": [f"{scenario}-{release}" for release in releases]}
              for scenario, releases in SCENARIOS.items()}
    systems = {system: {"children": scenarios} for system, scenarios in SYSTEMS.items()}
    return {"_meta": {"hostvars": hosts}, "molecule": {"children": list(groups)}, **groups, **systems}


print(json.dumps(inventory()))
