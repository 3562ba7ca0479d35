# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a log line is, apart from its digits and ids: which patterns match, its level, its signature, secrets in it.

Lines that differ only in digits, or in hexadecimal ids, are the same *shape*, and each shape is looked at once. Digits, and letters
within ids, are masked as zeros: a pattern that cannot tell them apart matches a line if and only if it matches its shape. The others
("status=50[23]") are searched in the lines themselves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache

from .errors import InvalidInput

_DIGITS = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))

SHAPES = 20000
_LONGEST_SHAPE = 4096
SIGNATURES = 10000
SIGNATURE_LENGTH = 300
OTHER = "(other lines: more different ones than can be told apart)"
WORSE = ("WARNING", "WARN", "ERROR", "CRITICAL", "FATAL")
"""Levels of lines that somebody should look at."""

_TOKENS = re.compile(
    r"(?P<any>\\[sSwWbB]|[.^$])|(?P<group>\((?:\?:|(?!\?))|\)|\|)|(?P<often>[*+?]\??)|(?P<literal>\\[^\w\s]|[^\W0-9]|[^\w\\.^$*+?{}\[\]()|])", re.DOTALL
)
"""A regular expression that only has these parts can be understood here: what matches anything, groups, quantifiers, plain characters."""

_ID = re.compile(rb"\b[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,12})*\b").sub
_NO_LETTERS = bytes(48 if chr(byte) in "abcdefABCDEF" else byte for byte in range(256))


def _class_of(character: str) -> str:
    if character in "0123456789abcdefABCDEF":
        return "0"
    return character if character in "\n-" else "w" if character.isascii() and (character.isalnum() or character == "_") else " "


_CLASSES = "".join(_class_of(chr(byte)) for byte in range(256)).encode()
_IDS = re.compile(rb" 000000000*(?:-00000*)*(?![w0])").finditer
_NOT_IN_BULK = re.compile(r"\\[AZznr]|\(\?[A-Za-z]|\(\?[=!<]|\n")

_FOLDS = (
    (re.compile(rb"\b0{8,}(?:-0{4,12})+\b"), rb"<id>"),
    (re.compile(rb"\b0+\.0+\.0+\.0+\b"), rb"<address>"),
    (re.compile(rb"0+(?:[.,:]0+)*"), rb"<n>"),
)

_NOT_A_SECRET = rb"(?!(?i:none|null|true|false|missing|invalid|redacted|hidden|unset|required|expired|incorrect|changed|rotated)\b)"
_VALUE = _NOT_A_SECRET + rb"""(?P<value>[^\s"',;&*<>\[\]\\]{6,})"""
_NAMED = rb"(?i:\b[\w-]*(?:password|passwd|secret|api_?-?key|access_?token|auth_?token|admin_?token))"
_GIVEN = rb"""(?:["']?\s*=\s*["']?|["']\s*:\s*["']?|:\s*(?=\S*[0-9]))"""  # in prose ("secret: kept in the vault") a value has a digit
SECRETS: dict[str, bytes] = {
    "token in a header": rb"(?i:\bx-[a-z-]*(?:token|key|secret))[\"']?\s*[:=]\s*[\"']?" + _VALUE,
    "authorization": rb"(?i:authorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token))\s+(?P<value>[\w.+/=~-]{8,})",
    "password or key": _NAMED + _GIVEN + _VALUE,
    "address with a password": rb"[a-z+]+://[^\s:/@]+:(?P<value>[^\s@/*<]{3,})@",
    "private key": rb"(?P<value>-----BEGIN [A-Z ]*PRIVATE KEY-----)",
    "access key": rb"(?P<value>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{30,}|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,})",
}  # fmt: skip
"""What a secret in a log looks like. ``value`` is what must not be shown. No expression tells one digit from another."""

_SUSPECT = re.compile(rb"(?i:token|passw|secret|api_?-?key|authorization|x-[a-z-]*key)|://[^\s/]*@|-----BEGIN|AKIA|ASIA|gh[pousr]_|xox|eyJ").search
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def compile_pattern(text: str, ignore_case: bool = False) -> re.Pattern[bytes]:
    """A regular expression over bytes. Raises InvalidInput."""
    try:
        return re.compile(text.encode(), re.MULTILINE | (re.IGNORECASE if ignore_case else 0))
    except (re.error, UnicodeEncodeError, RecursionError) as error:
        raise InvalidInput(f'"{text}" is not a regular expression: {error}', "it is Python's re syntax; escape ( [ . with a backslash") from None


def sees_ids(text: str) -> bool:
    """Whether a pattern may tell one digit or id from another; then it has to see the line itself. In doubt it may.

    It cannot when it names no digit, no class of characters, and every word in it has a letter that no hexadecimal id has: what it
    matches then lies in no id, or was matched by something that takes any character.
    """
    position, word = 0, ""
    words: list[str] = []
    while position < len(text):
        found = _TOKENS.match(text, position)
        if found is None:
            return True
        position = found.end()
        part = found.group("literal")
        if part is not None and (part.isalpha() or part == "_"):
            word += part
            continue
        if found.group("often") and word:
            word = word[:-1] or "a"  # its last letter may be missing: what is left has to do
        words.append(word)
        word = ""
    return any(not set(word.lower()) - set("abcdef") for word in [*words, word] if word)


def works_in_bulk(text: str) -> bool:
    """Whether many lines may be searched at once without changing what a match within a line means."""
    return not _NOT_IN_BULK.search(text)


@cache
def _rules() -> list[re.Pattern[bytes]]:
    """The expressions of SECRETS, in order; compiling them takes as long as reading 100 kB, and most logs need none."""
    return [re.compile(expression) for expression in SECRETS.values()]


def redact(line: bytes) -> bytes:
    """``line`` with every value that looks like a secret as ``***``."""
    if _SUSPECT(line):
        for expression in _rules():
            line = expression.sub(_hide, line)
    return line


def _hide(found: re.Match[bytes]) -> bytes:
    start, end = (place - found.start() for place in found.span("value"))
    text = found.group()
    return text[:start] + b"***" + text[end:]


def printable(line: bytes, length: int = 500) -> str:
    """A line for people: secrets hidden, and nothing in it that moves a cursor, reverses text or ends a line."""
    text = redact(line[: 4 * length]).decode("utf-8", "backslashreplace")
    text = _UNSAFE.sub(lambda found: f"\\x{ord(found.group()):02x}" if ord(found.group()) < 256 else f"\\u{ord(found.group()):04x}", text)
    return text if len(text) <= length else f"{text[:length]}…"


def _without_letters(found: re.Match[bytes]) -> bytes:
    return found.group().translate(_NO_LETTERS)


def mask(data: bytes) -> bytes:
    """Lines with every digit, and every letter in an id, as a zero. (An id at the very beginning of a line is left to Shapes.)"""
    classes = data.translate(_CLASSES)
    masked = data.translate(_DIGITS)
    if b" 00000000" not in classes:
        return masked
    writable = bytearray(masked)
    for found in _IDS(classes):
        start, end = found.span()
        writable[start + 1 : end] = classes[start + 1 : end]
    return bytes(writable)


class Shape:
    """What all lines of some shapes have in common."""

    __slots__ = ("patterns", "benign", "secrets", "level", "signature")

    def __init__(self, patterns: tuple[int, ...], benign: int, secrets: tuple[int, ...], signature: Signature) -> None:
        self.patterns = patterns
        self.benign = benign
        self.secrets = secrets
        self.level = signature.level
        self.signature = signature


class Signature:
    """A kind of message: its text with numbers and ids folded."""

    __slots__ = ("id", "level", "text")

    def __init__(self, level: str, text: str) -> None:
        self.level = level
        self.text = text
        self.id = hashlib.sha256(f"{level}\n{text}".encode()).hexdigest()[:12]


class Shapes(dict[bytes, int]):
    """Masked line to the number of its shape: a dictionary that works out what it does not know yet."""

    def __init__(self, entry: re.Pattern[bytes], patterns: Mapping[int, re.Pattern[bytes]], benign: Mapping[int, re.Pattern[bytes]], secrets: bool) -> None:
        super().__init__()
        self._entry = entry.match
        self._patterns = [(number, pattern.search) for number, pattern in patterns.items()]
        self._benign = [(number, pattern.search) for number, pattern in benign.items()]
        self._look_for_secrets = secrets
        self.known: list[Shape] = []
        self._numbers: dict[tuple[object, ...], int] = {}
        self._signatures: dict[tuple[bytes, bytes], Signature] = {}
        self._by_id: dict[str, Signature] = {}

    def __missing__(self, line: bytes) -> int:
        without_ids = _ID(_without_letters, line)
        if without_ids != line:
            return self[without_ids]
        found = self._entry(line)
        parts = found.groupdict() if found else {}
        message = parts.get("message") or (line if found is None else b"")
        suspect = self._look_for_secrets and _SUSPECT(line)
        signature = self._signature(parts.get("level") or b"", message)
        patterns = tuple([number for number, search in self._patterns if search(line)])
        benign = next((number for number, search in self._benign if search(line)), -1)
        secrets = tuple([number for number, rule in enumerate(_rules()) if rule.search(line)]) if suspect else ()
        number = self._number(Shape(patterns, benign, secrets, signature))
        if len(self) >= SHAPES:
            self.clear()
        if len(line) <= _LONGEST_SHAPE:
            self[line] = number
        return number

    def _number(self, shape: Shape) -> int:
        key = (shape.patterns, shape.benign, shape.secrets, shape.signature.id)
        number = self._numbers.setdefault(key, len(self.known))
        if number == len(self.known):
            self.known.append(shape)
        return number

    def benign_twin(self, number: int, benign: int) -> int:
        """The shape of a line that is benign for a reason its shape cannot show."""
        shape = self.known[number]
        return number if shape.benign >= 0 else self._number(Shape(shape.patterns, benign, shape.secrets, shape.signature))

    def widened(self, number: int, patterns: set[int], secrets: set[int]) -> int:
        """The shape of a long line: that of its beginning, with what was found further on."""
        shape = self.known[number]
        return self._number(Shape(tuple(sorted({*shape.patterns, *patterns})), shape.benign, tuple(sorted({*shape.secrets, *secrets})), shape.signature))

    def _signature(self, level: bytes, message: bytes) -> Signature:
        """Looked up as it is first; folding is for messages of a new kind."""
        quick = (level, message[:1000])
        known = self._signatures.get(quick)
        if known is None:
            text = redact(message[:1000])
            for expression, name in _FOLDS:
                text = expression.sub(name, text)
            known = Signature(level.decode("ascii", "replace")[:20], printable(text, SIGNATURE_LENGTH))
            known = self._by_id.setdefault(known.id, known) if len(self._by_id) < SIGNATURES else self._by_id.get(known.id, _OTHER)
            if len(self._signatures) >= SHAPES:
                self._signatures.clear()
            self._signatures[quick] = known
        return known


_OTHER = Signature("", OTHER)

RULE_NAMES: Sequence[str] = list(SECRETS)
