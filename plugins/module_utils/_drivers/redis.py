# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a Redis server, from INFO (https://redis.io/docs/latest/commands/info/), and of the keys that matter. Version 6.2 and newer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from .._core.errors import InvalidInput
from .._core.probe import SKIPPED, Probe, Unmeasured
from .._core.units import parse_quantity
from ._redis_client import CommandRefused, Denied, Session
from ._redis_health_keys import measures_of, units_of
from ._redis_health_session import config, opened, place_of, room_of
from ._time_left import TimeLeft

MEASURES = {
    "latency": "s",
    "version": "text",
    "uptime": "s",
    "used_memory": "B",
    "memory_percent": "percent",
    "fragmentation": "number",
    "policy": "text",
    "policy_fits": "boolean",
    "evicted": "count",
    "connected_clients": "count",
    "clients_percent": "percent",
    "rejected_connections": "count",
    "blocked_clients": "count",
    "last_save_age": "s",
    "last_save_status": "text",
    "changes_since_save": "count",
    "aof_enabled": "boolean",
    "aof_last_write_status": "text",
    "aof_last_rewrite_status": "text",
    "role": "text",
    "replicas": "count",
    "replica_link": "text",
    "replication_lag": "s",
    "replication_lag_bytes": "B",
    "keys": "count",
    "writable": "boolean",
    "write_error": "text",
}

_SMALL = 64 * 1024 * 1024
"""What the server itself needs is more than the data of a smaller one, so that its ratio says nothing."""

_WRITE_MILLISECONDS = 10000


def dynamic_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """What ``get`` adds: each name, and its ``.exists``, ``.count``, ``.ttl`` and ``.age``."""
    _limit(options)
    return units_of(options.get("get") or {}, MEASURES)


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Log in and look. ``latency`` is until the server has answered a PING.

    Raises Unreachable (refused, full, wrong password), Busy (loading its data, or in a script), TimedOut, Denied, MissingLibrary.
    """
    connection = (probe.connection or {})["redis"]
    left = TimeLeft(probe, options["timeout_seconds"], f"looking into {place_of(connection)}", "see whether the server hangs, its load, and its slow log")
    with opened(connection, left) as (session, latency):
        info = session.info("default")
        measures = {"latency": latency, "version": info.get("redis_version"), "uptime": _int(info, "uptime_in_seconds")}
        measures.update(_memory(info, options, room_of(connection, left)), **_clients(info, session), **_persistence(info, probe.now), **_replication(info))
        measures["keys"] = sum(int(value.split(",")[0].partition("=")[2]) for name, value in info.items() if re.fullmatch(r"db\d+", name))
        measures.update(measures_of(session, options["get"], probe))
        if options["write_test"]:
            measures.update({"writable": SKIPPED} if probe.check_mode else _write(session, options["write_prefix"]))
        return measures


def _int(info: Mapping[str, str], name: str) -> Any:
    """A field of INFO; a version of the server that does not tell it is no error of the others."""
    try:
        return int(info[name])
    except (KeyError, ValueError):
        return Unmeasured(f"INFO does not tell {name}")


def _limit(options: Mapping[str, Any]) -> float:
    if not options.get("memory_limit"):
        return 0.0
    size, unit = parse_quantity(options["memory_limit"])
    if unit != "B" or size <= 0:
        raise InvalidInput(f'redis: memory_limit: "{options["memory_limit"]}" is not a size', 'write it like "2 GiB"')
    return size


def _memory(info: Mapping[str, str], options: Mapping[str, Any], container: int = 0) -> dict[str, Any]:
    used, most, policy = _int(info, "used_memory"), _int(info, "maxmemory"), info.get("maxmemory_policy", "")
    rooms = [size for size in (most, _limit(options), container) if not isinstance(size, Unmeasured) and size > 0] or [_int(info, "total_system_memory")]
    room = rooms[0] if isinstance(rooms[0], Unmeasured) else min(rooms)
    known = not isinstance(used, Unmeasured) and not isinstance(room, Unmeasured) and room > 0
    small = not isinstance(used, Unmeasured) and used < _SMALL
    return {
        "used_memory": used,
        "memory_percent": round(100 * used / room, 2) if known else Unmeasured("INFO tells neither maxmemory nor the memory of the machine"),
        "fragmentation": SKIPPED if small else _float(info, "mem_fragmentation_ratio"),
        "policy": policy,
        "policy_fits": (policy == "noeviction" or most == 0) if policy else Unmeasured("INFO does not tell maxmemory_policy"),
        "evicted": _int(info, "evicted_keys"),
    }


def _float(info: Mapping[str, str], name: str) -> Any:
    try:
        return float(info[name])
    except (KeyError, ValueError):
        return Unmeasured(f"INFO does not tell {name}")


def _clients(info: Mapping[str, str], session: Session) -> dict[str, Any]:
    connected = _int(info, "connected_clients")
    most = info.get("maxclients") or config(session, "maxclients")  # INFO tells it from version 7 on
    known = str(most).isdigit() and int(most or 0) > 0 and not isinstance(connected, Unmeasured)
    return {
        "connected_clients": connected,
        "clients_percent": round(100 * connected / int(most or 0), 2) if known else Unmeasured("give the user the right +config|get"),
        "rejected_connections": _int(info, "rejected_connections"),
        "blocked_clients": _int(info, "blocked_clients"),
    }


def _persistence(info: Mapping[str, str], now: float) -> dict[str, Any]:
    saved, clock = _int(info, "rdb_last_save_time"), info.get("server_time_usec", "")
    return {
        # by the server's own clock where it tells it
        "last_save_age": saved if isinstance(saved, Unmeasured) else max(0.0, (int(clock) / 1e6 if clock.isdigit() else now) - saved),
        "last_save_status": info.get("rdb_last_bgsave_status"),
        "changes_since_save": _int(info, "rdb_changes_since_last_save"),
        "aof_enabled": info.get("aof_enabled") == "1" if "aof_enabled" in info else None,
        "aof_last_write_status": info.get("aof_last_write_status"),
        "aof_last_rewrite_status": info.get("aof_last_bgrewrite_status"),
    }


def _replication(info: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"role": info.get("role"), "replicas": _int(info, "connected_slaves")}
    if info.get("role") == "slave":
        down = info.get("master_link_status") != "up"
        lag = _int(info, "master_link_down_since_seconds" if down else "master_last_io_seconds_ago")
        # -1: it has never been connected since it started
        lag = Unmeasured("it has not been connected to its master since it started") if lag == -1 else lag
        return {**found, "replica_link": info.get("master_link_status"), "replication_lag": lag, "replication_lag_bytes": SKIPPED}
    lines = [dict(part.split("=", 1) for part in value.split(",")) for name, value in info.items() if re.fullmatch(r"slave\d+", name)]
    lags = [int(line["lag"]) for line in lines if line.get("state") == "online" and line.get("lag", "").isdigit()]
    behind = [int(info["master_repl_offset"]) - int(line["offset"]) for line in lines if line.get("offset", "").isdigit()]
    return {
        **found,
        "replica_link": SKIPPED,
        "replication_lag": max(lags) if lags else SKIPPED,
        "replication_lag_bytes": max(0, *behind) if behind else SKIPPED,
    }


def _write(session: Session, prefix: str) -> dict[str, Any]:
    """A key of its own that ends by itself, also when we are cut off before it is deleted."""
    key = f"{prefix}{uuid.uuid4().hex}"
    try:
        session.ask("SET", key, "1", "PX", _WRITE_MILLISECONDS, "NX")
        same = session.ask("GET", key) == b"1"
        session.ask("DEL", key)
    except CommandRefused as error:
        return {"writable": False, "write_error": error.message}
    except Denied as error:
        reason = Unmeasured(f"{error.message} (give the user +set +get +del ~{prefix}*)")
        return {"writable": reason}
    return {"writable": same, "write_error": "" if same else f"what was written to {key} did not come back"}
