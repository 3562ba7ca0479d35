# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hand-written guides say of Redis, run as it is written to see how it fails; then the same with ours. The ids are those of docs/pitfalls.yml."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

pytest.importorskip("redis", reason="the Python library redis is not installed")
from ansible_collections.tradeops.runbook.plugins.module_utils._core.rdb import read_rdb
from ansible_collections.tradeops.runbook.tests.support.redis import program
from ansible_collections.tradeops.runbook.tests.support.redis_service import HALT, RedisSite, Service
from ansible_collections.tradeops.runbook.tests.support.waiting import until

pytestmark = pytest.mark.skipif(not program() or not shutil.which("redis-cli"), reason="redis-server or redis-cli is not installed (Debian: redis-server)")

OPTIONS = {"save": "3600 1", "enable-debug-command": "local", "repl-diskless-sync-delay": "0"}


@pytest.fixture(params=["no", "yes"], ids=["rdb", "aof"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisSite]:
    with Service({**OPTIONS, "appendonly": request.param}) as server:
        monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
        yield RedisSite(tmp_path, server, keys=50)


def sh(site: RedisSite, line: str) -> str:
    """A line of a guide: redis-cli finds the server by itself, systemctl the unit, and the data is in $DATA."""
    redis_cli = f'redis-cli() {{ command redis-cli -s "{site.server.socket}" "$@"; }}'
    environment = {**os.environ, "DATA": str(site.server.data)}
    done = subprocess.run(["bash", "-c", f"{redis_cli}; {line}"], cwd=site.folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def keys_in(path: Path) -> int:
    with path.open("rb") as file:
        return read_rdb(file).inventory.totals["objects"]


def test_restoring_with_the_option_that_writes_a_dump(site: RedisSite) -> None:
    """FLUSHALL, then redis-cli --rdb backup: it writes the empty server over the backup, and both are lost. (S4-D1)"""
    made = site.back_up()["artifact"]["id"]
    before, kept = site.content(), site.bytes_of(made)
    sh(site, "redis-cli --rdb backup.rdb")
    assert keys_in(site.folder / "backup.rdb") > 50
    sh(site, "redis-cli FLUSHALL; redis-cli --rdb backup.rdb")
    assert (keys_in(site.folder / "backup.rdb"), site.server.ask("DBSIZE")) == (0, 0)

    site.server.ask("SET", HALT, "0")  # it was flushed, too, and ours leaves what is there
    site.restore(select=made)
    assert (site.content(), site.bytes_of(made)) == (before, kept)


def test_restoring_by_a_copy_and_a_restart(site: RedisSite) -> None:
    """cp backup dump.rdb, restart: when it stops, the server writes over the copy; and with its append-only file on it never reads it. (S2-D20)"""
    made = site.back_up()["artifact"]["id"]
    before = site.content()
    shutil.copy(site.server.rdb, site.folder / "backup.rdb")
    site.server.ask_all([("SET", "fill 1", "wrong"), ("SET", "junk", "1")])
    wrong = site.content()
    sh(site, 'cp backup.rdb "$DATA/dump.rdb"; systemctl stop redis; systemctl start redis')
    site.server.wait()
    assert site.content() == wrong, "the data of the backup is not there"
    if site.server.options["appendonly"] == "yes":  # nor when it is copied while the server stands still
        sh(site, 'systemctl stop redis; cp backup.rdb "$DATA/dump.rdb"; systemctl start redis')
        site.server.wait()
        assert site.content() == wrong

    site.restore(select=made)
    assert site.content() == before
    sh(site, "systemctl stop redis; systemctl start redis")
    site.server.wait()
    assert site.content() == before, "also after the next restart"


def test_a_background_save_that_nobody_waits_for(site: RedisSite) -> None:
    """BGSAVE, and that is the backup: it answers when it begins, what is copied then is older, and without a copy it goes with the volume. (S4-D4)"""
    site.server.ask("SAVE")
    site.server.ask("SET", "late", "1")
    site.server.ask("CONFIG", "SET", "rdb-key-save-delay", "5000")  # as many more keys would take
    said = sh(site, 'redis-cli BGSAVE && cp "$DATA/dump.rdb" backup.rdb')
    assert "Background saving started" in said
    until(lambda: b"rdb_bgsave_in_progress:0" in site.server.ask("INFO", "persistence"))
    assert keys_in(site.folder / "backup.rdb") == keys_in(site.server.rdb) - 1

    site.server.ask("SET", "later", "1")
    made = site.back_up()["artifact"]["id"]
    before = site.content()
    site.server.ask("CONFIG", "SET", "rdb-key-save-delay", "0")
    site.server.stop()
    shutil.rmtree(site.server.data)
    site.server.data.mkdir()
    site.server.start()
    site.server.ask("SET", HALT, "0")
    site.restore(select=made)
    assert site.content() == before


class Client(threading.Thread):
    """Asks for the halt and the data, every millisecond, over one connection after the other: ``seen`` are the pairs that it got."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.seen: list[tuple[bytes, ...]] = []
        self.over = threading.Event()
        self._port = port

    def run(self) -> None:
        while not self.over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), 5) as connection, connection.makefile("rb") as file:
                    while not self.over.is_set():
                        connection.sendall(b"MGET %s n\r\n" % HALT.encode())
                        answer = file.readline()
                        if not answer:
                            break
                        if answer.startswith(b"*2"):
                            self.seen.append((_bulk(file), _bulk(file)))
                        time.sleep(0.001)
            except OSError:
                time.sleep(0.001)


def _bulk(file: BinaryIO) -> bytes:
    return b"" if file.readline().startswith(b"$-1") else file.readline().rstrip(b"\r\n")


@pytest.mark.parametrize("in_backup", ["0", None], ids=["resumed in the backup", "not in the backup"])
def test_a_halt_that_a_restore_lifts(site: RedisSite, in_backup: str | None) -> None:
    """The halt of trading is a key: a restore brings back what it was in the backup, and trading goes on in the middle of it. (S2-D18)"""
    site.server.ask("SET", "n", "new")
    site.server.ask(*(["SET", HALT, in_backup] if in_backup else ["DEL", HALT]))
    made = site.back_up()["artifact"]["id"]
    site.server.ask("SAVE")
    shutil.copy(site.server.rdb, site.folder / "backup.rdb")
    site.server.ask_all([("SET", HALT, "1"), ("SET", "n", "old")])
    if site.server.options["appendonly"] == "no":  # the guide's own way, where it works at all
        sh(site, 'systemctl stop redis; cp backup.rdb "$DATA/dump.rdb"; systemctl start redis')
        site.server.wait()
        assert site.server.ask("GET", HALT) != b"1", "trading may go on"
        site.server.ask_all([("SET", HALT, "1"), ("SET", "n", "old")])

    client = Client(site.server.port)
    client.start()
    try:
        until(lambda: len(client.seen) > 20)
        site.restore(select=made)
        until(lambda: (b"1", b"new") in client.seen)
    finally:
        client.over.set()
        client.join()
    assert set(client.seen) == {(b"1", b"old"), (b"1", b"new")}
