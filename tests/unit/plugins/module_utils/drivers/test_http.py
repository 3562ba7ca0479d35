# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real answers on loopback: what is measured, what is read out of JSON, where a request is never led."""

from __future__ import annotations

import gzip
import json
import math
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, MissingLibrary, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import parse_limits
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Probe, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import judge_measures
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _connect, _http_request, http
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import KINDS

from .exchange import options, reply, request_of

NOW = 1763604900.0  # 2025-11-20T02:15:00Z


@pytest.fixture
def answering(serve: Any) -> Callable[..., tuple[int, list[str]]]:
    """A server that gives the answer of each path, or one answer to all; its port, and the requests it gets."""

    def start(answers: bytes | dict[str, bytes]) -> tuple[int, list[str]]:
        requests: list[str] = []

        def handle(connection: socket.socket) -> None:
            request = request_of(connection)
            if request:
                requests.append(request)
                connection.sendall(answers if isinstance(answers, bytes) else answers.get(request.split(" ")[1], reply(404)))

        return int(serve(handle)), requests

    return start


def read(answering: Any, probe: Probe, body: bytes, reading: dict[str, Any]) -> dict[str, Any]:
    measured: dict[str, Any] = http.measure(options(answering(reply(200, body))[0], read=reading), probe)
    return measured


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 403, 404, 429, 500, 503])
def test_what_is_measured(status: int, answering: Any, probe: Probe) -> None:
    body = b"" if status in (204, 304) else b"12345"
    port, requests = answering(reply(status, body))
    measures = http.measure(options(port, "/a?b=c"), probe)
    assert 0 < measures.pop("latency") < 5
    assert measures == {"status_code": status, "size": len(body)}
    assert requests[0].startswith("GET /a?b=c HTTP/1.1\r\n") and f"Host: 127.0.0.1:{port}\r\n" in requests[0]
    http.measure(options(port, ""), probe)
    assert requests[1].startswith("GET / HTTP/1.1\r\n")


def test_head_asks_for_no_body(answering: Any, probe: Probe) -> None:
    port, requests = answering(reply(200, b"12345").replace(b"12345", b""))
    measures = http.measure(options(port, method="HEAD", read={"a": "b"}), probe)
    assert (measures["status_code"], measures["size"], requests[0].split(" ")[0]) == (200, 0, "HEAD")
    assert isinstance(measures["a"], Unmeasured)


def test_fields_are_sent_once_each(answering: Any, probe: Probe) -> None:
    port, requests = answering(reply())
    given, secret = {"X-Api-Key": "a", "user-agent": "mine", "HOST": "example"}, {"Authorization": "Bearer s", "X-N": 5}
    http.measure(options(port, headers=given, secret_headers=secret), probe)
    names = [line.split(":")[0].lower() for line in requests[0].splitlines()[1:] if line]
    assert len(names) == len(set(names))
    for field in ("X-Api-Key: a", "user-agent: mine", "HOST: example", "Authorization: Bearer s", "X-N: 5", "Connection: close"):
        assert f"{field}\r\n" in requests[0]


@pytest.mark.parametrize("headers", [{"X": "a\r\nEvil: 1"}, {"X": "a\nEvil: 1"}, {"X\r\nEvil": "1"}, {"X: 1\r\nEvil": "1"}, {"X": "\u20ac"}, {"": "x"}])
@pytest.mark.parametrize("where", ["headers", "secret_headers"])
def test_nothing_is_smuggled_into_a_request(headers: dict[str, str], where: str, answering: Any, probe: Probe) -> None:
    port, requests = answering(reply())
    with pytest.raises(InvalidInput, match="cannot be sent"):
        http.measure(options(port, **{where: headers}), probe)
    assert not requests


JSON = {"status": "ok", "ms": 12.5, "n": None, "text": "12,5", "zero": 0, "list": [1, 2], "deep": {"a": [{"b": True}]}, "big": 10**400, "empty": []}


@pytest.mark.parametrize(
    ("path", "value"),
    [("status", "ok"), ("ms", 12.5), ("n", None), ("text", "12,5"), ("zero", 0), ("list", [1, 2]), ("deep.a[0].b", True), ("missing", None),
     ("deep.missing.b", None), ("length(list)", 2), ("list[?@ > `1`]", [2]), ("big", 10**400)],
)  # fmt: skip
def test_reading_json(path: str, value: Any, answering: Any, probe: Probe) -> None:
    assert read(answering, probe, json.dumps(JSON).encode(), {"x": path})["x"] == value
    assert read(answering, probe, json.dumps(JSON).encode(), {"x": {"path": path, "unit": "s"}})["x"] == value


@pytest.mark.parametrize("text", ["null", '"12,5"', '"5"', "NaN", "Infinity", "-Infinity", "true", "[5]", "{}", "1e999", "1" + "0" * 400])
def test_what_is_no_number_is_unknown_in_the_end(text: str, answering: Any, probe: Probe) -> None:
    measures = read(answering, probe, f'{{"x": {text}}}'.encode(), {"x": "x"})
    verdict = judge_measures(measures, {"x": "number"}, parse_limits({"x": {"critical": "> 100"}}, {"x": "number"}), {})
    assert verdict["status"] == "unknown"
    json.dumps(verdict, allow_nan=False)


@pytest.mark.parametrize(
    "body",
    [b"<html>secret-word</html>", b"", b"{", b'{"a": 1} x', gzip.compress(b'{"a": 1}', mtime=0), b"\xff\xfe\xff",
     b"[" * 100000, b'{"a": ' + b"1" * 5000 + b"}", b"'a'"],
)
def test_what_is_no_json_is_not_measured(body: bytes, answering: Any, probe_of: Any) -> None:
    probe = probe_of(wanted=frozenset(["a.age", "b.count"]))
    measures = read(answering, probe, body, {"a": "a", "b": "b"})
    assert measures["status_code"] == 200 and set(measures) == {"status_code", "latency", "size", "a", "b", "a.age", "b.count"}
    reasons = {value.reason for value in measures.values() if isinstance(value, Unmeasured)}
    assert len(reasons) == 1 and "not JSON" in reasons.pop() and "secret-word" not in str(measures)


@pytest.mark.parametrize("body", [b'{"a": 1}', b'\xef\xbb\xbf{"a": 1}', '{"a": 1}'.encode("utf-16"), b' {"b": 2, "a": 0, "a": 1}\n'])
def test_other_ways_to_write_json(body: bytes, answering: Any, probe: Probe) -> None:
    assert read(answering, probe, body, {"a": "a"})["a"] == 1


def test_an_expression_that_does_not_fit_costs_no_other_verdict(answering: Any, probe_of: Any) -> None:
    port, _requests = answering(reply(500, b'{"a": 5}'))
    reading = {"count": "length(orders)", "x": "a[", "a": "a"}
    measures = http.measure(options(port, read=reading), probe_of(wanted=frozenset(["count.age"])))
    assert (measures["status_code"], measures["a"]) == (500, 5)
    assert isinstance(measures["count"], Unmeasured) and isinstance(measures["x"], Unmeasured) and measures["count.age"] == measures["count"]


@pytest.mark.parametrize(
    ("value", "zone", "age"),
    [
        ("2025-11-20T02:14:00Z", "", 60),
        ("2025-11-20T03:14:00+01:00", "", 60),
        ("2025-11-20 02:14:00.5+00:00", "", 59.5),
        ("2025-11-19T21:14:00", "America/New_York", 60),
        (1763604840, "", 60),
        (1763604840000, "", 60),
        (1763604840.25, "", 59.75),
        ("2025-11-20T02:15:30Z", "", -30),
        ("2025-11-20T02:16:01Z", "", "in the future"),
        (1763604840000000, "", "in the future"),
        ("2025-11-20T02:14:00", "", "time zone"),
        ("2025-11-20T02:14:00", "Mars/Olympus", "time zone"),
        ("1763604840", "", "not a point in time"),
        (None, "", "not a point in time"),
        (True, "", "not a point in time"),
        (0, "", "not a point in time"),
        (math.nan, "", "not a point in time"),
        ([], "", "not a point in time"),
        ("yesterday", "", "not a point in time"),
    ],
)
def test_how_old_something_is(value: Any, zone: str, age: Any, answering: Any, probe_of: Any) -> None:
    reading = {"last": {"path": "last", "timezone": zone} if zone else "last"}
    found = read(answering, probe_of(now=NOW, wanted=frozenset(["last.age"])), json.dumps({"last": value}).encode(), reading)["last.age"]
    if isinstance(age, str):
        assert isinstance(found, Unmeasured) and age in found.reason
    else:
        assert found == pytest.approx(age)


@pytest.mark.parametrize(("value", "count"), [([], 0), ([1, 2], 2), ({"a": 1}, 1), (None, None), ("abc", None), (5, None)])
def test_how_many_there_are(value: Any, count: Any, answering: Any, probe_of: Any) -> None:
    found = read(answering, probe_of(wanted=frozenset(["x.count"])), json.dumps({"x": value}).encode(), {"x": "x"})
    assert found["x.count"] == count or (count is None and isinstance(found["x.count"], Unmeasured))
    assert "x.age" not in found, "only what has a limit is derived"


@pytest.mark.parametrize(
    "reading",
    [None, 5, "", [], {}, {"path": ""}, {"path": "a", "zone": "UTC"}, {"path": 5}, {"path": "a", "timezone": 5}, {"path": "a", "unit": "sec"}, {"unit": "s"}],
)
def test_mistakes_in_what_to_read(reading: Any) -> None:
    with pytest.raises(InvalidInput, match="http: read: x"):
        http.dynamic_measures({"read": {"x": reading}})


@pytest.mark.parametrize("name", ["latency", "status_code", "size"])
def test_what_is_read_hides_nothing_that_is_measured(name: str) -> None:
    with pytest.raises(InvalidInput, match="measured anyway"):
        http.dynamic_measures({"read": {name: "a"}})


def test_without_the_library(answering: Any, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(MissingLibrary) as caught:
        read(answering, probe, b"{}", {"a": "a"})
    assert caught.value.package == "python3-jmespath"
    assert http.measure(options(answering(reply(200, b"{}"))[0]), probe)["status_code"] == 200


@pytest.mark.parametrize("location", ["/final", "final?x=1", "//127.0.0.1:{port}/final", "http://127.0.0.1:{port}/final"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_on_the_same_host(location: str, status: int, answering: Any, probe: Probe) -> None:
    answers = {"/final": reply(200, b"there"), "/final?x=1": reply(200, b"there")}
    port, requests = answering(answers)
    answers["/health"] = reply(status, Location=location.format(port=port))
    measures = http.measure(options(port, headers={"X": "1"}), probe)
    assert (measures["status_code"], measures["size"], len(requests)) == (200, 5, 2)
    assert requests[1].startswith("GET /final") and "X: 1" in requests[1]


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:{port}/", "http://127.0.0.1:1/", "http://localhost:{port}/", "//169.254.169.254/latest/meta-data", "https://user:pw@127.0.0.1:{port}/",
     "ftp://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "/a b", "/health"],
)  # fmt: skip
def test_redirects_that_are_not_followed(location: str, answering: Any, probe: Probe) -> None:
    answers: dict[str, bytes] = {}
    port, requests = answering(answers)
    answers["/health"] = reply(302, Location=location.format(port=port))
    with pytest.raises(VerifyFailed, match="redirect"):
        http.measure(options(port, secret_headers={"X": "secret"}), probe)
    assert len(requests) == (4 if location == "/health" else 1), "at most three are followed"


@pytest.mark.parametrize("answer", [reply(302), reply(201, Location="/other"), reply(200, Location="http://127.0.0.2/"), reply(304, Location="/other")])
def test_what_is_no_redirect(answer: bytes, answering: Any, probe: Probe) -> None:
    port, requests = answering(answer)
    assert http.measure(options(port), probe)["status_code"] == int(answer[9:12]) and len(requests) == 1


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_ports_that_need_not_be_named(scheme: str, port: int, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def lookup(host: str, number: int, **_options: Any) -> list[Any]:
        asked.append((host, number))
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(_connect, "lookup", lookup)
    with pytest.raises(Unreachable):
        http.measure(options(0, url=f"{scheme}://api.example"), probe)
    assert asked == [("api.example", port)]


@pytest.mark.parametrize(("status", "location", "verdict"), [
    (401, "", "ok"), (403, "", "ok"), (200, "", "critical"), (302, "/login", "critical"), (302, "", "critical"), (404, "", "critical"), (500, "", "critical"),
])  # fmt: skip
def test_what_must_be_refused(status: int, location: str, verdict: str, answering: Any, probe: Probe) -> None:
    port, _requests = answering({"/health": reply(status, **({"Location": location} if location else {})), "/login": reply(200, b"<form>")})
    given = options(port, expect_refused=True)
    units = KINDS["http"].units(given)
    found = judge_measures(http.measure(given, probe), units, parse_limits(KINDS["http"].defaults(given), units), {})
    assert found["status"] == verdict


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:{port}", "127.0.0.1", "ftp://127.0.0.1:{port}/", "file:///etc/passwd", "http://", "http:///path", "http://[::1", "http://127.0.0.1:x/",
     "http://127.0.0.1:99999/", "http://127.0.0.1:0/", "http://127.0.0.1:{port}/a b", "http://127.0.0.1:{port}/a\r\nX: 1", " http://127.0.0.1:{port}/",
     "http://user:pw@127.0.0.1:{port}/", "http://user@127.0.0.1:{port}/", "http://:pw@127.0.0.1:{port}/", "http://@127.0.0.1:{port}/",
     "http://127.0.0.1:{port}/\u00fc", "http://a..b/", "http://" + "a" * 300 + "/"],
)  # fmt: skip
def test_no_addresses(url: str, answering: Any, probe: Probe) -> None:
    port, requests = answering(reply())
    with pytest.raises(InvalidInput):
        http.measure(options(port, url=url.format(port=port)), probe)
    assert not requests


@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"])
def test_metadata_services_are_never_asked(address: str, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9)), (family, socket.SOCK_STREAM, 6, "", (address, 80))]
    monkeypatch.setattr(_connect, "lookup", lambda *_arguments, **_options: found)
    monkeypatch.setattr(_http_request, "connect", lambda *_arguments: pytest.fail("connected"))
    for host in ("innocent.example", f"[{address}]" if ":" in address else address):
        with pytest.raises(InvalidInput, match="never requested"):
            http.measure(options(0, url=f"http://{host}/"), probe)


@pytest.mark.parametrize("host", ["[2001:db8::abcd]", "[2001:db8::8]", "[::ffff:192.0.2.1]", "api.example"])
def test_every_kind_of_host(host: str, answering: Any, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    port, requests = answering(reply())
    monkeypatch.setattr(_connect, "lookup", lambda *_arguments, **_options: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))])
    assert http.measure(options(port, url=f"http://{host}:{port}/"), probe)["status_code"] == 200
    assert f"Host: {host}:{port}\r\n" in requests[0]
