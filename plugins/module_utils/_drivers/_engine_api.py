# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers and images of this host, as its engine knows them. See the Docker Engine API, version 1.41 (Docker 20.10) and newer."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

from .._core.errors import InvalidInput, NotThere
from ._engine_socket import address, ask

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

    from ._timed_socket import Patience

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)


class EngineApi:
    """Reads from the local engine for the time that is ``left``.

    Every call raises Unreachable without an engine that answers, ``left.passed()`` when it is too slow, RunbookError when it may not be asked.
    """

    def __init__(self, left: Patience) -> None:
        address()
        self._left = left

    def containers(self, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Everything about each container that fits, also of those that do not run: one list, then one question for each."""
        listed = self._get("/containers/json", all="1", filters=json.dumps(filters))
        found = []
        for item in listed:
            try:
                found.append(self.container(item["Id"]))
            except NotThere:  # removed since it was listed
                continue
        return found

    def named(self, names: list[str]) -> list[dict[str, Any]]:
        """The containers of exactly these names; those that do not exist are not in the answer."""
        wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
        if wrong is not None or not names:
            raise InvalidInput(f'"{wrong or ""}" is not the name of a container', "write it as in the last column of: docker ps -a")
        found = self.containers({"name": [f"^/?{re.escape(name)}$" for name in names]})
        return [one for one in found if one["Name"].lstrip("/") in names]

    def container(self, name: str) -> dict[str, Any]:
        """Everything about the container of this name or id. Raises NotThere."""
        answer: dict[str, Any] = self._get(f"/containers/{quote(name, safe='')}/json")
        return answer

    def image(self, reference: str) -> dict[str, Any]:
        """What a tag, digest or id means on this host now. Raises NotThere when it means nothing."""
        answer: dict[str, Any] = self._get(f"/images/{quote(reference, safe='/:@')}/json")
        return answer

    def _get(self, path: str, **query: str) -> Any:
        return ask("GET", f"{path}?{urlencode(query)}" if query else path, self._left)
