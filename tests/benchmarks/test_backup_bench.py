# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores beside what people use instead: pg_dump | gzip, psql < dump, VACUUM INTO. Ratios of paired runs, never seconds."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from conftest import evidence

from ansible_collections.tradeops.runbook.tests.support.postgresql import Server, programs

PYTHON = "/usr/bin/python3"
COLLECTIONS = str(Path(__file__).resolve().parents[5])
SCALE = 110
"""Of pgbench: a database of some 1.6 GB."""
SQLITE_BYTES = SCALE * 10_000_000
ROUNDS = 2
BAR = "\\|"  # in a table
ROWS = "; ".join(f"{{psql}} -c 'select count(*) from pgbench_{name}'" for name in ("accounts", "branches", "history", "tellers"))
DIGEST = "tee >(openssl dgst -sha256 > /dev/null)"
CLEAN = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LC_ALL") if name in os.environ}

CALL = """
import json, resource, sys
from ansible_collections.tradeops.runbook.plugins.module_utils._module import backup
given = json.load(open(sys.argv[1]))
answer = {"backup": backup.take, "verify": backup.verify}[given["call"]](given["params"], False)
memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
json.dump({"memory": memory, "artifact": answer["artifact"], "proof": answer.get("proof")}, open(sys.argv[2], "w"))
"""


@dataclass
class Used:
    """What the runs of one contender took: seconds of wall time, of the processor (its own and its children's), and of it with the server's."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    with_server: list[float] = field(default_factory=list)


def removed(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def measured(contenders: Mapping[str, Callable[[], None]], rounds: int = ROUNDS, server: Server | None = None, old: Sequence[Path] = ()) -> dict[str, Used]:
    """Each contender once per round, in alternating order, without what ``old`` runs made, and on a disk that is at rest."""
    found = {name: Used() for name in contenders}
    for number in range(rounds):
        order = list(contenders.items())
        for name, contender in order if number % 2 else reversed(order):
            removed(*old)
            os.sync()  # nobody pays for what the one before has left to be written
            time.sleep(1)
            served = server.processor_seconds() if server else 0.0
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            contender()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = found[name]
            used.wall.append(time.monotonic() - started)
            used.processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            time.sleep(0.5 if server else 0)  # sessions of the server end a little later
            used.with_server.append(used.processor[-1] + (server.processor_seconds() - served if server else 0.0))
    return found


def ratio(found: Mapping[str, Used], what: str, one: str, other: str) -> float:
    pairs = zip(getattr(found[one], what), getattr(found[other], what), strict=True)
    return median(a / b for a, b in pairs)


def run(command: str | list[str], **environment: str) -> str:
    shell = ["bash", "-euo", "pipefail", "-c", command] if isinstance(command, str) else command
    done = subprocess.run(shell, env={**CLEAN, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


class Ours:
    """The core of our modules in a process of the system's Python, as Ansible would run it, without Ansible."""

    def __init__(self, folder: Path, source: dict[str, Any]) -> None:
        self.folder, self.store = folder, folder / "repository"
        (folder / "call.py").write_text(CALL)
        self.params: dict[str, Any] = {
            "run_id": "bench", "name": "bench", "system": "bench", "environment": "bench", "source": source,
            "repository": {"directory": {"path": str(self.store)}},
            "retention_class": "", "fresh_seconds": 0, "min_objects": 1, "max_shrink_percent": 100, "compression_level": 1, "encryption": None,
            "progress_file": None,
            "timeout_seconds": 3600.0, "scratch": None, "select": "latest", "level": "restored", "invariants": [], "until": None,
            "max_growth_percent": 0, "accept_anomaly": False,
            "versions": {}, "revision": "", "images": None,
        }  # fmt: skip

    def call(self, name: str) -> None:
        (self.folder / "given.json").write_text(json.dumps({"call": name, "params": self.params}))
        run([PYTHON, str(self.folder / "call.py"), str(self.folder / "given.json"), str(self.folder / f"{name}.json")], PYTHONPATH=COLLECTIONS)

    def said(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return answer


@pytest.fixture(scope="module")
def table() -> list[str]:
    return []


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if programs() is None:
        pytest.fail("the benchmark needs PostgreSQL")
    with Server() as found:
        yield found


def psql(server: Server, database: str) -> str:
    return f"psql -X -q -v ON_ERROR_STOP=1 -h {server.folder} -p {server.port} -U runbook -d {database}"


@pytest.fixture(scope="module")
def database(server: Server) -> str:
    """A database of pgbench; its options for our source."""
    run(f"{psql(server, 'postgres')} -c 'create database bench'")
    pgbench = shlex.quote(str((programs() or Path()) / "pgbench"))
    run(f"{pgbench} -i -q -s {SCALE} -h {server.folder} -p {server.port} -U runbook bench")
    run(f"{psql(server, 'bench')} -c 'checkpoint'")
    return "bench"


def dump(server: Server, *options: str) -> str:
    return f"pg_dump -h {server.folder} -p {server.port} -U runbook {' '.join(options)} bench"


def ours_of(server: Server, folder: Path) -> Ours:
    options = {"database": "bench", "host": str(server.folder), "port": server.port, "user": "runbook", "globals": True, "lock_timeout_seconds": 60}
    return Ours(folder, {"postgresql": options})


def test_a_backup_of_postgresql(server: Server, database: str, tmp_path: Path, table: list[str]) -> None:
    ours = ours_of(server, tmp_path)
    out = tmp_path / "out"
    contenders: dict[str, Callable[[], None]] = {
        "ours": lambda: ours.call("backup"),
        "pg_dump | gzip": lambda: run(f"{dump(server)} | gzip > {out}.gz") and None,
        "pg_dump > /dev/null": lambda: run(f"{dump(server)} > /dev/null") and None,
        "pg_dump -Fc": lambda: run(f"{dump(server, '-Fc')} > {out}.dump") and None,
        "pg_dump -Fd -j2": lambda: run(dump(server, "-Fd", "-j2", "-f", f"{out}.d")) and None,
        "the largest table by COPY > /dev/null": lambda: run(f"{psql(server, 'bench')} -c 'copy pgbench_accounts to stdout' > /dev/null") and None,
        "the same work by hand": lambda: run(
            f"({ROWS.format(psql=psql(server, 'bench'))}) & {dump(server, '-Fc', '-Z0')} | {DIGEST} | zstd -1 -q | {DIGEST} > {out}.zst; wait; sync {out}.zst"
        ) and None,
    }  # fmt: skip
    if shutil.which("restic"):
        run(f"restic init -q --repo {tmp_path}/restic", RESTIC_PASSWORD="x")
        contenders["pg_dump | restic"] = lambda: run(f"{dump(server)} | restic backup -q --stdin --repo {tmp_path}/restic", RESTIC_PASSWORD="x") and None
    found = measured(contenders, server=server, old=[ours.store, *(tmp_path / f"out.{suffix}" for suffix in ("gz", "dump", "d", "zst"))])
    said = ours.said("backup")
    size = said["artifact"]["plain_bytes"]

    def of(what: str, name: str) -> float:
        return 1 / ratio(found, what, "ours", name)

    table += [
        f"## A backup of a pgbench database (scale {SCALE}, a dump of {size / 1e9:.2f} GB)", "",
        "| | Wall time | Processor | with the server's |", "|---|---:|---:|---:|",
        *(f"| {name.replace('|', BAR)} | {' | '.join(f'{of(what, name):.2f}' for what in ('wall', 'processor', 'with_server'))} |" for name in contenders), "",
        "Each as a multiple of ours, which also counts every table in the same snapshot, digests both sides, and brings everything to disk. By hand that is"
        " `pg_dump -Fc -Z0`, `zstd -1`, SHA-256 of both by `openssl`, a count of each table beside it, and `sync`.", "",
        f"| Goal | Seen |\n|---|---:|\n| at most 0.45 of the wall time of `pg_dump \\| gzip` | {ratio(found, 'wall', 'ours', 'pg_dump | gzip'):.2f} |",
        f"| at most 0.42 of its processor time | {ratio(found, 'processor', 'ours', 'pg_dump | gzip'):.2f} |",
        f"| at most 1.3 of the processor time of `pg_dump > /dev/null` | {ratio(found, 'processor', 'ours', 'pg_dump > /dev/null'):.2f} |",
        f"| the same, with the server's | {ratio(found, 'with_server', 'ours', 'pg_dump > /dev/null'):.2f} |",
        f"| at most 144 MiB of memory | {max(said['memory']):.0f} MiB |", "",
    ]  # fmt: skip
    assert max(said["memory"]) < 144


def test_a_restore_of_postgresql(server: Server, database: str, tmp_path: Path, table: list[str]) -> None:
    ours = ours_of(server, tmp_path)
    ours.call("backup")
    run(f"{dump(server)} > {tmp_path}/plain.sql")
    [packed] = ours.store.rglob("*.data.pgdump.zst")
    restore = f"pg_restore --exit-on-error -h {server.folder} -p {server.port} -U runbook -d by_hand"

    def by_hand(command: str) -> Callable[[], None]:
        admin = psql(server, "postgres")
        return lambda: run(f"{admin} -c 'create database by_hand'; {command} > /dev/null; {admin} -c 'drop database by_hand'") and None

    found = measured({
        "ours": lambda: ours.call("verify"), "psql < dump": by_hand(f"{psql(server, 'by_hand')} < {tmp_path}/plain.sql"),
        "same work": by_hand(f"zstd -dc {packed} | {DIGEST} | {restore}; sha256sum {packed}; {ROWS.format(psql=psql(server, 'by_hand'))}"),
    }, 3)  # fmt: skip
    proof = ours.said("verify")["proof"]
    assert proof["ok"] and proof["level"] == "restored"
    table += [
        "## A restore of the same database, compared with its inventory and removed again", "",
        "| Goal | Seen |", "|---|---:|",
        f"| at most 0.9 of the wall time of `psql < dump` | {ratio(found, 'wall', 'ours', 'psql < dump'):.2f} |",
        "| the same, of `zstd -d`, SHA-256 of both, `pg_restore` and a count of each table: what ours does |"
        f" {ratio(found, 'wall', 'ours', 'same work'):.2f} |",
        f"| memory | {max(ours.said('verify')['memory']):.0f} MiB |", "",
    ]  # fmt: skip


WRITER = """
import os, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
longest = 0.0
number = 0
while True:
    if not os.path.exists(sys.argv[2]):  # the next contender begins
        longest = 0.0
    started = time.monotonic()
    connection.execute("begin immediate")
    connection.execute("insert into buys (n, note) values (?, hex(randomblob(50)))", (number % 7,))
    connection.execute("insert into sells (n, note) values (?, hex(randomblob(50)))", (-(number % 7),))
    connection.execute("commit")
    number += 1
    if number > 20:
        longest = max(longest, time.monotonic() - started)
        open(sys.argv[2] + ".new", "w").write(str(longest))
        os.replace(sys.argv[2] + ".new", sys.argv[2])
    time.sleep(0.002)
"""


def filled(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = off")
        for name in ("buys", "sells"):
            connection.execute(f"create table {name} (id integer primary key, n int, note text)")
        for sign, name in ((1, "buys"), (-1, "sells")):
            connection.execute(
                f"insert into {name} (n, note) with recursive c(i) as (select 1 union all select i + 1 from c where i < {SQLITE_BYTES // 2 // 230})"
                f" select {sign} * (i % 7), hex(randomblob(100)) from c"
            )
        connection.execute("create index buys_n on buys (n)")


def test_a_backup_of_sqlite(tmp_path: Path, table: list[str]) -> None:
    database = tmp_path / "bench.db"
    filled(database)
    (tmp_path / "writer.py").write_text(WRITER)
    ours = Ours(tmp_path, {"sqlite": {"path": str(database)}})
    stalls = [tmp_path / f"stall{number}" for number in (1, 2)]
    writers = [subprocess.Popen([PYTHON, str(tmp_path / "writer.py"), str(database), str(stall)], env=CLEAN) for stall in stalls]
    copy = tmp_path / "copy.db"
    longest: dict[str, float] = {}

    def watched(name: str, work: Callable[[], None]) -> Callable[[], None]:
        """And how long the slowest write took meanwhile."""

        def run_it() -> None:
            removed(*stalls)
            work()
            longest[name] = max(longest.get(name, 0.0), *(float(stall.read_text()) for stall in stalls if stall.exists()))

        return run_it

    def vacuum_into() -> None:
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            connection.execute("vacuum into ?", (str(copy),))

    def same_work() -> None:
        vacuum_into()
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("pragma quick_check").fetchone() == ("ok",)
            rows(copy)
        run(f"{DIGEST} < {copy} | zstd -1 -q | {DIGEST} > {copy}.zst; sync {copy}.zst")

    def copied() -> bool:
        """Whether cp makes a sound copy: the sums of both tables agree, and nothing is malformed."""
        shutil.copy(database, tmp_path / "cp.db")
        try:
            with closing(sqlite3.connect(tmp_path / "cp.db")) as connection:
                [(check,)], [(total,)] = (
                    connection.execute(query).fetchall()[:1]
                    for query in ("pragma quick_check", "select (select sum(n) from buys) + (select sum(n) from sells)")
                )
                return bool(check == "ok" and total == 0 and connection.execute("select count(*) from buys").fetchone()[0] > 0)
        except sqlite3.Error:
            return False

    try:
        time.sleep(1)
        found = measured({
            "ours": watched("ours", lambda: ours.call("backup")), "vacuum into": watched("vacuum into", vacuum_into), "same work": same_work,
        }, 3, old=[ours.store, copy, tmp_path / "copy.db.zst"])  # fmt: skip
        sound = sum(copied() for _attempt in range(8))
        before = rows(database)
        removed(ours.store)
        ours.call("backup")
        ours.params["invariants"] = [{"name": "every buy has its sell", "query": "select (select sum(n) from buys) + (select sum(n) from sells)",
                                      "limits": {"value": {"critical": "!= 0"}}}]  # fmt: skip
        ours.call("verify")
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    proof = ours.said("verify")["proof"]
    assert proof["ok"] and ours.said("backup")["artifact"]["totals"]["rows"] >= before
    table += [
        f"## A backup of an SQLite database of {database.stat().st_size / 1e9:.2f} GB in WAL mode, while two others write 500 times a second", "",
        "| Goal | Seen |", "|---|---:|",
        f"| at most 0.9 of the wall time of `VACUUM INTO` | {ratio(found, 'wall', 'ours', 'vacuum into'):.2f} |",
        "| the same, of `VACUUM INTO`, `quick_check`, counting, `zstd -1`, SHA-256 of both, `sync`: what ours does |"
        f" {ratio(found, 'wall', 'ours', 'same work'):.2f} |",
        f"| no write takes longer than 250 ms meanwhile | {1000 * longest['ours']:.0f} ms (beside `VACUUM INTO`: {1000 * longest['vacuum into']:.0f} ms) |",
        f"| memory | {max(ours.said('backup')['memory']):.0f} MiB |",
        f"| sound copies, made by `cp` | {sound} of 8 |", "",
    ]  # fmt: skip


def rows(database: Path) -> int:
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        return int(connection.execute("select (select count(*) from buys) + (select count(*) from sells)").fetchone()[0])


def test_table_is_written(table: list[str]) -> None:
    head = [
        "# Backups and restores",
        "",
        f"Ratios of paired runs, median of {ROUNDS} (restore and SQLite: 3). The processor time is that of the client and its children, not of the server.",
        f"{os.cpu_count()} processors. Made by `make bench`.",
        "",
    ]
    assert len([line for line in table if line.startswith("## ")]) == 3
    evidence("bench-backup.md", "\n".join([*head, *table]).rstrip() + "\n")
