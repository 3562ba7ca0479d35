# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a source, as a repository shows them: manifests and proofs, no data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.backup_health import MEASURES, measures_of
from .._core.backup_types import Repository
from .._core.catalog import Place, read_catalog
from .._core.errors import InvalidInput
from .._core.probe import Deadline, Probe

__all__ = ["MEASURES", "measure", "open_repository"]


def open_repository(given: Mapping[str, Any], deadline: Deadline | None = None) -> Repository:
    """The repository of ``{directory: {...}}`` or ``{s3: {...}}``: its kind is the key."""
    if given.get("directory") is not None:
        from ._directory import Directory

        return Directory(given["directory"])
    if given.get("s3") is not None:
        from ._s3 import S3

        return S3(given["s3"], deadline)
    raise InvalidInput("the repository is of no kind that is known", "write it like {directory: {path: /var/backups/tradeops}}")


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """Raises RunbookError when the repository cannot be read whole."""
    place = Place(options["environment"], options["system"], options["kind"], options["name"])
    repository = open_repository(options["repository"], probe.deadline)
    artifacts = read_catalog(repository, place) if repository.identity().exists else []
    return measures_of(artifacts, repository.free_bytes(), probe.now, len(repository.covered))
