# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped playbooks of backups on the real service: what they do, what check mode leaves alone, what the record and the report say."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRun, PlaybookRunner
from ansible_collections.tradeops.runbook.tests.support.service import SYSTEM, Service, checks_of, newest_report, running_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path / "state") as found:
        yield found


def digest(folder: Path) -> str:
    """Of every name, mode and byte below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found.update(f"{path.relative_to(folder)} {status.st_mode} {status.st_mtime_ns}\n".encode())
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


def rows(database: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return [*connection.execute("select * from orders order by id"), *connection.execute("select * from positions order by symbol")]


def well(run: PlaybookRun) -> PlaybookRun:
    assert run.rc == 0, run.stdout[-4000:]
    return run


def test_backup_proof_pruning_and_the_report(playbook: PlaybookRunner, service: Service, tmp_path: Path) -> None:
    given = {"environment": service.environment}
    preview = well(playbook("backup.yml", *SYSTEM, "--check", "--diff", **given))
    assert "a new backup" in preview.stdout and not (tmp_path / "backups").exists()
    well(playbook("backup.yml", *SYSTEM, **given))
    run = well(playbook("verify_backups.yml", *SYSTEM, **given))
    found = checks_of(newest_report(run.history))
    assert {name: found[name]["status"] for name in ("backup of orders", "backup of compliance")} == dict.fromkeys(
        ("backup of orders", "backup of compliance"), "ok"
    )
    assert 0 <= found["backup of orders"]["measures"]["rto"] < 60 and found["backup of orders"]["measures"]["rpo"] < 120
    before = digest(tmp_path / "backups")
    for name in ("backup.yml", "verify_backups.yml", "prune_backups.yml", "restore_drill.yml"):
        well(playbook(name, *SYSTEM, "--check", "--diff", **given))
    well(playbook("prune_backups.yml", *SYSTEM, **given))
    assert digest(tmp_path / "backups") == before, "check mode, and a pruning with nothing to do, leave everything alone"
    well(playbook("health.yml", *SYSTEM, **given))


def test_a_restore_is_planned_confirmed_done_and_taken_back(playbook: PlaybookRunner, service: Service, tmp_path: Path) -> None:
    given = {"environment": service.environment}
    database = service.state / "data/trading_orders.db"
    well(playbook("backup.yml", *SYSTEM, **given))
    well(playbook("verify_backups.yml", *SYSTEM, **given))
    in_use = well(playbook("restore.yml", *SYSTEM, "--check", "-e", "restore_source=orders", **given)).stdout
    assert re.search(r"in_use: python\S* \(\d+\)", in_use)
    token = re.findall(r"restore_confirm=([0-9a-f]{8})", in_use)[0]
    options = [*SYSTEM, "-e", "restore_source=orders", "-e", f"restore_state_dir={tmp_path / 'host'}"]
    refused = playbook("restore.yml", *options, "-e", f"restore_confirm={token}", **given)
    assert refused.rc == 2 and "is open in" in refused.stdout, "a living service keeps its database"
    service.stop()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("delete from orders")
        connection.execute("update positions set quantity = -12345")
        connection.commit()
    damaged, before = rows(database), digest(service.state)
    refused = playbook("restore.yml", *options, **given)
    assert refused.rc == 2 and "was not confirmed" in refused.stdout and digest(service.state) == before
    done = well(playbook("restore.yml", *options, "-e", f"restore_confirm={token}", **given)).stdout
    restored = rows(database)
    assert len(restored) > len(damaged) and all(row[-1] != -12345 for row in restored if len(row) == 2)
    undo = re.findall(r"restore_undo=(\S+)", done)[0]
    well(playbook("restore.yml", *options, "-e", f"restore_undo={undo}", **given))
    assert rows(database) == damaged


def test_a_drill_that_misses_its_objective_fails_and_says_by_how_much(playbook: PlaybookRunner, service: Service) -> None:
    given = {"environment": service.environment}
    well(playbook("backup.yml", *SYSTEM, **given))
    late = json.dumps({"backup_sources_late": [{"name": "orders", "rpo": "1 ms"}]})
    run = playbook("restore_drill.yml", *SYSTEM, "-e", late, **given)
    found = checks_of(newest_report(run.history))
    assert run.rc == 2 and found["backup of orders"]["status"] == "critical" and "rpo is" in found["backup of orders"]["message"]
    assert found["backup of compliance"]["status"] == "ok", "one source that fails does not keep the others from being proven"


@pytest.mark.parametrize(("mistake", "said"), [
    ({"backup_sources_more": [{"name": "x", "sorce": {}}]}, 'did you mean "source"'),
    ({"backup_sources_more": [{"name": "x", "source": {"sqlite": {"path": "/x"}, "files": {"root": "/y"}}}]}, "its kind as the only key"),
    ({"backup_keep": {"daily": "7d"}}, "is not a count"),
    ({"backup_only": ["nothing"]}, "the sources of nextrade_app are orders, compliance"),
    ({"backup_take_level": "fast"}, "value of backup_take_level must be one of"),
])  # fmt: skip
def test_mistakes_stop_it_before_anything_is_touched(
    playbook: PlaybookRunner, service: Service, tmp_path: Path, mistake: dict[str, object], said: str
) -> None:  # fmt: skip
    run = playbook("backup.yml", *SYSTEM, "-e", json.dumps(mistake), environment=service.environment)
    assert run.rc == 2 and said in run.stdout, run.stdout[-3000:]
    assert not (tmp_path / "backups").exists()
