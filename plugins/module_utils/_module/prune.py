# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to the removal of old backups."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from .._core.catalog import Artifact
from .._core.errors import RunbookError
from .._core.keep import NEWEST_DOES_NOT_COUNT, Plan, plan_prune
from .._core.keep_rules import Policy
from .._core.prune import TooMuch, candidate, carry_out, check_amount, steps_of
from .backup import existing, place_of
from .backup_kinds import repository_of


def prune(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``backup_prune``."""
    policy = Policy.parse(params["keep"], "keep")
    place, repository = place_of(params), repository_of(params["repository"])
    if not repository.identity().exists:
        return {"decisions": [], "notes": ["there is no repository yet"], "freed_bytes": 0}
    with nullcontext() if check_mode else repository.locked(place.prefix):
        now, artifacts = time.time(), existing(repository, place)
        plan = plan_prune([candidate(artifact) for artifact in artifacts], policy, now)
        steps = steps_of(plan, artifacts, now)
        told = _told(plan, steps, artifacts)
        try:
            check_amount(steps, artifacts, params["max_remove_percent"])
        except TooMuch as error:  # whoever is to decide has to see the plan
            return {**told, "changed": False, "outcome": "refused", **_why(error)}
        return told if check_mode else {**told, **_done(carry_out(steps, artifacts, repository, params["run_id"]))}


def _told(plan: Plan, steps: list[dict[str, Any]], artifacts: list[Artifact]) -> dict[str, Any]:
    going = {step["name"] for step in steps if step["action"] != "revive"}
    before = [artifact.id for artifact in artifacts]
    return {
        "changed": bool(steps), "plan": steps, "decisions": plan.data()["decisions"], "notes": list(plan.notes),
        "outcome": "warn" if any(note.startswith(NEWEST_DOES_NOT_COUNT) for note in plan.notes) else "ok", "freed_bytes": _bytes(steps),
        "diff": {"before": _lines(before), "after": _lines([name for name in before if name not in going])},
    }  # fmt: skip


def _done(removing: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """What was done, also when it broke in the middle."""
    done: list[dict[str, Any]] = []
    try:
        for step in removing:
            done.append(step)
    except RunbookError as error:
        return {"changed": True, "performed": done, "freed_bytes": _bytes(done), "outcome": "partial", **_why(error)}
    return {"performed": done}


def _why(error: RunbookError) -> dict[str, str]:
    return {"code": error.code, "msg": error.message, "hint": error.hint}


def _bytes(steps: Iterable[Mapping[str, Any]]) -> int:
    return sum(step["bytes"] for step in steps)


def _lines(names: list[str]) -> str:
    return "".join(f"{name}\n" for name in names)
