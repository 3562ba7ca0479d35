# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the resolver of this host answers for a name, as programs on it would hear it. See getaddrinfo(3)."""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import Any

from .._core.errors import InvalidInput, Unreachable
from .._core.probe import Probe
from ._connect import addresses_of
from ._time_left import TimeLeft

MEASURES = {"latency": "s", "addresses": "list", "address_count": "count", "missing": "list", "missing_count": "count"}

_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Look up ``name``. A name that does not exist has no addresses; ``missing`` are those of ``expect`` that were not among them.

    Raises Unreachable (the resolver gives no answer), TimedOut, InvalidInput.
    """
    name = options["name"]
    expected = [_canonical(address, name) for address in options["expect"]]
    left = TimeLeft(probe, options["timeout_seconds"], f"looking up {name}", "see whether the name servers in /etc/resolv.conf answer")
    started = time.monotonic()
    addresses = _addresses(name, left)
    latency = time.monotonic() - started
    missing = [address for address in expected if address not in addresses]
    return {
        "latency": latency,
        "addresses": addresses,
        "address_count": len(addresses),
        "missing": missing,
        "missing_count": len(missing),
    }


def _addresses(name: str, left: TimeLeft) -> list[str]:
    try:
        answer = addresses_of(name, None, left)
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            return []
        raise Unreachable(
            f"the resolver of this host gave no answer for {name}: {error.strerror}", "see whether the name servers in /etc/resolv.conf answer"
        ) from None
    return sorted({str(item[4][0]) for item in answer})


def _canonical(address: str, name: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise InvalidInput(f'dns: "{address}", expected for {name}, is not an IP address', "write addresses, not names, under expect") from None
