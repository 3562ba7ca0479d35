# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis as a target of restores, on real servers, also where the one at work is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis", reason="the Python library redis is not installed")
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, Refused, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.inventory import differences
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _redis_client, _redis_swap, _tree_rename
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._child_process import Stalled
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import AuthFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_client import Denied
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_scratch import ServerTooOld
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.redis_restore import Target
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.support.redis import Server, Wrong, program
from ansible_collections.tradeops.runbook.tests.support.redis_site import Unit, alive, backed_up, context, stream_of, way_to
from ansible_collections.tradeops.runbook.tests.support.waiting import until

pytestmark = pytest.mark.skipif(not program(), reason="redis-server is not installed")

HALT = "trading:halt"
EVERYTHING = os.environ.get("SWEEP") == "all"  # as in tests/faults


@pytest.fixture(params=["no", "yes"], ids=["rdb", "aof"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Old data in it: ``n`` is ``old``."""
    with Server({"appendonly": request.param, "save": "3600 1"}) as server:  # so that it saves when it is stopped, too
        server.ask_all([("SET", "n", "old"), ("SET", "junk", "1"), *(("SET", f"k{number}", number) for number in range(50))])
        yield server
        Unit(server).stop(Deadline(60, time.monotonic))


@pytest.fixture
def plain() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def artifact() -> bytes:
    """``n`` is ``new``, in two databases, with a key that has ended when it is restored."""
    with Server() as server:
        server.ask_all([("SET", "n", "new"), ("SET", HALT, "0"), ("HSET", "h", "f", "2.5"), ("SET", "brief", "x", "PX", "1500")])
        server.ask_all([("SELECT", 3), ("SET", "n", "3")])
        data, taken = backed_up(way_to(server))
        assert taken.inventory.totals["objects"] == 5
        time.sleep(1.6)
    return data


def state(server: Server) -> tuple[Any, Any]:
    return server.ask("GET", "n"), server.ask("EXISTS", "junk", "k0", "k49")


OLD, NEW = (b"old", 3), (b"new", 0)


def staged(server: Server, data: bytes, **more: Any) -> tuple[Target, Unit]:
    unit = Unit(server)
    target = Target(way_to(server, **more), context(), unit)
    target.identity()
    target.stage(stream_of(data), {})
    return target, unit


def test_restored_and_there_after_a_restart_and_taken_back(server: Server, artifact: bytes) -> None:
    target, unit = staged(server, artifact)
    swapped = target.swap()
    assert unit.calls == ["stop", "start"]
    assert {path.stat().st_mode & 0o777 for path in server.data.glob("dump.rdb*")} == {0o644}  # as the server itself made it
    for _again in range(2):
        assert state(server) == NEW
        assert server.ask("EXISTS", "brief") == 0
        assert server.ask("CONFIG", "GET", "appendonly")[1].decode() == server.options["appendonly"]
        server.stop()
        server.start()
    assert not [path for path in server.data.iterdir() if path.name.startswith(".restore-")]
    for number in range(3):
        Target(way_to(server), context(), Unit(server)).undo(swapped if number else {})
        assert state(server) == OLD
        server.stop()
        server.start()
        assert state(server) == OLD


def test_the_inventory_is_that_of_the_artifact_also_of_keys_that_ended(artifact: bytes, tmp_path: Path, plain: Server) -> None:
    recorded = {"inventory": {"digest": "asked for"}}
    plain.ask("SET", "brief", "x", "PX", "1200")
    data, taken = backed_up(way_to(plain, digests=True))
    time.sleep(1.3)
    target = Target({"scratch_dir": str(tmp_path)}, context(scratch=True))
    target.stage(stream_of(data), recorded)
    assert differences(taken.inventory.data(), target.inventory()) == []
    target.discard()
    assert list(tmp_path.iterdir()) == []
    target.stage(stream_of(artifact), {})
    assert target.inventory().totals["objects"] == 5
    target.discard()


def test_a_look_asks_no_live_server_and_listens_to_nobody(artifact: bytes, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        target = Target({"port": nobody.getsockname()[1], "scratch_dir": str(tmp_path)}, context(scratch=True))
        assert not target.identity().exists
        target.stage(stream_of(artifact), {})
        assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o700]
        pid = int(target._running().session.info("server")["process_id"])
        assert [kind for kind in _sockets_of(pid) if kind != "unix"] == []
        target.discard()
        assert not alive(pid)


def _sockets_of(pid: int) -> list[str]:
    """Of which kind each of its sockets is."""
    numbers = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        place = os.readlink(descriptor)
        if place.startswith("socket:["):
            numbers.add(place[len("socket:[") : -1])
    kinds = {kind: Path(f"/proc/{pid}/net/{kind}").read_text(encoding="ascii") for kind in ("unix", "tcp", "tcp6")}
    return [next((kind for kind, table in kinds.items() if f" {number} " in table), "other") for number in sorted(numbers)]


@pytest.mark.parametrize(
    ("query", "answer"),
    [("GET n", "new"), ("-n 3 GET n", 3), ("GET trading:halt", 0), ("HGET h f", 2.5), ("DBSIZE", 4), ("GET 'no such'", None), ("EXISTS n h", 2),
     ("HVALS h", [2.5])],
)  # fmt: skip
def test_what_may_be_asked(answers: Target, query: str, answer: Any) -> None:
    assert answers.ask(query) == answer


@pytest.mark.parametrize(
    "query",
    ["SET a 1", "FLUSHALL", "EVAL_RO 'return 1' 0", "EVAL 'return 1' 0", "XREAD BLOCK 0 STREAMS s $", "SHUTDOWN", "nothing", "", "GET", "GET 'a",
     "HGET n f", "-n 99 GET n"],
)  # fmt: skip
def test_what_may_not_be_asked(answers: Target, query: str) -> None:
    with pytest.raises(InvalidInput):
        answers.ask(query)
    assert answers.ask("DBSIZE") == 4


@pytest.fixture(scope="module")
def answers(artifact: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    target = Target({"scratch_dir": str(tmp_path_factory.mktemp("scratch"))}, context(scratch=True))
    target.stage(stream_of(artifact), {})
    yield target
    target.discard()


def too_new(data: bytes) -> bytes:
    return b"REDIS0011" + data[9:-8] + bytes(8)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(too_new, ServerTooOld), (lambda data: b"REDIS0099" + data[9:], VerifyFailed), (lambda data: data[:-20], VerifyFailed), (lambda data: b"", VerifyFailed),
     (lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], VerifyFailed)],
    ids=["newer", "unknown", "cut", "empty", "flipped"],
)  # fmt: skip
def test_what_cannot_be_loaded_is_refused_and_the_service_untouched(server: Server, artifact: bytes, spoil: Any, error: type[RunbookError]) -> None:
    before = sorted(path.name for path in server.data.iterdir())
    unit, pid = Unit(server), server.pid
    target = Target(way_to(server), context(), unit)
    with pytest.raises(error):
        target.stage(stream_of(spoil(artifact)), {})
    target.undo({})
    assert (unit.calls, unit.pid(context().deadline), state(server)) == ([], pid, OLD)
    assert sorted(path.name for path in server.data.iterdir()) == before


def test_keys_that_stay_are_there_whenever_a_client_is_let_in(server: Server, artifact: bytes) -> None:
    server.ask_all([("SET", HALT, "1"), ("HSET", "gate", "by", "ops"), ("PEXPIRE", "gate", "600000")])
    target, _unit = staged(server, artifact, keep_keys=[HALT, "gate", "never"])
    seen: list[Any] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                seen.append(server.ask("GET", HALT))
            except (OSError, EOFError):
                pass
            except Wrong as error:
                if "LOADING" not in str(error):
                    seen.append(str(error))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        swapped = target.swap()
        until(lambda: seen)
    finally:
        over.set()
        watcher.join()
    assert set(seen) == {b"1"}
    assert server.ask("HGET", "gate", "by") == b"ops" and 0 < server.ask("PTTL", "gate") <= 600000
    server.stop()
    server.start()
    assert (state(server), server.ask("GET", HALT)) == (NEW, b"1")
    server.ask("SET", HALT, "2")
    with pytest.raises(Refused, match=f"{HALT} changed since"):
        Target(way_to(server), context(), Unit(server)).undo(swapped)
    server.ask("SET", HALT, "1")
    Target(way_to(server), context(), Unit(server)).undo(swapped)
    assert (state(server), server.ask("GET", HALT)) == (OLD, b"1")


def test_a_key_that_stays_away(server: Server, artifact: bytes) -> None:
    target, _unit = staged(server, artifact, keep_keys=[HALT])
    target.swap()
    assert (state(server), server.ask("EXISTS", HALT)) == (NEW, 0)


def test_clients_that_write_are_let_in_again_when_the_server_cannot_be_stopped(server: Server, artifact: bytes) -> None:
    target, unit = staged(server, artifact)

    def fail(deadline: Deadline) -> None:
        raise RunbookError("no")

    unit.stop = fail  # type: ignore[method-assign]
    with pytest.raises(RunbookError, match="^no$"):
        target.swap()
    assert server.ask("SET", "n", "old") == b"OK"
    Target(way_to(server), context(), Unit(server)).undo({})
    assert state(server) == OLD


class Killed(Unit):
    """Kills who asks, before or after what was asked."""

    def __init__(self, server: Server, at: str) -> None:
        super().__init__(server)
        self._at = at

    def stop(self, deadline: Deadline) -> None:
        _die_at("before stop", self._at)
        super().stop(deadline)
        _die_at("after stop", self._at)

    def start(self, deadline: Deadline) -> None:
        _die_at("before start", self._at)
        super().start(deadline)
        _die_at("after start", self._at)


def _die_at(point: str, at: str) -> None:
    if point == at:
        os.kill(os.getpid(), signal.SIGKILL)


POINTS = [
    "before stop", "after stop", "put 0 begins", "exchange 0 begins", "exchange 0 done", "put 0 done", "put 1 begins", "exchange 1 begins", "exchange 1 done",
    "put 1 done", "before start", "after start",
]  # fmt: skip
SOME = POINTS if EVERYTHING else ["after stop", "exchange 0 done", "before start"]


def _deadly(at: str) -> None:
    """This process, which was forked off, is killed when it comes to that point."""
    for module, name, word in ((_redis_swap, "put", "put"), (_tree_rename, "_exchange", "exchange")):
        setattr(module, name, _counted(getattr(module, name), word, at))


def _counted(real: Callable[..., Any], word: str, at: str) -> Callable[..., Any]:
    numbers = count()

    def called(*given: Any) -> Any:
        number = next(numbers)
        _die_at(f"{word} {number} begins", at)
        answer = real(*given)
        _die_at(f"{word} {number} done", at)
        return answer

    return called


def _killed_swap(server: Server, data: bytes, at: str) -> None:
    """In a process of its own, killed at that point."""
    _deadly(at)
    target = Target(way_to(server), context(), Killed(server, at))
    target.stage(stream_of(data), {})
    target.swap()


def _killed_undo(server: Server, at: str) -> None:
    """In a process of its own, killed at that point."""
    _deadly(at)
    Target(way_to(server), context(), Killed(server, at)).undo({})


@pytest.mark.parametrize("point", SOME)
def test_taking_back_that_is_killed_at_any_point_is_finished_by_the_next_one(server: Server, artifact: bytes, point: str) -> None:
    if " 1 " in point and server.options["appendonly"] == "no":
        return  # there is one file alone
    target, _unit = staged(server, artifact)
    target.swap()
    assert status_of(forked(lambda: _killed_undo(server, point))) == -signal.SIGKILL
    for _again in range(2):
        Target(way_to(server), context(), Unit(server)).undo({})
        assert state(server) == OLD


@pytest.mark.parametrize("point", SOME)
@pytest.mark.parametrize("started_first", [False, True], ids=["stopped", "started meanwhile"])
def test_killed_at_any_point_the_data_is_old_or_new_and_is_taken_back(server: Server, artifact: bytes, point: str, started_first: bool) -> None:
    if " 1 " in point and server.options["appendonly"] == "no":
        return  # there is one file alone
    assert status_of(forked(lambda: _killed_swap(server, artifact, point))) == -signal.SIGKILL
    unit = Unit(server)
    if started_first:
        unit.start(context().deadline)
        assert state(server) in (OLD, NEW)
    Target(way_to(server, data_dir=None if started_first else str(server.data)), context(), unit).undo({})
    assert state(server) == OLD
    server.stop()
    server.start()
    assert state(server) == OLD
    target = Target(way_to(server), context("20261121T130000Z-bbbbbbbb"), Unit(server))
    target.stage(stream_of(artifact), {})
    target.swap()
    assert state(server) == NEW
    assert [path.name for path in server.data.iterdir() if path.name.startswith(".restore-")] == []


def test_a_scratch_server_dies_with_who_started_it_and_leaves_nothing_for_long(artifact: bytes, tmp_path: Path) -> None:
    def work() -> None:
        target = Target({"scratch_dir": str(tmp_path)}, context("killed", scratch=True))
        target.stage(stream_of(artifact), {})
        (tmp_path / "pid").write_text(target._running().session.info("server")["process_id"])
        os.kill(os.getpid(), signal.SIGKILL)

    status_of(forked(work))
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not alive(pid))
    assert (tmp_path / ".tradeops-redis-verify-killed").exists()
    target = Target({"scratch_dir": str(tmp_path)}, context(scratch=True))
    target.stage(stream_of(artifact), {})
    target.discard()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pid"]


def test_a_frozen_server_is_not_stopped(server: Server, artifact: bytes) -> None:
    target, unit = staged(server, artifact, stall_timeout_seconds=0.3)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Stalled):
            target.swap()
    finally:
        os.kill(server.pid, signal.SIGCONT)
        target.discard()
    assert (unit.calls, state(server)) == ([], OLD)


@pytest.mark.parametrize("now", ["yes", "no"])
def test_a_server_that_would_start_otherwise_than_it_runs_is_refused(now: str, artifact: bytes) -> None:
    with Server({"appendonly": "no" if now == "yes" else "yes"}) as server:
        server.ask("CONFIG", "SET", "appendonly", now)
        until(lambda: b"aof_rewrite_in_progress:0" in server.ask("INFO", "persistence"))
        with pytest.raises(Refused, match="append-only file"):
            Target(way_to(server), context(), Unit(server)).identity()


@pytest.mark.parametrize("now", ["yes", "no"])
def test_also_where_an_included_file_says_so(now: str, tmp_path: Path, artifact: bytes) -> None:
    other = "no" if now == "yes" else "yes"
    (tmp_path / "1.conf").write_text(f"appendonly {now}\n")
    (tmp_path / "2.conf").write_text(f"# by hand\nappendonly {other}\n")
    with Server({"appendonly": now, "include": f"{tmp_path}/*.conf"}) as server:
        server.ask("CONFIG", "SET", "appendonly", now)  # it runs otherwise than the last file says
        until(lambda: b"aof_rewrite_in_progress:0" in server.ask("INFO", "persistence"))
        if now == "no":
            shutil.rmtree(server.data / "appendonlydir")
        with pytest.raises(Refused, match="configuration file says otherwise"):
            Target(way_to(server), context(), Unit(server)).identity()
        (tmp_path / "2.conf").unlink()
        assert Target(way_to(server), context(), Unit(server)).identity().exists


def test_what_cannot_be_restored_into(plain: Server, artifact: bytes) -> None:
    with pytest.raises(Refused, match="stops and starts"):
        Target(way_to(plain), context()).identity()
    with Server({"databases": "2"}) as small:
        with pytest.raises(Refused, match="database 3"):
            staged(small, artifact)
    with Server({"replicaof": f"127.0.0.1 {plain.port}"}) as replica:
        with pytest.raises(Refused, match="replica"):
            Target(way_to(replica), context(), Unit(replica)).identity()


def test_a_user_with_too_few_rights_is_told_which(plain: Server, artifact: bytes) -> None:
    plain.ask("ACL", "SETUSER", "ops", "on", ">pw", "+info", "+time", "+bgsave", "+config|get", "~*")
    target, unit = staged(plain, artifact, user="ops", secret_password="pw", keep_keys=[HALT])
    with pytest.raises(Denied) as caught:
        target.swap()
    target.discard()
    assert "+client|pause" in caught.value.hint and unit.calls == []


@pytest.mark.parametrize("kind", [_tree_rename.TargetChanged, Busy])
def test_what_breaks_once_the_server_was_stopped_is_never_taken_for_a_refusal(
    plain: Server, artifact: bytes, kind: type[RunbookError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any) -> None:
        raise kind("no", "why")

    target, unit = staged(plain, artifact)
    monkeypatch.setattr(_redis_swap, "put", fail)
    with pytest.raises(VerifyFailed, match="^no$") as caught:
        target.swap()
    assert (caught.value.hint, unit.calls) == ("why", ["stop"])
    target.undo({})
    assert unit.calls[-1] == "start" and plain.ask("PING") == b"PONG"
    target.discard()


def test_a_service_that_does_not_run_the_server_that_answers_is_refused(plain: Server, artifact: bytes) -> None:
    unit = Unit(plain)
    for wrong in (0, 1):
        unit.pid = lambda deadline, wrong=wrong: wrong  # type: ignore[misc]
        with pytest.raises(Refused, match="does not run redis on"):
            Target(way_to(plain), context(), unit).identity()
    target, unit = staged(plain, artifact)
    unit.pid = lambda deadline: 0  # type: ignore[method-assign]
    with pytest.raises(Refused, match="does not run redis on"):
        target.swap()
    target.discard()
    assert unit.calls == []


def test_a_server_that_answers_after_its_stop_keeps_its_files(server: Server, artifact: bytes) -> None:
    """Also when something else has started it again."""
    target, unit = staged(server, artifact)
    before, unit.stop = server.pid, lambda deadline: None  # type: ignore[method-assign]
    with pytest.raises(VerifyFailed, match="still answers"):
        target.swap()
    target.undo({})
    target.discard()
    assert (server.pid, state(server), list(server.data.glob("*.before-*"))) == (before, OLD, [])
    target, unit = staged(server, artifact)
    swapped = target.swap()
    unit.stop = lambda deadline: None  # type: ignore[method-assign]
    with pytest.raises(VerifyFailed, match="still answers"):
        target.undo(swapped)
    assert state(server) == NEW
    Target(way_to(server), context(), Unit(server)).undo(swapped)
    assert state(server) == OLD


def test_the_server_that_was_there_is_not_the_one_that_was_started(plain: Server, artifact: bytes) -> None:
    target, _unit = staged(plain, artifact)
    with pytest.raises(VerifyFailed, match="not started anew"):
        target._check_started(target._live, 0)  # type: ignore[arg-type]
    target.discard()


def test_whether_keys_changed_must_be_known_before_a_restore_is_taken_back(plain: Server, artifact: bytes) -> None:
    target, _unit = staged(plain, artifact, keep_keys=[HALT])
    swapped = target.swap()
    plain.ask("SET", HALT, "1")
    plain.ask("CONFIG", "SET", "requirepass", "another")
    with pytest.raises(AuthFailed):
        Target(way_to(plain), context(), Unit(plain)).undo(swapped)
    unit, way = Unit(plain), way_to(plain, stall_timeout_seconds=0.3)
    unit.pid = lambda deadline: plain.pid  # type: ignore[method-assign]
    os.kill(plain.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Stalled):
            Target(way, context(), unit).undo(swapped)
    finally:
        os.kill(plain.pid, signal.SIGCONT)
    assert unit.calls == []


def test_a_scratch_server_may_take_its_time_to_save(plain: Server, artifact: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_redis_client, "STALL_SECONDS", 0.5)
    target, _unit = staged(plain, artifact)
    pid = int(target._running().session.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(1.5, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        assert target.inventory().totals["objects"] == 5
    finally:
        timer.join()
        target.discard()


def test_large_values_stay_whatever_their_order_in_memory(plain: Server, artifact: bytes) -> None:
    """Beyond 512 fields and 128 members they are in tables, in another order in every server."""
    plain.ask("HSET", "limits", *(part for number in range(2000) for part in (f"field {number}", f"{number:040}")))
    plain.ask("SADD", "halted", *(f"member {number}" for number in range(2000)))
    plain.ask("ZADD", "ranks", *(part for number in range(2000) for part in (number % 7, f"member {number}")))
    names = ["limits", "halted", "ranks"]
    target, _unit = staged(plain, artifact, keep_keys=names)
    swapped = target.swap()
    assert [plain.ask("HLEN", "limits"), plain.ask("SCARD", "halted"), plain.ask("ZCARD", "ranks")] == [2000, 2000, 2000]
    plain.ask("SREM", "halted", "member 7")
    with pytest.raises(Refused, match="halted changed since"):
        Target(way_to(plain), context(), Unit(plain)).undo(swapped)
    plain.ask("SADD", "halted", "member 7")
    Target(way_to(plain), context(), Unit(plain)).undo(swapped)
    assert plain.ask("SCARD", "halted") == 2000
