# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus that scrapes what a test exposes, and a real Alertmanager: what they know is measured, what they do not know is never green."""

from __future__ import annotations

import contextlib
import http.server
import json
import secrets
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.tests.support.health_checks import checked
from ansible_collections.tradeops.runbook.tests.support.ports import free_port
from ansible_collections.tradeops.runbook.tests.support.waiting import until

PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
with_prometheus = pytest.mark.skipif(not PROMETHEUS, reason="prometheus is not installed")
with_alertmanager = pytest.mark.skipif(not ALERTMANAGER, reason="prometheus-alertmanager is not installed")


class Program:
    """A server on loopback with a folder of its own; ``ready`` once it says so, gone at the end."""

    def __init__(self, folder: Path, argv: list[str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            until(lambda: self._process.poll() is not None or self._answers("/-/ready"))
            assert self._process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        except BaseException:
            self.stop()
            raise

    def _answers(self, path: str) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url + path, timeout=5):
            return True
        return False

    def ask(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._log.close()


class Exporter:
    """Answers with the page that a test writes."""

    def __init__(self) -> None:
        self.page = ""
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                """Nothing: it is asked every second."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Monitoring:
    """Prometheus, and what it scrapes every second: ``exporter``, and a port where nothing listens when ``blind``."""

    def __init__(self, folder: Path, blind: bool = False, partial: bool = False) -> None:
        self.exporter, port = Exporter(), free_port()
        targets = [f"127.0.0.1:{self.exporter.port}", *([f"127.0.0.1:{free_port()}"] if blind else [])]
        config: dict[str, Any] = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{"job_name": "app", "static_configs": [{"targets": targets}]}]}
        if partial:
            config["remote_read"] = [{"url": f"http://127.0.0.1:{free_port()}/read", "read_recent": True}]
        (folder / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        argv = [str(PROMETHEUS), f"--config.file={folder}/config.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        self.server = Program(folder, argv, port)

    def expose(self, *lines: str) -> str:
        """Adds lines to the page and waits until they arrived; ``M`` in them is a name of their own, which it gives."""
        name = f"m_{secrets.token_hex(4)}"
        self.exporter.page += "".join(f"{line.replace('M', name)}\n" for line in lines)
        until(lambda: self.result(name))
        return name

    def result(self, query: str) -> Any:
        return self.server.ask("/api/v1/query?" + urllib.parse.urlencode({"query": query}))["data"]["result"]

    def check(self, limits: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        return checked("prometheus", {"url": self.server.url, **options}, limits)

    def scraped(self) -> bool:
        """Each of the two targets was tried."""
        return len([target for target in self.server.ask("/api/v1/targets")["data"]["activeTargets"] if target["health"] != "unknown"]) == 2

    def stop(self) -> None:
        self.server.stop()
        self.exporter.stop()


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    found = Monitoring(tmp_path_factory.mktemp("prometheus"))
    yield found
    found.stop()


LOW = {"value": {"critical": "> 100"}}


@with_prometheus
@pytest.mark.parametrize(("text", "status"), [("5", "ok"), ("0", "ok"), ("101", "critical"), ("NaN", "unknown"), ("+Inf", "unknown"), ("-Inf", "unknown")])
def test_one_value(text: str, status: str, monitoring: Monitoring) -> None:
    name = monitoring.expose(f"M {text}")
    found = monitoring.check(LOW, query=name)
    assert found["status"] == status, found
    if status == "unknown":
        assert "no number" in found["message"] and monitoring.check(query=name)["status"] == "unknown", "also when nobody set a limit"
    else:
        assert found["measures"]["value"] == found["measures"]["min"] == found["measures"]["max"] == float(text)


@with_prometheus
def test_a_calculated_value_and_a_plain_number(monitoring: Monitoring) -> None:
    name = monitoring.expose('M{a="1"} 5', 'M{a="2"} 7')
    assert monitoring.check(LOW, query=f"sum({name})")["measures"]["value"] == 12
    assert monitoring.check(LOW, query="1 + 1")["measures"]["value"] == 2
    assert monitoring.check({"value": {"critical": "> 5 s"}}, query=f"max({name})", unit="s")["status"] == "critical"


@with_prometheus
def test_several_series_are_not_one_value(monitoring: Monitoring) -> None:
    name = monitoring.expose('M{job_name="api"} 5', 'M{job_name="db"} 700')
    found = monitoring.check(LOW, query=name)
    assert found["status"] == "unknown" and "2 series" in found["message"]
    found = monitoring.check({"max": {"critical": "> 100"}}, query=name)
    assert (found["status"], found["measures"]["min"], found["measures"]["max"], found["measures"]["series"]) == ("critical", 5, 700, 2)
    expect = {"api": {"job_name": "api"}, "db": {"job_name": "db"}}
    found = monitoring.check({"api": {"critical": "> 100"}}, query=name, expect=expect)
    assert (found["status"], found["measures"]["api"], found["measures"]["db"], found["measures"]["missing"]) == ("ok", 5, 700, "none")
    found = monitoring.check({"cache": {"critical": "> 100"}}, query=name, expect={**expect, "cache": {"job_name": "cache"}})
    assert found["status"] == "critical" and "missing is cache" in found["message"]
    assert monitoring.check({"any": {"critical": "> 1000"}}, query=name, expect={"any": {"job": "app"}})["status"] == "unknown"


@with_prometheus
@pytest.mark.parametrize("query", ["nothing_has_this_name", 'up{job="nobody"}', "up > 100"])
def test_an_empty_answer_is_unknown(query: str, monitoring: Monitoring) -> None:
    for limits in ({}, LOW, {"series": {"critical": "> 5"}}):
        found = monitoring.check(limits, query=query)
        assert found["status"] == "unknown" and "no series" in found["message"]
    assert monitoring.check(LOW, query=f"count({query}) or vector(0)")["status"] == "ok"


@with_prometheus
def test_old_samples_are_unknown(monitoring: Monitoring) -> None:
    old, fresh = f"{(time.time() - 100) * 1000:.0f}", "M{of=\"fresh\"} 1"
    name = monitoring.expose(f'M{{of="old"}} 1 {old}', fresh)
    assert monitoring.check(LOW, query=f'{name}{{of="old"}}')["status"] == "ok", "for Prometheus itself it is young enough"
    found = monitoring.check(LOW, query=f'{name}{{of="old"}}', max_age="30 s")
    assert found["status"] == "unknown" and " s old, more than 30 s" in found["message"]
    assert 95 < found["measures"]["age"] < 200
    assert monitoring.check(LOW, query=f'{name}{{of="fresh"}}', max_age="30 s")["status"] == "ok"
    assert monitoring.check(query=name, max_age="30 s")["status"] == "unknown", "one of them is old"
    assert monitoring.check(LOW, query=f"sum({name})", max_age="30 s", source=name)["status"] == "unknown"
    assert monitoring.check(LOW, query=f"sum({name})", max_age="30 s", source=f'{name}{{of="fresh"}}')["status"] == "ok"
    assert monitoring.check({"age": {"critical": "> 30 s"}}, query=name)["status"] == "critical"


@with_prometheus
@pytest.mark.parametrize("query", ["sum(up)", "up + up", "rate(up[1m])", "1", "(up)"])
def test_the_age_of_what_was_calculated_is_not_guessed(query: str, monitoring: Monitoring) -> None:
    monitoring.expose("M 1")
    found = monitoring.check(LOW, query=query, max_age="1 min")
    assert found["status"] == "unknown" and "source" in found["hint"], found


@with_prometheus
def test_a_series_that_ended(monitoring: Monitoring) -> None:
    name = monitoring.expose("M 1")
    window = {"range": "10 s", "step": "1 s", "min_samples": 1}
    until(lambda: monitoring.check(LOW, query=name, **window)["status"] == "ok")
    monitoring.exporter.page = monitoring.exporter.page.replace(f"{name} 1\n", "")
    until(lambda: not monitoring.result(name))
    assert monitoring.check(LOW, query=name)["status"] == "unknown"
    found = until(lambda: _ended(monitoring.check(LOW, query=name, **window)))
    assert "before the end of the range" in found["message"]


def _ended(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if found["status"] == "unknown" and "ended" in found["message"] else None


@with_prometheus
def test_a_range(monitoring: Monitoring) -> None:
    name = monitoring.expose("M 7")
    short = monitoring.check(LOW, query=name, range="10 min", step="1 s")
    assert short["status"] == "unknown" and "of the 301 it must have" in short["message"]
    found = until(lambda: _measured(monitoring.check(LOW, query=name, range="4 s", step="1 s", min_samples=4)))
    assert found["status"] == "ok" and found["measures"]["samples"] >= 4
    assert (found["measures"]["value"], found["measures"]["min"], found["measures"]["max"]) == (7, 7, 7)


def _measured(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if found["status"] != "unknown" else None


@with_prometheus
@pytest.mark.parametrize("query", ["sum(", "up[5m]", '"text"', "no such thing"])
def test_a_query_that_gives_no_number(query: str, monitoring: Monitoring) -> None:
    found = monitoring.check(LOW, query=query)
    assert found["status"] == "unknown", found


@with_prometheus
def test_an_answer_that_is_only_a_part(tmp_path: Path) -> None:
    """It also reads from a store that is gone, says so in a warning, and answers with what it has itself."""
    found = Monitoring(tmp_path, partial=True)
    try:
        until(lambda: found.result("up"))
        result = found.check(LOW, query="up")
        assert result["status"] == "unknown" and "only a part" in result["message"]
    finally:
        found.stop()


@with_prometheus
def test_the_server_itself(tmp_path: Path) -> None:
    found = Monitoring(tmp_path, blind=True)
    try:
        until(found.scraped)
        result = found.check()
        measures = result["measures"]
        assert result["status"] == "warning", result
        assert "down is app 127.0.0.1:" in result["message"]
        assert (measures["ready"], measures["targets"], measures["targets_down"]) == (True, 2, 1)
        assert found.check({"down": {"warning": None}})["status"] == "ok"
    finally:
        found.stop()
    assert found.check()["code"] == "unreachable"


@with_prometheus
def test_a_healthy_server_raises_no_alarm(monitoring: Monitoring) -> None:
    until(lambda: monitoring.result("up"))
    assert monitoring.check({"latency": {"warning": "> 10 s"}})["status"] == "ok"


@with_prometheus
def test_a_page_of_metrics_is_read_without_prometheus(monitoring: Monitoring) -> None:
    metrics = {
        "appended": {"metric": "prometheus_tsdb_head_samples_appended_total", "combine": "sum"},
        "queries": 'prometheus_http_requests_total{handler="/-/ready",code="200"}',
        "resident": {"metric": "process_resident_memory_bytes", "unit": "B"},
    }
    limits = {"appended": {"critical": "< 1"}, "queries": {"critical": "< 1"}, "resident": {"critical": "> 4 GiB"}}
    found = until(lambda: _measured(checked("http", {"url": f"{monitoring.server.url}/metrics", "metrics": metrics}, limits)))
    assert found["status"] == "ok", found


class Alerts:
    """An Alertmanager in which critical alerts keep those of the same service quiet that are only warnings."""

    def __init__(self, folder: Path) -> None:
        config = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}],
                  "inhibit_rules": [{"source_matchers": ["severity=critical"], "target_matchers": ["severity=warning", "service=~.+"],
                                     "equal": ["service"]}]}  # fmt: skip
        (folder / "config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        port = free_port()
        where = [f"--config.file={folder}/config.yml", f"--storage.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        self.server = Program(folder, [str(ALERTMANAGER), *where, "--cluster.listen-address="], port)

    def fire(self, name: str, severity: str | None = "warning", since: float = 0.0, **labels: str) -> None:
        """Fires since ``since`` seconds."""
        given = {"alertname": name, **({"severity": severity} if severity else {}), **labels}
        self.server.ask("/api/v2/alerts", [{"labels": given, "startsAt": rfc3339(time.time() - since), "endsAt": rfc3339(time.time() + 3600)}])
        until(lambda: any(alert["labels"] == given for alert in self.server.ask("/api/v2/alerts")))

    def resolve(self, name: str, severity: str) -> None:
        now = time.time()
        self.server.ask("/api/v2/alerts", [{"labels": {"alertname": name, "severity": severity}, "startsAt": rfc3339(now - 60), "endsAt": rfc3339(now - 1)}])
        until(lambda: not any(alert["labels"]["alertname"] == name for alert in self.server.ask("/api/v2/alerts")))

    def silence(self, name: str) -> None:
        matcher = {"name": "alertname", "value": name, "isRegex": False, "isEqual": True}
        times = {"startsAt": rfc3339(time.time() - 1), "endsAt": rfc3339(time.time() + 600)}
        self.server.ask("/api/v2/silences", {"matchers": [matcher], **times, "createdBy": "test", "comment": "known"})
        until(lambda: any(alert["status"]["silencedBy"] for alert in self.server.ask("/api/v2/alerts")))

    def check(self, limits: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        return checked("alertmanager", {"url": self.server.url, **options}, limits)


@pytest.fixture
def alerts(tmp_path: Path) -> Iterator[Alerts]:
    found = Alerts(tmp_path)
    yield found
    found.server.stop()


@with_alertmanager
def test_without_an_alert_all_is_well(alerts: Alerts) -> None:
    limits = {"age": {"critical": "> 1 h"}, "unacknowledged": {"critical": "> 0"}, "firing": {"critical": "> 0"}, "firing_other": {"critical": "> 0"}}
    found = alerts.check(limits)
    assert (found["status"], found["measures"]["alerts"], found["measures"]["age"], found["measures"]["ready"]) == ("ok", "none", 0, True)


@with_alertmanager
def test_what_fires(alerts: Alerts) -> None:
    alerts.fire("SlowOrders")
    found = alerts.check()
    assert found["status"] == "warning" and "alerts is SlowOrders (warning," in found["message"]
    alerts.fire("NoQuotes", "critical", since=1200)
    alerts.fire("Odd", None)
    found = alerts.check({"age": {"warning": "> 10 min"}, "unacknowledged": {"critical": "> 0"}})
    measures = found["measures"]
    assert found["status"] == "critical" and "firing_critical is 1" in found["message"] and measures["alerts"].startswith("NoQuotes (critical, 20 min), ")
    assert [measures[name] for name in ("firing", "firing_critical", "firing_warning", "firing_info", "firing_other")] == [3, 1, 1, 0, 1]
    assert measures["unacknowledged"] == 1 and 1190 < measures["age"] < 1300
    assert alerts.check(older_than="30 min")["measures"]["unacknowledged"] == 0


@with_alertmanager
def test_what_is_resolved_does_not_fire(alerts: Alerts) -> None:
    alerts.fire("NoQuotes", "critical")
    assert alerts.check()["status"] == "critical"
    alerts.resolve("NoQuotes", "critical")
    assert alerts.check()["status"] == "ok"


@with_alertmanager
def test_what_is_kept_quiet_does_not_fire(alerts: Alerts) -> None:
    alerts.fire("NoQuotes", "critical", since=7200)
    alerts.silence("NoQuotes")
    found = alerts.check()
    assert (found["status"], found["measures"]["silenced"], found["measures"]["firing"], found["measures"]["age"]) == ("ok", 1, 0, 0)
    alerts.fire("Down", "critical", service="api")
    alerts.fire("Slow", "warning", service="api")
    found = alerts.check()
    assert found["status"] == "critical" and [found["measures"][name] for name in ("firing", "inhibited", "silenced")] == [1, 1, 1]


@with_alertmanager
def test_only_what_fits(alerts: Alerts) -> None:
    alerts.fire("NoQuotes", "critical", team="trading")
    alerts.fire("DiskFull", "critical", team="platform")
    assert alerts.check(filter=['team="trading"'])["measures"]["firing"] == 1
    assert alerts.check(filter=['team=~"trading|platform"', 'alertname!="DiskFull"'])["measures"]["alerts"].startswith("NoQuotes (")
    assert alerts.check(filter=['team="nobody"'])["status"] == "ok"
    found = alerts.check(filter=["team is mine"])
    assert found["status"] == "unknown" and found["code"] == "invalid_input"


@with_alertmanager
def test_alerts_that_always_come(alerts: Alerts) -> None:
    found = alerts.check(expect=["Watchdog"])
    assert found["status"] == "critical" and "missing is Watchdog" in found["message"]
    alerts.fire("Watchdog", "none")
    found = alerts.check(expect=["Watchdog"])
    assert (found["status"], found["measures"]["firing"]) == ("ok", 0)
    assert alerts.check()["status"] == "warning", "unless it is expected"


@with_alertmanager
def test_an_alertmanager_that_is_gone(alerts: Alerts) -> None:
    alerts.server.stop()
    assert (alerts.check()["status"], alerts.check()["code"]) == ("critical", "unreachable")


@with_alertmanager
@with_prometheus
def test_each_is_not_the_other(alerts: Alerts, monitoring: Monitoring) -> None:
    for found in (checked("prometheus", {"url": alerts.server.url, "query": "up"}), checked("alertmanager", {"url": monitoring.server.url})):
        assert found["status"] == "critical" and found["code"] == "verify_failed", found
