# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trading sessions: whether a check that names one is judged now, and if not, why not and when the session opens next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from .errors import InvalidInput, did_you_mean
from .times import rfc3339
from .units import format_value, parse_duration

Open = tuple[float, float]
"""From when until when it is open, in seconds since 1970."""

KEYS = ("calendar", "hours", "timezone", "in", "after_open", "before_close")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? ([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_WRITTEN = 'write it like {calendar: XNYS} or {hours: "mon-fri 09:30-16:00", timezone: America/New_York}, and in: false for outside of it'
_AROUND = 9
"""Days before and after now that are looked at: a week has every span of the hours in it."""


@dataclass(frozen=True)
class Span:
    """On these weekdays (Monday is 0), from one minute of the day to another; beyond 24 hours it ends on the next day."""

    days: frozenset[int]
    opens: int
    closes: int


@dataclass(frozen=True)
class Session:
    """What ``when_session`` of a check says. ``spans`` and ``zone`` are those of hours; a calendar knows its own."""

    calendar: str
    spans: tuple[Span, ...]
    zone: str
    label: str
    inside: bool
    after_open: float
    before_close: float


def parse_session(given: Any) -> Session:
    """``when_session`` from an inventory. Raises InvalidInput."""
    if not isinstance(given, Mapping):
        raise InvalidInput(f'when_session: "{given}" is no session', _WRITTEN)
    said = {key: value for key, value in given.items() if value is not None and value != ""}  # a template that has nothing to say gives ""
    for key in given:
        if key not in KEYS:
            raise InvalidInput(f'when_session: unknown key "{key}"{did_you_mean(key, KEYS)}', _WRITTEN)
    if ("calendar" in said) == ("hours" in said):
        raise InvalidInput("when_session: give one of calendar and hours", _WRITTEN)
    if ("timezone" in said) != ("hours" in said):
        raise InvalidInput("when_session: hours need a timezone, and a calendar has its own", _WRITTEN)
    inside = said.get("in", True)
    if not isinstance(inside, bool):
        raise InvalidInput(f'when_session: in is true or false, not "{inside}"')
    margins = {key: parse_duration(said[key]) for key in ("after_open", "before_close") if key in said}
    if margins and not inside:
        raise InvalidInput(f"when_session: {' and '.join(margins)} is for checks inside of a session, and this one says in: false")
    calendar, zone = str(said.get("calendar", "")), str(said.get("timezone", ""))
    spans = tuple(_parse_span(part) for part in str(said.get("hours", "")).split(",")) if "hours" in said else ()
    label = calendar if calendar else f"{said['hours']} {zone}"
    return Session(calendar, spans, zone, label, inside, margins.get("after_open", 0.0), margins.get("before_close", 0.0))


def _parse_span(text: str) -> Span:
    found = _SPAN.fullmatch(" ".join(text.lower().split()))
    if found is None:
        raise InvalidInput(f'when_session: hours: "{text.strip()}" is not a day or days and a time', _WRITTEN)
    first, last = (found.group(1), found.group(2) or found.group(1))
    for day in (first, last):
        if day not in _DAYS:
            raise InvalidInput(f'when_session: hours: "{day}" is no day of the week{did_you_mean(day, _DAYS)}', f"days are {', '.join(_DAYS)}")
    start = _DAYS.index(first)
    days = frozenset((start + offset) % 7 for offset in range((_DAYS.index(last) - start) % 7 + 1))
    hours = [int(found.group(group)) for group in (3, 4, 5, 6)]
    opens, closes = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if max(hours[1], hours[3]) > 59 or opens >= 1440 or closes > 1440:
        raise InvalidInput(f'when_session: hours: "{text.strip()}" has a time that is not on the clock', "times go from 00:00 to 24:00")
    return Span(days, opens, closes if closes > opens else closes + 1440)


def open_hours(session: Session, now: float) -> list[Open]:
    """When sessions given as hours are open, in the days around ``now``. Raises InvalidInput for an unknown zone.

    A time the clocks leave out in spring is taken as long after the hour change as it would have been; one that comes twice in autumn
    is its first coming, as in schedules.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone = ZoneInfo(session.zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):  # OSError: the name of a folder of zones
        raise InvalidInput(f'when_session: the time zone "{session.zone}" is not known on this machine', "use an IANA name; install tzdata") from None
    today = datetime.fromtimestamp(now, timezone.utc).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    days = [today + timedelta(days=offset) for offset in range(-_AROUND, _AROUND + 1)]
    return join(
        (_at(day, span.opens, zone), _at(day, span.closes, zone)) for day in days for span in session.spans if day.weekday() in span.days
    )


def _at(day: datetime, minute: int, zone: Any) -> float:
    return (day + timedelta(minutes=minute)).replace(tzinfo=zone).timestamp()


def join(spans: Iterable[Open]) -> list[Open]:
    """In order, those that touch as one: markets that close for no time at all do not open again."""
    joined: list[Open] = []
    for opens, closes in sorted(spans):
        if joined and opens <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(closes, joined[-1][1]))
        elif opens < closes:
            joined.append((opens, closes))
    return joined


def why_not(session: Session, hours: Sequence[Open], now: float) -> str:
    """Why a check is not judged at ``now``, when its session is open at ``hours``; empty when it is judged."""
    current = next((span for span in hours if span[0] <= now < span[1]), None)
    if not session.inside:
        return f"inside of the trading session {session.label}, which {_close(hours, current)}" if current else ""
    if current is None:
        return f"outside of the trading session {session.label}, which {_next(hours, now)}"
    opens, closes = current
    if now < opens + session.after_open:
        first = format_value(session.after_open, "s")
        return f"in the first {first} of the trading session {session.label}, which opened at {rfc3339(opens)}"
    if now >= closes - session.before_close:
        last = format_value(session.before_close, "s")
        return f"in the last {last} of the trading session {session.label}, which {_next(hours, now)}"
    return ""


def _close(hours: Sequence[Open], current: Open) -> str:
    """The last of the days that are known is cut off, and nothing closes there."""
    return f"closes at {rfc3339(current[1])}" if current != hours[-1] else "does not close in the days that are known"


def _next(hours: Sequence[Open], now: float) -> str:
    coming = next((opens for opens, _closes in hours if opens > now), None)
    return f"opens next at {rfc3339(coming)}" if coming is not None else "does not open in the days that are known"
