# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server reads which file, and its answers as data."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._redis_scratch import ServerTooOld, check_format, number_or_text


@pytest.mark.parametrize(
    ("rdb", "redis", "fits"),
    [(9, "6.2.14", True), (10, "6.2.14", False), (10, "7.0.15", True), (11, "7.0.15", False), (12, "7.4.1", True), (13, "8.2.0", True)],
)
def test_which_server_reads_which_format(rdb: int, redis: str, fits: bool) -> None:
    if fits:
        check_format(rdb, redis)
    else:
        with pytest.raises(ServerTooOld):
            check_format(rdb, redis)


@pytest.mark.parametrize(
    ("answer", "value"),
    [(b"12", 12), (b"-1.5", -1.5), (b"1e5", "1e5"), (b"nan", "nan"), (b"9" * 30, "9" * 30), (None, None), ([b"1", b"x"], [1, "x"])],
)
def test_text_that_is_a_number(answer: Any, value: Any) -> None:
    assert number_or_text(answer) == value
