# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of real sources on one host, and the shipped playbooks on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, Place, read_catalog
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRun, PlaybookRunner
from ansible_collections.tradeops.runbook.tests.support.backup_sites import Site


class Trading:
    """``members`` in the order of their restoration, in the inventory of one host; variables of its calls are extra variables.

    ``run_id`` is that of the backups which ``restore`` restores, ``plan`` what a run with a wrong confirmation said; ``wanted`` and ``damaged`` are
    what tests compare with.
    """

    def __init__(self, folder: Path, playbook: PlaybookRunner, members: Mapping[str, Site], more: Mapping[str, Any] | None = None) -> None:
        self.folder, self.playbook, self.members = folder, playbook, dict(members)
        self.store, self.state = folder / "backups", folder / "state"
        self.run_id, self.plan = "", ""
        self.wanted: dict[str, str] = {}
        self.damaged: dict[str, str] = {}
        self.more = {name: dict((more or {}).get(name, {})) for name in members}

    def inventory(self) -> Path:
        sources = [{"name": name, "source": {site.kind: site.options}, "set": "trading", **self.more[name]} for name, site in self.members.items()]
        variables = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbook_system": "exchange", "runbook_environment": "test",
            "backup_repository": {"directory": {"path": str(self.store)}}, "restore_state_dir": str(self.state), "backup_sources": sources,
        }  # fmt: skip
        path = self.folder / "hosts.json"
        path.write_text(json.dumps({"all": {"hosts": {"node": variables}}}), encoding="utf-8")
        return path

    def run(self, name: str, *arguments: str, **variables: Any) -> PlaybookRun:
        return self.playbook(name, *arguments, inventory=self.inventory(), variables=variables or None)

    def command(self, name: str, **variables: Any) -> list[str]:
        return self.playbook.command(name, inventory=self.inventory(), variables=variables or None)

    def start(self, name: str, **variables: Any) -> subprocess.Popen[bytes]:
        """In a session of its own, so that all of it can be killed."""
        return subprocess.Popen(
            self.command(name, **variables), env=self.playbook.environ(), cwd=self.playbook.home, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def back_up(self) -> str:
        """The id of the run that took all of it."""
        run = self.run("backup.yml")
        assert run.rc == 0, run.stdout[-4000:]
        return str((next(iter(self.artifacts().values()))[-1].manifest or {})["run_id"])

    @property
    def chosen(self) -> dict[str, str]:
        return {"restore_set": "trading", "restore_select": self.run_id}

    @property
    def token(self) -> str:
        """The confirmation that this run has shown."""
        return str(re.findall(r"restore_confirm=([0-9a-f]{8})", self.plan)[0])

    def see(self) -> str:
        """The plan, of a run that is refused since it has the confirmation of another one."""
        run = self.restore(restore_confirm="00000000")
        assert run.rc == 2 and "the confirmation of another plan" in said(run), run.stdout[-4000:]
        return said(run)

    def restore(self, *arguments: str, **variables: Any) -> PlaybookRun:
        return self.run("restore.yml", *arguments, **self.chosen, **variables)

    def confirmed(self) -> PlaybookRun:
        return self.restore(restore_confirm=self.token)

    def artifacts(self) -> dict[str, list[Artifact]]:
        store = Directory({"path": str(self.store)})
        return {name: read_catalog(store, Place("test", "exchange", site.kind, name)) for name, site in self.members.items()}

    def content(self) -> dict[str, str]:
        """A digest of each, by its own means."""
        return {name: site.content() for name, site in self.members.items()}

    def change(self) -> dict[str, str]:
        for site in self.members.values():
            site.change()
        return self.content()

    def intents(self) -> list[dict[str, Any]]:
        """What was begun and is not over."""
        found = []
        for path in sorted(self.state.glob("intents/*.json")):
            with suppress(FileNotFoundError):  # one that ended since it was listed
                found.append(json.loads(path.read_text()))
        return found


def checks_of(run: PlaybookRun) -> dict[str, dict[str, Any]]:
    """The checks in the newest report, by name."""
    newest = max((run.history / "reports").glob("*.json"), key=lambda path: path.name)
    report = json.loads(newest.read_text(encoding="utf-8"))
    hosts: Sequence[Any] = [host for system in report["systems"] for host in system["hosts"]]
    return {check["name"]: check for host in hosts for check in host["checks"]}


def said(run: PlaybookRun) -> str:
    """What it printed, without the breaks in long lines."""
    return " ".join(run.stdout.split())
