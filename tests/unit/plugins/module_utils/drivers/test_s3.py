# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in S3 keeps its word while the network and the server break it: nothing is lost, nothing half is seen, no upload stays open."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Entry
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import (
    Busy,
    Exists,
    InvalidInput,
    MissingLibrary,
    NotThere,
    Refused,
    RunbookError,
    TimedOut,
    Unreachable,
    Unsure,
    VerifyFailed,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, DeadlinePassed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import AuthFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3 import MARK, S3
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_client import Patience
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_errors import ClockSkew, Denied, WrongRegion
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.support.s3_faults import BUCKET, Fault, Server, serving, skewed

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")

PREFIX = "production/nextrade/sqlite/orders/"
NAME = PREFIX + "20261120T021500Z-7f3a9c1e.data.sqlite.zst"
KEY = "site/" + NAME
MEBIBYTE = 1 << 20
LARGE = random.Random(7).randbytes(5 * MEBIBYTE + 17)  # two parts
SMALL = b"whole" * 1000
SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLE"


@pytest.fixture
def server() -> Iterator[Server]:
    """In the end every request was signed and no upload is open."""
    with serving() as found:
        yield found
        assert not found.unsigned
        assert not found.uploads, "an upload was left open"


@pytest.fixture
def repository(server: Server, tmp_path: Path) -> S3:
    return made(server, tmp_path)


def made(server: Server, tmp_path: Path, patience: Patience | None = None, **more: Any) -> S3:
    options = {
        "bucket": BUCKET, "prefix": "site", "endpoint_url": server.url, "allow_http": True, "region": "eu-central-1", "access_key": "AKID",
        "secret_access_key": SECRET, "addressing_style": "path", "part_mib": 5, "state_dir": str(tmp_path / "state"), **more,
    }  # fmt: skip
    return S3(options, patience=patience or Patience(read_seconds=1.0, request_seconds=3.0, attempts=3, random=lambda: 0.01))


def store(repository: S3, body: bytes, name: str = NAME) -> None:
    with repository.write(name) as sink:
        for start in range(0, len(body), MEBIBYTE):
            sink.write(body[start : start + MEBIBYTE])


def read(repository: S3, name: str = NAME, offset: int = 0) -> bytes:
    with repository.open(name, offset) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))


@pytest.mark.parametrize("body", [b"", SMALL, LARGE[: 5 * MEBIBYTE], LARGE, LARGE * 3], ids=len)
def test_what_was_written_is_read(repository: S3, server: Server, body: bytes) -> None:
    store(repository, body)
    assert read(repository) == body
    assert read(repository, offset=3) == body[3:]
    assert list(repository.list(PREFIX)) == [Entry(NAME, len(body))]
    assert list(server.objects) == [KEY]


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


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=len)
def test_another_writer_is_faster(repository: S3, server: Server, body: bytes) -> None:
    with pytest.raises(Exists), repository.write(NAME) as sink:
        sink.write(body)
        server.faults.append(Fault("HeadObject", "error", 1, 0, 404, "NoSuchKey"))
        server.put(KEY, b"first", {})
    server.faults.clear()
    assert read(repository) == b"first"


ONCE = [
    Fault(operation, how, 2, code=code, status=status)
    for operation in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject")
    for how, status, code in [
        ("cut", 0, ""), ("reset", 0, ""), ("lost", 0, ""), ("error", 503, "SlowDown"), ("error", 500, "InternalError"), ("error", 400, "RequestTimeout"),
    ]
    if (operation, status) != ("HeadObject", 400)  # it has no body to say it in
]  # fmt: skip


@pytest.mark.parametrize("fault", [*ONCE, *(Fault(operation, "stall") for operation in ("PutObject", "UploadPart", "CompleteMultipartUpload"))],
                         ids=lambda fault: f"{fault.operation}-{fault.how}-{fault.code}")  # fmt: skip
def test_what_passes_is_outlived(repository: S3, server: Server, fault: Fault) -> None:
    server.faults.append(fault)
    store(repository, LARGE if "Part" in fault.operation or "Multipart" in fault.operation else SMALL)
    assert fault.times == 0, "the fault was met"
    assert read(repository) == (LARGE if "Part" in fault.operation or "Multipart" in fault.operation else SMALL)


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_a_byte_that_changes_on_the_way(repository: S3, server: Server, operation: str) -> None:
    body = SMALL if operation == "PutObject" else LARGE
    server.faults.append(Fault(operation, "flip"))
    store(repository, body)
    assert read(repository) == body
    server.faults.append(Fault(operation, "flip", 99))
    with pytest.raises(VerifyFailed, match="SHA256|BadDigest"):
        store(repository, body, NAME + "2")
    assert NAME + "2" not in [entry.name for entry in repository.list(PREFIX)]


@pytest.mark.parametrize(("how", "expected"), [("cut", Unreachable), ("reset", Unreachable), ("error", Unreachable), ("hollow", RunbookError)])
@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_what_stays_broken_fails(repository: S3, server: Server, operation: str, how: str, expected: type[RunbookError]) -> None:
    server.faults.append(Fault(operation, how, 99))
    with pytest.raises(expected):
        store(repository, SMALL if operation == "PutObject" else LARGE)
    assert not server.objects
    server.faults.clear()
    store(repository, LARGE)
    assert read(repository) == LARGE, "a plain run afterwards works"


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
def test_an_answer_that_never_comes(repository: S3, server: Server, operation: str) -> None:
    """Done, and every answer about it is lost: what is stored is looked at, and only where that fails nobody knows."""
    body = SMALL if operation == "PutObject" else LARGE
    server.faults.append(Fault(operation, "lost", 99))
    store(repository, body)
    assert read(repository) == body
    server.faults.append(Fault("HeadObject", "error", 99, 1))
    with pytest.raises(Unsure):
        store(repository, body, NAME + "2")


def test_an_object_of_another_size(repository: S3, server: Server) -> None:
    server.faults.append(Fault("HeadObject", "size", 1))
    server.faults.insert(0, Fault("HeadObject", "error", 1, 0, 404, "NoSuchKey"))
    with pytest.raises(VerifyFailed, match="bytes instead of"):
        store(repository, SMALL)


@pytest.mark.parametrize("how", ["cut", "reset", "drip", "stall", "error"])
def test_reading_goes_on_where_it_broke(repository: S3, server: Server, how: str) -> None:
    store(repository, LARGE)
    server.faults.append(Fault("GetObject", how, 2))
    assert read(repository) == LARGE
    assert server.asked.count("GetObject") == 3


@pytest.mark.parametrize(("how", "expected"), [("cut", Unreachable), ("drip", Unreachable), ("stall", TimedOut), ("error", Unreachable)])
def test_reading_ends_when_nothing_helps(repository: S3, server: Server, how: str, expected: type[RunbookError]) -> None:
    store(repository, SMALL)
    server.faults.append(Fault("GetObject", how, 99))
    with pytest.raises(expected):
        read(repository)


def test_an_object_that_is_exchanged_while_it_is_read(repository: S3, server: Server) -> None:
    store(repository, LARGE)
    with repository.open(NAME) as reader:
        server.put(KEY, LARGE[::-1], {})
        with pytest.raises(VerifyFailed, match="exchanged"):
            reader.read(100)


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


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_a_permission_is_lost_on_the_way(repository: S3, server: Server, operation: str) -> None:
    server.faults.append(Fault(operation, "error", 99, 1 if operation == "UploadPart" else 0, 403, "AccessDenied"))
    with pytest.raises(Denied):
        store(repository, LARGE)
    assert not server.objects


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


@pytest.mark.parametrize("listing", [True, False])
def test_a_killed_run_leaves_an_upload_that_the_next_one_aborts(server: Server, tmp_path: Path, listing: bool) -> None:
    def work() -> None:
        with made(server, tmp_path).write(NAME) as sink:
            sink.write(LARGE)
            os._exit(0)

    server.uploads["foreign"] = {"key": KEY + "-of-another", "headers": {}, "parts": {}}
    assert status_of(forked(work)) == 0
    assert len(server.uploads) == 2
    if not listing:
        server.faults.append(Fault("ListMultipartUploads", "error", 99, 0, 403, "AccessDenied"))
    repository = made(server, tmp_path)
    with repository.locked(PREFIX):
        assert list(server.uploads) == ["foreign"], "only its own"
    assert not list((tmp_path / "state").glob("*.upload"))
    del server.uploads["foreign"]


def test_an_error_of_the_source_leaves_nothing(repository: S3, server: Server, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), repository.write(NAME) as sink:
        sink.write(LARGE)
        raise ZeroDivisionError
    assert not server.objects and not list((tmp_path / "state").glob("*.upload"))


def test_a_name_that_cannot_be_resolved(server: Server, tmp_path: Path) -> None:
    repository = made(server, tmp_path, endpoint_url="http://no-such-host.invalid")
    with pytest.raises(Unreachable, match="no-such-host.invalid"):
        repository.identity()


def test_the_deadline_ends_it(server: Server, tmp_path: Path) -> None:
    patience = Patience(Deadline(0.5, time.monotonic), 0.2, 0.3, 99, lambda: 0.5)
    server.faults.append(Fault("UploadPart", "stall", 99))
    with pytest.raises((DeadlinePassed, TimedOut)):
        store(made(server, tmp_path, patience), LARGE)


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


def test_memory_holds_a_few_parts_whatever_the_length(server: Server, tmp_path: Path) -> None:
    """The server is in this process, the writer in another one."""
    server.forgets = True
    reader, writer = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        repository = made(server, tmp_path)
        store(repository, SMALL)  # what boto3 needs for itself
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with repository.write(NAME + "2") as sink:
            for _number in range(300):
                sink.write(os.urandom(MEBIBYTE))
        writer.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

    assert status_of(forked(work)) == 0
    assert reader.recv() * 1024 <= (2 + 2 + 2) * 5 * MEBIBYTE + 4 * MEBIBYTE, "queue + workers + 2 parts, and a little for threads"
    assert server.objects["site/" + NAME + "2"].size == 300 * MEBIBYTE  # type: ignore[union-attr]
