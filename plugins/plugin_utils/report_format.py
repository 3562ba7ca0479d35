# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, instants and foreign text as a person reads them in the report.

Everything that came from a host is foreign: ``visible`` shows control and direction-changing characters instead of obeying them.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import is_number

NOTHING = "–"
LINE = 400
"""Longest text on one line; a longer one ends in an ellipsis (the JSON beside the report has all of it)."""

_KEPT = "\n\t\u00a0"
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def visible(text: str) -> str:
    """``text`` with every control, direction-changing, invisible or unassigned character written as its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _KEPT else _escape(char) for char in text)


def _escape(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(text: str, length: int = LINE) -> str:
    """At most ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def as_text(value: Any, length: int = LINE) -> str:
    """Any value as one bounded line; ``""`` for None. What should be text may be anything: a host sent it."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else as_text_list(value) if isinstance(value, (list, tuple)) else str(value)
    return shorten(text, length)


def as_text_list(values: Any) -> str:
    """A list as ``a, b, c``, without ever walking a very long one to its end."""
    shown = ", ".join(as_text(value, 80) for value in values[:20])
    return f"{shown} and {len(values) - 20} more" if len(values) > 20 else shown or "none"


def as_list(value: Any) -> list[Any]:
    """``value`` when it is a list, else an empty one."""
    return list(value) if isinstance(value, (list, tuple)) else []


def as_dicts(value: Any) -> list[dict[str, Any]]:
    """The mappings in a list; whatever else is in it is not ours to show."""
    return [dict(item) for item in as_list(value) if isinstance(item, Mapping)]


def as_dict(value: Any) -> dict[str, Any]:
    """``value`` when it is a mapping, else an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def enumeration(parts: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def human(value: Any, unit: str = "") -> str:
    """A measured value for a person: ``1.2 s``, ``84 %``, ``3.4 GiB``, ``2 h 5 min``."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "timestamp":
        return instant(value)
    if not is_number(value):
        return "not a number" if isinstance(value, float) else as_text(value) or "empty"
    writer = {"s": duration, "B": size, "percent": percent}.get(unit)
    return writer(float(value)) if writer else number(value)


def exact(value: Any, unit: str = "") -> str:
    """The same value to its last digit, for the title that opens on hovering."""
    if not is_number(value) or unit == "timestamp":
        return as_text(value) or human(value, unit)
    return f"{value} {'%' if unit == 'percent' else unit}".strip() if unit in ("s", "B", "percent") else str(value)


def duration(seconds: float) -> str:
    """``240 ms``, ``1.2 s``, ``5 min 3 s``, ``2 h 5 min``, ``12 d 4 h``; a past one with a minus sign."""
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if seconds < 0.9995:
        return f"{_trim(seconds * 1000, 0 if seconds >= 0.01 else 2)} ms" if seconds else "0 s"
    if seconds < 59.95:
        return f"{_trim(seconds, 1)} s"
    whole = round(seconds)
    for large, name, small, small_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            count, rest = divmod(round(whole / small) * small, large)
            return f"{count:,} {name} {rest // small} {small_name}" if rest and count < 100 else f"{count:,} {name}"
    return f"{whole} s"


def size(count: float) -> str:
    """Bytes in steps of 1024: ``3.4 GiB``."""
    scale = 0
    while abs(count) >= 1023.95 and scale < len(_BINARY) - 1:
        count, scale = count / 1024, scale + 1
    return f"{_trim(count, 1)} {_BINARY[scale]}"


def percent(value: float) -> str:
    """``84 %``, ``8.4 %``; close to a whole hundred it keeps what makes it less than that (``99.97 %``)."""
    return f"{_trim(min(value, 99.99), 2)} %" if 99 < value < 100 else f"{_trim(value, 1)} %"


def number(value: float) -> str:
    """Four significant digits below ten thousand, whole and grouped above."""
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    if isinstance(value, int) or abs(value) >= 1e4 or float(value).is_integer():
        return f"{round(value):,}"
    return f"{value:.4g}"


def _trim(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def instant(value: Any, seconds: bool = False) -> str:
    """``2026-11-20 02:15 UTC``; what is no instant stays as it came."""
    epoch = seconds_of(value)
    if epoch is None:
        return NOTHING if value in (None, "") else as_text(value, 40)
    return f"{rfc3339(epoch)[: 19 if seconds else 16].replace('T', ' ')} UTC"


def zone_of(name: Any) -> tzinfo:
    """The time zone of that IANA name; UTC when this machine does not know it."""
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else timezone.utc
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        return timezone.utc


def local(epoch: float, zone: tzinfo, form: str = "%Y-%m-%d %H:%M") -> str:
    """An instant on the clock of a time zone, without the name of the zone."""
    return datetime.fromtimestamp(epoch, timezone.utc).astimezone(zone).strftime(form)


def seconds_of(value: Any) -> float | None:
    """Seconds since 1970, or None when ``value`` is no instant that this calendar can hold."""
    try:
        epoch = parse_instant(value, "UTC")
        rfc3339(epoch)
    except (InvalidInput, ValueError, OverflowError, OSError):
        return None
    return epoch if math.isfinite(epoch) else None
