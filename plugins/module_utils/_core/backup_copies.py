# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies as an inventory lists them: each with its kind as the key, and a name beside it; and how bad it is when one fails. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import InvalidInput
from .times import parse_instant

FRESH_SECONDS = 86400.0
"""A copy that fails is a warning while what it has is younger than this."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def compile_copies(given: Any, source: Mapping[str, Any]) -> dict[str, Any]:
    """``copies`` (each with ``name`` and its kind), ``places`` (name to repository), ``pairs`` (``{name: orders, to: offsite}``: without secrets).

    The name of a copy is its kind unless it has one. That a copy is the repository itself is no mistake here: so it is restored from. Raises InvalidInput.
    """
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise InvalidInput("copies must be a list of repositories", "as in copies: [{directory: {path: /mnt/offsite}}]")
    found: dict[str, dict[str, Any]] = {}
    for entry in given:
        kinds = [key for key in entry if key != "name"] if isinstance(entry, Mapping) else []
        if len(kinds) != 1 or not isinstance(entry[kinds[0]], Mapping):
            raise InvalidInput("a copy must have its kind as the only key beside its name", "as in copies: [{name: offsite, s3: {bucket: backups}}]")
        name, place = str(entry.get("name") or kinds[0]), {kinds[0]: entry[kinds[0]]}
        if not _NAME.fullmatch(name):
            raise InvalidInput(f'copies: the name "{name}" is none', "use letters, digits, dots, hyphens and underscores")
        if name in found:
            raise InvalidInput(f'copies: two are called "{name}"', "give each a name of its own, as in {name: offsite, s3: {...}}")
        found[name] = place
    return {
        "copies": [{"name": name, **place} for name, place in found.items()], "places": found,
        "pairs": [{"name": source["name"], "to": name} for name in found],
    }  # fmt: skip


def check_of_copy(check: Mapping[str, Any], result: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The check of a source as that of one of its copies. The backup itself is there, so that what failed is a warning while there is a good one in
    the copy that is younger than a day, and where nothing was removed from it because nobody restored from it lately: then it only grows."""
    pair, newest = result["item"], result.get("newest") or {}
    fresh = bool(newest) and now - parse_instant(newest["taken_at"]) < FRESH_SECONDS
    mild = check["status"] == "critical" and result.get("outcome") not in ("ok", "warn") and (fresh or result.get("code") == "no_recent_proof")
    return {**check, "name": f"copy of {pair['name']} in {pair['to']}", **({"status": "warning", "severity": "P3"} if mild else {})}
