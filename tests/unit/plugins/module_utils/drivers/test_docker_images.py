# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images containers were made of, asked of an engine that answers as Docker does, on a socket of its own."""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import NotThere, Unreachable
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.docker_images import images

LABEL = "com.docker.compose.service"
CONTAINERS = {
    "c1": {"Id": "c1", "Name": "/shop-api-1", "Image": "sha256:i1", "Config": {"Labels": {LABEL: "api", "com.docker.compose.project": "shop"}}},
    "c2": {"Id": "c2", "Name": "/shop-api-2", "Image": "sha256:i2", "Config": {"Labels": {LABEL: "api", "com.docker.compose.project": "shop"}}},
    "c3": {"Id": "c3", "Name": "/cache", "Image": "sha256:i3", "Config": {"Labels": None}},
}
IMAGES = {
    "sha256:i1": {"Id": "sha256:i1", "RepoDigests": ["registry:5000/api@sha256:d1"]},
    "sha256:i2": {"Id": "sha256:i2", "RepoDigests": ["registry:5000/api@sha256:d1", "z@sha256:d2"]},
    "sha256:i3": {"Id": "sha256:i3", "RepoDigests": []},
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlparse(self.path)
        kind, name = url.path.split("/")[1:3]
        known: dict[str, Any] = CONTAINERS if kind == "containers" else IMAGES
        answer: Any = known.get(unquote(name))
        if url.path == "/containers/json":
            query = parse_qs(url.query)
            wanted = [label.partition("=")[2] for label in json.loads(query["filters"][0])["label"]]
            labels = {name: one["Config"]["Labels"] or {} for name, one in CONTAINERS.items()}
            answer = [{"Id": name} for name, known in labels.items() if query["all"] == ["1"] and known.get("com.docker.compose.project") in wanted]
        body = json.dumps({"message": f"No such container: {name}"} if answer is None else answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:  # short: the path of a socket has at most 107 characters
        path = Path(folder) / "socket"
        server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def deadline() -> Deadline:
    return Deadline(20.0, time.monotonic)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"project": "shop"}, {"api": "sha256:d1"}),
        ({"containers": ["c3"]}, {"cache": "sha256:i3"}),
        ({"containers": ["c3", "c1"], "project": None}, {"api": "sha256:d1", "cache": "sha256:i3"}),
    ],
)
def test_the_digest_of_the_registry_or_the_id(engine: Path, given: dict[str, Any], found: dict[str, str]) -> None:
    assert images(given, deadline()) == found


def test_two_images_of_one_service_are_both_told(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IMAGES, "sha256:i2", {"Id": "sha256:i2"})
    assert images({"project": "shop"}, deadline()) == {"api": "sha256:d1, sha256:i2"}


@pytest.mark.parametrize(("given", "said"), [({"project": "shp"}, "no container of the project shp"), ({"containers": ["api"]}, "No such container: api")])
def test_what_is_not_there(engine: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(NotThere, match=said):
        images(given, deadline())


def test_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with pytest.raises(Unreachable):
        images({"project": "shop"}, deadline())
