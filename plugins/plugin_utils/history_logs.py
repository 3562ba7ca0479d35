# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the history knows of logs: where each review stopped, and which kinds of lines it has seen. Runs in check mode do not count."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_queries import DAY, HostPlace
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import instant

WEEK = 7 * DAY

_NEXT_LOG = "select log from bookmarks where host = ? and log > ? order by log limit 1"
_OF_LOG = """host = :host and log = :log and (:system is null or system = :system) and (:environment is null or environment = :environment)
    and (select check_mode from runs where runs.run_id = t.run_id) = 0"""
_NEWEST = f"select bookmark from bookmarks t where {_OF_LOG} and bookmark <> 'null' and measured_at <= :until order by measured_at desc, run_id desc limit 1"
_REVIEWS = f"select measured_at from bookmarks t where {_OF_LOG} and measured_at >= :since and measured_at < :until order by measured_at limit 1"
_SIGNATURES = f"""select id, sum(cast(count as double precision)), max(measured_at) from signatures t where {_OF_LOG}
    and measured_at >= :since and measured_at < :until group by id"""
"""A sum of whole numbers would overflow where a host sent a very large one."""


class Known(NamedTuple):
    """Log to id to ``count`` and ``last_at``, for the logs that were reviewed in the time asked for; log to its first review at all."""

    signatures: dict[str, dict[str, dict[str, Any]]]
    first_at: dict[str, str]


def bookmarks(db: Database, place: HostPlace) -> dict[str, dict[str, Any]]:
    """Log to where its newest review stopped reading."""
    found = {}
    for log in _logs(db, place.host):
        row = db.execute(_NEWEST, {**place.parameters(), "log": log}).fetchone()
        if row:
            found[log] = json.loads(row[0])
    return found


def known_signatures(db: Database, place: HostPlace, since: float) -> Known:
    """What the reviews since an instant, and before the one that ``place`` has its end in, saw."""
    found = Known({}, {})
    for log in _logs(db, place.host):
        asked = {**place.parameters(), "log": log, "since": rfc3339(since)}
        first = db.execute(_REVIEWS, {**asked, "since": ""}).fetchone()
        if first is None:
            continue
        found.first_at[log] = first[0]
        if db.execute(_REVIEWS, asked).fetchone():
            rows = db.execute(_SIGNATURES, asked)
            found.signatures[log] = {ident: {"count": int(count), "last_at": last} for ident, count, last in rows}
    return found


def _logs(db: Database, host: str) -> Iterator[str]:
    log = ""
    while row := db.execute(_NEXT_LOG, (host, log)).fetchone():  # steps through the index: a year of rows would take seconds
        log = row[0]
        yield log


def recall(db: Database, view: Mapping[str, Any]) -> dict[str, Any]:
    """The view of a run in which each log says what the reviews of the week before it knew: ``earlier``.

    ``earlier`` has ``since``; ``first_at``, the first review of this log or None; ``reviewed``, whether there was one in that week;
    and ``signatures``, what is known of those that the report of this run shows.
    """
    systems = []
    for system in view["systems"]:
        hosts = [{**host, "logs": _recalled(db, view, system, host)} for host in system["hosts"]]
        systems.append({**system, "hosts": hosts})
    return {**view, "systems": systems}


def _recalled(db: Database, view: Mapping[str, Any], system: Mapping[str, Any], host: Mapping[str, Any]) -> list[dict[str, Any]]:
    known: dict[str, Known] = {}
    place, found = HostPlace(host["name"], system["name"], system["environment"]), []
    for log in host["logs"]:
        until, name = instant(log.get("measured_at"), view["started_at"]), log.get("name", "")
        since = parse_instant(until) - WEEK
        if until not in known:
            known[until] = known_signatures(db, replace(place, until=until), since)
        seen = known[until].signatures.get(name)
        shown = {signature["id"]: (seen or {}).get(signature["id"]) for signature in log.get("signatures") or []}
        earlier = {"since": rfc3339(since), "first_at": known[until].first_at.get(name), "reviewed": seen is not None}
        found.append({**log, "earlier": {**earlier, "signatures": {ident: entry for ident, entry in shown.items() if entry}}})
    return found
