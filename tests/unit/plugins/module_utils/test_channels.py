# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels and routes: every mistake is named with its place, silences nothing else, and shows no secret."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.channels import PAGERDUTY_URL, Route, parse_policy, secrets_of

CHANNELS: dict[str, Any] = {
    "pager": {"pagerduty": {"routing_key": "key-of-the-pager"}},
    "chat": {"slack": {"webhook_url": "https://hooks.example/services/T0/B0/abcdefghijklmnop1234"}},
    "mail": {"email": {"to": ["ops@example.org"], "from": "runbook@example.org", "host": "smtp.example.org", "port": "587"}},
    "tickets": {"webhook": {"url": "https://tickets.example/api", "secret_headers": {"Authorization": "Bearer token-of-tickets"}, "changes": ["opened"]}},
}
ROUTES: dict[str, Any] = {
    "P1": {"channels": ["pager", "chat"], "second": ["mail"], "remind": "15 min"},
    "P2": {"channels": "chat"},
    "P3": {"channels": ["chat"], "remind": "1 d"},
    "P4": {"channels": ["tickets"]},
}
GOOD: dict[str, Any] = {
    "channels": CHANNELS, "routes": ROUTES, "max_messages": {"count": 3, "per": "1 min"}, "heartbeat": {"channels": ["mail"], "every": "1 d"},
}  # fmt: skip


def test_what_an_inventory_says_is_read() -> None:
    policy = parse_policy(GOOD)
    assert (policy.problems, policy.notes, policy.most, policy.per) == ((), (), 3, 60.0)
    assert {name: channel.kind for name, channel in policy.channels.items()} == {"pager": "pagerduty", "chat": "slack", "mail": "email", "tickets": "webhook"}
    assert policy.channels["pager"].options["url"] == PAGERDUTY_URL and policy.channels["mail"].options["port"] == 587
    assert (policy.routes["P1"].second, policy.routes["P2"].channels) == (("mail",), ("chat",))
    assert policy.remind() == {"P1": 900.0, "P2": None, "P3": 86400.0, "P4": None}
    assert policy.heartbeat is not None and policy.heartbeat.channels == ("mail",)


def test_nothing_is_fine_and_goes_nowhere() -> None:
    policy = parse_policy({})
    assert (policy.channels, policy.problems, policy.notes, policy.most, policy.per) == ({}, (), (), 10, 600.0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"channels": []}, "notify_channels must be a mapping"),
        ({"channels": {"pager": {}}}, "notify_channels: pager needs one kind as its key (kinds are pagerduty, slack, email, webhook)"),
        ({"channels": {"pager": {"pagerdudy": {}}}}, 'notify_channels: pager: unknown kind "pagerdudy"; did you mean "pagerduty"?'),
        ({"channels": {"pager": {"pagerduty": "hush-hush"}}}, "notify_channels: pager pagerduty: its options must be a mapping"),
        ({"channels": {"pager": {"pagerduty": {"routing_kay": "hush-hush"}}}}, 'unknown key "routing_kay"; did you mean "routing_key"?'),
        ({"channels": {"pager": {"pagerduty": {}}}}, "notify_channels: pager pagerduty: routing_key is missing"),
        ({"channels": {"chat": {"slack": {"webhook_url": "hush-hush"}}}}, "notify_channels: chat slack: webhook_url is no address"),
        ({"channels": {"chat": {"slack": {"webhook_url": "https://a/hush-hush", "timeout_seconds": "hush-hush"}}}}, "timeout_seconds must be a number"),
        ({"channels": {"chat": {"slack": {"webhook_url": "https://a/hush-hush", "changes": ["open"]}}}}, 'unknown change "open"; did you mean "opened"?'),
        ({"channels": {"t": {"webhook": {"url": "https://a", "secret_headers": "hush-hush"}}}}, "secret_headers must be a mapping"),
        ({"channels": {"m": {"email": {"to": "ops", "from": "a@b", "host": "h"}}}}, "to must be a list of addresses"),
        ({"channels": {"m": {"email": {"to": "o@b", "from": "a@b", "host": "h", "password": "hush-hush"}}}}, "username and password are given together"),
        (
            {"channels": {"m": {"email": {"to": "o@b", "from": "a@b", "host": "h", "username": "u", "password": "hush-hush", "secure": "try"}}}},
            "the password could go over the network in the clear",
        ),
        ({"channels": {"m": {"email": {"to": "o@b", "from": "a@b", "host": "h", "secure": "hush-hush"}}}}, "unknown value of secure"),
        ({"routes": {"P5": {"channels": ["chat"]}}}, "notify_routes: P5 is no severity (severities are P1, P2, P3, P4)"),
        ({"routes": {"P1": ["chat"]}}, "notify_routes: P1: write it as {channels: [...]}"),
        ({"routes": {"P1": {"channels": ["chatt"]}}}, 'notify_routes: P1: there is no channel "chatt"; did you mean "chat"?'),
        ({"routes": {"P1": {"channels": ["chat"], "remind": "often"}}}, "notify_routes: P1: remind: "),
        ({"routes": {"P1": {"channel": ["chat"]}}}, 'notify_routes: P1: unknown key "channel"; did you mean "channels"?'),
        ({"routes": {"P1": {"channels": {"chat": 1}}}}, "notify_routes: P1: channels must be a list of channels"),
        ({"max_messages": 5}, "notify_max_messages: write it as {count: 10, per: 10 min}"),
        ({"max_messages": {"count": 0, "per": "1 min"}}, "notify_max_messages: count must be a number above 0"),
        ({"heartbeat": {"channels": ["pager"], "every": "1 d"}}, "notify_heartbeat: pager would page somebody for a sign of life"),
        ({"heartbeat": {"channels": ["mail"]}}, "notify_heartbeat: every is missing"),
        ({"heartbeat": {"channels": ["mail"], "every": "soon"}}, "notify_heartbeat: every: "),
    ],
)
def test_a_mistake_is_named_and_shows_no_secret(change: dict[str, Any], problem: str) -> None:
    policy = parse_policy({**GOOD, **change})
    assert any(problem in said for said in policy.problems), policy.problems
    assert "hush-hush" not in repr(policy.problems)


def test_a_mistake_in_one_channel_leaves_the_others() -> None:
    policy = parse_policy({**GOOD, "channels": {**CHANNELS, "chat": {"slak": {}}}})
    assert set(policy.channels) == {"pager", "mail", "tickets"}
    assert policy.routes["P1"].channels == ("pager",) and len(policy.problems) == 4  # the channel, and three routes that name it


@pytest.mark.parametrize("more", [{"remind": 15}, {"remind": "often"}, {"remnid": "15 min"}, {"second": {"mail": 1}}])
def test_a_mistake_beside_the_channels_of_a_route_keeps_the_channels(more: dict[str, Any]) -> None:
    policy = parse_policy({**GOOD, "routes": {**ROUTES, "P1": {"channels": ["pager"], **more}}})
    assert policy.routes["P1"] == Route(("pager",)) and len(policy.problems) == 1


@pytest.mark.parametrize("address", ["https://[hush-hush", "https://h:hush-hush/x", "https://h:0/x", "https://h:99999/x", "https:///x", "ftp://h/x"])
def test_what_is_no_address_is_named_and_leaves_the_others(address: str) -> None:
    policy = parse_policy({**GOOD, "channels": {**CHANNELS, "chat": {"slack": {"webhook_url": address}}}})
    assert set(policy.channels) == {"pager", "mail", "tickets"}
    assert policy.problems[0] == "notify_channels: chat slack: webhook_url is no address that begins with https:// or http://"


def test_a_severity_without_a_channel_is_a_note() -> None:
    policy = parse_policy({**GOOD, "routes": {"P1": ROUTES["P1"], "P3": {"channels": []}}})
    assert policy.notes == ("P2, P3, P4 goes nowhere: notify_routes has no channel for it",) and policy.problems == ()


def test_every_secret_of_every_channel_is_known_and_none_is_shown() -> None:
    policy = parse_policy(GOOD)
    secrets = secrets_of(policy.channels.values())
    wanted = {"key-of-the-pager", "/services/T0/B0/abcdefghijklmnop1234", "abcdefghijklmnop1234", "token-of-tickets"}
    assert wanted <= secrets and PAGERDUTY_URL not in secrets
    assert not any(secret in repr(list(policy.channels.values())) for secret in wanted)
