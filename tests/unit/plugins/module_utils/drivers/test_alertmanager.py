# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Alertmanager may answer. The real one is among the integration tests."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import alertmanager

from .exchange import posting_to, reply

NOW = 1763604900.0  # 2025-11-20T02:15:00Z


@pytest.fixture
def posting(serve: Any) -> Any:
    return functools.partial(posting_to, serve)


def options(port: int, **more: Any) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{port}", "filter": [], "severities": ["critical", "warning", "info"], "older_than": "15 min", "expect": [], "headers": {},
            "secret_headers": None, "max_bytes": 1048576, "ca_path": None, "validate_certs": True, "container": None, "network": "", "timeout_seconds": 5.0,
            **more}  # fmt: skip


def alert(name: str | None, severity: str | None = None, since: str = "2025-11-20T02:10:00.000Z", **status: list[str]) -> dict[str, Any]:
    labels = {key: value for key, value in (("alertname", name), ("severity", severity)) if value}
    return {"labels": labels, "startsAt": since, "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], **status}}


def measured(posting: Any, probe_of: Any, *alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    port, _requests = posting({"/-/ready": reply(200), "/api/v2/alerts": reply(200, json.dumps(alerts).encode())})
    found: dict[str, Any] = alertmanager.measure(options(port, **more), probe_of(now=NOW))
    found.pop("latency")
    return found


def test_nothing_fires(posting: Any, probe_of: Any) -> None:
    assert measured(posting, probe_of) == {
        "ready": True, "firing": 0, "firing_critical": 0, "firing_warning": 0, "firing_info": 0, "firing_other": 0, "alerts": "none", "age": 0.0,
        "unacknowledged": 0, "silenced": 0, "inhibited": 0, "missing": "none",
    }  # fmt: skip


def test_what_fires_is_counted_and_named(posting: Any, probe_of: Any) -> None:
    found = measured(
        posting, probe_of, alert("Slow", "warning"), alert("NoQuotes", "critical", "2025-11-20T01:15:00Z"), alert(None), alert("Page", "page"),
        alert("Known", "critical", silencedBy=["x"]), alert("Follows", "warning", inhibitedBy=["y"]), alert("Both", silencedBy=["x"], inhibitedBy=["y"]),
        alert("New", "info", "2025-11-20T02:15:30Z", state=[]), older_than="30 min",
    )  # fmt: skip
    assert found["alerts"] == (
        "NoQuotes (critical, 60 min), Page (page, 5 min), Slow (warning, 5 min), an alert without a name (no severity, 5 min), New (info, 0 ms)"
    )
    names = ("firing", "firing_critical", "firing_warning", "firing_info", "firing_other", "silenced", "inhibited", "unacknowledged", "age")
    assert [found[name] for name in names] == [5, 1, 1, 1, 2, 2, 1, 1, 3600]


@pytest.mark.parametrize(("alerts", "missing"), [([], "Watchdog"), ([alert("Watchdog")], "none"), ([alert("Watchdog", silencedBy=["x"])], "none")])
def test_what_always_comes(alerts: list[Any], missing: str, posting: Any, probe_of: Any) -> None:
    found = measured(posting, probe_of, *alerts, expect=["Watchdog"])
    assert (found["missing"], found["firing"]) == (missing, 0)


def test_what_always_comes_need_not_fit_the_filter(posting: Any, probe_of: Any) -> None:
    watchdog, other = json.dumps([alert("Watchdog")]).encode(), json.dumps([alert("Slow", "warning")]).encode()
    everybodys = "/api/v2/alerts?filter=alertname%3D~%22Watchdog%7CA%5C%5C.b%22"
    port, _requests = posting({"/-/ready": reply(200), "/api/v2/alerts?filter=team%3D%22a%22": reply(200, other), everybodys: reply(200, watchdog)})
    found = alertmanager.measure(options(port, filter=['team="a"'], expect=["Watchdog", "A.b"]), probe_of(now=NOW))
    assert (found["missing"], found["firing"], found["alerts"]) == ("A.b", 1, "Slow (warning, 5 min)")


def test_what_is_asked(posting: Any, probe: Any) -> None:
    path = "/am/api/v2/alerts?filter=a%3D%22b%26c%22&filter=d%21~%22e%22"
    port, requests = posting({"/am/-/ready": reply(503), path: reply(200, b"[]")})
    found = alertmanager.measure(options(port, url=f"http://127.0.0.1:{port}/am", filter=['a="b&c"', 'd!~"e"'], secret_headers={"X-Key": "s"}), probe)
    assert found["ready"] is False and all("X-Key: s\r\n" in request for request in requests)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, b'"bad matcher format: x"', InvalidInput, "bad matcher format"), (401, b"", RunbookError, "refuses"), (500, b"", VerifyFailed, "status 500"),
        (404, b"", VerifyFailed, "status 404"), (200, b"<html>", VerifyFailed, "not a list of alerts"),
        (200, b'{"status": "success"}', VerifyFailed, "not a list"),
        (200, b"[5]", VerifyFailed, "not a list"), (200, b'[{"labels": {}}]', VerifyFailed, "not a list"),
        (200, json.dumps([alert("x", since="yesterday")]).encode(), VerifyFailed, "not a list"),
    ],
)  # fmt: skip
def test_answers_that_count_for_nothing(status: int, body: bytes, error: type[RunbookError], words: str, posting: Any, probe: Any) -> None:
    port, _requests = posting({"/-/ready": reply(200), "/api/v2/alerts": reply(status, body)})
    with pytest.raises(error, match=words):
        alertmanager.measure(options(port), probe)


@pytest.mark.parametrize("more", [{"older_than": "15"}, {"older_than": "soon"}, {"severities": ["other"]}])
def test_mistakes(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        alertmanager.dynamic_measures(options(1, **more))


def test_severities_of_ones_own() -> None:
    assert alertmanager.dynamic_measures(options(1, severities=["page", "ticket"])) == {"firing_page": "count", "firing_ticket": "count"}
