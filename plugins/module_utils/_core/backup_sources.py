# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources as an inventory lists them: merged, completed, checked; and what a run made of them, as checks with limits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .backup_copies import check_of_copy, compile_copies
from .catalog import LEVELS
from .checks import merge_by_name, merge_mappings
from .errors import InvalidInput, did_you_mean
from .keep_rules import Policy
from .limits import parse_limits
from .proof import invariants_of
from .sets import check_sets, is_good
from .times import rfc3339
from .units import parse_duration
from .verdict import judge_measures, summarize

KEYS: dict[str, Any] = {
    "name": None, "source": None, "class": "", "rpo": None, "rto": None, "keep": None, "fresh": None, "min_objects": 1, "max_shrink_percent": 50.0,
    "max_growth_percent": 400.0, "set": "", "versions": {}, "revision": "", "images": None, "invariants": (), "scratch": None, "repository": None,
    "encryption": None, "timeout": "4 h", "enabled": True,
    "copies": (), "verify": "restored",
}  # fmt: skip
"""What an entry may say, with its defaults. Durations are texts with a unit."""

_SET = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})?")

_KINDS = ("source", "repository", "scratch")
"""What has its kind as the only key."""

UNITS = {"duration": "s", "rpo": "s", "rto": "s", "size": "B", "freed": "B", "removed": "count", "objects": "count", "copied": "B"}


def compile_sources(  # house: what a source gets that does not say otherwise, each by its name
    lists: Iterable[Sequence[Mapping[str, Any]]], repository: Any, keep: Mapping[str, Any], encryption: Mapping[str, Any] | None = None, copies: Any = ()
) -> list[dict[str, Any]]:
    """One entry per source with every key, durations in seconds (``rpo_seconds``, ...). Raises InvalidInput that lists every mistake."""
    found, errors = [], []
    for index, entry in enumerate(merge_by_name(lists, "backup_sources", _both)):
        try:
            found.append(_complete({"copies": copies, **entry}, repository, keep, encryption or {}))
        except InvalidInput as error:
            errors.append(f"backup_sources[{index}] ({entry['name']}): {error.advice}")
    if errors:
        raise InvalidInput("; ".join(errors), "correct the inventory; nothing was touched")
    return found


def _both(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """A source, a repository or a scratch of another kind replaces the earlier one."""
    same = {key: value for key, value in earlier.items() if not (key in _KINDS and later.get(key) and set(later[key]) != set(value or ()))}
    return merge_mappings(same, later)


def _complete(entry: Mapping[str, Any], repository: Any, keep: Mapping[str, Any], encryption: Mapping[str, Any]) -> dict[str, Any]:
    for key in entry:
        if key not in KEYS:
            raise InvalidInput(f'unknown key "{key}"{did_you_mean(key, KEYS)}', f"keys are {', '.join(KEYS)}")
    whole = {**KEYS, **entry, "repository": entry.get("repository") or repository, "encryption": {**encryption, **(entry.get("encryption") or {})}}
    for key in _KINDS if whole["scratch"] is not None else _KINDS[:2]:
        if not isinstance(whole[key], Mapping) or len(whole[key]) != 1:
            raise InvalidInput(f"{key} must have its kind as the only key", "as in source: {sqlite: {path: /path/to/database}}")
    policy = {**keep, **(entry.get("keep") or {})}
    parsed = Policy.parse(policy, "keep")
    if policy and whole["class"] and whole["class"] not in parsed.classes:  # a restore has no policy, and needs none
        known = f"classes are {', '.join(parsed.classes)}" if parsed.classes else "keep.classes has none"
        raise InvalidInput(f'class: "{whole["class"]}" has no rule in keep.classes', known)
    _check_values(whole)
    durations = {f"{key}_seconds": _seconds(key, whole[key]) for key in ("rpo", "rto", "fresh", "timeout")}
    return {**whole, "kind": next(iter(whole["source"])), "keep": policy, **durations, **compile_copies(whole["copies"] or (), whole)}


def _check_values(whole: Mapping[str, Any]) -> None:
    for key in ("min_objects", "max_shrink_percent", "max_growth_percent"):
        if isinstance(whole[key], bool) or not isinstance(whole[key], (int, float)) or whole[key] < 0:
            raise InvalidInput(f'{key}: "{whole[key]}" is not a number from 0 on')
    if isinstance(whole["invariants"], (str, Mapping)) or not isinstance(whole["invariants"], Sequence):
        raise InvalidInput("invariants must be a list of {name, query, limits}")
    invariants_of(whole["invariants"])
    if whole["verify"] not in LEVELS:
        raise InvalidInput(f'verify: "{whole["verify"]}" is no level of proof{did_you_mean(str(whole["verify"]), LEVELS)}', f"levels are {', '.join(LEVELS)}")
    if not isinstance(whole["versions"], Mapping):
        raise InvalidInput("versions must be a mapping of names to versions")
    if not isinstance(whole["set"], str) or not _SET.fullmatch(whole["set"]):
        raise InvalidInput(f'set: "{whole["set"]}" cannot be the name of a set', "use letters, digits, dots, hyphens and underscores")
    if not isinstance(whole["revision"], str):
        raise InvalidInput("revision must be a query, as a text")


def _seconds(key: str, given: Any) -> float | None:
    try:
        return None if given is None else parse_duration(given)
    except InvalidInput as error:
        raise InvalidInput(f"{key}: {error.message}", error.hint) from None


def judge_sources(results: Sequence[Mapping[str, Any]], sources: Mapping[str, Mapping[str, Any]], now: float) -> dict[str, Any]:
    """The results of one module, one per source, as a verdict: a check for each, with measures for trends and limits by RTO and RPO."""
    done = [(result, result["item"]) for result in _each(results)]
    checks = [
        check_of_copy(_check(result, sources[item["name"]]), result, now) if isinstance(item, Mapping) else _check(result, sources[item])
        for result, item in done
    ]
    checks += check_sets([result for result, item in done if isinstance(item, str)], sources)
    return {**summarize(checks), "measured_at": rfc3339(now), "checks": checks, "attention": [_attention(check) for check in checks if check["status"] != "ok"]}


def _each(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One result for each source or copy: the first, or the last that went wrong, as when what was taken cannot be read back."""
    found: dict[str, Mapping[str, Any]] = {}
    for result in results:
        if not result.get("skipped") and (str(result["item"]) not in found or not is_good(result)):
            found[str(result["item"])] = result
    return list(found.values())


def _check(result: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    proof, restore, artifact = (result.get(name) or {} for name in ("proof", "restore", "artifact"))
    restored = restore.get("seconds", proof.get("seconds") if proof.get("level") == "restored" else None)
    measures = {
        "duration": restore.get("seconds", proof.get("seconds")), "rto": restored, "rpo": restore.get("lost_seconds", proof.get("rpo_seconds")),
        "size": artifact.get("size_bytes"), "objects": (artifact.get("totals") or {}).get("objects"), "freed": result.get("freed_bytes"),
        "copied": result.get("copied_bytes"),
        "removed": len(result["plan"]) if "freed_bytes" in result else None,
    }  # fmt: skip
    measures = {name: value for name, value in measures.items() if value is not None}
    limits = {name: {"critical": f"> {source[name]}"} for name in ("rto", "rpo") if name in measures and source[f"{name}_seconds"]}
    judged = judge_measures(measures, UNITS, parse_limits(limits, UNITS), {})
    if not is_good(result):
        judged.update(status="critical", severity="P2", message=str(result.get("msg", "it failed")), hint=str(result.get("hint", "")))
    elif result["outcome"] == "warn" and judged["status"] == "ok":
        judged.update(status="warning", severity="P3", message="; ".join(result.get("notes") or []))
    units = {name: UNITS[name] for name in measures}
    extra = {"notes": [str(note) for note in result.get("notes") or []], "muted": None, "attempts": 1, "duration_seconds": 0.0, "for_seconds": 0.0}
    return {"name": f"backup of {source['name']}", "kind": source["kind"], "units": units, **extra, **judged}


def _attention(check: Mapping[str, Any]) -> str:
    hint = f" ({check['hint']})" if check["hint"] else ""
    return f"{check['severity']} {check['name']}: {check['message']}{hint}"
