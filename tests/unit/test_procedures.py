# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/procedures.yml and docs/pitfalls.yml stay whole, and what they call done exists."""
from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = {"tft": 58, "cli_trading": 69, "tradingflow": 50, "trading_24x7": 35, "nextrade": 83}
PITFALLS = {"tft": 10, "cli_trading": 27, "tradingflow": 18, "trading_24x7": 17, "nextrade": 15}
Row = dict[str, Any]
ALWAYS = {"id", "what", "cadence", "status"}
COMPANIONS = {"done": {"where"}, "planned": {"by", "for"}, "guidance": {"reason"}}
PLANNED_TARGET = re.compile(r"(playbooks|roles|plugins|inventories)/[a-z0-9_]+(/[a-z0-9_]+)*(\.yml|\.py)?(: \S.*)?")


class Loader(yaml.SafeLoader):
    """Reads what Ansible reads: an unknown tag such as !vault is only text here."""


def _as_text(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> str:
    return str(node.value)


Loader.add_multi_constructor("!", _as_text)


@cache
def _documents(path: Path) -> tuple[Any, ...]:
    with path.open(encoding="utf-8") as stream:
        return tuple(yaml.load_all(stream, Loader))  # a SafeLoader: tags become text


def _load(name: str) -> dict[str, list[Row]]:
    loaded: dict[str, list[Row]] = _documents(ROOT / "docs" / name)[0]
    return loaded


def _rows(name: str) -> list[Row]:
    return [row for rows in _load(name).values() for row in rows]


def _names(value: object) -> Iterator[str]:
    """Every mapping key, and every value of a key called name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            if key == "name" and isinstance(inner, str):
                yield inner
            yield from _names(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _names(inner)


def _missing(target: str) -> str:
    """Why the target does not exist; empty when it does."""
    path, _separator, name = target.partition(": ")
    place = (ROOT / path).resolve()
    if not place.is_relative_to(ROOT) or not place.exists():
        return f"{path} does not exist"
    if not name:
        return ""
    if place.suffix not in (".yml", ".yaml"):
        return f"{path} is not YAML, so nothing in it can be called {name!r}"
    return "" if name in _names(_documents(place)) else f"{path} has no check or key called {name!r}"


def _filled(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\n" not in value


@pytest.mark.parametrize(("file", "mark", "sizes"), [("procedures.yml", "", SYSTEMS), ("pitfalls.yml", "D", PITFALLS)])
def test_ids_are_contiguous(file: str, mark: str, sizes: dict[str, int]) -> None:
    form = f"S{{}}-{mark}{{}}" if mark else "S{}-{:02d}"
    wanted = {system: [form.format(number, row + 1) for row in range(size)] for number, (system, size) in enumerate(sizes.items(), 1)}
    assert {system: [row["id"] for row in rows] for system, rows in _load(file).items()} == wanted


@pytest.mark.parametrize("row", _rows("procedures.yml"), ids=lambda row: row["id"])
def test_row_has_the_right_keys(row: Row) -> None:
    companions = COMPANIONS[row["status"]]
    assert set(row) - {"replaces"} == ALWAYS | companions
    texts = [row[key] for key in ("what", "cadence", "for", "reason") if key in row]
    assert all(_filled(text) for text in texts)
    lists = [row[key] for key in ("where", "by", "replaces") if key in row]
    for entries in lists:
        assert isinstance(entries, list) and entries and all(_filled(entry) for entry in entries)
        assert len(entries) == len(set(entries))


@pytest.mark.parametrize("row", [row for row in _rows("procedures.yml") if row["status"] == "done"], ids=lambda row: row["id"])
def test_what_is_done_exists(row: Row) -> None:
    assert [missing for missing in map(_missing, row["where"]) if missing] == []


@pytest.mark.parametrize("row", [row for row in _rows("procedures.yml") if row["status"] == "planned"], ids=lambda row: row["id"])
def test_what_is_planned_has_a_place(row: Row) -> None:
    assert [target for target in row["by"] if not PLANNED_TARGET.fullmatch(target)] == []


def test_every_pitfall_is_described_and_replaced() -> None:
    pitfalls = _rows("pitfalls.yml")
    assert all(set(row) == {"id", "wrong", "instead"} and all(map(_filled, row.values())) for row in pitfalls)
    replaced = [pitfall for row in _rows("procedures.yml") for pitfall in row.get("replaces", [])]
    assert set(replaced) == {row["id"] for row in pitfalls}


def test_guidance_replaces_nothing() -> None:
    assert [row["id"] for row in _rows("procedures.yml") if row["status"] == "guidance" and "replaces" in row] == []


@pytest.mark.parametrize(("target", "problem"), [
    ("docs/pitfalls.yml", ""),
    ("docs", ""),
    ("docs/procedures.yml: tft", ""),
    ("docs/procedures.yml: S1-01", "docs/procedures.yml has no check or key called 'S1-01'"),
    ("docs/nowhere.yml", "docs/nowhere.yml does not exist"),
    ("../", "../ does not exist"),
    ("tools/coverage: main", "tools/coverage is not YAML, so nothing in it can be called 'main'"),
])
def test_a_target_is_found_or_named_missing(target: str, problem: str) -> None:
    assert _missing(target) == problem


def test_names_are_keys_and_values_of_name() -> None:
    document = {"health_checks": [{"name": "api answers", "http": {"url": "x"}}], "other": "text"}
    assert set(_names(document)) == {"health_checks", "name", "api answers", "http", "url", "other"}


def test_readme_shows_the_counts() -> None:
    printed = subprocess.run([sys.executable, str(ROOT / "tools/coverage")], check=True, capture_output=True, text=True, timeout=60).stdout
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- coverage:start -->\n")[2].partition("<!-- coverage:end -->")[0]
    assert shown == printed, "run tools/coverage --write"
