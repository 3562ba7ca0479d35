# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: whatever is done to what is stored is found; a crash is told from tampering."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import (
    Chain,
    Event,
    canonical,
    decode,
    encode,
    key_id,
    make_seal,
    parse_anchor,
    parse_journal,
    verify_events,
    verify_seals,
)

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
AT = "2026-11-20T02:15:00.000Z"


def events_of(run_id: str, count: int = 3) -> list[Event]:
    chain = Chain(run_id)
    return [chain.next("step", AT, {"number": number, "host": "app", "message": "é\n\x1b[31m\u202e"}) for number in range(count)]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda rows: rows[1]._replace(body=None), "body_missing"),
        (lambda rows: rows[1]._replace(body="{}"), "event_changed"),
        (lambda rows: rows[1]._replace(seq=7), "order_changed"),
        (lambda rows: rows[1]._replace(prev="0" * 64), "chain_broken"),
        (lambda rows: rows[1]._replace(body=b"\xff", at=None), "event_changed"),
    ],
)
def test_problems_say_what_and_where(change: Any, kind: str) -> None:
    rows = events_of("r")
    rows[1] = change(rows)
    problems = verify_events("r", rows)
    assert problems[0].kind == kind
    assert problems[0].where == "run r event 2"
    assert problems[0].level == "critical"


def test_a_clock_that_goes_back_is_a_warning_and_nothing_more() -> None:
    chain = Chain("r")
    rows = [chain.next("a", at, {}) for at in ("2026-11-20T02:15:00Z", "2026-11-20T02:00:00Z", "2026-11-20T02:15:01Z")]
    assert [(problem.kind, problem.level, problem.where) for problem in verify_events("r", rows)] == [("time_went_back", "warning", "run r event 2")]


def test_time_synchronisation_is_no_problem() -> None:
    chain = Chain("r")
    assert verify_events("r", [chain.next("a", at, {}) for at in ("2026-11-20T02:15:00.900Z", "2026-11-20T02:15:00.100Z")]) == []


def journal_of(run_id: str, count: int = 3) -> bytes:
    return "".join(f"{encode(event)}\n" for event in events_of(run_id, count)).encode()


def test_a_crash_in_the_middle_of_a_line_is_torn() -> None:
    raw = journal_of("r")
    second = raw.index(b"\n", raw.index(b"\n") + 1)
    for cut in range(second + 2, len(raw)):
        found = parse_journal("r", raw[:cut])
        assert (len(found.events), found.rest, found.torn) == (2, raw[second + 1 : cut], True)
    assert parse_journal("r", raw) == (events_of("r"), b"", False)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[0], lines[2], lines[1]],
        lambda lines: [lines[0], lines[0], lines[1], lines[2]],
        lambda lines: [lines[0], lines[1].replace(b"app", b"apt"), lines[2]],
        lambda lines: [lines[0], lines[1].replace(b'": "', b'":  "', 1), lines[2]],
        lambda lines: [lines[0], lines[1][:-1] + b', "more": 1}', lines[2]],
        lambda lines: [lines[0], b"\xff\xfe", lines[2]],
        lambda lines: [lines[0], b"[]", lines[2]],
        lambda lines: [lines[0], b"[" * 100_000, lines[2]],
        lambda lines: [lines[0], b"", lines[1], lines[2]],
    ],
)
def test_a_change_in_the_middle_is_not_torn(change: Callable[[list[bytes]], list[bytes]]) -> None:
    raw = b"".join(line + b"\n" for line in change(journal_of("r").splitlines()))
    found = parse_journal("r", raw)
    assert (len(found.events), found.torn) == (1, False)
    assert journal_of("r", 1) + found.rest == raw


def test_the_journal_of_another_run_has_no_sound_event() -> None:
    assert parse_journal("other", journal_of("r")).events == []


def test_one_event_is_one_line_of_plain_characters() -> None:
    line = encode(events_of("r", 1)[0])
    assert line.isascii() and line.isprintable()
    assert list(json.loads(line)) == ["seq", "at", "type", "body_hash", "prev", "hash", "body"]
    assert json.loads(json.loads(line)["body"])["message"] == "é\n\x1b[31m\u202e"


def test_a_line_with_another_key_is_refused() -> None:
    with pytest.raises(VerifyFailed):
        decode('{"seq": 1}')


def test_a_chain_goes_on_after_its_last_event() -> None:
    known = events_of("r", 4)
    assert Chain("r", known[2]).next("step", AT, known[3].data()) == known[3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Chain("r").next("a\nb", AT, {}),
        lambda: Chain("r").next("a", f"{AT}\n", {}),
        lambda: make_seal(KEY, None, "r", [], AT),
        lambda: make_seal(KEY, None, "r\n1", events_of("r"), AT),
    ],
)
def test_what_would_blur_the_hashes_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInput):
        make()


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"value": float("nan")})


def test_the_name_of_a_key_does_not_hold_the_key() -> None:
    assert key_id(KEY) != key_id(OTHER_KEY)
    assert KEY.hex()[:16] not in key_id(KEY)


def test_a_seal_of_another_key_names_both() -> None:
    seals = [make_seal(OTHER_KEY, None, "r", events_of("r"), AT)]
    problem = verify_seals(seals, KEY)[0]
    assert problem.kind == "seal_forged"
    assert key_id(OTHER_KEY) in problem.message and key_id(KEY) in problem.message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12:7f3a9c1e5b20d846", (12, "7f3a9c1e5b20d846")),
        (" 1:ABCDEF0123456789 ", (1, "abcdef0123456789")),
        ({"seq": 3, "mac": "0" * 64, "key_id": "x"}, (3, "0" * 64)),
        ("12:7f3a", None), ("12", None), ("x:7f3a9c1e5b20d846", None), ("0:7f3a9c1e5b20d846", None), ("1:zzzzzzzzzzzzzzzz", None),
        ({"seq": 3}, None), (None, None),
    ],
)  # fmt: skip
def test_anchors_are_read_as_they_are_shown(value: Any, expected: Any) -> None:
    if expected:
        assert parse_anchor(value) == expected
    else:
        with pytest.raises(InvalidInput):
            parse_anchor(value)


texts = st.text(max_size=20)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8)
bodies = st.lists(st.dictionaries(texts, values, max_size=4), min_size=1, max_size=5)


@given(bodies)
@settings(deadline=None)
def test_what_is_written_is_what_is_read(data: list[dict[str, Any]]) -> None:
    chain = Chain("r")
    written = [chain.next("step", AT, body) for body in data]
    raw = "".join(f"{encode(event)}\n" for event in written).encode()
    assert parse_journal("r", raw) == (written, b"", False)
    assert verify_events("r", written, make_seal(KEY, None, "r", written, AT)) == []
    assert [event.data() for event in written] == [json.loads(json.dumps(body)) for body in data]


@given(bodies, st.data())
@settings(deadline=None)
def test_any_other_value_in_any_column_is_found(data: list[dict[str, Any]], draw: Any) -> None:
    chain = Chain("r")
    rows = [chain.next("step", AT, body) for body in data]
    seal = make_seal(KEY, None, "r", rows, AT)
    place, field = draw.draw(st.integers(0, len(rows) - 1)), draw.draw(st.sampled_from(Event._fields))
    value = draw.draw(st.text() | st.integers() | st.none() | st.binary(max_size=8))
    old = rows[place]
    if str(getattr(old, field)) != str(value):
        rows[place] = old._replace(**{field: value})
        assert verify_events("r", rows, seal)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    found = parse_journal("r", journal_of("r", 1) + raw)
    assert len(found.events) == 1
    assert found.rest == raw
