# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: whatever is done to what is stored is found; a crash is told from tampering."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import (
    Chain,
    Event,
    Seal,
    canonical,
    decode,
    digest,
    encode,
    key_id,
    make_seal,
    parse_anchor,
    parse_journal,
    verify_events,
    verify_runs,
    verify_seals,
)

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
AT = "2026-11-20T02:15:00.000Z"
MUTATIONS = 10_000


def events_of(run_id: str, count: int = 3) -> list[Event]:
    chain = Chain(run_id)
    return [chain.next("step", AT, {"number": number, "host": "app", "message": "é\n\x1b[31m\u202e"}) for number in range(count)]


@dataclass
class Stored:
    """A ledger in the form in which it is stored: rows of two tables, and a journal for each run."""

    seals: list[Seal]
    events: dict[str, list[Event]]
    journals: dict[str, bytes]

    @classmethod
    def make(cls, runs: int = 6, key: bytes = KEY, word: str = "run") -> Stored:
        stored = cls([], {}, {})
        for number in range(runs):
            stored.add(f"{word}-{number}", 3 + number % 4, key)
        return stored

    def add(self, run_id: str, count: int, key: bytes) -> None:
        events = events_of(run_id, count)
        self.seals.append(make_seal(key, self.seals[-1] if self.seals else None, run_id, events, AT))
        self.events[run_id] = events
        self.journals[run_id] = "".join(f"{encode(event)}\n" for event in events).encode()

    def copy(self) -> Stored:
        return Stored(list(self.seals), {run: list(events) for run, events in self.events.items()}, dict(self.journals))

    def kinds(self, anchors: Any = ()) -> set[str]:
        problems = verify_seals(self.seals, KEY, anchors)
        problems += verify_runs(self.seals, lambda run_id: self.events.get(run_id, []), self.events)
        found = {problem.kind for problem in problems}
        for run_id, raw in self.journals.items():
            if raw != "".join(f"{encode(event)}\n" for event in self.events.get(run_id, [])).encode():
                found.add("journal_changed")
        return found


PRISTINE = Stored.make()
ANCHOR = (PRISTINE.seals[-1].seq, PRISTINE.seals[-1].mac)


def other_text(chance: random.Random, text: Any) -> Any:
    """A value that differs from ``text`` by as little as one character."""
    if not isinstance(text, str):
        return text + chance.choice([-1, 1, 10])
    place = chance.randrange(len(text) + 1)
    new = chance.choice(["0", "a", "A", " ", "\n", "\u202e", "\x00", ""])
    changed = text[:place] + new + text[place + chance.randrange(2) :]
    return changed if changed != text else text + "x"


def edit_event(stored: Stored, chance: random.Random) -> None:
    run = chance.choice(list(stored.events))
    place = chance.randrange(len(stored.events[run]))
    event, field = stored.events[run][place], chance.choice(Event._fields)
    stored.events[run][place] = event._replace(**{field: other_text(chance, getattr(event, field))})


def edit_body_and_its_hashes(stored: Stored, chance: random.Random) -> None:
    """A careful forger rehashes the event that was changed."""
    run = chance.choice(list(stored.events))
    place = chance.randrange(len(stored.events[run]))
    event = stored.events[run][place]
    forged = event._replace(body=other_text(chance, event.body))
    forged = forged._replace(body_hash=digest(str(forged.body)))
    text = f"{forged.seq}\n{forged.at}\n{forged.type}\n{forged.body_hash}\n{forged.prev}"
    stored.events[run][place] = forged._replace(hash=digest(text))


def edit_seal(stored: Stored, chance: random.Random) -> None:
    place, field = chance.randrange(len(stored.seals)), chance.choice(Seal._fields)
    seal = stored.seals[place]
    stored.seals[place] = seal._replace(**{field: other_text(chance, getattr(seal, field))})


def delete(stored: Stored, chance: random.Random) -> None:
    rows: list[Any] = chance.choice([stored.seals, *stored.events.values()])
    start = chance.randrange(len(rows))
    del rows[start : start + chance.randrange(1, 4)]


def delete_run(stored: Stored, chance: random.Random) -> None:
    run = chance.choice(list(stored.events))
    del stored.events[run], stored.journals[run]
    if chance.random() < 0.5:
        stored.seals = [seal for seal in stored.seals if seal.run_id != run]


def reorder(stored: Stored, chance: random.Random) -> None:
    rows: list[Any] = chance.choice([stored.seals, *stored.events.values()])
    one, two = chance.sample(range(len(rows)), 2)
    rows[one], rows[two] = rows[two], rows[one]


def exchange_runs(stored: Stored, chance: random.Random) -> None:
    one, two = chance.sample(list(stored.events), 2)
    stored.events[one], stored.events[two] = stored.events[two], stored.events[one]


def insert(stored: Stored, chance: random.Random) -> None:
    """An event that fits on the one before it, and everything after it chained anew."""
    run = chance.choice(list(stored.events))
    place = chance.randrange(len(stored.events[run]) + 1)
    kept = stored.events[run][:place]
    chain = Chain(run, kept[-1] if kept else None)
    tail = [{"forged": True}, *(event.data() for event in stored.events[run][place:])]
    stored.events[run] = kept + [chain.next("step", AT, data) for data in tail]


def duplicate(stored: Stored, chance: random.Random) -> None:
    rows: list[Any] = chance.choice([stored.seals, *stored.events.values()])
    rows.insert(chance.randrange(len(rows) + 1), chance.choice(rows))


def add_unsealed_run(stored: Stored, chance: random.Random) -> None:
    stored.events[f"extra-{chance.randrange(9)}"] = events_of("extra", 2)


def truncate_run(stored: Stored, chance: random.Random) -> None:
    run = chance.choice(list(stored.events))
    del stored.events[run][chance.randrange(len(stored.events[run])) :]


def truncate_ledger(stored: Stored, chance: random.Random) -> None:
    """The newest runs vanish with all their traces: in itself what is left is right."""
    kept = chance.randrange(len(stored.seals))
    for seal in stored.seals[kept:]:
        del stored.events[seal.run_id], stored.journals[seal.run_id]
    del stored.seals[kept:]


def truncate_and_append(stored: Stored, chance: random.Random) -> None:
    """The newest runs are replaced by others: without the key, or, on a controller that was taken over, with it."""
    truncate_ledger(stored, chance)
    key = chance.choice([KEY, OTHER_KEY])
    while len(stored.seals) < len(PRISTINE.seals) + chance.randrange(2):
        stored.add(f"new-{len(stored.seals)}", 3, key)


def rewrite_all(stored: Stored, chance: random.Random) -> None:
    fresh = Stored.make(len(stored.seals), OTHER_KEY, chance.choice(["run", "new"]))
    stored.seals, stored.events, stored.journals = fresh.seals, fresh.events, fresh.journals


def edit_journal(stored: Stored, chance: random.Random) -> None:
    run = chance.choice(list(stored.journals))
    raw = bytearray(stored.journals[run])
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    stored.journals[run] = bytes(raw)


def cut_journal(stored: Stored, chance: random.Random) -> None:
    run = chance.choice(list(stored.journals))
    stored.journals[run] = stored.journals[run][: chance.randrange(len(stored.journals[run]))]


MUTATORS: list[Callable[[Stored, random.Random], None]] = [
    edit_event, edit_body_and_its_hashes, edit_seal, delete, delete_run, reorder, exchange_runs, insert, duplicate, add_unsealed_run,
    truncate_run, truncate_ledger, truncate_and_append, rewrite_all, edit_journal, cut_journal,
]  # fmt: skip


@pytest.mark.parametrize("mutate", MUTATORS, ids=lambda mutate: mutate.__name__)
def test_every_mutation_of_what_is_stored_is_found(mutate: Callable[[Stored, random.Random], None]) -> None:
    missed = []
    for seed in range(MUTATIONS // len(MUTATORS)):
        stored = PRISTINE.copy()
        mutate(stored, random.Random(seed))
        assert stored != PRISTINE, f"seed {seed} changed nothing"
        if not stored.kinds([ANCHOR]):
            missed.append(seed)
    assert missed == []


def test_an_untouched_ledger_has_no_problems() -> None:
    assert PRISTINE.kinds([ANCHOR, (1, PRISTINE.seals[0].mac[:16])]) == set()


def test_without_an_anchor_a_missing_tail_is_not_seen_and_with_one_it_is() -> None:
    stored = PRISTINE.copy()
    last = stored.seals.pop()
    del stored.events[last.run_id], stored.journals[last.run_id]
    assert stored.kinds() == set()
    assert stored.kinds([(last.seq, last.mac)]) == {"anchor_missing"}


def test_a_rewrite_with_the_key_is_seen_by_an_older_anchor() -> None:
    stored = Stored.make(6, KEY, "new")
    assert stored.kinds() == set()
    assert stored.kinds([ANCHOR]) == {"anchor_mismatch"}


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


@pytest.mark.parametrize("make", [lambda: Chain("r").next("a\nb", AT, {}), lambda: Chain("r").next("a", f"{AT}\n", {}), lambda: make_seal(KEY, None, "r", [], AT),
                                  lambda: make_seal(KEY, None, "r\n1", events_of("r"), AT)])  # fmt: skip
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
        ("12:7f3a", None), ("12", None), ("x:7f3a9c1e5b20d846", None), ("0:7f3a9c1e5b20d846", None), ("1:zzzzzzzzzzzzzzzz", None), ({"seq": 3}, None), (None, None),
    ],
)  # fmt: skip
def test_anchors_are_read_as_they_are_shown(value: Any, expected: Any) -> None:
    if expected:
        assert parse_anchor(value) == expected
    else:
        with pytest.raises(InvalidInput):
            parse_anchor(value)


texts = st.text(max_size=20)
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8)  # fmt: skip
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


def test_a_hundred_thousand_entries_are_verified_in_three_seconds() -> None:
    stored = Stored.make(0)
    for number in range(100):
        stored.add(f"run-{number}", 1000, KEY)
    started = time.process_time()
    assert stored.kinds([(100, stored.seals[-1].mac)]) == set()
    assert time.process_time() - started < 3
