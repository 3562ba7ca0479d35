# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From notices to messages: what belongs together becomes one, in words that people act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .channels import BY_INCIDENT, Channel, Policy
from .ledger import digest
from .limits import SEVERITIES
from .notices import CHECK, HEARTBEAT, HOST, OPENED, REMINDER, RESOLVED, STEP, TOLD, WORSENED, Notice
from .times import rfc3339
from .units import format_value, plural
from .verdict import STATUSES

SHOWN = 10
"""Lines of a message; the report has the rest."""

LONGEST_LINE = 500
TEST = "test"
SUMMARY = "summary"
"""Several messages folded into one, because a channel had too many."""

_WORDS = {OPENED: "", WORSENED: ", worse", REMINDER: ", still", RESOLVED: ""}


class Message(NamedTuple):
    """One message for one channel, with all that it takes to send it later. It names its channel, and holds none of the channel's secrets."""

    id: str
    channel: str
    system: str
    environment: str
    change: str
    severity: str
    dedup_key: str
    over: bool
    """Nothing of what it is about is wrong any more."""
    count: int
    subject: str
    lines: tuple[str, ...]
    created_at: float
    run_id: str
    second: tuple[str, ...] = ()
    """Channels that take its place when this one fails."""
    stands_for: tuple[str, ...] = ()
    """Messages whose place it takes."""

    def text(self) -> str:
        """All of it as plain text."""
        more = self.count - len(self.lines)
        return "\n".join([*self.lines, *([f"and {more} more"] if more > 0 and self.lines else [])])

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {**self._asdict(), "lines": list(self.lines), "second": list(self.second), "stands_for": list(self.stands_for)}


def read_message(data: Mapping[str, Any]) -> Message:
    """The message that ``record`` wrote, also that of a release that knew less. Raises KeyError, TypeError or ValueError for anything else."""
    found = {**Message._field_defaults, **{name: data[name] for name in Message._fields if name in data or name not in Message._field_defaults}}
    found |= {name: tuple(map(str, found[name])) for name in ("lines", "second", "stands_for")}
    found |= {"count": int(data["count"]), "created_at": float(data["created_at"]), "over": bool(data["over"])}
    return Message(**found)


class Run(NamedTuple):
    """In which run messages are made, and when."""

    run_id: str
    now: float
    playbook: str = ""


def route(notices: Iterable[Notice], policy: Policy) -> tuple[list[Notice], list[Notice]]:
    """Notices with the channels they go to, and those that go nowhere: these were not told, so a later run tells them.

    What is well again is told wherever somebody was told that it was not.
    """
    routed, nowhere = [], []
    for notice in notices:
        found = policy.routes.get(notice.severity) if notice.change in (OPENED, WORSENED, REMINDER) else None
        wanted = [*notice.channels, *(found.channels if found else ())]
        channels = tuple(dict.fromkeys(name for name in wanted if name in policy.channels))
        if channels or notice.change not in (OPENED, WORSENED, REMINDER):
            routed.append(notice._replace(channels=channels))
        else:
            nowhere.append(notice)
    return routed, nowhere


def compose(notices: Sequence[Notice], policy: Policy, left: set[tuple[str, str]], run: Run) -> list[Message]:
    """One message for each channel, place and change. ``left`` are the incidents that are not over, each with a channel that knows of it."""
    groups: dict[tuple[str, ...], list[Notice]] = {}
    for notice in notices:
        for name in notice.channels if notice.change in TOLD else ():
            channel = policy.channels[name]
            if notice.change in channel.options["changes"]:
                incident = notice.incident if channel.kind in BY_INCIDENT else ""
                groups.setdefault((name, notice.key.system, notice.key.environment, notice.change, incident), []).append(notice)
    found = []
    for group, members in groups.items():
        over = not any((notice.incident, group[0]) in left for notice in members)
        message = _message(sorted(members, key=_urgency), policy, run)
        names = sorted("\t".join(notice.key) for notice in members)  # hosts of one system with other channels have a message of their own
        message = message._replace(channel=group[0], over=over, id=digest("\n".join((run.run_id, *group, *names)))[:24])
        if policy.channels[group[0]].kind != "pagerduty" or message.change != RESOLVED or over:
            found.append(message)  # an incident there is resolved as a whole, or not at all
    return sorted(found, key=lambda message: SEVERITIES.index(message.severity))


def _urgency(notice: Notice) -> tuple[int, int]:
    """The most urgent first, and of these the worst."""
    return SEVERITIES.index(notice.severity), -STATUSES.index(notice.worst)


def _message(members: Sequence[Notice], policy: Policy, run: Run) -> Message:
    first, incidents = members[0], sorted({notice.incident for notice in members})
    found = policy.routes.get(first.severity)
    return Message(
        id="", channel="", system=first.key.system, environment=first.key.environment, change=first.change, severity=first.severity,
        dedup_key=incidents[0] if len(incidents) == 1 else digest("\n".join(incidents))[:24], over=False, count=len(members),
        subject=_subject(members), lines=tuple(_line(notice, run.now) for notice in members[:SHOWN]), created_at=run.now, run_id=run.run_id,
        second=found.second if found else (),
    )  # fmt: skip


def named(place: Sequence[str]) -> str:
    """A system and its environment, in words; empty for a run that has none."""
    return " ".join(part for part in place if part)


def _subject(members: Sequence[Notice]) -> str:
    first = members[0]
    head = f"[{'resolved' if first.change == RESOLVED else first.severity + _WORDS[first.change]}] {named(first.key[:2])}"
    if len(members) == 1:
        return _cut(f"{head}: {_what(first)} {'is well again' if first.change == RESOLVED else _is(first)}")
    well = "are well again" if first.change == RESOLVED else "need attention"
    return _cut(f"{head}: {plural(len(members), 'thing')} {well}, first {_what(first)}")


def _what(notice: Notice) -> str:
    if notice.key.kind == HOST:
        return f"host {notice.key.host}"
    return f"{'step ' if notice.key.kind == STEP else ''}{notice.key.name} on {notice.key.host}"


def _is(notice: Notice) -> str:
    return {CHECK: f"is {notice.status}", HOST: "cannot be reached", STEP: "failed"}.get(notice.key.kind, notice.status)


def _line(notice: Notice, now: float) -> str:
    lasted = format_value(round(now - notice.opened_at), "s")
    if notice.change == RESOLVED:
        return _cut(f"{_what(notice)} is well again, after {lasted}")
    since = f", since {lasted}" if now - notice.opened_at >= 1 else ""
    often = f"; it went wrong {len(notice.opens)} times within an hour" if notice.flaps() else ""
    hint = f" ({notice.hint})" if notice.hint else ""
    return _cut(f"{_what(notice)} {_is(notice)}{since}: {notice.message or 'the report says more'}{hint}{often}")


def _cut(text: str) -> str:
    """One line that is not too long: subjects of mail know no line breaks."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def instead(message: Message, channel: str, why: str) -> Message:
    """The same message by another channel, because its own failed."""
    line = _cut(f"sent here because the channel {message.channel} failed: {why}")
    return message._replace(id=digest(f"{message.id}\n{channel}")[:24], channel=channel, second=(), stands_for=(message.id,),
                            lines=(*message.lines, line), count=message.count + 1)  # fmt: skip


def fold(messages: Sequence[Message]) -> Message:
    """Several messages of one channel as one, as young as the youngest: it must not expire for the oldest."""
    worst = min(messages, key=lambda message: SEVERITIES.index(message.severity))
    total = sum(message.count for message in messages)
    place = named((worst.system, worst.environment))
    text = f"[{worst.severity}] {place}: {plural(len(messages), 'message')} in one, because there were too many for {worst.channel}"
    names = digest("\n".join(sorted(message.id for message in messages)))[:24]
    lines = tuple(line for message in messages for line in (message.lines if message.change == SUMMARY else (message.subject,)))[: 2 * SHOWN]
    return worst._replace(id=names, change=SUMMARY, dedup_key=names, over=False, count=max(total, len(lines)), subject=_cut(text), lines=lines,
                          created_at=max(message.created_at for message in messages), second=worst.second,
                          stands_for=tuple(one for message in messages for one in message.stands_for))  # fmt: skip


def simple(channel: Channel, change: str, place: tuple[str, str], run: Run) -> Message:
    """A test, or a sign of life."""
    name = named(place) or "tradeops.runbook"
    at = rfc3339(run.now)
    words = {
        HEARTBEAT: (f"[alive] {name}: watched at {at}", "Nothing to do. When this message stays away, nobody is watching any more."),
        TEST: (f"[test] {name}: a test of the channel {channel.name}", "Nothing to do. Somebody tried whether messages arrive."),
    }
    subject, line = words[change]
    key = digest("\n".join((run.run_id, channel.name, change, *place)))[:24]
    return Message(key, channel.name, *place, change, "P4", key, True, 1, subject, (line,), run.now, run.run_id)
