# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live Redis server that is restored into: what it is, what must not change in it, and keys that stay as they are."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .._core.errors import Busy, Refused, RunbookError, Unreachable, VerifyFailed
from .._core.rdb import read_rdb
from ._pg_errors import AuthFailed, TlsFailed
from ._redis_client import Client, Session
from ._redis_save import save
from ._redis_scratch import version_tuple

_PAUSE_MS = "60000"
"""How long clients that write wait at most, also when we are killed."""


@dataclass(frozen=True)
class Live:
    """``aof`` is the name of what holds the append-only file, "" where that is off; ``aof_settings`` are the server's own for it."""

    version: str
    run_id: str
    pid: int
    folder: str
    file: str
    databases: int
    aof: str
    aof_settings: Mapping[str, str]


def look(session: Session, path: Callable[[str], str]) -> Live:
    """``path`` gives where on this host one of the server's paths is. Raises Refused for a server that cannot be restored into, Busy while it loads."""
    server, persistence = session.info("server"), session.info("persistence")
    if persistence.get("loading", "0") != "0":
        raise Busy(f"{session.place} loads its data", "wait until it has")
    if session.info("replication").get("role") != "master":
        raise Refused(f"{session.place} is a replica: it would take its master's data again", "restore into the master")
    if session.info("cluster").get("cluster_enabled") == "1":
        raise Refused(f"{session.place} is a node of a cluster", "restore each node by hand")
    folder, file = path(session.needed("dir", "data_dir")), session.needed("dbfilename", "rdb_file")
    if not os.path.isdir(folder):
        raise Refused(f"the server's data is in {folder}, and there is no such folder here", "run this on the server's host; see data_dir")
    version = server.get("redis_version", "")
    name = session.config("appendfilename") or "appendonly.aof"
    settings = {"appendfilename": name}
    if version_tuple(version) >= (7, 0):
        settings["appenddirname"] = session.config("appenddirname") or "appendonlydir"
    aof, on = settings.get("appenddirname", name), persistence.get("aof_enabled") == "1"
    written = None
    with suppress(Refused):  # a file that only a container has
        written = _written(path(server["config_file"])) if server.get("config_file") else None
    _check_next_start(session, os.path.lexists(os.path.join(folder, aof)), written, on)
    return Live(version, server["run_id"], int(server["process_id"]), folder, file, int(session.config("databases") or 16), aof if on else "", settings)


def _check_next_start(session: Session, exists: bool, written: bool | None, on: bool) -> None:  # house: what is there, what is written, what is
    """Its next start must load what is restored: with the append-only file on, Redis loads nothing else. Raises Refused."""
    hint = "make the configuration lasting (CONFIG REWRITE), move a stale append-only file away, then restore again"
    if exists and not on:
        raise Refused(f"the append-only file of {session.place} is off, and there is one: its next start could load that", hint)
    if written not in (None, on):
        raise Refused(f"the append-only file of {session.place} is {'on' if on else 'off'}, and its configuration file says otherwise", hint)


def _written(file: str, depth: int = 8) -> bool | None:
    """Whether a configuration file, with those it includes, has the append-only file on: the last word counts. None where it does not say."""
    found = None
    with suppress(OSError), open(file, encoding="utf-8", errors="replace") as lines:
        for words in (line.split() for line in lines):
            name, value = (words[0].lower(), words[1].strip("\"'")) if len(words) > 1 else ("", "")
            if name == "appendonly":
                found = value.lower() == "yes"
            elif name == "include" and os.path.isabs(value) and depth:  # nobody knows from where a relative one counts
                for inner in sorted(glob.glob(value)):
                    told = _written(inner, depth - 1)
                    found = found if told is None else told
    return found


def check_stopped(client: Client) -> None:
    """Nothing answers there. Raises VerifyFailed, and what hinders a look."""
    try:
        with client.session() as session:
            raise VerifyFailed(f"{session.place} was stopped, and still answers", "see whether service or container is what runs it, and what starts it")
    except (AuthFailed, TlsFailed):
        raise
    except Unreachable:
        return


def save_into(session: Session, path: str) -> None:
    """Have it save its data. Raises Refused when that is not where its files would be swapped."""
    before = _state(path)
    save(session)
    if _state(path) in (None, before):
        raise Refused(f"{session.place} does not save into {path}", "see data_dir and rdb_file, and whether host and port are those of this server")


def _state(path: str) -> tuple[int, int] | None:
    """Another one once the file was replaced."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextmanager
def paused(session: Session) -> Iterator[None]:
    """Clients that write wait; see ``pause_writes``."""
    pause_writes(session)
    try:
        yield
    finally:
        with suppress(RunbookError):  # most often it was stopped meanwhile
            session.ask("CLIENT", "UNPAUSE")


def pause_writes(session: Session) -> None:
    """Clients that write wait from now on for a while. Redis before 6.2 cannot let only those wait: there nobody does."""
    if version_tuple(session.info("server").get("redis_version", "")) >= (6, 2):
        session.ask("CLIENT", "PAUSE", _PAUSE_MS, "WRITE")


def values(session: Session, names: Sequence[str]) -> dict[str, bytes | None]:
    """Of keys of database 0, as DUMP gives them; None for one that is not there."""
    return {name: session.ask("DUMP", name) for name in names}


def digests(found: Mapping[str, bytes | None]) -> dict[str, str]:
    """Of ``values``, "" for None: the same for the same value, in whatever order a server has the members of a hash or a set at the moment."""
    return {name: _digest(value) if value is not None else "" for name, value in found.items()}


def _digest(dumped: bytes) -> str:
    """DUMP gives the type, the value, the version of the format (2 bytes) and a checksum (8 bytes): all that an RDB file has but a key."""
    file = b"REDIS%04d%b\x00%b\xff" % (int.from_bytes(dumped[-10:-8], "little"), dumped[:1], dumped[1:-10])
    try:
        return read_rdb(io.BytesIO(file + bytes(8)), digests=True).inventory.digest
    except VerifyFailed:  # of a kind that is not known here
        return hashlib.sha256(dumped).hexdigest()


def keyspace(session: Session) -> list[dict[str, int]]:
    """``keys`` and ``expires`` of each database of INFO keyspace."""
    parts = [dict(item.split("=") for item in value.split(",")) for name, value in session.info("keyspace").items() if name.startswith("db")]
    return [{"keys": int(part["keys"]), "expires": int(part["expires"])} for part in parts]


def keep(session: Session, scratch: Session, names: Sequence[str]) -> dict[str, bytes | None]:
    """The scratch server gets the keys as ``session`` has them, and loses those that are not there; ``values`` of them."""
    found = values(session, names)
    for name, value in found.items():
        left = session.ask("PTTL", name)
        if value is None or left == -2:
            scratch.ask("DEL", name)
        else:
            end = int(time.time() * 1000) + left if left >= 0 else 0
            scratch.ask("RESTORE", name, end, value, "REPLACE", *(["ABSTTL"] if end else []))
    return found
