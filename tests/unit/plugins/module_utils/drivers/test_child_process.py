# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that prints while it is fed: neither side ever waits for the other for ever, and what it printed comes out whole."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._child_process import PIPE_BYTES, Command, HostChild, Patience, Stalled

NOISE = random.Random(5).randbytes(3_000_001)


def started(shell: str, seconds: float = 20.0, stall: float | None = None) -> HostChild:
    patience = Patience("the test", Deadline(seconds, time.monotonic), stall)
    return HostChild(Command(["/bin/sh", "-c", shell], {"PATH": "/usr/bin:/bin"}, patience, reads_input=True), None)


def passed(child: HostChild, body: bytes, size: int) -> bytes:
    """All that it prints while it is fed ``body``, and after that."""
    rest, found = memoryview(body), []
    while rest:
        taken, printed = child.exchange(rest, size)
        assert 0 <= taken <= len(rest) and printed != b"" and len(printed or b"") <= size and (taken or printed), "each look brings something"
        rest = rest[taken:]
        found.append(printed or b"")
    child.close_input()
    while True:
        taken, printed = child.exchange(b"", size)
        assert taken == 0
        if printed == b"":
            return b"".join(found)
        found.append(printed or b"")


PROGRAMS = {
    "prints at once": ("exec cat", lambda body: body),
    "prints at the end": ("cat > /dev/null; echo done", lambda body: b"done\n"),
    "prints more than it reads": ("while read -r line; do echo $line $line; done; exec seq 100000", None),
    "complains all the time": ("exec tee /dev/stderr", lambda body: body),
}


@pytest.mark.parametrize("size", [1000, PIPE_BYTES])
@pytest.mark.parametrize(("shell", "expected"), PROGRAMS.values(), ids=PROGRAMS)
def test_what_is_fed_and_printed_at_the_same_time(shell: str, expected: Callable[[bytes], bytes] | None, size: int) -> None:
    body = NOISE if expected else b"x\n" * 5000
    wanted = expected(body) if expected else b"x x\n" * 5000 + b"".join(b"%d\n" % number for number in range(1, 100_001))
    with started(shell) as child:
        assert passed(child, body, size) == wanted
        assert child.finish() == 0


def test_a_program_that_reads_no_more() -> None:
    with started("exec head -c 10 > /dev/null") as child, pytest.raises(BrokenPipeError):
        while child.exchange(NOISE, 1000)[1] != b"":
            pass
        while True:  # it closed its output, and may still take what fits into the pipe
            child.write(NOISE)


def test_the_end_of_its_output_is_seen_while_it_is_fed() -> None:
    with started("exec >&-; exec sleep 60") as child:
        printed = None
        while printed is None:
            printed = child.exchange(NOISE[:1], 1000)[1]
    assert printed == b""


@pytest.mark.parametrize(("seconds", "stall", "error"), [(0.3, None, TimedOut), (20.0, 0.3, Stalled)])
def test_a_program_that_neither_takes_nor_gives(seconds: float, stall: float | None, error: type[TimedOut]) -> None:
    with started("exec sleep 60", seconds, stall) as child, pytest.raises(error) as caught:
        rest = memoryview(NOISE)
        while rest:
            rest = rest[child.exchange(rest, 1000)[0] :]
    assert caught.value.__class__ is error
