# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to the removal of old backups."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._core.catalog import Artifact
from .._core.keep import Plan, plan_prune
from .._core.keep_rules import Policy
from .._core.prune import candidate, carry_out, check_amount, steps_of
from .backup import existing, place_of
from .backup_kinds import repository_of


def prune(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``backup_prune``."""
    policy = Policy.parse(params["keep"], "keep")
    place, repository = place_of(params), repository_of(params["repository"])
    if not repository.identity().exists:
        return {"decisions": [], "notes": ["there is no repository yet"], "freed_bytes": 0}
    if check_mode:
        artifacts = existing(repository, place)
        plan, steps = _planned(params, policy, artifacts)
        return _told(plan, steps, [], artifacts)
    with repository.locked(place.prefix):
        artifacts = existing(repository, place)
        plan, steps = _planned(params, policy, artifacts)
        done = carry_out(steps, artifacts, repository, params["run_id"])
    return _told(plan, steps, done, artifacts)


def _planned(params: Mapping[str, Any], policy: Policy, artifacts: list[Artifact]) -> tuple[Plan, list[dict[str, Any]]]:
    now = time.time()
    plan = plan_prune([candidate(artifact) for artifact in artifacts], policy, now)
    steps = steps_of(plan, artifacts, now)
    check_amount(steps, artifacts, params["max_remove_percent"])
    return plan, steps


def _told(plan: Plan, steps: list[dict[str, Any]], done: list[dict[str, Any]], artifacts: list[Artifact]) -> dict[str, Any]:
    going = {step["name"] for step in steps if step["action"] != "revive"}
    before = [artifact.id for artifact in artifacts]
    return {
        "changed": bool(steps), "plan": steps, "performed": done, "decisions": plan.data()["decisions"], "notes": list(plan.notes),
        "outcome": "warn" if plan.notes and plan.notes[0].startswith("the newest") else "ok",
        "freed_bytes": sum(step["bytes"] for step in steps if step["name"] in going),
        "diff": {"before": _lines(before), "after": _lines([name for name in before if name not in going])},
    }  # fmt: skip


def _lines(names: list[str]) -> str:
    return "".join(f"{name}\n" for name in names)
