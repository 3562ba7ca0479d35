# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one grammar of limits, for every kind of check.

``"> 80 %"``, ``"<= 5 s"``, ``"!= healthy"``, ``"not in [ok, degraded]"``, ``"> 1.5 x baseline"``. A limit says what is *bad*: it is
crossed when the comparison holds. Each belongs to a measure and a level, ``warning`` or ``critical``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidInput, did_you_mean
from .probe import SKIPPED, Unmeasured
from .units import is_number, parse_duration, parse_quantity

LEVELS = ("warning", "critical")
SEVERITIES = ("P1", "P2", "P3", "P4")
LONGEST_FOR = 86400.0
DEFAULT_SEVERITY = {"critical": "P2", "warning": "P3"}

_ORDER: dict[str, Callable[[Any, Any], bool]] = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_LIMIT = re.compile(r"\s*(>=|<=|==|!=|>|<|not\s+in\b|in\b)\s*(\S.*?)\s*", re.DOTALL)
_BASELINE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*x\s+baseline")
_CONSTANTS = {"true": True, "false": False, "null": None}
_QUANTITIES = ("s", "B", "percent", "count")
_NUMERIC_UNITS = (*_QUANTITIES, "number")
_ITEM = re.compile(r"""\s*("[^"]*"|'[^']*'|[^\s,"'][^,]*?)\s*(?:,|$)""", re.DOTALL)


@dataclass(frozen=True)
class Limit:
    """A parsed comparison. ``operand`` is in the base unit ``unit`` (``""`` when none was written), or a factor of the baseline."""

    text: str
    comparator: str
    operand: Any
    unit: str = ""
    of_baseline: bool = False

    def state(self, value: Any, baseline: float | None = None) -> str:
        """``ok``, ``crossed``, ``skipped`` (left out on purpose), ``learning`` (no baseline yet), or ``unknown``: doubt is never ok."""
        if value is SKIPPED:
            return "skipped"
        if isinstance(value, Unmeasured):
            return "unknown"
        if self.of_baseline and not is_number(baseline):
            return "learning" if baseline is None and is_number(value) else "unknown"
        operand = self.operand * baseline if self.of_baseline and baseline is not None else self.operand
        if self.comparator in _ORDER:
            known = is_number(value) and is_number(operand)
            return _verdict(_ORDER[self.comparator](value, operand)) if known else "unknown"
        return self._equality(value)

    def _equality(self, value: Any) -> str:
        choices = self.operand if isinstance(self.operand, list) else [self.operand]
        if not any(_comparable(value, choice) for choice in choices):
            return "unknown"
        inside = any(_comparable(value, choice) and value == choice for choice in choices)
        return _verdict(inside if self.comparator in ("==", "in") else not inside)


@dataclass(frozen=True)
class Rule:
    """One limit of one measure at one level."""

    measure: str
    level: str
    limit: Limit
    severity: str
    for_seconds: float = 0.0


def _verdict(crossed: bool) -> str:
    return "crossed" if crossed else "ok"


def _comparable(value: Any, operand: Any) -> bool:
    if operand is None:
        return True
    return is_number(value) if is_number(operand) else type(value) is type(operand)


def parse_limit(text: Any, of: str = "") -> Limit:
    """``"> 5 min"`` to a Limit on a measure of unit ``of``. Raises InvalidInput with an example when it cannot be read."""
    found = _LIMIT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidInput(f'"{text}" is not a limit', 'write what is bad, like "> 80 %", "!= 200" or "not in [ok, degraded]"')
    comparator, operand = re.sub(r"\s+", " ", found.group(1)), found.group(2)
    if comparator in ("in", "not in"):
        return Limit(text.strip(), comparator, _parse_list(operand, of))
    if comparator in _ORDER:
        factor = _BASELINE.fullmatch(operand)
        if factor is not None:
            return Limit(text.strip(), comparator, float(factor.group(1)), of_baseline=True)
        value, unit = parse_quantity(operand)
        return Limit(text.strip(), comparator, value, unit)
    value, unit = _parse_scalar(operand, of)
    return Limit(text.strip(), comparator, value, unit)


def _parse_list(text: str, of: str) -> list[Any]:
    inside = text[1:-1].strip()
    items = _ITEM.findall(inside)
    if not (text.startswith("[") and text.endswith("]")) or not items or "".join(_ITEM.split(inside)[::2]):
        raise InvalidInput(f'"{text}" is not a list', 'write it like "not in [ok, degraded]"')
    return [_parse_scalar(item, of)[0] for item in items]


def _parse_scalar(text: str, of: str) -> tuple[Any, str]:
    if text in _CONSTANTS and (of != "text" or text == "null"):
        return _CONSTANTS[text], ""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1], ""
    try:
        return (text, "") if of == "text" else parse_quantity(text)  # a mode such as 0640 is a text
    except InvalidInput:
        return text, ""


def parse_limits(
    limits: Mapping[str, Any], units: Mapping[str, str], open_ended: bool = False, severities: Mapping[str, str] | None = None
) -> list[Rule]:
    """The ``limits`` of one check to rules. ``units`` maps every measure the check can return to its unit.

    ``open_ended`` allows measures that only show when measured (columns of a query). ``severities`` hold where a limit names none. Raises
    InvalidInput that names the place and, for a misspelt measure, the nearest one.
    """
    rules: list[Rule] = []
    for measure, levels in limits.items():
        if measure not in units and not open_ended:
            raise InvalidInput(f'limits: unknown measure "{measure}"{did_you_mean(measure, units)}', f"measures are {', '.join(sorted(units))}")
        if not isinstance(levels, Mapping):
            raise InvalidInput(f"limits: {measure}: write it as {{warning: ..., critical: ...}}")
        unknown = [key for key in levels if key not in (*LEVELS, "severity", "for")]
        if unknown:
            raise InvalidInput(f'limits: {measure}: unknown key "{unknown[0]}"{did_you_mean(unknown[0], (*LEVELS, "severity", "for"))}')
        if not any(level in levels for level in LEVELS):
            raise InvalidInput(f"limits: {measure}: neither warning nor critical is given", "null switches one off")
        for level in LEVELS:
            severity = _per_level(measure, "severity", levels, level) or (severities or DEFAULT_SEVERITY)[level]
            rules.extend(_rules(measure, level, {**levels, "severity": severity}, units.get(measure, "number")))
    return rules


def _rules(measure: str, level: str, levels: Mapping[str, Any], unit: str) -> list[Rule]:
    texts = levels.get(level)
    if texts is None:
        return []
    severity = levels["severity"]
    if severity not in SEVERITIES:
        raise InvalidInput(f'limits: {measure}: unknown severity "{severity}"', f"severities are {', '.join(SEVERITIES)}")
    waiting = _per_level(measure, "for", levels, level)
    seconds = parse_for(waiting) if waiting is not None else 0.0
    rules = [Rule(measure, level, parse_limit(text, unit), severity, seconds) for text in (texts if isinstance(texts, list) else [texts])]
    for rule in rules:
        _check_unit(rule, unit)
    return rules


def parse_for(text: Any) -> float:
    """How long something must last before it counts, in seconds. Raises InvalidInput above a day, as far back as earlier runs are asked."""
    seconds = parse_duration(text)
    if seconds > LONGEST_FOR:
        raise InvalidInput(f'for: "{text}" is longer than a day', "let it count sooner, or at once")
    return seconds


def _per_level(measure: str, key: str, levels: Mapping[str, Any], level: str) -> Any:
    value = levels.get(key)
    if not isinstance(value, Mapping):
        return value
    for name in value:
        if name not in LEVELS:
            raise InvalidInput(f'limits: {measure}: {key}: unknown key "{name}"{did_you_mean(name, LEVELS)}')
    return value.get(level)


def _check_unit(rule: Rule, unit: str) -> None:
    """A limit without a unit on seconds or bytes is a guess; one with another unit is a mistake."""
    limit, where = rule.limit, f"limits: {rule.measure}: \"{rule.limit.text}\""
    numeric = limit.comparator in _ORDER
    if numeric and unit not in _NUMERIC_UNITS:
        raise InvalidInput(f"{where}: {rule.measure} is a {unit}, which has no order", 'use "==", "!=", "in" or "not in"')
    if unit == "list":
        raise InvalidInput(f"{where}: {rule.measure} is a list", "set the limit on its count")
    _check_type(rule, unit, where)
    if limit.of_baseline or not (numeric or is_number(limit.operand)):
        return
    if unit in ("s", "B") and limit.unit != unit:
        raise InvalidInput(f"{where}: say the unit", f'for example "{limit.comparator} {"5 s" if unit == "s" else "2 GiB"}"')
    if limit.unit and limit.unit != unit:
        raise InvalidInput(f"{where}: {rule.measure} is measured in {unit or 'no unit'}, not in {limit.unit}")


def _check_type(rule: Rule, unit: str, where: str) -> None:
    """What is never of the measure's type would be unknown for ever."""
    for choice in rule.limit.operand if isinstance(rule.limit.operand, list) else [rule.limit.operand]:
        if choice is None:
            continue
        if unit == "boolean" and not isinstance(choice, bool):
            raise InvalidInput(f"{where}: {rule.measure} is true or false, not {choice}")
        if unit in _QUANTITIES and not is_number(choice):
            raise InvalidInput(f"{where}: {rule.measure} is a number, not {choice}")
