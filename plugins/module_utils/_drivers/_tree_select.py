# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a backup takes: paths below the root, glob patterns that are left out, one file system or all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from .._core.errors import InvalidInput
from ._tree import TOP

Branch = Optional[dict[bytes, Any]]
"""What of a folder is wanted: name -> Branch of what is below; None is everything."""


class Selection:
    """``paths`` are relative to the root; ``exclude`` are globs: ``*`` and ``?`` stay inside a name, ``**`` does not."""

    def __init__(self, paths: Sequence[str] = (".",), exclude: Iterable[str] = (), one_file_system: bool = True) -> None:
        self.paths = without_nested([relative(path) for path in paths])
        self.one_file_system = one_file_system
        self.branch: Branch = None if TOP in self.paths else {}
        for path in self.paths if self.branch is not None else ():
            *above, name = path.split(b"/")
            branch: dict[bytes, Any] = self.branch
            for folder in above:
                branch = branch.setdefault(folder, {})
            branch[name] = None
        patterns = [_expression(pattern) for pattern in exclude]
        self._excluded = re.compile(b"|".join(patterns), re.DOTALL) if patterns else None

    @classmethod
    def everything(cls, tops: Sequence[str]) -> Selection:
        """All there is, counted for these paths."""
        selection = cls(tops)
        selection.branch = None
        return selection

    def excludes(self, path: bytes) -> bool:
        """Whether a pattern leaves out the member, with all that is below it."""
        return self._excluded is not None and self._excluded.fullmatch(path) is not None


def relative(path: str) -> bytes:
    """The path in its one spelling. Raises InvalidInput when it is not below the root."""
    encoded = path.encode("utf-8", "surrogateescape")
    names = [name for name in encoded.split(b"/") if name not in (b"", b".")]
    if encoded.startswith(b"/") or b".." in names or b"\0" in encoded or not path:
        raise InvalidInput(f"{path!r} is not a path below the root", 'give it relative to the root, such as "data/orders", without ".."')
    return b"/".join(names) or TOP


def without_nested(paths: Sequence[bytes]) -> list[bytes]:
    """Those that are not below another one, each once, in order."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=lambda path: path.split(b"/")):
        if TOP not in kept and not (kept and path.startswith(kept[-1] + b"/")):
            kept.append(path)
    return [TOP] if TOP in kept else kept


_GLOB = re.compile(rb"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)
_MEANING = {b"**/": b"(?:.*/)?", b"**": b".*", b"*": b"[^/]*", b"?": b"[^/]"}


def _expression(pattern: str) -> bytes:
    """The regular expression of a glob."""
    encoded = relative(pattern)
    if encoded == TOP:
        raise InvalidInput(f"the pattern {pattern!r} leaves out everything", "remove it")
    return b"".join(_MEANING.get(token) or _literal(token) for token in _GLOB.findall(encoded))


def _literal(token: bytes) -> bytes:
    if len(token) == 1:
        return re.escape(token)
    negated = token[1:2] == b"!"
    letters = re.sub(rb"([\\\[\]^&~|])", rb"\\\1", token[1 + negated : -1])
    return b"(?!/)[" + (b"^" if negated else b"") + letters + b"]"
