# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an axis starts and ends and what stands along it. Pure, so that a plot is the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_SECONDS = ((172800.0, 86400.0, "d"), (7200.0, 3600.0, "h"), (120.0, 60.0, "min"), (1.0, 1.0, "s"), (0.0, 0.001, "ms"))
_BYTES = tuple((1024.0**power, 1024.0**power, name) for power, name in ((5, "PiB"), (4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB"))) + ((0.0, 1.0, "B"),)
_TIMES = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000)
"""Steps of a time axis in seconds, from one second to a year."""

_IN_REACH = 3.0
"""A limit farther away than this many times the height of the data would press the data flat: it is told, not drawn."""

_SMALLEST = 1e-9
"""A lower axis would be beyond what a plot can divide."""


@dataclass(frozen=True)
class Axis:
    """``low`` to ``high`` in base units, and (place, label) of each tick."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


def value_axis(values: Sequence[float], bounds: Sequence[float], unit: str) -> Axis:
    """An axis for measured values that takes in the limits within reach, with room above for a label.

    It starts at zero, so that noise looks like noise, unless the values move high up and near a limit.
    """
    low, high = min(values), max(values)
    near = _within_reach(low, high, bounds)
    if not near or low <= 0.6 * high or low == high:
        low, high = min(low, 0.0), max(high, 0.0)
        near = _within_reach(low, high, bounds)
    low, high = min([low, *near]), max([high, *near])
    if high - low < _SMALLEST:
        high = low + 1.0
    room = 0.14 * (high - low)
    # Values that are never negative keep zero on the axis itself, not above it.
    return Axis(low - (0.0 if low == 0 else room / 2), high + room, _value_ticks(low, high, unit))


def _within_reach(low: float, high: float, bounds: Sequence[float]) -> list[float]:
    reach = _IN_REACH * (high - low)
    return [bound for bound in bounds if low - reach <= bound <= high + reach]


def _value_ticks(low: float, high: float, unit: str) -> tuple[tuple[float, str], ...]:
    largest = max(abs(low), abs(high))
    scale, name = 1.0, "%" if unit == "percent" else ""
    for least, factor, label in {"s": _SECONDS, "B": _BYTES}.get(unit, ()):
        if largest >= least:
            scale, name = factor, label
            break
    step = _nice((high - low) / scale / 4, whole=unit == "count" or name in ("B", "ms"))
    first, last = math.ceil(low / scale / step - 1e-9), math.floor(high / scale / step + 1e-9)
    return tuple((index * step * scale, _label(index * step, name)) for index in range(first, last + 1))


def _nice(rough: float, whole: bool) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * 0.999)
    return max(1.0, float(math.ceil(step))) if whole and rough >= 0.01 else step


def _label(value: float, name: str) -> str:
    text = f"{value:.3g}" if abs(value) >= 1e9 else f"{value:,.10f}".rstrip("0").rstrip(".")
    return f"{text} {name}".strip() if value else "0"


def time_axis(times: Sequence[float], zone: tzinfo = timezone.utc) -> Axis:
    """An axis of instants (seconds since 1970) with at most five labels, on the clock of a time zone."""
    low, high = min(times), max(times)
    span = high - low
    room = 0.025 * span or 1.0
    step = next((step for step in _TIMES if span / step <= 4), _TIMES[-1] * math.ceil(span / _TIMES[-1] / 4))
    first, last = math.ceil(_on_the_clock(low, zone) / step), math.floor(_on_the_clock(high, zone) / step)
    placed = [(_instant_of(index * step, zone), _clock(index * step, step)) for index in range(first, last + 1)]
    # Around a change of the clock a tick may fall outside, or on another one.
    ticks = {place: label for place, label in placed if low <= place <= high} or {float(int(low)): _clock(int(_on_the_clock(low, zone)), step)}
    return Axis(low - room, high + room, tuple(sorted(ticks.items())))


def _on_the_clock(epoch: float, zone: tzinfo) -> float:
    """What a clock in the zone shows, as if it were UTC."""
    offset = datetime.fromtimestamp(epoch, timezone.utc).astimezone(zone).utcoffset()
    return epoch + (offset.total_seconds() if offset else 0.0)


def _instant_of(shown: float, zone: tzinfo) -> float:
    """When a clock in the zone shows that."""
    return datetime.fromtimestamp(shown, timezone.utc).replace(tzinfo=zone).timestamp()


def _clock(tick: int, step: int) -> str:
    moment = datetime.fromtimestamp(tick, timezone.utc)
    if step >= 31536000:
        return moment.strftime("%Y")
    if step >= 86400 or not (moment.hour or moment.minute or moment.second):
        return f"{moment.day} {moment:%b}"
    return moment.strftime("%H:%M" if step >= 60 else "%H:%M:%S")
