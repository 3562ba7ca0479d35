# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors: codes are stable, messages and hints are for people."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core import errors
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import CommandFailed, MissingLibrary, RunbookError, did_you_mean

CODES = {
    "RunbookError": "failed", "InvalidInput": "invalid_input", "MissingLibrary": "missing_library", "Unreachable": "unreachable", "Refused": "refused",
    "Busy": "busy", "InUse": "in_use", "CommandFailed": "command_failed", "VerifyFailed": "verify_failed", "TimedOut": "timed_out", "NoSpace": "no_space",
    "Unsure": "unsure", "Exists": "exists", "NotThere": "not_there",
}  # fmt: skip


def test_codes_never_change() -> None:
    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, RunbookError)]
    assert {item.__name__: item.code for item in classes} == CODES


@pytest.mark.parametrize("name", sorted(set(CODES) - {"MissingLibrary", "CommandFailed"}))
def test_message_and_hint(name: str) -> None:
    error = getattr(errors, name)("what was seen", "what to do")
    assert (str(error), error.message, error.hint) == ("what was seen", "what was seen", "what to do")
    assert getattr(errors, name)("what was seen").hint == ""


def test_a_missing_library_says_where_from_and_what_for() -> None:
    error = MissingLibrary("jmespath", "python3-jmespath", "to read JSON answers")
    assert error.message == "the Python library jmespath is needed to read JSON answers"
    assert "python3-jmespath" in error.hint and "runbook_manage_libraries" in error.hint
    assert (error.library, error.package) == ("jmespath", "python3-jmespath")


@pytest.mark.parametrize(("tail", "end"), [("no space left\n", "no space left"), ("", "it printed nothing"), (" \n", "it printed nothing")])
def test_a_failed_command_shows_the_end_of_what_it_printed(tail: str, end: str) -> None:
    error = CommandFailed(["pg_dump", "--version"], 3, tail)
    assert error.message == f"pg_dump --version ended with exit status 3: {end}"
    assert (error.argv, error.rc, error.tail) == (["pg_dump", "--version"], 3, tail)


def test_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(errors.Busy("locked", "wait")))
    assert (type(error), error.message) == (errors.Busy, "locked")


@given(st.text(min_size=1, max_size=10), st.lists(st.text(max_size=10), max_size=5))
def test_nearest_word(word: str, known: list[str]) -> None:
    answer = did_you_mean(word, known)
    assert answer == "" or any(answer == f'; did you mean "{name}"?' for name in known)
    assert did_you_mean(word, [word]) == f'; did you mean "{word}"?'
