# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import random
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.plugin_utils import charts, report
from ansible_collections.tradeops.runbook.tests.support.children import environment
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils.report_views import (
    RUN, Page, make_check, make_host, make_limit, make_log, make_points, make_series, make_view,
)  # fmt: skip

TEMPLATE = Path(report.__file__).with_name("report.html.j2").read_text(encoding="utf-8")
LOGS_TEMPLATE = Path(report.__file__).with_name("report_logs.html.j2").read_text(encoding="utf-8")

CORPUS = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'><svg/onload=alert(1)>", "javascript:alert(1)", "</title><script>alert(1)</script>",
    "</style><style>*{display:none}</style>", "--><script>alert(1)</script><!--", "{{ 7*191 }}{% include '/etc/passwd' %}", "{{ ''.__class__.__mro__ }}",
    "@style-hash@", "&lt;b&gt; &#60;", "<![CDATA[<script>]]>", "\x00\x07\x1b[2J\x9b31m", "abc\u202egnp.exe\u2066x\u2069", "\ud800 lone",
    "=HYPERLINK(\"http://x\")",
    "a" * 5000, "<a href=http://evil.example>x</a>", "\u2028\u2029", "onmouseover=\"alert(1)\" style=\"background:url(//x)\"",
]  # fmt: skip


def full_view(text: Callable[[], str]) -> dict[str, Any]:
    """A view in which every string that a host, an inventory or a person can set is ``text``."""
    mute = {"reason": text(), "owner": text(), "until": text()}
    limits = [make_limit("latency", state="crossed"), make_limit(text(), limit=text(), level=text(), state=text(), severity=text())]
    words: dict[str, Any] = {"message": text(), "hint": text(), "notes": [text()]}
    checks = [
        make_check(text(), "critical", kind=text(), limits=limits, severity=text(), **words),
        make_check(text(), "skipped", muted=mute, measured_status=text(), role=text(), **words),
        make_check(text(), measures={text(): text(), "list": [text()], "latency": 2.0, text(): 1.5}, units={"latency": text()}, **words),
    ]
    result = {"outcome": text(), "hint": text()}
    step = {"state": text(), "task": text(), "role": text(), "action": text(), "message": text(), "duration_seconds": 1, "result": result}
    hosts = [make_host(text(), checks, summary=text(), steps=[step], stats={text(): text()}, logs=[full_log(text)])]
    hosts.append(make_host(text(), reachable=False, summary=text()))
    view = make_view(
        *hosts, playbook=text(), user=text(), controller=text(), limit=text(), tags=[text()], versions={text(): text()}, launch={text(): text()},
        started_at=text(), ended_at=text(), state=text(), exit_code=text(), duration_seconds=text(), planned_downtime=[text()],
        changes=[{"host": text(), "task": text(), "role": text(), "message": text()}],
        issues=[{"host": text(), "task": text(), "status": text(), "severity": text(), "message": text(), "hint": text()}],
        notes=[{"host": text(), "kind": kind, "text": text(), "by": text()} for kind in ("note", "issue", "next_step", "validation", "reason", text())],
        anchor={"seq": text(), "mac": text(), "key_id": text()},
    )  # fmt: skip
    view["systems"][0].update(name=text(), environment=text())
    return view


def full_log(text: Callable[[], str]) -> dict[str, Any]:
    """The report of a log in which every string is ``text``."""
    sample = {"at": text(), "path": text(), "text": text(), "before": [text()], "after": [text()]}
    signature = {"id": text(), "level": text(), "text": text(), "count": 3, "example": text(), "first_at": text(), "last_at": text()}
    series = {"start": "2026-11-20T02:00:00Z", "entries": [5, 6, 7], "patterns": {text(): [1, 2, 3]}}
    return make_log(
        name=text(), source=[text()], format=text(), timezone=text(), **{"from": text()}, to=text(), files=[{"path": text(), "bytes": 5}], series=series,
        levels={text(): 3}, patterns={text(): {"count": 6, "ratio": 50.0, "samples": [sample]}}, extract={text(): {"count": 1, "p50": 1.0, "unit": text()}},
        signatures=[signature], benign=[{"pattern": text(), "reason": text(), "owner": text(), "until": text(), "count": 3}],
        secrets=[{"rule": text(), "count": 3, "text": f"*** {text()}"}], notes=[text()], role=text(),
        earlier={"since": text(), "first_at": text(), "reviewed": True, "signatures": {}},
    )  # fmt: skip


def written(folder: Path, view: dict[str, Any], previous: Any = None, series: Any = None) -> tuple[Page, str, dict[str, Any]]:
    """Writes a report; the page, its text and the data."""
    paths = report.write_report(view, previous, series or {}, str(folder))
    html = Path(paths["html_path"]).read_text(encoding="utf-8")
    return Page(html), html, json.loads(Path(paths["json_path"]).read_text(encoding="ascii"))


def inert(page: Page, html: str) -> None:
    """The page can do nothing, loads nothing, and is one well-formed document."""
    assert page.disorder == []
    assert {tag for tag, _attributes in page.elements} <= set(
        "html head meta title style body svg symbol path circle rect polyline g defs use text main header section footer nav div span p b i bdi a"
        " h1 h2 h3 h4 br ul ol li dl dt dd table thead tbody tr th td details summary figure figcaption code pre".split()
    )
    attributes = {name for _tag, given in page.elements for name in given}
    assert not {name for name in attributes if name.startswith("on")} | attributes & {"style", "src", "action", "srcset", "xlink:href"}
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z0-9-]+", ident) for ident in ids)
    links = [link for link in page.values("href") if link != f"{RUN}.json"]
    assert [link for link in links if not (link.startswith("#") and link[1:] in ids)] == []
    assert html.isascii() or all(char.isprintable() or char in "\n\t\u00a0" for char in html)


# What is in it


def test_every_part_is_there_and_in_order(tmp_path: Path) -> None:
    page, _html, _data = written(tmp_path, full_view(lambda: "words"), make_view(), make_series())
    headings = ["Systems and hosts", "Needs attention", "Since the last run", "Every check", "Logs", "Trends", "Muted and skipped", "Change-log entry",
                "Sealed in the ledger"]  # fmt: skip
    places = [page.words.rindex(heading) for heading in headings]
    assert places == sorted(places)


def test_a_report_tells_the_verdict_the_values_and_how_to_verify(tmp_path: Path) -> None:
    check = make_check("stuck orders", "critical", message="value is 3 (critical: > 0)", hint="ask the broker", severity="P1",
                       measures={"value": 3}, units={"value": "count"}, limits=[make_limit("value", "critical", "> 0", state="crossed")])  # fmt: skip
    page, html, data = written(tmp_path, make_view(make_host(checks=[check])))
    for words in ("\u201cstuck orders\u201d is critical on app.", "value is 3 (critical: > 0)", "ask the broker", "P1", "9.2 s", "deploy on ops-1", "> 0",
                  "no earlier run of this playbook", "at least three runs", "none recorded", f"7:{'9f0c' * 16}", "tradeops.runbook.verify_ledger"):  # fmt: skip
        assert words in page.words, words
    assert (data["schema"], data["anchor"]["seq"], data["changes_since"]) == ("tradeops.runbook/report/1", 7, None)
    inert(page, html)


def test_a_run_without_a_seal_says_so(tmp_path: Path) -> None:
    page, _html, data = written(tmp_path, make_view(anchor=None))
    assert "This run is not sealed" in page.words
    assert data["anchor"] is None


def test_exact_values_stand_behind_the_short_ones(tmp_path: Path) -> None:
    page, _html, _data = written(tmp_path, make_view(make_host(checks=[make_check(measures={"latency": 1.23456})])))
    assert "1.2 s" in page.words
    assert "1.23456 s" in page.values("title")


# What it must not do


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_no_text_of_a_host_can_act(tmp_path: Path, text: str) -> None:
    previous = make_view(make_host(text, [make_check(text)]), run_id=text, started_at=text)
    previous["systems"][0].update(name=text, environment=text)
    series = {(text, text, text): {(text, text): make_points([1, 2, 3]), (text, "latency"): make_points([1, 2, 3])}}
    page, html, data = written(tmp_path, full_view(lambda: text), previous, series)
    inert(page, html)
    assert "1337" not in html, "a template in the data was rendered"
    assert data["playbook"] == text


def test_the_policy_allows_this_style_sheet_and_nothing_else(tmp_path: Path) -> None:
    page, _html, _data = written(tmp_path, full_view(lambda: "@style-hash@"))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]
    assert "url(" not in page.style and "@import" not in page.style


def test_the_template_takes_markup_only_from_one_place() -> None:
    assert re.findall(r"\|\s*(?:safe|escape|e|forceescape|tojson)\b", TEMPLATE + LOGS_TEMPLATE) == ["| safe"]
    assert "autoescape false" not in TEMPLATE + LOGS_TEMPLATE
    assert set(re.findall(r"figure\(([^)]*)\)", TEMPLATE)) == {"svg", "cell.spark", "entry.svg", "status_bar", "host.status_bar"}
    assert set(re.findall(r"figure\(([^)]*)\)", LOGS_TEMPLATE)) == {"plot.svg", "row.key"}


def variants(value: Any) -> Iterator[Any]:
    """The same data with each part in turn replaced by what nobody expects."""
    odd: list[Any] = [None, 7, -1.5, math.nan, math.inf, True, "", "text", [], {}, [None], {"a": {"b": 1}}, [[1], {"c": 2}], 10**400, b"bytes"]
    yield from odd
    if isinstance(value, dict):
        for key, item in value.items():
            for other in variants(item):
                yield {**value, key: other}
    elif isinstance(value, list) and value:
        for other in variants(value[0]):
            yield [other, *value[1:]]


def test_data_of_any_shape_makes_a_report() -> None:
    check = make_check(status="critical", notes=["n"], muted={"reason": "r", "owner": "o", "until": "u"}, limits=[make_limit(state="crossed")])
    step = {"state": "failed", "task": "t", "result": {"outcome": "ok"}, "duration_seconds": 1.0}
    said: dict[str, Any] = {"notes": [{"kind": "note", "text": "t", "by": "b"}], "changes": [{"task": "t"}], "issues": [{"task": "t", "status": "x"}]}
    view = make_view(make_host(checks=[check], steps=[step], logs=[make_log()]), **said)
    every = [other for other in variants(view) if isinstance(other, dict)]
    assert len(every) > 2000
    for other in random.Random(20).sample(every, 250):
        changes = report.compare(view, other)
        page = Page(report.render_page(report.build_page(report._material(other, changes, {}))))
        assert page.disorder == []
        json.loads(report.render_json(other, changes))


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "a/b", "", ".hidden", "a\x00b", "x" * 200, None, 7, "a b", "run\n"])
def test_a_run_id_that_is_no_file_name_is_refused(tmp_path: Path, run_id: Any) -> None:
    with pytest.raises(InvalidInput):
        report.write_report(make_view(run_id=run_id), None, {}, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


# The same data as JSON


def test_the_data_are_the_view_and_the_comparison(tmp_path: Path) -> None:
    view, before = make_view(make_host(checks=[make_check(status="critical")])), make_view(make_host(checks=[make_check()]), run_id="before")
    _page, _html, data = written(tmp_path, view, before)
    extra = {key: data.pop(key) for key in ("schema", "changes_since")}
    assert data == view
    assert extra["changes_since"]["run_id"] == "before"
    assert [entry["check"] for entry in extra["changes_since"]["checks"]["new"]] == ["api answers"]


def test_the_data_are_ascii_sorted_and_strict(tmp_path: Path) -> None:
    view = make_view(make_host(checks=[make_check(measures={"b": math.nan, "a": -math.inf, "\u202e": "\x1b\ud800"})]))
    path = Path(report.write_report(view, None, {}, str(tmp_path))["json_path"])
    text = path.read_bytes().decode("ascii")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", text)

    def in_order(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert [key for key, _value in pairs] == sorted(key for key, _value in pairs)
        return dict(pairs)

    read = json.loads(text, parse_constant=pytest.fail, object_pairs_hook=in_order)
    assert read["systems"][0]["hosts"][0]["checks"][0]["measures"] == {"a": None, "b": None, "\u202e": "\x1b\ud800"}


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    view, series = make_view(make_host(checks=[make_check()])), make_series(values=[1, 2, 7])
    paths = [report.write_report(view, view, series, str(tmp_path / name)) for name in ("a", "b")]
    for key in ("html_path", "json_path"):
        assert len({Path(path[key]).read_bytes() for path in paths}) == 1


# Plots


def test_plots_beyond_the_first_are_folded_and_beyond_the_last_only_counted(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    checks = [make_check(f"check {index}") for index in range(40)]
    series = {("nextrade", "production", "app"): {(check["name"], "latency"): make_points([1, 2, 3]) for check in checks}}
    page, html, _data = written(tmp_path, make_view(make_host(checks=checks)), None, series)
    assert html.count('<svg class="plot"') == report.MOST_PLOTS == 36
    assert "24 more plots" in page.words and "4 more measures with a course" in page.words
    inert(page, html)


def test_without_the_library_it_says_in_one_sentence_why_and_keeps_the_small_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page, html, _data = written(tmp_path, make_view(make_host(checks=[make_check()])), None, make_series())
    assert 'class="plot"' not in html and 'class="spark"' in html
    (sentence,) = re.findall(r"There are no plots, because [^<.]*matplotlib.*?install it there \(pip install matplotlib[^)]*\)\.", page.words)
    assert sys.executable in sentence


def test_a_broken_library_costs_the_plots_and_not_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "load", lambda: 1 / 0)
    page, _html, _data = written(tmp_path, make_view(make_host(checks=[make_check()])), None, make_series())
    assert "There are no plots, because drawing them failed: ZeroDivisionError: division by zero." in page.words


def test_logs_have_plots_of_their_own_and_not_too_many(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    logs = [make_log(name=f"log {number}") for number in range(30)]
    page, html, _data = written(tmp_path, make_view(make_host(logs=logs)))
    assert html.count('<svg class="plot"') == report.MOST_LOG_PLOTS == 48
    assert "12 more plots would be too many." in page.words
    inert(page, html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))


def test_logs_without_the_library_say_why_there_are_no_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page, html, _data = written(tmp_path, make_view(make_host(logs=[make_log()])))
    assert 'class="plot"' not in html and "it failed" in page.words
    assert page.words.count("There are no plots, because") == 1


def test_a_run_without_logs_has_no_word_of_them(tmp_path: Path) -> None:
    hosts = [make_host(checks=[make_check()]), make_host(checks=[make_check()], logs=[])]
    plain, empty = (written(tmp_path, make_view(host))[1] for host in hosts)
    assert plain == empty
    assert 'href="#logs"' not in plain and 'id="logs"' not in plain


# Large


def test_500_checks_stay_small_and_quick(tmp_path: Path) -> None:
    checks = [make_check(f"check {index}", "critical" if index % 50 == 7 else "ok", message="status_code is 502") for index in range(25)]
    hosts = [make_host(f"node{number:02d}", checks) for number in range(20)]
    values = make_points(range(12))
    courses = {(check["name"], measure): values for check in checks for measure in check["measures"]}
    series = {("nextrade", "production", host["name"]): courses for host in hosts}
    start = time.process_time()
    _page, html, _data = written(tmp_path, make_view(*hosts), make_view(*hosts), series)
    assert time.process_time() - start < 10
    assert len(html) < 2_500_000
    assert html.count("<details") >= 20


# On the disk


@pytest.fixture
def before(tmp_path: Path) -> dict[Path, bytes]:
    """A report that is there already."""
    report.write_report(make_view(), None, {}, str(tmp_path))
    return {path: path.read_bytes() for path in tmp_path.iterdir()}


def after(folder: Path) -> dict[Path, bytes]:
    """Every file of the folder."""
    return {path: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("call", "turn"), [("fdopen", 1), ("fdopen", 2), ("fchmod", 1), ("fchmod", 2), ("fsync", 1), ("fsync", 2), ("replace", 1)])
def test_when_a_write_fails_the_old_report_stays(tmp_path: Path, before: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch, call: str, turn: int) -> None:
    calls: list[Any] = []
    real = getattr(os, call)

    def failing(*given: Any, **named: Any) -> Any:
        calls.append(given)
        if len(calls) == turn:
            raise OSError(28, "No space left on device")
        return real(*given, **named)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(OSError, match="No space left"):
        report.write_report(make_view(make_host(checks=[make_check()])), None, {}, str(tmp_path))
    assert after(tmp_path) == before


def test_a_full_disk_keeps_the_old_report(tmp_path: Path, before: dict[Path, bytes]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            report.write_report(make_view(make_host(checks=[make_check()])), None, {}, str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert after(tmp_path) == before


DYING = """
import json, os, signal, sys
from ansible_collections.tradeops.runbook.plugins.plugin_utils import report
calls = 0
def dying(real):
    def call(*given):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)
    return call
for name in ("fsync", "fchmod", "replace"):
    setattr(os, name, dying(getattr(os, name)))
report.write_report(json.load(sys.stdin), None, {}, sys.argv[1])
"""


@pytest.mark.parametrize("turn", range(1, 8))
def test_a_killed_writer_leaves_whole_files_and_the_next_one_tidies_up(tmp_path: Path, before: dict[Path, bytes], turn: int) -> None:
    argv = [sys.executable, "-c", DYING, str(tmp_path), str(turn)]
    ended = subprocess.run(argv, input=json.dumps(make_view(user="somebody else")), text=True, env=environment(), timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".report-")}
    assert names == {f"{RUN}.html", f"{RUN}.json"}
    for path, content in before.items():
        assert path.read_bytes() == content or path.read_bytes().endswith((b"</html>", b"}\n")), path
    for path in tmp_path.glob(".report-*"):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    report.write_report(make_view(), None, {}, str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_temporary_file_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / ".report-other.tmp"
    other.write_text("being written")
    report.write_report(make_view(), None, {}, str(tmp_path))
    assert other.exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_group_may_read_and_others_may_not(tmp_path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        paths = report.write_report(make_view(), None, {}, str(tmp_path / "new" / "folder"))
    finally:
        os.umask(previous)
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in paths.values()} == {0o640}
    assert stat.S_IMODE(os.stat(tmp_path / "new" / "folder").st_mode) == 0o750 & ~umask


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "reports"
    victim.write_text("mine")
    folder.mkdir()
    (folder / f"{RUN}.html").symlink_to(victim)
    report.write_report(make_view(), None, {}, str(folder))
    assert victim.read_text() == "mine" and not (folder / f"{RUN}.html").is_symlink()


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="exists|Not a directory"):
        report.write_report(make_view(), None, {}, str(tmp_path / "file"))


# To the eye


def colours(theme: str) -> dict[str, str]:
    """The variables of one theme, as written in the style sheet."""
    blocks = re.findall(r":root \{(.*?)\}", TEMPLATE, re.DOTALL)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[("light", "dark", "print").index(theme)]))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


STATUSES = ("ok", "warning", "critical", "unknown", "skipped")


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_has_the_contrast_of_level_aa(theme: str) -> None:
    known = colours(theme)
    pairs = [(text, ground) for text in ("text", "muted", "link", *STATUSES) for ground in ("page", "card", "soft") if text in known]
    pairs += [("text", f"{status}-tint") for status in STATUSES]
    pairs += [("muted", "unknown-tint"), ("unknown", "unknown-tint"), ("card", "critical"), ("plot-text", "card")]
    weak = {pair: round(contrast(known[pair[0]], known[pair[1]]), 2) for pair in pairs if contrast(known[pair[0]], known[pair[1]]) < 4.5}
    assert weak == {}


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_signs_have_the_contrast_of_level_aa(theme: str) -> None:
    known = colours(theme)
    pairs = [(f"{status}-fill", ground) for status in STATUSES for ground in ("card", "page", f"{status}-tint")] + [("plot-line", "card")]
    pairs += [(f"course-{letter}", "card") for letter in "abcd"]
    weak = {pair: round(contrast(known[pair[0]], known[pair[1]]), 2) for pair in pairs if contrast(known[pair[0]], known[pair[1]]) < 3}
    assert weak == {}


def test_every_variable_is_defined_in_both_themes() -> None:
    assert set(colours("light")) == set(colours("dark"))
    used = set(re.findall(r"var\(--([a-z-]+)\)", TEMPLATE)) | set(charts.sentinel.__globals__["COLOURS"].values())
    assert used - {"on"} <= set(colours("light"))


def test_status_is_never_only_a_colour(tmp_path: Path) -> None:
    checks = [make_check(status, status) for status in STATUSES]
    page, _html, _data = written(tmp_path, make_view(make_host(checks=checks), make_host("db", reachable=False)))
    for status in (*STATUSES, "unreachable"):
        assert f"#i-{status}" in page.values("href"), "a sign of its own shape"
        assert re.search(rf"\b{status}\b", page.words)
