# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named connections: their options are documented, validated natively, and what is secret in them stays so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tradeops.runbook.plugins.doc_fragments.checks import ModuleDocFragment
from ansible_collections.tradeops.runbook.plugins.module_utils._core.checks import PACKAGES, needed_libraries
from ansible_collections.tradeops.runbook.plugins.module_utils._module.data_kinds import CONNECTION
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import KINDS
from ansible_collections.tradeops.runbook.plugins.modules import health_check_info

SECRET = "s3cret/of:the@test"
DESCRIBED = " ".join(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["connections"]["description"])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The result of health_check_info with these connections and checks."""
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule._log_to_syslog", lambda self, message: print(message))

    def call(connections: Any, *checks: dict[str, Any]) -> dict[str, Any]:
        with patch_module_args({"connections": connections, "checks": list(checks), "_ansible_inject_invocation": True}), pytest.raises(SystemExit):
            health_check_info.main()
        printed = capsys.readouterr().out
        assert SECRET not in printed and json.dumps(SECRET)[1:-1] not in printed
        found: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        return found

    return call


def options_of(kind: str) -> dict[str, Any]:
    return dict(CONNECTION["options"][kind].get("options") or {kind: CONNECTION["options"][kind]})


@pytest.mark.parametrize("kind", sorted(CONNECTION["options"]))
def test_every_option_is_documented(kind: str) -> None:
    words = set(re.findall(r"C\((\w+)\)", DESCRIBED)) | set(re.findall(r"(\w+):", DESCRIBED))
    assert {kind, *options_of(kind)} <= words


def test_secrets_are_marked() -> None:
    for kind in ("postgresql", "redis"):
        for name, option in options_of(kind).items():
            assert option.get("no_log", False) is name.startswith("secret_"), name


def test_every_kind_with_a_connection_says_which() -> None:
    for name, kind in KINDS.items():
        assert bool(kind.connects) is ("connection" in kind.options), name
        assert set(kind.connects) <= set(CONNECTION["options"])


def check(kind: str = "postgresql", connection: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": "a", kind: {"connection": connection, **more}}


POSTGRESQL = {"database": "orders", "host": "127.0.0.1", "port": 1, "secret_password": SECRET}


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        ({"postgresql": {**POSTGRESQL, "hots": "db"}}, 'connections: main: postgresql: unknown key "hots"; did you mean "host"?'),
        ({"postgresql": {**POSTGRESQL, "sslmode": "perhaps"}}, "value of sslmode must be one of"),
        ({"postgresql": {"host": "db", "secret_pasword": SECRET}}, 'unknown key "secret_pasword"; did you mean "secret_password"?'),
        ({"postgresql": {**POSTGRESQL, "container": "db"}}, "mutually exclusive: host|container"),
        ({"postgres": POSTGRESQL}, 'connections: main: unknown key "postgres"; did you mean "postgresql"?'),
        ({"path": "/x", "postgresql": POSTGRESQL}, "connections: main: give one of path, postgresql, redis"),
        ({}, "connections: main: give one of"),
        ({"path": None}, "connections: main: give one of"),
        (SECRET, "connections: argument 'main' is of type str"),
        ({"redis": {}}, 'postgresql: the connection "main" is of another kind (it needs one with postgresql)'),
    ],
)
def test_mistakes_are_named(connection: Any, words: str, run: Callable[..., dict[str, Any]]) -> None:
    result = run({"main": connection}, check())
    assert result["failed"] is True and words in result["msg"]


def test_a_password_never_comes_back(run: Callable[..., dict[str, Any]]) -> None:
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed (requirements.txt)")
    result = run({"main": {"postgresql": POSTGRESQL}, "files": {"path": "/nowhere.db"}}, check(), {**check("sqlite", "files"), "name": "b"})
    assert [entry["status"] for entry in result["checks"]] == ["critical", "critical"]
    assert result["invocation"]["module_args"]["connections"]["main"]["postgresql"]["host"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("redis", {"get": {"evicted": "x"}}, "redis: get: evicted is measured anyway"),
        ("redis", {"get": {"a": 5}}, "redis: get: a: write a key"),
        ("redis", {"get": {"a": {"key": "x", "unit": "miles"}}}, "redis: get: a: units are"),
        ("redis", {"get": {"a": {"key": "x", "kee": "y"}}}, "redis: get: a: write a key"),
        ("redis", {"memory_limit": "2"}, 'redis: memory_limit: "2" is not a size'),
        ("redis", {"timeout_seconds": 0}, "redis: timeout_seconds must be more than 0"),
    ],
)
def test_mistakes_in_checks(kind: str, more: dict[str, Any], words: str, run: Callable[..., dict[str, Any]]) -> None:
    assert words in run({"main": {"redis": {}}}, check(kind, **more))["msg"]


def test_libraries() -> None:
    assert needed_libraries([check(), check("redis")], {}) == ["psycopg2", "redis"]
    assert {PACKAGES[name] for name in ("psycopg2", "redis")} == {"python3-psycopg2", "python3-redis"}
