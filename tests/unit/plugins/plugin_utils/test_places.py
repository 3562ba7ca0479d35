# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the record lives, and its key."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import default_history, make_folder, make_key, places, read_key


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RUNBOOK_HISTORY_DIR": "/srv/history", "XDG_STATE_HOME": "/state"}, "/srv/history"),
        ({"XDG_STATE_HOME": "/state"}, "/state/tradeops"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ops/.local/state/tradeops"),
        ({}, "/home/ops/.local/state/tradeops"),
    ],
)
def test_the_default_follows_the_environment(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    assert default_history(environ) == Path(expected)


def test_everything_stands_in_the_history_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    where = places("~/h")
    assert (where.reports, where.key, where.open, where.sealed, where.database) == tuple(
        Path("/home/ops/h") / name for name in ("reports", "ledger.key", "open", "sealed", "history.sqlite")
    )
    assert places("/h", "/r", "/k").reports == Path("/r")
    assert places("/h", "/r", "/k").key == Path("/k")


def test_only_this_user_may_enter_what_is_made(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]
    (tmp_path / "a").chmod(0o755)
    make_folder(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755, "what the operator made stays as it is"


def test_a_key_is_made_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ledger.key"
    assert read_key(path) is None
    key = make_key(path)
    assert (len(key), read_key(path), make_key(path)) == (32, key, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["ledger.key"]


def test_eight_first_runs_agree_on_one_key(tmp_path: Path) -> None:
    barrier, found = threading.Barrier(8), []

    def make() -> None:
        barrier.wait()
        found.append(make_key(tmp_path / "ledger.key"))

    threads = [threading.Thread(target=make) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "00" * 33, "é" * 32])
def test_what_is_not_a_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ledger.key"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="is not a ledger key"):
        read_key(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ledger.key"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(Refused) as caught:
        read_key(path)
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_key_that_vanishes_at_once_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(_source: Any, _target: Any) -> None:
        raise FileExistsError

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(Refused, match="vanished"):
        make_key(tmp_path / "ledger.key")
