# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets on real engines while things break: restored equal, or all as it was; and what is half done is known by name."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, Place, read_catalog
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.sets import choose
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING, evidence
from ansible_collections.tradeops.runbook.tests.support.backup_sites import RANDOM, FilesSite, PostgresqlSite, Site, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.children import killed
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server

TIMES = 20 if EVERYTHING else 2


class Whole:
    """A set of three engines, restored member by member as the role does it: in order, and back in the other one when a member fails."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.state = folder / "state"
        self.members: dict[str, Site] = {}
        for name, make in (("ledger", lambda path: PostgresqlSite(path, server)), ("orders", SqliteSite), ("settings", FilesSite)):
            (folder / name).mkdir()
            self.members[name] = make(folder / name)

    def params(self, name: str, run: str, **more: Any) -> dict[str, Any]:
        together = {"name": "trading", "members": list(self.members)}
        return {**self.members[name].params(**more), "name": name, "run_id": run, "state_dir": str(self.state), "set": together}

    def back_up(self, run: str) -> None:
        for name in self.members:
            take(self.params(name, run), False)

    def restore(self, run: str, wanted: str) -> None:
        """``run`` restores what the run ``wanted`` took."""
        artifacts = {name: [one.summary() for one in self.artifacts(name)] for name in self.members}
        for name, chosen in choose(artifacts, wanted)["artifacts"].items():
            given = {"select": chosen}
            token = bring_back(self.params(name, run, **given), True)["confirm"]
            bring_back(self.params(name, run, confirm=token, **given), False)

    def take_back(self, run: str) -> None:
        for name in reversed(self.members):
            bring_back(self.params(name, f"{run}-back", undo=run), False)

    def artifacts(self, name: str) -> list[Artifact]:
        site = self.members[name]
        return read_catalog(Directory({"path": str(site.store)}), Place("test", "exchange", site.kind, name))

    def intent(self) -> dict[str, Any]:
        """What is begun of the set."""
        found: list[dict[str, Any]] = [json.loads(path.read_text()) for path in self.state.glob("intents/set-trading-*.json")]
        return found[0] if found else {}

    def unfinished(self) -> str:
        name = next(iter(self.members))
        return str(bring_back(self.params(name, "looks"), True)["unfinished"])

    def content(self) -> dict[str, str]:
        return {name: site.content() for name, site in self.members.items()}

    def change(self) -> dict[str, str]:
        for site in self.members.values():
            site.change()
        return self.content()


@pytest.fixture(scope="module")
def rows() -> list[str]:
    return []


@pytest.fixture
def trading(tmp_path: Path, server: Server) -> Whole:
    return Whole(tmp_path, server)


def run_id(number: int) -> str:
    return f"20261120T{number:06}Z-00000000"


def test_sets_are_restored_equal(trading: Whole, rows: list[str]) -> None:
    equal = 0
    for number in range(TIMES):
        wanted = trading.change()
        trading.back_up(run_id(2 * number))
        trading.change()
        trading.restore(run_id(2 * number + 1), run_id(2 * number))
        equal += trading.content() == wanted and trading.unfinished() == ""
    assert equal == TIMES
    rows.append(f"| Three members are restored equal from one run | {equal} of {TIMES} |")


def test_a_member_that_fails_leaves_all_as_they_were(trading: Whole, rows: list[str]) -> None:
    trading.back_up(run_id(0))
    old = 0
    for number in range(TIMES):
        damaged = trading.change()
        failing = list(trading.members)[number % 3]
        site, good = trading.members[failing], {}
        for path in site.store.rglob("*.data.*"):
            good[path] = path.read_bytes()
            path.write_bytes(good[path][:-1] + bytes([good[path][-1] ^ 1]))
        with pytest.raises(VerifyFailed, match="not what was written"):
            trading.restore(run_id(number + 1), run_id(0))
        trading.take_back(run_id(number + 1))
        for path, body in good.items():
            path.write_bytes(body)
        old += trading.content() == damaged and trading.unfinished() == "" and not any(one.leftovers() for one in trading.members.values())
    assert old == TIMES
    rows.append(f"| One member, each in turn, cannot be restored: all are as they were | {old} of {TIMES} |")


def test_a_set_that_is_killed_is_finished_or_taken_back(trading: Whole, rows: list[str]) -> None:
    wanted = trading.content()
    trading.back_up(run_id(0))
    trading.change()
    started = time.monotonic()
    trading.restore(run_id(1), run_id(0))
    lasted, alive, right, half = time.monotonic() - started, 0, 0, 0
    for number in range(TIMES):
        damaged, run = trading.change(), run_id(2 * number + 2)
        alive += killed(partial(trading.restore, run, run_id(0)), lasted * (number + RANDOM.random()) / TIMES)
        restored = trading.intent().get("restored", [])
        half += bool(restored)
        assert not restored or f"the run {run} was interrupted: it restored {', '.join(restored)} of the set" in trading.unfinished()
        if number % 2:
            trading.take_back(run)
            right += trading.content() == damaged and trading.unfinished() == ""
        else:
            trading.restore(run_id(2 * number + 3), run_id(0))
            right += trading.content() == wanted and trading.unfinished() == ""
    assert right == TIMES
    rows.append(f"| The restore of a set is killed: named by the next run, then finished or taken back whole | {right} of {TIMES}, {alive} while it ran, "
                f"{half} half new |")  # fmt: skip


def test_table_is_written(rows: list[str]) -> None:
    assert len(rows) == 3
    head = ["# Sets while things break", "", "PostgreSQL, SQLite and files as one set. Made by `make faults`.", "", "| | |", "|---|---|"]
    evidence("faults-sets.md", [*head, *rows])
