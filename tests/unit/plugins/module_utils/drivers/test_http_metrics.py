# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics that are read from a page of text by a request."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import http

from .exchange import options, reply, request_of

PAGE = b"""# TYPE http_requests_total counter
http_requests_total{code="200",method="get"} 1027
http_requests_total{code="500",method="get"} 3
http_requests_total{code="500",method="post"} 4
queue_bytes 4096
ratio NaN
"""


def measured(serve: Any, probe: Any, body: bytes, metrics: dict[str, Any], **more: Any) -> dict[str, Any]:
    def handle(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(reply(200, body))

    found: dict[str, Any] = http.measure(options(serve(handle), metrics=metrics, **more), probe)
    return found


def test_metrics(serve: Any, probe: Any) -> None:
    metrics = {
        "posts": 'http_requests_total{code="500",method="post"}', "queue": {"metric": "queue_bytes", "unit": "B"},
        "errors": {"metric": 'http_requests_total{code="500"}', "combine": "sum"}, "all": "http_requests_total", "gone": "nothing", "ratio": "ratio",
    }  # fmt: skip
    found = measured(serve, probe, PAGE, metrics)
    assert (found["posts"], found["queue"], found["errors"], found["status_code"]) == (4, 4096, 7, 200)
    for name, words in (("all", "3 samples"), ("gone", "no sample"), ("ratio", "no number")):
        assert isinstance(found[name], Unmeasured) and words in found[name].reason
    units = http.dynamic_measures({"metrics": metrics})
    assert units == {**dict.fromkeys(metrics, "number"), "queue": "B"}


@pytest.mark.parametrize("body", [b"<html>secret-word</html>", b'{"a": 1}', PAGE[:-1], PAGE + b"half", b"\xff\n"])
def test_what_is_no_page_of_metrics_is_not_measured(body: bytes, serve: Any, probe: Any) -> None:
    found = measured(serve, probe, body, {"queue": "queue_bytes", "gone": "nothing"})
    assert found["status_code"] == 200 and all(isinstance(found[name], Unmeasured) and "page of metrics" in found[name].reason for name in ("queue", "gone"))
    assert "secret-word" not in str(found)


def test_an_empty_page_has_no_metric(serve: Any, probe: Any) -> None:
    assert isinstance(measured(serve, probe, b"", {"queue": "queue_bytes"})["queue"], Unmeasured)


@pytest.mark.parametrize(
    "metrics",
    [
        {"latency": "up"}, {"a": None}, {"a": 5}, {"a": ""}, {"a": {}}, {"a": {"metric": ""}}, {"a": {"metric": "up", "units": "s"}}, {"a": "sum(up)"},
        {"a": {"metric": "up", "unit": "text"}}, {"a": {"metric": "up", "combine": "avg"}}, {"a": {"metric": 5}}, {"a": {"metric": "up", "unit": ["s"]}},
        {"a": {"metric": "up", "combine": ["sum"]}},
    ],
)  # fmt: skip
def test_mistakes(metrics: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        http.dynamic_measures({"metrics": metrics})
    with pytest.raises(InvalidInput, match="measured anyway"):
        http.dynamic_measures({"read": {"a": "b"}, "metrics": {"a": "up"}})
