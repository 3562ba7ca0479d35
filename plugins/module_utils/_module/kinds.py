# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one registry of the kinds of check: their options, their default limits and where their driver is.

A driver is imported when a check of its kind is asked for, and by a literal import, since only those are shipped to the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import engine_kinds
from .backup_spec import PLACE, REPOSITORY, SOURCE_KIND
from .data_kinds import POSTGRESQL, REDIS, default_postgresql, default_redis
from .session import SESSION

_Options = dict[str, Any]


def _http() -> Any:
    from .._drivers import http

    return http


def _tcp() -> Any:
    from .._drivers import tcp

    return tcp


def _dns() -> Any:
    from .._drivers import dns

    return dns


def _tls() -> Any:
    from .._drivers import tls

    return tls


def _host() -> Any:
    from .._drivers import host

    return host


def _process() -> Any:
    from .._drivers import process

    return process


def _systemd() -> Any:
    from .._drivers import systemd

    return systemd


def _file() -> Any:
    from .._drivers import file

    return file


def _log() -> Any:
    from .._drivers import log

    return log


def _sqlite() -> Any:
    from .._drivers import sqlite

    return sqlite


def _sql() -> Any:
    from .._drivers import sql

    return sql


def _postgresql() -> Any:
    from .._drivers import postgresql

    return postgresql


def _redis() -> Any:
    from .._drivers import redis

    return redis


def _container() -> Any:
    from .._drivers import container

    return container


def _prometheus() -> Any:
    from .._drivers import prometheus

    return prometheus


def _alertmanager() -> Any:
    from .._drivers import alertmanager

    return alertmanager


def _backup() -> Any:
    from .._drivers import backup

    return backup


@dataclass(frozen=True)
class Kind:
    """One kind of check: native ``options`` (and ``rules`` between them), ``driver`` and the limits that hold unless a check sets its own.

    ``connects`` are the kinds of connection that its option ``connection`` may name.
    """

    driver: Callable[[], Any]
    options: _Options
    rules: dict[str, Any] = field(default_factory=dict)
    defaults: Callable[[_Options], dict[str, Any]] = lambda options: {}
    open_ended: bool = False
    connects: tuple[str, ...] = ()

    def argument(self) -> _Options:
        """The native argument of this kind."""
        return {"type": "dict", "options": self.options, **self.rules}

    def units(self, options: _Options) -> dict[str, str]:
        """Every measure a check with these options can return, with its unit."""
        driver = self.driver()
        dynamic: Callable[[_Options], dict[str, str]] = getattr(driver, "dynamic_measures", lambda given: {})
        return {**driver.MEASURES, **dynamic(options)}


def _timeout(seconds: float = 10.0) -> _Options:
    return {"timeout_seconds": {"type": "float", "default": seconds}}


EXPIRING: _Options = {
    "reason": {"type": "str", "required": True},
    "owner": {"type": "str", "required": True},
    "until": {"type": "str", "required": True},
}
_BENIGN: _Options = {"type": "list", "elements": "dict", "default": [], "options": {"pattern": {"type": "str", "required": True}, **EXPIRING}}


def _default_tls(options: _Options) -> dict[str, Any]:
    trusted = {"trusted": {"critical": "!= true"}} if options.get("host") else {}
    return {"expires_in": {"warning": "< 21 d", "critical": "< 7 d"}, **trusted}


def _default_systemd(options: _Options) -> dict[str, Any]:
    return {"active_state": {"critical": "!= active"}} if options.get("unit") else {"failed_count": {"critical": "> 0"}}


def _default_log(options: _Options) -> dict[str, Any]:
    return {"lost": {"warning": "!= false"}, **({"secrets": {"critical": "> 0"}} if options.get("leaks", True) else {})}


def _default_sqlite(options: _Options) -> dict[str, Any]:
    tests = {"writable": "write_test", "quick_check": "quick_check"}
    bad = {"writable": "!= true", "quick_check": "!= ok"}
    return {measure: {"critical": bad[measure]} for measure, option in tests.items() if options.get(option, True)}


def _default_backup(options: _Options) -> dict[str, Any]:
    return {
        "restored_age": {"warning": "> 7 d"}, "newest_state": {"warning": "!= good"}, "size_change_percent": {"warning": "< -50 %"},
        "covered": {"critical": "> 0"},
    }  # fmt: skip


KINDS: dict[str, Kind] = {
    "http": Kind(_http, engine_kinds.HTTP, defaults=engine_kinds.default_http),
    "tcp": Kind(_tcp, engine_kinds.TCP, engine_kinds.TCP_RULES),
    "dns": Kind(
        _dns,
        {"name": {"type": "str", "required": True}, "expect": {"type": "list", "elements": "str", "default": []}, **_timeout()},
        defaults=lambda options: {"address_count": {"critical": "< 1"}, "missing_count": {"critical": "> 0"}},
    ),
    "tls": Kind(_tls, engine_kinds.TLS, engine_kinds.TLS_RULES, defaults=_default_tls),
    "host": Kind(_host, {"mount": {"type": "path"}}),
    "process": Kind(
        _process,
        {"name": {"type": "str"}, "pattern": {"type": "str"}, "pid_file": {"type": "path"}, "user": {"type": "str"}},
        {"mutually_exclusive": [["name", "pattern"]], "required_one_of": [["name", "pattern", "pid_file"]]},
        defaults=lambda options: {"count": {"critical": "< 1"}},
    ),
    "systemd": Kind(_systemd, {"unit": {"type": "str"}, "benign": _BENIGN, **_timeout()}, defaults=_default_systemd),
    "file": Kind(
        _file, {"path": {"type": "path", "required": True}, **_timeout()}, defaults=lambda options: {"exists": {"critical": "!= true"}}
    ),
    "log": Kind(
        _log,
        {
            "files": {"type": "list", "elements": "path"},
            "journal": {"type": "str"},
            "container": {"type": "str"},
            "format": {"type": "raw", "default": "python"},
            "timezone": {"type": "str", "default": "UTC"},
            "window": {"type": "str", "default": "1 d"},
            "patterns": {"type": "dict", "default": {}},
            "extract": {"type": "dict", "default": {}},
            "benign": _BENIGN,
            "leaks": {"type": "bool", "default": True},
            "top": {"type": "int", "default": 20},
            "samples": {"type": "int", "default": 3},
            "context": {"type": "int", "default": 0},
            **_timeout(30.0),
        },
        {"mutually_exclusive": [["files", "journal", "container"]], "required_one_of": [["files", "journal", "container"]]},
        defaults=_default_log,
    ),
    "sqlite": Kind(
        _sqlite,
        {
            "connection": {"type": "str"},
            "path": {"type": "path"},
            "write_test": {"type": "bool", "default": True},
            "quick_check": {"type": "bool", "default": True},
            **_timeout(),
        },
        {"mutually_exclusive": [["connection", "path"]], "required_one_of": [["connection", "path"]]},
        defaults=_default_sqlite,
        connects=("path",),
    ),
    "sql": Kind(
        _sql,
        {
            "connection": {"type": "str", "required": True},
            "query": {"type": "str", "required": True},
            "parameters": {"type": "list", "elements": "raw", "default": []},
            **_timeout(),
        },
        open_ended=True,
        connects=("path", "postgresql"),
    ),
    "postgresql": Kind(_postgresql, POSTGRESQL, defaults=default_postgresql, connects=("postgresql",)),
    "redis": Kind(_redis, REDIS, defaults=default_redis, connects=("redis",)),
    "container": Kind(_container, engine_kinds.CONTAINER, engine_kinds.CONTAINER_RULES, defaults=engine_kinds.default_container),
    "prometheus": Kind(_prometheus, engine_kinds.PROMETHEUS, defaults=engine_kinds.default_prometheus),
    "alertmanager": Kind(_alertmanager, engine_kinds.ALERTMANAGER, defaults=engine_kinds.default_alertmanager),
    "backup": Kind(_backup, {**PLACE, **SOURCE_KIND, "repository": REPOSITORY}, defaults=_default_backup),
}

CHECKS: _Options = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "name": {"type": "str", "required": True},
        "limits": {"type": "dict", "default": {}},
        "severity": {"type": "str", "choices": ["P1", "P2", "P3", "P4"], "default": "P2"},
        "for": {"type": "str"},
        "mute": {"type": "dict", "options": EXPIRING},
        "poll": {
            "type": "dict",
            "options": {"interval_seconds": {"type": "float", "default": 2.0}, "within_seconds": {"type": "float", "required": True}},
        },
        "when_session": SESSION,
        "baselines": {"type": "dict", "default": {}},
        "notes": {"type": "list", "elements": "str", "default": []},
        **{name: kind.argument() for name, kind in KINDS.items()},
    },
    "mutually_exclusive": [list(KINDS)],
    "required_one_of": [list(KINDS)],
}
"""The argument of a list of checks: the kind is the key."""

CONNECTIONS: _Options = {"type": "dict", "default": {}}
"""The argument of named connections: ``{orders: {path: /var/lib/app/orders.db}}``, each as CONNECTION of ``data_kinds``."""
