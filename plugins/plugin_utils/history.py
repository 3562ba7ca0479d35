# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of all runs in one SQLite file.

A run comes in whole or not at all: one short transaction takes the write lock, reads the newest seal, inserts, seals. The
journal moves to ``sealed/`` after the commit, so that a crash between both leaves a journal whose run is known: the next run
only moves it. No connection is kept across a fork: SQLite's locks would not survive it.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, Refused, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import Chain, Event, make_seal
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history_queries as queries
from ansible_collections.tradeops.runbook.plugins.plugin_utils import journal
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import MIGRATIONS, insert, instant, migrate, rows_of, version_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_verify import verify_history
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, make_folder, make_key, read_key
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view

BUSY_SECONDS = 30.0
"""How long to wait while another run seals; that takes well under a second."""

_SHOWN = 4096
"""Characters of a quarantined text that its event shows; all of it is kept beside the journal."""


class History:
    """An open history. Use it as a context manager, and briefly."""

    def __init__(self, places: Places, read_only: bool = False) -> None:
        """Open it; a writer also creates it and brings its tables up to date. A reader raises FileNotFoundError where there is none."""
        self.places = places
        if not read_only:
            make_folder(places.history)
            places.database.touch(mode=0o600)
        elif not places.database.exists():
            raise FileNotFoundError(places.database)
        # Read-write also for readers: only so can SQLite finish what a crash left half done. query_only keeps them readers.
        self._db = sqlite3.connect(f"{places.database.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare(read_only)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        self._db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")  # damaged text must reach verification
        with self._explained():
            self._db.execute(f"pragma query_only = {'on' if read_only else 'off'}")
            self._db.execute("pragma synchronous = full")
            version = version_of(self._db)
        if version == len(MIGRATIONS):
            return
        if read_only or version > len(MIGRATIONS):
            hint = "the next recorded run updates it" if version < len(MIGRATIONS) else "a newer release of tradeops.runbook wrote it: use that one"
            raise VerifyFailed(f"the history has schema version {version}, this release has {len(MIGRATIONS)}", hint)
        with self._transaction():
            migrate(self._db)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as ours, with what to do about them."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                hint = "see which process holds it (fuser), then run again"
                raise Busy(f"{self.places.database} was locked for {BUSY_SECONDS:.0f} s by another process", hint) from error
            raise VerifyFailed(f"{self.places.database}: {error}", "see its owner, its mode and the free space") from error
        except sqlite3.DatabaseError as error:
            hint = "restore it from the backup; the journals in sealed/ hold the same events"
            raise VerifyFailed(f"{self.places.database} is damaged: {error}", hint) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise

    def ledger_key(self) -> bytes:
        """The key, made on first use; never made anew once something was sealed, since nothing could be verified any more."""
        key = read_key(self.places.key)
        if key is not None:
            return key
        sealed = queries.last_seal(self._db) is not None or (self.places.sealed.is_dir() and any(self.places.sealed.iterdir()))
        if sealed:
            raise Refused(
                f"the ledger's key {self.places.key} is missing, and there are runs sealed with it",
                "bring it back from the backup; without it no run can be sealed or verified",
            )
        return make_key(self.places.key)

    def seal_run(self, path: Path, key: bytes) -> dict[str, Any]:
        """Take the run of a journal into the history and seal it; its anchor. A run already sealed stays as it is."""
        run_id = journal.run_id_of(path)
        with self._transaction():
            if queries.anchor(self._db, run_id) is None:
                self._insert(path, run_id, key)
            found = queries.anchor(self._db, run_id)
        journal.shelve(path, self.places.sealed)
        return found or {}

    def adopt(self, key: bytes) -> tuple[list[str], list[str]]:
        """Seal the runs whose process is gone: as they ended, or as ``killed``. Their ids, and what kept others from it."""
        adopted, left = [], []
        for path in sorted(self.places.open.glob(f"*{journal.SUFFIX}")):
            try:
                adopted += [path.stem] if journal.run_id_of(path) and self._adopt_one(path, key) else []
            except Exception as error:  # one journal that nobody can read must not stop all later runs
                left.append(f"{path.name}: {error}")
        return adopted, left

    def _adopt_one(self, path: Path, key: bytes) -> bool:
        if journal.is_alive(path):
            return False
        with self._transaction():  # nobody else can be adopting or sealing this one while the write lock is held
            if not path.exists() or journal.is_alive(path):
                return False
            is_new = queries.anchor(self._db, path.stem) is None
            if is_new:
                self._insert(path, path.stem, key)
        journal.shelve(path, self.places.sealed)
        return is_new

    def _insert(self, path: Path, run_id: str, key: bytes) -> None:
        events = self._complete(path, run_id)
        seal = make_seal(key, queries.last_seal(self._db), run_id, events, journal.now_text())
        for table, rows in rows_of({**build_view(events), "run_id": run_id}).items():
            insert(self._db, table, rows)
        insert(self._db, "events", [(run_id, *event) for event in events])
        insert(self._db, "seals", [tuple(seal)])

    def _complete(self, path: Path, run_id: str) -> list[Event]:
        """The events of a journal, with the end it lacks when its process was killed, and word of what is not sound in it."""
        found = journal.read(path)
        cut = journal.quarantine(path, found)
        last = found.events[-1] if found.events else None
        chain, kinds = Chain(run_id, last), {event.type for event in found.events}
        added = []
        if cut and "quarantined" not in kinds:
            added.append(chain.next("quarantined", journal.now_text(), _describe(cut, found.torn)))
        if "run_ended" not in kinds:
            ended_at = last.at if last else journal.now_text()
            added.append(chain.next("run_ended", journal.now_text(), {"state": "killed", "stats": {}, "exit_code": None, "ended_at": ended_at}))
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
        paths = sorted(self.places.open.glob(f"*{journal.SUFFIX}"), reverse=True)
        views = [build_view(journal.read(path).events) for path in paths if journal.run_id_of(path) and journal.is_alive(path)]
        return [queries.row_of(view) for view in views if view["run_id"]]

    def first_run_at(self, wanted: queries.Wanted | None = None) -> str | None:
        """When the first run began on what is asked for, of whichever playbook."""
        return queries.first_run_at(self._db, wanted or queries.Wanted())

    def view(self, run_id: str) -> dict[str, Any] | None:
        """The RunView of a sealed run."""
        found = queries.anchor(self._db, run_id)
        return {**build_view(queries.events(self._db, run_id)), "run_id": run_id, "anchor": found} if found else None

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

    def counts(self) -> dict[str, int]:
        """How many runs and events there are."""
        return {table: int(self._db.execute(f"select count(*) from {table}").fetchone()[0]) for table in ("runs", "events")}

    def verify(self, key: bytes, anchors: list[tuple[int, str]] | None = None) -> list[dict[str, Any]]:
        """Everything that is not as it was written."""
        return [problem._asdict() for problem in verify_history(self._db, self.places, key, anchors or [])]


def _describe(cut: bytes, torn: bool) -> dict[str, Any]:
    reason = "torn" if torn else "changed"
    message = {
        "torn": "the journal ends in the middle of a line: the run was killed while it wrote",
        "changed": "the journal was changed before it was sealed; what follows the change was set aside",
    }[reason]
    text = cut[:_SHOWN].decode("ascii", "backslashreplace")
    return {"reason": reason, "message": message, "bytes": len(cut), "sha256": hashlib.sha256(cut).hexdigest(), "text": text}
