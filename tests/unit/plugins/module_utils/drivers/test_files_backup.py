# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are backed up and staged as they are: every name, hole, link, time and attribute; what cannot be taken is said."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, NoSpace, Refused, RunbookError, TimedOut, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _tree_content, files_backup
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.files_backup import Source
from ansible_collections.tradeops.runbook.tests.support.children import forked, status_of
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.mounts import mount, mounted, tmpfs
from hypothesis import given

from .files_trees import ACL, RICH, ROOT, TREES, File, Folder, Link, backed_up, context, has_xattrs, look, plant, staged, target, text

as_root = pytest.mark.skipif(not ROOT, reason="needs root")
TAG = "20261120T021500Z-7f3a9c1e"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    plant(tmp_path / "live", RICH)
    return tmp_path / "live"


def names_in(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as file:
        return file.getnames()


def source(root: Path | str, seconds: float = 120.0, **options: Any) -> Source:
    return Source({"root": str(root), "paths": ["."], "exclude": [], "min_files": 0, **options}, context(seconds=seconds))


def tree_of(root: Path) -> Path:
    """Where a restore of the root is staged."""
    return root.parent / f".{root.name}.restore-{TAG}" / "tree"


# --- there and back


@given(tree=TREES)
def test_there_and_back(tree: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("tree")
    plant(place / "live", tree)
    archive, taken = backed_up(place / "live")
    made = target(place / "live")
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory
    assert look(tree_of(place / "live")) == look(place / "live", special_modes=False)
    made.discard()
    assert os.listdir(place) == ["live"] and not taken.suspect
    shutil.rmtree(place)


def test_what_is_counted(root: Path) -> None:
    archive, taken = backed_up(root)
    size = 9 + 1_000_000 + 100_000 + 0 + 2 + 4 + 8
    assert taken.inventory.totals == {
        "objects": 7, "files": 7, "folders": 4, "links": 3, "hardlinks": 1, "bytes": size, "special_skipped": 0, "unreadable": 0,
    }  # fmt: skip
    assert taken.inventory.objects == {".": {"files": 7, "bytes": size}}
    assert taken.suspect == "" and taken.notes == ["2 with setuid, setgid or sticky, which a restore strips unless told otherwise: setuid, shared"]
    assert len(archive) < 100_000


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "app.conf").write_text("port = 2\n"),
        lambda root: (root / "app.conf").chmod(0o600),
        lambda root: os.utime(root / "app.conf", ns=(0, 1)),
        lambda root: (root / "app.conf").rename(root / "app.conG"),
        lambda root: (root / "loop").unlink(),
        lambda root: (root / "empty").chmod(0o755),
        lambda root: root.chmod(0o700),
        lambda root: os.setxattr(root / "app.conf", "user.a", b"1"),
        lambda root: os.truncate(root / "data/all hole", 100_001),
        lambda root: (root / "new").touch(),
    ],
)
def test_every_change_is_another_digest(change: Callable[[Path], Any], root: Path) -> None:
    _archive, before = backed_up(root)
    status = root.stat()
    if not has_xattrs(root.parent):
        pytest.skip("this file system has no extended attributes")
    change(root)
    os.utime(root, ns=(status.st_atime_ns, status.st_mtime_ns))
    _archive, after = backed_up(root)
    assert before.inventory.digest != after.inventory.digest


def test_the_digest_of_a_content_is_plain_sha256_unless_there_are_blocks_of_zeros(tmp_path: Path) -> None:
    contents = [b"", b"x", b"x" * 65_536, b"\1" * 200_001, bytes(65_535), b"x" + bytes(65_536) + b"x" * 70_000]
    for content in contents:
        digest = _tree_content.ContentDigest()
        digest.add(0, content)
        assert digest.hexdigest(len(content)) == hashlib.sha256(content).hexdigest()


def test_holes_may_be_anywhere_and_are_the_same_as_zeros(tmp_path: Path) -> None:
    """However a file system rounds holes, the digest stays; and no two contents of one size share theirs."""
    block = 65_536
    contents = [
        bytes(block * 3), b"x" + bytes(block * 3 - 1), bytes(block) + b"x" * block + bytes(block), bytes(block * 2) + b"x" * block,
        b"x" * block + bytes(block * 2),
        b"x" * block * 2 + bytes(block), bytes(100) + b"x" * (block * 3 - 100), b"x" * block * 3,
    ]  # fmt: skip
    digests = []
    for content in contents:
        of_content = set()
        for step in (1000, 4096, block, block * 3):
            for dense in (False, True):
                digest = _tree_content.ContentDigest()
                for at in range(0, len(content), step):
                    piece = content[at : at + step]
                    if dense or piece.count(0) < len(piece):
                        digest.add(at, piece)
                of_content.add(digest.hexdigest(len(content)))
        digests.append(of_content)
    assert [len(of_content) for of_content in digests] == [1] * len(contents) and len(set.union(*digests)) == len(contents)


def test_a_terabyte_of_holes(tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"big": File([(1 << 35, b"x" * 5000)], size=1 << 40), b"none": File(size=1 << 42)}))
    archive, taken = backed_up(tmp_path / "live")
    made = target(tmp_path / "live")
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory and taken.inventory.totals["bytes"] == (1 << 40) + (1 << 42) and len(archive) < 50_000
    assert sum((tree_of(tmp_path / "live") / name).stat().st_blocks for name in ("big", "none")) < 200
    assert source(tmp_path / "live").identity().size_bytes < 100_000


def test_more_extents_than_an_archive_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tree_content, "MAX_EXTENTS", 3)
    plant(tmp_path / "live", Folder({b"holes": File([(at * 100_000, b"x") for at in range(1, 9)], size=1_000_000)}))
    archive, taken = backed_up(tmp_path / "live")
    made = target(tmp_path / "live")
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory and 500_000 < len(archive) < 1_000_000


def test_attributes_and_access_control_lists_come_back(tmp_path: Path) -> None:
    if not has_xattrs(tmp_path):
        pytest.skip("this file system has no extended attributes")
    attributes = {"user.plain": b"value", "user.a=b%3D": b"\n\0\xff", "user.empty": b"", "system.posix_acl_access": ACL}
    inside = Folder({b"file": text("x", xattrs=attributes, mode=0o444)}, xattrs={"system.posix_acl_default": ACL, "user.folder": b"1"})
    plant(tmp_path / "live", Folder({b"inside": inside}))
    os.setxattr(tmp_path, "system.posix_acl_default", ACL)  # which everything made below the parent would inherit
    archive, taken = backed_up(tmp_path / "live")
    made = target(tmp_path / "live")
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory and look(tree_of(tmp_path / "live")) == look(tmp_path / "live")


@as_root
def test_capabilities_of_files_are_noted_and_not_restored(tmp_path: Path) -> None:
    if not has_xattrs(tmp_path):
        pytest.skip("this file system has no extended attributes")
    net_bind_service = bytes.fromhex("0100000200040000000000000000000000000000")
    plant(tmp_path / "live", Folder({b"server": text("#!", mode=0o755, xattrs={"security.capability": net_bind_service})}))
    archive, taken = backed_up(tmp_path / "live")
    made = target(tmp_path / "live")
    staged(made, archive, taken)
    assert taken.notes == ["1 with file capabilities, which a restore does not put back: server"]
    assert made.inventory() == taken.inventory and os.listxattr(tree_of(tmp_path / "live") / "server") == []


def test_a_file_system_without_attributes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_xattrs(tmp_path):
        pytest.skip("this file system has no extended attributes")
    plant(tmp_path / "live", Folder({b"file": text("x", xattrs={"user.plain": b"v"})}))
    archive, _taken = backed_up(tmp_path / "live")

    def unsupported(*_arguments: Any) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", unsupported)
    with pytest.raises(RunbookError, match="attribute user.plain of file cannot be restored"):
        staged(target(tmp_path / "live"), archive)
    assert os.listdir(tmp_path) == ["live"]


@as_root
def test_owners_come_back_by_number(tmp_path: Path) -> None:
    plant(tmp_path / "live", RICH)
    for number, path in enumerate([tmp_path / "live", *(tmp_path / "live").rglob("*")]):
        os.chown(path, 5_000_000 + number, 4_000_000_000 + number, follow_symlinks=False)
    archive, taken = backed_up(tmp_path / "live")
    made = target(tmp_path / "live")
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory and look(tree_of(tmp_path / "live")) == look(tmp_path / "live", special_modes=False)


@as_root
def test_owners_that_are_not_restored_do_not_change_the_inventory(tmp_path: Path) -> None:
    plant(tmp_path / "live", RICH)
    for number, path in enumerate([tmp_path / "live", *(tmp_path / "live").rglob("*")]):
        os.chown(path, 1000 + number % 3, 1000, follow_symlinks=False)
    archive, taken = backed_up(tmp_path / "live")
    made = target(tmp_path / "live", preserve_owner=False)
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory
    assert {row[2:4] for row in look(tree_of(tmp_path / "live")).values()} == {(0, 0)}


def test_an_ordinary_user(tmp_path: Path, as_nobody: Callable[[Callable[[], Any]], Any]) -> None:
    """Restores what root backed up: everything but the owners, and folders that it may not write into."""
    attributes = {"user.plain": b"v", "system.posix_acl_access": ACL} if has_xattrs(tmp_path) else {}
    read_only = Folder({b"f": text("x", mode=0o440, xattrs=attributes)}, mode=0o555)
    plant(tmp_path / "source", Folder({**RICH.inside, b"read only": read_only}, mode=0o555))
    archive, taken = backed_up(tmp_path / "source")
    (tmp_path / "own").mkdir(mode=0o777)
    (tmp_path / "own").chmod(0o777)

    expected = without_owners(tmp_path / "source")

    def work() -> tuple[bool, bool, list[str]]:
        live = tmp_path / "own/live"
        plant(live, Folder({b"old": text("old")}, mode=0o555))
        made = target(live)
        staged(made, archive, taken)
        same = made.inventory() == taken.inventory
        swapped = made.swap()
        made.discard()
        restored = without_owners(live) == expected
        made.undo(swapped)
        assert (live / "old").read_text() == "old" and stat.S_IMODE(live.stat().st_mode) == 0o555
        made.discard()
        return same, restored, os.listdir(tmp_path / "own")

    assert as_nobody(work) == (True, True, ["live"])


def test_an_ordinary_user_and_folders_it_may_not_enter(tmp_path: Path, as_nobody: Callable[[Callable[[], Any]], Any]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as packing:
        for name, kind, mode in (("closed", tarfile.DIRTYPE, 0), ("closed/in", tarfile.DIRTYPE, 0), ("closed/in/l", tarfile.SYMTYPE, 0)):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname = kind, mode, "x" if kind == tarfile.SYMTYPE else ""
            packing.addfile(member)
    archive = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "own").mkdir()
    (tmp_path / "own").chmod(0o777)

    def work() -> list[str]:
        made = target(tmp_path / "own/live")
        staged(made, archive)
        assert not os.access(tree_of(tmp_path / "own/live") / "closed", os.R_OK)
        made.discard()
        return os.listdir(tmp_path / "own")

    assert as_nobody(work) == []


def without_owners(place: Path) -> dict[bytes, Any]:
    return {path: (row[:2], row[4:]) for path, row in look(place, special_modes=False).items()}


# --- what is not taken


@as_root
def test_devices_sockets_and_fifos_are_left_out_and_listed(tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"file": text("x")}))
    os.mkfifo(tmp_path / "live/fifo")
    os.mknod(tmp_path / "live/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "live/socket"))
        archive, taken = backed_up(tmp_path / "live")
    assert names_in(archive) == [".", "file"] and taken.inventory.totals["special_skipped"] == 3
    assert taken.notes == ["3 devices, sockets or FIFOs left out: fifo, null, socket"] and taken.suspect == ""
    made = target(tmp_path / "live")
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory


def test_unreadable_files_make_it_suspect(tmp_path: Path, as_nobody: Callable[[Callable[[], Any]], Any]) -> None:
    plant(
        tmp_path / "live",
        Folder({b"a": text("x"), b"closed": Folder({b"in": text("x")}, mode=0o700 if ROOT else 0o000), b"b": text("x", mode=0o600 if ROOT else 0o000)}),
    )
    archive, taken = as_nobody(lambda: backed_up(tmp_path / "live"))
    assert names_in(archive) == [".", "a"] and taken.inventory.totals["unreadable"] == 2
    assert taken.suspect == "2 could not be read: b, closed"


def test_a_bad_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive goes on with zeros, because its length was said before; and is not trusted."""
    plant(tmp_path / "live", Folder({b"file": text("x" * 3_000_000), b"other": text("y")}))
    read = os.pread

    def failing(fd: int, size: int, offset: int) -> bytes:
        if offset == 1 << 20:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    archive, taken = backed_up(tmp_path / "live")
    assert names_in(archive) == [".", "file", "other"] and taken.suspect == "1 could not be read: file"


@pytest.mark.parametrize("change", ["grow", "shrink", "vanish", "touch"])
def test_files_that_change_while_they_are_read(change: str, tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"a": text("a" * 3_000_000), b"b": text("b" * 10)}))
    file = tmp_path / "live/a"
    made, pieces = source(tmp_path / "live"), []
    with made.open() as stream:
        pieces.append(stream.read(200_000))
        pieces.append(stream.read(200_000))
        if change == "vanish":
            (tmp_path / "live/b").unlink()
        elif change == "touch":
            os.utime(file)
        else:
            os.truncate(file, 4_000_000 if change == "grow" else 100)
        pieces += iter(lambda: stream.read(1 << 20), b"")
    taken, archive = made.taken(), b"".join(pieces)
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        extracted = packed.extractfile("a")
        assert extracted is not None and len(extracted.read()) == 3_000_000
    expected = "1 vanished before they were read: b" if change == "vanish" else "1 changed while they were read: a"
    assert taken.notes == [expected] and taken.suspect == ""
    restored = target(tmp_path / "live")
    staged(restored, archive, taken)
    assert restored.inventory() == taken.inventory


def test_what_is_deeper_than_a_restore_goes_is_left_out_loudly(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path)
    os.mkdir(place + b"/live")
    folder = os.open(place + b"/live", os.O_RDONLY)
    for _level in range(300):  # longer than a path may be
        os.mkdir(b"d" * 50, dir_fd=folder)
        inner = os.open(b"d" * 50, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    _archive, taken = backed_up(tmp_path / "live")
    assert taken.suspect.startswith("1 are in more than 128 folders: dddd") and taken.inventory.totals["folders"] == 129
    subprocess.run(["rm", "-rf", str(tmp_path / "live")], check=True, timeout=60)


# --- what is selected


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([], ["a.log", "b", "b/c", "b/c/d.log", "b/e.txt", "b/x.log"]),
        (["*.log"], ["b", "b/c", "b/c/d.log", "b/e.txt", "b/x.log"]),
        (["**/*.log"], ["b", "b/c", "b/e.txt"]),
        (["b/*.log"], ["a.log", "b", "b/c", "b/c/d.log", "b/e.txt"]),
        (["b/**"], ["a.log", "b"]),
        (["b"], ["a.log"]),
        (["b/"], ["a.log"]),
        (["./b/./c"], ["a.log", "b", "b/e.txt", "b/x.log"]),
        (["**/c"], ["a.log", "b", "b/e.txt", "b/x.log"]),
        (["b/**/d.log"], ["a.log", "b", "b/c", "b/e.txt", "b/x.log"]),
        (["?.log", "b/[!e]*"], ["b", "b/e.txt"]),
        (["b/[ex].*"], ["a.log", "b", "b/c", "b/c/d.log"]),
        (["b[/]c", "b.c", "(", "a+", "[", "\\d"], ["a.log", "b", "b/c", "b/c/d.log", "b/e.txt", "b/x.log"]),
        (["b?c"], ["a.log", "b", "b/c", "b/c/d.log", "b/e.txt", "b/x.log"]),
        (["**"], []),
    ],
)
def test_patterns(exclude: list[str], left: list[str], tmp_path: Path) -> None:
    inner = Folder({b"c": Folder({b"d.log": text("x")}), b"e.txt": text("x"), b"x.log": text("x")})
    plant(tmp_path / "live", Folder({b"a.log": text("x"), b"b": inner}))
    archive, _taken = backed_up(tmp_path / "live", exclude=exclude)
    assert names_in(archive) == [".", *left]


@pytest.mark.parametrize(
    ("paths", "found", "objects"),
    [
        (["b"], ["b", "b/c", "b/c/d"], {"b": {"files": 1, "bytes": 1}}),
        (["b/c/"], ["b", "b/c", "b/c/d"], {"b/c": {"files": 1, "bytes": 1}}),
        (["b/c/d", "./a"], ["a", "b", "b/c", "b/c/d"], {"a": {"files": 1, "bytes": 1}, "b/c/d": {"files": 1, "bytes": 1}}),
        (["b/c", "b", "b"], ["b", "b/c", "b/c/d"], {"b": {"files": 1, "bytes": 1}}),
        (["l"], ["l"], {"l": {"files": 0, "bytes": 0}}),
        (["b", "."], ["a", "b", "b/c", "b/c/d", "l"], {".": {"files": 2, "bytes": 2}}),
    ],
)
def test_paths(paths: list[str], found: list[str], objects: Any, tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"a": text("x"), b"b": Folder({b"c": Folder({b"d": text("x")})}), b"l": Link(b"b")}))
    archive, taken = backed_up(tmp_path / "live", paths=paths)
    assert names_in(archive) == [".", *found] and taken.inventory.objects == objects
    made = target(tmp_path / "live", scratch=True)
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory


@pytest.mark.parametrize("path", ["/a", "../a", "a/../b", "", "a\0b"])
@pytest.mark.parametrize("option", ["paths", "exclude"])
def test_paths_and_patterns_that_leave_the_root(option: str, path: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        source(tmp_path, **{option: [path]})


@pytest.mark.parametrize(
    ("root", "options", "words"),
    [
        ("relative", {}, "no root"),
        ("/", {}, "no root"),
        ("", {}, "no root"),
        ("//", {}, "no root"),
        ("{}/live/", {}, "no root"),
        ("{}/live/../live", {}, "no root"),
        ("{}/missing", {}, "not there"),
        ("{}/live/app.conf", {}, "no folder"),
        ("{}/live/app.conf/below", {}, "cannot be looked at"),
        ("{}/link", {}, "symbolic link"),
        ("{}/live", {"require_mount": True}, "nothing is mounted"),
        ("{}/live", {"paths": ["data", "missing", "gone/below"]}, "2 of the paths are not there: gone, missing"),
        ("{}/live", {"paths": ["current/below"]}, "1 of the paths are not there: current"),
        ("{}/live", {"paths": ["to data/orders.db"]}, "1 of the paths are not there: to data"),
        ("{}/live", {"paths": ["app.conf/below"]}, "1 of the paths are not there"),
    ],
)
def test_what_is_refused(root: str, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({**RICH.inside, b"to data": Link(b"data")}))
    (tmp_path / "link").symlink_to("live")
    with pytest.raises(Refused, match=words) as caught:
        source(root.format(tmp_path), **options).identity()
    assert caught.value.hint


@pytest.mark.parametrize("options", [{"exclude": ["**"]}, {"exclude": ["*"]}, {"min_files": 8}, {"paths": ["empty"]}])
def test_too_few_files(options: dict[str, Any], root: Path) -> None:
    made = source(root, **{"min_files": 1, **options})
    made.identity()
    with pytest.raises(VerifyFailed, match="files to back up") as caught, made.open() as stream:
        while stream.read(1 << 20):
            pass
    assert caught.value.code == "too_few_files"
    with pytest.raises(RunbookError, match="no backup"):
        made.taken()


def test_more_members_than_a_restore_takes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_backup, "MAX_MEMBERS", 5)
    with pytest.raises(VerifyFailed) as caught:
        backed_up(root)
    assert caught.value.code == "limit"


@as_root
def test_mounts(tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"a": text("x"), b"mnt": Folder()}))

    def work() -> None:
        tmpfs(tmp_path / "live/mnt")
        plant(tmp_path / "live/mnt", Folder({b"other": text("y")}))
        archive, taken = backed_up(tmp_path / "live")
        assert names_in(archive) == [".", "a", "mnt"] and taken.notes == ["1 other file systems left out: mnt"]
        archive, taken = backed_up(tmp_path / "live", one_file_system=False)
        assert names_in(archive) == [".", "a", "mnt", "mnt/other"] and taken.notes == []
        archive, taken = backed_up(tmp_path / "live", paths=["mnt"])
        assert names_in(archive) == [".", "mnt", "mnt/other"] and taken.notes == []
        source(tmp_path / "live/mnt", require_mount=True).identity()
        (tmp_path / "a b\\c").mkdir()
        mount("--bind", str(tmp_path / "live"), str(tmp_path / "a b\\c"))
        source(tmp_path / "a b\\c", require_mount=True).identity()

    mounted(work)


# --- the stream


def test_it_must_be_read_to_its_end(root: Path) -> None:
    made = source(root)
    with pytest.raises(RunbookError, match="not read to its end"), made.open() as stream:
        stream.read(10)
    with pytest.raises(RunbookError, match="no backup"):
        made.taken()


@pytest.mark.parametrize("size", [1, 511, 513, 100_000, 1 << 24])
def test_reads_of_any_size(size: int, tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"a": text("x" * 3000), b"b": Folder({b"c": text("")})}))
    with source(tmp_path / "live").open() as stream:
        pieces = list(iter(lambda: stream.read(size), b""))
        assert stream.read(size) == b""
    assert max(map(len, pieces)) <= size and b"".join(pieces) == backed_up(tmp_path / "live")[0]


def test_an_error_of_the_reader_closes_everything(root: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError), source(root).open() as stream:
        stream.read(3000)
        raise ZeroDivisionError
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("step", ["identity", "open"])
def test_the_time_is_over(step: str, root: Path) -> None:
    made = source(root, seconds=0)
    with pytest.raises(TimedOut):
        if step == "identity":
            made.identity()
        with made.open() as stream:
            stream.read(1)


# --- somebody moves the tree while it is read


@contextmanager
def exchanging(folder: Path, one: str, other: str) -> Iterator[None]:
    """Another process exchanges two names as fast as it can."""

    def exchange() -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        rename, names = ctypes.CDLL(None).renameat2, (one.encode(), other.encode())
        while True:
            rename(descriptor, names[0], descriptor, names[1], 2)

    child = forked(exchange)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        status_of(child)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_nothing_outside_the_root_gets_in(kind: str, tmp_path: Path) -> None:
    """A folder, or a file, and a link to a secret are exchanged all the time."""
    secret, mine = (Folder({b"f": text(word), b"deeper": Folder({b"f": text(word)})}) for word in ("SECRET", "mine"))
    plant(tmp_path / "outside", secret)
    plant(tmp_path / "live", Folder({b"f": text("mine"), b"d": mine}))
    (tmp_path / "live/link").symlink_to(tmp_path / ("outside" if kind == "folder" else "outside/f"))
    with exchanging(tmp_path / "live", "d" if kind == "folder" else "f", "link"):
        seen = set()
        for _round in range(1000):
            archive, taken = backed_up(tmp_path / "live")
            assert b"SECRET" not in archive
            seen.add(tuple(names_in(archive)))
    if len(seen) == 1:
        pytest.skip("this kernel or file system cannot exchange names")


# --- staging


def test_nobody_else_may_enter_what_is_staged(root: Path) -> None:
    archive, taken = backed_up(root)
    old = os.umask(0)
    try:
        staged(target(root), archive, taken)
    finally:
        os.umask(old)
    assert oct(tree_of(root).parent.stat().st_mode & 0o7777) == "0o700"


def test_staging_for_looking_only(root: Path, tmp_path: Path) -> None:
    archive, taken = backed_up(root)
    (tmp_path / "scratch").mkdir()
    made = target(root, scratch=True, scratch_dir=str(tmp_path / "scratch"))
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory
    assert os.listdir(tmp_path / "scratch") == [f".live.restore-{TAG}"] and sorted(os.listdir(tmp_path)) == ["live", "scratch"]
    with pytest.raises(InvalidInput, match="nothing was staged"):
        made.swap()
    made.discard()
    made.discard()
    assert os.listdir(tmp_path / "scratch") == []


def test_what_is_damaged_after_it_was_staged_is_seen(root: Path) -> None:
    archive, taken = backed_up(root)
    made = target(root)
    staged(made, archive, taken)
    (tree_of(root) / "app.conf").write_text("port = 2\n")
    os.utime(tree_of(root) / "app.conf", ns=(0, RICH.mtime_ns))
    assert made.inventory().digest != taken.inventory.digest
    os.mkfifo(tree_of(root) / "fifo")
    with pytest.raises(VerifyFailed, match="reads wrong: 1 devices"):
        made.inventory()


@pytest.mark.parametrize("tag", ["", "../x", "a/b", "-rf", "a b", "a" * 65, "a\n"])
def test_tags_that_are_no_name(tag: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="tag"):
        target(tmp_path / "live", tag)


def test_files_know_no_sql(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="select 1"):
        target(tmp_path / "live").ask("select 1")


def test_what_was_not_staged(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    for step in ("inventory", "swap"):
        with pytest.raises(InvalidInput):
            getattr(target(tmp_path / "live"), step)()
    target(tmp_path / "live").discard()
    target(tmp_path / "live").undo({})


def test_a_path_that_is_not_in_the_archive(root: Path) -> None:
    archive, _taken = backed_up(root, paths=["data"])
    for path in ("app.conf", "data/missing", "data/none/below"):
        with pytest.raises(VerifyFailed, match=f"the archive has no {path}"):
            staged(target(root, paths=[path], scratch=True), archive)
        assert os.listdir(root.parent) == ["live"]


@pytest.mark.parametrize(("root", "exists"), [("{}/live", True), ("{}/missing", False), ("{}/missing/below", False)])
def test_the_identity_of_a_target(root: str, exists: bool, tmp_path: Path) -> None:
    plant(tmp_path / "live", RICH)
    found = target(root.format(tmp_path)).identity()
    assert (found.place, found.exists) == (root.format(tmp_path), exists) and (found.size_bytes > 0) == exists


@pytest.mark.parametrize("root", ["/", "relative", "{}/link", "{}/live/app.conf"])
def test_targets_that_are_refused(root: str, tmp_path: Path) -> None:
    plant(tmp_path / "live", RICH)
    (tmp_path / "link").symlink_to("live")
    made = target(root.format(tmp_path))
    for step in (made.identity, lambda: staged(made, b"")):
        with pytest.raises(Refused):
            step()


def test_a_root_whose_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is not there"):
        staged(target(tmp_path / "missing/live"), b"")


def test_two_at_once(root: Path) -> None:
    archive, _taken = backed_up(root)
    first = target(root)
    staged(first, archive)
    for step in (lambda: staged(target(root), archive), lambda: target(root).discard()):
        with pytest.raises(Busy):
            step()
    assert first.inventory().totals["files"] == 7


def test_what_a_killed_restore_left_is_removed_by_the_next_one(root: Path, tmp_path: Path) -> None:
    archive, taken = backed_up(root)
    plant(tree_of(root).parent, Folder({b"tree": Folder({b"left": text("x"), b"closed": Folder(mode=0)})}, mode=0o700))
    made = target(root)
    staged(made, archive, taken)
    assert made.inventory() == taken.inventory
    made.discard()
    assert os.listdir(tmp_path) == ["live"]


@pytest.mark.parametrize("planted", ["link", "file", "folder of others"])
def test_what_somebody_planted_in_the_place_of_the_staging_folder(planted: str, root: Path, tmp_path: Path) -> None:
    plant(tmp_path / "outside", Folder({b"secret": text("secret")}))
    place = tree_of(root).parent
    if planted == "link":
        place.symlink_to(tmp_path / "outside")
    elif planted == "file":
        place.touch()
    else:
        plant(place, Folder({b"tree": Link(os.fsencode(tmp_path / "outside"))}, mode=0o777))
    before = look(tmp_path)
    for step in (lambda: staged(target(root), b""), lambda: target(root).discard(), lambda: target(root).undo({})):
        with pytest.raises(Refused, match="ours|another owner"):
            step()
    assert look(tmp_path) == before


# --- no room


def fill(place: Path, archive: bytes, limit: int | None = None) -> None:
    before = look(place)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(NoSpace):
        staged(target(place / "live"), archive)
    assert {path: row[:4] for path, row in look(place).items()} == {path: row[:4] for path, row in before.items()}


@as_root
@pytest.mark.parametrize("what", ["bytes", "inodes", "size of a file"])
def test_no_room(what: str, tmp_path: Path) -> None:
    files = {b"%d" % number: File() for number in range(40)} if what == "inodes" else {b"big": text("x" * 6_000_000)}
    plant(tmp_path / "source", Folder(files))
    archive, _taken = backed_up(tmp_path / "source")

    def work() -> None:
        place = tmp_path / "disk"
        place.mkdir()
        if what == "size of a file":
            plant(place / "live", Folder({b"old": text("old")}))
            fill(place, archive, 1_000_000)
            return
        mount("-t", "tmpfs", "-o", "size=4m,nr_inodes=20" if what == "inodes" else "size=4m", "tmpfs", str(place))
        plant(place / "live", Folder({b"old": text("old")}))
        fill(place, archive)

    mounted(work)


def test_the_manifest_is_only_needed_for_comparing(root: Path) -> None:
    archive, taken = backed_up(root)
    made = target(root)
    made.stage(io.BytesIO(archive), {})
    assert made.inventory() == taken.inventory
