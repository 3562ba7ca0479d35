# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people were told is part of the record: it comes back out of the history, and cannot be changed there unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import read_notice
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed import NOTIFY_ACTION, Observed
from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed import notices as notice_events
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

from .recorded import KEY, START, hosts, notice, notices, seal


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return Places(tmp_path, tmp_path / "reports", tmp_path / "ledger.key")


def told(where: Places) -> dict[str, str]:
    with History(where, read_only=True) as history:
        return {key.name: found.change for key, found in history.told().items()}


def test_the_newest_notice_of_each_thing_counts(where: Places) -> None:
    seal(where, 1, hosts(app="nextrade/production"), notices(notice("api"), notice("disk")))
    seal(where, 2, notices(notice("api", "resolved", START + 60)))
    assert told(where) == {"api": "resolved", "disk": "opened"}
    with History(where, read_only=True) as history:
        assert history.told()[read_notice(notice()).key] == read_notice(notice("api", "resolved", START + 60))
        assert history.verify(KEY) == []


def test_check_mode_tells_nobody_and_what_cannot_be_read_is_passed_over(where: Places) -> None:
    seal(where, 1, notices(notice("api")), check_mode=True)
    seal(where, 2, notices({"name": "strange", "at": "soon"}, notice("disk")))
    assert told(where) == {"disk": "opened"}


def test_a_changed_notice_is_found(where: Places) -> None:
    seal(where, 1, notices(notice("api")))
    with History(where) as history:
        history._db.execute("update notices set notice = replace(notice, 'opened', 'resolved')")
        assert [problem["kind"] for problem in history.verify(KEY)] == ["table_changed"]


def seen(records: object, action: str = NOTIFY_ACTION, hidden: bool = False) -> Observed:
    return Observed("app", "Tell", action, "changed", {"records": records}, hidden=hidden)


def test_many_notices_are_several_events_and_only_of_the_module_that_tells() -> None:
    bodies = list(notice_events(seen([notice(f"check {number}") for number in range(250)])))
    assert [len(body["notices"]) for body in bodies] == [100, 100, 50]
    for other in (seen([notice()], "other.module"), seen([notice()], hidden=True), seen("text"), seen([])):
        assert list(notice_events(other)) == []
