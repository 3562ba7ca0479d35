# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of backups share: a folder with a database, a repository and a state, and the modules with their real options and defaults."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import zstandard
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, Place, read_catalog
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.state import State
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take, tell, verify
from ansible_collections.tradeops.runbook.plugins.module_utils._module.prune import prune
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.plugins.modules import backup, backup_info, backup_prune, backup_verify, restore

PLACE = Place("production", "nextrade", "sqlite", "orders")
DAY = 86400.0


def fill(path: Path, rows: int = 50, mode: str = "delete") -> None:
    """Two tables whose sums agree."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
        connection.execute("create table credits (id integer primary key, amount int, note text)")
        connection.execute("create table debits (id integer primary key, amount int)")
        connection.execute("begin")
        for number in range(rows):
            book(connection, number)
        connection.execute("commit")


def book(connection: sqlite3.Connection, number: int) -> None:
    """One transaction's worth of rows."""
    connection.execute("insert into credits (amount, note) values (?, ?)", (number, f"note {number:0200}"))
    connection.execute("insert into debits (amount) values (?)", (number,))


def rows(path: Path, query: str = "select sum(amount), count(*) from credits") -> Any:
    """The answer of a database, read as SQLite reads it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def dump(path: Path) -> str:
    """A digest over every row of every table, by SQLite's own dump: not by our inventory."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode("utf-8", "surrogatepass")).hexdigest()


def files(folder: Path) -> dict[str, str]:
    """Digest of every regular file below a folder, links as what they name."""
    return {
        str(path.relative_to(folder)): f"-> {os.readlink(path)}" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@contextmanager
def clock(instant: float) -> Iterator[None]:
    """The wall clock of this process stands still."""
    with patch.object(time, "time", lambda: instant):
        yield


class Site:
    """``data/orders.db``, ``repository`` and ``state`` below one folder. Keywords of its calls are options of the modules."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.database, self.repository, self.state = self.data / "orders.db", folder / "repository", folder / "state"

    def make(self, rows: int = 50, mode: str = "delete") -> Site:
        """With a database in it."""
        self.data.mkdir(parents=True)
        fill(self.database, rows, mode)
        return self

    def _options(self, spec: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        known = {
            "environment": PLACE.environment, "system": PLACE.system, "name": PLACE.source, "kind": "sqlite", "run_id": "run-1",
            "source": {"sqlite": {"path": str(self.database)}}, "repository": {"directory": {"path": str(self.repository)}},
            "state_dir": str(self.state),
        }  # fmt: skip
        found = ArgumentSpecValidator(spec).validate({**{name: value for name, value in known.items() if name in spec}, **given})
        assert found.error_messages == []
        options: dict[str, Any] = found.validated_parameters
        return options

    def take(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return take(self._options(backup.SPEC, options), check_mode)

    def tell(self, **options: Any) -> dict[str, Any]:
        return tell(self._options(backup_info.SPEC, options))

    def verify(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return verify(self._options(backup_verify.SPEC, options), check_mode)

    def prune(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return prune(self._options(backup_prune.SPEC, options), check_mode)

    def restore(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return bring_back(self._options(restore.SPEC, options), check_mode)

    def confirmed(self, **options: Any) -> dict[str, Any]:
        """A restore with the confirmation that its own check mode gives."""
        return self.restore(**options, confirm=self.restore(check_mode=True, **options)["confirm"])

    def proven(self, instant: float | None = None, **options: Any) -> dict[str, Any]:
        """A backup that was restored once, at ``instant``."""
        with clock(time.time() if instant is None else instant):
            made = self.take(**options)["artifact"]
            self.verify(select=made["id"])
        return dict(made)

    def catalog(self) -> list[Artifact]:
        return read_catalog(self.store(), PLACE)

    def store(self) -> Directory:
        return Directory({"path": str(self.repository)})

    def memory(self) -> State:
        return State(str(self.state))

    def shelf(self) -> Path:
        """The folder of the artifacts."""
        return self.repository / PLACE.prefix

    def again_from(self, template: Path) -> None:
        """Everything as it was copied to ``template``."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(template, self.folder, symlinks=True)


def assert_whole(site: Site) -> None:
    """Whatever has a name without a dot before it is complete: looked at with plain JSON, zstandard and SHA-256, not with our reader."""
    shelf = site.shelf()
    names = [path.name for path in shelf.iterdir() if not path.name.startswith(".")] if shelf.exists() else []
    for name in names:
        body = (shelf / name).read_bytes()
        if name.endswith(".json"):
            assert body.endswith(b"}\n") and json.loads(body), name
        else:
            assert name.endswith(".zst") and _unpacked(body), name
    manifests = {name.split(".")[0]: json.loads((shelf / name).read_bytes()) for name in names if name.endswith(".manifest.json")}
    for name, manifest in manifests.items():
        if f"{name}.removed.json" in names:
            continue
        for part in manifest["parts"]:
            body = (shelf / part["name"]).read_bytes()
            assert (len(body), hashlib.sha256(body).hexdigest()) == (part["stored_bytes"], part["stored_sha256"]), name
            assert hashlib.sha256(_unpacked(body)).hexdigest() == part["plain_sha256"], name


def _unpacked(body: bytes) -> bytes:
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    plain: bytes = unpacker.decompress(body)
    assert unpacker.eof and not unpacker.unused_data
    return plain


def hidden(folder: Path) -> list[str]:
    """What was left half done below a folder, locks apart."""
    return sorted(path.name for path in folder.rglob(".*") if path.name != ".lock")
