# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cards of reviewed logs: what is told, what is drawn, what is called new."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils import report
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_changes import compare
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_logs import log_hosts, log_plots
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_page import build_page
from ansible_collections.tradeops.runbook.plugins.plugin_utils.report_rows import host_rows
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils.report_views import Page, make_check, make_host, make_log, make_view

SIGNATURE = make_log()["signatures"][0]
EARLIER = make_log()["earlier"]


def cards(*logs: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The cards of one host."""
    view = make_view(make_host(logs=list(logs), **fields))
    (host,) = log_hosts(view, host_rows(view, []), [])
    found: list[dict[str, Any]] = host["cards"]
    return found


def page_of(*logs: dict[str, Any]) -> Page:
    view = make_view(make_host(checks=[make_check("app log", "warning")], logs=list(logs)))
    return Page(report.render_page(build_page(report._material(view, compare(None, view), {}))))


def drawn(**fields: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(plot.caption, plot.names) for plot in log_plots(make_view(make_host(logs=[make_log(**fields)])))]


def test_a_card_tells_what_was_read_and_what_was_found() -> None:
    words = "".join(page_of(make_log()).words.split())
    for text in ("/var/log/app.log*, format python", "2026-11-19 20:15 to 2026-11-19 21:15 America/New_York, the whole window", "Lines 1,200", "Read 40 KiB",
                 "INFO 900", "ERROR 100", "errors 4 0.4 % 0.0667 2", "took 9 350 ms 1.5 s 2.3 s 5.1 s", "4 ERROR failed <n> times 19 Nov 20:30 19 Nov 21:10",
                 "1 sample of errors", "the line beforeit failedthe line after", "known 7 by design ops 2027-01-01", "a note", "warning"):  # fmt: skip
        assert "".join(text.split()) in words, text
    assert "what came since the last review" in page_of(make_log(incremental=True)).words
    assert "the whole window" in page_of(make_log(incremental=True, earlier={**EARLIER, "first_at": None})).words


def test_the_card_links_to_its_check_and_shows_its_verdict() -> None:
    (card,) = cards(make_log(), checks=[make_check("other"), make_check("app log", "critical")])
    assert (card["status"], card["target"], card["id"]) == ("critical", "h1c2", "h1l1")
    (alone,) = cards(make_log())
    assert (alone["status"], alone["target"]) == ("", "")


def test_a_secret_is_loud_and_never_shown() -> None:
    found = [{"rule": "password or key", "count": 3, "text": "login password=***"}, {"rule": "private key", "count": 1, "text": "hunter2"}]
    page = page_of(make_log(secrets=found))
    assert "Secret in the log: password or key, in 3 lines: login password=***" in page.words
    assert "Secret in the log: private key, in 1 line" in page.words and "hunter2" not in page.words
    assert "loud" in page.values("class")
    assert "loud" not in page_of(make_log()).values("class")


@pytest.mark.parametrize(
    ("earlier", "new", "note"),
    [
        (EARLIER, False, "New is what no review since 2026-11-13 02:15 UTC had"),
        ({**EARLIER, "signatures": {"bb": {"count": 1}}}, True, "New is what no review since 2026-11-13 02:15 UTC had"),
        ({**EARLIER, "first_at": "2026-11-19T00:00:00Z", "signatures": {}}, True, "New is what no review since 2026-11-19 00:00 UTC had"),
        ({**EARLIER, "first_at": None, "reviewed": False, "signatures": {}}, False, "First review of this log"),
        ({**EARLIER, "reviewed": False, "signatures": {}}, False, "No review in the 7 days before"),
        (None, False, ""),
        ({"reviewed": True}, True, "First review of this log"),
    ],
)
def test_new_is_told_only_against_earlier_reviews(earlier: Any, new: bool, note: str) -> None:
    (card,) = cards(make_log(earlier=earlier))
    assert card["signatures"][0]["new"] is new
    assert card["signature_note"].startswith(note) and bool(card["signature_note"]) is bool(note)
    assert ("tag" in page_of(make_log(earlier=earlier)).values("class")) is new


def test_more_kinds_than_are_shown_are_counted() -> None:
    assert cards(make_log(signature_count=1234))[0]["signature_note"].startswith("1,234 kinds of lines, shown are 1. New is")


def test_an_empty_log_says_so_and_nothing_more() -> None:
    nothing = {"lines": 0, "entries": 0, "bytes": 0, "files": [], "levels": {}, "patterns": {}, "extract": {}, "signatures": [], "benign": [], "notes": []}
    page = page_of(make_log(**nothing, series={"start": "2026-11-20T01:15:00Z", "entries": [0] * 12, "patterns": {}}))
    assert "Nothing was written in this window." in page.words
    assert page.disorder == [] and "plot" not in page.values("class")
    assert len(page.all("table")) == 1, "the one of the checks"


def test_a_report_that_lost_everything_but_its_figures_is_shown() -> None:
    page = page_of({"name": "big", "lines": 5, "entries": 5, "signatures": [], "series": {}, "notes": ["left out of the record"]})
    assert page.disorder == [] and "left out of the record" in page.words


def test_entries_and_patterns_are_drawn() -> None:
    assert drawn() == [("Entries per 5 min", ()), ("Patterns per 5 min", ("errors",))]
    counts = {"base": 900, "a": 5, "b": 9, "c": 1, "d": 2, "e": 0, "f": 7}
    patterns = {name: {"count": count} for name, count in counts.items()}
    series = {"start": "2026-11-20T01:15:00Z", "entries": [500, 500], "patterns": {name: [count, 0] for name, count in counts.items()}}
    assert drawn(patterns=patterns, series=series)[1] == ("Patterns per 5 min", ("a", "b", "d", "f")), "the four most frequent but the one of all entries"
    assert drawn(patterns={"base": {"count": 900}}, series=series)[1][1] == ("base",)


@pytest.mark.parametrize(
    "fields",
    [
        {"series": None}, {"series": {}}, {"bucket_seconds": 0}, {"bucket_seconds": math.inf}, {"bucket_seconds": "60"}, {"bucket_seconds": 1e300},
        {"series": {"start": "never", "entries": [1]}}, {"series": {"start": "2026-11-20T01:15:00Z", "entries": []}},
        {"series": {"start": "2026-11-20T01:15:00Z", "entries": [0, 0]}}, {"series": {"start": "2026-11-20T01:15:00Z", "entries": [1, None]}},
        {"series": {"start": "9999-11-20T01:15:00Z", "entries": [1, 2]}}, {"series": {"start": "2026-11-20T01:15:00Z", "entries": [-1, 10**400]}},
    ],
)  # fmt: skip
def test_a_series_that_is_none_is_not_drawn(fields: dict[str, Any]) -> None:
    assert drawn(**fields) == []
    assert page_of(make_log(**fields)).disorder == []


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", None, 5, "../etc/passwd", "a" * 10_000, "America", "\x00"])
def test_a_time_zone_that_nobody_knows_is_utc_and_says_so(zone: Any) -> None:
    page = page_of(make_log(timezone=zone))
    assert "2026-11-20 01:15 to 2026-11-20 02:15 UTC" in page.words


def test_long_texts_stay_short_on_the_page() -> None:
    sample = {"text": "t" * 10**6, "before": ["b" * 10**6] * 1000, "path": "p" * 10**6}
    log = make_log(
        name="n" * 10**6, signatures=[{**SIGNATURE, "text": "s" * 10**6}] * 500, patterns={"p" * 10**6: {"samples": [sample] * 500}}, notes=["x" * 10**6] * 500,
        levels={f"{'l' * 1000}{number}": 1 for number in range(1000)}, benign=[{"pattern": "y" * 10**6}] * 500,
    )  # fmt: skip
    view = make_view(make_host(logs=[log]))
    html = report.render_page(build_page(report._material(view, None, {})))
    assert len(html) < 1_000_000
    assert max(len(word) for word in re.findall(r"\w+", Page(html).text)) <= 2000


def test_logs_stand_under_their_host() -> None:
    view = make_view(make_host("app", logs=[make_log(), make_log(name="b")]), make_host("db"), make_host("web", logs=[make_log()]))
    hosts = log_hosts(view, host_rows(view, []), [])
    assert [(host["name"], [card["id"] for card in host["cards"]]) for host in hosts] == [("app", ["h1l1", "h1l2"]), ("web", ["h3l1"])]
