# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the client programs are found and started, and the conversation with psql."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _pg_client
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_client import Client, Session

SECRET = "s3cret:\\"


def client(**options: Any) -> Client:
    return Client({"database": "orders", **options}, Context(Deadline(20, time.monotonic), time.time(), "20261121T080000Z-7f3a9c1e"))


def program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"container": "db", "host": "x"}, "host"), ({"container": "db", "os_user": "postgres"}, "os_user"), ({"container": "db", "bin_dir": "/x"}, "bin_dir"),
     ({"container": "db", "secret_password": SECRET}, "password"), ({"host": "a,b"}, "one host"), ({"database": ""}, "database")],
)  # fmt: skip
def test_what_makes_no_sense(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as caught:
        client(**options)
    assert caught.value.hint and SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("options", "place"),
    [({}, "orders on the local socket:5432"), ({"host": "db.example", "port": 5433}, "orders on db.example:5433"),
     ({"container": "pg"}, "orders in container pg")],
)  # fmt: skip
def test_places(options: dict[str, Any], place: str) -> None:
    assert client(**options).place == place


@pytest.mark.parametrize(
    ("options", "part", "without"),
    [({}, "sslmode='disable'", "keepalives"), ({"host": "/run/pg"}, "sslmode='disable'", "keepalives"), ({"host": "db"}, "sslmode='verify-full'", "xxx"),
     ({"host": "db", "sslmode": "verify-ca", "sslrootcert": "/a b'c"}, "sslmode='verify-ca' sslrootcert='/a b\\'c'", "xxx"),
     ({"host": "db"}, "tcp_user_timeout='60000'", "xxx"),
     ({"user": "a=b c"}, "user='a=b c'", "host"), ({"host": "db"}, "gssencmode='disable'", "passfile")],
)  # fmt: skip
def test_how_it_connects(options: dict[str, Any], part: str, without: str) -> None:
    text = client(**options)._conninfo("orders", "")
    assert part in text and without not in text and text.startswith("dbname='orders'")


def test_the_environment_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "evil")
    monkeypatch.setenv("PGSERVICE", "evil")
    program(tmp_path, "psql", "env")
    said = client(bin_dir=str(tmp_path), secret_password=SECRET).output([str(tmp_path / "psql")])
    assert "PGHOST" not in said and "PGSERVICE" not in said and "LC_ALL=C" in said


def test_the_password_is_in_memory_only(tmp_path: Path) -> None:
    """The program reads it where its arguments say; they and the environment do not have it."""
    find = 'for last; do :; done\nfile=$(printf %s "$last" | sed "s/.*passfile=.//; s/.$//")'
    program(tmp_path, "psql", f'{find}\nstat -L -c %a "$file"; cat "$file"; echo "$@"; env')
    open_files = len(os.listdir("/proc/self/fd"))
    with client(bin_dir=str(tmp_path), secret_password=SECRET).start(["psql"], "orders") as child:
        said = b"".join(iter(lambda: child.read(1000), b"")).decode()
        assert child.finish() == 0
    mode, line, rest = said.split("\n", 2)
    assert (mode, line) == ("600", "*:*:*:*:s3cret\\:\\\\") and "s3cret" not in rest and "passfile='/proc/self/fd/" in rest
    assert len(os.listdir("/proc/self/fd")) == open_files


@pytest.mark.parametrize(("major", "chosen"), [(13, 13), (14, 15), (15, 15), (17, 17), (18, 17)])
def test_programs_that_fit_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, major: int, chosen: int) -> None:
    """Those of its own version, else the next newer ones: what newer ones write may not go back into an older server."""
    for number in (13, 15, 17):
        program(tmp_path / str(number) / "bin", "pg_dump", f'echo "pg_dump (PostgreSQL) {number}.4 (Debian {number}.4-0+deb12u1)"')
    (tmp_path / "16" / "bin").mkdir(parents=True)  # a server without client programs
    monkeypatch.setattr(_pg_client, "_FOLDERS", (f"{tmp_path}/*/bin", "/nowhere/*"))
    found = client()
    found.fit(major)
    assert found.version("pg_dump") == f"{chosen}.4"
    assert client().version("pg_dump") == "17.4"


def test_programs_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pg_client, "_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunbookError, match="pg_dump is not installed") as caught:
        client().version("pg_dump")
    assert caught.value.code == "missing_program"
    program(tmp_path, "pg_dump", 'echo "pg_dump (PostgreSQL) 16beta1"')
    assert client().version("pg_dump") == "16beta1"
    program(tmp_path, "pg_dump", "echo surprise")
    with pytest.raises(RunbookError, match="surprise"):
        client().version("pg_dump")


class Psql:
    """Stands in for psql: answers what it is told to, in pieces of this size; then ends with this status."""

    def __init__(self, answers: list[bytes], piece: int = 7, status: int = 0, said: str = "") -> None:
        self.answers, self.piece, self.status, self._said = list(answers), piece, status, said
        self.heard, self._ready = b"", b""

    def write(self, data: bytes) -> None:
        self.heard += data
        marker = data.decode().split("\\echo ")[1].strip()
        if self.answers:
            self._ready += self.answers.pop(0) + f"{marker}\n".encode()

    def read(self, size: int) -> bytes:
        block, self._ready = self._ready[: self.piece], self._ready[self.piece :]
        return block

    def wait_readable(self, seconds: float | None = None) -> bool:
        return bool(self._ready)

    def finish(self) -> int:
        return self.status

    def said(self) -> str:
        return self._said


def test_a_conversation() -> None:
    rows = [{"a": "x\ny"}, [1, None], "ä"]
    answer = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    psql = Psql([answer, b"", b"\n17\n", b"1\n2\n"])
    session = Session(psql)  # type: ignore[arg-type]
    assert session.rows("select 1") == rows and session.rows("set x = 1") == [] and session.value("select 17") == 17
    session.send("select a")
    assert session.ready(0)
    with pytest.raises(VerifyFailed, match="2 rows"):
        psql.answers.append(b"1\n2\n")
        session.collect()
        session.value("select")
    assert psql.heard.startswith(b"select 1 ;\n\\echo ")


def test_questions_that_are_asked_at_once() -> None:
    session = Session(Psql([b"1\n", b"2\n3\n", b""], piece=1000))  # type: ignore[arg-type]
    session.send("a")
    session.send("b", each=True)
    session.send("c")
    assert [session.collect() for _number in range(3)] == [[1], [2, 3], []]


def test_psql_ends() -> None:
    session = Session(Psql([], status=3, said="ERROR:  42501: permission denied for table t"))  # type: ignore[arg-type]
    with pytest.raises(RunbookError) as caught:
        session.rows("select 1")
    assert caught.value.code == "permission_denied"
    with pytest.raises(VerifyFailed, match="too early"):
        Session(Psql([])).rows("select 1")  # type: ignore[arg-type]
