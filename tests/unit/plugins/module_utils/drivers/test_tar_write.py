# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our archives as GNU tar and Python see them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _tar_write
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._tree import FILE, FOLDER, HARDLINK, LINK, Member

from .files_trees import ACL, RICH, ROOT, TREES, File, Folder, backed_up, has_xattrs, look, plant, text

TAR = shutil.which("tar")
pytestmark = pytest.mark.skipif(TAR is None, reason="GNU tar is not installed")


def untar(archive: bytes, folder: Path, *options: str) -> None:
    folder.mkdir()
    argv = [str(TAR), "--extract", "--preserve-permissions", "--numeric-owner", *options, "--directory", str(folder)]
    subprocess.run(argv, input=archive, check=True, timeout=120, capture_output=True)


def in_python(member: Member) -> tarfile.TarInfo:
    """The header as Python reads it."""
    data = b"".join(_tar_write.archive([(member, iter([]))]))
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as file:
        found = file.next()
    assert found is not None
    return found


@given(tree=TREES)
def test_gnu_tar_extracts_what_was_there(tree: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("tar")
    plant(place / "live", tree)
    archive, _taken = backed_up(place / "live")
    untar(archive, place / "copy")
    assert look(place / "copy") == look(place / "live")
    shutil.rmtree(place)


def test_gnu_tar_keeps_the_holes(tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"big": File([(1 << 35, b"x")], size=1 << 40), b"empty": File(size=1 << 40)}))
    archive, _taken = backed_up(tmp_path / "live")
    assert len(archive) < 100_000
    untar(archive, tmp_path / "copy")
    for name in ("big", "empty"):
        status = (tmp_path / "copy" / name).stat()
        assert status.st_size == 1 << 40 and status.st_blocks < 100
    with open(tmp_path / "copy/big", "rb") as file:
        file.seek(1 << 35)
        assert file.read(2) == b"x\0"


@pytest.mark.skipif(not ROOT, reason="access control lists for others and attributes of the kernel need root")
def test_gnu_tar_restores_attributes_and_access_control_lists(tmp_path: Path) -> None:
    if not has_xattrs(tmp_path):
        pytest.skip("this file system has no extended attributes")
    attributes = {"user.plain": b"value", "user.a=b%": b"with = and \n and \xff", "user.empty": b"", "system.posix_acl_access": ACL}
    inside = Folder({b"file": text("x", xattrs=attributes)}, xattrs={"user.folder": b"1", "system.posix_acl_default": ACL})
    plant(tmp_path / "live", Folder({b"inside": inside}))
    archive, _taken = backed_up(tmp_path / "live")
    untar(archive, tmp_path / "copy", "--xattrs", "--xattrs-include=*")
    assert look(tmp_path / "copy") == look(tmp_path / "live")
    assert set(look(tmp_path / "live")[b"inside/file"][8]) == set(attributes)


def test_an_unchanged_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    plant(tmp_path / "one", RICH)
    plant(tmp_path / "other", Folder(dict(reversed(RICH.inside.items()))))
    first, second, other = (backed_up(tmp_path / name) for name in ("one", "one", "other"))
    assert first[0] == second[0] and first[1].inventory == second[1].inventory
    assert sorted(look(tmp_path / "one")) == sorted(look(tmp_path / "other"))
    names = [tarfile.open(fileobj=io.BytesIO(archive)).getnames() for archive, _taken in (first, other)]
    assert names[0] == names[1] and names[0][0] == "."


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"name": "a", "size": 0, "mode": 0o640, "uid": 7, "gid": 8, "mtime": 1, "type": tarfile.REGTYPE}),
        ({"path": b"x" * 100}, {"name": "x" * 100}),
        ({"path": b"x" * 101}, {"name": "x" * 101}),
        ({"path": b"d/" * 3000 + b"f"}, {"name": "d/" * 3000 + "f"}),
        ({"path": "h\u00e9".encode()}, {"name": "h\u00e9"}),
        ({"path": b"\xff"}, {"name": "\udcff"}),
        ({"path": b"\xff" + b"x" * 200}, {"name": "\udcff" + "x" * 200}),
        ({"kind": FOLDER, "path": b"x" * 100}, {"name": "x" * 100, "type": tarfile.DIRTYPE}),
        ({"kind": LINK, "target": b"/etc/" + b"t" * 4000}, {"linkname": "/etc/" + "t" * 4000, "type": tarfile.SYMTYPE}),
        ({"kind": LINK, "target": b"\xfe"}, {"linkname": "\udcfe"}),
        ({"kind": HARDLINK, "target": b"t" * 101}, {"linkname": "t" * 101, "type": tarfile.LNKTYPE}),
        ({"uid": 0o7777777, "gid": 0o10000000}, {"uid": 0o7777777, "gid": 0o10000000}),
        ({"uid": 2**32 - 2}, {"uid": 2**32 - 2}),
        ({"mode": 0o7777}, {"mode": 0o7777}),
        ({"mtime_ns": 0}, {"mtime": 0}),
        ({"mtime_ns": 1_500_000_000}, {"mtime": 1.5}),
        ({"mtime_ns": -1_500_000_000}, {"mtime": -1.5}),
        ({"mtime_ns": -2 * 10**9}, {"mtime": -2}),
        ({"mtime_ns": 2**34 * 10**9}, {"mtime": 2**34}),
    ],
)
def test_headers(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = in_python(Member(**{"path": b"a", "kind": FILE, "mode": 0o640, "uid": 7, "gid": 8, "mtime_ns": 10**9, **fields}))
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("size", [0o77777777777, 0o100000000000, 1 << 50])
def test_sizes_of_more_than_eight_gibibytes(size: int) -> None:
    head = next(_tar_write.archive([(Member(b"a", FILE, 0o644, 0, 0, 0, size=size), iter([(0, b"x")]))]))
    with tarfile.open(fileobj=io.BytesIO(head + bytes(1024))) as file:
        found = file.next()
    assert found is not None and found.size == size


@pytest.mark.parametrize("size", [*range(80, 120), 990, 991, 992, 993, 994, 995, 9_985, 9_990, 9_991, 9_992])
def test_the_length_of_a_record_counts_itself(size: int) -> None:
    found = in_python(Member(b"a", FILE, 0o644, 0, 0, 0, xattrs=[(b"user.a", b"v" * size)]))
    assert found.pax_headers["SCHILY.xattr.user.a"] == "v" * size


def test_owners_have_their_names() -> None:
    assert (in_python(Member(b"a", FILE, 0o644, 0, 0, 0)).uname, in_python(Member(b"a", FILE, 0o644, 0, 0, 0)).gname) == ("root", "root")
    assert in_python(Member(b"a", FILE, 0o644, 3_999_999, 3_999_999, 0)).uname == ""


def test_times_and_owners_are_not_touched_by_reading(tmp_path: Path) -> None:
    plant(tmp_path / "live", RICH)
    os.utime(tmp_path / "live/app.conf", ns=(5, 10**18))
    before = {path: (os.lstat(path).st_atime_ns, os.lstat(path).st_mtime_ns) for path in [tmp_path / "live", *(tmp_path / "live").rglob("*")]}
    backed_up(tmp_path / "live")
    after = {path: (os.lstat(path).st_atime_ns, os.lstat(path).st_mtime_ns) for path in before}
    changed = {path for path in before if before[path] != after[path] and not path.is_symlink()}  # reading a link counts as access, always
    assert changed == set()
