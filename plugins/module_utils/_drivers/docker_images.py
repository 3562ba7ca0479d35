# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images the containers of a host were made of, running or not. See the Docker Engine API, Containers and Images (version 1.25 and newer)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.errors import NotThere
from .._core.probe import Deadline
from ._engine_api import EngineApi
from ._engine_socket import Until

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_ANSWER_SECONDS = 10.0


def images(given: Mapping[str, Any], deadline: Deadline) -> dict[str, str]:
    """Service (or container, where there is none) to the digest of its image, of a compose ``project`` or of named ``containers``.

    The digest is that of the registry, or the id of an image that came from none. Raises NotThere, Unreachable.
    """
    api = EngineApi(Until(deadline, most=_ANSWER_SECONDS))
    names = given.get("containers")
    containers = [api.container(name) for name in names] if names else api.containers({"label": [f"{_PROJECT}={given['project']}"]})
    if not containers:
        raise NotThere(f"there is no container of the project {given['project']}", "correct the name of the project in the inventory")
    found: dict[str, set[str]] = {}
    for container in containers:
        service = (container["Config"].get("Labels") or {}).get(_SERVICE) or container["Name"].lstrip("/")
        found.setdefault(service, set()).add(_digest(api.image(container["Image"])))
    return {service: ", ".join(sorted(digests)) for service, digests in sorted(found.items())}


def _digest(image: Mapping[str, Any]) -> str:
    known = sorted(name.rpartition("@")[2] for name in image.get("RepoDigests") or [])
    return known[0] if known else str(image["Id"])
