# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption to recipients by the program age (age-encryption.org/v1): what is stored is one file that age(1) opens.

Nothing but bytes of the cipher leaves this process, and no key is ever read by it: the programs get the open file of identities. Whose
identities those are, age-keygen tells: their public keys, which are compared with the recipients in the manifest before anything is read.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from .._core.backup import NotSealed
from .._core.backup_types import Reader, Stream
from .._core.errors import InvalidInput, Refused, RunbookError
from .._core.probe import Deadline
from .._core.transfer import Codec, Compressor, Corrupt, NotOpened, drain
from ._child_process import PIPE_BYTES, Command, HostChild, Patience

_STALL_SECONDS = 120.0
"""It only computes: when it neither takes nor gives anything for so long, it hangs."""

_RECIPIENT = re.compile(r"age1[0-9a-z]{20,2000}")
_SECRET = re.compile(r"AGE-SECRET-KEY-\S*", re.IGNORECASE)
_LINE = re.compile(r"line \d+")
_OTHER_KEY = re.compile(r"no identity matched|incorrect (identity|passphrase)")
_DAMAGED = re.compile(r"failed to decrypt and authenticate|unexpected EOF|bad header MAC|header|trailing data|end of (file|encrypted)|payload")


@dataclass(frozen=True)
class Keys:
    """``recipients`` are public keys (``age1...``); ``identity_file`` has the private ones of this host, if it has any."""

    recipients: Sequence[str] = ()
    identity_file: str = ""

    def __post_init__(self) -> None:
        for number, recipient in enumerate(self.recipients):
            if not _RECIPIENT.fullmatch(recipient):  # it is not repeated: it may be a private key by mistake
                raise InvalidInput(f"encryption.recipients[{number}] is no recipient of age", "give public keys, as age-keygen -y prints them: age1...")
        if len(set(self.recipients)) != len(self.recipients):
            raise InvalidInput("encryption.recipients names a recipient twice", "each one once: a second one stands for somebody else")


class Sealed:
    """``inner`` packs; what was packed is encrypted to all recipients, or stays as it is where there are none. Reads both."""

    def __init__(self, inner: Codec, keys: Keys, deadline: Deadline) -> None:
        self._inner, self._keys, self._deadline = inner, keys, deadline
        self._name = f"{inner.facts['compression']}+age"
        self.suffix = f"{inner.suffix}.age" if keys.recipients else inner.suffix
        self.facts: Mapping[str, Any] = {"compression": self._name, "recipients": list(keys.recipients)} if keys.recipients else inner.facts

    def check(self) -> None:
        """Encrypt nothing, for no use but to see that the program takes these recipients. Raises NotSealed, Refused, RunbookError."""
        if self._keys.identity_file and not self._keys.recipients:  # as where a host's own option replaced that of all hosts
            raise NotSealed(
                "encryption has an identity_file and no recipients: what is there would be stored as it is",
                "give encryption.recipients, too: whom it is encrypted to; or no encryption at all",
            )
        if self._keys.recipients:
            with closing(self.compressor()) as compressor:
                compressor.flush()

    def admit(self, part: Mapping[str, Any]) -> str:
        """See Codec. Also raises Refused for a file of identities that is not as private as it must be."""
        if part["compression"] != self._name:
            return self._inner.admit(part)
        wanted = _recipients_of(part)
        with self._identities(part) as identities:
            try:
                known = self._public_keys(identities)
            except NotOpened:
                if any(map(_is_of_plugin, wanted)):  # only age, with the plugin, knows what its identities open
                    return ""
                raise
        opening = [key for key in known if key in wanted]
        if opening or not wanted:
            return opening[0] if opening else ""
        raise NotOpened(
            f"no identity of this host opens {part['name']}{_whose(part)}: {self._keys.identity_file} has those of {', '.join(known)}",
            f"give an encryption.identity_file with the identity of {' or '.join(wanted)}",
        )

    def compressor(self) -> Compressor:
        """See Codec."""
        if not self._keys.recipients:
            return self._inner.compressor()
        named = [word for recipient in self._keys.recipients for word in ("--recipient", recipient)]
        return _Sealing(self._inner.compressor(), self._start("encrypting", ["age", "--encrypt", *named]))

    def reader(self, stream: Stream, part: Mapping[str, Any]) -> Reader:
        """See Codec."""
        if part["compression"] != self._name:
            return self._inner.reader(stream, part)
        with self._identities(part) as identities:
            child = self._start("decrypting", ["age", "--decrypt", "--identity", f"/dev/fd/{identities}"], identities)
        opened = _Opened(stream, child, part)
        try:
            return _Unsealed(self._inner.reader(opened, {**part, **self._inner.facts}), opened)
        except BaseException:
            opened.close()
            raise

    def _identities(self, part: Mapping[str, Any]) -> AbstractContextManager[int]:
        if not self._keys.identity_file:
            raise NotOpened(
                f"{part['name']} is encrypted, and this host has no identity for it{_whose(part)}",
                "verify or restore it where the identity is, such as the isolated runner, and give encryption.identity_file there",
            )
        return _private(self._keys.identity_file)

    def _public_keys(self, identities: int) -> list[str]:
        """Of all identities, in their order: age tries them in this one."""
        with self._start("reading public keys", ["age-keygen", "-y", f"/dev/fd/{identities}"], identities) as child:
            child.close_input()
            printed = b"".join(iter(lambda: child.read(PIPE_BYTES), b""))
            status, said = child.finish(), child.said()
        if status < 0:
            raise RunbookError(f"age-keygen {_ended(status)} while it read public keys", "see the log of the system, and try again")
        if status:  # what it says is not repeated but for the line: it is about secrets
            line = _LINE.search(said)
            raise NotOpened(
                f"{self._keys.identity_file} is no file of identities: age-keygen cannot read {f'its {line.group()}' if line else 'it'}",
                "see encryption.identity_file: private keys as age-keygen prints them (AGE-SECRET-KEY-1...), one in a line, without a passphrase",
            )
        return [word for word in printed.decode("ascii", "replace").split() if _RECIPIENT.fullmatch(word)]

    def _start(self, doing: str, argv: Sequence[str], *inherited: int) -> HostChild:
        program = shutil.which(argv[0])
        if program is None:
            raise Refused(f"the program {argv[0]} is not installed, which encrypts and decrypts backups", "install the package age")
        patience = Patience(f"{doing} with age", self._deadline, _STALL_SECONDS)
        path = {"PATH": os.environ.get("PATH", os.defpath)}  # where its plugins are
        return HostChild(Command([program, *argv[1:]], path, patience, reads_input=True, inherited=inherited), None)


class _Sealing:
    """A Compressor whose bytes pass through age."""

    def __init__(self, inner: Compressor, child: HostChild) -> None:
        self._inner, self._child = inner, child

    def compress(self, data: bytes) -> bytes:
        return self._feed(self._inner.compress(data))

    def flush(self) -> bytes:
        found = [self._feed(self._inner.flush())]
        self._child.close_input()
        while found[-1] or len(found) == 1:
            found.append(self._child.read(PIPE_BYTES))
        if self._child.finish():
            raise self._failure()
        return b"".join(found)

    def close(self) -> None:
        self._child.kill()
        self._inner.close()

    def _feed(self, data: bytes) -> bytes:
        rest, found = memoryview(data), []
        while rest:
            try:
                taken, printed = self._child.exchange(rest, PIPE_BYTES)
            except BrokenPipeError:
                raise self._failure() from None
            if printed == b"":
                raise self._failure()
            rest = rest[taken:]
            found.append(printed or b"")
        return b"".join(found)

    def _failure(self) -> RunbookError:
        status, said = self._child.finish(), _said(self._child)
        if "recipient" in said:
            return Refused(f"age does not take the recipients: {said}", "correct encryption.recipients: public keys as age-keygen -y prints them")
        return RunbookError(f"age {_ended(status)} while it encrypted: {said or 'it said nothing'}", "see the log of the system, and try again")


class _Opened:
    """What age makes of a stream; nothing it did not authenticate."""

    def __init__(self, stream: Stream, child: HostChild, part: Mapping[str, Any]) -> None:
        self._stream, self._child, self._part = stream, child, part
        self._rest = memoryview(b"")
        self._fed = self._ended = False

    def read(self, size: int) -> bytes:
        while not self._ended:
            printed = self._pass(size)
            if printed:
                return printed
            if printed == b"":
                self._check_end()
                self._ended = True
        return b""

    def close(self) -> None:
        self._child.kill()

    def _pass(self, size: int) -> bytes | None:
        if not self._rest and not self._fed:
            self._rest = memoryview(self._stream.read(PIPE_BYTES))
            if not self._rest:
                self._child.close_input()
                self._fed = True
        try:
            taken, printed = self._child.exchange(self._rest, size)
        except BrokenPipeError:
            return b""
        self._rest = self._rest[taken:]
        return printed

    def _check_end(self) -> None:
        status, said, name = self._child.finish(), _said(self._child), self._part["name"]
        if status == 0 and self._fed:
            return
        if _OTHER_KEY.search(said):
            raise NotOpened(f"no identity of this host opens {name}{_whose(self._part)}", "give the encryption.identity_file of one of its recipients")
        if status == 0 or (status > 0 and _DAMAGED.search(said) and "identity" not in said):  # a file of identities may be damaged, too
            raise Corrupt(f"{name} cannot be decrypted: {said or 'more follows after its end'}", "take another backup; see the disk and what writes there")
        if status > 0:
            raise NotOpened(f"age cannot open {name}: {said}", "see encryption.identity_file: it must have an identity that needs no passphrase")
        raise RunbookError(f"age {_ended(status)} while it decrypted {name}", "see the log of the system, and try again")


class _Unsealed:
    """What was unpacked of what was opened; at its end the program has ended well, too."""

    def __init__(self, unpacked: Reader, opened: _Opened) -> None:
        self._unpacked, self._opened = unpacked, opened

    def read(self, size: int) -> bytes:
        block = self._unpacked.read(size)
        if not block and size:
            drain(self._opened)
        return block

    def close(self) -> None:
        self._unpacked.close()
        self._opened.close()


@contextmanager
def _private(path: str) -> Iterator[int]:
    """The open file, which nobody else may read. Raises NotOpened, Refused."""
    try:
        found = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotOpened(f"the file of identities {path} cannot be opened: {error.strerror}", "see encryption.identity_file") from None
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid not in (0, os.geteuid()):
            raise Refused(
                f"the file of identities {path} is not private", "it must be a plain file of the user who reads it, with the mode 0600: chown and chmod it"
            )
        yield found
    finally:
        os.close(found)


def _recipients_of(part: Mapping[str, Any]) -> list[str]:
    found = part.get("recipients")
    return [word for word in found if isinstance(word, str) and _RECIPIENT.fullmatch(word)] if isinstance(found, list) else []


def _is_of_plugin(recipient: str) -> bool:
    """``age1NAME1...``, whose identities age-keygen cannot read."""
    return "1" in recipient[4:]


def _whose(part: Mapping[str, Any]) -> str:
    recipients = _recipients_of(part)
    return f" (its recipients are {', '.join(recipients)})" if recipients else ""


def _said(child: HostChild) -> str:
    """Its first line, as far as it is nobody's secret."""
    first = child.said().partition("\n")[0]
    return _SECRET.sub("***", first.replace("age: error: ", ""))


def _ended(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
