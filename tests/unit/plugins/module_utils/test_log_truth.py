# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scanner, which works in bulk on masked lines, against a slow reading of the same log line by line."""

from __future__ import annotations

import json
import random
import re
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.log_formats import Clock, parse_format
from ansible_collections.tradeops.runbook.plugins.module_utils._core.log_report import Read, measures_of, report_of, wanted_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.log_scan import Scanner
from ansible_collections.tradeops.runbook.plugins.module_utils._core.log_window import Window

PATTERNS: dict[str, Any] = {
    "errors": " - (ERROR|CRITICAL) - ",
    "digits": "code=50[23]",
    "space": r"retry\s+attempt",
    "negated": "user=[^ ]+ x",
    "beginning": "^2026",
    "end": "done$",
    "hexadecimal": "dead|face",
    "lookahead": "foo(?!bar)",
    "anything": ".*timeout.*ms",
    "case": {"match": "WARNing", "ignore_case": True},
}
BODIES = [
    "code=%d", "retry attempt", "retry  attempt x", "user=a%d x", "done", "dead beef", "face", "uuid 12ab34cd-dead-beef-face-0123456789ab",
    "foobar", "foo bar", "timeout 5 ms", "warning", "\x1b[31m red", "nul\0", "deadface12 q", "abcdef12", "\u202egnp.exe",
]  # fmt: skip
STRAY = [b"Traceback code=502", b"  File", b"", b"\xff\xfe dead", b"2026-13-45 99:99 bad", b"retry", b"\tattempt"]
STAMP = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d(?:[.,]\d+)?))?")


def options(**given: Any) -> dict[str, Any]:
    base = {"format": "python", "timezone": "UTC", "patterns": PATTERNS, "extract": {}, "benign": [], "leaks": True, "top": 20, "samples": 3, "context": 1}
    return {**base, **given}


def scan(data: bytes, window: Window, given: dict[str, Any], sizes: Any = lambda: 1 << 20) -> Scanner:
    scanner = Scanner(parse_format(given["format"]), Clock(given["timezone"], window.end), window, wanted_of(given))
    scanner.begin("app.log")
    position = 0
    while position < len(data):
        size = sizes()
        scanner.feed(data[position : position + size])
        position += size
    assert scanner.finish(complete=True) == 0
    return scanner


def instant(line: bytes, zone: ZoneInfo, previous: float | None) -> float | None:
    """When a line was written; in the hour that is repeated, the one nearer to the line before."""
    found = STAMP.match(line)
    try:
        moment = datetime(*(int(part) for part in found.groups()[:5])) if found else None
    except ValueError:
        return None
    if found is None or moment is None:
        return None
    moment += timedelta(seconds=float((found.group(6) or b"0").replace(b",", b".")))
    early, late = (moment.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return min((early, late), key=lambda at: abs(at - previous)) if previous is not None and early < late else early


def truth(lines: list[bytes], window: Window, zone: ZoneInfo) -> dict[str, int]:
    """Every figure, line by line."""
    found = dict.fromkeys(("lines", "entries", "unparsed", *PATTERNS), 0)
    place: float | None = None
    for line in lines:
        moment = instant(line, zone, place)
        place = place if moment is None else moment
        if place is None:
            found["unparsed"] += 1
        elif window.start <= place <= window.end:
            found["lines"] += 1
            found["entries"] += moment is not None
            for name, given in PATTERNS.items():
                text, flags = (given, 0) if isinstance(given, str) else (given["match"], re.IGNORECASE)
                found[name] += bool(re.search(text.encode(), line, flags | re.MULTILINE))
    return found


def generate(chance: random.Random, start: float, zone: ZoneInfo) -> list[bytes]:
    """Entries out of order, tracebacks, rubbish; gaps from none to minutes."""
    lines, at = [], start
    for _number in range(chance.randrange(1, 300)):
        at += chance.choice([0, 0.5, 1, 30, 61, 400])
        stamp = datetime.fromtimestamp(at - chance.choice([0, 0, 0, 5, 90]), zone).strftime("%Y-%m-%d %H:%M:%S")
        body = chance.choice([*BODIES, f"id={chance.getrandbits(32):08x} end", "x" * chance.randrange(50)])
        body = body % chance.randrange(498, 506) if "%d" in body else body
        level = chance.choice(["ERROR", "INFO", "CRITICAL", "WARNING"])
        lines.append(f"{stamp},{chance.randrange(1000):03d} - a.b - {level} - {body}".encode())
        if chance.random() < 0.15:
            lines.append(chance.choice(STRAY))
    return lines


STARTS = {"autumn": (2026, 11, 1, 4, 30), "spring": (2026, 3, 8, 6, 0), "new year": (2026, 12, 31, 23, 0)}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("season", STARTS)
def test_every_figure_is_that_of_a_slow_reading(seed: int, zone: str, season: str) -> None:
    chance, place = random.Random(f"{seed} {season}"), ZoneInfo(zone)
    start = datetime(*STARTS[season], tzinfo=timezone.utc).timestamp()
    lines = ([b"no stamp yet", b""] if seed % 3 == 0 else []) + generate(chance, start, place)
    window = Window(start + chance.choice([-1e4, 0, 777.5]), start + chance.choice([3000, 20000, 60000]))
    scanner = scan(b"\n".join(lines) + b"\n", window, options(timezone=zone), lambda: chance.choice([1, 7, 100, 5000]))
    counts = scanner.tally.counts
    found = {name: counts[name] for name in ("lines", "entries", "unparsed")}
    found |= {name: sum(series) for name, series in zip(PATTERNS, scanner.tally.patterns)}
    assert found == truth(lines, window, place)
    assert sum(scanner.tally.entries) == counts["entries"] == sum(known[0] for known in scanner.tally.signatures.values())
    assert counts["bytes"] == sum(len(line) + 1 for line in lines)


NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc).timestamp()
WINDOW = Window(NOW - 3600, NOW)


def entry(body: str | bytes, level: str = "INFO", minute: int = 0) -> bytes:
    return f"2026-11-20 11:{minute:02d}:00,000 - a - {level} - ".encode() + (body if isinstance(body, bytes) else body.encode()) + b"\n"


def test_percentiles_are_those_of_sort() -> None:
    values = [round(random.Random(number).expovariate(1), 3) for number in range(2000)]
    data = b"".join(entry(f"completed in {value:.3f} s") for value in values)
    given = options(patterns={}, extract={"completed": {"match": "completed in ([0-9.]+)", "unit": "s"}})
    read = Read(WINDOW, scan(data, WINDOW, given).tally, NOW)
    ordered = sorted(values)
    found = measures_of(given, read)
    for name, share in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
        assert found[f"completed.{name}"] == ordered[-(-len(ordered) * share // 100) - 1]
    assert found["completed.count"] == 2000


@pytest.mark.parametrize("place", [0, 4090, 1 << 20, 5_000_000, 9_999_990], ids=str)
def test_a_line_of_ten_megabytes_is_searched_whole_and_kept_in_no_part(place: int) -> None:
    body = bytearray(b"x" * 10_000_000)
    body[place : place + 7] = b" wolf 7"
    data = entry("before") + entry(bytes(body), minute=1) + entry("after wolf 8", minute=2)
    given = options(patterns={"words": "wolf", "digits": "wolf 7"})
    scanner = scan(data, WINDOW, given, lambda: 65536)
    assert [sum(series) for series in scanner.tally.patterns] == [2, 1]
    assert scanner.tally.counts["lines"] == 3
    assert scanner.tally.counts["bytes"] == len(data)
    assert len(json.dumps(report_of(given, Read(WINDOW, scanner.tally, NOW)))) < 20000


def test_an_unfinished_line_is_given_back() -> None:
    scanner = Scanner(parse_format("python"), Clock("UTC", NOW), WINDOW, wanted_of(options()))
    scanner.feed(entry("one") + b"2026-11-20 11:00:00,000 - half")
    assert scanner.finish(complete=False) == 30
    assert scanner.tally.counts["lines"] == 1


SECRETS = [
    "X-Admin-Token: abcdef123456", "Authorization: Bearer abc.def-12345678", 'login {"password": "hunter2hunter"}', "api_key=9f8e7d6c5b4a",
    "redis://user:s3cr3tpw@cache:6379/0", "AKIAABCDEFGHIJKLMNOP used", "-----BEGIN RSA PRIVATE KEY-----", "db_password=correcthorse",
]  # fmt: skip
VALUES = ["abcdef123456", "abc.def-12345678", "hunter2hunter", "9f8e7d6c5b4a", "s3cr3tpw", "AKIAABCDEFGHIJKLMNOP", "BEGIN RSA", "correcthorse"]


def test_secrets_are_found_and_shown_nowhere() -> None:
    given = options(patterns={"all": "."})
    scanner = scan(b"".join(map(entry, SECRETS)), WINDOW, given)
    text = json.dumps(report_of(given, Read(WINDOW, scanner.tally, NOW)))
    assert scanner.tally.counts["secret_lines"] == len(SECRETS)
    assert [value for value in VALUES if value in text] == []


@pytest.mark.parametrize("text", ["secret: rotated", "token expired", "password required", "api_key=None", "password=***", "secret: kept in the vault"])
def test_prose_is_no_secret(text: str) -> None:
    assert scan(entry(text), WINDOW, options()).tally.counts["secret_lines"] == 0


def test_what_people_see_moves_no_cursor_and_ends_no_line() -> None:
    """F077: an attacker's bytes reach the report as text."""
    given = options(patterns={"all": "."}, context=5)
    scanner = scan(b"".join(entry(b"\x1b[2J\x00\x07\xe2\x80\xae\xc2\x85\xff%d\r" % number) for number in range(9)), WINDOW, given)
    report = report_of(given, Read(WINDOW, scanner.tally, NOW))
    found = [report["patterns"]["all"]["samples"], report["signatures"]]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", json.dumps(found, ensure_ascii=False))


def test_parts_counted_by_several_processes_are_the_whole() -> None:
    given = options(extract={"n": {"match": "n=([0-9]+)", "unit": "count"}})
    lines = [entry(f"n={number} retry  attempt password=abc{number}def", "ERROR", number % 60) for number in range(500)]
    whole = scan(b"".join(lines), WINDOW, given).tally
    first, second = (scan(b"".join(part), WINDOW, given).tally for part in (lines[:200], lines[200:]))
    total = scan(b"", WINDOW, given).tally
    for part in (first, second):
        total.merge(json.loads(json.dumps(part.data())))
    reports = [report_of(given, Read(WINDOW, tally, NOW)) for tally in (whole, total)]
    for report in reports:
        for pattern in report["patterns"].values():
            pattern["samples"] = len(pattern["samples"])
    assert reports[0] == reports[1]


@pytest.mark.parametrize("form, line, level", [
    ("compliance", b"2026-11-20 11:30:00,123 | WARNING | SAFETY_VIOLATION x", "WARNING"),
    ("compliance", b"2026-11-20T06:30:00-05:00 | INFO | USER_ACTION", "INFO"),
    ("access", b'10.0.0.1 - - [20/Nov/2026:11:30:00 +0000] "GET / HTTP/1.1" 200 5', ""),
    ("access", b'10.0.0.1 - bob [20/Nov/2026:06:30:00 -0500] "GET / HTTP/1.1" 200 5', ""),
    ("syslog", b"Nov 20 11:30:00 host sshd[12]: Failed password for root", ""),
    ("syslog", b"2026-11-20T11:30:00.123456+00:00 host sshd[12]: Failed password for root", ""),
    ("pino", b'{"level":50,"time":1795174200123,"msg":"boom"}', "ERROR"),
    ("pino", b'{"level":30,"time":"2026-11-20T11:30:00.123Z","msg":"fine"}', "INFO"),
    ("json", b'{"timestamp": "2026-11-20T11:30:00+00:00", "level": "ERROR", "message": "boom"}', "ERROR"),
    ("iso", b"2026-11-20T11:30:00.123456789Z out", ""),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_formats(form: str, line: bytes, level: str) -> None:
    tally = scan(line + b"\n", WINDOW, options(format=form)).tally
    assert tally.counts["entries"] == 1
    assert tally.levels == {level: 1}
    assert tally.newest == pytest.approx(NOW - 1800, abs=1)
    assert tally.entries[30] == 1


def test_a_december_stamp_read_in_january_is_last_years() -> None:
    now = datetime(2027, 1, 1, 0, 10, tzinfo=timezone.utc).timestamp()
    tally = scan(b"Dec 31 23:59:00 host x: y\nJan  1 00:01:00 host x: z\n", Window(now - 3600, now), options(format="syslog")).tally
    assert tally.counts["entries"] == 2


def test_percentiles_of_very_many_values_stay_near_and_say_so() -> None:
    """Beyond the limit values are rounded, in one process or in several."""
    given = options(patterns={}, extract={"n": {"match": "n=([0-9.]+)", "unit": "number"}})
    lines = [entry(f"n={number + 0.123456}") for number in range(60000)]
    parts = [scan(b"".join(part), WINDOW, given).tally for part in (lines[:55000], lines[55000:])]
    total = scan(b"", WINDOW, given).tally
    for part in parts:
        total.merge(json.loads(json.dumps(part.data())))
    found = total.values[0].summary()
    assert found["approximate"] is True and found["count"] == 60000
    assert found["p95"] == pytest.approx(57000, rel=0.001)
