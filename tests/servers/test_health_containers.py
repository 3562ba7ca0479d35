# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of the real engine, each broken in its own way, and a healthy set of them; and checks that reach them without a published port."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import container
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._container_address import address_of
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._engine_socket import Until
from ansible_collections.tradeops.runbook.tests.support.health_checks import checked
from ansible_collections.tradeops.runbook.tests.support.waiting import until

IMAGE = os.environ.get("RUNBOOK_POSTGRESQL_IMAGE")
pytestmark = pytest.mark.skipif(not IMAGE, reason="no image with Python: RUNBOOK_POSTGRESQL_IMAGE=$(tools/images postgresql)")

LABEL = "tradeops.runbook.test=health"
SERVER = ("python3", "-u", "-m", "http.server", "8000", "--directory", "/usr/share/python3")
HEALTHY = ("--memory", "64m", "--cpus", "0.5", "--log-opt", "max-size=1m", "--health-interval", "1s", "--health-cmd", "true")
MEGABYTE = 1 << 20


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Stack:
    """Containers of one Compose project, and what else a test makes; ``remove`` takes it all away again."""

    def __init__(self) -> None:
        self.project = f"runbook-{secrets.token_hex(4)}"
        self._networks: list[str] = []
        self._tags: list[str] = []

    def name(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    def run(self, service: str, *options: str, command: tuple[str, ...] = SERVER, image: str = str(IMAGE)) -> str:
        labels = ("--label", LABEL, "--label", f"com.docker.compose.project={self.project}", "--label", f"com.docker.compose.service={service}")
        network = () if "--network" in options else ("--network", "none")
        docker("run", "--detach", "--name", self.name(service), *network, *labels, *options, image, *command)
        return self.name(service)

    def network(self) -> str:
        self._networks.append(f"{self.project}-net{len(self._networks)}")
        docker("network", "create", "--label", LABEL, self._networks[-1])
        return self._networks[-1]

    def tag(self, source: str, name: str = "app") -> str:
        """``name`` now means the image ``source``."""
        tag = f"{self.project}-{name}:latest"
        docker("tag", source, tag)
        self._tags = [*{*self._tags, tag}]
        return tag

    def inspect(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.name(service)))[0]
        return found

    def until_health(self, service: str, state: str) -> None:
        until(lambda: self.inspect(service)["State"]["Health"]["Status"] == state)

    def remove(self) -> None:
        ids = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}").split()
        if ids:
            docker("rm", "--force", "--volumes", *ids)
        for network in self._networks:
            docker("network", "rm", network)
        for tag in self._tags:
            with contextlib.suppress(AssertionError):
                docker("image", "rm", tag)


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.remove()


EVERYTHING = {
    "state": {"critical": "!= running"}, "health": {"critical": "!= healthy"}, "count": {"critical": "!= 2"}, "running_count": {"critical": "< 2"},
    "missing_count": {"critical": "> 0"}, "unhealthy_count": {"critical": "> 0"}, "restarts": {"warning": "> 0"}, "exit_code": {"warning": "!= 0"},
    "uptime": {"warning": "> 1 h"}, "cpu_percent": {"warning": "> 60 %"}, "memory": {"warning": "> 64 MiB"}, "memory_percent": {"warning": "> 90 %"},
    "pids": {"warning": "> 20"}, "log_size": {"warning": "> 1 MiB"}, "missing": {"critical": "!= none"}, "restarting": {"critical": "!= none"},
    "without_memory_limit": {"warning": "!= none"}, "without_cpu_limit": {"warning": "!= none"}, "without_log_limit": {"warning": "!= none"},
    "drifted": {"warning": "!= none"}, "api.memory_percent": {"warning": "> 90 %"}, "db.cpu_percent": {"warning": "> 60 %"},
}  # fmt: skip


def test_a_healthy_set_raises_no_alarm(stack: Stack) -> None:
    for service in ("api", "db"):
        stack.run(service, *HEALTHY)
    stack.run("migrate", command=("false",))  # a job that is not among the services
    stack.run("shell", "--label", "com.docker.compose.oneoff=True", command=("false",))
    for service in ("api", "db"):
        stack.until_health(service, "healthy")
    selected = {"project": stack.project, "services": ["api", "db"], "digests": {"api": stack.inspect("api")["Image"]}}
    for _look in range(3):
        found = checked("container", selected, EVERYTHING)
        assert (found["status"], found["message"]) == ("ok", ""), found
    measures = found["measures"]
    assert 1 * MEGABYTE < measures["memory"] < 64 * MEGABYTE and measures["pids"] >= 1 and measures["log_size"] >= 0
    assert measures["down"] == measures["unhealthy"] == measures["oom_killed"] == measures["wrong_image"] == "none"
    assert 0 < measures["api.memory_percent"] <= measures["memory_percent"] and 0 < measures["uptime"] < 120


def test_memory_and_processor_are_those_of_the_container(stack: Stack) -> None:
    stack.run("idle", *HEALTHY)
    stack.run("busy", *HEALTHY, command=("python3", "-c", "block = b'x' * (24 << 20)\nwhile True: pass"))
    limits = {f"{part}.{name}": {"warning": "> 1000 %"} for part in ("idle", "busy") for name in ("cpu_percent", "memory_percent")}
    measures = until(lambda: _busy(checked("container", {"project": stack.project, "services": ["idle", "busy"]}, limits)["measures"]))
    assert measures["idle.cpu_percent"] < 25 < measures["busy.cpu_percent"] < 75, "it may use half a processor"
    assert measures["idle.memory_percent"] < 37.5 < measures["busy.memory_percent"] < 100


def _busy(measures: dict[str, Any]) -> dict[str, Any] | None:
    return measures if measures["memory"] > 24 * MEGABYTE and measures["idle.cpu_percent"] < 25 < measures["busy.cpu_percent"] else None


def test_one_that_was_stopped_is_named(stack: Stack) -> None:
    names = [stack.run(service) for service in ("api", "db")]
    docker("kill", names[0])
    found = checked("container", {"names": names})
    assert found["status"] == "critical" and f"down is {names[0]} (exited with code 137)" in found["message"] and names[1] not in found["message"]
    assert found["measures"]["state"] == "exited" and found["measures"]["running_count"] == 1
    assert checked("container", {"names": names[1:]})["status"] == "ok"


def test_one_that_is_paused_does_not_run(stack: Stack) -> None:
    docker("pause", stack.run("api"))
    found = checked("container", {"project": stack.project})
    docker("unpause", stack.name("api"))
    assert found["status"] == "critical" and "api (paused)" in found["message"]
    assert checked("container", {"project": stack.project})["status"] == "ok"


def test_one_that_was_never_started_does_not_run(stack: Stack) -> None:
    docker("create", "--name", stack.name("api"), "--label", f"com.docker.compose.project={stack.project}", str(IMAGE))
    assert "(created)" in checked("container", {"names": [stack.name("api")]})["message"]


def test_what_is_missing_is_named(stack: Stack) -> None:
    stack.run("api")
    found = checked("container", {"project": stack.project, "services": ["api", "worker", "db"]})
    assert found["status"] == "critical" and "worker (missing)" in found["message"] and "db (missing)" in found["message"]
    assert found["measures"]["missing"] == "db, worker" and found["measures"]["missing_count"] == 2
    found = checked("container", {"names": [stack.name("api"), "api"]}, {"api.state": {"critical": "!= running"}})
    assert "api.state is missing" in found["message"] and found["measures"]["missing"] == "api", "neither part of a name nor an id is a name"
    assert checked("container", {"names": [stack.inspect("api")["Id"][:12]]})["measures"]["state"] == "missing"


@pytest.mark.parametrize("selected", [{"project": "nobody-has-this"}, {"label": "nobody.has=this"}, {"names": ["nobody-has-this"]}])
def test_where_nothing_is_selected_nothing_is_well(selected: dict[str, Any]) -> None:
    found = checked("container", selected)
    assert found["status"] == "critical" and "(missing)" in found["message"]


def test_one_that_is_unhealthy_is_named(stack: Stack) -> None:
    stack.run("api", *HEALTHY)
    stack.run("db", *HEALTHY[:-1], "false", "--health-retries", "1")
    for service, state in (("api", "healthy"), ("db", "unhealthy")):
        stack.until_health(service, state)
    found = checked("container", {"project": stack.project})
    assert found["status"] == "critical" and "unhealthy is db (" in found["message"] and "api" not in found["message"]
    assert (found["measures"]["health"], found["measures"]["unhealthy_count"], found["measures"]["down"]) == ("unhealthy", 1, "none")


def test_without_a_health_check_nobody_says_that_it_is_healthy(stack: Stack) -> None:
    stack.run("api")
    assert checked("container", {"project": stack.project})["status"] == "ok"
    found = checked("container", {"project": stack.project}, {"health": {"critical": "!= healthy"}})
    assert (found["status"], found["measures"]["health"]) == ("critical", "none")


def test_one_that_starts_again_while_it_is_looked_at_is_looked_at_again(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    name, group, asked = stack.run("api"), container._group, []

    def meanwhile(one: Any) -> Any:  # between what the engine says and what the kernel counts
        if not asked:
            docker("restart", "--time", "0", name)
        asked.append(one["State"]["Pid"])
        return group(one)

    monkeypatch.setattr(container, "_group", meanwhile)
    found = checked("container", {"project": stack.project}, {"memory": {"warning": "> 1 GiB"}})
    assert (found["status"], found["measures"]["oom_killed"], found["measures"]["down"]) == ("ok", "none", "none"), found
    assert len(set(asked)) == 2


def test_one_that_crashes_again_and_again_is_never_well(stack: Stack) -> None:
    stack.run("api", "--restart", "always", command=("sh", "-c", "sleep 0.3; exit 3"))
    until(lambda: stack.inspect("api")["RestartCount"] >= 2)
    end, states = time.monotonic() + 6, set()
    while time.monotonic() < end:
        found = checked("container", {"project": stack.project})
        assert found["status"] == "critical" and found["measures"]["restarting"].startswith("api ("), found
        states.add(found["measures"]["state"])
    assert "restarting" in states


def test_one_that_was_killed_for_its_memory(stack: Stack) -> None:
    eat = "b'x' * (256 << 20)"
    stack.run("main", "--memory", "32m", "--memory-swap", "32m", command=("python3", "-c", eat))
    stack.run("child", "--memory", "32m", "--memory-swap", "32m", command=("sh", "-c", f'while :; do python3 -c "{eat}"; sleep 1; done'))
    until(lambda: not stack.inspect("main")["State"]["Running"])
    found = until(lambda: _killed(checked("container", {"project": stack.project, "services": ["child"]})))
    assert (found["status"], found["measures"]["oom_killed"], found["measures"]["down"]) == ("warning", "child", "none")
    found = checked("container", {"project": stack.project, "services": ["main"]})
    told = [limit for limit in found["limits"] if limit["measure"] == "oom_killed"][0]["state"]
    assert found["status"] == "critical" and "main (exited with code 137)" in found["message"]
    assert told == ("crossed" if stack.inspect("main")["State"]["OOMKilled"] else "unknown"), "never ok"


def _killed(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if found["measures"]["oom_killed"] != "none" else None


def test_limits_that_are_not_set(stack: Stack) -> None:
    stack.run("bare")
    stack.run("bound", *HEALTHY)
    limits = {name: {"warning": "!= none"} for name in ("without_memory_limit", "without_cpu_limit", "without_log_limit")}
    found = checked("container", {"project": stack.project}, limits)
    assert found["status"] == "warning" and found["message"].count("is bare (warning") == 3, found["message"]
    found = checked("container", {"project": stack.project, "services": ["bare", "bound"]}, {"memory_percent": {"warning": "> 80 %"}})
    assert found["status"] == "unknown" and "bare has no memory limit" in found["message"]


def test_a_log_that_grows(stack: Stack) -> None:
    stack.run("chatty", command=("sh", "-c", "yes 0123456789 | head -c 3000000; sleep 600"))
    stack.run("bound", *HEALTHY, "--log-opt", "max-file=2", command=("sh", "-c", "yes 0123456789 | head -c 3000000; sleep 600"))
    limits = {"chatty.log_size": {"warning": "> 3 MB"}, "bound.log_size": {"warning": "> 3 MB"}}
    found = until(lambda: _crossed(checked("container", {"project": stack.project, "services": ["chatty", "bound"]}, limits)))
    assert "chatty.log_size is" in found["message"] and "bound" not in found["message"]
    assert 1_000_000 < found["measures"]["bound.log_size"] < 2_500_000, "its rotated file counts"


def _crossed(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if found["status"] == "warning" and found["measures"]["bound.log_size"] > 1_000_000 else None


def test_a_tag_that_means_another_image_now(stack: Stack) -> None:
    tag = stack.tag(str(IMAGE))
    stack.run("api", image=tag)
    limits = {"drifted": {"warning": "!= none"}}
    selected = {"project": stack.project}
    assert checked("container", selected, limits)["status"] == "ok"
    before = stack.inspect("api")["Image"]
    other = docker("commit", stack.name("api"))
    stack.tag(other)
    found = checked("container", selected, limits)
    assert found["status"] == "warning" and "drifted is api" in found["message"]
    wrong = checked("container", {**selected, "digests": {"api": other}})
    assert wrong["status"] == "critical" and "wrong_image is api" in wrong["message"]
    assert checked("container", {**selected, "digests": {"api": before}})["status"] == "ok"
    docker("image", "rm", tag)
    found = checked("container", selected, limits)
    assert found["status"] == "unknown" and "is gone from this host" in found["message"]


def test_replicas_are_told_apart(stack: Stack) -> None:
    labels = ("--label", f"com.docker.compose.project={stack.project}", "--label", "com.docker.compose.service=api")
    for number in (1, 2):
        docker("run", "--detach", "--name", f"{stack.project}-api-{number}", *labels, str(IMAGE), *SERVER)
    docker("kill", f"{stack.project}-api-2")
    found = checked("container", {"project": stack.project, "services": ["api"]})
    assert found["status"] == "critical" and f"down is {stack.project}-api-2 (exited" in found["message"]


def test_an_engine_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    found = checked("container", {"names": ["api"]})
    assert (found["status"], found["code"]) == ("critical", "unreachable") and "/nonexistent/docker.sock" in found["message"]


def deadline() -> Until:
    return Until(Deadline(20.0, time.monotonic))


def test_a_container_is_reached_at_its_own_address(stack: Stack) -> None:
    network = stack.network()
    stack.run("api", "--network", network)
    name = stack.name("api")
    assert address_of(name, deadline()) == address_of(name, deadline(), network) == stack.inspect("api")["NetworkSettings"]["Networks"][network]["IPAddress"]
    until(lambda: checked("tcp", {"container": name, "port": 8000})["status"] == "ok")
    found = checked("http", {"url": "http://api.example:8000/", "container": name}, {"latency": {"warning": "> 5 s"}})
    assert (found["status"], found["measures"]["status_code"]) == ("ok", 200), found
    assert checked("http", {"url": "http://api.example:8001/", "container": name})["code"] == "unreachable"
    docker("stop", "--time", "0", name)
    for check in ({"url": "http://api.example:8000/", "container": name}, {"url": "http://api.example:8000/", "container": "nobody-has-this"}):
        found = checked("http", check)
        assert (found["status"], found["code"]) == ("critical", "unreachable"), found


EDGE = (
    "openssl req -quiet -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=edge.example -addext subjectAltName=DNS:edge.example -keyout /tmp/key -out /tmp/made"
    " && mv /tmp/made /tmp/certificate && exec openssl s_server -quiet -accept 8443 -key /tmp/key -cert /tmp/certificate"
)


def test_the_certificate_that_a_container_shows(stack: Stack, tmp_path: Path) -> None:
    name = stack.run("edge", "--network", stack.network(), command=("sh", "-c", EDGE))
    until(lambda: subprocess.run(["docker", "cp", f"{name}:/tmp/certificate", str(tmp_path)], capture_output=True, check=False).returncode == 0)
    check = {"host": "edge.example", "port": 8443, "container": name, "ca_path": str(tmp_path / "certificate")}
    found = until(lambda: _answered(checked("tls", check)))
    assert (found["status"], found["measures"]["trusted"]) == ("ok", True) and 29 < found["measures"]["expires_in"] / 86400 < 30
    found = checked("tls", {**check, "host": "other.example"})
    assert found["status"] == "critical" and "other.example" in found["measures"]["problem"]


def _answered(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if found["measures"] else None


def test_which_network_must_be_said_when_there_are_several(stack: Stack) -> None:
    first, second = stack.network(), stack.network()
    name = stack.run("api", "--network", first)
    docker("network", "connect", second, name)
    with pytest.raises(InvalidInput, match=f"{first}, {second}"):
        address_of(name, deadline())
    assert address_of(name, deadline(), first) != address_of(name, deadline(), second)
    docker("network", "disconnect", second, name)
    with pytest.raises(Unreachable, match=f"not in the network {second}.*{first}"):
        address_of(name, deadline(), second)
    assert address_of(name, deadline())


@pytest.mark.parametrize(("mode", "words"), [("host", "network of the host"), ("none", "has no network"), ("container", "network of another one")])
def test_a_container_without_an_address_of_its_own(mode: str, words: str, stack: Stack) -> None:
    stack.run("other", "--network", stack.network())
    name = stack.run("api", "--network", f"container:{stack.name('other')}" if mode == "container" else mode, command=("sleep", "600"))
    with pytest.raises(InvalidInput, match=words):
        address_of(name, deadline())
