# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay: carries events in order, says once what is wrong, and is gone when it is stopped."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Unreachable
from ansible_collections.tradeops.runbook.plugins.plugin_utils import open_runs, relay
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import SqliteDatabase, open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.tests.support.waiting import until

from .recorded import KEY, chained, raising, run_id, started, step

EVENTS = chained(run_id(1), [started(), step("changed"), step("ok")])


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A shared history that is, for once, a file."""
    monkeypatch.setenv(open_runs.DEAD_SECONDS, "1")
    found = Places(tmp_path / "history", tmp_path, tmp_path / "key")
    History(found).close()
    open_runs.announce(open_database(found), KEY, run_id(1), EVENTS[:1])
    return found


def arrived(where: Places) -> int:
    return len(open_database(where).execute("select 1 from open_events").fetchall())


def test_events_arrive_and_the_end_ends_it(where: Places) -> None:
    one = relay.Relay(where, run_id(1), KEY)
    one.push(EVENTS[1])
    until(lambda: arrived(where) == 2)
    one.push(EVENTS[2])
    one.stop()
    assert arrived(where) == 3 and not one._thread.is_alive() and one._db is None and one.troubles() == []


def test_trouble_is_told_once_and_overcome(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(relay, "open_database", raising(Unreachable("the server is away")))
        one = relay.Relay(where, run_id(1), KEY)
        one.push(EVENTS[1])
        until(lambda: one._warned)
        time.sleep(0.2)
        told = one.troubles()
        assert len(told) == 1 and told[0].startswith("The shared history cannot be reached: the server is away. The run goes on")
    until(lambda: arrived(where) == 2)
    one.stop()
    assert not one.lost


def test_a_run_that_was_adopted_is_lost(where: Places) -> None:
    SqliteDatabase(where, False).execute("delete from open_runs")
    one = relay.Relay(where, run_id(1), KEY)
    until(lambda: one.lost)
    one.stop()
    assert "took it for dead" in one.troubles()[0] and arrived(where) == 1


def test_a_thread_that_hangs_does_not_keep_the_run(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_STOP_SECONDS", 0.2)
    monkeypatch.setattr(open_runs, "beat", lambda *_all: time.sleep(3))
    one = relay.Relay(where, run_id(1), KEY)
    time.sleep(0.3)
    began = time.monotonic()
    one.stop()
    assert time.monotonic() - began < 2 and one._thread.daemon
