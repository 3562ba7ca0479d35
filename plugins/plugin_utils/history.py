# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of all runs: in one SQLite file, or in a PostgreSQL database that several controllers share.

A run comes in whole or not at all: one short transaction takes the write lock, reads the newest seal, inserts, seals. The
journal moves to ``sealed/`` after the commit, so that a crash between both leaves a journal whose run is known: the next run
only moves it. No connection is kept across a fork: SQLite's locks would not survive it.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Refused, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import BODIES_DROPPED, Chain, Event, Journal, Seal, key_id, make_seal
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import Key, Notice
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history_queries as queries
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history_logs, history_notices, journal, open_runs, retention
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import MIGRATIONS, instant, migrate, rows_of, version_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_verify import verify_history
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, make_folder, make_key, read_key
from ansible_collections.tradeops.runbook.plugins.plugin_utils.retention_plan import Limits, Plan, make_plan
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view

_SHOWN = 4096
"""Characters of a quarantined text that its event shows; all of it is kept beside the journal."""


class History:
    """An open history. Use it as a context manager, and briefly."""

    def __init__(self, places: Places, read_only: bool = False) -> None:
        """Open it; a writer also creates it and brings its tables up to date. A reader raises FileNotFoundError where there is none."""
        self.places = places
        self.late: list[Path] = []
        """Journals of runs that another controller had sealed before, with fewer events."""
        if not read_only:
            make_folder(places.history)
        self._db = open_database(places, read_only)
        try:
            self._prepare(read_only)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        version = version_of(self._db)
        if version == len(MIGRATIONS):
            return
        if read_only or version > len(MIGRATIONS):
            hint = "the next recorded run updates it" if version < len(MIGRATIONS) else "a newer release of tradeops.runbook wrote it: use that one"
            raise VerifyFailed(f"the history has schema version {version}, this release has {len(MIGRATIONS)}", hint)
        with self._db.transaction():
            migrate(self._db)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the database back."""
        self._db.close()

    def ledger_key(self) -> bytes:
        """The key, made on first use; never made anew once something was sealed, since nothing could be verified any more."""
        key, newest = read_key(self.places.key), queries.last_seal(self._db)
        if key is not None:
            _refuse_another(key, newest)
            return key
        sealed = newest is not None or (self.places.sealed.is_dir() and any(self.places.sealed.iterdir()))
        if sealed:
            raise Refused(
                f"the ledger's key {self.places.key} is missing, and there are runs sealed with it",
                "bring it back from the backup; without it no run can be sealed or verified",
            )
        return make_key(self.places.key)

    def seal_run(self, path: Path, key: bytes) -> dict[str, Any]:
        """Take the run of a journal into the history and seal it; its anchor. A run already sealed stays as it is."""
        run_id = journal.run_id_of(path)
        with self._db.transaction():
            events = [] if queries.anchor(self._db, run_id) else self._insert(path, run_id, key)
            found = queries.anchor(self._db, run_id)
        self._put_away(path, run_id)
        if any(event.type == BODIES_DROPPED for event in events):
            retention.sweep(self.places, self._db)
        return found or {}

    def _put_away(self, path: Path, run_id: str) -> None:
        """A journal that says more than what was sealed is kept apart: another controller took its run for dead."""
        hashes = [event.hash for event in queries.events(self._db, run_id)]
        try:
            same = hashes == [event.hash for event in journal.read(path).events]
        except FileNotFoundError:  # another run was faster
            same = True
        where = journal.shelve(path, self.places.sealed if same else self.places.late)
        self.late += [] if same else [where]

    def adopt(self, key: bytes) -> tuple[list[str], list[str]]:
        """Seal the runs whose process is gone: as they ended, or as ``killed``. Their ids, and what kept others from it."""
        adopted, left = [], []
        for path in sorted(self.places.open.glob(f"*{journal.SUFFIX}")):
            try:
                adopted += [path.stem] if journal.run_id_of(path) and self._adopt_one(path, key) else []
            except Exception as error:  # one journal that nobody can read must not stop all later runs
                left.append(f"{path.name}: {error}")
        for run_id in open_runs.dead(self._db, self.places) if self._db.shared else []:
            try:
                adopted += [run_id] if self._adopt_copy(run_id, key) else []
            except Exception as error:
                left.append(f"{run_id} of another controller: {error}")
        return adopted, left

    def _adopt_one(self, path: Path, key: bytes) -> bool:
        if journal.is_alive(path):
            return False
        with self._db.transaction():  # nobody else can be adopting or sealing this one while the write lock is held
            if not path.exists() or journal.is_alive(path):
                return False
            is_new = queries.anchor(self._db, path.stem) is None
            if is_new:
                self._insert(path, path.stem, key)
        self._put_away(path, path.stem)
        return is_new

    def _adopt_copy(self, run_id: str, key: bytes) -> bool:
        """Seal a run whose controller fell silent, with what had arrived of it."""
        with self._db.transaction():
            found = open_runs.take(self._db, key, run_id)
            if found is None or queries.anchor(self._db, run_id):
                return False
            self._seal_events(run_id, found.events + _endings(run_id, found), key)
        return True

    def _insert(self, path: Path, run_id: str, key: bytes) -> list[Event]:
        events = self._complete(path, run_id)
        self._seal_events(run_id, events, key)
        return events

    def _seal_events(self, run_id: str, events: list[Event], key: bytes) -> None:
        newest = queries.last_seal(self._db)
        _refuse_another(key, newest)
        seal = make_seal(key, newest, run_id, events, journal.now_text())
        for table, rows in rows_of({**build_view(events), "run_id": run_id}).items():
            self._db.insert(table, rows)
        self._db.insert("events", [(run_id, *event) for event in events])
        self._db.insert("seals", [tuple(seal)])
        open_runs.forget(self._db, run_id)
        retention.carry_out(self._db, events, seal.seq)

    def _complete(self, path: Path, run_id: str) -> list[Event]:
        """The events of a journal, with the end it lacks when its process was killed, and word of what is not sound in it."""
        found = journal.read(path)
        cut = journal.quarantine(path, found)
        added = _endings(run_id, found._replace(rest=cut))
        if added:
            journal.extend(path, added)
        return found.events + added

    def runs(self, limit: int = 20, wanted: queries.Wanted | None = None) -> list[dict[str, Any]]:
        """The newest runs, newest first."""
        return queries.runs(self._db, limit, wanted or queries.Wanted())

    def latest_run(self) -> str | None:
        """The newest run that checked something, else the newest of all."""
        return queries.latest_run(self._db)

    def open_runs(self) -> list[dict[str, Any]]:
        """The runs under way, newest first, as far as a row can be told of them yet."""
        paths = sorted(self.places.open.glob(f"*{journal.SUFFIX}"))
        found = {path.stem: journal.read(path).events for path in paths if journal.run_id_of(path) and journal.is_alive(path)}
        if self._db.shared:
            found = {**open_runs.alive(self._db), **found}
        views = [build_view(found[run_id]) for run_id in sorted(found, reverse=True)]
        return [queries.row_of(view) for view in views if view["run_id"]]

    def announce(self, key: bytes, run_id: str, events: list[Event]) -> None:
        """Let the other controllers know of a run that begins; without others there is nothing to do."""
        if self._db.shared:
            open_runs.announce(self._db, key, run_id, events)

    def plan_prune(self, key: bytes, limits: Limits) -> Plan:
        """What is old enough to be dropped, after proof that it is still what was written."""
        return make_plan(self._db, self.places, key, limits)

    def first_run_at(self, wanted: queries.Wanted | None = None) -> str | None:
        """When the first run began on what is asked for, of whichever playbook."""
        return queries.first_run_at(self._db, wanted or queries.Wanted())

    def view(self, run_id: str) -> dict[str, Any] | None:
        """The RunView of a sealed run; None also when its bodies were dropped."""
        found, events = queries.anchor(self._db, run_id), list(queries.events(self._db, run_id))
        if not found or any(event.body is None for event in events):
            return None
        return {**history_logs.recall(self._db, build_view(events)), "run_id": run_id, "anchor": found}

    def previous(self, view: dict[str, Any]) -> dict[str, Any] | None:
        """The last finished run of the same playbook with a common system."""
        run_id = queries.previous_run(self._db, view)
        return self.view(run_id) if run_id else None

    def context(self, view: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[tuple[str, str, str], queries.Points]]:
        """What a report holds a run against: the run before, and the series of every (system, environment, host) up to this run."""
        found: dict[tuple[str, str, str], queries.Points] = {}
        for system in view["systems"]:
            for host in system["hosts"]:
                # The host's own instant where there is one: its clock may be ahead of the one that ended the run.
                until = instant(host["measured_at"], view["ended_at"])
                place = queries.HostPlace(host["name"], system["name"], system["environment"], until)
                found[system["name"], system["environment"], host["name"]] = self.series(place)
        return self.previous(view), found

    def series(self, place: queries.HostPlace, limit: int = 60) -> queries.Points:
        """(check, measure) to its last values, oldest first."""
        return queries.points(self._db, place, limit)

    def baselines(self, place: queries.HostPlace, runs: int = 20, minimum: int = 5) -> dict[str, dict[str, float]]:
        """Check to measure to the median over the last runs in which the check was ok."""
        return queries.baselines(self._db, place, runs, minimum)

    def recent(self, place: queries.HostPlace, seconds: float, now: float | None = None) -> dict[str, list[dict[str, Any]]]:
        """Check to its verdicts of the last ``seconds``, oldest first."""
        return queries.recent(self._db, place, (time.time() if now is None else now) - seconds)

    def trends(self, place: queries.HostPlace, limit: int = 60) -> dict[str, dict[str, dict[str, Any]]]:
        """Check to measure to where it is heading."""
        return queries.trends(self._db, place, limit)

    def bookmarks(self, place: queries.HostPlace) -> dict[str, dict[str, Any]]:
        """Log to where its last review stopped reading."""
        return history_logs.bookmarks(self._db, place)

    def told(self) -> dict[Key, Notice]:
        """What people were told last of each thing."""
        return history_notices.told(self._db)

    def known_signatures(self, place: queries.HostPlace, since: float) -> history_logs.Known:
        """Log to what its reviews since an instant saw; and since when it is reviewed at all."""
        return history_logs.known_signatures(self._db, place, since)

    def counts(self) -> dict[str, int]:
        """How many runs and events there are."""
        return {table: int(self._db.execute(f"select count(*) from {table}").fetchall()[0][0]) for table in ("runs", "events")}

    def verify(self, key: bytes, anchors: list[tuple[int, str]] | None = None) -> list[dict[str, Any]]:
        """Everything that is not as it was written."""
        return [problem._asdict() for problem in verify_history(self._db, self.places, key, anchors or [])]


def _refuse_another(key: bytes, newest: Seal | None) -> None:
    """All controllers of a history seal with one key: two keys would leave nobody able to verify the whole."""
    if newest is not None and newest.key_id != key_id(key):
        raise Refused(
            f"this controller has the key {key_id(key)}, and the history is sealed with the key {newest.key_id}",
            "give all controllers of this history the same key file (RUNBOOK_LEDGER_KEY_FILE)",
        )


def _endings(run_id: str, found: Journal) -> list[Event]:
    """The events that a run lacks when its process was killed or somebody changed what it had written."""
    last = found.events[-1] if found.events else None
    chain, kinds = Chain(run_id, last), {event.type for event in found.events}
    added = []
    if found.rest and "quarantined" not in kinds:
        added.append(chain.next("quarantined", journal.now_text(), _describe(found.rest, found.torn)))
    if "run_ended" not in kinds:
        ended_at = last.at if last else journal.now_text()
        added.append(chain.next("run_ended", journal.now_text(), {"state": "killed", "stats": {}, "exit_code": None, "ended_at": ended_at}))
    return added


def _describe(cut: bytes, torn: bool) -> dict[str, Any]:
    reason = "torn" if torn else "changed"
    message = {
        "torn": "the journal ends in the middle of a line: the run was killed while it wrote",
        "changed": "the journal was changed before it was sealed; what follows the change was set aside",
    }[reason]
    text = cut[:_SHOWN].decode("ascii", "backslashreplace")
    return {"reason": reason, "message": message, "bytes": len(cut), "sha256": hashlib.sha256(cut).hexdigest(), "text": text}
