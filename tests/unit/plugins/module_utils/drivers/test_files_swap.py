# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was restored takes the place of what is there in one step, and gives it back; also when the process is killed at any step."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Exists, InvalidInput, Refused
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _tree_rename, _tree_staging
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._tree_rename import TargetChanged
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.files_backup import Target
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.mounts import mount, mounted, tmpfs

from .files_trees import RICH, ROOT, Folder, Link, backed_up, look, plant, staged, target, text

TAG = "20261120T021500Z-7f3a9c1e"
KEPT = f".before-{TAG}"
OLD = Folder({b"a": text("old a"), b"b": Folder({b"f": text("old b")}), b"c": Folder({b"d": text("old d")}), b"own": text("kept")})
NEW = Folder({b"a": text("new a"), b"b": Folder({b"f": text("new b"), b"g": text("more")}), b"c": Folder({b"d": text("new d"), b"e": text("new e")})})
CHOICES: dict[str, list[str]] = {"whole": ["."], "paths": ["a", "b", "c/d", "c/e"]}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("source")
    plant(place / "live", NEW)
    return backed_up(place / "live")[0]


@pytest.fixture(params=["exchange", "two renames"])
def renames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the system call for exchanges, and as on file systems that lack it."""
    if request.param == "two renames":
        monkeypatch.setattr(_tree_rename, "_renameat2", lambda *_arguments: False)
    return str(request.param)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    plant(tmp_path / "live", OLD)
    return tmp_path / "live"


def contents(place: Path) -> dict[str, str]:
    """Path -> text of every file."""
    return {str(path.relative_to(place)): path.read_text() for path in sorted(place.rglob("*")) if path.is_file()}


WAS = {"a": "old a", "b/f": "old b", "c/d": "old d", "own": "kept"}
IS = {"whole": {"a": "new a", "b/f": "new b", "b/g": "more", "c/d": "new d", "c/e": "new e"}}
IS["paths"] = {**IS["whole"], "own": "kept"}


def without_kept(found: dict[str, str]) -> dict[str, str]:
    return {path: content for path, content in found.items() if KEPT not in path}


@pytest.mark.parametrize("choice", CHOICES)
def test_there_and_back_and_there(choice: str, renames: str, live: Path, archive: bytes) -> None:
    before = look(live)
    made = target(live, paths=CHOICES[choice])
    staged(made, archive)
    swapped = json.loads(json.dumps(made.swap()))
    made.discard()
    assert without_kept(contents(live)) == IS[choice]
    kept = live.with_name("live" + KEPT) if choice == "whole" else live / ("b" + KEPT)
    assert contents(kept) == (WAS if choice == "whole" else {"f": "old b"})
    for _again in range(2):
        later = target(live, "another-run", paths=CHOICES[choice])
        later.undo(swapped)
        later.discard()
        later.discard()
        found = look(live)
        assert {path: row[:4] + row[5:] for path, row in found.items()} == {path: row[:4] + row[5:] for path, row in before.items()}
        assert os.listdir(live.parent) == ["live"]
    staged(made, archive)
    made.swap()
    made.discard()
    assert without_kept(contents(live)) == IS[choice]


def test_the_root_has_the_mode_and_the_times_it_was_backed_up_with(tmp_path: Path) -> None:
    plant(tmp_path / "source", Folder(RICH.inside, mode=0o710))
    archive, _taken = backed_up(tmp_path / "source")
    plant(tmp_path / "live", OLD)
    made = target(tmp_path / "live")
    staged(made, archive)
    made.swap()
    made.discard()
    assert look(tmp_path / "live") == look(tmp_path / "source", special_modes=False)


@pytest.mark.parametrize("choice", CHOICES)
def test_where_nothing_was(choice: str, renames: str, tmp_path: Path, archive: bytes) -> None:
    if choice == "paths":
        plant(tmp_path / "live", Folder({b"c": Folder()}))
    made = target(tmp_path / "live", paths=CHOICES[choice])
    staged(made, archive)
    swapped = made.swap()
    assert contents(tmp_path / "live") == IS["whole"]
    made.undo(swapped)
    made.undo(swapped)
    made.discard()
    assert os.listdir(tmp_path) == ([] if choice == "whole" else ["live"])
    assert choice == "whole" or contents(tmp_path / "live") == {}


@pytest.mark.parametrize(("paths", "words"), [(["c/d"], "c/d"), (["missing/a"], "missing/a"), (["link/d"], "link/d")])
def test_the_folder_of_a_path_must_be_there(paths: list[str], words: str, tmp_path: Path, archive: bytes) -> None:
    plant(tmp_path / "live", Folder({b"link": Link(b"c")}))
    with pytest.raises(Refused, match=f"the folder for {words} of .* is not there"):
        staged(target(tmp_path / "live", paths=paths), archive)
    assert os.listdir(tmp_path) == ["live"]


# --- somebody else is faster


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("change", ["replaced", "removed", "link"])
def test_a_target_that_became_something_else(change: str, choice: str, live: Path, archive: bytes) -> None:
    made = target(live, paths=CHOICES[choice])
    staged(made, archive)
    place = live if choice == "whole" else live / "b"
    place.rename(live.parent / "moved")
    if change == "replaced":
        plant(place, Folder({b"f": text("other")}))
    elif change == "link":
        place.symlink_to(live.parent / "moved")
    before = look(live.parent)
    with pytest.raises(TargetChanged) as caught:
        made.swap()
    assert caught.value.code == "target_changed" and look(live.parent) == before
    made.discard()


@pytest.mark.parametrize("choice", CHOICES)
def test_a_target_that_is_exchanged_in_the_last_instant(choice: str, renames: str, live: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it was looked at, right before the rename: it is put back, and so is what was done before."""
    made = target(live, paths=CHOICES[choice])
    staged(made, archive)
    place = live if choice == "whole" else live / "c/d"
    move, calls = _tree_rename._move, []

    def slow(source: Any, to: Any) -> None:
        move(source, to)
        if to.name == os.fsencode(place.name + KEPT) and not calls:
            calls.append(1)
            place.rename(live.parent / "moved")
            plant(live, Folder({b"a": text("other")})) if choice == "whole" else place.write_text("other")

    monkeypatch.setattr(_tree_rename, "_move", slow)
    with pytest.raises(TargetChanged):
        made.swap()
    assert calls and contents(live) == ({"a": "other"} if choice == "whole" else {**WAS, "c/d": "other"})
    made.discard()
    assert sorted(os.listdir(live.parent)) == ["live", "moved"]


@pytest.mark.parametrize("choice", CHOICES)
def test_what_changed_after_the_swap_is_not_taken_back(choice: str, live: Path, archive: bytes) -> None:
    made = target(live, paths=CHOICES[choice])
    staged(made, archive)
    swapped = made.swap()
    made.discard()
    place = live if choice == "whole" else live / "b"
    place.rename(live.parent / "moved")
    plant(place, Folder({b"f": text("other")}))
    with pytest.raises(TargetChanged):
        made.undo(swapped)
    assert contents(place) == {"f": "other"} and contents(place.with_name(place.name + KEPT)) == (WAS if choice == "whole" else {"f": "old b"})
    if choice == "paths":
        assert (live / "a").read_text() == "old a", "what can be taken back is"


def test_a_swap_of_another_root(live: Path, archive: bytes) -> None:
    made = target(live)
    staged(made, archive)
    swapped = made.swap()
    plant(live.parent / "other", OLD)
    with pytest.raises(InvalidInput, match="not of"):
        target(live.parent / "other").undo(swapped)


def test_what_an_earlier_restore_kept_is_not_overwritten(live: Path, archive: bytes) -> None:
    plant(live.with_name("live" + KEPT), Folder({b"x": text("precious")}))
    with pytest.raises(Exists, match="beside"):
        staged(target(live), archive)
    assert contents(live) == WAS and sorted(os.listdir(live.parent)) == ["live", "live" + KEPT]


@pytest.mark.parametrize("name", ["live" + KEPT, "b" + KEPT])
def test_a_name_that_appears_meanwhile_is_not_overwritten(name: str, renames: str, live: Path, archive: bytes) -> None:
    whole = name.startswith("live")
    made = target(live, paths=["."] if whole else ["a", "b"])
    staged(made, archive)
    plant((live.parent if whole else live) / name, Folder())
    with pytest.raises(Exists):
        made.swap()
    made.discard()
    assert without_kept(contents(live)) == WAS and not [found for found in os.listdir(live.parent) if "restore" in found]


def test_the_same_restore_twice(live: Path, archive: bytes) -> None:
    made = target(live)
    staged(made, archive)
    swapped = made.swap()
    with pytest.raises(Exists, match="swapped in already"):
        staged(made, archive)
    made.undo(swapped)
    staged(made, archive)
    assert contents(live) == WAS and made.inventory().totals["files"] == 5


# --- mounts


@pytest.mark.skipif(not ROOT, reason="mounting needs root")
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_root_that_is_a_mount_point(kind: str, tmp_path: Path, archive: bytes) -> None:
    def work() -> None:
        live = tmp_path / "live"
        if kind == "tmpfs":
            tmpfs(live)
        else:
            live.mkdir()
            (tmp_path / "elsewhere").mkdir()
            mount("--bind", str(tmp_path / "elsewhere"), str(live))
        plant(live, OLD)
        with pytest.raises(Refused, match="mount point"):
            staged(target(live), archive)
        assert contents(live) == WAS
        made = target(live, paths=["a", "b"])
        staged(made, archive)
        made.swap()
        made.discard()
        assert without_kept(contents(live)) == {**WAS, "a": "new a", "b/f": "new b", "b/g": "more"}
        assert not [name for name in os.listdir(live) if "restore" in name]

    mounted(work)


@pytest.mark.skipif(not ROOT, reason="mounting needs root")
def test_a_path_that_is_a_mount_point(live: Path, archive: bytes) -> None:
    def work() -> None:
        tmpfs(live / "b")
        with pytest.raises(Refused, match="mount point"):
            staged(target(live, paths=["a", "b"]), archive)
        assert (live / "a").read_text() == "old a" and os.listdir(live.parent) == ["live"]

    mounted(work)


# --- killed at any step


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses nothing that was written, so that hundreds of them need not wait for the disk."""
    monkeypatch.setattr(_tree_staging.Staging, "sync", lambda self: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def killed(work: Callable[[], Any], step: int) -> bool:
    """Whether a child was killed right before its so many-th call of the system that Python announces to audit hooks.

    Everything that changes a name, an owner, a mode or a time is announced, and renameat2 when it is looked up.
    """
    left = [step]

    def hook(_event: str, _arguments: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched() -> None:
        sys.addaudithook(hook)
        work()

    status = status_of(forked(watched))
    assert status in (0, -signal.SIGKILL)
    return status != 0


def sweep(prepare: Callable[[Path], Callable[[], Any]], check: Callable[[Path], None], folder: Path) -> int:
    """Kills the work at its first step, its second, until it comes to its end. The number of steps."""
    for step in range(1, 2000):
        place = folder / str(step)
        place.mkdir()
        ended = not killed(prepare(place), step)
        check(place)  # also when it ended: as if it was killed before it could say so
        if ended:
            return step
    raise AssertionError("it never ended")


def half_way(found: dict[str, str], choice: str, gap: bool) -> bool:
    """Whether a state is allowed right after a kill: all old or all new for a whole root, else path by path; ``gap``: one may be missing."""
    found = without_kept(found)
    if choice == "whole":
        return found in (WAS, IS["whole"])
    for name, old, new in (("a", "old a", "new a"), ("b/f", "old b", "new b"), ("c/d", "old d", "new d")):
        if found.get(name) not in (old, new) and not (gap and name not in found):
            return False
    return found["own"] == "kept"


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("after", ["undo", "discard", "again"])
def test_a_swap_that_is_killed_at_any_step(after: str, choice: str, renames: str, no_sync: None, tmp_path: Path, archive: bytes) -> None:
    made: dict[str, Target] = {}

    def prepare(place: Path) -> Callable[[], Any]:
        plant(place / "live", OLD)
        made["target"] = target(place / "live", paths=CHOICES[choice])
        staged(made["target"], archive)
        return made["target"].swap

    def check(place: Path) -> None:
        live = place / "live"
        release(made["target"])
        gap = renames != "exchange"
        assert (gap and not live.exists()) or half_way(contents(live), choice, gap)
        again = target(live, paths=CHOICES[choice])
        if after == "again":
            try:
                staged(again, archive)
                again.swap()
            except Exists:  # it was killed right before it could say that it was done
                assert contents(live).items() >= IS[choice].items()
        elif after == "undo":
            again.undo({})
            assert contents(live) == WAS
        again.discard()
        expected = [WAS] if after == "undo" else [IS[choice]] if after == "again" else [WAS, IS[choice]]
        assert without_kept(contents(live)) in expected
        assert [name for name in os.listdir(place) if KEPT not in name] == ["live"]
        assert (contents(live) == WAS) == (without_kept(contents(live)) == WAS)

    assert sweep(prepare, check, tmp_path) > 8


def release(made: Target) -> None:
    """The descriptor, and with it the lock, of a process that is dead."""
    made._staging().close()


@pytest.mark.parametrize("choice", CHOICES)
def test_an_undo_that_is_killed_at_any_step(choice: str, renames: str, no_sync: None, tmp_path: Path, archive: bytes) -> None:
    kept: dict[str, Any] = {}

    def prepare(place: Path) -> Callable[[], Any]:
        plant(place / "live", OLD)
        made = target(place / "live", paths=CHOICES[choice])
        staged(made, archive)
        kept["swapped"] = made.swap()
        made.discard()
        later = target(place / "live", "later", paths=CHOICES[choice])
        return lambda: later.undo(kept["swapped"])

    def check(place: Path) -> None:
        live = place / "live"
        gap = renames != "exchange"
        assert (gap and not live.exists()) or half_way(contents(live), choice, gap)
        later = target(live, "later", paths=CHOICES[choice])
        later.undo(kept["swapped"])
        later.discard()
        assert contents(live) == WAS and os.listdir(place) == ["live"]

    assert sweep(prepare, check, tmp_path) > 8


def test_a_restore_that_is_killed_at_any_step(tmp_path: Path, archive: bytes) -> None:
    def prepare(place: Path) -> Callable[[], Any]:
        plant(place / "live", OLD)
        return lambda: staged(target(place / "live"), archive)

    def check(place: Path) -> None:
        assert contents(place / "live") == WAS
        for name in os.listdir(place):
            assert name == "live" or stat.S_IMODE((place / name).stat().st_mode) == 0o700
        target(place / "live").discard()
        assert os.listdir(place) == ["live"]

    assert sweep(prepare, check, tmp_path) > 8
