# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a container engine that is well, gone, closed to us, slow, or something else; the engine is a stand-in on a real socket."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, NotThere, RunbookError, TimedOut, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Deadline, DeadlinePassed, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import container, http, tcp
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._container_address import address_of
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._engine_api import EngineApi
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._engine_socket import Until

from .authority import Authority
from .exchange import options, reply, request_of

Handle = Callable[[socket.socket], None]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:  # the path of a socket has at most 107 characters, and that of a test has more
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def listening(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Handle], None]]:
    """Starts an engine that handles each connection with the given function."""
    with contextlib.ExitStack() as stack:

        def start(handle: Handle) -> None:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(folder / "docker.sock"))
            listener.listen(8)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)  # closing alone would not wake the thread
            threading.Thread(target=_accept, args=(listener, handle), daemon=True).start()
            monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")

        yield start


def _accept(listener: socket.socket, handle: Handle) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _address = listener.accept()
            with connection, contextlib.suppress(OSError):
                handle(connection)


def described(name: str, **more: Any) -> dict[str, Any]:
    return {"Id": f"id-{name}", "Name": f"/{name}", "State": {"Status": "running", "Running": True}, "HostConfig": {"NetworkMode": "net"},
            "NetworkSettings": {"Networks": {"net": {"IPAddress": "127.0.0.1", "GlobalIPv6Address": ""}}}, **more}  # fmt: skip


def engine_of(*containers: dict[str, Any]) -> Handle:
    """Knows containers, and filters by name as the real one does, with a regular expression."""

    def handle(connection: socket.socket) -> None:
        target = urlsplit(request_of(connection).split(" ")[1])
        filters = json.loads(parse_qs(target.query)["filters"][0]) if target.query else {}
        found = [one for one in containers if target.path == f"/containers/{one['Id']}/json"]
        if target.path == "/containers/json":
            connection.sendall(reply(200, json.dumps([one for one in containers if _fits(one, filters)]).encode()))
        elif found and not found[0].get("gone"):
            connection.sendall(reply(200, json.dumps(found[0]).encode()))
        else:
            connection.sendall(reply(404, json.dumps({"message": f"No such thing: {unquote(target.path)}"}).encode()))

    return handle


def _fits(one: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    labels = [f"{name}={value}" for name, value in one.get("Config", {}).get("Labels", {}).items()]
    return any(re.search(item, one["Name"]) for item in filters.get("name", [""])) and set(filters.get("label", [])) <= set(labels)


def deadline(seconds: float = 10.0) -> Until:
    return Until(Deadline(seconds, time.monotonic))


def test_only_exactly_these_names(listening: Any) -> None:
    listening(engine_of(*(described(name) for name in ("api", "api-2", "my-api", "a.i", "db"))))
    names = [one["Name"] for one in EngineApi(deadline()).named(["api", "a.i", "nothing"])]
    assert sorted(names) == ["/a.i", "/api"]


@pytest.mark.parametrize("name", ["", "-api", "a b", "../images/x", "a?b", "api/json", "ä", ".*"])
def test_what_is_no_name_is_not_asked_for(name: str, listening: Any) -> None:
    listening(lambda connection: pytest.fail("asked"))
    with pytest.raises(InvalidInput, match="not the name of a container"):
        EngineApi(deadline()).named([name])


def test_one_that_goes_between_two_questions(listening: Any) -> None:
    listening(engine_of(described("api"), described("db", gone=True)))
    assert [one["Id"] for one in EngineApi(deadline()).named(["api", "db"])] == ["id-api"]


def test_an_image_that_is_not_there(listening: Any) -> None:
    listening(engine_of())
    with pytest.raises(NotThere, match="No such thing: /images/repo/app:1/json"):
        EngineApi(deadline()).image("repo/app:1")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(500, b'{"message": "driver failed"}'), "driver failed"), (reply(409, b'{"message": "is not running"}'), "is not running"),
        (reply(503, b"{}"), "status 503"), (reply(200, b"<html>"), "no document"),
        (reply(200, b'[{"Id": "x"'), "no document"), (b"", "broke off"), (b"220 mail\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", "no document"),
    ],
)  # fmt: skip
def test_an_engine_that_is_broken_is_bad_news(answer: bytes, words: str, listening: Any) -> None:
    def handle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(answer)

    listening(handle)
    with pytest.raises(Unreachable, match=words):
        EngineApi(deadline()).containers({})


@pytest.mark.parametrize("status", [400, 403, 501])
def test_what_an_engine_cannot_do_says_nothing_about_the_container(status: int, listening: Any) -> None:
    def handle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(reply(status, b'{"message": "configured logging driver does not support reading"}'))

    listening(handle)
    with pytest.raises(RunbookError, match="does not support reading") as caught:
        EngineApi(deadline()).containers({})
    assert caught.value.code == "failed"


def test_an_answer_that_trickles_ends_in_time(listening: Any, probe_of: Any) -> None:
    def handle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[")
        for _byte in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    listening(handle)
    started = time.monotonic()
    with pytest.raises(TimedOut, match="longer than 0.5 s"):
        container.measure({"names": ["api"], "timeout_seconds": 0.5}, probe_of())
    assert time.monotonic() - started < 8  # all of it takes 10 s


def test_an_engine_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(Unreachable, match="none.sock does not answer: No such file"):
        EngineApi(deadline()).containers({})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user who may not")
def test_an_engine_that_may_not_be_asked_says_nothing_about_it(folder: Path, as_nobody: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "docker.sock"))
        listener.listen()
        os.chmod(folder / "docker.sock", 0o600)

        def ask() -> str:
            try:
                EngineApi(deadline()).containers({})
            except RunbookError as error:
                return f"{error.code}: {error.message}"
            return ""

        assert as_nobody(ask) == f"failed: the container engine at {folder}/docker.sock may not be asked"


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://host"])
def test_only_the_engine_of_this_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(RunbookError, match="only a local engine"):
        EngineApi(deadline())


def test_an_engine_that_hangs(listening: Any, probe_of: Any) -> None:
    listening(lambda connection: time.sleep(1))
    given = {"names": ["api"], "timeout_seconds": 0.2}
    with pytest.raises(TimedOut, match="did not answer in time"):
        EngineApi(deadline(0.2)).containers({})
    with pytest.raises(TimedOut, match="longer than 0.2 s"):
        container.measure(given, probe_of())
    with pytest.raises(DeadlinePassed):
        container.measure({**given, "timeout_seconds": 5.0}, probe_of(0.3))
    with pytest.raises(DeadlinePassed):
        tcp.measure({"host": None, "container": "api", "port": 1, "timeout_seconds": 5.0}, probe_of(0.3))


IMAGE = "sha256:" + "a" * 64


def service(name: str, of: str, **labels: str) -> dict[str, Any]:
    """A container of a project, of which nothing but the engine knows."""
    state = {"Status": "running", "Running": True, "Pid": 0, "ExitCode": 0, "StartedAt": "2025-11-20T02:05:00Z"}
    host = {"Memory": 0, "LogConfig": {"Type": "journald", "Config": {}}}
    config = {"Image": "app:1", "Labels": {"com.docker.compose.project": "p", "com.docker.compose.service": of, **labels}}
    return described(name, State=state, HostConfig=host, Config=config, Image=IMAGE, RestartCount=0)


STACK = (service("p-api-1", "api"), service("p-api-2", "api"), service("p-db-1", "db"), service("p-api-run-x", "api", **{"com.docker.compose.oneoff": "True"}))
SELECTED = {"names": None, "project": None, "services": None, "label": None, "digests": {}, "timeout_seconds": 5.0}


@pytest.mark.parametrize(
    ("options_of", "without_limit", "missing"),
    [
        ({"project": "p"}, "db, p-api-1, p-api-2", "none"),
        ({"project": "p", "services": ["db"]}, "db", "none"),
        ({"project": "p", "services": ["db", "cache"]}, "db", "cache"),
        ({"project": "p", "digests": {"db": IMAGE, "gone": IMAGE}}, "db, p-api-1, p-api-2", "gone"),
        ({"label": "com.docker.compose.project=p"}, "p-api-1, p-api-2, p-api-run-x, p-db-1", "none"),
        ({"names": ["p-db-1", "p-db"]}, "p-db-1", "p-db"),
    ],
)
def test_what_is_selected(options_of: dict[str, Any], without_limit: str, missing: str, listening: Any, probe_of: Any) -> None:
    listening(engine_of(*STACK))
    found = container.measure({**SELECTED, **options_of}, probe_of())
    assert (found["without_memory_limit"], found["missing"]) == (without_limit, missing)


def test_nothing_is_known_but_what_was_told(listening: Any, probe_of: Any) -> None:
    """No control group, and no image of this tag: each has its reason, and none is well."""
    listening(engine_of(*STACK))
    wanted = ("memory", "pids", "cpu_percent", "oom_killed", "drifted", "wrong_image", "log_size", "db.drifted", "db.state")
    found = container.measure({**SELECTED, "project": "p", "services": ["db"], "digests": {"db": IMAGE}}, probe_of(wanted=frozenset(wanted)))
    assert all(isinstance(found[name], Unmeasured) for name in ("memory", "pids", "cpu_percent", "oom_killed", "drifted", "db.drifted"))
    assert "app:1 of db is gone" in found["drifted"].reason and found["log_size"] is SKIPPED
    assert (found["wrong_image"], found["db.state"]) == ("none", "running"), "an id proves itself"
    other = container.measure({**SELECTED, "project": "p", "services": ["db"], "digests": {"db": "sha256:" + "b" * 64}}, probe_of())
    assert "is gone from this host" in other["wrong_image"].reason


@pytest.mark.parametrize(("selected", "words"), [({"project": "q"}, "project q (missing)"), ({"label": "a=b"}, "label a=b (missing)")])
def test_where_nothing_is_selected(selected: dict[str, Any], words: str, listening: Any, probe: Any) -> None:
    listening(engine_of())
    assert container.measure({**SELECTED, **selected}, probe)["down"] == words


NETWORKS = {"front": {"IPAddress": "10.1.0.2"}, "back": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}}


def in_networks(networks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return described("api", NetworkSettings={"Networks": networks}, **more)


@pytest.mark.parametrize(
    ("networks", "network", "address"),
    [({"front": NETWORKS["front"]}, "", "10.1.0.2"), (NETWORKS, "front", "10.1.0.2"), (NETWORKS, "back", "fd00::2"),
     ({"back": NETWORKS["back"]}, "", "fd00::2")],
)
def test_the_address_of_a_container(networks: dict[str, Any], network: str, address: str, listening: Any) -> None:
    listening(engine_of(in_networks(networks)))
    assert address_of("api", deadline(), network) == address


@pytest.mark.parametrize(
    ("about", "network", "error", "words"),
    [
        (in_networks(NETWORKS), "", InvalidInput, "several networks: back, front"),
        (in_networks(NETWORKS), "fron", Unreachable, 'not in the network fron: it is in back, front; did you mean "front"'),
        (in_networks({}), "front", Unreachable, "it is in none"),
        (in_networks({}), "", Unreachable, "no address in any network"),
        (in_networks({"front": {"IPAddress": ""}}), "", Unreachable, "no address"),
        (in_networks(NETWORKS, HostConfig={"NetworkMode": "host"}), "", InvalidInput, "network of the host"),
        (in_networks(NETWORKS, HostConfig={"NetworkMode": "none"}), "", InvalidInput, "no network"),
        (in_networks({}, HostConfig={"NetworkMode": "container:abc"}), "", InvalidInput, "network of another one"),
        (in_networks(NETWORKS, State={"Running": True, "Paused": True, "Status": "paused"}), "front", Unreachable, "it is paused"),
        (in_networks(NETWORKS, State={"Running": False, "Status": "exited"}), "front", Unreachable, "does not run: it is exited"),
        (in_networks(NETWORKS, State={"Running": True, "Restarting": True, "Status": "restarting"}), "front", Unreachable, "it is restarting"),
        (described("db"), "", Unreachable, "there is no container api"),
    ],
)
def test_a_container_without_an_address(about: dict[str, Any], network: str, error: type[RunbookError], words: str, listening: Any) -> None:
    listening(engine_of(about))
    with pytest.raises(error, match=words):
        address_of("api", deadline(), network)


def test_what_a_request_says_is_as_the_address_has_it(serve: Any, listening: Any, probe: Any) -> None:
    """Only the way there is another one: the field Host stays, and what redirects to another host is not followed."""
    requests: list[str] = []

    def handle(connection: socket.socket) -> None:
        requests.append(request_of(connection))
        connection.sendall(reply(200, b"{}"))

    port = serve(handle)
    listening(engine_of(described("api")))
    measures = http.measure(options(port, url=f"http://api.example:{port}/health", container="api", network="net"), probe)
    assert measures["status_code"] == 200 and f"Host: api.example:{port}\r\n" in requests[0]
    assert tcp.measure({"host": None, "container": "api", "network": "", "port": port, "timeout_seconds": 5.0}, probe)["latency"] > 0
    with pytest.raises(InvalidInput, match="network net is that of a container"):
        http.measure(options(port, network="net"), probe)


def test_the_certificate_is_that_of_the_address(serve: Any, listening: Any, probe: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    def handle(connection: socket.socket) -> None:
        with authority.server().wrap_socket(connection, server_side=True) as wrapped:
            request_of(wrapped)
            wrapped.sendall(reply(200, b"{}"))

    port = serve(handle)
    listening(engine_of(described("api")))
    given = {"container": "api", "ca_path": authority.path}
    assert http.measure(options(port, url=f"https://localhost:{port}/", **given), probe)["status_code"] == 200
    with pytest.raises(VerifyFailed, match="not trusted"):
        http.measure(options(port, url=f"https://api.example:{port}/", **given), probe)


def test_metadata_services_are_not_reached_through_a_container(listening: Any, probe: Any) -> None:
    listening(engine_of(in_networks({"net": {"IPAddress": "169.254.169.254"}})))
    with pytest.raises(InvalidInput, match="never requested"):
        http.measure(options(1, container="api"), probe)
