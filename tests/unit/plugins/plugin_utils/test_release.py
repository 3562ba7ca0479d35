# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version is found in an installed collection and in a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tradeops.runbook.plugins.plugin_utils.release import collection_version


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"MANIFEST.json": '{"collection_info": {"version": "1.2.3"}}'}, "1.2.3"),
        ({"galaxy.yml": "name: runbook\nversion: 0.1.0  # next\n"}, "0.1.0"),
        ({"galaxy.yml": 'version: "0.2.0"\n'}, "0.2.0"),
        ({"MANIFEST.json": "[]", "galaxy.yml": "version: 0.1.0\n"}, "0.1.0"),
        ({"galaxy.yml": "name: runbook\n"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_version(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert collection_version(tmp_path) == expected


def test_this_collection_has_one() -> None:
    assert collection_version() != "unknown"
