# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the run record lives on the controller, and the key of its ledger."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_url import label, without_password

KEY_BYTES = 32

RUN_ID, RUN_PID, JOURNAL, HISTORY_DIR = "RUNBOOK_RUN_ID", "RUNBOOK_RUN_PID", "RUNBOOK_JOURNAL", "RUNBOOK_HISTORY_DIR"
"""What the environment says about the run that is being recorded."""

HISTORY_URL, KEY_FILE = "RUNBOOK_HISTORY_URL", "RUNBOOK_LEDGER_KEY_FILE"
_of_this_run: dict[str, str] = {}


@dataclass(frozen=True)
class Places:
    """The folders and files of one history."""

    history: Path
    reports: Path
    key: Path
    url: str = field(default="", repr=False)
    """A database that several controllers share; it may hold a password. Without one the history is a file."""

    @property
    def open(self) -> Path:
        """Journals of runs that are under way, or were killed."""
        return self.history / "open"

    @property
    def sealed(self) -> Path:
        """Journals of runs that are over."""
        return self.history / "sealed"

    @property
    def late(self) -> Path:
        """Journals of runs that another controller had to seal with fewer events."""
        return self.history / "late"

    @property
    def outbox(self) -> Path:
        """Messages to people that wait to be delivered."""
        return self.history / "outbox"

    @property
    def database(self) -> Path:
        """The history itself, unless it is shared."""
        return self.history / "history.sqlite"

    @property
    def name(self) -> str:
        """What messages call the history."""
        return label(self.url) if self.url else str(self.database)


def places(history: str | None = None, reports: str | None = None, key: str | None = None, url: str | None = None) -> Places:
    """The places that are asked for; what is None or empty stands at its default place. An empty ``url`` is the file."""
    folder = _absolute(history) if history else default_history(os.environ)
    key = key or ("" if history else os.environ.get(KEY_FILE, ""))
    shared = _of_this_run.get("url", os.environ.get(HISTORY_URL, "")) if url is None else url
    return Places(folder, _absolute(reports) if reports else folder / "reports", _absolute(key) if key else folder / "ledger.key", shared)


def publish(where: Places) -> None:
    """Every action of this run reads the same history. Forked workers inherit memory; the environment, which tasks see, gets no password."""
    os.environ[HISTORY_DIR] = str(where.history)
    if where.key != where.history / "ledger.key":
        os.environ[KEY_FILE] = str(where.key)
    _of_this_run["url"] = where.url
    if where.url or HISTORY_URL in os.environ:
        os.environ[HISTORY_URL] = without_password(where.url)


def default_history(environ: Mapping[str, str]) -> Path:
    """``$RUNBOOK_HISTORY_DIR``, else the state folder of this user (XDG base directory specification)."""
    if environ.get(HISTORY_DIR):
        return _absolute(environ[HISTORY_DIR])
    state = environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "tradeops"


def _absolute(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text)))


def make_folder(path: Path) -> None:
    """A folder that only this user can enter, and what is missing above it; one that exists stays as it is."""
    if not path.parent.exists():
        make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def read_key(path: Path) -> bytes | None:
    """The key of the ledger, None where there is none. Raises Refused when others could have read it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096)
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise Refused(
            f"others may read the ledger's key {path} (mode {mode:04o})", f"chmod 600 {path}; anchors kept elsewhere show whether somebody used it"
        )
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except (UnicodeDecodeError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInput(f"{path} is not a ledger key", f"it holds {2 * KEY_BYTES} hexadecimal digits; bring it back from the backup")
    return key


def make_key(path: Path) -> bytes:
    """A new key. When two runs make the first key at the same time, both get the same one."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike rename it never replaces a key that is already there
        except FileExistsError:
            pass
    finally:
        draft.unlink()
    sync_folder(path.parent)
    key = read_key(path)
    if key is None:
        raise Refused(f"the ledger's key {path} vanished as soon as it was made", "see who cleans that folder")
    return key


def sync_folder(path: Path) -> None:
    """Make new, renamed and removed names in a folder last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
