# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/faults/rows.yml names tests that exist, and all of tests/faults; tools/fault_table.py tells what is not proven."""
from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/faults/rows.yml").read_text(encoding="utf-8"))
NO_FAULT = {"test_table_is_written", "test_fifty_runs_on_a_clean_service_raise_no_alarm"}


@cache
def defined_in(path: str) -> frozenset[str]:
    """The functions of a file that are tests, and classes that are made by an assignment."""
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    assigned = [target.id for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)]
    return frozenset(name for name in [*functions, *assigned] if name.lower().startswith("test"))


def names() -> Iterator[tuple[str, str]]:
    """Path and function of every test in the rows."""
    for row in ROWS:
        for test in row["tests"]:
            path, _colons, name = test.partition("::")
            yield path, name.partition("[")[0]


def test_every_row_is_whole() -> None:
    areas = [row["area"] for row in ROWS]
    assert areas == sorted(areas, key=["postgresql", "redis", "sqlite", "files", "restore", "retention", "s3"].index)
    for row in ROWS:
        assert set(row) == {"area", "fault", "outcome", "tests"} and row["tests"], row
        assert all(isinstance(row[key], str) and row[key] and not set("|\n") & set(row[key]) for key in ("area", "fault", "outcome")), row
        assert len(set(row["tests"])) == len(row["tests"]), row
    assert len({(row["area"], row["fault"]) for row in ROWS}) == len(ROWS)


def test_every_test_that_is_named_exists() -> None:
    assert [f"{path}::{name}" for path, name in names() if name not in defined_in(path)] == []


def test_every_test_of_faults_proves_something() -> None:
    there = {(str(path.relative_to(ROOT)), name) for path in (ROOT / "tests/faults").glob("test_*.py") for name in defined_in(str(path.relative_to(ROOT)))}
    assert {(path, name) for path, name in there - set(names()) if name not in NO_FAULT} == set()


CASE = '<testcase classname="{}" name="{}">{}</testcase>'


def junit_of(test: str, inside: str = "") -> str:
    """One case as pytest writes it: of a test, of one with parameters, or of the class of a state machine."""
    path, _colons, name = test.partition("::")
    module = path[: -len(".py")].replace("/", ".")
    if name.startswith("Test"):
        return CASE.format(f"{module}.{name}", "runTest", inside)
    return CASE.format(module, name if "[" in name else f"{name}[a::b]", inside)


@pytest.mark.parametrize(
    ("inside", "missing", "status", "said"),
    [("", 0, 0, ""), ("<failure/>", 0, 1, "FAILED"), ("<error/>", 0, 1, "FAILED"), ("<skipped/>", 0, 1, "1 skipped"), ("", 1, 1, "not run")],
)
def test_the_table_tells_what_is_not_proven(inside: str, missing: int, status: int, said: str, tmp_path: Path) -> None:
    """The one test of a row passes, fails, is skipped or does not run; all others pass."""
    only = next(row for row in ROWS if len(row["tests"]) == 1 and sum(row["tests"][0] in other["tests"] for other in ROWS) == 1)
    tests = sorted({test for row in ROWS for test in row["tests"]} - set(only["tests"]))
    body = "".join([*map(junit_of, tests), *([] if missing else [junit_of(only["tests"][0], inside)])])
    (tmp_path / "results.xml").write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>")
    command = [sys.executable, str(ROOT / "tools/fault_table.py"), "table", str(tmp_path), str(tmp_path / "table.md")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert done.returncode == status and len([line for line in lines if line.startswith("| ")]) == len(ROWS) + 7
    [row] = [line for line in lines if line.startswith(f"| {only['fault']} |")]
    assert said in row and (only["fault"] in done.stderr) is bool(status)
