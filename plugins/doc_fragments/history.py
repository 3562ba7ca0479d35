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
  history_url:
    description:
      - Address of a history in PostgreSQL that several controllers share, such as C(postgresql://runbook@db.example.org/runbook). Its
        journals, reports and key still lie in O(history_dir). It needs the Python library psycopg2 on the controller.
      - The default is that of the current run, else E(RUNBOOK_HISTORY_URL). An empty one stands for the file in O(history_dir).
      - A password in it is never shown. Better keep it in the password file of libpq (E(PGPASSFILE)) or use a service (E(PGSERVICE)).
      - The connection is encrypted and the server verified (C(sslmode=verify-full)), unless the address, the service or E(PGSSLMODE) says
        otherwise, or the server is on this machine.
    type: str
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
