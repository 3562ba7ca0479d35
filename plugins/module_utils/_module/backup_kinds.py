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
from .._core.probe import Deadline
from .._core.transfer import Codec

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


def codec(encryption: Mapping[str, Any] | None, deadline: Deadline, level: int = 1) -> Codec:
    """How everything is stored: compressed, and encrypted where there are recipients."""
    from .._drivers.age import Keys, Sealed
    from .._drivers.zstd import Zstd

    given = encryption or {}
    return Sealed(Zstd(level, threads=1), Keys(tuple(given.get("recipients") or ()), given.get("identity_file") or ""), deadline)


@dataclass(frozen=True)
class BackupKind:
    """What a kind needs to be read and to be restored into; ``scratch`` are the options that only a look at a restored copy takes."""

    source: Callable[[], Any]
    target: Callable[[], Any]
    options: _Options


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
        "database": {"type": "str", "required": True},
        "host": {"type": "str", "default": ""},
        "port": {"type": "int", "default": 5432},
        "user": {"type": "str", "default": ""},
        "secret_password": _SECRET,
        "sslmode": {"type": "str", "choices": ["disable", "prefer", "require", "verify-ca", "verify-full"]},
        "sslrootcert": {"type": "path"},
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
}  # fmt: skip

REPOSITORIES: dict[str, _Options] = {
    "directory": {"path": {"type": "path", "required": True}, "require_mount": {"type": "bool", "default": False}},
}

SOURCE: _Options = {
    "type": "dict",
    "options": {name: {"type": "dict", "options": kind.options} for name, kind in KINDS.items()},
    "mutually_exclusive": [list(KINDS)],
    "required_one_of": [list(KINDS)],
}
"""What is backed up: its kind is the key."""

REPOSITORY: _Options = {
    "type": "dict",
    "required": True,
    "options": {name: {"type": "dict", "options": options, "required": True} for name, options in REPOSITORIES.items()},
}
"""Where artifacts are kept: its kind is the key."""

PLACE: _Options = {
    "name": {"type": "str", "required": True},
    "system": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
}
"""Whose backups they are."""

SOURCE_KIND: _Options = {"kind": {"type": "str", "choices": list(KINDS), "required": True}}
"""Where the source itself is not needed."""

ENCRYPTION: _Options = {
    "type": "dict",
    "options": {"recipients": {"type": "list", "elements": "str", "default": []}, "identity_file": {"type": "path"}},
}
"""Whom backups are encrypted to, and what opens them on this host."""

COPY: _Options = {
    "progress_file": {"type": "path"},
    "progress_seconds": {"type": "float", "default": 0.0},
    "timeout_seconds": {"type": "float", "default": 14400.0},
}
"""Of modules that copy for long."""

INVARIANTS: _Options = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"name": {"type": "str", "required": True}, "query": {"type": "str", "required": True}, "limits": {"type": "dict", "required": True}},
}
"""Business invariants of what was restored.

The documentation fragment ``backups`` describes all of these."""


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


def repository_of(given: Mapping[str, Any]) -> Repository:
    """The driver of the repository."""
    from .._drivers.backup import open_repository

    return open_repository(given)
