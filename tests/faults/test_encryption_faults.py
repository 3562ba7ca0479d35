# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is encrypted, changed anywhere: with the digests in the manifest it is called damage, and without them age finds it; nothing is taken for good."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Body, Corrupt, NotOpened, Part, drain, store
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.age import Keys, Sealed
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
from ansible_collections.tradeops.runbook.tests.faults.conftest import EVERYTHING, evidence

pytestmark = pytest.mark.skipif(shutil.which("age-keygen") is None, reason="the program age is not installed (Debian package age)")

CHANGES = 1000 if EVERYTHING else 20


def changed(body: bytes, chance: random.Random, number: int) -> tuple[str, bytes]:
    """What was done to it (in turn): a bit flipped in the header or anywhere, the end cut off, something appended."""
    if number % 10 == 0:
        return "cut off", body[: chance.randrange(len(body))]
    if number % 10 == 5:
        return "something appended", body + chance.randbytes(chance.randrange(1, 70_000))
    place = chance.randrange(400 if number % 2 else len(body))
    return f"a bit flipped {'in the header' if number % 2 else 'anywhere'}", body[:place] + bytes([body[place] ^ 1 << chance.randrange(8)]) + body[place + 1 :]


def test_changed_anywhere(tmp_path: Path) -> None:
    keys = [tmp_path / "operations", tmp_path / "escrow"]
    for key in keys:
        subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    recipients = [subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout.strip() for key in keys]
    codec = Sealed(Zstd(), Keys(recipients, str(keys[1])), Deadline(600, time.monotonic))
    sink: Any = io.BytesIO()  # it can do more than a sink
    chance = random.Random(11)
    part = {"name": "x.data.sqlite.zst.age", **store(Body(random.Random(9).randbytes(160_000)), sink, codec, lambda count: None)}
    seen: Counter[str] = Counter()
    for number in range(CHANGES):
        what, bad = changed(sink.getvalue(), chance, number)
        with closing(Part(io.BytesIO(bad), part, codec, lambda count: None)) as stream, pytest.raises(Corrupt):  # type: ignore[arg-type]  # a file can do more
            drain(stream)
        with closing(codec.reader(io.BytesIO(bad), part)) as opened, pytest.raises((Corrupt, NotOpened)):
            drain(opened)
        seen[what] += 1
    assert sum(seen.values()) == CHANGES and len(seen) == 4
    rows = [f"| {what} | {count} of {count} | {count} of {count} |" for what, count in sorted(seen.items())]
    head = ["# Encrypted backups that were changed", "", "| Change | found by the digests, and called damage | found by age alone |", "|---|---|---|"]
    evidence("faults-encryption.md", [*head, *rows])
