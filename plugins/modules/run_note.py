#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module run_note: a word from a person into the run record."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_note
author: tradeops.runbook contributors (@tradeops)
version_added: 0.1.0
short_description: Puts a note into the record of the current run
description:
  - Puts what a person has to say into the run record and its report, such as the reason for an override or a next step.
  - The note becomes part of the sealed record and cannot be taken back. Write no secrets into it.
  - Nothing on the host changes, so it never reports a change; each call adds one note.
extends_documentation_fragment: [tradeops.runbook.acting]
options:
  text:
    description: What there is to say.
    type: str
    required: true
  kind:
    description: What kind of note it is.
    type: str
    choices: [note, issue, next_step, validation, reason]
    default: note
  by:
    description: Whose word it is.
    type: str
    default: ""
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
    details: [The note is then only planned; the report does not show it.]
  diff_mode:
    description: Has nothing to show as a difference.
    support: none
"""

EXAMPLES = r"""
- name: Say why the window was extended
  tradeops.runbook.run_note:
    run_id: "{{ lookup('tradeops.runbook.run', 'id') }}"
    kind: reason
    text: Replication was still catching up at 02:10.
    by: Ada Lovelace
"""

RETURN = r"""
outcome:
  description: V(ok), or V(refused) when the run is not recorded.
  type: str
  returned: always
code:
  description: V(ok) or V(run_not_recorded) or V(invalid_input).
  type: str
  returned: always
hint:
  description: What to do when it was refused.
  type: str
  returned: always
plan:
  description: The note that is to be recorded.
  type: list
  elements: dict
  returned: always
performed:
  description: The note that was recorded; empty in check mode.
  type: list
  elements: dict
  returned: always
"""

from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import RUN_ID, act
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule

KINDS = ("note", "issue", "next_step", "validation", "reason")
LONGEST = 2000

SPEC: dict[str, Any] = {
    **RUN_ID,
    "text": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": list(KINDS), "default": "note"},
    "by": {"type": "str", "default": ""},
}


def take_note(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result for a note. The callback that records this result is what keeps it."""
    text = params["text"].strip()
    if not text or len(text) > LONGEST:
        raise InvalidInput(f"the note has {len(text)} characters", f"write between 1 and {LONGEST}")
    note = {"kind": params["kind"], "text": text, "by": params["by"]}
    return {"plan": [note], "performed": [] if check_mode else [note]}


def main() -> None:
    """Run the module."""
    module = RunbookModule(SPEC, supports_check_mode=True)
    act(module, lambda: take_note(module.params, module.check_mode))


if __name__ == "__main__":
    main()
