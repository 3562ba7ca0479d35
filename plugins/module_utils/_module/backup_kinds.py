# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one registry of what can be backed up and where to: options of each kind, and where its drivers are.

As in the registry of checks, a driver is imported when it is asked for, and by a literal import, since only those are shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._core.backup_types import Context, Repository, Source, Target
from .._core.errors import InvalidInput
from .._core.probe import Deadline
from .._core.prune import Forget
from .._core.transfer import Codec
from .data_kinds import POSTGRESQL_LOGIN, REDIS_LOGIN

_Options = dict[str, Any]


def _sqlite_source() -> Any:
    from .._drivers.sqlite_backup import Source as SqliteSource

    return SqliteSource


def _sqlite_target() -> Any:
    from .._drivers.sqlite_restore import Target as SqliteTarget

    return SqliteTarget


def _files_source() -> Any:
    from .._drivers.files_backup import Source as FilesSource

    return FilesSource


def _files_target() -> Any:
    from .._drivers.files_backup import Target as FilesTarget

    return FilesTarget


def _postgresql_source() -> Any:
    from .._drivers.postgresql_backup import Source as PostgresqlSource

    return PostgresqlSource


def _postgresql_target() -> Any:
    from .._drivers.postgresql_backup import Target as PostgresqlTarget

    return PostgresqlTarget


def _redis_source() -> Any:
    from .._drivers.redis_backup import Source as RedisSource

    return RedisSource


def _redis_target() -> Any:
    from .._drivers.redis_restore import Target as RedisTarget

    return RedisTarget


def _pgbackrest_source() -> Any:
    from .._drivers.pgbackrest_backup import Source as PgbackrestSource

    return PgbackrestSource


def _pgbackrest_target() -> Any:
    from .._drivers.pgbackrest_restore import Target as PgbackrestTarget

    return PgbackrestTarget


def _pgbackrest_forget() -> Any:
    from .._drivers.pgbackrest_backup import forget

    return forget


def _pgbackrest_replay() -> Any:
    from .._drivers.pgbackrest_backup import replay

    return replay


def codec(encryption: Mapping[str, Any] | None, deadline: Deadline, level: int = 1) -> Codec:
    """How everything is stored: compressed, and encrypted where there are recipients."""
    from .._drivers.age import Keys, Sealed
    from .._drivers.zstd import Zstd

    given = encryption or {}
    return Sealed(Zstd(level, threads=1), Keys(tuple(given.get("recipients") or ()), given.get("identity_file") or ""), deadline)


@dataclass(frozen=True)
class BackupKind:
    """What a kind needs to be read and to be restored into. ``forget`` is given where an engine of its own keeps the data: what makes it remove
    one (see Removal); ``replay`` where a log is replayed: what raises Refused when it does not reach ``Context.until``."""

    source: Callable[[], Any]
    target: Callable[[], Any]
    options: _Options
    forget: Callable[[], Any] | None = None
    replay: Callable[[], Any] | None = None


_SECRET: _Options = {"type": "str", "no_log": True}

KINDS: dict[str, BackupKind] = {
    "sqlite": BackupKind(_sqlite_source, _sqlite_target, {
        "path": {"type": "path", "required": True},
        "integrity": {"type": "str", "choices": ["quick", "full", "off"], "default": "quick"},
        "busy_timeout_seconds": {"type": "float", "default": 30.0},
        "scratch_dir": {"type": "path"},
    }),
    "files": BackupKind(_files_source, _files_target, {
        "root": {"type": "path", "required": True},
        "paths": {"type": "list", "elements": "str", "default": ["."]},
        "exclude": {"type": "list", "elements": "str", "default": []},
        "one_file_system": {"type": "bool", "default": True},
        "require_mount": {"type": "bool", "default": False},
        "preserve_owner": {"type": "bool", "default": True},
        "keep_special_modes": {"type": "bool", "default": False},
        "min_files": {"type": "int", "default": 1},
        "scratch_dir": {"type": "path"},
    }),
    "postgresql": BackupKind(_postgresql_source, _postgresql_target, {
        **POSTGRESQL_LOGIN,
        "os_user": {"type": "str"},
        "container": {"type": "str"},
        "container_user": {"type": "str", "default": "postgres"},
        "bin_dir": {"type": "path"},
        "lock_timeout_seconds": {"type": "int", "default": 60},
        "stall_timeout_seconds": {"type": "float", "default": 300.0},
        "globals": {"type": "bool", "default": True},
        "checksums": {"type": "bool", "default": False},
        "max_replica_lag_seconds": {"type": "float"},
    }),
    "redis": BackupKind(_redis_source, _redis_target, {
        **REDIS_LOGIN,
        "container": {"type": "str"},
        "container_user": {"type": "str"},
        "data_dir": {"type": "path"},
        "rdb_file": {"type": "str"},
        "digests": {"type": "bool", "default": False},
        "keep_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "service": {"type": "str"},
        "server": {"type": "path"},
        "scratch_dir": {"type": "path"},
        "stall_timeout_seconds": {"type": "float", "default": 30.0},
        "max_replica_lag_seconds": {"type": "float"},
    }),
    "pgbackrest": BackupKind(_pgbackrest_source, _pgbackrest_target, {
        "stanza": {"type": "str", "required": True},
        "config": {"type": "path"},
        "repo": {"type": "int", "default": 1},
        "type": {"type": "str", "choices": ["auto", "full", "diff", "incr"], "default": "auto"},
        "full_every": {"type": "str"},
        "create_stanza": {"type": "bool", "default": False},
        "start_fast": {"type": "bool", "default": True},
        "process_max": {"type": "int"},
        "archive_timeout_seconds": {"type": "int", "default": 60},
        "stall_timeout_seconds": {"type": "float", "default": 600.0},
        "database": {"type": "str", "default": "postgres"},
        "host": {"type": "str", "default": ""},
        "port": {"type": "int", "default": 5432},
        "user": {"type": "str", "default": ""},
        "os_user": {"type": "str", "default": "postgres"},
        "bin_dir": {"type": "path"},
        "data_dir": {"type": "path"},
        "service": {"type": "str"},
        "scratch_dir": {"type": "path"},
        "timeline": {"type": "int"},
    }, _pgbackrest_forget, _pgbackrest_replay),
}  # fmt: skip

REPOSITORIES: dict[str, _Options] = {
    "directory": {"path": {"type": "path", "required": True}, "require_mount": {"type": "bool", "default": False}},
    "s3": {
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": ""},
        "endpoint_url": {"type": "str", "default": ""},
        "region": {"type": "str"},
        "ca_bundle": {"type": "path"},
        "allow_http": {"type": "bool", "default": False},
        "access_key": {"type": "str", "no_log": False},
        "secret_access_key": _SECRET,
        "secret_session_token": _SECRET,
        "addressing_style": {"type": "str", "choices": ["auto", "path", "virtual"], "default": "auto"},
        "part_mib": {"type": "int", "default": 8},
        "sse": {"type": "str", "choices": ["none", "AES256", "aws:kms"], "default": "none"},
        "kms_key_id": {"type": "str"},
        "object_lock_mode": {"type": "str", "choices": ["none", "governance", "compliance"], "default": "none"},
        "object_lock_days": {"type": "int"},
        "max_attempts": {"type": "int", "default": 6},
        "state_dir": {"type": "path", "default": "/var/lib/tradeops/s3"},
    },
}


def kind_of(given: Mapping[str, Any]) -> str:
    """The kind that was given as a key."""
    return next(name for name, options in given.items() if options is not None)


def source_of(given: Mapping[str, Any], context: Context) -> Source:
    """The driver that reads it."""
    kind = kind_of(given)
    found: Source = KINDS[kind].source()(given[kind], context)
    return found


def target_of(given: Mapping[str, Any], context: Context) -> Target:
    """The driver that restores into it."""
    kind = kind_of(given)
    found: Target = KINDS[kind].target()(given[kind], context)
    return found


def forget_of(given: Mapping[str, Any] | None, kind: str) -> Forget:
    """What makes the engine of the kind remove an artifact, too. Raises InvalidInput where it has one, and it is not said which."""
    driver = KINDS[kind].forget
    if driver is None:
        return lambda manifest: None
    if given is None:
        raise InvalidInput(f"backups of the kind {kind} are removed by their own engine as well", "give source, not kind alone")
    found: Forget = driver()(given[kind])
    return found


def until_of(given: Mapping[str, Any] | None, kind: str) -> dict[str, str]:
    """The point in time that is asked for; empty for none. Raises InvalidInput where there is no log that could be replayed."""
    found = {name: str(value) for name, value in (given or {}).items() if value not in (None, "")}
    if found and KINDS[kind].replay is None:
        raise InvalidInput(f"backups of the kind {kind} hold one instant each, and nothing is replayed up to another", "choose one by select instead of until")
    if len(found) > 1:
        raise InvalidInput(f"until must name one point, not {' and '.join(found)}", "give time, lsn, xid or name")
    return found


def check_replay(given: Mapping[str, Any], context: Context, manifest: Mapping[str, Any]) -> None:
    """Before anything is copied: raises Refused when the log does not lead from this artifact to where it is to lead."""
    kind = kind_of(given)
    driver = KINDS[kind].replay
    if driver is not None:
        driver()(given[kind], context, manifest)


def repository_of(given: Mapping[str, Any], deadline: Deadline | None = None) -> Repository:
    """The driver of the repository. What it asks over a network ends with the deadline."""
    from .._drivers.backup import open_repository

    return open_repository(given, deadline)
