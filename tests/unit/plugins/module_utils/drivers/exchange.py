# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request as the module hands it to the driver, and the other end of it."""

from __future__ import annotations

import re
import socket
from typing import Any


def options(port: int, path: str = "/health", **more: Any) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{port}{path}", "method": "GET", "headers": {}, "secret_headers": None, "read": {}, "expect_refused": False,
            "max_bytes": 1048576, "ca_path": None, "validate_certs": True, "timeout_seconds": 5.0, **more}  # fmt: skip


def request_of(connection: socket.socket) -> str:
    """What a client sends, up to the empty line; nothing when it hangs up before."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return ""
        received += more
    return received.decode("latin-1")


def posting_to(serve: Any, answers: bytes | dict[str, bytes]) -> tuple[int, list[str]]:
    """A server that gives the answer of each path, or one answer to all; its port, and the requests it gets, with their bodies."""
    requests: list[str] = []

    def handle(connection: socket.socket) -> None:
        head = request_of(connection)
        if head:
            requests.append(with_body(connection, head))
            connection.sendall(answers if isinstance(answers, bytes) else answers.get(head.split(" ")[1], reply(404)))

    return int(serve(handle)), requests


def with_body(connection: socket.socket, head: str) -> str:
    """A request whose head was received."""
    length = re.search(r"(?i)\r\ncontent-length: (\d+)", head)
    request = head
    while length and len(request.partition("\r\n\r\n")[2]) < int(length[1]):
        request += connection.recv(65536).decode("latin-1")
    return request


def reply(status: int = 200, body: bytes = b"", **fields: str) -> bytes:
    head = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(body)}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join([*head, "", ""]).encode() + body
