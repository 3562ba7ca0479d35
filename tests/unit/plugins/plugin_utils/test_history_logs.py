# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bookmarks and signatures over the runs: the newest real review counts, and what is new is told only where there is something to compare."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import BODIES_DROPPED
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_logs import WEEK
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_queries import HostPlace
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.retention_plan import Limits

from .recorded import KEY, START, hosts, log, log_report, run_id, seal, signature

APP = HostPlace("app", "nextrade", "production")
DAY = 86400.0


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    return Places(folder, folder / "reports", folder / "ledger.key")


def review(where: Places, number: int, day: float, *reports: dict[str, Any], mark: Any = None, **facts: Any) -> None:
    """A run of that day that reviewed some logs."""
    at = START + day * DAY
    drafts = [log_report(report, {"taken_at": at} if mark is None else mark, measured_at=rfc3339(at)) for report in reports]
    seal(where, number, hosts(app="nextrade/production"), *drafts, at=at, **facts)


def earlier(where: Places, number: int) -> dict[str, Any]:
    with History(where, read_only=True) as history:
        view = history.view(run_id(number))
    assert view
    found: dict[str, Any] = view["systems"][0]["hosts"][0]["logs"][0]["earlier"]
    return found


def test_the_newest_bookmark_of_each_log(where: Places) -> None:
    review(where, 1, 0, log("a"), log("b"))
    review(where, 2, 2, log("a"))
    review(where, 3, 1, log("a"))
    with History(where, read_only=True) as history:
        assert history.bookmarks(APP) == {"a": {"taken_at": START + 2 * DAY}, "b": {"taken_at": START}}
        assert history.bookmarks(HostPlace("app", until=rfc3339(START + DAY))) == {"a": {"taken_at": START + DAY}, "b": {"taken_at": START}}
        assert [history.bookmarks(HostPlace("app", *place)) for place in (("tft", None), ("nextrade", "staging"))] == [{}, {}]
        assert history.bookmarks(HostPlace("db")) == {}


def test_check_mode_and_a_missing_bookmark_move_nothing(where: Places) -> None:
    review(where, 1, 0, log())
    review(where, 2, 1, log(), check_mode=True)
    seal(where, 3, hosts(app="nextrade/production"), log_report(log(), None, measured_at=rfc3339(START + 2 * DAY)), at=START + 2 * DAY)
    with History(where, read_only=True) as history:
        assert history.bookmarks(APP) == {"app log": {"taken_at": START}}


def test_signatures_are_counted_since_an_instant_and_before_another(where: Places) -> None:
    for number, day in enumerate((0, 3, 5, 8), 1):
        review(where, number, day, log("a", signature("aa", day + 1), signature("bb", 2**62)))
    review(where, 5, 4, log("a", signature("cc")), check_mode=True)
    review(where, 6, 1, log("quiet"))
    place = HostPlace("app", "nextrade", "production", rfc3339(START + 8 * DAY))
    with History(where, read_only=True) as history:
        known = history.known_signatures(place, START + 2 * DAY)
        at = rfc3339(START + 5 * DAY)
        assert known.signatures == {"a": {"aa": {"count": 10, "last_at": at}, "bb": {"count": 2**63, "last_at": at}}}
        assert known.first_at == {"a": rfc3339(START), "quiet": rfc3339(START + DAY)}
        assert history.known_signatures(HostPlace("app", "tft"), START) == ({}, {})


def test_a_review_without_a_signature_is_a_review(where: Places) -> None:
    review(where, 1, 0, log())
    review(where, 2, 1, log("app log", signature("aa")))
    assert earlier(where, 2) == {"since": rfc3339(START + DAY - WEEK), "first_at": rfc3339(START), "reviewed": True, "signatures": {}}


def test_the_first_review_has_nothing_to_compare_with(where: Places) -> None:
    review(where, 1, 0, log("app log", signature("aa")))
    assert earlier(where, 1) == {"since": rfc3339(START - WEEK), "first_at": None, "reviewed": False, "signatures": {}}


def test_the_week_before_is_what_counts(where: Places) -> None:
    review(where, 1, 0, log("app log", signature("aa", 5)))
    review(where, 2, 6, log("app log", signature("bb", 3), signature("dd")))
    review(where, 3, 9, log("app log", signature("aa"), signature("bb"), signature("cc")))
    review(where, 4, 30, log("app log", signature("aa")))
    found = earlier(where, 3)
    assert (found["reviewed"], found["first_at"]) == (True, rfc3339(START))
    assert found["signatures"] == {"bb": {"count": 3, "last_at": rfc3339(START + 6 * DAY)}}
    assert (earlier(where, 4)["reviewed"], earlier(where, 4)["first_at"]) == (False, rfc3339(START))
    assert earlier(where, 2)["signatures"] == {}, "what came later is not known yet"


def test_two_roles_that_read_the_same_log_are_one_review(where: Places) -> None:
    mine = log_report(log("a", signature("aa")), {"taken_at": 1})
    other = log_report(log("a", signature("aa"), signature("bb")), {"taken_at": 2}, role="other", judged=False)
    anchor = seal(where, 1, hosts(app="nextrade/production"), mine, other)
    with History(where) as history:
        assert history.bookmarks(APP) == {"a": {"taken_at": 2}}
        assert history.verify(KEY, [(anchor["seq"], anchor["mac"])]) == []


def test_texts_of_any_kind_come_back_as_they_were(where: Places) -> None:
    name, text = "l'og \"; drop table runs --\u202e", "\x00<b>\ud7ff\U0010ffff"
    review(where, 1, 0, log(name, signature("aa", text=text)), mark={"place": text})
    review(where, 2, 1, log(name, signature("aa")))
    with History(where) as history:
        assert history.bookmarks(HostPlace("app", until=rfc3339(START))) == {name: {"place": text}}
        assert history.verify(KEY) == []
    assert earlier(where, 2)["signatures"]["aa"]["count"] == 1


def test_a_host_without_a_system_has_bookmarks_too(where: Places) -> None:
    seal(where, 1, log_report(log(), {"taken_at": 1}))
    with History(where, read_only=True) as history:
        assert history.bookmarks(HostPlace("app")) == history.bookmarks(HostPlace("app", "unassigned", "")) == {"app log": {"taken_at": 1}}


def test_retention_takes_the_texts_of_logs_with_the_bodies(where: Places) -> None:
    review(where, 1, 0, log("a", signature("aa")))
    with History(where, read_only=True) as history:
        found = history.plan_prune(KEY, Limits(time.time() + 1, 0.0))
    review(where, 2, 1, log("b", signature("bb")))
    seal(where, 3, *((BODIES_DROPPED, record.body()) for record in found.records), at=START + 2 * DAY)
    with History(where) as history:
        assert history.bookmarks(APP) == {"b": {"taken_at": START + DAY}}
        assert list(history.known_signatures(APP, START - DAY).signatures) == ["b"]
        assert [problem for problem in history.verify(KEY) if problem["kind"] != "body_kept"] == []
