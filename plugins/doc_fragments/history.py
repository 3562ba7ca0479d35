# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every action that reads the history."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment."""

    DOCUMENTATION = r"""
options:
  history_dir:
    description:
      - Folder of the history on the controller.
      - The default is that of the current run, else the default of the callback P(tradeops.runbook.run_record#callback).
    type: path
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Can run in check mode.
    support: full
  diff_mode:
    description: Has nothing to show as a difference.
    support: none
"""
