# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading of an artifact as it passes by."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import TimedOut, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_save import Passing, save
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.rdb_writer import key, rdb, text

DATA = rdb(key(0, text(b"1"), b"n") + key(0, text(b"0"), b"halt"))


def passing(data: bytes, seconds: float = 60.0) -> Passing:
    return Passing(io.BytesIO(data), Deadline(seconds, time.monotonic))


def test_it_is_counted_as_it_passes() -> None:
    found = passing(DATA)
    assert b"".join(iter(lambda: found.read(7), b"")) == DATA
    assert found.result().inventory.totals["objects"] == 2
    found.close()


@pytest.mark.parametrize("size", range(0, len(DATA), 3))
def test_what_is_cut_is_nothing(size: int) -> None:
    found = passing(DATA[:size])
    with pytest.raises(VerifyFailed):
        while found.read(16):
            pass
    found.close()


def test_what_was_not_read_to_its_end_is_nothing() -> None:
    found = passing(DATA)
    found.read(5)
    with pytest.raises(VerifyFailed, match="not read to its end"):
        found.result()
    found.close()


def test_it_ends_in_time() -> None:
    found = passing(DATA, 0.0)
    with pytest.raises(TimedOut):
        found.read(5)
    found.close()


class Server:
    """Saves at once; its clock stands still."""

    place = "redis here"

    def __init__(self, seconds: int, microseconds: int) -> None:
        self._clock, self.saved = (seconds, microseconds), 0

    def ask(self, *words: str) -> Any:
        if words == ("TIME",):
            return [str(part).encode() for part in self._clock]
        self.saved = self._clock[0] - (self._clock[1] < 10_000)  # by the kernel's last tick
        return b"Background saving started"

    def info(self, _section: str) -> dict[str, str]:
        return {"run_id": "one", "rdb_last_bgsave_status": "ok", "rdb_last_save_time": str(self.saved)}


@pytest.mark.parametrize(("microseconds", "before"), [(0, 99), (9_999, 99), (10_000, 99), (500_000, 100), (999_999, 100)])
def test_a_file_that_is_dated_by_the_last_tick_is_not_from_before(microseconds: int, before: int) -> None:
    server = Server(100, microseconds)
    assert save(server) == before <= server.saved  # type: ignore[arg-type]
