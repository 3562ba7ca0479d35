# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Journal and containers. journalctl is a script here, for its arguments and its ways to fail; the engine speaks the real protocol."""

from __future__ import annotations

import json
import os
import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._log_streams import open_container, open_journal
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._time_left import TimeLeft

LINES = "2026-11-20T10:15:00.000001+0000 host api[1]: one\n2026-11-20T10:15:01.000001+0000 host api[1]: two\n"
SCRIPT = """#!/bin/sh
echo "$@" >> {folder}/arguments
{body}
"""


def left(seconds: float = 20.0) -> TimeLeft:
    return TimeLeft(Probe(Deadline(60, time.monotonic), time.time()), seconds, "reading", "wait")


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a journalctl with this body on the path."""

    def make(body: str) -> None:
        script = tmp_path / "journalctl"
        script.write_text(SCRIPT.format(folder=tmp_path, body=body))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return make


def drain(reading: Any) -> bytes:
    data = b"".join(reading.segments[0].blocks())
    reading.done(reading.segments[0], 0)
    return data


def test_journal_from_a_time_and_then_from_its_cursor(journalctl: Any, tmp_path: Path) -> None:
    journalctl(f"printf '%s' '{LINES}'; echo '-- cursor: s=1;i=2'")
    reading = open_journal("api", None, 1000.7, left())
    assert drain(reading) == LINES.encode()
    assert reading.bookmark() == {"version": 1, "cursor": "s=1;i=2"}
    assert "--unit=api" in (tmp_path / "arguments").read_text() and "--since=@1000" in (tmp_path / "arguments").read_text()
    drain(open_journal("api", reading.bookmark(), 1000.7, left()))
    assert "--after-cursor=s=1;i=2" in (tmp_path / "arguments").read_text()


def test_a_large_journal_comes_in_blocks_without_its_cursor(journalctl: Any) -> None:
    journalctl("seq 1 100000; echo '-- cursor: s=9'")
    reading = open_journal("api", None, 0.0, left())
    assert drain(reading) == b"".join(b"%d\n" % number for number in range(1, 100001))
    assert reading.bookmark()["cursor"] == "s=9"


def test_a_cursor_that_is_gone_is_lost(journalctl: Any) -> None:
    journalctl(f"case \"$*\" in *after-cursor*) echo 'Failed to seek to cursor' >&2; exit 1;; esac; printf '%s' '{LINES}'; echo '-- cursor: s=2'")
    reading = open_journal("api", {"version": 1, "cursor": "s=1"}, 0.0, left())
    assert drain(reading) == LINES.encode()
    assert reading.lost and "no longer in the journal" in reading.notes[0]
    assert reading.bookmark()["cursor"] == "s=2"


def test_a_journal_without_entries_is_empty(journalctl: Any) -> None:
    journalctl("exit 1")
    assert drain(open_journal("api", None, 0.0, left())) == b""


def test_a_journal_that_may_not_be_read_says_so(journalctl: Any) -> None:
    journalctl("echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1")
    with pytest.raises(RunbookError, match="insufficient permissions"):
        drain(open_journal("api", None, 0.0, left()))


def test_a_journal_that_hangs_is_ended(journalctl: Any) -> None:
    journalctl("echo one; exec sleep 60")
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        drain(open_journal("api", None, 0.0, left(0.5)))
    assert time.monotonic() - begun < 10


def test_no_journalctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunbookError, match="cannot be run"):
        drain(open_journal("api", None, 0.0, left()))


@pytest.mark.parametrize("unit", ["", "--root=/", "a\0b"])
def test_a_unit_is_no_option(unit: str) -> None:
    with pytest.raises(InvalidInput):
        open_journal(unit, None, 0.0, left())


@pytest.mark.parametrize("bookmark", [{}, {"version": 2, "cursor": "x", "at": "x"}, {"version": 1, "cursor": 3, "at": 3}])
def test_a_bookmark_that_is_none(bookmark: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        open_journal("api", bookmark, 0.0, left())
    with pytest.raises(InvalidInput):
        open_container("api", bookmark, 0.0, left())


class Engine(BaseHTTPRequestHandler):
    """As much of the engine as the driver asks: inspect, and logs as frames, cut at odd places."""

    protocol_version = "HTTP/1.1"
    container, tty = "a" * 64, False
    log: list[tuple[int, bytes]] = []
    asked: list[str] = []

    def do_GET(self) -> None:
        Engine.asked.append(self.path)
        if "/gone/" in self.path:
            self._send(404, json.dumps({"message": "No such container: gone"}).encode())
        elif self.path.endswith("/json"):
            self._send(200, json.dumps({"Id": Engine.container, "Config": {"Tty": Engine.tty}}).encode())
        else:
            frames = [data if Engine.tty else bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for stream, data in Engine.log]
            self._send(200, b"".join(frames))

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(data), 7):
            part = data[start : start + 7]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_arguments: Any) -> None:
        """Quiet."""


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> Any:
        connection, _address = super().get_request()
        return connection, ("engine", 0)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Engine]]:
    Engine.log, Engine.asked, Engine.tty, Engine.container = [], [], False, "a" * 64
    server = Server(str(tmp_path / "s"), Engine)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    yield Engine
    server.shutdown()
    server.server_close()


STAMPS = [f"2026-11-20T10:15:0{second}.123456789Z".encode() for second in range(4)]


def test_frames_of_two_streams_become_whole_lines(engine: type[Engine]) -> None:
    engine.log = [(1, STAMPS[0] + b" half "), (2, STAMPS[0] + b" error\n"), (1, b"of it\n"), (1, STAMPS[1] + b" last\n")]
    reading = open_container("api", None, 1000.0, left())
    assert drain(reading).splitlines() == [STAMPS[0] + b" error", STAMPS[0] + b" half of it", STAMPS[1] + b" last"]
    assert reading.bookmark() == {"version": 1, "at": STAMPS[1].decode(), "count": 1, "id": "a" * 64}
    assert "since=1000.000000000" in engine.asked[1]


def test_a_terminal_has_no_frames(engine: type[Engine]) -> None:
    engine.tty = True
    engine.log = [(0, STAMPS[0] + b" one\n" + STAMPS[1] + b" two\n")]
    assert drain(open_container("api", None, 0.0, left())).count(b"\n") == 2


def test_lines_of_the_last_instant_are_not_read_twice(engine: type[Engine]) -> None:
    engine.log = [(1, STAMPS[0] + b" one\n"), (1, STAMPS[0] + b" two\n")]
    reading = open_container("api", None, 0.0, left())
    drain(reading)
    bookmark = json.loads(json.dumps(reading.bookmark()))
    engine.log += [(1, STAMPS[0] + b" three\n"), (1, STAMPS[1] + b" four\n")]
    again = open_container("api", bookmark, 0.0, left())
    assert [line[-5:].strip() for line in drain(again).splitlines()] == [b"three", b"four"]
    assert engine.asked[-1].endswith("since=1795169700.123456789")
    once_more = open_container("api", again.bookmark(), 0.0, left())
    engine.log = [(1, STAMPS[1] + b" four\n")]
    assert drain(once_more) == b""
    assert once_more.bookmark() == again.bookmark()


def test_a_new_container_of_the_same_name_is_read_from_its_beginning(engine: type[Engine]) -> None:
    engine.log = [(1, STAMPS[0] + b" one\n")]
    bookmark = {"version": 1, "at": STAMPS[3].decode(), "count": 1, "id": "b" * 64}
    reading = open_container("api", bookmark, 5.0, left())
    assert drain(reading).endswith(b" one\n")
    assert "made anew" in reading.notes[0]


def test_a_container_that_is_not_there(engine: type[Engine]) -> None:
    with pytest.raises(RunbookError, match="No such container"):
        open_container("gone", None, 0.0, left())


def test_an_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with pytest.raises(RunbookError, match="does not answer"):
        open_container("api", None, 0.0, left())
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    with pytest.raises(RunbookError, match="only a local engine"):
        open_container("api", None, 0.0, left())
