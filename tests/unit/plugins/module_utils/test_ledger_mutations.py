# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten thousand random changes to what a ledger stores, each of them found."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import (
    Chain,
    Event,
    Seal,
    digest,
    encode,
    make_seal,
    unsealed,
    verify_events,
    verify_seals,
)

from .test_ledger import AT, KEY, OTHER_KEY, events_of

MUTATIONS = 10_000


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
        problems = verify_seals(self.seals, KEY, anchors) + unsealed(self.seals, self.events)
        for seal in self.seals:
            problems += verify_events(seal.run_id, self.events.get(seal.run_id, []), seal)
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


def test_a_hundred_thousand_entries_are_verified_in_three_seconds() -> None:
    stored = Stored.make(0)
    for number in range(100):
        stored.add(f"run-{number}", 1000, KEY)
    started = time.process_time()
    assert stored.kinds([(100, stored.seals[-1].mac)]) == set()
    assert time.process_time() - started < 3
