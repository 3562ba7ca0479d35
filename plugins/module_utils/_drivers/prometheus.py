# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus: what a query answers, or without one the server itself. See https://prometheus.io/docs/prometheus/latest/querying/api/."""

from __future__ import annotations

import time

from .._core.errors import InvalidInput, RunbookError
from .._core.probe import Probe
from .._core.prometheus_answers import (
    MEASURES,
    Series,
    Window,
    age_of,
    data_of,
    doubt_age,
    doubt_range,
    dynamic_measures,
    measures_of,
    series_of,
    targets_of,
)
from .._core.units import parse_duration
from ._json_api import JsonApi
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MEASURES", "dynamic_measures", "measure"]


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Run ``query``, over ``range`` when one is given. An answer that is empty or only a part raises RunbookError, which is unknown.

    Raises Unreachable, TimedOut, VerifyFailed (no Prometheus), InvalidInput (the query cannot be read).
    """
    left = TimeLeft(probe, options["timeout_seconds"], f"asking Prometheus at {options['url']}", "see whether it is busy, or the query too heavy")
    api = JsonApi(options, left)
    started = time.monotonic()
    if not options.get("query"):
        return {**_server(api), "latency": time.monotonic() - started}
    found = _ranged(api, options, probe) if options.get("range") else series_of(_asked(api, options["query"]))
    latency = time.monotonic() - started
    measures: dict[str, Any] = {"latency": latency}
    if options.get("max_age") or "age" in probe.wanted:
        ages = _ages(api, options)
        measures["age"] = age_of(ages)
        if options.get("max_age"):
            doubt_age(found, ages, parse_duration(options["max_age"]), bool(options.get("source")))
    return {**measures_of(found, options.get("expect") or {}), **measures}


def _asked(api: JsonApi, query: str) -> Any:
    status, answer = api.post("/api/v1/query", [("query", query)])
    return data_of(answer, status)


def _ranged(api: JsonApi, options: dict[str, Any], probe: Probe) -> list[Series]:
    window = Window(options)
    start = probe.now - window.seconds
    form = [("query", options["query"]), ("start", f"{start:.3f}"), ("end", f"{probe.now:.3f}"), ("step", f"{window.step:g}")]
    status, answer = api.post("/api/v1/query_range", form)
    found = series_of(data_of(answer, status), "matrix")
    doubt_range(found, window, start)
    return found


def _ages(api: JsonApi, options: dict[str, Any]) -> list[Series]:
    """Seconds since the newest sample of each series. The time of an answer is that of the question, also where the samples are old."""
    source = options.get("source") or options["query"]
    try:
        # what can be counted is a plain selector: of anything else, such as a sum, timestamp() is the time of the question, too
        return series_of(_asked(api, f"(time() - timestamp({source})) or (count_over_time({source}[1s]) < 0)"))
    except InvalidInput:
        if options.get("source"):
            raise InvalidInput(f"prometheus: source: {source} is not a plain selector", 'write it like up{job="api"}') from None
        raise InvalidInput("prometheus: the age of a calculated value is not known", "name the metric it comes from (source: ...)") from None
    except RunbookError as error:
        raise RunbookError(f"the age of {source} is not known: {error.message}", error.hint) from None


def _server(api: JsonApi) -> dict[str, Any]:
    ready, _text = api.get("/-/ready")
    status, answer = api.get("/api/v1/targets", [("state", "active")])
    return {"ready": ready == 200, **targets_of(data_of(answer, status))}
