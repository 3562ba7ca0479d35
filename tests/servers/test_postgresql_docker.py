# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server in a container of the real engine is backed up and restored with its own programs: whole, in secret, and while things break."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import NotThere, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import prove_readable
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._child_process import Command, Host, Patience
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._docker_exec import Container, ContainerChild
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_client import Client, finished
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.support.backup_sites import Site
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.support.waiting import until

IMAGE = os.environ.get("RUNBOOK_POSTGRESQL_IMAGE")
pytestmark = pytest.mark.skipif(not IMAGE, reason="no image of a PostgreSQL server: RUNBOOK_POSTGRESQL_IMAGE=$(tools/images postgresql)")

NUMBERS = itertools.count(1)
MEGABYTE = 1 << 20


def docker(*arguments: str, feed: str | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=feed, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Server:
    """A container of which PostgreSQL is process 1. Nothing but the engine leads to it."""

    def __init__(self) -> None:
        self.name = f"tradeops-runbook-postgresql-{secrets.token_hex(4)}"
        docker("run", "--detach", "--name", self.name, "--label", "tradeops.runbook.test=postgresql", "--network", "none", str(IMAGE))

    def psql(self, text: str, database: str = "postgres") -> str:
        command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", f"dbname='{database}'"]
        return docker("exec", "--interactive", "--user", "postgres", self.name, *command, feed=text).strip()

    def answers(self) -> bool:
        with contextlib.suppress(AssertionError):
            return self.psql("select 1") == "1"
        return False

    def revive(self) -> None:
        """Running and answering, whatever was done to it."""
        if docker("inspect", "--format", "{{.State.Paused}}", self.name).strip() == "true":
            docker("unpause", self.name)
        until(lambda: bool(docker("start", self.name)) and self.answers())  # one that was just killed seems to run for a moment

    def commands(self) -> list[str]:
        """Of the processes in it, but those of the server."""
        lines = docker("top", self.name, "-eo", "pid,args").splitlines()[1:]
        return [line for line in lines if os.path.basename(line.split()[1]).rstrip(":") != "postgres"]

    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=True)
        return done.stdout


@pytest.fixture(scope="module")
def container() -> Iterator[Server]:
    found = Server()
    try:
        until(found.answers)
        yield found
    finally:
        docker("rm", "--force", "--volumes", found.name)


@pytest.fixture
def server(container: Server) -> Iterator[Server]:
    """Of which nothing we end is taken for a crash of its own, and in which nothing of ours goes on."""
    yield container
    container.revive()
    until(lambda: not container.commands())
    assert "reinitializing" not in container.log()


class ContainerSite(Site):
    def __init__(self, folder: Path, server: Server, rows: int = 2000) -> None:
        self.server, self.name = server, f'we"ird; drop-- {next(NUMBERS)}'
        super().__init__("postgresql", folder, {"container": server.name, "database": self.name})
        server.psql('create database "{}"'.format(self.name.replace('"', '""')))
        server.psql(
            f"""create table trades (id bigserial primary key, note text);
            insert into trades (note) select md5(random()::text) || md5(random()::text) from generate_series(1, {rows});
            create table "Odd ""n"" x" (a int); insert into "Odd ""n"" x" select generate_series(1, 100);
            select lo_from_bytea(4711, '\\x0001ff');
            checkpoint""",
            self.name,
        )

    def content(self) -> str:
        tables = ("trades", '"Odd ""n"" x"', "pg_largeobject")
        hashes = [f"select coalesce(sum(hashtextextended(t::text, 0)), 0), count(*) from {table} t" for table in tables]
        return self.server.psql("; ".join([*hashes, "select last_value, is_called from trades_id_seq"]), self.name)

    def change(self) -> None:
        """After a crash a sequence is ahead of what it gave since the last checkpoint, so there is one."""
        self.server.psql("update trades set note = md5(random()::text) where id % 7 = 0; insert into trades (note) values ('one more'); checkpoint", self.name)

    def leftovers(self) -> list[str]:
        names = self.server.psql("select datname from pg_database").splitlines()
        return [name for name in names if name.startswith((f"{self.name}_restore", f"{self.name}_verify"))]

    def manifest(self) -> dict[str, Any]:
        [artifact] = self.artifacts()
        assert artifact.manifest is not None
        return dict(artifact.manifest)


@pytest.fixture
def site(tmp_path: Path, server: Server) -> ContainerSite:
    return ContainerSite(tmp_path, server)


@pytest.fixture
def large(tmp_path: Path, server: Server) -> ContainerSite:
    """Larger than everything between a program in the container and us can hold."""
    return ContainerSite(tmp_path, server, 80_000)


def midway(monkeypatch: pytest.MonkeyPatch, method: str, action: Callable[[], object], hold: float | None = 1.0) -> None:
    """``action`` takes place once a megabyte was read from, or written to, one program; each move meanwhile waits for it, ``hold`` seconds at most.

    Without end (None) would not do for every action: the engine waits ten seconds for whoever does not read before it kills a container.
    """
    original, moved, begun = getattr(ContainerChild, method), dict[int, int](), threading.Thread(target=action)

    def counted(self: ContainerChild, given: Any) -> Any:
        result = original(self, given)
        moved[id(self)] = moved.get(id(self), 0) + len(given if method == "write" else result)
        if begun.ident is None and moved[id(self)] > MEGABYTE:
            begun.start()
        if begun.ident is not None:  # is_alive() is false of what a process before a fork made
            begun.join(hold)
        return result

    monkeypatch.setattr(ContainerChild, method, counted)


def killed(work: Callable[[], object]) -> bool:
    """Whether ``work``, done in a child process, ended by SIGKILL."""
    return status_of(forked(work)) == -signal.SIGKILL


def whole(site: Site) -> None:
    """Whatever looks like a good backup is one."""
    for artifact in site.artifacts():
        if artifact.manifest is not None:
            prove_readable(artifact, site.bench())


def test_round_trips(site: ContainerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_program(_self: Host, command: Command) -> None:
        raise AssertionError(f"{command.argv[0]} is run on the host")

    monkeypatch.setattr(Host, "start", no_program)
    for _number in range(2):
        site.change()
        before = site.content()
        made = site.back_up()["artifact"]["id"]
        proof = site.prove(select=made)["proof"]
        assert proof["ok"] and proof["level"] == "restored"
        site.change()
        changed = site.content()
        assert changed != before
        done = site.restore(select=made)
        assert site.content() == before
    bring_back(site.params(undo=done["restore"]["id"]), False)
    assert site.content() == changed and site.leftovers() == []


def test_the_programs_are_those_of_the_container(site: ContainerSite) -> None:
    """Whatever version the host has, and also when it has none."""
    site.back_up()
    identity = site.manifest()["identity"]
    said = docker("exec", site.server.name, "pg_dump", "--version").split()[2]
    assert (identity["tools"], identity["engine"]) == (said, site.server.psql("show server_version").split()[0])


def test_data_and_secrets_are_in_no_argument(large: ContainerSite) -> None:
    needles = [f"needle-{secrets.token_hex(8)}" for _number in range(2)]
    large.server.psql(f"create role needle password '{needles[1]}'; alter table trades owner to needle", large.name)
    large.server.psql(f"insert into trades (note) values ('{needles[0]}')", large.name)
    needles.append(large.server.psql("select rolpassword from pg_authid where rolname = 'needle'"))
    seen, over = set[str](), threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.update(large.server.commands())
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            large.back_up()
            large.restore()
        finally:
            over.set()
        watching.result()
    for program in ("pg_dump", "psql", "pg_restore"):
        assert any(program in line for line in seen)
    assert not [line for line in seen if any(needle in line for needle in needles)]


@pytest.mark.parametrize(
    ("fault", "codes"),
    # killed or ended at once: the server, which says so, or pg_dump itself
    [("kill", {"unreachable", "connection_lost"}), ("restart", {"unreachable", "connection_lost"}), ("pause", {"stalled"})],
)
def test_the_container_fails_in_the_middle_of_a_dump(large: ContainerSite, monkeypatch: pytest.MonkeyPatch, fault: str, codes: set[str]) -> None:
    good = large.back_up()["artifact"]["id"]
    before, content = large.bytes_of(good), large.content()
    large.options["stall_timeout_seconds"] = 2
    with monkeypatch.context() as patch:
        midway(patch, "read", lambda: docker(fault, large.server.name))
        with pytest.raises(RunbookError) as caught:
            large.back_up()
    assert caught.value.code in codes and caught.value.hint
    whole(large)
    assert [artifact.id for artifact in large.artifacts() if artifact.state == "good"] == [good] and large.bytes_of(good) == before
    large.server.revive()
    until(lambda: not large.server.commands())
    assert large.content() == content
    made = large.back_up()["artifact"]
    assert made["state"] == "good" and large.prove(select=made["id"])["proof"]["ok"]
    assert large.leftovers() == [] and not list(large.store.rglob(".*.part"))


def test_the_container_fails_in_the_middle_of_a_restore(large: ContainerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = large.content()
    large.back_up()
    large.change()
    damaged = large.content()
    with monkeypatch.context() as patch:
        midway(patch, "write", lambda: docker("kill", large.server.name))
        with pytest.raises(RunbookError) as caught:
            large.restore()
    assert caught.value.hint
    large.server.revive()
    assert large.content() == damaged
    large.restore(select=large.artifacts()[0].id)
    assert large.content() == wanted and large.leftovers() == []


@pytest.mark.parametrize(("method", "program"), [("read", "pg_dump"), ("write", "pg_restore")])
def test_we_are_killed(large: ContainerSite, monkeypatch: pytest.MonkeyPatch, method: str, program: str) -> None:
    wanted = large.content()
    good = large.back_up()["artifact"]["id"]
    large.change()
    content, before = large.content(), large.bytes_of(good)
    note = large.folder / "commands"

    def end() -> None:
        note.write_text("\n".join(large.server.commands()))
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        midway(patch, method, end, None)
        assert killed(large.back_up if method == "read" else lambda: large.restore(select=good))
    assert program in note.read_text()
    until(lambda: not large.server.commands())
    whole(large)
    assert (large.content(), large.bytes_of(good)) == (content, before)
    assert large.back_up()["artifact"]["state"] == "good"
    large.restore(select=good)
    assert large.content() == wanted and large.leftovers() == []
    assert not list(large.store.rglob(".*.part"))


FILLER = """
import os, time
os.set_blocking(1, False)
written = refused = 0
while refused < 20:
    try:
        written, refused = written + os.write(1, bytes(4096)), 0
    except BlockingIOError:
        refused += 1
        time.sleep(0.02)
os.set_blocking(1, True)
os.write(2, b"%d" % written)
"""


def test_a_reader_that_is_late_loses_nothing(server: Server) -> None:
    """A program ends when all that is between it and us is full. Two seconds later the engine throws away what it could not take over by then."""
    patience = Patience("filler", Deadline(60, time.monotonic))
    with Container(server.name, "postgres").start(Command(["python3", "-c", FILLER], {"LC_ALL": "C"}, patience)) as child:
        got = len(child.read(1))
        time.sleep(4)
        while block := child.read(MEGABYTE):
            got += len(block)
        assert (child.finish(), child.said()) == (0, str(got))


@pytest.fixture
def idle(server: Server) -> Iterator[str]:
    """The name of a container that was made and never started."""
    name = f"{server.name}-idle"
    docker("create", "--name", name, "--network", "none", str(IMAGE))
    yield name
    docker("rm", "--force", "--volumes", name)


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        ({"container": "tradeops-runbook-none"}, "not_there", "No such container"),
        ({"container": "idle"}, "unreachable", "is not running"),
        ({"container": "paused"}, "unreachable", "is paused"),
        ({"database": "nothing here"}, "not_there", "nothing here"),
        ({"container_user": "nobody here"}, "failed", "nobody here"),
        ({"container_user": "root"}, "auth", "root"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value.values()),
)
def test_what_is_not_there(site: ContainerSite, idle: str, options: dict[str, str], code: str, word: str) -> None:
    if options.get("container") == "paused":
        docker("pause", site.server.name)
    site.options.update({name: {"idle": idle, "paused": site.server.name}.get(value, value) for name, value in options.items()})
    with pytest.raises(RunbookError, match=word) as caught:
        site.back_up()
    assert caught.value.code == code and caught.value.hint and site.artifacts() == []


def test_exit_statuses_are_looked_at(site: ContainerSite) -> None:
    client = Client(site.options, Context(Deadline(60, time.monotonic), time.time(), "20261121T080000Z-7f3a9c1e"))
    with client.start(["pg_dump"], "nothing here") as child:
        assert child.read(MEGABYTE) == b""
        with pytest.raises(NotThere, match="nothing here"):
            finished(child, "pg_dump")
