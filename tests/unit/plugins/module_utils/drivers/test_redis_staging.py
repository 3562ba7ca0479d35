# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a restore: whose leftovers are removed, and whose never."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _redis_staging
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_staging import Staging, staging_path


def context(tag: str, scratch: bool = True) -> Context:
    return Context(Deadline(60.0, time.monotonic), time.time(), tag, scratch)


def test_only_leftovers_of_our_own_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = Path(staging_path(str(tmp_path), context("left")))
    others = [tmp_path / ".verify-data", tmp_path / ".tradeops-redis", tmp_path / "tradeops-redis-verify-x"]
    at_work = Staging(str(tmp_path), context("at work"), lambda tag: None)
    told: list[str] = []
    for folder in (left, *others):
        (folder / "inside").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # somebody else's, seen from there
        Staging(str(tmp_path), context("a"), told.append).remove()
    assert left.exists() and told == []
    Staging(str(tmp_path), context("b"), told.append).remove()
    assert (left.exists(), told, [folder.exists() for folder in others]) == (False, ["left"], [True] * 3)
    assert os.path.isdir(at_work.path)
    at_work.remove()


@pytest.mark.parametrize("scratch", [True, False])
def test_one_that_was_removed_before_it_was_claimed_is_made_again(tmp_path: Path, scratch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    real, removed = _redis_staging._opened, []

    def opened(path: str) -> int:
        if not removed:  # before it is open
            removed.append(shutil.rmtree(path))
            return real(path)
        descriptor = real(path)
        if len(removed) == 1:  # before it is locked
            removed.append(shutil.rmtree(path))
        return descriptor

    monkeypatch.setattr(_redis_staging, "_opened", opened)
    staging = Staging(str(tmp_path), context("a", scratch), lambda tag: None)
    assert len(removed) == 2 and os.path.isdir(staging.path)
    with pytest.raises(Busy):
        Staging(str(tmp_path), context("a", scratch), lambda tag: None)
    staging.remove()
    assert list(tmp_path.iterdir()) == []
