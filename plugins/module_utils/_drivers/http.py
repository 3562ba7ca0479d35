# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request: its status, its time, and what is read out of a JSON answer or a page of metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from .._core.errors import InvalidInput, MissingLibrary, VerifyFailed
from .._core.exposition import COMBINE, parse, parse_selector, select
from .._core.probe import Probe, Unmeasured
from .._core.times import parse_instant
from ._http_request import Answer, Request
from ._time_left import TimeLeft

MEASURES = {"status_code": "number", "latency": "s", "size": "B"}

_UNITS = ("s", "B", "percent", "count", "number", "boolean", "text")
_NUMERIC = _UNITS[:5]
_FUTURE_SECONDS = 60.0  # clocks of two machines may differ by this much before "in the future" means a wrong value


def dynamic_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """What ``read`` adds: each name, its ``.age`` (it is a point in time) and its ``.count`` (it is a list); and what ``metrics`` adds."""
    found: dict[str, str] = {}
    for name, wanted in (options.get("read") or {}).items():
        _refuse_taken("read", name, MEASURES)
        found[name] = _reading(name, wanted).get("unit", "number")
        found[f"{name}.age"] = "s"
        found[f"{name}.count"] = "count"
    for name, wanted in (options.get("metrics") or {}).items():
        _refuse_taken("metrics", name, {**MEASURES, **found})
        found[name] = _metric(name, wanted).get("unit", "number")
    return found


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Request ``url`` and read the answer. Raises Unreachable, TimedOut or VerifyFailed when there is none that counts."""
    left = TimeLeft(probe, options["timeout_seconds"], f"{options['method']} {options['url']}", "see whether it hangs")
    request = Request(options, left)
    started = time.monotonic()
    answer = request.answer()
    measures: dict[str, Any] = {"status_code": answer.status, "latency": time.monotonic() - started, "size": len(answer.body)}
    if options.get("read"):
        measures.update(_read(options["read"], answer, probe))
    if options.get("metrics"):
        measures.update(_metrics(options["metrics"], answer))
    return measures


def _refuse_taken(option: str, name: str, taken: Mapping[str, str]) -> None:
    if name in taken:
        raise InvalidInput(f"http: {option}: {name} is measured anyway", "give what is read another name")


def _metric(name: str, wanted: Any) -> dict[str, Any]:
    """``http_requests_total{code="500"}`` or ``{metric: queue_bytes, unit: B, combine: sum}``."""
    reading = {"metric": wanted} if isinstance(wanted, str) else wanted
    known = isinstance(reading, dict) and bool(reading.get("metric")) and not set(reading) - {"metric", "unit", "combine"}
    if not known or not all(isinstance(value, str) for value in reading.values()):
        raise InvalidInput(f"http: metrics: {name}: write a metric, or {{metric: ..., unit: ..., combine: ...}}")
    if reading.get("unit", "number") not in _NUMERIC or reading.get("combine", "sum") not in COMBINE:
        raise InvalidInput(f"http: metrics: {name}: units are {', '.join(_NUMERIC)}, and combine is one of {', '.join(COMBINE)}")
    parse_selector(reading["metric"])
    return reading


def _metrics(wanted: Mapping[str, Any], given: Answer) -> dict[str, Any]:
    """The values of metrics on a page of text; those that are not there, or not exactly once, are not measured."""
    try:
        samples = parse(given.body)
    except VerifyFailed as error:
        return {name: Unmeasured(f"the answer of {len(given.body)} bytes: {error.message}") for name in wanted}
    measures: dict[str, Any] = {}
    for name, one in wanted.items():
        reading = _metric(name, one)
        try:
            measures[name] = select(samples, parse_selector(reading["metric"]), reading.get("combine"))
        except VerifyFailed as error:
            measures[name] = Unmeasured(error.message)
    return measures


def _reading(name: str, wanted: Any) -> dict[str, Any]:
    """``components.llm`` or ``{path: llm_seconds, unit: s}`` or ``{path: last_trade, timezone: America/New_York}``."""
    reading = {"path": wanted} if isinstance(wanted, str) else wanted
    if not isinstance(reading, dict) or not reading.get("path") or set(reading) - {"path", "unit", "timezone"}:
        raise InvalidInput(f"http: read: {name}: write a JMESPath, or {{path: ..., unit: ..., timezone: ...}}")
    if not all(isinstance(value, str) for value in reading.values()) or reading.get("unit", "number") not in _UNITS:
        raise InvalidInput(f"http: read: {name}: path and timezone are texts, and units are {', '.join(_UNITS)}")
    return reading


def _read(readings: Mapping[str, Any], given: Answer, probe: Probe) -> dict[str, Any]:
    """The values JMESPath finds in the JSON answer, and of those that have limits their age and count."""
    try:
        import jmespath
    except ImportError:
        raise MissingLibrary("jmespath", "python3-jmespath", "to read JSON answers") from None
    try:
        answer = json.loads(given.body)
    except (ValueError, RecursionError):
        # not its first characters: a secret that it echoes would be cut, and half a secret is not recognized
        reason = Unmeasured(f"the answer of {len(given.body)} bytes is not JSON but {given.headers.get('Content-Type', 'of no known type')}")
        return {name: reason for base in readings for name in (base, f"{base}.age", f"{base}.count") if name == base or name in probe.wanted}
    measures: dict[str, Any] = {}
    for name, wanted in readings.items():
        reading = _reading(name, wanted)
        try:
            measures[name] = jmespath.search(reading["path"], answer)
        except jmespath.exceptions.JMESPathError as error:  # often what the answer holds; it must not cost the other verdicts
            measures[name] = Unmeasured(f"{reading['path']}: {error}")
        measures.update(_derived(name, measures[name], reading.get("timezone", ""), probe))
    return measures


def _derived(name: str, value: Any, zone: str, probe: Probe) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(value, Unmeasured):
        return {wanted: value for wanted in (f"{name}.age", f"{name}.count") if wanted in probe.wanted}
    if f"{name}.count" in probe.wanted:
        found[f"{name}.count"] = len(value) if isinstance(value, (list, dict)) else Unmeasured(f"{name} is not a list")
    if f"{name}.age" in probe.wanted:
        try:
            age = probe.now - parse_instant(value, zone)
            found[f"{name}.age"] = age if age >= -_FUTURE_SECONDS else Unmeasured(f"{name} is {-age:.0f} s in the future")
        except InvalidInput as error:
            found[f"{name}.age"] = Unmeasured(f"{name}: {error.message}")
    return found
