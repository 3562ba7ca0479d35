# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest is read whole or not at all; a proof that cannot be read proves nothing."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Identity, Inventory
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.inventory import Bounds, anomalies, differences
from ansible_collections.tradeops.runbook.plugins.module_utils._core.manifest import canonical, digest_of, read_manifest, read_proof
from ansible_collections.tradeops.runbook.plugins.module_utils._core.prune import candidates
from ansible_collections.tradeops.runbook.plugins.module_utils._core.restore import Wish, describe, plan_restore

ID = "20261120T021500Z-7f3a9c1e"
PART = {
    "name": f"{ID}.data.sqlite.zst", "role": "data", "format": "sqlite", "compression": "zstd", "plain_bytes": 4096, "plain_sha256": "a" * 64,
    "stored_bytes": 100, "stored_sha256": "b" * 64,
}  # fmt: skip
MANIFEST: dict[str, Any] = {
    "format": 1, "id": ID, "kind": "sqlite", "source": "orders", "system": "nextrade", "environment": "production", "host": "db1", "class": "transactions",
    "run_id": "run-1", "taken_at": "2026-11-20T02:15:00Z", "finished_at": "2026-11-20T02:15:01Z", "started_at": "2026-11-20T02:15:00Z", "suspect": "",
    "duration_seconds": 1.0, "sequence": 2, "previous": {"id": "20261119T021500Z-00000000", "manifest_sha256": "c" * 64}, "notes": [], "versions": {},
    "identity": Identity("/data/orders.db", size_bytes=4096).data(), "parts": [PART, {**PART, "name": f"{ID}.part.globals.sql.zst", "role": "globals.sql"}],
    "inventory": Inventory({"table orders": {"rows": 5}}, {"objects": 1, "rows": 5}).data(),
}  # fmt: skip
PROOF = {"id": ID, "level": "restored", "at": "2026-11-20T02:15:00Z", "ok": True, "manifest_sha256": "d" * 64, "seconds": 1.5}


def test_one_spelling_for_the_same_data() -> None:
    body = canonical({"b": [1, 2.5], "a": {"é": "\udcff", "z": None}})
    assert body == b'{\n "a": {\n  "z": null,\n  "\\u00e9": "\\udcff"\n },\n "b": [\n  1,\n  2.5\n ]\n}\n'
    assert digest_of(body) == hashlib.sha256(body).hexdigest()
    for odd in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            canonical({"a": odd})


def test_a_manifest_goes_there_and_back() -> None:
    assert read_manifest(canonical(MANIFEST), ID) == MANIFEST
    first = {**MANIFEST, "previous": None}
    assert read_manifest(canonical(first), ID) == first


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"\xff\xfe", b"[" * 100_000, canonical(MANIFEST)[:-10], canonical(MANIFEST)[:200]])
def test_what_is_no_manifest(body: bytes) -> None:
    with pytest.raises(VerifyFailed, match=f"the manifest of {ID} cannot be read"):
        read_manifest(body, ID)


@pytest.mark.parametrize("version", [None, 0, 2, "1", [1]])
def test_manifests_of_other_versions(version: Any) -> None:
    with pytest.raises(VerifyFailed, match="has the format .*, not 1") as caught:
        read_manifest(canonical({**MANIFEST, "format": version}), ID)
    assert "release of the collection" in caught.value.hint


def test_the_manifest_of_another_artifact() -> None:
    with pytest.raises(VerifyFailed, match="is not one"):
        read_manifest(canonical(MANIFEST), "20261120T021500Z-00000000")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("parts",), []), (("parts",), {}), (("parts", 0), None), (("parts", 0, "role"), "globals.sql"), (("parts", 0, "name"), "/etc/passwd"),
        (("parts", 0, "name"), f"{ID}.data/../../x"), (("parts", 1, "name"), "20261120T021500Z-00000000.data.sqlite.zst"),
        (("parts", 0, "stored_bytes"), "100"),
        (("parts", 0, "plain_bytes"), True), (("parts", 0, "plain_bytes"), 1.5), (("parts", 1, "stored_sha256"), None), (("taken_at",), "yesterday"),
        (("taken_at",), "2026-11-20"), (("taken_at",), "0001-01-01T00:00:00+23:59"), (("taken_at",), "2026-13-20T02:15:00Z"), (("taken_at",), 5),
        (("sequence",), True),
        (("sequence",), "2"), (("inventory",), None), (("inventory", "objects"), []), (("inventory", "objects", "table orders"), 5),
        (("inventory", "totals"), None),
        (("inventory", "totals", "objects"), "many"), (("identity",), None), (("identity", "place"), None), (("identity", "system_id"), 5),
        (("suspect",), None),
        (("host",), None), (("class",), 7), (("previous",), "x"), (("previous",), {}), (("previous", "id"), 5),
    ],
)  # fmt: skip
def test_a_manifest_with_one_wrong_value_is_none(place: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(VerifyFailed, match="is not one"):
        read_manifest(canonical(changed(MANIFEST, place, value)), ID)


def changed(data: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at one place; without the place, when the value is ``...``."""
    made = copy.deepcopy(data)
    inner: Any = made
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return made


def places(data: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in JSON data."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*above, key)
        yield from places(value, (*above, key))


@pytest.mark.parametrize("place", list(places(MANIFEST)), ids=str)
@pytest.mark.parametrize("value", [..., None, "", "text", -1, 10**30, True, [], {}, [{}], {"a": {}}], ids=str)
def test_whatever_was_edited_nothing_breaks_in_another_way(place: tuple[Any, ...], value: Any) -> None:
    """Either it is refused, or all that read manifests can live with it."""
    try:
        manifest = read_manifest(canonical(changed(MANIFEST, place, value)), ID)
    except VerifyFailed:
        return
    artifact = Artifact(ID, "p/", {PART["name"]: 100}, manifest, "e" * 64)
    artifact.summary()
    candidates([artifact])
    differences(manifest["inventory"], Inventory({}, {}))
    told = anomalies([MANIFEST], manifest, True, Bounds()) + anomalies([manifest, MANIFEST], MANIFEST, True, Bounds())
    assert all(isinstance(reason, str) for reason in told)
    try:
        plan = plan_restore(artifact, Identity("/data/orders.db", system_id="1"), Wish("db1"))
    except RunbookError:
        return
    assert describe(plan, artifact)


def test_a_proof_goes_there_and_back() -> None:
    assert read_proof(canonical(PROOF), "p.json") == PROOF
    assert read_proof(canonical({**PROOF, "ok": False}), "p.json")["ok"] is False


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, canonical(PROOF)[:-20]])
def test_garbage_proves_nothing(body: bytes) -> None:
    found = read_proof(body, "p.json")
    assert (found["ok"], found["level"], found["reason"]) == (False, "digest", "p.json is not a proof")


@pytest.mark.parametrize("name", ["id", "level", "at", "ok", "manifest_sha256"])
@pytest.mark.parametrize("value", [..., None, 1, "soon", [], "2026-11-20"])
def test_a_proof_with_one_wrong_value_proves_nothing(name: str, value: Any) -> None:
    if isinstance(value, str) and name in ("id", "manifest_sha256"):
        value = 5
    assert read_proof(canonical(changed(PROOF, (name,), value)), "p.json")["ok"] is False


@given(st.binary(max_size=200))
def test_any_bytes_at_all(body: bytes) -> None:
    assert read_proof(body, "p.json")["ok"] is False
    with pytest.raises(VerifyFailed):
        read_manifest(body, ID)


def test_what_is_canonical_is_json() -> None:
    assert json.loads(canonical(MANIFEST)) == MANIFEST
