# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing of a secret remains, in whatever form and wherever it stands; everything else stays as it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.redaction import REDACTED, Redactor, collect, forms, in_addresses

LETTERS = st.characters(exclude_categories=("Cs",))
ODD = st.sampled_from("\"'\\/+=&%?#@: \t\n<>{}[]é€ßİſ🔑\u2028\x00\x7f")
SECRETS = st.text(alphabet=st.one_of(LETTERS, ODD, st.characters(min_codepoint=33, max_codepoint=126)), min_size=4, max_size=40)
CONTEXTS = st.text(max_size=12) | st.text(alphabet='abcXYZ0189+/=%\\"u', max_size=12)

ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "url": quote,
    "url, strict": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "hex": lambda text: text.encode().hex(),
    "python": lambda text: repr(text)[1:-1],
    "python bytes": lambda text: repr(text.encode())[2:-1],
}
CASES: list[Callable[[str], str]] = [str, str.upper, str.lower, str.swapcase]
ODD_SECRETS = ["pass/word+1", "q\"uote's", "päss wört", "straße-1", "a\\b\nc", "ĿİǄ-Key", "🔑🔑🔑🔑", "dir/%2F?x=1&y", "0000", "====", "    "]


@settings(max_examples=300)
@example("00İ\u2028", "", "", "python", str.lower)
@given(SECRETS, CONTEXTS, CONTEXTS, st.sampled_from(sorted(ENCODINGS)), st.sampled_from(CASES))
def test_nothing_of_a_secret_remains(secret: str, before: str, after: str, encoding: str, case: Callable[[str], str]) -> None:
    written = case(ENCODINGS[encoding](secret))
    assume(case in (str, str.upper, str.lower) or secret.isascii())
    cleaned = Redactor([secret]).text(f"{before}{written}{after}")
    assert REDACTED in cleaned
    assert written not in cleaned


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@pytest.mark.parametrize("secret", ODD_SECRETS)
def test_odd_secrets(secret: str, encoding: str) -> None:
    for case in CASES[:3]:
        written = case(ENCODINGS[encoding](secret))
        assert Redactor([secret]).text(f"<{written}>") == f"<{REDACTED}>"


@settings(max_examples=300)
@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7), st.booleans(), st.booleans())
@example("user", b"", b"", False, False)
def test_nothing_remains_of_base64_at_any_alignment(secret: str, before: bytes, after: bytes, urlsafe: bool, padded: bool) -> None:
    """As in Basic authentication: ``user:secret`` as one text. At most the bits shared with a neighbour may show."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    whole = encode(before + secret.encode() + after).decode()
    cleaned = Redactor([secret]).text(whole if padded else whole.rstrip("="))
    assert REDACTED in cleaned
    raw = secret.encode()
    head, _gap, tail = cleaned.partition(REDACTED)
    if REDACTED not in tail:
        shown = len(head) * 6 // 8 - len(before) + max(0, len(tail.rstrip("=")) * 6 // 8 - len(after))
        assert shown <= 2, f"{shown} of {len(raw)} bytes remain"


@given(st.text(alphabet=LETTERS, max_size=60), st.lists(st.text(min_size=4, max_size=12), max_size=3))
def test_harmless_text_is_untouched(text: str, secrets: list[str]) -> None:
    assume(not any(form.casefold() in text.casefold() or form.lower() in text.lower() for secret in secrets for form in forms(secret)))
    assert Redactor(secrets).text(text) == text


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("abc", "abc stays, it is too short"),
        ("", "nothing"),
        ("changeme", "charge me, change me, CHANGE-ME"),
        ("password1", "the password is wrong"),
        ("héllo", "hello"),
    ],
)
def test_harmless_words_stay(secret: str, text: str) -> None:
    assert Redactor([secret]).text(text) == text


def test_the_longer_secret_wins() -> None:
    redactor = Redactor(["secret", "secret-and-more", "other"])
    assert redactor.text("a secret-and-more b secret c OTHER") == f"a {REDACTED} b {REDACTED} c {REDACTED}"


def test_data_of_every_shape() -> None:
    redactor = Redactor(["s3cret", "123456"])
    data = {"s3cret": ["x s3cret", ("S3CRET",), {"in": b"a s3cret"}, 123456, 1234567, 123456.5, True, None], "fine": {"s3cret"}, "n": frozenset(["ok"])}
    assert redactor.data(data) == {
        REDACTED: [f"x {REDACTED}", [REDACTED], {"in": f"a {REDACTED}"}, REDACTED, 1234567, 123456.5, True, None], "fine": [REDACTED], "n": ["ok"]}  # fmt: skip
    assert Redactor([]).data(data) is data
    assert data["fine"] == {"s3cret"}, "what was given is not changed"


JSONS = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=10)  # fmt: skip


@given(JSONS, st.text(alphabet="abcdefghijkl", min_size=12, max_size=20))
def test_data_without_secrets_is_untouched(data: Any, secret: str) -> None:
    assert Redactor([secret]).data(data) == data


@given(SECRETS, JSONS)
def test_no_secret_leaves_inside_data(secret: str, data: Any) -> None:
    assume(not secret.isascii() or secret.lower() not in REDACTED)
    nested = {"a": [data, {"b": f"x{secret}y"}], f"key {secret}": data}
    cleaned = Redactor([secret]).data(nested)
    assert cleaned["a"][1] == {"b": f"x{REDACTED}y"} or REDACTED in cleaned["a"][1]["b"]
    assert secret not in str(cleaned["a"][1]) and not any(secret in key for key in cleaned)


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        (None, set()),
        (True, set()),
        ("abcd", {"abcd"}),
        (123456, {"123456"}),
        (["a", {"b": "c", "d": [1]}], {"a", "c", "1"}),
        ("key\n", {"key\n", "key"}),
        ("Bearer abc.def", {"Bearer abc.def", "abc.def"}),
        (" Token abc ", {" Token abc ", "Token abc", "abc"}),
        ("Basic dXNlcjpwYTpzcw==", {"Basic dXNlcjpwYTpzcw==", "dXNlcjpwYTpzcw==", "pa:ss"}),
        ("basic !!!", {"basic !!!", "!!!"}),
        ("basic ////", {"basic ////", "////"}),
        ("correct horse battery", {"correct horse battery"}),
    ],
)
def test_what_of_an_option_is_secret(value: Any, secrets: set[str]) -> None:
    assert collect(value) == secrets


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("https://user:pa55@host/path", {"pa55"}),
        ("see https://user:p:a@host and ftp://:only@h", {"p:a", "only"}),
        ({"a": ["postgresql://u:pw@h/db"]}, {"pw"}),
        ("https://user@host/", set()),
        ("https://host/?mail=a:b@c", set()),
        ("https://host/a:b@c", set()),
        ("mailto:a:b@c", set()),
        (5, set()),
        (None, set()),
    ],
)
def test_passwords_in_addresses(value: Any, secrets: set[str]) -> None:
    assert in_addresses(value) == secrets


def test_forms_can_be_read_back() -> None:
    """The table above is only as good as its encoders."""
    for secret in ODD_SECRETS:
        assert unquote(ENCODINGS["url"](secret)) == unquote(ENCODINGS["url, strict"](secret)) == unquote_plus(ENCODINGS["form"](secret)) == secret
        assert json.loads(f'"{ENCODINGS["json"](secret)}"') == json.loads(f'"{ENCODINGS["json of PHP"](secret)}"') == secret
        assert bytes.fromhex(ENCODINGS["hex"](secret)).decode() == secret
        assert secret in forms(secret) and all(len(form) >= 4 for form in forms(secret))
