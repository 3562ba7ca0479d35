# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a listing says of the artifacts: their states, their proofs, and which one is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Entry
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import (
    LARGEST_NOTE,
    LEVELS,
    Artifact,
    Place,
    instant_of,
    new_id,
    newest_good,
    note_name,
    read_catalog,
    select,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, NotThere, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.manifest import canonical, digest_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory

PLACE = Place("production", "nextrade", "sqlite", "orders")
NOON = parse_instant("2026-11-20T12:00:00Z")


def name_of(number: int) -> str:
    return f"202611{number:02}T120000Z-0000000{number % 10}"


def manifest_of(number: int, **changes: Any) -> dict[str, Any]:
    name = name_of(number)
    part = {"name": f"{name}.data.sqlite.zst", "role": "data", "format": "sqlite", "compression": "zstd", "plain_bytes": 10, "plain_sha256": "",
            "stored_bytes": 4, "stored_sha256": ""}  # fmt: skip
    return {
        "format": 1, "id": name, "kind": "sqlite", "source": "orders", "system": "nextrade", "environment": "production", "host": "db1", "class": "c",
        "run_id": "", "taken_at": f"2026-11-{number:02}T12:00:00Z", "finished_at": "", "suspect": "", "sequence": number, "previous": None,
        "identity": {"place": "", "system_id": ""}, "parts": [part], "inventory": {"objects": {}, "totals": {"objects": 0}}, **changes,
    }  # fmt: skip


class Shelf:
    """A repository with artifacts as tests want them."""

    def __init__(self, path: Path) -> None:
        self.repository = Directory({"path": str(path)})
        self.repository.initialize()
        self.path = path / PLACE.prefix

    def put(self, number: int, data: bytes = b"data", **changes: Any) -> str:
        """A whole artifact; the digest of its manifest."""
        body = canonical(manifest_of(number, **changes))
        self.repository.create(f"{PLACE.prefix}{name_of(number)}.data.sqlite.zst", data)
        self.note(number, "manifest", body=body)
        return digest_of(body)

    def note(self, number: int, role: str, rest: str = "", body: bytes = b"{}\n") -> None:
        self.repository.create(note_name(PLACE.prefix, name_of(number), role, rest), body)

    def prove(self, number: int, level: str, at: str, ok: bool = True, rest: str = "") -> None:
        proof = {"id": name_of(number), "level": level, "at": at, "ok": ok, "manifest_sha256": ""}
        self.note(number, "proof", f"{level}.{at.replace('-', '').replace(':', '')}{rest}", canonical(proof))

    def read(self) -> list[Artifact]:
        return read_catalog(self.repository, PLACE)

    def only(self) -> Artifact:
        [artifact] = self.read()
        return artifact


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "repository")


@pytest.mark.parametrize("value", ["", "..", ".hidden", "-a", "a/b", "a b", "a\n", "ä", "x" * 64, "a\0"])
@pytest.mark.parametrize("what", ["environment", "system", "kind", "source"])
def test_places_that_are_no_names(what: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"the {what} "):
        Place(**{"environment": "a", "system": "b", "kind": "c", "source": "d", what: value})
    assert Place("a", "b.c", "d-e", "x" * 63).prefix == f"a/b.c/d-e/{'x' * 63}/"


def test_ids() -> None:
    name = new_id(NOON + 0.9, b"\x7f\x3a\x9c\x1e\xff")
    assert name == "20261120T120000Z-7f3a9c1e" and instant_of(name) == NOON
    assert new_id(NOON, b"aaaa") < new_id(NOON + 1, b"\0\0\0\0"), "they sort by time"
    for odd in ("", "20261120T120000Z", "20261120T120000Z-7F3A9C1E", f"{name}x", "20261320T120000Z-7f3a9c1e"):
        with pytest.raises(InvalidInput):
            instant_of(odd)


def test_nothing_and_one(shelf: Shelf) -> None:
    assert shelf.read() == []
    digest = shelf.put(20)
    artifact = shelf.only()
    assert (artifact.id, artifact.state, artifact.level, artifact.restored_at, artifact.taken_at) == (name_of(20), "good", "", None, NOON)
    assert artifact.manifest_sha256 == digest and set(artifact.stored) == {f"{name_of(20)}.data.sqlite.zst", f"{name_of(20)}.manifest.json"}
    assert artifact.size_bytes == 4 + len(canonical(manifest_of(20)))
    assert artifact.summary() == {
        "id": name_of(20), "state": "good", "level": "", "taken_at": "2026-11-20T12:00:00Z", "size_bytes": artifact.size_bytes, "restored_at": None,
        "class": "c", "run_id": "", "versions": {}, "host": "db1", "plain_bytes": 10, "totals": {"objects": 0}, "holds": [],
        "pins": [], "problem": "", "manifest_sha256": digest,
        "recipients": [],
    }  # fmt: skip


def test_they_come_by_the_instant_of_their_data(shelf: Shelf) -> None:
    shelf.put(21, taken_at="2026-11-19T00:00:00Z")
    shelf.put(20)
    assert [artifact.id for artifact in shelf.read()] == [name_of(21), name_of(20)]


def test_data_without_a_manifest_is_no_backup(shelf: Shelf) -> None:
    shelf.repository.create(f"{PLACE.prefix}{name_of(20)}.data.sqlite.zst", b"data")
    artifact = shelf.only()
    assert (artifact.state, artifact.manifest, artifact.taken_at) == ("incomplete", None, NOON)
    assert artifact.summary()["totals"] == {} and newest_good([artifact], NOON) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", canonical(manifest_of(20))[:-30], canonical(manifest_of(21)), canonical(manifest_of(20, taken_at="soon")), canonical({"format": 2})]
)  # fmt: skip
def test_a_manifest_that_cannot_be_read_is_corrupt_and_nothing_else_suffers(body: bytes, shelf: Shelf) -> None:
    shelf.put(19)
    shelf.repository.create(f"{PLACE.prefix}{name_of(20)}.data.sqlite.zst", b"data")
    shelf.note(20, "manifest", body=body)
    good, bad = shelf.read()
    assert (good.state, bad.state, bad.manifest, bool(bad.problem)) == ("good", "corrupt", None, True)
    assert select([good, bad], "latest", NOON).id == name_of(19)


@pytest.mark.parametrize(("what", "other"), [("environment", "staging"), ("system", "globex"), ("kind", "files"), ("source", "trades")])
def test_a_manifest_of_another_source(what: str, other: str, shelf: Shelf) -> None:
    shelf.put(20, **{what: other})
    artifact = shelf.only()
    assert artifact.state == "corrupt" and "its manifest is that of" in artifact.problem and other in artifact.problem


@pytest.mark.parametrize("data", [None, b"", b"dat", b"data!"])
def test_data_that_is_missing_or_of_another_length(data: bytes | None, shelf: Shelf) -> None:
    shelf.put(20)
    file = shelf.path / f"{name_of(20)}.data.sqlite.zst"
    file.unlink() if data is None else file.write_bytes(data)
    assert shelf.only().state == "corrupt" and "is missing, or not as long as it was written" in shelf.only().problem


def test_a_manifest_that_was_exchanged(shelf: Shelf) -> None:
    digests = {}
    for number in (18, 19, 20):
        before = {"id": name_of(number - 1), "manifest_sha256": digests[number - 1]} if digests else None
        digests[number] = shelf.put(number, previous=before)
    assert {artifact.state for artifact in shelf.read()} == {"good"}
    (shelf.path / f"{name_of(18)}.manifest.json").write_bytes(canonical(manifest_of(18, host="other")))
    found = shelf.read()
    assert [artifact.state for artifact in found] == ["corrupt", "good", "good"] and "is not the one that the next backup saw" in found[0].problem
    (shelf.path / f"{name_of(18)}.manifest.json").unlink()
    assert [artifact.state for artifact in shelf.read()] == ["incomplete", "good", "good"], "what was pruned is missed by nobody"


def test_suspect(shelf: Shelf) -> None:
    shelf.put(20, suspect="it shrank")
    assert (shelf.only().state, shelf.only().summary()["problem"]) == ("suspect", "it shrank")


def test_notes(shelf: Shelf) -> None:
    shelf.put(20)
    for role, rest in (("hold", "case-7"), ("hold", "audit.2026"), ("pin", "run-1")):
        shelf.note(20, role, rest)
    artifact = shelf.only()
    assert (sorted(artifact.holds), artifact.pins, artifact.state) == (["audit.2026", "case-7"], ("run-1",), "good")
    shelf.note(20, "removed")
    assert (shelf.only().state, shelf.only().removing) == ("removing", True)


T = [f"2026-11-20T12:00:0{second}Z" for second in range(6)]


@pytest.mark.parametrize(
    ("proofs", "state", "level", "restored"),
    [
        ([("restored", 1, True)], "good", "restored", 1),
        ([("digest", 1, True)], "good", "digest", None),
        ([("restored", 1, True), ("digest", 2, True)], "good", "restored", 1),
        ([("digest", 1, True), ("readable", 2, True)], "good", "readable", None),
        ([("restored", 1, True), ("restored", 3, True)], "good", "restored", 3),
        ([("restored", 1, True), ("digest", 2, False)], "corrupt", "", None),
        ([("digest", 1, False), ("digest", 2, True)], "good", "digest", None),
        ([("digest", 1, False), ("restored", 2, True)], "good", "restored", 2),
        ([("restored", 1, False), ("digest", 2, True)], "corrupt", "digest", None),  # that it is as it was written does not make it restore
        ([("restored", 1, False), ("readable", 2, True), ("restored", 3, True)], "good", "restored", 3),
        ([("readable", 1, False), ("restored", 2, False), ("readable", 3, True)], "corrupt", "readable", None),
        ([("restored", 3, False), ("restored", 2, True), ("restored", 1, True)], "corrupt", "", None),  # by their instants, not their names
        ([("restored", 1, True), ("digest", 2, False), ("digest", 3, True)], "good", "digest", None),  # what it was before has to be shown again
    ],
)
def test_what_proofs_say(proofs: list[tuple[str, int, bool]], state: str, level: str, restored: int | None, shelf: Shelf) -> None:
    shelf.put(20)
    for proven, second, ok in proofs:
        shelf.prove(20, proven, T[second], ok)
    artifact = shelf.only()
    assert (artifact.state, artifact.level) == (state, level)
    assert artifact.restored_at == (None if restored is None else NOON + restored)


@pytest.mark.parametrize("levels", [("digest", "restored"), ("restored", "digest"), ("restored", "restored")])
def test_of_two_proofs_in_one_second_the_bad_one_counts(levels: tuple[str, str], shelf: Shelf) -> None:
    shelf.put(20)
    shelf.prove(20, levels[0], T[1], True)
    shelf.prove(20, levels[1], T[1], False, rest="-1")
    assert (shelf.only().state, shelf.only().level) == ("corrupt", "")


def test_a_proof_that_cannot_be_read_proves_nothing(shelf: Shelf) -> None:
    shelf.put(20)
    shelf.note(20, "proof", "restored.20261120T120001Z", b"garbage")
    assert (shelf.only().state, shelf.only().level, shelf.only().restored_at) == ("corrupt", "", None)
    shelf.prove(20, "restored", T[2])
    assert (shelf.only().state, shelf.only().level) == ("good", "restored")


@pytest.mark.parametrize(
    "name", ["notes.txt", "20261120T120000Z-7f3a9c1e", "99999999T999999Z-00000000.data.sqlite.zst", "20260230T120000Z-00000000.manifest.json", "x/y.json",
             "20261120T120000Z-00000000.other.json", "20261120T120000Z-00000000.data/x"]
)  # fmt: skip
def test_files_of_somebody_else_are_left_alone(name: str, shelf: Shelf) -> None:
    shelf.put(20)
    shelf.repository.create(f"{PLACE.prefix}{name}", b"mine")
    assert shelf.only().state == "good" and name not in shelf.only().stored


@pytest.mark.parametrize("rest", ["manifest.json.bak", "manifest.txt", "manifest"])
def test_a_copy_of_a_manifest_is_none(rest: str, shelf: Shelf) -> None:
    shelf.put(19)
    shelf.repository.create(f"{PLACE.prefix}{name_of(20)}.{rest}", canonical(manifest_of(20)))
    assert [artifact.state for artifact in shelf.read()] == ["good", "incomplete"]
    shelf.put(20)
    assert [artifact.state for artifact in shelf.read()] == ["good", "good"]


class Listing:
    """A repository of which only the listing is looked at."""

    def __init__(self, *names: str, size: int = 5) -> None:
        self._names, self._size = names, size

    def list(self, prefix: str) -> list[Entry]:
        return [Entry(f"{prefix}{name}", self._size) for name in self._names]


def test_a_note_that_is_larger_than_any_of_ours() -> None:
    with pytest.raises(RunbookError, match="which no note of ours has"):
        read_catalog(Listing(f"{name_of(20)}.manifest.json", size=LARGEST_NOTE + 1), PLACE)  # type: ignore[arg-type]


@given(st.lists(st.from_regex(r"\d{8}T\d{6}Z-[0-9a-f]{8}\.(data|hold|pin|removed|part)(\.[a-z/.]{1,9})?", fullmatch=True), max_size=6, unique=True))
def test_any_names_at_all(names: list[str]) -> None:
    for artifact in read_catalog(Listing(*names), PLACE):  # type: ignore[arg-type]
        assert artifact.state in ("incomplete", "removing") and artifact.summary()["id"] == artifact.id


def some(*states: tuple[int, str]) -> list[Artifact]:
    """Artifacts by day and state; ``restored`` is good and proven."""
    made = []
    for day, state in states:
        manifest = manifest_of(day, suspect="x" if state == "suspect" else "") if state != "incomplete" else None
        proofs = [{"level": "restored", "ok": state == "restored", "at": T[0]}] if state in ("restored", "corrupt") else []
        made.append(Artifact(name_of(day), "p/", {}, manifest, proofs=tuple(proofs), removing=state == "removing"))
    return made


ALL = some((10, "good"), (11, "restored"), (12, "good"), (13, "suspect"), (14, "corrupt"), (15, "incomplete"), (16, "removing"))


@pytest.mark.parametrize(
    ("wanted", "day"),
    [("latest", 12), ("latest_restored", 11), ("2026-11-12T12:00:00Z", 12), ("2026-11-12T11:59:59Z", 11),
     ("2026-11-30T00:00:00Z", 12), ("2026-11-10T13:00:00+01:00", 10)],
)  # fmt: skip
def test_which_one_is_meant(wanted: str, day: int) -> None:
    assert select(ALL, wanted, NOON).id == name_of(day)


@pytest.mark.parametrize("day", range(10, 17))
def test_whatever_has_an_id_is_found_by_it(day: int) -> None:
    assert select(ALL, name_of(day), NOON).id == name_of(day)


@pytest.mark.parametrize(
    ("artifacts", "wanted", "error", "message"),
    [
        (ALL, "20261101T000000Z-00000000", NotThere, "there is no backup"),
        (ALL, "2026-11-09T00:00:00Z", NotThere, "no good backup fits"),
        (some((10, "good")), "latest_restored", NotThere, "no good backup fits"),
        (some((13, "suspect"), (14, "corrupt")), "latest", NotThere, "no good backup fits"),
        ([], "latest", NotThere, "no good backup fits"),
        (ALL, "2026-11-12T12:00:00", InvalidInput, "does not say its time zone"),
        (ALL, "newest", InvalidInput, "not a point in time"),
        (ALL, "", InvalidInput, "not a point in time"),
    ],
)
def test_what_is_not_there(artifacts: list[Artifact], wanted: str, error: type[RunbookError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        select(artifacts, wanted, NOON)
    assert caught.value.hint


def test_what_is_from_the_future_is_not_the_newest() -> None:
    artifacts = some((12, "good"), (20, "good"), (25, "good"))
    assert [found.id if (found := newest_good(artifacts, NOON + shift)) else None for shift in (0, -599, -601)] == [name_of(20), name_of(20), name_of(12)]
    assert select(artifacts, "latest", NOON - 601).id == name_of(12)
    assert newest_good(some((25, "good")), NOON) is None


def test_levels_are_in_order() -> None:
    assert LEVELS == ("digest", "readable", "restored") and rfc3339(NOON) == "2026-11-20T12:00:00Z"
