# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From notices to messages, and to what each kind of channel is sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.channel_formats import MAIL, URI, request
from ansible_collections.tradeops.runbook.plugins.module_utils._core.channels import Policy, parse_policy
from ansible_collections.tradeops.runbook.plugins.module_utils._core.messages import Message, Run, compose, fold, instead, read_message, route, simple
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import HEARTBEAT, Key, Moment, Notice, Seen, decide, incidents_left, latest

from .test_channels import CHANNELS, GOOD, ROUTES

NOW = 1_790_000_000.0
RUN = Run("20261120T021500Z-7f3a9c1e", NOW)
POLICY = parse_policy({**GOOD, "channels": {**CHANNELS, "tickets": {"webhook": {**CHANNELS["tickets"]["webhook"], "changes": ["opened", "resolved"]}}}})


def key(name: str, kind: str = "check", host: str = "app") -> Key:
    return Key("shop", "production", host, kind, "health", name)


def bad(*names: str, severity: str = "P1", status: str = "critical") -> list[Seen]:
    return [Seen(key(name), status, severity, f"{name} is wrong", "mend it") for name in names]


def messages(seen: list[Seen], told: dict[Key, Notice] | None = None, now: float = NOW, policy: Policy = POLICY) -> tuple[list[Message], dict[Key, Notice]]:
    """What is sent, and what people know then."""
    known = told or {}
    routed, _nowhere = route(decide(known, seen, policy.remind(), Moment(now, RUN.run_id)), policy)
    return compose(routed, policy, incidents_left(known, routed), RUN._replace(now=now)), latest([*known.values(), *routed])


def by_channel(found: list[Message]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for message in found:
        names.setdefault(message.channel, []).append(message.subject)
    return names


def test_five_hundred_alike_are_one_message_for_each_channel() -> None:
    found, _told = messages(bad(*(f"position {number}" for number in range(500))))
    assert [message.channel for message in found] == ["pager", "chat"]
    assert {message.count for message in found} == {500}
    assert found[0].subject == "[P1] shop production: 500 things need attention, first position 0 on app"
    assert len(found[0].lines) == 10 and found[0].text().endswith("and 490 more")
    assert found[0].lines[0] == "position 0 on app is critical: position 0 is wrong (mend it)"


def test_one_fault_with_several_severities_is_one_message_and_one_incident() -> None:
    seen = [*bad("log", severity="P3", status="warning"), *bad("api"), *bad("database", severity="P2")]
    found, _told = messages(seen)
    assert by_channel(found) == {"pager": ["[P1] shop production: api on app is critical"],
                                 "chat": ["[P1] shop production: 3 things need attention, first api on app"]}  # fmt: skip
    assert len({message.dedup_key for message in found}) == 1 and found[0].second == ("mail",)


def test_the_pager_hears_of_the_end_once_all_of_an_incident_is_well_and_the_chat_of_each_part() -> None:
    _found, told = messages(bad("api", "database"))
    found, told = messages([Seen(key("api"), "ok")], told, NOW + 60)
    assert by_channel(found) == {"chat": ["[resolved] shop production: api on app is well again"]} and not found[0].over
    found, told = messages([Seen(key("database"), "ok")], told, NOW + 7200)
    assert set(by_channel(found)) == {"pager", "chat"} and all(message.over for message in found)
    assert found[0].lines == ("database on app is well again, after 2 h",)


def test_what_is_well_again_is_told_wherever_it_was_told_to_be_wrong() -> None:
    _found, told = messages(bad("api", severity="P4", status="warning"))
    found, told = messages(bad("api"), told, NOW + 60)
    assert by_channel(found) == dict.fromkeys(["pager", "chat"], ["[P1, worse] shop production: api on app is critical"])  # tickets want no such change
    found, _told = messages([Seen(key("api"), "ok")], told, NOW + 120)
    assert set(by_channel(found)) == {"pager", "chat", "tickets"}
    assert len({message.dedup_key for message in found}) == 1


def test_what_has_no_route_is_not_told_and_comes_once_there_is_one() -> None:
    without = parse_policy({**GOOD, "routes": {"P1": ROUTES["P1"]}})
    found, told = messages(bad("disk", severity="P3"), policy=without)
    assert (found, told) == ([], {})
    found, _told = messages(bad("disk", severity="P3"), told)
    assert by_channel(found) == {"chat": ["[P3] shop production: disk on app is critical"]}


@pytest.mark.parametrize(
    ("seen", "subject"),
    [
        (Seen(key("reachable", "host"), "unknown", "P2", "no route"), "[P2] shop production: host app cannot be reached"),
        (Seen(key("daily: Measure", "step"), "critical", "P2", "it broke"), "[P2] shop production: step daily: Measure on app failed"),
        (Seen(key("a\nb"), "unknown", "P2"), "[P2] shop production: a b on app is unknown"),  # a subject is one line
        (Seen(key("x" * 900), "unknown", "P2"), f"[P2] shop production: {'x' * 900}"[:499] + "…"),
    ],
)
def test_subjects_say_what_is_wrong(seen: Seen, subject: str) -> None:
    found, _told = messages([seen])
    assert found[0].subject == subject


def test_a_message_is_read_as_it_was_written() -> None:
    found, _told = messages(bad("api", "database"))
    for message in [*found, instead(found[0], "mail", "why"), fold(found)]:
        assert read_message(json.loads(json.dumps(message.record()))) == message
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_message({"id": "a"})


def test_another_channel_says_why_it_got_the_message() -> None:
    (pager, _chat), _told = messages(bad("api"))
    mail = instead(pager, "mail", "HTTP status 404")
    assert (mail.channel, mail.stands_for, mail.second, mail.dedup_key) == ("mail", (pager.id,), (), pager.dedup_key) and mail.id != pager.id
    assert mail.text().endswith("sent here because the channel pager failed: HTTP status 404")


def test_too_many_become_one_that_names_each() -> None:
    many = [messages(bad(name, severity="P2"))[0][0] for name in ("a", "b", "c")]
    folded = fold(many)
    assert folded.subject == "[P2] shop production: 3 messages in one, because there were too many for chat"
    assert list(folded.lines) == [message.subject for message in many]
    assert fold(many).id == folded.id  # done again after a crash, it is the same message
    late = messages(bad("d", severity="P2"), now=NOW + 86400)[0][0]
    again = fold([folded, late])
    assert list(again.lines) == [*folded.lines, late.subject] and again.created_at == NOW + 86400  # what was folded before is still named


def test_a_message_of_a_release_that_knew_less_is_read() -> None:
    (message, _chat), _told = messages(bad("api"))
    old = {name: value for name, value in message.record().items() if name not in ("second", "stands_for")}
    assert read_message(old) == message._replace(second=(), stands_for=())


def body(channel: str, message: Message) -> dict[str, Any]:
    module, arguments = request(POLICY.channels[channel], message)
    assert module == URI and arguments["follow_redirects"] == "none" and arguments["timeout"] == 10
    found: dict[str, Any] = json.loads(json.dumps(arguments["body"]))
    return found


def test_pagerduty_gets_events_of_version_2() -> None:
    found, told = messages(bad("api"))
    event = body("pager", found[0])
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == ("key-of-the-pager", "trigger", found[0].dedup_key)
    payload = event["payload"]
    assert (payload["summary"], payload["source"], payload["severity"]) == (found[0].subject, "shop/production", "critical")
    assert payload["timestamp"] == "2026-09-21T14:13:20Z" and payload["custom_details"]["lines"]
    resolved, _told = messages([Seen(key("api"), "ok")], told, NOW + 60)
    same = {name: event[name] for name in ("routing_key", "dedup_key", "client")}
    assert body("pager", resolved[0]) == {**same, "event_action": "resolve"}


@pytest.mark.parametrize(("severity", "word"), [("P1", "critical"), ("P2", "error"), ("P3", "warning"), ("P4", "info")])
def test_pagerduty_has_other_words_for_severities(severity: str, word: str) -> None:
    assert body("pager", messages(bad("api"))[0][0]._replace(severity=severity))["payload"]["severity"] == word


def test_slack_gets_blocks_in_which_nothing_of_a_log_has_a_meaning() -> None:
    message = messages([Seen(key("log"), "critical", "P3", "<!channel> a & b <https://evil|click>")])[0][0]
    sent = body("chat", message)
    assert sent["text"] == message.subject
    (header,), (section, foot) = sent["blocks"], sent["attachments"][0]["blocks"]
    assert header["text"]["text"] == message.subject[:150] and "P3" in foot["elements"][0]["text"]
    assert "&lt;!channel&gt; a &amp; b &lt;https://evil|click&gt;" in section["text"]["text"]
    long = message._replace(lines=("x" * 500,) * 10)
    assert len(body("chat", long)["attachments"][0]["blocks"][0]["text"]["text"]) <= 3000


def test_slack_shows_each_severity_in_a_colour_of_its_own_and_what_is_over_in_green() -> None:
    opened, told = messages(bad("api"))
    resolved, _told = messages([Seen(key("api"), "ok")], told, NOW + 60)
    colours = [body("chat", one)["attachments"][0]["color"] for one in (*(opened[0]._replace(severity=f"P{n}") for n in (1, 2, 3, 4)), resolved[0])]
    assert len(set(colours)) == 5 and all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_mail_is_plain_text_with_the_key_in_its_header() -> None:
    message = messages(bad("api"))[0][0]._replace(channel="mail")
    module, arguments = request(POLICY.channels["mail"], message)
    assert module == MAIL
    assert (arguments["to"], arguments["sender"], arguments["secure"], arguments["port"]) == (["ops@example.org"], "runbook@example.org", "starttls", 587)
    assert arguments["body"].startswith("api on app is critical: api is wrong (mend it)\n\n-- \nseverity P1, opened, run 20261120")
    assert f"X-Runbook-Key={message.dedup_key}" in arguments["headers"] and "password" not in arguments


def test_a_webhook_gets_everything_or_what_the_inventory_wants() -> None:
    message = messages(bad("api", severity="P4"))[0][0]
    sent = body("tickets", message)
    assert {"id", "change", "severity", "system", "environment", "subject", "text", "lines", "count", "dedup_key", "over", "run_id", "at", "test"} == set(sent)
    assert (sent["count"], sent["over"], sent["test"]) == (1, False, False)
    _module, arguments = request(POLICY.channels["tickets"], message)
    assert arguments["headers"]["Authorization"] == "Bearer token-of-tickets" and arguments["headers"]["Idempotency-Key"] == message.id
    template = {"fields": {"summary": "{severity}: {subject}", "labels": ["runbook", "{system}"], "rank": 4, "literal": "{nothing} {}"}}
    own = parse_policy({**GOOD, "channels": {"tickets": {"webhook": {"url": "https://t.example", "body": template}}}}).channels["tickets"]
    filled = request(own, message)[1]["body"]["fields"]
    assert filled == {"summary": f"P4: {message.subject}", "labels": ["runbook", "shop"], "rank": 4, "literal": "{nothing} {}"}


def test_a_sign_of_life_says_what_its_absence_means() -> None:
    message = simple(POLICY.channels["mail"], HEARTBEAT, ("shop", "production"), RUN)
    assert message.subject == "[alive] shop production: watched at 2026-09-21T14:13:20Z" and "nobody is watching" in message.text()
