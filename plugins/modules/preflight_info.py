#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a managed node before anything runs there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_info
short_description: Look at a managed node before anything runs there
version_added: 0.1.0
description:
  - Says which Python runs the modules, which Python libraries are missing, how far the clock is from that of the controller,
    and whether work of an earlier run was interrupted there.
author:
  - tradeops.runbook contributors (@tradeops)
options:
  libraries:
    description: Names of the Python libraries that are needed.
    type: list
    elements: str
    default: []
  controller_time:
    description: The time on the controller (RFC 3339); without it the clock is not looked at.
    type: str
  clock_seconds:
    description: Seconds the clock may differ before that is a warning. The time the task takes to start is part of the difference.
    type: int
    default: 30
  state_dir:
    description: Folder on the host with what acting modules have begun. Without it, or when only another user may look, it is not looked at.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and gives the same result.
    support: full
  diff_mode:
    description: Nothing is ever changed.
    support: none
"""

EXAMPLES = r"""
- name: Look at the host
  tradeops.runbook.preflight_info:
    libraries: [jmespath]
    controller_time: "{{ now(utc=true).strftime('%Y-%m-%dT%H:%M:%SZ') }}"
"""

RETURN = r"""
status:
  description: The worst verdict, one of C(ok), C(warning), C(unknown).
  type: str
  returned: success
summary:
  description: One line that counts the verdicts.
  type: str
  returned: success
measured_at:
  description: When the host was looked at (UTC, RFC 3339, by the clock of the host).
  type: str
  returned: success
checks:
  description: One entry per finding, shaped like those of M(tradeops.runbook.health_check_info).
  type: list
  elements: dict
  returned: success
missing_packages:
  description: Packages of Debian and RHEL that bring the missing libraries.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.tradeops.runbook.plugins.module_utils._module.preflight import look
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule, run


def main() -> None:
    """Entry point of the module."""
    module = RunbookModule(
        argument_spec={
            "libraries": {"type": "list", "elements": "str", "default": []},
            "controller_time": {"type": "str"},
            "clock_seconds": {"type": "int", "default": 30},
            "state_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
