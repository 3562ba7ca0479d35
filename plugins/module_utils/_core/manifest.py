# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and proofs: canonical JSON, never changed once written. A manifest is the commit point of an artifact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidInput, VerifyFailed
from .times import parse_instant, rfc3339

FORMAT = 1

_TEXTS = ("id", "kind", "source", "system", "environment", "host", "class", "run_id", "taken_at", "finished_at", "suspect")
_MANIFEST = {**dict.fromkeys(_TEXTS, str), "sequence": int, "parts": list, "inventory": dict, "identity": dict}
_PART = {"name": str, "role": str, "format": str, "compression": str, "plain_bytes": int, "plain_sha256": str, "stored_bytes": int, "stored_sha256": str}
_PROOF = {"id": str, "level": str, "at": str, "ok": bool, "manifest_sha256": str}


def canonical(data: Mapping[str, Any]) -> bytes:
    """One spelling for the same data, for people to read and for digests to compare."""
    return (json.dumps(data, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def digest_of(body: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def read_manifest(body: bytes, artifact: str) -> dict[str, Any]:
    """The manifest of ``artifact``. Raises VerifyFailed when it is damaged, of another artifact, or of a version we do not know."""
    data = _object(body, f"the manifest of {artifact}")
    if data.get("format") != FORMAT:
        raise VerifyFailed(f"the manifest of {artifact} has the format {data.get('format')}, not {FORMAT}", "use the release of the collection that wrote it")
    if not (_fits(data, _MANIFEST) and data["id"] == artifact and _is_whole(data)):
        raise VerifyFailed(f"the manifest of {artifact} is not one", "it was damaged or changed; take another backup")
    return data


def _is_whole(data: Mapping[str, Any]) -> bool:
    """Whether everything is there, in the shape that others rely on."""
    parts, inventory, previous = data["parts"], data["inventory"], data.get("previous")
    return (
        _is_instant(data["taken_at"])
        and all(_fits(part, _PART) and part["name"].startswith(f"{data['id']}.") and "/" not in part["name"] for part in parts)
        and [part["role"] for part in parts[:1]] == ["data"]
        and _fits(inventory, {"objects": dict, "totals": dict})
        and all(isinstance(figures, dict) for figures in inventory["objects"].values())
        and all(isinstance(total, int) and not isinstance(total, bool) for total in inventory["totals"].values())
        and _fits(data["identity"], {"place": str, "system_id": str})
        and (previous is None or _fits(previous, {"id": str, "manifest_sha256": str}))
    )


def read_proof(body: bytes, name: str) -> dict[str, Any]:
    """A proof. One that cannot be read proves nothing, and says so: ``ok`` is false."""
    try:
        data = _object(body, name)
    except VerifyFailed as error:
        data = {"reason": error.message}
    if not _fits(data, _PROOF) or data["level"] not in ("digest", "readable", "restored") or not _is_instant(data["at"]):
        return {"id": "", "level": "digest", "at": "1970-01-01T00:00:01Z", "ok": False, "manifest_sha256": "", "reason": f"{name} is not a proof"}
    return data


def _fits(data: Any, shape: Mapping[str, type]) -> bool:
    """``True`` is no number here."""
    return isinstance(data, dict) and all(
        isinstance(data.get(key), kind) and not (kind is int and isinstance(data[key], bool)) for key, kind in shape.items()
    )


def _is_instant(text: str) -> bool:
    """In the one spelling that we write."""
    try:
        return rfc3339(parse_instant(text)) == text
    except (InvalidInput, ValueError, OverflowError):
        return False


def _object(body: bytes, what: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise VerifyFailed(f"{what} cannot be read", "it was damaged or changed")
    return data
