# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is around the trading service and cannot be had here, under its names: both providers (they accept a connection), Grafana, Elasticsearch.

A file /tmp/faults/NAME switches the fault of that name on.
"""
from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = Path("/tmp/faults")


class Answers(BaseHTTPRequestHandler):
    """The few answers that are asked for; anything else is not found."""

    def do_GET(self) -> None:
        answers = {
            "/api/health": {"database": "failing" if (FAULTS / "grafana").exists() else "ok"},
            "/_cluster/health": {"status": "red" if (FAULTS / "log_store").exists() else "green"},
        }
        body = json.dumps(answers.get(self.path, {})).encode()
        self.send_response(200 if self.path in answers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is that of the base class
        """Nobody reads it."""


for port in (443, 3000, 9200):
    threading.Thread(target=ThreadingHTTPServer(("", port), Answers).serve_forever).start()
