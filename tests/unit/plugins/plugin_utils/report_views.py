# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the report share: small run views, and a reader of the page."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "img", "input", "hr", "circle", "path", "rect", "polyline", "use"}
RUN = "20261120T021500Z-7f3a9c1e"


def make_limit(measure: str = "latency", level: str = "warning", limit: str = "> 5 s", **fields: Any) -> dict[str, Any]:
    """One limit of a check."""
    return {"measure": measure, "level": level, "limit": limit, "severity": "P3", "state": "ok", "for_seconds": 0, **fields}


def make_check(name: str = "api answers", status: str = "ok", **fields: Any) -> dict[str, Any]:
    """One check as it stands in a run view."""
    check: dict[str, Any] = {
        "name": name, "kind": "http", "role": "health", "status": status, "severity": None if status in ("ok", "skipped") else "P2",
        "message": "", "hint": "", "measures": {"latency": 1.25, "status_code": 200}, "units": {"latency": "s", "status_code": "number"},
        "limits": [make_limit(), make_limit(level="critical", limit="> 30 s")], "notes": [], "muted": None, "duration_seconds": 1.3,
        "attempts": 1, "measured_at": "2026-11-20T02:15:04Z",
    }  # fmt: skip
    return {**check, **fields}


def make_log(**fields: Any) -> dict[str, Any]:
    """One reviewed log as it stands in a run view."""
    sample = {"at": "2026-11-20T02:01:00Z", "path": "/var/log/app.log", "text": "it failed", "before": ["the line before"], "after": ["the line after"]}
    signature = {"id": "aa", "level": "ERROR", "text": "failed <n> times", "count": 4, "example": "failed 3 times",
                 "first_at": "2026-11-20T01:30:00Z", "last_at": "2026-11-20T02:10:00Z"}  # fmt: skip
    log: dict[str, Any] = {
        "name": "app log", "role": "log_review", "measured_at": "2026-11-20T02:15:00Z", "bookmark": None, "source": ["/var/log/app.log*"],
        "format": "python", "timezone": "America/New_York", "from": "2026-11-20T01:15:00Z", "to": "2026-11-20T02:15:00Z", "incremental": False,
        "lines": 1200, "entries": 1000, "bytes": 40960, "files": [{"path": "/var/log/app.log", "bytes": 40960}], "levels": {"INFO": 900, "ERROR": 100},
        "bucket_seconds": 300, "series": {"start": "2026-11-20T01:15:00Z", "entries": [5, 6, 7, 80], "patterns": {"errors": [0, 1, 0, 3]}},
        "patterns": {"errors": {"count": 4, "ratio": 0.4, "per_minute": 0.0667, "per_minute_max": 2, "per_hour": 4.0, "samples": [sample]}},
        "extract": {"took": {"count": 9, "p50": 0.35, "p95": 1.52, "p99": 2.3, "max": 5.123, "unit": "s", "approximate": False}},
        "signatures": [signature], "signature_count": 1, "secrets": [], "notes": ["a note"],
        "benign": [{"pattern": "known", "reason": "by design", "owner": "ops", "until": "2027-01-01", "count": 7}],
        "earlier": {"since": "2026-11-13T02:15:00Z", "first_at": "2026-11-01T02:15:00Z", "reviewed": True, "signatures": {"aa": {"count": 1}}},
    }  # fmt: skip
    return {**log, **fields}


def _worst(things: Iterable[dict[str, Any]]) -> str:
    statuses = {thing["status"] for thing in things}
    return next((status for status in ("critical", "unknown", "warning", "ok", "skipped") if status in statuses), "ok")


def make_host(name: str = "app", checks: Iterable[dict[str, Any]] = (), **fields: Any) -> dict[str, Any]:
    """One host; its status is the worst of its checks."""
    listed = list(checks)
    return {"name": name, "status": _worst(listed), "reachable": True, "summary": "", "checks": listed, "steps": [], "stats": {"ok": 3}, **fields}


def make_view(*hosts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A finished run on one system."""
    status = _worst(hosts)
    view: dict[str, Any] = {
        "run_id": RUN, "playbook": "daily", "state": "finished", "status": status, "exit_code": 0, "started_at": "2026-11-20T02:15:00Z",
        "ended_at": "2026-11-20T02:15:09Z", "duration_seconds": 9.2, "user": "deploy", "controller": "ops-1", "check_mode": False, "limit": "",
        "tags": ["all"], "versions": {"ansible": "2.21.1", "collection": "0.1.0", "python": "3.12.1"}, "launch": {},
        "systems": [{"name": "nextrade", "environment": "production", "status": status, "hosts": list(hosts)}], "changes": [], "issues": [],
        "notes": [], "measured_at": "2026-11-20T02:15:04Z", "anchor": {"seq": 7, "mac": "9f0c" * 16, "key_id": "k-1"},
    }  # fmt: skip
    return {**view, **fields}


def make_points(values: Iterable[Any], statuses: Iterable[str] = (), first_day: int = 1) -> list[dict[str, Any]]:
    """A course over the runs of consecutive days, as the history returns it."""
    given = list(statuses)
    return [
        {"at": f"2026-11-{first_day + index:02d}T02:15:00Z", "value": value, "status": given[index] if given else "ok", "run_id": f"run-{index}"}
        for index, value in enumerate(values)
    ]


def make_series(check: str = "api answers", measure: str = "latency", host: str = "app", values: Iterable[Any] = (1, 2, 3)) -> dict[Any, Any]:
    """The history of one measure, as write_report takes it."""
    return {("nextrade", "production", host): {(check, measure): make_points(values)}}


class Page(HTMLParser):
    """Elements with their attributes, ids, and the text a reader sees; notes every tag that was not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.disorder: list[str] = []
        self.text = ""
        self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.disorder += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID or tag == "use":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.disorder.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of one kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        """Every value of one attribute."""
        return [attributes[attribute] for _tag, attributes in self.elements if attribute in attributes]

    @property
    def words(self) -> str:
        """The text with every gap as one space."""
        return " ".join(self.text.split())
