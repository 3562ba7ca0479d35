# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the container engine: it speaks the Exec part of its API on a socket, and runs the programs on this host.

Like the real one it lets a program go on when its caller goes away, and then throws its output away.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

FRAME_BYTES = 32768


class Engine:
    """One container, ``known``, in which programs see ``environment``. ``frame_bytes`` is the most that one frame holds."""

    def __init__(self, path: Path, environment: dict[str, str], known: str = "db") -> None:
        self.path, self._environment, self._known = path, dict(environment), known
        self.execs: dict[str, dict[str, Any]] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.frame_bytes = FRAME_BYTES
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No engine, and no program of it."""
        self._listener.close()
        for process in self.processes:
            process.kill()
            process.wait(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while True:
                request = _request(connection)
                if request is None:
                    return
                _method, path, body = request
                match = re.fullmatch(r"/(containers|exec)/([^/]+)/(exec|start|json)", path)
                if not match:
                    _answer(connection, 404, {"message": "page not found"})
                elif match[3] == "exec":
                    self._create(connection, match[2], body)
                elif match[2] not in self.execs:
                    _answer(connection, 404, {"message": f"No such exec instance: {match[2]}"})
                elif match[3] == "json":
                    _answer(connection, 200, self._state(match[2]))
                else:
                    self._start(connection, self.execs[match[2]])
                    return

    def _create(self, connection: socket.socket, container: str, body: dict[str, Any]) -> None:
        if container == "stopped":
            _answer(connection, 409, {"message": "Container stopped is not running"})
        elif container != self._known:
            _answer(connection, 404, {"message": f"No such container: {container}"})
        else:
            number = f"{len(self.execs) + 1:064x}"
            self.execs[number] = dict(body)
            _answer(connection, 201, {"Id": number})

    def _state(self, number: str) -> dict[str, Any]:
        process = self.execs[number].get("process")
        code = process.poll() if process else None
        shown = 128 - code if code is not None and code < 0 else code
        return {"ID": number, "Running": code is None, "ExitCode": shown, "Pid": process.pid if process else 0}

    def _start(self, connection: socket.socket, asked: dict[str, Any]) -> None:
        environment = {**self._environment, **dict(pair.split("=", 1) for pair in asked["Env"])}
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        try:
            process = subprocess.Popen(
                asked["Cmd"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:
            asked["process"] = subprocess.Popen(["sh", "-c", "exit 126"])
            connection.sendall(_frame(1, f"OCI runtime exec failed: exec failed: {error}\r\n".encode()))
            return
        asked["process"] = process
        self.processes.append(process)
        lock = threading.Lock()
        pipes = ((process.stdout, 1), (process.stderr, 2))
        outputs = [threading.Thread(target=self._copy, args=(pipe, stream, connection, lock), daemon=True) for pipe, stream in pipes]
        feeder = threading.Thread(target=_feed, args=(connection, process), daemon=True)
        for thread in (*outputs, feeder):
            thread.start()
        for thread in outputs:
            thread.join()
        process.wait()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the feeder

    def _copy(self, pipe: Any, stream: int, connection: socket.socket, lock: threading.Lock) -> None:
        there = True
        while True:
            block = os.read(pipe.fileno(), self.frame_bytes)
            if not block:
                return
            try:
                with lock:
                    if there:
                        connection.sendall(_frame(stream, block))
            except OSError:
                there = False


def _feed(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError), process.stdin or contextlib.nullcontext() as pipe:
        while pipe:
            block = connection.recv(FRAME_BYTES)
            if not block:
                return
            view = memoryview(block)
            while view:
                view = view[pipe.write(view) :]


def _frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def _request(connection: socket.socket) -> tuple[str, str, dict[str, Any]] | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)  # what follows belongs to the program
        if not byte:
            return None
        head += byte
    method, path, _version = head.split(b"\r\n")[0].decode().split()
    length = re.search(rb"(?i)content-length: (\d+)", head)
    body = b""
    while length and len(body) < int(length[1]):
        body += connection.recv(int(length[1]) - len(body))
    return method, path, json.loads(body) if body else {}


def _answer(connection: socket.socket, status: int, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
