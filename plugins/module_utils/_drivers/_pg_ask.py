# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question that an inventory asks of a database: one statement that only reads."""

from __future__ import annotations

import json
from typing import Any

from .._core.errors import CommandFailed, InvalidInput
from .._core.probe import Deadline
from ._pg_client import Session
from ._pg_sql import quote_text


def value_of(session: Session, query: str, deadline: Deadline) -> Any:
    """The first column of its first row. It runs inside a function, where no transaction can be ended. Raises InvalidInput."""
    if "\0" in query:
        raise InvalidInput("the query of an invariant has no NUL", "correct it in the inventory")
    body = (
        f"DECLARE answer record; BEGIN EXECUTE {quote_text(query)} INTO answer; "
        "PERFORM set_config('tradeops.answer', coalesce((SELECT value::text FROM json_each(row_to_json(answer)) LIMIT 1), 'null'), false); END"
    )
    session.rows("BEGIN READ ONLY")
    session.rows(f"SET LOCAL statement_timeout = {max(1, min(int(deadline.remaining() * 1000), 2**31 - 1))}")
    session.rows("SET LOCAL search_path = DEFAULT")
    try:
        session.rows(f"DO {quote_text(body)}")
    except CommandFailed as error:
        raise InvalidInput(f"the query cannot be answered: {error.tail.partition('CONTEXT:')[0].strip()}", query) from None
    return json.loads(session.value("SELECT to_json(current_setting('tradeops.answer'))"))
