# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in S3 on a server in memory: what it makes, refuses, and says. While things break: tests/integration/test_s3_faults.py."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, Exists, InvalidInput, MissingLibrary, NotThere, Refused, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import AuthFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3 import MARK, S3
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_client import Patience
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_errors import ClockSkew, Denied, WrongRegion
from ansible_collections.tradeops.runbook.tests.support.s3_faults import (
    KEY,
    LARGE,
    NAME,
    PREFIX,
    SECRET,
    SMALL,
    Fault,
    Server,
    made,
    read,
    skewed,
    sound,
    store,
)

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")


@pytest.fixture
def server() -> Iterator[Server]:
    yield from sound()


@pytest.fixture
def repository(server: Server, tmp_path: Path) -> S3:
    return made(server, tmp_path)


def test_it_is_made_once(repository: S3) -> None:
    assert not repository.identity().exists
    repository.initialize()
    first = repository.identity()
    repository.initialize()
    assert first == repository.identity() and len(first.system_id) == 16 and first.place == "s3://backups/site/"


@pytest.mark.parametrize(("key", "body"), [(f"site/{MARK}", b'{"format": 2}'), ("site/of/others", b"")])
def test_what_is_not_ours_is_refused(repository: S3, server: Server, key: str, body: bytes) -> None:
    server.put(key, body, {})
    with pytest.raises(Refused):
        repository.initialize()
    assert list(server.objects) == [key]


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("body", [SMALL, LARGE], ids=len)
def test_nothing_is_written_over(repository: S3, server: Server, body: bytes, conditional: bool) -> None:
    server.conditional = conditional
    store(repository, b"first")
    with pytest.raises(Exists):
        store(repository, body)
    with pytest.raises(Exists):
        repository.create(NAME, body)
    assert read(repository) == b"first"


@pytest.mark.parametrize(("fault", "expected", "text"), [
    (Fault("*", "error", 99, 0, 403, "AccessDenied"), Denied, "AccessDenied"),
    (Fault("*", "error", 99, 0, 403, "InvalidAccessKeyId"), AuthFailed, "InvalidAccessKeyId"),
    (Fault("*", "error", 99, 0, 403, "SignatureDoesNotMatch"), AuthFailed, "SignatureDoesNotMatch"),
    (Fault("*", "error", 99, 0, 400, "ExpiredToken"), AuthFailed, "ExpiredToken"),
    (Fault("*", "error", 99, 0, 404, "NoSuchBucket"), NotThere, "NoSuchBucket"),
    (Fault("*", "error", 99, 0, 400, "AuthorizationHeaderMalformed", "<Region>us-west-2</Region>"), WrongRegion, "us-west-2"),
    (Fault("*", "error", 99, 0, 503, "SlowDown"), Busy, "SlowDown"),
    (skewed(7200), ClockSkew, r"(7199|7200|7201) s behind"),
    (skewed(-7200), ClockSkew, r"(7199|7200|7201) s ahead"),
], ids=lambda value: value.code if isinstance(value, Fault) else None)  # fmt: skip
def test_errors_say_what_they_are(repository: S3, server: Server, fault: Fault, expected: type[RunbookError], text: str) -> None:
    server.faults.append(fault)
    with pytest.raises(expected) as caught:
        list(repository.list(PREFIX))
    assert re.search(text, caught.value.message) and caught.value.hint
    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_a_policy_denies_removal(repository: S3, server: Server) -> None:
    store(repository, SMALL)
    server.faults.append(Fault("DeleteObject", "error", 99, 0, 403, "AccessDenied"))
    with pytest.raises(Denied) as caught:
        repository.delete(NAME)
    assert "separate key" in caught.value.hint
    assert read(repository) == SMALL


def test_delete(repository: S3, server: Server) -> None:
    store(repository, SMALL)
    repository.delete(NAME)
    repository.delete(NAME)
    assert not list(repository.list(PREFIX)) and server.objects == {KEY: None}
    with pytest.raises(NotThere):
        read(repository)
    store(repository, b"again")
    server.faults.append(Fault("DeleteObject", "hollow", 99))
    with pytest.raises(RunbookError):
        repository.delete(NAME)


def test_a_long_listing_is_whole_or_an_error(repository: S3, server: Server) -> None:
    names = [f"{PREFIX}{number:05}.x" for number in range(2500)]
    for name in reversed(names):
        server.put("site/" + name, b"1", {})
    server.put("site/" + PREFIX.replace("orders", "orders2") + "of-another", b"1", {})
    server.objects["site/" + PREFIX + "deleted"] = None
    assert [entry.name for entry in repository.list(PREFIX)] == names
    for how in ("error", "cut", "hollow"):
        server.faults[:] = [Fault("ListObjectsV2", how, 99, 1)]
        with pytest.raises(RunbookError):
            list(repository.list(PREFIX))


def test_only_one_works_at_a_time(repository: S3, server: Server, tmp_path: Path) -> None:
    with repository.locked(PREFIX):
        with pytest.raises(Busy), made(server, tmp_path).locked(PREFIX):
            pass
        with made(server, tmp_path).locked(PREFIX.replace("orders", "others")):
            pass
    with made(server, tmp_path).locked(PREFIX):
        pass


def test_waits_grow_and_are_drawn_by_lot(server: Server, tmp_path: Path) -> None:
    waits: list[float] = []
    server.faults.append(Fault("ListObjectsV2", "error", 99, 0, 503, "SlowDown"))
    with pytest.raises(Busy):
        list(made(server, tmp_path, Patience(attempts=5, random=lambda: 0.5, sleep=waits.append)).list(PREFIX))
    assert waits == [0.25, 0.5, 1.0, 2.0]


def test_encryption_and_lock_are_asked_for(server: Server, tmp_path: Path) -> None:
    repository = made(server, tmp_path, sse="aws:kms", kms_key_id="backup-key", object_lock_mode="compliance", object_lock_days=30)
    for name, body in ((NAME, LARGE), (NAME + "2", SMALL)):
        store(repository, body, name)
        headers = {key.lower(): value for key, value in server.objects["site/" + name].headers.items()}  # type: ignore[union-attr]
        assert headers["x-amz-object-lock-mode"] == "COMPLIANCE" and headers["x-amz-server-side-encryption-aws-kms-key-id"] == "backup-key"


@pytest.mark.parametrize("more", [
    {"endpoint_url": "http://example.com", "allow_http": False}, {"endpoint_url": "ftp://example.com"}, {"part_mib": 4}, {"prefix": "../other"},
    {"object_lock_mode": "governance"}, {"object_lock_mode": "governance", "object_lock_days": 0},
], ids=str)  # fmt: skip
def test_options_that_make_no_sense(server: Server, tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        made(server, tmp_path, **more)


@pytest.mark.parametrize("name", ["", "/a", "a/../b", "a//b", ".hidden", "a\n"])
def test_names_that_are_none(repository: S3, name: str) -> None:
    calls: list[Callable[[], object]] = [lambda: repository.create(name, b""), lambda: repository.delete(name), lambda: read(repository, name)]
    for call in calls:
        with pytest.raises(InvalidInput):
            call()


def test_boto3_is_missing(repository: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingLibrary, match="boto3"):
        repository.identity()
