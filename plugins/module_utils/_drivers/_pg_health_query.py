# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One reading query against PostgreSQL: its first row, and how many there are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from .._core.errors import InvalidInput, RunbookError, VerifyFailed
from ._pg_health_session import Denied, Failed, Session, opened, place_of
from ._pg_sql import quote_text
from ._time_left import TimeLeft

_READS = "give one select statement"


def query(connection: Mapping[str, Any], options: Mapping[str, Any], left: TimeLeft) -> tuple[list[str], tuple[Any, ...] | None, int, float]:
    """Names of the columns, the first row (None: there is none), the number of rows, and seconds.

    Raises InvalidInput (not a single reading statement), VerifyFailed (no such table, damaged data), Denied, Unreachable, TimedOut, MissingLibrary.
    """
    with opened(connection, left) as session:
        try:
            return _first_row(session, options["query"], options["parameters"])
        except UnicodeDecodeError:
            raise RunbookError(f"{place_of(connection)}: a text in the answer is not UTF-8", "convert it in the query (convert_from)") from None
        except (ValueError, ArithmeticError) as error:  # of psycopg2, about a date or an interval that Python has not
            hint = "convert the column in the query (column::text, or extract(epoch FROM column))"
            raise RunbookError(f"{place_of(connection)}: a value in the answer cannot be read: {error}", hint) from None
        except Denied as error:
            raise Denied(error.message, "grant the role what the query reads") from None
        except Failed as error:
            raise _clearer(error) from None


def _first_row(session: Session, text: str, parameters: list[Any]) -> tuple[list[str], tuple[Any, ...] | None, int, float]:
    """By a cursor, so that the rows after the first one stay on the server. The server's own parser takes a single statement for it, and none that writes."""
    literal = session.literal(text, parameters)
    started = time.monotonic()
    session.ask("DO " + quote_text(f"DECLARE found refcursor := 'found'; BEGIN OPEN found FOR EXECUTE {quote_text(literal)}; END"))
    cursor = session.ask("FETCH FORWARD 1 FROM found")
    names, row = [column.name for column in cursor.description], cursor.fetchone()
    rows = 0 if row is None else 1 + session.ask("MOVE FORWARD ALL IN found").rowcount
    return names, None if row is None else tuple(_number(value) for value in row), rows, time.monotonic() - started


def _number(value: Any) -> Any:
    """A number where PostgreSQL has one: of an interval, its seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, memoryview):
        return value.tobytes()
    return value if isinstance(value, (int, float, str, bytes, type(None))) else str(value)


def _clearer(error: Failed) -> RunbookError:
    state = error.state
    if state in ("42P11", "0A000", "42601") or state.startswith("25"):  # no query, several of them, or one that writes
        return InvalidInput(f"sql: {error.message}", _READS)
    if state in ("42P01", "42703", "3F000", "42883"):
        return VerifyFailed(error.message, "see whether this is the right database and whether its schema is complete")
    if state.startswith(("22", "42")):
        return InvalidInput(f"sql: {error.message}", "correct the query, or its parameters")
    return error
