# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's trading service, as a process of its own: real sockets, real SQLite, every fault on and off again."""
from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "demo" / "trading_service.py"
KEY = "only-for-this-test"
STUCK = "select count(*) from orders where status = 'pending' and created_at < datetime('now', '-1 hour')"


@dataclass(frozen=True)
class Service:
    process: subprocess.Popen[bytes]
    state: Path

    @property
    def port(self) -> int:
        return int((self.state / "nextrade.port").read_text(encoding="ascii"))

    def get(self, path: str, headers: dict[str, str] | None = None, timeout: float = 5) -> tuple[int, str]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def health(self) -> tuple[int, dict[str, Any]]:
        status, body = self.get("/health")
        return status, json.loads(body)

    def count(self, query: str) -> int:
        with contextlib.closing(sqlite3.connect(self.state / "data" / "trading_orders.db")) as database:
            return int(database.execute(query).fetchone()[0])

    def text(self, name: str) -> str:
        return (self.state / "logs" / name).read_text(encoding="utf-8")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if condition():
                return
        time.sleep(0.05)
    pytest.fail(f"did not come true within {seconds} s")


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    """Starts services; none outlives its test."""
    with contextlib.ExitStack() as started:
        def run(state: Path, *options: str) -> Service:
            command = [sys.executable, str(SCRIPT), "--state", str(state), "--port", "0", *options]
            process = started.enter_context(subprocess.Popen(command, env={**os.environ, "NEXTRADE_API_KEY": KEY}))
            started.callback(process.kill)
            service = Service(process, state)
            eventually(lambda: service.health()[0] == 200)
            return service

        yield run


@pytest.fixture
def service(start: Callable[..., Service], tmp_path: Path) -> Service:
    return start(tmp_path)


@pytest.fixture
def fault(service: Service) -> Callable[..., None]:
    """Switches a fault on, or off again, through the command line."""
    def switch(name: str, value: str = "", way: str = "on") -> None:
        command = [sys.executable, str(SCRIPT), "fault", way, name, "--state", str(service.state)]
        subprocess.run([*command, "--value", value], check=True, timeout=10)

    return switch


def test_healthy(service: Service) -> None:
    status, health = service.health()
    assert status == 200
    assert {name: health[name] for name in ("status", "components", "version")} == {
        "status": "healthy", "components": {"api": True, "llm": True, "database": True}, "version": "1.4.2"}
    assert 0 < health["llm_latency_seconds"] < 10
    for name in ("timestamp", "last_trade"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", health[name])


def test_orders_are_really_committed(service: Service) -> None:
    before = service.count("select count(*) from orders where status = 'filled'")
    eventually(lambda: service.count("select count(*) from orders where status = 'filled'") >= before + 3)
    assert service.count("select count(*) from positions") > 0
    assert service.count(STUCK) == 0
    assert (service.state / "data" / "trading_orders.db-wal").stat().st_size > 0
    summary = json.loads(service.get("/api/v1/orders/summary")[1])
    assert summary["total"] == sum(summary["by_status"].values())


@pytest.mark.parametrize("headers, status", [({}, 401), ({"X-API-KEY": "invalid"}, 401), ({"X-API-KEY": KEY}, 200)])
def test_admin_needs_the_key(service: Service, headers: dict[str, str], status: int) -> None:
    assert service.get("/admin/status", headers)[0] == status


@pytest.mark.parametrize("path, status", [("/external/quote?symbol=AAPL", 200), ("/external/quote?symbol=NONE", 404),
                                          ("/nothing", 404)])
def test_paths(service: Service, path: str, status: int) -> None:
    assert service.get(path)[0] == status


def test_logs_have_the_formats_of_the_guide(service: Service) -> None:
    service.get("/health")
    eventually(lambda: "completed in" in service.text("nextrade.log"))
    lines = service.text("nextrade.log").splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - nextrade[.\w]* - INFO - .+", line) for line in lines[:-1])
    for line in service.text("compliance.log").splitlines()[:-1]:
        at, level, message = line.split(" | ")
        assert time.strptime(at, "%Y-%m-%d %H:%M:%S") and level == "INFO" and message.startswith("USER_ACTION ")


@pytest.mark.parametrize("name, code, status, components", [
    ("degraded", 200, "degraded", {"api": True, "llm": True, "database": True}),
    ("llm_down", 200, "degraded", {"api": True, "llm": False, "database": True}),
    ("database_locked", 503, "unhealthy", {"api": True, "llm": True, "database": False}),
    ("null_values", 200, None, None),
])
def test_faults_of_the_health_page(service: Service, fault: Callable[..., None], name: str, code: int,
                                   status: str | None, components: dict[str, bool] | None) -> None:
    fault(name)
    eventually(lambda: service.health()[1]["status"] == status)
    answered, health = service.health()
    assert (answered, health["status"], health["components"]) == (code, status, components)


def test_a_locked_database_stays_readable(service: Service, fault: Callable[..., None]) -> None:
    fault("database_locked")
    eventually(lambda: service.health()[0] == 503)
    with contextlib.closing(sqlite3.connect(service.state / "data" / "trading_orders.db", timeout=0)) as database:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            database.execute("begin immediate")
    before = service.count("select count(*) from orders")
    eventually(lambda: "order not stored: database is locked" in service.text("nextrade.log"))
    assert service.count("select count(*) from orders") == before


def test_slow(service: Service, fault: Callable[..., None]) -> None:
    fault("slow", "0.7")
    before = time.monotonic()
    assert service.get("/health")[0] == 200
    assert time.monotonic() - before >= 0.7
    with pytest.raises(TimeoutError):
        service.get("/health", timeout=0.2)


def test_dripping(service: Service, fault: Callable[..., None]) -> None:
    fault("dripping")
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as client:
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        answer, end = b"", time.monotonic() + 2
        while time.monotonic() < end:
            answer += client.recv(4096)
    body = answer.partition(b"\r\n\r\n")[2]
    assert answer.startswith(b"HTTP/1.0 200") and 1 <= len(body) <= 6


def test_html_instead_of_json(service: Service, fault: Callable[..., None]) -> None:
    fault("html_error")
    status, body = service.get("/health")
    assert status == 200 and body.startswith("<html>")
    assert json.loads(service.get("/external/quote?symbol=SPY")[1])["symbol"] == "SPY"


def test_stuck_orders_come_and_go(service: Service, fault: Callable[..., None]) -> None:
    fault("stuck_orders")
    eventually(lambda: service.count(STUCK) == 3)
    fault("stuck_orders", way="off")
    eventually(lambda: service.count(STUCK) == 0)


def test_stale_trade(service: Service, fault: Callable[..., None]) -> None:
    fault("stale_trade")
    time.sleep(0.7)  # the tick under way may still trade
    before = service.count("select count(*) from orders")
    time.sleep(0.7)
    assert service.count("select count(*) from orders") == before
    health = service.health()[1]
    ages = [time.mktime(time.strptime(health[name], "%Y-%m-%dT%H:%M:%SZ")) for name in ("timestamp", "last_trade")]
    assert ages[0] - ages[1] >= 7199


def test_no_logs(service: Service, fault: Callable[..., None]) -> None:
    fault("no_logs")
    paths = [service.state / "logs" / name for name in ("nextrade.log", "compliance.log")]
    eventually(lambda: all(time.time() - path.stat().st_mtime > 4 * 86400 for path in paths))
    before = [path.stat().st_size for path in paths]
    service.get("/health")
    assert [path.stat().st_size for path in paths] == before
    fault("no_logs", way="off")
    eventually(lambda: all(time.time() - path.stat().st_mtime < 60 for path in paths))


def test_unrotated_log(service: Service, fault: Callable[..., None]) -> None:
    path = service.state / "logs" / "nextrade.log.unrotated"
    fault("unrotated_log")
    eventually(lambda: path.stat().st_size == 100_000_000)
    assert path.stat().st_blocks * 512 < 1_000_000
    fault("unrotated_log", way="off")
    eventually(lambda: list(path.parent.glob("*.unrotated")) == [])


@pytest.mark.parametrize("name, log, pattern", [("error_burst", "nextrade.log", r" - nextrade - ERROR - LLM provider error"),
                                                ("safety_violation", "compliance.log", r" \| WARNING \| SAFETY_VIOLATION ")])
def test_faults_of_the_logs(service: Service, fault: Callable[..., None], name: str, log: str, pattern: str) -> None:
    fault(name)
    eventually(lambda: len(re.findall(pattern, service.text(log))) >= 2)


@pytest.mark.parametrize("name, path, before, after", [("market_data_down", "/external/quote?symbol=AAPL", 200, 503),
                                                       ("open_admin", "/admin/status", 401, 200)])
def test_faults_of_one_path(service: Service, fault: Callable[..., None], name: str, path: str, before: int, after: int) -> None:
    assert service.get(path)[0] == before
    fault(name)
    assert service.get(path)[0] == after


def test_logs_rotate(start: Callable[..., Service], tmp_path: Path) -> None:
    service = start(tmp_path, "--log-max-bytes", "2000")
    (tmp_path / "faults" / "error_burst").touch()
    eventually((tmp_path / "logs" / "nextrade.log.5").is_file)
    assert service.stop() == 0
    assert all(path.stat().st_size <= 2000 for path in (tmp_path / "logs").iterdir())
    assert not (tmp_path / "logs" / "nextrade.log.6").exists()


def test_stop_is_clean_and_quick_in_the_middle_of_faults(service: Service, tmp_path: Path) -> None:
    assert int((tmp_path / "nextrade.pid").read_text(encoding="ascii")) == service.process.pid
    (tmp_path / "faults" / "database_locked").touch()
    eventually(lambda: service.health()[0] == 503)
    (tmp_path / "faults" / "slow").write_text("60", encoding="ascii")
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as waiting:
        waiting.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        time.sleep(0.5)  # so that the request is one under way
        before = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - before < 3
        assert waiting.recv(100).startswith(b"HTTP/1.0 503")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["trading_orders.db"]
    assert "nextrade.api - INFO - stopped" in service.text("nextrade.log")


def test_a_killed_service_starts_again_and_undoes_its_faults(start: Callable[..., Service], tmp_path: Path) -> None:
    service = start(tmp_path)
    (tmp_path / "faults" / "stuck_orders").touch()
    eventually(lambda: service.count(STUCK) == 3)
    service.process.kill()
    service.process.wait()
    (tmp_path / "faults" / "stuck_orders").unlink()
    again = start(tmp_path)
    eventually(lambda: again.count(STUCK) == 0)
    assert again.stop() == 0


def test_only_one_per_state_folder_and_port(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for state, message in ((service.state, "another service already runs on"), (other, "cannot listen on 127.0.0.1:")):
        command = [sys.executable, str(SCRIPT), "--state", str(state), "--port", str(service.port)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        assert second.returncode == 1 and second.stderr.startswith(message) and len(second.stderr.splitlines()) == 1
    assert service.health()[0] == 200


def test_unknown_fault_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--state", str(tmp_path), "fault", "on", "slowly"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert refused.returncode == 2 and "invalid choice: 'slowly'" in refused.stderr
    assert list(tmp_path.iterdir()) == []
