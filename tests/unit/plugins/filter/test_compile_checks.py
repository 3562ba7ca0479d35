# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter compile_checks: one list out of many, and every mistake before a host is contacted."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.filter.compile_checks import FilterModule, compile_checks

NOW = 1795133700.0  # 2026-11-20T00:15:00Z
API = {"name": "api", "http": {"url": "http://a", "read": {"status": "status"}}, "limits": {"latency": {"warning": "> 2 x baseline"}}}
ROOT = Path(__file__).resolve().parents[4]


def test_it_is_registered() -> None:
    assert FilterModule().filters() == {"compile_checks": compile_checks}


def test_merging_and_baselines() -> None:
    overlay = [{"name": "api", "http": {"url": "http://b"}}, {"name": "new", "host": {}}]
    given = [[API, {"name": "old", "tcp": {"host": "h", "port": 1}}], overlay, [{"name": "old", "enabled": False}]]
    before = copy.deepcopy(given)
    compiled = compile_checks(given, {"api": {"latency": 0.5}, "other": {"latency": 9}}, NOW)
    assert compiled == [
        {**API, "http": {"url": "http://b", "read": {"status": "status"}}, "baselines": {"latency": 0.5}}, {"name": "new", "host": {}}]  # fmt: skip
    assert given == before


@pytest.mark.parametrize("baselines", [None, {}, {"api": {}}, {"api": None}])
def test_without_baselines(baselines: Any) -> None:
    assert compile_checks([[API]], baselines, NOW) == [{**API, "baselines": {}}]


def test_now_is_the_clock_unless_it_is_given() -> None:
    entry = {"pattern": "p", "reason": "r", "owner": "o", "until": "2026-11-21"}
    check = {"name": "a", "systemd": {"benign": [entry]}}
    assert compile_checks([[check]], None, NOW)[0]["systemd"]["benign"] == [entry]
    late = compile_checks([[check]], None, NOW + 2 * 86400)[0]
    assert late["systemd"]["benign"] == [] and "expired on 2026-11-21" in late["notes"][0]
    assert compile_checks([[{"name": "a", "systemd": {"benign": [{**entry, "until": "2001-01-01"}]}}]])[0]["notes"]


def test_every_mistake_at_once() -> None:
    wrong = [
        {"name": "a", "limits": {"latency": {"warning": "high"}}},
        {"name": "fine", "host": {}},
        {"name": "b", "http": {"read": {"x": "a["}}},
        {"name": "c", "limits": ["latency"]},
        {"name": "d", "for": "5"},
        {"name": "e", "systemd": {"benign": ["foo"]}},
        {"name": "f", "http": {"read": {"x": {"path": "a..b"}}}},
    ]
    with pytest.raises(AnsibleFilterError) as caught:
        compile_checks([wrong], None, NOW)
    for start in ('checks[0] (a) "high" is not a limit', "checks[2] (b) http: read: x: ", "checks[3] (c) limits: write", 'checks[4] (d) "5" is not a duration',
                  "checks[5] (e) benign: foo: reason is missing", "checks[6] (f) http: read: x: "):  # fmt: skip
        assert start in str(caught.value)


@pytest.mark.parametrize("lists", [[{"name": "a"}], ["text"], [None], [[{"tcp": {}}]], [["a"]], [[API, API]]])
def test_what_is_no_list_of_checks(lists: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="must be a list|needs a name of its own"):
        compile_checks(lists, None, NOW)


@pytest.mark.parametrize("reading", ["a[", "a b", "", "a..b", "f(", "'", {"path": "["}, "[*", "a | "])
def test_expressions_are_read_here(reading: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="http: read: x"):
        compile_checks([[{"name": "a", "http": {"read": {"x": reading}}}]], None, NOW)


@pytest.mark.parametrize("http", [None, "text", {}, {"read": None}, {"read": "x"}, {"read": {"x": "a.b[0] | length(@)"}}, {"read": {"x": {"path": "a"}}}])
def test_what_the_module_judges_is_left_to_it(http: Any) -> None:
    assert compile_checks([[{"name": "a", "http": http}]], None, NOW) == [{"name": "a", "http": http}]


def test_without_jmespath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(AnsibleFilterError, match="jmespath is needed on the controller"):
        compile_checks([[API]], None, NOW)
    assert compile_checks([[{"name": "a", "host": {}}]], None, NOW)


WORDS = st.sampled_from(["latency", "warning", "for", "read", "x", "path", "benign", "pattern", "until", "reason", "owner"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["> 5 s", "5 min", "a.b", "2099-01-01"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(["name", "limits", "http", "systemd", "for", "mute", "notes", "baselines"]), VALUES, max_size=5), max_size=2))
def test_any_inventory_is_compiled_or_refused(checks: list[Any]) -> None:
    try:
        assert len(compile_checks([checks], {"a": {"latency": 1.0}}, NOW)) <= len(checks)
    except AnsibleFilterError:
        pass


@pytest.mark.parametrize("path", sorted((ROOT / "inventories").glob("*/group_vars/*/health*.yml")), ids=lambda path: f"{path.parts[-4]}/{path.name}")
def test_the_inventories_we_ship(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    lists = [value for name, value in content.items() if name.startswith("health_checks")]
    for check in (check for checks in lists for check in checks if isinstance(check.get("when_session"), str)):
        check["when_session"] = SESSION  # a template, which only a run resolves
    assert len(compile_checks(lists, None, NOW)) > 0 or not lists


SESSION = {"hours": "mon-fri 09:30-16:00", "timezone": "America/New_York"}


def test_a_session_is_decided_here() -> None:
    trades = {"name": "trades", "host": {}, "when_session": SESSION}
    closed, opened = (compile_checks([[trades]], None, moment)[0]["when_session"] for moment in (NOW, NOW + 15 * 3600))
    assert closed == {**SESSION, "skip": "outside of the trading session mon-fri 09:30-16:00 America/New_York, which opens next at 2026-11-20T14:30:00Z"}
    assert opened == {**SESSION, "skip": ""}


def test_sessions_and_overlays() -> None:
    trades = {"name": "trades", "host": {}, "when_session": SESSION}
    changes = {
        "another place": ({"calendar": "24/7"}, {"calendar": "24/7", "skip": ""}),
        "one more word": ({"after_open": "5 min"}, {**SESSION, "after_open": "5 min", "skip": ""}),
    }
    for change, wanted in changes.values():
        assert compile_checks([[trades], [{"name": "trades", "when_session": change}]], None, NOW + 15 * 3600)[0]["when_session"] == wanted
    assert compile_checks([[trades], [{"name": "trades", "when_session": None}]], None, NOW) == [{"name": "trades", "host": {}}]
    assert "when_session" in compile_checks([[trades], [{"name": "trades", "dns": {"name": "a"}}]], None, NOW)[0]


def test_a_wrong_session_is_named_with_the_check_and_a_missing_library_takes_none_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    wrong = [{"name": "a", "host": {}, "when_session": {"hours": "mon"}}, {"name": "b", "host": {}, "when_session": {"calendar": "XNYS"}}]
    with pytest.raises(AnsibleFilterError) as caught:
        compile_checks([wrong])
    text = str(caught.value)
    assert "checks[0] (a) when_session: hours need a timezone" in text
    assert "checks[1]" not in text
    (judged,) = compile_checks([wrong[1:]])
    assert judged["when_session"]["skip"] == "" and any("pip install exchange_calendars" in note for note in judged["notes"])
