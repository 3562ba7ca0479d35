# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole pass: from what a run saw to what people get and what the next run knows, also when runs are killed in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.messages import Run
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import Key, Notice, latest, read_notice
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notice_delivery import Terms
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notice_pass import NoticePass, Request, read_policies
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notices_runs import observe, watched
from ansible_collections.tradeops.runbook.plugins.plugin_utils.outbox import Outbox

from .recorded import START, Draft, chained, check, checks, hosts, run_id, started, step

NOW = 1_790_000_000.0
CHANNELS = {"chat": {"slack": {"webhook_url": "https://hooks.example/services/secret-of-the-room"}}}
POLICY: dict[str, Any] = {
    "hosts": ["app", "db"], "system": "shop", "environment": "test", "channels": CHANNELS, "problem": "",
    "routes": {severity: {"channels": ["chat"]} for severity in ("P1", "P2", "P3", "P4")}, "max_messages": {}, "heartbeat": {},
}  # fmt: skip
HOSTS = hosts(app="shop/test", db="shop/test")
FAILED = step("failed", role="backup", task="Copy", action="ansible.builtin.command", message="no space left")


def view(*drafts: Draft, now: float = NOW, **facts: Any) -> dict[str, Any]:
    """What a run saw in the seconds before ``now``."""
    return watched(chained(run_id(1), [started(**{"playbook": "watch", **facts}), HOSTS, *drafts]), now - START - 10)


def statuses(*drafts: Draft, told: Sequence[Key] = (), **facts: Any) -> dict[str, str]:
    return {f"{seen.key.host} {seen.key.kind} {seen.key.name}": f"{seen.status} {seen.severity}" for seen in observe(view(*drafts, **facts), told)}


def test_a_run_is_seen_as_checks_hosts_and_failed_steps() -> None:
    found = statuses(checks(check("api", "critical", severity="P1"), check("disk"), check("dns", "unknown", severity=None)), FAILED)
    assert found == {"app check api": "critical P1", "app check disk": "ok P2", "app check dns": "unknown P2", "app host reachable": "ok P2",
                     "app step watch: Copy": "critical P2"}  # fmt: skip


@pytest.mark.parametrize("more", [{"status": "skipped"}, {"status": "warning", "pending": True}, {"status": "skipped", "measured_status": "critical"}])
def test_what_was_skipped_muted_or_has_not_lasted_says_nothing(more: dict[str, Any]) -> None:
    assert "app check api" not in statuses(checks(check("api", **more)))


def test_a_host_that_cannot_be_reached_is_told_once_and_its_failed_step_is_no_other_thing() -> None:
    away = step("unreachable", host="db", message="Connection refused")
    assert statuses(checks(check("api")), away) == {"app check api": "ok P2", "app host reachable": "ok P2", "db host reachable": "unknown P2"}


def test_the_verdict_of_a_role_and_what_this_role_did_are_no_news() -> None:
    verdict = step("failed", role="health", task="Fail when the verdict is bad enough", action="ansible.builtin.fail")
    own = step("failed", role="notify", task="Tell people what changed")
    assert statuses(checks(check("api")), verdict, own) == {"app check api": "ok P2", "app host reachable": "ok P2"}


@pytest.mark.parametrize(
    ("drafts", "facts", "well"),
    [
        ([checks(check("api"))], {}, True),
        ([checks(check("api"))], {"playbook": "backup"}, False),
        ([checks(check("api"))], {"tags": ["health"]}, False),
        ([checks(check("api"))], {"skip_tags": ["backup"]}, False),
        ([checks(check("api"))], {"check_mode": True}, False),
        ([checks(check("api")), step("failed", role="other", task="Else")], {}, False),
        ([step("unreachable")], {}, False),
        ([], {}, False),
    ],
)
def test_a_step_is_well_when_the_whole_playbook_went_through(drafts: list[Draft], facts: dict[str, Any], well: bool) -> None:
    (key,) = [seen.key for seen in observe(view(checks(check("api")), FAILED)) if seen.key.kind == "step"]
    assert (statuses(*drafts, told=[key], **facts).get("app step watch: Copy") == "ok P2") is well


class Site:
    """A controller with a history that remembers what sealed runs told, and a channel."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox")
        self.history: dict[str, list[Notice]] = {}
        self.got: list[str] = []
        self.now, self.number = NOW, 0
        self.fails = False
        self.policies = [POLICY]

    def memory(self) -> Mapping[Key, Notice]:
        return latest(notice for notices in self.history.values() for notice in notices)

    def send(self, _module: str, arguments: dict[str, Any], _seconds: float) -> Mapping[str, Any]:
        if self.fails:
            return {"failed": True, "status": 500}
        body = arguments["body"]
        self.got.append(body["text"] if "text" in body else f"{body['event_action']} {body['dedup_key']}")
        return {"status": 200}

    def run(self, *drafts: Draft, sealed: bool = True, dry: bool = False, test: bool = False, age: float = 0.0) -> dict[str, Any]:
        """One run; what it tells it saw ``age`` seconds ago."""
        self.number += 1
        self.now += 60
        identity = run_id(self.number)
        request = Request(Run(identity, self.now), read_policies(self.policies), view(*drafts, now=self.now - age), test)
        work = NoticePass(self.outbox, self.memory)
        found = work.preview(request) if dry else work.run(request, self.send, Terms(lambda: self.now))
        if sealed and not dry:
            self.history[identity] = [read_notice(record) for record in found["records"]]
        return found

    def news(self) -> list[str]:
        found, self.got = self.got, []
        return found


BAD, WELL = checks(check("api", "critical", severity="P1")), checks(check("api"))
OPENED, RESOLVED = "[P1] shop test: api on app is critical", "[resolved] shop test: api on app is well again"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_twenty_healthy_runs_send_nothing_and_leave_nothing(site: Site) -> None:
    for _time in range(20):
        found = site.run(WELL)
        assert (found["notified"], found["changed"], found["records"], found["outcome"]) == (True, False, [], "ok")
    assert site.news() == [] and [path.name for path in site.outbox.folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("sealed", [True, False])
def test_a_fault_is_told_once_and_once_more_when_it_is_over_also_by_runs_that_were_killed(site: Site, sealed: bool) -> None:
    for drafts in (WELL, BAD, BAD, BAD, WELL, WELL):
        site.run(drafts, sealed=sealed)
    assert site.news() == [OPENED, RESOLVED]


def test_what_a_killed_run_told_is_forgotten_once_the_history_has_it(site: Site) -> None:
    found = site.run(BAD, sealed=False)
    assert site.outbox.tellers() == [run_id(1)]
    site.history[run_id(1)] = [read_notice(record) for record in found["records"]]
    site.run(BAD)
    assert site.outbox.tellers() == [] and site.news() == [OPENED]


def test_what_a_killed_run_told_is_known_although_the_history_never_gets_it(site: Site) -> None:
    site.run(BAD, sealed=False)
    for _time in range(3):
        site.run(BAD)
    assert site.outbox.tellers() == [run_id(1)] and site.news() == [OPENED]
    site.run(WELL)
    site.run(WELL)
    assert site.outbox.tellers() == [] and site.news() == [RESOLVED]


def test_a_run_that_dies_between_the_message_and_the_memory_is_not_told_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(Outbox, "tell", lambda *_arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            site.run(BAD, sealed=False)
    assert site.news() == [] and len(site.outbox.waiting()) == 1
    site.run(BAD)
    assert site.news() == [OPENED] and site.outbox.waiting() == []
    site.run(BAD)
    assert site.news() == []  # although the message that vouched for it is gone


def test_a_slow_run_does_not_tell_what_is_outdated(site: Site) -> None:
    """A short run told what it saw while a long one was still at work; the long one saw before that how it was then."""
    site.run(BAD)
    site.run(WELL, age=100)
    assert site.news() == [OPENED]
    site.run(WELL)
    site.run(BAD, age=100)
    assert site.news() == [RESOLVED]


def test_a_clock_that_is_set_back_repeats_nothing_and_hides_nothing(site: Site) -> None:
    site.run(BAD)
    site.now -= 7200
    site.run(WELL)
    site.run(WELL)
    assert site.news() == [OPENED, RESOLVED]
    site.run(BAD)
    site.run(BAD)
    assert site.news() == [OPENED]


def test_a_host_is_back_when_it_did_something_although_it_has_no_checks(site: Site) -> None:
    site.run(step("unreachable", role="cleanup", task="Look", message="no route"))
    site.run(step("changed", role="cleanup", task="Look"))
    assert site.news() == ["[P2] shop test: host app cannot be reached", "[resolved] shop test: host app is well again"]


def test_the_result_says_who_was_not_told_and_what_waits(site: Site) -> None:
    site.fails = True
    found = site.run(BAD)
    assert (found["notified"], found["outcome"], found["code"], found["waiting_count"]) == (False, "warn", "not_delivered", 1)
    assert found["summary"] == "notified: false; 0 messages sent; 1 waiting, the first for chat: HTTP status 500"
    assert found["waiting"][0] | {"since": ""} == {"channel": "chat", "subject": OPENED, "since": "", "tries": 1, "reached": False, "error": "HTTP status 500"}
    assert site.run(BAD)["notified"] is False  # it still waits
    site.fails, site.now = False, site.now + 60  # it is left alone for longer than a minute now
    found = site.run(BAD)
    assert (found["notified"], found["outcome"], found["summary"]) == (True, "ok", "notified: true; 1 message sent")
    assert site.news() == [OPENED]


def test_a_preview_says_what_would_be_sent_and_writes_nothing(site: Site) -> None:
    found = site.run(BAD, dry=True)
    assert [step["subject"] for step in found["plan"]] == [OPENED] and found["summary"] == "1 message would be sent"
    assert (found["records"], found["performed"], site.outbox.folder.exists()) == ([], [], False)


def test_what_cannot_be_read_is_said_by_the_preview_and_by_the_run(site: Site) -> None:
    site.run(WELL)
    (site.outbox.folder / "1-a.json").write_text("{", encoding="utf-8")
    dry = site.run(WELL, dry=True)
    assert "1-a.json" in dry["problems"][0] and list(site.outbox.folder.glob("*.bad")) == []
    site.outbox = Outbox(site.outbox.folder)  # as the next task would have it
    found = site.run(WELL)
    assert (found["notified"], found["outcome"], found["code"]) == (False, "warn", "outbox_failed") and "1-a.json" in found["problems"][0]
    assert len(list(site.outbox.folder.glob("*.bad"))) == 1


def test_a_test_goes_to_every_channel_and_is_no_news(site: Site) -> None:
    found = site.run(WELL, test=True)
    assert site.news() == ["[test] shop test: a test of the channel chat"] and found["records"] == []


def test_a_sign_of_life_comes_as_often_as_it_should(site: Site) -> None:
    site.policies = [{**POLICY, "heartbeat": {"channels": ["chat"], "every": "10 min"}}]
    times = [number for number in range(30) if site.run(WELL)["sent"]]
    assert times == [0, 9, 18, 27] and all(subject.startswith("[alive] shop test: watched at ") for subject in site.news())


def test_each_system_has_its_own_people(site: Site) -> None:
    site.policies = [{**POLICY, "hosts": ["app"]}, {**POLICY, "hosts": ["db"], "channels": {"chat": {"slak": {}}}, "problem": "notify_routes cannot be read"}]
    found = site.run(checks(check("api", "critical", severity="P1")), checks(check("api", "critical", severity="P1"), host="db"))
    assert site.news() == [OPENED]
    assert (found["outcome"], found["code"], found["notified"]) == ("warn", "channels_invalid", True)
    assert any("notify_routes cannot be read" in problem for problem in found["problems"]) and any("slak" in problem for problem in found["problems"])


def test_hosts_of_one_system_with_other_variables_share_an_incident_until_all_are_well(site: Site) -> None:
    pager = {**POLICY, "channels": {"pager": {"pagerduty": {"routing_key": "key-of-the-pager"}}}}
    routes = {"P1": {"channels": ["pager"]}}
    site.policies = [{**pager, "hosts": ["app"], "routes": routes}, {**pager, "hosts": ["db"], "routes": {"P1": {"channels": ["pager"], "remind": "1 d"}}}]
    both = [checks(check("api", "critical", severity="P1"), host=host) for host in ("app", "db")]
    assert site.run(*both)["sent"] == 2
    opened = site.news()
    site.run(WELL, both[1])
    assert len(set(opened)) == 1 and site.news() == []
    resolved = opened[0].replace("trigger", "resolve")
    site.run(WELL, checks(check("api"), host="db"))
    assert site.news() == [resolved]
    site.run(*both)
    (again, _other) = site.news()
    site.run(WELL, checks(check("api"), host="db"))  # at once: neither waits for the other
    assert set(site.news()) == {again.replace("trigger", "resolve")}


def test_only_a_run_that_looked_at_a_system_is_a_sign_of_life_of_it(site: Site) -> None:
    beat = {"channels": ["chat"], "every": "1 d"}
    site.policies = [{**POLICY, "heartbeat": beat}, {**POLICY, "system": "bank", "hosts": [], "heartbeat": beat}]
    site.run(step("ok", role="notify", task="Deliver"))
    assert site.news() == []
    site.run(WELL)
    (alive,) = site.news()
    assert alive.startswith("[alive] shop test")


def test_what_has_nowhere_to_go_is_said(site: Site) -> None:
    site.policies = [{**POLICY, "routes": {"P2": {"channels": ["chat"]}}}]
    found = site.run(BAD)
    assert site.news() == [] and "shop test: P1, P3, P4 goes nowhere: notify_routes has no channel for it" in found["notes"]
    assert "1 thing that should be told had nowhere to go, first api" in found["notes"]
