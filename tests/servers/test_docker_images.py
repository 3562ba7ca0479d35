# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images the containers of a compose project were made of, asked of the real engine; digests of a registry are in the unit tests."""

from __future__ import annotations

import os
import secrets
import subprocess
import time

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import NotThere
from ansible_collections.tradeops.runbook.plugins.module_utils._core.probe import Deadline
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.docker_images import images

IMAGE = os.environ.get("RUNBOOK_REDIS_IMAGE")
pytestmark = pytest.mark.skipif(not IMAGE, reason="no image of a server: RUNBOOK_REDIS_IMAGE=$(tools/images redis)")


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_a_project_and_a_container_by_its_name() -> None:
    project = f"shop{secrets.token_hex(4)}"
    labels = [f"--label=com.docker.compose.project={project}", "--label=com.docker.compose.service=cache", "--label=tradeops.runbook.test=images"]
    docker("create", "--name", project, "--network", "none", *labels, str(IMAGE))
    try:
        made_of = docker("inspect", "--format", "{{.Image}}", project)
        assert made_of.startswith("sha256:")
        assert images({"project": project}, Deadline(30.0, time.monotonic)) == {"cache": made_of}, "a container that does not run counts as well"
        assert images({"containers": [project]}, Deadline(30.0, time.monotonic)) == {"cache": made_of}
    finally:
        docker("rm", "--force", project)
    with pytest.raises(NotThere, match=f"no container of the project {project}"):
        images({"project": project}, Deadline(30.0, time.monotonic))
