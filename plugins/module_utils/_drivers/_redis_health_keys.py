# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named keys of a Redis server as measures: whether they exist, what they hold, how old that is and when it ends."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from .._core.errors import InvalidInput
from .._core.probe import Probe, Unmeasured
from .._core.times import parse_instant
from ._redis_client import CommandRefused, Denied, Session

_UNITS = ("text", "number", "count", "s", "B", "percent", "boolean")
_KEYS = {"key", "field", "unit", "timezone"}
_SIZES = {"list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN"}
_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_LONGEST = 2000
# int() and float() also take 1_000, the digits of every script, inf and nan
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_FUTURE_SECONDS = 60.0  # clocks of two machines may differ by this much


def units_of(wanted: Mapping[str, Any], taken: Mapping[str, str]) -> dict[str, str]:
    """Every measure that ``get`` adds. Raises InvalidInput for what cannot be read as a key."""
    found: dict[str, str] = {}
    for name, given in wanted.items():
        if name in taken:
            raise InvalidInput(f"redis: get: {name} is measured anyway", "give what is read another name")
        unit = _reading(name, given).get("unit", "text")
        found.update({name: unit, f"{name}.exists": "boolean", f"{name}.count": "count", f"{name}.ttl": "s", f"{name}.age": "s"})
    return found


def _reading(name: str, given: Any) -> dict[str, str]:
    """``trading:halt`` or ``{key: last_tick, field: at, unit: text, timezone: UTC}``."""
    reading = {"key": given} if isinstance(given, str) else given
    if not isinstance(reading, dict) or not reading.get("key") or set(reading) - _KEYS or not all(isinstance(value, str) for value in reading.values()):
        raise InvalidInput(f"redis: get: {name}: write a key, or {{key: ..., field: ..., unit: ..., timezone: ...}}")
    if reading.get("unit", "text") not in _UNITS:
        raise InvalidInput(f"redis: get: {name}: units are {', '.join(_UNITS)}")
    return reading


def measures_of(session: Session, wanted: Mapping[str, Any], probe: Probe) -> dict[str, Any]:
    """The values of all keys; what this user may not read costs its own measures only."""
    found: dict[str, Any] = {}
    for name, given in wanted.items():
        try:
            found.update(_one(session, name, _reading(name, given), probe))
        except (Denied, CommandRefused) as error:
            reason = Unmeasured(error.advice)
            found.update({each: reason for each in units_of({name: given}, {}) if each == name or each in probe.wanted})
    return found


def _one(session: Session, name: str, reading: Mapping[str, str], probe: Probe) -> dict[str, Any]:
    key, field = reading["key"], reading.get("field")
    kind = _text(session.ask("TYPE", key))
    value: Any = None
    if kind == "hash" and field:
        value = session.ask("HGET", key, field)
    elif kind == "string" and not field:
        value = session.ask("GETRANGE", key, 0, _LONGEST - 1)
    elif kind != "none":
        value = Unmeasured(f"{key} is a {kind}" + (f", which has no field {field}" if field else ", whose size is measured as .count"))
    plain = _value(value, reading.get("unit", "text"))
    found = {name: plain, f"{name}.exists": kind == "hash" and value is not None if field else kind != "none"}
    if f"{name}.count" in probe.wanted:
        found[f"{name}.count"] = _count(session, key, kind)
    if f"{name}.ttl" in probe.wanted:
        left = session.ask("PTTL", key)
        found[f"{name}.ttl"] = left / 1000 if left >= 0 else Unmeasured(f"{key} does not {'exist' if left == -2 else 'expire'}")
    if f"{name}.age" in probe.wanted:
        found[f"{name}.age"] = _age(name, value, reading.get("timezone", ""), probe.now)
    return found


def _count(session: Session, key: str, kind: str) -> Any:
    if kind in _SIZES:
        return session.ask(_SIZES[kind], key)
    return 0 if kind == "none" else Unmeasured(f"{key} is a {kind}, which is no collection")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _value(value: Any, unit: str) -> Any:
    """As its unit says; Redis itself keeps nothing but texts."""
    if value is None or isinstance(value, Unmeasured) or unit == "text":
        return _text(value) if isinstance(value, bytes) else value
    text = _text(value).strip()
    if unit == "boolean":
        return _TRUTHS.get(text.lower(), Unmeasured(f"{text[:100]!r} is neither true nor false"))
    return _number(text)


def _number(text: str) -> Any:
    found = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(found):
        return Unmeasured(f"{text[:100]!r} is not a number")
    return int(text) if text.lstrip("+-").isdigit() else found


def _age(name: str, value: Any, zone: str, now: float) -> Any:
    if isinstance(value, Unmeasured):
        return value
    if value is None:
        return Unmeasured(f"{name} does not exist")
    number = _number(_text(value).strip())
    try:
        age = now - parse_instant(_text(value) if isinstance(number, Unmeasured) else number, zone)
    except InvalidInput as error:
        return Unmeasured(f"{name}: {error.message}")
    return age if age >= -_FUTURE_SECONDS else Unmeasured(f"{name} is {-age:.0f} s in the future")
