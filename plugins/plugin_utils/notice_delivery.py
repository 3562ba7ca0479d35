# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery: the messages in the outbox to their channels, at least once, within a time and a rate.

A channel that fails is left alone for a while, longer each time; its second channels get what it could not take. What is over the rate of a channel
waits and is folded into one message; the most urgent is never held back. What nobody took for days expires, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.channel_formats import request
from ansible_collections.tradeops.runbook.plugins.module_utils._core.channels import BY_INCIDENT, Channel, Policy, secrets_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import SEVERITIES
from ansible_collections.tradeops.runbook.plugins.module_utils._core.messages import fold, instead
from ansible_collections.tradeops.runbook.plugins.module_utils._core.redaction import Redactor
from ansible_collections.tradeops.runbook.plugins.plugin_utils.outbox import Outbox, Waiting

FIRST_PAUSE, LONGEST_PAUSE = 45.0, 3600.0
"""Seconds until a failed message is tried again; doubled each time. The first is over before a loop of one minute comes again."""

REJECTIONS = 2
"""A channel that rejected so many messages in one pass is left alone until the next."""

_SPARE_SECONDS = 5.0
"""What the module takes to start, beside the time of its channel."""

_TRY_AGAIN = (408, 425, 429)
"""Statuses of HTTP that are about the moment and not about the message."""

Place = tuple[str, str]
Sender = Callable[[str, dict[str, Any], float], Mapping[str, Any]]
"""Runs a module with arguments for at most so many seconds; its result."""


class ChannelFailed(RunbookError):
    """A message did not arrive, or only at the addresses that ``took`` it. ``down`` when others will not either."""

    def __init__(self, message: str, down: bool, took: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.down, self.took = down, took


@dataclass(frozen=True)
class Terms:
    """How long a pass may take, and what is due. ``clock`` is the wall clock, for the record of all runs."""

    clock: Callable[[], float]
    budget_seconds: float = 60.0
    expire_seconds: float = 3 * 86400.0
    retry: bool = False
    """Try also what is to wait for its next try."""


@dataclass
class Delivery:
    """One pass over the outbox."""

    outbox: Outbox
    policies: Mapping[Place, Policy]
    send: Sender
    terms: Terms
    sent: list[Waiting] = field(default_factory=list)
    expired: list[Waiting] = field(default_factory=list)
    held: int = 0
    _times: dict[str, list[float]] = field(default_factory=dict)
    _settled: set[str] = field(default_factory=set)
    """Messages that were tried, or have to wait, in this pass."""

    def __post_init__(self) -> None:
        channels = [channel for policy in self.policies.values() for channel in policy.channels.values()]
        self._redact = Redactor(secrets_of(channels))
        self._start = self.terms.clock()

    def run(self) -> list[Waiting]:
        """Deliver what is due; what still waits."""
        self._times = self.outbox.sent()
        self.outbox.tidy(self._start)
        self.outbox.set_aside()
        while not self._late():  # a channel that fails brings messages for another one
            queues = self._queues()
            if not queues:
                break
            key = min(queues, key=lambda key: min(map(_urgency, queues[key])))
            self._drain(key, queues[key])
        return self.outbox.waiting()

    def _queues(self) -> dict[tuple[Place, str], list[Waiting]]:
        """What is due, for each channel of these policies; what is too old goes. Nothing goes before what is older of the same incident."""
        found: dict[tuple[Place, str], list[Waiting]] = {}
        stuck: set[tuple[tuple[Place, str], str]] = set()
        for waiting in sorted(self.outbox.waiting(), key=lambda waiting: waiting.message.created_at):
            message = waiting.message
            if self._start - message.created_at > self.terms.expire_seconds:
                self.outbox.expire(waiting)
                self.expired.append(waiting)
                continue
            key = ((message.system, message.environment), message.channel)
            policy = self.policies.get(key[0])
            if message.id in self._settled and not waiting.done:
                stuck.add((key, message.dedup_key))
            elif message.id not in self._settled and policy and message.channel in policy.channels and (key, message.dedup_key) not in stuck:
                found.setdefault(key, []).append(waiting)
        due = {key: self._due(queue) for key, queue in found.items()}
        return {key: queue for key, queue in due.items() if queue}

    def _due(self, queue: Sequence[Waiting]) -> list[Waiting]:
        """What is to be tried now, in order. What is new takes along what is older of the same incident, or it would arrive before it."""
        keys: set[str] = set()
        found = []
        for waiting in reversed(queue):
            if self.terms.retry or waiting.next_at <= self._start:
                keys.add(waiting.message.dedup_key)
            if waiting.message.dedup_key in keys:
                found.append(waiting)
        urgent = _urgent(found)
        return sorted(found, key=lambda waiting: (waiting.message.dedup_key not in urgent, waiting.message.created_at))

    def _late(self) -> bool:
        return self.terms.clock() - self._start >= self.terms.budget_seconds

    def _drain(self, key: tuple[Place, str], queue: Sequence[Waiting]) -> None:
        """Send what may go of one channel, until it fails."""
        policy, rejected = self.policies[key[0]], 0
        channel = policy.channels[key[1]]
        trouble: ChannelFailed | None = None
        failed: dict[str, ChannelFailed] = {}
        for waiting in self._allowed(channel, policy, queue):
            if self._late():
                return
            self._settled.add(waiting.message.id)
            error = trouble or failed.get(waiting.message.dedup_key)  # it would fail, or overtake, the one before; its second channels must not wait for that
            if error is None:
                try:
                    self._try(channel, waiting)
                    continue
                except ChannelFailed as failure:
                    error = failure
                    if failure.took or waiting.done:  # one bad address must not keep the others from the next message
                        self._arrived_in_part(waiting, failure)
                        continue
                    rejected += 1
                    failed[waiting.message.dedup_key] = failure
                    trouble = failure if failure.down or rejected >= REJECTIONS else None
            self._failed(waiting, error, policy)

    def _allowed(self, channel: Channel, policy: Policy, queue: Sequence[Waiting]) -> list[Waiting]:
        """What the rate of the channel lets through now; the rest becomes one message, or waits."""
        keys = _urgent(queue)
        urgent = [waiting for waiting in queue if waiting.message.dedup_key in keys]
        others = [waiting for waiting in queue if waiting.message.dedup_key not in keys]
        lately = [at for at in self._times.get(_rate_key(queue[0]), []) if self._start - at < policy.per]
        free = max(0, policy.most - len(lately) - len(urgent))
        if len(others) <= free:
            return [*urgent, *others]
        if free < 1 or channel.kind in BY_INCIDENT:  # there each message is an incident of its own
            self.held += len(others) - free
            self._settled |= {waiting.message.id for waiting in others[free:]}
            return [*urgent, *others[:free]]
        rest = others[free - 1 :]
        whole = [waiting for waiting in rest if not waiting.done]
        folding = [waiting for waiting in whole if not waiting.replaced] or whole
        late = [waiting for waiting in rest if waiting not in folding]  # what went another way can wait: in one message with news it would go there twice
        self.held += len(late)
        self._settled |= {waiting.message.id for waiting in late}
        return [*urgent, *others[: free - 1], *([self._fold(folding)] if len(folding) > 1 else folding)]

    def _fold(self, rest: Sequence[Waiting]) -> Waiting:
        notices = [notice for waiting in rest for notice in waiting.notices]
        state = {"replaced": all(waiting.replaced for waiting in rest), "reached": all(waiting.reached for waiting in rest)}
        folded = self.outbox.add(fold([waiting.message for waiting in rest]), notices, **state)
        for waiting in rest:
            self.outbox.remove(waiting)
        return folded

    def _try(self, channel: Channel, waiting: Waiting) -> None:
        seconds = channel.options["timeout_seconds"] + _SPARE_SECONDS
        rest = _without(channel, waiting.done)
        if waiting.done and not rest.options.get("to", waiting.done):  # the inventory does not name the others any more
            return self.outbox.remove(waiting)
        try:
            result = self.send(*request(rest, waiting.message), seconds)
        except RunbookError as error:
            raise ChannelFailed(self._words(error.message), down=True) from None
        except Exception as error:  # a module that is not installed, a defect: whatever it is, the message waits
            raise ChannelFailed(self._words(str(error)), down=True) from None
        if result.get("failed"):
            status = result.get("status")
            known = isinstance(status, int) and status > 0
            refused = known and 400 <= int(status or 0) < 500 and status not in _TRY_AGAIN
            raise ChannelFailed(self._words(f"HTTP status {status}" if known else str(result.get("msg") or "it gave no reason")), down=not refused)
        lost = result.get("result") if channel.kind == "email" else None
        if isinstance(lost, Mapping) and lost:
            took = tuple(address for address in channel.options["to"] if parseaddr(address)[1] not in lost)
            raise ChannelFailed(self._words("; ".join(f"{address} was refused: {why}" for address, why in lost.items())), down=False, took=took)
        self.outbox.remove(waiting)
        self.sent.append(waiting)
        return self._note_sent(waiting)

    def _arrived_in_part(self, waiting: Waiting, failure: ChannelFailed) -> None:
        """Somebody has it; only the addresses that did not take it get it again."""
        if failure.took:
            self._note_sent(waiting)
        self.outbox.update(waiting, **self._later(waiting, failure), done=failure.took or waiting.done, reached=True)

    def _later(self, waiting: Waiting, error: ChannelFailed) -> dict[str, Any]:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(waiting.tries, 10))
        return {"tries": waiting.tries + 1, "next_at": self._start + pause, "error": error.message}

    def _words(self, text: str) -> str:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return self._redact.text(" ".join(lines))[:300]

    def _note_sent(self, waiting: Waiting) -> None:
        longest = max(policy.per for policy in self.policies.values())
        now = self.terms.clock()
        self._times.setdefault(_rate_key(waiting), []).append(now)
        kept = {name: [at for at in times if now - at < longest] for name, times in self._times.items()}
        self._times = {name: times for name, times in kept.items() if times}
        self.outbox.note_sent(self._times)
        for other in self.outbox.waiting() if waiting.message.stands_for else []:
            if other.message.id in waiting.message.stands_for:
                self.outbox.update(other, reached=True)

    def _failed(self, waiting: Waiting, error: ChannelFailed, policy: Policy) -> None:
        changes = self._later(waiting, error)
        names = [name for name in waiting.message.second if name in policy.channels and name != waiting.message.channel]
        if names and not waiting.replaced and not waiting.done:
            for name in names:
                self.outbox.add(instead(waiting.message, name, error.message))
            changes["replaced"] = True
        self.outbox.update(waiting, **changes)


def _urgency(waiting: Waiting) -> tuple[bool, float]:
    """The channel with the most urgent severity goes first."""
    return waiting.message.severity != SEVERITIES[0], waiting.message.created_at


def _urgent(queue: Sequence[Waiting]) -> set[str]:
    """Incidents of which something is as urgent as can be: all of it goes first, or it would be resolved before it was opened."""
    return {waiting.message.dedup_key for waiting in queue if waiting.message.severity == SEVERITIES[0]}


def _without(channel: Channel, done: Sequence[str]) -> Channel:
    """The same channel for the addresses that do not have the message yet."""
    if not done or channel.kind != "email":
        return channel
    return channel._replace(options={**channel.options, "to": [address for address in channel.options["to"] if address not in done]})


def _rate_key(waiting: Waiting) -> str:
    return "/".join((waiting.message.system, waiting.message.environment, waiting.message.channel))
