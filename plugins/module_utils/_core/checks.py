# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to checks before they are measured (merged, completed) and after (judged over time)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .errors import InvalidInput
from .limits import LEVELS, parse_for, parse_limit, parse_limits
from .times import parse_instant
from .verdict import PENDING_SEVERITY, STATUSES, conclude, judge_measures, summarize

_EVERY_KIND = ("name", "limits", "severity", "for", "mute", "when_session", "poll", "enabled", "baselines", "notes")
"""Keys of a check that are not its kind."""

_OF_ITS_NAME = ("name", "severity", "for", "mute", "when_session", "enabled")
"""What a check keeps when a later one changes its kind."""

PACKAGES = {"jmespath": "python3-jmespath", "cryptography": "python3-cryptography", "psycopg2": "python3-psycopg2", "redis": "python3-redis"}
"""Python libraries that checks may need on a host, and the packages of Debian and RHEL that bring them."""

_OF_KIND = {"tls": "cryptography", "postgresql": "psycopg2", "redis": "redis"}


def needed_libraries(checks: Iterable[Mapping[str, Any]], connections: Mapping[str, Any]) -> list[str]:
    """The libraries these checks need where they run; ``connections`` are those they name."""
    needed = set()
    for check in checks:
        http = check.get("http")
        if isinstance(http, Mapping) and http.get("read"):
            needed.add("jmespath")
        needed |= {library for kind, library in _OF_KIND.items() if check.get(kind)}
        if _is_in_s3(check.get("backup")):
            needed.add("boto3")
        sql = check.get("sql")
        reached = connections.get(str(sql.get("connection"))) if isinstance(sql, Mapping) else None
        if isinstance(reached, Mapping) and reached.get("postgresql"):
            needed.add("psycopg2")
    return sorted(needed)


def libraries_of_backups(lists: Iterable[Sequence[Mapping[str, Any]]], repositories: Iterable[Any]) -> list[str]:
    """The libraries that taking, proving or restoring backups of these sources needs; ``repositories`` are those of sources that name none."""
    sources = merge_by_name(lists, "backup_sources", merge_mappings)
    places = [{"repository": place} for place in repositories] + [{"repository": copy} for source in sources for copy in source.get("copies") or ()]
    needed = {"zstandard"} if sources else set()
    needed |= {"redis" for source in sources for key in ("source", "scratch") if "redis" in (source.get(key) or ())}
    needed |= {"boto3" for place in [*sources, *places] if sources and _is_in_s3(place)}
    return sorted(needed)


def _is_in_s3(holder: Any) -> bool:
    place = holder.get("repository") if isinstance(holder, Mapping) else None
    return isinstance(place, Mapping) and "s3" in place


def merge(lists: Iterable[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Several lists of checks as one: a later one completes an earlier one of its name, or replaces it when its kind differs. See merge_by_name."""
    return merge_by_name(lists, "health_checks", _merge_one)


def merge_by_name(
    lists: Iterable[Sequence[Mapping[str, Any]]], variable: str, both: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Several lists of mappings as one, by their ``name``; ``both`` makes one of an earlier and a later one.

    One with ``enabled: false`` is left out. Raises InvalidInput for one without a name, or a name given twice in one list.
    """
    merged: dict[str, dict[str, Any]] = {}
    for entries in lists:
        if isinstance(entries, (str, Mapping)) or not isinstance(entries, Sequence):
            raise InvalidInput(f"{variable} must be a list, not {type(entries).__name__}")
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            name = entry.get("name") if isinstance(entry, Mapping) else None
            if not isinstance(name, str) or not name or name in seen:
                raise InvalidInput(f"{variable}[{index}]: every entry needs a name of its own (found {name!r})")
            seen.add(name)
            merged[name] = both(merged[name], entry) if name in merged else dict(entry)
    return [{key: value for key, value in entry.items() if key != "enabled"} for entry in merged.values() if entry.get("enabled", True)]


def _merge_one(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    other_kind = {key for key in later if key not in _EVERY_KIND} - set(earlier)
    base = {key: value for key, value in earlier.items() if key in _OF_ITS_NAME} if other_kind else earlier
    session = later.get("when_session")
    if isinstance(session, Mapping) and {"calendar", "hours"} & set(session):  # another one: nothing of the old one fits it
        base = {key: value for key, value in base.items() if key != "when_session"}
    return merge_mappings(base, later)


def merge_mappings(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The later one wins; mappings inside are merged, too."""
    merged = dict(earlier)
    for key, value in later.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge_mappings(merged[key], value) if both else value
    return merged


def complete(check: Mapping[str, Any], baselines: Mapping[str, float], now: float) -> dict[str, Any]:
    """``check`` with the baselines its limits need, without benign entries that have expired (a note says so).

    Raises InvalidInput for limits that cannot be read, so that the mistake shows before any host is contacted.
    """
    notes: list[str] = []
    limits = check.get("limits") or {}
    if not isinstance(limits, Mapping):
        raise InvalidInput(f'limits: write "{limits}" as {{measure: {{warning: ..., critical: ...}}}}')
    wanted = [text for levels in limits.values() for text in _texts(levels)]
    needs_baseline = any(parse_limit(text).of_baseline for text in wanted)
    if check.get("for") is not None:
        parse_for(check["for"])
    completed = {key: _without_expired(value, now, notes) for key, value in check.items()}
    if needs_baseline:
        completed["baselines"] = {**baselines, **(check.get("baselines") or {})}
    return {**completed, "notes": [*(check.get("notes") or []), *notes]} if notes else completed


def _texts(levels: Any) -> list[Any]:
    if not isinstance(levels, Mapping):
        raise InvalidInput(f'limits: write "{levels}" as {{warning: ..., critical: ...}}')
    if levels.get("for") is not None:
        for waiting in levels["for"].values() if isinstance(levels["for"], Mapping) else [levels["for"]]:
            parse_for(waiting)
    found = [levels[level] for level in LEVELS if levels.get(level) is not None]
    return [text for item in found for text in (item if isinstance(item, list) else [item])]


def _without_expired(value: Any, now: float, notes: list[str]) -> Any:
    if not isinstance(value, Mapping) or not isinstance(value.get("benign"), list):
        return value
    kept = []
    for entry in value["benign"]:
        given = entry if isinstance(entry, Mapping) else {"pattern": entry}
        missing = [key for key in ("pattern", "reason", "owner", "until") if not given.get(key)]
        if missing:
            raise InvalidInput(f"benign: {given.get('pattern', entry)}: {missing[0]} is missing", "say why, who decided it, and until when")
        if parse_instant(str(entry["until"]), "UTC") > now:
            kept.append(entry)
        else:
            notes.append(f"{entry['pattern']} counts again: its exception ({entry['reason']}, {entry['owner']}) expired on {entry['until']}")
    return {**value, "benign": kept}


def judge(
    result: Mapping[str, Any], recent: Mapping[str, Sequence[Mapping[str, Any]]], schedule: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """``result`` of a health module with every ``for`` held against what earlier runs saw.

    ``recent`` maps a check to its earlier verdicts, oldest first: ``{at, status, crossed: ["latency:critical"]}``. What has not
    lasted long enough yet is ``pending`` and counts as a warning of the lowest severity. Without any run inside the time of
    ``for``, nobody knows how long it has lasted, and it counts at once. ``schedule`` adds how the schedule was kept.
    """
    now = parse_instant(result["measured_at"])
    checks = [_judge_one(check, recent.get(check["name"], ()), now) for check in result["checks"]] + schedule_checks(schedule)
    return {**result, **summarize(checks), "checks": checks, "attention": attention(checks)}


def simple_check(name: str, kind: str, measures: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """A finding made without a driver, in the shape of a check. Durations are in seconds, everything else has no unit."""
    units = {measure: "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "s" for measure, value in measures.items()}
    judged = judge_measures(measures, units, parse_limits(limits, units), {})
    shared = {"notes": [], "muted": None, "for_seconds": 0.0, "duration_seconds": 0.0, "attempts": 1}
    return {"name": name, "kind": kind, **judged, "units": units, **shared}


def schedule_checks(schedule: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How the schedule was kept, as run_history_info tells it, as checks: what was missed, late or took too long is a warning."""
    checks = []
    for entry in schedule:
        check = simple_check(f"schedule of {entry['playbook']}", "schedule", {"last_run": entry["status"]}, {"last_run": {"warning": "!= on_time"}})
        hint = f"it was due at {entry['due_at']} and may take {entry['expected_minutes']:g} min: see whether the scheduler runs it"
        checks.append(check if check["status"] == "ok" else {**check, "hint": hint})
    return checks


def attention(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each check that is not well, the worst first: ``critical P1 api answers: ... (hint)``."""
    bad = sorted((check for check in checks if check["status"] not in ("ok", "skipped")), key=lambda check: -STATUSES.index(check["status"]))
    return [_line(check) for check in bad]


def _line(check: Mapping[str, Any]) -> str:
    hint = f" ({check['hint']})" if check.get("hint") else ""
    return f"{check['status']} {check['severity']} {check['name']}: {check['message']}{hint}"


def _judge_one(check: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], now: float) -> dict[str, Any]:
    judged = dict(check)
    if check.get("muted"):
        return judged
    limits = [_judge_limit(limit, earlier, now) for limit in check["limits"]]
    if any(limit["state"] == "pending" for limit in limits):
        judged |= {"limits": limits, **conclude(limits, check["measures"], check["units"])}
        judged["pending"] = not any(limit["state"] in ("crossed", "unknown") for limit in limits)
    seconds = check.get("for_seconds") or 0.0
    lasted = _lasted(earlier, now, seconds, lambda entry: entry["status"] not in ("ok", "skipped"))
    if judged["status"] in ("critical", "unknown", "warning") and seconds and lasted is not None and lasted < seconds:
        note = f"{judged['status']} for {lasted:.0f} s of the {seconds:.0f} s after which it counts"
        judged |= {"status": "warning", "severity": PENDING_SEVERITY, "notes": [*judged["notes"], note], "pending": True}
    return judged


def _judge_limit(limit: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], now: float) -> dict[str, Any]:
    seconds = limit["for_seconds"]
    if limit["state"] != "crossed" or not seconds:
        return dict(limit)
    key = f"{limit['measure']}:{limit['level']}"
    telling = [entry for entry in earlier if key in entry["crossed"] or not _failed(entry)]
    lasted = _lasted(telling, now, seconds, lambda entry: key in entry["crossed"])
    waiting = lasted is not None and lasted < seconds
    return {**limit, "state": "pending"} if waiting else dict(limit)


def _failed(entry: Mapping[str, Any]) -> bool:
    """The check could not measure then, which does not prove that the limit was kept."""
    return entry["status"] == "unknown" or (entry["status"] not in ("ok", "skipped") and not entry["crossed"])


def _lasted(earlier: Sequence[Mapping[str, Any]], now: float, seconds: float, bad: Any) -> float | None:
    """For how many seconds it has been bad without a break; None when no run of the last ``seconds`` could tell."""
    since, known = now, False
    for entry in reversed(earlier):
        at = parse_instant(entry["at"])
        if not known and at < now - seconds:
            return None
        known = True
        if not bad(entry):
            break
        since = at
    return now - since if known else None
