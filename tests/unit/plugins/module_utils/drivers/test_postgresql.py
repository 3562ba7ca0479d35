# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL without a server: what does not speak, or says something else. Real servers are in the integration tests."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import MissingLibrary, RunbookError, TimedOut, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import DeadlinePassed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _pg_health_session as sessions
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import postgresql, sql
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._time_left import TimeLeft


def ask(probe_of: Any, port: int, seconds: float = 20.0, whole: float = 30.0) -> Any:
    connection = {"postgresql": {"database": "orders", "host": "127.0.0.1", "port": port, "sslmode": "disable"}}
    options = {"connection": "main", "min_dead_tuples": 10000, "timeout_seconds": seconds}
    return postgresql.measure(options, probe_of(whole, connection=connection))


@pytest.fixture
def library() -> None:
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed (requirements.txt)")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\0" * 100, b"R\0\0\0\x08\0\0\0\0Z"])
def test_something_else_listens_there(answer: bytes, library: None, serve: Callable[..., int], probe_of: Any) -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer)

    with pytest.raises((Unreachable, TimedOut)):
        ask(probe_of, serve(handle), 5.0)


@pytest.mark.parametrize(("seconds", "whole", "error"), [(0.2, 30.0, TimedOut), (20.0, 0.3, DeadlinePassed)])
def test_silence(seconds: float, whole: float, error: type[Exception], library: None, serve: Callable[..., int], probe_of: Any) -> None:
    with pytest.raises(error) as caught:
        ask(probe_of, serve(lambda connection: time.sleep(2)), seconds, whole)
    assert isinstance(caught.value, DeadlinePassed) is (error is DeadlinePassed)


def test_nobody_takes_the_connection(library: None, silent_port: int, probe_of: Any) -> None:
    with pytest.raises(TimedOut):
        ask(probe_of, silent_port, 0.3)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, free_port: int, probe_of: Any) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(MissingLibrary, match="psycopg2"):
        ask(probe_of, free_port)
    with pytest.raises(MissingLibrary, match="psycopg2"):
        sql.measure({"connection": "main", "query": "select 1", "parameters": [], "timeout_seconds": 1.0},
                    probe_of(connection={"postgresql": {"database": "orders"}}))  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"sslmode": "disable"}),
        ({"host": "/run/postgresql"}, {"sslmode": "disable", "host": "/run/postgresql"}),
        ({"host": "127.0.0.1"}, {"sslmode": "verify-full", "host": "127.0.0.1", "hostaddr": "127.0.0.1"}),
        ({"host": "127.0.0.1", "sslmode": "require"}, {"sslmode": "require", "host": "127.0.0.1", "hostaddr": "127.0.0.1"}),
        ({"container": "db", "network": "back"}, {"sslmode": "prefer", "host": "127.0.0.9", "hostaddr": "127.0.0.9"}),
        ({"user": "watcher", "secret_password": "x", "port": 5433}, {"sslmode": "disable", "user": "watcher", "password": "x", "port": 5433}),
    ],
)
def test_how_a_server_is_reached(
    given: dict[str, Any], expected: dict[str, Any], library: None, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def host_of(options: dict[str, Any], left: TimeLeft, host: str) -> str:
        asked.append(options.get("network"))
        return "127.0.0.9" if options.get("container") else host

    monkeypatch.setattr(sessions, "host_of", host_of)
    found = sessions._parameters({"database": "orders", **given}, TimeLeft(probe, 5.0, "it", ""))
    fixed = {"dbname": "orders", "port": 5432, "application_name": "tradeops health", "client_encoding": "UTF8", "gssencmode": "disable"}
    assert found == {**fixed, **expected} and asked == [given.get("network")]


def test_one_address_is_not_asked_twice(library: None, serve: Callable[..., int], probe_of: Any) -> None:
    taken: list[Any] = []
    with pytest.raises((Unreachable, TimedOut)):
        ask(probe_of, serve(taken.append), 5.0)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("said", "code", "hint"),
    [
        ('FATAL:  sorry, too many clients already', "unreachable", "pg_stat_activity"),
        ('FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute', "unreachable", "max_connections"),
        ('FATAL:  too many connections for role "watcher"', "unreachable", "pg_stat_activity"),
        ('FATAL:  the database system is starting up', "unreachable", "runs"),
        ('FATAL:  Passwort-Authentifizierung für Benutzer »watcher« fehlgeschlagen', "unreachable", "runs"),
        ('FATAL:  password authentication failed for user "watcher"', "auth", "secret_password"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "watcher"', "auth", "pg_hba.conf"),
        ('FATAL:  database "orders" does not exist', "verify_failed", "name of the database"),
        ('SSL error: certificate verify failed', "tls", "sslrootcert"),
    ],
)
def test_why_a_connection_failed(said: str, code: str, hint: str) -> None:
    found: RunbookError = sessions._refused("orders on db:5432", f'connection to server at "db" (10.0.0.5), port 5432 failed: {said}\n')
    assert found.code == code and hint in found.hint and said.split("  ")[-1].strip() in found.message
