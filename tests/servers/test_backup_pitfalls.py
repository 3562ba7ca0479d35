# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hand-written guides say of backups, run as it is written to see how it fails; then the same with ours. The ids are those of docs/pitfalls.yml."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import CommandFailed, InUse, NotThere, Refused, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import parse_limits
from ansible_collections.tradeops.runbook.plugins.module_utils._core.manifest import canonical, digest_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, Probe, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import parse_duration
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import judge_measures
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import backup as backup_health
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import Denied
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take
from ansible_collections.tradeops.runbook.tests.integration.conftest import COLLECTION_ROOT
from ansible_collections.tradeops.runbook.tests.support.backup_sites import FilesSite, PostgresqlSite, Site, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server
from dateutil.rrule import rrulestr

HOUR, DAY = 3600.0, 86400.0
ROWS = 8000  # of a new SqliteSite
SERVICE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("pragma wal_autocheckpoint = 0")
connection.execute("insert into trades (note) select 'newer' from trades limit 1000")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path, server: Server) -> PostgresqlSite:
    """Beside trades, which has a key, a table without one."""
    site = PostgresqlSite(tmp_path, server)
    site.psql("create table fills as select id, note from trades limit 1000")
    return site


def sh(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of a guide."""
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def in_database(site: PostgresqlSite, line: str) -> subprocess.CompletedProcess[str]:
    """A line of a guide for PostgreSQL, whose programs find the database by themselves."""
    where = f"export PGHOST='{site.server.folder}' PGPORT={site.server.port} PGUSER=runbook PGDATABASE='{site.name}'"
    return sh(f"{where}; {line}", site.folder)


def touched(folder: Path, name: str, days: float) -> Path:
    """A backup of a guide, so many days old."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("data")
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


@contextmanager
def ago(seconds: float) -> Iterator[None]:
    """The wall clock of that time, standing still."""
    then = time.time() - seconds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: then)
        yield


def backed_up(site: Site, seconds: float, proven: bool = True, retention_class: str = "") -> str:
    """The id of one of our backups, made (and proven) so many seconds ago."""
    with ago(seconds):
        made: str = take(site.params(retention_class=retention_class), False)["artifact"]["id"]
        if proven:
            site.prove(select=made)
    return made


def ids(site: Site) -> list[str]:
    return [artifact.id for artifact in site.artifacts()]


def rows(path: Path) -> tuple[int, str]:
    """How many trades there are, and what SQLite's own check says."""
    with closing(sqlite3.connect(path)) as connection:
        [[check]] = connection.execute("pragma integrity_check").fetchall()
        return connection.execute("select count(*) from trades").fetchone()[0], check


@contextmanager
def running(path: Path) -> Iterator[None]:
    """A service that has written 1,000 rows, which are in the write-ahead log alone; at the end it is killed, and the log stays."""
    with subprocess.Popen([sys.executable, "-c", SERVICE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None and service.stdout.readline() == "ready\n"
            yield
        finally:
            service.kill()


def shipped(name: str) -> dict[str, Any]:
    """A file of the inventory of nextrade."""
    found: dict[str, Any] = yaml.safe_load((COLLECTION_ROOT / f"inventories/nextrade/group_vars/nextrade/{name}.yml").read_text(encoding="utf-8"))
    return found


def health(site: Site, check: str) -> tuple[dict[str, Any], str]:
    """What the check of health measures now, and its verdict by the limits that ship with nextrade."""
    place = {"environment": "test", "system": "exchange", "kind": site.kind, "name": "trades", "repository": site.params()["repository"]}
    measures = backup_health.measure(place, Probe(Deadline(60, time.monotonic), time.time()))
    [limits] = [found["limits"] for found in shipped("backup")["health_checks_backup"] if found["name"] == check]
    return measures, judge_measures(measures, backup_health.MEASURES, parse_limits(limits, backup_health.MEASURES), {})["status"]


def data_of(site: Site) -> tuple[Path, dict[str, Any]]:
    """The stored data of the only backup, and its manifest."""
    [artifact] = site.artifacts()
    assert artifact.manifest is not None
    return site.store / artifact.prefix / artifact.manifest["parts"][0]["name"], dict(artifact.manifest)


def test_a_copy_of_a_live_database(tmp_path: Path) -> None:
    """cp of a database that is written to: what is in the write-ahead log is missing, and the copy passes its check. (S5-D1)"""
    site = SqliteSite(tmp_path)
    with running(site.path):
        sh("cp data/trades.db copy.db", tmp_path)
        site.back_up()
        assert rows(site.path) == (ROWS + 1000, "ok")
    assert rows(tmp_path / "copy.db") == (ROWS, "ok"), "1,000 committed rows are lost, and nothing tells"
    site.restore(source={"sqlite": {"path": str(tmp_path / "ours.db")}})
    assert rows(tmp_path / "ours.db") == (ROWS + 1000, "ok")


def test_a_copy_over_a_live_database(tmp_path: Path) -> None:
    """cp of a backup over the file while the service runs: the log that is still there mixes newer rows into the old ones. (S5-D2)"""
    site = SqliteSite(tmp_path)
    wanted = site.content()
    sh("cp data/trades.db backup.db", tmp_path)
    site.back_up()
    site.change()
    with running(site.path):
        live = site.content()
        sh("cp backup.db data/trades.db", tmp_path)
        assert rows(site.path) == (ROWS + 1000, "ok") and site.content() not in (wanted, live), "a mixture that passes its check"
        with pytest.raises(InUse, match="is open in"):
            site.restore()
        assert rows(site.path) == (ROWS + 1000, "ok")
    assert (tmp_path / "data/trades.db-wal").stat().st_size > 0
    site.restore()
    assert rows(site.path) == (ROWS, "ok") and site.content() == wanted
    aside = {path.name.partition(".before-")[2][25:] for path in site.path.parent.glob("*.before-*")}
    assert {"", "-wal"} <= aside, "what was there is kept, with its log"


def test_a_check_after_the_overwriting(tmp_path: Path) -> None:
    """cp of the backup over the live file, then its integrity check: when the backup is damaged, the live data is gone by then. (S5-D3)"""
    site = SqliteSite(tmp_path)
    site.back_up()
    before = site.path.read_bytes()
    (tmp_path / "backup.db").write_bytes(before[: len(before) // 2])
    (tmp_path / "live.db").write_bytes(before)
    assert sh("cp backup.db live.db", tmp_path).returncode == 0
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        rows(tmp_path / "live.db")
    data, _manifest = data_of(site)
    damaged = bytearray(data.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    data.write_bytes(damaged)
    with pytest.raises(VerifyFailed, match="has other bytes"):
        site.restore()
    assert site.path.read_bytes() == before and os.listdir(site.path.parent) == ["trades.db"]


def test_backups_that_stopped(tmp_path: Path) -> None:
    """find -mtime +30 -delete goes on when backups stopped, until the last good one is gone. (S5-D4, S3-D4)"""
    guide = tmp_path / "guide"
    for days in (31.5, 38, 45):
        touched(guide, f"db_{days}.sql.gz", days)
    assert sh("find guide -name '*.gz' -mtime +30 -delete", tmp_path).returncode == 0 and not list(guide.iterdir())
    site = SqliteSite(tmp_path)
    older, last = backed_up(site, 38 * DAY), backed_up(site, 31.5 * DAY)
    with pytest.raises(Refused, match="the newest proven by a restore, is 31.5 d old"):
        site.prune(last=1, minimum_restored=1)
    unproven = backed_up(site, HOUR, proven=False)
    with pytest.raises(Refused, match="31.5 d old"):
        site.prune(last=1, minimum_restored=1)
    assert ids(site) == [older, last, unproven]
    site.prune(last=1, minimum_restored=1, stale_after="40 d")
    assert ids(site) == [last, unproven], "a newer one that was never restored does not replace it"
    site.restore(select=last)


@pytest.mark.parametrize(("name", "floor", "days", "limit", "over"), [("transactions", "7 y", 100, 90, 2600), ("audit", "90 d", 40, 30, 100)])
def test_what_must_be_kept_for_longer(tmp_path: Path, name: str, floor: str, days: int, limit: int, over: int) -> None:
    """One age for everything: what must live seven years goes after 90 days, and what must live 90 after 30; the check of it, a find -ls,
    ends well before and after. (S5-D4, S2-D12, S2-D13)"""
    record = touched(tmp_path / "guide", "record", days)
    check = f"find guide -type f -mtime +{limit} -ls"
    assert "record" in sh(check, tmp_path).stdout
    assert sh(f"find guide -type f -mtime +{limit} -delete", tmp_path).returncode == 0 and not record.exists()
    assert sh(check, tmp_path).returncode == 0, "nothing tells that the record is missing"
    site = SqliteSite(tmp_path)
    ended, kept = (backed_up(site, age * DAY, retention_class=name) for age in (over, days))
    plain, newest = backed_up(site, (days - 1) * DAY), backed_up(site, HOUR)
    with pytest.raises(Refused, match=f'is of class "{name}", which the policy does not know'):
        site.prune(last=1, minimum_restored=1)
    found = {row["id"]: row for row in site.prune(last=1, minimum_restored=1, classes={name: {"at_least": floor}})["decisions"]}
    assert ids(site) == [kept, newest]
    assert [rule.partition(" until ")[0] for rule in found[kept]["rules"]] == [f"class {name}"]
    assert f"class {name} ended" in found[ended]["reason"] and found[plain]["action"] == "remove"


def test_one_kind_that_is_never_pruned(tmp_path: Path) -> None:
    """Databases are compressed, logs are not, and only what is compressed is deleted: copies of the log pile up. (S5-D5)"""
    guide = tmp_path / "guide"
    for name in ("orders.db", "compliance.log"):
        touched(guide, name, 0)
    sh("gzip *.db; touch -d '-100 days' *; find . -name '*.gz' -mtime +90 -delete", guide)
    assert os.listdir(guide) == ["compliance.log"]
    sites = (SqliteSite(tmp_path), FilesSite(tmp_path))
    old = [backed_up(site, 100 * DAY) for site in sites]
    new = [backed_up(site, HOUR) for site in sites]
    assert [ids(site) for site in sites] == [list(pair) for pair in zip(old, new, strict=True)]
    for site in sites:
        site.prune(daily=1, minimum_restored=1)
    assert [ids(site) for site in sites] == [[name] for name in new], "one repository, one policy, every kind"


def test_a_restore_of_names_that_nobody_makes(tmp_path: Path) -> None:
    """Backups are named after the second; restores ask for the day, or for latest, and find nothing. (S5-D6)"""
    site = SqliteSite(tmp_path)
    assert sh("cp data/trades.db orders_$(date +%Y%m%d_%H%M%S).db && gzip orders_*.db && ls orders_*", tmp_path).stdout.endswith(".db.gz\n")
    for name in ("orders_$(date +%Y%m%d).db", "orders_latest.db"):
        done = sh(f"cp {name} data/trades.db", tmp_path)
        assert done.returncode == 1 and "No such file" in done.stderr
    first, second, third = backed_up(site, 3 * HOUR), backed_up(site, 2 * HOUR), backed_up(site, HOUR, proven=False)
    wanted = {"latest": third, "latest_restored": second, first: first, rfc3339(time.time() - 2.5 * HOUR): first}
    assert {name: site.restore(select=name)["artifact"]["id"] for name in wanted} == wanted


def test_a_day_between_backups_and_an_hour_to_lose(tmp_path: Path) -> None:
    """A backup a day, and the promise to lose one hour at most: it is broken for 23 hours of the day. (S5-D13, S3-D6)"""
    [rpo] = [parse_duration(source["rpo"]) for source in shipped("backup")["backup_sources"] if source["name"] == "orders"]
    daily = list(rrulestr("FREQ=DAILY;BYHOUR=2;BYMINUTE=0", dtstart=datetime(2026, 11, 2)).xafter(datetime(2026, 11, 2), 2))
    assert (daily[1] - daily[0]).total_seconds() > rpo == HOUR
    site = SqliteSite(tmp_path)
    backed_up(site, 23 * HOUR)
    measures, status = health(site, "backup of the orders")
    assert measures["age"] > 22 * HOUR and status == "critical", "there is an alarm"
    [entry] = [entry for entry in shipped("schedule")["runbook_schedule"] if entry["playbook"] == "backup"]
    times = list(rrulestr(entry["rrule"], dtstart=datetime(2026, 11, 2)).between(datetime(2026, 11, 2), datetime(2026, 11, 4), inc=True))
    oldest = max(later - earlier for earlier, later in zip(times, times[1:])).total_seconds() + 60 * entry["expected_minutes"]
    assert oldest <= rpo, "what ships is run so often that even the next backup is done within the hour"
    backed_up(site, oldest)
    assert health(site, "backup of the orders")[1] == "ok"


def test_an_archive_tool_for_a_text_dump(database: PostgresqlSite) -> None:
    """A plain dump, which the tool for archives neither lists nor restores. (S3-D1)"""
    database.back_up()
    wanted = database.content()
    assert in_database(database, "pg_dump > dump.sql").returncode == 0
    for line in ("pg_restore --list dump.sql", 'pg_restore --dbname "$PGDATABASE" --clean dump.sql'):
        done = in_database(database, line)
        assert done.returncode != 0 and "text format dump" in done.stderr
    data, _manifest = data_of(database)
    (database.folder / "ours").write_bytes(zstandard.ZstdDecompressor().stream_reader(data.open("rb")).read())
    assert "TABLE DATA public trades" in in_database(database, "pg_restore --list ours").stdout
    database.change()
    database.restore()
    assert database.content() == wanted


def test_a_dump_played_into_the_live_database(database: PostgresqlSite) -> None:
    """psql -f dump.sql into what is there: tables with a key keep what is wrong in them, those without get every row twice; it ends with 0. (S3-D2)"""
    fills, wanted = "select count(*) from fills", database.content()
    database.back_up()
    in_database(database, "pg_dump > dump.sql")
    database.change()
    changed = database.content()
    done = in_database(database, "psql -q -f dump.sql")
    assert done.returncode == 0 and "already exists" in done.stderr and "duplicate key" in done.stderr
    assert (database.content(), database.psql(fills)) == (changed, "2000"), "neither restored nor what it was"
    swapped = database.restore()["restore"]["swapped"]
    assert (database.content(), database.psql(fills)) == (wanted, "1000")
    assert database.psql(fills, swapped["before"]) == "2000" and database.leftovers() == [], "the old database is kept"


def test_a_dump_that_fails_in_a_pipe(database: PostgresqlSite) -> None:
    """pg_dump | gzip > file ends with 0 whatever pg_dump did: a wrong name, rows it may not see, its death become the latest backup. (S3-D5)"""
    database.psql("create role reader login; grant select on all tables in schema public to reader; grant select on sequence trades_id_seq to reader;"
                  "alter table trades enable row level security")  # fmt: skip
    dying = dying_pg_dump(database.folder / "bin")
    recipes: list[tuple[str, int, dict[str, Any], type[RunbookError]]] = [
        ("pg_dump nosuch", 0, {"database": "nosuch"}, NotThere),
        ("pg_dump --username reader", 1000, {"user": "reader"}, Denied),
        (f"{dying}/pg_dump", 1000, {"bin_dir": str(dying)}, CommandFailed),
    ]
    for recipe, lines, change, error in recipes:
        assert in_database(database, f"{recipe} | gzip > backup.sql.gz").returncode == 0
        found = sh("gzip -t backup.sql.gz && zcat backup.sql.gz", database.folder)
        assert found.returncode == 0 and lines <= found.stdout.count("\n") < 20_000, "a file like any other, without most of the trades"
        with pytest.raises(error):
            take(database.params(source={"postgresql": {**database.options, **change}}), False)
        assert ids(database) == [] and not list(database.store.rglob("*.data.*")), "nothing that could be taken for a backup"
    database.back_up()


def dying_pg_dump(folder: Path) -> Path:
    """PostgreSQL's programs; pg_dump is killed after 200,000 bytes."""
    folder.mkdir()
    for name in ("psql", "pg_dumpall"):
        (folder / name).symlink_to(str(shutil.which(name)))
    real, dump = shutil.which("pg_dump"), folder / "pg_dump"
    dump.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real} "$1"\n{real} "$@" | head -c 200000\nkill -9 $$\n')
    dump.chmod(0o755)
    return folder


def test_a_listing_for_a_check(tmp_path: Path) -> None:
    """The newest archive is listed, and that is the check: it passes without any archive, and with one whose files are empty. (S2-D11)"""
    check = "ls -t backups/*.tar.gz | head -1 | xargs tar -tzf | head -20"
    assert sh(check, tmp_path).returncode == 0, "there is no backup at all"
    site = FilesSite(tmp_path)
    measures, status = health(site, "backup of the compliance log")
    assert (type(measures["age"]), type(measures["level"]), measures["count"], status) == (Unmeasured, Unmeasured, 0, "unknown")
    pack = "mkdir -p backups; tar -C tree/settings -czf backups/$(date +%s%N).tar.gz ."
    sh(pack, tmp_path)
    listed = sh(check, tmp_path).stdout
    made = site.back_up()["artifact"]["id"]
    measures, _status = health(site, "backup of the compliance log")
    assert measures["level"] == "none" and isinstance(measures["restored_age"], Unmeasured), "only a restore proves"
    site.prove()
    assert health(site, "backup of the compliance log")[0]["level"] == "restored"
    for path in site.root.rglob("file*"):
        path.write_bytes(b"")
    sh(pack, tmp_path)
    assert len(list((tmp_path / "backups").iterdir())) == 2 and sh(check, tmp_path).stdout == listed != "", "the same names, and no data"
    backed_up(site, -1, proven=False)
    measures, status = health(site, "backup of the compliance log")
    assert measures["level"] == "none" and status == "warning", "it is smaller by more than it may"
    assert site.restore(select="latest_restored")["artifact"]["id"] == made


def test_an_archive_of_a_whole_path_that_is_unpacked_below_it(tmp_path: Path) -> None:
    """tar of an absolute path, unpacked in the folder itself: the files land in a folder of it, and the data stays as it was. (S3-D3)"""
    site = FilesSite(tmp_path)
    wanted = site.content()
    site.back_up()
    sh(f"tar -czf backup.tgz {site.root}", tmp_path)
    site.change()
    changed = (site.root / "0/file 5").read_bytes()
    assert sh(f"tar -xzf backup.tgz -C {site.root}", tmp_path).returncode == 0
    assert (site.root / "0/file 5").read_bytes() == changed and (site.root / str(site.root)[1:]).is_dir()
    site.restore()
    assert site.content() == wanted


def test_an_archive_that_unpacks_over_the_live_files(tmp_path: Path) -> None:
    """tar -P keeps absolute names: who unpacks it elsewhere, only to look, overwrites the live files."""
    site = FilesSite(tmp_path)
    wanted = site.content()
    site.back_up()
    sh(f"tar -cPf backup.tar {site.root}", tmp_path)
    site.change()
    live = site.content()
    site.prove()
    assert site.content() == live, "ours is proven in a folder of its own"
    forged(site, (tmp_path / "backup.tar").read_bytes())
    with pytest.raises(RunbookError, match="has no safe path"):
        site.restore()
    assert site.content() == live and site.leftovers() == [], "such an archive is refused"
    (tmp_path / "scratch").mkdir()
    assert sh("tar -xPf backup.tar -C scratch", tmp_path).returncode == 0
    assert not os.listdir(tmp_path / "scratch") and site.content() not in (live, wanted), "newer data is gone, newer files are still there"


def forged(site: Site, archive: bytes) -> None:
    """Put another archive in the place of the only backup, every digest right."""
    data, manifest = data_of(site)
    stored = zstandard.ZstdCompressor().compress(archive)
    data.write_bytes(stored)
    part = {"plain_bytes": len(archive), "plain_sha256": digest_of(archive), "stored_bytes": len(stored), "stored_sha256": digest_of(stored)}
    body = canonical({**manifest, "parts": [{**manifest["parts"][0], **part}]})
    (data.parent / f"{manifest['id']}.manifest.json").write_bytes(body)
