# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of whole backups, restores and prunings on real engines: the rows of rows.yml that no test of a single part can prove."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, select
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import (
    Busy,
    InUse,
    NoSpace,
    NotThere,
    Refused,
    RunbookError,
    TimedOut,
    Unsure,
    VerifyFailed,
)  # fmt: skip
from ansible_collections.tradeops.runbook.plugins.module_utils._core.manifest import canonical
from ansible_collections.tradeops.runbook.plugins.module_utils._core.restore import NotConfirmed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import postgresql_backup
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._module import prune as prune_module
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING, whole
from ansible_collections.tradeops.runbook.tests.support.backup_sites import FilesSite, PostgresqlSite, Site, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.postgresql import PASSWORD, Server, programs
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.strace import needs_strace, sweep

POSITIONS, FILES = (20, 100_000) if EVERYTHING else (2, 1000)
DAY = 86400.0
LARGE = "insert into trades (note) select repeat(md5(i::text), 60) from generate_series(1, 8000) i"  # more than the pipes hold


def only(*kinds: str) -> pytest.MarkDecorator:
    """A test of these kinds alone."""
    return pytest.mark.parametrize("site", kinds, indirect=True)


def manifest_of(site: Site, artifact: str) -> Path:
    return next(site.store.rglob(f"{artifact}.manifest.json"))


def data_of(site: Site, artifact: str) -> Path:
    return next(site.store.rglob(f"{artifact}.data.*"))


def found(site: Site, artifact: str) -> Artifact:
    return select(site.artifacts(), artifact, time.time())


def unchanged(site: Site, artifact: str, before: str) -> None:
    """The good backup of before is as it was and the only one, nothing half is left, and the next one works."""
    whole(site)
    assert [one.id for one in site.artifacts() if one.state == "good"] == [artifact] and site.bytes_of(artifact) == before
    assert not list(site.store.rglob(".*.part")) and site.leftovers() == []
    assert site.back_up()["artifact"]["state"] == "good"


def days_ago(site: Site, days: float) -> str:
    """The id of a backup that was taken then; for sources that do not have a clock of their own."""
    with patch.object(time, "time", lambda now=time.time(): now - days * DAY):
        return str(site.back_up()["artifact"]["id"])


# --- PostgreSQL while it is backed up


@only("postgresql")
def test_a_client_that_is_too_old_writes_nothing(site: PostgresqlSite, tmp_path: Path) -> None:
    """The programs of another version are scripts here that only tell a version."""
    (tmp_path / "bin").mkdir()
    for path in Path(programs() or "").glob("p*"):
        (tmp_path / "bin" / path.name).symlink_to(path)
    (tmp_path / "bin/pg_dump").unlink()
    (tmp_path / "bin/pg_dump").write_text('#!/bin/sh\n[ "$1" = --version ] || exit 70\necho "pg_dump (PostgreSQL) 9.6.24"\n')
    (tmp_path / "bin/pg_dump").chmod(0o755)
    site.options["bin_dir"] = str(tmp_path / "bin")
    with pytest.raises(Refused) as caught:
        site.back_up()
    assert caught.value.code == "client_too_old" and "9.6.24" in caught.value.message and not site.store.exists()


@only("postgresql")
@pytest.mark.parametrize(("fault", "code"), [("killed", "command_failed"), ("session ended", "connection_lost"), ("server stopped", "connection_lost")])
def test_pg_dump_ends_in_the_middle(site: PostgresqlSite, fault: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.psql(LARGE)
    good = site.back_up()["artifact"]["id"]
    before, size = site.bytes_of(good), (found(site, good).manifest or {})["parts"][0]["plain_bytes"]
    read = postgresql_backup._Dump.read
    positions = 3 if fault == "server stopped" else POSITIONS
    struck: list[int] = []
    for number in range(positions):
        struck.clear()

        def breaking(self: Any, count: int, at: float = 0.8 * size * (number + 0.5) / positions) -> bytes:
            if self._size >= at and not struck:
                struck.append(self._child._process.pid)
                if fault == "killed":
                    os.kill(struck[0], 9)
                elif fault == "session ended":
                    site.psql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{site.name}' and query like 'COPY%'", "postgres")
                else:
                    site.server.stop()
                    site.server.start()
            return read(self, count)

        monkeypatch.setattr(postgresql_backup._Dump, "read", breaking)
        with pytest.raises(RunbookError) as caught:
            site.back_up()
        monkeypatch.setattr(postgresql_backup._Dump, "read", read)
        assert struck and caught.value.code == code
        assert [artifact.id for artifact in site.artifacts()] == [good] and not list(site.store.rglob(".*.part"))
    unchanged(site, good, before)


@contextmanager
def proxy(port: int, after_bytes: float, fault: str) -> Iterator[int]:
    """Between a client and the server; once so many bytes came from the server it stands still, or resets its connections."""
    passed = [0]
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as sockets:

        def pump(source: socket.socket, sink: socket.socket, counts: bool) -> None:
            with suppress(OSError):
                while block := source.recv(65536):
                    passed[0] += len(block) * counts
                    if passed[0] > after_bytes:
                        if fault == "reset":
                            for end in (source, sink):
                                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                                end.shutdown(socket.SHUT_RD)  # wakes the other thread, which would keep it open
                                end.close()
                        over.wait()
                        return
                    sink.sendall(block)
                sink.shutdown(socket.SHUT_WR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client = sockets.enter_context(listener.accept()[0])
                    server = sockets.enter_context(socket.create_connection(("127.0.0.1", port)))
                    for ends in ((client, server, False), (server, client, True)):
                        threading.Thread(target=pump, args=ends, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)


@only("postgresql")
@pytest.mark.parametrize(("fault", "code"), [("stall", "stalled"), ("reset", "connection_lost")])
def test_a_network_that_breaks(site: PostgresqlSite, fault: str, code: str) -> None:
    site.psql(LARGE)
    good = site.back_up()["artifact"]["id"]
    before = site.bytes_of(good)
    direct = dict(site.options)
    with proxy(site.server.port, 5e6, fault) as port:
        site.options.update(host="127.0.0.1", port=port, secret_password=PASSWORD, sslmode="disable", stall_timeout_seconds=1.0)
        with pytest.raises(TimedOut if fault == "stall" else RunbookError) as caught:
            site.back_up()
    assert caught.value.code == code and caught.value.hint
    site.options = direct
    unchanged(site, good, before)


@only("postgresql")
@pytest.mark.parametrize("why", ["wrong", "expired"])
def test_a_password_that_is_not_taken_is_tried_once(site: PostgresqlSite, why: str) -> None:
    role = f"late {time.monotonic_ns()}"
    site.psql(f"create role \"{role}\" login superuser password 'right' valid until '{'2001-01-01' if why == 'expired' else 'infinity'}'")
    site.options.update(host="127.0.0.1", user=role, secret_password="right" if why == "expired" else "wrong", sslmode="disable")
    with pytest.raises(RunbookError) as caught:
        site.back_up()
    assert caught.value.code == "auth" and caught.value.hint and not site.store.exists()
    assert (site.server.folder / "log").read_text().count(f'password authentication failed for user "{role}"') == 1


@only("postgresql")
def test_a_standby_that_cancels_the_copy(site: PostgresqlSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its primary removed rows that the copy still needs."""
    site.psql(LARGE)
    standby = Server(site.server)
    standby.settings["max_standby_streaming_delay"] = "0"
    try:
        standby.start()
        site.options.update(host=str(standby.folder), port=standby.port)
        good = site.back_up()["artifact"]["id"]
        before, read = site.bytes_of(good), postgresql_backup._Dump.read

        def conflicting(self: Any, count: int) -> bytes:
            if not self._size:
                site.psql("delete from trades where id > 20000")
                site.psql("vacuum trades")
                written = site.server.sql("postgres", "select pg_current_wal_lsn()")
                until(lambda: standby.sql("postgres", f"select pg_last_wal_receive_lsn() >= '{written}'") == "t")
                time.sleep(1)  # it is told at once, and hears it when it goes on to write
            return read(self, count)

        monkeypatch.setattr(postgresql_backup._Dump, "read", conflicting)
        with pytest.raises(RunbookError) as caught:
            site.back_up()
        monkeypatch.setattr(postgresql_backup._Dump, "read", read)
        assert caught.value.code == "recovery_conflict" and "hot_standby_feedback" in caught.value.hint
        unchanged(site, good, before)
    finally:
        standby.remove()


# --- what a backup must not be taken for


def empty(site: Site) -> None:
    """Everything goes, but the place stays."""
    if isinstance(site, PostgresqlSite):
        site.psql("drop table trades")
    elif isinstance(site, SqliteSite):
        with closing(sqlite3.connect(site.path)) as connection:
            connection.execute("drop table trades")
    elif isinstance(site, FilesSite):
        shutil.rmtree(site.root)
        site.root.mkdir()


def shrink(site: Site) -> None:
    """Most of it goes."""
    if isinstance(site, PostgresqlSite):
        site.psql("delete from trades where id > 100")
    elif isinstance(site, SqliteSite):
        with closing(sqlite3.connect(site.path, isolation_level=None)) as connection:
            connection.execute("delete from trades where id > 100")
            connection.execute("vacuum")
    elif isinstance(site, FilesSite):
        for number in range(4):
            shutil.rmtree(site.root / str(number))


def damage(site: Site) -> None:
    """A page of the database is overwritten."""
    assert isinstance(site, SqliteSite)
    body = bytearray(site.path.read_bytes())
    start = 4096 * (len(body) // 4096 - 3)
    body[start : start + 40] = b"\xff" * 40
    site.path.write_bytes(body)


def test_a_source_that_is_suddenly_empty(site: Site) -> None:
    good = site.back_up()["artifact"]["id"]
    before = site.bytes_of(good)
    empty(site)
    with pytest.raises(VerifyFailed) as caught:
        site.back_up()
    assert caught.value.code in ("too_few_objects", "too_few_files") and caught.value.hint
    assert [artifact.id for artifact in site.artifacts()] == [good] and site.bytes_of(good) == before
    assert not list(site.store.rglob(".*.part")) and site.leftovers() == []


@pytest.mark.parametrize(("site", "change"), [("sqlite", shrink), ("files", shrink), ("postgresql", shrink), ("sqlite", damage)], indirect=["site"])
def test_a_backup_that_must_not_be_trusted_is_kept_and_replaces_nothing(site: Site, change: Callable[[Site], None]) -> None:
    good = site.back_up()["artifact"]["id"]
    site.prove()
    before, second = site.bytes_of(good), int(time.time())
    change(site)
    until(lambda: int(time.time()) > second)  # two backups of one second have no order
    result = take(site.params(max_shrink_percent=50.0), False)
    doubted = result["artifact"]["id"]
    assert (result["outcome"], result["code"], result["artifact"]["state"]) == ("failed", "suspect", "suspect") and result["hint"]
    assert select(site.artifacts(), "latest", time.time()).id == good
    with pytest.raises(Refused):
        site.restore(select=doubted)
    with pytest.raises(Refused) as caught:
        site.prune(last=1, minimum_restored=1)
    assert caught.value.code == "quarantined" and site.bytes_of(good) == before


# --- disks


def test_too_little_room_is_seen_before_anything_is_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    good = site.back_up()["artifact"]["id"]
    before, size = site.bytes_of(good), found(site, good).size_bytes
    monkeypatch.setattr(Directory, "write", lambda *_arguments: pytest.fail("it was written to"))
    monkeypatch.setattr(Directory, "free_bytes", lambda self: int(1.2 * size) - 1)
    with pytest.raises(NoSpace) as caught:
        site.back_up()
    assert "free, and this backup may need" in caught.value.message and "prune" in caught.value.hint
    monkeypatch.undo()
    monkeypatch.setattr(Directory, "free_bytes", lambda self: int(1.2 * size) + 1)
    unchanged(site, good, before)


@needs_strace
@only("sqlite")
@pytest.mark.parametrize("effect", ["signal=KILL", "error=ENOSPC", "error=EIO"])
def test_a_disk_that_fails_at_any_step_of_a_backup(site: SqliteSite, effect: str, tmp_path: Path) -> None:
    good = days_ago(site, 1)
    before, kept, seen = site.bytes_of(good), tmp_path / "kept", set()
    shutil.copytree(site.store, kept)

    def prepare() -> Callable[[], Any]:
        shutil.rmtree(site.store)
        shutil.copytree(kept, site.store)
        return site.back_up

    for fault, ended in sweep(prepare, tmp_path / "log", [(call, effect) for call in ("write", "fsync", "link", "unlink")]):
        assert ended.killed or ended.error is None or isinstance(ended.error, RunbookError), f"{fault}: {ended.error!r}"
        whole(site)
        made = [artifact for artifact in site.artifacts() if artifact.id != good and artifact.manifest is not None]
        assert site.bytes_of(good) == before and len(made) <= 1, fault
        if not ended.killed:
            assert made if ended.error is None else not made or isinstance(ended.error, Unsure), f"{fault}: {ended.error!r}"
        assert all(artifact.restored_at is None for artifact in made), "before it is proven it counts for nothing"
        seen.add("killed" if ended.killed else getattr(ended.error, "code", "ok"))
        assert site.back_up()["artifact"]["state"] == "good", fault
        assert not list(site.store.rglob(".*.part")) and site.leftovers() == [], fault
    assert seen >= ({"killed"} if effect == "signal=KILL" else {"unsure", "no_space" if effect == "error=ENOSPC" else "failed"}), seen


@only("files")
def test_very_many_small_files(site: FilesSite) -> None:
    for number in range(FILES):
        if number % 1000 == 0:
            (site.root / f"many {number}").mkdir()
        (site.root / f"many {number // 1000 * 1000}" / str(number)).write_bytes(b"%d" % number)
    made = site.back_up()["artifact"]
    assert made["totals"]["files"] > FILES and site.prove()["artifact"]["level"] == "restored"
    assert site.leftovers() == []


# --- restores


def test_what_is_restored_must_be_what_was_backed_up(site: Site) -> None:
    """The manifest tells of more than the data holds, as when a restore leaves something out."""
    made, before = site.back_up()["artifact"]["id"], site.content()
    path = manifest_of(site, made)
    manifest = json.loads(path.read_bytes())
    manifest["inventory"]["totals"]["objects"] += 1
    path.write_bytes(canonical(manifest))
    with pytest.raises(VerifyFailed) as caught:
        site.restore(select=made)
    assert caught.value.code == "not_restored" and "objects" in caught.value.message
    assert site.content() == before and site.leftovers() == [] and not list((site.folder / "state/intents").glob("*.json"))
    with pytest.raises(VerifyFailed):
        site.prove(select=made)
    assert found(site, made).state == "corrupt" and found(site, made).restored_at is None and site.leftovers() == []


@only("postgresql")
def test_a_row_that_cannot_be_restored(site: PostgresqlSite) -> None:
    """What is in the table is refused when its index is made anew."""
    site.psql("create function fine(bigint) returns bigint language sql immutable as 'select $1'")
    site.psql("create index on trades (fine(id))")
    site.psql("create or replace function fine(bigint) returns bigint language sql immutable as 'select 1 / ($1 - 7)'")
    made = site.back_up()["artifact"]["id"]
    site.psql("delete from trades where id > 10000")
    look = f"select oid from pg_database where datname = '{site.name}'"
    before, number = site.content(), site.psql(look, "postgres")
    with pytest.raises(RunbookError, match="division by zero"):
        site.restore(select=made)
    assert (site.content(), site.psql(look, "postgres"), site.leftovers()) == (before, number, [])


def test_nothing_is_restored_without_the_confirmation_of_this_very_plan(site: Site) -> None:
    first = site.back_up()["artifact"]["id"]
    told = bring_back(site.params(select=first), True)
    assert [step["action"] for step in told["plan"]] == ["back_up", "check", "stage", "swap"] and not told.get("performed")
    assert told["plan"][0]["name"] in told["diff"]["before"] and told["artifact"]["taken_at"] in told["diff"]["after"]
    site.change()
    before, second = site.content(), site.back_up()["artifact"]["id"]
    others = bring_back(site.params(select=second), True)["confirm"]
    for token in ("", "12345678", others):
        with pytest.raises(NotConfirmed) as caught:
            bring_back(site.params(select=first, confirm=token), False)
        assert told["confirm"] in caught.value.hint
    assert site.content() == before and {artifact.id for artifact in site.artifacts()} == {first, second} and site.leftovers() == []


def test_what_was_there_is_saved_before_it_is_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = site.back_up()["artifact"]["id"]
    site.change()
    before = site.content()
    monkeypatch.setattr(Directory, "free_bytes", lambda self: 10)
    with pytest.raises(NoSpace):
        site.restore(select=made)
    assert site.content() == before and site.leftovers() == [], "what cannot be saved is not replaced"
    monkeypatch.undo()
    saved = site.restore(select=made)["restore"]["saved"]["id"]
    assert site.content() != before and found(site, saved).pins
    site.restore(select=saved)
    assert site.content() == before


@only("postgresql")
def test_a_database_with_somebody_in_it_is_not_restored_over(site: PostgresqlSite) -> None:
    made = site.back_up()["artifact"]["id"]
    site.change()
    before = site.content()
    command = ["psql", "-XAtq", "-h", str(site.server.folder), "-p", str(site.server.port), "-U", "runbook", "-d", f"dbname='{site.name}'"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as application:
        assert application.stdin and application.stdout
        application.stdin.write("\\echo ready\n")
        application.stdin.flush()
        assert application.stdout.readline() == "ready\n"
        with pytest.raises(InUse, match="psql"):
            site.restore(select=made)
        assert site.psql(f"select count(*) from pg_stat_activity where datname = '{site.name}' and application_name = 'psql'", "postgres") == "1"
        application.kill()
    assert site.content() == before and len(site.artifacts()) == 1 and site.leftovers() == []


@only("postgresql")
def test_a_restore_on_another_server_is_doubted(site: PostgresqlSite) -> None:
    made = site.back_up()["artifact"]["id"]
    known = bring_back(site.params(select=made), True)
    assert known["doubts"] == ["the backup was never proven to restore (its level is none)"]
    other = Server()
    try:
        other.start()
        site.options.update(host=str(other.folder), port=other.port)
        told = bring_back(site.params(select=made), True)
        assert any("identifier" in doubt for doubt in told["doubts"])
        with pytest.raises(NotConfirmed, match="Mind: .*identifier"):
            bring_back(site.params(select=made, confirm=known["confirm"]), False)
        assert other.sql("postgres", "select count(*) from pg_database") == "3"
    finally:
        other.remove()


def test_backups_of_another_environment_are_restored_only_when_that_is_said(site: Site) -> None:
    made, before = take(site.params(environment="staging"), False)["artifact"]["id"], site.content()
    for wanted in ("latest", made):
        with pytest.raises(NotThere):
            bring_back(site.params(select=wanted), True)
    assert bring_back(site.params(**{"from": {"environment": "staging"}}), True)["artifact"]["id"] == made
    assert site.content() == before


@pytest.mark.parametrize("change", ["part missing", "part of another", "manifest edited", "manifest of another", "newest hidden"])
def test_a_repository_that_was_tampered_with(site: Site, change: str) -> None:
    """Also when the backup is asked for by its id."""
    made = site.back_up()["artifact"]
    site.change()
    newer, before = site.back_up()["artifact"], site.content()
    wanted: dict[str, Any] = {"select": made["id"]}
    if change == "part missing":
        data_of(site, made["id"]).unlink()
    elif change == "part of another":
        shutil.copy(data_of(site, newer["id"]), data_of(site, made["id"]))
    elif change == "manifest edited":
        path = manifest_of(site, made["id"])
        path.write_bytes(path.read_bytes().replace(b'"host": "', b'"host": "x'))
    elif change == "manifest of another":
        shutil.copy(manifest_of(site, newer["id"]), manifest_of(site, made["id"]))
    else:
        for path in list(site.store.rglob(f"{newer['id']}.*")):
            path.unlink()
        wanted = {"select": "latest", "manifest_sha256": newer["manifest_sha256"]}  # as the record of the run has it
    with pytest.raises((Refused, VerifyFailed)) as caught:
        site.restore(**wanted)
    assert caught.value.hint and site.content() == before and site.leftovers() == []


def test_how_long_it_may_take_is_said_before(site: Site) -> None:
    made = site.back_up()["artifact"]["id"]
    assert bring_back(site.params(select=made), True)["estimated_seconds"] is None
    proof = site.prove()["proof"]
    told = bring_back(site.params(select=made), True)
    assert told["estimated_seconds"] == proof["seconds"] and "when it was last proven" in told["diff"]["after"]


def test_the_first_backup_after_a_restore_is_a_whole_one(site: Site) -> None:
    made = site.back_up()["artifact"]["id"]
    site.change()
    site.restore(select=made)
    site.change()
    before, after = site.content(), site.back_up()["artifact"]
    assert after["state"] == "good" and select(site.artifacts(), "latest", time.time()).id == after["id"]
    site.change()
    site.restore(select=after["id"])
    assert site.content() == before
    assert site.prove(select=after["id"])["artifact"]["level"] == "restored"


# --- pruning


@needs_strace
@only("sqlite")
@pytest.mark.parametrize("effect", ["signal=KILL", "error=EIO"])
def test_a_pruning_that_breaks_at_any_step(site: SqliteSite, effect: str, tmp_path: Path) -> None:
    old = [days_ago(site, days) for days in (3, 2)]
    newest = days_ago(site, 1)
    site.prove(select=newest)
    before, kept, outcomes = {name: site.bytes_of(name) for name in (*old, newest)}, tmp_path / "kept", set()
    shutil.copytree(site.store, kept)

    def prepare() -> Callable[[], Any]:
        shutil.rmtree(site.store)
        shutil.copytree(kept, site.store)
        return lambda: site.prune(last=1, minimum_restored=1)

    for fault, ended in sweep(prepare, tmp_path / "log", [(call, effect) for call in ("getdents64", "openat", "write", "fsync", "link", "unlink")]):
        assert ended.killed or ended.error is None or isinstance(ended.error, RunbookError), f"{fault}: {ended.error!r}"
        whole(site)
        assert site.bytes_of(newest) == before[newest], fault
        if fault.syscall == "getdents64":
            assert {name: site.bytes_of(name) for name in before} == before, f"{fault}: what could not be listed was pruned"
        outcomes.add("killed" if ended.killed else ended.error.code if isinstance(ended.error, RunbookError) else (ended.result or {}).get("outcome", "ok"))
        site.prune(last=1, minimum_restored=1)
        assert [artifact.id for artifact in site.artifacts()] == [newest], fault
        assert {path.name.split(".")[0] for path in site.store.rglob("2*")} == {newest} and not list(site.store.rglob(".*.part")), fault
    assert outcomes >= ({"killed"} if effect == "signal=KILL" else {"partial", "failed"}), outcomes


@only("sqlite")
def test_one_that_works_in_a_repository_keeps_the_others_out(site: SqliteSite) -> None:
    for days in (3, 2, 1):
        last = days_ago(site, days)
    site.prove(select=last)
    before = {artifact.id: site.bytes_of(artifact.id) for artifact in site.artifacts()}
    others: list[Callable[[], Any]] = [lambda: site.prune(last=1, minimum_restored=1), lambda: site.prune(daily=2, minimum_restored=1), site.back_up]
    with Directory({"path": str(site.store)}).locked(site.artifacts()[0].prefix):
        for work in others:
            with pytest.raises(Busy):
                work()
    assert {artifact.id: site.bytes_of(artifact.id) for artifact in site.artifacts()} == before


@only("sqlite")
def test_more_than_may_go_at_once_stays(site: SqliteSite) -> None:
    for days in (4, 3, 2, 1):
        last = days_ago(site, days)
    site.prove(select=last)
    before = {artifact.id: site.bytes_of(artifact.id) for artifact in site.artifacts()}
    keep = {"last": 1, "minimum_restored": 1}
    result = prune_module.prune({**site.params(), "kind": site.kind, "keep": keep, "max_remove_percent": 50.0}, False)
    assert (result["outcome"], result["code"], result["changed"]) == ("refused", "too_much", False) and len(result["plan"]) == 3
    assert {artifact.id: site.bytes_of(artifact.id) for artifact in site.artifacts()} == before


@only("sqlite")
def test_a_hold_and_a_class_outlive_every_policy(site: SqliteSite) -> None:
    with patch.object(time, "time", lambda now=time.time(): now - 4 * DAY):
        classed = take(site.params(retention_class="transactions"), False)["artifact"]["id"]
    held, plain, last = (days_ago(site, days) for days in (3, 2, 1))
    site.prove(select=last)
    prefix = site.artifacts()[0].prefix
    Directory({"path": str(site.store)}).create(f"{prefix}{held}.hold.case-7.json", b"{}\n")
    with pytest.raises(Refused) as caught:
        site.prune(last=1, minimum_restored=1)
    assert caught.value.code == "unknown_class", "a class that this policy does not know is not guessed"
    site.prune(last=1, minimum_restored=1, classes={"transactions": {"at_least": "7 y"}})
    assert {artifact.id for artifact in site.artifacts()} == {classed, held, last} and plain not in {held, last}
