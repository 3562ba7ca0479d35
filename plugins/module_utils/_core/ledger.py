# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: events of a run chained by hashes, runs chained by seals that only the holder of the key can make.

Hashes are over the stored text, never over a parsed copy of it, so nothing can change in what is stored without being found.
Cutting off whole runs at the end leaves a shorter ledger that is in itself right: only an *anchor*, the number and MAC of
a seal that was written down elsewhere, shows that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from .errors import InvalidInput, VerifyFailed
from .times import parse_instant

ANCHOR_DIGITS = 16
"""An anchor may carry this many leading digits of the MAC instead of all: 64 bits, and short enough to read out."""

BODIES_DROPPED = "bodies_dropped"
"""The type of the event that records what retention dropped. Its own body is never dropped: it says why the others are gone."""

_CLOCK_SLACK = 1.0
"""Seconds the wall clock may step back before it is reported: time synchronisation does that."""


class Event(NamedTuple):
    """One thing that happened in a run, as stored. ``body`` is JSON text; None when it was dropped and only its hash is kept."""

    seq: int
    at: str
    type: str
    body_hash: str
    prev: str
    hash: str
    body: Optional[str]

    def data(self) -> dict[str, Any]:
        """The body as data."""
        found = json.loads(self.body) if self.body is not None else {}
        return found if isinstance(found, dict) else {}


class Seal(NamedTuple):
    """Closes one run. ``prev`` is the MAC of the seal before, ``""`` for the first."""

    seq: int
    run_id: str
    events: int
    head: str
    prev: str
    sealed_at: str
    key_id: str
    mac: str


class Cut(NamedTuple):
    """Where the front of the chain was cut off after its time: the last seal that was removed."""

    seq: int
    mac: str


class Problem(NamedTuple):
    """Something that is not as it was written."""

    kind: str
    where: str
    message: str
    level: str = "critical"


def canonical(data: Any) -> str:
    """JSON of one line and one form; characters outside ASCII, and so every control character, are escaped."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(text: str) -> str:
    """SHA-256 of ``text`` in hexadecimal digits."""
    return hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()


def _link(event: Event) -> str:
    return digest(f"{event.seq}\n{event.at}\n{event.type}\n{event.body_hash}\n{event.prev}")


class Chain:
    """Where the next event of a run is attached."""

    def __init__(self, run_id: str, last: Event | None = None) -> None:
        self._seq = last.seq if last else 0
        self._head = last.hash if last else digest(run_id)

    def next(self, kind: str, at: str, data: Mapping[str, Any]) -> Event:
        """The next event. Neither ``kind`` nor ``at`` may hold a line break: the hash joins them by line breaks."""
        if "\n" in kind + at:
            raise InvalidInput("the type and the time of an event are single lines")
        body = canonical(data)
        bare = Event(self._seq + 1, at, kind, digest(body), self._head, "", body)
        event = bare._replace(hash=_link(bare))
        self._seq, self._head = event.seq, event.hash
        return event


def encode(event: Event) -> str:
    """The line of a journal, without its line break."""
    return json.dumps(event._asdict())


def decode(line: str) -> Event:
    """An event from its line. Raises VerifyFailed unless the line is exactly what ``encode`` writes."""
    try:
        event = Event(**json.loads(line))
        same = encode(event) == line
    except (ValueError, TypeError, RecursionError):
        same = False
    if not same or not isinstance(event.at, str) or not isinstance(event.type, str):
        raise VerifyFailed("the line is not an event as it was written")
    return event


class Journal(NamedTuple):
    """The text of a journal, taken apart: the sound events, and what follows them."""

    events: list[Event]
    rest: bytes
    torn: bool
    """``rest`` is one line without its line break: a crash while appending. Otherwise somebody changed the file."""


def parse_journal(run_id: str, raw: bytes) -> Journal:
    """The events of a journal up to the first line that is not what was written there."""
    events: list[Event] = []
    head, position = digest(run_id), 0
    while position < len(raw):
        end = raw.find(b"\n", position)
        try:
            event = decode(raw[position:end].decode("ascii")) if end >= 0 else None
        except (UnicodeDecodeError, VerifyFailed):
            event = None
        if event is None or event.prev != head or event.seq != len(events) + 1 or not _is_sound(event):
            return Journal(events, raw[position:], end < 0)
        events.append(event)
        head, position = event.hash, end + 1
    return Journal(events, b"", False)


def _is_sound(event: Event) -> bool:
    return event.body is not None and event.body_hash == digest(event.body) and event.hash == _link(event)


def verify_events(run_id: str, events: Iterable[Event], seal: Seal | None = None, dropped: bool = False) -> list[Problem]:
    """Everything wrong with the stored events of one run, recomputed from their text; with its seal also whether all are there.

    ``dropped``: a sealed record says that the bodies of this run were dropped; their hashes still hold the chain together.
    """
    problems: list[Problem] = []
    head, seq, latest = digest(run_id), 0, 0.0
    for event in events:
        seq += 1
        where = f"run {run_id} event {seq}"
        fault = _fault(event, seq, head) or _text_fault(event, dropped)
        if fault:
            problems.append(Problem(*fault[:1], where, fault[1]))
        head = event.hash
        clock = _clock(event.at, latest)
        if clock is None:
            problems.append(Problem("time_went_back", where, f"{event.at} is before the event before it; the order is still certain", "warning"))
        latest = clock or latest
    if seal is not None and (seq, head) != (seal.events, seal.head):
        if seq == seal.events:
            problems.append(Problem("events_changed", f"run {run_id}", "its last event is not the one that was sealed"))
        else:
            problems.append(Problem("event_count_differs", f"run {run_id}", f"its seal counts {seal.events} events, {seq} are stored"))
    return problems


def _fault(event: Event, seq: int, head: str) -> tuple[str, str] | None:
    if event.seq != seq:
        return "order_changed", f"event {event.seq} stands where event {seq} belongs"
    if event.prev != head:
        return "chain_broken", "it does not follow the event before it: one was changed, removed or put in"
    return None


def _text_fault(event: Event, dropped: bool) -> tuple[str, str] | None:
    if event.body is None and not (dropped and event.type != BODIES_DROPPED):
        return "body_missing", "its body is gone"
    if event.hash != _link(event) or (event.body is not None and event.body_hash != digest(event.body)):
        return "event_changed", "its text is not what was written"
    return None


def _clock(at: str, latest: float) -> float | None:
    """The later of both instants; None when ``at`` lies before ``latest``. Text that is no instant fails its hash anyway."""
    try:
        moment = parse_instant(at, "UTC")
    except InvalidInput:
        return latest
    return None if moment < latest - _CLOCK_SLACK else max(moment, latest)


def key_id(key: bytes) -> str:
    """The name of a key, from which the key cannot be found."""
    return hmac.new(key, b"key id", hashlib.sha256).hexdigest()[:16]


def _mac(key: bytes, seal: Seal) -> str:
    text = f"{seal.seq}\n{seal.run_id}\n{seal.events}\n{seal.head}\n{seal.prev}\n{seal.sealed_at}\n{seal.key_id}"
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def make_voucher(key: bytes, run_id: str, event: Event) -> str:
    """Says that a holder of the key wrote this event, and by its hash all before it: for events that wait for their seal where others write."""
    return hmac.new(key, f"open\n{run_id}\n{event.hash}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def make_seal(  # house: a seal joins just these five, and an object around them would say nothing more
    key: bytes, previous: Seal | None, run_id: str, events: Sequence[Event], at: str
) -> Seal:
    """The seal of a run, attached to the one before it."""
    if not events or "\n" in run_id + at:
        raise InvalidInput("a run without events, or with a line break in its id, cannot be sealed")
    bare = Seal(previous.seq + 1 if previous else 1, run_id, len(events), events[-1].hash, previous.mac if previous else "", at, key_id(key), "")
    return bare._replace(mac=_mac(key, bare))


def verify_seals(seals: Iterable[Seal], key: bytes, anchors: Iterable[tuple[int, str]] = (), cut: Cut | None = None) -> list[Problem]:
    """Everything wrong with the chain of seals, and every anchor that does not fit it. ``anchors`` are (number, MAC or its first digits).

    The chain begins after ``cut``; what was anchored before it is gone for good.
    """
    problems: list[Problem] = []
    begin = cut or Cut(0, "")
    macs: dict[int, str] = {begin.seq: begin.mac} if cut else {}
    previous, name, latest = begin.mac, key_id(key), 0.0
    for place, seal in enumerate(seals, begin.seq + 1):
        where = f"seal {place}"
        if seal.seq != place:
            problems.append(Problem("seals_missing", where, f"seal {seal.seq} stands where seal {place} belongs"))
        if seal.prev != previous:
            problems.append(Problem("seals_broken", where, "it does not follow the seal before it: one was changed, removed or put in"))
        if _mac(key, seal) != seal.mac:  # no secret is compared: the MAC is public, only the key is not
            made = "" if seal.key_id == name else f"; it was made with key {seal.key_id}, this is key {name}"
            problems.append(Problem("seal_forged", where, f"it was not made with this key, or changed afterwards{made}"))
        previous, macs[seal.seq] = seal.mac, seal.mac
        clock = _clock(seal.sealed_at, latest)
        if clock is None:
            problems.append(Problem("time_went_back", where, f"{seal.sealed_at} is before the seal before it; the order is still certain", "warning"))
        latest = clock or latest
    for number, mac in anchors:
        if number < begin.seq:
            continue
        if number not in macs:
            problems.append(Problem("anchor_missing", f"seal {number}", f"it was anchored as {mac[:ANCHOR_DIGITS]}, and is not in this history"))
        elif not str(macs[number]).startswith(mac):
            message = f"it was anchored as {mac[:ANCHOR_DIGITS]}, here it is {macs[number][:ANCHOR_DIGITS]}: the history was rewritten"
            problems.append(Problem("anchor_mismatch", f"seal {number}", message))
    return problems


def unsealed(seals: Iterable[Seal], run_ids: Iterable[str]) -> list[Problem]:
    """Every run in ``run_ids`` that nobody sealed."""
    strangers = sorted(set(run_ids) - {seal.run_id for seal in seals}, key=str)
    return [Problem("not_sealed", f"run {run_id}", "it is in the history and has no seal") for run_id in strangers]


def parse_anchor(value: Any) -> tuple[int, str]:
    """An anchor from ``"12:7f3a9c1e..."`` or ``{seq: 12, mac: 7f3a...}``. Raises InvalidInput."""
    seq, mac = (value.get("seq"), value.get("mac")) if isinstance(value, Mapping) else str(value).partition(":")[::2]
    try:
        number, text = int(str(seq)), str(mac).strip().lower()
        int(text, 16)
    except ValueError:
        number, text = 0, ""
    if number < 1 or not ANCHOR_DIGITS <= len(text) <= 64:
        raise InvalidInput(f'"{value}" is not an anchor', 'write it as the report shows it, like "12:7f3a9c1e5b20d846"')
    return number, text
