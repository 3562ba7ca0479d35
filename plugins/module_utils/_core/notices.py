# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is news: what was told before, held against what a run saw.

One notification when something goes wrong, reminders while it stays so, another one when it gets worse, and one when it was seen to be well
again. What was not looked at (skipped, muted, left out by --limit) is neither bad nor well, and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from .ledger import digest
from .limits import DEFAULT_SEVERITY, SEVERITIES
from .verdict import STATUSES

OPENED, WORSENED, REMINDER, RESOLVED = "opened", "worsened", "reminder", "resolved"
CALMING, BETTER, AGAIN, HEARTBEAT = "calming", "better", "again", "heartbeat"
"""Only remembered: something that flaps was seen well, something is not as bad as it was, it is so again. And a sign of life that was sent."""

TOLD = (OPENED, WORSENED, REMINDER, RESOLVED)
"""Changes that make a message."""

CHECK, HOST, STEP = "check", "host", "step"
"""What something is about: a check, a host that cannot be reached, a step that failed."""

FLAPPING_TIMES, FLAPPING_SECONDS, CALM_SECONDS = 3, 3600.0, 900.0
"""What went wrong so often within an hour is only told to be well again after it was so for a quarter of an hour."""

_REMIND_EARLY = 0.1
"""A loop of five minutes comes a second early now and then: a reminder may come this share of its time too soon, at most half a minute."""

_STEP = 0.001
"""Seconds between two notices of one thing when the clock says less."""


class Key(NamedTuple):
    """What a notification is about, the same in every run."""

    system: str
    environment: str
    host: str
    kind: str
    role: str
    name: str


class Seen(NamedTuple):
    """What a run saw of it: ``ok``, or how bad it is."""

    key: Key
    status: str
    severity: str = "P2"
    message: str = ""
    hint: str = ""
    at: Optional[float] = None
    """When it was seen, by the controller's clock; None for now. A run may tell it minutes later."""


class Notice(NamedTuple):
    """What changed, and with it all that the next run has to know."""

    key: Key
    change: str
    status: str
    worst: str
    """The worst status that was told since it went wrong, or was last better for a while: better and at once worse again is no news."""
    severity: str
    """The most urgent one that was told, likewise."""
    message: str
    hint: str
    at: float
    opened_at: float
    told_at: float
    incident: str
    """What went wrong on one system in one run belongs together, until all of it is well."""
    opens: tuple[float, ...] = ()
    calm_at: Optional[float] = None
    channels: tuple[str, ...] = ()
    better_at: Optional[float] = None
    """Since when it is not as bad as was told."""

    @property
    def is_open(self) -> bool:
        """It was told to be wrong, and not yet to be well."""
        return self.change not in (RESOLVED, HEARTBEAT)

    def flaps(self) -> bool:
        """It went wrong several times of late."""
        return len([opened for opened in self.opens if self.at - opened <= FLAPPING_SECONDS]) >= FLAPPING_TIMES

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {**self.key._asdict(), **{name: value for name, value in self._asdict().items() if name != "key"},
                "opens": list(self.opens), "channels": list(self.channels)}  # fmt: skip


def read_notice(data: Mapping[str, Any]) -> Notice:
    """The notice that ``record`` wrote, also that of a release that knew less. Raises KeyError, TypeError or ValueError for anything else."""
    known = Notice._field_defaults
    found = {**known, **{name: data[name] for name in Notice._fields if name != "key" and (name in data or name not in known)}}
    found |= {name: float(data[name]) for name in ("at", "opened_at", "told_at")}
    found |= {"opens": tuple(map(float, found["opens"])), "channels": tuple(map(str, found["channels"]))}
    return Notice(key=Key(**{name: str(data[name]) for name in Key._fields}), **found)


class Moment(NamedTuple):
    """When it is decided, and in which run."""

    now: float
    run_id: str


def latest(notices: Iterable[Notice]) -> dict[Key, Notice]:
    """The newest notice of each thing; of two at one instant the later one in order."""
    found: dict[Key, Notice] = {}
    for notice in notices:
        known = found.get(notice.key)
        if known is None or notice.at >= known.at:
            found[notice.key] = notice
    return found


def decide(told: Mapping[Key, Notice], seen: Sequence[Seen], remind: Mapping[str, Optional[float]], moment: Moment) -> list[Notice]:
    """The notices of this run. ``remind`` maps a severity to the seconds between reminders, None for none."""
    found = [_decide_one(told.get(one.key), one, remind, moment) for one in _by_key(seen)]
    return [notice for notice in found if notice is not None]


def _by_key(seen: Sequence[Seen]) -> list[Seen]:
    """Each thing once, as bad as it was seen."""
    worst: dict[Key, Seen] = {}
    for one in seen:
        known = worst.get(one.key)
        if known is None or _rank(one.status) > _rank(known.status):
            worst[one.key] = one
    return list(worst.values())


def _rank(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else 0


def _decide_one(old: Notice | None, one: Seen, remind: Mapping[str, Optional[float]], moment: Moment) -> Notice | None:
    if old is not None and one.at is not None and one.at < old.at <= moment.now:
        return None  # another run saw it later, and told it
    was_open = old is not None and old.is_open
    if one.status == "ok":
        return _calm(old, moment) if old is not None and was_open else None
    if old is None or not was_open:
        return _open(old, one, moment)
    return _still_bad(old, one, remind, moment)


def _after(old: Notice | None, moment: Moment) -> float:
    """The instant of a new notice: after the one before, also when the clock was set back, or that one would go on being the newest."""
    return moment.now if old is None else max(moment.now, old.at + _STEP)


def _open(old: Notice | None, one: Seen, moment: Moment) -> Notice:
    recent = [opened for opened in (old.opens if old else ()) if moment.now - opened <= FLAPPING_SECONDS]
    incident = digest("\n".join((moment.run_id, one.key.system, one.key.environment)))[:24]
    return Notice(one.key, OPENED, one.status, one.status, one.severity, one.message, one.hint, _after(old, moment), moment.now, moment.now,
                  incident, tuple([*recent, moment.now]))  # fmt: skip


def _calm(old: Notice, moment: Moment) -> Notice | None:
    """It is well. What flaps has to stay so for a while first."""
    if old._replace(at=moment.now).flaps():
        if old.calm_at is None:
            return old._replace(change=CALMING, status="ok", at=_after(old, moment), calm_at=moment.now)
        if moment.now - old.calm_at < CALM_SECONDS:
            return None
    return old._replace(change=RESOLVED, status="ok", message="", hint="", at=_after(old, moment), told_at=moment.now, calm_at=None, better_at=None)


def _still_bad(old: Notice, one: Seen, remind: Mapping[str, Optional[float]], moment: Moment) -> Notice | None:
    now = moment.now
    current = old._replace(status=one.status, message=one.message, hint=one.hint, at=_after(old, moment), calm_at=None)
    if old.calm_at is not None:
        current = current._replace(opens=(*[opened for opened in old.opens if now - opened <= FLAPPING_SECONDS], now))
    worst, severity = max(old.worst, one.status, key=_rank), min(old.severity, one.severity, key=SEVERITIES.index)
    if (worst, severity) != (old.worst, old.severity):
        return current._replace(change=WORSENED, told_at=now, worst=worst, severity=severity, better_at=None)
    current = _eased(current, one, now)
    every = remind.get(one.severity)
    if every is not None and now - old.told_at >= every - min(30.0, every * _REMIND_EARLY):
        return current._replace(change=REMINDER, told_at=now)
    if (current.better_at, current.worst, current.severity) != (old.better_at, old.worst, old.severity):
        return current._replace(change=AGAIN if (one.status, one.severity) == (old.worst, old.severity) else BETTER)
    return current._replace(change=AGAIN) if old.calm_at is not None else None


def _eased(current: Notice, one: Seen, now: float) -> Notice:
    """What is not as bad as was told for a quarter of an hour counts as what it is: to get as bad as before is news then."""
    if (one.status, one.severity) == (current.worst, current.severity):
        return current._replace(better_at=None)
    if current.better_at is None:
        return current._replace(better_at=now)
    return current._replace(worst=one.status, severity=one.severity, better_at=None) if now - current.better_at >= CALM_SECONDS else current


def incidents_left(told: Mapping[Key, Notice], notices: Iterable[Notice]) -> set[tuple[str, str]]:
    """The incidents, with the channels that know of them, that are not over when these notices have been told."""
    still = [notice for notice in latest([*told.values(), *notices]).values() if notice.is_open]
    return {(notice.incident, channel) for notice in still for channel in notice.channels}


def severity_of(status: str, severity: Any) -> str:
    """The severity of a verdict, which a check may leave open."""
    return severity if severity in SEVERITIES else DEFAULT_SEVERITY.get(status, DEFAULT_SEVERITY["critical"])
