# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of metrics as text, version 0.0.4. See https://prometheus.io/docs/instrumenting/exposition_formats/.

Our own reader, since the format is frozen and three patterns long, prometheus_client is not packaged everywhere and takes half a page for a whole one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .errors import InvalidInput, VerifyFailed
from .units import is_number, plural

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

_LABEL = r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*'
_PLAIN_LABEL = _LABEL.replace("(", "(?:").replace("(?:?:", "(?:")
_LABELS = rf"\{{((?:{_PLAIN_LABEL}(?:,|(?=\}})))*[ \t]*)\}}"
_NAME = r"[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)"
_VALUE = r"([-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[iI]nf|NaN))"
_SAMPLE = re.compile(rf"{_NAME}(?:[ \t]*{_LABELS}[ \t]*|[ \t]+){_VALUE}(?:[ \t]+-?[0-9]+)?[ \t]*")
_SELECTOR = re.compile(rf"{_NAME}[ \t]*(?:{_LABELS})?[ \t]*")
_ONE_LABEL = re.compile(_LABEL)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n"}

COMBINE: dict[str, Any] = {"sum": sum, "min": min, "max": max}


class Sample:
    """One line of a page."""

    __slots__ = ("name", "labels", "value")

    def __init__(self, name: str, labels: Mapping[str, str], value: float = 0.0) -> None:
        self.name = name
        self.labels = labels
        self.value = value


def parse(page: bytes) -> list[Sample]:
    """Every sample of a page. Raises VerifyFailed when any line of it cannot be read, or its end is missing: half a page proves nothing."""
    try:
        text = page.decode("utf-8")
    except UnicodeDecodeError:
        raise VerifyFailed("it is not a page of metrics: it is not UTF-8") from None
    if not text.endswith("\n"):
        raise VerifyFailed("it is not a whole page of metrics: its last line does not end")
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None:  # without the line itself, which may hold anything
            raise VerifyFailed(f"it is not a page of metrics: line {number} cannot be read")
        found.append(Sample(match.group(1), _labels(match.group(2)), float(match.group(3))))
    return found


def _labels(text: str | None) -> dict[str, str]:
    pairs = _ONE_LABEL.findall(text or "")
    return {name: _ESCAPE.sub(lambda found: _ESCAPED.get(found.group(1), found.group(1)), value) for name, value in pairs}


def parse_selector(text: Any) -> Sample:
    """``http_requests_total{code="500"}``: a name, and labels with their values. Raises InvalidInput."""
    match = _SELECTOR.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(f'"{text}" is not the name of a metric', 'write it like http_requests_total{code="500"}; only = is known')
    return Sample(match.group(1), _labels(match.group(2)))


def select(samples: Sequence[Sample], wanted: Sample, combine: str | None = None) -> float:
    """The value of the one sample with this name and at least these labels, or of several combined.

    Raises VerifyFailed when there is none, or more than one to choose from, or its value is no number.
    """
    values = [one.value for one in samples if one.name == wanted.name and wanted.labels.items() <= one.labels.items()]
    if not values or (len(values) > 1 and not combine):
        several = f"{plural(len(values), 'sample')} of it are on the page: name more labels, or combine them"
        raise VerifyFailed(f"{wanted.name}: {several if values else 'no sample of it is on the page'}")
    value = float(COMBINE[combine](values)) if combine else values[0]
    if not all(is_number(one) for one in (*values, value)):
        raise VerifyFailed(f"{wanted.name}: its value is no number (NaN or infinite)")
    return value
