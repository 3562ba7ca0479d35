# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of backups while they break at any system call, and prunings that wait for them: nothing half is seen, the next run finishes, and no
backup is lost in both places."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, NoSpace, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import Bench, prove_readable
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING
from ansible_collections.tradeops.runbook.tests.support.backup_sites import RANDOM, FilesSite, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.support.copy_sites import HOUR, Copied, files_of
from ansible_collections.tradeops.runbook.tests.support.s3_faults import BUCKET, serving
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.strace import needs_strace, sweep

FLIPS, KILLS = (400, 20) if EVERYTHING else (12, 3)
WRITES = ("openat", "write", "fsync", "link", "mkdir", "unlink")
CALLS = WRITES if EVERYTHING else ("write", "fsync", "link")


@pytest.fixture
def pair(tmp_path: Path) -> Copied:
    """Of two backups the older one is in the copy already."""
    found = Copied(SqliteSite(tmp_path))
    found.take(2 * HOUR)
    found.copy()
    found.take(HOUR, proven=False)
    return found


def readable(pair: Copied) -> int:
    """Whatever looks like a backup in the copy is one; how many there are."""
    good = [artifact for artifact in pair.there() if artifact.manifest is not None]
    for artifact in good:
        assert artifact.state == "good"
        prove_readable(artifact, Bench(pair.repository(), Zstd(), time.time))
    return len(good)


def half_written(pair: Copied) -> list[Path]:
    """What the next copy should have removed. A second name of a whole file, and the proof that comes after all else, do not make anything to copy:
    they go with the next lock."""
    return [path for path in pair.folder.rglob(".*.part") if ".proof." not in path.name and path.stat().st_nlink == 1]


def again_from(template: Path, pair: Copied) -> None:
    shutil.rmtree(pair.folder)
    shutil.copytree(template, pair.folder)


@needs_strace
@pytest.mark.parametrize("effect", ["signal=KILL", "error=EIO", "error=ENOSPC"])
def test_a_copy_that_breaks_at_any_step(effect: str, pair: Copied, tmp_path: Path) -> None:
    template, first = tmp_path / "template", files_of(pair.folder)
    shutil.copytree(pair.folder, template)
    source, ends = files_of(pair.site.store), set()

    def prepare() -> Callable[[], Any]:
        again_from(template, pair)
        return pair.copy

    for fault, ended in sweep(prepare, tmp_path / "log", [(call, effect) for call in CALLS if effect != "error=ENOSPC" or call in ("write", "link")]):
        assert ended.killed or ended.error is None or isinstance(ended.error, RunbookError), f"{fault}: {ended.error!r}"
        ends.add("killed" if ended.killed else ended.error.code if isinstance(ended.error, RunbookError) else (ended.result or {}).get("outcome", "ok"))
        count, there = readable(pair), files_of(pair.folder)
        assert count in (1, 2) and all(there[name] == body for name, body in first.items()), fault
        assert files_of(pair.site.store) == source, f"{fault}: the first repository is only read"
        if not ended.killed:
            assert not half_written(pair) or fault.syscall == "unlink", fault
        assert pair.copy().get("outcome", "ok") == "ok" and readable(pair) == 2 and files_of(pair.folder) == source, fault
        assert not half_written(pair), fault
    assert ends >= {"killed" if effect == "signal=KILL" else "failed"}, ends


def test_copies_that_are_killed_while_they_run(tmp_path: Path) -> None:
    pair = Copied(FilesSite(tmp_path))
    pair.take(HOUR)
    started = time.monotonic()
    pair.copy()
    lasted, alive = time.monotonic() - started, 0
    for number in range(KILLS):
        shutil.rmtree(pair.folder)
        pid = forked(pair.copy)
        time.sleep(lasted * (number + 0.5) / KILLS)
        alive += os.waitpid(pid, os.WNOHANG)[0] == 0
        try:
            os.kill(pid, signal.SIGKILL)
            status_of(pid)
        except (ProcessLookupError, ChildProcessError):  # it was done
            pass
        assert not pair.folder.exists() or readable(pair) in (0, 1)
        pair.copy()
        assert readable(pair) == 1 and files_of(pair.folder) == files_of(pair.site.store) and not half_written(pair)
    assert alive, "none was killed while it ran"


@pytest.mark.parametrize("side", ["first", "copy"])
def test_changed_bytes_on_either_side(side: str, pair: Copied, tmp_path: Path) -> None:
    """A bit that changes in the first repository never reaches the copy; one in what an interrupted copy left is not taken up."""
    name = pair.site.artifacts()[-1].id
    store, template = pair.site.store if side == "first" else pair.folder, tmp_path / "template"
    if side == "copy":
        pair.copy()
        next(pair.folder.rglob(f"{name}.manifest.json")).unlink()
    shutil.copytree(pair.folder, template)
    [path] = store.rglob(f"{name}.data.*")
    good, refused = path.read_bytes(), 0
    for _number in range(FLIPS):
        again_from(template, pair)
        body = bytearray(good)
        body[RANDOM.randrange(len(body))] ^= 1 << RANDOM.randrange(8)
        path.write_bytes(body)
        done = pair.copy()
        refused += done["code"] == ("corrupt" if side == "first" else "not_the_same")
        assert readable(pair) == 1
        for proof in pair.site.store.rglob("*.proof.digest.*"):
            proof.unlink()
    assert refused == FLIPS
    path.write_bytes(good)
    assert pair.copy().get("outcome", "ok") == "ok" and readable(pair) == 2


@pytest.mark.parametrize(("role", "outcome", "code"), [("data", "failed", "corrupt"), ("manifest", "refused", "not_the_same")])
def test_a_disk_that_does_not_keep_what_it_was_given(role: str, outcome: str, code: str, pair: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrived is read back: the word of the disk or the server counts for nothing."""
    whole_open, name_of_it = Directory.open, f"{pair.site.artifacts()[-1].id}.{role}."

    class Flipped:
        def __init__(self, reader: Any) -> None:
            self._reader = reader

        def read(self, size: int) -> bytes:
            block: bytes = self._reader.read(size)
            return bytes([block[0] ^ 1]) + block[1:] if block else block

    @contextmanager
    def opened(self: Directory, name: str, offset: int = 0) -> Iterator[Any]:
        with whole_open(self, name, offset) as reader:
            yield Flipped(reader) if self.path == str(pair.folder) and name_of_it in name else reader

    monkeypatch.setattr(Directory, "open", opened)
    done = pair.copy()
    assert (done["outcome"], done["code"], done["performed"]) == (outcome, code, []) and "offsite" in done["msg"]
    monkeypatch.setattr(Directory, "open", whole_open)
    if role == "data":
        assert readable(pair) == 1 and {artifact.id for artifact in pair.there()} == {pair.site.artifacts()[0].id}, "it was taken away again"
    assert pair.copy().get("outcome", "ok") == "ok" and readable(pair) == 2


def test_many_copies_at_once(pair: Copied) -> None:
    gate = time.monotonic() + 0.3

    def one() -> None:
        time.sleep(max(0, gate - time.monotonic()))
        try:
            pair.copy()
        except Busy:
            os._exit(3)

    codes = [status_of(pid) for pid in [forked(one) for _number in range(6)]]
    assert set(codes) <= {0, 3} and 0 in codes and readable(pair) == 2 and files_of(pair.folder) == files_of(pair.site.store)


def test_a_source_that_is_pruned_while_it_is_copied(pair: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes in the middle of its copy is an error, and no half copy."""
    whole_open, going = Directory.open, pair.site.artifacts()[-1].id

    def opened(self: Directory, name: str, offset: int = 0) -> Any:
        if self.path == str(pair.site.store) and f"{going}.data." in name:
            for path in pair.site.store.rglob(f"{going}.*"):
                path.unlink()
        return whole_open(self, name, offset)

    monkeypatch.setattr(Directory, "open", opened)
    done = pair.copy()
    assert (done["outcome"], done["code"]) == ("failed", "not_there") and readable(pair) == 1
    assert not list(pair.folder.rglob(".*.part"))


def test_a_full_disk_of_the_copies(pair: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "free_bytes", lambda self: 0)
    with pytest.raises(NoSpace):
        pair.copy()
    assert readable(pair) == 1


# --- prunings that wait for copies -------------------------------------------------------------------------------------------------


def test_copies_lose_anything_at_any_time_and_no_backup_is_lost_in_both(tmp_path: Path) -> None:
    """Backups, copies, losses in the copy and prunings in any order: what was good once is somewhere, or something newer is in both."""
    pair = Copied(SqliteSite(tmp_path))
    newest, ages = "", iter(range(200, 0, -1))
    for _round in range(30 if EVERYTHING else 6):
        for _number in range(RANDOM.randrange(1, 4)):
            newest = pair.take(next(ages) * 60.0)
        if RANDOM.random() < 0.7:
            pair.copy(select=RANDOM.choice(["new", "all"]))
        stored = [path for path in pair.folder.rglob("2*") if path.is_file()]
        for path in RANDOM.sample(stored, min(len(stored), RANDOM.randrange(3))):
            path.unlink()
        before = {artifact.id: artifact for artifact in pair.site.artifacts()}
        copied = [artifact.taken_at for artifact in pair.there() if artifact.state == "good"] if pair.folder.exists() else []
        pair.prune()
        left = {artifact.id for artifact in pair.site.artifacts()}
        assert newest in left
        assert all(before[name].taken_at <= max(copied, default=0.0) for name in set(before) - left)
        for artifact in pair.there() if pair.folder.exists() else []:
            if artifact.state not in ("good", "incomplete"):  # somebody has to look: by hand
                for path in pair.folder.rglob(f"{artifact.id}.*"):
                    path.unlink()
            elif artifact.state == "incomplete":
                assert artifact.manifest is None


def test_a_bucket_that_is_emptied_between_two_prunings(tmp_path: Path) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    with serving() as server:
        options = {
            "bucket": BUCKET, "endpoint_url": server.url, "allow_http": True, "region": "eu-central-1", "access_key": "AKID", "secret_access_key": "geheim",
            "addressing_style": "path", "max_attempts": 1, "state_dir": str(tmp_path / "s3"),
        }  # fmt: skip
        pair = Copied(SqliteSite(tmp_path), {"s3": options})
        names = [pair.take(age * HOUR) for age in (4, 3)]
        pair.copy()
        assert [step["name"] for step in pair.prune()["performed"]] == names[:1]
        names = [names[1], pair.take(2 * HOUR), pair.take(HOUR)]
        pair.copy()
        server.objects.clear()
        assert pair.prune()["plan"] == [] and [artifact.id for artifact in pair.site.artifacts()] == names
        pair.copy(select="all")
        assert [step["name"] for step in pair.prune()["performed"]] == names[1::-1]
