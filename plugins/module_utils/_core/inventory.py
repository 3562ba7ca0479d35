# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what is in a backup: with what came out of it again, and with the backup before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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
    return told if len(told) <= _SHOWN else [*told[:_SHOWN], f"and {len(told) - _SHOWN} more"]


def _show(value: Any) -> str:
    return "missing" if value is None else format_value(value)


def check_objects(inventory: Inventory, minimum: int, what: str) -> None:
    """Raises TooFewObjects."""
    count = inventory.totals["objects"]
    if count < minimum:
        raise TooFewObjects(f"{what} has {count} objects, and at least {minimum} are expected", "see whether it is the right one, and what this user may read")


def shrinkage(before: Mapping[str, Any], after: Mapping[str, Any], most_percent: float) -> str:
    """Why a manifest is suspiciously small beside the one before; ``""`` when it is not. Growth is no reason."""
    pairs = {"objects": (_objects(before), _objects(after)), "bytes": (_plain(before), _plain(after))}
    for name, (old, new) in pairs.items():
        if old > 0 and 100.0 * (old - new) / old > most_percent:
            unit = "B" if name == "bytes" else ""
            return f"it shrank from {format_value(old, unit)} to {format_value(new, unit)} {name if not unit else ''}".rstrip()
    return ""


def _objects(manifest: Mapping[str, Any]) -> int:
    return int(manifest["inventory"]["totals"].get("objects", 0))


def _plain(manifest: Mapping[str, Any]) -> int:
    return int(manifest["parts"][0]["plain_bytes"])
