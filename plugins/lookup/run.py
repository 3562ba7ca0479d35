# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup run: what the callback run_record says about the current run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: The id of the current run, and where it is recorded
description:
  - Tells what the callback P(tradeops.runbook.run_record#callback) keeps about the current run.
  - Modules that act take the id and refuse an empty one, so that nothing is done unrecorded.
options:
  _terms:
    description:
      - V(id) is the id of the run, V(journal) the path of its journal, V(history_dir) the folder of the history.
      - V(id) and V(journal) are empty when the run is not recorded.
    type: list
    elements: str
    choices: [id, journal, history_dir]
    required: true
"""

EXAMPLES = r"""
- name: Note why this was done
  tradeops.runbook.run_note:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    kind: reason
    text: The disk of the database host is being replaced.
"""

RETURN = r"""
_raw:
  description: What was asked for, in that order. Empty texts when the run is not recorded.
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import JOURNAL, RUN_ID, RUN_PID, places

_OF_THE_RUN = {"id": RUN_ID, "journal": JOURNAL}


class LookupModule(LookupBase):
    """Reads the environment of the controller."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[str]:
        """One text for each term."""
        return [_tell(str(term)) for term in terms]


def _tell(term: str) -> str:
    if term == "history_dir":
        return str(places().history)
    if term not in _OF_THE_RUN:
        raise AnsibleLookupError(f"tradeops.runbook.run knows id, journal and history_dir, not {term!r}")
    # An ansible-playbook that a task of a recorded run starts inherits the environment, and is not that run.
    ours = os.environ.get(RUN_PID) in (str(os.getpid()), str(os.getppid()))
    return os.environ.get(_OF_THE_RUN[term], "") if ours else ""
