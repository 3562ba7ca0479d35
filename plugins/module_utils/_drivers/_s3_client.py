# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to one bucket by boto3: each bounded in time, asked again with jitter while that may help, its errors ours.

The SDK itself asks once. Its retries cannot be told from a first request, and what a lost answer means only the caller knows.
"""

from __future__ import annotations

import copy
import io
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from .._core.errors import InvalidInput, MissingLibrary, RunbookError
from .._core.probe import Deadline, DeadlinePassed
from ._s3_errors import Denied, WrongRegion, meaning_of

CONNECT_SECONDS = 10.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 20.0
_FAREWELL_SECONDS = 30.0
_NEEDED = {
    "create_multipart_upload": {"UploadId"}, "upload_part": {"ETag"}, "get_object": {"ContentLength", "ETag"}, "head_object": {"ContentLength", "ETag"},
}  # fmt: skip
_CREATING = ("PutObject", "CompleteMultipartUpload")


@dataclass(frozen=True)
class Patience:
    """How long to go on: ``deadline`` of the whole call, ``read_seconds`` an answer may take, ``request_seconds`` a request with all its bytes."""

    deadline: Deadline | None = None
    read_seconds: float = 60.0
    request_seconds: float = 300.0
    attempts: int = 6
    random: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep

    def left(self, seconds: float, what: str) -> float:
        """Of these seconds, those that the deadline leaves. Raises DeadlinePassed when it leaves none."""
        if self.deadline is None:
            return seconds
        left = self.deadline.remaining()
        if left <= 0:
            raise DeadlinePassed(f"{what}: the time for all of it was over", "raise timeout_seconds")
        return min(seconds, left)

    def wait(self, attempt: int, what: str) -> None:
        """Before the next attempt: anything up to a time that doubles, so that many hosts do not come back together."""
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**attempt)
        self.sleep(self.left(self.random() * longest, what))


class Lost(RunbookError):
    """Nobody knows whether the server did what it was asked; ``why`` says what was seen last."""

    def __init__(self, why: RunbookError) -> None:
        super().__init__(why.message, why.hint)
        self.why = why


class Bucket:
    """``options`` as of S3 in _s3."""

    def __init__(self, options: Mapping[str, Any], patience: Patience) -> None:
        self.name: str = options["bucket"]
        self.patience = patience
        self._options = options
        self._client: Any = None
        self._making = threading.Lock()

    def farewell(self) -> Bucket:
        """The same with a little time of its own, to clean up after the deadline."""
        return self.patient(replace(self.patience, deadline=Deadline(_FAREWELL_SECONDS, time.monotonic), attempts=min(3, self.patience.attempts)))

    def patient(self, patience: Patience) -> Bucket:
        """The same with another patience."""
        other = copy.copy(self)
        other.patience = patience
        return other

    def ask(self, operation: str, what: str, **arguments: Any) -> dict[str, Any]:
        """The answer, after as many attempts as it takes. For what may be done twice without harm."""
        try:
            return self.once_sure(operation, what, **arguments)
        except Lost as lost:
            raise lost.why from None
        except Denied:
            if operation.startswith("head_"):  # its answer has no body to say in why
                self.once_sure("list_objects_v2", what, Prefix=arguments.get("Key", ""), MaxKeys=1)
            raise

    def once_sure(self, operation: str, what: str, **arguments: Any) -> dict[str, Any]:
        """As ``ask``; raises Lost instead when an attempt before the last may have been done, or the last one may."""
        lost = False
        for attempt in range(self.patience.attempts):
            try:
                return self._attempt(operation, what, arguments)
            except RunbookError as error:
                raise (Lost(error) if lost else error) from None
            except Exception as raised:  # pylint: disable=broad-except  # boto3 lets through what its libraries raise
                meant, again = meaning_of(raised, what)
                lost = lost or again or meant.code == RunbookError.code  # an answer that says nothing we know may be a garbled yes
                if not again or attempt + 1 == self.patience.attempts:
                    raise (Lost(meant) if lost else meant) from None
            try:
                self.patience.wait(attempt, what)
            except DeadlinePassed as passed:
                raise Lost(passed) from None
        raise InvalidInput("max_attempts must be 1 or more")

    def _attempt(self, operation: str, what: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """In a thread of its own: a server that answers byte by byte is never too slow for a socket."""
        limit = self.patience.left(self.patience.request_seconds, what)
        call = getattr(self.client(), operation)
        if "Body" in arguments:  # a file is sent in blocks, each with the time of the socket; bytes must all go within it
            arguments = {**arguments, "Body": io.BytesIO(arguments["Body"])}
        found: list[Any] = []

        def work() -> None:
            try:
                found.extend((call(Bucket=self.name, **arguments), None))
            except Exception as error:  # pylint: disable=broad-except  # raised below, in the thread that asked
                found.extend((None, error))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(limit)
        if len(found) < 2:
            raise TimeoutError(f"no whole answer came within {limit:.0f} s")
        if found[1] is not None:
            raise found[1]
        if not _NEEDED.get(operation, set()) <= set(found[0]):  # cut off in its header; or 200 with an error as its body, which old botocore does not see
            raise OSError("the answer is not one to this question")
        return dict(found[0])

    def client(self) -> Any:
        """The one of boto3. Raises MissingLibrary, InvalidInput."""
        with self._making:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise MissingLibrary("boto3", "python3-boto3", "for backups in S3") from None
        given = self._options
        common: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS, "read_timeout": self.patience.read_seconds, "retries": {"max_attempts": 0}, "signature_version": "s3v4",
            # the server checks the SHA-256 of every body, also where it keeps no checksums
            "s3": {"addressing_style": given.get("addressing_style") or "auto", "payload_signing_enabled": True},
        }  # fmt: skip
        try:
            config = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required", **common)
        except TypeError:  # before boto3 1.36, which sends trailers that other servers do not know
            config = Config(**common)
        try:
            client = boto3.session.Session().client(
                "s3", endpoint_url=given.get("endpoint_url") or None, region_name=given.get("region") or None, verify=given.get("ca_bundle") or None,
                aws_access_key_id=given.get("access_key") or None, aws_secret_access_key=given.get("secret_access_key") or None,
                aws_session_token=given.get("secret_session_token") or None, config=config,
            )  # fmt: skip
        except Exception as error:  # pylint: disable=broad-except  # a bad URL is a ValueError, a bad profile an error of botocore
            raise InvalidInput(f"the bucket {self.name} cannot be used: {type(error).__name__}", "see endpoint_url, region and the AWS profile") from None
        for operation in _CREATING:
            client.meta.events.register(f"before-call.s3.{operation}", _only_new)
        if given.get("endpoint_url"):
            client.meta.events.register("before-send.s3", self._stay)
        return client

    def _stay(self, request: Any, **_others: Any) -> None:
        """botocore goes where a wrong region points it, also away from an endpoint that was given."""
        here, there = urlsplit(self._options["endpoint_url"]).hostname or "", urlsplit(request.url).hostname or ""
        if there not in (here, f"{self.name}.{here}".lower()):
            raise WrongRegion(f"the bucket {self.name}: the server points to {there}", "set region, and endpoint_url, to those of the bucket")


def _only_new(params: dict[str, Any], **_others: Any) -> None:
    """Nothing is ever written over. A header, since boto3 has had the parameter only since 1.35."""
    params["headers"]["If-None-Match"] = "*"
