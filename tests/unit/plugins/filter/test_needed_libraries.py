# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter needed_libraries: what checks need where they run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.runbook.plugins.filter.needed_libraries import FilterModule, needed_libraries

READ = {"name": "api", "http": {"url": "u", "read": {"x": "x"}}}
TLS = {"name": "certificate", "tls": {"host": "h"}}


def test_it_is_registered() -> None:
    assert FilterModule().filters() == {"needed_libraries": needed_libraries}


@pytest.mark.parametrize(
    ("lists", "libraries"),
    [
        ([], []),
        ([[]], []),
        ([[{"name": "a", "host": {}}, {"name": "b", "http": {"url": "u"}}]], []),
        ([[READ]], ["jmespath"]),
        ([[TLS], [READ]], ["cryptography", "jmespath"]),
        ([[READ], [{"name": "api", "enabled": False}]], []),
        ([[READ], [{"name": "api", "tcp": {"host": "h", "port": 1}}]], []),
    ],
)
def test_libraries(lists: Any, libraries: list[str]) -> None:
    assert needed_libraries(lists) == libraries


SQLITE, REDIS, S3 = {"source": {"sqlite": {}}}, {"source": {"redis": {}}}, {"s3": {"bucket": "b"}}
HERE = {"directory": {"path": "/x"}}


@pytest.mark.parametrize(
    ("sources", "repositories", "libraries"),
    [
        ([], [S3], []),
        ([SQLITE], [HERE], ["zstandard"]),
        ([SQLITE], [HERE, {}], ["zstandard"]),
        ([SQLITE], [HERE, S3], ["boto3", "zstandard"]),
        ([{**SQLITE, "repository": S3}], [HERE], ["boto3", "zstandard"]),
        ([{**SQLITE, "copies": [S3]}], [HERE], ["boto3", "zstandard"]),
        ([REDIS], [HERE], ["redis", "zstandard"]),
        ([{**SQLITE, "scratch": {"redis": {}}}], [HERE], ["redis", "zstandard"]),
    ],
)
def test_libraries_of_backups(sources: Any, repositories: Any, libraries: list[str]) -> None:
    named = [{"name": f"source {number}", **source} for number, source in enumerate(sources)]
    assert needed_libraries([], [named], repositories) == libraries
    health = [[{"name": "backup", "backup": {"repository": repositories[-1]}}]]
    assert ("boto3" in needed_libraries(health)) == (repositories[-1] == S3)


@pytest.mark.parametrize("lists", [[READ], [[{}]], [[READ, READ]]])
def test_what_is_no_list_of_checks(lists: Any) -> None:
    with pytest.raises(AnsibleFilterError):
        needed_libraries(lists)
