# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alertmanager: what fires, and whether it is ready. See its API, version 2 (api/v2/openapi.yaml)."""

from __future__ import annotations

import json
import re
import time

from .._core.alerts import MEASURES, Alert, alerts_of, dynamic_measures, measures_of
from .._core.errors import InvalidInput, RunbookError, VerifyFailed
from .._core.probe import Probe
from ._json_api import JsonApi
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["MEASURES", "dynamic_measures", "measure"]


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Ask for every alert that fits ``filter``. Raises Unreachable, TimedOut, VerifyFailed (no Alertmanager), InvalidInput (a matcher cannot be read)."""
    left = TimeLeft(probe, options["timeout_seconds"], f"asking Alertmanager at {options['url']}", "see whether it is busy")
    api = JsonApi(options, left)
    started = time.monotonic()
    ready, _text = api.get("/-/ready")
    matchers, expect = options.get("filter") or [], options.get("expect") or []
    alerts = _alerts(api, matchers)
    # What must always fire is often of everybody, and the filter leaves it out.
    expected = _alerts(api, [f"alertname=~{json.dumps('|'.join(map(re.escape, expect)), ensure_ascii=False)}"]) if matchers and expect else alerts
    latency = time.monotonic() - started
    return {"ready": ready == 200, **measures_of(alerts, expected, options, probe.now), "latency": latency}


def _alerts(api: JsonApi, matchers: Sequence[str]) -> list[Alert]:
    status, answer = api.get("/api/v2/alerts", [("filter", matcher) for matcher in matchers])
    if status == 400:
        raise InvalidInput(f"alertmanager: filter: {answer}", """write matchers like severity="critical" or alertname!~"Watchdog|Test" """.strip())
    if status in (401, 403):
        raise RunbookError(f"Alertmanager refuses the request (status {status})", "see secret_headers")
    if status != 200:
        raise VerifyFailed(f"Alertmanager answers with status {status}", "see its log, and whether the address is that of its API")
    return alerts_of(answer)
