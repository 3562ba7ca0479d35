# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a managed node before anything runs there: Python, libraries, clock."""

from __future__ import annotations

import importlib.util
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._core.checks import PACKAGES, simple_check
from .._core.times import parse_instant, rfc3339
from .._core.verdict import summarize


def look(params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``preflight_info`` for validated parameters."""
    now = time.time()
    missing = [name for name in params["libraries"] if not _installed(name)]
    checks = [simple_check("python", "preflight", {"version": platform.python_version()}, {})]
    checks += [_library(name, name not in missing) for name in params["libraries"]]
    if params.get("controller_time"):
        skew = abs(now - parse_instant(params["controller_time"]))
        checks.append(simple_check("clock", "preflight", {"skew": round(skew, 1)}, {"skew": {"warning": f"> {params['clock_seconds']} s"}}))
    return {
        "changed": False,
        **summarize(checks),
        "measured_at": rfc3339(now),
        "checks": checks,
        "missing_packages": _packages(missing),
    }


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
