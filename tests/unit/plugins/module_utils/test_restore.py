# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore decides: whether it may be, what has to be known before, which plan was confirmed, in which order, and what is taken back.

Repository and compression are real; the place that is restored into is in memory, and fails where a test wants it to.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Identity, Inventory
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, note_name
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import CommandFailed, InUse, NoSpace, Refused, RunbookError, Unreachable, Unsure
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import Bench, NotRestored, invariants_of, prove
from ansible_collections.tradeops.runbook.plugins.module_utils._core.restore import (
    NotConfirmed,
    NotFit,
    Plan,
    Steps,
    Wish,
    confirm,
    describe,
    estimate_seconds,
    plan_restore,
    restore,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Corrupt
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.backups import Site, fill, rows
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.test_backup import BODY, PLACE, Depot, MemorySource
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.test_proof import MemoryTarget, file_of, flip

HERE = Identity("/data/orders.db", system_id="s1")
WISH = Wish("db1")


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    """With one artifact that is proven to restore."""
    made = Depot(tmp_path / "repository")
    made.take()
    prove(made.newest(), "restored", made.bench(), dict)
    return made


def other(artifact: Artifact, **changes: Any) -> Artifact:
    """With other words in its manifest."""
    return replace(artifact, manifest={**(artifact.manifest or {}), **changes})


# --- the plan ----------------------------------------------------------------------------------------------------------------------


def test_over_what_is_there(depot: Depot) -> None:
    artifact = depot.newest()
    plan = plan_restore(artifact, HERE, WISH)
    assert [(step["action"], step["name"]) for step in plan.steps] == [
        ("back_up", HERE.place), ("check", artifact.id), ("stage", artifact.id), ("swap", HERE.place),
    ]  # fmt: skip
    assert plan.steps[2]["bytes"] == len(BODY) and all(step["reason"] for step in plan.steps)
    assert "2026-11-20T12:00:00Z" in plan.steps[3]["reason"] and plan.doubts == []


def test_where_nothing_is_there_is_nothing_to_save(depot: Depot) -> None:
    plan = plan_restore(depot.newest(), replace(HERE, exists=False), WISH)
    assert [step["action"] for step in plan.steps] == ["check", "stage", "swap"]


@pytest.mark.parametrize(
    ("identity", "wish", "doubt"),
    [
        (HERE, WISH, None),
        (HERE, Wish("db2"), "it was taken on the host db1, and this is db2"),
        (replace(HERE, place="/data/trades.db"), WISH, "it was taken of /data/orders.db, and goes to /data/trades.db"),
        (replace(HERE, system_id="s2"), WISH, "it was taken of a server with the identifier s1, and this one has s2"),
        (replace(HERE, system_id=""), WISH, None),
        (replace(HERE, in_use="nextrade (12)"), WISH, None),
        (replace(HERE, engine="99"), WISH, None),
    ],
)
def test_what_somebody_should_know_who_confirms(identity: Identity, wish: Wish, doubt: str | None, depot: Depot) -> None:
    plan = plan_restore(depot.newest(), identity, wish)
    assert plan.doubts == ([doubt] if doubt else [])
    assert plan.token == plan_restore(depot.newest(), identity, wish).token, "the same plan has the same token"
    assert all(f"mind: {told}\n" in describe(plan, depot.newest()) for told in plan.doubts)


@pytest.mark.parametrize(("levels", "said"), [((), "none"), (("digest",), "digest"), (("digest", "readable"), "readable")])
def test_that_it_was_never_restored_is_a_doubt(levels: tuple[str, ...], said: str, tmp_path: Path) -> None:
    depot = Depot(tmp_path / "repository")
    depot.take()
    for level in levels:
        prove(depot.newest(), level, depot.bench(), dict)
    assert plan_restore(depot.newest(), HERE, WISH).doubts == [f"the backup was never proven to restore (its level is {said})"]


def test_several_doubts_are_all_told(depot: Depot) -> None:
    plan = plan_restore(depot.newest(), Identity("/elsewhere", system_id="s2"), Wish("db2"))
    assert len(plan.doubts) == 3
    with pytest.raises(NotConfirmed) as caught:
        confirm(plan, "")
    assert all(doubt in caught.value.message for doubt in plan.doubts)


def test_a_suspect_one_is_restored_only_when_that_is_allowed_and_said(depot: Depot) -> None:
    depot.now += 60
    depot.suspect(MemorySource(suspect="a page is torn", taken_at=depot.now))
    with pytest.raises(NotFit, match="is suspect: a page is torn") as caught:
        plan_restore(depot.newest(), HERE, WISH)
    assert "allow_suspect" in caught.value.hint
    plan = plan_restore(depot.newest(), HERE, replace(WISH, allow_suspect=True))
    assert "the backup is suspect: a page is torn" in plan.doubts


def failed(depot: Depot) -> None:
    def check() -> Mapping[str, Any]:
        raise Corrupt("it has other bytes")

    with pytest.raises(Corrupt):
        prove(depot.newest(), "digest", depot.bench(), check)


def removing(depot: Depot) -> None:
    depot.repository.create(note_name(PLACE.prefix, depot.newest().id, "removed"), b"{}\n")


@pytest.mark.parametrize("allow_suspect", [False, True])
@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (failed, NotFit, "is corrupt: its last proof failed"),
        (removing, NotFit, "is removing"),
        (lambda depot: file_of(depot, 0).unlink(), Corrupt, "is damaged: .* is missing"),
        (lambda depot: depot.repository.delete(note_name(PLACE.prefix, depot.newest().id, "manifest")), Corrupt, "it has no manifest"),
    ],
    ids=["a proof failed", "it is being removed", "no data", "no manifest"],
)
def test_what_is_not_good_is_never_restored(
    damage: Callable[[Depot], Any], error: type[RunbookError], said: str, allow_suspect: bool, depot: Depot
) -> None:  # fmt: skip
    damage(depot)
    with pytest.raises(error, match=said):
        plan_restore(depot.newest(), HERE, replace(WISH, allow_suspect=allow_suspect))


def test_another_manifest_than_the_one_that_was_recorded(depot: Depot) -> None:
    artifact = depot.newest()
    assert plan_restore(artifact, HERE, replace(WISH, manifest_sha256=artifact.manifest_sha256)) == plan_restore(artifact, HERE, WISH)
    with pytest.raises(NotFit, match=f"the manifest of {artifact.id} is not the one that was recorded") as caught:
        plan_restore(artifact, HERE, replace(WISH, manifest_sha256="0" * 64))
    assert "who" in caught.value.hint


def test_a_backup_of_another_environment_is_a_doubt(tmp_path: Path) -> None:
    site = Site(tmp_path).make()
    site.take(environment="staging")
    told = site.restore(check_mode=True, select="latest", **{"from": {"environment": "staging"}})
    assert any("staging" in doubt and "production" in doubt for doubt in told["doubts"])


def test_a_backup_that_takes_longer_than_its_objective_is_a_doubt(depot: Depot) -> None:
    artifact = depot.newest()
    slow = replace(artifact, proofs=[{**artifact.proofs[-1], "seconds": 5 * 3600.0}])
    assert plan_restore(slow, HERE, replace(WISH, rto_seconds=5 * 3600.0)).doubts == plan_restore(slow, HERE, WISH).doubts == []
    [doubt] = plan_restore(slow, HERE, replace(WISH, rto_seconds=4 * 3600.0)).doubts
    assert doubt == "it took 5 h when it was last proven, longer than the 4 h of its RTO"


# --- the confirmation --------------------------------------------------------------------------------------------------------------


def test_another_plan_has_another_token(depot: Depot) -> None:
    """Whatever of a plan is different: its artifact, its place, its steps or its doubts."""
    first = depot.newest()
    depot.now += 60
    depot.take(MemorySource(taken_at=depot.now))
    second = depot.newest()
    artifacts = [first, second, replace(second, manifest_sha256="0" * 64), replace(first, proofs=()), other(first, suspect="a page is torn")]
    identities = [Identity(place, exists, system_id=system) for place in ("/data/orders.db", "/b") for exists in (True, False) for system in ("", "s1", "s2")]
    plans = [
        plan_restore(artifact, identity, Wish(host, allow_suspect=True))
        for artifact, identity, host in itertools.product(artifacts, identities, ("db1", "db2"))
    ]
    tokens = {plan.token for plan in plans}
    assert len(tokens) == len(plans) and all(len(token) == 8 and int(token, 16) >= 0 for token in tokens)


def test_what_changes_from_one_minute_to_the_next_changes_no_token(depot: Depot) -> None:
    """Else nobody could confirm a plan of a database that is written to."""
    token = plan_restore(depot.newest(), HERE, WISH).token
    depot.now += 60
    prove(depot.newest(), "restored", depot.bench(), dict)
    depot.repository.create(note_name(PLACE.prefix, depot.newest().id, "pin", "run-2"), b"{}\n")
    assert plan_restore(depot.newest(), replace(HERE, size_bytes=99, in_use="nextrade (12)"), WISH).token == token


@pytest.mark.parametrize(("change", "said"), [("", "this one was not confirmed"), ("00000000", '"00000000" is the confirmation of another plan')])
def test_nothing_but_its_own_token_confirms_a_plan(change: str, said: str, depot: Depot) -> None:
    plan = plan_restore(depot.newest(), HERE, WISH)
    confirm(plan, plan.token)
    with pytest.raises(NotConfirmed, match=said) as caught:
        confirm(plan, change)
    assert isinstance(caught.value, Refused) and f"restore_confirm={plan.token}" in caught.value.hint and "Mind" not in caught.value.message
    for near in (plan.token.upper() + " ", plan.token[:-1], f"{plan.token}0"):
        with pytest.raises(NotConfirmed):
            confirm(plan, near)


def test_how_long_it_may_take_is_known_from_the_last_time(depot: Depot) -> None:
    assert estimate_seconds(replace(depot.newest(), proofs=())) is None
    before = depot.newest()
    assert describe(plan_restore(before, HERE, WISH), before).endswith("it took 0 ms when it was last proven\n")

    def slow() -> Mapping[str, Any]:
        depot.now += 90
        return {}

    def wrong() -> Mapping[str, Any]:
        depot.now += 5
        raise NotRestored("it does not restore right")

    prove(depot.newest(), "restored", depot.bench(), slow)
    prove(depot.newest(), "digest", depot.bench(), dict)
    with pytest.raises(NotRestored):
        prove(depot.newest(), "restored", depot.bench(), wrong)
    assert estimate_seconds(depot.newest()) == 90.0


# --- the order of the steps --------------------------------------------------------------------------------------------------------


class Reads(Directory):
    """A real repository that notes when it is read."""

    def __init__(self, path: str, log: list[str]) -> None:
        super().__init__({"path": path})
        self._log = log

    def open(self, name: str, offset: int = 0) -> Any:
        self._log.append("read")
        return super().open(name, offset)


class Notes:
    """Everything that happens, in one list: reading the repository, what is done to the target, saving, and what is written to disk before."""

    def __init__(self, depot: Depot, target: MemoryTarget, fails: Mapping[str, BaseException] | None = None) -> None:
        self.log, self._fails, self.bodies = target.log, fails or {}, list[Mapping[str, Any]]()
        reads: Any = Reads(depot.repository.path, self.log)
        self.bench = Bench(reads, Zstd(), lambda: depot.now)
        self.steps = Steps(self._save, self._note)

    def _save(self) -> Mapping[str, Any]:
        self.log.append("save")
        if "save" in self._fails:
            raise self._fails["save"]
        return {"id": "saved"}

    def _note(self, body: Mapping[str, Any]) -> None:
        self.log.append(f"note {body['stage']}")
        self.bodies.append(body)
        if body["stage"] in self._fails:
            raise self._fails[body["stage"]]


HOLDS = invariants_of([{"name": "no quantity is below 1", "query": "bad", "limits": {"value": {"critical": "!= 0"}}}])
ALL = ["save", "read", "read", "stage", "inventory", "ask", "note swap", "begin swap", "swap", "note swapped"]


def attempt(depot: Depot, target: MemoryTarget, fails: Mapping[str, BaseException] | None = None) -> tuple[Any, Notes]:
    """A restore with one invariant; its result or its error, and what happened."""
    notes = Notes(depot, target, fails)
    target.answers.setdefault("bad", 0)
    try:
        return restore(depot.newest(), notes.bench, target, Wish("db1", HOLDS), notes.steps), notes
    except BaseException as error:
        return error, notes


def test_saved_checked_staged_compared_and_only_then_swapped(depot: Depot) -> None:
    depot.now += 3600
    target = MemoryTarget()
    done, notes = attempt(depot, target)
    assert target.log == ALL and (target.now, target.old) == (BODY, b"what was there")
    assert notes.bodies == [{"stage": "swap"}, {"stage": "swapped", "swapped": {"old": "/data/orders.db.before"}}], "on disk before, and as soon as it is done"
    assert {key: done[key] for key in ("saved", "swapped", "seconds", "lost_seconds")} == {
        "saved": {"id": "saved"}, "swapped": {"old": "/data/orders.db.before"}, "seconds": 0.0, "lost_seconds": 3600,
    }  # fmt: skip
    assert [(answer["name"], answer["status"]) for answer in done["invariants"]] == [("no quantity is below 1", "ok")]


def test_what_somebody_has_open_is_left_alone(depot: Depot) -> None:
    target = MemoryTarget(in_use="nextrade (12)")
    error, _notes = attempt(depot, target)
    assert isinstance(error, InUse) and "open in nextrade (12)" in error.message and target.log == []


LOST = Unreachable("the server is gone")


@pytest.mark.parametrize("kind", [LOST, KeyboardInterrupt()], ids=["error", "signal"])
@pytest.mark.parametrize(
    ("step", "until"),
    [("save", 1), ("stage", 4), ("inventory", 5), ("ask", 6)],
)
def test_a_step_before_the_swap_fails(step: str, until: int, kind: BaseException, depot: Depot) -> None:
    target = MemoryTarget({step: kind})
    error, notes = attempt(depot, target, {step: kind})
    assert error is kind and target.now == b"what was there" and target.staged is None and notes.bodies == []
    assert target.log == [*ALL[:until], *([] if step == "save" else ["discard"])], "and nothing is taken back that was not begun"


def test_an_artifact_that_is_not_whole_is_found_before_anything_is_staged(depot: Depot) -> None:
    flip(depot, 0)
    target = MemoryTarget()
    error, _notes = attempt(depot, target)
    assert isinstance(error, Corrupt) and target.log == ["save", "read"] and target.now == b"what was there"


@pytest.mark.parametrize(
    ("counted", "answer", "said", "until"),
    [
        (Inventory({"table orders": {"rows": 6}}, {"objects": 10}, "d1"), 0, "table orders: rows is 6, not 7", 5),
        (None, 3, "no quantity is below 1: value is 3", 6),
        (None, None, "no quantity is below 1: value is nothing", 6),
    ],
)
def test_what_was_staged_is_wrong_and_is_not_swapped_in(counted: Inventory | None, answer: Any, said: str, until: int, depot: Depot) -> None:
    target = MemoryTarget()
    target.counted, target.answers = counted or target.counted, {"bad": answer}
    error, notes = attempt(depot, target)
    assert isinstance(error, NotRestored) and said in error.message
    assert target.log == [*ALL[:until], "discard"] and target.now == b"what was there" and notes.bodies == []


def test_when_it_cannot_be_written_down_nothing_is_swapped(depot: Depot) -> None:
    target = MemoryTarget()
    error, _notes = attempt(depot, target, {"swap": NoSpace("the disk is full")})
    assert isinstance(error, NoSpace) and target.log == [*ALL[:7], "discard"] and target.now == b"what was there"


# --- taken back --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "error", "undone"),
    [
        ("begin swap", InUse("somebody came"), False),
        ("begin swap", Refused("not now"), False),
        ("begin swap", LOST, True),
        ("swap", CommandFailed(["mv"], 1, ""), True),
        ("swap", Unsure("the folder could not be brought to disk"), True),
        ("swap", KeyboardInterrupt(), True),
    ],
    ids=["busy", "refused", "no answer", "half-way", "unsure", "signal"],
)
def test_a_swap_that_breaks_is_taken_back(step: str, error: BaseException, undone: bool, depot: Depot) -> None:
    """Whoever is busy or refuses has not begun."""
    target = MemoryTarget({step: error})
    found, _notes = attempt(depot, target)
    assert found is error and target.now == b"what was there" and target.staged is None
    assert target.log == [*ALL[: ALL.index(step) + 1], *(["undo"] if undone else []), "discard"]


@pytest.mark.parametrize("error", [NoSpace("the disk is full"), InUse("the state is locked"), Refused("no"), KeyboardInterrupt()])
def test_a_swap_that_cannot_be_written_down_is_taken_back(error: BaseException, depot: Depot) -> None:
    """Also when it is a kind of error that a swap raises before it begins."""
    target = MemoryTarget()
    found, _notes = attempt(depot, target, {"swapped": error})
    assert found is error and target.now == b"what was there"
    assert target.log == [*ALL, "undo", "discard"] and target.undone == [{"old": "/data/orders.db.before"}], "it is told what the swap said"


def test_when_it_cannot_be_taken_back_nobody_claims_anything(depot: Depot) -> None:
    target = MemoryTarget({"swap": CommandFailed(["mv"], 1, "input/output error"), "undo": LOST})
    found, _notes = attempt(depot, target)
    assert isinstance(found, Unsure) and "input/output error" in found.message and "could not be taken back: the server is gone" in found.message
    assert "undo" in found.hint and target.now == BODY


def test_nobody_claims_anything_also_when_the_cleaning_fails(depot: Depot) -> None:
    """The same lost connection breaks all three."""
    target = MemoryTarget({"swap": LOST, "undo": LOST, "discard": LOST})
    found, _notes = attempt(depot, target)
    assert isinstance(found, Unsure)


def test_the_first_error_is_told_when_the_cleaning_fails_too(depot: Depot) -> None:
    target = MemoryTarget({"inventory": NotRestored("it does not restore right"), "discard": LOST})
    found, _notes = attempt(depot, target)
    assert isinstance(found, NotRestored)


# --- what is on disk meanwhile, with a real database ---------------------------------------------------------------------------------


def test_the_intent_tells_where_it_is_and_goes_when_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path).make()
    made = site.proven()
    site.database.unlink()
    fill(site.database, rows=3)
    wanted, stages = rows(site.database), list[str]()
    state = type(site.memory())
    begin = state.begin

    def told(self: Any, name: str, body: Mapping[str, Any]) -> None:
        begin(self, name, body)
        [intent] = site.memory().intents().values()
        assert intent == body and (intent["artifact"], intent["place"], intent["run_id"]) == (made["id"], str(site.database), "run-1")
        assert name == f"restore-{intent['tag']}" and ("swapped" in intent) == (intent["stage"] == "swapped")
        stages.append(intent["stage"])

    monkeypatch.setattr(state, "begin", told)
    done = site.confirmed(select=made["id"])["restore"]
    assert stages == ["stage", "swap", "swapped"] and site.memory().intents() == {}
    assert site.memory().kept(done["id"])["swapped"] == done["swapped"]
    site.restore(undo=done["id"])
    assert rows(site.database) == wanted


@pytest.mark.parametrize("late", [False, True], ids=["before", "while it waits for its turn"])
def test_the_plan_is_looked_at_once_more_when_nobody_else_can_change_it(late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was confirmed is of the database that was there; it is gone now."""
    site = Site(tmp_path).make()
    site.proven()
    token, state = site.restore(check_mode=True)["confirm"], type(site.memory())
    locked = state.locked

    def waiting(self: Any, claim: Any) -> Any:
        site.database.unlink()
        return locked(self, claim)

    if late:
        monkeypatch.setattr(state, "locked", waiting)
    else:
        site.database.unlink()
    with pytest.raises(NotConfirmed):
        site.restore(confirm=token)
    assert not site.database.exists() and site.memory().intents() == {}


def test_a_plan_is_no_more_than_its_words() -> None:
    assert describe(Plan([{"action": "swap", "name": "a", "reason": "b"}], ["c"], "d"), Artifact("x", "p/")) == "swap: a (b)\nmind: c\n"
