# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the taking of a backup decides: when there is one, when it is doubted, and that nothing which looks like one is left when it breaks.

The repository and the compression are real; the source says what a test wants it to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core import backup
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup import Backup, NotSealed, Order, Suspect, Tools, check_sealed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Identity, Inventory, Taken
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, Place, new_id, note_name, read_catalog, recipients_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import CommandFailed, NoSpace, Refused, RunbookError, Unsure, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.inventory import TooFewObjects
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import Bench, prove_readable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import BLOCK, Body
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.backups import Site, clock, fill

PLACE = Place("production", "nextrade", "sqlite", "orders")
NOON = parse_instant("2026-11-20T12:00:00Z")
BODY = b"an order of 100 shares\n" * 1000


class MemorySource:
    """A source that gives these bytes and says these things of them, and raises ``fails[step]`` where it is told to."""

    format = "sqlite"

    def __init__(self, body: bytes = BODY, objects: int = 10, fails: Mapping[str, BaseException] | None = None, **facts: Any) -> None:
        self.body, self.objects, self.facts, self._fails = body, objects, facts, fails or {}
        self.at = Identity("/data/orders.db", engine="3.40", system_id="s1", size_bytes=len(body))
        self.left = True

    def _may_fail(self, step: str) -> None:
        if step in self._fails:
            raise self._fails[step]

    def identity(self) -> Identity:
        self._may_fail("identity")
        return self.at

    @contextmanager
    def open(self) -> Iterator[Any]:
        self._may_fail("open")
        self.left = False
        try:
            yield Failing(self.body, self._fails["read"]) if "read" in self._fails else Body(self.body)
        finally:
            self.left = True
        self._may_fail("leave")

    def taken(self) -> Taken:
        assert self.left, "nobody asks before the end"
        self._may_fail("taken")
        return Taken(**{"inventory": Inventory({"table orders": {"rows": 7}}, {"objects": self.objects}, "d1"), "taken_at": NOON, **self.facts})


class Failing:
    """Half of its bytes, then an error."""

    def __init__(self, body: bytes, error: BaseException) -> None:
        self._body, self._error = Body(body[: len(body) // 2]), error

    def read(self, size: int) -> bytes:
        block = self._body.read(size)
        if not block:
            raise self._error
        return block


class Watched(Directory):
    """A real repository that notes what is written, and raises before or after it writes a name that has ``at`` in it."""

    def __init__(self, path: Path) -> None:
        super().__init__({"path": str(path)})
        self.written: list[str] = []
        self.free: int | None = 1 << 40
        self.before: dict[str, BaseException] = {}
        self.after: dict[str, BaseException] = {}
        self.never_delete = False

    def _raise(self, errors: Mapping[str, BaseException], name: str) -> None:
        for at, error in errors.items():
            if at in name:
                raise error

    @contextmanager
    def write(self, name: str) -> Iterator[Any]:
        self._raise(self.before, name)
        with ExitStack() as stack:
            yield stack.enter_context(super().write(name))
        self.written.append(name)
        self._raise(self.after, name)

    def delete(self, name: str) -> None:
        if self.never_delete:
            raise RunbookError("it may not be removed")
        super().delete(name)

    def free_bytes(self) -> int | None:
        return self.free


class Depot:
    """A repository, a clock that the test moves, and backups of one place into it."""

    def __init__(self, path: Path) -> None:
        self.repository, self.now, self.count = Watched(path), NOON, 0
        self.progress: list[tuple[int, int]] = []
        self.codec = Zstd()

    def order(self, **given: Any) -> Order:
        self.count += 1
        return Order(**{"place": PLACE, "id": new_id(self.now, self.count.to_bytes(4, "big")), "host": "db1", "run_id": "run-1", **given})

    def backup(self, source: Any, **order: Any) -> Backup:
        tools = Tools(self.repository, self.codec, lambda: self.now, lambda done, total: self.progress.append((done, total)))
        return Backup(self.order(**order), source, tools)

    def take(self, source: Any = None, **order: Any) -> dict[str, Any]:
        made = self.backup(source or MemorySource(), **order)
        plan = made.plan()
        self.repository.initialize()
        return made.take(plan)

    def suspect(self, source: Any, **order: Any) -> str:
        with pytest.raises(Suspect) as caught:
            self.take(source, **order)
        return str(caught.value)

    def artifacts(self) -> list[Artifact]:
        return read_catalog(self.repository, PLACE)

    def newest(self) -> Artifact:
        return self.artifacts()[-1]

    def bench(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Bench:
        return Bench(self.repository, Zstd(), lambda: self.now, progress)

    def files(self) -> dict[str, bytes]:
        """All that is stored, also what is hidden; locks apart."""
        top = Path(self.repository.path)
        return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file() and path.name != ".lock"}


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    return Depot(tmp_path / "repository")


# --- the plan ----------------------------------------------------------------------------------------------------------------------


class ToSomebody(Zstd):
    """Says that it encrypts to as many."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.facts = {**self.facts, "recipients": [f"age1{number}" for number in range(count)]}


@pytest.mark.parametrize(("retention_class", "count", "enough"), [
    ("secret", 0, False), ("secret", 1, False), ("secret", 2, True), ("secret", 3, True), ("", 0, True), ("transactions", 0, True), ("secrets", 1, True),
])  # fmt: skip
def test_a_secret_is_encrypted_to_two_at_least(retention_class: str, count: int, enough: bool) -> None:
    codec = ToSomebody(count) if count else Zstd()
    if enough:
        check_sealed(retention_class, codec)
        return
    with pytest.raises(NotSealed, match=f"two recipients at least, and {count} were given") as caught:
        check_sealed(retention_class, codec)
    assert caught.value.code == "not_sealed" and "escrow" in caught.value.hint


@pytest.mark.parametrize(("facts", "found"), [
    ({}, []), ({"recipients": None}, []), ({"recipients": "age1x"}, []), ({"recipients": {"age1x": 1}}, []), ({"recipients": ["age1x", 2]}, ["age1x", "2"]),
])  # fmt: skip
def test_whom_a_part_names(facts: dict[str, Any], found: list[str]) -> None:
    assert recipients_of(facts) == found


@pytest.mark.parametrize(("before", "after", "said"), [
    (0, 0, None), (2, 2, None), (2, 3, "; encrypted to other recipients than that: now also age12"), (3, 2, "other recipients than that: no longer age12"),
    (0, 2, "now also age10, age11"), (2, 0, "no longer age10, age11 (it is not encrypted any more)"),
])  # fmt: skip
def test_the_plan_says_how_the_recipients_changed(before: int, after: int, said: str | None, depot: Depot) -> None:
    depot.codec = ToSomebody(before) if before else Zstd()
    depot.take()
    depot.codec = ToSomebody(after) if after else Zstd()
    reason = depot.backup(MemorySource()).plan().steps[-1]["reason"]
    assert reason.endswith(depot.newest().id if said is None else said)


def test_a_plan_changes_nothing_and_names_what_it_would_do(depot: Depot) -> None:
    source = MemorySource()
    plan = depot.backup(source).plan()
    path = depot.repository.path
    assert [(step["action"], step["name"]) for step in plan.steps] == [("initialize", path), ("write", f"{PLACE.prefix}20261120T120000Z-00000001")]
    assert plan.steps[1]["bytes"] == len(BODY) and plan.steps[1]["reason"] == "there is no good backup yet"
    assert (plan.identity, plan.artifacts, plan.newest) == (source.at, [], None) and not Path(path).exists()


def test_the_newest_good_one_is_the_measure(depot: Depot) -> None:
    good = depot.take()["id"]
    depot.now += 60
    depot.suspect(MemorySource(suspect="a page is torn", taken_at=depot.now))
    depot.now += 60
    plan = depot.backup(MemorySource()).plan()
    assert plan.newest is not None and plan.newest.id == good and len(plan.artifacts) == 2
    assert [step["action"] for step in plan.steps] == ["write"] and plan.steps[0]["reason"] == f"the newest good backup is {good}"


@pytest.mark.parametrize(
    ("free", "enough"),
    [(None, True), (int(1.2 * len(BODY)), True), (int(1.2 * len(BODY)) - 1, False), (0, False)],
    ids=["unknown", "just", "a byte less", "none"],
)
def test_room_for_the_first_one_is_measured_by_the_source(free: int | None, enough: bool, depot: Depot) -> None:
    depot.repository.free = free
    if enough:
        assert depot.backup(MemorySource()).plan().steps
    else:
        with pytest.raises(NoSpace, match=r"this backup may need .* KiB") as caught:
            depot.backup(MemorySource()).plan()
        assert depot.repository.path in caught.value.message and "prune" in caught.value.hint


def test_room_for_another_one_is_measured_by_the_last(depot: Depot) -> None:
    depot.take()
    needed = int(1.2 * depot.newest().size_bytes)
    huge = MemorySource()
    huge.at = Identity("/data/orders.db", size_bytes=1 << 50)
    depot.repository.free = needed
    assert depot.backup(huge).plan().steps, "what is compressed is smaller than its source"
    depot.repository.free = needed - 1
    with pytest.raises(NoSpace):
        depot.backup(huge).plan()


def test_what_the_source_refuses_stops_the_plan(depot: Depot) -> None:
    with pytest.raises(Refused, match="versions differ"):
        depot.backup(MemorySource(fails={"identity": Refused("versions differ")})).plan()


@pytest.mark.parametrize(("age", "seconds", "new"), [(3600, 3601, False), (3600, 3600, True), (0, 1, False), (0, 0, True), (-300, 3600, True)])
def test_a_fresh_one_makes_no_new_one(age: float, seconds: float, new: bool, tmp_path: Path) -> None:
    """Younger than asked for; what is from the future is not fresh, since nobody knows how old it is."""
    site = Site(tmp_path).make()
    with clock(NOON):
        first = site.take()["artifact"]["id"]
    with clock(NOON + age):
        told = site.take(fresh_seconds=float(seconds))
    assert told.get("changed", False) == new and len(site.catalog()) == 1 + new
    assert new or (told["artifact"]["id"], told["newest"]["id"]) == (first, first)


def test_a_fresh_one_that_is_suspect_counts_for_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path).make(rows=2000)
    with clock(NOON):
        site.take()
    site.database.unlink()
    fill(site.database, rows=1)
    for minutes in (60, 61):  # the one of before is 60 minutes old and good, and then there is one that is a minute old and not
        with clock(NOON + 60 * minutes):
            told = site.take(fresh_seconds=3600.0)
        assert (told["outcome"], told["code"], told["artifact"]["state"], told["newest"]["taken_at"]) == (
            "failed", "suspect", "suspect", "2026-11-20T12:00:00Z",
        )  # fmt: skip


# --- the artifact ------------------------------------------------------------------------------------------------------------------


def test_what_the_manifest_says(depot: Depot) -> None:
    source = MemorySource(notes=("one lock was waited for",), taken_at=NOON - 5)
    made = depot.take(source, retention_class="compliance", versions={"python": "3.11"})
    [artifact] = depot.artifacts()
    digest = made.pop("manifest_sha256")
    assert artifact.manifest == made and artifact.manifest_sha256 == digest and artifact.state == "good"
    [part] = made.pop("parts")
    assert (part["name"], part["role"], part["format"], part["plain_bytes"]) == (f"{artifact.id}.data.sqlite.zst", "data", "sqlite", len(BODY))
    assert made == {
        "format": 1, "id": artifact.id, "kind": "sqlite", "source": "orders", "system": "nextrade", "environment": "production", "host": "db1",
        "class": "compliance", "run_id": "run-1", "taken_at": "2026-11-20T11:59:55Z", "started_at": "2026-11-20T12:00:00Z",
        "finished_at": "2026-11-20T12:00:00Z", "duration_seconds": 0.0, "identity": source.at.data(), "suspect": "", "sequence": 1, "previous": None,
        "inventory": source.taken().inventory.data(), "notes": ["one lock was waited for"], "versions": {"python": "3.11"},
        "label": "", "needs": [], "accepted": [],
    }  # fmt: skip
    prove_readable(artifact, depot.bench())


def test_attachments_are_parts_and_the_manifest_comes_last(depot: Depot) -> None:
    made = depot.take(MemorySource(attachments={"globals.sql": b"create role trader;", "settings": b"x" * 9}))
    names = [f"{made['id']}.data.sqlite.zst", f"{made['id']}.part.globals.sql.zst", f"{made['id']}.part.settings.zst"]
    assert [(part["name"], part["role"], part["format"], part["plain_bytes"]) for part in made["parts"]] == [
        (names[0], "data", "sqlite", len(BODY)), (names[1], "globals.sql", "sql", 19), (names[2], "settings", "settings", 9),
    ]  # fmt: skip
    assert depot.repository.written[1:] == [PLACE.prefix + name for name in names] + [note_name(PLACE.prefix, made["id"], "manifest")]
    assert set(depot.newest().stored) == {*names, f"{made['id']}.manifest.json"}
    prove_readable(depot.newest(), depot.bench())


def test_each_manifest_names_the_one_before(depot: Depot) -> None:
    first = depot.take()
    depot.now += 60
    depot.suspect(MemorySource(suspect="a page is torn", taken_at=depot.now))
    second = depot.newest()
    depot.now += 60
    half = f"{PLACE.prefix}{new_id(depot.now, bytes(4))}.data.sqlite.zst"
    depot.repository.create(half, b"half")
    third = depot.take(MemorySource(taken_at=depot.now))
    assert (first["sequence"], first["previous"]) == (1, None)
    assert second.manifest is not None and second.manifest["previous"] == {"id": first["id"], "manifest_sha256": first["manifest_sha256"]}
    assert third["previous"] == {"id": second.id, "manifest_sha256": second.manifest_sha256}, "a doubted one is in the row, one without a manifest is not"
    assert third["sequence"] == 3


def test_the_numbers_grow_also_when_the_data_is_older(depot: Depot) -> None:
    first = depot.take()
    depot.now += 60
    depot.take(MemorySource(taken_at=NOON - 3600))
    third = depot.take()
    assert (third["sequence"], third["previous"]["id"]) == (3, first["id"])


def test_progress_is_of_the_size_that_the_source_had(depot: Depot) -> None:
    source = MemorySource(bytes(BLOCK + 1))
    source.at = Identity("/data/orders.db", size_bytes=77)
    depot.take(source)
    assert depot.progress == [(BLOCK, 77), (BLOCK + 1, 77), (BLOCK + 1, 77)]


# --- what makes it doubtful --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("objects", "least", "enough"), [(0, 1, False), (1, 1, True), (9, 10, False), (10, 10, True), (0, 0, True)])
def test_fewer_objects_than_there_must_be(objects: int, least: int, enough: bool, depot: Depot) -> None:
    if enough:
        assert depot.take(MemorySource(objects=objects), min_objects=least)["suspect"] == ""
        return
    with pytest.raises(TooFewObjects, match=f"the sqlite orders has {objects} objects, and at least {least} "):
        depot.take(MemorySource(objects=objects), min_objects=least)
    assert list(depot.files()) == ["tradeops-repository.json"]


def test_what_is_damaged_is_kept_however_little_of_it_can_be_counted(depot: Depot) -> None:
    told = depot.suspect(MemorySource(objects=0, suspect="a page is torn"), min_objects=5)
    artifact = depot.newest()
    assert f"the backup {artifact.id} was kept but must not be trusted: a page is torn" in told and artifact.state == "suspect"
    prove_readable(artifact, depot.bench())


def test_a_source_that_gives_nothing(depot: Depot) -> None:
    with pytest.raises(VerifyFailed, match="gave no data"):
        depot.take(MemorySource(b""))
    assert list(depot.files()) == ["tradeops-repository.json"]


@pytest.mark.parametrize(
    ("objects", "share", "most", "said"),
    [
        (10, 1.0, 50.0, ""),
        (5, 0.5, 50.0, ""),
        (4, 1.0, 50.0, "it shrank from 10 to 4 objects"),
        (10, 0.49, 50.0, "it shrank from 22.5 KiB to 11.0 KiB"),
        (9, 1.0, 0.0, "it shrank from 10 to 9 objects"),
        (20, 3.0, 0.0, ""),
        (1, 0.001, 100.0, ""),
    ],
)
def test_what_shrank_too_much(objects: int, share: float, most: float, said: str, depot: Depot) -> None:
    depot.take()
    depot.now += 60
    source = MemorySource(bytes(int(share * len(BODY))), objects, taken_at=depot.now)
    if not said:
        assert depot.take(source, max_shrink_percent=most)["suspect"] == ""
        return
    assert said in depot.suspect(source, max_shrink_percent=most)
    assert depot.newest().state == "suspect"
    depot.now += 60
    again = MemorySource(source.body, objects, taken_at=depot.now)
    assert said in depot.suspect(again, max_shrink_percent=most), "it is still held against the good one: time does not make it right"


def test_the_reason_of_the_source_goes_before_the_shrinkage(depot: Depot) -> None:
    depot.take()
    assert "a page is torn; it shrank from 10 to 1 objects; it shrank from 22.5 KiB to 1 B" in depot.suspect(MemorySource(b"x", 1, suspect="a page is torn"))


class Days:
    """A source of which a backup is taken every day."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    def take(self, tables: str, objects: int = 10, suspect: str = "", **order: Any) -> dict[str, Any]:
        self._depot.now += 86400
        inventory = Inventory({f"table {name}": {"rows": 7} for name in tables}, {"objects": objects})
        return self._depot.take(MemorySource(inventory=inventory, taken_at=self._depot.now, suspect=suspect), **order)

    def doubt(self, tables: str, objects: int = 10, **order: Any) -> str:
        with pytest.raises(Suspect) as caught:
            self.take(tables, objects, **order)
        return caught.value.message.partition(": ")[2]


def test_a_table_that_is_gone_is_asked_for_until_somebody_accepts_it(depot: Depot) -> None:
    days = Days(depot)
    for _day in range(3):
        days.take("ab")
    for _day in range(9):
        assert days.doubt("a") == "table b is missing", "time does not make it right"
    made = days.take("a", accept_anomaly=True)
    assert (made["suspect"], made["accepted"], made["notes"]) == ("", ["table b is missing"], ["accepted: table b is missing"])
    assert days.take("a")["accepted"] == [], "what is usual starts anew"
    assert days.take("ab")["suspect"] == "" and days.take("a")["suspect"] == "", "b comes and goes since then"
    assert days.doubt("") == "table a is missing"


def test_what_is_usual_is_that_of_seven(depot: Depot) -> None:
    days = Days(depot)
    days.take("a", 1000)
    for objects in (600, 600, 600, 600, 600, 600, 600):
        days.take("ab", objects)
    assert days.doubt("b", 299) == "it shrank from a median of 600 to 299 objects; table a is missing"
    assert days.take("ab", 300)["suspect"] == ""
    assert days.take("ab", 5000, max_growth_percent=0)["suspect"] == ""
    assert days.doubt("ab", 5000) == "it grew from a median of 600 to 5000 objects"


def test_damage_is_never_accepted_and_starts_nothing_anew(depot: Depot) -> None:
    days = Days(depot)
    days.take("ab")
    with pytest.raises(Suspect, match="a page is torn"):
        days.take("a", suspect="a page is torn", accept_anomaly=True)
    assert depot.newest().state == "suspect" and days.doubt("a") == "table b is missing"
    assert days.take("ab", accept_anomaly=True)["accepted"] == [], "nothing to accept"


# --- when it breaks ----------------------------------------------------------------------------------------------------------------

BROKEN = CommandFailed(["pg_dump"], 1, "connection lost")
ATTACHED: dict[str, Any] = {"attachments": {"globals.sql": b"create role trader;", "other.sql": b"x"}}


@pytest.mark.parametrize("error", [BROKEN, KeyboardInterrupt(), Unsure("nobody knows")], ids=["error", "signal", "unsure"])
@pytest.mark.parametrize("step", ["open", "read", "leave", "taken"])
def test_a_source_that_fails_leaves_nothing(step: str, error: BaseException, depot: Depot) -> None:
    depot.take()
    before = depot.files()
    with pytest.raises(type(error)):
        depot.take(MemorySource(fails={step: error}, **ATTACHED))
    assert depot.files() == before, "not even the data, and the good one is as it was"


@pytest.mark.parametrize("at", [".data.", ".part.globals", ".part.other", ".manifest."])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_repository_that_fails_leaves_no_manifest(at: str, when: str, depot: Depot) -> None:
    depot.take()
    before = depot.files()
    getattr(depot.repository, when)[at] = NoSpace("the disk is full")
    with pytest.raises(NoSpace, match="the disk is full"):
        depot.take(MemorySource(**ATTACHED))
    after = depot.files()
    if when == "before":
        assert after == before, "what was stored already is taken away again"
    else:  # it is there although it failed, which a repository does not do: at least the first ones go
        assert len(set(after) - set(before)) <= 1 and before.items() <= after.items()


@pytest.mark.parametrize("when", ["before", "after"])
def test_when_nobody_knows_whether_the_manifest_is_there_the_data_stays(when: str, depot: Depot) -> None:
    """To remove it could leave a manifest without its data."""
    depot.repository.initialize()
    getattr(depot.repository, when)[".manifest."] = Unsure("the folder could not be brought to disk")
    with pytest.raises(Unsure):
        depot.take(MemorySource(**ATTACHED))
    [artifact] = depot.artifacts()
    assert artifact.state == ("good" if when == "after" else "incomplete") and len(artifact.stored) == 3 + (when == "after")
    if when == "after":
        prove_readable(artifact, depot.bench())


def test_the_first_error_counts_when_the_cleaning_fails_too(depot: Depot) -> None:
    depot.repository.before[".part.other"] = NoSpace("the disk is full")
    depot.repository.never_delete = True
    with pytest.raises(NoSpace):
        depot.take(MemorySource(**ATTACHED))
    assert depot.newest().state == "incomplete", "it looks like what it is, and is swept some day"


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_a_manifest_that_nobody_would_read_again_is_not_written(spare: int, fits: bool, depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    depot.take()
    size = depot.newest().stored[f"{depot.newest().id}.manifest.json"]
    before = depot.files()
    monkeypatch.setattr(backup, "LARGEST_NOTE", 2 * size + spare)
    source = MemorySource(notes=())
    grown = _manifest_bytes(depot, source)
    source.facts["notes"] = ("x" * (2 * size - grown - len('\n  ""\n ')),)
    if fits:
        depot.take(source)
        assert depot.newest().stored[f"{depot.newest().id}.manifest.json"] == 2 * size
    else:
        with pytest.raises(RunbookError, match="so many objects"):
            depot.take(source)
        assert depot.files() == before


def _manifest_bytes(depot: Depot, source: MemorySource) -> int:
    """How large a second manifest becomes; it is taken away again."""
    made = depot.take(source)["id"]
    sizes = depot.newest().stored
    for name in sizes:
        depot.repository.delete(PLACE.prefix + name)
    return sizes[f"{made}.manifest.json"]


def test_an_id_that_is_taken_harms_nothing(depot: Depot) -> None:
    first = depot.take()
    before = depot.files()
    with pytest.raises(RunbookError, match="exists already"):
        depot.take(id=first["id"])
    assert depot.files() == before
