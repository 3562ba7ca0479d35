# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only SVG that enters the report: small figures drawn here, and what is left of a plot after everything but an allow-list is dropped.

Colours are names of CSS variables or classes, never values, so that a figure follows the theme of the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from ansible_collections.tradeops.runbook.plugins.module_utils._core.verdict import STATUSES

from .report_format import visible
from .report_trends import Point

DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (2, 2), (8, 2, 2, 2))
"""Dashes of the lines that share a plot: a colour is never the only sign."""
COURSES = len(DASHES)
_LETTERS = "abcd"

_OF_STATUSES = (f"{status}{part}" for status in STATUSES for part in ("", "-fill"))
_VARIABLES = ("plot-line", "plot-grid", "plot-text", *_OF_STATUSES, "plot-area", *(f"course-{letter}" for letter in _LETTERS))
COLOURS = {f"#0a0b{index:02x}": name for index, name in enumerate(_VARIABLES, start=1)}
"""Sentinels a plot is drawn in, and the CSS variable that takes the place of each."""

LABEL = "label"
"""Id of the groups whose text lies over the plot and needs a halo."""

_KEPT = {
    "g": (),
    "defs": (),
    "path": ("d",),
    "use": ("x", "y"),
    "text": ("x", "y"),
}
_DRAWN = ("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "text-anchor")
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+")
_WIDTH, _HEIGHT = 84, 20
_LATEST = 24


def sentinel(name: str) -> str:
    """The colour that stands for the CSS variable ``name`` while a plot is drawn."""
    return next(colour for colour, known in COLOURS.items() if known == name)


def sparkline(points: Sequence[Point], words: str) -> str:
    """The latest points as one small line; the last is marked in the colour of its status. ``words`` says it to those who cannot see."""
    latest = points[-_LATEST:]
    low, high = min(point.value for point in latest), max(point.value for point in latest)
    span = high - low
    step = (_WIDTH - 8) / max(1, len(latest) - 1)
    heights = [(point.value - low) / span if span else 0.5 for point in latest]
    places = [(4 + index * step, 4 + (1 - height) * (_HEIGHT - 8)) for index, height in enumerate(heights)]
    svg = ElementTree.Element("svg", {"class": "spark", "viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img"})
    ElementTree.SubElement(svg, "title").text = visible(words)
    ElementTree.SubElement(svg, "polyline", {"points": " ".join(f"{x:.4g},{y:.4g}" for x, y in places)})
    x, y = places[-1]
    ElementTree.SubElement(svg, "circle", {"class": f"s-{latest[-1].status}", "cx": f"{x:.4g}", "cy": f"{y:.4g}", "r": "2.6"})
    return ElementTree.tostring(svg, encoding="unicode")


def course(number: int) -> str:
    """The CSS variable of a course: number 1 to ``COURSES``."""
    return f"course-{_LETTERS[number - 1]}"


def key_line(number: int) -> str:
    """The line that stands for a course beside its name."""
    svg = ElementTree.Element("svg", {"class": "key", "viewBox": "0 0 26 8", "aria-hidden": "true"})
    dashes = {"stroke-dasharray": " ".join(map(str, DASHES[number - 1]))} if DASHES[number - 1] else {}
    ElementTree.SubElement(svg, "path", {"d": "M0 4H26", "fill": "none", "stroke": f"var(--{course(number)})", "stroke-width": "2", **dashes})
    return ElementTree.tostring(svg, encoding="unicode")


def status_bar(counts: Mapping[str, int]) -> str:
    """How many of each status, worst first, as one bar; its legend stands beside it as text."""
    shown = [(status, counts.get(status, 0)) for status in reversed(STATUSES) if counts.get(status, 0)]
    total = sum(count for _status, count in shown) or 1
    # One bad check among a thousand still has to be seen.
    widths = [max(16.0, 1000 * count / total) for _status, count in shown]
    svg = ElementTree.Element("svg", {"class": "bar", "viewBox": "0 0 1000 10", "preserveAspectRatio": "none", "aria-hidden": "true"})
    left, scale = 0.0, 1000 / sum(widths) if widths else 1.0
    for (status, _count), width in zip(shown, widths, strict=True):
        gap = 3 if status != shown[-1][0] else 0
        box = {"class": f"s-{status}", "x": f"{left:.4g}", "y": "0", "height": "10"}
        ElementTree.SubElement(svg, "rect", {**box, "width": f"{width * scale - gap:.4g}"})
        left += width * scale
    return ElementTree.tostring(svg, encoding="unicode")


def adopt(drawn: str, prefix: str, words: str, titles: Mapping[str, Sequence[str]]) -> str:
    """A plot as the library wrote it, rebuilt from an allow-list.

    Its own style sheet (which would reach the whole page), fonts, metadata and links go; ids begin with ``prefix``; ``titles`` gives,
    by the id of a group, the words for each marker in it.
    """
    source = ElementTree.fromstring(drawn)  # noqa: S314 - written by the library a moment ago, from numbers
    for group in source.iter(f"{_SVG}g"):
        for marker, title in zip(group.iter(f"{_SVG}use"), titles.get(group.get("id", ""), ())):  # noqa: B905 - words may be fewer
            marker.set("words", title)
    svg = ElementTree.Element("svg", {"class": "plot", "viewBox": source.get("viewBox", ""), "role": "img", "aria-label": visible(words)})
    ElementTree.SubElement(svg, "title").text = visible(words)
    for child in source:
        _copy(child, svg, prefix)
    return ElementTree.tostring(svg, encoding="unicode")


def _copy(node: ElementTree.Element, parent: ElementTree.Element, prefix: str) -> None:
    tag = str(node.tag).removeprefix(_SVG)
    if tag not in _KEPT or (tag in ("g", "defs") and not len(node)):
        return
    kept = {name: _rounded(node.get(name, "")) for name in _KEPT[tag] if node.get(name)}
    kept.update(_drawn(node.get("style", "")))
    if tag == "use":
        kept["href"] = f"#{prefix}-{node.get(_XLINK, '')[1:]}"
    if tag == "path" and node.get("id"):
        kept["id"] = f"{prefix}-{node.get('id')}"
    if tag == "g" and node.get("id") == LABEL:
        kept["class"] = LABEL
    # A group that says nothing itself is only depth.
    copy = parent if tag == "g" and not kept else ElementTree.SubElement(parent, tag, kept)
    if tag == "text":
        copy.text = visible(node.text or "")
    if node.get("words"):
        ElementTree.SubElement(copy, "title").text = visible(node.get("words", ""))
    for child in node:
        _copy(child, copy, prefix)


def _drawn(style: str) -> dict[str, str]:
    """The declarations that draw something, as attributes: the page forbids styles that are not in its own sheet."""
    pairs = (declaration.partition(":") for declaration in style.split(";"))
    found = {name.strip(): value.strip() for name, _colon, value in pairs}
    return {name: f"var(--{COLOURS[found[name]]})" if found[name] in COLOURS else _rounded(found[name]) for name in _DRAWN if name in found}


def _rounded(text: str) -> str:
    return _NUMBER.sub(lambda found: f"{float(found.group()):.1f}".removesuffix(".0"), " ".join(text.split()))
