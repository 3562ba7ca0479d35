# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis in a container: how it is stopped and started, where on this host its data is, and a scratch server of the same image.

See the Docker Engine API, Containers (version 1.25 and newer). A container that was stopped that way stays stopped, whatever its restart policy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

from .._core.backup_types import Context
from .._core.errors import NotThere, Refused, RunbookError, TimedOut, Unreachable
from .._core.probe import Deadline
from ._child_process import Child, Command, Patience
from ._docker_engine import Engine
from ._docker_exec import Container

_STOP_SECONDS = 30  # then it is killed: everything is on disk by then, and clients that write wait no longer than a minute
_SPARE_STOP_SECONDS = 15.0
_KILL_SECONDS = 20.0
_SPARE_SECONDS = 60


class Docker(Engine):
    """The container ``name`` itself, and others of the same image."""

    ANSWER_SECONDS = 60.0

    def address(self, deadline: Deadline) -> str:
        """Where it is reached from this host. Raises Unreachable."""
        found = self.inspect(deadline)
        if found.get("HostConfig", {}).get("NetworkMode") == "host":
            return "127.0.0.1"
        networks = found.get("NetworkSettings", {}).get("Networks") or {}
        addresses = [networks[name].get("IPAddress") or networks[name].get("GlobalIPv6Address") for name in sorted(networks)]
        told = next(filter(None, addresses), None)
        if not told:
            hint = "start it, or give host and port where the server can be reached"
            raise Unreachable(f"the container {self._name} does not run, or has no address", hint)
        return str(told)

    def stop(self, deadline: Deadline) -> None:
        """Returns once it has stopped: what was begun is not given up half-way, so it takes the time it needs, also beyond ``deadline``."""
        enough = Deadline(max(deadline.remaining(), _STOP_SECONDS + _SPARE_STOP_SECONDS), time.monotonic)
        self._ask("POST", f"{self._path}/stop?t={_STOP_SECONDS}", None, enough)

    def start(self, deadline: Deadline) -> None:
        """Returns once it was started."""
        self._ask("POST", f"{self._path}/start", None, deadline)

    def make(self, body: Mapping[str, Any], deadline: Deadline) -> None:
        """Anew, as ``body`` says."""
        self._ask("POST", f"/containers/create?name={quote(self._name, safe='')}", body, deadline)

    def remove(self, deadline: Deadline) -> None:
        """With what runs in it. Does nothing when there is none. Raises TimedOut."""
        while True:
            with suppress(Unreachable):  # it is being removed: by the engine, which does so when it ends
                self._ask("DELETE", f"{self._path}?force=1&v=1", None, deadline)
            try:
                self.inspect(deadline)
            except NotThere:
                return
            if deadline.remaining() <= 0:
                raise TimedOut(f"the container {self._name} was not removed in time", "see the log of the container engine")
            time.sleep(0.05)

    @property
    def _path(self) -> str:
        return f"/containers/{quote(self._name, safe='')}"


class ContainerUnit:
    """Runs a server as process 1, or below it, of the container ``name``; see Unit."""

    def __init__(self, name: str) -> None:
        self._name, self._docker = name, Docker(name)

    def stop(self, deadline: Deadline) -> None:
        """See Unit."""
        self._docker.stop(deadline)

    def start(self, deadline: Deadline) -> None:
        """See Unit."""
        self._docker.start(deadline)

    def pid(self, deadline: Deadline) -> int | None:
        """See Unit. The server knows its number in the container only."""
        return None if self._docker.inspect(deadline).get("State", {}).get("Running") else 0

    def path(self, inside: str, deadline: Deadline) -> str:
        """See Unit."""
        found = host_path(self._docker.inspect(deadline).get("Mounts") or [], inside)
        if found is None:
            raise Refused(
                f"{inside} of the container {self._name} is on no volume and in no folder of this host",
                "mount one there: what only a container has goes with it",
            )
        return found


def host_path(mounts: Sequence[Mapping[str, Any]], inside: str) -> str | None:
    """Where ``inside`` of a container with these mounts is on the host; None for what only the container has, or for what leads out of a mount."""
    inside = os.path.normpath(inside)
    holding = [mount for mount in mounts if os.path.commonpath([mount["Destination"], inside]) == os.path.normpath(mount["Destination"])]
    closest = max(holding, key=lambda mount: len(mount["Destination"]), default=None)
    if closest is None or closest.get("Type") not in ("bind", "volume") or not closest.get("Source"):
        return None
    top = os.path.realpath(closest["Source"])
    found = os.path.realpath(os.path.join(top, os.path.relpath(inside, closest["Destination"])))
    return found if os.path.commonpath([top, found]) == top else None


class ContainerProgram:
    """The redis-server of a container's image; see Program."""

    def __init__(self, container: str, path: str, version: str) -> None:
        self._container, self.path, self.version = container, path, version

    @contextmanager
    def run(self, arguments: Sequence[str], folder: str, context: Context) -> Iterator[Child]:
        """See Program. In a container of its own without any network, which sees the folder and nothing else of this host."""
        owner = os.stat(folder)
        user = f"{owner.st_uid}:{owner.st_gid}"
        scratch = Docker(_name_of(context.tag))
        try:
            scratch.make(
                {
                    "Image": Docker(self._container).inspect(context.deadline)["Image"],
                    "Entrypoint": ["sleep"],
                    "Cmd": [str(int(context.deadline.remaining()) + _SPARE_SECONDS)],
                    "User": user,
                    "Labels": {"tradeops.runbook": context.tag},
                    "Healthcheck": {"Test": ["NONE"]},
                    "HostConfig": {
                        "NetworkMode": "none", "AutoRemove": True, "ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
                        "Mounts": [{"Type": "bind", "Source": folder, "Target": folder}],
                    },
                },
                context.deadline,
            )  # fmt: skip
            scratch.start(context.deadline)
            command = Command([self.path, *arguments], {"LC_ALL": "C"}, Patience("redis-server", context.deadline))
            with Container(_name_of(context.tag), user).start(command) as child:
                yield child
        finally:
            self.forget(context.tag)

    def forget(self, tag: str) -> None:
        """See Program."""
        with suppress(RunbookError):  # it ends by itself once its time is over
            Docker(_name_of(tag)).remove(Deadline(_KILL_SECONDS, time.monotonic))


def _name_of(tag: str) -> str:
    return f"tradeops-runbook-redis-{tag}"
