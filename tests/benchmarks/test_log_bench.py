# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A full log report against the pipeline of grep, awk, sed and sort that gives the same figures. Ratios of paired runs, never seconds."""
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Rounds, evidence, run_rounds

from ansible_collections.tradeops.runbook.tests.support import log_writer

SIZES = {"200 MB": 200_000_000, "1 GB": 1_000_000_000}
ROUNDS = 3
PYTHON = "/usr/bin/python3"
COLLECTIONS = str(Path(__file__).resolve().parents[5])

ANALYSE = """
import json, resource, sys, time
given = json.load(open(sys.argv[1]))
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, Probe
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import log
probe = Probe(Deadline(600, time.monotonic), given["now"])
measures, report, bookmark = log.analyse(given["options"], probe, log.Resume(given["bookmark"], given["bookmark"] is not None, given["processes"]))
peak = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
shown = {name: value for name, value in measures.items() if isinstance(value, (int, float))}
json.dump({"measures": shown, "levels": report["levels"], "top": report["signatures"][0]["count"] if report["signatures"] else 0, "peak": peak,
    "bookmark": bookmark}, open(sys.argv[2], "w"))
"""

PIPELINE = r"""
export LC_ALL=C
awk '{ n[$6]++ } END { for (k in n) print k, n[k] }' "$1"
awk '{ n[substr($0, 1, 16)]++ } END { for (k in n) print k, n[k] }' "$1" > /dev/null
for pattern in ' - (ERROR|CRITICAL) - ' 'retry attempt [0-9]+/[0-9]+' 'circuit breaker (OPENED|recovered)' 'timeout|locked'; do
  grep -cE -- "$pattern" "$1"
done
grep -oE 'completed in [0-9.]+' "$1" | awk '{ print $3 }' | sort -n | awk '{ a[NR] = $1 } END {
    for (p = 50; p <= 99; p += p == 50 ? 45 : 4) { r = int((NR * p + 99) / 100); print a[r] } print a[NR] }'
sed -E 's/^.{23} - //; s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/ID/g; s/[0-9a-f]{8}/ID/g; s/[0-9]+([.][0-9]+)?/N/g' "$1" |
  sort | uniq -c | sort -rn | head -20
"""

OPTIONS: dict[str, Any] = {
    "journal": None, "container": None, "format": "python", "timezone": "UTC", "window": "1 d", "benign": [], "leaks": True, "top": 20, "samples": 3,
    "context": 0, "timeout_seconds": 600,
    "patterns": {
        "errors": " - (ERROR|CRITICAL) - ", "retries": "retry attempt [0-9]+/[0-9]+", "breaker": "circuit breaker (OPENED|recovered)",
        "timeouts": "timeout|locked",
    },
    "extract": {"completed": {"match": "completed in ([0-9.]+)", "unit": "s"}},
}  # fmt: skip


def analysis(folder: Path, log: Path, processes: int = 1, bookmark: Any = None, days: float = 1.0) -> Callable[[], None]:
    """A process that writes its figures to a file; with a bookmark it reads what is new."""
    name = f"{processes}-{bookmark is not None}"
    given = {"options": {**OPTIONS, "files": [f"{log}*"]}, "bookmark": bookmark, "processes": processes}
    given["now"] = (log_writer.BEGIN + timedelta(days=days)).timestamp()
    (folder / f"{name}.json").write_text(json.dumps(given))
    (folder / "analyse.py").write_text(ANALYSE)
    command = [PYTHON, str(folder / "analyse.py"), str(folder / f"{name}.json"), str(folder / f"{name}.result")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": COLLECTIONS}
    return lambda: quiet(command, environment)


def bare(code: str) -> Callable[[], None]:
    """Python that does next to nothing."""
    return lambda: quiet([PYTHON, "-c", code]) and None


def result(folder: Path, processes: int = 1, bookmark: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{processes}-{bookmark}.result").read_text())
    return found


def quiet(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def table() -> list[str]:
    return []


def shown(rounds: Rounds, one: str, other: str) -> str:
    median, low, high = rounds.ratio(one, other)
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def assert_same(pipeline: str, found: dict[str, Any]) -> None:
    """Both sides say the same: levels, counts, percentiles, the most frequent message."""
    lines = pipeline.splitlines()
    levels = {name: int(count) for name, count in (line.split() for line in lines if len(line.split()) == 2 and line[0].isalpha())}
    numbers = lines[len(levels) :]
    measures = found["measures"]
    assert found["levels"] == levels
    assert [measures[f"{name}.count"] for name in OPTIONS["patterns"]] == [int(text) for text in numbers[:4]]
    assert [measures[f"completed.{name}"] for name in ("p50", "p95", "p99", "max")] == [float(text) for text in numbers[4:8]]
    assert found["top"] == int(numbers[8].split()[0])


@pytest.mark.parametrize("size", SIZES)
def test_full_report(size: str, tmp_path: Path, table: list[str]) -> None:
    log = tmp_path / "nextrade.log"
    log_writer.write(log, SIZES[size])
    script = tmp_path / "pipeline.sh"
    script.write_text(PIPELINE)
    said: list[str] = []
    contenders: dict[str, Callable[[], None]] = {
        "one": analysis(tmp_path, log, 1),
        "two": analysis(tmp_path, log, 2),
        "pipeline": lambda: said.append(quiet(["bash", str(script), str(log)])),
    }
    rounds = run_rounds(contenders, ROUNDS)
    one, two = result(tmp_path, 1), result(tmp_path, 2)
    for found in (one, two):
        assert_same(said[-1], found)
    peaks = one["peak"][0] / 1024, sum(two["peak"]) / 1024
    table.append(f"| {size} | {shown(rounds, 'one', 'pipeline')} | {shown(rounds, 'two', 'pipeline')} | {peaks[0]:.0f} MiB | {peaks[1]:.0f} MiB |")
    assert rounds.ratio("one", "pipeline")[0] <= 0.70
    assert rounds.ratio("two", "pipeline")[0] <= 0.45
    assert peaks[0] < 64


def test_what_is_new_costs_what_is_new(tmp_path: Path, table: list[str]) -> None:
    log = tmp_path / "nextrade.log"
    log_writer.write(log, SIZES["200 MB"])
    analysis(tmp_path, log)()
    bookmark = result(tmp_path)["bookmark"]
    ratios = []
    for megabytes in (1, 10, 50):
        log_writer.write(tmp_path / "more", megabytes * 1_000_000)
        with log.open("ab") as file:
            file.write((tmp_path / "more").read_bytes())
        contenders = {"new": analysis(tmp_path, log, 1, bookmark, 2.0), "bare": bare("pass"), "imports": bare("import re, json, hashlib, datetime")}
        rounds = run_rounds(contenders, 7)
        found = result(tmp_path, 1, True)
        assert found["measures"]["bytes"] == (tmp_path / "more").stat().st_size
        ratios.append((megabytes, rounds))
        log.write_bytes(log.read_bytes()[: bookmark["place"]["files"][0]["offset"]])
    table += [
        "",
        "What was written since the last review, times the start of bare Python (`python3 -c pass`). The goal for 1 MB, at most 2.2, is not reached: a",
        f"Python that only imports `re`, `json`, `hashlib` and `datetime` already takes {shown(ratios[0][1], 'imports', 'bare')}.",
        "",
        "| New bytes after 200 MB | Times the start of bare Python |",
        "|---|---:|",
    ]
    table += [f"| {megabytes} MB | {shown(rounds, 'new', 'bare')} |" for megabytes, rounds in ratios]


def test_table_is_written(table: list[str]) -> None:
    version = quiet([PYTHON, "-c", "import platform; print(platform.python_version())"]).strip()
    head = [
        "# A full log report",
        "",
        "Levels, entries per minute, four patterns, percentiles of a duration and the twenty most frequent messages (numbers and ids folded) of a day's",
        "log in Python's format, about 96 bytes a line, 20 % of the lines with an id. Wall time relative to a pipeline of `grep`, `awk` (mawk), `sed` and",
        f"`sort` in the C locale that gives the same figures (compared each time), median (smallest to largest) of {ROUNDS} paired runs; largest resident set.",
        f"Goals: at most 0.70 with one process, 0.45 with two, under 64 MiB. {PYTHON} {version}, {os.cpu_count()} processors.",
        "Made by `make bench`.",
        "",
        "| Size | One process | Two processes | Memory, one | Memory, two |",
        "|---|---:|---:|---:|---:|",
    ]
    assert len(table) >= len(SIZES)
    evidence("bench-log.md", "\n".join([*head, *table]) + "\n")
