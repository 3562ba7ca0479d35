# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reviews logs one after the other: each is judged like a check, and comes with a report and a bookmark."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._core.errors import InvalidInput, TimedOut
from .._core.probe import Deadline, DeadlinePassed, Probe
from .._core.times import rfc3339
from .._core.verdict import judge_error, judge_measures, summarize
from .health import Runner, Task, prepare
from .kinds import CHECKS, KINDS

LOGS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        **{key: CHECKS["options"][key] for key in ("name", "limits", "severity", "for", "mute", "baselines", "notes")},
        "log": {**CHECKS["options"]["log"], "required": True},
    },
}
"""The argument of a list of logs: each is a check of kind ``log``."""

_AT_LEAST = {"top": 0, "samples": 0, "context": 0}
_AT_MOST = {"top": 100, "samples": 20, "context": 20}


def review_logs(params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``log_analysis_info`` for validated parameters. Raises InvalidInput before anything is read."""
    started, now = time.monotonic(), time.time()
    # the time-out of a log is meant for its own window: a month of it takes what is left of all the time there is
    window = {"window": params["window"], "timeout_seconds": params["deadline_seconds"]} if params.get("window") else {}
    logs = [{**spec, "log": {**spec["log"], **window}} for spec in params["logs"]]
    tasks = prepare({**params, "checks": logs, "connections": {}, "max_parallel": 1})
    for task in tasks:
        for key, least in _AT_LEAST.items():
            if not least <= task.options[key] <= _AT_MOST[key]:
                raise InvalidInput(f"{task.name}: log: {key} must be from {least} to {_AT_MOST[key]}, not {task.options[key]}")
    if params["processes"] < 1:
        raise InvalidInput("processes must be at least 1")
    runner = Runner(Deadline(params["deadline_seconds"], time.monotonic), now, check_mode=False)
    probe = Probe(Deadline(params["deadline_seconds"], time.monotonic), now)
    checks, reports, bookmarks = [], [], {}
    for task in tasks:
        begun = time.monotonic()
        judged, found = _review(task, probe, params)
        checks.append(runner.finish(task, judged, time.monotonic() - begun, 1))
        if found is not None:
            reports.append({"name": task.name, "source": _source(task.options), **found[0]})
            bookmarks[task.name] = found[1]
    return {
        "changed": False,
        **summarize(checks),
        "measured_at": rfc3339(now),
        "duration_seconds": round(time.monotonic() - started, 3),
        "checks": checks,
        "logs": reports,
        "bookmarks": bookmarks,
    }


def _review(task: Task, probe: Probe, params: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[dict[str, Any], dict[str, Any]] | None]:
    """The verdict; and the report and the bookmark, unless the log could not be read: then the old bookmark stays where it is."""
    log = KINDS["log"].driver()
    resume = log.Resume(params["bookmarks"].get(task.name), params["incremental"], params["processes"])
    try:
        measures, report, bookmark = log.analyse(task.options, probe, resume)
        return judge_measures(measures, task.units, task.rules, task.spec.get("baselines") or {}), (report, bookmark)
    except TimedOut as error:  # a review that was too slow says nothing about the log
        return judge_error(DeadlinePassed(error.message, error.hint), task.spec.get("severity")), None
    except Exception as error:  # one log that cannot be read must not cost the review of the others
        return judge_error(error, task.spec.get("severity")), None


def _source(options: Mapping[str, Any]) -> list[str]:
    if options.get("journal"):
        return [f"journal of {options['journal']}"]
    return [f"container {options['container']}"] if options.get("container") else list(options["files"])
