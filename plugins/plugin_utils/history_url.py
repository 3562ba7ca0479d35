# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of a shared history, told without its password."""

from __future__ import annotations

import re
from urllib.parse import unquote

SCHEMES = ("postgresql://", "postgres://")

_USER = re.compile(r"(?P<scheme>[a-z]+://)(?:(?P<user>[^:@]*)(?::(?P<password>.*))?@)?(?P<rest>.*)", re.DOTALL)
"""Greedy: a password in which somebody forgot to escape "/", "?" or "@" is still taken for one."""

_IN_QUERY = re.compile(r"(?P<before>[?&](?:password|sslpassword)=)(?P<password>[^&]*)")


def without_password(url: str) -> str:
    """The same address, safe to hand to every task."""
    found = _USER.fullmatch(url)
    if found is None:
        return ""
    user = f"{found['user']}@" if found["user"] is not None else ""
    return f"{found['scheme']}{user}{_IN_QUERY.sub(lambda match: match['before'], found['rest'])}"


def label(url: str) -> str:
    """The address as messages name it: scheme, user, host, database."""
    return without_password(url).partition("?")[0] or "the shared history"


def is_ambiguous(url: str) -> bool:
    """Whether a password holds characters that must be escaped: a library would take part of it for a host or a port, and print that."""
    found = _USER.fullmatch(url)
    return found is None or re.search(r"[/?#@\s]", found["password"] or "") is not None


def secrets_in(url: str) -> set[str]:
    """Every form in which a library could print the password."""
    found = _USER.fullmatch(url)
    given = [found["password"] if found else "", *(match["password"] for match in _IN_QUERY.finditer(url))]
    return {form for secret in given if secret for form in (secret, unquote(secret))}
