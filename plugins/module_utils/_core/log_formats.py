# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats of log lines as data: where the stamp stands, how it is written, what level and message are.

A line that begins with a stamp is an *entry*; lines without one (a traceback) belong to the entry before them. For speed the
scanner looks at a *key* of each line, the stamp cut off after its minute, and asks what it means once per distinct key.
No dataclasses and no ``typing`` here: importing them costs as much as reading a megabyte of log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from .errors import InvalidInput

_MONTHS = {name: number for number, name in enumerate((b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)}
_OFFSET = rb"(Z|[+-]\d\d:?\d\d)?"
_ISO_KEY = re.compile(rb"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)(?::\d\d(?:[.,]\d+)?)?" + _OFFSET)
_EPOCH = datetime(1970, 1, 1)

# Each style: the full stamp as (date and time fields, seconds with fraction, offset).
_FULL = {
    "iso": re.compile(rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d(?:[.,]\d+)?))?" + _OFFSET),
    "clf": re.compile(rb"(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d)(?::(\d\d))? ?" + _OFFSET),
    "bsd": re.compile(rb"(\w{3}) ([ \d]\d) (\d\d):(\d\d)(?::(\d\d))?"),
    "epoch": re.compile(rb"(\d{10})(?:(\d{3})(?!\d))?(\.\d+)?"),
}

_PYTHON = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[,.]\d+)? - (?P<name>.*?) - (?P<level>[A-Z]+) - (?P<message>.*)"
_COMPLIANCE = r"\d{4}-\d\d-\d\d[T ][\d:,.]+(?:Z|[+-][\d:]+)? \| (?P<level>[A-Z]+) \| (?P<message>.*)"
_ACCESS = r"(?P<client>\S+) \S+ \S+ \[[^\]]*\] (?P<message>.*)"
_SYSLOG = r"(?:\w{3} [ \d]\d [\d:]+|\d{4}-\d\d-\d\d[T ]\S+) (?P<host>\S+) (?P<message>.*)"
_JSON = r'\{(?:.*?"(?:level|severity|levelname)": ?"?(?P<level>\w+))?(?:.*?"(?:msg|message|event)": ?"(?P<message>(?:[^"\\]|\\.)*))?'

FORMATS: dict[str, dict[str, str]] = {
    "python": {"stamp": "iso", "pattern": _PYTHON},
    "compliance": {"stamp": "iso", "pattern": _COMPLIANCE},
    "access": {"stamp": "clf", "after": "[", "pattern": _ACCESS},
    "syslog": {"stamp": "syslog", "pattern": _SYSLOG},
    "pino": {"stamp": "json", "after": '"time":', "pattern": _JSON, "levels": "pino"},
    "json": {"stamp": "json", "after": '"timestamp":', "pattern": _JSON},
    "iso": {"stamp": "iso", "pattern": r"\d{4}-\d\d-\d\d[T ]\S+ (?P<message>.*)"},
}
"""Known formats: ``stamp`` is the style, ``after`` the text in front of it, ``pattern`` finds level and message."""

STYLES = ("iso", "clf", "bsd", "epoch", "syslog", "json")

_PINO = {
    b'"level":%d' % number: b'"level":%s' % name
    for number, name in ((10, b"TRACE"), (20, b"DEBUG"), (30, b"INFO"), (40, b"WARNING"), (50, b"ERROR"), (60, b"FATAL"))
}

Key = Callable[[bytes], bytes]


class Format:
    """How to read one log: ``keys`` for all lines of a chunk at once, ``instant`` for one line exactly."""

    __slots__ = ("name", "style", "after", "entry", "_pino", "_key")

    def __init__(self, name: str, given: Mapping[str, str]) -> None:
        self.name = name
        self.style = given.get("stamp", "iso")
        self.after = given.get("after", "").encode()
        self._pino = given.get("levels") == "pino"
        self._key = _key_of(self.style)
        try:
            self.entry = re.compile(given.get("pattern", "(?P<message>.*)").encode(), re.DOTALL)
        except re.error as error:
            raise InvalidInput(f'format: "{given.get("pattern")}" is not a regular expression: {error}') from None

    def named(self, data: bytes) -> bytes:
        """``data`` with numbers of levels as names, since digits are masked afterwards."""
        if self._pino:
            for number, name in _PINO.items():
                data = data.replace(number, name)
        return data

    def keys(self, lines: Sequence[bytes]) -> list[bytes]:
        """One key for each line: its stamp as far as the minute, and the offset where it is written.

        Calling a function for each line costs as much as everything else: it is done for ISO stamps only where every hundredth of
        the lines, or one of the first, shows an offset.
        """
        after, key = self.after, self._key
        if after:
            lines = [line.partition(after)[2][:40].lstrip() for line in lines]
        if key is None and any(_iso_key(line)[16:] for line in (*lines[:20], *lines[20::100])):
            key = _iso_key
        return [line[:16] for line in lines] if key is None else [key(line) for line in lines]

    def stamp(self, line: bytes) -> bytes:
        """Where the stamp of a line begins, as far as it can reach."""
        return line.partition(self.after)[2][:48].lstrip() if self.after else line[:48]


def _key_of(style: str) -> Key | None:
    """How a stamp is cut off after its minute; None for the plain cut after 16 characters, which needs no call for each line."""
    return {"iso": None, "clf": lambda text: text[:17] + text[20:26], "bsd": lambda text: text[:12], "epoch": lambda text: text[:10],
            "syslog": _syslog_key, "json": _json_key}[style]  # fmt: skip


def _iso_key(text: bytes) -> bytes:
    found = _ISO_KEY.match(text)
    return found.group(1) + (found.group(2) or b"") if found else b""


def _syslog_key(text: bytes) -> bytes:
    return _iso_key(text) if text[:1].isdigit() else text[:12]


def _json_key(text: bytes) -> bytes:
    return b'"' + _iso_key(text[1:]) if text[:1] == b'"' else text[:10]


def parse_format(given: object) -> Format:
    """A format by its name, or as ``{stamp: iso, after: "[", pattern: "(?P<level>...) (?P<message>...)"}``. Raises InvalidInput."""
    if isinstance(given, str):
        if given not in FORMATS:
            raise InvalidInput(f'format: "{given}" is not known', f"formats are {', '.join(FORMATS)}, or write your own as {{stamp: ..., pattern: ...}}")
        return Format(given, FORMATS[given])
    if not isinstance(given, Mapping) or set(given) - {"stamp", "after", "pattern"} or not all(isinstance(value, str) for value in given.values()):
        raise InvalidInput(f"format: {given} is not a format", "write {stamp: iso, after: text, pattern: regular expression}")
    if given.get("stamp", "iso") not in STYLES:
        raise InvalidInput(f'format: the stamp "{given["stamp"]}" is not known', f"stamps are {', '.join(STYLES)}")
    return Format("own", given)


class Clock:
    """Stamps to instants: knows the zone of stamps without an offset, and the year of those that leave it out."""

    __slots__ = ("_zone", "_now")

    def __init__(self, zone: str, now: float) -> None:
        self._zone = None
        self._now = now
        if zone != "UTC":
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

            try:
                self._zone = ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
                raise InvalidInput(f'the time zone "{zone}" is not known on this machine', "use an IANA name; install tzdata") from None

    def instants(self, stamp: bytes, style: str) -> tuple[float, ...]:
        """The instants a stamp can mean: none when it is no stamp, two in the hour that daylight saving time repeats."""
        if style in ("syslog", "json"):
            style, stamp = _settle(style, stamp)
        found = _FULL[style].match(stamp)
        if found is None:
            return ()
        if style == "epoch":
            return (int(found.group(1)) + int(found.group(2) or 0) / 1000 + float(found.group(3) or 0),)
        try:
            moment, offset = self._fields(style, found.groups())
            return self._epochs(moment, offset)
        except (ValueError, KeyError, OverflowError):
            return ()

    def _fields(self, style: str, found: Sequence[bytes]) -> tuple[datetime, bytes]:
        if style == "iso":
            year, month, day, hour, minute, seconds, offset = found
            parts = (int(year), int(month), int(day), int(hour), int(minute))
        elif style == "clf":
            day, name, year, hour, minute, seconds, offset = found
            parts = (int(year), _MONTHS[name], int(day), int(hour), int(minute))
        else:
            name, day, hour, minute, seconds = found
            offset = b""
            parts = (self._year(_MONTHS[name], int(day)), _MONTHS[name], int(day), int(hour), int(minute))
        moment = datetime(*parts) + timedelta(seconds=float((seconds or b"0").replace(b",", b".")))
        return moment, offset or b""

    def _year(self, month: int, day: int) -> int:
        """The latest year in which the day does not lie in the future (RFC 3164 stamps have no year)."""
        latest = datetime.fromtimestamp(self._now + 86400, timezone.utc)
        return latest.year if (month, day) <= (latest.month, latest.day) else latest.year - 1

    def _epochs(self, moment: datetime, offset: bytes) -> tuple[float, ...]:
        if offset and offset != b"Z":
            digits = offset[1:].replace(b":", b"")
            shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
            return ((moment - (shift if offset[:1] == b"+" else -shift) - _EPOCH).total_seconds(),)
        if offset or self._zone is None:
            return ((moment - _EPOCH).total_seconds(),)
        early, late = (moment.replace(tzinfo=self._zone, fold=fold).timestamp() for fold in (0, 1))
        return (early, late) if early < late else (early,)  # early > late: the hour that is left out in spring


def _settle(style: str, stamp: bytes) -> tuple[str, bytes]:
    if style == "syslog":
        return ("iso" if stamp[:1].isdigit() else "bsd"), stamp
    return ("iso", stamp[1:]) if stamp[:1] == b'"' else ("epoch", stamp)


def nearest(candidates: Sequence[float], previous: float | None) -> float:
    """Which of two instants a repeated hour means: the one nearer to the line before; without one, the first."""
    return candidates[0] if previous is None else min(candidates, key=lambda moment: abs(moment - previous))
