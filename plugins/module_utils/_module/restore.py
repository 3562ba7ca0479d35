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
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .._core.backup import Backup, Order, Suspect, Tools, check_sealed
from .._core.backup_types import Context
from .._core.catalog import Artifact, Place, new_id, note_name, select
from .._core.errors import Busy, InvalidInput, MissingLibrary, NotThere, Refused, RunbookError, TimedOut, Unreachable, Unsure, VerifyFailed
from .._core.lease import Claim
from .._core.manifest import canonical
from .._core.proof import Bench, admit, invariants_of
from .._core.restore import Steps, Wish, confirm, describe, estimate_seconds, plan_restore, restore
from .._core.times import rfc3339
from .backup import deadline_of, existing, place_of, wanted
from .backup_kinds import check_replay, codec, repository_of, source_of, target_of, until_of
from .backup_versions import versions_of
from .host_state import state_of
from .progress import Progress
from .restore_set import Together


def bring_back(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``restore``."""
    if params["undo"]:
        return take_back(params, check_mode)
    work = _Restore(params)
    if check_mode:
        return work.told()
    confirm(work.plan, params["confirm"])
    with work.state.locked(_claim(params, work.identity.place, f"restoring {work.artifact.id}")):
        _tidy(params, work.state, work.identity.place)
        work = _Restore(params)  # once more, now that nobody else changes anything
        confirm(work.plan, params["confirm"])
        together = Together(work.state, params)
        together.begin()
        done = work.carry_out()
        together.restored()
    return {**work.told(), "performed": list(work.plan.steps), "restore": {**done, "id": work.tag}}


class _Restore:
    """One restore: everything is looked at when it is made, and nothing is changed before ``carry_out``."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params, self._now, self._place = params, time.time(), place_of(params)
        self._deadline = deadline_of(params)
        self._repository = repository_of(params["repository"], self._deadline)
        until = until_of(params["until"], self._place.kind)
        self.artifact = select(existing(self._repository, _place_from(self._place, params["from"])), wanted(params["select"], until), self._now)
        self.tag = new_id(self._now, os.urandom(4))
        context = Context(self._deadline, self._now, self.tag, until=until)
        check_replay(params["source"], context, self.artifact.manifest or {})
        self._target = target_of(params["source"], context)
        self.identity = self._target.identity()
        invariants = invariants_of(params["invariants"])
        versions, _unknown = versions_of(params, source_of(params["source"], context), self._deadline)
        self._wish = Wish(
            socket.gethostname(), invariants, params["manifest_sha256"], params["allow_suspect"], self._place, params["rto_seconds"], until, versions
        )
        self.plan = plan_restore(self.artifact, self.identity, self._wish)
        self.state = state_of(params["state_dir"])
        self._bench = Bench(
            self._repository, codec(params["encryption"], self._deadline), time.time, Progress(params["progress_file"], "restore", self._deadline)
        )
        admit(self.artifact, self._bench)
        if self.identity.exists:
            _check_saving(self.artifact, self._bench)

    def told(self) -> dict[str, Any]:
        """The result so far."""
        place = self.identity.place
        return {
            "changed": True, "plan": list(self.plan.steps), "doubts": list(self.plan.doubts), "confirm": self.plan.token, "restore": None,
            "artifact": self.artifact.summary(), "estimated_seconds": estimate_seconds(self.artifact), "in_use": self.identity.in_use,
            "unfinished": Together(self.state, self._params).unfinished(),
            "diff": {"before": f"{place}: {'what is there now' if self.identity.exists else 'nothing'}\n", "after": describe(self.plan, self.artifact)},
        }  # fmt: skip

    def carry_out(self) -> dict[str, Any]:
        """What was done. What was begun is on disk before, and what can be undone as soon as it was done."""
        intent = {
            "run_id": self._params["run_id"], "place": self.identity.place, "artifact": self.artifact.id, "tag": self.tag, "begun_at": rfc3339(self._now),
            "lease": _claim_name(self.identity.place),
        }  # fmt: skip
        name = _intent_name(self.tag)

        def note(body: Mapping[str, Any]) -> None:
            self.state.begin(name, {**intent, **body})
            if "swapped" in body:
                self.state.keep(self.tag, {**intent, **body})

        note({"stage": "stage"})
        steps = Steps(lambda: _save(self._params, self._place, self._bench, self.tag) if self.identity.exists else None, note)
        try:
            done = restore(self.artifact, self._bench, self._target, self._wish, steps)
        except RunbookError as error:
            if not isinstance(error, Unsure):  # it was taken back
                with suppress(RunbookError):  # else the next restore removes what was staged
                    self._target.discard()
                    self.state.done(name)
            raise
        self.state.done(name)
        return done


def _tidy(params: Mapping[str, Any], state: Any, place: str) -> None:
    """Take back what an interrupted restore of the same place had begun: nobody does it any more, since we have the lease."""
    for name, intent in state.intents().items():
        if name == _intent_name(intent.get("tag", "")) and intent.get("place") == place:
            target = target_of(params["source"], Context(deadline_of(params), time.time(), intent["tag"]))
            if intent["stage"] == "swapped":
                state.keep(intent["tag"], intent)
            else:
                target.undo({})
            target.discard()
            state.done(name)


def _intent_name(tag: str) -> str:
    return f"restore-{tag}"


def _claim(params: Mapping[str, Any], place: str, reason: str) -> Claim:
    return Claim(_claim_name(place), params["run_id"], reason, params["timeout_seconds"])


def _claim_name(place: str) -> str:
    return f"restore-{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def _place_from(place: Place, given: Mapping[str, Any] | None) -> Place:
    """Backups of another environment, system or name are restored only when that is said in so many words."""
    given = given or {}
    return Place(given.get("environment") or place.environment, given.get("system") or place.system, place.kind, given.get("name") or place.source)


def _check_saving(artifact: Artifact, bench: Bench) -> None:
    """What is there is saved before it is replaced: encrypted, where the backup is, since an identity alone is refused. Raises NotSealed.

    Whom the manifest names is not enough: it is no place to learn from whom secrets are for.
    """
    check_sealed((artifact.manifest or {}).get("class", ""), bench.codec)
    bench.codec.check()


def _save(params: Mapping[str, Any], place: Place, bench: Bench, tag: str) -> dict[str, Any]:
    """A backup of what is there, pinned so that no cleanup takes it. What is too broken to be read is kept by the swap alone."""
    now = time.time()
    order = Order(place, new_id(now, os.urandom(4)), socket.gethostname(), params["run_id"], min_objects=0, max_shrink_percent=100.0)
    source = source_of(params["source"], Context(deadline_of(params), now, order.id))
    try:
        source.identity()
    except (Busy, InvalidInput, MissingLibrary, Refused, TimedOut, Unreachable):
        raise
    except RunbookError as error:
        return _only_beside(error)
    backup = Backup(order, source, Tools(bench.repository, bench.codec, time.time))
    repository = bench.repository
    repository.initialize()
    with repository.locked(place.prefix):
        try:
            backup.take(backup.plan())
        except Suspect:
            pass
        except VerifyFailed as error:
            return _only_beside(error)
        body = {"run_id": params["run_id"], "reason": f"what was there before the restore {tag}"}
        repository.create(note_name(place.prefix, order.id, "pin", tag), canonical(body))
    return {"id": order.id, "reason": "what was there before"}


def _only_beside(error: RunbookError) -> dict[str, Any]:
    return {"id": None, "reason": f"what is there cannot be read, and is only kept beside: {error.message}"}


def take_back(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """What was there before the restore ``undo`` comes back."""
    state, context = state_of(params["state_dir"]), Context(deadline_of(params), time.time(), params["undo"])
    place, together = target_of(params["source"], context).identity().place, Together(state, params)
    tag = _restore_of(params["undo"], place, state)
    known = state.kept(tag)
    told: dict[str, Any] = {"artifact": None, "restore": None, "unfinished": together.unfinished()}
    if params["set"] and state.kept(params["undo"]):
        raise InvalidInput(
            f"{params['undo']} is one restore, and not the run that restored a set", "give the id of the run, or restore_source instead of a set"
        )
    of_run = params["set"] or params["undo"] == params["run_id"]
    if of_run and (known.get("place") != place or "undone_at" in known):  # a member that the run did not come to
        if not check_mode:
            together.taken_back(params["undo"])
        return {**told, "unfinished": together.unfinished()}
    if known.get("place") != place:
        seen = f"that restore was of {known['place']}" if known else "nothing is known of it here"
        raise NotThere(f"there is no restore {tag} of {place}: {seen}", "its id is in its result (restore.id); see source and state_dir")
    if "undone_at" in known:
        return told
    target = target_of(params["source"], replace(context, tag=tag))
    step = {"action": "undo", "name": place, "reason": f"what was there before the restore {tag} comes back"}
    told = {**told, "changed": True, "plan": [step]}
    if check_mode:
        return told
    with state.locked(_claim(params, place, f"undoing {tag}")):
        target.undo(known.get("swapped") or {})
        target.discard()
        state.keep(tag, {**known, "undone_at": rfc3339(time.time())})
        state.done(_intent_name(tag))
        together.taken_back(params["undo"])
    return {**told, "performed": [step], "unfinished": together.unfinished()}


def _restore_of(given: str, place: str, state: Any) -> str:
    """The id of a restore, where that of its run was given."""
    of_run = [tag for tag, body in state.restores().items() if body.get("run_id") == given and body.get("place") == place and "undone_at" not in body]
    return of_run[-1] if of_run else given
