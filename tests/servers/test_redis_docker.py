# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis server in a container of the real engine, with its data on a volume, is backed up, looked into and restored: also while things break."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis", reason="the Python library redis is not installed")
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, NotThere, Refused, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _redis_swap
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_docker import ContainerUnit
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.redis_restore import Target
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.support.backup_sites import Site
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.support.redis import Server as RedisServer
from ansible_collections.tradeops.runbook.tests.support.redis_site import backed_up, context, stream_of
from ansible_collections.tradeops.runbook.tests.support.waiting import until

IMAGE = os.environ.get("RUNBOOK_REDIS_IMAGE")
pytestmark = pytest.mark.skipif(not IMAGE, reason="no image of a Redis server: RUNBOOK_REDIS_IMAGE=$(tools/images redis)")

EVERYTHING = os.environ.get("SWEEP") == "all"  # as in tests/faults
LABEL = "tradeops.runbook.test=redis"


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspected(name: str, what: str) -> str:
    return docker("inspect", "--format", f"{{{{{what}}}}}", name).strip()


class Server:
    """A container of which Redis is process 1, as compose starts one: data on a volume, started again whatever happens."""

    def __init__(self, *options: str, volume: str = "", aof: str = "yes") -> None:
        self.name = f"tradeops-runbook-redis-{secrets.token_hex(4)}"
        place = volume or self.name
        command = ["redis-server", "--dir", "/data", "--protected-mode", "no", "--appendonly", aof, "--hz", "100"]
        docker("run", "--detach", "--name", self.name, "--label", LABEL, "--restart", "always", "--volume", f"{place}:/data", *options, str(IMAGE), *command)
        self.folder = Path(inspected(self.name, "(index .Mounts 0).Source"))

    def ask(self, *words: str) -> str:
        """What redis-cli prints."""
        return docker("exec", self.name, "redis-cli", "--raw", *words).strip()

    def answers(self) -> bool:
        """Inside, and at its addresses: with a busy engine those are there a moment later."""
        try:
            for address in inspected(self.name, "range .NetworkSettings.Networks}}{{.IPAddress}} {{end").split():
                socket.create_connection((address, 6379), 1).close()
            return self.ask("PING") == "PONG"
        except (AssertionError, OSError):
            return False

    def state(self) -> tuple[str, str]:
        until(self.answers)
        return self.ask("GET", "n"), self.ask("EXISTS", "junk", "k")

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name)
        subprocess.run(["docker", "volume", "rm", "--force", self.name], capture_output=True, timeout=60, check=False)


OLD, NEW = ("old", "2"), ("new", "0")


@pytest.fixture(params=["yes", "no"] if EVERYTHING else ["yes"], ids=["aof", "rdb"] if EVERYTHING else ["aof"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """``n`` is ``old``."""
    found = Server(aof=request.param)
    try:
        until(found.answers)
        found.ask("MSET", "n", "old", "junk", "1", "k", "1")
        yield found
        assert others() == []
    finally:
        found.remove()


@pytest.fixture(scope="module")
def artifact() -> Iterator[bytes]:
    """``n`` is ``new``."""
    found = Server()
    try:
        until(found.answers)
        found.ask("MSET", "n", "new", "trading:halt", "0")
        found.ask("HSET", "h", "f", "2.5")
        yield backed_up({"container": found.name})[0]
    finally:
        found.remove()


def others() -> list[str]:
    """Scratch containers."""
    return docker("ps", "--all", "--quiet", "--filter", "label=tradeops.runbook").split()


def staged(server: Server, data: bytes, **more: Any) -> Target:
    target = Target({"container": server.name, **more}, context())
    identity = target.identity()
    assert identity.place == f"redis in container {server.name}" and identity.exists and identity.engine == identity.tools
    target.stage(stream_of(data), {})
    return target


def test_restored_and_there_after_a_restart_and_taken_back(server: Server, artifact: bytes) -> None:
    owner = server.folder.stat()
    target = staged(server, artifact)
    assert target.ask("GET n") == "new" and target.inventory().totals["objects"] == 3
    assert len(others()) == 1
    assert inspected(others()[0], "json .HostConfig.NetworkMode") == '"none"'
    assert inspected(others()[0], ".Image") == inspected(server.name, ".Image")
    swapped = target.swap()
    assert others() == []
    for _again in range(2):
        assert server.state() == NEW
        docker("restart", "--time", "0", server.name)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in server.folder.iterdir() if path.name[0] != "."} == {(owner.st_uid, owner.st_gid)}
    assert inspected(server.name, ".HostConfig.RestartPolicy.Name") == "always"
    for again in range(2):
        Target({"container": server.name}, context()).undo({} if again else swapped)
        assert server.state() == OLD
        docker("restart", "--time", "0", server.name)
    assert not [path for path in server.folder.iterdir() if path.name.startswith(".restore-")]


class Seen(Exception):
    """Enough was seen."""


def test_stopped_it_stays_stopped_whatever_its_restart_policy(server: Server, artifact: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the stop and the start nothing runs that could save over what is being put there."""
    target = staged(server, artifact)

    def look(*_given: Any) -> None:
        time.sleep(1.0)  # the policy would have started it by now: the first time it does so after a tenth of a second
        raise Seen(inspected(server.name, ".State.Running"))

    monkeypatch.setattr(_redis_swap, "put", look)
    with pytest.raises(Seen, match="^false$"):
        target.swap()
    target.discard()
    Target({"container": server.name}, context()).undo({})
    assert server.state() == OLD


def test_a_stop_is_waited_for_also_when_the_time_is_over(server: Server) -> None:
    unit = ContainerUnit(server.name)
    assert unit.pid(context().deadline) is None
    unit.stop(context(seconds=0.0).deadline)
    assert inspected(server.name, ".State.Running") == "false" and unit.pid(context().deadline) == 0


def test_keys_that_stay(server: Server, artifact: bytes) -> None:
    server.ask("SET", "trading:halt", "1")
    staged(server, artifact, keep_keys=["trading:halt"]).swap()
    assert (server.state(), server.ask("GET", "trading:halt")) == (NEW, "1")


def test_a_look_needs_the_image_alone(server: Server, artifact: bytes, tmp_path: Path) -> None:
    before = sorted(path.name for path in server.folder.iterdir())
    target = Target({"container": server.name, "scratch_dir": str(tmp_path)}, context(scratch=True))
    assert not target.identity().exists
    target.stage(stream_of(artifact), {})
    assert target.ask("HGET h f") == 2.5
    assert sorted(path.name for path in server.folder.iterdir()) == before
    target.discard()
    assert (list(tmp_path.iterdir()), server.state()) == ([], OLD)
    cut = Target({"container": server.name, "scratch_dir": str(tmp_path)}, context(scratch=True))
    with pytest.raises(VerifyFailed):
        cut.stage(stream_of(artifact[:-9]), {})
    assert list(tmp_path.iterdir()) == []


def _killed(server: Server, data: bytes, at: str) -> None:
    """In a process of its own, killed at that point."""
    unit, real = ContainerUnit(server.name), getattr(_redis_swap, "put")

    def die(point: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any) -> Any:
            answer = None if point == at and point.startswith("before") else work(*given)
            if point == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return called

    setattr(_redis_swap, "put", die("before the first exchange" if at.startswith("before the first") else "after the first exchange", real))
    unit.stop = die("after the stop", unit.stop)  # type: ignore[method-assign]
    unit.start = die("before the start", unit.start)  # type: ignore[method-assign]
    target = Target({"container": server.name}, context(), unit)
    target.stage(stream_of(data), {})
    if at == "staged":
        os.kill(os.getpid(), signal.SIGKILL)
    target.swap()


POINTS = ["staged", "after the first exchange", "after the stop", "before the first exchange", "before the start"]


@pytest.mark.parametrize("point", POINTS if EVERYTHING else POINTS[:2])
def test_killed_the_data_is_old_or_new_and_the_next_one_cleans_up(server: Server, artifact: bytes, point: str) -> None:
    assert status_of(forked(lambda: _killed(server, artifact, point))) == -signal.SIGKILL
    if point == "staged":
        [left] = others()
        until(lambda: "redis-server" not in docker("top", left, "-eo", "pid,args"))  # nobody holds the data any more
    else:
        docker("start", server.name)
        assert server.state() in (OLD, NEW)
        Target({"container": server.name}, context()).undo({})
    assert server.state() == OLD
    target = Target({"container": server.name}, context("20261121T130000Z-bbbbbbbb"))
    target.stage(stream_of(artifact), {})
    assert len(others()) == 1
    target.swap()
    assert server.state() == NEW
    assert [path.name for path in server.folder.iterdir() if path.name.startswith(".restore-")] == []


def test_what_cannot_be_restored_into(tmp_path: Path, artifact: bytes) -> None:
    with pytest.raises(NotThere, match="(?i)no such container"):
        Target({"container": "no such container"}, context()).identity()
    with pytest.raises(InvalidInput, match="service excludes container"):
        Target({"container": "db", "service": "redis.service"}, context())
    inside = Server()
    try:
        until(inside.answers)
        with pytest.raises(Refused, match="no folder of this host"):
            Target({"container": inside.name, "data_dir": "/tmp"}, context()).identity()
        with RedisServer() as other:  # a server that is reached there, and is not the one in the container
            other.ask("SET", "n", "other")
            target = Target({"container": inside.name, "host": "127.0.0.1", "port": other.port, "data_dir": "/data"}, context())
            with pytest.raises(Refused):
                target.identity()
                target.stage(stream_of(artifact), {})
                target.swap()
            target.discard()
            assert other.ask("GET", "n") == b"other"
        docker("stop", "--time", "0", inside.name)
        target = Target({"container": inside.name}, context())
        assert target.identity().exists  # it may be down since a restore was cut off
        with pytest.raises(RunbookError) as caught:
            target.stage(stream_of(artifact), {})
        assert caught.value.code == "unreachable"
    finally:
        inside.remove()


def test_a_file_of_a_folder_that_is_bound_in(tmp_path: Path, artifact: bytes) -> None:
    """As compose files do that name a folder beside them; Redis runs as another user there."""
    folder = tmp_path / "data"
    folder.mkdir()
    found = Server("--user", "0:0", volume=str(folder), aof="yes")
    try:
        until(found.answers)
        found.ask("SET", "junk", "1")
        staged(found, artifact).swap()
        assert found.state() == NEW
    finally:
        found.remove()


class ContainerSite(Site):
    def __init__(self, folder: Path, server: Server) -> None:
        self.server = server
        super().__init__("redis", folder, {"container": server.name, "scratch_dir": str(folder), "keep_keys": ["trading:halt"]})

    def content(self) -> str:
        return str(self.server.state())

    def change(self) -> None:
        self.server.ask("SET", "n", secrets.token_hex(4))

    def leftovers(self) -> list[str]:
        return [*others(), *(path.name for path in self.server.folder.iterdir() if path.name.startswith((".restore-", ".tradeops-redis-verify-")))]


def test_backup_verify_restore_and_undo_as_the_modules_do_them(tmp_path: Path, server: Server) -> None:
    site = ContainerSite(tmp_path, server)
    made = site.back_up()["artifact"]["id"]
    proof = site.prove(invariants=[{"name": "it is there", "query": "EXISTS junk", "limits": {"value": {"critical": "!= 1"}}}])["proof"]
    assert proof["ok"] and proof["level"] == "restored"
    site.change()
    changed = site.content()
    server.ask("SET", "trading:halt", "1")
    done = site.restore(select=made)
    assert (server.state(), server.ask("GET", "trading:halt"), site.leftovers()) == (OLD, "1", [])
    bring_back(site.params(undo=done["restore"]["id"]), False)
    assert (site.content(), site.leftovers()) == (changed, [])
