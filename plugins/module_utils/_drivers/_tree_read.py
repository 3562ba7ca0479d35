# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a tree on disk as members with their content, and counts and digests it on the way: the same for what is backed up and what was restored."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from .._core.backup_types import Inventory
from ._tree import FILE, FOLDER, HARDLINK, LINK, Content, Member, closing_fd, opened_file, restorable, shown
from ._tree_content import FileContent
from ._tree_select import Selection
from ._tree_walk import Entry, LeftOut, Walk

_KINDS = {FILE: "files", FOLDER: "folders", LINK: "links", HARDLINK: "hardlinks"}


class Listing:
    """Counts members, and digests them.

    The digest is SHA-256 over one record a member, in the order of the walk; its fields end with NUL: path, kind, permissions (without
    setuid, setgid, sticky), uid, gid, size, mtime in nanoseconds, target, digest of the content, then name and hex value of each extended
    attribute that a restore puts back; the record ends with a line feed.
    """

    def __init__(self, tops: Sequence[bytes]) -> None:
        self._sha = hashlib.sha256()
        self._totals = {"files": 0, "folders": 0, "links": 0, "hardlinks": 0, "bytes": 0}
        self._tops = {top: {"files": 0, "bytes": 0} for top in tops}

    def add(self, member: Member, top: bytes, content: str = "") -> None:
        """One more member, below the selected path ``top``."""
        self._totals[_KINDS[member.kind]] += 1
        if member.kind == FILE:
            self._totals["bytes"] += member.size
            figures = self._tops.get(top)
            if figures is not None:
                figures["files"] += 1
                figures["bytes"] += member.size
        numbers = b"%o\0%d\0%d\0%d\0%d" % (member.mode & 0o777, member.uid, member.gid, member.size, member.mtime_ns)
        fields = [member.path, member.kind.encode(), numbers, member.target, content.encode()]
        for name, value in member.xattrs:
            if restorable(name):
                fields += (name, value.hex().encode())
        self._sha.update(b"\0".join(fields) + b"\0\n")

    def inventory(self, special_skipped: int, unreadable: int) -> Inventory:
        """What was counted. The two figures are of what is not in the tree."""
        totals = {"objects": self._totals["files"], **self._totals, "special_skipped": special_skipped, "unreadable": unreadable}
        return Inventory({shown(top): figures for top, figures in self._tops.items()}, totals, self._sha.hexdigest(), lasting=False)


OwnerOf = Callable[[bytes], tuple[int, int]]
"""(uid, gid) of a member, instead of those on disk: for a tree whose owners could not be restored."""


class TreeReader:
    """The members of a selection below an open folder; every content must be read to its end before the next member."""

    def __init__(self, fd: int, selection: Selection, left_out: LeftOut, owner_of: OwnerOf | None = None) -> None:
        self._walk = Walk(fd, selection, left_out)
        self._left_out = left_out
        self._owner_of = owner_of
        self._first: dict[tuple[int, int], Member] = {}  # of files with several names
        self.listing = Listing(selection.paths)

    def __iter__(self) -> Iterator[tuple[Member, Content]]:
        for entry in self._walk:
            if entry.stat.st_mode & 0o7000:
                self._left_out.add("special_modes", entry.path)
            if stat.S_ISREG(entry.stat.st_mode):
                yield from self._file(entry)
                continue
            try:
                member = self._folder_or_link(entry)
            except OSError as error:
                self._left_out.failed(entry.path, error)
                continue
            yield member, iter(())
            self.listing.add(member, entry.top)

    def _folder_or_link(self, entry: Entry) -> Member:
        known = self._known(entry.path, entry.stat)
        if stat.S_ISDIR(entry.stat.st_mode):
            return Member(entry.path, FOLDER, *known, xattrs=_xattrs(entry.fd))
        return Member(entry.path, LINK, *known, target=os.readlink(entry.name, dir_fd=entry.fd))

    def _file(self, entry: Entry) -> Iterator[tuple[Member, Content]]:
        try:
            fd = opened_file(entry.name, entry.fd)
        except OSError as error:
            self._left_out.failed(entry.path, error)
            return
        with closing_fd(fd):
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):  # it was one a moment ago
                self._left_out.add("vanished", entry.path)
                return
            try:
                content = FileContent(fd, status)
                member = self._file_member(entry.path, status, fd, content)
            except OSError as error:
                self._left_out.failed(entry.path, error)
                return
            if any(name == b"security.capability" for name, _value in member.xattrs):
                self._left_out.add("capabilities", entry.path)
            yield member, content.chunks() if member.kind == FILE else iter(())
            self.listing.add(member, entry.top, content.digest() if member.kind == FILE else "")
            if content.unreadable:
                self._left_out.add("unreadable", entry.path)
            elif content.changed:
                self._left_out.add("changed", entry.path)

    def _file_member(self, path: bytes, status: os.stat_result, fd: int, content: FileContent) -> Member:
        """The file, or another name of one that was a member before."""
        first = self._first.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None
        if first is not None:
            return first._replace(path=path, kind=HARDLINK, size=0, target=first.path, xattrs=(), extents=None)
        member = Member(path, FILE, *self._known(path, status), size=content.size, xattrs=_xattrs(fd), extents=content.extents)
        if status.st_nlink > 1:
            self._first[status.st_dev, status.st_ino] = member._replace(extents=None)
        return member

    def _known(self, path: bytes, status: os.stat_result) -> tuple[int, int, int, int]:
        uid, gid = self._owner_of(path) if self._owner_of else (status.st_uid, status.st_gid)
        return status.st_mode & 0o7777, uid, gid, status.st_mtime_ns


def _xattrs(fd: int) -> Sequence[tuple[bytes, bytes]]:
    """By name. Empty where the file system has none. Raises OSError when one that a restore needs cannot be read."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    found = []
    for name in sorted(os.fsencode(name) for name in names):
        try:
            found.append((name, os.getxattr(fd, name)))
        except OSError as error:
            if error.errno != errno.ENODATA and restorable(name):
                raise
    return found
