# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good the backups of a source are, as measures of a check: age against the RPO, size, level and age of proofs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .catalog import LEVELS, Artifact, newest_good
from .probe import SKIPPED, Unmeasured

MEASURES = {
    "age": "s", "restored_age": "s", "level": "text", "size": "B", "size_change_percent": "percent", "objects": "count", "count": "count",
    "restored_count": "count", "bad": "count", "newest_state": "text", "free": "B", "covered": "count",
}  # fmt: skip
"""``age`` of the data in the newest good backup; ``restored_age`` of the newest that was proven to restore; ``bad`` ones are not good;
``covered`` are files that somebody deleted or wrote over in vain, since a lock keeps them."""


def measures_of(artifacts: Sequence[Artifact], free: int | None, now: float, covered: int = 0) -> dict[str, Any]:
    """The measures; what there is no backup for is unmeasured, which is unknown and never green."""
    newest = newest_good(artifacts, now)
    none = Unmeasured("there is no good backup")
    found: dict[str, Any] = {"age": none, "level": none, "size": none, "objects": none, "size_change_percent": SKIPPED, "covered": covered}
    found.update(_counts(artifacts))
    restored = [artifact for artifact in artifacts if artifact.state == "good" and artifact.restored_at is not None]
    found["restored_age"] = max(0.0, now - restored[-1].taken_at) if restored else Unmeasured("no backup was ever proven to restore")
    found["free"] = Unmeasured("the repository does not say") if free is None else free
    if newest is not None and newest.manifest is not None:
        before = [artifact for artifact in artifacts if artifact.state == "good" and artifact.taken_at < newest.taken_at]
        found.update(
            age=max(0.0, now - newest.taken_at), level=newest.level or "none", size=newest.size_bytes,
            objects=newest.manifest["inventory"]["totals"].get("objects", 0),
            size_change_percent=_change(before[-1].size_bytes, newest.size_bytes) if before else SKIPPED,
        )  # fmt: skip
    return found


def _counts(artifacts: Sequence[Artifact]) -> dict[str, Any]:
    return {
        "count": len([artifact for artifact in artifacts if artifact.state == "good"]),
        "restored_count": len([artifact for artifact in artifacts if artifact.state == "good" and artifact.level == LEVELS[-1]]),
        "bad": len([artifact for artifact in artifacts if artifact.state in ("suspect", "corrupt")]),
        "newest_state": artifacts[-1].state if artifacts else "missing",
    }


def _change(before: int, after: int) -> float:
    return 100.0 * (after - before) / before if before else 0.0
