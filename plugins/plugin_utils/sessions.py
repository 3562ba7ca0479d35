# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trading sessions of exchanges, from the library exchange_calendars: holidays and early closes are never our own tables.

The library brings pandas and takes half a second and 50 MB to import, so that only a check that names a calendar imports it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, MissingLibrary, VerifyFailed, did_you_mean
from ansible_collections.tradeops.runbook.plugins.module_utils._core.sessions import Open, Session, join, open_hours, parse_session, why_not

_BEFORE, _AFTER = timedelta(days=3), timedelta(days=21)
"""Around now: a session lasts a day at most, and markets close for two weeks at most."""


def decide(given: Any, now: float) -> tuple[str, str]:
    """Why a check with this ``when_session`` is not judged at ``now`` (empty when it is), and a note about it, if any.

    Raises InvalidInput for what makes no sense. A library that is missing or fails does not: it must not take every check of the host away.
    """
    session = parse_session(given)
    if not session.calendar:
        return why_not(session, open_hours(session, now), now), ""
    try:
        with warnings.catch_warnings():  # what the library uses of pandas is nothing its users can mend
            warnings.simplefilter("ignore", DeprecationWarning)
            hours, until = calendar_hours(session, now)
    except (MissingLibrary, VerifyFailed) as error:  # a false alarm is better than silence
        return "", f"judged whatever the session is: {error.message}; {error.hint}"
    if now >= until:  # here, too
        last = datetime.fromtimestamp(until, timezone.utc).date()
        return "", f"judged whatever the session is: the calendar {session.calendar} ends on {last}; upgrade exchange_calendars"
    return why_not(session, hours, now), ""


def calendar_hours(session: Session, now: float) -> tuple[list[Open], float]:
    """When the exchange is open around ``now``, without its breaks; and up to when its calendar knows.

    Raises InvalidInput for a name that is no calendar, MissingLibrary, and VerifyFailed for a calendar that cannot be read.
    """
    calendar = _calendar(session.calendar)
    moment = datetime.fromtimestamp(now, timezone.utc).replace(tzinfo=None)
    rows = calendar.schedule[(moment - _BEFORE).strftime("%Y-%m-%d") : (moment + _AFTER).strftime("%Y-%m-%d")]
    spans: list[Open] = []
    for row in rows.itertuples():
        opens, closes = row.open.timestamp(), row.close.timestamp()
        has_break = row.break_start == row.break_start  # not a time is never equal to itself
        spans += [(opens, row.break_start.timestamp()), (row.break_end.timestamp(), closes)] if has_break else [(opens, closes)]
    return join(spans), (calendar.last_session.to_pydatetime().replace(tzinfo=timezone.utc) + timedelta(days=1)).timestamp()


def _calendar(name: str) -> Any:
    try:
        import exchange_calendars
    except ImportError:
        hint = "pip install exchange_calendars on the controller, or name hours and timezone instead of a calendar"
        raise MissingLibrary("exchange_calendars", "", f"for when_session: calendar: {name}", hint) from None
    names = exchange_calendars.get_calendar_names()
    if name not in names:
        wrong = did_you_mean(name.upper(), names)
        raise InvalidInput(f'when_session: the library exchange_calendars has no calendar "{name}"{wrong}', "names are market codes such as XNYS")
    try:
        return exchange_calendars.get_calendar(name)
    except Exception as error:  # some calendars of some releases cannot be read with the newest pandas
        message = f"when_session: the calendar {name} cannot be read: {type(error).__name__}: {str(error)[:200]}"
        raise VerifyFailed(message, "upgrade exchange_calendars, or name hours and timezone instead") from error


def in_session(check: Mapping[str, Any], now: float) -> dict[str, Any]:
    """``check`` with what was decided about its session, for the module: ``skip`` says why it is not judged, and is empty when it is."""
    given = check.get("when_session")
    if given is None:
        return {key: value for key, value in check.items() if key != "when_session"}
    skip, note = decide(given, now)
    notes = [*(check.get("notes") or []), note] if note else check.get("notes")
    said = {key: value for key, value in given.items() if value is not None and value != ""}  # the module counts what is there, also when it is empty
    return {**check, "when_session": {**said, "skip": skip}, **({"notes": notes} if notes else {})}
