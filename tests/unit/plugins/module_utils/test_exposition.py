# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of metrics: the format as it is documented, and nothing that is only nearly it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.exposition import parse, parse_selector, select

# The example of the documentation, as it is there.
EXAMPLE = rb"""# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# A histogram, which has a pretty complex representation in the text format:
# HELP http_request_duration_seconds A histogram of the request duration.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
"""


def value(page: bytes, text: str, combine: str | None = None) -> float:
    return select(parse(page), parse_selector(text), combine)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('http_requests_total{code="400"}', 3),
        ('http_requests_total{code="200",method="post"}', 1027),
        ('http_requests_total{method="post", code="200",}', 1027),
        (r'msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT"}', 1.458255915e9),
        (r'msdos_file_access_time_seconds{error="Cannot find file:\n\"FILE.TXT\""}', 1.458255915e9),
        ("metric_without_timestamp_and_labels", 12.47),
        ("metric_without_timestamp_and_labels{}", 12.47),
        ('http_request_duration_seconds_bucket{le="+Inf"}', 144320),
        ("http_request_duration_seconds_sum", 53423),
    ],
)
def test_the_example_of_the_documentation(text: str, number: float) -> None:
    assert value(EXAMPLE, text) == number


@pytest.mark.parametrize(("combine", "number"), [("sum", 1030), ("min", 3), ("max", 1027)])
def test_several_samples_combined(combine: str, number: float) -> None:
    assert value(EXAMPLE, 'http_requests_total{method="post"}', combine) == number


@pytest.mark.parametrize(
    ("text", "combine", "words"),
    [
        ("http_requests_total", None, "2 samples"), ("http_requests", None, "no sample"), ('http_requests_total{code="500"}', None, "no sample"),
        ('http_requests_total{code="500"}', "sum", "no sample"), ("something_weird", None, "no number"), ("something_weird", "max", "no number"),
    ],
)  # fmt: skip
def test_what_is_not_exactly_one_number(text: str, combine: str | None, words: str) -> None:
    with pytest.raises(VerifyFailed, match=words):
        value(EXAMPLE, text, combine)


@pytest.mark.parametrize(
    "line",
    [b"up", b"up1", b"up one", b"up 1 2 3", b"up 1 1.5", b"up 1,5", b"up 1_000", b"up 0x10", b"up nan5", b"1up 1", b"up{a=1} 1", b"up{a='1'} 1", b'up{a="1} 1',
     b'up{a="1"b="2"} 1', b'up{,a="1"} 1', b'up{a="1"} 1 # {} 5', b"up 1\r", b"{} 1", b"<html>", b"u-p 1", b"up\xff 1", b"up\xc2\xa01"],
)  # fmt: skip
def test_one_line_that_cannot_be_read_spoils_the_page(line: bytes) -> None:
    with pytest.raises(VerifyFailed, match="not a page of metrics") as caught:
        parse(b"ok 1\n" + line + b"\nafter 2\n")
    assert "html" not in caught.value.message


def test_a_page_that_was_cut_off_is_none() -> None:
    for size in range(len(EXAMPLE) - 1):
        if EXAMPLE[:size].endswith(b"\n"):
            parse(EXAMPLE[:size])  # nobody can know
        else:
            with pytest.raises(VerifyFailed):
                parse(EXAMPLE[:size])


@pytest.mark.parametrize(("line", "number"), [
    (b"up 1", 1), (b"  up\t1  ", 1), (b"up{} .5", 0.5), (b"up 5.", 5), (b"up -1.5e-3", -0.0015), (b'up { a = "1" , } 7 123', 7),
    (b'up{a="}\\""}2', 2), (b"a:b 1", 1),
])  # fmt: skip
def test_other_ways_to_write_a_sample(line: bytes, number: float) -> None:
    assert [one.value for one in parse(line + b"\n#\n\n \t\n# up\n")] == [number]


@pytest.mark.parametrize(("text", "good"), [(b"NaN", math.isnan), (b"+Inf", math.isinf), (b"-Inf", math.isinf), (b"Inf", math.isinf)])
def test_values_that_are_no_numbers(text: bytes, good: Any) -> None:
    assert good(parse(b"up " + text + b"\n")[0].value)
    with pytest.raises(VerifyFailed, match="no number"):
        value(b"up " + text + b"\nup{a=\"1\"} 5\n", "up", "sum")


@pytest.mark.parametrize("text", ["", "up 1", "up{", 'up{a!="1"}', 'up{a=~"1"}', "sum(up)", "up[5m]", None, 5, {}, "{}", '{a="1"}', "up{a}"])
def test_what_names_no_metric(text: Any) -> None:
    with pytest.raises(InvalidInput, match="not the name of a metric"):
        parse_selector(text)


LABELS = st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True), st.text(max_size=8), max_size=4)


@given(st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True), LABELS, st.floats(allow_nan=False, allow_infinity=False))
def test_what_was_written_is_read(name: str, labels: dict[str, str], number: float) -> None:
    written = [(key, text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')) for key, text in labels.items()]
    text = name + "{" + ",".join(f'{key}="{escaped}"' for key, escaped in written) + "}"
    assert select(parse(f"# TYPE x\n{text} {number!r}\n".encode()), parse_selector(text)) == number
    assert parse_selector(text).labels == labels


def test_a_long_hostile_line_takes_no_longer() -> None:
    for line in (b"up{" + b'a="' + b"\\" * 100001, b"up{" + b'a="1",' * 20000, b"up " + b" " * 100000 + b"x", b"a" * 100000, b'up{a="' + b"x" * 100000):
        with pytest.raises(VerifyFailed):
            parse(line + b"\n")


def test_as_the_library_reads() -> None:
    library = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    theirs = [(one.name, one.labels, float(one.value)) for family in library.text_string_to_metric_families(EXAMPLE.decode()) for one in family.samples]
    assert sorted(map(repr, theirs)) == sorted(repr((one.name, one.labels, one.value)) for one in parse(EXAMPLE))
