# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came out of a backup against what went in, and a backup against the one before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Inventory
from ansible_collections.tradeops.runbook.plugins.module_utils._core.inventory import TooFewObjects, check_objects, differences, shrinkage

INVENTORY = Inventory({"table a": {"rows": 5}, "table b": {"rows": 7, "digest": "x"}}, {"objects": 2, "rows": 12}, "d1")


def inventory(objects: Any = None, totals: Any = None, digest: str = "d1") -> Inventory:
    return Inventory(INVENTORY.objects if objects is None else objects, INVENTORY.totals if totals is None else totals, digest)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (INVENTORY, []),
        (inventory(objects={"table a": {"rows": 5}}), ["table b is missing"]),
        (inventory(objects={**INVENTORY.objects, "table c": {"rows": 0}}), ["table c is new"]),
        (inventory(objects={"table a": {"rows": 4}, "table b": {"rows": 7, "digest": "y"}}), ["table a: rows is 4, not 5", "table b: digest is y, not x"]),
        (inventory(objects={"table a": {}, "table b": {"rows": 7, "digest": "x", "more": 1}}),
         ["table a: rows is missing, not 5", "table b: more is 1, not missing"]),
        (inventory(totals={"objects": 2}), ["there are missing rows, not 12"]),
        (inventory(totals={"objects": 3, "rows": 12, "views": 1}), ["there are 3 objects, not 2", "there are 1 views, not missing"]),
        (inventory(digest="d2"), ["the content has another digest"]),
        (inventory(digest=""), ["the content has another digest"]),
        (Inventory({}, {}), ["table a is missing", "table b is missing", "there are missing objects, not 2", "there are missing rows, not 12",
                             "the content has another digest"]),
    ],
)  # fmt: skip
def test_differences(found: Inventory, told: list[str]) -> None:
    assert differences(INVENTORY.data(), found) == told


def test_many_differences_are_cut() -> None:
    many = Inventory({f"table {number:03}": {"rows": 1} for number in range(100)}, {"objects": 100})
    told = differences(many.data(), Inventory({}, {"objects": 100}))
    assert len(told) == 21 and told[-1] == "and 80 more"
    exactly = Inventory({f"table {number:03}": {} for number in range(20)}, {})
    assert len(differences(exactly.data(), Inventory({}, {}))) == 20


NAMES = st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.sampled_from("xy"), st.integers(0, 2), max_size=2), max_size=3)


@given(NAMES, NAMES)
def test_equal_is_what_is_equal(one: Any, two: Any) -> None:
    told = differences(Inventory(one, {"objects": len(one)}).data(), Inventory(two, {"objects": len(two)}))
    assert (told == []) is (one == two)


@pytest.mark.parametrize(("count", "minimum", "enough"), [(1, 1, True), (0, 1, False), (0, 0, True), (4, 5, False), (5, 5, True)])
def test_at_least(count: int, minimum: int, enough: bool) -> None:
    if enough:
        check_objects(Inventory({}, {"objects": count}), minimum, "it")
        return
    with pytest.raises(TooFewObjects, match=f"it has {count} objects, and at least {minimum} are expected"):
        check_objects(Inventory({}, {"objects": count}), minimum, "it")


def manifest(objects: int, size: int) -> dict[str, Any]:
    return {"inventory": {"totals": {"objects": objects}}, "parts": [{"plain_bytes": size}, {"plain_bytes": 10**9}]}


@pytest.mark.parametrize(
    ("before", "after", "most", "told"),
    [
        (manifest(10, 1000), manifest(10, 1000), 50.0, ""),
        (manifest(10, 1000), manifest(5, 500), 50.0, ""),
        (manifest(10, 1000), manifest(4, 1000), 50.0, "it shrank from 10 to 4 objects"),
        (manifest(10, 2048), manifest(10, 1023), 50.0, "it shrank from 2.0 KiB to 1023 B"),
        (manifest(10, 2048), manifest(4, 10), 50.0, "it shrank from 10 to 4 objects"),
        (manifest(10, 1000), manifest(99, 99_999), 0.0, ""),
        (manifest(10, 1000), manifest(10, 999), 0.0, "it shrank from 1000 B to 999 B"),
        (manifest(10, 1000), manifest(0, 0), 100.0, ""),
        (manifest(0, 0), manifest(0, 0), 0.0, ""),
        (manifest(0, 0), manifest(5, 5), 0.0, ""),
        ({**manifest(1, 100), "inventory": {"totals": {}}}, manifest(0, 100), 10.0, ""),
    ],
)
def test_shrinkage(before: dict[str, Any], after: dict[str, Any], most: float, told: str) -> None:
    assert shrinkage(before, after, most) == told
