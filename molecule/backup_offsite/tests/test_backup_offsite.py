# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis and secret files in S3, encrypted, and PostgreSQL by pgBackRest: looked at by hand, attacked, destroyed and restored by our playbooks."""
from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

testinfra_hosts = ["ansible://backup_offsite-debian12"]

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = f"{ROOT}/molecule/inventory"
SYSTEM, RUNNER = "backup_offsite-debian12", "backup_offsite-debian13"
IDENTITY = "/run/identity"
OPEN = ("-e", f"restore_identity_file={IDENTITY}")
CLIENT = """
import boto3, json, sys
keys = dict(aws_access_key_id=sys.argv[1], aws_secret_access_key=sys.argv[2], endpoint_url="http://s3.test:8000", region_name="us-east-1")
s3 = boto3.client("s3", **keys)
def every(operation, part):
    return [item for page in s3.get_paginator(operation).paginate(Bucket="backups") for item in page.get(part, [])]
names = [item["Key"] for item in every("list_objects_v2", "Contents")]
versions = [(item["Key"], item["VersionId"]) for item in every("list_object_versions", "Versions")]
"""


def play(playbook: str, *arguments: str, host: str = SYSTEM) -> tuple[int, str]:
    """A shipped playbook on one node."""
    command = ["ansible-playbook", f"--inventory={INVENTORY}", f"--limit={host}", *arguments, f"{ROOT}/playbooks/{playbook}.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def good(playbook: str, *arguments: str) -> str:
    rc, output = play(playbook, *arguments)
    assert rc == 0, output
    return output


def confirmed(*arguments: str) -> str:
    """A restore, as its plan says."""
    plan = good("restore", "--check", *arguments)
    token = re.search(r"restore_confirm=([0-9a-f]{8})", plan)
    assert token is not None, plan
    return good("restore", *arguments, "-e", f"restore_confirm={token[1]}")


def s3(host: Host, script: str, *keys: str) -> Any:
    """What Python prints on a node that asks the S3 server with these keys, as JSON."""
    host.check_output("mkdir -p /root/look && printf %%s %s > /root/look/ask.py", CLIENT + script)
    return json.loads(host.check_output(f"python3 /root/look/ask.py {' '.join(keys or ('WRITERKEY', 'writer-secret'))}"))


@pytest.fixture
def identity(host: Host) -> Iterator[None]:
    """The private key, brought to the host for a restore, in memory."""
    key = testinfra.get_host(f"ansible://{RUNNER}?ansible_inventory={INVENTORY}").file("/root/identity").content_string.strip()
    host.check_output(f"umask 077 && echo {key} > {IDENTITY}")
    yield
    host.check_output(f"rm {IDENTITY}")


def psql(host: Host, query: str) -> str:
    return str(host.check_output(f'runuser -u postgres -- psql --no-psqlrc -XAtq --command "{query}"')).strip()


def digest(host: Host) -> str:
    """Redis's own digest of everything it has."""
    return str(host.check_output("redis-cli debug digest")).strip()


def test_everything_is_proven_and_nothing_is_readable(host: Host) -> None:
    bodies = s3(host, 'print(json.dumps({name: s3.get_object(Bucket="backups", Key=name)["Body"].read().decode("latin-1") for name in names}))')
    data = {name: body for name, body in bodies.items() if ".data." in name}
    assert {name.split("/")[3] for name in data} == {"files", "redis"}
    assert all(name.endswith(".zst.age") and body.startswith("age-encryption.org") for name, body in data.items())
    assert not any("canary" in body for body in bodies.values())
    proofs = [json.loads(body) for name, body in bodies.items() if ".proof.restored." in name]
    assert len(proofs) >= 2 and all(proof["ok"] and proof["opened_with"].startswith("age1") for proof in proofs)
    local = host.check_output("cat /var/backups/tradeops/molecule/exchange/pgbackrest/trading/*.proof.restored.*")
    assert json.loads(local)["ok"] is True


def test_no_upload_is_left_open(host: Host) -> None:
    assert s3(host, 'print(json.dumps(s3.list_multipart_uploads(Bucket="backups").get("Uploads", [])))', "OPSKEY", "ops-secret") == []


def test_redis_by_hand(host: Host) -> None:
    """age, zstd and redis-check-rdb alone, where the private key is."""
    runner = testinfra.get_host(f"ansible://{RUNNER}?ansible_inventory={INVENTORY}")
    save = 'name = max(name for name in names if ".data.rdb." in name); s3.download_file("backups", name, "/root/look/rdb.age"); print(json.dumps(name))'
    assert s3(runner, save).endswith(".data.rdb.zst.age")
    runner.check_output("age -d -i /root/identity /root/look/rdb.age | zstd -d > /root/look/dump.rdb")
    assert "RDB looks OK" in runner.check_output("redis-check-rdb /root/look/dump.rdb")


def test_an_attacker_with_the_key_of_the_writer_loses_nothing(host: Host) -> None:
    attack = """
refused = []
for key, more in [(name, {}) for name in names] + [(name, {"VersionId": version}) for name, version in versions]:
    try:
        s3.delete_object(Bucket="backups", Key=key, **more)
    except Exception as error:
        refused.append(str(error))
print(json.dumps([len(names) + len(versions), len(refused)]))
"""
    tried, refused = s3(host, attack)
    assert tried == refused > 8
    rc, output = play("verify_backups", "-e", '{"backup_only": ["cache", "settings"], "backup_verify_level": "digest", "backup_verify_fresh_seconds": 0}')
    assert rc == 0, output


def test_a_host_that_only_takes_backups_cannot_open_them(host: Host) -> None:
    rc, output = play("restore", "--check", "-e", "restore_source=cache")
    assert rc == 2 and "restore_confirm" not in output and "identity" in output


@pytest.mark.usefixtures("identity")
def test_a_flushed_redis_comes_back_with_its_append_only_file_and_the_halt_of_now(host: Host) -> None:
    """The backup says trading goes on; it was halted since. It stays halted."""
    before = digest(host)
    host.check_output("redis-cli flushall && redis-cli set junk 1 && redis-cli set trading:halt yes")
    confirmed("-e", "restore_source=cache", *OPEN)
    assert host.check_output("redis-cli get trading:halt").strip() == "yes"
    assert "aof_enabled:1" in host.check_output("redis-cli info persistence")
    host.check_output("systemctl restart redis-server && until redis-cli ping | grep -q PONG; do sleep 0.1; done")
    host.check_output("redis-cli set trading:halt no")
    assert digest(host) == before


@pytest.mark.usefixtures("identity")
def test_a_set_comes_back_as_one_and_goes_again(host: Host) -> None:
    before = digest(host), host.check_output("sha256sum /srv/settings/*")
    host.check_output("redis-cli flushall && redis-cli set trading:halt no && echo broken > /srv/settings/broker.yml")
    broken = digest(host), host.check_output("sha256sum /srv/settings/*")
    output = confirmed("-e", "restore_set=exchange", "-e", "restore_select=latest_restored", *OPEN)
    assert (digest(host), host.check_output("sha256sum /srv/settings/*")) == before
    back = re.search(r"restore_undo=(\S+)", output)
    assert back is not None, output
    good("restore", "-e", "restore_set=exchange", "-e", f"restore_undo={back[1]}", *OPEN)
    assert (digest(host), host.check_output("sha256sum /srv/settings/*")) == broken


def test_a_database_goes_back_to_right_before_a_mistake(host: Host) -> None:
    psql(host, "insert into trades select from generate_series(1, 100)")
    before = psql(host, "select count(*) from trades")
    moment = psql(host, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')".replace('"', '\\"'))
    psql(host, "select pg_sleep(2)")  # the archive knows when a segment came by the second
    psql(host, "delete from trades")
    psql(host, "select pg_switch_wal()")
    archived = f"select last_archived_time > '{moment}' from pg_stat_archiver"
    host.check_output(f'until runuser -u postgres -- psql -XAtqc "{archived}" | grep -q t; do sleep 0.2; done')
    until = json.dumps({"restore_until": {"time": moment}})
    confirmed("-e", "restore_source=trading", "-e", until)
    assert psql(host, "select count(*) from trades") == before
    assert psql(host, "select pg_is_in_recovery()") == "f"
