# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long backups are kept: the policy as an inventory writes it, what it is applied to, and what its rules keep.

``last``, ``hourly`` ... ``yearly`` and ``within`` mean what they mean in ``restic forget --keep-*``; ``within`` also keeps the one before
its window, as the recovery windows of Barman and pgBackRest do; ``minimum_restored`` is Barman's ``minimum_redundancy``, of proven ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone, tzinfo
from typing import Any

from .errors import InvalidInput, did_you_mean
from .times import rfc3339
from .units import parse_duration

COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
MOST = 10_000  # a larger count is a slip of the finger: hourly for more than a year
HOUR, DAY = 3600.0, 86400.0
MOST_YEARS = 100


@dataclass(frozen=True)
class Floor:
    """At least how long a retention class is kept: calendar years (a law counts in them), and seconds."""

    years: int = 0
    seconds: float = 0.0

    def until(self, taken_at: float, zone: tzinfo) -> datetime:
        """The local instant from which on the class no longer keeps what was taken at ``taken_at`` (seconds since 1970)."""
        moment = datetime.fromtimestamp(taken_at + self.seconds, zone)
        try:
            return moment.replace(year=moment.year + self.years)
        except ValueError:  # 29 February, and no leap year: not a day too early
            return moment.replace(year=moment.year + self.years, month=3, day=1)


@dataclass(frozen=True)
class Policy:
    """What is kept. Durations in seconds; 0 means that there is no such rule.

    ``last`` newest artifacts; of each of that many hours (UTC), days, ISO weeks, months, years that have one (local in ``timezone``), the
    newest; everything ``within`` that long before the newest restored one. ``classes`` are floors, which hold in addition.
    The rest guards against a wrong clock and against backups nobody can restore: ``minimum_restored`` newest proven artifacts stay whatever
    else is said; nothing is removed when the newest proven one was taken longer than ``stale_after`` ago, when an artifact is from more
    than ``max_future`` after now, or the newest from more than ``plausible_gap`` before.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: float = 0.0
    minimum_restored: int = 3
    stale_after: float = 8 * DAY  # a weekly restore test, and a day for it to run
    timezone: str = "UTC"
    max_future: float = 600.0
    plausible_gap: float = 45 * DAY
    classes: Mapping[str, Floor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.minimum_restored < 1 or any(getattr(self, name) < 0 for name in (*COUNTS, "within")):
            raise InvalidInput("a policy keeps at least one restored artifact, and counts nothing below 0", "make it by Policy.parse")

    @classmethod
    def parse(cls, given: Any, place: str = "retention") -> Policy:
        """The mapping as it was written. Raises InvalidInput that names the place, the value and what to write."""
        if not isinstance(given, Mapping):
            raise InvalidInput(f'{place}: "{given}" is not a mapping', "write it like {daily: 7, weekly: 4, monthly: 12}; {} removes nothing")
        for key in given:
            if key not in _READERS:
                raise InvalidInput(f'{place}: unknown key "{key}"{did_you_mean(key, _READERS)}', f"keys are {', '.join(_READERS)}")
        return cls(**{key: _READERS[key](value, f"{place}: {key}") for key, value in given.items()})

    def rules(self) -> list[str]:
        """The keep rules there are: ``["last 3", "daily 7", "within 30 d"]``."""
        counted = [f"{name} {getattr(self, name)}" for name in COUNTS if getattr(self, name)]
        return counted + ([f"within {days(self.within)}"] if self.within else [])

    def zone(self) -> tzinfo:
        """The time zone of the calendar."""
        return _zone(self.timezone)


@dataclass(frozen=True)
class Candidate:
    """What is known of one artifact. Instants in seconds since 1970.

    ``taken_at`` comes from the manifest, never from a file or a name: 0 without one. ``complete`` says that the manifest is there,
    ``size_bytes`` is of the stored data: 0 when there is none. ``proof`` is the highest level reached, ``restored_at`` the newest good proof
    by a restore; ``failed_proof`` says that the newest proof found it corrupt, ``suspect`` that it was taken from something corrupt.
    ``holds`` are legal cases, ``pins`` ids of runs, ``needs`` the ids without which it cannot be restored; ``started_removal`` says that it
    has a tombstone. ``not_in`` names the copies that hold neither it nor anything newer.
    """

    id: str
    taken_at: float
    size_bytes: int
    complete: bool = True
    proof: str = ""
    restored_at: float | None = None
    failed_proof: bool = False
    suspect: bool = False
    holds: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    retention_class: str = ""
    needs: tuple[str, ...] = ()
    started_removal: bool = False
    not_in: tuple[str, ...] = ()

    def flaw(self) -> str:
        """Why it does not count, "" when it does."""
        if self.failed_proof:
            return "its newest proof found it corrupt"
        if self.suspect:
            return "it is suspect"
        return "" if self.complete and self.size_bytes > 0 else "it is empty" if self.complete else "it has no manifest"


def slot(rule: str, taken_at: float, zone: tzinfo) -> str:
    """The hour, day, week, month or year of an instant: ``2026-11-20T02Z``, ``2026-11-20``, ``2026-W47``, ``2026-11``, ``2026``.

    Hours are of UTC: when clocks go back, the same local hour comes twice.
    """
    if rule == "hourly":
        return f"{rfc3339(taken_at)[:13]}Z"
    day = datetime.fromtimestamp(int(taken_at), zone).date()  # whole seconds: a fraction must not be rounded into the next day
    if rule == "weekly":
        year, week = day.isocalendar()[:2]
        return f"{year:04}-W{week:02}"
    return day.isoformat()[: {"daily": 10, "monthly": 7, "yearly": 4}[rule]]


def slots(policy: Policy, newest_first: Sequence[Candidate]) -> Iterator[tuple[Candidate, str]]:
    """What the counts keep of these, and the rule.

    The newest of each hour, day, ... until there were as many as wanted; while there were fewer, the oldest of all too (as restic does),
    so that a long count keeps the beginning of a young history.
    """
    zone = policy.zone()
    for name in COUNTS:
        wanted = getattr(policy, name)
        seen: dict[str, Candidate] = {}
        for place, artifact in enumerate(newest_first if wanted else (), 1):
            key = f"{place} of {wanted}" if name == "last" else slot(name, artifact.taken_at, zone)
            if len(seen) < wanted:
                seen.setdefault(key, artifact)
        yield from ((artifact, f"{name} {key}") for key, artifact in seen.items())
        if 0 < len(seen) < wanted and newest_first[-1] not in seen.values():
            yield newest_first[-1], f"{name}, the oldest"


def within(policy: Policy, newest_first: Sequence[Candidate], proven: Sequence[Candidate]) -> Iterator[tuple[Candidate, str]]:
    """What is in the window before the newest proven artifact, and the newest proven one before it: what could be restored at its edge."""
    if policy.within and proven:
        rule, edge = f"within {days(policy.within)}", proven[0].taken_at - policy.within
        yield from ((artifact, rule) for artifact in newest_first if artifact.taken_at > edge)
        yield from [(artifact, f"last before {rule}") for artifact in proven if artifact.taken_at <= edge][:1]


def days(seconds: float) -> str:
    """``604800`` as ``7 d``."""
    return f"{seconds / DAY:.4g} d"


def _whole(most: int) -> Callable[[Any, str], int]:
    def read(value: Any, place: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise InvalidInput(f'{place}: "{value}" is not a count', f"write a whole number from 1 to {most:,}, such as 7, or leave the key out")
        return value

    return read


def _duration(least: float, most: float) -> Callable[[Any, str], float]:
    def read(value: Any, place: str) -> float:
        try:
            seconds = parse_duration(value)
        except InvalidInput as error:
            raise InvalidInput(f"{place}: {error.message}", error.hint or 'write it like "7 d"') from None
        if not least <= seconds <= most:
            raise InvalidInput(f'{place}: "{value}" makes no sense here', f"write a duration from {days(least)} to {days(most)}")
        return seconds

    return read


def _zone(name: Any, place: str = "timezone") -> tzinfo:
    if name == "UTC":
        return timezone.utc
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, AttributeError, OSError):  # OSError: the name of a folder of zones
        raise InvalidInput(f'{place}: the time zone "{name}" is not known on this machine', "use an IANA name; install tzdata") from None


def _timezone(value: Any, place: str) -> str:
    _zone(value, place)
    return str(value)


def _classes(value: Any, place: str) -> dict[str, Floor]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f'{place}: "{value}" is not a mapping', "write it like {transactions: {at_least: 7 y}}")
    return {str(name): _floor(what, f"{place}: {name}") for name, what in value.items()}


def _floor(value: Any, place: str) -> Floor:
    if not isinstance(value, Mapping) or list(value) != ["at_least"]:
        raise InvalidInput(f'{place}: "{value}" does not say at_least alone', 'write it like {at_least: "7 y"}')
    text = value["at_least"]
    number, _space, unit = text.strip().partition(" ") if isinstance(text, str) else ("", "", "")
    if unit.strip() != "y":
        return Floor(seconds=_duration(HOUR, MOST_YEARS * 366 * DAY)(text, f"{place}: at_least"))
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= MOST_YEARS):
        raise InvalidInput(f'{place}: at_least: "{text}" is not a number of years', f"write whole years from 1 to {MOST_YEARS}, such as 7 y")
    return Floor(years=int(number))


_READERS: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(COUNTS, _whole(MOST)),
    "within": _duration(HOUR, MOST_YEARS * 366 * DAY),
    "minimum_restored": _whole(1000),
    "stale_after": _duration(HOUR, 400 * DAY),
    "timezone": _timezone,
    "max_future": _duration(1, DAY),
    "plausible_gap": _duration(DAY, 400 * DAY),
    "classes": _classes,
}
