# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a container of this host is reached without a published port: its own address in one of its networks."""

from __future__ import annotations

from .._core.errors import InvalidInput, Unreachable, did_you_mean
from ._engine_api import EngineApi
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._timed_socket import Patience


def address_of(container: str, left: Patience, network: str = "") -> str:
    """The IP address of the container of exactly this name in ``network``, or in its only one.

    Raises Unreachable when there is no such container, it does not run or is not in that network, InvalidInput when it has several networks and
    none is named, or no address of its own; and what EngineApi raises.
    """
    found = EngineApi(left).named([container])
    if not found:
        raise Unreachable(f"there is no container {container}", "see: docker ps -a; correct its name, or start it")
    state = found[0]["State"]
    if not state["Running"] or state.get("Restarting") or state.get("Paused"):  # the kernel takes connections also for one that is paused
        raise Unreachable(f"the container {container} does not run: it is {state['Status']}", f"see: docker logs {container}")
    _refuse_without_address(container, found[0]["HostConfig"].get("NetworkMode") or "")
    addresses = _addresses(found[0])
    if network and network not in addresses:
        known = f"it is in {', '.join(sorted(addresses)) or 'none'}{did_you_mean(network, addresses)}"
        raise Unreachable(f"the container {container} is not in the network {network}: {known}", "correct the name, or connect it (docker network connect)")
    if not network and len(addresses) > 1:
        raise InvalidInput(f"the container {container} is in several networks: {', '.join(sorted(addresses))}", "say which one (network: ...)")
    address = addresses.get(network) if network else next(iter(addresses.values()), "")
    if not address:
        raise Unreachable(f"the container {container} has no address in {network or 'any network'}", f"see: docker inspect {container}")
    return address


def host_of(options: Mapping[str, Any], left: TimeLeft, host: str) -> str:
    """The host to connect to: the address of the container that ``options`` name, else ``host``."""
    if not options.get("container"):
        if options.get("network"):
            raise InvalidInput(f"network {options['network']} is that of a container", "name the container, or leave the network out")
        return host
    return address_of(options["container"], left, options.get("network") or "")


def _refuse_without_address(container: str, mode: str) -> None:
    if mode == "host":
        raise InvalidInput(f"the container {container} uses the network of the host", "leave container out, and give the address of the host")
    if mode == "none":
        raise InvalidInput(f"the container {container} has no network", "it can only be reached from inside: use another kind of check")
    if mode.startswith("container:"):
        raise InvalidInput(f"the container {container} uses the network of another one ({mode})", "name that container")


def _addresses(inspected: Mapping[str, Any]) -> dict[str, str]:
    networks = inspected["NetworkSettings"].get("Networks") or {}
    return {name: about.get("IPAddress") or about.get("GlobalIPv6Address") or "" for name, about in networks.items()}
