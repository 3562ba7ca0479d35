# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups to a real S3 server (Ceph) while the network breaks at any byte, rights go, and writers are killed; the table goes to docs/evidence.

After each fault: a backup that was reported is there, what looks like a backup is whole, the last good one is what it was, a plain run afterwards
succeeds, and under its lock no upload is open.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import prove_readable
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _s3
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_client import Patience
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_errors import Denied
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.backup import open_repository
from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING, evidence
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.support.rgw import IMAGE, READING, WITHOUT, Bucket, OffSiteFiles, Rgw, running
from ansible_collections.tradeops.runbook.tests.support.s3_proxy import DOWN, UP, Break, Proxy, between
from ansible_collections.tradeops.runbook.tests.support.waiting import until

pytestmark = pytest.mark.skipif(not IMAGE, reason=WITHOUT)
pytest.importorskip("boto3", reason="boto3 is not installed")

BACKUPS, RESTORES, KILLS = (8, 6, 20) if EVERYTHING else (1, 1, 2)
NOTES = 60 if EVERYTHING else 15
BREAKS = ("cut", "reset", "stall", "slow", "flip", "gone")
EACH = [(how, way) for how in BREAKS for way in (UP, DOWN)] if EVERYTHING else [("cut", UP), ("reset", DOWN), ("stall", UP), ("flip", UP), ("gone", UP)]
SEEDED = random.Random(11)
Table = dict[str, str]


@pytest.fixture(scope="module")
def table() -> Table:
    return {}


@pytest.fixture(scope="module")
def server() -> Iterator[Rgw]:
    with running(6144 if EVERYTHING else 2048) as found:
        yield found


@pytest.fixture(scope="module")
def proxy(server: Rgw) -> Iterator[Proxy]:
    with between((server.address, 8000)) as found:
        yield found


@pytest.fixture
def bucket(server: Rgw) -> Bucket:
    return server.bucket()


@pytest.fixture
def site(bucket: Bucket, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broken:
    """With one good backup."""
    proxy.breaks(None)
    found = Broken(tmp_path, bucket, proxy)
    found.back_up()
    monkeypatch.setattr(_s3, "Patience", functools.partial(Patience, read_seconds=1.0, request_seconds=5.0, random=lambda: 0.05))
    return found


class Broken(OffSiteFiles):
    """What it does goes through the proxy; what is looked at does not."""

    def __init__(self, folder: Path, bucket: Bucket, proxy: Proxy) -> None:
        self.bucket, self.proxy = bucket, proxy
        super().__init__(folder, bucket.options(folder))
        (self.root / "large").write_bytes(random.Random(3).randbytes(6 << 20))

        self.through = {"s3": {**self.place, "endpoint_url": proxy.url, "max_attempts": 4}}

    def params(self, **more: Any) -> dict[str, Any]:
        return super().params(**{"repository": self.through, **more})

    def outcome(self, work: Callable[[], Any], fault: Break) -> str:
        """``ok``, or the code of the error."""
        self.proxy.breaks(fault)
        try:
            work()
        except RunbookError as error:
            return error.code
        finally:
            self.proxy.breaks(None)
        return "ok"

    def settled(self) -> set[str]:
        """The backups there are, each of them whole, once the next run has the lock; no upload is open then."""
        with open_repository(self.through).locked(f"test/exchange/{self.kind}/trades/"):
            assert not self.bucket.uploads()
        artifacts = self.artifacts()
        for artifact in artifacts:
            if artifact.manifest is not None:
                prove_readable(artifact, self.bench())
        return {artifact.id for artifact in artifacts if artifact.manifest is not None}

    def forget(self, kept: set[str]) -> None:
        """All but these, so that what is read stays little."""
        client = self.bucket.server.client()
        for key in self.bucket.keys():
            if "/trades/" in key and not any(name in key for name in kept):
                client.delete_object(Bucket=self.bucket.name, Key=key)


def spread(count: int, whole: int) -> list[int]:
    """Positions in all that is sent, one in each of ``count`` parts."""
    return [SEEDED.randrange(whole * number // count, whole * (number + 1) // count) for number in range(count)]


def told(outcomes: Counter[str]) -> str:
    return f"{outcomes.total()}: " + ", ".join(f"{count} {code}" for code, count in outcomes.most_common())


@pytest.mark.parametrize(("how", "way"), EACH)
def test_a_backup_over_a_network_that_breaks(site: Broken, table: Table, how: str, way: str) -> None:
    good = site.settled()
    site.proxy.breaks(None)
    made = site.back_up()["artifact"]["id"]
    sent, outcomes = site.proxy.passed[way], Counter[str]()
    site.forget(good)
    for place in spread(BACKUPS, sent):
        before = site.bucket.bodies()
        fault = Break(way, how, place)
        code = site.outcome(site.back_up, fault)
        there = site.settled()
        new = len(there - good)
        assert there >= good and new <= 1 and (code != "ok" or new), (code, fault)
        assert {key: body for key, body in site.bucket.bodies().items() if key in before} == before
        assert fault.met or how == "slow", "the fault was met"
        outcomes[code if code == "ok" or not new else f"{code} after it was complete"] += 1
        site.forget(good)
    assert made and site.back_up()["artifact"]["state"] == "good"
    assert how != "slow" or set(outcomes) == {"ok"}
    assert how != "gone" or "ok" not in outcomes or way == DOWN
    table[f"Backup, {how} on the way {way}"] = told(outcomes)


@pytest.mark.parametrize("how", BREAKS if EVERYTHING else ["cut", "flip"])
def test_a_restore_over_a_network_that_breaks(site: Broken, table: Table, how: str) -> None:
    [good] = site.settled()
    wanted, outcomes = site.content(), Counter[str]()
    site.proxy.breaks(None)
    site.prove()
    sent = site.proxy.passed[DOWN]
    for place in spread(RESTORES, sent):
        site.change()
        damaged = site.content()
        code = site.outcome(lambda: site.restore(select=good), Break(DOWN, how, place))
        assert site.content() == (wanted if code == "ok" else damaged), code
        outcomes[code] += 1
        site.forget({good})
    site.restore(select=good)
    assert site.content() == wanted
    table[f"Restore, {how} on the way down"] = told(outcomes)


def test_writers_that_are_killed(site: Broken, table: Table) -> None:
    good = site.settled()
    started, alive = time.monotonic(), 0
    site.back_up()
    lasted = time.monotonic() - started
    site.forget(good)
    for number in range(KILLS):
        pid = forked(site.back_up)
        time.sleep(lasted * (number + 0.5) / KILLS)
        os.kill(pid, signal.SIGKILL)
        alive += status_of(pid) == -signal.SIGKILL
        assert site.settled() >= good
        site.forget(good)
    assert site.back_up()["artifact"]["state"] == "good"
    table["Backup, killed"] = f"{KILLS}, {alive} while it ran"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9] if EVERYTHING else [0.5])
def test_a_right_is_lost_on_the_way(site: Broken, table: Table, share: float) -> None:
    """And comes back: what the run left open is ended by the next one."""
    good = site.settled()
    site.proxy.breaks(None)
    site.back_up()
    sent, rights = site.proxy.passed[UP], {"writer": READING}
    site.forget(good)
    outcome = site.outcome(site.back_up, Break(UP, "call", int(sent * share), lambda: site.bucket.allow(rights)))
    assert outcome == Denied.code
    site.bucket.allow()
    until(lambda: site.settled() == good, 20)
    assert site.back_up()["artifact"]["state"] == "good"
    table[f"Backup, the right to write is lost after {share:.0%}"] = outcome


def test_a_note_is_read_right_whatever_bit_flips_on_the_way(site: Broken) -> None:
    [artifact] = site.artifacts()
    name, bodies = f"{artifact.prefix}{artifact.id}.manifest.json", list[bytes]()

    def look() -> None:
        with open_repository(site.through).open(name) as reader:
            bodies.append(b"".join(iter(lambda: reader.read(65536), b"")))

    site.proxy.breaks(None)
    look()
    faults = [Break(DOWN, "flip", place) for place in spread(NOTES, site.proxy.passed[DOWN])]
    outcomes = Counter(site.outcome(look, fault) for fault in faults)
    assert all(fault.met for fault in faults)
    assert set(bodies) == {bodies[0]} and len(bodies) == 1 + outcomes["ok"] > NOTES / 2, outcomes


def test_table_is_written(table: Table) -> None:
    assert len(table) == (len(BREAKS) * 3 + 4 if EVERYTHING else len(EACH) + 4)
    lines = [
        "# Backups in S3 while things break", "",
        "A tree of files in a Ceph gateway, through a network that breaks at a byte of what is sent. Every run ended with a backup, or with an error;",
        "every backup that could be seen was whole, the one before was unchanged, and no upload stayed open. A restore ended with the right data, or",
        "with what was there before. Made by `make faults`.", "", "| What breaks | Runs, and how they ended |", "|---|---|",
    ]  # fmt: skip
    evidence("faults-s3.md", [*lines, *(f"| {row} | {seen} |" for row, seen in table.items())])
