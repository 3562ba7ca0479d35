# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine itself: held against other tools on this machine, and against recorded files of others."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import DeadlinePassed, Probe, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import host

DISK = {"disk_used_percent", "disk_free", "inodes_used_percent"}
CPU = frozenset(["cpu_percent"])


def test_what_this_machine_says(probe_of: Any) -> None:
    measures = host.measure({"mount": "/"}, probe_of(wanted=CPU))
    assert set(measures) == set(host.MEASURES) - (set() if "inodes_used_percent" in measures else {"inodes_used_percent"})
    for name, value in measures.items():
        assert isinstance(value, Unmeasured) or value >= 0, name
        assert not name.endswith("_percent") or isinstance(value, Unmeasured) or value <= 100, name
    assert measures["memory_available"] > 1024 and measures["uptime"] > 0


def test_only_what_is_asked_for(probe: Probe) -> None:
    assert set(host.measure({}, probe)) == set(host.MEASURES) - DISK - CPU
    assert set(host.measure({"mount": None}, probe)) == set(host.MEASURES) - DISK - CPU


def test_disks_as_df_counts_them(probe: Probe) -> None:
    measures = host.measure({"mount": "/"}, probe)
    output = subprocess.run(["df", "--output=pcent,avail", "-B1", "/"], check=True, capture_output=True, text=True, timeout=30).stdout
    percent, free = output.splitlines()[1].split()
    assert abs(measures["disk_used_percent"] - float(percent.rstrip("%"))) <= 1.01, "df rounds up"
    assert measures["disk_free"] == pytest.approx(int(free), rel=0.01)


@pytest.mark.parametrize(
    ("blocks", "free", "available", "files", "free_files", "expected"),
    [
        (1000, 500, 400, 100, 25, {"disk_used_percent": 55.56, "disk_free": 400 * 4096, "inodes_used_percent": 75.0}),
        (1000, 50, 0, 100, 100, {"disk_used_percent": 100.0, "disk_free": 0, "inodes_used_percent": 0.0}),
        (1000, 1000, 1000, 0, 0, {"disk_used_percent": 0.0, "disk_free": 1000 * 4096}),
        (0, 0, 0, 0, 0, {"disk_free": 0}),
    ],
)
def test_disks(blocks: int, free: int, available: int, files: int, free_files: int, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve of root does not look free; a file system without sizes (such as /proc) has no percentage, which is unknown to a limit."""
    found = SimpleNamespace(f_blocks=blocks, f_bfree=free, f_bavail=available, f_frsize=4096, f_files=files, f_ffree=free_files)
    monkeypatch.setattr(os, "statvfs", lambda mount: found)
    assert host._disk("/") == expected


def test_a_folder_that_is_not_mounted_has_no_figures_of_its_own(tmp_path: Path, probe: Probe) -> None:
    with pytest.raises(VerifyFailed, match="not a mount point"):
        host.measure({"mount": str(tmp_path)}, probe)


def test_what_is_not_there(tmp_path: Path, probe: Probe) -> None:
    with pytest.raises(Unreachable, match="cannot be read"):
        host.measure({"mount": str(tmp_path / "missing")}, probe)


def test_what_may_not_be_looked_at(tmp_path: Path, probe: Probe, as_nobody: Any) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "inside").mkdir()
    (tmp_path / "closed").chmod(0)
    with pytest.raises(RunbookError, match="may not be looked at") as caught:
        as_nobody(lambda: host._disk(str(tmp_path / "closed" / "inside")))
    assert not isinstance(caught.value, Unreachable), "that says nothing about the disk"
    (tmp_path / "closed").chmod(0o700)


FILES = {
    "/proc/meminfo": "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    4000000 kB\nSwapTotal:       1000000 kB\n"
    "SwapFree:         250000 kB\nHugePages_Total:       0\n",
    "/proc/loadavg": "3.00 2.00 1.00 2/345 6789\n",
    "/proc/uptime": "12345.67 54321.00\n",
}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    content = dict(FILES)
    monkeypatch.setattr(host, "_lines", lambda path: content[path].splitlines())
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return content


def test_memory_load_and_uptime(files: dict[str, str], probe: Probe) -> None:
    assert host.measure({}, probe) == {
        "memory_used_percent": 75.0, "memory_available": 4096000000, "swap_used_percent": 75.0,
        "load_1m": 3.0, "load_per_cpu": 0.75, "uptime": 12345.67}  # fmt: skip


def test_without_swap(files: dict[str, str], probe: Probe) -> None:
    files["/proc/meminfo"] = "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    assert host.measure({}, probe)["swap_used_percent"] == 0.0


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        ("cpu 100 0 100 800 0 0 0 0 0 0", "cpu 150 0 150 900 0 0 0 0 0 0", 50.0),
        ("cpu 100 0 100 800 0 0 0 0 0 0", "cpu 100 0 100 900 0 0 0 0 0 0", 0.0),
        ("cpu 100 0 100 800 0 0 0 0 0 0", "cpu 200 0 100 800 0 0 0 0 900 900", 100.0),
        ("cpu 100 0 100 800 50 0 0 0 0 0", "cpu 100 0 100 800 150 0 0 0 0 0", 0.0),
        ("cpu 100 0 100 800 50 0 0 0 0 0", "cpu 200 0 100 800 40 0 0 0 0 0", 100.0),
        ("cpu 100 0 100 800 50 0 0 0 0 0", "cpu 100 0 100 800 50 0 0 0 0 0", None),
    ],
    ids=["half", "idle", "busy, guests count once", "waiting for a disk is idle", "waiting may count backwards", "nothing was counted"],
)
def test_processors(before: str, after: str, percent: float | None, files: dict[str, str], probe_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files["/proc/stat"] = before

    def sleep(seconds: float) -> None:
        assert seconds == 0.5
        files["/proc/stat"] = after

    monkeypatch.setattr(time, "sleep", sleep)
    found = host.measure({}, probe_of(wanted=CPU))["cpu_percent"]
    assert found == percent or (percent is None and isinstance(found, Unmeasured))


def test_the_sample_ends_with_the_call(files: dict[str, str], probe_of: Any) -> None:
    files["/proc/stat"] = "cpu 1 1 1 1 1 1 1 1"
    started = time.monotonic()
    host.measure({}, probe_of(0.1, wanted=CPU))
    assert time.monotonic() - started < 0.4
    with pytest.raises(DeadlinePassed):
        host.measure({}, probe_of(0.0, wanted=CPU))


@pytest.mark.skipif(not shutil.which("free"), reason="this machine has no free(1) to compare with")
def test_memory_as_free_counts_it(probe: Probe) -> None:
    available = host.measure({}, probe)["memory_available"]
    output = subprocess.run(["free", "-b"], check=True, capture_output=True, text=True, timeout=30).stdout
    assert available == pytest.approx(int(output.splitlines()[1].split()[6]), rel=0.1)
