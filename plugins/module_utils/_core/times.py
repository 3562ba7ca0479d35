# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants: RFC 3339 out, and what applications write in. Seconds since 1970 (UTC) inside."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from .errors import InvalidInput
from .units import is_number

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

# What fromisoformat takes differs between Python 3.9 and 3.11; the verdict must not depend on the Python of the host.
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?:(:\d\d)(?:[.,](\d+))?)?\s?([Zz]|[-+]\d\d(?::?\d\d)?)?)?", re.ASCII)


def rfc3339(epoch: float) -> str:
    """``1793499300.2`` to ``2026-11-01T02:15:00Z`` (RFC 3339, whole seconds)."""
    return datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(value: Any, zone: str = "") -> float:
    """An application's timestamp to seconds since 1970: RFC 3339 text, or a number of seconds or milliseconds.

    ``zone`` (an IANA name) is where a text without an offset was written; without it such a text raises InvalidInput, since
    guessing would be wrong by hours.
    """
    if isinstance(value, (bool, int, float)) or value is None:
        if not is_number(value) or value <= 0:
            raise InvalidInput(f"{value} is not a point in time")
        return value / 1000 if value > 1e11 else float(value)  # 1e11 s is the year 5138: larger ones are milliseconds
    found = _INSTANT.fullmatch(str(value).strip())
    try:
        moment = datetime.fromisoformat(_normal(found)) if found else None
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidInput(f'"{value}" is not a point in time (RFC 3339)')
    return _with_zone(moment, zone, value).timestamp()


def _normal(found: re.Match[str]) -> str:
    """In the one spelling that every Python reads."""
    date, minutes, seconds, fraction, offset = found.groups(default="")
    digits = offset[1:].replace(":", "")
    shift = "+00:00" if offset in ("Z", "z") else f"{offset[0]}{digits[:2]}:{digits[2:] or '00'}" if offset else ""
    return f"{date}T{minutes or '00:00'}{seconds or ':00'}.{fraction[:6]:0<6}{shift}"


def _with_zone(moment: datetime, zone: str, value: Any) -> datetime:
    if moment.tzinfo is not None:
        return moment
    if not zone:
        raise InvalidInput(f'"{value}" does not say its time zone', "name it: {path: ..., timezone: America/New_York}")
    if zone == "UTC":
        return moment.replace(tzinfo=timezone.utc)
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return moment.replace(tzinfo=ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):  # OSError: the name of a folder of zones
        raise InvalidInput(f'the time zone "{zone}" is not known on this machine', "use an IANA name; install tzdata") from None
