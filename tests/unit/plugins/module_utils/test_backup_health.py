# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the backups of a source: what nobody proved or knows is never green."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_health import MEASURES, measures_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import parse_instant, rfc3339

NOW = parse_instant("2026-11-20T12:00:00Z")
HOUR = 3600


def artifact(hours: float, *proofs: tuple[str, bool], size: int = 1000, suspect: str = "", objects: int = 3, manifest: bool = True, **changes: Any) -> Artifact:
    """One of some hours ago; each proof a second after the one before."""
    taken = parse_instant("2026-11-20T12:00:00Z") - hours * HOUR
    told = {"taken_at": rfc3339(taken), "suspect": suspect, "inventory": {"totals": {"objects": objects}}, "class": "", "host": "", "parts": []}
    made = [{"level": level, "ok": ok, "at": rfc3339(taken + 1 + number)} for number, (level, ok) in enumerate(proofs)]
    name = f"{rfc3339(taken).replace('-', '').replace(':', '')}-00000000"
    return Artifact(name, "p/", {"data": size}, told if manifest else None, proofs=tuple(made), **changes)


RESTORED = ("restored", True)


def known(**figures: Any) -> dict[str, Any]:
    return figures


@pytest.mark.parametrize(
    ("artifacts", "expected"),
    [
        ([artifact(2)], known(age=2 * HOUR, level="none", size=1000, objects=3, count=1, restored_count=0, bad=0, newest_state="good")),
        (
            [artifact(26, RESTORED), artifact(2, ("digest", True), size=1500)],
            known(age=2 * HOUR, restored_age=26 * HOUR, level="digest", size=1500, count=2, restored_count=1, size_change_percent=50.0),
        ),
        ([artifact(3, RESTORED, size=0), artifact(2)], known(size_change_percent=0.0)),
        ([artifact(3), artifact(2, suspect="x"), artifact(1, ("digest", False))], known(age=3 * HOUR, bad=2, count=1, newest_state="corrupt")),
        ([artifact(3, RESTORED), artifact(2, RESTORED, suspect="x")], known(restored_age=3 * HOUR, restored_count=1, bad=1)),
        ([artifact(3, RESTORED), artifact(2, RESTORED, problem="cut")], known(restored_age=3 * HOUR, restored_count=1, bad=1)),
        ([artifact(3, RESTORED), artifact(2, RESTORED, removing=True)], known(restored_age=3 * HOUR, restored_count=1, bad=0, newest_state="removing")),
        ([artifact(3), artifact(1, manifest=False)], known(age=3 * HOUR, newest_state="incomplete", bad=0)),
        ([artifact(3), artifact(1, manifest=False, problem="torn")], known(age=3 * HOUR, newest_state="corrupt", bad=1)),
        ([artifact(3, RESTORED, ("digest", False))], known(restored_count=0, bad=1, newest_state="corrupt")),
        ([artifact(2), artifact(-0.1)], known(age=0.0)),
        ([artifact(2), artifact(-5)], known(age=2 * HOUR, count=2)),
    ],
)  # fmt: skip
def test_figures(artifacts: list[Artifact], expected: dict[str, Any]) -> None:
    found = measures_of(artifacts, 10**9, NOW)
    assert {name: found[name] for name in expected} == expected and set(found) == set(MEASURES) and found["free"] == 10**9


@pytest.mark.parametrize(
    ("artifacts", "unknown"),
    [
        ([], {"age", "level", "size", "objects", "restored_age"}),
        ([artifact(1, suspect="x")], {"age", "level", "size", "objects", "restored_age"}),
        ([artifact(1)], {"restored_age"}),
        ([artifact(1, RESTORED)], set()),
        ([artifact(1, RESTORED, suspect="x"), artifact(0)], {"restored_age"}),
        ([artifact(2, RESTORED), artifact(1)], set()),
    ],
)
def test_what_nobody_knows_is_unmeasured(artifacts: list[Artifact], unknown: set[str]) -> None:
    found = measures_of(artifacts, 0, NOW)
    assert {name for name, value in found.items() if isinstance(value, Unmeasured)} == unknown
    assert all(value.reason for value in found.values() if isinstance(value, Unmeasured))


def test_with_no_earlier_one_a_change_of_size_is_not_judged() -> None:
    assert [measures_of(there, 0, NOW)["size_change_percent"] is SKIPPED for there in ([], [artifact(1)], [artifact(2), artifact(1)])] == [True, True, False]


def test_nothing_at_all() -> None:
    found = measures_of([], None, NOW)
    assert (found["count"], found["newest_state"], isinstance(found["free"], Unmeasured)) == (0, "missing", True)
