# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands between a host and a real server, and breaks at any byte: a connection that is cut, reset, stalls or crawls, a bit that flips."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

UP, DOWN = "up", "down"
PATIENCE = 60.0


@dataclass
class Break:
    """``how`` it breaks at byte ``at`` of all that went this ``way`` (up to the server, or down).

    cut, reset, stall, slow, flip: once, in that connection; gone: from there on every connection is cut; call: ``then`` is called, and it goes on.
    """

    way: str
    how: str
    at: int
    then: Callable[[], Any] | None = None
    met: bool = False


class Proxy:
    """On loopback, in front of ``server`` (host and port)."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.passed = {UP: 0, DOWN: 0}
        self.fault: Break | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def breaks(self, fault: Break | None) -> None:
        """From now on, counted from here; None for never."""
        with self._lock:
            self.passed, self.fault = {UP: 0, DOWN: 0}, fault

    def close(self) -> None:
        self._ended.set()
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                try:
                    server = socket.create_connection(self.server, PATIENCE)
                except OSError:
                    client.close()
                    continue
                for way, source, sink in ((UP, client, server), (DOWN, server, client)):
                    threading.Thread(target=self._pump, args=(way, source, sink), daemon=True).start()

    def _pump(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(16384)
                if not data or not self._through(way, data, (source, sink)):
                    break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        if way == UP:  # the other one has them open too
            sink.close()
            source.close()

    def _through(self, way: str, data: bytes, between: tuple[socket.socket, socket.socket]) -> bool:
        """Whether it goes on."""
        with self._lock:
            fault, start = self.fault, self.passed[way]
            self.passed[way] += len(data)
            hit = fault is not None and fault.way == way and start <= fault.at < start + len(data) and not fault.met
            if fault is not None and hit:
                fault.met = True
        if fault is None or not hit:
            if fault is not None and fault.how == "gone" and fault.met:
                return False
            between[1].sendall(data)
            return True
        return self._break(fault, fault.at - start, data, between)

    def _break(self, fault: Break, place: int, data: bytes, between: tuple[socket.socket, socket.socket]) -> bool:
        source, sink = between
        if fault.how == "flip":
            data = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        elif fault.how == "call" and fault.then is not None:
            fault.then()
        elif fault.how == "slow":
            for number in range(0, len(data), 512):
                sink.sendall(data[number : number + 512])
                self._ended.wait(0.03)
            return True
        elif fault.how != "call":
            sink.sendall(data[:place])
            if fault.how == "stall":
                self._ended.wait(PATIENCE)
            if fault.how == "reset":
                for one in (source, sink):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.close()
            return False
        sink.sendall(data)
        return True


@contextlib.contextmanager
def between(server: tuple[str, int]) -> Iterator[Proxy]:
    """One that is there for a while."""
    proxy = Proxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
