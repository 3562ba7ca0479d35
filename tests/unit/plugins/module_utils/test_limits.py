# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of limits: everything is read or refused, and doubt is never ok."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.limits import Limit, Rule, parse_limit, parse_limits
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Unmeasured

UNITS = {"latency": "s", "size": "B", "used_percent": "percent", "count": "count", "load": "number", "writable": "boolean", "mode": "text",
         "addresses": "list", "seen": "timestamp"}  # fmt: skip
NO_NUMBERS = [None, math.nan, math.inf, -math.inf, "", "5", "12,5", "NaN", True, False, [], [5], {}, {"a": 5}, (5,), b"5", 10**400, Unmeasured("why")]
FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)


@pytest.mark.parametrize(
    ("text", "comparator", "operand", "unit"),
    [
        ("> 80 %", ">", 80, "percent"),
        (">80%", ">", 80, "percent"),
        (" >=  5 min ", ">=", 300, "s"),
        ("< 2 GiB", "<", 2**31, "B"),
        ("<= -3", "<=", -3, ""),
        ("== 200", "==", 200, ""),
        ("!= healthy", "!=", "healthy", ""),
        ("!= true", "!=", True, ""),
        ("== False", "==", "False", ""),
        ("== null", "==", None, ""),
        ("== 'true'", "==", "true", ""),
        ('== "5 s"', "==", "5 s", ""),
        ("!= a b", "!=", "a b", ""),
        ("== it's", "==", "it's", ""),
        ("== '", "==", "'", ""),
        ("not in [ok, degraded]", "not in", ["ok", "degraded"], ""),
        ("not  in[ok]", "not in", ["ok"], ""),
        ("in [1, 2.5, true, null, 'a, b', \"c\"]", "in", [1, 2.5, True, None, "a, b", "c"], ""),
        ("in [\n  ok,\n  fine\n]", "in", ["ok", "fine"], ""),
    ],
)
def test_limits(text: str, comparator: str, operand: Any, unit: str) -> None:
    assert parse_limit(text) == Limit(text.strip(), comparator, operand, unit)


@pytest.mark.parametrize("text", ["> 1.5 x baseline", ">1.5x baseline", "> 1.5  x  baseline"])
def test_limits_relative_to_a_baseline(text: str) -> None:
    limit = parse_limit(text)
    assert limit.of_baseline and limit.operand == 1.5
    assert [limit.state(value, 2.0) for value in (3.0, 3.1)] == ["ok", "crossed"]


@pytest.mark.parametrize(
    "text",
    ["", " ", "80 %", ">", "> ", ">=", "==", "== ", "> high", "> 80 percent", "> nan", "> inf", "> 1e999", "=> 5", ">> 5", "> = 5", "<> 5", "= 5", "! 5",
     "in ok", "in []", "in [ ]", "in [a", "in a]", "in [a,,b]", "in [,]", "in ['a]", "in ['a'b]", "inside [a]", "not [a]", "not in", "notin [a]",
     "> 1,5 x baseline", "> -1 x baseline", "> x baseline", None, 5, 5.0, True, [], ["> 5"], {}, b"> 5"],
)  # fmt: skip
def test_no_limits(text: Any) -> None:
    with pytest.raises(InvalidInput, match="is not a (limit|list|number)|is too large"):
        parse_limit(text)


COMPARATORS = st.sampled_from([">", "<", ">=", "<=", "==", "!=", "in", "not in", "not  in ", "=", "x baseline", "", " "])


@settings(max_examples=300)
@given(st.tuples(COMPARATORS, st.text(max_size=15) | st.text(alphabet="[]'\", \n0159.xse%", max_size=12)).map(" ".join) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        limit = parse_limit(text)
    except InvalidInput:
        return
    assert limit.state(None, None) in ("unknown", "crossed", "ok")
    assert limit.state(Unmeasured("why"), 1.0) == "unknown"


@given(st.sampled_from([">", "<", ">=", "<=", "==", "!="]), FINITE, st.sampled_from(NO_NUMBERS), st.booleans())
def test_what_is_no_number_is_never_ok(comparator: str, operand: float, value: Any, relative: bool) -> None:
    baseline = relative and comparator not in ("==", "!=")
    limit = parse_limit(f"{comparator} {abs(operand):.3f} x baseline" if baseline else f"{comparator} {operand!r}")
    assert limit.state(value, 1.0) == "unknown"
    assert limit.state(value) == "unknown"


@pytest.mark.parametrize(
    ("text", "value", "state"),
    [
        ("== ok", "ok", "crossed"),
        ("== ok", "OK", "ok"),
        ("!= ok", "down", "crossed"),
        ("!= ok", None, "unknown"),
        ("!= ok", True, "unknown"),
        ("== true", "true", "unknown"),
        ("== true", 1, "unknown"),
        ("!= true", False, "crossed"),
        ("!= true", True, "ok"),
        ("!= true", None, "unknown"),
        ("!= 200", 200, "ok"),
        ("!= 200", 200.0, "ok"),
        ("!= 200", "200", "unknown"),
        ("== 1", True, "unknown"),
        ("== null", None, "crossed"),
        ("== null", 0, "ok"),
        ("!= null", "x", "crossed"),
        ("in [1, ok]", "ok", "crossed"),
        ("in [1, ok]", 1, "crossed"),
        ("in [1, ok]", 2, "ok"),
        ("in [1, ok]", True, "unknown"),
        ("in [1, ok]", [1], "unknown"),
        ("not in [ok, degraded]", "ok", "ok"),
        ("not in [ok, degraded]", "down", "crossed"),
        ("not in [ok, degraded]", None, "unknown"),
        ("not in [401, 403]", 200, "crossed"),
        ("not in [401, 403]", 403, "ok"),
        ("> 5", 5, "ok"),
        (">= 5", 5, "crossed"),
        ("< 0", -0.0, "ok"),
        ("> 5", SKIPPED, "skipped"),
        ("== ok", SKIPPED, "skipped"),
        ("> 2 x baseline", SKIPPED, "skipped"),
        ("> 2 x baseline", 5, "learning"),
        ("> 2 x baseline", "5", "unknown"),
    ],
)
def test_states(text: str, value: Any, state: str) -> None:
    assert parse_limit(text).state(value) == state


@pytest.mark.parametrize("baseline", [math.nan, math.inf, "5", True, [], 10**400])
def test_a_baseline_that_is_no_number(baseline: Any) -> None:
    assert parse_limit("> 2 x baseline").state(5, baseline) == "unknown"


@given(st.sampled_from([">", ">=", "<", "<="]), FINITE, FINITE, st.floats(min_value=0, max_value=1e15), st.floats(min_value=0.5, max_value=3))
def test_farther_past_a_limit_is_still_past_it(comparator: str, operand: float, value: float, more: float, baseline: float) -> None:
    for limit in (parse_limit(f"{comparator} {operand!r}"), parse_limit(f"{comparator} {abs(operand):.6f} x baseline")):
        farther = value + more if comparator.startswith(">") else value - more
        if limit.state(value, baseline) == "crossed":
            assert limit.state(farther, baseline) == "crossed"


@given(FINITE, FINITE)
def test_opposite_limits_never_agree(operand: float, value: float) -> None:
    for one, other in ((">", "<="), ("<", ">="), ("==", "!=")):
        states = {parse_limit(f"{comparator} {operand!r}").state(value) for comparator in (one, other)}
        assert states == {"ok", "crossed"}


@pytest.mark.parametrize("text", ["> 2 x baseline", "== null", "in [null, 5]", "!= 5 s", "not in [5 s, 10 s]"])
def test_limits_that_need_no_unit_or_have_it(text: str) -> None:
    assert parse_limits({"latency": {"warning": text}}, UNITS)[0].limit.text == text


def test_limits_of_a_check() -> None:
    found = parse_limits(
        {
            "latency": {"warning": "> 5 s", "critical": ["> 30 s", "< 0 s"], "severity": {"critical": "P1"}, "for": {"warning": "10 min"}},
            "count": {"critical": "> 0", "severity": "P4", "for": "1 h"},
            "size": {"warning": None, "critical": None},
        },
        UNITS,
    )
    assert found == [
        Rule("latency", "warning", Limit("> 5 s", ">", 5.0, "s"), "P3", 600.0),
        Rule("latency", "critical", Limit("> 30 s", ">", 30.0, "s"), "P1", 0.0),
        Rule("latency", "critical", Limit("< 0 s", "<", 0.0, "s"), "P1", 0.0),
        Rule("count", "critical", Limit("> 0", ">", 0.0), "P4", 3600.0),
    ]


@pytest.mark.parametrize(("text", "value"), [("== 0640", "0640"), ("in [0640, 0600]", "0600"), ("== true", "true"), ("== 5 s", "5 s"), ("== 1e3", "1e3")])
def test_limits_on_text_are_text(text: str, value: str) -> None:
    limit = parse_limits({"mode": {"critical": text}}, UNITS)[0].limit
    assert (limit.state(value), limit.state("other"), limit.state(None)) == ("crossed", "ok", "unknown")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"latecy": {"warning": "> 5 s"}}, 'limits: unknown measure "latecy"; did you mean "latency"?'),
        ({"latency": "> 5 s"}, "limits: latency: write it as {warning: ..., critical: ...}"),
        ({"latency": ["> 5 s"]}, "limits: latency: write it as"),
        ({"latency": None}, "limits: latency: write it as"),
        ({"latency": {"warn": "> 5 s"}}, 'limits: latency: unknown key "warn"; did you mean "warning"?'),
        ({"latency": {"severity": "P1"}}, "limits: latency: neither warning nor critical is given"),
        ({"latency": {}}, "limits: latency: neither warning nor critical is given"),
        ({"latency": {"warning": "> 5"}}, 'limits: latency: "> 5": say the unit'),
        ({"size": {"warning": "> 5"}}, 'limits: size: "> 5": say the unit'),
        ({"latency": {"warning": "> 5 KiB"}}, 'limits: latency: "> 5 KiB": say the unit'),
        ({"latency": {"warning": "== 5"}}, 'limits: latency: "== 5": say the unit'),
        ({"used_percent": {"warning": "> 5 s"}}, "used_percent is measured in percent, not in s"),
        ({"count": {"warning": "> 5 %"}}, "count is measured in count, not in percent"),
        ({"load": {"warning": "> 5 s"}}, "load is measured in number, not in s"),
        ({"writable": {"critical": "> 0"}}, "writable is a boolean, which has no order"),
        ({"writable": {"critical": "!= True"}}, "writable is true or false, not True"),
        ({"writable": {"critical": "!= 1"}}, "writable is true or false, not 1"),
        ({"writable": {"critical": "not in [true, yes]"}}, "writable is true or false, not yes"),
        ({"latency": {"critical": "== fast"}}, "latency is a number, not fast"),
        ({"latency": {"critical": "== 1.5 x baseline"}}, "latency is a number, not 1.5 x baseline"),
        ({"count": {"critical": "in [1, two]"}}, "count is a number, not two"),
        ({"count": {"critical": "== true"}}, "count is a number, not True"),
        ({"mode": {"critical": "> 5"}}, "mode is a text, which has no order"),
        ({"seen": {"critical": "< 5"}}, "seen is a timestamp, which has no order"),
        ({"addresses": {"critical": "== a"}}, "addresses is a list"),
        ({"latency": {"critical": "> 5 s", "severity": "P5"}}, 'limits: latency: unknown severity "P5"'),
        ({"latency": {"critical": "> 5 s", "severity": ["P1"]}}, "limits: latency: unknown severity"),
        ({"latency": {"critical": "> 5 s", "severity": {"critcal": "P1"}}}, 'limits: latency: severity: unknown key "critcal"; did you mean "critical"?'),
        ({"latency": {"critical": "> 5 s", "for": {"warnings": "5 min"}}}, 'limits: latency: for: unknown key "warnings"; did you mean "warning"?'),
        ({"latency": {"critical": "> 5 s", "for": 300}}, '"300" is not a duration'),
        ({"latency": {"critical": "> 5 s", "for": "5"}}, '"5" is not a duration'),
        ({"latency": {"critical": ["> 5 s", "high"]}}, '"high" is not a limit'),
        ({"latency": {"critical": 5}}, '"5" is not a limit'),
    ],
)
def test_mistakes_in_limits(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_limits(limits, UNITS)
    assert message in caught.value.message


def test_measures_that_only_show_when_measured() -> None:
    with pytest.raises(InvalidInput, match="unknown measure"):
        parse_limits({"open_orders": {"critical": "> 5"}}, UNITS)
    assert parse_limits({"open_orders": {"critical": "> 5"}}, UNITS, open_ended=True)[0].measure == "open_orders"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=6) | st.sampled_from(["> 5", "> 5 s", "!= true", "> 2 x baseline", "P1", "5 min"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["warning", "critical", "severity", "for", "x"]), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*UNITS, "x"]), VALUES, max_size=3), st.booleans())
def test_any_limits_are_read_or_refused(limits: dict[str, Any], open_ended: bool) -> None:
    try:
        rules = parse_limits(limits, UNITS, open_ended)
    except InvalidInput:
        return
    assert all(rule.severity in ("P1", "P2", "P3", "P4") and rule.for_seconds >= 0 for rule in rules)


@pytest.mark.parametrize("text", ["2 d", "25 h", "0 s", "10", None, True])
def test_what_for_cannot_be(text: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_limits({"latency": {"critical": "> 5 s", "for": text if text is not None else "x"}}, {"latency": "s"})
