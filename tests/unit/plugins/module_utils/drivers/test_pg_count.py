# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored database is compared with, and how a count is told."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Inventory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_count import Count, as_recorded


class Session:
    """Answers in the order of the questions, as the real one does. Real answers are counted in the integration tests."""

    def __init__(self, before: list[Any], *answers: list[Any]) -> None:
        self._before, self._answers = before, deque(answers)
        self.sent = 0

    def each(self, statement: str) -> list[Any]:
        return self._before

    def send(self, statement: str, each: bool = False) -> None:
        self.sent += 1

    def collect(self) -> list[Any]:
        return self._answers.popleft()


def counted(sequences: tuple[list[Any], list[Any]], relations: list[Any], rows: list[Any], checksums: bool = False) -> tuple[Inventory, list[str]]:
    session = Session(
        sequences[0], sequences[1], relations, [["extension x", "1.0"]], [{"tables": 2}], [{"encoding": "UTF8"}], rows, [["large objects", 0, None]]
    )
    count = Count(session, checksums)  # type: ignore[arg-type]
    count.send()
    assert session.sent == (7 if checksums else 6)
    return count.collect(), count.notes


def test_figures() -> None:
    tables = [["table a", "r", False, True], ["table b", "r", True, True], ["partitioned table p", "p", False, True]]
    sequences = ([["sequence s", 1, False], ["sequence u", 5, True]], [["sequence s", 1, False], ["sequence u", 9, True]])
    found, notes = counted(sequences, [*tables, ["materialized view m", "m", False, False]], [["table a", 3, None]])
    assert found.objects == {
        "database": {"encoding": "UTF8"}, "extension x": {"version": "1.0"}, "sequence s": {"value": 1, "called": False},
        "sequence u": {"at_least": 5, "at_most": 9}, "table a": {"rows": 3}, "table b": {"rows": 0}, "partitioned table p": {},
        "materialized view m": {"populated": False},
    }  # fmt: skip
    assert found.totals == {"objects": 2, "tables": 2, "rows": 3} and found.digest == "" and len(notes) == 1 and "table b" in notes[0]


def test_the_digest_tells_content_apart() -> None:
    digests = set()
    for rows in ([["table a", 1, "5"]], [["table a", 1, "6"]], [["table a", 0, None]]):
        found, _notes = counted(([], []), [["table a", "r", False, True]], rows, checksums=True)
        digests.add(found.digest)
    assert len(digests) == 3 and "" not in digests


@pytest.mark.parametrize(
    ("recorded", "value", "same_major", "told"),
    [({"at_least": 1, "at_most": 5}, 3, True, True), ({"at_least": 1, "at_most": 5}, 5, True, True), ({"at_least": 1, "at_most": 5}, 6, True, False),
     ({"at_least": -1, "at_most": -9}, -4, True, True), ({"value": 4, "called": True}, 3, True, False)],
)  # fmt: skip
def test_a_sequence_that_moved(recorded: dict[str, Any], value: int, same_major: bool, told: bool) -> None:
    figures = {"value": value, "called": True}
    found = as_recorded(Inventory({"sequence s": figures}, {}), {"objects": {"sequence s": recorded}}, same_major)
    assert found.objects["sequence s"] == (recorded if told else figures)


@pytest.mark.parametrize(("same_major", "version"), [(True, "2.0"), (False, "1.0")])
def test_extensions_of_another_server(same_major: bool, version: str) -> None:
    recorded = {"objects": {"extension x": {"version": "1.0"}, "extension gone": {"version": "1"}}}
    found = as_recorded(Inventory({"extension x": {"version": "2.0"}}, {}), recorded, same_major)
    assert found.objects == {"extension x": {"version": version}}
