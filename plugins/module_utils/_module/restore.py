# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to a restore, or to its being taken back."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from .._core.backup import Backup, Order, Suspect, Tools
from .._core.backup_types import Context, Repository
from .._core.catalog import Place, new_id, note_name, select
from .._core.errors import VerifyFailed
from .._core.lease import Claim
from .._core.manifest import canonical
from .._core.proof import Bench, invariants_of
from .._core.restore import Steps, Wish, confirm, describe, estimate_seconds, plan_restore, restore
from .._core.times import rfc3339
from .backup import deadline_of, existing, place_of
from .backup_kinds import codec, repository_of, source_of, state_of, target_of
from .progress import Progress


def bring_back(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``restore``."""
    if params["undo"]:
        return take_back(params, check_mode)
    now, place = time.time(), place_of(params)
    repository = repository_of(params["repository"])
    artifact = select(existing(repository, _place_from(place, params["from"])), params["select"], now)
    tag = new_id(now, os.urandom(4))
    target = target_of(params["source"], Context(deadline_of(params), now, tag))
    identity = target.identity()
    wish = Wish(socket.gethostname(), invariants_of(params["invariants"]), params["manifest_sha256"], params["allow_suspect"])
    plan = plan_restore(artifact, identity, wish)
    told = {
        "changed": True, "plan": list(plan.steps), "doubts": list(plan.doubts), "confirm": plan.token, "artifact": artifact.summary(),
        "estimated_seconds": estimate_seconds(artifact), "restore": None, "in_use": identity.in_use,
        "diff": {"before": f"{identity.place}: {'what is there now' if identity.exists else 'nothing'}\n", "after": describe(plan, artifact)},
    }  # fmt: skip
    if check_mode:
        return told
    confirm(plan, params["confirm"])
    state, name = state_of(params["state_dir"]), f"restore-{tag}"
    intent = {"run_id": params["run_id"], "place": identity.place, "artifact": artifact.id, "tag": tag, "begun_at": rfc3339(now)}
    with state.locked(Claim(_lease_name(identity.place), params["run_id"], f"restoring {artifact.id}", params["timeout_seconds"])):
        state.begin(name, {**intent, "stage": "stage"})
        steps = Steps(
            lambda: _save(params, place, repository, tag) if identity.exists else None,
            lambda body: state.begin(name, {**intent, **body}),
        )  # fmt: skip
        bench = Bench(repository, codec(), time.time, Progress(params["progress_file"], "restore"))
        try:
            done = restore(artifact, bench, target, wish, steps)
        except BaseException:
            state.done(name)  # it was taken back
            raise
        state.keep(tag, {**intent, "swapped": done["swapped"]})
        state.done(name)
    return {**told, "performed": list(plan.steps), "restore": {**done, "id": tag}}


def _place_from(place: Place, given: Mapping[str, Any] | None) -> Place:
    """Backups of another environment, system or name are restored only when that is said in so many words."""
    given = given or {}
    return Place(given.get("environment") or place.environment, given.get("system") or place.system, place.kind, given.get("name") or place.source)


def _lease_name(place: str) -> str:
    return f"restore-{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def _save(params: Mapping[str, Any], place: Place, repository: Repository, tag: str) -> dict[str, Any]:
    """A backup of what is there, pinned so that no cleanup takes it. What is too broken to be read is kept by the swap alone."""
    now = time.time()
    order = Order(place, new_id(now, os.urandom(4)), socket.gethostname(), params["run_id"], min_objects=0, max_shrink_percent=100.0)
    source = source_of(params["source"], Context(deadline_of(params), now, order.id))
    backup = Backup(order, source, Tools(repository, codec(), time.time))
    repository.initialize()
    with repository.locked(place.prefix):
        try:
            backup.take(backup.plan())
        except Suspect:
            pass
        except VerifyFailed as error:
            return {"id": None, "reason": f"what is there cannot be read, and is only kept beside: {error.message}"}
        body = {"run_id": params["run_id"], "reason": f"what was there before the restore {tag}"}
        repository.create(note_name(place.prefix, order.id, "pin", tag), canonical(body))
    return {"id": order.id, "reason": "what was there before"}


def take_back(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """What was there before the restore ``undo`` comes back."""
    tag = params["undo"]
    target = target_of(params["source"], Context(deadline_of(params), time.time(), tag))
    step = {"action": "undo", "name": target.identity().place, "reason": f"what was there before the restore {tag} comes back"}
    told = {"changed": True, "plan": [step], "artifact": None, "restore": None}
    if check_mode:
        return told
    state, name = state_of(params["state_dir"]), f"restore-{tag}"
    with state.locked(Claim(_lease_name(target.identity().place), params["run_id"], f"undoing {tag}", params["timeout_seconds"])):
        target.undo(state.kept(tag).get("swapped") or {})
        target.discard()
        state.done(name)
    return {**told, "performed": [step]}
