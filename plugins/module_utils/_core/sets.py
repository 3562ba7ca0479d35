# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets: the artifacts of one run, restored as one. Which run, on whose word, and how it ended. Pure; artifacts are those of Artifact.summary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .catalog import is_id
from .checks import simple_check
from .errors import InvalidInput, NotThere
from .times import parse_instant, rfc3339

_GOOD = ("ok", "warn")
_SHOWN = 5

Artifacts = Sequence[Mapping[str, Any]]


def choose(members: Mapping[str, Artifacts], wanted: str) -> dict[str, Any]:
    """The newest run of which every member has a good artifact: ``latest``, ``latest_restored`` (each was proven to restore), the id of
    a run, or the newest one that was not taken after an instant.

    ``run_id``, ``artifacts`` (member to id), ``skew_seconds`` between the first and the last of them, and ``passed_over``: why newer runs were
    not taken. Raises NotThere, InvalidInput.
    """
    if not members:
        raise InvalidInput("the set has no members", "give sources of the inventory a set")
    of_run, until = is_id(wanted), "" if wanted in ("latest", "latest_restored") or is_id(wanted) else _instant(wanted)
    passed: list[str] = []
    for run in _runs(members):
        if of_run and run != wanted:
            continue
        found = {name: _best([one for one in artifacts if one["run_id"] == run], wanted, until) for name, artifacts in members.items()}
        wrong = [f"{name}: {why}" for name, (_artifact, why) in found.items() if why]
        if not wrong:
            taken = [parse_instant(artifact["taken_at"]) for artifact, _why in found.values()]
            return {
                "run_id": run, "artifacts": {name: artifact["id"] for name, (artifact, _why) in found.items()},
                "skew_seconds": round(max(taken) - min(taken)), "passed_over": passed[:_SHOWN],
            }  # fmt: skip
        passed.append(f"run {run}: {'; '.join(wrong)}")
    raise NotThere(f'no run has a whole set of {", ".join(members)} that fits "{wanted}"', "; ".join(passed[:_SHOWN]) or "there is none at all: take a backup")


def _runs(members: Mapping[str, Artifacts]) -> list[str]:
    """Newest first, by the newest that each took."""
    newest: dict[str, str] = {}
    for artifacts in members.values():
        for artifact in artifacts:
            newest[artifact["run_id"]] = max(newest.get(artifact["run_id"], ""), artifact["taken_at"])
    return sorted((run for run in newest if run), key=lambda run: (newest[run], run), reverse=True)


def _best(artifacts: Artifacts, wanted: str, until: str) -> tuple[Mapping[str, Any], str]:
    """The newest good one, or why there is none. A restore pins what was there before it: that may be broken, and is never part of a set."""
    why = "the run took none"
    for artifact in reversed(artifacts):
        if artifact["pins"]:
            continue
        if artifact["state"] != "good":
            reason = f" ({artifact['problem']})" if artifact["problem"] else ""
            why = f"{artifact['id']} is {artifact['state']}{reason}"
        elif until and artifact["taken_at"] > until:
            why = f"{artifact['id']} was taken later"
        elif wanted == "latest_restored" and artifact["restored_at"] is None:
            why = f"{artifact['id']} was never proven to restore"
        else:
            return artifact, ""
    return {}, why


def _instant(wanted: str) -> str:
    try:
        return rfc3339(parse_instant(wanted))
    except InvalidInput as error:
        raise InvalidInput(error.message, "give latest, latest_restored, the id of a run, or an instant such as 2026-11-20T02:15:00Z") from None


def summarize_plans(plans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The plans of all members (results of ``restore`` in check mode, ``item`` names the member) as one that is confirmed at once.

    ``confirm`` stands for all of them; that of a single source is its own. ``plan``, ``mind`` and ``in_use`` are for people.
    """
    alone = len(plans) == 1
    tokens = [str(plan["confirm"]) for plan in plans if plan.get("confirm")]
    unfinished = sorted({plan["unfinished"] for plan in plans if plan.get("unfinished")})
    whole = hashlib.sha256(json.dumps([tokens, unfinished]).encode()).hexdigest()[:8]
    return {
        "confirm": "" if not tokens else tokens[0] if alone and not unfinished else whole,
        "unfinished": "; ".join(unfinished),
        "plan": [_of(plan, step["reason"], alone) for plan in plans for step in plan["plan"]],
        "mind": [*unfinished, *(_of(plan, doubt, alone) for plan in plans for doubt in plan.get("doubts") or [])],
        "in_use": "; ".join(_of(plan, plan["in_use"], alone) for plan in plans if plan.get("in_use")),
    }  # fmt: skip


def _of(plan: Mapping[str, Any], text: str, alone: bool) -> str:
    return text if alone else f"{plan['item']}: {text}"


def conclude(done: Sequence[Mapping[str, Any]], back: Sequence[Mapping[str, Any]], members: Sequence[str]) -> dict[str, Any]:
    """What became of all members: ``done`` are the results of those that were tried, ``back`` of their being taken back after one failed.

    ``results`` has one for each member. ``state`` is ``new`` when all are done, ``old`` when all are as they were, and ``mixed``:
    also while another run is at it, or what an earlier one left half done is still (``unfinished`` of the last result).
    """
    results, returned = {one["item"]: one for one in done}, {one["item"]: one for one in back if not one.get("skipped")}
    failed = [name for name, result in results.items() if not is_good(result)]
    unsettled = any(result.get("outcome") == "busy" for result in results.values())  # somebody else is at it
    unsettled = unsettled or any(one.get("unfinished") for one in [*(back if returned else done)][-1:])
    if not failed and all(name in results for name in members):
        return {"state": "mixed" if unsettled else "new", "results": [*done]}
    old = not unsettled and all(is_good(returned.get(name, {})) for name in members)
    since = f"since {failed[0]} failed" if failed else "since it did not come to that"
    told = [_ended(name, results.get(name), returned.get(name), since) for name in members]
    return {"state": "old" if old else "mixed", "results": told}


def _ended(name: str, result: Mapping[str, Any] | None, returned: Mapping[str, Any] | None, since: str) -> dict[str, Any]:
    """The result of one member of a set that failed."""
    if returned is not None and not is_good(returned):
        message, hint = f"it could not be taken back: {returned.get('msg', 'it failed')}", str(returned.get("hint", ""))
    elif result is None:
        message, hint = f"it was not restored, {since}", ""
    elif is_good(result):
        message, hint = f"it was restored and {'taken back' if returned else 'not taken back'}, {since}", ""
    else:
        return {"restore": None, **result}
    return {**(result or {}), "item": name, "outcome": "failed", "msg": message, "hint": hint, "restore": None}


def check_sets(results: Sequence[Mapping[str, Any]], sources: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A check for each set of which a run was to back up every member: whether it is whole, and how far its instants are apart."""
    by_name = {result["item"]: result for result in results if "newest" in result or not is_good(result)}
    checks = []
    for name in dict.fromkeys(source["set"] for source in sources.values() if source.get("set")):
        members = [by_name.get(member, {}) for member, source in sources.items() if source.get("set") == name]
        failed = [member["item"] for member in members if member and not is_good(member)]
        artifacts = [member.get("artifact") or {} for member in members]
        if not all(members) or len(failed) == len(members) or (not failed and len({artifact.get("run_id") for artifact in artifacts}) > 1):
            continue  # the run was to take some of it alone, or some were fresh enough
        taken = [parse_instant(artifact["taken_at"]) for artifact in artifacts if not failed and artifact]
        check = simple_check(f"set {name}", "set", {"skew": max(taken) - min(taken)} if taken else {}, {})
        if failed:
            told = f"the set of this run is not whole: {', '.join(failed)} failed"
            check.update(status="critical", severity="P2", message=told, hint="see why, and back up the whole set again; older sets are as they were")
        checks.append(check)
    return checks


def is_good(result: Mapping[str, Any]) -> bool:
    """Whether a step did what it was asked for."""
    return result.get("outcome") in _GOOD
