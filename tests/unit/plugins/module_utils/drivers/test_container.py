# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in what to look at, and the files of a log. Real containers are among the integration tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import SKIPPED, Unmeasured
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers import container

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": ["api"], "services": ["api"]}, "services are those of a project"),
        ({"label": "a=b", "services": ["api"]}, "services are those of a project"),
        ({"names": ["api"], "digests": {"apo": DIGEST}}, 'digests: "apo" is not among names and services; did you mean "api"'),
        ({"project": "p", "services": ["api"], "digests": {"db": DIGEST}}, "not among"),
        ({"names": ["api"], "digests": {"api": "latest"}}, "not a digest"),
    ],
)
def test_mistakes(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        container.dynamic_measures(options)


@pytest.mark.parametrize(
    ("options", "parts"),
    [({"names": ["a", "b"]}, {"a", "b"}), ({"project": "p", "services": ["api"]}, {"api"}), ({"project": "p"}, set()),
     ({"project": "p", "digests": {"db": DIGEST}}, {"db"})],
)  # fmt: skip
def test_each_that_is_named_has_every_measure(options: dict[str, Any], parts: set[str]) -> None:
    found = container.dynamic_measures(options)
    assert found == {f"{part}.{name}": unit for part in parts for name, unit in container.MEASURES.items()}


def described(path: str, kind: str = "json-file") -> dict[str, Any]:
    return {"HostConfig": {"LogConfig": {"Type": kind, "Config": {}}}, "LogPath": path}


def test_the_size_of_a_log_is_that_of_all_its_files(tmp_path: Path) -> None:
    log = tmp_path / "[id]-json.log"
    for name, size in (("[id]-json.log", 10), ("[id]-json.log.1", 100), ("[id]-json.log.2.gz", 1000), ("i-json.log.1", 5), ("other.log", 7)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert container._log_size("api", described(str(log))) == 1110


@pytest.mark.parametrize(("kind", "path"), [("journald", ""), ("none", ""), ("syslog", ""), ("fluentd", "")])
def test_where_the_engine_keeps_no_log_there_is_nothing_to_measure(kind: str, path: str) -> None:
    assert container._log_size("api", described(path, kind)) is SKIPPED


def test_a_log_that_cannot_be_seen_is_not_small(tmp_path: Path, as_nobody: Any) -> None:
    assert isinstance(container._log_size("api", described("", "local")), Unmeasured)
    assert "is not at" in container._log_size("api", described(str(tmp_path / "none"))).reason
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "log").write_bytes(b"x")
    (tmp_path / "closed").chmod(0)
    reason = as_nobody(lambda: container._log_size("api", described(str(tmp_path / "closed" / "log"))).reason)
    assert "cannot be looked at: Permission denied" in reason
