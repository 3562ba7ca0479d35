# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came out of a backup against what went in, and a backup against those before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Inventory
from ansible_collections.tradeops.runbook.plugins.module_utils._core.inventory import Bounds, TooFewObjects, anomalies, check_objects, differences

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


def manifest(objects: int = 10, size: int = 1000, **named: Any) -> dict[str, Any]:
    return {"inventory": {"totals": {"objects": objects}, "objects": {name.replace("_", " "): figures for name, figures in named.items()}},
            "parts": [{"plain_bytes": size}, {"plain_bytes": 10**9}]}  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "most", "told"),
    [
        (manifest(10, 1000), manifest(10, 1000), 50.0, ""),
        (manifest(10, 1000), manifest(5, 500), 50.0, ""),
        (manifest(10, 1000), manifest(4, 1000), 50.0, "it shrank from 10 to 4 objects"),
        (manifest(10, 2048), manifest(10, 1023), 50.0, "it shrank from 2.0 KiB to 1023 B"),
        (manifest(10, 2048), manifest(4, 10), 50.0, "it shrank from 10 to 4 objects; it shrank from 2.0 KiB to 10 B"),
        (manifest(10, 1000), manifest(99, 99_999), 0.0, ""),
        (manifest(10, 1000), manifest(10, 999), 0.0, "it shrank from 1000 B to 999 B"),
        (manifest(10, 1000), manifest(0, 0), 100.0, ""),
        (manifest(0, 0), manifest(0, 0), 0.0, ""),
        (manifest(0, 0), manifest(5, 5), 0.0, ""),
        ({**manifest(1, 100), "inventory": {"totals": {}, "objects": {}}}, manifest(0, 100), 10.0, ""),
    ],
)
def test_shrinkage(before: dict[str, Any], after: dict[str, Any], most: float, told: str) -> None:
    assert "; ".join(anomalies([before], after, True, Bounds(most))) == told


MIB = 1 << 20


@pytest.mark.parametrize(
    ("history", "after", "bounds", "told"),
    [
        ([], manifest(0, 0), Bounds(0, 1), []),
        ([manifest(10, 1000), manifest(12, 1000), manifest(99, 1000)], manifest(5, 1000), Bounds(), ["it shrank from a median of 12 to 5 objects"]),
        ([manifest(), manifest(), manifest(1, 1)], manifest(5, 500), Bounds(), []),
        ([manifest(10, 100 * MIB)] * 3, manifest(10, 500 * MIB), Bounds(), []),
        ([manifest(10, 100 * MIB)] * 3, manifest(10, 501 * MIB), Bounds(), ["it grew from a median of 100.0 MiB to 501.0 MiB"]),
        ([manifest(10, 100 * MIB)] * 3, manifest(10, 50_000 * MIB), Bounds(50, 0), []),
        ([manifest(10, 100 * MIB)], manifest(10, 201 * MIB), Bounds(50, 100), ["it grew from 100.0 MiB to 201.0 MiB"]),
        ([manifest(10, 4096)] * 7, manifest(1010, 64 * MIB + 4096), Bounds(), []),
        ([manifest(10, 4096)] * 7, manifest(1011, 64 * MIB + 4097), Bounds(),
         ["it grew from a median of 10 to 1011 objects", "it grew from a median of 4.0 KiB to 64.0 MiB"]),
        ([manifest(0, 0)], manifest(1001, 0), Bounds(), ["it grew from 0 to 1001 objects"]),
    ],
)  # fmt: skip
def test_the_size_is_held_against_the_median(history: list[Any], after: dict[str, Any], bounds: Bounds, told: list[str]) -> None:
    assert anomalies(history, after, True, bounds) == told


SOME, NONE, TREE = {"rows": 7}, {"rows": 0}, {"files": 3, "bytes": 9}


@pytest.mark.parametrize(
    ("history", "after", "lasting", "told"),
    [
        ([manifest(table_a=SOME, table_b=SOME)], manifest(table_a=SOME), True, ["table b is missing"]),
        ([manifest(table_a=SOME, view_b={})], manifest(), True, ["table a is missing", "view b is missing"]),
        ([manifest(table_a=SOME), manifest()], manifest(), True, []),
        ([manifest(table_a=SOME)], manifest(table_a=SOME, table_b=SOME), True, []),
        ([manifest(table_a=SOME)], manifest(table_a=NONE), True, ["table a had 7 rows and has none"]),
        ([manifest(table_a=SOME), manifest(table_a=NONE)], manifest(table_a=NONE), True, []),
        ([manifest(table_a=SOME)], manifest(table_a={}), True, []),
        ([manifest(table_a={})], manifest(table_a=NONE), True, []),
        ([manifest(table_a={"rows": "7"})], manifest(table_a={"rows": None}), True, []),
        ([manifest(etc=TREE, home=TREE)], manifest(etc={"files": 0, "bytes": 0}), False, []),
    ],
)
def test_what_is_lost(history: list[Any], after: dict[str, Any], lasting: bool, told: list[str]) -> None:
    assert anomalies(history, after, lasting, Bounds()) == told


def test_many_losses_are_cut() -> None:
    told = anomalies([manifest(**{f"table_{number:03}": SOME for number in range(100)})], manifest(), True, Bounds())
    assert len(told) == 21 and told[-1] == "and 80 more"


NOISE = st.floats(0.8, 1.25)
STEADY = st.tuples(st.lists(NOISE, min_size=2, max_size=8), st.integers(1, 10**12), st.integers(1, 50))


def noisy(size: int, tables: int, noise: float) -> dict[str, Any]:
    return manifest(tables, int(size * noise), **{f"table_{number}": {"rows": 1 + int(size * noise) // 100} for number in range(tables)})


@given(STEADY)
def test_a_steady_source_is_never_suspect(drawn: tuple[list[float], int, int]) -> None:
    noise, size, tables = drawn
    *history, last = [noisy(max(size, 100), tables, one) for one in noise]
    assert anomalies(history, last, True, Bounds()) == []


@given(STEADY, st.integers(0, 49), st.randoms())
def test_a_table_that_vanished_always_is_and_no_order_matters(drawn: tuple[list[float], int, int], which: int, random: Any) -> None:
    noise, size, tables = drawn
    *history, last = [noisy(size, tables, one) for one in noise]
    gone = f"table {which % tables}"
    del last["inventory"]["objects"][gone]
    told = anomalies(history, last, True, Bounds())
    assert f"{gone} is missing" in told

    def mixed(one: dict[str, Any]) -> dict[str, Any]:
        items = list(one["inventory"]["objects"].items())
        random.shuffle(items)
        return {**one, "inventory": {**one["inventory"], "objects": dict(items)}}

    again = [mixed(one) for one in history]
    assert sorted(anomalies(again, mixed(last), True, Bounds())) == sorted(told)
