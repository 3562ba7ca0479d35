# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis as a source of backups, on real servers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis", reason="the Python library redis is not installed")
pytest.importorskip("cryptography", reason="the Python library cryptography is not installed")
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, NotThere, RunbookError, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._child_process import Stalled
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import AuthFailed, ReplicaTooOld, TlsFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_client import Denied
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_save import SaveFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.redis_backup import Source
from ansible_collections.tradeops.runbook.tests.support.redis import PASSWORD, Server, program
from ansible_collections.tradeops.runbook.tests.support.redis_site import backed_up, context, way_to
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.authority import Authority
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.engine import Engine
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.mounts import mounted, tmpfs

pytestmark = pytest.mark.skipif(not program(), reason="redis-server is not installed")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def keys_of(options: dict[str, Any]) -> int:
    return backed_up(options)[1].inventory.totals["objects"]


def test_what_was_written_just_before_is_in_it(server: Server) -> None:
    for count in range(1, 6):
        server.ask("SET", f"key {count}", "value")
        data, taken = backed_up(way_to(server))
        assert data.startswith(b"REDIS")
        assert taken.inventory.totals["objects"] == count
        assert abs(taken.taken_at - time.time()) < 30


def test_what_a_server_is_and_what_is_worth_a_note() -> None:
    with Server({"appendonly": "yes", "maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}) as server:
        identity = Source(way_to(server), context()).identity()
        assert (identity.place, identity.exists) == (f"redis on 127.0.0.1:{server.port}", True)
        assert identity.engine.count(".") == 2
        notes = " ".join(backed_up(way_to(server, keep_keys=["trading:halt"]))[1].notes)
    assert "append-only file: on, appendfsync everysec" in notes
    assert "allkeys-lru" in notes and "trading:halt" in notes


def test_digests_tell_content_and_nothing_else(server: Server) -> None:
    options = way_to(server, digests=True)
    server.ask("HSET", "h", "a", "1", "b", "2")
    first = backed_up(options)[1].inventory.digest
    server.ask("DEL", "h")
    server.ask("HSET", "h", "b", "2", "a", "1")
    again = backed_up(options)[1].inventory.digest
    server.ask("HSET", "h", "a", "2")
    assert first and first == again != backed_up(options)[1].inventory.digest


def test_a_save_of_somebody_else_is_awaited_and_not_taken(server: Server) -> None:
    server.ask_all([("SET", f"k{number}", "v") for number in range(200)])
    server.ask("CONFIG", "SET", "rdb-key-save-delay", "3000")
    server.ask("BGSAVE")
    server.ask("SET", "late", "1")
    assert keys_of(way_to(server)) == 201


def test_a_rewrite_of_the_append_only_file_is_awaited() -> None:
    with Server({"appendonly": "yes"}) as server:
        server.ask_all([("SET", f"k{number}", "v") for number in range(200)])
        server.ask("CONFIG", "SET", "rdb-key-save-delay", "3000")
        server.ask("BGREWRITEAOF")
        assert keys_of(way_to(server)) == 200


def test_a_save_that_replaces_the_file_meanwhile_changes_nothing(server: Server) -> None:
    server.ask_all([("SET", f"k{number}", "v" * 100) for number in range(1000)])
    source = Source(way_to(server), context())
    with source.open() as stream:
        assert len(stream.read(10)) == 10
        server.ask("FLUSHALL")
        server.ask("SAVE")
        while stream.read(1000):
            pass
    assert source.taken().inventory.totals["objects"] == 1000


@pytest.mark.parametrize("of", ["identity", "open"])
def test_a_frozen_server_is_an_error_in_time(server: Server, of: str) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    source = Source(way_to(server, stall_timeout_seconds=0.3), context())
    try:
        with pytest.raises(Stalled, match="does not answer"):
            if of == "identity":
                source.identity()
            else:
                backed_up(way_to(server, stall_timeout_seconds=0.3))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert source.identity().exists


def test_a_save_that_takes_for_ever_ends_at_the_deadline(server: Server) -> None:
    server.ask_all([("SET", f"k{number}", "v") for number in range(200)])
    server.ask("CONFIG", "SET", "rdb-key-save-delay", "1000000")
    with pytest.raises(RunbookError) as caught:
        backed_up(way_to(server), seconds=1.0)
    assert caught.value.code == "timed_out"
    server.ask("FLUSHALL")  # ends the process that saves, which else outlives a server that is killed


def test_a_save_that_fails_after_it_started_is_an_error_and_no_old_file_is_taken(tmp_path: Path) -> None:
    disk = tmp_path / "disk"

    def work() -> tuple[str, str, bool]:
        tmpfs(disk, "3m")
        with Server({"dir": str(disk)}) as server:
            assert keys_of(way_to(server)) == 0  # an old file, whole
            with (disk / "filler").open("wb", buffering=0) as filler:
                try:
                    while True:
                        filler.write(b"x" * 4096)
                except OSError:
                    pass
            server.ask("SET", "big", os.urandom(1 << 20))
            try:
                backed_up(way_to(server))
            except SaveFailed as error:
                return error.code, error.message, (disk / "dump.rdb").exists()
        return "", "", False

    code, message, old_file = mounted(work)
    assert (code, old_file) == ("save_failed", True)
    assert "started and failed" in message


def test_a_file_from_before_the_question_is_refused(server: Server) -> None:
    server.ask("SAVE")
    shutil.copy(server.rdb, server.data / "old.rdb")
    time.sleep(1.1)  # the instant in the file is a whole second
    with pytest.raises(SaveFailed, match="from before"):
        backed_up(way_to(server, rdb_file="old.rdb"))


def test_a_file_that_is_not_here(server: Server, tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="no such file here"):
        backed_up(way_to(server, data_dir=str(tmp_path)))


def test_a_restart_meanwhile_is_an_error(server: Server) -> None:
    server.ask_all([("SET", f"k{number}", "v") for number in range(200)])
    server.ask("CONFIG", "SET", "rdb-key-save-delay", "1000000")
    server.ask("BGSAVE")
    source = Source(way_to(server), context())

    def shut_down() -> None:
        with suppress(EOFError):  # it hangs up instead of an answer
            server.ask("SHUTDOWN", "NOSAVE")

    ending = threading.Timer(0.3, shut_down)
    ending.start()
    with pytest.raises(Unreachable) as caught, source.open():
        pass
    ending.join()
    assert caught.value.code in ("connection_lost", "unreachable")


def test_over_tls_the_server_is_verified(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(_made(tmp_path / "other"))
    path, _certificate = authority.issue("localhost")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"tls-port": str(port), "tls-cert-file": path, "tls-key-file": path, "tls-ca-cert-file": authority.path, "tls-auth-clients": "no"}
    with Server(own, protected=True) as server:
        options = {"host": "localhost", "port": port, "tls": True, "tls_ca": authority.path, "secret_password": PASSWORD}
        assert keys_of(options) == 0
        assert keys_of({**options, "tls_ca": None, "tls_verify": False}) == 0
        for wrong in ({"tls_ca": stranger.path}, {"host": "127.0.0.1"}):
            with pytest.raises(TlsFailed):
                keys_of({**options, **wrong})
        with pytest.raises(TlsFailed, match="speaks no TLS"):  # it waits for the rest of what it takes for a command
            keys_of({**options, "port": server.port, "stall_timeout_seconds": 0.3})


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_wrong_password_and_none() -> None:
    with Server(protected=True) as server:
        for secret in ("wrong one", None):
            with pytest.raises(AuthFailed) as caught:
                Source(way_to(server, secret_password=secret), context()).identity()
            assert PASSWORD not in caught.value.message and "wrong one" not in caught.value.message
        assert Source(way_to(server, secret_password=PASSWORD), context()).identity().exists


def test_the_rights_that_are_told_are_enough_and_one_less_is_an_error_that_tells_them(server: Server) -> None:
    rights = ["+info", "+time", "+bgsave", "+config|get"]
    options = way_to(server, user="backup", secret_password="pw")
    for missing in ["", *rights]:
        server.ask("ACL", "SETUSER", "backup", "reset", "on", ">pw", *(right for right in rights if right != missing))
        if not missing:
            assert keys_of(options) == 0
            continue
        with pytest.raises(Denied) as caught:
            keys_of(options)
        assert missing in caught.value.hint, missing
    given = {"data_dir": str(server.data), "rdb_file": server.rdb.name}
    server.ask("ACL", "SETUSER", "backup", "reset", "on", ">pw", *rights[:3])
    assert keys_of({**options, **given}) == 0


def test_a_replica_tells_its_age_and_is_refused_when_too_old(server: Server) -> None:
    server.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    with Server({"replicaof": f"127.0.0.1 {server.port}"}) as replica:
        until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        server.ask("SET", "a", "1")
        until(lambda: replica.ask("GET", "a") == b"1")
        _data, taken = backed_up(way_to(replica, max_replica_lag_seconds=60.0))
        assert "taken from a replica" in " ".join(taken.notes)
        server.stop()
        until(lambda: b"master_link_status:down" in replica.ask("INFO", "replication"))
        with pytest.raises(ReplicaTooOld):
            Source(way_to(replica, max_replica_lag_seconds=-1.0), context()).identity()


def test_a_server_that_loads_is_busy(server: Server) -> None:
    server.ask_all([("SET", f"k{number}", "v") for number in range(3000)])
    server.ask("SAVE")
    server.stop()
    server.options.update({"key-load-delay": "1000", "loading-process-events-interval-bytes": "1024"})
    configuration = server.folder / "loading.conf"
    configuration.write_text(server.configuration())
    loading = subprocess.Popen([server.binary, str(configuration)], stdout=subprocess.DEVNULL)
    try:
        until(server.socket.exists)
        with pytest.raises(Busy):
            until(lambda: _looked(Source(way_to(server), context())))
    finally:
        loading.kill()
        loading.wait()


def _looked(source: Source) -> Any:
    try:
        return source.identity()
    except RunbookError as error:
        if error.code != "unreachable":
            raise
    return None


def test_nobody_listens() -> None:
    with Server() as server:
        options = way_to(server)
    with pytest.raises(RunbookError) as caught:
        Source(options, context()).identity()
    assert caught.value.code == "unreachable"


def test_over_a_socket(server: Server) -> None:
    assert keys_of({"unix_socket": str(server.socket)}) == 0


def test_from_a_container(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tmp_path / "engine", {"PATH": os.environ["PATH"]})
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.path}")
    try:
        server.ask_all([("SET", f"k{number}", os.urandom(1000)) for number in range(1000)])
        assert keys_of(way_to(server, container="db")) == 1000
        with pytest.raises(RunbookError, match="No such file|cannot be read in the container"):
            backed_up(way_to(server, container="db", rdb_file="other.rdb"))
    finally:
        engine.close()


def test_what_is_not_read_to_its_end_is_nothing(server: Server) -> None:
    source = Source(way_to(server), context())
    with pytest.raises(VerifyFailed, match="not read to its end"), source.open() as stream:
        stream.read(5)
    with pytest.raises(VerifyFailed):
        source.taken()
