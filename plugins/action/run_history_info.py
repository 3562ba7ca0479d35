# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action run_history_info: what earlier runs saw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_action import HistoryAction, where_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_queries import HostPlace, Wanted
from ansible_collections.tradeops.runbook.plugins.plugin_utils.schedule import Clock, Entry, parse_entry, review

_RUNS_PER_PLAYBOOK = 200


class ActionModule(HistoryAction):
    """Reads the history; where there is none yet, everything is empty."""

    SPEC: ClassVar[dict[str, Any]] = {
        "system": {"type": "str"},
        "environment": {"type": "str"},
        "hosts": {"type": "list", "elements": "raw", "default": []},
        "playbook": {"type": "str"},
        "runs": {"type": "int", "default": 20},
        "baseline_runs": {"type": "int", "default": 20},
        "baseline_minimum": {"type": "int", "default": 5},
        "recent_seconds": {"type": "float", "default": 86400.0},
        "schedule": {"type": "list", "elements": "dict", "default": []},
        "timezone": {"type": "str", "default": "UTC"},
        "trends": {"type": "bool", "default": False},
        "bookmarks": {"type": "bool", "default": False},
        "now": {"type": "float"},
    }

    def answer(self, options: dict[str, Any]) -> dict[str, Any]:
        """Runs, and for each host its baselines, recent verdicts and, when asked, trends and bookmarks; and how the schedule was kept."""
        now = time.time() if options["now"] is None else options["now"]
        hosts = {place.host: place for place in (_place(raw, options) for raw in options["hosts"])}
        entries = [parse_entry(raw) for raw in options["schedule"]]
        empty: dict[str, Any] = {"changed": False, "runs": [], "schedule": []}
        wanted = [key for key, asked in (("trend", options["trends"]), ("bookmarks", options["bookmarks"])) if asked]
        empty |= {key: {host: {} for host in hosts} for key in ("baselines", "recent", *wanted)}
        try:
            history = History(where_of(options), read_only=True)
        except FileNotFoundError:
            return empty
        with history:
            found: dict[str, Any] = {
                "changed": False,
                "runs": history.runs(options["runs"], Wanted(options["playbook"], options["system"], options["environment"])),
                "baselines": {host: history.baselines(place, options["baseline_runs"], options["baseline_minimum"]) for host, place in hosts.items()},
                "recent": {host: history.recent(place, options["recent_seconds"], now) for host, place in hosts.items()},
                "schedule": _kept(history, entries, options, now) if entries else [],
            }
            if options["trends"]:
                found["trend"] = {host: history.trends(place) for host, place in hosts.items()}
            if options["bookmarks"]:
                found["bookmarks"] = {host: history.bookmarks(place) for host, place in hosts.items()}
            return found


def _place(raw: Any, options: dict[str, Any]) -> HostPlace:
    """A host by its name, or as ``{name, system, environment}`` where hosts of several systems are asked for."""
    given = raw if isinstance(raw, Mapping) else {"name": raw}
    if not isinstance(given.get("name"), str) or set(given) - {"name", "system", "environment"}:
        raise InvalidInput(f"hosts: {raw} is not a host", "give its name, or {name: ..., system: ..., environment: ...}")
    system, environment = (given.get(key) or options[key] or None for key in ("system", "environment"))
    return HostPlace(str(given["name"]), system, environment)


def _kept(history: History, entries: list[Entry], options: dict[str, Any], now: float) -> list[dict[str, Any]]:
    """How the schedule was kept on what is asked for, since its own first run; what came before that is nobody's fault."""
    wanted = Wanted(None, options["system"], options["environment"])
    # A run that has only begun does not know its hosts yet.
    known = [run for run in history.open_runs() if not run["systems"] or wanted.among(run["systems"])]
    for playbook in {entry.playbook for entry in entries}:
        known += history.runs(_RUNS_PER_PLAYBOOK, replace(wanted, playbook=playbook))
    first = history.first_run_at(wanted)
    return review(options["schedule"], known, Clock(now, options["timezone"], parse_instant(first) if first else now))
