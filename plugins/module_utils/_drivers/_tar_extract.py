# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extracts members below one open folder and touches nothing outside of it, whatever the archive says.

Only files, folders, links and hard links to files that came before. Links are made when all the rest is there, so that nothing can
be written through one; folders get their owner, mode and time at the very end.
"""

from __future__ import annotations

import errno
import os
import stat

from .._core.errors import RunbookError
from ._tar_fields import DISTRUST, LimitExceeded, UnsafeArchive
from ._tree import FILE, FOLDER, HARDLINK, LINK, MAX_DEPTH, MAX_MEMBERS, TOP, Content, Member, closing_fd, opened_below, opened_folder, restorable, shown

_MAX_PATH, _MAX_TARGET = 1 << 16, 4095
_MAX_KEPT = 1 << 30  # bytes of memory for the folders and links that wait for the end
_KEPT_EACH = 512

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW

Names = list[bytes]


class Extractor:
    """Writes members below ``top``, an empty folder that nobody else may enter.

    Owners (by number) are set when ``owners`` is true; else they are remembered for ``owner_of``. Setuid, setgid and sticky are
    stripped unless ``special_modes``. Raises UnsafeArchive and LimitExceeded before the member is written, and OSError.
    """

    def __init__(self, top: int, owners: bool, special_modes: bool) -> None:
        self._top = top
        self._owners = owners
        self._mask = 0o7777 if special_modes else 0o777
        self._open: list[tuple[bytes, int]] = []  # the folders from the top to where the last member was written
        self._links: dict[bytes, Member] = {}
        self._folders: list[Member] = []
        self._known_owners: dict[bytes, tuple[int, int]] = {}
        self._members = 0
        self._kept = 0

    def add(self, member: Member, content: Content) -> None:
        """One more member, with its data."""
        names = _names(member)
        self._count(member)
        self._remember_owner(member, names)
        if not names:
            if self._members > 1:
                raise UnsafeArchive("the archive has its top twice, or after something below it", DISTRUST)
            self._folders.append(member)
            return
        parent = self._folder(names[:-1])
        try:
            self._write(member, content, parent, names)
        except FileExistsError:
            raise UnsafeArchive(f"the archive has {shown(member.path)} twice, or after something below it", DISTRUST) from None

    def finish(self) -> None:
        """Makes the links, then dresses the folders, the deepest first."""
        for path, member in self._links.items():
            *above, name = path.split(b"/")
            parent = self._folder(above)
            os.symlink(member.target, name, dir_fd=parent)
            if self._owners:
                os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
            os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent, follow_symlinks=False)
        for member in reversed(self._folders):
            self._dress(self._folder(_names(member)), member)
        self.close()

    def close(self) -> None:
        """Gives back the descriptors."""
        while self._open:
            os.close(self._open.pop()[1])

    def owner_of(self, path: bytes) -> tuple[int, int]:
        """(uid, gid) of a member in the archive. Remembered only where it differs from that of the folder."""
        while path not in self._known_owners and path != TOP:
            path = path.rpartition(b"/")[0] or TOP
        return self._known_owners.get(path, (0, 0))

    def _remember_owner(self, member: Member, names: Names) -> None:
        path = b"/".join(names) or TOP
        if self._owners or (self._known_owners and self.owner_of(path) == (member.uid, member.gid)):
            return
        self._known_owners[path] = member.uid, member.gid

    def _count(self, member: Member) -> None:
        self._members += 1
        if member.kind in (LINK, FOLDER):
            self._kept += len(member.path) + len(member.target) + sum(len(value) for _name, value in member.xattrs) + _KEPT_EACH
        if self._members > MAX_MEMBERS or self._kept > _MAX_KEPT:
            raise LimitExceeded(f"the archive has more than the {self._members - 1} members that fit", "split it into several backups")

    def _write(self, member: Member, content: Content, parent: int, names: Names) -> None:
        path = b"/".join(names)
        if path in self._links:
            raise FileExistsError
        if member.kind == FILE:
            self._file(member, content, parent, names[-1])
        elif member.kind == FOLDER:
            os.mkdir(names[-1], 0o700, dir_fd=parent)
            self._folders.append(member)
        elif member.kind == HARDLINK:
            self._hard_link(member, parent, names[-1])
        else:
            if _there(names[-1], parent):
                raise FileExistsError
            if not member.target or b"\0" in member.target or len(member.target) > _MAX_TARGET:
                raise UnsafeArchive(f"the link {shown(path)} points nowhere", DISTRUST)
            self._links[path] = member

    def _file(self, member: Member, content: Content, parent: int, name: bytes) -> None:
        with closing_fd(os.open(name, _NEW, 0o600, dir_fd=parent)) as fd:
            for offset, data in content:
                while data:
                    written = os.pwrite(fd, data, offset)
                    offset += written
                    data = data[written:]
            if member.extents is not None:
                os.ftruncate(fd, member.size)
            self._dress(fd, member)

    def _hard_link(self, member: Member, parent: int, name: bytes) -> None:
        names = _names(member._replace(path=member.target, kind=FILE))
        try:
            with closing_fd(opened_below(self._top, names[:-1])) as folder:
                if not stat.S_ISREG(os.lstat(names[-1], dir_fd=folder).st_mode):
                    raise FileNotFoundError(errno.ENOENT, "no file")
                os.link(names[-1], name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            raise UnsafeArchive(f"the hard link {shown(member.path)} is to {shown(member.target)}, which is no file before it", DISTRUST) from None

    def _folder(self, names: Names) -> int:
        """A descriptor of the folder, made when an archive leaves it out. Open until the next call."""
        common = 0
        for (name, _fd), wanted in zip(self._open, names):
            if name != wanted:
                break
            common += 1
        while len(self._open) > common:
            os.close(self._open.pop()[1])
        for depth in range(common, len(names)):
            parent = self._open[-1][1] if self._open else self._top
            self._open.append((names[depth], self._inner(names[: depth + 1], parent)))
        return self._open[-1][1] if self._open else self._top

    def _inner(self, names: Names, parent: int) -> int:
        if b"/".join(names) in self._links:
            raise UnsafeArchive(f"the archive has members below the link {shown(b'/'.join(names))}", DISTRUST)
        try:
            return opened_folder(names[-1], parent)
        except FileNotFoundError:
            os.mkdir(names[-1], 0o700, dir_fd=parent)
            return opened_folder(names[-1], parent)
        except NotADirectoryError:
            raise UnsafeArchive(f"the archive has members below the file {shown(b'/'.join(names))}", DISTRUST) from None

    def _dress(self, fd: int, member: Member) -> None:
        """Owner before mode, which a change of owner may reset; attributes of users before what may forbid them; time last."""
        if self._owners:
            os.fchown(fd, member.uid, member.gid)
        for name, value in sorted(member.xattrs, reverse=True):  # "user." before "system.posix_acl_", which may take away the right to write
            if restorable(name):
                _set_xattr(fd, name, value, member)
        os.fchmod(fd, member.mode & self._mask)
        os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))


def _names(member: Member) -> Names:
    """The parts of the path; none for the top. Raises UnsafeArchive when it leads anywhere else than down."""
    path = member.path
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    down = path and not path.startswith(b"/") and b".." not in names and b"\0" not in path
    if not down or (member.kind != FOLDER and (not names or path.endswith((b"/", b"/.")))):
        raise UnsafeArchive(
            f"the {member.kind} {shown(path[:200])} has no safe path", "the archive was made by another program or tampered with: do not trust it"
        )
    if len(names) > MAX_DEPTH + (member.kind != FOLDER) or len(path) > _MAX_PATH:
        raise LimitExceeded(f"{shown(path[:200])} is in more than {MAX_DEPTH} folders, or its path has more than {_MAX_PATH} bytes", DISTRUST)
    return names


def _there(name: bytes, parent: int) -> bool:
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    return True


def _set_xattr(fd: int, name: bytes, value: bytes, member: Member) -> None:
    try:
        os.setxattr(fd, name, value)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.E2BIG, errno.ERANGE):
            raise
        raise RunbookError(
            f"the attribute {shown(name)} of {shown(member.path)} cannot be restored: {error.strerror}",
            "restore onto a file system of the same kind, one with extended attributes and access control lists",
        ) from error
