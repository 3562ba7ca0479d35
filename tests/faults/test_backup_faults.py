# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores of every kind on real engines while things break, many times over; the table of what was seen goes to docs/evidence.

After each fault: what looks like a backup is whole, the last good one is byte for byte what it was, a plain run afterwards succeeds, and nothing
is left behind.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, NoSpace, Refused, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import prove_readable, prove_stored
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._module import prune as prune_module
from ansible_collections.tradeops.runbook.plugins.module_utils._module.restore import bring_back
from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING, evidence, whole
from ansible_collections.tradeops.runbook.tests.support.backup_sites import RANDOM, Site
from ansible_collections.tradeops.runbook.tests.support.children import forked, killed, status_of

FLIPS, ROUND_TRIPS, KILLS, SIZES = (1000, 20, 20, 24) if EVERYTHING else (20, 2, 3, 6)
DAY = 86400.0


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, str]]:
    return {}


@pytest.fixture
def note(site: Site, table: dict[str, dict[str, str]]) -> Callable[[str, str], None]:
    """Puts what was seen of this kind into the table."""

    def write(row: str, seen: str) -> None:
        table.setdefault(row, {})[site.kind] = seen

    return write


Note = Callable[[str, str], None]


def test_round_trips(site: Site, note: Note) -> None:
    equal = 0
    for _number in range(ROUND_TRIPS):
        site.change()
        before = site.content()
        made = site.back_up()["artifact"]["id"]
        site.change()
        assert site.content() != before
        site.restore(select=made)
        equal += site.content() == before
    assert equal == ROUND_TRIPS
    note("Restored data is equal to what was backed up", f"{equal} of {ROUND_TRIPS}")


def test_changed_bytes_and_cut_files(site: Site, note: Note) -> None:
    site.back_up()
    [artifact] = site.artifacts()
    path = site.store / artifact.prefix / artifact.manifest["parts"][0]["name"] if artifact.manifest else site.store
    good = path.read_bytes()
    before, caught = site.content(), 0
    for number in range(FLIPS):
        bad = bytearray(good)
        if number % 2:
            bad[RANDOM.randrange(len(bad))] ^= 1 << RANDOM.randrange(8)
        else:
            del bad[RANDOM.randrange(len(bad)) :]
        path.write_bytes(bad)
        [found] = site.artifacts()
        try:
            (prove_readable if number % 4 < 2 else prove_stored)(found, site.bench())
        except VerifyFailed:
            caught += 1
    with pytest.raises(RunbookError):
        site.restore(select=artifact.id)
    assert (caught, site.content(), site.leftovers()) == (FLIPS, before, [])
    note("Changed bits and cut files are found before a restore", f"{caught} of {FLIPS}")


def test_backups_that_are_killed(site: Site, note: Note) -> None:
    started = time.monotonic()
    good = site.back_up()["artifact"]["id"]
    lasted, before, alive = time.monotonic() - started, site.bytes_of(good), 0
    for number in range(KILLS):
        alive += killed(site.back_up, lasted * (number + 0.5) / KILLS)
        whole(site)
        assert site.bytes_of(good) == before
    assert site.back_up()["artifact"]["state"] == "good"
    assert site.leftovers() == [] and not list(site.store.rglob(".*.part"))
    note("A backup is killed: no half one, the last good one as it was, the next run works", f"{KILLS} of {KILLS}, {alive} while it ran")


def test_restores_that_are_killed(site: Site, note: Note) -> None:
    wanted = site.content()
    good = site.back_up()["artifact"]["id"]
    site.change()
    started = time.monotonic()
    site.restore(select=good)
    lasted, alive, outcomes = time.monotonic() - started, 0, set()
    for number in range(KILLS):
        site.change()
        damaged = site.content()
        alive += killed(lambda: site.restore(select=good), lasted * (number + 0.5) / KILLS)
        for body in [json.loads(path.read_text()) for path in (site.folder / "state/intents").glob("*.json")]:
            bring_back(site.params(undo=body["tag"]), False)
        found = site.content()
        assert found in (damaged, wanted), "neither the old data nor the restored"
        outcomes.add(found == wanted)
        site.restore(select=good)
        assert site.content() == wanted
    note("A restore is killed: the old data or the restored, never a mixture; once more, it works", f"{KILLS} of {KILLS}, {alive} while it ran")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_full(site: Site, note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    site.back_up()
    [made] = site.artifacts()
    needed, seen = made.size_bytes, set()
    shutil.rmtree(site.store)
    monkeypatch.setattr(Directory, "free_bytes", lambda self: None)  # else it would see that at once, and not try
    for number in range(SIZES):
        size = max(16384, needed * (number + 1) // (SIZES - 4)) // 4096 * 4096
        site.store.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(site.store)], check=True)
        try:
            try:
                site.back_up()
                seen.add("ok")
            except NoSpace:
                seen.add("no_space")
            whole(site)
            assert not list(site.store.rglob(".*.part"))
        finally:
            subprocess.run(["umount", str(site.store)], check=True)
            site.store.rmdir()
    assert seen == {"ok", "no_space"} and site.leftovers() == []
    note("The disk of the repository is full at some point: no_space, nothing half left", f"{SIZES} of {SIZES} sizes")


def test_many_at_once(site: Site, note: Note) -> None:
    gate = time.monotonic() + 0.3

    def one() -> None:
        time.sleep(max(0, gate - time.monotonic()))
        try:
            site.back_up()
        except Busy:
            os._exit(3)

    children = [forked(one) for _number in range(6)]
    codes = [status_of(pid) for pid in children]
    assert set(codes) <= {0, 3} and 0 in codes
    assert len(site.artifacts()) == codes.count(0)
    whole(site)
    note("Six backups at once: one after the other, or busy", f"{codes.count(0)} done, {codes.count(3)} busy")


def test_what_pruning_never_takes(site: Site, note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    for _number in range(3):
        site.back_up()
        site.prove()
    site.back_up()
    restored = {artifact.id: site.bytes_of(artifact.id) for artifact in site.artifacts() if artifact.restored_at is not None}
    now, refused = time.time(), []
    for seconds in (200 * DAY, 60 * DAY, -60 * DAY, -3650 * DAY, 40000 * DAY):
        monkeypatch.setattr(prune_module.time, "time", lambda moved=now + seconds: moved)
        with pytest.raises(Refused) as caught:
            site.prune(last=1)
        refused.append(caught.value.code)
    monkeypatch.setattr(prune_module.time, "time", lambda: now)

    def half(self: Directory, prefix: str) -> Iterator[Any]:
        yield from itertools.islice(whole_listing(self, prefix), 1)
        raise RunbookError("the second half of the listing failed")

    whole_listing = Directory.list
    monkeypatch.setattr(Directory, "list", half)
    with pytest.raises(RunbookError, match="second half"):
        site.prune(last=1)
    monkeypatch.setattr(Directory, "list", whole_listing)
    assert {name: site.bytes_of(name) for name in restored} == restored
    site.prune(last=1, minimum_restored=1)
    newest = max(restored)
    assert site.bytes_of(newest) == restored[newest], "the newest that was proven to restore stays, though a newer one was not proven"
    note("Clock ahead by 60 and 200 days, behind by 60 and 3,650, a listing that fails: nothing is pruned", f"{len(refused) + 1} of 6 refused")
    note("The newest proven one stays beside a newer one that is not proven", "yes")


def test_table_is_written(table: dict[str, dict[str, str]]) -> None:
    kinds = ("sqlite", "files", "postgresql")
    assert table and all(set(row) == set(kinds) for row in table.values())
    lines = ["# Backups and restores while things break", "", "On real engines (SQLite in WAL mode, a tree of files, PostgreSQL). Made by `make faults`.", "",
             "| | SQLite | Files | PostgreSQL |", "|---|---|---|---|"]  # fmt: skip
    lines += [f"| {row} | {' | '.join(seen[kind] for kind in kinds)} |" for row, seen in table.items()]
    evidence("faults-backup.md", lines)
