# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log such as a trading service writes in a day, of any size, and always the same."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

BEGIN = datetime(2026, 11, 19, tzinfo=timezone.utc)
_LENGTH = 96.0
_KINDS = (
    (50, "INFO", "api", "GET /portfolio 200 completed in {seconds:.3f} s"),
    (17, "INFO", "api", "POST /orders 201 completed in {seconds:.3f} s request={request:08x}"),
    (3, "INFO", "api", "GET /orders/{request:08x}-{half:04x}-4abc-9def-0123{request:08x} 200 completed in {seconds:.3f} s"),
    (18, "INFO", "engine", "order {number} filled quantity={quantity} price={price:.2f} symbol={symbol}"),
    (4, "WARNING", "resilience", "retry attempt {attempt}/3 for {symbol}"),
    (3, "ERROR", "engine", "order {number} rejected: timeout after {quantity} ms"),
    (1, "ERROR", "database", "database is locked (attempt {attempt})"),
    (4, "DEBUG", "safety", "low uniqueness ratio {share:.2f} in answer {number}"),
)


def lines(begin: datetime, count: int, seconds: float, seed: int = 7) -> list[str]:
    """``count`` entries over ``seconds`` from ``begin``."""
    chance = random.Random(seed)
    kinds = [kind for kind in _KINDS for _share in range(kind[0])]
    found = []
    for number in range(count):
        _share, level, name, text = chance.choice(kinds)
        at = begin + timedelta(seconds=seconds * number / count)
        body = text.format(
            seconds=chance.expovariate(5), request=chance.getrandbits(32), half=chance.getrandbits(16), number=chance.randrange(10**6),
            quantity=chance.randrange(1, 500), price=chance.random() * 300, share=chance.random(), symbol=chance.choice(("AAPL", "MSFT", "TSLA")),
            attempt=chance.randrange(1, 4),
        )  # fmt: skip
        found.append(f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d} - nextrade.{name} - {level} - {body}\n")
    return found


def write(path: Path, size: int) -> None:
    """A file of about ``size`` bytes that covers a day; parts of it are written one after the other, to need little memory."""
    parts = max(1, size // 10_000_000)
    count = int(size / parts / _LENGTH)
    with path.open("w", encoding="ascii") as file:
        for part in range(parts):
            begin = BEGIN + timedelta(days=part / parts)
            file.writelines(lines(begin, count, 86399 / parts, part))
