# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server (Ceph, from tools/images rgw) in a container, buckets with the rights of a writer and a pruner, and sites that keep backups there."""

from __future__ import annotations

import itertools
import json
import os
import random
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.tradeops.runbook.plugins.module_utils._core.backup_types import Repository
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import Artifact, Place, read_catalog
from ansible_collections.tradeops.runbook.plugins.module_utils._core.proof import Bench
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.backup import open_repository
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers.zstd import Zstd
from ansible_collections.tradeops.runbook.tests.support.backup_sites import FilesSite, Site, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.waiting import until

IMAGE = os.environ.get("RUNBOOK_RGW_IMAGE")
WITHOUT = "no image of an S3 server: RUNBOOK_RGW_IMAGE=$(tools/images rgw)"

KEYS = {"owner": ("OWNERKEY", "owner-secret-5b1f"), "writer": ("WRITERKEY", "writer-secret-9c2e"), "pruner": ("PRUNERKEY", "pruner-secret-77d0")}
"""Access keys and secrets of the users."""

READING = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention"]
WRITING = ["s3:PutObject", "s3:PutObjectRetention", "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads"]
REMOVING = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
RIGHTS = {"writer": READING + WRITING, "pruner": READING + WRITING + REMOVING}
NUMBERS = itertools.count(1)


class Rgw:
    """The server. Nobody but this host reaches it; everything in it is gone with it."""

    def __init__(self, megabytes: int = 2048) -> None:
        self.name = f"tradeops-runbook-rgw-{secrets.token_hex(4)}"
        users = " ".join(f"{user}:{key}:{secret}" for user, (key, secret) in KEYS.items())
        given = ["--env", f"RGW_USERS={users}", "--env", f"RGW_BYTES={megabytes << 20}"]
        _docker("run", "--detach", "--name", self.name, "--label", "tradeops.runbook.test=rgw", *given, str(IMAGE))
        self.address = _docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.name).strip()
        self.url = f"http://{self.address}:8000"

    def answers(self) -> bool:
        """Raises AssertionError once it has ended."""
        assert _docker("inspect", "--format", "{{.State.Running}}", self.name).strip() == "true", self.log()
        with suppress(OSError):
            return bool(urllib.request.urlopen(self.url, timeout=5).read())
        return False

    def log(self) -> str:
        return subprocess.run(["docker", "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=True).stdout

    def client(self, user: str = "owner") -> Any:
        """Of boto3, for what is not ours to do: making buckets, attacking them, looking into them."""
        import boto3
        from botocore.config import Config

        key, secret = KEYS[user]
        config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
        return boto3.client("s3", endpoint_url=self.url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="default", config=config)

    def bucket(self, lock: bool = False, versions: bool = False) -> Bucket:
        """A new one: the writer reads and writes there, the pruner may remove too."""
        name, owner = f"backups-{next(NUMBERS)}", self.client()
        owner.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if lock else {}))
        if versions:
            owner.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        found = Bucket(self, name)
        found.allow()
        return found


@dataclass(frozen=True)
class Bucket:
    """One of the server's, seen from outside."""

    server: Rgw
    name: str

    def allow(self, rights: Mapping[str, list[str]] | None = None) -> None:
        """From now on, and nothing else."""
        allowed = [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam:::user/{user}"}, "Action": actions,
             "Resource": [f"arn:aws:s3:::{self.name}", f"arn:aws:s3:::{self.name}/*"]}
            for user, actions in (rights or RIGHTS).items()
        ]  # fmt: skip
        self.server.client().put_bucket_policy(Bucket=self.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": allowed}))

    def options(self, folder: Path, user: str = "writer", **more: Any) -> dict[str, Any]:
        """Of a repository in it, as a module gets them."""
        key, secret = KEYS[user]
        return {
            "bucket": self.name, "prefix": "site", "endpoint_url": self.server.url, "allow_http": True, "region": "default", "access_key": key,
            "secret_access_key": secret, "addressing_style": "path", "part_mib": 5, "max_attempts": 3, "state_dir": str(folder / "s3"), **more,
        }  # fmt: skip

    def keys(self) -> list[str]:
        """Of all that can be seen."""
        pages = self.server.client().get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def versions(self) -> list[dict[str, Any]]:
        """All of them, and delete markers."""
        pages = self.server.client().get_paginator("list_object_versions").paginate(Bucket=self.name)
        return [item for page in pages for kind in ("Versions", "DeleteMarkers") for item in page.get(kind, ())]

    def bodies(self) -> dict[str, bytes]:
        client = self.server.client("writer")
        return {key: client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in self.keys()}

    def uploads(self) -> list[str]:
        """Keys of those that are open."""
        return [upload["Key"] for upload in self.server.client().list_multipart_uploads(Bucket=self.name).get("Uploads", ())]


class OffSite(Site):
    """Mixed into a site: its repository is in S3."""

    place: dict[str, Any]

    def repository(self) -> Repository:
        return open_repository({"s3": self.place})

    def params(self, **more: Any) -> dict[str, Any]:
        return super().params(**{"repository": {"s3": self.place}, **more})

    def artifacts(self) -> list[Artifact]:
        return read_catalog(self.repository(), Place("test", "exchange", self.kind, "trades"))

    def bench(self) -> Bench:
        return Bench(self.repository(), Zstd(), time.time)

    def bytes_of(self, artifact: str) -> str:
        raise NotImplementedError("see Bucket.bodies")


class OffSiteSqlite(OffSite, SqliteSite):
    def __init__(self, folder: Path, place: dict[str, Any]) -> None:
        SqliteSite.__init__(self, folder)
        self.place = place


class OffSiteFiles(OffSite, FilesSite):
    """Large enough for several parts."""

    def __init__(self, folder: Path, place: dict[str, Any]) -> None:
        FilesSite.__init__(self, folder)
        (self.root / "large").write_bytes(random.Random(3).randbytes(12 << 20))
        self.place = place


@contextmanager
def running(megabytes: int = 2048) -> Iterator[Rgw]:
    """A server that answers."""
    server = Rgw(megabytes)
    try:
        until(server.answers, 120)
        yield server
    finally:
        _docker("rm", "--force", "--volumes", server.name)


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
