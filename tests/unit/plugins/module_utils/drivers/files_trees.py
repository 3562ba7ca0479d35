# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of files for tests: made from a description, looked at without any code of the collection, and random ones."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Context, Taken
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.files_backup import Source, Target

ROOT = os.geteuid() == 0
MTIME = 1_700_000_000_123_456_789
ACL = bytes.fromhex("02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000400ffffffff")
"""user::rw-, user:1000:r--, group::r--, mask::r--, other::r-- as the kernel stores it."""


@dataclass
class File:
    """``parts``: (offset, data); between them are holes. ``size`` may add one at the end."""

    parts: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0
    mode: int = 0o644
    mtime_ns: int = MTIME
    xattrs: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Link:
    target: bytes


@dataclass
class Same:
    """Another name of the file made ``number`` files before."""

    number: int


@dataclass
class Folder:
    inside: dict[bytes, Node] = field(default_factory=dict)
    mode: int = 0o755
    mtime_ns: int = MTIME
    xattrs: dict[str, bytes] = field(default_factory=dict)


Node = Union[File, Link, Same, Folder]


def text(content: str, **more: Any) -> File:
    return File([(0, content.encode())], **more)


def plant(place: Path | bytes, folder: Folder) -> None:
    """Makes the folder with all that is in it."""
    top = os.fsencode(place)
    os.makedirs(top, exist_ok=True)
    _fill(top, folder, [])


def _fill(at: bytes, folder: Folder, files: list[bytes]) -> None:
    for name, node in folder.inside.items():
        path = os.path.join(at, name)
        if isinstance(node, Folder):
            os.mkdir(path)
            _fill(path, node, files)
        elif isinstance(node, Link):
            os.symlink(node.target, path)
            os.utime(path, ns=(MTIME, MTIME), follow_symlinks=False)
        elif isinstance(node, File) or not files:
            _write(path, node if isinstance(node, File) else File())
            files.append(path)
        else:
            os.link(files[-1 - node.number % len(files)], path)
    _finish(at, folder)


def _write(path: bytes, node: File) -> None:
    with open(path, "wb") as file:
        for offset, data in node.parts:
            file.seek(offset)
            file.write(data)
        file.truncate(max(node.size, file.tell()))
    _finish(path, node)


def _finish(path: bytes, node: File | Folder) -> None:
    for name, value in node.xattrs.items():
        os.setxattr(path, name, value)
    os.chmod(path, node.mode)
    os.utime(path, ns=(node.mtime_ns, node.mtime_ns))


def look(place: Path | bytes, special_modes: bool = True) -> dict[bytes, Any]:
    """Everything a restore must bring back, of every member. Names of one file share a number."""
    found: dict[bytes, Any] = {}
    inodes: dict[int, int] = {}
    top = os.fsencode(place)
    for folder, folders, files in os.walk(top):
        for path in [folder, *(os.path.join(folder, name) for name in [*folders, *files])]:
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            mode = stat.S_IMODE(status.st_mode) & (0o7777 if special_modes else 0o777)
            found[os.path.relpath(path, top)] = (
                kind, mode, status.st_uid, status.st_gid, status.st_mtime_ns,
                hashlib.sha256(_content(path)).hexdigest() if kind == stat.S_IFREG else None,
                os.readlink(path) if kind == stat.S_IFLNK else None,
                inodes.setdefault(status.st_ino, len(inodes)) if kind == stat.S_IFREG and status.st_nlink > 1 else None,
                {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)},
            )  # fmt: skip
    return _numbered(found)


def _content(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _numbered(found: dict[bytes, Any]) -> dict[bytes, Any]:
    """The numbers of shared files by the first of their names, whatever order the folders were listed in."""
    first: dict[int, bytes] = {}
    for path in sorted(found):
        if found[path][7] is not None:
            first.setdefault(found[path][7], path)
    return {path: (*row[:7], first.get(row[7]), row[8]) for path, row in found.items()}


NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b"c.log", b"-rf", b" ", b"a b", b"new\nline", "h\u00e9".encode(), b"\xff\xfe", b"x" * 99, b"y" * 101, b"\xc3" * 255]),
    st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")),
)
MODES = st.sampled_from([0o644, 0o600, 0o755, 0o777, 0o4755, 0o2750, 0o1777] + ([0o000, 0o200] if ROOT else []))
FOLDER_MODES = st.sampled_from([0o755, 0o700, 0o777, 0o1777, 0o2770, 0o750] + ([0o000, 0o555] if ROOT else []))
TIMES = st.one_of(st.just(MTIME), st.integers(-(2**31) * 10**9, 2**33 * 10**9))
DATA = st.one_of(st.binary(max_size=40), st.integers(0, 200_000).map(lambda size: b"\xa5" * size), st.integers(0, 200_000).map(bytes))
FILES = st.builds(
    File,
    parts=st.lists(st.tuples(st.integers(0, 300_000), DATA), max_size=3),
    size=st.sampled_from([0, 0, 70_000, 400_000]),
    mode=MODES,
    mtime_ns=TIMES,
)
LEAVES = st.one_of(FILES, st.builds(Link, target=NAMES), st.builds(Same, number=st.integers(0, 5)))
TREES = st.recursive(
    st.builds(Folder, inside=st.dictionaries(NAMES, LEAVES, max_size=4), mode=FOLDER_MODES, mtime_ns=TIMES),
    lambda inner: st.builds(Folder, inside=st.dictionaries(NAMES, st.one_of(LEAVES, inner), max_size=4), mode=FOLDER_MODES, mtime_ns=TIMES),
    max_leaves=6,
)

RICH = Folder(
    {
        b"app.conf": text("port = 1\n", mode=0o640),
        b"empty": Folder(mode=0o700),
        b"data": Folder({b"orders.db": File([(0, b"x" * 5000), (200_000, b"end")], size=1_000_000), b"all hole": File(size=100_000), b"none": File()}),
        b"setuid": text("#!", mode=0o4755),
        b"shared": Folder({b"x" * 255: text("long"), b"\xff\xfe": text("no UTF-8")}, mode=0o2770),
        b"current": Link(b"data/orders.db"),
        b"shadow": Link(b"/etc/shadow"),
        b"loop": Link(b"loop"),
        b"same": Same(0),
    }
)


def deep(depth: int, bottom: Node) -> Folder:
    """A file or folder below so many folders."""
    for _level in range(depth):
        bottom = Folder({b"d": bottom})
    return bottom if isinstance(bottom, Folder) else Folder({b"d": bottom})


def has_xattrs(folder: Path) -> bool:
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.probe", b"")
        os.setxattr(probe, "system.posix_acl_access", ACL)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return False
    finally:
        probe.unlink()
    return True


def context(tag: str = "20261120T021500Z-7f3a9c1e", seconds: float = 120.0, **more: Any) -> Context:
    return Context(Deadline(seconds, time.monotonic), time.time(), tag, **more)


def backed_up(root: Path | str, **options: Any) -> tuple[bytes, Taken]:
    """The archive of a root, and what the source says of it."""
    source = Source({"root": str(root), "paths": ["."], "exclude": [], "min_files": 0, **options}, context())
    source.identity()
    pieces = []
    with source.open() as stream:
        while True:
            piece = stream.read(100_000)
            if not piece:
                break
            pieces.append(piece)
    return b"".join(pieces), source.taken()


def manifest(archive: bytes, taken: Taken | None = None) -> Mapping[str, Any]:
    return {"plain_bytes": len(archive), "inventory": taken.inventory.data() if taken else {}}


def target(root: Path | str, tag: str = "20261120T021500Z-7f3a9c1e", **more: Any) -> Target:
    fields = {name: more.pop(name) for name in ("scratch", "seconds") if name in more}
    return Target({"root": str(root), "paths": ["."], "preserve_owner": True, **more}, context(tag, **fields))


def staged(made: Target, archive: bytes, taken: Taken | None = None) -> None:
    made.stage(io.BytesIO(archive), manifest(archive, taken))
