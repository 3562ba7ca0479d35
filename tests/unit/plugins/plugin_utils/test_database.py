# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The face of both databases, on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import Database, open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return Places(tmp_path, tmp_path, tmp_path / "key")


@pytest.fixture
def db(where: Places) -> Database:
    made = open_database(where)
    with made.transaction():
        made.define("create table t (a text primary key, b double precision); create index i on t (b);")
        made.insert("t", [("x", 1.5), ("y", None)])
    return made


def test_answers_are_whole(db: Database) -> None:
    assert db.execute("select a, b from t where a = ?", ("x",)).fetchall() == [("x", 1.5)]
    assert db.execute("select a from t where a = :a", {"a": "z"}).fetchone() is None
    assert db.execute("update t set b = 2").count == 2
    assert list(db.stream("select a from t order by a")) == [("x",), ("y",)]
    assert (db.columns("t"), db.columns("none"), db.damage()) == (["a", "b"], [], "")


def test_a_conflict_can_be_meant(db: Database) -> None:
    db.insert("t", [("x", 9.0), ("z", 3.0)], "on conflict (a) do nothing")
    assert db.execute("select b from t order by a").fetchall() == [(1.5,), (None,), (3.0,)]


def test_a_transaction_is_all_or_nothing(db: Database) -> None:
    with pytest.raises(KeyboardInterrupt), db.transaction():
        db.execute("delete from t")
        raise KeyboardInterrupt
    assert len(db.execute("select 1 from t").fetchall()) == 2


def test_errors_say_where(db: Database, where: Places) -> None:
    with pytest.raises(VerifyFailed, match=str(where.database)):
        db.execute("select * from nowhere")


def test_a_reader_needs_one_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_database(Places(tmp_path / "none", tmp_path, tmp_path / "key"), read_only=True)


def test_its_clock_is_in_seconds(db: Database) -> None:
    row = db.execute(f"select {db.clock}").fetchone()
    assert row and 1.7e9 < row[0] < 4e9
