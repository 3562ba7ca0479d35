# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to an API that answers in JSON. Shared by the drivers that ask one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from .._core.errors import InvalidInput
from ._http_request import Request, checked
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

Query = Sequence[tuple[str, str]]


class JsonApi:
    """The API below ``url``, a base without query; ``options`` are those of every kind that speaks HTTP."""

    def __init__(self, options: Mapping[str, Any], left: TimeLeft) -> None:
        self._options = options
        self._left = left
        self._base = options["url"].rstrip("/")
        if checked(options["url"]).query or "#" in options["url"]:
            raise InvalidInput(f"{options['url']} has a query", "give the address that the others begin with")

    def get(self, path: str, query: Query = ()) -> tuple[int, Any]:
        """Status and answer; None where that is not JSON."""
        return self._ask(path + (f"?{urlencode(query)}" if query else ""), None)

    def post(self, path: str, form: Query) -> tuple[int, Any]:
        """The same, for what may be too long for an address."""
        return self._ask(path, urlencode(form))

    def _ask(self, path: str, form: str | None) -> tuple[int, Any]:
        answer = Request({**self._options, "url": self._base + path}, self._left, form).answer()
        try:
            return answer.status, json.loads(answer.body)
        except (ValueError, RecursionError):
            return answer.status, None
