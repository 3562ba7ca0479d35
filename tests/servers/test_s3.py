# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a real S3 server (Ceph): taken, proven, restored and pruned there; and kept from whoever has a stolen key."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Entry
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Exists, InvalidInput, NotThere, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _s3_listing
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import AuthFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3 import S3
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_errors import Denied
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_versions import Locked
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.support.rgw import IMAGE, KEYS, WITHOUT, Bucket, OffSite, OffSiteFiles, OffSiteSqlite, Rgw, running
from ansible_collections.tradeops.runbook.tests.support.s3_faults import LARGE, NAME, PREFIX, SMALL, read, store
from ansible_collections.tradeops.runbook.tests.support.waiting import until

pytestmark = pytest.mark.skipif(not IMAGE, reason=WITHOUT)
pytest.importorskip("boto3", reason="boto3 is not installed")

CANARY = "a-secret-canary-of-a-trade"
BYPASS: dict[str, Any] = {"BypassGovernanceRetention": True}
LOCK: dict[str, Any] = {"object_lock_mode": "compliance", "object_lock_days": 1}


@pytest.fixture(scope="module")
def server() -> Iterator[Rgw]:
    with running() as found:
        yield found


@pytest.fixture
def bucket(server: Rgw) -> Iterator[Bucket]:
    """In the end no upload is open in it."""
    found = server.bucket()
    yield found
    assert not found.uploads()


@pytest.fixture
def repository(bucket: Bucket, tmp_path: Path) -> S3:
    return S3(bucket.options(tmp_path))


@pytest.fixture(params=[OffSiteSqlite, OffSiteFiles])
def site(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path) -> OffSite:
    found: OffSite = request.param(tmp_path, bucket.options(tmp_path))
    return found


def test_a_backup_is_taken_proven_restored_and_pruned(site: OffSite, bucket: Bucket, tmp_path: Path) -> None:
    before = site.content()
    first = site.back_up()["artifact"]["id"]
    for level in ("digest", "restored"):
        assert site.prove(level=level)["artifact"]["level"] == level
    site.change()
    second = site.back_up()["artifact"]["id"]
    assert site.content() != before
    site.restore(select=first)
    assert site.content() == before
    site.prove(select=second)
    shown = {artifact.id for artifact in site.artifacts()}

    with pytest.raises(Denied) as caught:
        site.repository().delete(site.artifacts()[0].prefix + site.artifacts()[0].id + ".manifest.json")
    assert "prune_backups" in caught.value.hint
    denied = site.prune(last=1, minimum_restored=1)
    assert (denied["outcome"], denied["code"]) == ("partial", "permission_denied") and "separate key" in denied["hint"]
    assert {artifact.id for artifact in site.artifacts()} == shown, "the writer removes nothing"

    site.place = bucket.options(tmp_path, "pruner")
    assert site.prune(last=1, minimum_restored=1)["outcome"] == "ok"
    left = [artifact.id for artifact in site.artifacts()]
    assert second in left and first not in left and {artifact.state for artifact in site.artifacts()} == {"good"}
    assert not [key for key in bucket.keys() if first in key]


@pytest.mark.skipif(shutil.which("age-keygen") is None, reason="the program age is not installed (Debian package age)")
def test_what_is_encrypted_is_nowhere_in_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", str(tmp_path / "identity")], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", str(tmp_path / "identity")], check=True, capture_output=True, text=True).stdout.strip()
    site = OffSiteSqlite(tmp_path, bucket.options(tmp_path))
    site.encryption = {"recipients": [recipient], "identity_file": str(tmp_path / "identity")}
    with closing(sqlite3.connect(site.path)) as connection:
        connection.execute("insert into trades (note) values (?)", [CANARY])
        connection.commit()
    site.back_up()
    site.prove()
    stored = bucket.bodies()
    assert any(key.endswith(".age") for key in stored)
    for words in (CANARY, KEYS["writer"][1]):
        assert not [key for key, body in stored.items() if words.encode() in body]
    before = site.content()
    site.change()
    site.restore()
    assert site.content() == before


def attack(bucket: Bucket, user: str) -> None:
    """Whoever has this key removes every version, writes over what is left, and hides that too."""
    client, there = bucket.server.client(user), bucket.versions()
    keys = {item["Key"] for item in there}
    calls = [(client.delete_object, {"Key": item["Key"], "VersionId": item["VersionId"], **more}) for item in there for more in ({}, BYPASS)]
    calls += [(client.put_object, {"Key": key, "Body": b"gone"}) for key in keys]
    calls += [(client.delete_object, {"Key": key}) for key in keys]
    for call, more in calls:
        try:
            call(Bucket=bucket.name, **more)
        except client.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"


@pytest.mark.parametrize(("user", "mode"), [("writer", "governance"), ("writer", "compliance"), ("pruner", "compliance"), ("owner", "compliance")])
def test_a_stolen_key_takes_nothing_that_is_locked(server: Rgw, tmp_path: Path, user: str, mode: str) -> None:
    bucket = server.bucket(lock=True)
    site = OffSiteSqlite(tmp_path, bucket.options(tmp_path, object_lock_mode=mode, object_lock_days=1))
    before, made = site.content(), site.back_up()["artifact"]["id"]
    attack(bucket, user)
    assert made not in "".join(bucket.keys()) or set(bucket.bodies().values()) == {b"gone"}, "nothing of it can be seen any more"
    site.change()
    [artifact] = site.artifacts()
    assert (artifact.id, artifact.state) == (made, "good")
    repository = S3(site.place)
    assert len(list(repository.list(artifact.prefix))) == 2 and len(repository.covered) == 2, "there is reason for an alarm"
    site.prove()
    site.restore(select=made)
    assert site.content() == before
    assert len(site.artifacts()) == 2, "and it was backed up before"


def test_without_a_lock_only_versions_help(server: Rgw, tmp_path: Path) -> None:
    """What the documentation says about a bucket that keeps versions: somebody has to bring them back."""
    bucket = server.bucket(versions=True)
    site = OffSiteSqlite(tmp_path, bucket.options(tmp_path))
    before, made = site.content(), site.back_up()["artifact"]["id"]
    client = server.client("pruner")
    for key in bucket.keys():
        client.delete_object(Bucket=bucket.name, Key=key)
    assert not site.repository().identity().exists
    for item in bucket.versions():
        if "Size" not in item:
            client.delete_object(Bucket=bucket.name, Key=item["Key"], VersionId=item["VersionId"])
    site.change()
    site.restore(select=made)
    assert site.content() == before


def test_what_is_locked_is_not_pruned_and_what_passes_is(server: Rgw, tmp_path: Path) -> None:
    bucket = server.bucket(lock=True)
    repository = S3(bucket.options(tmp_path, "pruner", **LOCK))
    store(repository, SMALL)
    with pytest.raises(Locked, match="locked until 20") as caught:
        repository.delete(NAME)
    assert "retention" in caught.value.hint
    note = NAME.replace("data.sqlite.zst", "removed.json")
    repository.create(note, b"{}")
    repository.delete(note)
    assert list(repository.list(PREFIX)) == [Entry(NAME, len(SMALL))] and not repository.covered
    repository.create(note, b"{}")
    assert read(repository, note) == b"{}"


def test_a_bucket_that_locks_nothing(repository: S3, bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(RunbookError):
        store(S3(bucket.options(tmp_path, **LOCK)), SMALL)
    assert not bucket.keys()


@pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=len)
def test_nothing_is_written_over(repository: S3, bucket: Bucket, body: bytes) -> None:
    store(repository, body)
    for other in (SMALL[::-1], LARGE[::-1]):
        with pytest.raises(Exists):
            store(repository, other)
    with pytest.raises(Exists):
        repository.create(NAME, b"{}")
    assert read(repository) == body and read(repository, offset=min(3, len(body))) == body[3:]


def test_another_writer_is_faster(repository: S3, bucket: Bucket) -> None:
    with pytest.raises(Exists), repository.write(NAME) as sink:
        sink.write(LARGE)
        bucket.server.client("writer").put_object(Bucket=bucket.name, Key=f"site/{NAME}", Body=b"first")
    assert read(repository) == b"first"


def test_more_than_a_page(repository: S3, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_s3_listing, "PAGE", 7)
    client = bucket.server.client()
    names = [f"{PREFIX}{number:05}.x" for number in range(31)]
    for name in names:
        client.put_object(Bucket=bucket.name, Key=f"site/{name}", Body=b"")
    assert [entry.name for entry in repository.list(PREFIX)] == names
    assert [entry.name for entry in S3(bucket.options(tmp_path, **LOCK)).list(PREFIX)] == names


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_writer_leaves_nothing_open(repository: S3, bucket: Bucket, tmp_path: Path, signal_number: int) -> None:
    def work() -> None:
        with S3(bucket.options(tmp_path)).write(NAME) as sink:
            while True:
                sink.write(os.urandom(1 << 20))
                time.sleep(0.01)

    pid = forked(work)
    until(bucket.uploads)
    os.kill(pid, signal_number)
    status_of(pid)
    assert bucket.uploads()
    with repository.locked(PREFIX):
        assert not bucket.uploads()
    store(repository, SMALL)


def test_a_source_that_fails_leaves_nothing_open(repository: S3, bucket: Bucket) -> None:
    with pytest.raises(ZeroDivisionError), repository.write(NAME) as sink:
        sink.write(LARGE * 2)
        raise ZeroDivisionError
    assert not bucket.uploads() and not bucket.keys()


@pytest.mark.parametrize(("more", "expected", "text"), [
    ({"secret_access_key": "wrong"}, AuthFailed, "SignatureDoesNotMatch"),
    ({"access_key": "NOBODY"}, AuthFailed, "InvalidAccessKeyId"),
    ({"bucket": "no-such-bucket"}, NotThere, "NoSuchBucket"),
    ({"sse": "aws:kms", "kms_key_id": "no-such-key"}, InvalidInput, "InvalidArgument"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else None)  # fmt: skip
def test_mistakes(bucket: Bucket, tmp_path: Path, more: dict[str, Any], expected: type[RunbookError], text: str) -> None:
    repository = S3(bucket.options(tmp_path, **more))
    calls: list[Any] = [lambda: store(repository, SMALL), lambda: store(repository, LARGE)]
    if "sse" not in more:
        calls += [repository.identity, lambda: list(repository.list(PREFIX)), repository.initialize]
    for call in calls:
        with pytest.raises(expected, match=text) as caught:
            call()
        assert caught.value.hint and "secret" not in f"{caught.value} {caught.value.hint}".replace("secret_", "")


def test_the_region_of_the_bucket_is_of_no_weight_here(bucket: Bucket, tmp_path: Path) -> None:
    """Ceph has one region, and takes a request for any; of another server's refusal see the unit tests."""
    repository = S3(bucket.options(tmp_path, region="us-west-2"))
    store(repository, SMALL)
    assert read(repository) == SMALL


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=len)
def test_the_server_encrypts(bucket: Bucket, tmp_path: Path, body: bytes) -> None:
    repository = S3(bucket.options(tmp_path, sse="aws:kms", kms_key_id="backup-key"))
    store(repository, body)
    head = bucket.server.client("writer").head_object(Bucket=bucket.name, Key=f"site/{NAME}")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "backup-key")
    assert read(repository) == body and read(repository, offset=7) == body[7:]
