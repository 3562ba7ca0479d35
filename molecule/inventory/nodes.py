#!/usr/bin/env python
"""Inventory of all scenarios: one group per scenario, one container per host.

A script instead of a list because container names carry the checkout (all checkouts of a machine share one Docker
engine) and the verifier reads the inventory without resolving templates.
"""
from __future__ import annotations

import hashlib
import json
import os

SCENARIOS = {
    "health": ["debian11", "debian12", "debian13"],
    "backup": ["debian12", "debian13"],
    "backup_offsite": ["debian12", "debian13"],
}
SYSTEMS = {"nextrade": ["health"]}  # which scenarios' nodes stand for a shipped system's hosts


def node(name: str, release: str) -> dict[str, str]:
    """What one host needs to be created and reached."""
    checkout = hashlib.sha256(os.environ["RUNBOOK_CHECKOUT"].encode()).hexdigest()[:8]
    return {
        "ansible_host": f"{name}-{checkout}",
        "node_image": f"tradeops-runbook-node:{release}-{os.environ['RUNBOOK_NODE_TAG']}",
    }


def inventory() -> dict[str, object]:
    """The inventory as Ansible's script protocol wants it."""
    hosts = {f"{scenario}-{release}": node(f"{scenario}-{release}", release)
             for scenario, releases in SCENARIOS.items() for release in releases}
    groups = {scenario: {"hosts": [f"{scenario}-{release}" for release in releases]}
              for scenario, releases in SCENARIOS.items()}
    systems = {system: {"children": scenarios} for system, scenarios in SYSTEMS.items()}
    return {"_meta": {"hostvars": hosts}, "molecule": {"children": list(groups)}, **groups, **systems}


print(json.dumps(inventory()))
