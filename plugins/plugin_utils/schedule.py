# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scheduled runs came on time, late, too long or not at all.

Rules (RFC 5545) are read as clock time of their time zone. A time that the clocks leave out in spring is taken as long after
the hour change as it would have been; a time that comes twice in autumn counts once, at its first coming, except for
rules that repeat within the day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, MissingLibrary
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339

ANCHOR = datetime(2000, 1, 1)
"""Where every rule without a DTSTART of its own begins, so that INTERVAL=2 means the same weeks on every day that asks."""

_STEPS = {"MINUTELY": timedelta(minutes=1), "HOURLY": timedelta(hours=1), "DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)}
_DAYS = ("BYMONTH", "BYMONTHDAY", "BYYEARDAY")
_FREQUENT = ("MINUTELY", "HOURLY")
_LOOK_BACK = (timedelta(days=2), timedelta(days=40), timedelta(days=800))
_EARLY = 60.0
"""Seconds before its time at which a run still counts for it: clocks and timers differ."""


@dataclass(frozen=True)
class Entry:
    """One line of ``runbook_schedule``."""

    playbook: str
    rrule: str
    expected_seconds: float


@dataclass(frozen=True)
class Clock:
    """When and where it is asked; what was due before ``since`` (the first run ever recorded) is nobody's fault."""

    now: float
    zone: str = "UTC"
    since: float = 0.0


def parse_entry(raw: Any) -> Entry:
    """An entry from the inventory. Raises InvalidInput."""
    if not isinstance(raw, Mapping) or not {"playbook", "rrule"} <= set(raw) or set(raw) - {"playbook", "rrule", "expected_minutes"}:
        raise InvalidInput(
            f"runbook_schedule: {raw} is not an entry", "write it as {playbook: daily, rrule: FREQ=DAILY;BYHOUR=8;BYMINUTE=0, expected_minutes: 5}"
        )
    try:
        minutes = float(raw.get("expected_minutes", 60))
    except (TypeError, ValueError):
        minutes = 0.0
    if not 0 < minutes <= 60 * 24 * 7:
        raise InvalidInput(f"runbook_schedule: {raw['playbook']}: expected_minutes {raw.get('expected_minutes')} is not a number of minutes above 0")
    return Entry(str(raw["playbook"]), str(raw["rrule"]), minutes * 60)


def review(schedule: Iterable[Any], runs: Sequence[Mapping[str, Any]], clock: Clock) -> list[dict[str, Any]]:
    """How the last due run of every entry went: ``{playbook, status, due_at, run_id, rrule, expected_minutes}``.

    ``status`` is ``on_time``, ``late`` (begun more than ``expected_minutes`` after its time), ``overran`` (took longer than
    ``expected_minutes``) or ``missed`` (not begun by then, or begun and never finished). A run that is due, and still inside its
    grace of ``expected_minutes`` without having begun, says nothing yet: then the one before it is shown. ``runs`` are rows of the
    history and runs under way; runs in check mode do not count.
    """
    real = [run for run in runs if run["started_at"] and not run.get("check_mode")]
    return [shown for shown in (_review_one(parse_entry(raw), real, clock) for raw in schedule) if shown]


def _review_one(entry: Entry, runs: Sequence[Mapping[str, Any]], clock: Clock) -> dict[str, Any] | None:
    mine = [run for run in runs if run["playbook"] == entry.playbook]
    upto = clock.now + _EARLY + 1
    for due in reversed(due_instants(entry.rrule, clock.zone, clock.now)):
        candidates = [run for run in mine if due - _EARLY <= parse_instant(run["started_at"]) < upto - _EARLY]
        upto = due
        if candidates or (clock.now > due + entry.expected_seconds and due >= clock.since):
            run = _best(candidates)
            return {
                "playbook": entry.playbook,
                "status": _status(run, due, entry.expected_seconds, clock.now),
                "due_at": rfc3339(due),
                "run_id": run["run_id"] if run else None,
                "rrule": entry.rrule,
                "expected_minutes": entry.expected_seconds / 60,
            }
    return None


def _best(candidates: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first that did its work; else one that is at it; else the last that tried."""
    for state in ("finished", "running"):
        found = [run for run in candidates if run["state"] == state]
        if found:
            return min(found, key=lambda run: str(run["started_at"]))
    return max(candidates, key=lambda run: str(run["started_at"]), default=None)


def _status(run: Mapping[str, Any] | None, due: float, expected: float, now: float) -> str:
    if run is None or run["state"] not in ("finished", "running"):
        return "missed"
    started = parse_instant(run["started_at"])
    length = now - started if run["state"] == "running" else float(run["duration_seconds"] or 0)
    if started > due + expected:
        return "late"
    return "overran" if length > expected else "on_time"


def due_instants(rrule: str, zone: str, now: float) -> list[float]:
    """When a rule was due up to ``now``, oldest first: as far back as needed for at least two instants, if there are any."""
    tzinfo = _zone(zone)
    local_now = datetime.fromtimestamp(now, tzinfo).replace(tzinfo=None)
    found: list[float] = []
    both = _parts(rrule)["FREQ"] in _FREQUENT
    for span in _LOOK_BACK:
        naive = _occurrences(rrule, local_now - span, local_now + timedelta(hours=3))  # the clock may have been set back since
        found = sorted({moment for local in naive for moment in _moments(local, tzinfo, both) if moment <= now})
        if len(found) >= 2:
            break
    return found


def _moments(local: datetime, tzinfo: ZoneInfo, both: bool) -> list[float]:
    """The instants at which the clock shows ``local``; ``timestamp`` puts a time that the clock leaves out after the gap."""
    return [local.replace(tzinfo=tzinfo, fold=fold).timestamp() for fold in ((0, 1) if both else (0,))]


def _occurrences(rrule: str, since: datetime, until: datetime) -> list[datetime]:
    try:
        from dateutil.rrule import rrulestr
    except ImportError:
        raise MissingLibrary("dateutil", "python3-dateutil", "on the controller to read runbook_schedule", "pip install python-dateutil there") from None
    parts = _parts(rrule)
    days = ";".join(f"{name}={value}" for name, value in parts.items() if name in _DAYS)
    try:
        # A rule such as the 30th of February would be looked for day by day up to the year 9999; year by year that is quick.
        if days and next(iter(rrulestr(f"FREQ=YEARLY;{days}", dtstart=ANCHOR)), None) is None:
            raise ValueError("there is no such day")
        return list(rrulestr(rrule, dtstart=_begin(parts, since)).between(since, until, inc=True))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput(
            f'runbook_schedule: "{rrule}" is not a rule: {error}', "see RFC 5545, for example FREQ=WEEKLY;BYDAY=MO;BYHOUR=8;BYMINUTE=0"
        ) from None


def _begin(parts: Mapping[str, str], since: datetime) -> datetime:
    """The anchor, moved forward by whole intervals: the same rule, without counting through all the years since."""
    step = _STEPS.get(parts["FREQ"])
    if step is None or since <= ANCHOR:
        return ANCHOR
    step *= int(parts.get("INTERVAL", "1"))
    return ANCHOR + step * ((since - ANCHOR) // step)


def _parts(rrule: str) -> dict[str, str]:
    text = rrule.strip().upper().removeprefix("RRULE:")
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part)
    if parts.get("FREQ") not in (*_STEPS, "MONTHLY", "YEARLY") or "COUNT" in parts or "DTSTART" in text:
        raise InvalidInput(f'runbook_schedule: "{rrule}" is not a rule for ever', "give FREQ and what it needs, without COUNT and DTSTART")
    if not parts.get("INTERVAL", "1").isdecimal() or int(parts.get("INTERVAL", "1")) < 1:
        raise InvalidInput(f'runbook_schedule: "{rrule}": INTERVAL is not a number above 0')
    return parts


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            f'the time zone "{name}" is not known on the controller', "use an IANA name such as America/New_York; install tzdata"
        ) from None
