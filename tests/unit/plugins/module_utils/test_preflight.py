# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a managed node is found to be before anything runs there."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.lease import Claim
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.state import State
from ansible_collections.tradeops.runbook.plugins.module_utils._module import preflight
from ansible_collections.tradeops.runbook.plugins.module_utils._module.preflight import look

NOW = 1795133700.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def found(libraries: list[str] | None = None, controller_time: str | None = None, seconds: int = 5) -> dict[str, Any]:
    result = look({"libraries": libraries or [], "controller_time": controller_time, "clock_seconds": seconds})
    json.dumps(result, allow_nan=False)
    return result


def test_nothing_to_look_for() -> None:
    result = found()
    assert (result["changed"], result["status"], result["measured_at"], result["missing_packages"]) == (False, "ok", rfc3339(NOW), [])
    assert [check["name"] for check in result["checks"]] == ["python"]
    assert result["checks"][0]["measures"] == {"version": platform.python_version()}


@pytest.mark.parametrize(
    ("library", "package"),
    [("jmespath_x", "python3-jmespath_x"), ("json.nothing", "python3-json.nothing"), ("no_such.library", "python3-no_such.library"), ("", "python3-"),
     (".", "python3-."), ("__main__.x", "python3-__main__.x")],
)  # fmt: skip
def test_a_missing_library_is_a_warning_with_its_package(library: str, package: str) -> None:
    result = found(["json", library])
    present, missing = result["checks"][1:]
    assert (present["status"], present["hint"], present["measures"]) == ("ok", "", {"installed": True})
    assert (missing["status"], missing["severity"], missing["measures"]) == ("warning", "P3", {"installed": False})
    assert missing["name"] == f"library {library}" and package in missing["hint"]
    assert result["missing_packages"] == [package] and result["status"] == "warning"


def test_packages_of_the_libraries_that_checks_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None)
    assert found(["jmespath", "cryptography"])["missing_packages"] == ["python3-jmespath", "python3-cryptography"]


@pytest.mark.parametrize(
    ("skew", "seconds", "status"),
    [(0, 5, "ok"), (5, 5, "ok"), (6, 5, "warning"), (-6, 5, "warning"), (-5, 5, "ok"), (100000, 5, "warning"), (60, 120, "ok"), (1, 0, "warning")],
)
def test_the_clock(skew: int, seconds: int, status: str) -> None:
    check = found(controller_time=rfc3339(NOW + skew), seconds=seconds)["checks"][-1]
    assert (check["name"], check["status"], check["measures"], check["units"]) == ("clock", status, {"skew": float(abs(skew))}, {"skew": "s"})


@pytest.mark.parametrize("text", ["yesterday", "2026-11-20T02:15:00", "1795133700"])
def test_a_time_that_is_none(text: str) -> None:
    with pytest.raises(InvalidInput):
        found(controller_time=text)


def test_findings_look_like_checks() -> None:
    keys = "name kind status severity message hint measures units limits notes muted for_seconds duration_seconds attempts"
    for check in found(["json"], rfc3339(NOW))["checks"]:
        assert set(check) == set(keys.split()) and check["kind"] == "preflight"


def interrupted(folder: Path) -> list[dict[str, Any]]:
    result = look({"libraries": [], "controller_time": None, "clock_seconds": 5, "state_dir": str(folder)})
    return [check for check in result["checks"] if check["name"] == "interrupted work"]


BEGUN = {"place": "/srv/orders.db", "run_id": "run-1", "tag": "20261120T021500Z-7f3a9c1e", "begun_at": "2026-11-20T02:15:00Z", "lease": "restore-0a1b"}


def test_work_that_was_interrupted_is_named(tmp_path: Path) -> None:
    assert [check["status"] for check in interrupted(tmp_path / "none")] == ["ok"]
    state = State(str(tmp_path))
    state.begin("restore-x", BEGUN)
    [check] = interrupted(tmp_path)
    assert (check["status"], check["severity"]) == ("warning", "P2") and "-e restore_undo=20261120T021500Z-7f3a9c1e" in check["hint"]
    assert check["measures"] == {"begun": "restore-x of /srv/orders.db since 2026-11-20T02:15:00Z (run run-1)"}
    with state.locked(Claim("restore-0a1b", "run-2", "restoring", 60.0)):
        assert [check["status"] for check in interrupted(tmp_path)] == ["ok"], "somebody is at work on it"
    assert [check["status"] for check in interrupted(tmp_path)] == ["warning"]
    (tmp_path / "intents/restore-x.json").write_text("{", encoding="ascii")
    [check] = interrupted(tmp_path)
    assert check["status"] == "warning" and "cannot be read" in check["measures"]["begun"]
    (tmp_path / "intents/restore-x.json").unlink()
    assert [check["status"] for check in interrupted(tmp_path)] == ["ok"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_what_only_root_may_see_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0)
    assert interrupted(tmp_path / "state") == []
