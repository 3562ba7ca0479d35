# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server is backed up and restored: whole, under load, by the least of rights, and while things break."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context, Stream
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import (
    CommandFailed, InUse, InvalidInput, NotThere, Refused, RunbookError, TimedOut, VerifyFailed,
)  # fmt: skip
from ansible_collections.tradeops.runbook.plugins.module_utils._core.inventory import differences
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_client import Session
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.postgresql_backup import Source, Target
from ansible_collections.tradeops.runbook.tests.support.children import environment
from ansible_collections.tradeops.runbook.tests.support.postgresql import PASSWORD, Server, programs
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.authority import Authority
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.engine import Engine

pytestmark = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (Debian package postgresql)")

Manifest = dict[str, Any]
Make = Callable[..., dict[str, Any]]
TAG = "20261121T080000Z-7f3a9c1e"
BLOCK = 1 << 20

EVERYTHING = r"""
create schema "s.x";
create table orders (id bigserial primary key, note text not null, t text, at timestamptz default now(), price numeric check (price >= 0));
insert into orders (note, t, price) select 'n' || i, repeat('x', i % 50), i * 1.5 from generate_series(1, 2000) i;
create index on orders (note);
create table "we""ird; drop--" ("a b" int, "t" text);
insert into "we""ird; drop--" values (1, 'x'), (2, null);
create table "s.x"."tab
line%\" (x int);
insert into "s.x"."tab
line%\" values (1);
create table parted (k int primary key, v text) partition by range (k);
create table parted_1 partition of parted for values from (0) to (10);
create table parted_2 partition of parted for values from (10) to (20);
insert into parted select i, i::text from generate_series(0, 19) i;
create table refers (k int references parted (k));
create table parent (a int);
create table child (b int) inherits (parent);
insert into child values (1, 2);
create materialized view summed as select count(*) from orders;
create materialized view unfilled as select 1 with no data;
create view seen as select * from orders;
create function twice(int) returns int language sql as 'select 2 * $1';
create function quiet() returns trigger language plpgsql as 'begin return new; end';
create trigger quiet before insert on orders for each row execute function quiet();
create type mood as enum ('a', 'b');
create domain positive as int check (value > 0);
create type pair as (a int, b text);
create table guarded (x int);
alter table guarded enable row level security;
create policy partly on guarded to app using (x > 1);
insert into guarded values (1), (2);
create publication pub for table orders;
select lo_from_bytea(0, decode(repeat('ab00', 5000), 'hex')), lo_put(lo_create(0), 10000, '\x0102');
create unlogged table unlogged (x int);
insert into unlogged values (1);
create table empty ();
insert into empty default values;
create table generated (a int generated always as identity, b float8 generated always as (1 / 3.0) stored);
insert into generated default values;
create sequence down increment -1;
select nextval('down'), nextval('down');
grant select on orders to reader;
"""

OF_THE_DATABASE = [
    'alter database {0} set search_path to "s.x", public', "alter database {0} set work_mem to '5MB'",
    "alter role app in database {0} set statement_timeout to '5s'",
    "grant connect on database {0} to reader with grant option", "revoke temp on database {0} from public", "comment on database {0} is 'the live one'",
    "alter database {0} connection limit 50",
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    made.settings["wal_level"] = "logical"
    with made:
        made.sql("postgres", "create role app login", "create role reader", "create role backup login in role pg_read_all_data")
        made.sql("postgres", f"create role tcp login superuser password '{PASSWORD}'")
        yield made


@pytest.fixture
def make(server: Server) -> Iterator[Make]:
    """Makes a database with this content; gives the options of a driver for it."""
    names: list[str] = []

    def new(content: str = "", name: str = "shop", **more: Any) -> dict[str, Any]:
        names.append(name)
        server.sql("postgres", f"create database {quoted(name)}")
        if content:
            server.sql(name, content)
        return options(server, name, **more)

    yield new
    for name in databases(server):
        if name not in ("postgres", "template0", "template1"):
            server.sql("postgres", f"drop database {quoted(name)} with (force)")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def options(server: Server, name: str, **more: Any) -> dict[str, Any]:
    return {"database": name, "host": str(server.folder), "port": server.port, "user": "runbook", **more}


def by_network(server: Server, name: str, **more: Any) -> dict[str, Any]:
    given = {"host": "127.0.0.1", "user": "tcp", "secret_password": PASSWORD, "sslmode": "disable"}
    return options(server, name, **{**given, **more})


def databases(server: Server) -> set[str]:
    found = json.loads(server.sql("postgres", "select json_agg(datname) from pg_database"))
    return set(found)


def context(seconds: float = 60.0, tag: str = TAG, **more: Any) -> Context:
    return Context(Deadline(seconds, time.monotonic), time.time(), tag, **more)


def whole(stream: Stream) -> bytes:
    return b"".join(iter(lambda: stream.read(BLOCK), b""))


def take(given: dict[str, Any], seconds: float = 60.0) -> tuple[bytes, Manifest]:
    """The data of a backup, and what a manifest says of it."""
    source = Source(given, context(seconds))
    identity = source.identity()
    with source.open() as stream:
        data = whole(stream)
    inventory = json.loads(json.dumps(source.taken().inventory.data()))
    return data, {"id": TAG, "identity": identity.data(), "inventory": inventory}


def restored(given: dict[str, Any], backup: tuple[bytes, Manifest], **more: Any) -> Target:
    target = Target(given, context(**more))
    target.stage(io.BytesIO(backup[0]), backup[1])
    return target


def children() -> set[int]:
    """Processes that are children of this one, dead ones included; without the servers of the tests."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _end, fields = entry.read_text().rpartition(")")
            if int(fields.split()[1]) == os.getpid() and not name.endswith("(postgres"):
                found.add(int(entry.parent.name))
    return found


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


def backends(server: Server, where: str) -> list[int]:
    text = server.sql("postgres", f"select coalesce(json_agg(pid), '[]') from pg_stat_activity where pid <> pg_backend_pid() and {where}")
    found: list[int] = json.loads(text)
    return found


# What a backup is


def test_everything_comes_back(server: Server, make: Make) -> None:
    given = make(EVERYTHING, checksums=True)
    server.sql("postgres", *[statement.format("shop") for statement in OF_THE_DATABASE])
    source = Source(given, context())
    identity = source.identity()
    assert identity.exists and identity.engine == server.sql("shop", "show server_version").split()[0]
    assert identity.tools.split(".", maxsplit=1)[0] == identity.engine.split(".", maxsplit=1)[0]
    assert identity.system_id == server.sql("shop", "select system_identifier from pg_control_system()") and identity.size_bytes > 0
    with source.open() as stream:
        data = whole(stream)
    taken = source.taken()
    assert taken.inventory.totals.items() >= {
        "objects": 13, "rows": 2029, "large_objects": 2, "sequences": 3, "policies": 1, "publications": 1, "materialized_views": 2, "views": 1, "types": 3,
    }.items()  # fmt: skip
    objects = taken.inventory.objects
    assert objects["table public.orders"]["rows"] == 2000 and objects['table "s.x"."tab\nline%\\"']["rows"] == 1
    assert objects["sequence public.down"] == {"value": -2, "called": True} and objects["materialized view public.unfilled"] == {"populated": False}
    assert abs(taken.taken_at - time.time()) < 60 and list(taken.notes) == []
    assert b"CREATE ROLE app" in taken.attachments["globals.sql"] and b"SCRAM-SHA-256" in taken.attachments["globals.sql"]

    manifest = {"identity": identity.data(), "inventory": json.loads(json.dumps(taken.inventory.data()))}
    target = restored(given, (data, manifest))
    assert differences(manifest["inventory"], target.inventory()) == []
    properties = "select jsonb_agg(to_jsonb(x) order by x::text) from (select setconfig, setrole::regrole from pg_db_role_setting) x"
    look = """select shobj_description(oid, 'pg_database'), datconnlimit, datdba::regrole, (select array_agg(a::text order by a::text) from unnest(datacl) a)
      from pg_database where datname = 'shop'"""
    before = server.sql("postgres", properties, look)
    number = server.sql("postgres", "select oid from pg_database where datname = 'shop'")
    swapped = json.loads(json.dumps(target.swap()))
    assert server.sql("postgres", "select oid from pg_database where datname = 'shop'") != number
    after = server.sql("postgres", look)
    assert after == before.splitlines()[-1] == "the live one|50|runbook|{=c/runbook,reader=c*/runbook,runbook=CTc/runbook}"
    assert server.sql("shop", "show work_mem", "show search_path", "select count(*) from public.orders") == '5MB\n"s.x", public\n2000'
    assert databases(server) >= {"shop", f"shop_before_{TAG}"}
    target.undo(swapped)
    target.undo(swapped)
    assert server.sql("postgres", "select oid from pg_database where datname = 'shop'") == number
    assert server.sql("postgres", properties).count("search_path") == 2, "the live one's, and that of the one that is staged again"
    target.discard()
    target.discard()
    assert databases(server) == {"postgres", "template0", "template1", "shop"}


NAMES = [
    'we"ird; drop--', "host=evil dbname=x", "postgresql://evil/x", "-Fp", "--help", "a\nb", "100% %s", "🐘 db", "é" * 31 + "x", "[a]#b", "it's \\ $(touch x)",
    " ",
]  # fmt: skip


def test_names_are_data(server: Server, make: Make) -> None:
    """``host=evil`` would be dialled, and ``-Fp`` obeyed, by programs that are given a name as it is."""
    for name in NAMES:
        given = make(name=name, globals=False)
        data, manifest = take(given)
        target = Target(given, context(tag=f"t-{len(name):08d}"))
        target.stage(io.BytesIO(data), manifest)
        assert len(databases(server)) == 5, name
        if len(name) in (1, 14, 32):
            number = server.sql("postgres", f"select oid from pg_database where datname = {text(name)}")
            target.swap()
            assert server.sql(name, "select current_database()") == name.strip()
            target.undo({})
            assert server.sql("postgres", f"select oid from pg_database where datname = {text(name)}") == number
        target.discard()
        server.sql("postgres", f"drop database {quoted(name)}")
    assert databases(server) == {"postgres", "template0", "template1"}


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "é" * 32, "\ud800"])
def test_what_cannot_be_a_name(server: Server, name: str) -> None:
    for kind in (Source, Target):
        with pytest.raises(InvalidInput):
            kind(options(server, name), context())


def test_the_snapshot_holds_while_others_write(server: Server, make: Make) -> None:
    """Money moves between two tables, and numbers are drawn, all the while: the sum in the copy is right, and the count that of the copy."""
    given = make("create table a (v bigint); create table b (v bigint); create table log (id serial, note text)")
    server.sql(
        "shop", "insert into a values (1000)", "insert into b values (0)", "insert into log (note) select repeat('x', 100) from generate_series(1, 100000)"
    )
    script = "begin; update a set v = v - 1; update b set v = v + 1; insert into log (note) select 'y' from generate_series(1, 5); commit;\n" * 20000
    command = [str(programs() or "") + "/psql", "-X", "-q", "-h", str(server.folder), "-p", str(server.port), "-U", "runbook", "shop"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as writer:
        feeder = threading.Thread(target=_feed, args=(writer, script))
        feeder.start()
        try:
            until(lambda: server.sql("shop", "select v from b") > "1")
            data, manifest = take(given)
            moving = server.sql("shop", "select v from b")
        finally:
            writer.kill()
            feeder.join()
    target = restored(given, (data, manifest))
    assert target.ask("select (select v from a) + (select v from b)") == 1000
    assert 0 < target.ask("select v from b") < int(moving)
    assert differences(manifest["inventory"], target.inventory()) == []


def _feed(writer: subprocess.Popen[str], script: str) -> None:
    with contextlib.suppress(BrokenPipeError), writer.stdin or contextlib.nullcontext():
        if writer.stdin:
            writer.stdin.write(script)


def test_a_sequence_that_moves_lies_between_what_was_seen(server: Server, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    given = make("create sequence numbers; select nextval('numbers'); create table t (x int)")
    source = Source(given, context())
    value = Session.value

    def drawing(session: Session, statement: str) -> Any:
        """Numbers are drawn beside the session as soon as it counted for the first time."""
        if "pg_export_snapshot" in statement:
            server.sql("shop", "select nextval('numbers') from generate_series(1, 10)")
        return value(session, statement)

    monkeypatch.setattr(Session, "value", drawing)
    with source.open() as stream:
        data = whole(stream)
    inventory = json.loads(json.dumps(source.taken().inventory.data()))
    assert inventory["objects"]["sequence public.numbers"] == {"at_least": 1, "at_most": 11}
    target = restored(given, (data, {"identity": {}, "inventory": inventory}))
    assert differences(inventory, target.inventory()) == []
    server.sql("shop_restore_7f3a9c1e", "select setval('numbers', 50)")
    assert len(differences(inventory, target.inventory())) > 0


def test_without_what_was_not_asked_for(make: Make) -> None:
    source = Source(make("create table t (x int)", globals=False), context())
    with source.open() as stream:
        whole(stream)
    assert source.taken().attachments == {} and source.taken().inventory.digest == "" and source.taken().inventory.totals["objects"] == 1


# Rights and ways in


def test_the_least_of_rights_is_enough_for_a_backup(server: Server, make: Make) -> None:
    given = make("create table t (x int); insert into t values (1); create sequence s", user="backup")
    source = Source(given, context())
    assert source.identity().system_id == server.sql("postgres", "select system_identifier from pg_control_system()")
    with source.open() as stream:
        data = whole(stream)
    taken = source.taken()
    assert taken.inventory.objects["table public.t"] == {"rows": 1}
    assert b"CREATE ROLE app" in taken.attachments["globals.sql"] and b"SCRAM" not in taken.attachments["globals.sql"] and len(taken.notes) == 1
    assert restored(options(server, "shop"), (data, {"inventory": taken.inventory.data()})).ask("select x from t") == 1


@pytest.mark.parametrize(
    ("content", "role", "word"),
    [("create table t (x int); create table hidden (x int); grant select on t to app", "app", "hidden"),
     ("create sequence hidden; create table t (x int); grant select on t to app", "app", "hidden"),
     ("create table t (x int); create schema hidden; create table hidden.t (x int); grant select on t, hidden.t to app", "app", "hidden"),
     ("create table hidden (x int); alter table hidden enable row level security", "backup", "hidden"),
     ("create table t (x int); select lo_create(4711); grant select on t to app", "app", "4711")],
)  # fmt: skip
def test_what_may_not_be_read_fails_the_backup(make: Make, content: str, role: str, word: str) -> None:
    source = Source(make(content, user=role), context())
    with pytest.raises(CommandFailed, match=word) as caught, source.open() as stream:
        whole(stream)
    assert caught.value.code == "permission_denied" and caught.value.hint
    with pytest.raises(VerifyFailed):
        source.taken()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(server: Server, authority: Authority) -> Authority:
    """The server shows a certificate for localhost from now on, to those who ask."""
    path = server.folder / "server.pem"
    shutil.copy(authority.issue("localhost")[0], path)
    os.chown(path, server.data.stat().st_uid, server.data.stat().st_gid)
    path.chmod(0o600)
    for statement in (f"alter system set ssl_cert_file = '{path}'", f"alter system set ssl_key_file = '{path}'", "alter system set ssl = on"):
        server.sql("postgres", statement)
    server.sql("postgres", "select pg_reload_conf()")
    until(lambda: server.sql("postgres", "show ssl") == "on")
    return authority


def test_a_server_without_tls_gets_no_password(server: Server) -> None:
    given = by_network(server, "postgres", sslmode=None)
    with pytest.raises(RunbookError) as caught:
        Source(given, context()).identity()
    assert caught.value.code == "tls" and PASSWORD not in caught.value.message


def test_the_certificate_is_checked(server: Server, encrypted: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    right = by_network(server, "postgres", host="localhost", sslmode=None, sslrootcert=encrypted.path)
    assert Source(right, context()).identity().exists
    for wrong in ({"sslrootcert": other.path}, {"host": "127.0.0.1"}, {"sslrootcert": str(tmp_path / "none")}):
        with pytest.raises(RunbookError) as caught:
            Source({**right, **wrong}, context()).identity()
        assert caught.value.code == "tls" and caught.value.hint, wrong


@pytest.mark.parametrize(
    ("more", "code"),
    [({"secret_password": "wrong"}, "auth"), ({"secret_password": None}, "auth"), ({"user": "nobody here"}, "auth"), ({"database": "nowhere"}, "not_there"),
     ({"port": 1}, "unreachable"), ({"host": "/nowhere"}, "unreachable"), ({"host": "no-such-host.invalid"}, "unreachable"),
     ({"bin_dir": "/nowhere"}, "missing_program")],
)  # fmt: skip
def test_no_way_in(server: Server, more: dict[str, Any], code: str) -> None:
    with pytest.raises(RunbookError) as caught:
        Source({**by_network(server, "postgres"), **more}, context()).identity()
    assert caught.value.code == code and caught.value.hint and PASSWORD not in caught.value.message


def test_who_may_not_connect(server: Server, make: Make) -> None:
    given = make(user="app")
    server.sql("postgres", "revoke connect on database shop from public")
    with pytest.raises(RunbookError, match="permission denied for database") as caught:
        Source(given, context()).identity()
    assert caught.value.code == "auth"


def test_the_password_is_nowhere_to_be_seen(server: Server, make: Make) -> None:
    """Arguments and environment of all processes, looked at the whole time; and files that appear."""
    make(EVERYTHING)
    given = by_network(server, "shop")
    seen: set[str] = set()
    programs_seen: set[bytes] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for entry in os.listdir("/proc"):
                if entry.isdigit() and int(entry) != os.getpid():
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            body = Path("/proc", entry, name).read_bytes()
                            if name == "cmdline":
                                programs_seen.add(body.partition(b"\0")[0].rpartition(b"/")[2])
                            if PASSWORD.encode() in body:
                                seen.add(f"{name}: {body!r}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        target = restored(given, take(given))
        target.inventory()
        swapped = target.swap()
        target.undo(swapped)
        target.discard()
    finally:
        stop.set()
        watcher.join()
    assert seen == set()
    assert {b"psql", b"pg_dump", b"pg_dumpall", b"pg_restore"} <= programs_seen, "the watcher was too slow to prove anything"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs programs as another user")
def test_as_another_system_user(server: Server, make: Make) -> None:
    make("create table t (x int); insert into t values (5)")
    assert restored({**by_network(server, "shop"), "os_user": "nobody"}, take({**by_network(server, "shop"), "os_user": "nobody"})).ask("select x from t") == 5
    with pytest.raises(RunbookError) as caught:
        Source(options(server, "shop", user="", os_user="nobody"), context()).identity()
    assert caught.value.code == "auth" and '"nobody"' in caught.value.message, "its name is the default for the role"
    with pytest.raises(InvalidInput):
        Source(options(server, "shop", os_user="nobody here"), context())


# Versions. The programs of other versions are scripts here that only tell a version.


@pytest.fixture
def other_version(tmp_path: Path) -> Callable[[str], str]:
    """A folder of client programs in which pg_dump and pg_restore say they are of this version."""

    def folder(version: str) -> str:
        for path in Path(programs() or "").glob("p*"):
            (tmp_path / path.name).symlink_to(path)
        for name in ("pg_dump", "pg_restore"):
            (tmp_path / name).unlink()
            (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] || exit 70\necho "{name} (PostgreSQL) {version}"\n')
            (tmp_path / name).chmod(0o755)
        return str(tmp_path)

    return folder


def test_a_client_that_is_too_old_is_refused_before_anything_is_done(server: Server, make: Make, other_version: Callable[[str], str]) -> None:
    source = Source(make(bin_dir=other_version("9.6.24")), context())
    for attempt in (source.identity, lambda: source.open().__enter__()):
        with pytest.raises(Refused, match=server.sql("postgres", "show server_version").split()[0]) as caught:
            attempt()
        assert caught.value.code == "client_too_old" and "9.6.24" in caught.value.message


def test_a_tool_that_is_too_old_for_the_artifact(server: Server, make: Make) -> None:
    data, manifest = take(make("create table t (x int)"))
    manifest["identity"]["tools"] = "99.1"
    with pytest.raises(RunbookError, match="99.1") as caught:
        restored(options(server, "shop"), (data, manifest))
    assert caught.value.code == "tool_too_old" and "postgresql-client-99" in caught.value.hint
    assert databases(server) == {"postgres", "template0", "template1", "shop"}


# What breaks while a backup is taken

LARGE = "create table t as select i, repeat(md5(i::text), 30) v from generate_series(1, 60000) i"


def test_an_exclusive_lock_is_waited_for_only_so_long(server: Server, make: Make) -> None:
    given = make("create table t (x int); create table busy (x int)", lock_timeout_seconds=1)
    with holding(server, "begin; lock table busy"), pytest.raises(RunbookError, match="busy") as caught, Source(given, context()).open() as stream:
        whole(stream)
    assert caught.value.code == "lock_timeout" and "pg_blocking_pids" in caught.value.hint
    take(given)


@contextlib.contextmanager
def holding(server: Server, statements: str, database: str = "shop") -> Iterator[subprocess.Popen[str]]:
    """A session that said this, and stays."""
    command = [str(programs() or "") + "/psql", "-X", "-q", "-A", "-t", "-h", str(server.folder), "-p", str(server.port), "-U", "runbook", database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as session:
        assert session.stdin and session.stdout
        session.stdin.write(f"{statements};\n\\echo ready\n")
        session.stdin.flush()
        while session.stdout.readline() != "ready\n":
            assert session.poll() is None
        try:
            yield session
        finally:
            session.kill()


@pytest.mark.parametrize("read_bytes", [0, 1, 100_000, 20_000_000, 55_000_000])
def test_pg_dump_is_killed(make: Make, read_bytes: int) -> None:
    source = Source(make(LARGE, globals=False), context())
    with pytest.raises(CommandFailed, match="signal 9"), source.open() as stream:
        count = 0
        while count < read_bytes:
            count += len(stream.read(BLOCK))
        os.kill(stream._child._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]  # it is a _Dump of a HostChild
        whole(stream)
    with pytest.raises(VerifyFailed):
        source.taken()


def test_a_copy_that_nobody_reads_to_its_end(make: Make) -> None:
    source = Source(make(LARGE, globals=False), context())
    with pytest.raises(RunbookError, match="not read to its end"), source.open() as stream:
        stream.read(BLOCK)
    with pytest.raises(ZeroDivisionError), source.open() as stream:
        stream.read(BLOCK)
        raise ZeroDivisionError
    with pytest.raises(VerifyFailed):
        source.taken()


@pytest.mark.parametrize("program", ["pg_dump", "tradeops"])
def test_the_server_ends_a_session(server: Server, make: Make, program: str) -> None:
    """Of pg_dump, or ours that holds the snapshot."""
    source = Source(make(LARGE, globals=False, checksums=True), context())
    with pytest.raises(RunbookError) as caught, source.open() as stream:
        stream.read(BLOCK)
        is_dump = "query like 'COPY%'" if program == "pg_dump" else "query not like 'COPY%'"
        for pid in backends(server, f"application_name like 'tradeops %' and datname = 'shop' and {is_dump}"):
            server.sql("postgres", f"select pg_terminate_backend({pid})")
        whole(stream)
    assert caught.value.code == "connection_lost"


def test_the_server_stops(make: Make, server: Server) -> None:
    source = Source(make(LARGE, globals=False), context())
    with pytest.raises(RunbookError) as caught, source.open() as stream:
        stream.read(BLOCK)
        server.stop()
        try:
            whole(stream)
        finally:
            server.start()
    assert caught.value.code == "connection_lost" and caught.value.hint
    with pytest.raises(RunbookError, match="does not exist|Connection refused|No such file"):
        Source({**options(server, "shop"), "port": server.port + 1}, context()).identity()
    take(options(server, "shop"))


def test_a_server_process_that_stands_still(server: Server, make: Make) -> None:
    source = Source(make(LARGE, globals=False, stall_timeout_seconds=0.5), context())
    stopped: list[int] = []
    try:
        with pytest.raises(TimedOut) as caught, source.open() as stream:
            stream.read(BLOCK)
            stopped = backends(server, "query like 'COPY%' and datname = 'shop'")
            assert stopped
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            whole(stream)
        assert caught.value.code == "stalled" and "pg_dump" in caught.value.message
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_the_time_of_the_whole_call(server: Server, make: Make) -> None:
    given = make(LARGE, globals=False)
    source = Source(given, context(1.0))
    with pytest.raises(TimedOut, match="time was over"), source.open() as stream:
        time.sleep(1.0)
        whole(stream)
    with pytest.raises(TimedOut):
        Source(given, context(0.0)).identity()


CHILD = """
import sys, time
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.postgresql_backup import Source, Target
context = Context(Deadline(60, time.monotonic), time.time(), "{tag}")
class Endless:
    def read(self, size):
        if not self.first:
            print("ready", flush=True)
            time.sleep(60)
        block, self.first = self.first, b""
        return block
if {restore}:
    import json
    endless = Endless()
    endless.first = open({data!r}, "rb").read()
    Target({options!r}, context).stage(endless, json.load(open({manifest!r})))
else:
    with Source({options!r}, context).open() as stream:
        stream.read(1000)
        print("ready", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("restore", [False, True])
def test_nothing_outlives_us(server: Server, make: Make, tmp_path: Path, restore: bool) -> None:
    """SIGKILL: the client programs die, and the server's processes soon after."""
    given = make(LARGE, globals=False)
    data, manifest = take(given)
    (tmp_path / "data").write_bytes(data[: len(data) // 2])
    (tmp_path / "manifest").write_text(json.dumps(manifest))
    code = CHILD.format(tag=TAG, options=given, restore=restore, data=str(tmp_path / "data"), manifest=str(tmp_path / "manifest"))
    ours = "application_name like 'tradeops %'"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment()) as module:
        try:
            assert module.stdout and module.stdout.readline() == b"ready\n"
            assert len(backends(server, ours)) == 2
            started = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == module.pid]
            assert len(started) == 2
        finally:
            module.kill()
    until(lambda: not any(_alive(pid) for pid in started))
    until(lambda: backends(server, ours) == [])
    target = Target(given, context())
    assert ("shop_restore_7f3a9c1e" in databases(server)) is restore
    target.stage(io.BytesIO(data), manifest)
    assert differences(manifest["inventory"], target.inventory()) == [], "what was left was no obstacle"


def _alive(pid: int) -> bool:
    """Dead ones that nobody collected have no arguments."""
    try:
        return bool(Path("/proc", str(pid), "cmdline").read_bytes())
    except OSError:
        return False


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


# What breaks while a backup is restored


@pytest.mark.parametrize(
    ("change", "kind"),
    [(lambda data: data[: len(data) // 2], VerifyFailed), (lambda data: data[:200], VerifyFailed), (lambda data: b"", VerifyFailed),
     (lambda data: b"not an archive" * 100, VerifyFailed), (lambda data: data + b"x" * 3_000_000, VerifyFailed), (lambda data: data[:-20], VerifyFailed)],
    ids=["half", "beginning", "nothing", "something else", "more", "almost"],
)  # fmt: skip
def test_an_artifact_that_is_not_whole(server: Server, make: Make, change: Callable[[bytes], bytes], kind: type[Exception]) -> None:
    given = make(EVERYTHING)
    data, manifest = take(given)
    with pytest.raises(kind) as caught:
        restored(given, (change(data), manifest))
    assert isinstance(caught.value, RunbookError) and caught.value.hint
    assert databases(server) == {"postgres", "template0", "template1", "shop"}


@pytest.mark.parametrize("fed_bytes", [BLOCK, 30 * BLOCK])
def test_pg_restore_is_killed(server: Server, make: Make, fed_bytes: int) -> None:
    given = make(LARGE, globals=False)
    data, manifest = take(given)

    class Killing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= fed_bytes:
                for pid in children():
                    with contextlib.suppress(OSError):
                        if b"pg_restore" in Path("/proc", str(pid), "cmdline").read_bytes():
                            os.kill(pid, signal.SIGKILL)
            return super().read(size)

    with pytest.raises(CommandFailed, match="signal 9"):
        Target(given, context()).stage(Killing(data), manifest)
    assert databases(server) == {"postgres", "template0", "template1", "shop"}


def test_a_stream_that_breaks(server: Server, make: Make) -> None:
    given = make(EVERYTHING)
    data, manifest = take(given)

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 50_000:
                raise VerifyFailed("its digest is wrong")
            return super().read(10_000)

    with pytest.raises(VerifyFailed, match="digest"):
        Target(given, context()).stage(Broken(data), manifest)
    assert databases(server) == {"postgres", "template0", "template1", "shop"}


def test_a_role_that_is_not_there(server: Server, make: Make) -> None:
    given = make("create role passing; create table t (x int); alter table t owner to passing")
    data, manifest = take(given)
    server.sql("shop", "alter table t owner to runbook", "drop role passing")
    with pytest.raises(RunbookError, match="passing") as caught:
        restored(given, (data, manifest))
    assert caught.value.code == "missing_role" and "globals.sql" in caught.value.hint
    manifest["inventory"]["objects"]["database"]["owner"] = "passing"
    with pytest.raises(RunbookError, match="passing") as caught:
        restored(given, (data, manifest))
    assert caught.value.code == "missing_role" and databases(server) == {"postgres", "template0", "template1", "shop"}


def test_a_restore_that_runs_out_of_time_leaves_nothing(server: Server, make: Make) -> None:
    slow = make("create table t (x int)", "other")
    server.sql(
        "other", "create function slow(x int) returns int language sql immutable as 'select x'",
        "create index on t (slow(x))", "insert into t values (1)",
        "create or replace function slow(x int) returns int language plpgsql immutable as 'begin perform pg_sleep(30); return x; end'",
    )  # fmt: skip
    data, manifest = take(slow)
    with pytest.raises(TimedOut):
        restored(slow, (data, manifest), seconds=1.5)
    assert "other_restore_7f3a9c1e" not in databases(server)


def test_the_manifest_of_something_else(server: Server) -> None:
    wrong: list[Manifest] = [{}, {"inventory": {"objects": {}}}, {"inventory": {"objects": {"database": {"user_version": 1}}}}]
    for manifest in wrong:
        with pytest.raises(InvalidInput):
            Target(options(server, "shop"), context()).stage(io.BytesIO(b""), manifest)
    assert databases(server) == {"postgres", "template0", "template1"}


# Questions to what was staged


def test_questions(server: Server, make: Make, tmp_path: Path) -> None:
    given = make(EVERYTHING)
    server.sql("postgres", 'alter database shop set search_path to "s.x", public')
    target = restored(given, take(given), scratch=True)
    assert "shop_verify_7f3a9c1e" in databases(server)
    for query, answer in {
        "select count(*), 1 as count from orders;": 2000, "select 'x' where false": None, "values (1.5), (2)": 1.5, "select null": None,
        "select 'ä\n\\'": "ä\n\\", "select true -- the truth": True, "with w as (select 7) select * from w": 7,
        "show work_mem": server.sql("postgres", "show work_mem"), "select '{\"a\": 1}'::json": {"a": 1},
    }.items():  # fmt: skip
        assert target.ask(query) == answer, query
    marker = tmp_path / "marker"
    for query in (
        "commit; drop table orders", "insert into orders (note) values ('x')", f"\\! touch {marker}", "select 1 from nowhere", "", "rollback",
        "set transaction read write", "set transaction_read_only = off; delete from orders", "select 1; drop table orders", "select \0",
    ):  # fmt: skip
        with contextlib.suppress(InvalidInput):
            target.ask(query)
    assert target.ask("select count(*) from orders") == 2000 and not marker.exists()
    with pytest.raises(InvalidInput, match="nowhere"):
        target.ask("select 1 from nowhere")
    target.discard()
    assert "shop_verify_7f3a9c1e" not in databases(server)


def test_what_a_killed_verification_left_goes_with_a_later_one(server: Server, make: Make) -> None:
    given = make(EVERYTHING)
    taken = take(given)
    restored(given, taken, scratch=True)
    mark = server.sql("postgres", "select shobj_description(oid, 'pg_database') from pg_database where datname = 'shop_verify_7f3a9c1e'")
    stamp, instant = mark.rsplit(" ", 1)
    long_ago = f"{stamp} {int(instant) - 90_000}"
    for name, comment in (("shop_verify_0000001a", long_ago), ("shop_verify_0000002b", mark), ("shop_verify_0000003c", f"{long_ago} or so")):
        server.sql("postgres", f"create database {name}", f"comment on database {name} is '{comment}'")
    server.sql("postgres", f"comment on database shop is '{long_ago}'")  # as of a copy that somebody renamed, to use it
    target = restored(given, taken, scratch=True)
    assert {name for name in databases(server) if "verify" in name} == {"shop_verify_7f3a9c1e", "shop_verify_0000002b", "shop_verify_0000003c"}
    target.discard()
    for name in ("shop_verify_0000002b", "shop_verify_0000003c"):
        server.sql("postgres", f"drop database {name}")
    assert "shop" in databases(server)


# The swap

IMPATIENT = """
import subprocess, sys, time
work = ["-c", "insert into t values (0)", "-c", "select pg_sleep(0.1)"]
command = [sys.argv[1], "-X", "-A", "-t", "-q", "-h", sys.argv[2], "-p", sys.argv[3], "-U", "runbook", *work, "shop"]
while True:
    subprocess.run(command, check=False, capture_output=True)
"""


@contextlib.contextmanager
def impatient(server: Server, count: int = 3) -> Iterator[None]:
    """Applications that write, and come back at once when they are thrown out."""
    command = [sys.executable, "-c", IMPATIENT, str(programs() or "") + "/psql", str(server.folder), str(server.port)]
    with contextlib.ExitStack() as stack:
        for _number in range(count):
            process = stack.enter_context(subprocess.Popen(command, start_new_session=True))
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
        until(lambda: len(backends(server, "datname = 'shop'")) >= 1)
        yield


def test_applications_that_come_back_at_once(server: Server, make: Make) -> None:
    given = make("create table t (x int)")
    backup = take(given)
    number = "select oid from pg_database where datname = 'shop'"
    live = server.sql("postgres", number)
    with impatient(server):
        target = restored(given, backup)
        until(lambda: "runbook (psql)" in target.identity().in_use)  # each is gone for a moment
        swapped = target.swap()
        assert server.sql("postgres", number) != live
        kept = server.sql(f"shop_before_{TAG}", "select count(*) from t")
        until(lambda: int(server.sql("shop", "select count(*) from t")) > 0)
        assert server.sql(f"shop_before_{TAG}", "select count(*) from t") == kept, "nobody writes to what was put aside"
        target.undo(swapped)
        assert server.sql("postgres", number) == live
        until(lambda: int(server.sql("shop", "select count(*) from t")) > int(kept))
    target.discard()


def test_a_session_that_cannot_be_ended(server: Server, make: Make) -> None:
    """A prepared transaction counts as one. Everything stays as it was, and open."""
    server.settings["max_prepared_transactions"] = "5"
    server.stop()
    server.start()
    given = make("create table t (x int)")
    target = restored(given, take(given))
    server.sql("shop", "begin; insert into t values (1); prepare transaction 'held'")
    number = server.sql("postgres", "select oid, datallowconn, datacl from pg_database where datname = 'shop'")
    with pytest.raises(InUse) as caught:
        target.swap()
    assert caught.value.code == "in_use" and "prepared" in caught.value.message
    target.undo({})
    assert server.sql("postgres", "select oid, datallowconn, datacl from pg_database where datname = 'shop'") == number
    server.sql("shop", "commit prepared 'held'")
    target.swap()
    assert server.sql("shop", "select count(*) from t") == "0" and server.sql(f"shop_before_{TAG}", "select count(*) from t") == "1"


def test_where_nothing_was(server: Server, make: Make) -> None:
    given = make("create table t (x int); insert into t values (3)")
    server.sql("postgres", *[statement.format("shop") for statement in OF_THE_DATABASE])
    backup = take(given)
    server.sql("postgres", "drop database shop")
    assert Target(given, context()).identity().exists is False
    with pytest.raises(NotThere):
        Source(given, context()).identity()
    target = restored(given, backup)
    swapped = json.loads(json.dumps(target.swap()))
    assert server.sql("shop", "select x from public.t", "show work_mem") == "3\n5MB"
    other = Target(given, context())
    other.undo({})
    assert "shop" in databases(server), "it cannot know whether it was there before"
    other.undo(swapped)
    other.undo(swapped)
    assert databases(server) == {"postgres", "template0", "template1", "shop_restore_7f3a9c1e"}
    other.discard()
    server.sql("postgres", "create database shop")
    other.undo(swapped)
    assert "shop" in databases(server), "a database that was made later is not ours"


def test_a_swap_that_was_done_is_not_done_again(server: Server, make: Make) -> None:
    given = make("create table t (x int)")
    backup = take(given)
    target = restored(given, backup)
    target.swap()
    with pytest.raises(Refused, match="nothing is staged"):
        target.swap()
    with pytest.raises(Refused, match="already"):
        restored(given, backup).swap()


# In a container. The engine is a stand-in that speaks the real protocol and runs the programs on this host.


@pytest.fixture
def container(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What differs in the options."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{programs()}:{os.environ['PATH']}"
        made = Engine(Path(folder) / "docker.sock", {"PATH": path, "PGHOST": str(server.folder)})
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.path}")
        yield {"container": "db", "container_user": "postgres", "host": "", "port": server.port, "user": "runbook"}
        made.close()


def test_the_whole_way_in_a_container(server: Server, make: Make, container: dict[str, Any]) -> None:
    given = {**make(EVERYTHING, checksums=True), **container}
    data, manifest = take(given)
    target = restored(given, (data, manifest))
    assert differences(manifest["inventory"], target.inventory()) == []
    assert target.ask("select count(*) from orders") == 2000
    target.undo(target.swap())
    target.discard()
    assert databases(server) == {"postgres", "template0", "template1", "shop"}


def test_in_a_container_nothing_goes_on_after_an_error(server: Server, make: Make, container: dict[str, Any]) -> None:
    given = {**make(LARGE, globals=False), **container}
    with pytest.raises(ZeroDivisionError), Source(given, context()).open() as stream:
        stream.read(BLOCK)
        raise ZeroDivisionError
    until(lambda: backends(server, "application_name like 'tradeops %'") == [])
    data, manifest = take(given)
    with pytest.raises(VerifyFailed, match="end of file"):
        restored(given, (data[:-1_000_000], manifest))
    assert databases(server) == {"postgres", "template0", "template1", "shop"}
    with pytest.raises(RunbookError) as caught:
        Source({**given, "user": "nobody here"}, context()).identity()
    assert caught.value.code == "auth"


# Standbys


@pytest.fixture
def standby(server: Server) -> Iterator[Server]:
    made = Server(server)
    made.settings.update(server.settings)
    try:
        made.start()
        yield made
    finally:
        made.remove()


def test_a_standby_tells_how_old_its_data_is(server: Server, make: Make, standby: Server) -> None:
    make("create table t (x int); insert into t values (1); create unlogged table fast (x int); insert into fast values (1)")
    until(lambda: "shop" in databases(standby) and standby.sql("shop", "select count(*) from t") == "1")
    given = options(standby, "shop", max_replica_lag_seconds=0.5)
    source = Source(given, context())
    with source.open() as stream:
        data = whole(stream)
    taken = source.taken()
    assert taken.inventory.objects["table public.t"] == {"rows": 1} and taken.inventory.objects["table public.fast"] == {"rows": 0}
    assert any("standby" in note for note in taken.notes) and any("public.fast" in note for note in taken.notes)
    manifest = {"identity": {}, "inventory": taken.inventory.data()}
    assert differences(manifest["inventory"], restored(options(server, "shop"), (data, manifest)).inventory()) == []

    standby.sql("postgres", "select pg_wal_replay_pause()")
    server.sql("shop", "insert into t values (2)")
    until(lambda: standby.sql("postgres", "select pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()") == "t")
    with pytest.raises(Refused, match="behind its primary") as caught:
        until(lambda: not Source(given, context()).identity().exists)  # it is, until the data is older than it may be
    assert caught.value.code == "replica_too_old"
    assert Source({**given, "max_replica_lag_seconds": None}, context()).identity().exists
