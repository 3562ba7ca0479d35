# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis server that runs as a unit of systemd would, where there is none: behind a stand-in for systemctl; and a site of backups with it."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.tests.support.backup_sites import RANDOM, Site
from ansible_collections.tradeops.runbook.tests.support.redis import Server
from ansible_collections.tradeops.runbook.tests.support.waiting import until

HALT = "trading:halt"
_DATABASES = (0, 3)
_SYSTEMCTL = """#!/bin/sh
# systemctl OPTION ... VERB [--property=MainPID] -- UNIT
for word; do case $word in stop|start|show) verb=$word ;; esac; done
folder={folder}
running() {{
  pid=$(cat "$folder/pid" 2>/dev/null) && [ -n "$pid" ] && grep -q '^State:.[^ZX]' "/proc/$pid/status" 2>/dev/null
}}
case $verb in
  stop)  running && kill "$pid"; while running; do sleep 0.01; done ;;
  start) running || {{ {binary} "$folder/redis.conf" --daemonize yes --pidfile "$folder/pid" --logfile "$folder/log"; until running; do sleep 0.01; done; }} ;;
  show)  running || pid=0; echo "MainPID=$pid" ;;
esac
"""


class Service(Server):
    """Nobody's child, and started and stopped by the systemctl in ``programs``, which is to be first on PATH."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        super().__init__(options)
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        self._systemctl = self.programs / "systemctl"
        self._systemctl.write_text(_SYSTEMCTL.format(folder=shlex.quote(str(self.folder)), binary=shlex.quote(self.binary)))
        self._systemctl.chmod(0o755)

    def start(self) -> None:
        self.configure()
        subprocess.run([self._systemctl, "start"], check=True, timeout=60)
        self.wait()

    @property
    def pid(self) -> int:
        told = subprocess.run([self._systemctl, "show"], check=True, timeout=60, capture_output=True, text=True).stdout
        return int(told.partition("=")[2])

    def stop(self) -> None:
        pid = self.pid
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until(lambda: not self.pid)


class RedisSite(Site):
    """With values of every type, some that end in a while, in two databases; and a halt, which restores leave alone."""

    def __init__(self, folder: Path, server: Service, keys: int = 3000) -> None:
        self.server = server
        options = {"host": "127.0.0.1", "port": server.port, "service": "redis-under-test.service", "scratch_dir": str(folder), "keep_keys": [HALT]}
        super().__init__("redis", folder, options)
        server.ask_all([("SET", HALT, "0"), *(("SET", f"fill {number}", RANDOM.randbytes(1000)) for number in range(keys))])
        self.change()

    def content(self) -> str:
        """By the server's own digest of all values, which does not depend on how they are held in memory; and when keys end."""
        found = hashlib.sha256(self.server.ask("DEBUG", "DIGEST"))
        for database in _DATABASES:
            names = sorted(self.server.ask_all([("SELECT", database), ("KEYS", "*")])[1])
            ends = self.server.ask_all([("SELECT", database), *(("PEXPIRETIME", name) for name in names)])[1:]
            found.update(repr([*zip(names, ends)]).encode())
        return found.hexdigest()

    def change(self) -> None:
        self.server.ask("CLIENT", "UNPAUSE")  # a restore that was killed leaves that behind for a minute
        for database in _DATABASES:
            self.server.ask_all([("SELECT", database), *(command for _number in range(60) for command in _random_commands())])

    def leftovers(self) -> list[str]:
        """What is kept on purpose is none: the files from before, and the note of what was restored."""
        places = (self.server.data, self.folder)
        return [path.name for place in places for path in place.iterdir() if path.name.startswith((".restore-", ".tradeops-redis-verify-", "temp-"))]


def _random_commands() -> list[tuple[Any, ...]]:
    """That work whatever is there: every type has names of its own."""
    number, data = RANDOM.randrange(30), RANDOM.randbytes(RANDOM.choice((1, 30, 300, 3000)))
    kind, *command = RANDOM.choice(
        [("string", "SET", data), ("string", "SET", RANDOM.randrange(-(1 << 62), 1 << 62)), ("list", "RPUSH", data, "1", data), ("set", "SADD", data, number),
         ("ints", "SADD", number, RANDOM.randrange(1 << 40)), ("sorted", "ZADD", RANDOM.random() * 1e9, data), ("hash", "HSET", data, "v", number, data),
         ("stream", "XADD", "*", "field", data), ("bits", "SETBIT", RANDOM.randrange(5000), 1), ("count", "PFADD", data)]
    )  # fmt: skip
    name = f"{kind} {number}"
    ends = [("PEXPIRE", name, RANDOM.randrange(3_600_000, 90_000_000))] if RANDOM.random() < 0.3 else []
    return [(command[0], name, *command[1:]), *ends]
