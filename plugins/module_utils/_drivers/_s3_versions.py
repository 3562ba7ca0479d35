# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts in a bucket with Object Lock: the first version of an object, for as long as it is locked.

Nothing of ours is ever written over, so whatever lies over a locked version, a delete marker or another body, is none of ours:
we look through it. So nobody takes a backup away, whatever keys they have, before its lock ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .._core.errors import Refused
from .._core.times import rfc3339
from ._s3_client import Bucket
from ._s3_listing import pages

_PASSING = re.compile(r"\.(proof|hold|pin|removed)\.[^/]*$")


def locks(options: Mapping[str, Any]) -> bool:
    """Whether objects are locked at all."""
    return (options.get("object_lock_mode") or "none") != "none"


def is_locked_kind(key: str) -> bool:
    """Notes that our own runs take away again, or that outlive the backup they belong to, are never locked."""
    return not _PASSING.search(key)


class Locked(Refused):
    """Object Lock keeps it."""

    code = "locked"


@dataclass(frozen=True)
class Version:
    """The one of an object that counts. ``over`` says that something lies over it; ``until`` (RFC 3339), only then, how long it is locked."""

    key: str
    size_bytes: int
    id: str
    over: bool = False
    until: str = ""


def versions(bucket: Bucket, start: str, what: str) -> Iterator[Version]:
    """Of every object whose key begins with ``start``, in order of keys."""
    found: dict[str, list[dict[str, Any]]] = {}
    for page in pages(bucket, "list_object_versions", what, start):
        for item in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            found.setdefault(item["Key"], []).append(item)
    for key in sorted(found):
        version = _counting(bucket, key, found[key], what)
        if version is not None:
            yield version


def version_of(bucket: Bucket, key: str, what: str) -> Version | None:
    """Of one object; None when it is not there."""
    return next((version for version in versions(bucket, key, what) if version.key == key), None)


def refuse_locked(bucket: Bucket, key: str, what: str) -> None:
    """Raises Locked. A server takes the removal of a locked object, and merely hides it."""
    found = version_of(bucket, key, what)
    if found is not None:
        until = found.until or _locked_until(bucket, key, found.id, what)
        if until:
            raise Locked(f"{what}: it is locked until {until}", "object_lock_days is longer than the retention; run it again after that")


def _counting(bucket: Bucket, key: str, items: list[dict[str, Any]], what: str) -> Version | None:
    bodies = [item for item in items if "Size" in item]
    if len(items) > 1 and bodies and is_locked_kind(key):
        first = bodies[-1]  # the newest is listed first
        until = _locked_until(bucket, key, first["VersionId"], what)
        if until:
            return Version(key, first["Size"], first["VersionId"], not first["IsLatest"], until)
    latest = next((item for item in bodies if item["IsLatest"]), None)
    return None if latest is None else Version(key, latest["Size"], latest["VersionId"])


def _locked_until(bucket: Bucket, key: str, version: str, what: str) -> str:
    """``""`` for one that is not locked (any more)."""
    head = bucket.ask("head_object", what, Key=key, VersionId=version)
    until = head.get("ObjectLockRetainUntilDate")
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return "its legal hold ends"
    return rfc3339(until.timestamp()) if until and until > datetime.now(timezone.utc) else ""
