# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: `make faults` tries every position of them and keeps the tables, `make test` one or a few."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import prove_readable
from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRunner, make_runner
from ansible_collections.tradeops.runbook.tests.support.backup_sites import FilesSite, PostgresqlSite, Site, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server, programs

EVERYTHING = os.environ.get("SWEEP") == "all"


def evidence(name: str, lines: Iterable[str]) -> None:
    """Keep the table of a whole sweep, where RUNBOOK_EVIDENCE_DIR says."""
    folder = os.environ.get("RUNBOOK_EVIDENCE_DIR")
    if folder and EVERYTHING:
        (Path(folder) / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def whole(site: Site) -> None:
    """Whatever looks like a good backup is one."""
    for artifact in site.artifacts():
        if artifact.manifest is not None:
            prove_readable(artifact, site.bench())


@pytest.fixture
def playbook(tmp_path: Path) -> PlaybookRunner:
    """A runner of playbooks whose files stay inside this test's folder."""
    return make_runner(tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server."""
    if programs() is None:
        pytest.fail("PostgreSQL is not installed (Debian package postgresql)")
    with Server() as found:
        yield found


@pytest.fixture(params=["sqlite", "files", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A source of each kind, with its repository."""
    if request.param == "postgresql":
        return PostgresqlSite(tmp_path, request.getfixturevalue("server"))
    return SqliteSite(tmp_path) if request.param == "sqlite" else FilesSite(tmp_path)
