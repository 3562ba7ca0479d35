# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Symptoms as an inventory describes them: which checks and logs tell, what is proposed when they are bad, and what may be done about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from .checks import merge_mappings
from .errors import InvalidInput, did_you_mean
from .verdict import STATUSES

_SYMPTOM = ("checks", "logs", "proposals")
_PROPOSAL = ("when", "is", "propose", "why", "act")
_RESTART = ("container", "unit")
_EXAMPLE = 'write it like {when: "api answers", propose: "restart it", act: {restart: {unit: nextrade-api}}}'
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.@:\\-]*", re.ASCII)
"""Of containers and units: never an option of the program that gets it, nor a path."""


def compile_symptoms(given: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Several ``diagnose_symptoms`` as one, complete with defaults. A later one completes an earlier one of the same name; lists are replaced.

    Raises InvalidInput that names every mistake.
    """
    merged: dict[str, Any] = {}
    for symptoms in given:
        if not isinstance(symptoms, Mapping):
            raise InvalidInput(f"diagnose_symptoms maps names of symptoms to what they are, and is not a {type(symptoms).__name__}")
        merged = merge_mappings(merged, symptoms)
    found, errors = {}, []
    for name, symptom in merged.items():
        try:
            found[str(name)] = _symptom(symptom)
        except InvalidInput as error:
            errors.append(f"diagnose_symptoms: {name}: {error.advice}")
    if errors:
        raise InvalidInput("; ".join(errors))
    return found


def named_like(entries: Iterable[Mapping[str, Any]], patterns: Sequence[str]) -> list[dict[str, Any]]:
    """Those whose name fits one of the patterns, in their own order."""
    return [dict(entry) for entry in entries if fits(str(entry["name"]), patterns)]


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns, letter case included."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def describe(act: Mapping[str, Any]) -> str:
    """``restart the container signal-agent``."""
    (kind, name), *_more = act["restart"].items()
    return f"restart the {kind} {name}"


def _symptom(given: Any) -> dict[str, Any]:
    known = _keys({} if given is None else given, _SYMPTOM, "")
    proposals = known.get("proposals") or []
    if isinstance(proposals, (str, Mapping)) or not isinstance(proposals, Sequence):
        raise InvalidInput("proposals must be a list", _EXAMPLE)
    compiled, errors = [], []
    for index, proposal in enumerate(proposals):
        try:
            compiled.append(_proposal(proposal))
        except InvalidInput as error:
            errors.append(f"proposals[{index}]: {error.advice}")
    if errors:
        raise InvalidInput("; ".join(errors))
    checks = ["*"] if known.get("checks") is None else _texts(known["checks"], "checks")
    return {"checks": checks, "logs": _texts(known.get("logs") or [], "logs"), "proposals": compiled}


def _proposal(given: Any) -> dict[str, Any]:
    known = _keys(given, _PROPOSAL, "")
    for key in ("when", "propose"):
        if not known.get(key):
            raise InvalidInput(f"{key} is missing", _EXAMPLE)
    statuses = ["critical"] if known.get("is") is None else _texts(known["is"], "is")
    for status in statuses:
        if status not in STATUSES:
            raise InvalidInput(f'is: "{status}" is no verdict{did_you_mean(status, STATUSES)}', f"verdicts are {', '.join(STATUSES)}")
    act = _act(known["act"]) if known.get("act") is not None else None
    return {"when": _texts(known["when"], "when"), "is": statuses, "propose": str(known["propose"]), "why": str(known.get("why") or ""), "act": act}


def _act(given: Any) -> dict[str, Any]:
    restart = _keys(given, ("restart",), "act: ").get("restart")
    target = {} if restart is None else _keys(restart, _RESTART, "act: restart: ")
    if len(target) != 1:
        raise InvalidInput("act: restart needs one of container and unit", _EXAMPLE)
    ((kind, name),) = target.items()
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(f'act: restart: {kind}: "{name}" is not the name of a {kind}')
    return {"restart": {kind: str(name)}}


def _keys(given: Any, known: Sequence[str], place: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput(f'{place}"{given}" is not a mapping of {", ".join(known)}')
    for key in given:
        if key not in known:
            raise InvalidInput(f'{place}unknown key "{key}"{did_you_mean(key, known)}')
    return {str(key): value for key, value in given.items() if value is not None}


def _texts(given: Any, place: str) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, Mapping) or not isinstance(texts, Sequence) or not all(isinstance(text, str) and text for text in texts):
        raise InvalidInput(f"{place} must be names or patterns of names, not {given}")
    return [str(text) for text in texts]
