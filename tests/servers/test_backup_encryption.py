# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted backups of every kind, end to end with the real program age: who can take, prove and restore them, and what happens when age breaks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup import NotSealed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import NotThere, Refused, RunbookError, TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.manifest import canonical
from ansible_collections.tradeops.runbook.plugins.module_utils._core.restore import NotFit
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Corrupt, NotOpened
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take, tell, verify
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.support.backup_sites import FilesSite, PostgresqlSite, Site, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server

pytestmark = pytest.mark.skipif(shutil.which("age-keygen") is None, reason="the program age is not installed (Debian package age)")

MIDDLE = 4 << 20
"""Bytes; a large database has ten times as many."""

CANARY = "a-secret-canary-of-a-trade"


class Keys:
    """The identities of the operations and of the escrow, and what a host is told of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipients = [self.make("operations"), self.make("escrow")]

    def make(self, name: str) -> str:
        subprocess.run(["age-keygen", "-o", str(self.folder / name)], check=True, capture_output=True)
        return subprocess.run(["age-keygen", "-y", str(self.folder / name)], check=True, capture_output=True, text=True).stdout.strip()

    def with_identity(self, name: str) -> dict[str, Any]:
        return {"recipients": self.recipients, "identity_file": str(self.folder / name)}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    (tmp_path / "keys").mkdir()
    return Keys(tmp_path / "keys")


@pytest.fixture(params=["sqlite", "files", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path, keys: Keys) -> Site:
    if request.param == "postgresql":
        found: Site = PostgresqlSite(tmp_path, request.getfixturevalue("server"))
    else:
        found = SqliteSite(tmp_path) if request.param == "sqlite" else FilesSite(tmp_path)
    found.encryption = {"recipients": keys.recipients, "identity_file": None}
    return found


@pytest.fixture
def database(tmp_path: Path, keys: Keys) -> SqliteSite:
    found = SqliteSite(tmp_path)
    found.encryption = {"recipients": keys.recipients, "identity_file": None}
    return found


@pytest.fixture
def large(database: SqliteSite) -> SqliteSite:
    with closing(sqlite3.connect(database.path)) as connection:
        connection.executemany("insert into trades (note) values (?)", [(os.urandom(1 << 20),) for _number in range(40)])
        connection.commit()
    return database


def below_us(*names: str) -> list[int]:
    """The programs of these names that run below us."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            pids = Path(f"/proc/self/task/{task}/children").read_text().split()
            found += [int(pid) for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() in names]
        except OSError:
            continue
    return found


@contextmanager
def disturbed(how: signal.Signals, word: bytes) -> Iterator[list[int]]:
    """What age does of the kind ``word`` gets that signal in the middle: once it read more than a few pipes full."""
    ended, hit = threading.Event(), []

    def watch() -> None:
        while not ended.is_set():
            for pid in below_us("age"):
                try:
                    if pid not in hit and word in Path(f"/proc/{pid}/cmdline").read_bytes() and int(Path(f"/proc/{pid}/io").read_text().split()[1]) > MIDDLE:
                        os.kill(pid, how)
                        hit.append(pid)
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield hit
    finally:
        ended.set()
        watcher.join()


# --- there and back ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["operations", "escrow"])
def test_taken_without_a_key_and_restored_with_either(site: Site, keys: Keys, holder: str) -> None:
    before = site.content()
    made = site.back_up()["artifact"]["id"]
    (artifact,) = site.artifacts()
    parts = (artifact.manifest or {})["parts"]
    assert [part["recipients"] for part in parts] == [keys.recipients] * len(parts)
    assert ("globals.sql" in {part["role"] for part in parts}) == (site.kind == "postgresql")
    for part in parts:
        assert (site.store / artifact.prefix / part["name"]).read_bytes().startswith(b"age-encryption.org/v1\n"), part["name"]
    assert site.prove(level="digest")["proof"]["ok"], "a host without a key can say this much"
    site.encryption = keys.with_identity(holder)
    assert site.prove(level="readable")["proof"]["ok"] and site.prove(level="restored")["proof"]["ok"]
    assert site.leftovers() == []
    site.change()
    assert site.content() != before
    site.restore(select=made)
    assert site.content() == before
    assert all((saved.manifest or {})["parts"][0]["recipients"] == keys.recipients for saved in site.artifacts()), "what was there, too"


def test_no_plain_text_is_stored(database: SqliteSite) -> None:
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute("insert into trades (note) values (?)", (CANARY,))
        connection.commit()
    database.back_up()
    assert CANARY not in b"".join(path.read_bytes() for path in database.store.rglob("*") if path.is_file()).decode("latin-1")
    packed = next(database.store.rglob("*.zst.age")).read_bytes()
    assert b"SQLite format" not in packed and b"\x28\xb5\x2f\xfd" not in packed[:512], "neither the source's bytes nor the compressor's"


def test_by_hand(database: SqliteSite, keys: Keys, tmp_path: Path) -> None:
    """The line of docs/restore-by-hand.md."""
    before = database.content()
    database.back_up()
    packed = next(database.store.rglob("*.data.sqlite.zst.age"))
    line = 'set -o pipefail; age -d -i "$0" "$1" | zstd -d --stdout > "$2"'
    subprocess.run(["bash", "-c", line, str(keys.folder / "escrow"), str(packed), str(tmp_path / "restored.db")], check=True, timeout=60)
    database.path = tmp_path / "restored.db"
    assert database.content() == before


def test_rotation(database: SqliteSite, keys: Keys) -> None:
    before = database.content()
    old = database.back_up()["artifact"]["id"]
    former, escrow = keys.recipients
    keys.recipients = [keys.make("next"), keys.recipients[1]]
    database.encryption = {"recipients": keys.recipients, "identity_file": None}
    reason = take(database.params(), True)["plan"][0]["reason"]
    assert f"no longer {former}" in reason and f"now also {keys.recipients[0]}" in reason and keys.recipients[1] not in reason
    database.change()
    new = database.back_up()["artifact"]["id"]
    assert "recipients" not in take(database.params(), True)["plan"][0]["reason"], "it was said once"
    told = tell(database.params(kind="sqlite", source=None, select=""))["artifacts"]
    assert [artifact["recipients"] for artifact in told] == [[former, escrow], [keys.recipients[0], escrow]]
    database.encryption = {"recipients": None, "identity_file": str(keys.folder / "escrow")}
    assert [database.prove(level="readable", select=made)["proof"]["opened_with"] for made in (old, new)] == [escrow, escrow]
    database.encryption = keys.with_identity("operations")
    with pytest.raises(NotOpened, match="no identity of this host opens") as caught:
        database.prove(level="readable", select=new)
    assert f"{keys.recipients[0]} or {escrow}" in caught.value.hint
    assert {artifact.state for artifact in database.artifacts()} == {"good"}, "another key says nothing of the artifact"
    database.restore(select=old)
    assert database.content() == before
    database.encryption = keys.with_identity("next")
    assert database.prove(level="restored", select=new)["proof"]["opened_with"] == keys.recipients[0]


def test_the_last_one_that_was_opened_stays_while_nobody_opens_what_came_after(database: SqliteSite, keys: Keys) -> None:
    """As after a rotation to keys that were lost: retention goes by proofs, and what nobody can open has none."""
    database.encryption, proven = keys.with_identity("escrow"), []
    for _number in range(2):
        proven.append(database.back_up()["artifact"]["id"])
        assert database.prove(level="restored", select=proven[-1])["proof"]["ok"]
        time.sleep(1.1)  # of two in one second nobody can say which is older
    database.encryption = {"recipients": [keys.make("lost"), keys.make("lost as well")]}
    shutil.rmtree(keys.folder)
    for _number in range(3):
        database.back_up()
    database.prune(last=1, minimum_restored=1)
    left = {artifact.id for artifact in database.artifacts()}
    assert len(left) == 4 and proven[0] not in left and proven[1] in left


def test_the_proof_says_with_which_key(site: Site, keys: Keys) -> None:
    site.back_up()
    assert "opened_with" not in site.prove(level="digest")["proof"], "nothing was opened"
    site.encryption = {"identity_file": str(keys.folder / "escrow")}
    assert site.prove(level="restored")["proof"]["opened_with"] == keys.recipients[1]
    assert site.artifacts()[-1].proofs[-1]["opened_with"] == keys.recipients[1], "and it is kept"
    site.encryption = None
    site.back_up()
    assert site.prove(level="readable")["proof"]["opened_with"] == "", "that one is not encrypted"


def test_what_was_taken_before_encryption_stays_restorable(database: SqliteSite, keys: Keys) -> None:
    sealed, database.encryption = database.encryption, None
    before = database.content()
    old = database.back_up()["artifact"]["id"]
    database.encryption = sealed
    assert "now also" in take(database.params(), True)["plan"][0]["reason"]
    database.change()
    database.back_up()
    database.restore(select=old)
    assert database.content() == before
    database.encryption = None
    assert "not encrypted any more" in take(database.params(), True)["plan"][0]["reason"]


# --- refused -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1])
def test_a_secret_is_not_stored_for_fewer_than_two(database: SqliteSite, keys: Keys, count: int) -> None:
    database.encryption = {"recipients": keys.recipients[:count]}
    for check_mode in (True, False):
        with pytest.raises(NotSealed, match=f"two recipients at least, and {count} were given") as caught:
            take(database.params(retention_class="secret"), check_mode)
    assert "escrow" in caught.value.hint and not database.store.exists()
    database.encryption = {"recipients": keys.recipients}
    assert take(database.params(retention_class="secret"), False)["artifact"]["state"] == "good"


def test_a_recipient_that_is_none_is_refused_before_anything_is_written(database: SqliteSite, keys: Keys) -> None:
    wrong = keys.recipients[1][:-1] + ("q" if keys.recipients[1][-1] != "q" else "p")
    database.encryption = {"recipients": [keys.recipients[0], wrong]}
    with pytest.raises(Refused, match="recipients"):
        database.back_up()
    assert not database.store.exists()


@pytest.mark.parametrize("level", ["readable", "restored"])
def test_without_an_identity_it_says_where_to_go(database: SqliteSite, level: str) -> None:
    made = database.back_up()["artifact"]["id"]
    for work in (lambda: database.prove(level=level), lambda: verify(database.params(level=level), True), lambda: database.restore(select=made)):
        with pytest.raises(NotOpened, match="no identity") as caught:
            work()
        assert "isolated runner" in caught.value.hint
    assert [(artifact.state, len(artifact.proofs)) for artifact in database.artifacts()] == [("good", 0)]


def other_identity(keys: Keys, what: str) -> tuple[str, str]:
    """A file that does not do, and what is said of it."""
    path = keys.folder / "escrow"
    if what == "of somebody else":
        return str(keys.folder / "stranger"), f"no identity of this host opens.*has those of {keys.make('stranger')}"
    if what == "missing":
        return str(keys.folder / "none"), "cannot be opened"
    if what == "a folder":
        return str(keys.folder), "is not private"
    if what == "for others to read":
        path.chmod(0o640)
        return str(path), "is not private"
    path.write_text("my-own-password\n")
    return str(path), "is no file of identities"


@pytest.mark.parametrize("what", ["of somebody else", "missing", "a folder", "for others to read", "no key"])
def test_an_identity_that_does_not_do_is_found_in_the_plan(database: SqliteSite, keys: Keys, what: str) -> None:
    made = database.back_up()["artifact"]["id"]
    path, said = other_identity(keys, what)
    database.encryption = {"recipients": keys.recipients, "identity_file": path}
    before, state = database.content(), database.folder / "state"
    for level in ("readable", "restored"):
        for check_mode in (True, False):
            with pytest.raises((NotOpened, Refused), match=said) as caught:
                verify(database.params(level=level), check_mode)
    for confirm in ("", "00000000"):
        with pytest.raises((NotOpened, Refused), match=said) as caught:
            bring_back(database.params(select=made, confirm=confirm), not confirm)
        assert "my-own-password" not in str(caught.value) + caught.value.hint
    assert what != "of somebody else" or " or ".join(keys.recipients) in caught.value.hint
    [artifact] = database.artifacts()
    assert (artifact.state, artifact.proofs, database.content(), database.leftovers()) == ("good", (), before, []), "nothing was begun"
    assert not state.exists() or not [path for path in state.rglob("*") if path.is_file() and "restore" in path.name]


def test_an_identity_alone_stores_nothing_in_plain_text(database: SqliteSite, keys: Keys) -> None:
    made = database.back_up()["artifact"]["id"]
    database.encryption = {"identity_file": str(keys.folder / "escrow")}
    for work in (lambda: database.restore(select=made), lambda: take(database.params(), True), database.back_up):
        with pytest.raises(NotSealed, match="an identity_file and no recipients: what is there would be stored as it is"):
            work()
    assert len(database.artifacts()) == 1
    for name in ("", "-wal", "-shm"):
        Path(f"{database.path}{name}").unlink(missing_ok=True)
    database.restore(select=made)  # nothing is there to be saved


def test_pruning_and_listing_need_no_identity(database: SqliteSite, keys: Keys) -> None:
    for _number in range(5):
        database.back_up()
    time.sleep(1.1)  # of two in one second nobody can say which is older
    newest = database.back_up()["artifact"]["id"]
    database.encryption = keys.with_identity("operations")
    database.prove(level="restored", select=newest)
    database.encryption = None
    assert len(database.artifacts()) == 6
    gone = {step["name"] for step in database.prune(last=1)["performed"]}
    left = {artifact.id for artifact in database.artifacts()}
    assert gone and len(left) == 6 - len(gone) and newest in left


# --- damage and faults -------------------------------------------------------------------------------------------------------------


def test_damage_is_called_damage_and_not_another_key(database: SqliteSite, keys: Keys) -> None:
    before = database.content()
    made = database.back_up()["artifact"]["id"]
    database.encryption = keys.with_identity("operations")
    packed = next(database.store.rglob("*.zst.age"))
    body = bytearray(packed.read_bytes())
    body[90] ^= 1  # in what is for the first recipient
    packed.chmod(0o600)
    packed.write_bytes(body)
    with pytest.raises(Corrupt):
        database.prove(level="readable")
    assert [artifact.state for artifact in database.artifacts()] == ["corrupt"]
    with pytest.raises((NotThere, Refused)):
        database.restore(select=made)
    assert database.content() == before


@pytest.mark.parametrize(("how", "error"), [(signal.SIGKILL, RunbookError), (signal.SIGSTOP, TimedOut)])
def test_age_breaks_while_a_backup_is_taken(large: SqliteSite, how: signal.Signals, error: type[RunbookError]) -> None:
    good = large.back_up()["artifact"]["id"]
    kept = large.bytes_of(good)
    with disturbed(how, b"--encrypt") as hit, pytest.raises(error):
        take(large.params(timeout_seconds=4.0), False)
    assert hit and below_us("age") == [] and large.leftovers() == []
    assert [(artifact.id, artifact.state) for artifact in large.artifacts()] == [(good, "good")] and large.bytes_of(good) == kept
    assert [path.name for path in large.store.rglob("*.age")] == [next(large.store.rglob(f"{good}.data.*")).name], "nothing half is left"
    large.back_up()


@pytest.mark.parametrize(("how", "error"), [(signal.SIGKILL, RunbookError), (signal.SIGSTOP, TimedOut)])
def test_age_breaks_while_a_backup_is_restored(large: SqliteSite, keys: Keys, how: signal.Signals, error: type[RunbookError]) -> None:
    made = large.back_up()["artifact"]["id"]
    large.encryption = keys.with_identity("escrow")
    large.change()
    before = large.content()
    token = bring_back(large.params(select=made), True)["confirm"]
    with disturbed(how, b"--decrypt") as hit, pytest.raises(error) as caught:
        bring_back(large.params(select=made, confirm=token, timeout_seconds=4.0), False)
    assert hit and not isinstance(caught.value, Corrupt)
    assert below_us("age") == [] and large.leftovers() == [] and large.content() == before
    large.restore(select=made)


@pytest.mark.parametrize(("how", "error"), [(signal.SIGKILL, RunbookError), (signal.SIGSTOP, TimedOut)])
def test_age_breaks_while_a_backup_is_verified(large: SqliteSite, keys: Keys, how: signal.Signals, error: type[RunbookError]) -> None:
    large.back_up()
    large.encryption = keys.with_identity("escrow")
    with disturbed(how, b"--decrypt") as hit, pytest.raises(error):
        verify(large.params(timeout_seconds=4.0), False)
    assert hit and below_us("age") == [] and large.leftovers() == []
    assert [(artifact.state, artifact.proofs) for artifact in large.artifacts()] == [("good", ())], "it says nothing of the artifact"
    assert large.prove()["proof"]["ok"]


@pytest.mark.parametrize(("how", "error"), [(signal.SIGKILL, RunbookError), (signal.SIGSTOP, TimedOut)])
def test_the_dump_ends_with_age(tmp_path: Path, keys: Keys, server: Server, how: signal.Signals, error: type[RunbookError]) -> None:
    site = PostgresqlSite(tmp_path, server)
    site.encryption = {"recipients": keys.recipients}
    many = "select string_agg(md5(random()::text || line || word), '') from generate_series(1, 100) word"
    site.psql(f"insert into trades (note) select ({many}) from generate_series(1, 6000) line")
    site.psql("checkpoint", "postgres")
    with disturbed(how, b"--encrypt") as hit, pytest.raises(error):
        take(site.params(timeout_seconds=5.0), False)
    assert hit and below_us("age", "pg_dump") == [] and site.artifacts() == [] and not list(site.store.rglob("*.age"))
    assert site.psql("select count(*) from pg_stat_activity where application_name = 'pg_dump'", "postgres") == "0"
    site.back_up()


def sampled(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Ways to change it: in the header, at the borders of the first blocks of the cipher (64 KiB and 16 bytes), in the middle, at the end."""
    body = good.index(b"\n---") + 49 + 16
    places = [0, 100, body - 20, body + 65_552, len(good) // 2, len(good) - 1]
    for place in places:
        yield f"bit at {place}", good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :]
        yield f"cut at {place}", good[:place]
    yield "more", good + b"x"
    yield "a block twice", good[: body + 65_552] + good[body : body + 65_552] + good[body + 65_552 :]
    yield "blocks exchanged", good[:body] + good[body + 65_552 : body + 2 * 65_552] + good[body : body + 65_552] + good[body + 2 * 65_552 :]


@pytest.mark.parametrize("forged", [False, True], ids=["the manifest as it was", "the manifest of a forger"])
def test_changed_bytes_are_found_before_anything_live_is_touched(database: SqliteSite, keys: Keys, tmp_path: Path, forged: bool) -> None:
    """A forger writes the digests of the changed bytes into the manifest: then it is age that finds them."""
    made = database.back_up()["artifact"]["id"]
    database.encryption = keys.with_identity("operations")
    database.change()
    before, aside, found = database.content(), tmp_path / "aside", 0
    shutil.copytree(database.store, aside)
    packed, manifest = next(database.store.rglob("*.zst.age")), next(database.store.rglob("*.manifest.json"))
    for name, bad in sampled(packed.read_bytes()):
        packed.write_bytes(bad)
        if forged:
            body = json.loads(manifest.read_text())
            body["parts"][0].update(stored_bytes=len(bad), stored_sha256=hashlib.sha256(bad).hexdigest())
            manifest.write_bytes(canonical(body))
        with pytest.raises((Corrupt, NotFit, NotOpened)):
            database.restore(select=made)
        assert database.content() == before and database.leftovers() == [] and below_us("age") == [], name
        assert not [path.name for path in database.path.parent.iterdir() if ".before-" in path.name], name
        found += 1
        shutil.rmtree(database.store)
        shutil.copytree(aside, database.store)
    assert found == 15
    database.restore(select=made)
