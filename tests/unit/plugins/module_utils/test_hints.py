# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mistake in arguments is named with its place, all at once, and never with a secret."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._module.health import prepare
from ansible_collections.tradeops.runbook.plugins.module_utils._module.hints import explain
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import CHECKS, CONNECTIONS

SPEC: dict[str, Any] = {
    "connections": CONNECTIONS,
    "checks": CHECKS,
    "deadline_seconds": {"type": "float", "default": 60.0},
    "max_parallel": {"type": "int", "default": 8},
}
SECRET = "s3cr3t-t0ken"


def of(*checks: Any, **more: Any) -> dict[str, Any]:
    return {"checks": list(checks), **more}


TYPOS = of(
    {"name": "api answers", "http": {"url": "http://a", "methd": "GET"}, "limts": {}},
    {"nam": "b", "tcp": {"host": "h", "port": "x"}},
    {"name": "c"},
    {"name": "d", "http": {}, "tcp": {"hst": "h"}},
    {"name": "e", "http": {"url": "u", "method": "POST", "timeout_seconds": "fast"}, "severity": "P9", "poll": {"within_secs": 3}, "mute": {"reason": "r"}},
    {"name": "f", "systemd": {"benign": [{"pattern": "x", "reason": "r", "owner": "o", "until": "u"}, {"patern": "y", "reason": "r"}, "z"]}},
    {"name": "g", "process": {}},
    {"name": "h", "sqlite": {"path": "/a", "connection": "b"}},
    {"name": "i", "sql": "select 1"},
    deadlin_seconds=3,
    max_parallel="many",
)
EXPECTED = [
    'unknown key "deadlin_seconds"; did you mean "deadline_seconds"?',
    "argument 'max_parallel' is of type",
    'checks[0] (api answers) unknown key "limts"; did you mean "limits"?',
    'checks[0] (api answers) http: unknown key "methd"; did you mean "method"?',
    'checks[1] unknown key "nam"; did you mean "name"?',
    "checks[1] missing required arguments: name",
    "checks[1] tcp: argument 'port' is of type",
    "checks[2] (c) one of the following is required: http, tcp,",
    "checks[3] (d) parameters are mutually exclusive: http|tcp|",
    "checks[3] (d) http: missing required arguments: url",
    'checks[3] (d) tcp: unknown key "hst"; did you mean "host"?',
    "checks[3] (d) tcp: missing required arguments: port",
    "checks[3] (d) tcp: one of the following is required: host, container",
    "checks[4] (e) value of severity must be one of: P1, P2, P3, P4, got: P9",
    "checks[4] (e) http: argument 'timeout_seconds' is of type",
    "checks[4] (e) http: value of method must be one of: GET, HEAD, got: POST",
    'checks[4] (e) poll: unknown key "within_secs"; did you mean "within_seconds"?',
    "checks[4] (e) poll: missing required arguments: within_seconds",
    "checks[4] (e) mute: missing required arguments: owner, until",
    'checks[5] (f) systemd: benign[1] unknown key "patern"; did you mean "pattern"?',
    "checks[5] (f) systemd: benign[1] missing required arguments: owner, pattern, until",
    "checks[5] (f) systemd: benign[2] dictionary requested",
    "checks[6] (g) process: one of the following is required: name, pattern, pid_file",
    "checks[7] (h) sqlite: parameters are mutually exclusive: connection|path",
    "checks[8] (i) argument 'sql' is of type",
]


def test_every_mistake_at_once() -> None:
    errors = explain(TYPOS, SPEC)
    assert len(errors) == len(EXPECTED), errors
    for expected in EXPECTED:
        assert [error for error in errors if error.startswith(expected)], expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["missing required arguments: checks"]),
        ({"checks": {"a": 1}}, ["argument 'checks' is of type"]),
        (of("a"), ["checks[0] dictionary requested"]),
        (of(None), ["checks[0] <class 'NoneType'> cannot be converted"]),
        (of({"name": "a", "dns": {"name": "n", "expect": {"a": 1}}}), ["checks[0] (a) dns: argument 'expect' is of type"]),
        (of({"name": "a", "host": {}}, connections="x"), ["argument 'connections' is of type"]),
        (of({"name": "a", "host": {}}, _ansible_check_mode=True), []),
        ({**of({"name": "a", "host": {}}), 5: 6}, ['unknown key "5"']),
        (of({"name": "a", "host": {5: 6}, 7: 8}), ['checks[0] (a) unknown key "7"', 'checks[0] (a) host: unknown key "5"']),
        (of({"name": "a", "host": {}}), []),
    ],
)
def test_places(params: dict[Any, Any], expected: list[str]) -> None:
    errors = explain(params, SPEC)
    assert len(errors) == len(expected)
    assert all(error.startswith(start) for error, start in zip(errors, expected))


VALID: dict[str, dict[str, Any]] = {
    "http": {"url": "http://h/p", "method": "GET", "headers": {"A": "b"}, "secret_headers": {"X": SECRET}, "read": {"x": "y"}, "expect_refused": False,
             "max_bytes": 9, "ca_path": "/ca", "validate_certs": True, "timeout_seconds": 1.5},
    "tcp": {"host": "h", "port": 1, "timeout_seconds": 1.0},
    "dns": {"name": "n", "expect": ["127.0.0.1"]},
    "tls": {"host": "h", "port": 443, "server_name": "n"},
    "host": {"mount": "/"},
    "process": {"name": "n", "user": "u"},
    "systemd": {"unit": "u", "benign": [{"pattern": "p", "reason": "r", "owner": "o", "until": "2099-01-01"}]},
    "file": {"path": "/p"},
    "sqlite": {"connection": "orders", "write_test": True, "quick_check": False},
    "sql": {"connection": "orders", "query": "select 1", "parameters": [1]},
}  # fmt: skip
COMMON: dict[str, Any] = {
    "name": "the check", "limits": {"latency": {"warning": "> 5 s", "severity": {"warning": "P1"}, "for": "5 min"}}, "severity": "P1", "for": "5 min",
    "mute": {"reason": "r", "owner": "o", "until": "2099-01-01"}, "poll": {"within_seconds": 5.0, "interval_seconds": 1.0},
    "baselines": {"latency": 1.0}, "notes": ["n"],
}  # fmt: skip
TIMED = ("http", "tcp", "dns", "sqlite", "sql")


def valid(kind: str) -> dict[str, Any]:
    check = copy.deepcopy({**COMMON, kind: VALID[kind]})
    if kind not in TIMED:
        del check["limits"]
    return check


def outcome(check: Any) -> list[str]:
    """What an operator reads about one check: native errors explained, or those of limits and connections; nothing when it is good."""
    params = of(check, connections={"orders": {"path": "/x.db"}})
    try:
        native = ArgumentSpecValidator(SPEC).validate(params)
    except TypeError:  # the native validator breaks on a number where a mapping belongs
        assert explain(params, SPEC)
        return explain(params, SPEC)
    if native.error_messages:
        return explain(params, SPEC) or list(native.error_messages)
    assert explain(params, SPEC) == [] or None in str(params), "what is natively right is not called wrong"
    try:
        return [] if prepare(native.validated_parameters) else ["nothing came of it"]
    except InvalidInput as error:
        return error.message.split("; checks")


@pytest.mark.parametrize("kind", sorted(VALID))
def test_the_valid_ones_are_valid(kind: str) -> None:
    assert outcome(valid(kind)) == []


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every key and element of nested data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [found for key, item in items for found in [(*path, key), *places(item, (*path, key))]]


def mutated(check: dict[str, Any], path: tuple[Any, ...], how: str, value: Any) -> dict[str, Any]:
    parent: Any = check
    for key in path[:-1]:
        parent = parent[key]
    if how == "retype":
        parent[path[-1]] = value
    elif how == "delete" or isinstance(parent, list):
        del parent[path[-1]]
    else:
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
    return check


VALUES = st.sampled_from([5, -1, 1.5, "", "text", "> 5", True, [], ["x"], [["x"]], [{}], {}, {"x": 1}, {"warning": {}}])


@settings(max_examples=150)
@given(st.sampled_from(sorted(VALID)), st.data(), st.sampled_from(["delete", "rename", "retype"]), VALUES)
def test_any_mutation_is_named_or_harmless(kind: str, data: Any, how: str, value: Any) -> None:
    check = valid(kind)
    path = data.draw(st.sampled_from(places(check)))
    messages = outcome(mutated(check, path, how, value))
    for message in messages:
        assert "checks[0]" in message
        assert SECRET not in message
        assert path == ("name",) or "(the check)" in message
    if how == "rename" and len(path) <= 2 and isinstance(path[-1], str) and path[0] not in ("limits", "baselines"):
        assert any(f'unknown key "{path[-1]}x"; did you mean "{path[-1]}"?' in message for message in messages)


def test_a_misspelt_secret_is_named_without_its_value() -> None:
    for check in ({"name": "a", "http": {"url": "u", "secret_header": {"X": SECRET}}}, {"name": "a", "http": {"url": "u", "secret_headers": SECRET}}):
        errors = explain(of(check), SPEC)
        assert errors and SECRET not in str(errors)
