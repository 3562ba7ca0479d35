# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small real trading service that stands for nextrade in the demo and in the tests (standard library, Python 3.9+).

    python3 trading_service.py --state DIR [--logs DIR] [--host 127.0.0.1] [--port 8000]
    python3 trading_service.py --state DIR fault on|off NAME [--value N]
    python3 trading_service.py fault list

A fault is a file in DIR/faults, looked at again on every request and every tick: creating it is on, removing it is off,
so a restart or a crash neither loses one nor leaves its traces behind. Port 0 takes a free port; DIR/nextrade.port
tells it. trading_engine.py belongs beside this file. NEXTRADE_API_KEY in the environment is the key of /admin/status.
"""
from __future__ import annotations

import argparse
import contextlib
import fcntl
import hmac
import json
import logging
import math
import os
import random
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from trading_engine import FAULTS, SYMBOLS, Faults, Logs, Store, Trader, rfc3339

VERSION = "1.4.2"
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, address: tuple[str, int], trader: Trader) -> None:
        self.trader, self.store, self.faults = trader, trader.store, trader.faults
        self.stopping = threading.Event()
        self.log = logging.getLogger("nextrade.api")
        self.api_key = os.environ.get("NEXTRADE_API_KEY", "")  # without one nobody is let in
        super().__init__(address, Handler)

    def health(self) -> tuple[int, dict[str, Any]]:
        down, database = self.faults.on("llm_down"), self.store.writable()
        status = "unhealthy" if not database else "degraded" if down or self.faults.on("degraded") else "healthy"
        latency = 60.0 if down else round(1.2 + 0.3 * math.sin(time.time() / 20) + random.random() / 5, 3)
        return 200 if database else 503, {
            "status": status, "components": {"api": True, "llm": not down, "database": database}, "llm_latency_seconds": latency,
            "timestamp": rfc3339(time.time()), "last_trade": rfc3339(self.trader.last_trade), "version": VERSION}

    def quote(self, symbol: str) -> tuple[int, dict[str, Any]]:
        if self.faults.on("market_data_down"):
            return 503, {"error": "market data is not available"}
        if symbol not in SYMBOLS:
            return 404, {"error": "unknown symbol"}
        price = SYMBOLS[symbol] * (1 + 0.01 * math.sin(time.time() / 30))
        return 200, {"symbol": symbol, "price": round(price, 2), "timestamp": rfc3339(time.time())}


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 3  # a client that connects and says nothing does not hold up the stop for longer
    server_version = "nextrade/" + VERSION

    def do_GET(self) -> None:
        started, url, faults = time.monotonic(), urlsplit(self.path), self.server.faults
        own = not url.path.startswith("/external/")  # the other party's answers have a fault of their own
        if own and faults.on("slow"):
            self.server.stopping.wait(faults.value("slow", 8))
        status, answer = self.route(url.path, parse_qs(url.query))
        body, kind = json.dumps(answer).encode(), "application/json"
        if own and faults.on("null_values"):
            body = json.dumps(dict.fromkeys(answer)).encode()
        if own and faults.on("html_error"):
            status, body, kind = 200, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client gave up waiting
            self.reply(status, body, kind)
        self.server.log.info("%s %s %d completed in %.3f s", self.command, url.path, status, time.monotonic() - started)

    do_HEAD = do_GET

    def route(self, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if path == "/health":
            return self.server.health()
        if path == "/api/v1/orders/summary":
            return 200, self.server.store.summary()
        if path == "/external/quote":
            return self.server.quote(query.get("symbol", [""])[0])
        if path == "/admin/status":
            given, key = self.headers.get("X-API-KEY", ""), self.server.api_key
            known = bool(key) and hmac.compare_digest(given.encode(), key.encode())
            if known or self.server.faults.on("open_admin"):
                return 200, {"pid": os.getpid(), "threads": threading.active_count()}
            return 401, {"error": "a valid X-API-KEY is required"}
        return 404, {"error": "no such page"}

    def reply(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not self.server.faults.on("dripping"):
            self.wfile.write(body)
            return
        for byte in body:
            if self.server.stopping.wait(0.5):
                return
            self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are logged by do_GET, with their duration; malformed ones are not worth a line."""


def serve(options: argparse.Namespace) -> int:
    """Claim the state folder, then listen; whatever prevents either is said in one line."""
    state: Path = options.state
    os.umask(0o027)
    state.mkdir(parents=True, exist_ok=True)
    with open(state / "nextrade.pid", "a+", encoding="ascii") as pid_file:
        try:
            fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an old pid file of a killed service is just taken over
        except BlockingIOError:
            print(f"another service already runs on {state}", file=sys.stderr)
            return 1
        faults, store = Faults(state / "faults"), Store(state / "data" / "trading_orders.db")
        faults.directory.mkdir(exist_ok=True)
        store.create()
        trader = Trader(store, faults, Logs(options.logs or state / "logs", options.log_max_bytes, faults))
        try:
            server = Server((options.host, options.port), trader)
        except OSError as error:
            print(f"cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)
            return 1
        with server:
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # kept pending until run() waits for them
            pid_file.truncate(0)
            pid_file.write(f"{os.getpid()}\n")
            pid_file.flush()
            (state / "nextrade.port").write_text(f"{server.server_port}\n", encoding="ascii")
            run(server, trader)
        for name in ("nextrade.port", "nextrade.pid"):
            (state / name).unlink()
    return 0


def run(server: Server, trader: Trader) -> None:
    """Until SIGTERM or SIGINT."""
    web = threading.Thread(target=server.serve_forever, args=(0.1,), name="web", daemon=True)
    trader.start()
    web.start()
    server.log.info("started on %s:%d", *server.server_address[:2])
    signal.sigwait(STOP_SIGNALS)
    server.stopping.set()
    server.shutdown()
    server.server_close()  # waits for the answers under way
    trader.stopping.set()
    trader.join(10)
    server.log.info("stopped")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="a small trading service for the demo and the tests")
    parser.add_argument("--state", type=Path, default=Path("/opt/nextrade"), help="folder of data, logs, faults and the pid file")
    parser.add_argument("--logs", type=Path, help="folder of the logs (default: STATE/logs)")
    parser.add_argument("--log-max-bytes", type=int, default=10 * 1024 * 1024, help="size at which a log is rotated")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    fault = parser.add_subparsers(dest="command").add_parser("fault", help="switch a fault on or off")
    fault.add_argument("switch", choices=["on", "off", "list"])
    fault.add_argument("name", nargs="?", choices=sorted(FAULTS))
    fault.add_argument("--value", default="", help="a number, where the fault takes one")
    fault.add_argument("--state", type=Path, default=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.command != "fault":
        return serve(options)
    if options.switch == "list":
        print("\n".join(f"{name:18} {text}" for name, text in FAULTS.items()))
        return 0
    if options.name is None:
        parser.error("fault on|off needs a NAME")
    Faults(options.state / "faults").switch(options.name, options.switch, options.value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
