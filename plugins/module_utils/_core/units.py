# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities with units as people write them: ``5 s``, ``80 %``, ``2 GiB``, ``7 d``.

A *unit* of a measure is one of ``s`` (seconds), ``B`` (bytes), ``percent``, ``count``, ``boolean``, ``text``, ``list``,
``number`` (no known unit) and ``timestamp``. Sizes follow IEC 80000-13 (KiB = 1024) and SI (kB = 1000).
"""

from __future__ import annotations

import math
import re
import sys

from .errors import InvalidInput

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

_FACTORS: dict[str, tuple[str, float]] = {
    "ms": ("s", 0.001), "s": ("s", 1), "min": ("s", 60), "h": ("s", 3600), "d": ("s", 86400), "w": ("s", 604800),
    "B": ("B", 1), "kB": ("B", 1e3), "MB": ("B", 1e6), "GB": ("B", 1e9), "TB": ("B", 1e12),
    "KiB": ("B", 2**10), "MiB": ("B", 2**20), "GiB": ("B", 2**30), "TiB": ("B", 2**40),
    "%": ("percent", 1), "": ("", 1),
}  # fmt: skip
_QUANTITY = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z%]*)")


def parse_quantity(text: str) -> tuple[float, str]:
    """``"5 min"`` to ``(300.0, "s")``: the number in the base unit, and that unit (``""`` when none was written).

    Raises InvalidInput when ``text`` is not a number with a known unit.
    """
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found.group(2) not in _FACTORS:
        known = ", ".join(unit for unit in _FACTORS if unit)
        raise InvalidInput(f'"{text}" is not a number with a unit', f"units are {known}, or none for a plain number")
    unit, factor = _FACTORS[found.group(2)]
    value = float(found.group(1)) * factor
    if not math.isfinite(value):
        raise InvalidInput(f'"{text}" is too large a number')
    return value, unit


def parse_duration(text: Any) -> float:
    """``"10 min"`` to seconds. Raises InvalidInput for anything that is not a positive duration with a unit."""
    value, unit = parse_quantity(text) if isinstance(text, str) else (0.0, "")
    if unit != "s" or value <= 0:
        raise InvalidInput(f'"{text}" is not a duration', 'write it like "90 s", "10 min", "4 h" or "7 d"')
    return value


def is_number(value: Any) -> bool:
    """A finite number, and not a boolean, a string of digits, NaN, or an integer too large to calculate with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def plural(count: int, noun: str) -> str:
    """``1 check``, ``2 checks``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_value(value: Any, unit: str = "") -> str:
    """A measured value for people: ``6.24`` seconds as ``6.24 s``, ``3435973836`` bytes as ``3.2 GiB``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    if not is_number(value):
        return str(value)
    if unit == "s":
        return _format_seconds(value)
    if unit == "B":
        return _format_bytes(value)
    return f"{_short(value)} %" if unit == "percent" else _short(value)


def _short(value: float) -> str:
    """At most three decimals, none that say nothing."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:.0f}"


def _format_seconds(value: float) -> str:
    size = abs(value)
    if size < 1:
        return f"{value * 1000:.0f} ms" if size >= 0.001 or size == 0 else f"{value * 1000:.2f} ms"
    for limit, unit, seconds in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if size < limit:
            return f"{value / seconds:.3g} {unit}"
    return f"{value / 86400:.1f} d"


def _format_bytes(value: float) -> str:
    size = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{_short(size) if unit == 'B' else format(size, '.1f')} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
