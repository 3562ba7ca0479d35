# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes found by name, command line and pid file; a made-up /proc where the real one cannot be had."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Probe, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _proc, process
from ansible_collections.tradeops.runbook.tests.support.children import environment

SLEEP = "import sys, time; print(flush=True); time.sleep(60)"
BUSY = "print(flush=True)\nwhile True: pass"
OPEN = "import os, time; kept = [open(os.devnull) for _ in range(20)]; print(flush=True); time.sleep(60)"
THREADS = "import threading, time; [threading.Thread(target=time.sleep, args=(60,), daemon=True).start() for _ in range(3)]; print(flush=True); time.sleep(60)"


@pytest.fixture
def marker() -> str:
    return f"marker-{uuid.uuid4().hex}"


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Starts a process of its own and gives its number; it is stopped at the end."""
    with contextlib.ExitStack() as stack:

        def run(*argv: str, wait: bool = True) -> int:
            child = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE))
            stack.callback(child.kill)
            if wait:
                assert child.stdout is not None
                child.stdout.readline()
            return child.pid

        yield run


def python(code: str, marker: str) -> tuple[str, ...]:
    return sys.executable, "-c", code, marker


def test_processes_by_command_line(start: Any, marker: str, probe: Probe) -> None:
    for _number in range(2):
        start(*python(SLEEP, marker))
    measures = process.measure({"pattern": f"python.* {marker}$"}, probe)
    assert measures["count"] == 2
    assert measures["threads"] == 2
    assert 2 * 2**20 < measures["memory"] < 2 * 2**30
    assert 0 <= measures["age"] < 60
    assert measures["open_files"] >= 6
    assert set(measures) == set(process.MEASURES) - {"cpu_percent"}


def test_none_at_all(marker: str, probe_of: Any) -> None:
    measures = process.measure({"pattern": marker}, probe_of(wanted=frozenset({"cpu_percent"})))
    assert measures == {"count": 0, "memory": 0, "threads": 0, "open_files": 0, "cpu_percent": 0}


def test_open_files_and_threads(start: Any, marker: str, probe: Probe) -> None:
    start(*python(OPEN, marker))
    assert process.measure({"pattern": marker}, probe)["open_files"] >= 23
    start(*python(THREADS, marker + "-threads"))
    assert process.measure({"pattern": marker + "-threads"}, probe)["threads"] == 4


def test_processor_time_is_sampled_only_when_wanted(start: Any, marker: str, probe_of: Any) -> None:
    start(*python(BUSY, marker))
    assert "cpu_percent" not in process.measure({"pattern": marker}, probe_of())
    measures = process.measure({"pattern": marker}, probe_of(wanted=frozenset({"cpu_percent"})))
    assert 1 < measures["cpu_percent"] < 150


@pytest.mark.parametrize("name", ["rbk-short", "rbk-a-name-longer-than-fifteen"])
def test_processes_by_name(name: str, start: Any, tmp_path: Path, probe: Probe) -> None:
    program = tmp_path / name
    program.symlink_to("/bin/sleep")
    start(str(program), "60", wait=False)
    assert process.measure({"name": name}, probe)["count"] == 1
    assert process.measure({"name": name[:-1]}, probe)["count"] == 0
    assert process.measure({"name": name + "x"}, probe)["count"] == 0


def test_a_script_has_its_own_name(start: Any, tmp_path: Path, probe: Probe) -> None:
    script = tmp_path / "rbk-script-with-a-long-name"
    script.write_text(f"#!{sys.executable}\n{SLEEP}\n", encoding="utf-8")
    script.chmod(0o755)
    start(str(script))
    assert process.measure({"name": script.name}, probe)["count"] == 1


def test_neither_ansible_nor_what_started_it_counts(marker: str) -> None:
    code = (
        "import time\n"
        "from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, Probe\n"
        "from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import process\n"
        f"print(process.measure({{'pattern': '{marker}'}}, Probe(Deadline(9, time.monotonic), time.time()))['count'])\n"
    )
    argv = ["/bin/sh", "-c", '"$@"; exit $?', marker, *python(code, marker)]
    assert subprocess.run(argv, env=environment(), capture_output=True, check=True, timeout=20).stdout == b"0\n"


def test_a_pid_file(start: Any, marker: str, tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "service.pid"
    path.write_text(f" {start(*python(SLEEP, marker))}\n/var/lib/postgresql\n", encoding="ascii")
    measures = process.measure({"pid_file": str(path)}, probe)
    assert (measures["count"], measures["threads"]) == (1, 1)


def test_a_pid_file_whose_number_belongs_to_another_program_by_now(start: Any, marker: str, tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "pid"
    path.write_text(str(start(*python(SLEEP, marker))), encoding="ascii")
    assert process.measure({"pid_file": str(path), "pattern": marker}, probe)["count"] == 1
    assert process.measure({"pid_file": str(path), "pattern": "another program"}, probe)["count"] == 0


def test_a_stale_or_missing_pid_file_is_no_process(tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "service.pid"
    assert process.measure({"pid_file": str(path)}, probe)["count"] == 0
    path.write_text("4194304999\n", encoding="ascii")
    measures = process.measure({"pid_file": str(path)}, probe)
    assert measures["count"] == 0
    assert "age" not in measures


def test_a_zombie_does_not_count(tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "service.pid"
    with subprocess.Popen(["/bin/true"]) as child:
        path.write_text(str(child.pid), encoding="ascii")
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.measure({"pid_file": str(path)}, probe)["count"] == 0


@pytest.mark.parametrize("content", [b"", b"running\n", b"-5", b"\xff\xfe"])
def test_a_pid_file_without_a_number(content: bytes, tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "service.pid"
    path.write_bytes(content)
    with pytest.raises(VerifyFailed, match="holds no process number"):
        process.measure({"pid_file": str(path)}, probe)


def test_by_user(start: Any, marker: str, probe: Probe) -> None:
    start(*python(SLEEP, marker))
    own = os.geteuid()
    for user, count in ((str(own), 1), (pwd.getpwuid(own).pw_name, 1), (str(own + 1), 0)):
        assert process.measure({"pattern": marker, "user": user}, probe)["count"] == count


@pytest.mark.parametrize(
    ("options", "message"),
    [({"pattern": "a(b"}, 'pattern "a\\(b" is not a regular expression'), ({"name": "x", "user": "no-such-user"}, "user no-such-user does not exist")],
)
def test_bad_input(options: dict[str, str], message: str, probe: Probe) -> None:
    with pytest.raises(InvalidInput, match=message):
        process.measure(options, probe)


def test_open_files_of_others_are_not_guessed(as_nobody: Any, tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "service.pid"
    path.write_text("1", encoding="ascii")
    measures = as_nobody(lambda: process.measure({"pid_file": str(path)}, probe))
    assert measures["count"] == 1
    assert isinstance(measures["open_files"], Unmeasured)


class MadeUp:
    """A folder that looks like /proc."""

    def __init__(self, root: Path) -> None:
        self._root = root
        (root / "stat").write_text("cpu  1 2 3\nbtime 1000\nprocesses 5\n", encoding="ascii")
        self.add(1, ["/sbin/init"], parent=0)

    def add(self, pid: int, argv: list[str], parent: int = 1, name: str = "", started: int = 0) -> None:
        folder = self._root / str(pid)
        (folder / "fd").mkdir(parents=True)
        fields = [0] * 50
        fields[4 - 3], fields[20 - 3], fields[22 - 3], fields[24 - 3] = parent, 1, started, 10
        (folder / "stat").write_bytes(f"{pid} ({name or os.path.basename(argv[0])[:15]}) S {' '.join(map(str, fields[1:]))}\n".encode())
        (folder / "cmdline").write_bytes("".join(f"{word}\0" for word in argv).encode())
        (folder / "status").write_text("Name:\tx\nUid:\t7\t8\t9\t10\n", encoding="ascii")

    def become(self, pid: int) -> None:
        (self._root / "self").symlink_to(str(pid))


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    monkeypatch.setattr(_proc, "PROC", str(tmp_path))
    return MadeUp(tmp_path)


def test_the_services_we_descend_from_count(made_up: MadeUp, probe: Probe) -> None:
    """Over ssh: the listening sshd is a service, the one of our session is not."""
    made_up.add(10, ["sshd: /usr/sbin/sshd -D [listener]"], name="sshd")
    made_up.add(11, ["sshd: operator [priv]"], parent=10, name="sshd")
    made_up.add(12, ["/bin/sh", "-c", "python3 AnsiballZ_health_check_info.py"], parent=11)
    made_up.add(13, ["/usr/bin/python3", "/tmp/ansible-tmp-1/AnsiballZ_health_check_info.py"], parent=12)
    made_up.become(13)
    assert process.measure({"name": "sshd"}, probe)["count"] == 1
    assert process.measure({"name": "python3"}, probe)["count"] == 0
    assert process.measure({"pattern": "sshd"}, probe)["count"] == 1


def test_ansible_under_a_timer_and_its_workers_do_not_count(made_up: MadeUp, probe: Probe) -> None:
    """On the controller itself, where command lines hold names out of the inventory."""
    command = ["/usr/bin/python3", "/usr/bin/ansible-playbook", "-i", "inventories/nextrade", "daily.yml"]
    made_up.add(20, command)
    made_up.add(21, command, parent=20)
    made_up.add(22, command, parent=20)
    made_up.add(30, ["/opt/nextrade/bin/engine"])
    made_up.become(21)
    assert process.measure({"pattern": "nextrade"}, probe)["count"] == 1
    assert process.measure({"pattern": "ansible-playbook"}, probe)["count"] == 1
    assert process.measure({"name": "init"}, probe)["count"] == 1


def test_age_counts_from_the_start_of_the_oldest(made_up: MadeUp, probe_of: Any) -> None:
    made_up.become(1)
    ticks = os.sysconf("SC_CLK_TCK")
    made_up.add(40, ["engine"], started=100 * ticks)
    made_up.add(41, ["engine"], started=300 * ticks)
    measures = process.measure({"name": "engine"}, probe_of(now=1500.0))
    assert measures["age"] == 400
    assert measures["memory"] == 20 * os.sysconf("SC_PAGE_SIZE")


def test_hidden_processes_are_unknown_not_absent(made_up: MadeUp, tmp_path: Path, probe: Probe) -> None:
    """/proc mounted with hidepid: others are not to be seen, so none found means nothing."""
    made_up.add(50, ["probe"])
    made_up.become(50)
    (tmp_path / "1/cmdline").unlink()
    with pytest.raises(RunbookError, match="hides the processes of other users") as caught:
        process.measure({"name": "engine"}, probe)
    assert caught.value.code == "failed"


def test_what_vanishes_while_it_is_read_was_never_there(made_up: MadeUp, tmp_path: Path, probe: Probe) -> None:
    made_up.become(1)
    made_up.add(60, ["engine"])
    made_up.add(61, ["engine"])
    (tmp_path / "61/cmdline").unlink()
    (tmp_path / "60/fd").rmdir()
    measures = process.measure({"name": "engine"}, probe)
    assert (measures["count"], measures["open_files"]) == (1, 0)
    (tmp_path / "60/status").unlink()
    assert process.measure({"name": "engine", "user": "8"}, probe)["count"] == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=15))
def test_any_name_of_a_process_is_read(made_up: MadeUp, tmp_path: Path, name: str) -> None:
    stat = (tmp_path / "1/stat").read_bytes()
    (tmp_path / "1/stat").write_bytes(re.sub(rb"\(.*\)", lambda found: f"({name})".encode(), stat, flags=re.DOTALL))
    found = _proc.read(1)
    assert found is not None
    assert (found.name, found.threads, found.memory) == (name, 1, 10)
