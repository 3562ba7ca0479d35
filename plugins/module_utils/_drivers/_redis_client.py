# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with a Redis server by redis-py, on its bare connection: it never connects, or asks, a second time by itself.

See https://redis.io/docs/latest/commands/ and, for rights, https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .._core.backup_types import Context
from .._core.errors import Busy, InvalidInput, MissingLibrary, RunbookError, TimedOut, Unreachable
from .._core.probe import Deadline
from ._child_process import PIPE_BYTES, Command, Patience, Stalled
from ._docker_exec import Container
from ._pg_errors import AuthFailed, ConnectionLost, TlsFailed
from ._redis_docker import Docker
from ._tls_context import trusting, verifying

STALL_SECONDS = 30.0
"""How long a server may not answer. One with much data stands still for a moment when it forks."""

RIGHTS = "+info +time +bgsave +config|get"
"""What a backup asks."""

_SHOWN = 300
_PLAIN_SECONDS = 2.0


class Denied(RunbookError):
    """The user lacks a right."""

    code = "permission_denied"


class CommandRefused(RunbookError):
    """The server does not do what it was asked."""

    code = "command_refused"


# What redis-py raises (the name of its class and the text; the first that matches counts), what it is, and what to do.
_MEANINGS: tuple[tuple[str, type[RunbookError], str], ...] = (
    (r"NOPERM|NoPermission|no permissions|renamed|unknown (sub)?command", Denied, ""),
    (r"NOAUTH|WRONGPASS|Authentication|invalid (password|username)|\bAUTH\b", AuthFailed, "see user and secret_password, and ACL LIST on the server"),
    (r"BusyLoading|LOADING", Busy, "wait until the server has loaded its data"),
    (r"(?i)\bSSL|certificate|\bTLS\b|wrong version number", TlsFailed,
     "see tls, and give tls_ca (the authority's certificate) and the host as it is named in the server's certificate"),
    (r"Error -?\d+ |connecting to|Name or service|refused|No such file|max number of clients", Unreachable, "see whether the server runs and listens there"),
    (r"ConnectionError|Connection closed|reset by peer", ConnectionLost, "see the server's log, and try again once it is up"),
)  # fmt: skip


class _Hurried:
    """A socket that never waits beyond the deadline, however often it is read, and however little comes each time."""

    def __init__(self, inner: Any, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def recv(self, *arguments: Any) -> Any:
        """As that of a socket."""
        return self.in_time().recv(*arguments)

    def recv_into(self, *arguments: Any) -> Any:
        """As that of a socket."""
        return self.in_time().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> Any:
        """As that of a socket."""
        return self.in_time().sendall(*arguments)

    def in_time(self) -> Any:
        """The socket itself; its next step may take the time that is left."""
        self._inner.settimeout(min(self._inner.gettimeout(), max(0.01, self._deadline.remaining())))
        return self._inner


def _hurried(kind: Any, deadline: Deadline) -> Any:
    """A connection of redis-py's ``kind``; by itself each of its reads, also those of logging in, would have the whole time."""

    class Hurried(kind):  # type: ignore[misc]  # known at run time only
        """The same, by the deadline."""

        def _connect(self) -> Any:
            return _Hurried(super()._connect(), deadline)

    return Hurried


class Client:
    """The way to one server, as ``options`` say; ``rights`` are what its user is told to need."""

    def __init__(self, options: Mapping[str, Any], context: Context, rights: str = RIGHTS) -> None:
        self.options, self.deadline, self.rights = options, context.deadline, rights
        if options.get("unix_socket") and (options.get("host") or options.get("container")):
            raise InvalidInput("redis: unix_socket excludes host and container", "leave one of them out")
        self.stall = float(options.get("stall_timeout_seconds") or STALL_SECONDS)
        self.secret = str(options.get("secret_password") or "")

    @property
    def place(self) -> str:
        """Where the data is, for people."""
        options = self.options
        if options.get("container"):
            return f"redis in container {options['container']}"
        return f"redis on {options.get('unix_socket') or '{}:{}'.format(options.get('host') or '127.0.0.1', options.get('port') or 6379)}"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Logged in. Raises AuthFailed, TlsFailed, Unreachable, Busy, Stalled, TimedOut, MissingLibrary."""
        connection = self._connection()
        session = Session(self, connection)
        try:
            session.connect()
            yield session
        finally:
            connection.disconnect()

    def _connection(self) -> Any:
        try:
            import redis
        except ImportError:
            raise MissingLibrary("redis", "python3-redis", "to talk to Redis") from None
        options = self.options
        common: dict[str, Any] = {"socket_timeout": max(0.01, min(self.stall, self.deadline.remaining()))}
        if int(redis.__version__.partition(".")[0]) >= 5:
            common["protocol"] = 2  # from 8 on it would speak version 3, which has other answers
        if self.secret:
            common.update(password=self.secret, username=options.get("user") or None)
        if options.get("unix_socket"):
            return _hurried(redis.UnixDomainSocketConnection, self.deadline)(path=options["unix_socket"], **common)
        host = options.get("host") or (self._address_in() if options.get("container") else "127.0.0.1")
        common.update(host=host, port=options.get("port") or 6379, socket_connect_timeout=common["socket_timeout"])
        if not options.get("tls"):
            return _hurried(redis.Connection, self.deadline)(**common)
        context = verifying(options.get("tls_ca")) if options.get("tls_verify", True) else trusting()
        deadline = self.deadline

        class Encrypted(redis.Connection):  # type: ignore[misc]  # redis-py's own has other defaults in every version
            """The same, by the house's rules of TLS."""

            def _connect(self) -> Any:
                try:
                    return context.wrap_socket(_Hurried(super()._connect(), deadline).in_time(), server_hostname=host)
                except socket.timeout:
                    _refuse_plain(host, common["port"])
                    raise

        return _hurried(Encrypted, deadline)(**common)

    def _address_in(self) -> str:
        """The container's own address, so that no port needs to be published."""
        return Docker(self.options["container"]).address(self.deadline)

    def failure(self, error: Exception, what: str) -> RunbookError:
        """The error that something redis-py raised means."""
        told = f"{type(error).__name__}: {error}"
        if "Timeout" in told:
            if self.deadline.remaining() <= 0:
                return TimedOut(f"{what} on {self.place} was not done when its time was over", "allow more time, or see what slows it down")
            return Stalled(f"{self.place} does not answer to {what}", f"it has {self.stall:g} s (stall_timeout_seconds): see its log and load, and the network")
        text = str(error)[:_SHOWN].replace(self.secret, "***") if self.secret else str(error)[:_SHOWN]  # a server may quote what it was sent
        kind, hint = next(((kind, hint) for pattern, kind, hint in _MEANINGS if re.search(pattern, told)), (CommandRefused, "see the server's log"))
        user = self.options.get("user") or "default"
        return kind(f"{what} on {self.place} failed: {text}", hint or f"give the user these rights: ACL SETUSER {user} {self.rights}")


def _refuse_plain(host: str, port: int) -> None:
    """Raises TlsFailed for a server without TLS: it takes the beginning of a handshake for that of a command, and waits for the rest."""
    with suppress(OSError), socket.create_connection((host, port), _PLAIN_SECONDS) as connection:
        connection.sendall(b"PING\r\n")
        if connection.recv(1) in (b"+", b"-"):
            raise TlsFailed(f"the server on {host}:{port} speaks no TLS there", "give the port of its parameter tls-port, or tls: false")


class Session:
    """Commands and their answers, one after the other."""

    def __init__(self, client: Client, connection: Any) -> None:
        self._client, self._connection = client, connection

    @property
    def place(self) -> str:
        """Where the data is, for people."""
        return self._client.place

    @property
    def deadline(self) -> Deadline:
        """Of all that is done."""
        return self._client.deadline

    def connect(self) -> None:
        """And log in; the server answers at least once."""
        with self._explained("logging in"):
            self._connection.connect()
        self.info("server")

    def ask(self, *words: Any) -> Any:
        """What one command answers: bytes, int, None, or lists of them. Raises Denied, CommandRefused, Stalled, ConnectionLost."""
        if self.deadline.remaining() <= 0:
            raise TimedOut(f"{words[0]} on {self.place} was not done when its time was over", "allow more time, or see what slows it down")
        with self._explained(str(words[0])):
            self._connection.send_command(*words)
            return self._connection.read_response()

    def info(self, section: str) -> dict[str, str]:
        """The fields of a section of INFO."""
        lines = self.ask("INFO", section).decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

    def config(self, name: str) -> str | None:
        """A parameter of the configuration; None where this user may not see it, or there is none of that name."""
        try:
            found = self.ask("CONFIG", "GET", name)
        except Denied:
            return None
        return found[1].decode("utf-8", "surrogateescape") if found else None

    def needed(self, name: str, option: str) -> str:
        """The same; where it cannot be seen, ``option`` tells."""
        found = self._client.options.get(option) or self.config(name)
        if not found:
            raise Denied(f"CONFIG GET {name} is forbidden on {self.place}", f"give the option {option}, or the user these rights: {self._client.rights}")
        return str(found)

    def pause(self, seconds: float = 0.05) -> None:
        """Between two looks."""
        if self.deadline.remaining() <= 0:
            raise TimedOut(f"{self.place} was not done when the time was over", "allow more time, or see what slows it down")
        time.sleep(seconds)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise self._client.failure(error, what) from None
        except Exception as error:
            if not type(error).__module__.startswith("redis"):
                raise
            raise self._client.failure(error, what) from None


def in_container(options: Mapping[str, Any], argv: list[str], deadline: Deadline) -> bytes:
    """What a small program in the server's container prints. Raises Unreachable, NotThere, RunbookError."""
    transport = Container(options["container"], options.get("container_user") or "")
    with transport.start(Command(argv, {"LC_ALL": "C"}, Patience(argv[0], deadline, STALL_SECONDS))) as child:
        printed = b"".join(iter(lambda: child.read(PIPE_BYTES), b""))
        status = child.finish()
        if status:
            said = child.said()[-_SHOWN:]
            raise RunbookError(f"{argv[0]} in the container {options['container']} ended with exit status {status}: {said}", "see the container")
    return printed
