# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass of notification: what is news, into the outbox, and out of it to people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.channels import Policy, parse_policy
from ansible_collections.tradeops.runbook.plugins.module_utils._core.messages import SUMMARY, TEST, Message, Run, compose, named, route, simple
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import HEARTBEAT, Key, Moment, Notice, Seen, decide, incidents_left, latest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import plural
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notice_delivery import Delivery, Place, Sender, Terms
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notices_runs import ROLE, observe
from ansible_collections.tradeops.runbook.plugins.plugin_utils.outbox import Outbox, Waiting

LOCK_SECONDS = 30.0
_NOT_ALL = ("outbox_failed", "channels_invalid")
"""Codes that say that something could not be used."""

SHOWN = 20
"""Messages that a result lists one by one."""

_HEARTBEAT_EARLY = 60.0
"""Seconds that a sign of life may come too soon, so that a loop which comes a second early does not miss a whole turn."""


@dataclass(frozen=True)
class Policies:
    """Who is told what goes on on which hosts."""

    by_host: Mapping[str, Policy]
    by_place: Mapping[Place, Policy]

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told anything."""
        return any(policy.channels for policy in self.by_place.values())

    def said(self, name: str) -> list[str]:
        """All ``problems`` or ``notes``, each once, with the system they are about."""
        found = [f"{_name(place)}: {text}" for place, policy in self.by_place.items() for text in getattr(policy, name)]
        return list(dict.fromkeys(found))


def read_policies(given: Iterable[Mapping[str, Any]]) -> Policies:
    """From what the filter notify_policies gives. Where hosts of one system differ, each has its own; messages that wait go by the first one."""
    by_host: dict[str, Policy] = {}
    by_place: dict[Place, Policy] = {}
    for raw in given:
        policy = parse_policy(raw)
        if raw.get("problem"):
            policy = policy._replace(problems=(*policy.problems, str(raw["problem"])))
        place = (str(raw.get("system") or ""), str(raw.get("environment") or ""))
        known = by_place.get(place)
        merged = policy if known is None else known._replace(
            channels={**policy.channels, **known.channels}, problems=(*known.problems, *policy.problems))  # fmt: skip
        by_place[place] = merged
        by_host |= {str(name): policy for name in raw.get("hosts") or []}
    return Policies(by_host, by_place)


@dataclass(frozen=True)
class Request:
    """What a pass is to do."""

    run: Run
    policies: Policies
    view: Mapping[str, Any]
    """What the run saw so far."""
    test: bool = False


@dataclass
class News:
    """What is to be told, before anything of it is sent."""

    messages: list[Message] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    nowhere: list[Notice] = field(default_factory=list)


def find_news(request: Request, told: Mapping[Key, Notice]) -> News:
    """Everything that changed, for everybody who is to know."""
    news, moment = News(), Moment(request.run.now, request.run.run_id)
    seen = observe(request.view, [key for key, notice in told.items() if notice.is_open])
    found: list[tuple[Policy, list[Notice]]] = []
    for policy, mine in _by_policy(request.policies, seen):
        routed, nowhere = route(decide(told, mine, policy.remind(), moment), policy)
        news.notices += routed
        news.nowhere += nowhere
        found.append((policy, routed))
    left = incidents_left(told, news.notices)  # of all policies: hosts of one system share an incident, whoever is told
    for policy, routed in found:
        news.messages += compose(routed, policy, left, request.run)
    for place, policy in request.policies.by_place.items():
        _add_signs(news, request, (place, policy), told)
    return news


def _by_policy(policies: Policies, seen: Sequence[Seen]) -> list[tuple[Policy, list[Seen]]]:
    found: dict[int, tuple[Policy, list[Seen]]] = {}
    for one in seen:
        policy = policies.by_host.get(one.key.host)
        if policy is not None and policy.channels:
            found.setdefault(id(policy), (policy, []))[1].append(one)
    return list(found.values())


def _add_signs(news: News, request: Request, of: tuple[Place, Policy], told: Mapping[Key, Notice]) -> None:
    """A test of every channel, when it is asked for, and signs of life that are due."""
    (place, policy), run = of, request.run
    if request.test:
        news.messages += [simple(channel, TEST, place, run) for channel in policy.channels.values()]
    beat = policy.heartbeat if place in _watched(request.view) else None
    for name in beat.channels if beat else ():
        key = Key(*place, "", HEARTBEAT, "", name)
        last = told.get(key)
        if last is None or beat is None or run.now - last.at >= (beat.remind or 0.0) - _HEARTBEAT_EARLY:
            news.messages.append(simple(policy.channels[name], HEARTBEAT, place, run))
            news.notices.append(Notice(key, HEARTBEAT, "ok", "ok", "P4", "", "", run.now, run.now, run.now, "", channels=(name,)))


def _watched(view: Mapping[str, Any]) -> set[Place]:
    """The systems that this run looked at: one that only delivers is no sign that somebody watches."""
    return {(system["name"], system["environment"]) for system in view["systems"] for host in system["hosts"]
            if host["checks"] or any(step.get("role") != ROLE for step in host["steps"])}  # fmt: skip


Memory = Callable[[], Mapping[Key, Notice]]
"""What the history says people were told."""


@dataclass
class NoticePass:
    """The pass over one outbox."""

    outbox: Outbox
    memory: Memory

    def _known(self) -> tuple[dict[Key, Notice], list[str], dict[str, list[Notice]]]:
        """What people were told, also by runs that are not sealed yet, or were killed before they could say so; and runs that are known in full.
        And by run what only its messages that wait say: it goes with them.

        A killed run is sealed without its last words: what it told is kept here until the history has that, or something newer of the same.
        """
        told = self.memory()
        by_run = {run_id: self.outbox.told_by(run_id) for run_id in self.outbox.tellers()}
        done = [run_id for run_id, notices in by_run.items() if all(one.key in told and told[one.key].at >= one.at for one in notices)]
        found = latest([*told.values(), *(notice for notices in by_run.values() for notice in notices)])
        loose: dict[str, list[Notice]] = {}
        for waiting in self.outbox.waiting():
            for notice in waiting.notices:
                if notice.key not in found or found[notice.key].at < notice.at:
                    loose.setdefault(waiting.message.run_id, []).append(notice)
        return latest([*found.values(), *(notice for notices in loose.values() for notice in notices)]), done, loose

    def preview(self, request: Request) -> dict[str, Any]:
        """What would be sent; nothing is written."""
        news = find_news(request, self._known()[0])
        problems = [*request.policies.said("problems"), *self.outbox.problems]
        return {**_result(request, news), "problems": problems, "notified": False, "performed": [], "records": [], "changed": bool(news.messages)}

    def run(self, request: Request, send: Sender, terms: Terms) -> dict[str, Any]:
        """Tell what is news, and deliver what waits."""
        with self.outbox.locked(LOCK_SECONDS):
            known, done, loose = self._known()
            for run_id, notices in loose.items():
                self.outbox.tell(run_id, notices)
            news = find_news(request, known)
            messages = [message._replace(created_at=request.run.now + number / 1000) for number, message in enumerate(news.messages)]  # in this order
            for message in messages[:-1]:
                self.outbox.add(message)
            for message in messages[-1:]:
                self.outbox.add(message, news.notices)  # the last one vouches for all: without it a killed run is as if it had told nothing
            self.outbox.tell(request.run.run_id, news.notices)
            for run_id in done:
                self.outbox.forget(run_id)
            delivery = Delivery(self.outbox, request.policies.by_place, send, terms)
            left = delivery.run()
        return {**_result(request, news), **_outcome(request, delivery, left, self.outbox.problems)}


def _result(request: Request, news: News) -> dict[str, Any]:
    return {
        "plan": [_step(message) for message in news.messages[:SHOWN]],
        "planned": len(news.messages),
        "records": [notice.record() for notice in news.notices],
        "problems": request.policies.said("problems"),
        "notes": [*request.policies.said("notes"), *_went_nowhere(news)],
        "waiting": [], "waiting_count": 0, "expired": [], "hint": "", "code": "ok", "summary": f"{plural(len(news.messages), 'message')} would be sent",
    }  # fmt: skip


def _went_nowhere(news: News) -> list[str]:
    return [f"{plural(len(news.nowhere), 'thing')} that should be told had nowhere to go, first {news.nowhere[0].key.name}"] if news.nowhere else []


def _step(message: Message) -> dict[str, Any]:
    what = message.change if message.change in (TEST, SUMMARY, HEARTBEAT) else f"{plural(message.count, 'thing')} {message.change}"
    return {"step": "send", "channel": message.channel, "severity": message.severity, "subject": message.subject, "reason": what}


def _outcome(request: Request, delivery: Delivery, left: Sequence[Waiting], problems: Sequence[str]) -> dict[str, Any]:
    """What became of it: who was not told, what waits, what is wrong with the channels."""
    failed = [waiting for waiting in left if waiting.error]
    unreached = [waiting for waiting in left if not waiting.reached and not waiting.message.stands_for]
    every = [*request.policies.said("problems"), *problems]
    told = not (unreached or delivery.expired or problems)
    parts = [f"notified: {'true' if told else 'false'}", f"{plural(len(delivery.sent), 'message')} sent"]
    parts += [f"{len(left)} waiting" + (f", the first for {left[0].message.channel}: {_why(left[0])}" if left else "")] if left else []
    parts += [f"{len(delivery.expired)} expired"] if delivery.expired else []
    invalid = "outbox_failed" if problems else "channels_invalid" if every else ""
    code = "not_delivered" if failed or delivery.expired else invalid or ("held_back" if delivery.held else "ok")
    hints = {
        "not_delivered": "see the address and the access of the channel; playbooks/notify.yml tries again at once",
        "channels_invalid": every[0] if every else "",
        "outbox_failed": problems[0] if problems else "",
        "held_back": "notify_max_messages is reached: the rest comes as one message",
    }
    return {
        "outcome": "warn" if code in ("not_delivered", *_NOT_ALL) else "ok", "code": code, "hint": hints.get(code, ""),
        "notified": told, "changed": bool(delivery.sent or _made_by(left, request)),
        "performed": [_step(waiting.message) for waiting in delivery.sent[:SHOWN]], "sent": len(delivery.sent), "problems": every,
        "waiting": [_tell(waiting) for waiting in left[:SHOWN]], "waiting_count": len(left),
        "expired": [_tell(waiting) for waiting in delivery.expired[:SHOWN]], "summary": "; ".join(parts),
    }  # fmt: skip


def _made_by(left: Sequence[Waiting], request: Request) -> bool:
    """Whether something that waits is of this run."""
    return any(waiting.message.run_id == request.run.run_id for waiting in left)


def _why(waiting: Waiting) -> str:
    return waiting.error or "not tried yet"


def _tell(waiting: Waiting) -> dict[str, Any]:
    message = waiting.message
    return {"channel": message.channel, "subject": message.subject, "since": rfc3339(message.created_at), "tries": waiting.tries,
            "reached": waiting.reached, "error": _why(waiting)}  # fmt: skip


def _name(place: Place) -> str:
    return named(place) or "no system"
