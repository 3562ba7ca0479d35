# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A physical restore beside the logical one that people do by hand. Ratios of paired runs, never seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import evidence
from test_backup_bench import SCALE, Ours, measured, ratio, run

from ansible_collections.tradeops.runbook.tests.support.backup_sites import Site
from ansible_collections.tradeops.runbook.tests.support.pgbackrest import Cluster, installed

ROUNDS = 3
BENCH_SCALE = int(os.environ.get("RUNBOOK_BENCH_SCALE", SCALE))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """With a database of pgbench in it, and one backup of it."""
    if not installed():
        pytest.fail("the benchmark needs PostgreSQL and pgBackRest")
    with Cluster(on_disk=True) as found:
        found.sql("create database bench")
        found.run("pgbench", "-i", "-q", "-s", str(BENCH_SCALE), "-h", str(found.folder), "-U", "runbook", "bench", timeout=1800)
        found.sql("checkpoint")
        yield found


def test_a_physical_restore(cluster: Cluster, tmp_path: Path) -> None:
    ours = Ours(tmp_path, {"pgbackrest": cluster.options(process_max=2)})
    ours.params = Site("pgbackrest", tmp_path, cluster.options(process_max=2)).params(timeout_seconds=3600.0)
    ours.call("backup")
    psql = f"psql -X -q -v ON_ERROR_STOP=1 -h {cluster.folder} -U runbook"
    run(f"pg_dump -h {cluster.folder} -U runbook bench > {tmp_path}/plain.sql")
    size = (tmp_path / "plain.sql").stat().st_size
    [label] = cluster.labels()
    scratch = cluster.folder / "by_hand"
    account = " ".join(cluster.as_account())

    def logical() -> None:
        admin = f"{psql} -d postgres"
        run(f"{admin} -c 'create database by_hand'; {psql} -d by_hand < {tmp_path}/plain.sql > /dev/null; {admin} -c 'drop database by_hand'")

    def by_hand() -> None:
        """The restore alone, without a server that opens it."""
        restore = f"{account} pgbackrest --config={cluster.config} --stanza={cluster.stanza} --process-max=2"
        run(f"{account} mkdir -m 700 {scratch}; {restore} --set={label} --pg1-path={scratch} --spool-path={cluster.folder}/spool restore; rm -r {scratch}")

    contenders: dict[str, Callable[[], None]] = {"ours": lambda: ours.call("verify"), "psql < dump": logical, "pgbackrest restore": by_hand}
    found = measured(contenders, ROUNDS)
    proof = ours.said("verify")["proof"]
    assert proof["ok"] and proof["level"] == "restored"
    seen = ratio(found, "wall", "ours", "psql < dump")
    lines = [
        f"# A physical restore of a pgbench database (scale {BENCH_SCALE}, a plain dump of {size / 1e9:.2f} GB)", "",
        "Restored into a scratch directory, recovered by a server of its own to the end of the backup, compared with its inventory, and removed again.",
        "Made by `make bench`.", "", "| Goal | Seen |", "|---|---:|",
        f"| at most 0.35 of the wall time of `psql < dump` | {seen:.2f} |",
        f"| the same, of `pgbackrest restore` and `rm` alone | {ratio(found, 'wall', 'ours', 'pgbackrest restore'):.2f} |",
        f"| processor time, of `psql < dump` without its server's | {ratio(found, 'processor', 'ours', 'psql < dump'):.2f} |",
        f"| memory | {max(ours.said('verify')['memory']):.0f} MiB |", "",
    ]  # fmt: skip
    evidence("bench-pgbackrest.md", "\n".join(lines))
    if BENCH_SCALE == SCALE:
        assert seen <= 0.35
