# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was measured to findings, worst first, and what to do about them; afterwards, whether it helped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .checks import attention
from .limits import SEVERITIES
from .symptoms import describe, fits
from .verdict import STATUSES, summarize

_FOUND = ("warning", "unknown", "critical")
_ERRORS = ("ERROR", "CRITICAL", "FATAL")
_MESSAGES = 5
_LAST = "~"
"""Sorts as text after every instant."""


@dataclass(frozen=True)
class Case:
    """Of which host and symptom it is, and how people ask for it again (``command``)."""

    host: str
    system: str
    environment: str
    name: str
    symptom: Mapping[str, Any]
    command: str = ""


def diagnose(measured: Mapping[str, Any], logs: Mapping[str, Any], recent: Mapping[str, Sequence[Mapping[str, Any]]], case: Case) -> dict[str, Any]:
    """The result of a diagnosis: checks as any health result has them, findings worst first, messages of the logs, proposals.

    ``logs`` is a result of log_analysis_info or empty; its bookmarks are left out, so that no review goes on from here. ``recent`` are
    earlier verdicts, oldest first. What has not lasted long (``for``) counts: somebody sees the symptom.
    """
    checks = _together(measured, logs)
    findings = rank(checks, recent)
    return {
        "symptom": case.name,
        **summarize(checks),
        "measured_at": measured["measured_at"],
        "checks": checks,
        "attention": attention(checks),
        "logs": list(logs.get("logs") or ()),
        "findings": findings,
        "messages": [line for report in logs.get("logs") or () for line in _messages(report)],
        "proposals": propose(checks, findings, case),
        "unmatched": unmatched(checks, case.symptom),
        "system": case.system,
        "environment": case.environment,
    }


def _together(measured: Mapping[str, Any], logs: Mapping[str, Any]) -> list[dict[str, Any]]:
    checks = [dict(check) for check in measured["checks"]]
    names = {check["name"] for check in checks}
    return checks + [
        {**check, "name": f"log: {check['name']}" if check["name"] in names else check["name"]} for check in logs.get("checks") or ()
    ]


def rank(checks: Iterable[Mapping[str, Any]], recent: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What is not well: critical first, then the most urgent, then what broke first, for that may be why the others did."""
    found = [
        {key: check.get(key) for key in ("name", "status", "severity", "message", "hint")} | since(recent.get(check["name"], ()))
        for check in checks
        if check["status"] in _FOUND
    ]
    return sorted(found, key=lambda one: (-STATUSES.index(one["status"]), SEVERITIES.index(one["severity"] or SEVERITIES[-1]), one["since"] or _LAST))


def since(earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Since when it has been bad (``since``, the first bad verdict without a good one after it), and when it was last well (``well_at``).

    Both are null where the record does not tell. Without a bad verdict it is new in this run.
    """
    judged = [entry for entry in earlier if entry["status"] != "skipped"]
    last_well = max((number for number, entry in enumerate(judged) if entry["status"] == "ok"), default=None)
    after = judged[0 if last_well is None else last_well + 1 :]
    return {"since": after[0]["at"] if after else None, "well_at": None if last_well is None else judged[last_well]["at"]}


def propose(checks: Sequence[Mapping[str, Any]], findings: Sequence[Mapping[str, Any]], case: Case) -> list[dict[str, Any]]:
    """Every proposal that fits a check, in the order of the inventory, each for the first check it fits: the worst before those that are well."""
    bad = [finding["name"] for finding in findings]
    ranked = sorted(checks, key=lambda check: bad.index(check["name"]) if check["name"] in bad else len(bad))
    made = []
    for proposal in case.symptom["proposals"]:
        match = next((check for check in ranked if fits(check["name"], proposal["when"]) and check["status"] in proposal["is"]), None)
        if match is not None:
            made.append(_proposal(proposal, match, case))
    return made


def _proposal(proposal: Mapping[str, Any], match: Mapping[str, Any], case: Case) -> dict[str, Any]:
    shown = {"propose": proposal["propose"], "why": proposal["why"], "since_it_is": f"{match['name']} is {match['status']}", "finding": match["name"]}
    if proposal["act"] is None:
        return {**shown, "act": None, "token": "", "does": "", "run": ""}
    told = token(proposal["act"], match, case)
    return {**shown, "act": proposal["act"], "token": told, "does": describe(proposal["act"]), "run": f"{case.command} -e diagnose_act={told}".strip()}


def token(act: Mapping[str, Any], finding: Mapping[str, Any], case: Case) -> str:
    """Stands for doing this on this host because of this finding, and for nothing else."""
    facts = [case.host, case.system, case.environment, case.name, act, finding["name"], finding["status"]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def unmatched(checks: Iterable[Mapping[str, Any]], symptom: Mapping[str, Any]) -> list[str]:
    """Patterns that no check or log of this host fits: a name that was misspelt, or a host that has no such thing."""
    names = [name for check in checks for name in (str(check["name"]), str(check["name"]).removeprefix("log: "))]
    patterns = [*symptom["checks"], *symptom["logs"]]
    return [pattern for pattern in dict.fromkeys(patterns) if pattern != "*" and not any(fits(name, [pattern]) for name in names)]


def _messages(report: Mapping[str, Any]) -> list[str]:
    errors = [one for one in report.get("signatures") or () if one.get("level") in _ERRORS]
    return [f"{report['name']}: {one['count']} x {one['level']} {one['text']} (last at {one['last_at']})" for one in errors[:_MESSAGES]]


def lines(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result for people: findings with since when, messages of logs, and what to do, each with its command where there is one."""
    shown: dict[str, Any] = {"symptom": f"{result['symptom']}: {result['summary']}"}
    shown["findings"] = [_finding(finding) for finding in result["findings"]] or ["nothing that was looked at is bad"]
    if result["messages"]:
        shown["messages"] = result["messages"]
    shown["proposals"] = [_proposed(proposal) for proposal in result["proposals"]] or ["nothing that the inventory knows of"]
    if result["unmatched"]:
        shown["not_on_this_host"] = result["unmatched"]
    return shown


def _finding(finding: Mapping[str, Any]) -> str:
    if finding["since"]:
        told = f"since {finding['since']}" + (f", well at {finding['well_at']}" if finding["well_at"] else ", or longer")
    else:
        told = f"new; well at {finding['well_at']}" if finding["well_at"] else "nobody looked before"
    hint = f" ({finding['hint']})" if finding["hint"] else ""
    return f"{finding['status']} {finding['severity']} {finding['name']}: {finding['message']}{hint} [{told}]"


def _proposed(proposal: Mapping[str, Any]) -> Any:
    why = "; ".join(filter(None, [proposal["why"], proposal["since_it_is"]]))
    return {"propose": proposal["propose"], "why": why, **({"does": proposal["does"], "run": proposal["run"]} if proposal["token"] else {})}


def conclude(before: Mapping[str, Any], after: Mapping[str, Any], act: Mapping[str, Any], failed: str = "") -> dict[str, Any]:
    """Whether it helped to carry out the proposal ``act``; ``failed`` says why it could not be.

    ``after`` is the second look at the checks. Logs are looked at once, for what stands in them stays: ``helped`` is null when a log was the finding,
    and when nothing judged the finding again, as when its trading session closed meanwhile.
    """
    now = {check["name"]: check for check in after["checks"]}
    finding = act["finding"]
    then = next(check["status"] for check in before["checks"] if check["name"] == finding)
    left = [name for name, check in now.items() if check["status"] in ("critical", "unknown") and name != finding]
    helped = _helped(then, now[finding]["status"]) if finding in now and not failed else False if failed else None
    unseen = "is a log, which tells later" if finding not in now else "was {then} and is not judged now"
    told = {None: unseen, True: "was {then} and is {now}", False: "was {then} and still is {now}"}[helped]
    said = f"{finding} {told.format(then=then, now=now.get(finding, {}).get('status'))}"
    others = f". Not well: {', '.join(left)}" if left else ""
    checks = [now.get(check["name"], check) for check in before["checks"]]
    acted = {"does": act["does"], "finding": finding, "done": not failed, "helped": helped, "left": left,
             "said": f"Could not {act['does']}: {failed}" if failed else f"Done: {act['does']}. {said}{others}"}  # fmt: skip
    return {**before, **summarize(checks), "checks": checks, "attention": attention(checks), "measured_at": after["measured_at"], "acted": acted}


def _helped(then: str, now: str) -> bool | None:
    """A restart may leave a warning of its own, such as one for restarts."""
    if now == "skipped":
        return None
    return now in ("ok", "warning") and STATUSES.index(now) < STATUSES.index(then)
