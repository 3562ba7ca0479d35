# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease: an owned, expiring claim on something of a host. Locks are leases, and so is the gate of trading. Pure.

Time is told by two clocks: within one boot the monotonic one counts, which nobody can set; after a reboot only the wall clock is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .errors import Busy, VerifyFailed
from .times import rfc3339


@dataclass(frozen=True)
class Moment:
    """Now: seconds since 1970, seconds since boot, and which boot."""

    wall: float
    monotonic: float
    boot_id: str


@dataclass(frozen=True)
class Lease:
    """``epoch`` grows with every change: whoever saw another epoch may not change it. ``prior`` is what was there before, for giving it back."""

    name: str
    owner: str
    reason: str
    epoch: int
    held: bool
    taken_wall: float
    ends_wall: float
    ends_monotonic: float
    boot_id: str
    prior: Mapping[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """JSON data."""
        return {**asdict(self), "prior": dict(self.prior)}

    def expired(self, now: Moment) -> bool:
        """Whether its time is over."""
        return now.monotonic >= self.ends_monotonic if now.boot_id == self.boot_id else now.wall >= self.ends_wall

    def who(self) -> str:
        """For messages."""
        return f"{self.name} is held by {self.owner} since {rfc3339(self.taken_wall)} ({self.reason}) until {rfc3339(self.ends_wall)}"


def read_lease(data: Any) -> Lease:
    """From JSON data. Raises VerifyFailed for what is none: then nobody knows who holds what."""
    try:
        lease = Lease(**data)
        sound = all(type(getattr(lease, name)) in kinds for name, kinds in _SHAPE.items())
        sound = sound and all(0 <= instant < _END_OF_TIME for instant in (lease.taken_wall, lease.ends_wall, lease.ends_monotonic))
    except TypeError:
        sound = False
    if not sound:
        raise VerifyFailed("the lease cannot be read", "see who wrote it; remove it once you know that nothing is held")
    return lease


_SHAPE = {
    "name": (str,), "owner": (str,), "reason": (str,), "epoch": (int,), "held": (bool,), "taken_wall": (int, float), "ends_wall": (int, float),
    "ends_monotonic": (int, float), "boot_id": (str,), "prior": (dict,),
}  # fmt: skip
_END_OF_TIME = 32503680000.0  # the year 3000: the calendar of Python ends some time after it


@dataclass(frozen=True)
class Claim:
    """What somebody wants to hold, and for how long at most."""

    name: str
    owner: str
    reason: str
    seconds: float
    prior: Mapping[str, Any] = field(default_factory=dict)


def take(known: Lease | None, claim: Claim, now: Moment) -> Lease:
    """The lease for ``claim``. Its own owner may take it again, which renews it. Raises Busy while another's time is not over."""
    if known is not None and known.held and known.owner != claim.owner and not known.expired(now):
        raise Busy(known.who(), "wait until it is over, or let its owner release it")
    again = known is not None and known.held and known.owner == claim.owner
    return Lease(
        claim.name, claim.owner, claim.reason, (known.epoch if known else 0) + 1, True, now.wall, now.wall + claim.seconds,
        now.monotonic + claim.seconds, now.boot_id, known.prior if known and again else claim.prior,
    )  # fmt: skip


def release(known: Lease | None, owner: str, epoch: int) -> Lease:
    """The lease given back. Raises Busy when it is another's, or was changed since ``epoch``."""
    if known is None or not known.held or known.owner != owner or known.epoch != epoch:
        raise Busy(f"the lease of {owner} is no longer its own: {known.who() if known and known.held else 'nobody holds it'}", "see the record of both runs")
    return replace(known, held=False, epoch=known.epoch + 1)
