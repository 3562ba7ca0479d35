# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes secrets out of everything that leaves, in the forms in which they tend to leave.

Ansible's own ``no_log`` replaces a value only where it stands as it is; a token in a Basic header, a URL or a JSON string passes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
SHORTEST = 4
"""Shorter secrets would turn harmless words into gaps; Ansible's own no_log still covers them where they stand alone."""

_CREDENTIALS = re.compile(r"([A-Za-z][\w-]*)\s+(\S+)")
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/?#\s@]*?:([^/?#\s]+)@")


def collect(value: Any) -> set[str]:
    """Every string inside an option that holds secrets (a text, or a mapping or list of them)."""
    if isinstance(value, Mapping):
        return {text for item in value.values() for text in collect(item)}
    if isinstance(value, (list, tuple, set)):
        return {text for item in value for text in collect(item)}
    return _parts(str(value)) if value is not None and not isinstance(value, bool) else set()


def _parts(text: str) -> set[str]:
    """A secret, and what of it may come back alone: without blanks around it, without ``Bearer``, the password of ``Basic``."""
    found = {text, text.strip()}
    header = _CREDENTIALS.fullmatch(text.strip())
    if header is None:
        return found
    found.add(header.group(2))
    if header.group(1).lower() == "basic":
        try:
            found.add(base64.b64decode(header.group(2)).decode().partition(":")[2])
        except ValueError:
            pass
    return found - {""}


def in_addresses(value: Any) -> set[str]:
    """Passwords in addresses such as ``https://user:password@host``, wherever somebody wrote one."""
    if isinstance(value, Mapping):
        return {text for item in value.values() for text in in_addresses(item)}
    if isinstance(value, (list, tuple, set)):
        return {text for item in value for text in in_addresses(item)}
    return set(_PASSWORD_IN_ADDRESS.findall(value)) if isinstance(value, str) else set()


def forms(secret: str) -> set[str]:
    """``secret`` raw and as base64 (at every alignment), URL, JSON, Python and hex text. Letter case is left to the search."""
    raw = secret.encode("utf-8", "surrogatepass")
    plain = {secret, secret.upper(), secret.lower()}  # some letters become others, which a search without case does not know
    found = {form for text in plain for form in (text, _json(text, False), _json(text, True), quote(text, errors="surrogatepass"))}
    found |= {quote(secret, safe="", errors="surrogatepass"), quote_plus(secret, errors="surrogatepass"), raw.hex()}
    found |= {form.replace("/", "\\/") for form in found}  # PHP writes JSON so
    found |= {repr(raw)[2:-1], *(repr(text)[1:-1] for text in plain)}
    if all(ord(letter) < 256 for letter in secret):
        found.add(repr(secret.encode("latin-1"))[2:-1])  # how the HTTP library shows a header field
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found.update(_base64_core(raw, shift, encode) for shift in range(3))
    return {form for form in found if len(form) >= SHORTEST}


def _json(text: str, ascii_only: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _base64_core(raw: bytes, shift: int, encode: Any) -> str:
    """The characters of base64 that depend on ``raw`` alone when ``shift`` unknown bytes stand before it."""
    text = encode(b"\0" * shift + raw).decode("ascii").rstrip("=")
    start = (0, 2, 3)[shift]
    spare = (len(raw) + shift) % 3
    return text[start : len(text) - 1 if spare else len(text)]


class Redactor:
    """Knows the secrets of one call."""

    def __init__(self, secrets: Iterable[str]) -> None:
        every = {form.lower() if form.isascii() else form for secret in secrets if len(secret) >= SHORTEST for form in forms(secret)}
        self._pattern = re.compile("|".join(re.escape(form) for form in sorted(every, key=len, reverse=True)), re.IGNORECASE) if every else None

    def text(self, text: str) -> str:
        """``text`` without any secret."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text

    def data(self, value: Any) -> Any:
        """The same for every string, key and number of nested data."""
        if self._pattern is None:
            return value
        if isinstance(value, (str, bytes)):
            return self.text(value if isinstance(value, str) else value.decode("utf-8", "replace"))
        if isinstance(value, Mapping):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.data(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return REDACTED if self._pattern.fullmatch(str(value)) else value
        return value
