# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tree of errors. A message says what was tried, on what and what was seen; the hint says what to do next."""

from __future__ import annotations

from collections.abc import Iterable


class RunbookError(Exception):
    """Base of everything the collection raises on purpose; ``code`` is stable and safe to match on."""

    code = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def advice(self) -> str:
        """The message, and the hint if there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidInput(RunbookError):
    """What was asked for makes no sense; nothing was touched."""

    code = "invalid_input"


class MissingLibrary(RunbookError):
    """A Python library is needed on the machine where the code runs."""

    code = "missing_library"

    def __init__(self, library: str, package: str, why: str, hint: str = "") -> None:
        super().__init__(
            f"the Python library {library} is needed {why}",
            hint or f"install it there (Debian package {package}), or set runbook_manage_libraries: true",
        )
        self.library = library
        self.package = package


class Unreachable(RunbookError):
    """The target refused, or nothing answers at its address."""

    code = "unreachable"


class Refused(RunbookError):
    """A safety floor or a closed window forbids the step; nothing was done."""

    code = "refused"


class Busy(RunbookError):
    """Somebody else holds what is needed."""

    code = "busy"


class InUse(Busy):
    """Somebody has open what was to be replaced; nothing was changed."""

    code = "in_use"


class CommandFailed(RunbookError):
    """A program ended with a bad exit status. ``argv`` never holds secrets; ``tail`` is the end of what it printed."""

    code = "command_failed"

    def __init__(self, argv: list[str], rc: int, tail: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with exit status {rc}: {tail.strip() or 'it printed nothing'}")
        self.argv = argv
        self.rc = rc
        self.tail = tail


class VerifyFailed(RunbookError):
    """The thing answered, and what it answered is wrong."""

    code = "verify_failed"


class TimedOut(RunbookError):
    """It took longer than it may."""

    code = "timed_out"


class NoSpace(RunbookError):
    """A disk is full, or would be."""

    code = "no_space"


class Unsure(RunbookError):
    """Nobody knows whether it was done: neither success nor failure may be claimed."""

    code = "unsure"


class Exists(RunbookError):
    """Something of that name is there already, and is never overwritten."""

    code = "exists"


class NotThere(RunbookError):
    """Something of that name should be there and is not."""

    code = "not_there"


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """``; did you mean "latency"?`` when something near is known, else nothing."""
    import difflib  # only for mistakes

    near = difflib.get_close_matches(str(word), [str(name) for name in known], n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
