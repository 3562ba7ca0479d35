# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a managed node before anything runs there: Python, libraries, clock, and work that was interrupted."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._core.checks import PACKAGES, simple_check
from .._core.errors import RunbookError
from .._core.times import parse_instant, rfc3339
from .._core.verdict import summarize
from .host_state import state_of

_INTERRUPTED = "interrupted work"


def look(params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``preflight_info`` for validated parameters."""
    now = time.time()
    missing = [name for name in params["libraries"] if not _installed(name)]
    checks = [simple_check("python", "preflight", {"version": platform.python_version()}, {})]
    checks += [_library(name, name not in missing) for name in params["libraries"]]
    if params.get("controller_time"):
        skew = abs(now - parse_instant(params["controller_time"]))
        checks.append(simple_check("clock", "preflight", {"skew": round(skew, 1)}, {"skew": {"warning": f"> {params['clock_seconds']} s"}}))
    if params.get("state_dir"):
        checks += _interrupted(params["state_dir"])
    return {
        "changed": False,
        **summarize(checks),
        "measured_at": rfc3339(now),
        "checks": checks,
        "missing_packages": _packages(missing),
    }


def _interrupted(folder: str) -> list[dict[str, Any]]:
    """One check; none when only another user (root) may look."""
    if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
        return []
    try:
        found = state_of(folder).interrupted()
    except RunbookError as error:
        check = simple_check(_INTERRUPTED, "preflight", {"begun": error.message}, {"begun": {"warning": "!= nothing"}})
        return [{**check, "hint": error.hint}]
    told = "; ".join(f"{name} of {body.get('place', '?')} since {body.get('begun_at', '?')} (run {body.get('run_id', '?')})" for name, body in found.items())
    check = simple_check(_INTERRUPTED, "preflight", {"begun": told or "nothing"}, {"begun": {"warning": "!= nothing", "severity": {"warning": "P2"}}})
    tags = [str(body["tag"]) for body in found.values() if "tag" in body]
    back = f", or take it back: -e restore_undo={tags[0]}" if tags else ""
    return [{**check, "hint": f"begin it again, which tidies up first{back}"} if found else check]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a part of a library that is missing itself, or no name at all
        return False


def _packages(libraries: Sequence[str]) -> list[str]:
    return [PACKAGES.get(name, f"python3-{name}") for name in libraries]


def _library(name: str, installed: bool) -> dict[str, Any]:
    hint = f"install {_packages([name])[0]} there, or set runbook_manage_libraries: true"
    check = simple_check(f"library {name}", "preflight", {"installed": installed}, {"installed": {"warning": "!= true"}})
    return check if installed else {**check, "hint": hint}
