# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis as a source of backups: an RDB file that its server begins to write after we asked, read once it is whole, and counted in the artifact.

Where the append-only file is on it is not copied: a snapshot holds the same data. The user needs the rights in ``_redis_client.RIGHTS``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from .._core.backup_types import Context, Identity, Stream, Taken
from .._core.errors import Busy, InvalidInput, NotThere, RunbookError, VerifyFailed
from ._child_process import PIPE_BYTES, Child, Command, Patience
from ._disk import disk_errors
from ._docker_exec import Container
from ._pg_errors import ReplicaTooOld
from ._redis_client import Client, Session
from ._redis_save import Passing, SaveFailed, save


class Source:
    """One server, all its databases; ``options`` are those of the kind ``redis``."""

    format = "rdb"

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._options, self._context = options, context
        self._client = Client(options, context)
        self._taken: Taken | None = None

    def identity(self) -> Identity:
        """See Source. Raises Busy while it loads, ReplicaTooOld, Denied, AuthFailed, TlsFailed, Unreachable, Stalled."""
        with self._client.session() as session:
            server = session.info("server")
            self._gate(session)
            size = int(session.info("memory").get("used_memory", 0))
        return Identity(self._client.place, True, server.get("redis_version", ""), size_bytes=size)

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """See Source. Raises SaveFailed, NotThere, Denied, Stalled, TimedOut, ConnectionLost, VerifyFailed."""
        self._taken = None
        with ExitStack() as stack:
            with self._client.session() as session:
                notes = self._gate(session)
                path = os.path.join(session.needed("dir", "data_dir"), session.needed("dbfilename", "rdb_file"))
                asked = save(session)
            passing = Passing(self._file(stack, path), self._context.deadline, bool(self._options.get("digests")))
            stack.callback(passing.close)
            yield passing
            rdb = passing.result()
            if rdb.created_at is not None and rdb.created_at < asked:
                raise SaveFailed(f"{path} is from before the BGSAVE that was to write it", "see whether data_dir and rdb_file are those of this server")
            self._taken = Taken(rdb.inventory, float(rdb.created_at or asked), notes=[*notes, *rdb.notes])

    def taken(self) -> Taken:
        """See Source."""
        if self._taken is None:
            raise VerifyFailed("nothing was taken: the stream was not read to its end", "read it to its end, and leave its context")
        return self._taken

    def _gate(self, session: Session) -> list[str]:
        """What is worth a note. Raises Busy, ReplicaTooOld."""
        persistence, replication, memory = (session.info(name) for name in ("persistence", "replication", "memory"))
        if persistence.get("loading", "0") != "0":
            raise Busy(f"{session.place} loads its data", "wait until it has")
        notes = [f"append-only file: {'on' if persistence.get('aof_enabled') == '1' else 'off'}, appendfsync {session.config('appendfsync') or 'unknown'}"]
        notes += self._replica(session, replication)
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and int(memory.get("maxmemory", 0)):
            kept = "" if policy.startswith("volatile-") else f", also {', '.join(self._options['keep_keys'])}" if self._options.get("keep_keys") else ""
            notes.append(f"the server may drop keys by itself (maxmemory-policy {policy}){kept}")
        if session.info("cluster").get("cluster_enabled") == "1":
            notes.append("this is one node of a cluster: only its own slots are in this backup")
        return notes

    def _replica(self, session: Session, replication: Mapping[str, str]) -> list[str]:
        if replication.get("role") != "slave":
            return []
        up = replication.get("master_link_status") == "up"
        lag = int(replication.get("master_last_io_seconds_ago" if up else "master_link_down_since_seconds", -1))
        age = f"{lag} s" if lag >= 0 else "an unknown time"
        limit = self._options.get("max_replica_lag_seconds")
        if limit is not None and not 0 <= lag <= limit:
            raise ReplicaTooOld(
                f"{session.place} is a replica, {age} behind its master", f"{limit:g} s are allowed; see its replication, or back up the master"
            )
        return [f"taken from a replica, {age} behind its master"]

    def _file(self, stack: ExitStack, path: str) -> Stream:
        if self._options.get("container"):
            container = Container(self._options["container"], self._options.get("container_user") or "")
            patience = Patience("cat", self._context.deadline, self._client.stall)
            return _Cat(stack.enter_context(container.start(Command(["cat", "--", path], {"LC_ALL": "C"}, patience))), path)
        descriptor = _opened(path)
        stack.callback(os.close, descriptor)
        return _File(descriptor, path)


def _opened(path: str) -> int:
    """The server replaces its file by a rename, so what is open stays what it is."""
    if not os.path.isabs(path):
        raise InvalidInput(f'"{path}" is not an absolute path', "write the whole path of data_dir from / on")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotThere(
            f"the server wrote {path}, and there is no such file here", "run this on the server's host; where it runs in a container, give container"
        ) from None
    except OSError as error:
        raise RunbookError(f"{path} cannot be read: {error.strerror}", "run with become: true") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{path} is not a file", "see data_dir and rdb_file")
    with suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return descriptor


class _File:
    """A file, from its beginning."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor, self._path = descriptor, path

    def read(self, size: int) -> bytes:
        """See Stream."""
        with disk_errors(self._path):
            return os.read(self._descriptor, size)


class _Cat:
    """A file in a container; it ends well only when its reader does."""

    def __init__(self, child: Child, path: str) -> None:
        self._child, self._path = child, path

    def read(self, size: int) -> bytes:
        """See Stream."""
        block = self._child.read(min(size, PIPE_BYTES))
        if not block:
            status = self._child.finish()
            if status:
                raise RunbookError(f"{self._path} cannot be read in the container: {self._child.said() or f'exit status {status}'}", "see container_user")
        return block
