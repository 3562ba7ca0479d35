# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How pgBackRest is called, and what its errors mean, as it prints them. A real one is in tests/servers/test_pgbackrest.py."""

from __future__ import annotations

import os
import shlex
import stat
import time
from pathlib import Path

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pgbackrest import Info, Pgbackrest, failure

PRINTED = [
    (50, "ERROR: [050]: unable to acquire lock on file '/tmp/pgbackrest/main-backup.lock': Resource temporarily unavailable\n"
         "       HINT: is another pgBackRest process running?", "busy"),
    (37, "ERROR: [037]: check command requires option: pg1-path\n       HINT: does this stanza exist?", "invalid_input"),
    (82, "ERROR: [082]: WAL segment 000000010000000000000003 was not archived before the 1000ms timeout", "archive_failing"),
    (56, "ERROR: [056]: unable to find primary cluster - cannot proceed", "unreachable"), (62, "ERROR: [062]: stop file exists for stanza main", "refused"),
    (41, "ERROR: [041]: unable to write '/x/y': [28] No space left on device", "no_space"), (-9, "", "command_failed"), (99, "what?", "command_failed"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said", "code"), PRINTED, ids=[code for _status, _said, code in PRINTED])
def test_what_errors_mean(status: int, said: str, code: str) -> None:
    error = failure("backup", status, said)
    assert (error.code, bool(error.hint)) == (code, True) and "backup" in error.message and "\n" not in error.message


def program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Pgbackrest:
    """One that does as a script says."""
    path = folder / "pgbackrest"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PGBACKREST_REPO1_CIPHER_PASS", "of our own environment")
    return Pgbackrest({"stanza": "main", "config": "/x y.conf"}, Context(Deadline(20, time.monotonic), time.time(), "tag"))


def test_how_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = program(tmp_path, 'env > "$0.env"; for word in "$@"; do echo "$word"; done', monkeypatch)
    assert found.run("info", "--output=json").splitlines()[:5] == ["info", "--config=/x y.conf", "--stanza=main", "--repo=1", "--output=json"]
    assert "of our own environment" not in (tmp_path / "pgbackrest.env").read_text()
    command = found.shell_command("archive-get", "--pg1-path=/it's 100%/data", "%f", "%p")
    words = shlex.split(command.replace("%%", "%"))
    assert words[-5:] == ["%f", "%p", *words[-3:]] and "--pg1-path=/it's 100%/data" in words and "100%%" in command


@pytest.mark.parametrize(("printed", "code"), [("pgBackRest 2.39", "tool_too_old"), ("another program", "failed")])
def test_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, code: str) -> None:
    with pytest.raises(RunbookError) as caught:
        program(tmp_path, f"echo {printed}", monkeypatch).version()
    assert caught.value.code == code
    assert program(tmp_path, "echo pgBackRest 2.45", monkeypatch).version() == "2.45"


@pytest.mark.parametrize(("printed", "exists"), [
    ("[]", False), ('[{"name": "main", "status": {"code": 0}}]', True), ('[{"name": "main", "status": {"code": 2}}]', True),
    ('[{"name": "main", "status": {"code": 1}}]', False), ('[{"name": "other", "status": {"code": 0}}]', False),
])  # fmt: skip
def test_stanzas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, exists: bool) -> None:
    assert Info(program(tmp_path, f"echo '{printed}'", monkeypatch)).exists() is exists


def test_what_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = '[{"name": "main", "status": {"code": 99, "message": "other"}, "repo": [{"status": {"message": "[CryptoError] wrong passphrase"}}]}]'
    with pytest.raises(RunbookError, match="wrong passphrase"):
        Info(program(tmp_path, f"echo '{broken}'", monkeypatch)).exists()
    with pytest.raises(RunbookError) as caught:
        Info(program(tmp_path, "echo no JSON", monkeypatch))
    assert caught.value.code == "verify_failed"
