# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's judgement of a run and its care for what it starts; the demo as a whole is `make demo`."""
from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "demo" / "run.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    specification = importlib.util.spec_from_file_location("demo_run", SCRIPT)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["demo_run"] = module  # its dataclasses look themselves up there
    specification.loader.exec_module(module)
    return module


def view(**statuses: str) -> dict[str, Any]:
    kinds = {"disk": "host"}
    checks = [{"name": name, "status": status, "kind": kinds.get(name, "http")} for name, status in statuses.items()]
    return {"systems": [{"hosts": [{"checks": checks}]}]}


@pytest.mark.parametrize("checks, exit_code, broken, problem", [
    ({"api": "ok", "disk": "ok", "write": "skipped"}, 0, set(), ""),
    ({"api": "ok", "disk": "warning"}, 0, set(), ""),
    ({"api": "ok", "disk": "critical"}, 2, set(), ""),
    ({"api": "critical", "disk": "ok"}, 2, {"api"}, ""),
    ({"api": "ok"}, 2, set(), "exit code 2 instead of 0"),
    ({"api": "critical"}, 0, {"api"}, "exit code 0 instead of 2"),
    ({"api": "critical"}, 2, set(), "expected no findings"),
    ({"api": "unknown"}, 2, {"api"}, "expected ['api'] findings"),
    ({"api": "critical", "db": "critical"}, 2, {"api"}, "expected ['api'] findings"),
    ({"db": "critical", "api answers": "warning"}, 2, {"db"}, ""),
    ({"db": "critical", "api answers": "critical"}, 2, {"db"}, "expected ['db'] findings"),
    ({"db": "ok", "api answers": "warning"}, 0, set(), "expected no findings"),
    ({"db": "critical", "retries": "warning", "log volume": "warning"}, 2, {"db"}, ""),
    ({"db": "critical", "retries": "unknown"}, 2, {"db"}, "expected ['db'] findings"),
    ({}, 0, set(), "the record has no checks"),
])
def test_a_run_is_judged_by_its_record(demo: ModuleType, checks: dict[str, str], exit_code: int, broken: set[str], problem: str) -> None:
    found = demo.Run("daily", exit_code, view(**checks), Path("daily.html")).unexpected(broken)
    assert found == problem if not problem else found.startswith(problem)


def test_news_are_errors_that_no_review_had_seen(demo: ModuleType) -> None:
    signatures = [{"id": name, "level": level} for name, level in (("new", "ERROR"), ("old", "ERROR"), ("talk", "INFO"))]
    logs = [{"signatures": signatures, "earlier": {"reviewed": reviewed, "signatures": {"old": {}}}} for reviewed in (True, False)]
    run = demo.Run("daily", 2, {"systems": [{"hosts": [{"checks": [], "logs": logs}]}]}, Path("daily.html"))
    assert [found["id"] for found in run.news] == ["new"]


def test_playbooks_get_an_environment_of_their_own(demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path)
    (tmp_path / "nextrade.port").write_text("4711\n", encoding="ascii")
    monkeypatch.setenv("RUNBOOK_REPORTS_DIR", "/elsewhere")
    monkeypatch.setenv("ANSIBLE_HOME", "/kept")
    found = demo.environment()
    assert "RUNBOOK_REPORTS_DIR" not in found and found["ANSIBLE_HOME"] == "/kept"
    assert (found["DEMO_PORT"], found["DEMO_STATE"], found["RUNBOOK_HISTORY_DIR"]) == ("4711", str(tmp_path), str(demo.HISTORY))


def test_a_child_is_gone_with_all_it_started(demo: ModuleType, tmp_path: Path) -> None:
    program = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt), open(tmp_path / "log", "w", encoding="utf-8") as output:
        with demo.child([sys.executable, "-c", program], output) as process:
            demo.wait_until(lambda: (tmp_path / "log").read_text(encoding="utf-8").endswith("\n"), "no grandchild")
            raise KeyboardInterrupt
    assert process.returncode == -signal.SIGTERM
    assert not alive(int((tmp_path / "log").read_text(encoding="utf-8")))


def alive(pid: int) -> bool:
    end = time.monotonic() + 2  # an orphan is reaped a moment later; where nobody reaps it stays as a zombie
    while time.monotonic() < end:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"):
                return False
        except (FileNotFoundError, ProcessLookupError):
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def stub(demo: ModuleType, tmp_path: Path) -> list[str]:
    """The demo on a staged tree and an ansible-playbook that are only there, the latter for a long time."""
    for name in demo.WELL:
        path = tmp_path / "stage/ansible_collections/tradeops/runbook/playbooks" / f"{name.split()[0]}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    (tmp_path / "bin" / "ansible-playbook").write_text("#!/bin/sh\nsleep 60\n", encoding="ascii")
    (tmp_path / "bin" / "ansible-playbook").chmod(0o755)
    return [str(tmp_path / "bin" / "python"), str(SCRIPT)]


def test_a_second_demo_and_a_terminated_one(stub: list[str], tmp_path: Path) -> None:
    """SIGTERM in the middle: the service that was started is stopped, and the exit code says so."""
    environment = {**os.environ, "BUILD": str(tmp_path)}
    with subprocess.Popen(stub, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        while not (tmp_path / "demo" / "log" / "1.log").is_file() and first.poll() is None:
            time.sleep(0.01)
        pid_file = tmp_path / "demo" / "state" / "nextrade.pid"
        service = int(pid_file.read_text(encoding="ascii"))
        second = subprocess.run(stub, env=environment, capture_output=True, text=True, check=False, timeout=10)
        assert (second.returncode, second.stderr) == (1, "another demo is running in this checkout\n")
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=15)
    assert first.returncode == 143
    assert not alive(service) and not pid_file.exists()


def test_a_demo_that_is_not_prepared_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "BUILD": str(tmp_path)}
    found = subprocess.run([sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False, timeout=10)
    assert found.returncode == 1 and "make demo" in found.stderr and "Traceback" not in found.stderr
