#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action run_history_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_history_info
short_description: What earlier runs saw
version_added: 0.1.0
description:
  - Reads the history on the controller, never the hosts, and gives in one call what limits relative to a baseline, C(for) and a
    schedule need.
  - Where there is no history yet, everything is empty; that is no error.
  - Runs in check mode are listed in RV(runs), and nothing else rests on them.
author:
  - tradeops.runbook contributors (@tradeops)
extends_documentation_fragment:
  - tradeops.runbook.history
options:
  system:
    description: Only runs and hosts of this system.
    type: str
  environment:
    description: Only runs and hosts of this environment.
    type: str
  hosts:
    description: Hosts to tell about, by name, or as C({name, system, environment}) where they belong to several systems.
    type: list
    elements: raw
    default: []
  playbook:
    description: Only runs of this playbook in RV(runs), by its file name without C(.yml).
    type: str
  runs:
    description: How many runs to list.
    type: int
    default: 20
  baseline_runs:
    description: How many good values a baseline is the median of, at most.
    type: int
    default: 20
  baseline_minimum:
    description: With fewer good values there is no baseline.
    type: int
    default: 5
  recent_seconds:
    description: How far back RV(recent) reaches.
    type: float
    default: 86400.0
  schedule:
    description:
      - Entries C({playbook, rrule, expected_minutes}), as in C(runbook_schedule). The rule is one of RFC 5545 without COUNT and DTSTART.
      - Rules begin on Saturday, 2000-01-01, at midnight, which decides what INTERVAL counts from.
    type: list
    elements: dict
    default: []
  timezone:
    description: Where the clock of the schedule hangs, such as C(America/New_York).
    type: str
    default: UTC
  trends:
    description: Whether to compute RV(trend) as well, which reads up to 60 values of every measure.
    type: bool
    default: false
  bookmarks:
    description: Whether to tell RV(bookmarks) as well, which an incremental review of logs begins from.
    type: bool
    default: false
  now:
    description: Seconds since 1970 that count as now; the clock of the controller by default.
    type: float
requirements:
  - python-dateutil on the controller for O(schedule)
seealso:
  - plugin: tradeops.runbook.run_record
    plugin_type: callback
  - plugin: tradeops.runbook.judge_checks
    plugin_type: filter
  - module: tradeops.runbook.log_analysis_info
"""

EXAMPLES = r"""
- name: Read the history of all hosts at once
  tradeops.runbook.run_history_info:
    system: nextrade
    environment: production
    hosts: "{{ ansible_play_hosts }}"
    schedule:
      - {playbook: daily, rrule: "FREQ=DAILY;BYHOUR=8;BYMINUTE=0", expected_minutes: 5}
    timezone: America/New_York
  run_once: true
  register: history
"""

RETURN = r"""
runs:
  description: The newest runs, newest first.
  type: list
  elements: dict
  returned: success
  sample:
    - {run_id: 20261120T080003Z-7f3a9c1e, playbook: daily, state: finished, status: ok, exit_code: 0, started_at: "2026-11-20T08:00:03Z",
       ended_at: "2026-11-20T08:00:41Z", duration_seconds: 38.2, user: ops, controller: ctl1, check_mode: false, limit: "",
       systems: [{name: nextrade, environment: production}]}
baselines:
  description: Host to check to measure to the median of its last good values, in the unit of the measure.
  type: dict
  returned: success
  sample: {nextrade_app: {api answers: {latency: 0.21}}}
recent:
  description: Host to check to its verdicts, oldest first; C(crossed) names limits as C(measure:level).
  type: dict
  returned: success
  sample: {nextrade_app: {api answers: [{at: "2026-11-20T08:00:20Z", status: critical, crossed: ["latency:critical"]}]}}
trend:
  description: Host to check to measure to the straight line through its last 60 values, in its unit per day.
  type: dict
  returned: when O(trends=true)
  sample: {nextrade_app: {root disk: {disk_used_percent: {slope_per_day: 0.4, points: 60, latest: 71.5}}}}
bookmarks:
  description:
    - Host to log to where its newest review stopped reading, for O(tradeops.runbook.log_analysis_info#module:bookmarks). Reviews in check
      mode move no bookmark.
  type: dict
  returned: when O(bookmarks=true)
  sample: {nextrade_app: {application log: {taken_at: 1795140960.0, place: {}}}}
schedule:
  description:
    - How the last due run of each entry went. C(status) is C(on_time), C(late) (begun more than C(expected_minutes) after its time),
      C(overran) (took longer than C(expected_minutes)) or C(missed) (not begun by then, or killed).
    - What is due and still inside its grace of C(expected_minutes) is not told yet; the time before is. What was due before the first
      recorded run of O(system) and O(environment) is not told at all. Empty without O(schedule).
  type: list
  elements: dict
  returned: success
  sample:
    - {playbook: daily, status: missed, due_at: "2026-11-20T13:00:00Z", run_id: null, rrule: "FREQ=DAILY;BYHOUR=8;BYMINUTE=0", expected_minutes: 5.0}
"""
