# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a bucket of S3 or what speaks like it (https://docs.aws.amazon.com/AmazonS3/latest/API/).

A writer needs no right to delete. ETags are no digests here: the caller compares SHA-256 of what it reads back.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .._core.backup_types import Entry, Identity, Reader
from .._core.errors import Exists, InvalidInput, NotThere, Refused, RunbookError, VerifyFailed
from .._core.probe import Deadline
from ._s3_client import Bucket, Patience
from ._s3_errors import meaning_of
from ._s3_listing import pages
from ._s3_memory import Memory
from ._s3_upload import DIGEST, Object, Upload, take_back
from ._s3_versions import is_locked_kind, locks, refuse_locked, version_of, versions

MARK = "tradeops-repository.json"
FORMAT = 1
STATE_DIR = "/var/lib/tradeops/s3"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_SMALLEST_PART = 5
_BLOCK = 1 << 18
_SMALL = 1 << 24
_LOOKS = 3


class S3:
    """``options``: bucket, prefix, endpoint_url, allow_http, region, access_key, secret_access_key, secret_session_token, ca_bundle, addressing_style,
    part_mib, sse, kms_key_id, object_lock_mode, object_lock_days, max_attempts, state_dir. Without keys boto3's default chain is used."""

    def __init__(self, options: Mapping[str, Any], deadline: Deadline | None = None, patience: Patience | None = None) -> None:
        self._options = options
        self.covered: set[str] = set()
        """Names that were listed although somebody deleted or wrote over them: they are locked. A reason for an alarm."""
        self._base = f"{(options.get('prefix') or '').strip('/')}/".lstrip("/")
        _check(options, self._base)
        self._bucket = Bucket(options, patience or Patience(deadline, attempts=options.get("max_attempts") or Patience.attempts))
        self._place = f"s3://{self._bucket.name}/{self._base}"
        self._memory = Memory(options.get("state_dir") or STATE_DIR, f"{options.get('endpoint_url') or ''} {self._place}")

    def identity(self) -> Identity:
        """``exists`` is false while it is not a repository. Raises Refused for a prefix that holds something else, or a format we do not know."""
        try:
            with self.open(MARK) as file:
                mark = json.loads(file.read(65536))
        except NotThere:
            if next(self._entries(self._base), None) is None:
                self._bucket.ask("head_bucket", f"the bucket {self._bucket.name} cannot be looked at")
                return Identity(self._place, exists=False)
            raise Refused(f"{self._place} is not empty and no repository", "give the repository a bucket or a prefix of its own") from None
        except (ValueError, RecursionError) as error:
            raise RunbookError(f"{self._place}{MARK} cannot be read: {error}", "see who changed it") from None
        if not isinstance(mark, dict) or mark.get("format") != FORMAT:
            raise Refused(f"{self._place} is a repository of another format", f"this release reads format {FORMAT}")
        return Identity(self._place, system_id=str(mark.get("id", "")))

    def initialize(self) -> None:
        """Make it a repository, unless it is one."""
        if not self.identity().exists:
            with suppress(Exists):  # another run was faster
                self.create(MARK, (json.dumps({"format": FORMAT, "id": secrets.token_hex(8)}) + "\n").encode())

    @contextmanager
    def locked(self, prefix: str) -> Iterator[None]:
        """See Repository. What an interrupted one left open is aborted. Raises Busy."""
        folder = _folder(prefix)
        with self._memory.locked(folder):
            for left in self._memory.left_open(folder):
                take_back(self._bucket, self._memory, left)
            yield

    def list(self, prefix: str) -> Iterator[Entry]:
        """See Repository."""
        start = self._key(prefix.rstrip("/")) + "/"
        found = [entry for entry in self._entries(start) if _NAME.fullmatch(entry.name)]
        yield from sorted(found, key=lambda entry: entry.name)

    def _entries(self, start: str) -> Iterator[Entry]:
        what = f"s3://{self._bucket.name}/{start} cannot be listed"
        if locks(self._options):
            for version in versions(self._bucket, start, what):
                if version.over:
                    self.covered.add(version.key[len(self._base) :])
                yield Entry(version.key[len(self._base) :], version.size_bytes)
            return
        for answer in pages(self._bucket, "list_objects_v2", what, start):
            for item in answer.get("Contents", ()):
                yield Entry(item["Key"][len(self._base) :], item["Size"])

    @contextmanager
    def write(self, name: str) -> Iterator[Upload]:
        """See Repository. After an error no part of it is left, or the next lock removes it."""
        part_bytes = (self._options.get("part_mib") or 8) << 20
        upload = Upload(Object(self._bucket, self._key(name), self._options), part_bytes, self._memory, _folder(name.rpartition("/")[0]))
        try:
            yield upload
            upload.finish()
        except BaseException:
            upload.abandon()
            raise

    def create(self, name: str, body: bytes) -> None:
        """See Repository."""
        Object(self._bucket, self._key(name), self._options).put(body)

    @contextmanager
    def open(self, name: str, offset: int = 0) -> Iterator[Reader]:
        """See Repository."""
        reader = _Reader(self._bucket, self._key(name), offset, locks(self._options))
        try:
            yield reader
        finally:
            reader.close()

    def delete(self, name: str) -> None:
        """See Repository. Raises Locked. In a bucket with versions the old one stays, hidden, until a lifecycle rule of the bucket removes it."""
        key = self._key(name)
        what = f"s3://{self._bucket.name}/{key} cannot be removed"
        if locks(self._options) and is_locked_kind(key):
            refuse_locked(self._bucket, key, what)
        with suppress(NotThere):
            self._bucket.ask("delete_object", what, Key=key)
            self._bucket.ask("head_object", what, Key=key)
            raise RunbookError(f"{what}: the server said that it did, and it is still there", "see the log of the server")

    def free_bytes(self) -> int | None:
        """Nobody knows."""
        return None

    def _key(self, name: str) -> str:
        if not _NAME.fullmatch(name) or ".." in name.split("/"):
            raise InvalidInput(f'"{name}" is no name in a repository')
        return self._base + name


class _Reader:
    """One object; a connection that breaks or stalls is taken up where it ended, in the same version of the object."""

    def __init__(self, bucket: Bucket, key: str, offset: int, locked: bool = False) -> None:
        self._bucket, self._at = bucket, offset
        self._what = f"s3://{bucket.name}/{key} cannot be read"
        self._breaks = 0
        self._body: Any = None
        self._object = {"Key": key}
        version = version_of(bucket, key, self._what) if locked else None
        if version is not None:
            self._object["VersionId"] = version.id
        self._whole: Any = None
        if offset:
            self._size, self._etag = self._head("head_object")[:2]
        else:
            self._from_the_start()

    def _head(self, operation: str) -> tuple[int, str, str, Any]:
        head = self._bucket.ask(operation, self._what, **self._object)
        return head["ContentLength"], head["ETag"], (head.get("Metadata") or {}).get(DIGEST, ""), head.get("Body")

    def _from_the_start(self) -> None:
        """A small object is read at once, and again while it has not the digest it was written with: nothing above notices a bit that flips on the way.

        What arrives otherwise each time was changed where it lies, which those above judge.
        """
        for attempt in range(_LOOKS):
            if attempt:
                self.close()
                self._bucket.patience.wait(attempt - 1, self._what)
            self._size, self._etag, digest, self._body = self._head("get_object")
            if not digest or self._size > _SMALL:
                return
            body, self._at = b"".join(iter(lambda: self.read(_BLOCK), b"")), 0
            if hashlib.sha256(body).hexdigest() == digest:
                break
        self._whole = io.BytesIO(body)

    def read(self, size: int) -> bytes:
        """Raises Unreachable, TimedOut, and VerifyFailed when it is no longer the same object."""
        if self._whole is not None:
            return self._whole.read(size)
        wanted = min(size, _BLOCK, self._size - self._at)
        block = b""
        while wanted > 0 and not block:
            try:
                block = self._some(wanted)
                self._at += len(block)
                if len(block) == wanted:
                    self._breaks = 0
                    break
                raise OSError(f"it ended after {self._at} of {self._size} bytes")
            except RunbookError:
                raise
            except Exception as raised:  # pylint: disable=broad-except  # urllib3 and the socket below it
                self._broke(raised)
        return block

    def _broke(self, raised: Exception) -> None:
        """A few bytes between two breaks are no progress: the breaks are counted until a whole block came."""
        self.close()
        error, again = meaning_of(raised, self._what)
        self._breaks += 1
        if not again or self._breaks >= self._bucket.patience.attempts:
            raise error from None
        self._bucket.patience.wait(self._breaks - 1, self._what)

    def _some(self, size: int) -> bytes:
        if self._body is None:
            body = {"Range": f"bytes={self._at}-"} if self._at else {}
            try:
                self._body = self._bucket.ask("get_object", self._what, IfMatch=self._etag, **self._object, **body)["Body"]
            except Exists:
                raise VerifyFailed(f"{self._what}: it was exchanged while it was read", "see who else writes there") from None
        limit = self._bucket.patience.left(self._bucket.patience.read_seconds, self._what)
        alarm = threading.Timer(limit, _cut, (self._body,))
        alarm.daemon = True
        alarm.start()
        try:
            return bytes(self._body.read(size))
        finally:
            alarm.cancel()

    def close(self) -> None:
        """Give the connection back."""
        if self._body is not None:
            with suppress(Exception):  # it is broken, perhaps
                self._body.close()
            self._body = None


def _cut(body: Any) -> None:
    """End a read that drips, which no time-out of a socket sees. The socket is found as botocore's StreamingBody finds it."""
    with suppress(Exception):
        body._raw_stream._fp.fp.raw._sock.shutdown(2)  # pylint: disable=protected-access


def _folder(name: str) -> str:
    return name.rstrip("/")


def _check(options: Mapping[str, Any], base: str) -> None:
    if base and not _NAME.fullmatch(base.rstrip("/")):
        raise InvalidInput(f'"{base}" cannot be the prefix of a repository', "use letters, digits, dots, hyphens, underscores, and slashes between them")
    url = options.get("endpoint_url") or "https://"
    if not url.startswith("https://") and not (url.startswith("http://") and options.get("allow_http")):
        raise InvalidInput(f"endpoint_url is no https URL: {url.split('@')[-1]}", "use https, or set allow_http: true in a network that nobody else reads")
    if (options.get("part_mib") or 8) < _SMALLEST_PART:
        raise InvalidInput(f"part_mib must be {_SMALLEST_PART} or more", "S3 takes no smaller parts")
    if (options.get("object_lock_mode") or "none") != "none" and (options.get("object_lock_days") or 0) < 1:
        raise InvalidInput("object_lock_mode needs object_lock_days", "give the days that nobody may remove a backup")
