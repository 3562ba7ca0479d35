# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the history, and the rows of one run.

``events`` and ``seals`` are the record. ``open_runs`` and ``open_events`` hold copies of runs under way, so that a run whose
controller vanished with its files is known. All other tables are derived from the record for quick questions, and verification
derives them once more.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import canonical
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import is_number
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, Row
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import systems_of

MIGRATIONS = (
    """
    create table runs (run_id text primary key, playbook text, state text, status text, exit_code bigint, started_at text, ended_at text,
        duration_seconds double precision, "user" text, controller text, check_mode integer, host_limit text, systems text);
    create table events (run_id text, seq integer, at text, type text, body_hash text, prev text, hash text, body text,
        primary key (run_id, seq));
    create table seals (seq integer primary key, run_id text unique, events integer, head text, prev text, sealed_at text, key_id text, mac text);
    create table steps (run_id text, number integer, host text, role text, task text, action text, state text, duration_seconds double precision,
        message text, outcome text, code text, primary key (run_id, number));
    create table checks (run_id text, system text, environment text, host text, role text, name text, kind text, status text,
        severity text, message text, measured_at text, crossed text, primary key (run_id, host, role, name));
    create table measures (run_id text, system text, environment text, host text, role text, name text, measure text, unit text,
        value double precision, status text, measured_at text, primary key (run_id, host, role, name, measure));
    create index checks_by_host on checks (host, measured_at);
    create index measures_by_host on measures (host, name, measure, measured_at);
    create index runs_by_playbook on runs (playbook, started_at);
    create index runs_by_start on runs (started_at, run_id);
    create index drops on events (run_id, seq) where type = 'bodies_dropped';
    create table open_runs (run_id text primary key, controller text, beat double precision);
    create table open_events (run_id text, seq integer, at text, type text, body_hash text, prev text, hash text, body text, voucher text,
        primary key (run_id, seq));
    """,
    """
    create table signatures (run_id text, system text, environment text, host text, log text, id text, level text, message text, count bigint,
        measured_at text, primary key (run_id, host, log, id));
    create table bookmarks (run_id text, system text, environment text, host text, log text, measured_at text, bookmark text,
        primary key (run_id, host, log));
    create index signatures_by_log on signatures (host, log, measured_at);
    create index bookmarks_by_log on bookmarks (host, log, measured_at);
    """,
    """
    create table notices (run_id text, number integer, system text, environment text, host text, kind text, role text, name text, change text,
        status text, severity text, at double precision, notice text, primary key (run_id, number));
    create index notices_by_time on notices (at);
    """,
)
"""Step n brings a history from schema version n to n + 1. Both databases run them. Never change one that was released: append."""

DERIVED = ("runs", "steps", "checks", "measures", "signatures", "bookmarks", "notices")


def version_of(db: Database) -> int:
    """The schema version; 0 for a new database."""
    row = db.execute("select value from meta where key = 'schema_version'").fetchone() if db.columns("meta") else None
    return int(row[0]) if row else 0


def migrate(db: Database) -> None:
    """Bring the tables up to date; the caller is inside a transaction, and another process may have been faster."""
    version = version_of(db)
    if version >= len(MIGRATIONS):
        return
    db.define("create table if not exists meta (key text primary key, value text not null)")
    for script in MIGRATIONS[version:]:
        db.define(script)
    statement = "insert into meta values ('schema_version', ?) on conflict (key) do update set value = excluded.value"
    db.execute(statement, (str(len(MIGRATIONS)),))


def rows_of(view: dict[str, Any]) -> dict[str, list[Row]]:
    """The rows of all derived tables for one run."""
    run_id = view["run_id"]
    run = (
        run_id, view["playbook"], view["state"], view["status"], view["exit_code"], view["started_at"], view["ended_at"], view["duration_seconds"],
        view["user"], view["controller"], int(bool(view["check_mode"])), view["limit"], canonical(systems_of(view)),
    )  # fmt: skip
    rows: dict[str, list[Row]] = {"runs": [run], **{table: [] for table in DERIVED[1:]}}
    for system in view["systems"]:
        for host in system["hosts"]:
            place = (run_id, system["name"], system["environment"], host["name"])
            rows["steps"] += [_step_row(run_id, len(rows["steps"]) + number, step) for number, step in enumerate(host["steps"], 1)]
            for check in host["checks"]:
                at = instant(check.get("measured_at"), view["started_at"])
                rows["checks"].append((*place, *_check_fields(check), at, canonical(_crossed(check))))
                rows["measures"] += _measure_rows(place, check, at)
            for name, log in {log.get("name", ""): log for log in host["logs"]}.items():  # two roles may have read the same one
                at = instant(log.get("measured_at"), view["started_at"])
                rows["signatures"] += _signature_rows((*place, name), log, at)
                rows["bookmarks"].append((*place, name, at, canonical(log.get("bookmark"))))
    rows["notices"] = [_notice_row(run_id, number, notice) for number, notice in enumerate(view["notices"], 1)]
    return {table: [tuple(map(_storable, row)) for row in found] for table, found in rows.items()}


def _storable(value: Any) -> Any:
    """PostgreSQL's text has no NUL."""
    return value.replace("\x00", "\\x00") if isinstance(value, str) else value


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


def _signature_rows(place: Row, log: dict[str, Any], at: str) -> list[Row]:
    return [(*place, *(signature.get(key) for key in ("id", "level", "text", "count")), at) for signature in log.get("signatures") or []]


def _notice_row(run_id: str, number: int, notice: dict[str, Any]) -> Row:
    texts = [str(notice.get(key) or "") for key in ("system", "environment", "host", "kind", "role", "name", "change", "status", "severity")]
    at = notice.get("at")
    return (run_id, number, *texts, float(at) if is_number(at) else 0.0, canonical(notice))


def _crossed(check: dict[str, Any]) -> list[str]:
    """Limits that were crossed, whether or not for long enough: what a later run with ``for`` asks."""
    return [f"{limit['measure']}:{limit['level']}" for limit in check.get("limits") or [] if limit.get("state") in ("crossed", "pending")]


def instant(text: Any, otherwise: str) -> str:
    """One form for all instants, so that they sort as text."""
    try:
        return rfc3339(parse_instant(text, "UTC"))
    except (InvalidInput, ValueError, OverflowError):
        return otherwise
