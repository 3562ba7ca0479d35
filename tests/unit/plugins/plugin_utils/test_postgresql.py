# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is particular to PostgreSQL and needs no server; tests/integration/test_history_postgresql.py has one."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, MissingLibrary, Unreachable
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.postgresql import PostgresqlDatabase, settings, translate


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("select ? where a = ?", "select %s where a = %s"),
        ("a = :host and b = :until_now", "a = %(host)s and b = %(until_now)s"),
        ("a::text like 'x%'", "a::text like 'x%%'"),
    ],
)
def test_placeholders_are_translated(ours: str, theirs: str) -> None:
    assert translate(ours) == theirs


SSL: dict[str, tuple[str, dict[str, str], str | None]] = {
    "another machine": ("postgresql://ops@db.example.org/x", {}, "verify-full"),
    "the address says": ("postgresql://ops@db.example.org/x?sslmode=require", {}, "require"),
    "the environment says": ("postgresql://ops@db.example.org/x", {"PGSSLMODE": "verify-ca"}, None),
    "loopback": ("postgresql://ops@127.0.0.1/x", {}, None),
    "loopback by name": ("postgresql://ops@localhost/x", {}, None),
    "a socket": ("postgresql:///x?host=/run/postgresql", {}, None),
    "the default socket": ("postgresql:///x", {}, None),
    "a host of the environment": ("postgresql:///x", {"PGHOST": "db.example.org"}, "verify-full"),
    "one of two is elsewhere": ("postgresql://localhost,db.example.org/x", {}, "verify-full"),
    "a name that lies about its address": ("postgresql://localhost/x?hostaddr=192.0.2.1", {}, "verify-full"),
    "a service says": ("postgresql:///?service=history", {}, None),
    "a service of the environment": ("postgresql:///x", {"PGSERVICE": "history", "PGHOST": "db.example.org"}, None),
}


@pytest.mark.parametrize("name", SSL)
def test_the_connection_is_verified_unless_somebody_says_otherwise(name: str) -> None:
    url, environ, expected = SSL[name]
    assert settings(url, environ).get("sslmode") == expected


@pytest.mark.parametrize("url", ["mysql://x:s3cret@y/z", "postgresql://a:s3cret/x@db/y", "postgresql://a:s3cret@db/y?nonsense=1", "host=db password=s3cret"])
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        settings(url, {})
    assert "s3cret" not in f"{caught.value.message}{caught.value.hint}{caught.value.__cause__}"


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name.startswith("psycopg2"):
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingLibrary, match="psycopg2-binary"):
        PostgresqlDatabase("postgresql:///x", True)


def test_a_server_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    where = Places(tmp_path, tmp_path, tmp_path / "key", f"postgresql://ops:s3cret@/x?host={tmp_path}")
    with pytest.raises(Unreachable, match=f"^postgresql://ops@/x: .*{tmp_path}") as caught:
        open_database(where)
    assert "RUNBOOK_HISTORY_URL" in caught.value.hint and "s3cret" not in caught.value.message
