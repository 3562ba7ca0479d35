# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl printed on Debian 11 (systemd 247) and 13 (257), replayed by a program of the same name on PATH."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import CommandFailed, InvalidInput, RunbookError, TimedOut, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import DeadlinePassed, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import systemd

FIXTURES = Path(__file__).parent / "fixtures/systemctl"
RELEASES = ("debian11", "debian13")
FAILED = ["nightly-export.service", "trading-worker.service", "apt-daily.timer"]


def unit(name: str, seconds: float = 10.0) -> dict[str, Any]:
    return {"unit": name, "benign": [], "timeout_seconds": seconds}


def manager(*patterns: str) -> dict[str, Any]:
    return {"unit": None, "benign": [{"pattern": pattern, "reason": "known"} for pattern in patterns], "timeout_seconds": 10.0}


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a systemctl with this script on PATH; gives the file with its arguments, one call a line."""
    calls = tmp_path / "calls"

    def put(script: str) -> Path:
        program = tmp_path / "bin/systemctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "LC_ALL=$LC_ALL $*" >> {calls}\n{script}\n', encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return calls

    return put


def printing(name: str, rc: int = 0) -> str:
    return f"cat {FIXTURES / name}; exit {rc}"


def listing(release: str, state: str = "degraded") -> str:
    return f'case "$*" in *is-system-running*) echo {state}; exit 1;; esac; cat {FIXTURES}/{release}-failed.txt'


@pytest.mark.parametrize("release", RELEASES)
def test_a_running_service(release: str, systemctl: Any, probe: Probe) -> None:
    calls = systemctl(printing(f"{release}-show-trading-api.txt"))
    measures = systemd.measure(unit("trading-api"), probe)
    assert isinstance(measures.pop("age"), float)
    assert measures == {"active_state": "active", "sub_state": "running", "enabled_state": "enabled", "result": "success", "restarts": 1}
    told = calls.read_text(encoding="utf-8")
    assert told.startswith("LC_ALL=C --no-pager --no-ask-password show --property=LoadState,")
    assert told.endswith("-- trading-api\n")


def test_age_counts_from_activation(systemctl: Any, probe: Probe) -> None:
    since = int((time.monotonic() - 90) * 1_000_000)
    systemctl(f"echo ActiveState=active; echo ActiveEnterTimestampMonotonic={since}")
    assert systemd.measure(unit("x"), probe)["age"] == pytest.approx(90, abs=5)


@pytest.mark.parametrize(
    ("printed", "memory"), [("4575232", 4575232), ("[not set]", None), ("18446744073709551615", None), ("infinity", None), ("", None)]
)
def test_memory_when_it_is_accounted(printed: str, memory: int | None, systemctl: Any, probe: Probe) -> None:
    systemctl(f"echo ActiveState=active; echo 'MemoryCurrent={printed}'")
    assert systemd.measure(unit("x"), probe).get("memory") == memory


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trading-worker", {"active_state": "failed", "sub_state": "failed", "enabled_state": "static", "result": "exit-code", "restarts": 0}),
        ("masked", {"active_state": "failed", "sub_state": "failed", "enabled_state": "masked", "result": "resources"}),
    ],
)
def test_units_that_do_not_run_have_no_age(release: str, name: str, expected: dict[str, Any], systemctl: Any, probe: Probe) -> None:
    systemctl(printing(f"{release}-show-{name}.txt"))
    assert systemd.measure(unit(name), probe) == expected


@pytest.mark.parametrize("release", RELEASES)
def test_a_target_has_no_result(release: str, systemctl: Any, probe: Probe) -> None:
    systemctl(printing(f"{release}-show-multi-user.target.txt"))
    measures = systemd.measure(unit("multi-user.target"), probe)
    assert measures["active_state"] == "active"
    assert "result" not in measures


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("name", "message"), [("nosuch", "unit nosuch does not exist"), ("broken", r"unit broken cannot be loaded \(bad-setting\)")])
def test_units_systemd_does_not_have(release: str, name: str, message: str, systemctl: Any, probe: Probe) -> None:
    systemctl(printing(f"{release}-show-{name}.txt"))
    with pytest.raises(VerifyFailed, match=message) as caught:
        systemd.measure(unit(name), probe)
    assert f"systemctl status {name}" in caught.value.hint


def test_a_unit_that_runs_though_its_file_is_gone(systemctl: Any, probe: Probe) -> None:
    systemctl("echo LoadState=not-found; echo ActiveState=active")
    assert systemd.measure(unit("x"), probe)["active_state"] == "active"


@pytest.mark.parametrize("name", ["trading-*", "a b", "x?", "[ab]"])
def test_one_unit_each(name: str, probe: Probe) -> None:
    with pytest.raises(InvalidInput, match="is not the name of one unit"):
        systemd.measure(unit(name), probe)


@pytest.mark.parametrize("release", RELEASES)
def test_a_template_is_no_unit(release: str, systemctl: Any, probe: Probe) -> None:
    systemctl(printing(f"{release}-show-template.txt", 1) + " >&2")
    with pytest.raises(CommandFailed, match="neither a valid invocation ID nor unit name"):
        systemd.measure(unit("getty@.service"), probe)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("patterns", "failed", "benign"),
    [
        ([], FAILED, []),
        (["trading-worker.service"], [FAILED[0], FAILED[2]], [FAILED[1]]),
        (["*.timer", "nightly-*"], [FAILED[1]], [FAILED[0], FAILED[2]]),
        (["*"], [], FAILED),
        (["Trading-*", "nightly-export"], FAILED, []),
    ],
)
def test_failed_units(release: str, patterns: list[str], failed: list[str], benign: list[str], systemctl: Any, probe: Probe) -> None:
    systemctl(listing(release))
    measures = systemd.measure(manager(*patterns), probe)
    assert measures == {"failed_count": len(failed), "failed": failed, "failed_benign": benign, "system_state": "degraded"}


def test_nothing_failed(systemctl: Any, probe: Probe) -> None:
    systemctl('case "$*" in *is-system-running*) echo running;; esac')
    assert systemd.measure(manager(), probe) == {"failed_count": 0, "failed": [], "failed_benign": [], "system_state": "running"}


@pytest.mark.parametrize("options", [manager(), unit("x")])
def test_a_host_without_systemd_is_unknown(options: dict[str, Any], systemctl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, probe: Probe) -> None:
    systemctl(printing("no-systemd.txt", 1) + " >&2")
    with pytest.raises(CommandFailed, match="System has not been booted with systemd") as caught:
        systemd.measure(options, probe)
    assert "process check" in caught.value.hint
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunbookError, match="systemctl cannot be run on this host: No such file or directory") as absent:
        systemd.measure(options, probe)
    assert absent.value.code == "failed"


def test_a_system_state_nobody_knows(systemctl: Any, probe: Probe) -> None:
    systemctl('case "$*" in *is-system-running*) echo offline; exit 1;; esac')
    with pytest.raises(CommandFailed, match="is-system-running ended with exit status 1: offline"):
        systemd.measure(manager(), probe)


@pytest.mark.parametrize(("own", "whole", "error"), [(0.3, 30.0, TimedOut), (30.0, 0.3, DeadlinePassed)])
def test_a_systemd_that_hangs_leaves_no_child(own: float, whole: float, error: type[TimedOut], systemctl: Any, tmp_path: Path, probe_of: Any) -> None:
    systemctl(f"sleep 60 & echo $! > {tmp_path}/child; wait")
    started = time.monotonic()
    with pytest.raises(TimedOut) as caught:
        systemd.measure(unit("x", own), probe_of(whole))
    assert caught.value.code == error.code
    assert time.monotonic() - started < 5
    assert_gone(int((tmp_path / "child").read_text(encoding="ascii")))


def assert_gone(pid: int) -> None:
    for _attempt in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        except OSError:
            return
        if state == "Z":  # dead; collecting it is up to process 1
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")
