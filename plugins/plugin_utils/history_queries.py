# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the history. Runs in check mode are recorded, but no baseline, trend or schedule rests on them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Event, Seal
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, Row
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import UNASSIGNED, systems_of

DAY = 86400.0
TREND_MINIMUM = 3
"""Fewer points than this have no direction."""

_RUN_COLUMNS = "run_id playbook state status exit_code started_at ended_at duration_seconds user controller check_mode host_limit systems".split()
_QUOTED = ", ".join(f'"{column}"' for column in _RUN_COLUMNS)
"""``user`` is a function in PostgreSQL."""
_AT_PLACE = "host = :host and (:system is null or system = :system) and (:environment is null or environment = :environment)"
_ALWAYS = "~"
"""Sorts as text after every instant."""
_REAL = "(select check_mode from runs where runs.run_id = t.run_id) = 0"
_NEXT_MEASURE = "select name, measure from measures where host = ? and (name, measure) > (?, ?) order by name, measure limit 1"
_NEWEST = f"""select measured_at, value, status, run_id from measures t where {_AT_PLACE} and name = :name and measure = :measure
    and measured_at <= :until and (:good = 0 or status = 'ok') and {_REAL} order by measured_at desc, run_id desc limit :most"""

Points = dict[tuple[str, str], list[dict[str, Any]]]


@dataclass(frozen=True)
class HostPlace:
    """A host in a system and an environment, as it was ``until`` an instant; None stands for any, "" for what has none."""

    host: str
    system: str | None = None
    environment: str | None = None
    until: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Named values for the statements above."""
        return {"host": self.host, "system": self.system, "environment": self.environment, "until": self.until or _ALWAYS}


@dataclass(frozen=True)
class Wanted:
    """Which runs are asked for; None or empty stands for any."""

    playbook: str | None = None
    system: str | None = None
    environment: str | None = None

    def among(self, systems: Iterable[Mapping[str, Any]]) -> bool:
        """Whether one of the systems of a run is the one in the environment that is asked for."""
        if not self.system and not self.environment:
            return True
        return any(self.system in (None, "", known["name"]) and self.environment in (None, "", known["environment"]) for known in systems)


_ANY = Wanted()


def events(db: Database, run_id: str) -> Iterator[Event]:
    """The stored events of a run, in order."""
    columns = ", ".join(Event._fields)
    for row in db.stream(f"select {columns} from events where run_id = ? order by seq", (run_id,)):
        yield Event(*row)


def seals(db: Database) -> list[Seal]:
    """All seals, oldest first."""
    return [Seal(*row) for row in db.execute(f"select {', '.join(Seal._fields)} from seals order by seq")]


def last_seal(db: Database) -> Seal | None:
    """The newest seal."""
    row = db.execute(f"select {', '.join(Seal._fields)} from seals order by seq desc limit 1").fetchone()
    return Seal(*row) if row else None


def anchor(db: Database, run_id: str) -> dict[str, Any] | None:
    """What to write down elsewhere about a run's seal."""
    row = db.execute("select seq, mac, key_id from seals where run_id = ?", (run_id,)).fetchone()
    return dict(zip(("seq", "mac", "key_id"), row, strict=True)) if row else None


def runs(db: Database, limit: int, wanted: Wanted = _ANY) -> list[dict[str, Any]]:
    """The newest runs, newest first."""
    found: list[dict[str, Any]] = []
    statement = f"select {_QUOTED} from runs where (? is null or playbook = ?) order by started_at desc, run_id desc"
    for row in db.stream(statement, (wanted.playbook or None,) * 2):
        run = dict(zip(_RUN_COLUMNS, row, strict=True))
        run |= {"check_mode": bool(run["check_mode"]), "limit": run.pop("host_limit"), "systems": json.loads(run["systems"])}
        if wanted.among(run["systems"]):
            found.append(run)
        if len(found) >= limit:
            break
    return found


def latest_run(db: Database) -> str | None:
    """The newest run that checked something, else the newest of all: a report is about results."""
    row = db.execute("select run_id from runs order by run_id in (select run_id from checks) desc, started_at desc, run_id desc limit 1").fetchone()
    return str(row[0]) if row else None


def row_of(view: dict[str, Any]) -> dict[str, Any]:
    """A run that is not in the table yet, in the shape of ``runs``."""
    same = [column for column in _RUN_COLUMNS if column not in ("host_limit", "systems")]
    return {**{column: view[column] for column in same}, "limit": view["limit"], "systems": systems_of(view)}


def first_run_at(db: Database, wanted: Wanted = _ANY) -> str | None:
    """When the first run began on what is asked for, of whichever playbook."""
    found = db.stream("select started_at, systems from runs where started_at is not null order by started_at, run_id")
    return next((str(at) for at, systems in found if wanted.among(json.loads(systems))), None)


def previous_run(db: Database, view: dict[str, Any]) -> str | None:
    """The last finished run before ``view`` of the same playbook with a common system, and equally real or in check mode."""
    mine = [system for system in systems_of(view) if system["name"] != UNASSIGNED] or systems_of(view)
    statement = """select run_id, systems from runs where playbook = ? and state = 'finished' and check_mode = ? and run_id <> ?
        and started_at <= ? order by started_at desc, run_id desc"""
    for run_id, systems in db.stream(statement, (view["playbook"], int(bool(view["check_mode"])), view["run_id"], view["started_at"])):
        if any(system in mine for system in json.loads(systems)):
            return str(run_id)
    return None


def points(db: Database, place: HostPlace, most: int, good_only: bool = False) -> Points:
    """(check, measure) to its newest values, oldest first."""
    found: Points = {}
    key: Row = ("", "")
    while key := db.execute(_NEXT_MEASURE, (place.host, *key)).fetchone() or ():  # steps through the index: a year of rows would take seconds
        asked = {**place.parameters(), "name": key[0], "measure": key[1], "good": int(good_only), "most": most}
        rows = db.execute(_NEWEST, asked).fetchall()
        if rows:
            found[key] = [dict(zip(("at", "value", "status", "run_id"), row, strict=True)) for row in reversed(rows)]
    return found


def baselines(db: Database, place: HostPlace, most: int, minimum: int) -> dict[str, dict[str, float]]:
    """Check to measure to the median of its last good values; left out with fewer than ``minimum`` of them."""
    found: dict[str, dict[str, float]] = {}
    for (name, measure), known in points(db, place, most, good_only=True).items():
        if len(known) >= minimum:
            found.setdefault(name, {})[measure] = statistics.median(point["value"] for point in known)
    return found


def trends(db: Database, place: HostPlace, most: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Check to measure to the slope of the straight line through its last values."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, measure), known in points(db, place, most).items():
        days = [parse_instant(point["at"]) / DAY for point in known]
        values = [point["value"] for point in known]
        if len(known) >= TREND_MINIMUM and days[0] < days[-1]:
            slope = statistics.linear_regression(days, values).slope
            found.setdefault(name, {})[measure] = {"slope_per_day": slope, "points": len(known), "latest": values[-1]}
    return found


def recent(db: Database, place: HostPlace, since: float) -> dict[str, list[dict[str, Any]]]:
    """Check to its verdicts since an instant, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    statement = f"""select name, measured_at, status, crossed from checks t where {_AT_PLACE} and measured_at >= :since
        and {_REAL} order by measured_at, run_id"""
    for name, at, status, crossed in db.execute(statement, {**place.parameters(), "since": rfc3339(since)}):
        found.setdefault(name, []).append({"at": at, "status": status, "crossed": json.loads(crossed)})
    return found
