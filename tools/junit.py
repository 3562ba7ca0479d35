"""Read JUnit files: which tests ran, and how each ended. As a program: print what failed in a folder, with all details."""
from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESULTS = {"failure": "failed", "error": "failed", "skipped": "skipped"}


@dataclass(frozen=True)
class Case:
    """One test."""

    name: str
    result: str = "passed"
    message: str = ""
    details: str = ""

    @property
    def reason(self) -> str:
        """Why it did not pass, in one line."""
        return next(iter((self.message or self.details).strip().splitlines()), "")


def case(element: ET.Element) -> Case:
    """One test out of its element."""
    name = f"{element.get('classname')}::{element.get('name')}"
    for child in element:
        if child.tag in RESULTS:
            return Case(name, RESULTS[child.tag], child.get("message") or "", child.text or "")
    return Case(name)


def cases(folder: Path) -> Iterator[Case]:
    """Every test in the files of a folder."""
    for file in sorted(folder.glob("*.xml")):
        yield from map(case, ET.parse(file).getroot().iter("testcase"))


if __name__ == "__main__":
    for bad in cases(Path(sys.argv[1])):
        if bad.result == "failed":
            print(f"FAILED {bad.name}\n{bad.details}")
