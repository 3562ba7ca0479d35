# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values reach PostgreSQL as data, whatever is in them; and a database is dressed like another one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _pg_sql as sql

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NASTY = TEXT | st.text(st.sampled_from("'\"\\ =,;\n-"), max_size=12)


@given(NASTY)
def test_a_quoted_name_is_one_identifier(name: str) -> None:
    """Read back by the rule of the manual: two double quotes are one."""
    match = re.fullmatch(r'"((?:[^"]|"")*)"', sql.quote_name(name))
    assert match and match[1].replace('""', '"') == name


@given(NASTY)
def test_a_quoted_text_is_one_literal(text: str) -> None:
    match = re.fullmatch(r"'((?:[^']|'')*)'", sql.quote_text(text))
    assert match and match[1].replace("''", "'") == text


def parse(conninfo: str) -> dict[str, str]:
    """As libpq's conninfo_parse does."""
    found, place = {}, 0
    while place < len(conninfo):
        key, _equals, rest = conninfo[place:].partition("=")
        assert rest[0] == "'"
        value, index = "", 1
        while rest[index] != "'":
            index += rest[index] == "\\"
            value += rest[index]
            index += 1
        found[key.strip()] = value
        place += len(key) + 1 + index + 1
    return found


@given(st.dictionaries(st.sampled_from(["dbname", "host", "user", "options"]), NASTY, max_size=4))
def test_a_connection_string_holds_what_it_was_given(parts: dict[str, str]) -> None:
    assert parse(sql.conninfo(parts)) == {key: value for key, value in parts.items() if value}


def test_what_is_not_given_is_left_to_libpq() -> None:
    assert sql.conninfo({"dbname": "x", "user": None, "host": "", "port": 5432}) == "dbname='x' port='5432'"


@given(st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), max_size=30) | st.text(st.sampled_from("\\:*"), max_size=10))
def test_a_password_file_holds_the_password(password: str) -> None:
    """Read as libpq's passwordFromFile does: a backslash takes the next character as it is, a colon ends the field."""
    line = sql.passfile_line(password).decode()
    assert line.startswith("*:*:*:*:") and line.endswith("\n")
    rest, found = line[8:-1], ""
    while rest:
        assert rest[0] != ":"
        rest = rest[1:] if rest[0] == "\\" else rest
        found, rest = found + rest[0], rest[1:]
    assert found == password


@pytest.mark.parametrize("password", ["a\nb", "a\rb", "a\0b"])
def test_what_cannot_stand_in_a_password_file(password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        sql.passfile_line(password)
    assert password not in caught.value.message


@given(TEXT)
def test_names_that_fit(name: str) -> None:
    if 0 < len(name.encode()) <= 63:
        assert sql.checked_name(name, "x") == name
    else:
        with pytest.raises(InvalidInput):
            sql.checked_name(name, "x")


@given(TEXT.filter(lambda name: 0 < len(name.encode()) <= 63), st.sampled_from(["_restore_7f3a9c1e", "_before_20261121T080000Z-7f3a9c1e"]))
def test_a_name_of_our_own_fits_and_tells_where_it_is_from(name: str, suffix: str) -> None:
    made = sql.own_name(name, suffix)
    assert len(made.encode()) <= 63 and made.endswith(suffix) and name.startswith(made[: -len(suffix)])
    assert made == name + suffix or len((name + suffix).encode()) > 63


@pytest.mark.parametrize(
    ("setting", "statement"),
    [("work_mem=5MB", "\"work_mem\" TO '5MB'"), ("application_name=it's=so", "\"application_name\" TO 'it''s=so'"), ("my.own=1", '"my"."own" TO \'1\''),
     ('search_path="s.x", public', "\"search_path\" TO 's.x', 'public'"), ('search_path="a""b",Public,  "c, d"', "\"search_path\" TO 'a\"b', 'public', 'c, d'"),
     ("search_path=", "\"search_path\" TO ''"), ('search_path=""', "\"search_path\" TO ''"), ("search_path=x;drop(1)", "\"search_path\" TO 'x;drop(1)'")],
)  # fmt: skip
def test_settings(setting: str, statement: str) -> None:
    assert sql._setting(setting) == statement


FIGURES: dict[str, Any] = {
    "encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "locale": None, "owner": "o'w", "connection_limit": -1,
    "acl": [["", "CONNECT", False], ["app", "TEMPORARY", True]], "settings": [["", "work_mem=1MB"], ["app", "a.b=c"]],
}  # fmt: skip


def test_dressing() -> None:
    present = {"acl": [["", "CONNECT", False], ["old", "CREATE", False]], "settings": [["old", "work_mem=2MB"], ["old", "x.y=1"], ["", "z.z=1"]]}
    assert list(sql.dress('d"b', FIGURES, present)) == [
        'ALTER DATABASE "d""b" OWNER TO "o\'w"', 'ALTER DATABASE "d""b" CONNECTION LIMIT -1', 'REVOKE ALL ON DATABASE "d""b" FROM "o\'w", "old", PUBLIC',
        'GRANT CONNECT ON DATABASE "d""b" TO PUBLIC', 'GRANT TEMPORARY ON DATABASE "d""b" TO "app" WITH GRANT OPTION', 'ALTER DATABASE "d""b" RESET ALL',
        'ALTER ROLE "old" IN DATABASE "d""b" RESET ALL', 'ALTER DATABASE "d""b" SET "work_mem" TO \'1MB\'',
        'ALTER ROLE "app" IN DATABASE "d""b" SET "a"."b" TO \'c\'',
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"acl": [["x", "CONNECT ON DATABASE y TO z; DROP", False]]}, {"connection_limit": "1; DROP"}])
def test_a_manifest_cannot_bring_statements(wrong: dict[str, Any]) -> None:
    with pytest.raises((InvalidInput, ValueError)):
        list(sql.dress("db", {**FIGURES, **wrong}, {"acl": [], "settings": []}))


@pytest.mark.parametrize(
    ("more", "version", "end"),
    [({}, 140000, "LC_COLLATE = 'C' LC_CTYPE = 'C'"), ({}, 150000, "LC_COLLATE = 'C' LC_CTYPE = 'C' LOCALE_PROVIDER = libc"),
     ({"provider": "i", "locale": "de'x"}, 150000, "LC_COLLATE = 'C' LC_CTYPE = 'C' LOCALE_PROVIDER = icu ICU_LOCALE = 'de''x'"),
     ({"provider": "b", "locale": "C.UTF-8", "collate": None, "ctype": None}, 180000, "LOCALE_PROVIDER = builtin BUILTIN_LOCALE = 'C.UTF-8'")],
)  # fmt: skip
def test_creating(more: dict[str, Any], version: int, end: str) -> None:
    statement = sql.create("n", {**FIGURES, **more}, version)
    assert statement == f'CREATE DATABASE "n" TEMPLATE = template0 OWNER = "o\'w" ENCODING = \'UTF8\' {end}'
