# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a file open: real processes, found by what they opened and not by the name they opened it by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._open_by import open_by


@contextmanager
def holder(path: Path) -> Iterator[str]:
    """A process that has it open, as we name it."""
    code = "import sys; file = open(sys.argv[1], 'rb'); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        yield f"({child.pid})"
        child.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "orders.db"
    found.write_text("x")
    return found


def test_another_process_is_found_and_we_are_not(path: Path) -> None:
    with open(path, "rb"):
        assert open_by([str(path)]) == []
        with holder(path) as pid:
            found = open_by([str(path), f"{path}-wal"])
            assert len(found) == 1 and found[0].endswith(pid) and found[0].startswith("python")
    assert open_by([str(path)]) == []


def test_it_is_the_file_that_counts_not_its_name(path: Path, tmp_path: Path) -> None:
    os.link(path, tmp_path / "other")
    (tmp_path / "link").symlink_to(path)
    with holder(tmp_path / "other") as pid:
        for name in ("orders.db", "other", "link"):
            assert [found.endswith(pid) for found in open_by([str(tmp_path / name)])] == [True], name
        path.unlink()
        path.write_text("x")
        assert open_by([str(path)]) == [], "another file of the same name"


@pytest.mark.parametrize("paths", [[], ["/nowhere/at/all"]])
def test_nothing_to_look_for(paths: list[str]) -> None:
    assert open_by(paths) == []


def test_each_process_is_named_once(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("x")
    with holder(path) as one, holder(other) as two:
        found = open_by([str(path), str(other)])
        assert sorted(name[name.index("(") :] for name in found) == sorted([one, two])


def test_what_this_user_may_not_see_is_left_out(path: Path, as_nobody: Callable[[Callable[[], Any]], Any]) -> None:
    path.chmod(0o644)
    if os.geteuid() != 0:
        pytest.skip("needs processes of two users")
    with holder(path):
        assert as_nobody(lambda: open_by([str(path)])) == []
