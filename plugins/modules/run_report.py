#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action run_report."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_report
short_description: The report of a run in the history, made anew
version_added: 0.1.0
description:
  - Every recorded run writes its report when it ends. This makes one again, for example after the reports were moved away.
  - Writes two files on the controller and replaces those that are there, so it always reports a change.
author:
  - tradeops.runbook contributors (@tradeops)
extends_documentation_fragment:
  - tradeops.runbook.history
options:
  run_id:
    description: Id of the run, or V(latest) for the newest one that checked something.
    type: str
    default: latest
  reports_dir:
    description: Folder to write to. The default is C(reports) in O(history_dir).
    type: path
attributes:
  check_mode:
    details: [Tells where the files would be.]
seealso:
  - plugin: tradeops.runbook.run_record
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Make the report of the newest run again
  tradeops.runbook.run_report:
    reports_dir: /srv/www/reports
"""

RETURN = r"""
run_id:
  description: The run.
  type: str
  returned: success
html_path:
  description: The report for people.
  type: str
  returned: success
json_path:
  description: The same for programs.
  type: str
  returned: success
"""
