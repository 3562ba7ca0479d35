# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus may answer, as a whole and in part, and mistakes in what to ask it. The real one is among the integration tests."""

from __future__ import annotations

import functools
import json
import socket
from typing import Any
from urllib.parse import parse_qs

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._core.prometheus_answers import Series, age_of, doubt_age
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import prometheus

from .exchange import posting_to, reply, request_of, with_body

NOW = 1763604900.0


@pytest.fixture
def posting(serve: Any) -> Any:
    return functools.partial(posting_to, serve)


def success(result: Any, kind: str = "vector", **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


def failure(kind: str, error: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": error}).encode()


def vector(*values: str, **labels: str) -> list[dict[str, Any]]:
    return [{"metric": {"__name__": "up", "n": str(number), **labels}, "value": [NOW, text]} for number, text in enumerate(values)]


def options(port: int, **more: Any) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{port}", "query": "up", "range": None, "step": None, "min_samples": None, "max_age": None, "source": None, "expect": {},
            "unit": "number", "headers": {}, "secret_headers": None, "max_bytes": 1048576, "ca_path": None, "validate_certs": True, "container": None,
            "network": "", "timeout_seconds": 5.0, **more}  # fmt: skip


def posted(requests: list[str], number: int = 0) -> dict[str, list[str]]:
    return parse_qs(requests[number].partition("\r\n\r\n")[2])


@pytest.fixture
def asked(posting: Any) -> Any:
    """Asks a server that gives this answer; its measures."""

    def ask(status: int, body: bytes, probe: Any, **more: Any) -> dict[str, Any]:
        measures: dict[str, Any] = prometheus.measure(options(posting(reply(status, body))[0], **more), probe)
        return measures

    return ask


def test_what_is_sent(posting: Any, probe: Any) -> None:
    port, requests = posting(reply(200, success(vector("1"))))
    query = 'sum(rate(x{a="b&c=d"}[5m])) > 5'
    prometheus.measure(options(port, url=f"http://127.0.0.1:{port}/prometheus/", query=query, secret_headers={"Authorization": "Bearer s"}), probe)
    head = requests[0]
    assert head.startswith("POST /prometheus/api/v1/query HTTP/1.1\r\n") and "Authorization: Bearer s\r\n" in head
    assert "Content-Type: application/x-www-form-urlencoded\r\n" in head and posted(requests) == {"query": [query]}


def test_what_is_asked_of_a_range(posting: Any, probe_of: Any) -> None:
    points = [[NOW - 60 + 30 * number, "5"] for number in range(3)]
    port, requests = posting(reply(200, success([{"metric": {}, "values": points}], "matrix")))
    measures = prometheus.measure(options(port, range="1 min"), probe_of(now=NOW))
    assert requests[0].startswith("POST /api/v1/query_range ")
    assert posted(requests) == {"query": ["up"], "start": ["1763604840.000"], "end": ["1763604900.000"], "step": ["30"]}
    assert (measures["value"], measures["samples"]) == (5, 3)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, failure("bad_data", "parse error"), InvalidInput, "cannot be read: parse error"),
        (422, failure("execution", "many-to-many"), RunbookError, "could not be run: many-to-many"),
        (503, failure("timeout", "query timed out"), VerifyFailed, "query timed out"),
        (500, b"Internal Server Error", VerifyFailed, "status 500"),
        (404, b"<html>", VerifyFailed, "status 404"),
        (200, b"<html>", VerifyFailed, "status 200"),
        (200, b"[]", VerifyFailed, "status 200"),
        (401, b"Unauthorized", RunbookError, "refuses the request"),
        (403, failure("forbidden", "no"), RunbookError, "refuses the request"),
        (302, b"", VerifyFailed, "status 302"),
        (200, success([]), RunbookError, "no series"),
        (200, success([], "matrix"), InvalidInput, "gives a matrix"),
        (200, success([NOW, "x"], "string"), InvalidInput, "gives a string"),
        (200, success(vector("1"), warnings=["store b: unavailable"]), RunbookError, "only a part: store b"),
        (200, success({"a": 1}), VerifyFailed, "not that of its API"),
        (200, success([{"metric": {}, "value": "5"}]), VerifyFailed, "not that of its API"),
        (200, success([{"metric": {}, "value": [NOW, "five"]}]), VerifyFailed, "not that of its API"),
        (200, b'{"status": "success"}', VerifyFailed, "not that of its API"),
    ],
)  # fmt: skip
def test_answers_that_count_for_nothing(status: int, body: bytes, error: type[RunbookError], words: str, asked: Any, probe: Any) -> None:
    with pytest.raises(error, match=words) as caught:
        asked(status, body, probe)
    assert caught.value.code == error.code


def test_a_remark_on_the_query_leaves_the_answer_whole(asked: Any, probe: Any) -> None:
    remark = 'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "queue"'
    assert asked(200, success(vector("1"), warnings=[remark]), probe)["value"] == 1
    with pytest.raises(RunbookError, match="only a part: store b: unavailable$"):
        asked(200, success(vector("1"), warnings=[remark, "store b: unavailable"]), probe)


@pytest.mark.parametrize(
    ("result", "kind", "value"),
    [(vector("1.5"), "vector", 1.5), ([NOW, "2"], "scalar", 2), (vector("NaN"), "vector", "no number"), (vector("+Inf"), "vector", "no number"),
     ([{"metric": {"__name__": "h"}, "histogram": [NOW, {}]}], "vector", "no sample that is a number"), (vector("1", "2"), "vector", "2 series")],
)  # fmt: skip
def test_one_value(result: Any, kind: str, value: Any, asked: Any, probe: Any) -> None:
    found = asked(200, success(result, kind), probe)["value"]
    assert found == value if isinstance(value, (int, float)) else value in found.reason


def test_a_doubt_about_one_is_a_doubt_about_all(asked: Any, probe: Any) -> None:
    expect = {"first": {"n": "0"}, "second": {"n": "1"}, "third": {"n": "2"}, "any": {"__name__": "up"}}
    found = asked(200, success(vector("5", "NaN")), probe, expect=expect)
    assert isinstance(found["min"], Unmeasured) and isinstance(found["max"], Unmeasured) and 'up{n="1"} is no number' in found["max"].reason
    assert found["first"] == 5 and isinstance(found["second"], Unmeasured) and found["missing"] == "third"
    assert found["third"] == Unmeasured("third is missing") and found["any"] == Unmeasured("any is 2 series, not one")


@pytest.mark.parametrize(
    ("times", "more", "words"),
    [
        ([0, 30, 60], {}, ""), ([0, 60], {}, ""), ([60], {}, "only 1 sample of the 2"), ([60], {"min_samples": 1}, ""),
        ([0, 60], {"min_samples": 3}, "of the 3"),
        ([0, 30], {}, "ended 30 s before"), ([0], {"min_samples": 1}, "ended 60 s before"),
    ],
)  # fmt: skip
def test_a_range_that_is_too_short(times: list[int], more: dict[str, Any], words: str, asked: Any, probe_of: Any) -> None:
    points = [[NOW - 60 + at, "5"] for at in times]
    found = asked(200, success([{"metric": {"__name__": "up"}, "values": points}], "matrix"), probe_of(now=NOW), range="1 min", **more)["value"]
    assert found == 5 if not words else words in found.reason


def aged(**seconds: float) -> list[Series]:
    return [Series({"n": name}, [[NOW, str(age)]]) for name, age in seconds.items()]


@pytest.mark.parametrize(
    ("ages", "by_source", "words"),
    [
        (aged(a=5, b=10), False, ["", ""]),
        (aged(a=5, b=31), False, ["", "of up{n=\"b\"} is 31 s old, more than 30 s"]), (aged(a=5), False, ["", "nobody knows"]),
        (aged(x=5), True, ["", ""]), (aged(x=5, y=40), True, ["behind up{n=\"a\"} is 40 s old", "behind up{n=\"b\"} is 40 s old"]),
        ([Series({"n": "a"}, [[NOW, "NaN"]])], True, ["nobody knows", "nobody knows"]),
    ],
)  # fmt: skip
def test_what_is_too_old(ages: list[Series], by_source: bool, words: list[str]) -> None:
    found = [Series({"__name__": "up", "n": name}, [[NOW, "1"]]) for name in ("a", "b")]
    doubt_age(found, ages, 30.0, by_source)
    assert all(text in one.doubt and bool(text) is bool(one.doubt) for text, one in zip(words, found))


def test_what_is_no_number_stays_so_when_it_is_old() -> None:
    found = [Series({"n": "a"}, [[NOW, "NaN"]])]
    doubt_age(found, aged(a=50), 30.0, False)
    assert "no number" in found[0].doubt


def test_the_age_of_several_is_that_of_the_oldest() -> None:
    assert age_of(aged(a=5, b=31)) == 31 and age_of(aged(a=-1)) == 0.0
    assert isinstance(age_of([*aged(a=5), Series({}, [])]), Unmeasured)


def aging(serve: Any, age: bytes, status: int = 200) -> int:
    """A server that answers one thing to the query, and another to the question how old it is."""

    def handle(connection: socket.socket) -> None:
        request = with_body(connection, request_of(connection))
        connection.sendall(reply(status, age) if "timestamp" in request else reply(200, success(vector("1"))))

    return int(serve(handle))


def test_how_old_it_is_is_asked_when_somebody_wants_to_know(serve: Any, probe_of: Any) -> None:
    port = aging(serve, success([{"metric": {"n": "0"}, "value": [NOW, "7"]}]))
    assert "age" not in prometheus.measure(options(port), probe_of())
    assert prometheus.measure(options(port), probe_of(wanted=frozenset(["age"])))["age"] == 7
    measures = prometheus.measure(options(port, max_age="5 s"), probe_of())
    assert measures["age"] == 7 and "7 s old" in measures["value"].reason
    assert prometheus.measure(options(port, max_age="5 s", source="other"), probe_of())["value"].reason.startswith("the newest sample behind")


@pytest.mark.parametrize(
    ("status", "body", "more", "error", "words"),
    [
        (400, failure("bad_data", "ranges only allowed"), {}, InvalidInput, "calculated value"),
        (400, failure("bad_data", "ranges only allowed"), {"source": "sum(x)"}, InvalidInput, "not a plain selector"),
        (200, success([]), {"source": "x"}, RunbookError, "the age of x is not known: the query gave no series"),
    ],
)
def test_an_age_that_is_not_known(status: int, body: bytes, more: dict[str, Any], error: Any, words: str, serve: Any, probe: Any) -> None:
    with pytest.raises(error, match=words):
        prometheus.measure(options(aging(serve, body, status), max_age="5 s", **more), probe)


def test_what_is_no_list_of_targets(posting: Any, probe: Any) -> None:
    port, _requests = posting({"/-/ready": reply(200), "/api/v1/targets?state=active": reply(200, success([]))})
    with pytest.raises(VerifyFailed, match="not that of its API"):
        prometheus.measure(options(port, query=None), probe)


@pytest.mark.parametrize(
    "more",
    [
        {"range": "10"}, {"range": "0 s"}, {"range": "1 min", "step": "2 min"}, {"range": "30 d", "step": "1 s"}, {"step": "5 s"}, {"min_samples": 3},
        {"range": "1 min", "min_samples": 4}, {"range": "1 min", "min_samples": -1}, {"max_age": "5"}, {"unit": "sec"}, {"expect": {"value": {"a": "b"}}},
        {"expect": {"a": "b"}}, {"expect": {"a": {}}}, {"expect": {"a": {"b": 5}}}, {"query": None, "max_age": "5 s"},
        {"query": None, "expect": {"a": {"b": "c"}}},
    ],
)
def test_mistakes(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        prometheus.dynamic_measures(options(1, **more))


def test_units() -> None:
    assert prometheus.dynamic_measures(options(1, unit="s", expect={"api": {"job": "api"}})) == {"value": "s", "min": "s", "max": "s", "api": "s"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9090/graph?g0.expr=up", "http://127.0.0.1:9090/#x"])
def test_an_address_that_is_not_a_base(url: str, probe: Any) -> None:
    with pytest.raises(InvalidInput, match="has a query"):
        prometheus.measure(options(1, url=url), probe)


def target(health: str, job: str = "app") -> dict[str, Any]:
    return {"health": health, "labels": {"job": job, "instance": "i"}, "lastError": "secret-word"}


@pytest.mark.parametrize(
    ("targets", "down"),
    [([target("up")], "none"), ([target("up"), target("down", "db")], "db i (down)"), ([target("unknown")], "app i (unknown)"), ([], "none")],
)
def test_targets(targets: list[Any], down: str, posting: Any, probe: Any) -> None:
    body = json.dumps({"status": "success", "data": {"activeTargets": targets, "droppedTargets": []}}).encode()
    port, requests = posting({"/-/ready": reply(503), "/api/v1/targets?state=active": reply(200, body)})
    found = prometheus.measure(options(port, query=None), probe)
    assert (found["ready"], found["targets"], found["down"]) == (False, len(targets), down) and "secret-word" not in str(found)
    assert [request.split(" ")[0] for request in requests] == ["GET", "GET"]
