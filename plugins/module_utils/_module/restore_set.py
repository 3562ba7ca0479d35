# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is restored as a set: an intent on the host tells which members are restored already, until all of them are, or none."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from .._core.times import rfc3339

SET: dict[str, Any] = {
    "type": "dict",
    "options": {"name": {"type": "str", "required": True}, "members": {"type": "list", "elements": "str", "required": True}},
}
"""The set that a source is restored with, and all its members in their order."""


class Together:
    """Does nothing for what is restored alone."""

    def __init__(self, state: Any, params: Mapping[str, Any]) -> None:
        self._state, self._set, self._source, self._run = state, params["set"], params["name"], params["run_id"]
        self._whose = {"environment": params["environment"], "system": params["system"]}
        whole = "/".join([*self._whose.values(), self._set["name"]]) if self._set else ""
        self._name = f"set-{self._set['name']}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}" if self._set else ""

    def unfinished(self) -> str:
        """What an earlier run left half done of a set that this source is a member of, in a sentence; ``""`` for nothing."""
        return "; ".join(_told(known) for name, known in sorted(self._state.intents().items()) if name.startswith("set-") and self._is_ours(known))

    def _is_ours(self, known: Mapping[str, Any]) -> bool:
        return bool(known["whose"] == self._whose and self._source in known["members"] and known["run_id"] != self._run)

    def begin(self) -> None:
        """Before the first member is touched. What an earlier run left is remembered, should this one be taken back."""
        known = self._known()
        if self._set and (known is None or known["run_id"] != self._run):
            self._write({
                "run_id": self._run, "tag": self._run, "set": self._set["name"], "members": self._set["members"], "restored": [],
                "back": [], "whose": self._whose, "begun_at": rfc3339(time.time()), "earlier": known,
            })  # fmt: skip

    def restored(self) -> None:
        """This member is."""
        known = self._known()
        if known is not None:
            done = [*known["restored"], self._source]
            if all(member in done for member in known["members"]):
                self._state.done(self._name)
            else:
                self._write({**known, "restored": done})

    def taken_back(self, run: str) -> None:
        """This member is, or never was restored by ``run``."""
        known = self._known()
        if known is None or known["run_id"] != run:
            return
        left, back = [member for member in known["restored"] if member != self._source], {*known["back"], self._source}
        if not back.issuperset(known["members"]):
            self._write({**known, "restored": left, "back": sorted(back)})
        elif known["earlier"]:
            self._state.begin(self._name, known["earlier"])
        else:
            self._state.done(self._name)

    def _known(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._state.intent(self._name) if self._set else None
        return found

    def _write(self, body: dict[str, Any]) -> None:
        self._state.begin(self._name, {**body, "place": f"{_names(body['members'])} (restored: {_names(body['restored'])})"})


def _names(members: Any) -> str:
    return ", ".join(members) or "nothing"


def _told(known: Mapping[str, Any]) -> str:
    old = _names(member for member in known["members"] if member not in known["restored"])
    return (
        f"the run {known['run_id']} was interrupted: it restored {_names(known['restored'])} of the set, and not {old}; "
        f"restore the whole set, or take it back with restore_undo={known['run_id']}"
    )
