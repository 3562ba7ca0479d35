# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback that take notifications: HTTP, and SMTP. What they answer is up to the test."""
from __future__ import annotations

import email
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from .ports import free_port


@dataclass
class HttpSink:
    """Takes POST requests. ``status`` is what it answers on a path, 200 otherwise; ``before`` runs before it answers."""

    server: ThreadingHTTPServer
    status: dict[str, int] = field(default_factory=dict)
    before: Callable[[str], None] | None = None
    drip_seconds: float = 0.0
    got: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    """Path, headers and body of every request, also of those that were refused."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def bodies(self, path: str) -> list[Any]:
        return [body for where, _headers, body in self.got if where == path]

    def clear(self) -> None:
        self.got.clear()


@contextmanager
def http_sink(port: int = 0) -> Iterator[HttpSink]:
    """A running one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sink.got.append((self.path, dict(self.headers), json.loads(body)))
            if sink.before is not None:
                sink.before(self.path)
            if sink.drip_seconds:
                self.drip()
                return
            self.send_response(sink.status.get(self.path, 200))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def drip(self) -> None:
            """One byte now and then: no time-out of a socket ever strikes."""
            try:
                for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10000:
                    self.wfile.write(bytes([letter]))
                    self.wfile.flush()
                    if stopped.wait(sink.drip_seconds):
                        return
            except OSError:
                return

        def log_message(self, *_arguments: Any) -> None:
            """Quiet."""

    stopped = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    sink = HttpSink(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class MailSink:
    """Takes mail from whoever gives the password; ``reject`` is what it says to every recipient instead."""

    port: int = 0
    reject: str = ""
    mails: list[Message] = field(default_factory=list)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.reject:
            return self.reject
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 taken"

    def texts(self) -> list[str]:
        return [part.get_payload(decode=True).decode() for mail in self.mails for part in mail.walk() if part.get_content_type() == "text/plain"]

    def subjects(self) -> list[str]:
        return [str(email.header.make_header(email.header.decode_header(mail["Subject"]))) for mail in self.mails]


@contextmanager
def mail_sink(password: str) -> Iterator[MailSink]:
    """A running one."""
    sink = MailSink(free_port())

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: Any) -> AuthResult:
        return AuthResult(success=data.password == password.encode())

    controller = Controller(sink, hostname="127.0.0.1", port=sink.port, authenticator=authenticate, auth_require_tls=False)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
