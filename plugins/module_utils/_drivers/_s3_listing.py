# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listings of S3, whole or an error: half of one looks like lost backups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._core.errors import VerifyFailed
from ._s3_client import Bucket

_ON = {
    "list_objects_v2": {"ContinuationToken": "NextContinuationToken"},
    "list_object_versions": {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"},
}
PAGE = 1000
"""What a server gives at most."""
_HINT = "nothing is decided on half a listing; see the log of the server"


def pages(bucket: Bucket, operation: str, what: str, start: str) -> Iterator[dict[str, Any]]:
    """Every page of it. Raises VerifyFailed for what is no listing of ``start``, and whatever a request raises."""
    on: dict[str, Any] = {}
    while True:
        answer = bucket.ask(operation, what, Prefix=start, MaxKeys=PAGE, **on)
        if "IsTruncated" not in answer:
            raise VerifyFailed(f"{what}: the answer is no listing", _HINT)
        for item in (item for kind in ("Contents", "Versions", "DeleteMarkers") for item in answer.get(kind, ())):
            if not item["Key"].startswith(start):
                raise VerifyFailed(f"{what}: the listing has {item['Key']}", "what answers there is no S3 server: see endpoint_url")
        yield answer
        if not answer["IsTruncated"]:
            return
        last, on = on, {name: answer[then] for name, then in _ON[operation].items() if answer.get(then)}
        if on in ({}, last):
            raise VerifyFailed(f"{what}: it ends in the middle", _HINT)
