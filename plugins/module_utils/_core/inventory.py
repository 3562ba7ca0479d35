# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what is in a backup: with what came out of it again, and with the backups before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .backup_types import Inventory
from .errors import VerifyFailed
from .units import format_value

_SHOWN = 20


class TooFewObjects(VerifyFailed):
    """The backup has fewer objects than it must have: most likely it is of the wrong thing, or of nothing."""

    code = "too_few_objects"


def differences(expected: Mapping[str, Any], found: Inventory) -> list[str]:
    """How a restored inventory differs from the manifest's, each in a sentence; nothing when it is the same."""
    told: list[str] = []
    objects: Mapping[str, Mapping[str, Any]] = expected["objects"]
    for name in sorted({*objects, *found.objects}):
        before, after = objects.get(name), found.objects.get(name)
        if before is None or after is None:
            told.append(f"{name} is {'new' if before is None else 'missing'}")
            continue
        told += [
            f"{name}: {figure} is {_show(after.get(figure))}, not {_show(before.get(figure))}"
            for figure in sorted({*before, *after})
            if before.get(figure) != after.get(figure)
        ]
    totals: Mapping[str, int] = expected["totals"]
    told += [
        f"there are {_show(found.totals.get(name))} {name}, not {_show(totals.get(name))}"
        for name in sorted({*totals, *found.totals})
        if totals.get(name) != found.totals.get(name)
    ]
    if expected.get("digest", "") != found.digest:
        told.append("the content has another digest")
    return shortened(told)


def shortened(told: list[str]) -> list[str]:
    """As many as somebody reads."""
    return told if len(told) <= _SHOWN else [*told[:_SHOWN], f"and {len(told) - _SHOWN} more"]


def _show(value: Any) -> str:
    return "missing" if value is None else format_value(value)


def check_objects(inventory: Inventory, minimum: int, what: str) -> None:
    """Raises TooFewObjects."""
    count = inventory.totals["objects"]
    if count < minimum:
        raise TooFewObjects(f"{what} has {count} objects, and at least {minimum} are expected", "see whether it is the right one, and what this user may read")


@dataclass(frozen=True)
class Bounds:
    """How much smaller or larger than usual a backup may be, in percent; no growth is too much where the second is 0."""

    max_shrink_percent: float = 50.0
    max_growth_percent: float = 400.0


def anomalies(history: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], lasting: bool, bounds: Bounds) -> list[str]:
    """Why a manifest is not one of those in ``history``, each in a sentence; nothing when it is, or when there is no history.

    Sizes are held against the median, so that one odd backup is no measure; objects against all of them, so that what comes and goes is no
    alarm. Objects that are not ``lasting``, such as the files of a tree, may go at any time.
    """
    if not history:
        return []
    told = [_resized(figure, history, manifest, bounds) for figure in _SIZES]
    names = set.intersection(*({*_objects(one)} for one in history))
    return shortened([*filter(None, told), *filter(None, (_lost(name, history, manifest, lasting) for name in sorted(names)))])


def _resized(figure: str, history: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], bounds: Bounds) -> str:
    size, unit, allowed = _SIZES[figure]
    usual, now = median([size(one) for one in history]), size(manifest)
    if usual > 0 and 100.0 * (usual - now) / usual > bounds.max_shrink_percent:
        word = "shrank"
    elif bounds.max_growth_percent and now - usual > allowed and 100.0 * (now - usual) > bounds.max_growth_percent * usual:
        word = "grew"
    else:
        return ""
    of = f"a median of {format_value(usual, unit)}" if len(history) > 1 else format_value(usual, unit)
    return f"it {word} from {of} to {format_value(now, unit)} {'' if unit else figure}".rstrip()


def _lost(name: str, history: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], lasting: bool) -> str:
    found = _objects(manifest).get(name)
    if found is None:
        return f"{name} is missing" if lasting else ""
    rows = [_rows(_objects(one)[name]) for one in history]
    return f"{name} had {format_value(rows[0])} rows and has none" if min(rows) > 0 and "rows" in found and not _rows(found) else ""


def _rows(figures: Mapping[str, Any]) -> int:
    rows = figures.get("rows")
    return rows if isinstance(rows, int) else 0


def _objects(manifest: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    objects: Mapping[str, Mapping[str, Any]] = manifest["inventory"]["objects"]
    return objects


def _count(manifest: Mapping[str, Any]) -> int:
    return int(manifest["inventory"]["totals"].get("objects", 0))


def _bytes(manifest: Mapping[str, Any]) -> int:
    return int(manifest["parts"][0]["plain_bytes"])


_SIZES: dict[str, tuple[Callable[[Mapping[str, Any]], int], str, int]] = {"objects": (_count, "", 1000), "bytes": (_bytes, "B", 64 << 20)}
"""Figure to how it is read, its unit, and by how much it may always grow: a young source doubles often, and that fills no disk."""
