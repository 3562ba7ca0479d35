# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of backups whose repository has a copy: in another folder, or in a bucket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Repository
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, Place, read_catalog
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.backup import open_repository
from ansible_collections.tradeops.runbook.plugins.module_utils._module import prune as prune_module
from ansible_collections.tradeops.runbook.plugins.module_utils._module.backup import take
from ansible_collections.tradeops.runbook.plugins.module_utils._module.copy import copy
from ansible_collections.tradeops.runbook.tests.support.backup_sites import Site

HOUR, DAY = 3600.0, 86400.0


class Copied:
    """A source with a repository, and ``to``, where the copies go."""

    def __init__(self, site: Site, to: Mapping[str, Any] | None = None) -> None:
        self.site, self.folder = site, site.folder / "offsite"
        self.to = dict(to or {"directory": {"path": str(self.folder)}})
        self.place = Place("test", "exchange", site.kind, "trades")

    def take(self, age: float = 0.0, proven: bool = True, **more: Any) -> str:
        """A backup of so many seconds ago."""
        with patch.object(time, "time", lambda now=time.time(): now - age):
            self.site.change()
            made: str = take(self.site.params(**more), False)["artifact"]["id"]
            if proven:
                self.site.prove(select=made)
        return made

    def copy(self, check_mode: bool = False, select: str = "new", **more: Any) -> dict[str, Any]:
        return copy({**self.site.params(), "kind": self.site.kind, "to": self.to, "select": select, **more}, check_mode)

    def prune(self, copies: list[dict[str, Any]] | None = None, check_mode: bool = False, **keep: Any) -> dict[str, Any]:
        """Of the first repository, with its copies known."""
        found = [{"name": "offsite", **self.to}] if copies is None else copies
        keep = {"last": 1, "minimum_restored": 1, **keep}
        return prune_module.prune({**self.site.params(), "kind": self.site.kind, "keep": keep, "copies": found, "max_remove_percent": 100.0}, check_mode)

    def repository(self) -> Repository:
        """That of the copies."""
        return open_repository(self.to)

    def there(self) -> list[Artifact]:
        """What the copy shows."""
        return read_catalog(self.repository(), self.place)

    def here(self) -> Directory:
        return Directory({"path": str(self.site.store)})


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a repository but its mark, its proofs, and what is hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "tradeops-repository.json" and not path.name.startswith(".") and ".proof." not in path.name
    }
