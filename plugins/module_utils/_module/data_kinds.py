# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and default limits of the kinds of check that look into databases, and of the connections they use."""

from __future__ import annotations

from typing import Any

_Options = dict[str, Any]

_SECRET: _Options = {"type": "str", "no_log": True}
_CONTAINER: _Options = {"container": {"type": "str"}, "network": {"type": "str", "default": ""}}

POSTGRESQL_LOGIN: _Options = {
    "database": {"type": "str", "required": True},
    "host": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "default": ""},
    "secret_password": _SECRET,
    "sslmode": {"type": "str", "choices": ["disable", "prefer", "require", "verify-ca", "verify-full"]},
    "sslrootcert": {"type": "path"},
}
"""How a PostgreSQL database is reached, for a check and for a backup."""

REDIS_LOGIN: _Options = {
    "host": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 6379},
    "unix_socket": {"type": "path"},
    "user": {"type": "str", "default": ""},
    "secret_password": _SECRET,
    "tls": {"type": "bool", "default": False},
    "tls_ca": {"type": "path"},
    "tls_verify": {"type": "bool", "default": True},
}
"""How a Redis server is reached."""

CONNECTION: _Options = {
    "type": "dict",
    "options": {
        "path": {"type": "path"},
        "postgresql": {
            "type": "dict",
            "options": {
                **POSTGRESQL_LOGIN,
                **_CONTAINER,
            },
            "mutually_exclusive": [["host", "container"]],
        },
        "redis": {
            "type": "dict",
            "options": {
                **REDIS_LOGIN,
                "host": {"type": "str", "default": "127.0.0.1"},
                "database": {"type": "int", "default": 0},
                **_CONTAINER,
            },
            "mutually_exclusive": [["host", "unix_socket", "container"]],
        },
    },
}
"""One named connection: its kind is the key. That exactly one is given is seen where checks are prepared, with its name."""

POSTGRESQL: _Options = {
    "connection": {"type": "str", "required": True},
    "min_dead_tuples": {"type": "int", "default": 10000},
    "timeout_seconds": {"type": "float", "default": 10.0},
}

REDIS: _Options = {
    "connection": {"type": "str", "required": True},
    "must_keep": {"type": "bool", "default": False},
    "memory_limit": {"type": "str"},
    "get": {"type": "dict", "default": {}},
    "write_test": {"type": "bool", "default": False},
    "write_prefix": {"type": "str", "default": "tradeops:health:"},
    "timeout_seconds": {"type": "float", "default": 10.0},
}


def default_postgresql(options: _Options) -> dict[str, Any]:
    """What is bad about any server."""
    return {
        "connections_percent": {"warning": "> 80 %", "critical": "> 95 %"},
        "cache_hit_percent": {"warning": "< 90 %"},
        "oldest_transaction": {"warning": "> 1 h", "critical": "> 6 h"},
        "idle_in_transaction": {"warning": "> 10 min", "critical": "> 1 h"},
        "longest_wait": {"warning": "> 1 min", "critical": "> 10 min"},
        "xid_age_percent": {"warning": "> 40 %", "critical": "> 70 %"},
        "freeze_age_percent": {"warning": "> 200 %"},
        "replication_lag": {"warning": "> 1 min", "critical": "> 10 min"},
        "replication_lag_bytes": {"warning": "> 1 GiB"},
        "slot_retained": {"warning": "> 5 GiB"},
        "dead_tuples_percent": {"warning": "> 40 %"},
        "never_analyzed": {"warning": "> 0"},
        "statistics_age": {"warning": "> 7 d"},
        "autovacuum": {"warning": "!= true"},
        "checksum_failures": {"critical": "> 0"},
    }


def default_redis(options: _Options) -> dict[str, Any]:
    """What is bad about any server, and about what the check asks for."""
    keep = {"policy_fits": {"critical": "!= true"}} if options.get("must_keep") else {}
    write = {"writable": {"critical": "!= true"}} if options.get("write_test") else {}
    return {
        "memory_percent": {"warning": "> 80 %", "critical": "> 95 %"},
        "fragmentation": {"warning": "> 1.5"},
        "clients_percent": {"warning": "> 80 %", "critical": "> 95 %"},
        "last_save_status": {"critical": "!= ok"},
        "aof_last_write_status": {"critical": "!= ok"},
        "aof_last_rewrite_status": {"warning": "!= ok"},
        "replica_link": {"critical": "!= up"},
        "replication_lag": {"warning": "> 30 s", "critical": "> 5 min"},
        **keep,
        **write,
    }
