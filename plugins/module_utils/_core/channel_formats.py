# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of channel wants to be sent: the module that sends it, and its arguments. They hold secrets: nobody may show them.

PagerDuty: Events API v2. Slack: incoming webhooks with blocks, in attachments for the colour. Mail: plain text. Webhook: our JSON, or the body that the
inventory wants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .channels import Channel
from .messages import TEST, Message
from .notices import RESOLVED
from .times import rfc3339

URI, MAIL = "ansible.builtin.uri", "community.general.mail"

Request = tuple[str, dict[str, Any]]

_PAGERDUTY_SEVERITY = {"P1": "critical", "P2": "error", "P3": "warning", "P4": "info"}
_SUMMARY_LONGEST = 1024
"""Characters of a summary that PagerDuty takes."""
_HEADER_LONGEST, _SECTION_LONGEST = 150, 2900
"""Characters that Slack takes in a header (150) and in a section (3,000, with the escapes)."""
_GREEN = "#2eb67d"
_COLOURS = {"P1": "#a30200", "P2": "#d9480f", "P3": "#daa038", "P4": "#36739c"}
"""Of the bar beside a message, as Slack's own alerts have them; never the only sign of a severity."""
_WORD = re.compile(r"\{([a-z_]+)\}")


def request(channel: Channel, message: Message) -> Request:
    """The module and its arguments."""
    return _FORMATS[channel.kind](channel.options, message)


def _post(options: Mapping[str, Any], url: str, body: Any, headers: Mapping[str, str]) -> Request:
    arguments = {
        "url": url, "method": "POST", "body_format": "json", "body": body, "headers": {"Content-Type": "application/json", **headers},
        "status_code": [200, 201, 202, 204], "timeout": max(1, round(options["timeout_seconds"])), "use_netrc": False,
        "follow_redirects": "none",  # the header with the secret would go along
    }  # fmt: skip
    return URI, {**arguments, **({"ca_path": options["ca_path"]} if options["ca_path"] else {})}


def _pagerduty(options: Mapping[str, Any], message: Message) -> Request:
    event = {"routing_key": options["routing_key"], "dedup_key": message.dedup_key, "client": "tradeops.runbook"}
    if message.change == RESOLVED:
        return _post(options, options["url"], {**event, "event_action": "resolve"}, {})
    place = "/".join(part for part in (message.system, message.environment) if part) or "tradeops.runbook"
    payload = {
        "summary": message.subject[:_SUMMARY_LONGEST], "source": place, "severity": _PAGERDUTY_SEVERITY[message.severity],
        "timestamp": rfc3339(message.created_at), "group": message.system, "class": message.change,
        "custom_details": {"count": message.count, "lines": list(message.lines), "run": message.run_id},
    }  # fmt: skip
    return _post(options, options["url"], {**event, "event_action": "trigger", "payload": payload}, {})


def _slack(options: Mapping[str, Any], message: Message) -> Request:
    lines = _slack_text(message.text())[:_SECTION_LONGEST]
    foot = f"{message.severity} · {message.change} · run {message.run_id}"
    header = {"type": "header", "text": {"type": "plain_text", "text": message.subject[:_HEADER_LONGEST], "emoji": False}}
    beside = [
        {"type": "section", "text": {"type": "mrkdwn", "text": lines or "-"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": _slack_text(foot)}]},
    ]
    colour = _GREEN if message.over else _COLOURS[message.severity]
    body = {"text": _slack_text(message.subject), "blocks": [header], "attachments": [{"color": colour, "blocks": beside}]}
    return _post(options, options["webhook_url"], body, {})


def _slack_text(text: str) -> str:
    """These three have a meaning there: text from a log must neither ping a channel nor become a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _email(options: Mapping[str, Any], message: Message) -> Request:
    foot = f"-- \nseverity {message.severity}, {message.change}, run {message.run_id}, {rfc3339(message.created_at)}"
    arguments = {
        "host": options["host"], "port": options["port"], "secure": options["secure"], "sender": options["from"], "to": list(options["to"]),
        "subject": message.subject, "body": f"{message.text()}\n\n{foot}", "timeout": max(1, round(options["timeout_seconds"])),
        "headers": [f"X-Runbook-Key={message.dedup_key}", f"X-Runbook-Message={message.id}", "Auto-Submitted=auto-generated"],
    }  # fmt: skip
    login = {key: options[key] for key in ("username", "password")} if options["password"] else {}
    return MAIL, {**arguments, **login}


def _webhook(options: Mapping[str, Any], message: Message) -> Request:
    words = {
        **{key: str(getattr(message, key)) for key in ("id", "system", "environment", "change", "severity", "dedup_key", "count", "subject", "run_id")},
        "text": message.text(), "at": rfc3339(message.created_at), "over": "true" if message.over else "false",
    }  # fmt: skip
    ours = {**words, "count": message.count, "over": message.over, "lines": list(message.lines), "test": message.change == TEST}
    body = _filled(options["body"], words) if options["body"] else ours
    headers = {str(name): str(value) for given in (options["headers"], options["secret_headers"]) for name, value in given.items()}
    return _post(options, options["url"], body, {"Idempotency-Key": message.id, **headers})


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """A body of the inventory with ``{subject}`` and the like filled in; other braces stay as they are."""
    if isinstance(value, Mapping):
        return {str(key): _filled(item, words) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, words) for item in value]
    return _WORD.sub(lambda found: words.get(found.group(1), found.group(0)), value) if isinstance(value, str) else value


_FORMATS: dict[str, Callable[[Mapping[str, Any], Message], Request]] = {
    "pagerduty": _pagerduty, "slack": _slack, "email": _email, "webhook": _webhook,
}  # fmt: skip
