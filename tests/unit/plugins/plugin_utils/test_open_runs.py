# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of runs under way: what arrives, who is dead, and that nobody is adopted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils import open_runs
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

from .recorded import KEY, chained, run_id, started, step

EVENTS = chained(run_id(1), [started(), step("changed"), step("ok")])


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return Places(tmp_path / "history", tmp_path, tmp_path / "key")


@pytest.fixture
def db(where: Places) -> Database:
    History(where).close()
    made = open_database(where)
    open_runs.announce(made, KEY, run_id(1), EVENTS[:1])
    return made


def silence(db: Database) -> None:
    db.execute("update open_runs set beat = beat - 61")


def test_a_run_that_beats_lives(db: Database, where: Places) -> None:
    assert open_runs.beat(db, KEY, run_id(1), EVENTS[1:])
    assert open_runs.beat(db, KEY, run_id(1), EVENTS[1:]), "sent twice after a lost answer"
    assert (open_runs.dead(db, where), open_runs.take(db, KEY, run_id(1)), open_runs.alive(db)) == ([], None, {run_id(1): EVENTS})


def test_a_silent_run_is_taken_once_with_what_arrived(db: Database, where: Places) -> None:
    silence(db)
    assert (open_runs.dead(db, where), open_runs.alive(db)) == ([run_id(1)], {})
    found = open_runs.take(db, KEY, run_id(1))
    assert found and (found.events, found.rest) == (EVENTS[:1], b"")
    assert open_runs.take(db, KEY, run_id(1)) is None
    assert not open_runs.beat(db, KEY, run_id(1), EVENTS[1:]), "its controller learns of it"


def test_a_run_whose_journal_is_here_is_not_taken_from_its_copy(db: Database, where: Places) -> None:
    silence(db)
    where.open.mkdir(parents=True)
    (where.open / f"{run_id(1)}.jsonl").touch()
    assert open_runs.dead(db, where) == []


def test_a_copy_that_was_changed_is_cut_where_it_is_not_sound(db: Database) -> None:
    open_runs.beat(db, KEY, run_id(1), EVENTS[1:])
    db.execute("update open_events set body = '{}' where seq = 2")
    silence(db)
    found = open_runs.take(db, KEY, run_id(1))
    assert found and found.events == EVENTS[:1] and found.rest.count(b"\n") == 2 and not found.torn


def test_events_that_nobody_with_the_key_wrote_are_set_aside(db: Database) -> None:
    open_runs.beat(db, b"x" * 32, run_id(1), EVENTS[1:])
    silence(db)
    found = open_runs.take(db, KEY, run_id(1))
    assert found and found.events == EVENTS[:1] and found.rest.count(b"\n") == 2


def test_tests_may_wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_runs.dead_seconds() == 60
    monkeypatch.setenv(open_runs.DEAD_SECONDS, "2.5")
    assert open_runs.dead_seconds() == 2.5
