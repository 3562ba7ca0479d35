# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in S3 keeps its word while the network and the server break it: nothing is lost, nothing half is seen, no upload stays open."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Entry
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import (
    Busy,
    Exists,
    NotThere,
    RunbookError,
    TimedOut,
    Unreachable,
    Unsure,
    VerifyFailed,
)
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline, DeadlinePassed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._pg_errors import TlsFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3 import S3
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_client import Patience
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_errors import Denied
from ansible_collections.tradeops.runbook.tests.support.children import environment, forked, status_of
from ansible_collections.tradeops.runbook.tests.support.s3_faults import (
    BUCKET,
    KEY,
    LARGE,
    MEBIBYTE,
    NAME,
    PREFIX,
    SMALL,
    Fault,
    Server,
    made,
    read,
    serving,
    sound,
    store,
)
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.drivers.authority import Authority

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")


@pytest.fixture
def server() -> Iterator[Server]:
    yield from sound()


@pytest.fixture
def repository(server: Server, tmp_path: Path) -> S3:
    return made(server, tmp_path)


@pytest.mark.parametrize("body", [b"", SMALL, LARGE[: 5 * MEBIBYTE], LARGE, LARGE * 3], ids=len)
def test_what_was_written_is_read(repository: S3, server: Server, body: bytes) -> None:
    store(repository, body)
    assert read(repository) == body
    assert read(repository, offset=3) == body[3:]
    assert list(repository.list(PREFIX)) == [Entry(NAME, len(body))]
    assert list(server.objects) == [KEY]


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
] + [Fault(operation, "shorn", 2) for operation in ("CreateMultipartUpload", "UploadPart", "HeadObject")]  # fmt: skip


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
    with pytest.raises(Unsure if operation == "PutObject" else VerifyFailed, match="SHA256|BadDigest"):
        store(repository, body, NAME + "2")
    assert NAME + "2" not in [entry.name for entry in repository.list(PREFIX)]


@pytest.mark.parametrize(("how", "expected"), [("cut", Unreachable), ("reset", Unreachable), ("error", Unreachable), ("hollow", RunbookError)])
@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_what_stays_broken_fails(repository: S3, server: Server, operation: str, how: str, expected: type[RunbookError]) -> None:
    """What is sent at once cannot be taken back: a request without an answer may be done any moment. An upload that was ended cannot."""
    server.faults.append(Fault(operation, how, 99))
    with pytest.raises(Unsure if operation == "PutObject" and expected is Unreachable else expected):
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
    server.faults.append(Fault("HeadObject", "error", 99, 1 if operation == "PutObject" else 2))
    with pytest.raises(Unsure):
        store(repository, body, NAME + "2")


def test_an_object_of_another_size(repository: S3, server: Server) -> None:
    server.faults.append(Fault("HeadObject", "size", 99))
    server.faults.insert(0, Fault("HeadObject", "error", 1, 0, 404, "NoSuchKey"))
    with pytest.raises(VerifyFailed, match="bytes instead of"):
        store(repository, SMALL)


@pytest.mark.parametrize("how", ["cut", "reset", "drip", "stall", "error", "shorn"])
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
    with repository.open(NAME, offset=1) as reader:
        server.put(KEY, LARGE[::-1], {})
        with pytest.raises(VerifyFailed, match="exchanged"):
            reader.read(100)


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_a_permission_is_lost_on_the_way(repository: S3, server: Server, operation: str) -> None:
    server.faults.append(Fault(operation, "error", 99, 1 if operation == "UploadPart" else 0, 403, "AccessDenied"))
    with pytest.raises(Denied):
        store(repository, LARGE)
    assert not server.objects


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


def test_an_upload_that_is_ended_by_another_hand(repository: S3, server: Server) -> None:
    with pytest.raises(NotThere, match="NoSuchUpload"), repository.write(NAME) as sink:
        sink.write(LARGE)
        while not server.uploads:
            time.sleep(0.01)
        server.uploads.clear()
    assert not server.objects


def test_nobody_knows_whether_it_was_completed(repository: S3, server: Server) -> None:
    """No answer, not there, and the upload cannot be ended: it may be there any moment."""
    server.faults += [Fault("CompleteMultipartUpload", "cut", 99), Fault("AbortMultipartUpload", "error", 99), Fault("ListMultipartUploads", "error", 99)]
    with pytest.raises(Unsure):
        store(repository, LARGE)
    server.faults.clear()
    with repository.locked(PREFIX):
        assert not server.uploads, "the next one ends it"


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
def test_a_conflict_is_tried_again(repository: S3, server: Server, operation: str) -> None:
    body = SMALL if operation == "PutObject" else LARGE
    server.faults.append(Fault(operation, "error", 2, 0, 409, "ConditionalRequestConflict"))
    store(repository, body)
    assert read(repository) == body
    server.faults.append(Fault(operation, "error", 99, 0, 409, "ConditionalRequestConflict"))
    with pytest.raises(Unsure if operation == "PutObject" else Busy):
        store(repository, body, NAME + "2")


def test_a_part_that_crawls_is_sent_again(server: Server, tmp_path: Path) -> None:
    patience = Patience(read_seconds=5.0, request_seconds=1.0, attempts=3, random=lambda: 0.01)
    server.faults.append(Fault("UploadPart", "slow"))
    store(made(server, tmp_path, patience), LARGE)
    server.faults.append(Fault("UploadPart", "slow", 99))
    with pytest.raises(TimedOut, match="within 1 s"):
        store(made(server, tmp_path, patience), LARGE, NAME + "2")


def test_after_an_error_no_other_part_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.faults.append(Fault("UploadPart", "error", 99, 0, 503, "SlowDown"))
    with pytest.raises(ZeroDivisionError), made(server, tmp_path, Patience(attempts=99, random=lambda: 1.0)).write(NAME) as sink:
        sink.write(LARGE)
        raise ZeroDivisionError
    assert server.asked.count("UploadPart") < 9


def test_a_server_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with serving(authority.server()) as server:
        with pytest.raises(TlsFailed) as caught:
            made(server, tmp_path).identity()
        assert "ca_bundle" in caught.value.hint
        repository = made(server, tmp_path, ca_bundle=authority.path, allow_http=False)
        store(repository, LARGE)
        assert read(repository) == LARGE


def test_the_bucket_in_the_name_of_the_host(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up, resolve = [], socket.getaddrinfo

    def on_loopback(host: str, *more: Any, **others: Any) -> Any:
        looked_up.append(host)
        return resolve("127.0.0.1", *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", on_loopback)
    repository = made(server, tmp_path, addressing_style="virtual", endpoint_url=server.url.replace("127.0.0.1", "s3.test"))
    store(repository, LARGE)
    assert read(repository) == LARGE and list(server.objects) == [KEY]
    assert set(looked_up) == {f"{BUCKET}.s3.test"}


WRITER = """
import os, resource, sys
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3 import S3
from ansible_collections.tradeops.runbook.tests.support.s3_faults import MEBIBYTE, NAME, SMALL, Server, made, store
from pathlib import Path
repository = made(Server(url=sys.argv[1]), Path(sys.argv[2]))
store(repository, SMALL)  # what boto3 needs for itself
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with repository.write(NAME + "2") as sink:
    for number in range(300):
        sink.write(os.urandom(MEBIBYTE))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_holds_a_few_parts_whatever_the_length(server: Server, tmp_path: Path) -> None:
    """The server is in this process, the writer in a new one."""
    server.forgets = True
    command = [sys.executable, "-c", WRITER, server.url, str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) * 1024 <= (2 + 2 + 2) * 5 * MEBIBYTE + 4 * MEBIBYTE, "queue + workers + 2 parts, and a little for threads"
    assert server.objects["site/" + NAME + "2"].size == 300 * MEBIBYTE  # type: ignore[union-attr]


def test_a_garbled_answer_is_looked_at_again(repository: S3, server: Server) -> None:
    server.faults += [Fault("HeadObject", "error", 1, 0, 404, "NoSuchKey"), Fault("HeadObject", "size", 1), Fault("PutObject", "garble", 1)]
    store(repository, SMALL)
    assert read(repository) == SMALL and server.asked.count("HeadObject") == 3
