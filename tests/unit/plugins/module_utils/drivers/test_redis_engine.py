# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of a container engine that are long, cut or no answers, from a stand-in on a socket of its own."""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import TimedOut, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_docker import Docker

Answer = Callable[[str, int, bytes], None]


def deadline(seconds: float = 20.0) -> Deadline:
    return Deadline(seconds, time.monotonic)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """Says what a method is answered: a status and a body."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            status, body = answers[self.command]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = do

        def address_string(self) -> str:
            return "local"

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with tempfile.TemporaryDirectory(prefix="engine-") as folder:  # short: the path of a socket has at most 107 characters
        path = Path(folder) / "socket"
        server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        try:
            yield lambda method, status, body: answers.update({method: (status, body)})
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def test_a_long_answer_is_read_to_its_end(answer: Answer) -> None:
    body = {"Config": {"Labels": {"much": "x" * (3 << 20)}}}
    answer("GET", 200, json.dumps(body).encode())
    assert Docker("db").inspect(deadline()) == body


@pytest.mark.parametrize(
    ("body", "what"),
    [(b"", "no document"), (b'{"Config": {"Lab', "no document"), (b"<html>", "no document"), (b'"text"', "no document"), (b" " * (33 << 20), "more than")],
    ids=["empty", "cut", "another", "text", "endless"],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(answer: Answer, body: bytes, what: str) -> None:
    answer("GET", 200, body)
    with pytest.raises(Unreachable, match=what):
        Docker("db").inspect(deadline())


def test_an_answer_without_content(answer: Answer) -> None:
    for status in (204, 304):
        answer("POST", status, b"")
        Docker("db").start(deadline())


def test_a_container_that_stays_is_an_error_in_time(answer: Answer) -> None:
    answer("DELETE", 409, b'{"message": "removal of container db is already in progress"}')
    answer("GET", 200, b"{}")
    with pytest.raises(TimedOut, match="not removed"):
        Docker("db").remove(deadline(0.3))
