# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run from its first event to its seal and its report.

The journal comes first; the history is opened briefly at the beginning and at the end. A shared history also gets a copy of
every event meanwhile. When either fails, the operator is warned
once, the run id leaves the environment, so that tasks that act refuse, and the events stay in memory, so that the report still
comes. What could not be written is tried once more at the end: a disk that is free again gets the whole record.
"""

from __future__ import annotations

import os
import secrets
import syslog
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import ANCHOR_DIGITS, Chain, Event
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import JournalFile, now_text
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import JOURNAL, RUN_ID, RUN_PID, Places, publish
from ansible_collections.tradeops.runbook.plugins.plugin_utils.relay import Relay
from ansible_collections.tradeops.runbook.plugins.plugin_utils.run_view import build_view

Material = tuple[dict[str, Any], dict[str, Any] | None, dict[tuple[str, str, str], Any]]
"""What a report is made of: the view of the run, that of the run before, the series of every host."""


@dataclass(frozen=True)
class Ending:
    """What is left of a run when it is over."""

    status: str
    report: str
    anchor: dict[str, Any] | None

    def line(self) -> str:
        """The last line on the screen."""
        sealed = f"ledger {self.anchor['seq']}:{self.anchor['mac'][:ANCHOR_DIGITS]}" if self.anchor else "not in the ledger"
        return f"run record: {self.status} · {self.report or 'no report'} · {sealed}"


def new_run_id() -> str:
    """``20261120T021500Z-7f3a9c1e``: sorts by time, and two runs of one second differ."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def forget_run() -> None:
    """No run is being recorded: tasks that act refuse from now on."""
    os.environ.update({RUN_ID: "", RUN_PID: "", JOURNAL: ""})


def not_recorded(error: Exception) -> str:
    """What the operator reads when the record cannot be kept."""
    hint = "this is a defect of the record: report it with this message"
    if isinstance(error, OSError):
        hint = "give the history a folder that belongs to you and has free space (RUNBOOK_HISTORY_DIR)"
    return f"This run is not recorded: {_words(error)}. Tasks that act will refuse. What to do: {getattr(error, 'hint', '') or hint}."


class Recorder:
    """The record of one run. ``warn`` shows a line to the operator."""

    def __init__(self, places: Places, warn: Callable[[str], None]) -> None:
        self.run_id = new_run_id()
        self._places = places
        self._warn = warn
        self._chain = Chain(self.run_id)
        self._events: list[Event] = []
        self._written = 0
        self._journal: JournalFile | None = None
        self._relay: Relay | None = None
        self._degraded = False

    def begin(self, facts: dict[str, Any]) -> None:
        """Open the journal, take in killed runs, and tell everybody the id of this one."""
        os.environ.update({RUN_ID: self.run_id, RUN_PID: str(os.getpid()), JOURNAL: ""})
        publish(self._places)
        try:
            self._journal = JournalFile(self._places.open, self.run_id)
            os.environ[JOURNAL] = str(self._journal.path)
        except OSError as error:
            self.degrade(error)
        self.record("run_started", {**facts, "run_id": self.run_id})
        try:
            if self._journal is not None:
                self._journal.sync()
            key = self._adopt()
            if self._places.url and self._journal is not None:
                self._relay = Relay(self._places, self.run_id, key)
        except Exception as error:  # whatever it is: the run goes on, and nothing acts unrecorded
            self.degrade(error)

    def _adopt(self) -> bytes:
        """Take in killed runs and announce this one; the key of the ledger."""
        with History(self._places) as history:
            key = history.ledger_key()
            adopted, left = history.adopt(key)
            found = [(view, *history.context(view)) for view in map(history.view, adopted) if view]
            history.announce(key, self.run_id, self._events)
            self._tell_late(history)
        for material in found:
            where = self._report(material)
            self._warn(
                f"Run {material[0]['run_id']} was killed or could not be sealed at its end. See what it had begun: {where or 'its report failed'}"
            )
        for problem in left:
            self._warn(f"A journal in {self._places.open} cannot be taken into the history: {problem}. Move it away and keep it.")
        return key

    def _tell_late(self, history: History) -> None:
        for path in history.late:
            self._warn(
                f"Run {path.stem} was out of touch for so long that another controller sealed it as killed. What it recorded after that is in {path}."
            )

    def record(self, kind: str, data: dict[str, Any]) -> None:
        """Add an event, in memory in any case."""
        self._events.append(self._chain.next(kind, now_text(), data))
        try:
            self._flush()
        except OSError as error:
            self.degrade(error)
        if self._relay is not None:
            self._relay.push(self._events[-1])
            for trouble in self._relay.troubles():
                self._warn(trouble)
            if self._relay.lost:
                forget_run()  # it is sealed as killed: nothing more may act in its name

    def _flush(self) -> None:
        while self._journal is not None and self._written < len(self._events):
            self._journal.append(self._events[self._written])
            self._written += 1

    def degrade(self, error: Exception) -> None:
        """From here on the run is not recorded: say so once."""
        forget_run()
        if self._degraded:
            return
        self._degraded = True
        self._warn(not_recorded(error))

    def finish(self, state: str, stats: dict[str, Any], exit_code: int | None) -> Ending:
        """Close the record, seal it and write the report."""
        self.record("run_ended", {"state": state, "stats": stats, "exit_code": exit_code, "ended_at": now_text()})
        material: Material = ({**build_view(self._events), "run_id": self.run_id}, None, {})
        try:
            material = self._seal() or material
        except Exception as error:  # the report must come
            self.degrade(error)
        finally:
            forget_run()
            if self._relay is not None:
                self._relay.stop()
            if self._journal is not None:
                self._journal.close()
        status, anchor = material[0]["status"], material[0]["anchor"]
        if anchor:
            _announce(self.run_id, anchor)
        return Ending(status, self._report(material), anchor)

    def _seal(self) -> Material | None:
        if self._journal is None:
            return None
        self._flush()
        self._journal.sync()
        with History(self._places) as history:
            history.seal_run(self._journal.path, history.ledger_key())
            self._tell_late(history)
            if history.late:
                return None  # the report tells all of it; the sealed part is in the history
            view = history.view(self.run_id)
            return (view, *history.context(view)) if view else None

    def _report(self, material: Material) -> str:
        """Write the report, elsewhere if need be; its path."""
        try:
            from ansible_collections.tradeops.runbook.plugins.plugin_utils.report import write_report

            try:
                return write_report(*material, str(self._places.reports))["html_path"]
            except OSError as error:
                folder = tempfile.mkdtemp(prefix="tradeops-report-")
                self._warn(f"{self._places.reports} cannot be written ({error.strerror}): the report goes to {folder}. Set RUNBOOK_REPORTS_DIR.")
                return write_report(*material, folder)["html_path"]
        except Exception as error:  # a report that fails must not hide how the run ended
            self._warn(f"The report could not be written: {_words(error)}. Make it later with tradeops.runbook.run_report.")
            return ""


def _announce(run_id: str, anchor: dict[str, Any]) -> None:
    """Leave the anchor where this user cannot take it back: the system log."""
    try:
        syslog.openlog("tradeops.runbook", syslog.LOG_PID, syslog.LOG_USER)
        syslog.syslog(syslog.LOG_NOTICE, f"ledger {anchor['seq']}:{anchor['mac']} run {run_id}")
        syslog.closelog()
    except OSError:
        pass


def _words(error: Exception) -> str:
    if isinstance(error, RunbookError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"
