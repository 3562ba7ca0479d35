# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real files: one, many, none, hidden behind permissions, from the future."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Probe, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import file

NOW = 2_000_000_000.0


def look(path: Any, probe: Probe, seconds: float = 10.0) -> dict[str, Any]:
    return file.measure({"path": str(path), "timeout_seconds": seconds}, probe)


def make(path: Path, size: int = 1, age: float = 60.0, mode: int = 0o640) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    path.chmod(mode)
    os.utime(path, (NOW - age, NOW - age))
    return path


@pytest.fixture
def probe(probe_of: Any) -> Probe:
    made: Probe = probe_of(now=NOW)
    return made


def test_one_file(tmp_path: Path, probe: Probe) -> None:
    measures = look(make(tmp_path / "a.log", 123, 60), probe)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    assert measures == {"exists": True, "count": 1, "size": 123, "age": 60, "oldest_age": 60, "mode": "0640", "owner": owner}
    assert set(measures) == set(file.MEASURES)


def test_a_pattern_sums_up(tmp_path: Path, probe: Probe) -> None:
    make(tmp_path / "1/a.gz", 10, 100, 0o600)
    make(tmp_path / "2/b.gz", 20, 50, 0o644)
    make(tmp_path / "2/c.txt", 40, 1)
    measures = look(tmp_path / "*/*.gz", probe)
    assert (measures["count"], measures["size"], measures["age"], measures["oldest_age"]) == (2, 30, 50, 100)


@pytest.mark.parametrize(("modes", "mode"), [([0o600, 0o640], "0640"), ([0o640, 0o604], "0644"), ([0o4755], "4755"), ([0], "0000")])
def test_mode_is_all_that_any_file_grants(modes: list[int], mode: str, tmp_path: Path, probe: Probe) -> None:
    for number, bits in enumerate(modes):
        make(tmp_path / f"{number}.key", mode=bits)
    assert look(tmp_path / "*.key", probe)["mode"] == mode


@pytest.mark.parametrize("path", ["none", "none/*", "*.none", "a.log/b", "a.log/*", "*/*/*"])
def test_nothing_there(path: str, tmp_path: Path, probe: Probe) -> None:
    make(tmp_path / "a.log")
    assert look(tmp_path / path, probe) == {"exists": False, "count": 0}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*", {"a1", "b1", "[x]"}), ("?1", {"a1", "b1"}), ("[ab]1", {"a1", "b1"}), ("[!a]1", {"b1"}), (".*", {".hidden"}), ("A1", set()), ("[x]", {"[x]"})],
)
def test_patterns(pattern: str, names: set[str], tmp_path: Path, probe: Probe) -> None:
    for name in ("a1", "b1", ".hidden", "[x]"):
        make(tmp_path / name)
    assert look(tmp_path / pattern, probe)["count"] == len(names)


def test_folders_count_as_themselves(tmp_path: Path, probe: Probe) -> None:
    make(tmp_path / "spool/a", 5000)
    for path in ("spool", "spool/", "sp*"):
        measures = look(f"{tmp_path}/{path}", probe)
        assert (measures["exists"], measures["count"]) == (True, 1)


def test_links_are_not_followed(tmp_path: Path, probe: Probe) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "gone")
    measures = look(tmp_path / "latest", probe)
    assert measures["exists"] is True
    assert "mode" not in measures
    make(tmp_path / "later", mode=0o600)
    assert look(tmp_path / "late*", probe)["mode"] == "0600"


def test_an_owner_without_a_name(tmp_path: Path, probe: Probe) -> None:
    if os.geteuid() != 0:
        assert look(make(tmp_path / "a"), probe)["owner"]
        return
    os.chown(make(tmp_path / "a"), 3_999_999, -1)
    make(tmp_path / "b")
    assert look(tmp_path / "a", probe)["owner"] == "3999999"
    assert look(tmp_path / "?", probe)["owner"] == "3999999, root"


@pytest.mark.parametrize(("age", "expected"), [(-30, 0.0), (-3600, None)])
def test_the_future_is_no_age(age: float, expected: float | None, tmp_path: Path, probe: Probe) -> None:
    found = look(make(tmp_path / "a", age=age), probe)["age"]
    assert found == expected if expected is not None else isinstance(found, Unmeasured) and "3600 s in the future" in found.reason


@pytest.mark.parametrize("path", ["relative/a", "", "~/a", "/tmp/a\0b"])
def test_only_whole_paths(path: str, probe: Probe) -> None:
    with pytest.raises(InvalidInput, match="is not an absolute path"):
        look(path, probe)


@pytest.mark.parametrize("inner", ["a.log", "*.log", "*/a.log"])
def test_not_allowed_is_not_the_same_as_not_there(inner: str, tmp_path: Path, as_nobody: Any, probe: Probe) -> None:
    make(tmp_path / "closed/in/a.log")
    (tmp_path / "closed").chmod(0o700)
    with pytest.raises(RunbookError, match="cannot be looked at: Permission denied") as caught:
        as_nobody(lambda: look(tmp_path / "closed" / inner, probe))
    assert caught.value.code == "failed"
    assert "become" in caught.value.hint


def test_many_files_are_bounded_by_time(tmp_path: Path, probe_of: Any) -> None:
    for number in range(300):
        (tmp_path / str(number)).touch()
    assert look(tmp_path / "*", probe_of())["count"] == 300
    started = time.monotonic()
    with pytest.raises(TimedOut, match="took longer than 0.0001 s"):
        look(tmp_path / "*", probe_of(), 0.0001)
    assert time.monotonic() - started < 5


def test_what_vanishes_while_it_is_looked_at_was_never_there(tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    real = os.lstat

    def vanishing(name: str) -> os.stat_result:
        if str(name) == str(tmp_path / "a") and (tmp_path / "a").exists():
            (tmp_path / "a").unlink()
        return real(name)

    monkeypatch.setattr(file.os, "lstat", vanishing)
    assert look(tmp_path / "[ab]", probe)["count"] == 1
