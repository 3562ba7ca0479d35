# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the history, and the rows of one run.

``events`` and ``seals`` are the record. All other tables are derived from it for quick questions, and verification derives
them once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import canonical
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import is_number
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import systems_of

Row = tuple[Any, ...]

MIGRATIONS = (
    """
    create table runs (run_id text primary key, playbook text, state text, status text, exit_code integer, started_at text, ended_at text,
        duration_seconds real, user text, controller text, check_mode integer, host_limit text, systems text);
    create table events (run_id text, seq integer, at text, type text, body_hash text, prev text, hash text, body text,
        primary key (run_id, seq));
    create table seals (seq integer primary key, run_id text unique, events integer, head text, prev text, sealed_at text, key_id text, mac text);
    create table steps (run_id text, number integer, host text, role text, task text, action text, state text, duration_seconds real,
        message text, outcome text, code text, primary key (run_id, number));
    create table checks (run_id text, system text, environment text, host text, role text, name text, kind text, status text,
        severity text, message text, measured_at text, crossed text, primary key (run_id, host, role, name));
    create table measures (run_id text, system text, environment text, host text, role text, name text, measure text, unit text,
        value real, status text, measured_at text, primary key (run_id, host, role, name, measure));
    create index checks_by_host on checks (host, measured_at);
    create index measures_by_host on measures (host, name, measure, measured_at);
    create index runs_by_playbook on runs (playbook, started_at);
    """,
)
"""Step n brings a history from schema version n to n + 1. Never change one that was released: append."""

DERIVED = ("runs", "steps", "checks", "measures")


def version_of(db: sqlite3.Connection) -> int:
    """The schema version; 0 for a new file."""
    if not db.execute("select 1 from sqlite_master where name = 'meta'").fetchone():
        return 0
    return int(db.execute("select value from meta where key = 'schema_version'").fetchone()[0])


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date; the caller is inside a transaction, and another process may have been faster."""
    version = version_of(db)
    if version >= len(MIGRATIONS):
        return
    db.execute("create table if not exists meta (key text primary key, value text not null)")
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):  # executescript would commit the transaction
            db.execute(statement)
    db.execute("insert or replace into meta values ('schema_version', ?)", (str(len(MIGRATIONS)),))


def insert(db: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Add whole rows; ``table`` is one of the names above."""
    columns = len(db.execute(f"pragma table_info({table})").fetchall())
    db.executemany(f"insert into {table} values ({', '.join('?' * columns)})", rows)


def rows_of(view: dict[str, Any]) -> dict[str, list[Row]]:
    """The rows of all derived tables for one run."""
    run_id = view["run_id"]
    run = (
        run_id, view["playbook"], view["state"], view["status"], view["exit_code"], view["started_at"], view["ended_at"], view["duration_seconds"],
        view["user"], view["controller"], int(bool(view["check_mode"])), view["limit"], canonical(systems_of(view)),
    )  # fmt: skip
    rows: dict[str, list[Row]] = {"runs": [run], "steps": [], "checks": [], "measures": []}
    for system in view["systems"]:
        for host in system["hosts"]:
            place = (run_id, system["name"], system["environment"], host["name"])
            rows["steps"] += [_step_row(run_id, len(rows["steps"]) + number, step) for number, step in enumerate(host["steps"], 1)]
            for check in host["checks"]:
                at = instant(check.get("measured_at"), view["started_at"])
                rows["checks"].append((*place, *_check_fields(check), at, canonical(_crossed(check))))
                rows["measures"] += _measure_rows(place, check, at)
    return rows


def _step_row(run_id: str, number: int, step: dict[str, Any]) -> Row:
    result = step.get("result") or {}
    fields = [step.get(key) for key in ("host", "role", "task", "action", "state", "duration_seconds", "message")]
    return (run_id, number, *fields, result.get("outcome"), result.get("code"))


def _check_fields(check: dict[str, Any]) -> Row:
    return tuple(check.get(key) for key in ("role", "name", "kind", "status", "severity", "message"))


def _measure_rows(place: Row, check: dict[str, Any], at: str) -> list[Row]:
    units = check.get("units") or {}
    return [
        (*place, check["role"], check["name"], measure, units.get(measure, ""), float(value), check["status"], at)
        for measure, value in (check.get("measures") or {}).items()
        if is_number(value)
    ]


def _crossed(check: dict[str, Any]) -> list[str]:
    """Limits that were crossed, whether or not for long enough: what a later run with ``for`` asks."""
    return [f"{limit['measure']}:{limit['level']}" for limit in check.get("limits") or [] if limit.get("state") in ("crossed", "pending")]


def instant(text: Any, otherwise: str) -> str:
    """One form for all instants, so that they sort as text."""
    try:
        return rfc3339(parse_instant(text, "UTC"))
    except (InvalidInput, ValueError, OverflowError):
        return otherwise
