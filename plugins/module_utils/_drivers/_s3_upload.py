# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New objects in S3: small ones at once, others in parts while they are made. There whole or not at all, never over another one.

What counts is what the server shows afterwards: every object carries a token of its writer, so a lost answer is settled by looking.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .._core.errors import Exists, NotThere, RunbookError, Unsure, VerifyFailed
from .._core.probe import DeadlinePassed
from ._s3_client import Bucket, Lost
from ._s3_memory import Memory
from ._s3_versions import is_locked_kind, locks

WORKERS, QUEUE = 2, 2
_GROW_EVERY = 1000
"""Parts get twice as large after so many: there may be 10000, and nobody knows the length beforehand."""
_TOKEN = "tradeops-token"
DIGEST = "tradeops-sha256"
"""Metadata of a small object: the SHA-256 of its body, so that who reads it sees what changed on the way."""


class Object:
    """One that is to be: its ``key`` in the bucket, and ``extra`` arguments of the request that makes it."""

    def __init__(self, bucket: Bucket, key: str, options: Mapping[str, Any]) -> None:
        self.bucket, self.key, self.what = bucket, key, f"s3://{bucket.name}/{key}"
        self._options = options
        self._token = secrets.token_hex(16)

    def extra(self, **told: str) -> dict[str, Any]:
        """Encryption and lock, as the options say, and as metadata the token and what is ``told``."""
        given = self._options
        found: dict[str, Any] = {"Metadata": {_TOKEN: self._token, **told}}
        if (given.get("sse") or "none") != "none":
            found["ServerSideEncryption"] = given["sse"]
        if given.get("kms_key_id"):
            found["SSEKMSKeyId"] = given["kms_key_id"]
        if locks(given) and is_locked_kind(self.key):
            until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=given["object_lock_days"])
            found.update(ObjectLockMode=given["object_lock_mode"].upper(), ObjectLockRetainUntilDate=until)
        return found

    def put(self, body: bytes) -> None:
        """All of it at once. Raises Exists, Unsure."""
        self.absent()

        extra = self.extra(**{DIGEST: hashlib.sha256(body).hexdigest()})

        def send() -> None:
            self.bucket.once_sure("put_object", f"{self.what} cannot be written", Key=self.key, Body=body, ContentMD5=md5(body), **extra)

        self.settle(send, len(body))

    def absent(self) -> None:
        """Raises Exists. Some servers ignore If-None-Match, so one looks first."""
        try:
            self.bucket.ask("head_object", f"{self.what} cannot be looked at", Key=self.key)
        except NotThere:
            return
        raise self._taken()

    def settle(self, send: Callable[[], object], size: int, give_up: Callable[[], bool] = lambda: False) -> None:
        """Make it, and look whether it is there and ours. Raises Exists, VerifyFailed, and Unsure when looking fails.

        Where it is not there after a lost answer, ``give_up`` sees to it that it will not be later either, and says whether it could.
        """
        lost: RunbookError | None = None
        try:
            send()
        except Lost as error:
            lost = error.why
        except Exists:
            raise self._taken() from None
        try:
            seen = self._look(lost is not None)
            ended = seen is None and lost is not None and give_up()
            if ended or (seen is not None and not self._is(seen, size)):  # or a bit of the answer flipped
                seen = self._look(True)
        except RunbookError as error:
            raise self._unsure(error) from None
        if seen is None:
            raise self._not_seen(lost, ended)
        if not self._is(seen):
            raise self._taken()
        if not self._is(seen, size):
            raise VerifyFailed(f"{self.what} has {seen.get('ContentLength')} bytes instead of {size}", "see what stands between this host and the server")

    def _is(self, seen: Mapping[str, Any], size: int | None = None) -> bool:
        return (seen.get("Metadata") or {}).get(_TOKEN) == self._token and size in (None, seen.get("ContentLength"))

    def _look(self, late: bool) -> dict[str, Any] | None:
        bucket = self.bucket.farewell() if late else self.bucket
        try:
            return bucket.ask("head_object", f"{self.what} cannot be looked at", Key=self.key)
        except NotThere:
            return None

    def _not_seen(self, lost: RunbookError | None, ended: bool) -> RunbookError:
        if lost is None:
            return VerifyFailed(f"{self.what} was written, the server said, and is not there", "see the log of the server")
        return lost if ended else self._unsure(lost)

    def _unsure(self, why: RunbookError) -> Unsure:
        return Unsure(f"nobody knows whether {self.what} was written: {why.message}", "see the server, and run it again")

    def _taken(self) -> Exists:
        return Exists(f"{self.what} exists already, and nothing is ever written over", "see who else writes here")


class Upload:
    """A Sink. Holds the part that is being filled, those that wait and those that are sent: QUEUE + WORKERS + 2 at most."""

    def __init__(self, made: Object, part_bytes: int, memory: Memory, prefix: str) -> None:
        self._object, self._memory, self._prefix = made, memory, prefix
        self._over = threading.Event()
        self._sending = made.bucket.patient(replace(made.bucket.patience, sleep=self._rest))
        self._part_bytes = part_bytes
        self._blocks: list[bytes] = []
        self._held = self._size = self._number = 0
        self._upload_id = self._note = ""
        self._room = threading.BoundedSemaphore(WORKERS + QUEUE)
        self._pool: ThreadPoolExecutor | None = None
        self._etags: dict[int, str] = {}
        self._failure: BaseException | None = None

    def write(self, data: bytes) -> None:
        """Raises what went wrong with an earlier part."""
        view = memoryview(data)
        while view:
            part = self._part_bytes << (self._number // _GROW_EVERY)
            block = bytes(view[: part - self._held])
            self._blocks.append(block)
            self._held += len(block)
            view = view[len(block) :]
            if self._held == part:
                self._send()

    def finish(self) -> None:
        """Raises Exists, Unsure, or what went wrong."""
        if not self._upload_id:
            self._object.put(b"".join(self._blocks))
            return
        if self._blocks:
            self._send()
        self._wait()
        if self._failure is not None:
            raise self._failure
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(self._etags.items())]
        self._object.absent()  # Ceph takes no heed of If-None-Match here
        self._object.settle(lambda: self._complete(parts), self._size, self._take_back)
        self._take_back()  # a lost answer to the first request may have left a second one open

    def abandon(self) -> None:
        """After an error. What cannot be taken back now is taken back under the next lock."""
        self._failure = self._failure or RunbookError("it was given up")
        self._over.set()
        self._wait()
        if self._note:
            self._take_back()

    def _rest(self, seconds: float) -> None:
        """Between two attempts to send a part; none follows once it is given up."""
        if self._over.wait(seconds):
            raise DeadlinePassed(f"{self._object.what} was given up")

    def _take_back(self) -> bool:
        return take_back(self._object.bucket.farewell(), self._memory, (self._note, self._object.key, self._upload_id))

    def _complete(self, parts: list[dict[str, Any]]) -> None:
        made = self._object
        try:
            made.bucket.once_sure(
                "complete_multipart_upload", f"{made.what} cannot be completed", Key=made.key, UploadId=self._upload_id, MultipartUpload={"Parts": parts}
            )
        except NotThere as error:
            raise Lost(error) from None  # the upload may be gone because it was completed

    def _send(self) -> None:
        if not self._upload_id:
            self._open()
        while not self._room.acquire(timeout=1.0):
            self._object.bucket.patience.left(1.0, f"{self._object.what} cannot be written")
        if self._failure is not None:
            self._room.release()
            raise self._failure
        body, self._blocks = b"".join(self._blocks), []
        self._number += 1
        self._size, self._held = self._size + len(body), 0
        self._pool = self._pool or ThreadPoolExecutor(WORKERS)
        self._pool.submit(self._part, self._number, body)

    def _open(self) -> None:
        made = self._object
        made.absent()
        self._note = self._memory.begin(self._prefix, made.key)
        found = made.bucket.ask("create_multipart_upload", f"{made.what} cannot be begun", Key=made.key, **made.extra())
        self._upload_id = found["UploadId"]
        self._memory.opened(self._note, self._upload_id)

    def _part(self, number: int, body: bytes) -> None:
        made = self._object
        try:
            if self._failure is None:
                found = self._sending.ask(
                    "upload_part", f"part {number} of {made.what} cannot be sent", Key=made.key, UploadId=self._upload_id, PartNumber=number,
                    Body=body, ContentMD5=md5(body),
                )  # fmt: skip
                self._etags[number] = found["ETag"]
        except BaseException as error:  # pylint: disable=broad-except  # raised where the next part is written
            self._failure = self._failure or error
            self._over.set()
        finally:
            del body
            self._room.release()

    def _wait(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)


def take_back(bucket: Bucket, memory: Memory, left: tuple[str, str, str]) -> bool:
    """Abort every open upload to one key; whether none is left. Then the note about it goes, else it stays for the next time."""
    note, key, upload_id = left
    what = f"the upload to s3://{bucket.name}/{key} cannot be aborted"
    known = {upload_id} - {""}
    sure = bool(known)
    try:
        found = bucket.ask("list_multipart_uploads", what, Prefix=key)
        known.update(upload["UploadId"] for upload in found.get("Uploads", ()) if upload["Key"] == key)
        sure = True
    except RunbookError:  # a writer may have no right to list them: its own id is enough
        pass
    try:
        for one in sorted(known):
            with suppress(NotThere):
                bucket.ask("abort_multipart_upload", what, Key=key, UploadId=one)
    except RunbookError:
        return False
    if sure:
        memory.ended(note)
    return sure


def md5(body: bytes) -> str:
    """Content-MD5, which servers ask for where objects are locked."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
