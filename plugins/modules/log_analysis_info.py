#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count, rate and judge what stands in logs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_analysis_info
short_description: Count, rate and judge what stands in logs
version_added: 0.1.0
description:
  - Reads logs in a closed window of time, or only what was added since an earlier reading, and tells levels, patterns with rates,
    percentiles of numbers, the most frequent messages with numbers and ids folded, samples with the lines around them, and secrets that
    should not be there. Holds what it measures against limits, as M(tradeops.runbook.health_check_info) does.
  - Rotated and compressed files belong to the log. With O(incremental=true), a log that was rotated, truncated, copied and truncated or
    replaced since the last reading is read on where that stopped; bytes that can no longer be found make C(lost) true.
  - Secrets are found and never shown. All texts are printable, whatever the log holds.
  - Writes nothing; bookmarks go in and come out as data, and P(tradeops.runbook.run_record#callback) keeps them in the history.
author:
  - tradeops.runbook contributors (@tradeops)
extends_documentation_fragment:
  - tradeops.runbook.checks.logs
options:
  bookmarks:
    description:
      - Name of a log to the bookmark of its last reading, as RV(bookmarks) and M(tradeops.runbook.run_history_info) give it.
      - A log without one is read in its window.
    type: dict
    default: {}
  incremental:
    description: Read only what was added since the bookmarks were made.
    type: bool
    default: false
  window:
    description:
      - A window for all logs instead of their own, such as C(7 d). Has no effect on what is read from a bookmark on.
      - With it each log may take all that is left of O(deadline_seconds), whatever its C(timeout_seconds) says.
    type: str
  processes:
    description: How many processes may read large files at the same time.
    type: int
    default: 1
  deadline_seconds:
    description: Seconds the whole call may take; a log that has not been read by then, or in its own time, is C(unknown).
    type: float
    default: 300.0
attributes:
  check_mode:
    description: Can run in check mode and gives the same result. A run in check mode moves no bookmark in the history.
    support: full
  diff_mode:
    description: Nothing is ever changed.
    support: none
seealso:
  - module: tradeops.runbook.health_check_info
  - module: tradeops.runbook.run_history_info
"""

EXAMPLES = r"""
- name: Review the log of the last day
  tradeops.runbook.log_analysis_info:
    logs:
      - name: application log
        log:
          files: ["/var/log/nextrade/nextrade.log*"]
          format: python
          window: 1 d
          patterns: {errors: " - (ERROR|CRITICAL) - ", retries: "retry attempt"}
          extract: {completed: {match: "completed in ([0-9.]+) ?s", unit: s}}
          context: 2
        limits:
          errors.ratio: {warning: "> 1 %", critical: "> 10 %"}
          completed.p95: {warning: "> 5 s"}
  register: review
"""

RETURN = r"""
status:
  description: The worst verdict of all logs, one of C(ok), C(skipped), C(warning), C(unknown), C(critical).
  type: str
  returned: success
summary:
  description: One line that counts the verdicts.
  type: str
  returned: success
measured_at:
  description: When the call started (UTC, RFC 3339).
  type: str
  returned: success
duration_seconds:
  description: How long the call took.
  type: float
  returned: success
checks:
  description: One entry per log, in the form of RV(tradeops.runbook.health_check_info#module:checks).
  type: list
  elements: dict
  returned: success
logs:
  description:
    - One entry per log that could be read, with C(name), C(source), C(format), C(timezone), C(from), C(to), C(incremental), C(lines),
      C(entries), C(bytes), C(files), C(levels), C(bucket_seconds) and C(series) (counts over the window), C(patterns) (with C(samples)),
      C(extract), C(signatures) (the most frequent, each with C(id), C(level), C(text), C(count), C(example), C(first_at), C(last_at)),
      C(signature_count), C(benign), C(secrets) (without values) and C(notes).
  type: list
  elements: dict
  returned: success
bookmarks:
  description: Name of a log to where its reading stopped, for the next call.
  type: dict
  returned: success
"""

from ansible_collections.tradeops.runbook.plugins.module_utils._module.log_analysis import LOGS, review_logs
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule, run


def main() -> None:
    """Entry point of the module."""
    module = RunbookModule(
        argument_spec={
            "logs": LOGS,
            "bookmarks": {"type": "dict", "default": {}},
            "incremental": {"type": "bool", "default": False},
            "window": {"type": "str"},
            "processes": {"type": "int", "default": 1},
            "deadline_seconds": {"type": "float", "default": 300.0},
        },
        supports_check_mode=True,
    )
    run(module, lambda: review_logs(module.params))


if __name__ == "__main__":
    main()
