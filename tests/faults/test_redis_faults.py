# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What test_backup_faults.py does to every other kind, with a real Redis server, its append-only file off and on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("redis", reason="the Python library redis is not installed")
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.redis_restore import Target
from ansible_collections.tradeops.runbook.tests.faults import test_backup_faults as sweep
from ansible_collections.tradeops.runbook.tests.faults.conftest import evidence
from ansible_collections.tradeops.runbook.tests.support.backup_sites import RANDOM
from ansible_collections.tradeops.runbook.tests.support.redis import program
from ansible_collections.tradeops.runbook.tests.support.redis_service import RedisSite, Service
from ansible_collections.tradeops.runbook.tests.support.redis_site import context, stream_of

pytestmark = pytest.mark.skipif(not program(), reason="redis-server is not installed (Debian package redis-server)")

COLUMNS = {"no": "Append-only file off", "yes": "Append-only file on"}
Note = Callable[[str, str], None]


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, str]]:
    return {}


@pytest.fixture(params=list(COLUMNS), ids=["rdb", "aof"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisSite]:
    """A server that saves by itself, also when it is stopped."""
    with Service({"appendonly": request.param, "save": "3600 1", "enable-debug-command": "local"}) as server:
        monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
        yield RedisSite(tmp_path, server)


@pytest.fixture
def note(site: RedisSite, table: dict[str, dict[str, str]]) -> Note:
    """Puts what was seen into the table."""

    def write(row: str, seen: str) -> None:
        table.setdefault(row, {})[site.server.options["appendonly"]] = seen

    return write


test_round_trips = sweep.test_round_trips
test_changed_bytes_and_cut_files = sweep.test_changed_bytes_and_cut_files
test_backups_that_are_killed = sweep.test_backups_that_are_killed
test_a_disk_that_is_full = sweep.test_a_disk_that_is_full
test_many_at_once = sweep.test_many_at_once
test_what_pruning_never_takes = sweep.test_what_pruning_never_takes


def test_restores_that_are_killed(site: RedisSite, note: Note) -> None:
    sweep.test_restores_that_are_killed(site, note)
    assert site.leftovers() == [], "what a killed one left, the next one removes"


def test_a_damaged_artifact_never_stops_the_server(site: RedisSite, note: Note) -> None:
    """Also where no digest of the repository would tell: what the target itself is fed."""
    site.server.ask("SAVE")
    good, before = site.server.rdb.read_bytes(), (site.server.pid, site.content())
    found = 0
    for number in range(sweep.FLIPS // 10):
        bad = bytearray(good)
        if number % 2:
            bad[RANDOM.randrange(len(bad))] ^= 1 << RANDOM.randrange(8)
        else:
            del bad[RANDOM.randrange(len(bad)) :]
        target = Target(site.options, context())
        try:
            target.stage(stream_of(bytes(bad)), {})
        except VerifyFailed:
            found += 1
        finally:
            target.discard()
    assert (found, site.leftovers()) == (sweep.FLIPS // 10, [])
    assert (site.server.pid, site.content()) == before
    note("The same of what a target is fed, past the digests of the repository; the server is not stopped", f"{found} of {found}")


def test_table_is_written(table: dict[str, dict[str, str]]) -> None:
    assert table and all(set(row) == set(COLUMNS) for row in table.values())
    lines = ["# Redis: backups and restores while things break", "", "On a real server with values of every type. Made by `make faults`.", "",
             f"| | {' | '.join(COLUMNS.values())} |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {row} | {' | '.join(seen[column] for column in COLUMNS)} |" for row, seen in table.items()]
    evidence("faults-redis.md", lines)
