# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders: backed up as a pax archive made on the fly, restored beside what is there and swapped in by renames."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from .._core.backup_types import Context, Identity, Inventory, Stream, Taken
from .._core.errors import Exists, InvalidInput, Refused, RunbookError, VerifyFailed
from .._core.probe import DeadlinePassed
from ._tar_extract import Extractor
from ._tar_fields import LimitExceeded
from ._tar_read import TarReader
from ._tar_write import ArchiveStream
from ._tree import MAX_DEPTH, MAX_MEMBERS, closing_fd, explained, opened_below, opened_folder
from ._tree_read import TreeReader
from ._tree_root import check_root, is_mount_point, opened_root, size_of
from ._tree_select import Selection, relative, without_nested
from ._tree_staging import TREE, Staging
from ._tree_swap import Before, Swap
from ._tree_walk import LeftOut

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_UNLIMITED = 1 << 63

_SUSPECT = {
    "unreadable": "could not be read",
    "missing": "of the paths were not there",
    "too_deep": f"are in more than {MAX_DEPTH} folders",
}
_NOTES = {
    "changed": "changed while they were read",
    "vanished": "vanished before they were read",
    "special": "devices, sockets or FIFOs left out",
    "mounted": "other file systems left out",
    "special_modes": "with setuid, setgid or sticky, which a restore strips unless told otherwise",
    "capabilities": "with file capabilities, which a restore does not put back",
}


class TooFewFiles(VerifyFailed):
    """Patterns that drop nearly everything, or a folder that was emptied: such a backup must not replace a good one."""

    code = "too_few_files"


class Source:
    """The files of one folder.

    Options: ``root``, ``paths`` (relative to it), ``exclude`` (globs: ``*`` stays inside a name, ``**`` does not, ``**/*.log`` is anywhere),
    ``one_file_system``, ``min_files``, ``require_mount``.
    """

    format = "tar"

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._root = options["root"]
        self._selection = Selection(options.get("paths") or ["."], options.get("exclude") or (), options.get("one_file_system", True))
        self._min_files = options.get("min_files", 1)
        self._require_mount = options.get("require_mount", False)
        self._deadline = context.deadline
        self._taken: Taken | None = None

    def identity(self) -> Identity:
        """Refuses a root that is missing, a link, no folder, ``/`` or not mounted, and paths that are not there."""
        left_out = LeftOut()
        with explained(f"looking at {self._root}"), self._opened() as fd:
            size = size_of(fd, self._selection, left_out, self._deadline)
        missing = left_out.sentences({"missing": "of the paths are not there"})
        if missing:
            raise Refused(f"below {self._root}: {missing[0]}", "correct the paths; a link on the way is not followed")
        return Identity(self._root, size_bytes=size)

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """A pax archive. Leaving raises TooFewFiles."""
        self._taken = None
        taken_at = time.time()
        left_out = LeftOut()
        with self._opened() as fd:
            reader = TreeReader(fd, self._selection, left_out)
            with closing(ArchiveStream(reader, self._deadline)) as stream:
                yield stream
            if not stream.ended:
                raise RunbookError(f"the backup of {self._root} was not read to its end", "report this defect")
        inventory = reader.listing.inventory(left_out.counts.get("special", 0), left_out.counts.get("unreadable", 0))
        self._check(inventory.totals)
        self._taken = Taken(inventory, taken_at, suspect="; ".join(left_out.sentences(_SUSPECT)), notes=left_out.sentences(_NOTES))

    def taken(self) -> Taken:
        """What was read, and what was left out of it."""
        if self._taken is None:
            raise RunbookError(f"no backup of {self._root} was made", "report this defect")
        return self._taken

    def _check(self, totals: Mapping[str, int]) -> None:
        if totals["files"] < self._min_files:
            raise TooFewFiles(
                f"{self._root} has {totals['files']} files to back up, {self._min_files} are expected at least",
                "see the paths, the exclude patterns and whether everything is mounted; lower min_files when that is right",
            )
        members = sum(totals[kind] for kind in ("files", "folders", "links", "hardlinks"))
        if members > MAX_MEMBERS:
            raise LimitExceeded(f"{self._root} has {members} files, folders and links, a restore takes {MAX_MEMBERS}", "make several backups of its folders")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        with opened_root(self._root) as fd:
            if self._require_mount and not is_mount_point(self._root):
                raise Refused(f"nothing is mounted at {self._root}", "mount it, then run the backup again")
            yield fd


class Target:
    """The files of one folder, to be restored.

    Options: ``root``, ``paths`` (what is swapped), ``preserve_owner`` (by number, as root), ``keep_special_modes`` (setuid, setgid,
    sticky), ``scratch_dir`` (where to stage for looking only; default: beside the root).
    """

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        if not _TAG.fullmatch(context.tag):
            raise InvalidInput(f"the tag {context.tag!r} cannot be part of a file name", "use letters, digits and hyphens")
        self._options = options
        self._context = context
        self._root = options["root"]
        self._paths = [path.decode("utf-8", "surrogateescape") for path in without_nested([relative(path) for path in options.get("paths") or ["."]])]
        self._before: Before = {}
        self._manifest: Mapping[str, Any] = {}
        self._extractor: Extractor | None = None
        self._opened: Staging | None = None

    def identity(self) -> Identity:
        """Refuses a root that is a link, no folder or ``/``."""
        check_root(self._root)
        if not os.path.lexists(self._root):
            return Identity(self._root, exists=False)
        with explained(f"looking at {self._root}"), opened_root(self._root) as fd:
            return Identity(self._root, size_bytes=size_of(fd, Selection(self._paths), LeftOut(), self._context.deadline))

    def stage(self, stream: Stream, manifest: Mapping[str, Any]) -> None:
        """Into a folder beside the root that nobody else may enter. What a restore with the same tag left half done is taken back first.

        Raises BadArchive, UnsafeArchive, LimitExceeded (more than ``plain_bytes`` of the manifest), NoSpace, TimedOut, Refused, Exists, Busy.
        """
        check_root(self._root)
        staging = self._staging()
        with explained(f"restoring into {staging.path}"):
            if self._left_over_complete():
                raise Exists(f"a restore with the id {self._context.tag} was swapped in already", "undo or discard that one, or use another id")
            self.discard()
            self._before = {} if self._context.scratch else self._swap().before(self._paths)
            self._manifest = manifest
            staging.create()
            try:
                with self._tree() as fd:
                    self._extract(fd, stream, manifest)
                    self._check_paths(fd)
            except BaseException:
                staging.remove()
                raise

    def inventory(self) -> Inventory:
        """Read again from the disk. What the source had left out is told as in the manifest; owners that were not restored, as in the archive."""
        recorded = self._manifest.get("inventory") or {}
        totals = recorded.get("totals") or {}
        left_out = LeftOut()
        owner_of = None if self._extractor is None or self._owners() else self._extractor.owner_of
        with explained(f"reading {self._staging().path}"), self._tree() as fd:
            reader = TreeReader(fd, Selection.everything(list(recorded.get("objects") or self._paths)), left_out, owner_of)
            for _member, content in reader:
                self._in_time()
                for _piece in content:
                    self._in_time()
        broken = left_out.sentences({kind: text for kind, text in {**_SUSPECT, **_NOTES}.items() if kind not in ("special_modes", "capabilities")})
        if broken:
            raise VerifyFailed(f"what was restored into {self._staging().path} reads wrong: {'; '.join(broken)}", "see that file system, and restore again")
        return reader.listing.inventory(totals.get("special_skipped", 0), totals.get("unreadable", 0))

    def ask(self, query: str) -> Any:
        """Raises InvalidInput: files know no SQL."""
        raise InvalidInput(f"files cannot answer {query!r}", "leave out the queries of a source of files")

    def swap(self) -> dict[str, Any]:
        """Keeps what was there as ``<name>.before-<tag>``. Raises TargetChanged when that is no longer what it was at ``stage``."""
        if self._context.scratch or not self._before:
            raise InvalidInput(f"nothing was staged to be put in the place of {self._root}", "stage it without scratch first")
        with explained(f"putting what was restored in the place of {self._root}"):
            return self._swap().apply(self._before)

    def undo(self, swapped: Mapping[str, Any]) -> None:
        """``{}`` takes back a swap that was cut off before it could return its data. What was restored stays staged until ``discard``."""
        with explained(f"taking back the restore of {self._root}"):
            data = swapped or self._journal()
            if data:
                self._swap().undo(data)

    def discard(self) -> None:
        """Removes the staging folder; a swap that was cut off is taken back before, a complete one stays."""
        with explained(f"removing what was staged for {self._root}"):
            data = self._journal()
            if data and not self._swap().complete(data):
                self._swap().undo(data)
            self._staging().remove()

    def _journal(self) -> dict[str, Any] | None:
        """Of a swap that was begun."""
        return self._staging().journal() if self._staging().reopen() else None

    def _left_over_complete(self) -> bool:
        data = self._journal()
        return data is not None and self._swap().complete(data)

    def _staging(self) -> Staging:
        """Beside the root; inside of it when that is a mount point, because a rename does not leave its file system."""
        if self._opened is None:
            above, name = os.path.split(self._root)
            if self._context.scratch:
                above = self._options.get("scratch_dir") or above
            elif is_mount_point(self._root):
                above = self._root
            self._opened = Staging(above, f".{name}.restore-{self._context.tag}")
        return self._opened

    def _swap(self) -> Swap:
        return Swap(self._root, self._context.tag, self._staging())

    @contextmanager
    def _tree(self) -> Iterator[int]:
        """A descriptor of the tree that is staged."""
        staging = self._staging()
        if not staging.reopen():
            raise InvalidInput(f"nothing is staged for {self._root}", "stage it first")
        with closing_fd(opened_folder(TREE, staging.fd)) as fd:
            yield fd

    def _owners(self) -> bool:
        return bool(self._options.get("preserve_owner")) and os.geteuid() == 0

    def _extract(self, fd: int, stream: Stream, manifest: Mapping[str, Any]) -> None:
        self._extractor = Extractor(fd, self._owners(), bool(self._options.get("keep_special_modes")))
        with closing(self._extractor):
            for member, content in TarReader(stream, self._context.deadline, manifest.get("plain_bytes", _UNLIMITED)):
                self._extractor.add(member, content)
            self._extractor.finish()

    def _check_paths(self, fd: int) -> None:
        """Every path that is to be swapped came out of the archive."""
        for path in self._paths:
            if path == ".":
                continue
            *above, name = os.fsencode(path).split(b"/")
            try:
                with closing_fd(opened_below(fd, above)) as folder:
                    os.lstat(name, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                raise VerifyFailed(f"the archive has no {path}", "choose among the paths of that backup") from None

    def _in_time(self) -> None:
        if self._context.deadline.remaining() <= 0:
            raise DeadlinePassed("the time was over before all that was restored was read again", "allow more time")
