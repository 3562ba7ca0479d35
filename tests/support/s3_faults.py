# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3 server in memory that breaks as it is told: what no real server does on demand. Real ones are asked in tests/integration."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3 import S3
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._s3_client import Patience

BUCKET = "backups"
PREFIX = "production/nextrade/sqlite/orders/"
NAME = PREFIX + "20261120T021500Z-7f3a9c1e.data.sqlite.zst"
KEY = "site/" + NAME
MEBIBYTE = 1 << 20
LARGE = random.Random(7).randbytes(5 * MEBIBYTE + 17)
"""Two parts."""
SMALL = b"whole" * 1000
SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLE"


@dataclass
class Fault:
    """``how`` one operation breaks, ``times`` times after the first ``after`` of them went well.

    cut, reset, stall, drip, slow (it is read slowly): the connection; lost: done, and no answer; flip: one byte on the way; size: HEAD tells another one;
    error: ``status`` and ``code``, with ``more`` XML, from a clock that is ``ahead_seconds``; hollow: 200 with an error as its body;
    garble: done, and the answer makes no sense; shorn: done, and the answer ends within its header.
    """

    operation: str
    how: str
    times: int = 1
    after: int = 0
    status: int = 500
    code: str = "InternalError"
    more: str = ""
    ahead_seconds: float = 0.0

    def xml(self) -> str:
        """What the error has besides its code."""
        there = datetime.now(timezone.utc) + timedelta(seconds=self.ahead_seconds)
        return self.more + (f"<ServerTime>{there:%Y-%m-%dT%H:%M:%SZ}</ServerTime>" if self.ahead_seconds else "")


@dataclass
class Stored:
    """An object: its bytes (or only their number, where ``Server.forgets``), its tag, its metadata."""

    body: bytes
    size: int
    etag: str
    headers: dict[str, str]


@dataclass
class Server:
    """What is in the bucket, and what was asked. ``objects`` of None are delete markers."""

    objects: dict[str, Stored | None] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    page: int = 1000
    conditional: bool = True
    forgets: bool = False
    url: str = ""

    def fault(self, operation: str) -> Fault | None:
        """The one that this request meets."""
        for fault in self.faults:
            if fault.operation in (operation, "*") and fault.times:
                if fault.after:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def put(self, key: str, body: bytes, headers: dict[str, str]) -> Stored:
        """What PutObject and CompleteMultipartUpload store. The tag is no MD5."""
        self.objects[key] = Stored(b"" if self.forgets else body, len(body), f'"{hashlib.sha1(body).hexdigest()}-1"', headers)
        return self.objects[key]  # type: ignore[return-value]


@contextmanager
def serving(tls: ssl.SSLContext | None = None, **fields: Any) -> Iterator[Server]:
    """A server on loopback."""
    server = Server(**fields)

    class Handler(_Handler):
        state = server

    with _Listener(("127.0.0.1", 0), Handler) as listener:
        server.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{listener.server_address[1]}"
        if tls:
            listener.socket = tls.wrap_socket(listener.socket, server_side=True)
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            listener.shutdown()
            thread.join()


def sound() -> Iterator[Server]:
    """Body of a fixture: one of which in the end every request was signed, and no upload is open."""
    with serving() as found:
        yield found
        assert not found.unsigned
        assert not found.uploads, "an upload was left open"


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are what is tested."""


class _Answered(Exception):
    """With an error: ``status``, ``code``, more XML."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, *_arguments: Any) -> None:
        pass

    def _any(self) -> None:
        split = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        path = unquote(split.path).lstrip("/")
        self.key = path if self.headers["Host"].startswith(f"{BUCKET}.") else path.partition("/")[2]
        operation = self._operation()
        state = self.state
        with state.lock:
            state.asked.append(operation)
            fault = state.fault(operation)
            if "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
                state.unsigned.append(operation)
        self.fault, self.answer = fault, b""
        if fault is not None and self._breaks(fault):
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault is not None and fault.how == "flip" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        try:
            if fault is not None and fault.how == "error":
                raise _Answered(fault.status, fault.code, fault.xml())
            self._checked(body)
            with state.lock:
                if fault is not None and fault.how == "hollow":
                    return self._send(200, b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>no</Message></Error>")
                status, found, headers = getattr(self, operation)(body)
        except _Answered as error:
            status, code, more = error.args
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message>{more}</Error>"
            return self._send(status, b"" if self.command == "HEAD" else text.encode())
        if fault is not None and fault.how == "lost":
            self._close(reset=True)
            return
        if fault is not None and fault.how == "garble":
            return self._send(340, b"<Erro")
        if fault is not None and fault.how == "shorn":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nx-amz-request-id: 1\r\n")
            return self._close(reset=False)
        return self._send(status, found, headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

    def _operation(self) -> str:
        query = self.query
        if self.command == "POST":
            return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
        if self.command == "PUT":
            return "UploadPart" if "uploadId" in query else "PutObject"
        if self.command == "DELETE":
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
        if self.command == "HEAD":
            return "HeadObject" if self.key else "HeadBucket"
        return "GetObject" if self.key else "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"

    def _breaks(self, fault: Fault) -> bool:
        if fault.how == "stall":
            self.state.ended.wait(60)
            return self._close()
        if fault.how == "slow":
            while self.rfile.read(1024) and not self.state.ended.wait(0.05):
                pass
            return self._close()
        if fault.how in ("cut", "reset") and self.command not in ("GET",):
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            return self._close(reset=fault.how == "reset")
        return False

    def _close(self, reset: bool = False) -> bool:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close() if reset else self.connection.shutdown(socket.SHUT_RDWR)
        return True

    def _checked(self, body: bytes) -> None:
        wanted = self.headers.get("x-amz-content-sha256", "")
        if re.fullmatch("[0-9a-f]{64}", wanted) and wanted != hashlib.sha256(body).hexdigest():
            raise _Answered(400, "XAmzContentSHA256Mismatch", "")
        wanted = self.headers.get("Content-MD5", "")
        if wanted and wanted != base64.b64encode(hashlib.md5(body).digest()).decode():
            raise _Answered(400, "BadDigest", "")

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        headers = {"Content-Length": str(len(body)), "x-amz-request-id": "1", **(headers or {})}
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        how = self.fault.how if self.fault else ""
        if self.command == "HEAD":
            return
        if how in ("cut", "reset"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self._close(reset=how == "reset")
        elif how == "drip":
            for place in range(len(body)):
                self.wfile.write(body[place : place + 1])
                self.wfile.flush()
                if self.state.ended.wait(0.1):
                    return
        else:
            self.wfile.write(body)

    def _found(self) -> Stored:
        found = self.state.objects.get(self.key)
        if found is None:
            raise _Answered(404, "NoSuchKey", "")
        return found

    def _unless_there(self) -> None:
        if self.state.conditional and self.headers.get("If-None-Match") == "*" and self.state.objects.get(self.key) is not None:
            raise _Answered(412, "PreconditionFailed", "")

    def _told(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower().startswith(("x-amz-meta-", "x-amz-object-lock-", "x-amz-server-side"))}

    def PutObject(self, body: bytes) -> Any:
        self._unless_there()
        return 200, b"", {"ETag": self.state.put(self.key, body, self._told()).etag}

    def HeadObject(self, _body: bytes) -> Any:
        found = self._found()
        size = found.size - 1 if self.fault and self.fault.how == "size" else found.size
        return 200, b"", {"ETag": found.etag, "Content-Length": str(size), **found.headers}

    def HeadBucket(self, _body: bytes) -> Any:
        return 200, b"", {}

    def GetObject(self, _body: bytes) -> Any:
        found = self._found()
        if self.headers.get("If-Match") not in (None, found.etag):
            raise _Answered(412, "PreconditionFailed", "")
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        return (206 if start else 200), found.body[start:], {"ETag": found.etag}

    def DeleteObject(self, _body: bytes) -> Any:
        self.state.objects[self.key] = None
        return 204, b"", {"x-amz-delete-marker": "true"}

    def ListObjectsV2(self, _body: bytes) -> Any:
        prefix, after = self.query.get("prefix", ""), self.query.get("continuation-token", "")
        there = {key: found for key, found in self.state.objects.items() if found is not None and key.startswith(prefix) and key > after}
        keys = sorted(there)
        page = keys[: min(self.state.page, int(self.query.get("max-keys", 1000)))]
        more = len(page) < len(keys)
        items = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{there[key].size}</Size></Contents>" for key in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return 200, f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>".encode(), {}

    def CreateMultipartUpload(self, _body: bytes) -> Any:
        name = f"upload-{len(self.state.asked)}"
        self.state.uploads[name] = {"key": self.key, "headers": self._told(), "parts": {}}
        return 200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode(), {}

    def _upload(self) -> dict[str, Any]:
        if self.query["uploadId"] not in self.state.uploads:
            raise _Answered(404, "NoSuchUpload", "")
        return self.state.uploads[self.query["uploadId"]]

    def UploadPart(self, body: bytes) -> Any:
        self._upload()["parts"][int(self.query["partNumber"])] = b"" if self.state.forgets else body
        self._upload()["size"] = self._upload().get("size", 0) + len(body)
        return 200, b"", {"ETag": f'"{hashlib.sha1(body).hexdigest()}"'}

    def CompleteMultipartUpload(self, body: bytes) -> Any:
        upload = self._upload()
        self._unless_there()
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        whole = b"".join(upload["parts"][number] for number in numbers)
        stored = self.state.put(self.key, whole, upload["headers"])
        stored.size = upload["size"] if self.state.forgets else stored.size
        del self.state.uploads[self.query["uploadId"]]
        return 200, f"<CompleteMultipartUploadResult><ETag>{escape(stored.etag)}</ETag></CompleteMultipartUploadResult>".encode(), {}

    def AbortMultipartUpload(self, _body: bytes) -> Any:
        self._upload()
        del self.state.uploads[self.query["uploadId"]]
        return 204, b"", {}

    def ListMultipartUploads(self, _body: bytes) -> Any:
        prefix = self.query.get("prefix", "")
        found = {name: upload["key"] for name, upload in self.state.uploads.items() if upload["key"].startswith(prefix)}
        items = "".join(f"<Upload><Key>{escape(key)}</Key><UploadId>{name}</UploadId></Upload>" for name, key in found.items())
        return 200, f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{items}</ListMultipartUploadsResult>".encode(), {}


def skewed(seconds: float) -> Fault:
    """A server whose clock is ahead."""
    return Fault("*", "error", 99, 0, 403, "RequestTimeTooSkewed", ahead_seconds=seconds)


def made(server: Server, folder: Path, patience: Patience | None = None, **more: Any) -> S3:
    """A repository on this server that soon gives up."""
    options = {
        "bucket": BUCKET, "prefix": "site", "endpoint_url": server.url, "allow_http": True, "region": "eu-central-1", "access_key": "AKID",
        "secret_access_key": SECRET, "addressing_style": "path", "part_mib": 5, "state_dir": str(folder / "state"), **more,
    }  # fmt: skip
    return S3(options, patience=patience or Patience(read_seconds=0.5, request_seconds=2.0, attempts=3, random=lambda: 0.01))


def store(repository: S3, body: bytes, name: str = NAME) -> None:
    """In blocks, as a dump comes."""
    with repository.write(name) as sink:
        for start in range(0, len(body), MEBIBYTE):
            sink.write(body[start : start + MEBIBYTE])


def read(repository: S3, name: str = NAME, offset: int = 0) -> bytes:
    """All of it, in blocks."""
    with repository.open(name, offset) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))
