# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to the removal of old backups."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from .._core.backup_types import Repository
from .._core.catalog import Artifact
from .._core.errors import InvalidInput, RunbookError
from .._core.keep import NEWEST_DOES_NOT_COUNT, Plan, plan_prune
from .._core.keep_rules import Policy
from .._core.probe import Deadline
from .._core.prune import Removal, TooMuch, candidates, carry_out, check_amount, copied_until, steps_of
from .backup import existing, place_of
from .backup_kinds import forget_of, kind_of, repository_of
from .copy import check_other, known, repository_part

_SECONDS = 3600.0
"""Longer than any removal takes; a server that does not answer is given up before."""

NOT_COPIED = "until there is a copy in"  # how the note of a copy begins that has nothing, or cannot be asked


def prune(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``backup_prune``."""
    policy = Policy.parse(params["keep"], "keep")
    place, repository = place_of(params), repository_of(params["repository"], Deadline(_SECONDS, time.monotonic))
    forget = forget_of(params["source"], place.kind)
    if not repository.identity().exists:
        return {"decisions": [], "notes": ["there is no repository yet"], "freed_bytes": 0}
    with nullcontext() if check_mode else repository.locked(place.prefix):
        now, artifacts = time.time(), existing(repository, place)
        copied, unsure = _copied(params, repository, artifacts, now)
        plan = plan_prune(candidates(artifacts, copied), policy, now)
        steps = [] if unsure else steps_of(plan, artifacts, now)
        told = _told(replace(plan, notes=(*unsure, *plan.notes)), steps, artifacts)
        try:
            check_amount(steps, artifacts, params["max_remove_percent"])
        except TooMuch as error:  # whoever is to decide has to see the plan
            return {**told, "changed": False, "outcome": "refused", **_why(error)}
        return told if check_mode else {**told, **_done(carry_out(steps, artifacts, Removal(repository, params["run_id"], forget)))}


def _copied(params: Mapping[str, Any], repository: Repository, artifacts: list[Artifact], now: float) -> tuple[dict[str, float], list[str]]:
    """For every copy the instant up to which it has the data, by what is there now; and a note for each of which that is not known."""
    found, notes, place = {}, [], place_of(params)
    for given in params.get("copies") or ():
        name = given.get("name") or kind_of(repository_part(given))
        found[name] = -math.inf  # whoever cannot be asked has nothing: all that it should have stays
        try:
            copy = repository_of(repository_part(given), Deadline(_SECONDS, time.monotonic))
            there = known(copy, place)
            check_other(repository, copy)
            found[name] = copied_until(there, artifacts, now)
            why = "it has no good backup of this source, or newer ones that somebody else wrote" if found[name] == -math.inf else ""
        except InvalidInput:
            raise
        except RunbookError as error:
            why = error.message
        notes += [f"{NOT_COPIED} {name}, nothing is removed: {why}"] if why else []
    return found, notes


def _told(plan: Plan, steps: list[dict[str, Any]], artifacts: list[Artifact]) -> dict[str, Any]:
    going = {step["name"] for step in steps if step["action"] != "revive"}
    before = [artifact.id for artifact in artifacts]
    return {
        "changed": bool(steps), "plan": steps, "decisions": plan.data()["decisions"], "notes": list(plan.notes),
        "outcome": "warn" if any(note.startswith((NEWEST_DOES_NOT_COUNT, NOT_COPIED)) for note in plan.notes) else "ok", "freed_bytes": _bytes(steps),
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
