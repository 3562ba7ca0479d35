# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control group of a container, in both versions and both at once, as the kernel writes its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._cgroup import Cgroup

ID = "8b79eb4c6c019bee826b4afb79ef0d3e5b384691c0d992b3ce7789a713893f62"
MOUNT = "30 23 0:28 / {path} rw,relatime - {kind} {kind} {options}\n"
V1_GROUPS = "".join(f"{number}:{name}:/docker/{ID}\n" for number, name in enumerate(["cpu,cpuacct", "memory", "pids", "name=systemd"], 1))
V1 = {
    "proc/7/cgroup": V1_GROUPS,
    "proc/self/mountinfo": "".join(
        MOUNT.format(path=f"/sys/fs/cgroup/{name}", kind="cgroup", options=f"rw,{name}") for name in ("cpu,cpuacct", "memory", "pids", "name=systemd")
    ) + MOUNT.format(path="/", kind="ext4", options="rw"),
    f"sys/fs/cgroup/memory/docker/{ID}/memory.usage_in_bytes": "138870784\n",
    f"sys/fs/cgroup/memory/docker/{ID}/memory.stat": "cache 100\nrss 5\ntotal_cache 100\ntotal_inactive_file 870784\n",
    f"sys/fs/cgroup/memory/docker/{ID}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    f"sys/fs/cgroup/pids/docker/{ID}/pids.current": "672\n",
    f"sys/fs/cgroup/cpu,cpuacct/docker/{ID}/cpuacct.usage": "4555630672\n",
}  # fmt: skip
SCOPE = f"system.slice/docker-{ID}.scope"
V2 = {
    "proc/7/cgroup": f"0::/{SCOPE}\n",
    "proc/self/mountinfo": MOUNT.format(path="/sys/fs/cgroup", kind="cgroup2", options="rw,nsdelegate"),
    f"sys/fs/cgroup/{SCOPE}/memory.current": "138870784\n",
    f"sys/fs/cgroup/{SCOPE}/memory.stat": "anon 5\nfile 100\ninactive_file 870784\nactive_file 3\n",
    f"sys/fs/cgroup/{SCOPE}/memory.events": "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\n",
    f"sys/fs/cgroup/{SCOPE}/pids.current": "672\n",
    f"sys/fs/cgroup/{SCOPE}/cpu.stat": "usage_usec 4555630\nuser_usec 1\nsystem_usec 2\n",
}
HYBRID = {**V1, "proc/7/cgroup": f"{V1_GROUPS}0::/docker/{ID}\n",
          "proc/self/mountinfo": V1["proc/self/mountinfo"] + MOUNT.format(path="/sys/fs/cgroup/unified", kind="cgroup2", options="rw")}  # fmt: skip
BELOW = f"sys/fs/cgroup/{SCOPE}/init.scope"
INIT = {**V2, "proc/7/cgroup": f"0::/{SCOPE}/init.scope\n", f"{BELOW}/memory.current": "3000\n", f"{BELOW}/memory.stat": "inactive_file 0\n",
        f"{BELOW}/memory.events": "oom_kill 0\n", f"{BELOW}/pids.current": "1\n", f"{BELOW}/cpu.stat": "usage_usec 1\n"}  # fmt: skip
"""A container whose first process is systemd, which moved into a group below the container's own."""


def group(folder: Path, files: dict[str, str], container: str = ID) -> Cgroup:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return Cgroup(7, container, str(folder))


def measured(found: Cgroup) -> list[Any]:
    return [found.memory(), found.pids(), found.oom_kills(), found.cpu_seconds()]


@pytest.mark.parametrize("files", [V1, V2, HYBRID, INIT], ids=["version 1", "version 2", "hybrid", "systemd inside"])
def test_what_the_kernel_counts(files: dict[str, str], tmp_path: Path) -> None:
    assert measured(group(tmp_path, files)) == [138000000, 672, 2, pytest.approx(4.55563)]


@pytest.mark.parametrize("files", [V1, V2, HYBRID], ids=["version 1", "version 2", "hybrid"])
def test_another_process_is_not_taken_for_it(files: dict[str, str], tmp_path: Path) -> None:
    """Where this Python sees other process numbers than the engine."""
    assert all(isinstance(value, Unmeasured) for value in measured(group(tmp_path, files, "0" * 64)))


@pytest.mark.parametrize("files", [V1, V2], ids=["version 1", "version 2"])
def test_zeros_are_not_believed(files: dict[str, str], tmp_path: Path) -> None:
    zeros = {name: text if "proc" in name else "".join(f"{line.rpartition(' ')[0]} 0\n" for line in text.splitlines()) for name, text in files.items()}
    memory, pids, kills, seconds = measured(group(tmp_path, zeros))
    assert all(isinstance(value, Unmeasured) and "zero" in value.reason for value in (memory, pids, seconds)) and kills == 0


@pytest.mark.parametrize("missing", [name for name in (*V1, *V2) if "sys/" in name or "proc/7" in name])
def test_a_file_that_is_not_there(missing: str, tmp_path: Path) -> None:
    files = V1 if missing in V1 and missing != "proc/7/cgroup" else V2
    values = measured(group(tmp_path, {name: text for name, text in files.items() if name != missing}))
    assert any(isinstance(value, Unmeasured) for value in values)


@pytest.mark.parametrize("text", ["", "abc\n", "12,5\n", "\n"])
def test_a_file_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    found = group(tmp_path, {name: text if "proc" not in name else given for name, given in V2.items()})
    assert all(isinstance(value, Unmeasured) for value in measured(found))


def test_without_any_control_group(tmp_path: Path) -> None:
    assert all(isinstance(value, Unmeasured) for value in measured(Cgroup(0, ID, str(tmp_path))))
    assert all(isinstance(value, Unmeasured) for value in measured(Cgroup(0, ID)))


def test_whether_its_process_has_ended(tmp_path: Path) -> None:
    found = group(tmp_path, V2)
    assert not found.ended() and not Cgroup(0, ID, str(tmp_path)).ended(), "a container that does not run has no process"
    (tmp_path / "proc/7/cgroup").write_text("0::/\n", encoding="utf-8")
    assert found.ended(), "what is left of it is in no group, or another process has its number"
    (tmp_path / "proc/7/cgroup").unlink()
    assert found.ended()
