# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed since the last comparable run: a pure comparison of two run views.

A problem counts as resolved only when its check was measured again and is ok: silence is not good news.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import is_number
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES

from .report_format import as_dict, as_dicts, as_list, as_text, seconds_of

GROUPS = ("new", "worsened", "continuing", "improved", "resolved", "added", "skipped", "missing")
BAD = ("warning", "unknown", "critical")

_DRIFTING = ("age", "oldest_age", "uptime", "expires_in")
"""Measures that move by themselves between any two runs."""

_NOTABLE: dict[str, tuple[float, float]] = {"s": (0.1, 0.5), "B": (10 * 2**20, 0.2), "percent": (5.0, 0.0), "count": (5.0, 0.2), "number": (0.0, 0.5)}
"""Unit to the smallest movement worth a line: absolute, and relative to the value before. Both must be reached."""

Place = tuple[str, str, str]


@dataclass(frozen=True)
class Pair:
    """One host of both runs (``{}`` where it was not part of the run)."""

    place: Place
    before: Mapping[str, Any]
    now: Mapping[str, Any]

    @property
    def measured_both(self) -> bool:
        """Whether both runs could look at it."""
        return bool(self.before) and bool(self.now) and reachable(self.before) and reachable(self.now)


def compare(previous: Mapping[str, Any] | None, view: Mapping[str, Any]) -> dict[str, Any] | None:
    """``changes_since`` of the report, or None without an earlier run. Same keys in every case; lists stay lists."""
    if not previous:
        return None
    before, now = dict(places(previous)), dict(places(view))
    pairs = [Pair(place, before.get(place, {}), now.get(place, {})) for place in [*now, *(place for place in before if place not in now)]]
    why = _why_missing(previous, view)
    checks: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for pair in pairs:
        for group, entry in _check_changes(pair):
            checks[group].append({**entry, "why": why} if group == "missing" else entry)
    return {
        "run_id": as_text(previous.get("run_id")),
        "started_at": as_text(previous.get("started_at")),
        "seconds_between": _between(previous, view),
        "status": {"before": status_of(previous), "now": status_of(view)},
        "hosts": _host_changes(pairs, why),
        "checks": checks,
        "measures": _moved(pairs),
    }


def places(view: Mapping[str, Any]) -> Iterable[tuple[Place, dict[str, Any]]]:
    """Every host of a view with its identity: system, environment, host."""
    for system in as_dicts(view.get("systems")):
        for host in as_dicts(system.get("hosts")):
            yield (as_text(system.get("name")), as_text(system.get("environment")), as_text(host.get("name"))), host


def reachable(host: Mapping[str, Any]) -> bool:
    """Whether the run could look at ``host``; silence means yes, since only Ansible's own word says no."""
    return host.get("reachable") is not False


def status_of(thing: Mapping[str, Any]) -> str:
    """A known status; any other word is unknown."""
    return thing["status"] if thing.get("status") in STATUSES else "unknown"


def _between(previous: Mapping[str, Any], view: Mapping[str, Any]) -> float | None:
    before, now = seconds_of(previous.get("started_at")), seconds_of(view.get("started_at"))
    return None if before is None or now is None else now - before


def _why_missing(previous: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    if view.get("state") in ("killed", "interrupted"):
        return f"this run was {view['state']}"
    for key, text in (("limit", "this run was limited to"), ("tags", "this run had the tags"), ("skip_tags", "this run left out the tags")):
        if view.get(key) and view.get(key) != previous.get(key):
            return f"{text} {as_text(view[key], 120)}"
    return ""


def _host_changes(pairs: Iterable[Pair], why: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {"added": [], "missing": [], "lost": [], "back": []}
    for pair in pairs:
        entry = _named(pair.place)
        if not pair.before:
            groups["added"].append(entry)
        elif not pair.now:
            groups["missing"].append({**entry, "why": why})
        elif reachable(pair.before) and not reachable(pair.now):
            groups["lost"].append(entry)
        elif reachable(pair.now) and not reachable(pair.before):
            groups["back"].append(entry)
    return groups


def _named(place: Place) -> dict[str, Any]:
    return dict(zip(("system", "environment", "host"), place, strict=True))


def _check_changes(pair: Pair) -> Iterable[tuple[str, dict[str, Any]]]:
    before, now = _checks(pair.before), _checks(pair.now)
    for key in [*now, *(key for key in before if key not in now)]:
        old, new = before.get(key), now.get(key)
        group = _group(old, new)
        # A whole host that came or went is one line about the host, not one for each of its checks.
        if group and (pair.measured_both or group not in ("added", "missing")):
            shown = new or old or {}
            yield group, {
                **_named(pair.place),
                "check": key[1],
                "kind": as_text(shown.get("kind")),
                "before": status_of(old) if old else None,
                "now": status_of(new) if new else None,
                "severity": shown.get("severity") if shown.get("severity") in ("P1", "P2", "P3", "P4") else None,
                "message": as_text((new or {}).get("message")),
            }


def _checks(host: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """By role and name: two roles may use one name."""
    return {(as_text(check.get("role")), as_text(check.get("name"))): check for check in as_dicts(host.get("checks"))}


def _group(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    """The kind of change, ``""`` for none. A check that starts its life bad is a new problem."""
    if new is None:
        return "missing"
    status, earlier = status_of(new), status_of(old) if old is not None else None
    if status not in BAD:
        return "added" if earlier is None else _good_now(earlier, status)
    if earlier not in BAD:
        return "new"
    worse = STATUSES.index(status) - STATUSES.index(earlier)
    return "worsened" if worse > 0 else "improved" if worse < 0 else "continuing"


def _good_now(earlier: str, status: str) -> str:
    if status == "skipped":
        return "skipped" if earlier != "skipped" else ""
    return "resolved" if earlier in BAD else ""


def _moved(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Measures that moved notably: those with limits first, then by how far."""
    found: list[tuple[bool, float, dict[str, Any]]] = []
    for pair in pairs:
        before, now = _checks(pair.before), _checks(pair.now)
        for key, new in now.items():
            limited = {as_text(limit.get("measure")) for limit in as_dicts(new.get("limits"))}
            for measure, entry in _measure_changes(before.get(key, {}), new):
                share = entry["change_percent"]
                rank = abs(share) if share is not None else float("inf")
                found.append((measure in limited, rank, {**_named(pair.place), "check": key[1], **entry}))
    return [entry for _limited, _rank, entry in sorted(found, key=lambda item: (not item[0], -item[1]))]


def _measure_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    values, units, earlier_units = as_dict(new.get("measures")), as_dict(new.get("units")), as_dict(old.get("units"))
    for measure, earlier in as_dict(old.get("measures")).items():
        unit = as_text(units.get(measure))
        if measure not in values or earlier_units.get(measure) != units.get(measure):
            continue
        if measure in _DRIFTING or unit == "timestamp" or not notable(earlier, values[measure], unit):
            continue
        change = 100 * (values[measure] - earlier) / abs(earlier) if is_number(earlier) and is_number(values[measure]) and earlier else None
        yield measure, {"measure": as_text(measure), "unit": unit, "before": earlier, "now": values[measure],
                        "change_percent": None if change is None else round(change, 1)}  # fmt: skip


def notable(before: Any, now: Any, unit: str) -> bool:
    """Whether a measure moved far enough to be worth a line."""
    if is_number(before) and is_number(now):
        absolute, relative = _NOTABLE.get(unit, _NOTABLE["number"])
        moved = abs(now - before)
        return moved > 0 and moved >= absolute and moved >= relative * abs(before)
    if isinstance(before, list) and isinstance(now, list):
        return sorted(map(as_text, as_list(before))) != sorted(map(as_text, as_list(now)))
    return type(before) is type(now) and isinstance(before, (str, bool)) and before != now
