# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL cluster that pgBackRest archives, for tests: everything in one folder, never as root."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.tests.support.backup_sites import Site
from ansible_collections.tradeops.runbook.tests.support.postgresql import programs
from ansible_collections.tradeops.runbook.tests.support.running import Running

STANZA = "main"


def installed() -> bool:
    """Whether a test that needs it can run."""
    return shutil.which("pgbackrest") is not None and programs() is not None


def memory() -> str | None:
    """A folder in memory, where there is room: pgBackRest brings each of a thousand files to disk by itself. None: the usual place."""
    with suppress(OSError):
        return "/dev/shm" if shutil.disk_usage("/dev/shm").free > 2 << 30 else None
    return None


class Cluster(Running):
    """One primary with its archive. ``start`` and ``stop`` as often as you like; ``remove`` at the end; as a context, both.

    ``of`` is another one whose repository it uses; ``on_disk`` keeps it out of memory, where times count.
    """

    def __init__(self, stanza: str = STANZA, of: Cluster | None = None, on_disk: bool = False) -> None:
        self.account = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else getpass.getuser()
        self.stanza, self.port = stanza, 5432
        self.folder = Path(tempfile.mkdtemp(prefix="pgb-", dir=None if on_disk else memory()))  # short: the path of a socket has at most 107 characters
        self.store: Path = of.store if of else self.folder / "store"
        self.data, self.config = self.folder / "data", self.folder / "pgbackrest.conf"
        for name in ("store", "lock", "log"):
            (self.folder / name).mkdir()
        self.configure()
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self.account)
        self._bin = programs() or Path()
        self.run("initdb", "--pgdata", str(self.data), "--username", "runbook", "--encoding", "UTF8", "--locale", "C.UTF-8", "--auth", "trust", "--no-sync")
        self.write_server()

    @property
    def archive_command(self) -> str:
        return f"pgbackrest --config={self.config} --stanza={self.stanza} archive-push %p"

    def write_server(self, **more: str) -> None:
        """Its configuration, after what is in the file already."""
        settings = {
            "port": str(self.port), "listen_addresses": "", "unix_socket_directories": str(self.folder), "fsync": "off", "max_connections": "30",
            "wal_level": "replica", "archive_mode": "on", "archive_command": self.archive_command, "max_wal_senders": "3", **more,
        }  # fmt: skip
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def configure_server(self, **settings: str) -> None:
        """With a restart."""
        self.write_server(**settings)
        self.stop()
        self.start()

    def follow(self, primary: Cluster) -> None:
        """It becomes a standby of another one, by way of the archive that both use."""
        self.stop()
        shutil.rmtree(self.data)
        self.run("mkdir", "-m", "700", str(self.data))
        fetch = f'pgbackrest --config={self.config} --stanza={self.stanza} archive-get %f "%p"'
        spool = f"--spool-path={self.folder}/spool"  # a restore empties it
        primary.pgbackrest("restore", "--type=standby", f"--pg1-path={self.data}", spool, f"--recovery-option=restore_command={fetch}")
        self.write_server()
        self.start()

    def configure(self, **more: str) -> None:
        """The configuration of pgBackRest."""
        options = {
            "repo1-path": self.store, "lock-path": self.folder / "lock", "log-path": self.folder / "log", "compress-type": "zst",
            "compress-level": 1, "repo1-bundle": "y", **more,
        }  # fmt: skip
        lines = ["[global]", *(f"{name.replace('_', '-')}={value}" for name, value in options.items()), f"[{self.stanza}]", f"pg1-path={self.data}",
                 f"pg1-socket-path={self.folder}", f"pg1-port={self.port}", "pg1-user=runbook"]  # fmt: skip
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def as_account(self, *argv: str) -> list[str]:
        return [*(["setpriv", f"--reuid={self.account}", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []), *argv]

    def run(self, program: str, *arguments: str, check: bool = True, timeout: float = 120) -> str:
        path = str(self._bin / program) if (self._bin / program).exists() else program
        done = subprocess.run(
            self.as_account(path, *arguments), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{program} {arguments}: {done.stderr}{done.stdout}")
        return done.stdout.strip()

    def pgbackrest(self, command: str, *arguments: str, check: bool = True) -> str:
        """What pgBackRest itself says."""
        return self.run("pgbackrest", command, f"--config={self.config}", f"--stanza={self.stanza}", *arguments, check=check)

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """What statements print, each sent by itself."""
        commands = [part for statement in statements for part in ("-c", statement)]
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port), "-U", "runbook", "-d", database, *commands)

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "server.log").open("a"):
            shutil.chown(self.folder / "server.log", self.account)
        self.run("pg_ctl", "start", "-D", str(self.data), "-s", "-w", "-l", str(self.folder / "server.log"))

    def stop(self, mode: str = "fast") -> None:
        """Does nothing when it does not run."""
        self.run("pg_ctl", "stop", "-D", str(self.data), "-s", "-w", "-m", mode, check=False)

    def remove(self) -> None:
        """Nothing is left."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def archive(self) -> None:
        """Everything that was committed is in the archive when this returns."""
        name = self.sql("select pg_walfile_name(pg_switch_wal())")
        end = time.monotonic() + 30
        while not list((self.store / "archive").rglob(f"{name}-*")):
            assert time.monotonic() < end, self.sql("select * from pg_stat_archiver")
            time.sleep(0.02)

    def segments(self) -> list[Path]:
        """The files of the archive that are segments, in order."""
        return sorted(path for path in (self.store / "archive").rglob("*-*") if path.is_file())

    def labels(self) -> list[str]:
        """The backups that pgBackRest has."""
        return sorted(path.name for path in (self.store / "backup" / self.stanza).iterdir() if path.is_dir() and path.name[:2] == "20")

    def options(self, **more: Any) -> dict[str, Any]:
        """Those of the kind."""
        return {
            "stanza": self.stanza, "config": str(self.config), "repo": 1, "type": "auto", "create_stanza": True, "start_fast": True, "database": "postgres",
            "host": str(self.folder), "port": self.port, "user": "runbook", "os_user": self.account, "data_dir": str(self.data),
            "archive_timeout_seconds": 60, "stall_timeout_seconds": 120.0, **more,
        }  # fmt: skip

    @contextmanager
    def changed(self, **settings: str) -> Iterator[None]:
        """With other settings for a while."""
        for name, value in settings.items():
            self.sql(f"alter system set {name} = '{value}'")
        self.sql("select pg_reload_conf()")
        time.sleep(0.2)
        try:
            yield
        finally:
            for name in settings:
                self.sql(f"alter system reset {name}")
            self.sql("select pg_reload_conf()")


class PgbackrestSite(Site):
    """The whole cluster as a source."""

    def __init__(self, folder: Path, cluster: Cluster, **options: Any) -> None:
        super().__init__("pgbackrest", folder, cluster.options(**options))
        self.cluster = cluster
        if self.cluster.sql("select to_regclass('trades') is null") == "t":
            self.cluster.sql(
                "create table trades (id bigserial primary key, note text)", "insert into trades (note) select md5(i::text) from generate_series(1, 2000) i"
            )

    def content(self) -> str:
        return self.cluster.sql("select coalesce(sum(hashtextextended(t::text, 0)), 0), count(*) from trades t")

    def change(self) -> None:
        self.cluster.sql("update trades set note = md5(random()::text) where id % 7 = 0")

    def leftovers(self) -> list[str]:
        return [path.name for path in self.cluster.folder.iterdir() if path.name.startswith(".")]
