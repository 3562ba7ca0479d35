# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical backups and restores by pgBackRest that are killed anywhere: the old cluster or the restored one, never neither, and nothing is left over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest import Pgbackrest
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest_cluster import PgCtl
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest_scratch import Scratch
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest_staging import Staging
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest_swap import Swap
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING, evidence, whole
from ansible_collections.tradeops.runbook.tests.support.children import forked, killed, status_of
from ansible_collections.tradeops.runbook.tests.support.pgbackrest import Cluster, PgbackrestSite, installed

pytestmark = pytest.mark.skipif(not installed(), reason="pgBackRest or PostgreSQL is not installed (Debian packages pgbackrest, postgresql)")

KILLS = 12 if EVERYTHING else 2
SOCKET = [".s.PGSQL.5432", ".s.PGSQL.5432.lock"]
STEPS: list[tuple[type[Any], str]] = [
    (Swap, "put"), (Pgbackrest, "watch"), (Scratch, "start"), (Scratch, "promote"), (Scratch, "stop"), (Swap, "begin"), (PgCtl, "stop"), (Staging, "release"),
    (PgCtl, "start"), (Staging, "remove"),
]  # fmt: skip
"""What a restore does, one after the other; the most delicate first, for those who try two."""
POSITIONS = [(kind, name, after) for kind, name in STEPS for after in (False, True)][: None if EVERYTHING else 2]


@pytest.fixture(scope="module")
def table() -> list[str]:
    return []


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pgf-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[PgbackrestSite]:
    with Cluster() as cluster:
        found = PgbackrestSite(folder, cluster)
        found.back_up()
        yield found


def killed_at(work: Callable[[], Any], step: tuple[type[Any], str, bool]) -> bool:
    """``work`` in a child that kills itself just before or after a step, the first time; whether it came to that."""
    kind, name, after = step

    def child() -> None:
        whole_step = getattr(kind, name)

        def step_and_end(*given: Any, **named: Any) -> Any:
            result = whole_step(*given, **named) if after else None
            os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(kind, name, step_and_end)
        work()

    return status_of(forked(child)) == -signal.SIGKILL


def orphans(site: PgbackrestSite) -> list[str]:
    """Servers that work in a folder of a restore or verification."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith(str(site.cluster.folder)) and ("/.data." in target or ".before-" in target):
            found.append(target)
    return found


def settled(site: PgbackrestSite) -> None:
    """Programs that were killed are gone a moment later."""
    end = time.monotonic() + 20
    while orphans(site):
        assert time.monotonic() < end, orphans(site)
        time.sleep(0.05)


def test_backups_that_are_killed(site: PgbackrestSite, table: list[str]) -> None:
    started = time.monotonic()
    good = site.back_up()["artifact"]["id"]
    lasted, before, alive = time.monotonic() - started, site.bytes_of(good), 0
    for number in range(KILLS):
        alive += killed(site.back_up, lasted * (number + 0.5) / KILLS)
        whole(site)
        assert site.bytes_of(good) == before
    assert site.back_up()["artifact"]["state"] == "good" and not list(site.store.rglob(".*.part"))
    assert site.prove()["proof"]["ok"]
    table.append(f"| A backup is killed: no half one, the last good one as it was, the next run works | {KILLS} of {KILLS}, {alive} while it ran |")


def test_verifications_that_are_killed(site: PgbackrestSite, table: list[str]) -> None:
    """What is left of one goes with the next."""
    steps = [(Scratch, "start", True), (Pgbackrest, "watch", True)][: None if EVERYTHING else 1]
    for kind, name, after in steps:
        assert killed_at(site.prove, (kind, name, after))
        settled(site)
        assert [left for left in site.leftovers() if left.startswith(".data.verify-")]
        assert site.prove()["proof"]["ok"] and site.leftovers() == SOCKET
    table.append(f"| A verification is killed: its server ends with it, and the next removes what it left | {len(steps)} of {len(steps)} |")


@pytest.mark.parametrize("step", POSITIONS, ids=lambda step: f"{'after' if step[2] else 'before'} {step[0].__name__}.{step[1]}")
def test_restores_that_are_killed(site: PgbackrestSite, table: list[str], step: tuple[type[Any], str, bool]) -> None:
    """Taken back by hand, and by the next restore."""
    good = site.artifacts()[0].id
    site.change()
    damaged = site.content()
    for again in (False, True) if EVERYTHING else (step[2],):
        assert killed_at(lambda: site.restore(select=good), step)
        settled(site)
        assert site.cluster.data.is_dir(), "neither the old data directory nor the restored one"
        tags = [json.loads(path.read_text())["tag"] for path in (site.folder / "state/intents").glob("*.json")]
        if again:
            tags = [site.restore(select=good)["restore"]["id"]]
            assert site.content() != damaged and site.leftovers() == SOCKET
            assert [path.name for path in site.cluster.folder.glob("*.before-*")] == [f"data.before-{tags[0]}"]
        for tag in tags:
            bring_back(site.params(undo=tag), False)
        assert site.content() == damaged and site.leftovers() == SOCKET and not list(site.cluster.folder.glob("*.before-*"))
    table.append(f"| A restore is killed {'after' if step[2] else 'before'} `{step[0].__name__}.{step[1]}`: as it was; once more, it works | yes |")


def test_a_cluster_that_is_dead_is_restored(site: PgbackrestSite, table: list[str]) -> None:
    """Nothing can be backed up of it before: its files are kept."""
    site.change()
    wanted = site.content()
    good = site.back_up()["artifact"]["id"]
    site.cluster.stop("immediate")
    (site.cluster.data / "global" / "pg_control").unlink()
    done = site.restore(select=good)["restore"]
    assert site.content() == wanted and done["saved"]["id"] is None and "only kept beside" in done["saved"]["reason"]
    assert (site.cluster.folder / f"data.before-{done['id']}").is_dir()
    table.append("| The server is dead and its control file gone: restored, the files that are left are kept | yes |")


def test_table_is_written(table: list[str]) -> None:
    assert table
    head = ["# Physical backups and restores while things break", "", "A PostgreSQL cluster and pgBackRest. Made by `make faults`.", "", "| | |", "|---|---|"]
    evidence("faults-pgbackrest.md", [*head, *table])
