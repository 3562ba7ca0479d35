"""Faults of backups and restores, and the tests that prove what happens then: tests/faults/rows.yml against JUnit files.

fault_table.py named              the tests that rows.yml names and that are not in tests/faults, one a line
fault_table.py table FOLDER FILE  how they ended by the JUnit files in FOLDER, as Markdown; exit status 1 if one failed or did not run
"""
from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from junit import Case, cases

ROOT = Path(__file__).resolve().parent.parent
AREAS = {
    "postgresql": "PostgreSQL", "redis": "Redis", "sqlite": "SQLite", "files": "Files", "restore": "Restores", "retention": "Retention", "s3": "S3",
}  # fmt: skip
Row = dict[str, Any]


def rows() -> list[Row]:
    """What rows.yml says."""
    found: list[Row] = yaml.safe_load((ROOT / "tests/faults/rows.yml").read_text(encoding="utf-8"))
    return found


def proves(test: str, case: Case) -> bool:
    """Whether a case is one of a test such as ``tests/x/test_y.py::test_z``, with or without its parameters."""
    path, _colons, name = test.partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    where, _colons, what = case.name.partition("::")
    return where == f"{module}.{name}" or where == module and name in (what, what.partition("[")[0])


def judge(row: Row, found: Sequence[Case]) -> tuple[str, bool]:
    """The cell of a row, and whether it is as it should be. What was skipped is told, and proves nothing."""
    mine = {test: [case for case in found if proves(test, case)] for test in row["tests"]}
    counts = Counter(case.result for some in mine.values() for case in some)
    bad = [f"FAILED: {test.partition('::')[2]}" for test, some in mine.items() if any(case.result == "failed" for case in some)]
    bad += [f"not run: {test.partition('::')[2]}" for test, some in mine.items() if not some]
    told = [str(counts["passed"]), *([f"{counts['skipped']} skipped"] if counts["skipped"] else []), *bad]
    return ", ".join(told), not bad and counts["passed"] > 0


def table(found: Sequence[Case]) -> tuple[list[str], list[str]]:
    """The lines of the page, and the faults that are not proven."""
    lines = ["# Faults that backups and restores survive", "",
             "Every fault, what has to happen, and in how many tests it did. The tests of each are in `tests/faults/rows.yml`. Made by `make faults`."]
    bad = []
    for area, title in AREAS.items():
        lines += ["", f"## {title}", "", "| Fault | What has to happen | Tests |", "|---|---|---:|"]
        for row in rows():
            if row["area"] == area:
                cell, good = judge(row, found)
                lines.append(f"| {row['fault']} | {row['outcome']} | {cell} |")
                bad += [] if good else [f"{row['fault']}: {cell}"]
    return lines, bad


def named() -> Iterator[str]:
    """Tests of other folders, each once."""
    yield from dict.fromkeys(test for row in rows() for test in row["tests"] if not test.startswith("tests/faults/"))


def main(arguments: list[str]) -> int:
    """See above."""
    if arguments == ["named"]:
        print(*named(), sep="\n")
        return 0
    if len(arguments) != 3 or arguments[0] != "table":
        print(__doc__, file=sys.stderr)
        return 2
    lines, bad = table(list(cases(Path(arguments[1]))))
    Path(arguments[2]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in bad:
        print(f"not proven: {line}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
