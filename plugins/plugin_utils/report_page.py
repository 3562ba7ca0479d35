# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a run view to what the template shows, section by section. Pure: no clock, no disk, no template."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES, worst
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import plural

from .charts import out_of_sight
from .charts_svg import status_bar
from .report_changes import BAD, GROUPS, status_of
from .report_format import NOTHING, as_dict, as_dicts, as_text, enumeration, exact, human, instant, shorten
from .report_logs import LogPlot, log_hosts
from .report_rows import UNREACHABLE, CheckRow, HostRow, Item, attention, exempt, host_rows
from .report_trends import Trend

FIRST_PLOTS = 12
"""Plots that are open; the others are folded."""
FIRST_ITEMS = 25
MOST_LINES = 12
"""Lines of one kind of change; the JSON has them all."""
FOLD_HOSTS = 60
"""Above this many checks the tables of hosts without a problem are folded."""

_UNFINISHED = {
    "killed": "The run was killed before it finished",
    "interrupted": "The run was interrupted before it finished",
    "running": "The run has no recorded end",
}
_ANCHOR = re.compile(r"[0-9]+:[0-9a-f]+")
_HEADINGS = {
    "new": "New problems", "worsened": "Got worse", "continuing": "Still a problem", "improved": "Got better", "resolved": "Resolved",
    "added": "New checks", "skipped": "No longer measured", "missing": "Gone",
}  # fmt: skip
_HOST_HEADINGS = {"lost": "no longer reachable", "back": "reachable again", "added": "new in this run", "missing": "not in this run"}


@dataclass(frozen=True)
class Material:
    """All that a report is made of. ``plots`` pairs trends with their SVG; ``plot_note`` says in a sentence what is not drawn and why."""

    view: Mapping[str, Any]
    changes: Mapping[str, Any] | None
    trends: Sequence[Trend]
    plots: Sequence[tuple[Trend, str]]
    plot_note: str
    log_plots: Sequence[tuple[LogPlot, str]] = field(default_factory=tuple)
    log_note: str = ""


def build_page(material: Material) -> dict[str, Any]:
    """Everything the template needs, under one name for each section."""
    view = material.view
    hosts = host_rows(view, material.trends)
    items = attention(view, hosts)
    counts = Counter(row.status for host in hosts for row in host.rows)
    verdict = _verdict(view, hosts, items)
    return {
        "title": f"{verdict['status']}: {as_text(view.get('playbook')) or 'run'}, {_system_names(view)}, {instant(view.get('started_at'))}",
        "run_id": as_text(view.get("run_id")),
        "verdict": verdict,
        "counts": [(status, counts[status]) for status in reversed(STATUSES) if counts[status]],
        "lost": len([host for host in hosts if host.status == UNREACHABLE]),
        "status_bar": status_bar(counts),
        "facts": _facts(view),
        "systems": _systems(view, hosts),
        "items": items,
        "first_items": FIRST_ITEMS,
        "most_lines": MOST_LINES,
        "changes": _changes(material.changes, hosts),
        "hosts": hosts,
        "fold": len([row for host in hosts for row in host.rows]) > FOLD_HOSTS,
        "plots": [_plot(trend, svg, hosts) for trend, svg in material.plots],
        "first_plots": FIRST_PLOTS,
        "plot_note": material.plot_note,
        "log_hosts": log_hosts(view, hosts, material.log_plots),
        "log_note": material.log_note,
        "exempt": exempt(hosts),
        "log": _log(view, hosts, items),
        "versions": [(as_text(name, 60), as_text(value, 120)) for name, value in as_dict(view.get("versions")).items()],
        "launch": [(as_text(name, 60), as_text(value, 120)) for name, value in as_dict(view.get("launch")).items()],
        "anchor": _anchor(as_dict(view.get("anchor"))),
    }


def _anchor(anchor: Mapping[str, Any]) -> dict[str, str] | None:
    """The anchor, and the command that verifies it; nothing that is not plainly an anchor gets into a line people paste into a shell."""
    if not anchor:
        return None
    text, command = f"{as_text(anchor.get('seq'))}:{as_text(anchor.get('mac'))}", "ansible-playbook tradeops.runbook.verify_ledger"
    if _ANCHOR.fullmatch(text):
        command += f" -e '{{\"runbook_anchors\": [\"{text}\"]}}'"
    return {"text": text, "key_id": as_text(anchor.get("key_id")), "command": command}


def _system_names(view: Mapping[str, Any]) -> str:
    return enumeration([_system_name(system) for system in as_dicts(view.get("systems"))][:4]) or "no host"


def _system_name(system: Mapping[str, Any]) -> str:
    return " / ".join(filter(None, (as_text(system.get("name"), 80), as_text(system.get("environment"), 80))))


def _verdict(view: Mapping[str, Any], hosts: Sequence[HostRow], items: Sequence[Item]) -> dict[str, str]:
    """The status of the whole run and one sentence on what is wrong. A run that did not end cannot be ok."""
    cut = _UNFINISHED.get(str(view.get("state")), "")
    status = worst([status_of(view), *("unknown" if item.status == UNREACHABLE else item.status for item in items), *(["unknown"] if cut else [])])
    of_hosts = [item for item in items if item.host or not cut]  # that the run was cut is said once
    trouble = _trouble(of_hosts) or _good_news(view, hosts, cut, status)
    sentence = f"{cut}; {_after_semicolon(trouble)}" if cut else trouble
    detail = of_hosts[0].message if len(of_hosts) == 1 else ""
    return {"status": status, "sentence": sentence, "detail": detail}


def _after_semicolon(sentence: str) -> str:
    """Our own first words in lower case; the name of a host or check stays as it is."""
    first = sentence.partition(" ")[0]
    return sentence[0].lower() + sentence[1:] if first in ("All", "The", "Nothing") else sentence


def _trouble(items: Sequence[Item]) -> str:
    if not items:
        return ""
    first = items[0]
    host, title = shorten(first.host, 60) or "the controller", shorten(first.title, 80)
    if first.status == UNREACHABLE:
        name = f"{host} cannot be reached"
    else:
        name = f"\u201c{title}\u201d {'failed' if first.kind == 'task' else f'is {first.status}'} on {host}"
    if len(items) == 1:
        return name
    counts = Counter(item.status for item in items)
    nouns = {UNREACHABLE: plural(counts[UNREACHABLE], "unreachable host"), "warning": plural(counts["warning"], "warning")}
    parts = [nouns.get(status, f"{counts[status]:,} {status}") for status in ("critical", UNREACHABLE, "unknown", "warning") if counts[status]]
    return f"{enumeration(parts)}; first of all, {name}"


def _good_news(view: Mapping[str, Any], hosts: Sequence[HostRow], cut: str, status: str) -> str:
    rows = [row for host in hosts for row in host.rows]
    judged = [row for row in rows if row.status != "skipped"]
    if not cut and status in BAD:
        return f"The run ended {status}, and no check or task says why"
    if not judged:
        changed = len(as_dicts(view.get("changes")))
        return f"Nothing was checked; {plural(changed, 'change') + ' made' if changed else 'nothing changed'} and nothing failed"
    subject = "The only check" if len(judged) == 1 else f"All {len(judged):,} checks{' measured until then' if cut else ''}"
    skipped = f", {len(rows) - len(judged)} left out" if len(rows) > len(judged) else ""
    return f"{subject} on {plural(len([host for host in hosts if host.rows]), 'host')} {'is' if len(judged) == 1 else 'are'} ok{skipped}"


def _facts(view: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(label, value, exact value) of how this run came about."""
    code = view.get("exit_code")
    state = as_text(view.get("state")) or "unknown"
    tags, seconds = as_text(view.get("tags")), view.get("duration_seconds")
    return [
        ("Playbook", as_text(view.get("playbook")) or NOTHING, as_text(view.get("run_id"))),
        ("Started by", _who(view), ""),
        ("Start", instant(view.get("started_at"), seconds=True), ""),
        ("End", instant(view.get("ended_at"), seconds=True) if view.get("ended_at") else "not recorded", ""),
        ("Duration", human(seconds, "s") if seconds is not None else "not recorded", exact(seconds, "s") if seconds is not None else ""),
        ("State", state if code is None else f"{state}, exit status {as_text(code, 20)}", ""),
        ("Mode", "check mode, nothing changed" if view.get("check_mode") else "normal", ""),
        ("Limit", as_text(view.get("limit")) or "none, all hosts", ""),
        *([("Tags", tags, "")] if view.get("tags") and tags not in ("all", "none") else []),
    ]


def _systems(view: Mapping[str, Any], hosts: Sequence[HostRow]) -> list[dict[str, Any]]:
    found = []
    for system in as_dicts(view.get("systems")):
        identity = (as_text(system.get("name")), as_text(system.get("environment")))
        mine = [host for host in hosts if host.place[:2] == identity]
        found.append({"name": _system_name(system) or "unassigned", "status": status_of(system), "hosts": mine})
    return found


def _changes(changes: Mapping[str, Any] | None, hosts: Sequence[HostRow]) -> dict[str, Any] | None:
    """The comparison with the run before as lines; ``quiet`` when nothing moved."""
    if changes is None:
        return None
    targets = {(*row.place, row.name): row.id for host in hosts for row in host.rows}
    groups = [_group(group, changes["checks"][group], targets) for group in GROUPS if changes["checks"][group]]
    machines = [{"host": entry["host"], "what": what, "why": entry.get("why", "")}
                for group, what in _HOST_HEADINGS.items() for entry in changes["hosts"][group]]  # fmt: skip
    measures = [_movement(entry, targets) for entry in changes["measures"]]
    seconds = changes["seconds_between"]
    return {
        "run_id": changes["run_id"],
        "when": instant(changes["started_at"]),
        "between": f"{human(seconds, 's')} before" if seconds is not None and seconds >= 0 else "",
        "groups": groups,
        "hosts": machines,
        "measures": measures,
        "quiet": not (groups or machines or measures),
    }


def _group(group: str, entries: Sequence[Mapping[str, Any]], targets: Mapping[Any, str]) -> dict[str, Any]:
    why = entries[0].get("why", "")
    return {"heading": "Not measured" if why else _HEADINGS[group], "why": why, "entries": [_change(entry, targets) for entry in entries]}


def _change(entry: Mapping[str, Any], targets: Mapping[Any, str]) -> dict[str, str]:
    place = (entry["system"], entry["environment"], entry["host"], entry["check"])
    texts = {key: entry[key] or "" for key in ("check", "host", "kind", "before", "now", "severity", "message")}
    return {**texts, "target": targets.get(place, "")}


def _movement(entry: Mapping[str, Any], targets: Mapping[Any, str]) -> dict[str, str]:
    place, unit = (entry["system"], entry["environment"], entry["host"], entry["check"]), entry["unit"]
    return {
        "check": entry["check"], "host": entry["host"], "measure": entry["measure"], "target": targets.get(place, ""),
        "change": _share(entry["change_percent"], unit),
        "before": as_text(human(entry["before"], unit), 80), "now": as_text(human(entry["now"], unit), 80),
        "exact": f"{exact(entry['before'], unit)} → {exact(entry['now'], unit)}",
    }  # fmt: skip


def _share(share: float | None, unit: str) -> str:
    """``+52 %`` or ``× 21``; per cent of a plain number, such as a status code, would be nonsense."""
    if share is None or unit not in ("s", "B", "percent", "count"):
        return ""
    shown = -99.0 if -100 < share < -99 else share  # a hundredth that is left is not nothing
    return f"× {share / 100 + 1:,.0f}" if share >= 1000 else f"{'+' if share > 0 else '−'}{abs(shown):,.0f} %"


def _plot(trend: Trend, svg: str, hosts: Sequence[HostRow]) -> dict[str, Any]:
    last = trend.points[-1]
    target = next((row.id for host in hosts if host.place == trend.place for row in host.rows if row.name == trend.check), "")
    return {
        "check": trend.check, "measure": trend.measure, "host": trend.place[2], "svg": svg, "status": last.status, "target": target,
        "value": human(last.value, trend.unit), "exact": exact(last.value, trend.unit), "runs": plural(len(trend.points), "run"),
        "since": instant(trend.points[0].at)[:10], "far": out_of_sight(trend),
    }  # fmt: skip


def _log(view: Mapping[str, Any], hosts: Sequence[HostRow], items: Sequence[Item]) -> dict[str, Any]:
    """The change-log entry: what the run and the people said, and nothing they did not say."""
    notes: dict[str, list[dict[str, str]]] = {kind: [] for kind in ("note", "issue", "next_step", "validation", "reason")}
    for note in as_dicts(view.get("notes")):
        kind = as_text(note.get("kind"), 20)
        line = {"text": as_text(note.get("text"), 2000), "by": as_text(note.get("by"), 80), "host": as_text(note.get("host"), 80)}
        notes[kind if kind in notes else "note"].append(line)
    downtime = view.get("planned_downtime")
    return {
        "user": _who(view),
        "times": f"{instant(view.get('started_at'), True)} to {instant(view.get('ended_at'), True) if view.get('ended_at') else 'an end not recorded'}",
        "downtime": [as_text(part) for part in (downtime if isinstance(downtime, list) else [downtime]) if part],
        "reasons": notes["reason"],
        "changes": [_made(change) for change in as_dicts(view.get("changes"))],
        "issues": items,
        "noted_issues": notes["issue"],
        "validation": [*_validation(view, hosts, items), *({"done": True, **note} for note in notes["validation"])],
        "next_steps": notes["next_step"],
        "notes": notes["note"],
    }


def _made(change: Mapping[str, Any]) -> dict[str, str]:
    task, message = as_text(change.get("task")), as_text(change.get("message"))
    return {"text": task or message, "host": as_text(change.get("host")), "by": as_text(change.get("role")), "message": message if task else ""}


def _who(view: Mapping[str, Any]) -> str:
    return " on ".join(filter(None, (as_text(view.get("user")), as_text(view.get("controller"))))) or NOTHING


def _validation(view: Mapping[str, Any], hosts: Sequence[HostRow], items: Sequence[Item]) -> list[dict[str, Any]]:
    """What the run itself can vouch for; an empty box is a thing that did not hold."""
    rows: list[CheckRow] = [row for host in hosts for row in host.rows if row.status != "skipped"]
    good, seen = sum(row.status == "ok" for row in rows), sum(host.status != UNREACHABLE for host in hosts)
    failed = sum(item.kind == "task" and bool(item.host) and item.status in ("critical", "unknown") for item in items)
    boxes = [(view.get("state") == "finished", "the run came to its end"),
             (bool(hosts) and seen == len(hosts), f"{seen} of {plural(len(hosts), 'host')} reachable"),
             (not failed, "no step failed" if not failed else f"{plural(failed, 'step')} failed")]  # fmt: skip
    if rows:
        boxes.append((good == len(rows), f"{good} of {plural(len(rows), 'check')} ok"))
    return [{"done": done, "text": text, "by": "", "host": ""} for done, text in boxes]
