# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is done to the files of a history, verification finds it and does not fall over."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

from .recorded import KEY, START, check, checks, hosts, log, log_report, notice, notices, run_id, seal, signature, step

RUNS = 4
TABLES = ("runs", "events", "seals", "steps", "checks", "measures", "signatures", "bookmarks", "notices")
MUTATIONS = 400
CHANGES = (
    "update {table} set {column} = {column} || 'x' where rowid = {row}",
    "update {table} set {column} = x'ff00' where rowid = {row}",
    "update {table} set {column} = cast(x'ff' as text) where rowid = {row}",
    "update {table} set {column} = null where rowid = {row} and {column} is not null",
    "delete from {table} where rowid = {row}",
    "update {table} set {column} = (select {column} from {table} o where o.{column} is not {table}.{column} limit 1) where rowid = {row}",
)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Places, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("pristine") / "history"
    where = Places(folder, folder / "reports", folder / "ledger.key")
    anchor: dict[str, Any] = {}
    for number in range(1, RUNS + 1):
        verdict = checks(check("disk", "warning", measures={"used": 90.5 + number, "free": number}, units={"used": "percent"}), check("api"))
        review = log_report(log("a", signature("aa", number), signature("bb")), {"taken_at": number})
        changed = step("changed", result={"outcome": "ok"})
        told = notices(notice("api", at=START + number), notice("disk", at=START))
        anchor = seal(where, number, hosts(app="nextrade/production"), verdict, review, changed, told, user=f"user{number}")
    return where, anchor


@pytest.fixture
def where(pristine: tuple[Places, dict[str, Any]], tmp_path: Path) -> Iterator[Places]:
    folder = tmp_path / "history"
    shutil.copytree(pristine[0].history, folder)
    yield Places(folder, folder / "reports", folder / "ledger.key")


def problems(where: Places, anchor: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        with History(where, read_only=True) as history:
            return history.verify(KEY, [(anchor["seq"], anchor["mac"])])
    except (RunbookError, FileNotFoundError) as error:
        return [{"kind": "cannot be opened", "message": str(error), "level": "critical"}]


def test_an_untouched_history_is_sound(where: Places, pristine: tuple[Places, dict[str, Any]]) -> None:
    assert problems(where, pristine[1]) == []


def test_every_change_of_any_row_is_found(where: Places, pristine: tuple[Places, dict[str, Any]]) -> None:
    raw = where.database.read_bytes()
    chance, tried, missed = random.Random(20261120), 0, []
    while tried < MUTATIONS:
        where.database.write_bytes(raw)
        db = sqlite3.connect(where.database)
        table = chance.choice(TABLES)
        column = chance.choice([row[1] for row in db.execute(f"pragma table_info({table})")])
        row = chance.randrange(1, 1 + db.execute(f"select max(rowid) from {table}").fetchone()[0])
        statement = chance.choice(CHANGES).format(table=table, column=column, row=row)
        before = list(db.iterdump()) if table != "none" else []
        try:
            db.execute(statement)
            db.commit()
            changed = list(db.iterdump()) != before
        except sqlite3.Error:  # the table itself forbids it
            changed = False
        except UnicodeDecodeError:  # iterdump trips over text that is no text
            changed = True
        db.close()
        if not changed:
            continue
        tried += 1
        if not any(problem["level"] == "critical" for problem in problems(where, pristine[1])):
            missed.append(statement)
    assert missed == []


def test_every_flipped_bit_of_a_sealed_journal_is_found(where: Places, pristine: tuple[Places, dict[str, Any]]) -> None:
    path = where.sealed / f"{run_id(2)}.jsonl"
    raw = path.read_bytes()
    chance = random.Random(7)
    for _number in range(100):
        place = chance.randrange(len(raw))
        path.write_bytes(raw[:place] + bytes([raw[place] ^ (1 << chance.randrange(8))]) + raw[place + 1 :])
        assert [(problem["kind"], problem["where"]) for problem in problems(where, pristine[1])] == [("journal_changed", f"run {run_id(2)}")]


def test_random_damage_to_the_database_file_never_passes_for_sound_data(where: Places, pristine: tuple[Places, dict[str, Any]]) -> None:
    """A flipped byte in free space says nothing; one that changes what is read is found, and none makes verification fall over."""
    raw = where.database.read_bytes()
    chance, found = random.Random(11), 0
    with sqlite3.connect(where.database) as db:
        good = [db.execute(f"select * from {table} order by rowid").fetchall() for table in TABLES]
    db.close()
    for _number in range(150):
        place = chance.randrange(len(raw))
        where.database.write_bytes(raw[:place] + bytes([raw[place] ^ (1 << chance.randrange(8))]) + raw[place + 1 :])
        told = problems(where, pristine[1])
        found += bool(told)
        if not told:
            with sqlite3.connect(where.database) as db:
                assert good == [db.execute(f"select * from {table} order by rowid").fetchall() for table in TABLES]
            db.close()
    assert found


def test_a_missing_copy_is_a_warning(where: Places, pristine: tuple[Places, dict[str, Any]]) -> None:
    (where.sealed / f"{run_id(2)}.jsonl").unlink()
    assert [(problem["kind"], problem["level"]) for problem in problems(where, pristine[1])] == [("journal_missing", "warning")]


def test_a_journal_without_a_run_is_found(where: Places, pristine: tuple[Places, dict[str, Any]]) -> None:
    shutil.copy(where.sealed / f"{run_id(2)}.jsonl", where.sealed / f"{run_id(9)}.jsonl")
    assert [problem["kind"] for problem in problems(where, pristine[1])] == ["not_sealed"]


def test_an_older_copy_of_everything_is_found_by_the_anchor(where: Places, pristine: tuple[Places, dict[str, Any]]) -> None:
    seal(where, RUNS + 1)
    with History(where) as history:
        view = history.view(run_id(RUNS + 1))
    assert view
    shutil.rmtree(where.history)
    shutil.copytree(pristine[0].history, where.history)
    assert [problem["kind"] for problem in problems(where, view["anchor"])] == ["anchor_missing"]


def test_another_key_verifies_nothing(where: Places) -> None:
    with History(where, read_only=True) as history:
        assert {problem["kind"] for problem in history.verify(b"x" * 32)} == {"seal_forged"}
