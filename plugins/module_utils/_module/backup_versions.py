# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions that belong to a backup: those that are given, a revision that is asked for, and the images of containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.backup_types import Source
from .._core.errors import InvalidInput, RunbookError
from .._core.probe import Deadline

VERSIONS: dict[str, Any] = {
    "versions": {"type": "dict", "default": {}},
    "revision": {"type": "str", "default": ""},
    "images": {
        "type": "dict",
        "options": {"project": {"type": "str"}, "containers": {"type": "list", "elements": "str"}},
        "required_one_of": [["project", "containers"]],
        "mutually_exclusive": [["project", "containers"]],
    },
}
"""Options of what takes a backup and of what restores one; the documentation fragment ``backups.versions`` describes them."""


def versions_of(params: Mapping[str, Any], source: Source, deadline: Deadline) -> tuple[dict[str, str], list[str]]:
    """Name to version, and in a sentence each what could not be asked: a backup without a version is better than none."""
    found, notes = {str(name): str(value) for name, value in params["versions"].items()}, []
    if params["revision"]:
        asked: Any = source
        if not hasattr(asked, "ask"):
            raise InvalidInput("a source of this kind cannot be asked for its revision", "leave revision out, or give it as one of versions")
        try:
            found["revision"] = str(asked.ask(params["revision"]))
        except RunbookError as error:
            notes.append(f"the revision is not known: {error.message}")
    if params["images"]:
        try:
            found.update({f"image {service}": digest for service, digest in _images(params["images"], deadline).items()})
        except RunbookError as error:
            notes.append(f"the images are not known: {error.message}")
    return found, notes


def _images(given: Mapping[str, Any], deadline: Deadline) -> dict[str, str]:
    from .._drivers.docker_images import images

    found: dict[str, str] = images(given, deadline)
    return found
