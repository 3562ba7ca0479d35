# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed at every line of sealing and of adopting: the next run finds all that was written, once, and sound."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history as history_module
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.journal import JournalFile
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of

from .recorded import KEY, chained, check, checks, ended, hosts, lay_down, run_id, seal, started, step

OURS = str(Path(history_module.__file__).parent)
NEW = run_id(2)
EVENTS = [started(run_id=NEW), hosts(app="nextrade/production"), checks(check("disk", "warning", measures={"used": 91.5})), step("changed")]


def killed_after(lines: int, work: Callable[[], Any]) -> bool:
    """Do ``work`` in a child that is killed after so many lines of the files under test; whether it came that far."""

    def count(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            lines -= 1
            if lines == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    def watched() -> None:
        sys.settrace(count)
        work()

    return status_of(forked(watched)) == -signal.SIGKILL


def seal_own(where: Places) -> None:
    own = JournalFile(where.open, NEW)
    for event in chained(NEW, [*EVENTS, ended()]):
        own.append(event)
    own.sync()
    with History(where) as history:
        history.seal_run(own.path, KEY)
    own.close()


def adopt(where: Places) -> None:
    with History(where) as history:
        history.adopt(KEY)


def prepare_nothing(_where: Places) -> None:
    """The run under test makes its own journal."""


def prepare_torn(where: Places) -> None:
    lay_down(where, NEW, EVENTS, tail=b'{"seq": 5, "at"')


@pytest.mark.parametrize(("prepare", "work", "states"), [(prepare_nothing, seal_own, {"finished", "killed"}), (prepare_torn, adopt, {"killed"})])
def test_a_kill_at_any_line(prepare: Callable[[Places], None], work: Callable[[Places], None], states: set[str], tmp_path: Path) -> None:
    pristine, folder = tmp_path / "pristine", tmp_path / "history"
    seal(Places(pristine, pristine / "reports", pristine / "ledger.key"), 1, hosts(app="nextrade/production"))
    prepare(Places(pristine, pristine / "reports", pristine / "ledger.key"))
    where = Places(folder, folder / "reports", folder / "ledger.key")
    lines, seen = 0, set()
    while True:
        lines += 7
        shutil.copytree(pristine, folder)
        died = killed_after(lines, lambda: work(where))
        adopt(where)
        with History(where) as history:
            assert history.verify(KEY) == [], f"killed after {lines} lines"
            found = {run["run_id"]: run["state"] for run in history.runs()}
            kinds = [event.type for event in history_module.queries.events(history._db, NEW)]
        assert [path for path in where.open.iterdir() if path.suffix == ".jsonl"] == []
        assert kinds.count("quarantined") == (1 if prepare is prepare_torn else 0), f"killed after {lines} lines"
        seen.add(found.get(NEW))
        shutil.rmtree(folder)
        if not died:
            break
    assert lines > 300, "the sweep went through the work, not only its beginning"
    assert seen - {None} == states
