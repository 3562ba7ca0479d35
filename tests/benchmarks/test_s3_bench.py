# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of PostgreSQL to S3 (a Ceph gateway on this machine) beside what people use instead, with the AWS command line. Ratios of paired runs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.tests.support.backup_sites import Site
from ansible_collections.tradeops.runbook.tests.support.postgresql import Server, programs
from ansible_collections.tradeops.runbook.tests.support.rgw import IMAGE, KEYS, WITHOUT, Bucket, Rgw, running
from conftest import evidence
from test_backup_bench import BAR, COLLECTIONS, DIGEST, ROWS, Ours, measured, psql, ratio, run

SCALE = int(os.environ.get("BENCH_S3_SCALE", "110"))
"""Of pgbench: a dump of some ten megabytes each."""
ROUNDS = int(os.environ.get("BENCH_S3_ROUNDS", "3"))
ROOM_MB = 2048 + SCALE * 12 * (ROUNDS + 1)
"""Packed well in truth; this is for a dump that does not pack at all."""
pytestmark = pytest.mark.skipif(not IMAGE, reason=WITHOUT)
pytest.importorskip("boto3", reason="boto3 is not installed")


@pytest.fixture(scope="module")
def rgw() -> Iterator[Rgw]:
    with running(ROOM_MB) as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if programs() is None:
        pytest.fail("the benchmark needs PostgreSQL")
    with Server() as found:
        yield found


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The AWS command line from PyPI, in an environment of its own."""
    folder = tmp_path_factory.mktemp("awscli")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin/pip"), "install", "--quiet", "awscli"], check=True)
    return str(folder / "bin/aws")


class OursInS3(Ours):
    """With this Python, which has boto3."""

    def __init__(self, folder: Path, source: dict[str, Any], bucket: Bucket) -> None:
        super().__init__(folder, source)
        self.params = {**Site("postgresql", folder, source["postgresql"]).params(), **self.params, "repository": {"s3": bucket.options(folder, part_mib=8)}}

    def call(self, name: str) -> None:
        (self.folder / "given.json").write_text(json.dumps({"call": name, "params": self.params}))
        run([sys.executable, str(self.folder / "call.py"), str(self.folder / "given.json"), str(self.folder / f"{name}.json")], PYTHONPATH=COLLECTIONS)


def test_a_backup_to_s3(rgw: Rgw, server: Server, aws: str, tmp_path: Path) -> None:
    run(f"{psql(server, 'postgres')} -c 'create database bench'")
    run(f"{shlex.quote(str((programs() or Path()) / 'pgbench'))} -i -q -s {SCALE} -h {server.folder} -p {server.port} -U runbook bench")
    run(f"{psql(server, 'bench')} -c 'checkpoint'")
    bucket, dump = rgw.bucket(), f"pg_dump -h {server.folder} -p {server.port} -U runbook"
    ours = OursInS3(tmp_path, {"postgresql": {"database": "bench", "host": str(server.folder), "port": server.port, "user": "runbook"}}, bucket)
    key, secret = KEYS["writer"]
    keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "default", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
    copy, there, out = f"{aws} --endpoint-url {rgw.url} s3 cp --only-show-errors", f"s3://{bucket.name}/by-hand", tmp_path / "out"

    def by_hand(command: str) -> Callable[[], None]:
        return lambda: run(command, **keys) and None

    contenders: dict[str, Callable[[], None]] = {
        "ours": lambda: ours.call("backup"),
        "pg_dump | gzip to a file, then aws s3 cp": by_hand(f"{dump} bench | gzip > {out}; {copy} {out} {there}/gzip; rm {out}"),
        "pg_dump | zstd | aws s3 cp": by_hand(f"{dump} bench | zstd -1 -q | {copy} - {there}/zstd"),
        "pg_dump > /dev/null": by_hand(f"{dump} bench > /dev/null"),
        "the same work by hand": by_hand(
            f"({ROWS.format(psql=psql(server, 'bench'))}) & {dump} -Fc -Z0 bench | {DIGEST} | zstd -1 -q | {DIGEST} | {copy} - {there}/same; wait;"
            f" {copy} {there}/same - | {DIGEST} > /dev/null"
        ),
    }  # fmt: skip
    found = measured(contenders, ROUNDS, server)
    said = ours.said("backup")
    size, room = said["artifact"]["plain_bytes"], max(said["memory"])
    file, stream = (ratio(found, "wall", "ours", name) for name in list(contenders)[1:3])
    least = [ratio(found, "wall", "pg_dump > /dev/null", name) for name in list(contenders)[1:3]]
    lines = [
        "# Backups to S3", "",
        f"A pgbench database (scale {SCALE}, a dump of {size / 1e9:.2f} GB) to a Ceph gateway in memory on the same machine. Ratios of {ROUNDS} paired runs,"
        f" median. {os.cpu_count()} processors. Made by `make bench`.", "",
        "| | Wall time | Processor |", "|---|---:|---:|",
        *(f"| {name.replace('|', BAR)} | {1 / ratio(found, 'wall', 'ours', name):.2f} | {1 / ratio(found, 'processor', 'ours', name):.2f} |"
          for name in contenders), "",
        "Each as a multiple of ours, which also counts every table in the same snapshot, digests both sides, and reads back what was stored."
        f" A dump that goes nowhere takes {least[0]:.2f} of the second and {least[1]:.2f} of the third: no tool on top of it can be faster than that.", "",
        "| Goal | Seen |", "|---|---:|",
        f"| at most 0.42 of the wall time of a file by `pg_dump \\| gzip`, then `aws s3 cp` | {file:.2f} |",
        f"| at most 0.88 of the wall time of `pg_dump \\| zstd \\| aws s3 cp` | {stream:.2f} |",
        f"| at most 144 MiB of memory | {room:.0f} MiB |",
    ]  # fmt: skip
    evidence("bench-s3.md", "\n".join(lines) + "\n")
    shutil.rmtree(tmp_path / "s3")
    assert not bucket.uploads() and room < 144
