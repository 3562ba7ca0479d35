# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a task's result goes into the record: the keys of the result contract, bounded, as plain JSON data. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import canonical
from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES

HIDDEN = "hidden by no_log"
PRUNE_ACTION = "tradeops.runbook.run_history_prune"
NOTIFY_ACTION = "tradeops.runbook.notify"
NOTICES_PER_EVENT = 100
TEXT_LIMIT = 2048
DIFF_LIMIT = 16 * 1024
CHECK_LIMIT = 16 * 1024
EVENT_LIMIT = 256 * 1024
CHECKS_PER_EVENT = 100

_TEXTS = ("status", "summary", "outcome", "code", "hint", "measured_at")
_LISTS = ("plan", "performed", "warnings")
_DEEPEST = 12
_LARGEST_INTEGER = 2**63 - 1
_SET_FACT = ("set_fact", "ansible.builtin.set_fact", "ansible.legacy.set_fact")
_RESULT_SUFFIX = "_result"


@dataclass(frozen=True)
class Observed:
    """One result of one task on one host."""

    host: str
    task: str
    action: str
    state: str
    result: Mapping[str, Any]
    play: str = ""
    role: str = ""
    item: str = ""
    duration_seconds: float | None = None
    hidden: bool = False
    identity: Mapping[str, str] = field(default_factory=dict)
    """``system`` and ``environment`` of the host."""


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as data that JSON and SQLite can hold, whatever a host sent. Subclasses of the basic types lose what they carry."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, (int, float)):
        fits = math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST_INTEGER
        return value if fits else str(value) if isinstance(value, float) else "a number of more than 63 bits"
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(plain(str(key))): plain(item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in value]
    return plain(str(value))


def is_worth_a_step(seen: Observed) -> bool:
    """Whether the record has a place for it: everything but the ordinary task that found nothing to do."""
    contract = "outcome" in seen.result or _checks_of(seen.result) is not None or bool(logs_of(seen.result))
    return seen.state != "ok" or (not seen.hidden and contract)


def step(seen: Observed) -> dict[str, Any]:
    """The body of a ``step`` event."""
    place = {"play": seen.play, "role": seen.role, "task": seen.task, "action": seen.action, "host": seen.host, "state": seen.state}
    body = {key: _cut(str(plain(text)), 512) for key, text in place.items()} | {"duration_seconds": seen.duration_seconds}
    if seen.hidden:
        return {**body, "message": HIDDEN}
    result: dict[str, Any] = {key: plain_text(seen.result[key]) for key in _TEXTS if key in seen.result}
    result |= {key: _list(seen.result[key]) for key in _LISTS if key in seen.result}
    if seen.result.get("diff"):
        result["diff"] = _bounded_diff(plain(seen.result["diff"]))
    return _fit({**body, "message": _message(seen), "result": result})


def checks(seen: Observed) -> Iterator[dict[str, Any]]:
    """The bodies of the ``checks`` events."""
    for result, judged_by in verdicts(seen):
        yield from _check_events(seen, result, judged_by)


def verdicts(seen: Observed) -> Iterator[tuple[Mapping[str, Any], str]]:
    """What may follow the contract, and the role that judged it: a module's own result, or a role's verdict in ``set_fact: <role>_result``."""
    if seen.hidden:
        return
    if seen.action in _SET_FACT:
        facts = seen.result.get("ansible_facts")
        for name, value in facts.items() if isinstance(facts, Mapping) else ():
            if str(name).endswith(_RESULT_SUFFIX) and isinstance(value, Mapping):
                yield value, str(name)[: -len(_RESULT_SUFFIX)]
    else:
        yield seen.result, ""


def origin(seen: Observed, result: Mapping[str, Any], judged_by: str) -> dict[str, Any]:
    """Of which host and role a verdict is, and from when."""
    identity = {key: str(plain(result.get(key) or seen.identity.get(key) or "")) for key in ("system", "environment")}
    role, measured_at = judged_by or seen.role, plain_text(result.get("measured_at"))
    return {"host": seen.host, "role": role, "judged": bool(judged_by), **identity, "measured_at": measured_at}


def drops(seen: Observed) -> Iterator[dict[str, Any]]:
    """The bodies of the events by which a run drops old bodies when it is sealed."""
    found = seen.result.get("records") if seen.action == PRUNE_ACTION and seen.state == "changed" and not seen.hidden else None
    yield from plain(found) if isinstance(found, list) else []


def notices(seen: Observed) -> Iterator[dict[str, Any]]:
    """The bodies of the events that say what people were told, so that a later run does not tell it again."""
    found = seen.result.get("records") if seen.action == NOTIFY_ACTION and not seen.hidden else None
    told = plain(found) if isinstance(found, list) else []
    for start in range(0, len(told), NOTICES_PER_EVENT):
        yield {"host": seen.host, "notices": told[start : start + NOTICES_PER_EVENT]}


def _check_events(seen: Observed, result: Mapping[str, Any], judged_by: str) -> Iterator[dict[str, Any]]:
    found = _checks_of(result)
    if found is None:
        return
    parts = list(_portions([_bounded_check(_well_formed(check)) for check in found]))
    common = origin(seen, result, judged_by)
    for number, portion in enumerate(parts, 1):
        yield {**common, "part": number, "parts": len(parts), "checks": portion}


def _checks_of(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """The checks of a result that follows the contract; other modules may use the same key for something else."""
    found = result.get("checks")
    if not isinstance(found, (list, tuple)):
        return None
    ours = all(isinstance(check, Mapping) and isinstance(check.get("name"), str) and check.get("status") in STATUSES for check in found)
    return found if ours and "status" in result else None


def logs_of(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The log reports of a result that follows the contract; other modules may use the same key for something else."""
    found = result.get("logs")
    if not isinstance(found, (list, tuple)) or "status" not in result:
        return ()
    ours = all(isinstance(log, Mapping) and isinstance(log.get("name"), str) and "lines" in log for log in found)
    return found if ours else ()


def _well_formed(check: Mapping[str, Any]) -> dict[str, Any]:
    """A check in which everything has the type that the history and the report rely on, whoever made it."""
    found: dict[str, Any] = plain(check)
    found |= {key: None if found.get(key) is None else plain_text(found[key]) for key in ("kind", "severity", "message", "hint")}
    found |= {key: found[key] if isinstance(found.get(key), dict) else {} for key in ("measures", "units")}
    limits = [limit for limit in _list(found.get("limits") or []) if isinstance(limit, dict)]
    found["limits"] = [{**limit, **{key: plain_text(limit.get(key)) for key in ("measure", "level", "limit", "state")}} for limit in limits]
    found["notes"] = [plain_text(note) for note in _list(found.get("notes") or [])]
    found["units"] = {name: plain_text(unit) for name, unit in found["units"].items()}
    return found


def plain_text(value: Any) -> str:
    """Any value as plain text; "" for None."""
    return "" if value is None else str(plain(value if isinstance(value, str) else str(value)))


def _list(value: Any) -> list[Any]:
    found = plain(value)
    return found if isinstance(found, list) else [found]


def _portions(found: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    size = 0
    for check in found:
        length = len(canonical(check))
        if portion and (len(portion) == CHECKS_PER_EVENT or size + length > EVENT_LIMIT - CHECK_LIMIT):
            yield portion
            portion, size = [], 0
        portion.append(check)
        size += length
    yield portion


def _bounded_check(check: dict[str, Any]) -> dict[str, Any]:
    for most in (TEXT_LIMIT, 200, 20):
        if len(canonical(check)) <= CHECK_LIMIT:
            return check
        check = {**shorten(check, most), "truncated": True}
    kept = ("name", "kind", "status", "severity", "message", "hint", "pending", "truncated")
    return {key: check[key] for key in kept if key in check} | {"measures": {}, "units": {}, "limits": [], "notes": [], "muted": None}


def _bounded_diff(diff: Any) -> Any:
    text = canonical(diff)
    return diff if len(text) <= DIFF_LIMIT else {"truncated": True, "text": text[: DIFF_LIMIT // 2]}


def _fit(body: dict[str, Any]) -> dict[str, Any]:
    for most in (TEXT_LIMIT, 200, 20, 0):
        if len(canonical(body)) <= EVENT_LIMIT:
            return body
        body = {**body, "result": shorten(body["result"], most), "truncated": True}
    return {**body, "result": {}}


def shorten(value: Any, most: int) -> Any:
    """Lists to ``most`` entries and texts to as many characters, at any depth."""
    if isinstance(value, dict):
        return {_cut(key, TEXT_LIMIT): shorten(item, most) for key, item in value.items()}
    if isinstance(value, list):
        return [shorten(item, most) for item in value[:most]]
    return _cut(value, most) if isinstance(value, str) else value


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _message(seen: Observed) -> str:
    text = next((seen.result[key] for key in ("msg", "summary", "hint") if isinstance(seen.result.get(key), str) and seen.result[key]), "")
    return _cut(str(plain(f"{seen.item}: {text}" if seen.item and text else seen.item or text)), TEXT_LIMIT)
