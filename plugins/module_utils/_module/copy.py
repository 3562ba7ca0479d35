# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to copies of backups in another repository."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import Any

from .._core.backup_types import Repository
from .._core.catalog import Artifact, Place, newest_good, read_catalog
from .._core.copy import Copying, Plan, Wish, check_room, plan_copy
from .._core.errors import InvalidInput, NotThere, RunbookError
from .._core.proof import Bench
from .acting import classify
from .backup import deadline_of, place_of
from .backup_kinds import KINDS, codec, repository_of
from .backup_spec import REPOSITORY
from .progress import Progress

COPIES: dict[str, Any] = {
    **REPOSITORY,
    "type": "list",
    "elements": "dict",
    "required": False,
    "default": [],
    "options": {"name": {"type": "str"}, **REPOSITORY["options"]},
}
"""Other repositories that hold copies: each as a repository, with a name beside its kind."""


def copy(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``backup_copy``."""
    now, place, deadline = time.time(), place_of(params), deadline_of(params)
    if KINDS[place.kind].forget is not None:
        raise InvalidInput(f"the data of backups of the kind {place.kind} is in a repository of its own", "give that engine a second repository (repo2)")
    source, target = repository_of(params["repository"], deadline), repository_of(params["to"], deadline)
    if not source.identity().exists:
        if check_mode:  # the backup before was not taken either
            return {**_told(Plan([], ["there is no repository yet"]), []), "newest": None}
        raise NotThere(f"{source.identity().place} is no repository yet", "take a backup first")
    check_other(source, target)
    wish = Wish(params["select"], target.identity().place, now)
    here, there = read_catalog(source, place), known(target, place)
    plan = plan_copy(here, there, wish)
    check_room(plan, target)
    if check_mode or not plan.steps:
        return {**_told(plan, there), "newest": _newest(there, now)}
    target.initialize()
    with target.locked(place.prefix):
        there = read_catalog(target, place)  # another run may have just ended
        plan = plan_copy(here, there, wish)
        packing, progress = codec(None, deadline), Progress(params["progress_file"], "copy", deadline)
        copying = Copying(Bench(source, packing, time.time), Bench(target, packing, time.time, progress))
        done, failure = _carried_out(copying, plan, here, there)
    with suppress(RunbookError) if failure else nullcontext():  # the first error is the one to tell
        there = read_catalog(target, place)
    return {**_told(plan, there), "changed": bool(done), "performed": done, "copied_bytes": _bytes(done), "newest": _newest(there, now), **failure}


def check_other(source: Repository, target: Repository) -> None:
    """Raises InvalidInput when both are one, by whatever names: a copy in the same place is none."""
    one, other = source.identity(), target.identity()
    if other.exists and one.system_id == other.system_id:
        raise InvalidInput(f"{other.place} is the same repository as {one.place}, and so no copy of it", "give the copy a repository of its own")


def repository_part(given: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without its name: what it is kept in."""
    return {kind: options for kind, options in given.items() if kind != "name"}


def known(repository: Repository, place: Place) -> list[Artifact]:
    """Everything of one source; nothing where there is no repository yet."""
    return read_catalog(repository, place) if repository.identity().exists else []


def _carried_out(copying: Copying, plan: Plan, here: list[Artifact], there: list[Artifact]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What was done, also when it broke in the middle, and how it broke."""
    done: list[dict[str, Any]] = []
    try:
        for step in copying.carry_out(plan, here, there):
            done.append(step)
    except RunbookError as error:
        why = {**classify(error), "msg": error.message, "hint": error.hint}
        return done, {**why, "outcome": "partial"} if done else why
    return done, {}


def _told(plan: Plan, there: list[Artifact]) -> dict[str, Any]:
    going = {step["name"] for step in plan.steps if step["action"] == "copy"}
    before = {artifact.id for artifact in there if artifact.manifest is not None} - going
    diff = {"before": _lines(before), "after": _lines(before | going)}
    return {"changed": bool(plan.steps), "plan": plan.steps, "notes": plan.notes, "copied_bytes": _bytes(plan.steps), "diff": diff}


def _newest(there: list[Artifact], now: float) -> dict[str, Any] | None:
    newest = newest_good(there, now)
    return newest.summary() if newest else None


def _bytes(steps: list[dict[str, Any]]) -> int:
    return sum(step["bytes"] for step in steps)


def _lines(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))
