# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What integration tests share: the collection, a runner of real playbooks and a free port."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.tests.support import ports

COLLECTION_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PlaybookRun:
    """One finished ansible-playbook process."""

    rc: int
    stdout: str
    stderr: str
    history: Path


@dataclass(frozen=True)
class PlaybookRunner:
    """Runs ansible-playbook as a user would, with a history and an Ansible home of its own.

    playbook("daily.yml", "--limit", "app", inventory=folder, variables={...}, environment={...})
    takes a playbook of the collection by file name, or any other by path. Runs of one test share their history.
    """

    home: Path
    timeout_seconds: float = 120
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def history(self) -> Path:
        """Where the runs of this test are recorded."""
        return self.home / "history"

    def command(self, playbook: str | Path, *arguments: str, inventory: str | Path | None = None,
                variables: Mapping[str, Any] | None = None) -> list[str]:
        """The argument list of one run."""
        shipped = COLLECTION_ROOT / "playbooks" / playbook
        command = [str(Path(sys.executable).parent / "ansible-playbook"), str(shipped if shipped.is_file() else playbook)]
        if inventory is not None:
            command += ["--inventory", str(inventory)]
        if variables:
            command += ["--extra-vars", json.dumps(variables)]
        return [*command, *arguments]

    def environ(self, environment: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of one run: nothing of the user's Ansible set-up reaches it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "RUNBOOK_"))}
        collections = [str(COLLECTION_ROOT.parents[2]), *filter(None, [os.environ.get("ANSIBLE_COLLECTIONS_PATH")])]
        return {
            **inherited,
            "ANSIBLE_CONFIG": str(COLLECTION_ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.home / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(self.home / "tmp"),  # local hosts: the default is under the account's home, whatever HOME says
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections),
            "ANSIBLE_NOCOLOR": "1",
            "RUNBOOK_HISTORY_DIR": str(self.history),
            **self.environment,
            **(environment or {}),
        }

    def __call__(self, playbook: str | Path, *arguments: str, environment: Mapping[str, str] | None = None,
                 **options: Any) -> PlaybookRun:
        """Run to the end."""
        done = subprocess.run(
            self.command(playbook, *arguments, **options), env=self.environ(environment), cwd=self.home,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=self.timeout_seconds, check=False,
        )
        return PlaybookRun(done.returncode, done.stdout, done.stderr, self.history)


@pytest.fixture(scope="session")
def collection_root() -> Path:
    """The root of the collection under test."""
    return COLLECTION_ROOT


def make_runner(folder: Path) -> PlaybookRunner:
    """A runner whose files stay inside ``folder``."""
    home = folder / "controller"
    home.mkdir()
    return PlaybookRunner(home)


@pytest.fixture
def playbook(tmp_path: Path) -> PlaybookRunner:
    """A runner of playbooks whose files stay inside this test's folder."""
    return make_runner(tmp_path)


@pytest.fixture
def free_port() -> int:
    return ports.free_port()
