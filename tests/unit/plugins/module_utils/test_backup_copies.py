# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies as an inventory lists them, and how bad it is when one fails."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_copies import compile_copies
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_sources import compile_sources, judge_sources
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339

HERE = {"directory": {"path": "/var/backups/tradeops"}}
DISK = {"directory": {"path": "/mnt/offsite"}}
BUCKET = {"s3": {"bucket": "backups", "secret_access_key": "geheim"}}
NOW = 1_800_000_000.0


def compiled(entry: dict[str, Any], copies: Any = ()) -> dict[str, Any]:
    """The one source there is."""
    [found] = compile_sources([[{"name": "orders", "source": {"sqlite": {"path": "/x"}}, **entry}]], HERE, {}, None, copies)
    return found


@pytest.mark.parametrize(
    ("entry", "copies", "names"),
    [
        ({}, (), []),
        ({}, [DISK, {"name": "offsite", **BUCKET}], ["directory", "offsite"]),
        ({"copies": [BUCKET]}, [DISK], ["s3"]),
        ({"copies": []}, [DISK], []),
        ({"copies": None}, [DISK], []),
    ],
)
def test_a_copy_has_the_name_of_its_kind_or_its_own(entry: dict[str, Any], copies: Any, names: list[str]) -> None:
    found = compiled(entry, copies)
    assert [copy["name"] for copy in found["copies"]] == list(found["places"]) == names
    assert found["pairs"] == [{"name": "orders", "to": name} for name in names]
    assert "geheim" not in str(found["pairs"]) and all({"name": name, **found["places"][name]} in found["copies"] for name in names)


@pytest.mark.parametrize(
    ("copies", "said"),
    [
        ([BUCKET, {"s3": {"bucket": "other"}}], 'two are called "s3"'),
        ([{"name": "a", **BUCKET}, {"name": "a", **DISK}], 'two are called "a"'),
        ([{"name": "a/b", **DISK}], 'the name "a/b" is none'),
        ([{**DISK, **BUCKET}], "its kind as the only key"),
        ([{"name": "a"}], "its kind as the only key"),
        (["/mnt/offsite"], "its kind as the only key"),
        ([{"directory": "/mnt/offsite"}], "its kind as the only key"),
        (DISK, "must be a list"),
        ("/mnt", "must be a list"),
    ],
)
def test_mistakes_name_the_source_and_no_key(copies: Any, said: str) -> None:
    for entry, given in (({"copies": copies}, ()), ({}, copies)):
        with pytest.raises(InvalidInput) as caught:
            compiled(entry, given)
        assert "orders" in caught.value.message and said in caught.value.message and "geheim" not in caught.value.message


def test_a_source_can_be_restored_from_its_copy() -> None:
    entry = {"name": "orders", "source": {"sqlite": {"path": "/x"}}, "copies": [{"name": "offsite", **BUCKET}]}
    [found] = compile_sources([[entry], [{"name": "orders", "repository": BUCKET}]], HERE, {})
    assert found["repository"] == BUCKET == found["places"]["offsite"]


def test_a_later_list_replaces_the_copies_of_an_earlier_one() -> None:
    entry = {"name": "orders", "source": {"sqlite": {"path": "/x"}}}
    [found] = compile_sources([[{**entry, "copies": [BUCKET]}], [{"name": "orders", "copies": [DISK]}]], HERE, {})
    assert list(found["places"]) == ["directory"]
    assert compile_copies((), {"name": "orders", "repository": HERE})["pairs"] == []


FAILED = {"outcome": "failed", "code": "unreachable", "msg": "nothing answers"}
YOUNG, OLD = {"taken_at": rfc3339(NOW - 86399)}, {"taken_at": rfc3339(NOW - 86400)}


@pytest.mark.parametrize(
    ("result", "status", "severity"),
    [
        ({"outcome": "ok", "copied_bytes": 5, "newest": YOUNG}, "ok", ""),
        ({"outcome": "ok", "copied_bytes": 0, "newest": OLD}, "ok", ""),
        ({**FAILED, "newest": YOUNG}, "warning", "P3"),
        ({**FAILED, "newest": OLD}, "critical", "P2"),
        ({**FAILED, "newest": None}, "critical", "P2"),
        (FAILED, "critical", "P2"),
        ({**FAILED, "outcome": "partial", "newest": YOUNG}, "warning", "P3"),
        ({"outcome": "refused", "code": "not_the_same", "msg": "no"}, "critical", "P2"),
        ({"outcome": "refused", "code": "no_recent_proof", "msg": "none that is proven"}, "warning", "P3"),
        ({"outcome": "refused", "code": "quarantined", "msg": "suspect"}, "critical", "P2"),
        ({"outcome": "failed", "code": "not_restored", "msg": "wrong"}, "critical", "P2"),
    ],
)
def test_how_bad_it_is(result: dict[str, Any], status: str, severity: str) -> None:
    source = compiled({}, [{"name": "offsite", **BUCKET}])
    results = [{"item": "orders", "outcome": "ok"}, {"item": source["pairs"][0], **result}, {"item": source["pairs"][0], "skipped": True}]
    judged = judge_sources(results, {"orders": source}, NOW)
    own, copy = judged["checks"]
    assert (own["name"], own["status"]) == ("backup of orders", "ok")
    assert (copy["name"], copy["status"], copy["severity"] or "") == ("copy of orders in offsite", status, severity)
    assert copy["message"] == result.get("msg", "") and copy["measures"].get("copied") == result.get("copied_bytes")
    assert len(judged["attention"]) == (status != "ok")


def test_a_copy_that_restored_too_slowly_is_as_bad_as_it_is() -> None:
    source = compiled({"rto": "1 h"}, [{"name": "offsite", **BUCKET}])
    proof = {"level": "restored", "seconds": 3601.0, "rpo_seconds": 5}
    [check] = judge_sources([{"item": source["pairs"][0], "outcome": "ok", "proof": proof, "newest": YOUNG}], {"orders": source}, NOW)["checks"]
    assert check["status"] == "critical" and check["measures"]["rto"] == 3601.0
