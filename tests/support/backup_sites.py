# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of backups with data that can be told apart, changed and damaged, on real engines: one of each kind."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, Place, read_catalog
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import Bench
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
from ansible_collections.tradeops.runbook.plugins.module_utils._module import prune as prune_module
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take, verify
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server

RANDOM = random.Random(4711)
HASH = "select coalesce(sum(hashtextextended(t::text, 0)), 0), count(*) from trades t"


class Site:
    """One source with its repository: ways to back it up, to damage it, to bring it back, and to tell what is in it (not by our inventory)."""

    def __init__(self, kind: str, folder: Path, options: dict[str, Any]) -> None:
        self.kind, self.folder, self.options = kind, folder, options
        self.store = folder / "repository"
        self.encryption: dict[str, Any] | None = None

    def params(self, **more: Any) -> dict[str, Any]:
        base = {
            "run_id": "run", "name": "trades", "system": "exchange", "environment": "test", "kind": None, "source": {self.kind: self.options}, "scratch": None,
            "until": None, "repository": {"directory": {"path": str(self.store)}}, "retention_class": "", "fresh_seconds": 0.0,
            "min_objects": 1, "max_shrink_percent": 100.0,
            "max_growth_percent": 0.0, "accept_anomaly": False, "versions": {}, "revision": "", "images": None, "set": None,
            "encryption": self.encryption, "compression_level": 1, "progress_file": None, "timeout_seconds": 300.0, "select": "latest", "level": "restored",
            "invariants": [], "from": None, "confirm": "", "undo": "", "manifest_sha256": "", "allow_suspect": False, "rto_seconds": 0.0,
            "state_dir": str(self.folder / "state"),
        }  # fmt: skip
        return {**base, **more}

    def back_up(self) -> dict[str, Any]:
        return take(self.params(), False)

    def prove(self, **more: Any) -> dict[str, Any]:
        return verify(self.params(**more), False)

    def restore(self, **more: Any) -> dict[str, Any]:
        token = bring_back(self.params(**more), True)["confirm"]
        return bring_back(self.params(confirm=token, **more), False)

    def prune(self, **keep: Any) -> dict[str, Any]:
        return prune_module.prune({**self.params(), "kind": self.kind, "keep": keep, "max_remove_percent": 100.0}, False)

    def artifacts(self) -> list[Artifact]:
        return read_catalog(Directory({"path": str(self.store)}), Place("test", "exchange", self.kind, "trades"))

    def bench(self) -> Bench:
        return Bench(Directory({"path": str(self.store)}), Zstd(), time.time)

    def bytes_of(self, artifact: str) -> str:
        """A digest of every file of an artifact but its proofs."""
        found = hashlib.sha256()
        for path in sorted(self.store.rglob(f"{artifact}.*")):
            if ".proof." not in path.name:
                found.update(path.read_bytes())
        return found.hexdigest()

    def content(self) -> str:
        raise NotImplementedError

    def change(self) -> None:
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """What a killed run left in the place of the source."""
        raise NotImplementedError


class SqliteSite(Site):
    def __init__(self, folder: Path) -> None:
        (folder / "data").mkdir()
        self.path = folder / "data/trades.db"
        super().__init__("sqlite", folder, {"path": str(self.path)})
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("create table trades (id integer primary key, note text)")
            connection.execute(
                "insert into trades (note) with recursive c(i) as (select 1 union all select i + 1 from c where i < 8000) select hex(randomblob(100)) from c"
            )

    def content(self) -> str:
        with closing(sqlite3.connect(self.path)) as connection:
            return hashlib.sha256("".join(connection.iterdump()).encode()).hexdigest()

    def change(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("update trades set note = hex(randomblob(100)) where id % 7 = 0")
            connection.commit()

    def leftovers(self) -> list[str]:
        return [name for name in os.listdir(self.path.parent) if name.startswith(".")]


class FilesSite(Site):
    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree" / "settings"
        super().__init__("files", folder, {"root": str(self.root)})
        for number in range(40):
            path = self.root / f"{number % 5}" / f"file {number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(RANDOM.randbytes(40_000))
        (self.root / "link").symlink_to("0/file 0")
        os.link(self.root / "0/file 0", self.root / "hard")
        os.chmod(self.root / "1/file 1", 0o640)

    def content(self) -> str:
        command = "tar --sort=name --xattrs --pax-option=exthdr.name=x,delete=atime,delete=ctime -cf - . | sha256sum"
        return subprocess.run(["bash", "-c", command], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def change(self) -> None:
        (self.root / "0/file 5").write_bytes(RANDOM.randbytes(40_000))
        (self.root / f"new {RANDOM.random()}").write_text("new")

    def leftovers(self) -> list[str]:
        return [name for name in os.listdir(self.root.parent) if name.startswith(".")]


class PostgresqlSite(Site):
    def __init__(self, folder: Path, server: Server) -> None:
        self.server, self.name = server, f"trades {time.monotonic_ns()}"
        super().__init__("postgresql", folder, {"database": self.name, "host": str(server.folder), "port": server.port, "user": "runbook"})
        self.psql(f'create database "{self.name}"', "postgres")
        self.psql(
            "create table trades (id bigserial primary key, note text);"
            "insert into trades (note) select md5(random()::text) || md5(random()::text) from generate_series(1, 20000)"
        )

    def psql(self, query: str, database: str | None = None) -> str:
        command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.server.folder), "-p", str(self.server.port), "-U", "runbook"]
        done = subprocess.run([*command, "-d", f"dbname='{database or self.name}'", "-c", query], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def content(self) -> str:
        return self.psql(HASH)

    def change(self) -> None:
        self.psql("update trades set note = md5(random()::text) where id % 7 = 0")

    def leftovers(self) -> list[str]:
        names = self.psql("select datname from pg_database", "postgres").splitlines()
        return [name for name in names if name.startswith((f"{self.name}_restore", f"{self.name}_verify"))]
