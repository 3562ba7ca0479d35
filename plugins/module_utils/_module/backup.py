# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to a backup, a list of backups, and proofs of them."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._core.backup import Backup, Order, Plan, Suspect, Tools
from .._core.backup_types import Context, Repository
from .._core.catalog import Artifact, Place, new_id, newest_good, read_catalog, select
from .._core.errors import InvalidInput, NotThere, RunbookError, Unsure
from .._core.probe import Deadline
from .._core.proof import Bench, admit, invariants_of, prove, prove_readable, prove_restored, prove_stored
from .._core.times import parse_instant, rfc3339
from .backup_kinds import check_replay, codec, kind_of, repository_of, source_of, target_of, until_of
from .backup_versions import versions_of
from .progress import Progress


def place_of(params: Mapping[str, Any]) -> Place:
    """Whose backups are meant."""
    kind = params.get("kind") or (kind_of(params["source"]) if params.get("source") else "")
    if not kind:
        raise InvalidInput("the kind of the backups is not given", "give kind, or source")
    return Place(params["environment"], params["system"], kind, params["name"])


def deadline_of(params: Mapping[str, Any]) -> Deadline:
    """Raises InvalidInput for a time of nothing."""
    if params["timeout_seconds"] <= 0:
        raise InvalidInput(f"timeout_seconds must be more than 0, not {params['timeout_seconds']}")
    return Deadline(params["timeout_seconds"], time.monotonic)


def take(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``backup``."""
    now, place = time.time(), place_of(params)
    order = _order(params, place, now)
    deadline = deadline_of(params)
    source = source_of(params["source"], Context(deadline, now, order.id))
    progress = Progress(params["progress_file"], "backup", deadline)
    tools = Tools(repository_of(params["repository"], deadline), codec(params["encryption"], deadline, params["compression_level"]), time.time, progress)
    backup = Backup(order, source, tools)
    plan = backup.plan()
    fresh = _fresh(plan, params["fresh_seconds"], now)
    if fresh is not None:
        return {"artifact": fresh, "newest": fresh}
    before = plan.newest.summary() if plan.newest else None
    if check_mode:
        return {"changed": True, "plan": plan.steps, "artifact": None, "newest": before, "diff": _diff(before, {"id": "a new backup"})}
    tools.repository.initialize()
    with tools.repository.locked(place.prefix):
        artifacts = read_catalog(tools.repository, place)  # another run may have just ended
        plan = replace(plan, artifacts=artifacts, newest=newest_good(artifacts, now))
        failure: dict[str, Any] = {}
        try:
            versions, notes = versions_of(params, source, deadline)
            Backup(replace(order, versions={**order.versions, **versions}, notes=notes), source, tools).take(plan)
        except Suspect as error:
            failure = {"outcome": "failed", "code": error.code, "hint": error.hint, "msg": error.message}
    artifact = _taken(tools.repository, place, order.id)
    made, notes = artifact.summary(), list((artifact.manifest or {})["notes"])
    told = {"changed": True, "plan": plan.steps, "performed": plan.steps, "artifact": made, "notes": notes, "newest": before, "diff": _diff(before, made)}
    return {**told, **failure}


def _taken(repository: Repository, place: Place, name: str) -> Artifact:
    """The artifact that was just made. Raises Unsure when it cannot be looked at: it is there all the same."""
    try:
        return select(read_catalog(repository, place), name, time.time())
    except RunbookError as error:
        raise Unsure(f"the backup {name} was taken, but cannot be looked at: {error.message}", "verify it before you rely on it (backup_verify)") from None


def _order(params: Mapping[str, Any], place: Place, now: float) -> Order:
    return Order(
        place, new_id(now, os.urandom(4)), socket.gethostname(), params["run_id"], params["retention_class"], params["min_objects"],
        params["max_shrink_percent"], {"python": platform.python_version()}, params["max_growth_percent"], params["accept_anomaly"],
    )  # fmt: skip


def _fresh(plan: Plan, seconds: float, now: float) -> dict[str, Any] | None:
    """The newest good backup, when it is so new that another one is not needed."""
    newest = plan.newest
    return newest.summary() if newest is not None and 0 <= now - newest.taken_at < seconds else None


def _diff(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    shown = ("id", "taken_at", "state", "size_bytes")
    return {"before": _lines(before or {}, shown), "after": _lines(after, shown), "before_header": "newest good backup", "after_header": "newest good backup"}


def _lines(data: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return "".join(f"{name}: {data[name]}\n" for name in names if name in data)


def existing(repository: Repository, place: Place) -> list[Artifact]:
    """Everything of one source. Raises NotThere when there is no repository."""
    if not repository.identity().exists:
        raise NotThere(f"{repository.identity().place} is no repository yet", "take a backup first")
    return read_catalog(repository, place)


def tell(params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``backup_info``."""
    now, place = time.time(), place_of(params)
    repository = repository_of(params["repository"])
    artifacts = read_catalog(repository, place) if repository.identity().exists else []
    if params["select"]:
        artifacts = [select(artifacts, params["select"], now)]
    newest = newest_good(artifacts, now)
    restored = [artifact for artifact in artifacts if artifact.state == "good" and artifact.restored_at is not None]
    return {
        "changed": False, "prefix": place.prefix, "artifacts": [artifact.summary() for artifact in artifacts],
        "newest": newest.summary() if newest else None, "newest_restored": restored[-1].summary() if restored else None,
        "size_bytes": sum(artifact.size_bytes for artifact in artifacts), "free_bytes": repository.free_bytes(), "measured_at": rfc3339(now),
        "covered": sorted(name for name in repository.covered if name.startswith(place.prefix)),
    }  # fmt: skip


def verify(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of ``backup_verify``."""
    now, place = time.time(), place_of(params)
    invariants = invariants_of(params["invariants"])
    scratch = params["scratch"] or params["source"]
    if kind_of(scratch) != place.kind:
        raise InvalidInput(f"a backup of the kind {place.kind} is not restored into a scratch place of the kind {kind_of(scratch)}", "give both the same kind")
    deadline = deadline_of(params)
    repository = repository_of(params["repository"], deadline)
    until = until_of(params["until"], place.kind)
    artifact = select(existing(repository, place), wanted(params["select"], until), now)
    if artifact.state in ("incomplete", "removing"):
        raise NotThere(f"the backup {artifact.id} is {artifact.state}: there is nothing to prove", "choose another one (backup_info)")
    level = params["level"]
    bench = Bench(repository, codec(params["encryption"], deadline), time.time, Progress(params["progress_file"], "verification", deadline))
    step = {"action": "prove", "name": artifact.id, "level": level, "reason": f"it is proven to the level {artifact.level or 'none'}"}
    if not until and artifact.level == level and _proven_at(artifact, level) > now - params["fresh_seconds"]:
        return {"artifact": artifact.summary(), "proof": None}
    opened = {} if level == "digest" else {"opened_with": admit(artifact, bench)}
    if check_mode:
        return {"changed": True, "plan": [step], "artifact": artifact.summary(), "proof": None}
    context = Context(deadline, now, artifact.id, scratch=True, until=until)
    check_replay(scratch, context, artifact.manifest or {})

    def check() -> Mapping[str, Any]:
        if level == "digest":
            prove_stored(artifact, bench)
        elif level == "readable":
            prove_readable(artifact, bench)
        else:
            target = target_of(scratch, context)
            return {**prove_restored(artifact, bench, target, invariants), "rpo_seconds": round(now - artifact.taken_at), **opened}
        return opened

    proof = prove(artifact, level, bench, check)
    after = select(read_catalog(repository, place), artifact.id, now)
    return {"changed": True, "plan": [step], "performed": [step], "artifact": after.summary(), "proof": proof}


def wanted(given: str, until: Mapping[str, str]) -> str:
    """Which artifact: with an instant up to which a log is replayed, the newest one before it, unless one is chosen by its id."""
    return until["time"] if given.startswith("latest") and "time" in until else given


def _proven_at(artifact: Artifact, level: str) -> float:
    return max([parse_instant(proof["at"]) for proof in artifact.proofs if proof["ok"] and proof["level"] == level], default=0.0)
