# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a retention plan is carried out: in which order files go, how an interrupted removal is finished, and what never goes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, new_id, note_name
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.keep import Quarantined, plan_prune
from ansible_collections.tradeops.runbook.plugins.module_utils._core.keep_rules import Policy
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import prove, prove_readable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.prune import (
    ABANDONED_SECONDS,
    Removal,
    TooMuch,
    candidates,
    carry_out,
    check_amount,
    copied_until,
    steps_of,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Corrupt
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.test_backup import NOON, PLACE, Depot, MemorySource

DAY = 86400.0
ONE = Policy(last=1, minimum_restored=1)


class Breaking(Directory):
    """Notes every change, and breaks before or after the change of a number."""

    def __init__(self, path: str, at: int = -1, after: bool = False) -> None:
        super().__init__({"path": path})
        self.changes: list[str] = []
        self._at, self._after = at, after

    def _change(self, what: str, name: str, change: Any) -> None:
        breaks = len(self.changes) == self._at
        if not breaks or self._after:
            change()
            self.changes.append(f"{what} {name[len(PLACE.prefix) :]}")
        if breaks:
            raise RunbookError("the power failed")

    def create(self, name: str, body: bytes) -> None:
        self._change("create", name, lambda: super(Breaking, self).create(name, body))

    def delete(self, name: str) -> None:
        self._change("delete", name, lambda: super(Breaking, self).delete(name))


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    """With three artifacts of three days, each of two parts and proven to restore."""
    made = Depot(tmp_path / "repository")
    for _day in range(3):
        made.take(MemorySource(taken_at=made.now, attachments={"globals.sql": b"create role trader;"}))
        prove(made.newest(), "restored", made.bench(), dict)
        made.now += DAY
    return made


def note(depot: Depot, artifact: Artifact, role: str, rest: str = "") -> None:
    depot.repository.create(note_name(PLACE.prefix, artifact.id, role, rest), b"{}\n")


def steps(depot: Depot, policy: Policy = ONE) -> list[dict[str, Any]]:
    artifacts = depot.artifacts()
    return steps_of(plan_prune(candidates(artifacts), policy, depot.now), artifacts, depot.now)


def actions(depot: Depot, policy: Policy = ONE) -> list[tuple[str, str]]:
    return [(step["action"], step["name"]) for step in steps(depot, policy)]


def prune(depot: Depot, repository: Any = None, policy: Policy = ONE) -> list[dict[str, Any]]:
    return list(carry_out(steps(depot, policy), depot.artifacts(), Removal(repository or depot.repository, "run-9")))


def assert_true(depot: Depot) -> None:
    """Whatever looks good is."""
    for artifact in depot.artifacts():
        if artifact.state == "good":
            prove_readable(artifact, depot.bench())
        assert artifact.state in ("good", "removing", "incomplete")


# --- what retention is told --------------------------------------------------------------------------------------------------------


def test_what_retention_knows_of_an_artifact(depot: Depot) -> None:
    depot.take(MemorySource(taken_at=depot.now), retention_class="compliance")
    artifact = depot.newest()
    prove(artifact, "readable", depot.bench(), dict)
    note(depot, artifact, "hold", "case-17")
    note(depot, artifact, "pin", "run-3")
    found = candidates(depot.artifacts())[-1]
    assert (found.id, found.taken_at, found.complete, found.proof, found.restored_at) == (artifact.id, depot.now, True, "readable", None)
    assert (found.holds, found.pins, found.retention_class, found.started_removal) == (("case-17",), ("run-3",), "compliance", False)
    assert found.size_bytes == sum(depot.newest().stored.values()) and not found.failed_proof and not found.suspect
    assert candidates(depot.artifacts())[0].restored_at == NOON


def failed(depot: Depot, artifact: Artifact) -> None:
    def check() -> Mapping[str, Any]:
        raise Corrupt("it has other bytes")

    with pytest.raises(Corrupt):
        prove(artifact, "digest", depot.bench(), check)


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (failed, {"failed_proof": True, "proof": "", "restored_at": None, "complete": True}),
        (lambda depot, artifact: depot.repository.delete(f"{PLACE.prefix}{artifact.id}.data.sqlite.zst"), {"failed_proof": True, "complete": True}),
        (lambda depot, artifact: depot.repository.delete(f"{PLACE.prefix}{artifact.id}.manifest.json"), {"failed_proof": False, "complete": False}),
        (lambda depot, artifact: note(depot, artifact, "removed"), {"started_removal": True, "complete": True}),
    ],
    ids=["a proof failed", "no data", "no manifest", "a tombstone"],
)
def test_what_is_wrong_with_it(change: Any, figures: dict[str, Any], depot: Depot) -> None:
    change(depot, depot.newest())
    found = candidates(depot.artifacts())[-1]
    assert {name: getattr(found, name) for name in figures} == figures


def test_what_is_damaged_counts_for_nothing_also_with_a_tombstone(depot: Depot) -> None:
    newest = depot.newest()
    depot.repository.delete(f"{PLACE.prefix}{newest.id}.data.sqlite.zst")
    assert actions(depot) == [("remove", depot.artifacts()[0].id)], "the one before it is the newest good one"
    note(depot, newest, "removed")
    assert candidates(depot.artifacts())[-1].failed_proof
    assert ("remove", depot.artifacts()[1].id) not in actions(depot)


def test_a_suspect_one(depot: Depot) -> None:
    depot.suspect(MemorySource(suspect="a page is torn", taken_at=depot.now))
    assert candidates(depot.artifacts())[-1].suspect


# --- the order ---------------------------------------------------------------------------------------------------------------------


def test_tombstone_then_manifest_then_data_then_the_tombstone(depot: Depot) -> None:
    old, middle, new = depot.artifacts()
    watched = Breaking(depot.repository.path)
    done = prune(depot, watched)
    assert [(step["action"], step["name"], step["bytes"]) for step in done] == [
        ("remove", middle.id, middle.size_bytes), ("remove", old.id, old.size_bytes),
    ]  # fmt: skip
    assert all("no rule keeps it (last 1)" in step["reason"] for step in done)
    assert watched.changes[:6] == [
        f"create {middle.id}.removed.json", f"delete {middle.id}.manifest.json", f"delete {middle.id}.data.sqlite.zst",
        f"delete {middle.id}.part.globals.sql.zst", f"delete {middle.id}.proof.restored.20261121T120000Z.json", f"delete {middle.id}.removed.json",
    ]  # fmt: skip
    assert [artifact.id for artifact in depot.artifacts()] == [new.id] and {name.split("/")[-1].split(".")[0] for name in depot.files()} == {
        "tradeops-repository", new.id,
    }  # fmt: skip
    assert steps(depot) == [], "nothing is left to do"


def test_the_tombstone_says_why(depot: Depot) -> None:
    broken = Breaking(depot.repository.path, at=0, after=True)
    first = steps(depot)[0]
    with pytest.raises(RunbookError):
        prune(depot, broken)
    with depot.repository.open(note_name(PLACE.prefix, first["name"], "removed")) as reader:
        assert reader.read(10_000) == f'{{\n "reason": "{first["reason"]}",\n "run_id": "run-9"\n}}\n'.encode()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(12))
def test_an_interrupted_removal_is_finished_by_the_next(at: int, after: bool, depot: Depot) -> None:
    good = depot.newest()
    before = {name: body for name, body in depot.files().items() if good.id in name}
    broken: Any = Breaking(depot.repository.path, at, after)
    done: list[dict[str, Any]] = []
    with pytest.raises(RunbookError, match="the power failed"):
        for step in carry_out(steps(depot), depot.artifacts(), Removal(broken, "run-9")):
            done.append(step)
    assert len(done) == (at == 6) + (at > 6) and len(broken.changes) == at + after, "each is told when it is done, and no sooner"
    assert_true(depot)
    begun = [artifact.id for artifact in depot.artifacts() if artifact.removing]
    assert set(begun) <= {name for action, name in actions(depot) if action == "remove"}, "what was begun is taken up again"
    again = Breaking(depot.repository.path)
    prune(depot, again)
    assert not any(change == f"create {name}.removed.json" for name in begun for change in again.changes)
    left = {name for name in depot.files() if name != "tradeops-repository.json"}
    assert left == set(before) and {name: depot.files()[name] for name in before} == before


@pytest.mark.parametrize("at", range(5))
def test_a_hold_that_comes_after_an_interrupted_removal(at: int, depot: Depot) -> None:
    """While the manifest is there everything is, and it comes back; after that, what is left of it stays as it is."""
    middle = depot.artifacts()[1]
    with pytest.raises(RunbookError):
        prune(depot, Breaking(depot.repository.path, at, after=True))
    note(depot, middle, "hold", "case-17")
    before = {name for name in depot.files() if middle.id in name}
    assert [action for action, name in actions(depot) if name == middle.id] == (["revive"] if at == 0 else [])
    prune(depot)
    tombstone = note_name(PLACE.prefix, middle.id, "removed")
    assert {name for name in depot.files() if middle.id in name} == (before - {tombstone} if at == 0 else before)
    if at == 0:
        [revived] = [artifact for artifact in depot.artifacts() if artifact.id == middle.id]
        assert revived.state == "good"
        prove_readable(revived, depot.bench())


@pytest.mark.parametrize("role", ["hold", "pin"])
def test_what_is_held_or_pinned_stays(role: str, depot: Depot) -> None:
    old, middle, new = depot.artifacts()
    note(depot, old, role, "case-17")
    assert actions(depot) == [("remove", middle.id)]
    prune(depot)
    assert [artifact.id for artifact in depot.artifacts()] == [old.id, new.id]
    assert_true(depot)
    depot.repository.delete(note_name(PLACE.prefix, old.id, role, "case-17"))
    assert actions(depot) == [("remove", old.id)], "until it is released"


def test_steps_that_were_planned_before_are_carried_out_for_these_artifacts_alone(depot: Depot) -> None:
    planned, artifacts = steps(depot), depot.artifacts()
    depot.take(MemorySource(taken_at=depot.now))
    list(carry_out(planned, artifacts, Removal(depot.repository, "run-9")))
    assert len(depot.artifacts()) == 2
    with pytest.raises(KeyError):
        list(carry_out([{"action": "remove", "name": "another", "reason": ""}], artifacts, Removal(depot.repository, "run-9")))


# --- what an interrupted backup left -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "goes"), [(0.0, False), (ABANDONED_SECONDS, False), (ABANDONED_SECONDS + 1, True), (-DAY, False)])
def test_what_has_no_manifest_after_a_day_goes(age: float, goes: bool, depot: Depot) -> None:
    name = new_id(depot.now - age, bytes(4))
    depot.repository.create(f"{PLACE.prefix}{name}.data.sqlite.zst", b"half")
    depot.repository.create(f"{PLACE.prefix}{name}.part.globals.sql.zst", b"hal")
    found = [step for step in steps(depot, Policy(last=9)) if step["action"] == "sweep"]
    assert [(step["name"], step["bytes"]) for step in found] == ([(name, 7)] if goes else [])
    prune(depot, policy=Policy(last=9))
    assert any(name in file for file in depot.files()) != goes and len([one for one in depot.artifacts() if one.state == "good"]) == 3


def test_it_goes_last_and_does_not_count_as_a_backup_that_goes(depot: Depot) -> None:
    name = new_id(NOON - 30 * DAY, bytes(4))
    depot.repository.create(f"{PLACE.prefix}{name}.data.sqlite.zst", b"half")
    planned = steps(depot)
    assert [step["action"] for step in planned] == ["remove", "remove", "sweep"]
    check_amount(planned, depot.artifacts(), 66.7)


@pytest.mark.parametrize(
    ("role", "rest", "body"), [("hold", "case-17", b"{}\n"), ("pin", "run-3", b"{}\n"), ("proof", "digest.20261120T120000Z", b"{}\n"), ("manifest", "", b"{")]
)
def test_what_somebody_knew_of_is_not_taken_for_a_leftover(role: str, rest: str, body: bytes, depot: Depot) -> None:
    """A manifest that cannot be read, or a file that only a whole backup gets: somebody has to look."""
    name = new_id(NOON - 30 * DAY, bytes(4))
    depot.repository.create(f"{PLACE.prefix}{name}.data.sqlite.zst", b"data")
    depot.repository.create(note_name(PLACE.prefix, name, role, rest), body)
    assert name not in [planned for _action, planned in actions(depot)]


@pytest.mark.parametrize("at", range(3))
def test_an_interrupted_sweep_is_finished(at: int, depot: Depot) -> None:
    name = new_id(NOON - 30 * DAY, bytes(4))
    depot.repository.create(f"{PLACE.prefix}{name}.data.sqlite.zst", b"half")
    policy = Policy(last=9)
    with pytest.raises(RunbookError):
        prune(depot, Breaking(depot.repository.path, at, after=True), policy)
    assert_true(depot)
    assert [action for action, planned in actions(depot, policy) if planned == name] == ["remove"]
    prune(depot, policy=policy)
    assert not any(name in file for file in depot.files()) and len(depot.artifacts()) == 3


# --- how much may go ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "allowed"), [(0.0, False), (66.0, False), (66.7, True), (100.0, True)])
def test_two_of_three(most: float, allowed: bool, depot: Depot) -> None:
    before = depot.files()
    if allowed:
        check_amount(steps(depot), depot.artifacts(), most)
    else:
        with pytest.raises(TooMuch, match=f"2 of 3 backups would go, more than {most:g} %") as caught:
            check_amount(steps(depot), depot.artifacts(), most)
        assert "max_remove_percent" in caught.value.hint
    assert depot.files() == before


@pytest.mark.parametrize(("most", "allowed"), [(49.9, False), (50.0, True)])
def test_the_share_itself_is_allowed(most: float, allowed: bool, depot: Depot) -> None:
    artifacts = depot.artifacts()[:2]
    going = [{"action": "remove", "name": artifacts[0].id}, {"action": "sweep", "name": artifacts[1].id}, {"action": "revive", "name": artifacts[1].id}]
    if allowed:
        check_amount(going, artifacts, most)
    else:
        with pytest.raises(TooMuch, match="1 of 2 "):
            check_amount(going, artifacts, most)


def test_nothing_of_nothing_is_not_too_much(depot: Depot) -> None:
    check_amount([], [], 0.0)
    check_amount([], depot.artifacts(), 0.0)
    half = Artifact(new_id(NOON, bytes(4)), PLACE.prefix, removing=True)
    check_amount([{"action": "remove", "name": half.id}], [half, *depot.artifacts()], 0.0)


# --- chains of an engine of its own ------------------------------------------------------------------------------------------------


class Engine:
    """Keeps the data of artifacts by their labels, and refuses to break a chain, as pgBackRest does not."""

    def __init__(self, depot: Depot) -> None:
        self._depot, self.has, self.asked = depot, dict[str, tuple[str, ...]](), list[tuple[str, list[str]]]()

    def forget(self, manifest: Mapping[str, Any]) -> None:
        label = manifest["label"]
        files = sorted(name.split("/")[-1].partition(".")[2] for name in self._depot.files() if manifest["id"] in name and ".proof." not in name)
        self.asked.append((label, files))
        assert not [other for other, needs in self.has.items() if label in needs], f"{label} is needed"
        self.has.pop(label, None)


CHAIN = {"full1": (), "diff1": ("full1",), "incr1": ("diff1", "full1"), "full2": (), "incr2": ("full2",)}


@pytest.fixture
def chain(tmp_path: Path) -> Depot:
    """Of two full backups with what rests on them; all are proven."""
    made = Depot(tmp_path / "chain")
    for label, needs in CHAIN.items():
        made.take(MemorySource(taken_at=made.now, label=label, needs=[*needs, "made outside"] if label == "incr1" else needs))
        prove(made.newest(), "restored", made.bench(), dict)
        made.now += DAY
    return made


def engine_of(depot: Depot) -> Engine:
    engine = Engine(depot)
    engine.has = {manifest["label"]: tuple(manifest["needs"]) for manifest in (artifact.manifest for artifact in depot.artifacts()) if manifest}
    return engine


def labels(depot: Depot) -> list[str]:
    return [artifact.manifest["label"] for artifact in depot.artifacts() if artifact.manifest]


def test_needs_are_told_by_label_and_those_made_outside_are_not_ours(chain: Depot) -> None:
    names = {manifest["label"]: artifact.id for artifact in chain.artifacts() for manifest in [artifact.manifest] if manifest}
    assert [found.needs for found in candidates(chain.artifacts())] == [tuple(names[need] for need in needs) for needs in CHAIN.values()]


def test_artifacts_without_a_label_need_nothing(depot: Depot) -> None:
    assert [found.needs for found in candidates(depot.artifacts())] == [(), (), ()]


@pytest.mark.parametrize(
    ("last", "left"),
    [(1, ["full2", "incr2"]), (2, ["full2", "incr2"]), (3, ["full1", "diff1", "incr1", "full2", "incr2"])],
)
def test_a_chain_is_never_broken_and_dependents_go_first(last: int, left: list[str], chain: Depot) -> None:
    engine = engine_of(chain)
    list(carry_out(steps(chain, Policy(last=last, minimum_restored=1)), chain.artifacts(), Removal(chain.repository, "run-9", engine.forget)))
    assert labels(chain) == left == list(engine.has)
    assert [label for label, _files in engine.asked] == [label for label in ("incr1", "diff1", "full1") if label not in left]


def test_the_engine_forgets_after_the_tombstone_and_before_the_manifest_goes(chain: Depot) -> None:
    engine = engine_of(chain)
    list(carry_out(steps(chain), chain.artifacts(), Removal(chain.repository, "run-9", engine.forget)))
    assert engine.asked and all(files == ["data.sqlite.zst", "manifest.json", "removed.json"] for _label, files in engine.asked)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(16))
def test_an_interrupted_removal_of_a_chain_asks_the_engine_again(at: int, after: bool, chain: Depot) -> None:
    engine = engine_of(chain)
    removal = Removal(Breaking(chain.repository.path, at, after), "run-9", engine.forget)
    broke = False
    try:
        list(carry_out(steps(chain), chain.artifacts(), removal))
    except RunbookError:
        broke = True
    assert broke == (at < 15)
    for artifact in chain.artifacts():
        if artifact.state == "good" and artifact.manifest:
            assert {artifact.manifest["label"], *artifact.manifest["needs"]} - {"made outside"} <= set(engine.has), "what looks good can be restored"
    list(carry_out(steps(chain), chain.artifacts(), Removal(chain.repository, "run-9", engine.forget)))
    assert labels(chain) == ["full2", "incr2"] == list(engine.has)


def test_what_an_engine_may_have_forgotten_is_not_brought_back_by_a_hold(chain: Depot) -> None:
    def fails(manifest: Mapping[str, Any]) -> None:
        engine.forget(manifest)
        raise RunbookError("the power failed")

    engine, gone = engine_of(chain), chain.artifacts()[2]
    with pytest.raises(RunbookError):
        list(carry_out(steps(chain), chain.artifacts(), Removal(chain.repository, "run-9", fails)))
    note(chain, gone, "hold", "case-17")
    assert "incr1" not in engine.has and gone.id not in [name for _action, name in actions(chain)]
    assert [artifact.state for artifact in chain.artifacts() if artifact.id == gone.id] == ["removing"]


# --- copies ------------------------------------------------------------------------------------------------------------------------


def test_up_to_when_a_copy_has_the_data(depot: Depot, tmp_path: Path) -> None:
    """The newest one there that is good and the same as ours; nothing that is doubted, damaged, from the future, or begun to be removed."""
    artifacts = depot.artifacts()
    old, middle, new = artifacts

    def until(*copy: Artifact) -> float:
        return copied_until(copy, artifacts, depot.now)

    assert until() == -math.inf
    assert until(*artifacts) == new.taken_at and until(old, middle) == middle.taken_at
    assert until(old, replace(middle, manifest_sha256="0" * 64)) == old.taken_at
    assert until(old, replace(middle, problem="its data is missing")) == until(old, replace(middle, removing=True)) == old.taken_at
    assert until(old, replace(middle, manifest={**(middle.manifest or {}), "suspect": "torn"})) == old.taken_at
    foreign = replace(new, id=new_id(depot.now, b"abcd"), manifest_sha256="1" * 64, manifest={**(new.manifest or {}), "taken_at": rfc3339(depot.now)})
    assert until(old, foreign) == -math.inf, "somebody else wrote it, or we lost it: nobody knows what the copy has of ours"
    older = replace(foreign, manifest={**(new.manifest or {}), "taken_at": rfc3339(middle.taken_at)})
    assert until(old, older) == middle.taken_at, "what was pruned here"
    assert until(old, replace(foreign, manifest={**(new.manifest or {}), "taken_at": rfc3339(depot.now + DAY)})) == old.taken_at


def test_what_a_copy_lacks_is_said_of_each(depot: Depot) -> None:
    artifacts = depot.artifacts()
    name = new_id(depot.now, bytes(4))
    depot.repository.create(f"{PLACE.prefix}{name}.data.sqlite.zst", b"half")
    found = candidates(depot.artifacts(), {"offsite": artifacts[1].taken_at, "vault": artifacts[0].taken_at, "empty": -math.inf})
    assert [one.not_in for one in found] == [("empty",), ("vault", "empty"), ("offsite", "vault", "empty"), ("offsite", "vault", "empty")]
    assert [one.not_in for one in candidates(artifacts)] == [(), (), ()]


# --- quarantine --------------------------------------------------------------------------------------------------------------------


def test_beside_a_suspect_newest_nothing_goes(depot: Depot) -> None:
    depot.suspect(MemorySource(suspect="a page is torn", taken_at=depot.now))
    with pytest.raises(Quarantined):
        steps(depot)
    depot.now += 60
    depot.take(MemorySource(taken_at=depot.now))
    assert [action for action, _name in actions(depot)] == ["remove", "remove"]
