# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof proves: which damage each level finds and names, which answers break an invariant, and what is written down of it.

Repository and compression are real; the place that is restored into is in memory, and fails where a test wants it to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Identity, Inventory
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import LEVELS, Artifact, note_name
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, NoSpace, RunbookError, TimedOut, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.manifest import canonical, digest_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import (
    Bench,
    Invariant,
    NotRestored,
    ask,
    invariants_of,
    parts_of,
    prove,
    prove_readable,
    prove_restored,
    prove_stored,
    stage,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import BLOCK, Corrupt, drain
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.test_backup import BODY, NOON, PLACE, Depot, MemorySource

GLOBALS = b"create role trader;" * 50


class MemoryTarget:
    """A place in memory. ``now`` is what is there, ``log`` what was done to it, ``fails[step]`` what a step raises."""

    def __init__(self, fails: Mapping[str, BaseException] | None = None, reads: int | None = None, **facts: Any) -> None:
        self.now = b"what was there"
        self.staged: bytes | None = None
        self.old: bytes | None = None
        self.log: list[str] = []
        self.undone: list[Mapping[str, Any]] = []
        self.fails, self.reads, self.facts = dict(fails or {}), reads, facts
        self.answers: dict[str, Any] = {}
        self.counted = MemorySource().taken().inventory

    def _step(self, name: str) -> None:
        self.log.append(name)
        if name in self.fails:
            raise self.fails[name]

    def identity(self) -> Identity:
        return Identity(**{"place": "/data/orders.db", "system_id": "s1", **self.facts})

    def stage(self, stream: Any, manifest: Mapping[str, Any]) -> None:
        self._step("stage")
        self.staged = stream.read(BLOCK)[: self.reads]
        while self.reads is None and (block := stream.read(BLOCK)):
            self.staged += block

    def inventory(self) -> Inventory:
        self._step("inventory")
        return self.counted

    def ask(self, query: str) -> Any:
        self._step("ask")
        return self.answers[query]

    def swap(self) -> dict[str, Any]:
        self._step("begin swap")
        assert self.staged is not None
        self.old, self.now, self.staged = self.now, self.staged, None
        self._step("swap")
        return {"old": "/data/orders.db.before"}

    def undo(self, swapped: Mapping[str, Any]) -> None:
        self.undone.append(swapped)
        self._step("undo")
        if self.old is not None:
            self.now, self.old = self.old, None

    def discard(self) -> None:
        self.staged = None
        self._step("discard")


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    """With one artifact, of two parts."""
    made = Depot(tmp_path / "repository")
    made.take(MemorySource(attachments={"globals.sql": GLOBALS}))
    return made


def file_of(depot: Depot, number: int) -> Path:
    """Where a part of the newest artifact is."""
    return Path(depot.repository.path) / PLACE.prefix / str(parts_of(depot.newest())[number]["name"])


def rewrite(depot: Depot, change: Callable[[dict[str, Any]], None]) -> None:
    """Another manifest, as somebody makes one who wants it to fit."""
    artifact = depot.newest()
    path = Path(depot.repository.path) / note_name(PLACE.prefix, artifact.id, "manifest")
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_bytes(canonical(manifest))


def flip(depot: Depot, number: int) -> None:
    path = file_of(depot, number)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def recompress(depot: Depot, number: int) -> None:
    """Other content that unpacks well, and a manifest whose stored digest agrees with it."""
    packer = Zstd().compressor()
    plain = b"X" + (BODY, GLOBALS)[number][1:]
    body = packer.compress(plain) + packer.flush()
    file_of(depot, number).write_bytes(body)
    rewrite(depot, lambda manifest: manifest["parts"][number].update(stored_bytes=len(body), stored_sha256=digest_of(body)))


def no_frame(depot: Depot, number: int) -> None:
    """Bytes that are those of the manifest, and do not unpack."""
    body = b"no frame at all"
    file_of(depot, number).write_bytes(body)
    rewrite(depot, lambda manifest: manifest["parts"][number].update(stored_bytes=len(body), stored_sha256=digest_of(body)))


def plain_digest(depot: Depot, number: int) -> None:
    rewrite(depot, lambda manifest: manifest["parts"][number].update(plain_sha256="0" * 64))


def shorter(depot: Depot, number: int) -> None:
    rewrite(depot, lambda manifest: manifest["parts"][number].update(plain_bytes=10))


def check_of(level: str, artifact: Artifact, bench: Bench, target: MemoryTarget, invariants: Sequence[Invariant] = ()) -> Callable[[], Mapping[str, Any]]:
    """What is done for a level."""

    def check() -> Mapping[str, Any]:
        if level == "restored":
            return prove_restored(artifact, bench, target, invariants)
        {"digest": prove_stored, "readable": prove_readable}[level](artifact, bench)
        return {}

    return check


def run(level: str, depot: Depot, target: MemoryTarget | None = None, invariants: Sequence[Invariant] = ()) -> dict[str, Any]:
    artifact, bench = depot.newest(), depot.bench()
    return prove(artifact, level, bench, check_of(level, artifact, bench, target or MemoryTarget(), invariants))


def proofs(depot: Depot) -> dict[str, Any]:
    """As they are in the repository, by name."""
    return {name.rsplit("/")[-1]: json.loads(body) for name, body in depot.files().items() if ".proof." in name}


# --- levels and damage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_whole_is_proven_and_nothing_else_changes(level: str, depot: Depot) -> None:
    before = depot.files()
    target = MemoryTarget()
    proof = run(level, depot, target)
    artifact = depot.newest()
    assert (artifact.state, artifact.level, artifact.restored_at) == ("good", level, NOON if level == "restored" else None)
    name = f"{artifact.id}.proof.{level}.20261120T120000Z.json"
    assert proofs(depot) == {name: proof} and {key: body for key, body in depot.files().items() if ".proof." not in key} == before
    more: dict[str, Any] = {"invariants": []} if level == "restored" else {}
    known = {"id": artifact.id, "level": level, "ok": True, "at": "2026-11-20T12:00:00Z", "seconds": 0.0, "manifest_sha256": artifact.manifest_sha256}
    assert proof == {**known, **more}
    assert target.log == (["stage", "inventory", "discard"] if level == "restored" else []) and target.now == b"what was there"


@pytest.mark.parametrize("number", [0, 1], ids=["data", "attachment"])
@pytest.mark.parametrize(
    ("damage", "by_digest", "by_reading"),
    [
        (flip, "has other bytes", "cannot be unpacked|has other bytes"),
        (recompress, "", "what .* unpacks to has other bytes"),
        (no_frame, "", "cannot be unpacked"),
        (plain_digest, "", "what .* unpacks to has other bytes"),
        (shorter, "", "what .* unpacks to is longer than it was"),
    ],
)
def test_damage_that_only_reading_finds(damage: Callable[[Depot, int], None], by_digest: str, by_reading: str, number: int, depot: Depot) -> None:
    damage(depot, number)
    assert depot.newest().state == "good", "the listing cannot see it"
    for level, words in (("digest", by_digest), ("readable", by_reading), *([("restored", by_reading)] if number == 0 else [])):
        if words:
            with pytest.raises(Corrupt, match=words):
                run(level, depot)
        else:
            assert run(level, depot)["ok"]
    assert depot.newest().state == "corrupt" and depot.newest().level == ""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda depot: file_of(depot, 0).unlink(), "damaged: .*data.sqlite.zst is missing, or not as long as it was written"),
        (lambda depot: file_of(depot, 1).write_bytes(b""), "damaged: .*globals.sql.zst is missing, or not as long"),
        (lambda depot: file_of(depot, 0).open("ab").write(b"x"), "damaged: .* not as long as it was written"),
        (lambda depot: rewrite(depot, lambda manifest: manifest.update(source="trades")), "damaged: its manifest is that of production/nextrade/sqlite/trades"),
        (lambda depot: rewrite(depot, lambda manifest: manifest.update(parts=[])), "is corrupt: the manifest of .* is not one"),
        (lambda depot: rewrite(depot, lambda manifest: manifest.update(format=2)), "is corrupt: .* has the format 2, not 1"),
    ],
    ids=["no data", "an attachment cut", "something appended", "of another source", "no parts", "another format"],
)
def test_damage_that_the_listing_finds_is_a_proof_too(damage: Callable[[Depot], Any], said: str, level: str, depot: Depot) -> None:
    damage(depot)
    target = MemoryTarget()
    with pytest.raises(Corrupt, match=said) as caught:
        run(level, depot, target)
    assert depot.newest().id in caught.value.message and "backup_info" in caught.value.hint and "stage" not in target.log
    [proof] = proofs(depot).values()
    assert (proof["ok"], proof["level"], proof["reason"]) == (False, level, caught.value.message)


def test_a_manifest_that_the_next_one_did_not_see(depot: Depot) -> None:
    depot.now += 60
    depot.take(MemorySource(taken_at=depot.now))
    first = depot.artifacts()[0]
    path = Path(depot.repository.path) / note_name(PLACE.prefix, first.id, "manifest")
    path.write_bytes(path.read_bytes().replace(b'"run-1"', b'"run-2"'))
    with pytest.raises(Corrupt, match="not the one that the next backup saw"):
        prove_stored(depot.artifacts()[0], depot.bench())


def test_what_has_no_manifest_has_no_parts() -> None:
    with pytest.raises(Corrupt, match="the backup a is incomplete: it has no manifest"):
        parts_of(Artifact("a", "p/"))


@pytest.mark.parametrize("reads", [10, None], ids=["the beginning", "all"])
def test_a_target_that_stops_early_does_not_hide_damage_at_the_end(reads: int | None, depot: Depot) -> None:
    target = MemoryTarget(reads=reads)
    assert stage(depot.newest(), depot.bench(), target) == [] and target.staged == BODY[:reads]
    plain_digest(depot, 0)
    with pytest.raises(Corrupt):
        stage(depot.newest(), depot.bench(), MemoryTarget(reads=reads))


# --- what was restored -------------------------------------------------------------------------------------------------------------

LESS = Inventory({"table orders": {"rows": 6}}, {"objects": 9}, "d2")
NO_NULLS = [Invariant("no quantity is below 1", "bad", invariants_of([{"name": "a", "query": "bad", "limits": {"value": {"critical": "!= 0"}}}])[0].rules)]


def test_what_differs_is_told_and_no_invariant_is_asked(depot: Depot) -> None:
    target = MemoryTarget()
    target.counted, target.answers = LESS, {"bad": 0}
    with pytest.raises(NotRestored) as caught:
        run("restored", depot, target, NO_NULLS)
    for said in ("table orders: rows is 6, not 7", "there are 9 objects, not 10", "the content has another digest", depot.newest().id):
        assert said in caught.value.message
    assert target.log == ["stage", "inventory", "discard"] and depot.newest().state == "corrupt"


@pytest.mark.parametrize(
    ("limits", "value", "status"),
    [
        ({"critical": "!= 0"}, 0, "ok"),
        ({"critical": "!= 0"}, 3, "critical"),
        ({"critical": "!= 0"}, None, "unknown"),
        ({"critical": "> 5"}, None, "unknown"),
        ({"critical": "> 5"}, "many", "unknown"),
        ({"critical": "> 5"}, float("nan"), "unknown"),
        ({"critical": "> 5"}, 5, "ok"),
        ({"critical": "> 5"}, 5.5, "critical"),
        ({"warning": "> 5", "critical": "> 50"}, 6, "warning"),
        ({"warning": "> 5", "critical": "> 50"}, 51, "critical"),
        ({"critical": ["< 1", "> 9"]}, 0, "critical"),
    ],
)
def test_an_invariant_holds_or_the_backup_does_not_restore_right(limits: dict[str, Any], value: Any, status: str, depot: Depot) -> None:
    invariants = invariants_of([{"name": "orders add up", "query": "sum", "limits": {"value": limits}}])
    target = MemoryTarget()
    target.answers = {"sum": value}
    [answer] = ask(target, invariants)
    assert (answer["name"], answer["status"], bool(answer["message"])) == ("orders add up", status, status != "ok")
    if status == "ok":
        assert run("restored", depot, target, invariants)["invariants"] == [answer]
    else:
        with pytest.raises(NotRestored, match="does not restore right: orders add up: value "):
            run("restored", depot, target, invariants)
        assert depot.newest().state == "corrupt"
    assert target.staged is None and target.log[-1] == "discard"


def test_every_broken_invariant_is_told(depot: Depot) -> None:
    limits = {"value": {"critical": "!= 0"}}
    target = MemoryTarget()
    target.answers = {"a": 1, "b": 0, "c": 2}
    with pytest.raises(NotRestored) as caught:
        run("restored", depot, target, invariants_of([{"name": f"rule {query}", "query": query, "limits": limits} for query in "abc"]))
    assert "rule a: value is 1" in caught.value.message and "rule c: value is 2" in caught.value.message and "rule b" not in caught.value.message


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, r"invariants\[1\] \(second\) has no limits"),
        ({"value": {"critical": None}}, r"invariants\[1\] \(second\) has no limits"),
        ({"values": {"critical": "!= 0"}}, r'invariants\[1\] \(second\): .*unknown measure "values"; did you mean "value"'),
        ({"value": {"critical": "none"}}, r"invariants\[1\] \(second\): .* is not a limit"),
        ({"value": {"kritical": "!= 0"}}, r"invariants\[1\] \(second\): .*did you mean"),
    ],
)  # fmt: skip
def test_invariants_that_say_nothing(limits: dict[str, Any], said: str) -> None:
    good = {"name": "first", "query": "select 0", "limits": {"value": {"critical": "!= 0"}}}
    assert [(found.name, found.query, len(found.rules)) for found in invariants_of([good])] == [("first", "select 0", 1)]
    with pytest.raises(InvalidInput, match=said):
        invariants_of([good, {**good, "name": "second", "limits": limits}])


@pytest.mark.parametrize("error", [TimedOut("too slow"), KeyboardInterrupt(), VerifyFailed("it does not load")], ids=["error", "signal", "bad"])
@pytest.mark.parametrize("step", ["stage", "inventory", "ask"])
def test_whatever_happens_what_was_staged_is_removed(step: str, error: BaseException, depot: Depot) -> None:
    target = MemoryTarget({step: error})
    target.answers = {"bad": 0}
    with pytest.raises(type(error)):
        run("restored", depot, target, NO_NULLS)
    assert target.log[-1] == "discard" and target.staged is None
    kept = [proof["reason"] for proof in proofs(depot).values()]
    assert kept == (["it does not load"] if isinstance(error, VerifyFailed) else []), "only what is said of the artifact is written down"


@pytest.mark.parametrize("damage", [flip, None], ids=["corrupt", "not restored"])
def test_a_backup_that_is_wrong_is_marked_although_the_cleaning_fails(damage: Callable[[Depot, int], None] | None, depot: Depot) -> None:
    target = MemoryTarget({"discard": Unreachable("the server is gone")})
    if damage is None:
        target.counted = LESS
    else:
        damage(depot, 0)
    with pytest.raises(VerifyFailed):
        run("restored", depot, target)
    assert depot.newest().state == "corrupt"


# --- what is written down ----------------------------------------------------------------------------------------------------------


def bad() -> Mapping[str, Any]:
    raise Corrupt("it has other bytes")


def test_a_failure_counts_until_it_is_refuted_as_high(depot: Depot) -> None:
    states = []
    for word in ("restored", "not readable", "digest", "readable", "not restored", "readable", "restored"):
        depot.now += 60
        with suppress(Corrupt):
            prove(depot.newest(), word.split()[-1], depot.bench(), bad if word.startswith("not ") else dict)
        states.append((depot.newest().state, depot.newest().level))
    assert states == [
        ("good", "restored"), ("corrupt", ""), ("corrupt", "digest"), ("good", "readable"), ("corrupt", ""), ("corrupt", "readable"), ("good", "restored"),
    ]  # fmt: skip
    assert len(proofs(depot)) == 7, "nothing is ever written over"


def test_two_in_one_second_are_both_kept_and_the_bad_one_counts(depot: Depot) -> None:
    for check in (dict, dict, bad):
        with suppress(Corrupt):
            prove(depot.newest(), "digest", depot.bench(), check)
    assert sorted(name.partition(".proof.")[2] for name in proofs(depot)) == [
        "digest.20261120T120000Z-1.json", "digest.20261120T120000Z-2.json", "digest.20261120T120000Z.json",
    ]  # fmt: skip
    assert depot.newest().state == "corrupt"


def test_how_long_it_took_is_kept_with_what_was_found(depot: Depot) -> None:
    def check() -> Mapping[str, Any]:
        depot.now += 12.3456
        return {"rpo_seconds": 60}

    proof = prove(depot.newest(), "restored", depot.bench(), check)
    assert (proof["seconds"], proof["at"], proof["rpo_seconds"]) == (12.346, "2026-11-20T12:00:12Z", 60)


@pytest.mark.parametrize("error", [TimedOut("too slow"), NoSpace("no room to restore"), KeyboardInterrupt()])
def test_a_failure_that_says_nothing_of_the_artifact_leaves_no_proof(error: BaseException, depot: Depot) -> None:
    def check() -> Mapping[str, Any]:
        raise error

    with pytest.raises(type(error)):
        prove(depot.newest(), "digest", depot.bench(), check)
    assert proofs(depot) == {} and depot.newest().state == "good"


def test_an_unknown_level_is_not_tried(depot: Depot) -> None:
    with pytest.raises(InvalidInput, match='the level "full" is not known'):
        prove(depot.newest(), "full", depot.bench(), bad)
    assert proofs(depot) == {}


def test_a_good_proof_that_cannot_be_kept_is_none(depot: Depot) -> None:
    depot.repository.before[".proof."] = NoSpace("the disk is full")
    with pytest.raises(NoSpace):
        prove(depot.newest(), "digest", depot.bench(), dict)


def test_that_a_backup_is_corrupt_is_told_also_when_it_cannot_be_written_down(depot: Depot) -> None:
    depot.repository.before[".proof."] = NoSpace("the disk is full")
    with pytest.raises(Corrupt, match="it has other bytes"):
        prove(depot.newest(), "digest", depot.bench(), bad)


def test_after_a_hundred_in_one_second_it_gives_up(depot: Depot) -> None:
    for _number in range(100):
        prove(depot.newest(), "digest", depot.bench(), dict)
    with pytest.raises(RunbookError, match=f"a proof of {depot.newest().id} could not be kept"):
        prove(depot.newest(), "digest", depot.bench(), dict)


# --- progress ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_progress_ends_at_what_it_was_told_to_reach(level: str, tmp_path: Path) -> None:
    depot = Depot(tmp_path / "repository")
    depot.take(MemorySource(BODY * 150, attachments={"globals.sql": GLOBALS}))
    told: list[tuple[int, int]] = []
    artifact, bench = depot.newest(), depot.bench(lambda done, total: told.append((done, total)))
    check_of(level, artifact, bench, MemoryTarget())()
    size = "stored_bytes" if level == "digest" else "plain_bytes"
    sizes = [part[size] for part in parts_of(artifact)][: 1 if level == "restored" else 2]
    for total in sizes:
        of_it = [done for done, most in told if most == total]
        assert of_it == sorted(of_it) and of_it[-1] == total and of_it[0] <= BLOCK
    assert {most for _done, most in told} == set(sizes)


@pytest.mark.parametrize("level", LEVELS)
def test_what_progress_raises_ends_it_and_is_no_proof(level: str, depot: Depot) -> None:
    """So the end of the time comes through."""

    def late(done: int, total: int) -> None:
        raise TimedOut("it took longer than it may")

    artifact, bench, target = depot.newest(), depot.bench(late), MemoryTarget()
    with pytest.raises(TimedOut):
        prove(artifact, level, bench, check_of(level, artifact, bench, target))
    assert proofs(depot) == {} and target.staged is None


def test_a_bench_needs_nobody_to_listen(depot: Depot) -> None:
    bench = Bench(depot.repository, Zstd(), lambda: NOON)
    assert prove(depot.newest(), "readable", bench, check_of("readable", depot.newest(), bench, MemoryTarget()))["ok"]
    with depot.repository.open(PLACE.prefix + parts_of(depot.newest())[0]["name"]) as reader:
        assert drain(Zstd().reader(reader, {"compression": "zstd"})) == len(BODY)
