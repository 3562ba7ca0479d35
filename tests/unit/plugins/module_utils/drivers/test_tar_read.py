# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of GNU tar and Python are restored as they are; hostile and broken ones touch nothing and leave nothing."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import _tar_extract, _tar_read
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._tar_fields import BadArchive, LimitExceeded, UnsafeArchive

from .files_trees import RICH, TREES, Folder, backed_up, context, deep, look, manifest, plant, staged, target, text

TAR = shutil.which("tar")
END = bytes(1024)


def number(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def block(name: bytes, kind: bytes = b"0", body: bytes = b"", **fields: bytes) -> bytes:
    """A member. Fields that are given are taken as they are; the checksum is right unless it is given."""
    values = {
        "mode": number(0o644, 8), "uid": number(0, 8), "gid": number(0, 8), "size": number(len(body), 12), "mtime": number(1, 12), "checksum": b" " * 8,
        "link": b"", "magic": b"ustar\x0000", "uname": b"root", "gname": b"root", "major": number(0, 8), "minor": number(0, 8), "prefix": b"", **fields,
    }  # fmt: skip
    widths = {"mode": 8, "uid": 8, "gid": 8, "size": 12, "mtime": 12, "checksum": 8, "kind": 1, "link": 100, "magic": 8, "uname": 32, "gname": 32,
              "major": 8, "minor": 8, "prefix": 155}  # fmt: skip
    header = name.ljust(100, b"\0") + b"".join({**values, "kind": kind}[field].ljust(width, b"\0") for field, width in widths.items())
    header = header.ljust(512, b"\0")
    if "checksum" not in fields:
        header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    return header + body + bytes(-len(body) % 512)


def record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    return next(b"%d %s=%s\n" % (rest + digits, key, value) for digits in range(1, 9) if len(str(rest + digits)) == digits)


def pax(*records: tuple[bytes, bytes]) -> bytes:
    return block(b"pax", b"x", b"".join(record(*pair) for pair in records))


def with_holes(body: bytes, size: bytes = b"1000000", version: bytes = b"1") -> bytes:
    keys = {b"major": version, b"minor": b"0", b"name": b"holes", b"realsize": size}
    return pax(*((b"GNU.sparse." + key, value) for key, value in keys.items())) + block(b"GNUSparseFile.0/holes", body=body)


def lines(*numbers: int, data: bytes = b"") -> bytes:
    found = b"".join(b"%d\n" % value for value in numbers)
    return found + bytes(-len(found) % 512) + data


FILE_A = block(b"a", body=b"x")
LINK_OUT = block(b"a", b"2", link=b"../outside")

HOSTILE: dict[str, tuple[bytes, type[RunbookError]]] = {
    "parent": (block(b"../outside/new", body=b"x"), UnsafeArchive),
    "parent inside": (block(b"a/../../outside/new", body=b"x"), UnsafeArchive),
    "parent in pax": (pax((b"path", b"../outside/new")) + FILE_A, UnsafeArchive),
    "parent in prefix": (block(b"outside/new", body=b"x", prefix=b".."), UnsafeArchive),
    "parent in long name": (block(b"././@LongLink", b"L", b"../outside/new\0") + FILE_A, UnsafeArchive),
    "parent in name of sparse": (pax((b"GNU.sparse.name", b"../outside/new"), (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                                     (b"GNU.sparse.realsize", b"0")) + block(b"a", body=lines(0)), UnsafeArchive),
    "only parent": (block(b"..", b"5"), UnsafeArchive),
    "absolute": (block(b"/outside/new", body=b"x"), UnsafeArchive),
    "absolute in prefix": (block(b"new", body=b"x", prefix=b"/outside"), UnsafeArchive),
    "no name": (block(b"", body=b"x"), UnsafeArchive),
    "a file as top": (block(b".", body=b"x"), UnsafeArchive),
    "a link as top": (block(b"./", b"2", link=b"../outside"), UnsafeArchive),
    "a file with a slash": (block(b"a/", body=b"x"), UnsafeArchive),
    "NUL in a path": (pax((b"path", b"a\0b")) + FILE_A, UnsafeArchive),
    "NUL in a long name": (block(b"././@LongLink", b"L", b"a\0b\0") + FILE_A, UnsafeArchive),
    "NUL in a target": (pax((b"linkpath", b"a\0b")) + block(b"l", b"2", link=b"x"), UnsafeArchive),
    "no target": (block(b"l", b"2"), UnsafeArchive),
    "long target": (pax((b"linkpath", b"t" * 4096)) + block(b"l", b"2", link=b"x"), UnsafeArchive),
    "below a link": (LINK_OUT + block(b"a/new", body=b"x"), UnsafeArchive),
    "far below a link": (LINK_OUT + block(b"a/b/c/new", body=b"x"), UnsafeArchive),
    "folder below a link": (LINK_OUT + block(b"a/new", b"5"), UnsafeArchive),
    "link below a link": (LINK_OUT + block(b"a/new", b"2", link=b"x"), UnsafeArchive),
    "folder in the place of a link": (LINK_OUT + block(b"a", b"5") + block(b"a/new", body=b"x"), UnsafeArchive),
    "file in the place of a link": (LINK_OUT + FILE_A, UnsafeArchive),
    "link in the place of a folder": (block(b"a", b"5") + LINK_OUT, UnsafeArchive),
    "link in the place of a file": (FILE_A + LINK_OUT, UnsafeArchive),
    "link twice": (LINK_OUT + LINK_OUT, UnsafeArchive),
    "link in the place of a folder that was left out": (block(b"a/b", body=b"x") + LINK_OUT, UnsafeArchive),
    "file twice": (FILE_A + FILE_A, UnsafeArchive),
    "file twice, spelt otherwise": (FILE_A + block(b".//./a", body=b"y"), UnsafeArchive),
    "folder twice": (block(b"a", b"5") + block(b"a/", b"5"), UnsafeArchive),
    "top twice": (block(b"./", b"5") + block(b".", b"5"), UnsafeArchive),
    "top after a member": (FILE_A + block(b"./", b"5"), UnsafeArchive),
    "folder after what is in it": (block(b"a/b", body=b"x") + block(b"a/", b"5"), UnsafeArchive),
    "below a file": (FILE_A + block(b"a/b", body=b"x"), UnsafeArchive),
    "hard link out": (block(b"h", b"1", link=b"../outside/secret"), UnsafeArchive),
    "hard link to absolute": (block(b"h", b"1", link=b"/etc/passwd"), UnsafeArchive),
    "hard link through a link": (LINK_OUT + block(b"h", b"1", link=b"a/secret"), UnsafeArchive),
    "hard link to a link": (LINK_OUT + block(b"h", b"1", link=b"a"), UnsafeArchive),
    "hard link to a folder": (block(b"a", b"5") + block(b"h", b"1", link=b"a"), UnsafeArchive),
    "hard link to the top": (block(b"h", b"1", link=b"."), UnsafeArchive),
    "hard link to itself": (block(b"h", b"1", link=b"h"), UnsafeArchive),
    "hard link to a later file": (block(b"h", b"1", link=b"a") + FILE_A, UnsafeArchive),
    "hard link below a file": (FILE_A + block(b"h", b"1", link=b"a/b"), UnsafeArchive),
    "hard link without target": (block(b"h", b"1"), UnsafeArchive),
    "hard link twice": (FILE_A + block(b"h", b"1", link=b"a") * 2, UnsafeArchive),
    "character device": (block(b"null", b"3", major=number(1, 8), minor=number(3, 8)), UnsafeArchive),
    "block device": (block(b"disk", b"4"), UnsafeArchive),
    "FIFO": (block(b"fifo", b"6"), UnsafeArchive),
    "contiguous file": (block(b"a", b"7"), UnsafeArchive),
    "global header": (block(b"g", b"g", record(b"path", b"../outside/new")) + FILE_A, UnsafeArchive),
    "old sparse file": (block(b"a", b"S", body=b"x"), UnsafeArchive),
    "continued volume": (block(b"a", b"M", body=b"x"), UnsafeArchive),
    "unknown type": (block(b"a", b"?", body=b"x"), UnsafeArchive),
    "negative size": (block(b"a", size=b"\xff" * 12), BadArchive),
    "negative size with sign": (block(b"a", size=b"-0000000001\0"), BadArchive),
    "negative size in pax": (pax((b"size", b"-512")) + FILE_A, BadArchive),
    "huge size in base 256": (block(b"a", size=b"\x80" + b"\xff" * 11), BadArchive),
    "unknown base": (block(b"a", size=b"\x90" + bytes(11)), BadArchive),
    "garbage in octal": (block(b"a", size=b"12garbage000"), BadArchive),
    "garbage behind octal": (block(b"a", size=b"0000001\0junk"), BadArchive),
    "digits that are not octal": (block(b"a", size=b"00000000009\0"), BadArchive),
    "no size": (block(b"a", size=bytes(12)), BadArchive),
    "fraction in size": (pax((b"size", b"1.5")) + FILE_A, BadArchive),
    "size beyond the end": (block(b"a", size=number(1 << 30, 12)), BadArchive),
    "folder with data": (block(b"a", b"5", body=b"x"), BadArchive),
    "link with data": (block(b"a", b"2", body=b"x", link=b"b"), BadArchive),
    "hard link with data": (FILE_A + block(b"h", b"1", body=b"x", link=b"a"), BadArchive),
    "negative owner": (block(b"a", uid=b"\xff" * 8), BadArchive),
    "owner that means nobody to chown": (pax((b"uid", b"4294967295")) + FILE_A, BadArchive),
    "huge owner": (pax((b"gid", b"1" * 18)) + FILE_A, BadArchive),
    "huge time": (block(b"a", mtime=b"\x80" + b"\xff" * 11), BadArchive),
    "huge time in pax": (pax((b"mtime", b"9" * 13)) + FILE_A, BadArchive),
    "time with an exponent": (pax((b"mtime", b"1e3")) + FILE_A, BadArchive),
    "wrong checksum": (block(b"a", body=b"x", checksum=b"000000\0 "), BadArchive),
    "no magic": (block(b"a", body=b"x", magic=bytes(8)), BadArchive),
    "no archive": (b"PGDMP" * 300, BadArchive),
    "compressed": (b"\x28\xb5\x2f\xfd" + b"x" * 2000, BadArchive),
    "records too long": (block(b"x", b"x", b"99 path=a\n") + FILE_A, BadArchive),
    "records too short": (block(b"x", b"x", b"5 path=a\n") + FILE_A, BadArchive),
    "records of length nothing": (block(b"x", b"x", b"0 path=a\n") + FILE_A, BadArchive),
    "records with a sign": (block(b"x", b"x", b"-1 path=a\n") + FILE_A, BadArchive),
    "records without length": (block(b"x", b"x", b"path=a\n") + FILE_A, BadArchive),
    "records without end": (block(b"x", b"x", b"9 path=ab") + FILE_A, BadArchive),
    "record without value": (block(b"x", b"x", b"7 path\n") + FILE_A, BadArchive),
    "record without name": (block(b"x", b"x", b"5 =a\n") + FILE_A, BadArchive),
    "record twice": (pax((b"path", b"b"), (b"path", b"../outside/new")) + FILE_A, BadArchive),
    "two headers that differ": (pax((b"path", b"b")) + block(b"L", b"L", b"c\0") + FILE_A, BadArchive),
    "records for nothing": (pax((b"path", b"b")), BadArchive),
    "huge records": (block(b"x", b"x", size=number(1 << 32, 12)), LimitExceeded),
    "sparse in an old format": (pax((b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"1000")) + FILE_A, BadArchive),
    "sparse in a new format": (with_holes(lines(0), version=b"2"), BadArchive),
    "sparse folder": (pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"0")) + block(b"a", b"5"), BadArchive),
    "map without a number": (with_holes(b"x\n" + bytes(510)), BadArchive),
    "map without lines": (with_holes(bytes(512)), BadArchive),
    "map that is cut": (with_holes(lines(9, 0, 1)), BadArchive),
    "map with too much": (with_holes(lines(1, 0, 1, 5, 5, data=b"x")), BadArchive),
    "map of a million": (with_holes(lines(1 << 40)), BadArchive),
    "map with garbage behind it": (with_holes((b"0\n" + b"junk").ljust(512, b"\0")), BadArchive),
    "map that goes back": (with_holes(lines(2, 10, 1, 5, 1, data=b"xx")), BadArchive),
    "map that overlaps": (with_holes(lines(2, 0, 3, 2, 1, data=b"xxxx")), BadArchive),
    "map beyond the size": (with_holes(lines(1, 999_999, 2, data=b"xx")), BadArchive),
    "map that promises more data": (with_holes(lines(1, 0, 9, data=b"x")), BadArchive),
    "map that promises less data": (with_holes(lines(1, 0, 1, data=b"xx")), BadArchive),
    "too deep": (pax((b"path", b"d/" * 129 + b"f")) + FILE_A, LimitExceeded),
    "folder too deep": (pax((b"path", b"d/" * 129)) + block(b"a", b"5"), LimitExceeded),
    "a hundred thousand levels": (pax((b"path", b"d/" * 100_000)) + block(b"a", b"5"), LimitExceeded),
    "name too long": (pax((b"path", b"n" * 256)) + FILE_A, RunbookError),
    "path too long": (pax((b"path", b"n" * 70_000)) + FILE_A, LimitExceeded),
    "empty block in the middle": (bytes(512) + FILE_A, BadArchive),
    "garbage behind the end": (END + b"x", BadArchive),
    "archive behind the end": (END + FILE_A, BadArchive),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A live root, and what lies beside it."""
    plant(tmp_path / "live", Folder({b"old": text("old")}))
    plant(tmp_path / "outside", Folder({b"secret": text("secret")}))
    return tmp_path


def refuses(place: Path, archive: bytes, error: type[Exception]) -> None:
    """Nothing is changed anywhere, nothing left, no descriptor open."""
    before, descriptors = look(place), len(os.listdir("/proc/self/fd"))
    with pytest.raises(error) as caught:
        staged(target(place / "live"), archive)
    assert look_without_times(place) == {path: row[:4] + row[5:] for path, row in before.items()}
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert isinstance(caught.value, RunbookError) and caught.value.hint


def look_without_times(place: Path) -> dict[bytes, object]:
    return {path: row[:4] + row[5:] for path, row in look(place).items()}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_changes_nothing(case: str, place: Path) -> None:
    archive, error = HOSTILE[case]
    refuses(place, block(b"./", b"5") + block(b"good", body=b"x") + archive + END if "top" not in case else archive + END, error)


@pytest.mark.parametrize("case", HOSTILE)
def test_it_is_refused_before_it_is_written(case: str, place: Path) -> None:
    """Without the part that removes everything: nothing is outside of the folder into which it is extracted."""
    (place / "into").mkdir()
    descriptor = os.open(place / "into", os.O_RDONLY)
    before = {path: row for path, row in look(place).items() if not path.startswith(b"into")}
    extractor = _tar_extract.Extractor(descriptor, owners=True, special_modes=True)
    with pytest.raises((RunbookError, OSError)):
        for member, content in _tar_read.TarReader(io.BytesIO(HOSTILE[case][0] + END), context().deadline, 1 << 40):
            extractor.add(member, content)
        extractor.finish()
    extractor.close()
    os.close(descriptor)
    after = {path: row for path, row in look(place).items() if not path.startswith(b"into")}
    assert {path: row[:4] + row[5:] for path, row in after.items()} == {path: row[:4] + row[5:] for path, row in before.items()}
    assert not [path for path in (place / "into").rglob("*") if path.is_symlink()]


def packed(folder: Path, *options: str) -> bytes:
    argv = [str(TAR), "--create", "--directory", str(folder), "--file=-", *options]
    return subprocess.run(argv, check=True, timeout=120, capture_output=True).stdout


def extracted(place: Path, archive: bytes, **more: object) -> Path:
    made = target(place / "copy", scratch=True, **more)
    staged(made, archive)
    return place / ".copy.restore-20261120T021500Z-7f3a9c1e" / "tree"


@pytest.mark.skipif(TAR is None, reason="GNU tar is not installed")
@pytest.mark.parametrize(("format", "precision"), [("pax", 1), ("gnu", 10**9)])
@given(tree=TREES)
def test_archives_of_gnu_tar(format: str, precision: int, tree: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("tar")
    plant(place / "live", tree)
    options = ("--sparse",) if format == "pax" else ()
    copy = extracted(place, packed(place / "live", f"--format={format}", *options, "."), keep_special_modes=True)
    assert roughly(copy, precision) == roughly(place / "live", precision)
    shutil.rmtree(place)


def roughly(place: Path, precision: int) -> dict[bytes, object]:
    """With times as precise as the format has them; of links GNU tar takes the time, too."""
    return {path: (*row[:4], row[4] // precision, *row[5:]) for path, row in look(place).items()}


@pytest.mark.skipif(TAR is None, reason="GNU tar is not installed")
@pytest.mark.parametrize("options", [("--format=ustar",), ("--format=pax", "--xattrs", "--acls"), ("--format=gnu", "--owner=4000000000", "--group=x:3")])
def test_other_archives_of_gnu_tar(options: tuple[str, ...], tmp_path: Path) -> None:
    plant(tmp_path / "live", Folder({b"a": Folder({b"b": text("x"), b"y" * 90: Folder({b"z" * 90: text("y")})})}))
    copy = extracted(tmp_path, packed(tmp_path / "live", *options, "a"))
    assert sorted(look(copy)) == sorted(look(tmp_path / "live"))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_archives_of_python(format: int, tmp_path: Path) -> None:
    plant(tmp_path / "live", RICH)
    (tmp_path / "live/shared" / os.fsdecode(b"x" * 255)).unlink()  # more than the oldest format takes
    packing = io.BytesIO()
    with tarfile.open(fileobj=packing, mode="w", format=format) as file:
        file.add(tmp_path / "live", ".")
    copy = extracted(tmp_path, packing.getvalue(), keep_special_modes=True)
    found, expected = look(copy), look(tmp_path / "live")
    assert {path: (*row[:4], *row[5:]) for path, row in found.items()} == {path: (*row[:4], *row[5:]) for path, row in expected.items()}


def test_folders_that_an_archive_leaves_out_are_made_for_us_alone(tmp_path: Path) -> None:
    copy = extracted(tmp_path, block(b"a/b/c", body=b"x") + END)
    assert {path: oct(row[1]) for path, row in look(copy).items()} == {b".": "0o700", b"a": "0o700", b"a/b": "0o700", b"a/b/c": "0o644"}


@pytest.mark.parametrize(("keep", "mode"), [(False, 0o755), (True, 0o7755)])
def test_setuid_setgid_and_sticky_are_stripped_unless_asked_for(keep: bool, mode: int, tmp_path: Path) -> None:
    special = {"mode": number(0o7755, 8)}
    copy = extracted(tmp_path, block(b"./", b"5", **special) + block(b"f", body=b"x", **special) + block(b"d", b"5", **special) + END, keep_special_modes=keep)
    assert {path: row[1] for path, row in look(copy).items()} == {b".": mode, b"f": mode, b"d": mode}


def test_attributes_of_the_kernel_are_not_restored(tmp_path: Path) -> None:
    keys = [b"SCHILY.xattr." + name for name in (b"security.capability", b"trusted.overlay.opaque", b"security.selinux", b"system.nfs4_acl")]
    copy = extracted(tmp_path, pax(*((key, b"y") for key in keys)) + FILE_A + END)
    assert os.listxattr(copy / "a") == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (number(5, 12), b"hello"),
        (b"     5\0     ", b"hello"),
        (b"000000000005", b"hello"),
        (b"\x80" + bytes(10) + b"\5", b"hello"),
        (b"5" + b" " * 11, b"hello"),
    ],
)
def test_spellings_of_a_number(size: bytes, expected: bytes, tmp_path: Path) -> None:
    copy = extracted(tmp_path, block(b"a", body=b"hello", size=size) + END)
    assert (copy / "a").read_bytes() == expected


@pytest.mark.parametrize("names", [("README", "readme"), ("\u00e9", "e\u0301"), ("a", "a ")])
def test_names_that_only_differ_in_case_or_form_are_two(names: tuple[str, str], tmp_path: Path) -> None:
    copy = extracted(tmp_path, b"".join(block(name.encode(), body=name.encode()) for name in names) + END)
    assert [(copy / name).read_text() for name in names] == list(names)


def valid() -> bytes:
    """A small archive with a member of each kind."""
    return (
        block(b"./", b"5", mode=number(0o755, 8)) + block(b"d/", b"5", mode=number(0o755, 8)) + pax((b"path", b"d/long"), (b"mtime", b"1.5"))
        + block(b"x", body=b"y" * 700) + block(b"l", b"2", link=b"d/long") + block(b"h", b"1", link=b"d/long")
        + with_holes(lines(2, 0, 512, 1_000_000, 0, data=b"z" * 512)) + END
    )  # fmt: skip


def test_every_way_to_cut_an_archive_off(place: Path) -> None:
    archive = valid()
    for length in [*range(0, len(archive), 512), *range(1, len(archive), 499)]:
        refuses(place, archive[:length], BadArchive)
    refuses(place, archive[:-1], BadArchive)


@pytest.mark.parametrize("padding", [0, 1, 512, 9_000])
def test_padding_behind_the_end_is_no_garbage(padding: int, tmp_path: Path) -> None:
    assert (extracted(tmp_path, valid() + bytes(padding)) / "d/long").read_bytes() == b"y" * 700


Change = tuple[int, bytes]
CHANGES = st.lists(st.tuples(st.integers(0, len(valid()) - 1), st.binary(min_size=1, max_size=12)), min_size=1, max_size=4)


def changed(archive: bytes, changes: list[Change]) -> bytes:
    """With bytes overwritten, and the checksums of what still looks like headers set right, so that what they say is looked at."""
    broken = bytearray(archive)
    for offset, data in changes:
        broken[offset : offset + len(data)] = data
    broken = broken[: len(archive)]
    for at in range(0, len(broken) - 511, 512):
        if broken[at + 257 : at + 262] == b"ustar":
            broken[at + 148 : at + 156] = b" " * 8
            broken[at + 148 : at + 156] = b"%06o\0 " % sum(broken[at : at + 512])
    return bytes(broken)


@settings(max_examples=1500)
@example(changes=[(512, b"../outside/x\0")])
@example(changes=[(512 + 156, b"2")])
@given(changes=CHANGES)
def test_a_damaged_archive_never_reaches_out(changes: list[Change], fuzz_place: tuple[Path, dict[bytes, object]]) -> None:
    place, before = fuzz_place
    made = target(place / "live", scratch=True)
    try:
        staged(made, changed(valid(), changes))
    except RunbookError as error:
        assert error.hint
    else:
        made.discard()
    assert look_without_times(place) == before


@pytest.fixture(scope="module")
def fuzz_place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, object]]:
    place = tmp_path_factory.mktemp("fuzz")
    plant(place / "live", Folder({b"old": text("old")}))
    plant(place / "outside", Folder({b"secret": text("secret")}))
    return place, look_without_times(place)


@settings(max_examples=300)
@given(data=st.binary(max_size=3000))
def test_bytes_that_are_no_archive(data: bytes) -> None:
    with pytest.raises(BadArchive):
        for _member, content in _tar_read.TarReader(io.BytesIO(data), context().deadline, 1 << 40):
            list(content)


class Endless:
    """A stream that never ends, and how much of it was read."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        self.read_bytes += min(size, len(self._piece))
        return self._piece[:size]


@pytest.mark.parametrize("piece", [bytes(1 << 16), block(b"a", b"5") * 128], ids=["zeros", "members"])
def test_an_archive_without_end_stops_at_the_size_in_its_manifest(piece: bytes, place: Path) -> None:
    stream = Endless(piece)
    with pytest.raises(RunbookError):
        target(place / "live").stage(stream, {"plain_bytes": 1 << 22})
    assert stream.read_bytes <= (1 << 22) + (1 << 20) and sorted(os.listdir(place)) == ["live", "outside"]


def test_a_file_of_more_bytes_than_its_manifest_says(place: Path) -> None:
    archive = block(b"a", body=bytes(3 << 20)) + END
    with pytest.raises(LimitExceeded, match="longer than its manifest") as caught:
        target(place / "live").stage(io.BytesIO(archive), {"plain_bytes": 1 << 20})
    assert caught.value.code == "limit" and sorted(os.listdir(place)) == ["live", "outside"]


def test_too_many_members(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tar_extract, "MAX_MEMBERS", 3)
    archive = b"".join(block(b"%d" % value) for value in range(4)) + END
    refuses(place, archive, LimitExceeded)


def test_links_and_folders_that_fill_the_memory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tar_extract, "_MAX_KEPT", 100_000)
    archive = b"".join(pax((b"linkpath", b"t" * 4000)) + block(b"%d" % value, b"2", link=b"x") for value in range(30)) + END
    refuses(place, archive, LimitExceeded)


def test_the_time_is_over(place: Path) -> None:
    with pytest.raises(RunbookError) as caught:
        target(place / "live", seconds=0).stage(io.BytesIO(valid()), {})
    assert caught.value.code == "deadline_passed" and sorted(os.listdir(place)) == ["live", "outside"]


def test_a_hole_of_exabytes(place: Path) -> None:
    """A size that no file system takes, in a file without data."""
    refuses(place, with_holes(lines(1, (1 << 63) - 1, 0), size=b"%d" % ((1 << 63) - 1)) + END, RunbookError)


@pytest.mark.parametrize("depth", [1, 127, 128])
def test_the_deepest_tree_that_goes(depth: int, tmp_path: Path) -> None:
    plant(tmp_path / "live", deep(depth, text("bottom")))
    archive, taken = backed_up(tmp_path / "live")
    assert not taken.suspect and sorted(look(extracted(tmp_path, archive))) == sorted(look(tmp_path / "live"))


@given(cut=st.integers(1, 3000), tree=TREES)
@settings(max_examples=30)
def test_a_stream_may_give_as_little_as_it_likes(cut: int, tree: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("slow")
    plant(place / "live", tree)
    archive, taken = backed_up(place / "live")
    whole = io.BytesIO(archive)

    class Slow:
        def read(self, size: int) -> bytes:
            return whole.read(min(size, cut))

    made = target(place / "live", scratch=True)
    made.stage(Slow(), manifest(archive, taken))
    assert made.inventory() == taken.inventory
    shutil.rmtree(place)
