# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks a tree from descriptor to descriptor, so that no exchange of a folder for a link leads out of it. Never follows a link, never opens a device."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ._tree import MAX_DEPTH, TOP, opened_folder, shown
from ._tree_select import Branch, Selection

_NAMED = 10
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class LeftOut:
    """What is not in a copy, or not as it was: how many of each kind, and the names of the first.

    Kinds: ``unreadable``, ``missing`` (selected and not there), ``too_deep``, ``special`` (FIFO, socket, device), ``mounted`` (other file
    system), ``vanished``, ``changed`` (while it was read), ``special_modes``, ``capabilities``.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, kind: str, path: bytes) -> None:
        """One more."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        names = self._names.setdefault(kind, [])
        if len(names) < _NAMED:
            names.append(shown(path))

    def failed(self, path: bytes, error: OSError) -> None:
        """What could not be opened: gone since its name was read, or unreadable."""
        self.add("vanished" if error.errno in _GONE else "unreadable", path)

    def sentences(self, kinds: Mapping[str, str]) -> list[str]:
        """``3 <text>: a, b, c`` for every kind of which there are any; ``kinds`` are their texts."""
        found = []
        for kind, text in kinds.items():
            count, names = self.counts.get(kind, 0), self._names.get(kind, [])
            if count:
                found.append(f"{count} {text}: {', '.join(names)}{' and more' if count > len(names) else ''}")
        return found


class Entry(NamedTuple):
    """One file, folder or link. ``fd`` is the folder itself, or for others the folder they are in; open while the entry is looked at.

    ``top`` is the selected path it belongs to, ``b""`` for folders on the way there.
    """

    path: bytes
    name: bytes
    stat: os.stat_result
    fd: int
    top: bytes


class _Folder(NamedTuple):
    fd: int
    prefix: bytes
    names: Iterator[bytes]
    branch: Branch
    top: bytes
    device: int


class Walk:
    """Every entry of a selection below an open folder, folders before what is in them, names in the order of their bytes."""

    def __init__(self, fd: int, selection: Selection, left_out: LeftOut) -> None:
        self._selection = selection
        self._left_out = left_out
        self._tops = frozenset(selection.paths)
        self._start = fd

    def __iter__(self) -> Iterator[Entry]:
        status = os.fstat(self._start)
        top = TOP if TOP in self._tops else b""
        stack = [self._listed(os.dup(self._start), b"", self._selection.branch, top)]
        try:
            yield Entry(TOP, b"", status, self._start, top)
            while stack:
                folder = stack[-1]
                name = next(folder.names, None)
                if name is None:
                    os.close(stack.pop().fd)
                    continue
                entry = self._entry(folder, name)
                if entry is None:
                    continue
                if stat.S_ISDIR(entry.stat.st_mode):
                    inner = self._inside(folder, entry, len(stack))
                    if inner is None:
                        continue
                    stack.append(inner)
                    entry = entry._replace(fd=inner.fd, stat=os.fstat(inner.fd))
                yield entry
        finally:
            for folder in stack:
                os.close(folder.fd)

    def _listed(self, fd: int, prefix: bytes, branch: Branch, top: bytes) -> _Folder:
        """The folder with its names. Owns the descriptor: closes it when the names cannot be read."""
        try:
            names = sorted(os.fsencode(name) for name in os.listdir(fd)) if branch is None else sorted(branch)
            return _Folder(fd, prefix, iter(names), branch, top, os.fstat(fd).st_dev)
        except OSError:
            os.close(fd)
            raise

    def _entry(self, folder: _Folder, name: bytes) -> Entry | None:
        path = folder.prefix + name
        if self._selection.excludes(path):
            return None
        try:
            status = os.lstat(name, dir_fd=folder.fd)
        except OSError as error:
            if folder.branch is not None and error.errno in _GONE:
                self._left_out.add("missing", path)
            else:
                self._left_out.failed(path, error)
            return None
        if stat.S_IFMT(status.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            self._left_out.add("special", path)
            return None
        if folder.branch is not None and folder.branch[name] is not None and not stat.S_ISDIR(status.st_mode):
            self._left_out.add("missing", path)  # a selected path goes on below it, and a link is not followed
            return None
        return Entry(path, name, status, folder.fd, path if path in self._tops else folder.top)

    def _inside(self, folder: _Folder, entry: Entry, depth: int) -> _Folder | None:
        """The folder of an entry, listed; None when it is left out."""
        if depth > MAX_DEPTH:
            self._left_out.add("too_deep", entry.path)
            return None
        branch = None if folder.branch is None else folder.branch[entry.name]
        try:
            fd = opened_folder(entry.name, folder.fd)
            # a folder that was selected by name may be a mount point
            if self._selection.one_file_system and folder.branch is None and os.fstat(fd).st_dev != folder.device:
                self._left_out.add("mounted", entry.path)
                branch = {}  # the folder itself is kept, as what to mount on
            return self._listed(fd, entry.path + b"/", branch, entry.top)
        except OSError as error:
            self._left_out.failed(entry.path, error)
            return None
