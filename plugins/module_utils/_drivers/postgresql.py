# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a PostgreSQL server and of one of its databases, by one connection that only reads. Version 13 and newer.

Every query stands for itself: what one of them may not see is unmeasured, and the others are measured all the same.
"""

from __future__ import annotations

from typing import Any

from .._core.probe import SKIPPED, Probe, Unmeasured
from ._pg_health_queries import ACTIVITY, AGE, DATABASE, DEAD, FACTS, PRIMARY, SIZE, STANDBY, locks, statistics
from ._pg_health_session import MONITOR, Denied, Failed, Session, opened, place_of
from ._time_left import TimeLeft

_ACTIVITY = {
    "connections": "count",
    "connections_percent": "percent",
    "oldest_transaction": "s",
    "oldest_transaction_of": "text",
    "idle_in_transaction": "s",
}
_LOCKS = {"locks_waiting": "count", "longest_wait": "s", "blocked_by": "text"}
_AGE = {"xid_age": "count", "xid_age_percent": "percent", "freeze_age_percent": "percent", "xid_database": "text"}
_REPLICATION = {"replicas": "count", "replication_lag": "s", "replication_lag_bytes": "B", "inactive_slots": "count", "slot_retained": "B"}
_DATABASE = {"cache_hit_percent": "percent", "deadlocks": "count", "temp_bytes": "B", "checksum_failures": "count"}
_DEAD = {"dead_tuples_percent": "percent", "dead_tuples_table": "text"}
_STATISTICS = {"never_analyzed": "count", "never_analyzed_table": "text", "statistics_age": "s"}

MEASURES = {
    "latency": "s",
    "version": "text",
    "in_recovery": "boolean",
    "autovacuum": "boolean",
    "size": "B",
    **_ACTIVITY,
    **_LOCKS,
    **_AGE,
    **_REPLICATION,
    **_DATABASE,
    **_DEAD,
    **_STATISTICS,
}

_TEXTS = {name for name, unit in MEASURES.items() if unit == "text"}
_UNSEEN = Unmeasured(f"the role may not see the sessions of others: {MONITOR}")


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Log in and look. ``latency`` is until the server has let us in.

    Raises Unreachable (refused, full, wrong password, still starting), VerifyFailed (no such database), TimedOut, MissingLibrary.
    """
    connection = (probe.connection or {})["postgresql"]
    left = TimeLeft(probe, options["timeout_seconds"], f"looking into {place_of(connection)}", "see whether the server hangs, and its disk and load")
    with opened(connection, left) as session:
        session.settle("SET LOCAL search_path = pg_catalog")  # nobody's own functions take the place of the server's
        facts = session.one(FACTS)
        measures = {"latency": session.latency, **{name: facts[name] for name in ("version", "in_recovery", "autovacuum")}}
        for names, statement, parameters in _questions(facts, options, probe):
            measures.update(_answers(session, names, statement, parameters))
        if not facts["may_see_all"]:
            measures.update(dict.fromkeys(_unseen(facts, measures), _UNSEEN))
        if facts["in_recovery"] and measures["replication_lag"] is SKIPPED:
            measures["replication_lag"] = Unmeasured("it has replayed no transaction since it started")
        return measures


def _unseen(facts: dict[str, Any], measures: dict[str, Any]) -> list[str]:
    """What a role without the right is told wrongly, as if there was nobody: rows of others have no values in it."""
    lags = [] if facts["in_recovery"] else ["replication_lag", "replication_lag_bytes"]
    waits = ["longest_wait"] if facts["version_num"] < 140000 and measures["locks_waiting"] else []  # by the others' query_start
    return [*_ACTIVITY, "replicas", *lags, *waits]


def _questions(facts: dict[str, Any], options: dict[str, Any], probe: Probe) -> list[tuple[dict[str, str], str, list[Any]]]:
    """What is asked: measures, statement, parameters. What looks at every table is asked when it has a limit; a standby counts none of it."""
    version, standby = facts["version_num"], facts["in_recovery"]
    found: list[tuple[dict[str, str], str, list[Any]]] = [
        ({"size": "B"}, SIZE, []),
        (_DATABASE, DATABASE, []),
        (_LOCKS, locks(version), []),
        (_AGE, AGE, []),
        (_REPLICATION, STANDBY if standby else PRIMARY, []),
    ]
    if facts["may_see_all"]:
        found.append((_ACTIVITY, ACTIVITY, []))
    for names, statement, parameters in ((_DEAD, DEAD, [options["min_dead_tuples"]]), (_STATISTICS, statistics(version), [])):
        if set(names) & probe.wanted:
            found.append((names, "" if standby else statement, parameters))
    return found


def _answers(session: Session, names: dict[str, str], statement: str, parameters: list[Any]) -> dict[str, Any]:
    if not statement:
        return dict.fromkeys(names, SKIPPED)
    try:
        answer = session.one(statement, parameters) or {}
    except (Denied, Failed) as error:
        return dict.fromkeys(names, Unmeasured(error.advice))
    return {name: _plain(name, answer.get(name)) for name in names}


def _plain(name: str, value: Any) -> Any:
    """Nothing to measure is left out of the verdict; a text about nothing is empty."""
    return ("" if name in _TEXTS else SKIPPED) if value is None else value
