# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_note: a note is planned, recorded through its result, and refused without a run. Also what all acting modules share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import (
    Busy,
    CommandFailed,
    InvalidInput,
    MissingLibrary,
    Refused,
    RunbookError,
    TimedOut,
    Unreachable,
    VerifyFailed,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._module.acting import RunNotRecorded, classify
from ansible_collections.tradeops.runbook.plugins.modules import run_note

NOTE = {"kind": "reason", "text": "because", "by": "Ada"}
WRAPPER = """
import json, sys
from ansible.module_utils import basic
try:
    from ansible.module_utils.testing import patch_module_args
    context = patch_module_args(json.loads(sys.argv[1]))
    context.__enter__()
except ImportError:
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.loads(sys.argv[1])}).encode()
from ansible_collections.tradeops.runbook.plugins.modules import run_note
run_note.main()
"""


def call(**arguments: Any) -> tuple[int, dict[str, Any]]:
    """The module as a process of its own, as on a host."""
    root = str(Path(run_note.__file__).parents[5])
    code = f"import sys; sys.path[:0] = {[root, *sys.path]!r}\n{WRAPPER}"
    done = subprocess.run([sys.executable, "-c", code, json.dumps(arguments)], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_note_is_recorded_through_its_result() -> None:
    code, result = call(run_id="r-1", **NOTE)
    assert code == 0
    assert {key: result[key] for key in ("changed", "outcome", "code", "hint", "plan", "performed")} == {
        "changed": False, "outcome": "ok", "code": "ok", "hint": "", "plan": [NOTE], "performed": [NOTE],
    }  # fmt: skip


def test_in_check_mode_it_is_only_planned() -> None:
    result = call(run_id="r-1", _ansible_check_mode=True, **NOTE)[1]
    assert (result["plan"], result["performed"]) == ([NOTE], [])


def test_without_a_recorded_run_it_is_refused() -> None:
    code, result = call(run_id="", **NOTE)
    assert code == 1
    assert (result["failed"], result["changed"], result["outcome"], result["code"], result["performed"]) == (
        True,
        False,
        "refused",
        "run_not_recorded",
        [],
    )
    assert "callbacks_enabled = tradeops.runbook.run_record" in result["hint"]


@pytest.mark.parametrize("text", ["", " \n", "x" * 2001])
def test_a_note_says_something_and_not_too_much(text: str) -> None:
    result = call(run_id="r-1", text=text)[1]
    assert (result["outcome"], result["code"]) == ("refused", "invalid_input")


def test_the_text_is_trimmed_and_the_rest_has_defaults() -> None:
    assert run_note.take_note({"text": " a \n", "kind": "note", "by": ""}, check_mode=False)["performed"] == [{"kind": "note", "text": "a", "by": ""}]


@pytest.mark.parametrize(
    ("arguments", "words"), [({"text": "x"}, "run_id"), ({"run_id": "r"}, "text"), ({"run_id": "r", "text": "x", "kind": "joke"}, "joke")]
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str) -> None:
    code, result = call(**arguments)
    assert code == 1 and words in result["msg"]


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (RunNotRecorded("m"), "refused", "run_not_recorded"), (Refused("m"), "refused", "refused"), (InvalidInput("m"), "refused", "invalid_input"),
        (MissingLibrary("l", "p", "w"), "refused", "missing_library"), (Busy("m"), "busy", "busy"), (Unreachable("m"), "failed", "unreachable"),
        (CommandFailed(["a"], 1, ""), "failed", "command_failed"), (VerifyFailed("m"), "failed", "verify_failed"), (TimedOut("m"), "failed", "timed_out"),
        (RunbookError("m"), "failed", "failed"),
    ],
)  # fmt: skip
def test_errors_have_an_outcome_and_a_code(error: RunbookError, outcome: str, code: str) -> None:
    assert classify(error) == {"outcome": outcome, "code": code}
