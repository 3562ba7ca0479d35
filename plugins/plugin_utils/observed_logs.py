# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a reviewed log goes into the record: its report and its bookmark, bounded, as plain JSON data. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import canonical
from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed import TEXT_LIMIT, Observed, logs_of, origin, plain, plain_text, shorten, verdicts

LOG_LIMIT = 64 * 1024
BOOKMARK_LIMIT = 16 * 1024
_NAME = 200
_NOTE = 400
"""Room for the one note that says what was left out."""
_FEWEST_POINTS = 24
_BARE = ("name", "format", "timezone", "from", "to", "incremental", "lines", "entries", "bytes", "signature_count")

Report = dict[str, Any]


def log_reports(seen: Observed) -> Iterator[dict[str, Any]]:
    """The bodies of the ``log_report`` events: one for each log of a module's own result, or of a role's verdict on it."""
    for result, judged_by in verdicts(seen):
        common = shorten(origin(seen, result, judged_by), 512)
        bookmarks = result.get("bookmarks")
        for log in logs_of(result):
            bookmark = plain(bookmarks.get(log["name"])) if isinstance(bookmarks, Mapping) else None
            yield _body(common, _well_formed(log), bookmark)


def _body(common: Mapping[str, Any], report: Report, bookmark: Any) -> dict[str, Any]:
    if not isinstance(bookmark, dict):
        bookmark = None
    elif len(canonical(bookmark)) > BOOKMARK_LIMIT:
        bookmark = None
        report["notes"].append("the bookmark is too large to be recorded: the next review begins where the last recorded one ended")
    body = {**common, "bookmark": bookmark}
    return {**body, "report": _bounded(report, LOG_LIMIT - len(canonical(body)) - len('"report":,'))}


def _well_formed(log: Mapping[str, Any]) -> Report:
    """A report in which everything that the history reads has its type, and no text is longer than a person reads."""
    found: Report = shorten(plain(log), TEXT_LIMIT)
    found["name"] = shorten(plain_text(log["name"]), _NAME)
    found["notes"] = [plain_text(note) for note in _list(found.get("notes"))[:20]]
    found["signatures"] = list({signature["id"]: signature for signature in map(_signature, _list(found.get("signatures"))) if signature["id"]}.values())
    series = _dict(found.get("series"))
    found["series"] = {
        "start": plain_text(series.get("start")),
        "entries": _counts(series.get("entries")),
        "patterns": {name: _counts(counts) for name, counts in _dict(series.get("patterns")).items()},
    }
    return found


def _signature(given: Any) -> dict[str, Any]:
    found = _dict(given)
    texts = {key: plain_text(found.get(key)) for key in ("level", "text", "example", "first_at", "last_at")}
    return {**found, **texts, "id": shorten(plain_text(found.get("id")), 64), "count": _count(found.get("count"))}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _counts(value: Any) -> list[int]:
    return [_count(count) for count in _list(value)]


def _bounded(report: Report, most: int) -> Report:
    """The report in at most ``most`` bytes, with a note on what was left out: what tells least goes first."""
    left_out: list[str] = []
    for reduce in (_without_context, _without_samples, _fewer_signatures, _fewer_points):
        if _fits(report, most if not left_out else most - _NOTE):
            break
        report, words = reduce(report, most - _NOTE)
        left_out += [words] if words else []
    for longest in (200, 20):
        if not _fits(report, most - _NOTE if left_out else most):
            left_out.append(f"what is longer than {longest} characters or entries")
            report = shorten(report, longest)
    if not left_out:
        return report
    note = f"left out of the record to keep it small: {', '.join(left_out)}"
    if not _fits(report, most - _NOTE):
        kept = {key: report[key] for key in _BARE if not isinstance(report.get(key), (dict, list, type(None)))}
        report, note = {**kept, "signatures": [], "series": {}}, "left out of the record to keep it small: everything but the figures"
    return {**report, "notes": [*report.get("notes", []), note]}


def _fits(report: Report, most: int) -> bool:
    return len(canonical(report)) <= most


def _with_samples(report: Report, change: Callable[[list[Any]], list[Any]]) -> Report:
    patterns = {name: {**_dict(found), "samples": change(_list(_dict(found).get("samples")))} for name, found in _dict(report.get("patterns")).items()}
    return {**report, "patterns": patterns}


def _without_context(report: Report, _most: int) -> tuple[Report, str]:
    def bare(samples: list[Any]) -> list[Any]:
        return [{**sample, "before": [], "after": []} for sample in samples if isinstance(sample, dict)]

    return _with_samples(report, bare), "the lines around samples"


def _without_samples(report: Report, _most: int) -> tuple[Report, str]:
    return _with_samples(report, lambda _samples: []), "the samples"


def _fewer_signatures(report: Report, most: int) -> tuple[Report, str]:
    """Signatures from the end, as few as have to go."""
    kept = list(report["signatures"])
    size = len(canonical(report))
    while kept and size > most:
        size -= len(canonical(kept.pop())) + 1
    gone = len(report["signatures"]) - len(kept)
    return {**report, "signatures": kept}, f"the last {gone} signatures" if gone else ""


def _fewer_points(report: Report, most: int) -> tuple[Report, str]:
    """Neighbouring points as one, until it fits: sums stay what they are."""
    series, span, words = report["series"], report.get("bucket_seconds"), ""
    while len(series["entries"]) > _FEWEST_POINTS and isinstance(span, (int, float)) and not _fits(report, most):
        patterns = {name: _in_pairs(counts) for name, counts in series["patterns"].items()}
        series, span = {**series, "entries": _in_pairs(series["entries"]), "patterns": patterns}, span * 2
        report, words = {**report, "series": series, "bucket_seconds": span}, "points of the series, summed to fewer"
    return report, words


def _in_pairs(counts: list[int]) -> list[int]:
    return [sum(counts[place : place + 2]) for place in range(0, len(counts), 2)]
