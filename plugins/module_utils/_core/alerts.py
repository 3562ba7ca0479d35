# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts as Alertmanager lists them, counted. See its API, version 2 (api/v2/openapi.yaml)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import InvalidInput, VerifyFailed
from .times import parse_instant
from .units import format_value, parse_duration

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

MEASURES = {
    "ready": "boolean", "firing": "count", "firing_other": "count", "alerts": "text", "age": "s", "unacknowledged": "count", "silenced": "count",
    "inhibited": "count", "missing": "text", "latency": "s",
}  # fmt: skip

NONE = "none"


def dynamic_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """How many alerts fire of each severity. Raises InvalidInput for options that make no sense."""
    parse_duration(options.get("older_than") or "15 min")
    if "other" in (options.get("severities") or []):
        raise InvalidInput("alertmanager: severities: other is measured anyway", "leave it out")
    return {f"firing_{severity}": "count" for severity in options.get("severities") or []}


class Alert:
    """One alert: its name and severity, whether it is silenced or inhibited, and since when it fires (seconds since 1970)."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        labels, status = given["labels"], given["status"]
        self.name, self.severity = str(labels.get("alertname", "an alert without a name")), str(labels.get("severity", ""))
        self.silenced, self.inhibited = bool(status["silencedBy"]), bool(status["inhibitedBy"])
        self.since = parse_instant(given["startsAt"])

    @property
    def fires(self) -> bool:
        """Nobody and nothing keeps it quiet. One that was not yet processed is not known to be quiet."""
        return not self.silenced and not self.inhibited


def alerts_of(answer: Any) -> list[Alert]:
    """The alerts of an answer. Raises VerifyFailed when it is none of Alertmanager's."""
    try:
        return [Alert(given) for given in answer]
    except (KeyError, TypeError, AttributeError, InvalidInput):
        raise VerifyFailed("the answer is not a list of alerts of API version 2", "see what listens at this address, and its version") from None


def measures_of(alerts: Sequence[Alert], expected: Sequence[Alert], options: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Of those that fire: how many, by severity, how long. What is expected to fire does not count, and is missing when it is not in ``expected``."""
    expect = options.get("expect") or []
    severities = options.get("severities") or []
    firing = sorted((one for one in alerts if one.fires and one.name not in expect), key=lambda one: (one.since, one.name))
    ages = [max(0.0, now - one.since) for one in firing]
    names = {one.name for one in expected}
    told = [f"{one.name} ({one.severity or 'no severity'}, {format_value(age, 's')})" for one, age in zip(firing, ages)]
    return {
        "firing": len(firing),
        **{f"firing_{severity}": sum(one.severity == severity for one in firing) for severity in severities},
        "firing_other": sum(one.severity not in severities for one in firing),
        "alerts": ", ".join(told) or NONE,
        "age": max(ages, default=0.0),
        "unacknowledged": sum(age > parse_duration(options.get("older_than") or "15 min") for age in ages),
        "silenced": sum(one.silenced for one in alerts),
        "inhibited": sum(one.inhibited and not one.silenced for one in alerts),
        "missing": ", ".join(name for name in expect if name not in names) or NONE,
    }
