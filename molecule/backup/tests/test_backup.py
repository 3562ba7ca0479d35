# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of PostgreSQL, SQLite and files on real nodes: looked at and restored with psql, pg_restore, sqlite3, zstd and tar alone, and by our playbooks."""
from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

testinfra_hosts = ["ansible://backup"]

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = f"{ROOT}/molecule/inventory"
DATABASE = "we\"ird; drop--"
TRADES = "select count(*), sum(hashtextextended(t::text, 0)) from trades t"
STORE = "/var/backups/tradeops/molecule/exchange"
TREE = "tar --sort=name --sparse --xattrs --exclude=./cache/not-this --exclude=./fifo --mtime=@0 -C {} -cf - . | sha256sum"


def play(playbook: str, *arguments: str) -> tuple[int, str]:
    """A shipped playbook on the nodes of this scenario."""
    command = ["ansible-playbook", f"--inventory={INVENTORY}", "--limit=backup", *arguments, f"{ROOT}/playbooks/{playbook}.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def good(playbook: str, *arguments: str) -> str:
    rc, output = play(playbook, *arguments)
    assert rc == 0, output
    return output


def confirmed(host: str, source: str) -> str:
    """Restore one source on one node, as its plan says."""
    plan = good("restore", f"--limit={host}", "--check", "-e", f"restore_source={source}")
    token = re.findall(r"restore_confirm=([0-9a-f]{8})", plan)[0]
    return good("restore", f"--limit={host}", "-e", f"restore_source={source}", "-e", f"restore_confirm={token}")


def psql(host: Host, query: str, database: str = DATABASE) -> str:
    done = host.run("runuser -u postgres -- psql --no-psqlrc -XAtq --dbname %s --command %s", f"dbname='{database}'", query)
    assert done.rc == 0, done.stderr
    return str(done.stdout).strip()


def newest(host: Host, kind: str, name: str) -> str:
    """The path of the newest backup, without its ending."""
    manifests = host.check_output(f"ls {STORE}/{kind}/{name}/*.manifest.json").split()
    return str(manifests[-1].removesuffix(".manifest.json"))


def name_of(host: Host) -> str:
    return str(host.backend.host)


@pytest.mark.parametrize(("kind", "name"), [("postgresql", "trades"), ("sqlite", "orders"), ("files", "settings")])
def test_everything_is_proven_to_restore_and_belongs_to_root_alone(host: Host, kind: str, name: str) -> None:
    path = newest(host, kind, name)
    manifest = json.loads(host.file(f"{path}.manifest.json").content_string)
    assert host.check_output(f"sha256sum < {path}.data.{manifest['parts'][0]['format']}.zst").split()[0] == manifest["parts"][0]["stored_sha256"]
    proofs = [json.loads(host.file(proof).content_string) for proof in host.check_output(f"ls {path}.proof.*").split()]
    assert {(proof["level"], proof["ok"]) for proof in proofs} == {("digest", True), ("restored", True)}
    modes = host.check_output(f"find /var/backups/tradeops -printf '%u %y %m\\n' | sort -u").splitlines()
    assert modes == ["root d 700", "root f 600"]


def test_the_dump_by_hand(host: Host) -> None:
    """zstd and pg_restore alone, into another database."""
    path = newest(host, "postgresql", "trades")
    as_postgres = "runuser -u postgres --"
    host.check_output(f"{as_postgres} dropdb --if-exists by_hand && {as_postgres} createdb by_hand")
    host.check_output(f"zstd --decompress --stdout {path}.data.pgdump.zst | {as_postgres} pg_restore --exit-on-error --dbname by_hand")
    assert psql(host, TRADES, "by_hand") == psql(host, TRADES)
    assert psql(host, "select convert_from(lo_get(4711), 'UTF8')", "by_hand") == "a large object"
    assert "trader" in host.check_output(f"zstd --decompress --stdout {path}.part.globals.sql.zst")


def test_the_sqlite_file_by_hand(host: Host) -> None:
    """A consistent state, although somebody wrote all the time: every buy has its sell."""
    path = newest(host, "sqlite", "orders")
    host.check_output(f"zstd --decompress --stdout {path}.data.sqlite.zst > /root/by-hand.db")
    state = host.check_output('sqlite3 /root/by-hand.db "pragma integrity_check; select (select sum(n) from buys) + (select sum(n) from sells)"')
    assert state.split() == ["ok", "0"]


def test_the_archive_by_hand(host: Host) -> None:
    path = newest(host, "files", "settings")
    host.check_output(f"rm -rf /root/by-hand && mkdir /root/by-hand && zstd --decompress --stdout {path}.data.tar.zst | tar --extract --xattrs -C /root/by-hand")
    assert host.check_output(TREE.format("/root/by-hand")) == host.check_output(TREE.format("/srv/settings"))


def test_nothing_is_restored_unconfirmed(host: Host) -> None:
    before = psql(host, TRADES)
    rc, output = play("restore", f"--limit={name_of(host)}", "-e", "restore_source=trades")
    assert rc == 2 and "was not confirmed" in output
    rc, output = play("restore", f"--limit={name_of(host)}", "-e", "restore_source=trades", "-e", "restore_confirm=00000000")
    assert rc == 2 and "another plan" in output
    assert psql(host, TRADES) == before


def test_a_destroyed_database_comes_back_and_goes_again(host: Host) -> None:
    before = psql(host, TRADES)
    psql(host, "delete from trades where id > 5; drop materialized view totals")
    broken = psql(host, TRADES)
    output = confirmed(name_of(host), "trades")
    assert psql(host, TRADES) == before and psql(host, "select count from totals") == "20000"
    undo = re.findall(r"restore_undo=(\S+)", output)[0]
    good("restore", f"--limit={name_of(host)}", "-e", "restore_source=trades", "-e", f"restore_undo={undo}")
    assert psql(host, TRADES) == broken
    confirmed(name_of(host), "trades")
    assert psql(host, TRADES) == before


def test_a_destroyed_sqlite_file_comes_back_while_its_writer_is_stopped(host: Host) -> None:
    rows = 'sqlite3 /srv/exchange/orders.db "select count(*) from buys"'
    host.check_output("systemctl stop exchange-writer && sqlite3 /srv/exchange/orders.db 'delete from buys; delete from sells'")
    assert host.check_output(rows) == "0"
    confirmed(name_of(host), "orders")
    host.check_output("systemctl is-active exchange-writer")
    assert int(host.check_output(rows)) > 0
    assert host.check_output("ls /srv/exchange/orders.db.before-*")


def test_a_destroyed_tree_comes_back(host: Host) -> None:
    before = host.check_output(TREE.format("/srv/settings"))
    host.check_output("cd /srv/settings && rm -rf deep plain && echo other > hard")
    confirmed(name_of(host), "settings")
    assert host.check_output(TREE.format("/srv/settings")) == before


def test_a_backup_with_one_bit_changed_is_found_and_not_restored(host: Host) -> None:
    """Its place is taken by the one before."""
    name = name_of(host)
    good("backup", f"--limit={name}", "-e", '{"backup_only": ["orders"], "backup_sources_again": [{"name": "orders", "fresh": null}]}')
    path = newest(host, "sqlite", "orders")
    host.check_output(f"printf '\\377' | dd of={path}.data.sqlite.zst bs=1 seek=3000 conv=notrunc")
    rc, output = play("verify_backups", f"--limit={name}", "-e", '{"backup_only": ["orders"], "backup_verify_fresh_seconds": 0}')
    assert rc == 2 and "corrupt" in output or "not what was written" in output
    plan = good("restore", f"--limit={name}", "--check", "-e", "restore_source=orders")
    assert Path(path).name not in plan


def test_nothing_is_pruned_when_nothing_is_proven(host: Host) -> None:
    """Without the proofs there is no telling what is good: nothing goes."""
    folder = f"{STORE}/files/settings"
    host.check_output(f"mkdir /root/proofs && mv {folder}/*.proof.restored.* /root/proofs/")
    before = host.check_output(f"ls {folder}")
    rc, output = play("prune_backups", f"--limit={name_of(host)}", "-e", '{"backup_only": ["settings"], "backup_keep": {"last": 1}}')
    assert rc == 2 and "none that is proven" in output
    assert host.check_output(f"ls {folder}") == before
    host.check_output(f"mv /root/proofs/* {folder}/")
