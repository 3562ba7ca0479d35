# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real cluster, archived by a real pgBackRest with an encrypted repository: chains, points in time to the transaction, timelines, gaps, restores."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import CommandFailed, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Part
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _pgbackrest_staging
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest import Pgbackrest
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest_cluster import PgCtl
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest_staging import Staging
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.pgbackrest_backup import Source, forget, replay
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.pgbackrest_restore import Target
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.support.pgbackrest import Cluster, PgbackrestSite, installed

pytestmark = pytest.mark.skipif(not installed(), reason="pgBackRest or PostgreSQL is not installed (Debian packages pgbackrest, postgresql)")

TAG = "20261121T080000Z-7f3a9c1e"
PASSPHRASE = "s3cret-of-the-repository"
DONE = "select string_agg(i::text, ',' order by i) from done"


def context(**more: Any) -> Context:
    return Context(Deadline(120, time.monotonic), time.time(), TAG, scratch=True, **more)


@dataclass(frozen=True)
class Commit:
    """One of the transactions: its number, what the server said right after it, and the instant of it."""

    number: int
    xid: str
    lsn: str
    time: str


@dataclass
class History:
    """A cluster with a full backup, twenty transactions after it, an incremental backup, and one transaction more."""

    cluster: Cluster
    site: PgbackrestSite
    full: dict[str, Any]
    incr: dict[str, Any]
    commits: list[Commit]

    def staged(self, manifest: dict[str, Any], until: dict[str, str], **options: Any) -> str:
        """What a scratch place has of the transactions when the log was replayed up to there."""
        given = context(until=until)
        target = Target({**self.site.options, **options}, given)
        replay({**self.site.options, **options}, given, manifest)
        [artifact] = [one for one in self.site.artifacts() if one.id == manifest["id"]]
        bench = self.site.bench()
        part = manifest["parts"][0]
        with bench.repository.open(artifact.prefix + part["name"]) as reader:
            with closing(Part(reader, part, bench.codec, lambda count: None)) as stream:
                try:
                    target.stage(stream, manifest)
                    return str(target.ask(DONE))
                finally:
                    target.discard()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pgs-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def history(folder: Path) -> Iterator[History]:
    with Cluster() as cluster:
        cluster.configure(repo1_cipher_type="aes-256-cbc", repo1_cipher_pass=PASSPHRASE)
        site = PgbackrestSite(folder, cluster)
        cluster.sql("create table done (i int)")
        site.back_up()
        time.sleep(1.1)  # the end of a backup is known to the second
        commits = []
        for number in range(1, 21):
            xid = cluster.sql(f"insert into done values ({number}) returning pg_current_xact_id()")
            lsn, at = cluster.sql("select pg_current_wal_lsn(), to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')").split("|")
            commits.append(Commit(number, xid, lsn, at))
            if number == 10:
                cluster.sql("select pg_create_restore_point('half')")
            if number in (7, 14):
                cluster.archive()
        site.back_up()
        cluster.sql("insert into done values (21)")
        cluster.archive()
        full, incr = (dict(artifact.manifest or {}) for artifact in site.artifacts())
        yield History(cluster, site, full, incr, commits)


def up_to(number: int) -> str:
    return ",".join(str(one) for one in range(1, number + 1))


@pytest.mark.parametrize(
    ("kind", "number"), [("time", 3), ("time", 19), ("lsn", 7), ("lsn", 16), ("xid", 20), ("name", 10)], ids=str
)
def test_replay_ends_right_at_the_transaction(history: History, kind: str, number: int) -> None:
    value = "half" if kind == "name" else getattr(history.commits[number - 1], kind)
    assert history.staged(history.full, {kind: value}) == up_to(number)
    assert history.site.leftovers() == [".s.PGSQL.5432", ".s.PGSQL.5432.lock"]


def test_without_a_point_it_is_the_end_of_the_backup(history: History) -> None:
    assert history.staged(history.full, {}) == "None"
    assert history.staged(history.incr, {}) == up_to(20)


def test_what_is_known_of_a_backup(history: History) -> None:
    full, incr = history.full, history.incr
    assert (full["needs"], incr["needs"]) == ([], [full["label"]]) and incr["label"].startswith(f"{full['label']}_")
    assert (full["notes"], incr["notes"]) == (["no prior backup exists, incr backup has been changed to full"], [])
    assert full["label"].endswith("F") and history.cluster.labels() == [full["label"], incr["label"]]
    assert {name: set(figures) for name, figures in full["inventory"]["objects"].items()} == {
        "database postgres": {"oid"}, "cluster": {"system_id", "version", "wal_segment_bytes"},
    }  # fmt: skip
    assert incr["inventory"]["totals"]["repository_bytes"] < full["inventory"]["totals"]["repository_bytes"]
    assert full["identity"]["system_id"] == full["inventory"]["objects"]["cluster"]["system_id"] != ""
    assert PASSPHRASE not in repr((full, incr))
    for path in history.site.folder.rglob("*"):
        assert not path.is_file() or PASSPHRASE.encode() not in path.read_bytes()


REFUSALS: dict[str, tuple[str, str, Callable[[History], dict[str, str]]]] = {
    "a time before the backup": ("before_backup", "full", lambda one: {"time": "2026-01-01T00:00:00Z"}),
    "a position before the backup": ("before_backup", "incr", lambda one: {"lsn": one.commits[3].lsn}),
    "a time before the second backup": ("before_backup", "incr", lambda one: {"time": one.commits[3].time}),
    "the future": ("not_archived_yet", "full", lambda one: {"time": "2126-01-01T00:00:00Z"}),
    "after the newest segment": ("not_archived_yet", "full", lambda one: {"lsn": "F/0"}),
    "no such timeline": ("other_timeline", "full", lambda one: {"lsn": one.commits[3].lsn}),
    "no time": ("invalid_input", "full", lambda one: {"time": "yesterday"}),
    "no position": ("invalid_input", "full", lambda one: {"lsn": "F-0"}),
    "no transaction": ("invalid_input", "full", lambda one: {"xid": "1; drop"}),
}


@pytest.mark.parametrize("case", list(REFUSALS))
def test_refused_before_anything_is_copied(history: History, case: str) -> None:
    code, which, until = REFUSALS[case]
    options = {**history.site.options, **({"timeline": 7} if case == "no such timeline" else {})}
    with pytest.raises(RunbookError) as caught:
        replay(options, context(until=until(history)), getattr(history, which))
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)


def test_nobody_knows_yet_whether_it_is_archived(history: History) -> None:
    time.sleep(1.1)  # arrivals in the archive are known to the second
    now = history.cluster.sql("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
    with pytest.raises(RunbookError) as caught:
        replay(history.site.options, context(until={"time": now}), history.full)
    assert caught.value.code == "not_archived_yet" and "pg_switch_wal" in caught.value.hint


@pytest.mark.parametrize("until", [{"xid": "999999"}, {"name": "never made"}], ids=str)
def test_a_point_that_never_comes_is_an_error_and_no_promotion(history: History, until: dict[str, str]) -> None:
    with pytest.raises(RunbookError) as caught:
        history.staged(history.full, until)
    assert caught.value.code == "target_not_reached" and list(until.values())[0] in caught.value.message
    assert history.site.leftovers() == [".s.PGSQL.5432", ".s.PGSQL.5432.lock"]


def test_a_gap_in_the_archive(history: History) -> None:
    late = history.commits[15]
    name = history.cluster.sql(f"select pg_walfile_name('{late.lsn}'::pg_lsn - 1)")
    [path] = [path for path in history.cluster.segments() if path.name.startswith(name)]
    aside = history.site.folder / "gap"
    shutil.move(path, aside)
    try:
        for until in ({"lsn": late.lsn}, {"time": history.commits[19].time}):
            with pytest.raises(RunbookError) as caught:
                replay(history.site.options, context(until=until), history.full)
            assert caught.value.code == "wal_gap" and name in caught.value.message
        assert history.staged(history.full, {"lsn": history.commits[4].lsn}) == up_to(5)  # before the gap
        with pytest.raises(RunbookError) as caught:
            history.staged(history.full, {"xid": late.xid})
        assert caught.value.code == "target_not_reached" and f"{name} is missing" in caught.value.message
    finally:
        shutil.move(aside, path)
        shutil.chown(path, history.cluster.account)  # from another file system it comes as ours


@pytest.mark.parametrize(("change", "code"), [
    ({"label": "20200101-000000F"}, "not_there"), ({"label": "../etc"}, "not_there"), ({"identity": {"system_id": "1"}}, "other_cluster"),
], ids=["no such label", "no label", "of another cluster"])  # fmt: skip
def test_what_pgbackrest_does_not_have(history: History, change: dict[str, Any], code: str) -> None:
    with pytest.raises(RunbookError) as caught:
        replay(history.site.options, context(until={"xid": "1000"}), {**history.full, **change})
    assert caught.value.code == code


def test_a_proof_fails_when_pgbackrest_has_it_no_more(history: History) -> None:
    aside = history.site.folder / "aside"
    [info] = history.cluster.store.rglob("backup.info")
    kept = info.read_bytes(), info.with_name("backup.info.copy").read_bytes()
    assert history.site.prove(select=history.incr["id"])["proof"]["ok"]
    shutil.copytree(history.cluster.store, aside)
    try:
        history.cluster.pgbackrest("expire", f"--set={history.incr['label']}")
        with pytest.raises(RunbookError) as caught:
            history.site.prove(select=history.incr["id"])
        [artifact] = [one for one in history.site.artifacts() if one.id == history.incr["id"]]
        assert caught.value.code == "not_there" and artifact.failed
    finally:
        shutil.copytree(aside, history.cluster.store, dirs_exist_ok=True)
        for path in (history.cluster.store, *history.cluster.store.rglob("*")):
            shutil.chown(path, history.cluster.account)
        assert (info.read_bytes(), info.with_name("backup.info.copy").read_bytes()) == kept
    assert history.site.prove(select=history.incr["id"])["proof"]["ok"]


@pytest.mark.parametrize(("settings", "options", "code"), [
    ({"archive_command": "cp %p /tmp/nowhere"}, {}, "archive_off"),
    ({"archive_command": "false # pgbackrest archive-push %p"}, {"archive_timeout_seconds": 1}, "archive_failing"),
    ({}, {"stanza": "other", "create_stanza": False}, "no_stanza"),
    ({}, {"config": "/nowhere/pgbackrest.conf"}, "command_failed"),
    ({}, {"port": 5433}, "unreachable"),
    ({}, {"container": "orders-db"}, "refused"),
    ({}, {"os_user": "no such user"}, "invalid_input"),
], ids=str)  # fmt: skip
def test_gates(history: History, settings: dict[str, str], options: dict[str, Any], code: str) -> None:
    with history.cluster.changed(**settings):
        with pytest.raises(RunbookError) as caught:
            Source({**history.site.options, **options}, context()).identity()
    assert (caught.value.code, bool(caught.value.hint)) == (code, True), caught.value.message


def test_two_at_once(history: History) -> None:
    lock = history.cluster.folder / "lock" / "main-backup.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        shutil.chown(lock, history.cluster.account)
        with pytest.raises(RunbookError) as caught:
            history.site.back_up()
    lock.unlink()
    assert caught.value.code == "busy" and len(history.site.artifacts()) == 2


def test_a_restore_and_what_comes_after_it(folder: Path) -> None:
    """To a point, with a tablespace; the next backup is of the new timeline, the older points stay reachable, and the restore can be taken back."""
    (folder / "r").mkdir()
    with Cluster() as cluster:
        site = PgbackrestSite(folder / "r", cluster)
        (cluster.folder / "space").mkdir()
        shutil.chown(cluster.folder / "space", cluster.account)
        cluster.sql(f"create tablespace space location '{cluster.folder}/space'", "create table done (i int) tablespace space")
        spool = cluster.folder / "spool/archive/main/out"
        spool.mkdir(parents=True)
        (spool / "note").touch()
        cluster.configure(spool_path=str(cluster.folder / "spool"))
        first = site.back_up()["artifact"]["id"]
        cluster.sql("insert into done values (1)")
        lsn = cluster.sql("select pg_current_wal_lsn()")
        cluster.sql("insert into done values (2)")
        cluster.archive()
        command = cluster.as_account("psql", "-XAtq", "-h", str(cluster.folder), "-U", "runbook", "-c", "select 1", "-c", "select pg_sleep(60)", "postgres")
        with subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE) as session:
            assert session.stdout is not None and session.stdout.readline() == b"1\n"
            with pytest.raises(RunbookError) as caught:
                site.restore(select=first, until={"lsn": lsn})
            session.kill()
        assert caught.value.code == "in_use" and "runbook (psql)" in caught.value.message
        cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where query ~ 'sleep' and pid <> pg_backend_pid()")
        done = site.restore(select=first, until={"lsn": lsn})["restore"]
        assert cluster.sql(DONE) == "1" and done["swapped"]["reached"]["lsn"] == lsn and done["swapped"]["reached"]["timeline"] == 2
        assert done["saved"]["id"] and (cluster.folder / f"data.before-{done['id']}").is_dir() and (spool / "note").exists()
        assert cluster.sql("select pg_tablespace_location(oid) from pg_tablespace where spcname = 'space'") == f"{cluster.folder}/space.restored-{done['id']}"
        assert site.leftovers() == [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] and cluster.sql("show archive_mode") == "on"
        assert "restore_command" not in (cluster.data / "postgresql.auto.conf").read_text()
        cluster.sql("insert into done values (3)")
        later = cluster.sql("select pg_current_wal_lsn()")
        assert site.back_up()["artifact"]["state"] == "good"
        cluster.archive()
        proof = site.prove(select=first, until={"lsn": later}, invariants=[
            {"name": "all", "query": "select count(*) from done", "limits": {"value": {"critical": "!= 2"}}}])["proof"]  # fmt: skip
        assert proof["ok"] and len(site.artifacts()) == 3
        bring_back(site.params(undo=done["id"]), False)
        assert cluster.sql(DONE) == "1,2" and not list(cluster.folder.glob("space.restored-*")) and not list(cluster.folder.glob("data.before-*"))


def test_a_swap_that_cannot_be_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an undo needs stays until it was done, tablespaces too; and what cannot be removed does not spoil a restore."""
    (folder / "u").mkdir()
    with Cluster() as cluster:
        site = PgbackrestSite(folder / "u", cluster)
        (cluster.folder / "space").mkdir()
        shutil.chown(cluster.folder / "space", cluster.account)
        cluster.sql(f"create tablespace space location '{cluster.folder}/space'", "create table done (i int) tablespace space", "insert into done values (1)")
        first = site.back_up()["artifact"]["id"]
        cluster.sql("insert into done values (2)")

        def broken(*_arguments: object, **_options: object) -> None:
            monkeypatch.setattr(PgCtl, "stop", broken)
            raise CommandFailed(["pg_ctl"], 1, "broken")

        monkeypatch.setattr(Staging, "release", broken)
        with pytest.raises(RunbookError) as caught:
            site.restore(select=first)
        [space] = cluster.folder.glob("space.restored-*")
        assert caught.value.code == "unsure" and list(space.iterdir()) and list(cluster.folder.glob(".data.restore-*/swap.json"))
        monkeypatch.undo()
        target = Target(site.options, replace(context(), scratch=False, tag=space.name.partition("-")[2]))
        target.undo({})
        assert cluster.sql(DONE) == "1,2"
        target.discard()
        assert site.leftovers() == [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] and not space.exists()

        monkeypatch.setattr(_pgbackrest_staging, "_remove", lambda path: os.rmdir(f"{path}/"))  # which is not empty
        done = site.restore(select=first)["restore"]
        monkeypatch.undo()
        assert cluster.sql(DONE) == "1" and list(cluster.folder.glob(".data.restore-*"))
        bring_back(site.params(undo=done["id"]), False)
        assert cluster.sql(DONE) == "1,2" and not list(cluster.folder.glob(f"*{done['id']}"))


def test_another_cluster_and_a_fork(folder: Path) -> None:
    """Gates of a server that is none of the stanza's, then of its standby; once that is promoted, two histories share an archive."""
    (folder / "f").mkdir()
    with Cluster() as one:
        site = PgbackrestSite(folder / "f", one)
        one.sql("create table done (i int)")
        site.back_up()
        one.sql("insert into done values (1)")
        one.archive()
        with Cluster(of=one) as other:
            assert refused(other) == "other_cluster"
            other.configure_server(archive_mode="off")
            assert refused(other) == "archive_off"
            other.follow(one)
            assert refused(other) == "standby"
            other.run("pg_ctl", "promote", "-w", "-D", str(other.data))
            other.sql("insert into done values (20)")
            fork = other.sql("select pg_current_wal_lsn()")
            other.archive()
            one.sql("insert into done values (2)")
            site.back_up()
            one.sql("insert into done values (3)")
            lsn = one.sql("select pg_current_wal_lsn()")
            one.archive()
            before, after = (dict(artifact.manifest or {}) for artifact in site.artifacts())
            history = History(one, site, before, after, [])
            assert history.staged(before, {"lsn": fork}) == "1,20"
            with pytest.raises(RunbookError) as caught:
                history.staged(after, {"lsn": lsn})
            assert caught.value.code == "other_timeline" and "timeline: 1" in caught.value.hint
            assert history.staged(after, {"lsn": lsn}, timeline=1) == "1,2,3"


def refused(cluster: Cluster) -> str:
    with pytest.raises(RunbookError) as caught:
        Source(cluster.options(create_stanza=False), context()).identity()
    return str(caught.value.code)


def test_chains_go_together(folder: Path) -> None:
    (folder / "c").mkdir()
    with Cluster() as cluster:
        site = PgbackrestSite(folder / "c", cluster)
        cluster.configure(repo1_retention_full="1")  # which is noted, and not followed: our retention decides
        for kind in ("full", "diff", "incr", "full"):
            site.options["type"] = kind
            site.back_up()
        one, two = site.artifacts()[0].manifest or {}, site.artifacts()[3].manifest or {}
        assert [len((artifact.manifest or {})["needs"]) for artifact in site.artifacts()] == [0, 1, 2, 0]
        assert len(cluster.labels()) == 4 and all("repo1-retention-full=1:" in str((artifact.manifest or {})["notes"]) for artifact in site.artifacts())
        site.prove()
        oldest = cluster.segments()[0].name
        cluster.pgbackrest("backup", "--type=incr", "--start-fast", "--no-expire-auto")
        made = site.prune(last=1, minimum_restored=1)
        assert [step["action"] for step in made["performed"]] == ["remove"] * 3 and cluster.labels()[0] == two["label"]
        assert oldest not in [path.name for path in cluster.segments()], "the log before the oldest full backup goes with it"
        assert cluster.segments() and len(site.artifacts()) == 1 and one["label"] not in cluster.labels()
        assert site.prove()["proof"]["ok"]
        remove = forget(site.options)
        for depends in ("depends on it", "no other full backup"):
            with pytest.raises(RunbookError, match=depends) as caught:
                remove(two)
            assert caught.value.code == "still_needed" and two["label"] in cluster.labels()
            for theirs in cluster.labels()[1:]:
                cluster.pgbackrest("expire", f"--set={theirs}")
        with pytest.raises(RunbookError) as caught:
            remove({**two, "identity": {"system_id": "1"}})
        assert caught.value.code == "other_cluster"
        remove(one)  # gone already


def test_only_what_is_ours_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of which no document was stored goes at once; and one that somebody else ends while another goes stays."""
    (folder / "o").mkdir()
    with Cluster() as cluster:
        site = PgbackrestSite(folder / "o", cluster)
        site.options["type"] = "full"
        site.back_up()
        [first] = cluster.labels()
        with pytest.raises(ZeroDivisionError), Source(site.options, context()).open():
            assert len(cluster.labels()) == 2
            raise ZeroDivisionError
        assert cluster.labels() == [first]
        site.back_up()
        second, watch = cluster.labels()[1], Pgbackrest.watch

        def after_another(program: Pgbackrest, name: str, *options: str) -> list[str]:
            cluster.pgbackrest("backup", "--type=full", "--start-fast", "--no-expire-auto")
            return watch(program, name, *options)

        oldest = cluster.segments()[0].name
        monkeypatch.setattr(Pgbackrest, "watch", after_another)
        forget(site.options)({"label": first})
        assert cluster.labels()[:-1] == [second] and oldest not in [path.name for path in cluster.segments()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("size", ["10m", "40m"])
def test_a_scratch_place_that_is_full(history: History, size: str) -> None:
    small = history.cluster.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(RunbookError) as caught:
            history.staged(history.full, {"xid": history.commits[19].xid}, scratch_dir=str(small))
        assert (caught.value.code, os.listdir(small)) == ("no_space", []), caught.value.message
    finally:
        subprocess.run(["umount", str(small)], check=True)
        small.rmdir()
