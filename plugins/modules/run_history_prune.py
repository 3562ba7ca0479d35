#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action run_history_prune."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_history_prune
short_description: Drops what is old from the history
version_added: 0.1.0
description:
  - Drops the bodies of events (what tasks said, results, notes) of runs that were sealed more than O(body_days) ago, with their sealed
    journals and their rows of steps and checks. Their hashes stay, so the chain lives on, and so do the rows of runs and measures, which
    trends rest on.
  - Cuts runs that were sealed more than O(chain_days) ago off the front of the chain, with everything there is of them.
  - What is dropped is part of the record of the run that dropped it, with a digest over the rows that stay. M(tradeops.runbook.ledger_verify_info)
    accepts exactly that, and nothing more.
  - The module only plans, after proof that what it is to drop is still what was written. It is carried out in the same transaction that
    seals the run; a run that is never sealed drops nothing. At most 20,000 runs are dropped at a time.
  - Runs under way are never touched. Reports are files of their own and stay.
author:
  - tradeops.runbook contributors (@tradeops)
extends_documentation_fragment:
  - tradeops.runbook.acting
  - tradeops.runbook.history
options:
  body_days:
    description: Days that bodies are kept; at least 7.
    type: int
    default: 90
  chain_days:
    description: Days that the chain is kept; not less than O(body_days). The default is seven years.
    type: int
    default: 2557
  key_file:
    description: File with the key of the ledger. The default is that of the current run, else C(ledger.key) in O(history_dir).
    type: path
  now:
    description: The present as seconds since 1970, for tests.
    type: float
attributes:
  check_mode:
    details: [Plans, and nothing is recorded or dropped.]
seealso:
  - module: tradeops.runbook.ledger_verify_info
  - plugin: tradeops.runbook.run_record
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Keep details for half a year
  tradeops.runbook.run_history_prune:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    body_days: 183
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
outcome:
  description: V(ok), V(refused) when the run is not recorded or the key is missing, V(failed) when the history is not as it was written.
  type: str
  returned: always
code:
  description: V(ok), V(run_not_recorded), V(refused), V(invalid_input), V(verify_failed), or that of another error.
  type: str
  returned: always
hint:
  description: What to do when it was refused or failed.
  type: str
  returned: always
plan:
  description: What is to be dropped, each step with its reason. Seals are named by their numbers.
  type: list
  elements: dict
  returned: always
  sample: [{step: drop_bodies, reason: "sealed before 2026-08-22T02:00:00Z", first: 1, last: 420, runs: 420, bytes: 1834022}]
performed:
  description: The same, when it is carried out at the end of this run; empty in check mode.
  type: list
  elements: dict
  returned: always
freed_bytes:
  description: Size of the bodies and journals that are dropped.
  type: int
  returned: always
records:
  description: What the record of this run says about it, for the callback; empty in check mode.
  type: list
  elements: dict
  returned: always
"""
