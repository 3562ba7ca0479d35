#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action ledger_verify_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_verify_info
short_description: Whether the history is as it was written
version_added: 0.1.0
description:
  - Recomputes every hash, every seal and every derived table of the history from the stored text, compares the sealed journals with
    it, and holds all anchors against it.
  - Whoever can write to the history, and does not have the key, can change nothing unseen, except to cut off the newest runs.
    An anchor shows that, and also what was done by somebody who has the key. So keep anchors elsewhere; the end of every run, its
    report and the system log show one.
  - Writes nothing. What it finds is data; the task fails only when the history cannot be read at all.
author:
  - tradeops.runbook contributors (@tradeops)
extends_documentation_fragment:
  - tradeops.runbook.history
options:
  reports_dir:
    description: Folder with reports, whose anchors are held against the history. The default is C(reports) in O(history_dir).
    type: path
  key_file:
    description: File with the key of the ledger. The default is that of the current run, else C(ledger.key) in O(history_dir).
    type: path
  anchors:
    description: Anchors that were kept elsewhere, such as C("12:7f3a9c1e5b20d846") or C({seq, mac}); 16 digits of the MAC are enough.
    type: list
    elements: raw
    default: []
seealso:
  - plugin: tradeops.runbook.run_record
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Verify the ledger against an anchor from the change log
  tradeops.runbook.ledger_verify_info:
    anchors: ["12:7f3a9c1e5b20d846"]
  register: ledger
  failed_when: ledger.status in ["critical", "unknown"]
"""

RETURN = r"""
status:
  description:
    - V(ok), V(critical) when something is not as it was written, V(warning) when the clock went back or a copy is missing,
      V(unknown) when the key is missing, or there is no sealed run to verify.
  type: str
  returned: success
summary:
  description: How much was verified and what came of it, in one line.
  type: str
  returned: success
  sample: "12 runs, 340 events and 3 anchors verified: nothing was changed"
checks:
  description: The verdict in the shape of a health check.
  type: list
  elements: dict
  returned: success
problems:
  description:
    - Everything that is not as it was written. C(kind) is stable, such as V(event_changed), V(chain_broken), V(order_changed),
      V(event_count_differs), V(seal_forged), V(seals_missing), V(anchor_missing), V(anchor_mismatch), V(journal_changed), V(table_changed).
  type: list
  elements: dict
  returned: success
  sample: [{kind: event_changed, where: run 20261120T080003Z-7f3a9c1e event 7, message: its text is not what was written, level: critical}]
runs:
  description: How many runs were verified.
  type: int
  returned: success
events:
  description: How many events were verified.
  type: int
  returned: success
anchors:
  description: How many anchors were held against the history.
  type: int
  returned: success
measured_at:
  description: When it was verified (UTC, RFC 3339).
  type: str
  returned: success
duration_seconds:
  description: How long it took.
  type: float
  returned: success
"""
