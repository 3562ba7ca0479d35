# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets with the shipped playbooks on real engines: taken in one run, restored as one, whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from ansible_collections.tradeops.runbook.tests.integration.conftest import make_runner
from ansible_collections.tradeops.runbook.tests.support.backup_sites import FilesSite, PostgresqlSite, Site, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server, programs
from ansible_collections.tradeops.runbook.tests.support.sets import Trading, checks_of, said


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trading]:
    """A ledger in PostgreSQL where that is installed, orders in SQLite, and settings in files, which come last; backed up, and the plan seen."""
    folder = tmp_path_factory.mktemp("sets")
    with ExitStack() as stack:
        members: dict[str, Site] = {"orders": SqliteSite(folder), "settings": FilesSite(folder)}
        if programs() is not None:
            (folder / "ledger").mkdir()
            members = {"ledger": PostgresqlSite(folder / "ledger", stack.enter_context(Server())), **members}
        found = Trading(folder, make_runner(folder), members)
        with closing(sqlite3.connect(members["orders"].options["path"], isolation_level=None)) as connection:
            connection.execute("create table migrations (version integer)")
            connection.execute("insert into migrations values (41)")
        found.more["orders"] = {"revision": "select max(version) from migrations", "versions": {"git revision": "4f2a91c"}}
        found.wanted = found.content()
        found.run_id = found.back_up()
        with closing(sqlite3.connect(members["orders"].options["path"], isolation_level=None)) as connection:
            connection.execute("update migrations set version = 42")
        found.more["orders"]["versions"] = {"git revision": "99ab001"}
        before = found.content()
        found.plan = found.see()
        assert found.content() == before, "it was refused"
        yield found


@pytest.fixture
def trading(taken: Trading) -> Trading:
    """All of it changed since it was backed up."""
    taken.damaged = taken.change()
    assert all(taken.damaged[name] != taken.wanted[name] for name in taken.members) and taken.intents() == []
    return taken


def test_the_plan_is_of_one_run_and_says_what_changed_since(trading: Trading) -> None:
    assert f"run_id: {trading.run_id}" in trading.plan and "skew_seconds" in trading.plan
    assert "orders: the git revision was 4f2a91c and is now 99ab001" in trading.plan and "orders: the revision was 41 and is now 42" in trading.plan


def test_a_set_is_restored_as_one_and_taken_back_as_one(trading: Trading) -> None:
    done = trading.confirmed()
    assert done.rc == 0, done.stdout[-4000:]
    assert trading.content() == trading.wanted and trading.intents() == []
    checks = checks_of(done)
    assert {checks[f"backup of {name}"]["status"] for name in trading.members} == {"ok"}
    newest = [artifacts[-1] for artifacts in trading.artifacts().values()]
    [after] = {artifact.manifest["run_id"] for artifact in newest if artifact.manifest}
    assert after != trading.run_id and {artifact.state for artifact in newest} == {"good"}, "the first backups after it are a set, too"
    assert f"restore_undo={after}" in said(done)
    back = trading.restore(restore_undo=after)
    assert back.rc == 0 and trading.content() == trading.damaged, back.stdout[-4000:]


def test_when_the_last_member_fails_all_are_as_they_were(trading: Trading) -> None:
    artifact = next(one for one in trading.artifacts()["settings"] if one.manifest and one.manifest["run_id"] == trading.run_id)
    path = trading.store / artifact.prefix / artifact.manifest["parts"][0]["name"] if artifact.manifest else Path()
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    failed = trading.confirmed()
    path.write_bytes(good)
    assert failed.rc == 2 and trading.content() == trading.damaged and trading.intents() == []
    checks = checks_of(failed)
    assert "it was restored and taken back, since settings failed" in checks["backup of orders"]["message"]
    assert checks["backup of settings"]["status"] == "critical" and "not what was written" in checks["backup of settings"]["message"]
    assert "services stay stopped" not in said(failed)


def test_a_controller_that_is_killed_between_two_members(trading: Trading) -> None:
    process = trading.start("restore.yml", **trading.chosen, restore_confirm=trading.token)
    end = time.monotonic() + 100
    while not any("orders" in intent.get("restored", []) for intent in trading.intents()):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    known = next(intent for intent in trading.intents() if "members" in intent)
    expected = {name: trading.damaged[name] if name == "settings" else trading.wanted[name] for name in trading.members}
    assert trading.content() == expected
    back = trading.restore(restore_undo=known["run_id"])
    told = said(back)
    assert f"the run {known['run_id']} was interrupted: it restored {', '.join(known['restored'])} of the set, and not settings" in told
    begun = checks_of(back)["interrupted work"]["measures"]["begun"]
    assert begun.startswith("set-trading-"), begun
    assert f"of {', '.join(trading.members)} (restored: {', '.join(known['restored'])})" in begun, "the preflight of every run names it, too"
    assert back.rc == 0 and trading.content() == trading.damaged and trading.intents() == [], back.stdout[-4000:]


def test_a_run_with_a_bad_member_has_no_whole_set(trading: Trading) -> None:
    with closing(sqlite3.connect(trading.members["orders"].options["path"], isolation_level=None)) as connection:
        connection.execute("drop table migrations")
    failed = trading.run("backup.yml")
    checks = checks_of(failed)
    assert failed.rc == 2 and "table migrations is missing" in checks["backup of orders"]["message"]
    assert checks["set trading"]["status"] == "critical" and checks["set trading"]["message"] == "the set of this run is not whole: orders failed"
    missing = trading.run("restore.yml", restore_set="trading")
    assert missing.rc == 2 and "is suspect (table migrations is missing)" in said(missing) and "was never proven to restore" in said(missing)


def test_a_set_that_nobody_has(trading: Trading) -> None:
    run = trading.run("restore.yml", restore_set="tradng")
    assert run.rc == 2 and "sets are trading" in said(run) and trading.content() == trading.damaged, run.stdout[-3000:]
