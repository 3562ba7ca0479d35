# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module that acts."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment."""

    DOCUMENTATION = r"""
options:
  run_id:
    description:
      - Id of the recorded run, given as C(lookup('tradeops.runbook.run', 'id')).
      - An empty one is refused with the code C(run_not_recorded), because nobody could tell later what was done.
    type: str
    required: true
"""
