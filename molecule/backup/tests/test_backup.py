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
NODES = ["backup-debian12", "backup-debian13"]
DATABASE = "we\"ird; drop--"
TRADES = "select count(*), sum(hashtextextended(t::text, 0)) from trades t"
STORE = "/var/backups/tradeops/molecule/exchange"
TREE = ("tar --sort=name --sparse --sparse-version=0.0 --xattrs --pax-option=exthdr.name=x,delete=atime,delete=ctime --exclude=./cache/not-this"
        " --exclude=./fifo --mtime=@0 -C {} -cf - . | sha256sum")  # fmt: skip


def play(playbook: str, *arguments: str) -> tuple[int, str]:
    """A shipped playbook on the nodes of this scenario, on all at once: each with a token of its own."""
    command = ["ansible-playbook", f"--inventory={INVENTORY}", "--limit=backup", *arguments, f"{ROOT}/playbooks/{playbook}.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def good(playbook: str, *arguments: str) -> str:
    rc, output = play(playbook, *arguments)
    assert rc == 0, output
    return output


def confirmed(source: str) -> dict[str, str]:
    """Restore one source on every node, as its plan says; node to the id for taking it back."""
    plan = good("restore", "--check", "-e", f"restore_source={source}")
    tokens = dict(re.findall(r"ok: \[([\w-]+)\] => \n\s+msg:\n\s+confirm_with: -e restore_confirm=([0-9a-f]{8})", plan))
    assert sorted(tokens) == NODES
    chosen = json.dumps({"restore_source": source, "tokens": tokens, "restore_confirm": "{{ tokens[inventory_hostname] }}"})
    output = good("restore", "-e", chosen)
    found = re.findall(r"ok: \[([\w-]+)\] => \(item=.*\) => \n\s+msg:\n(?:\s+\w+: .*\n)*?\s+take_back_with: -e restore_undo=(\S+)", output)
    assert sorted(name for name, _id in found) == NODES
    return dict(found)


def node(name: str) -> Host:
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={INVENTORY}")


def everywhere(command: str) -> dict[str, str]:
    """What a command prints on each node."""
    return {name: str(node(name).check_output(command)).strip() for name in NODES}


def psql(query: str, database: str = DATABASE) -> dict[str, str]:
    quoted = [part.replace("'", "'\\''") for part in (f"dbname='{database}'", query)]
    return everywhere(f"runuser -u postgres -- psql --no-psqlrc -XAtq --dbname '{quoted[0]}' --command '{quoted[1]}'")


def newest(host: Host, kind: str, name: str) -> str:
    """The path of the newest backup, without its ending."""
    manifests = host.check_output(f"ls {STORE}/{kind}/{name}/*.manifest.json").split()
    return str(manifests[-1]).removesuffix(".manifest.json")


@pytest.mark.parametrize(("kind", "name"), [("postgresql", "trades"), ("sqlite", "orders"), ("files", "settings")])
def test_everything_is_proven_to_restore_and_belongs_to_root_alone(host: Host, kind: str, name: str) -> None:
    path = newest(host, kind, name)
    manifest = json.loads(host.file(f"{path}.manifest.json").content_string)
    assert host.check_output(f"sha256sum < {path}.data.{manifest['parts'][0]['format']}.zst").split()[0] == manifest["parts"][0]["stored_sha256"]
    proofs = [json.loads(host.file(proof).content_string) for proof in host.check_output(f"ls {path}.proof.*").split()]
    assert {(proof["level"], proof["ok"]) for proof in proofs} == {("digest", True), ("restored", True)}
    modes = host.check_output("find /var/backups/tradeops -printf '%u %y %m\\n' | sort -u").splitlines()
    assert modes == ["root d 700", "root f 600"]


def test_the_dump_by_hand(host: Host) -> None:
    """zstd and pg_restore alone, into another database."""
    path = newest(host, "postgresql", "trades")
    as_postgres = "runuser -u postgres --"
    host.check_output(f"{as_postgres} dropdb --if-exists by_hand && {as_postgres} createdb by_hand")
    host.check_output(f"zstd --decompress --stdout {path}.data.pgdump.zst | {as_postgres} pg_restore --exit-on-error --dbname by_hand")
    ask = f"{as_postgres} psql --no-psqlrc -XAtq --dbname"
    assert host.check_output(f"{ask} by_hand --command '{TRADES}'") == psql(TRADES)[str(host.backend.host)]
    assert host.check_output(f"{ask} by_hand --command \"select convert_from(lo_get(4711), 'UTF8')\"") == "a large object"
    assert "trader" in host.check_output(f"zstd --decompress --stdout {path}.part.globals.sql.zst")


def test_the_sqlite_file_by_hand(host: Host) -> None:
    """A consistent state, although somebody wrote all the time: every buy has its sell."""
    path = newest(host, "sqlite", "orders")
    host.check_output(f"zstd --decompress --stdout {path}.data.sqlite.zst > /root/by-hand.db")
    state = host.check_output('sqlite3 /root/by-hand.db "pragma integrity_check; select (select sum(n) from buys) + (select sum(n) from sells)"')
    assert state.split() == ["ok", "0"]


def test_the_archive_by_hand(host: Host) -> None:
    path = newest(host, "files", "settings")
    host.check_output("rm -rf /root/by-hand && mkdir /root/by-hand")
    host.check_output(f"zstd --decompress --stdout {path}.data.tar.zst | tar --extract --xattrs -C /root/by-hand")
    assert host.check_output(TREE.format("/root/by-hand")) == host.check_output(TREE.format("/srv/settings"))


def test_nothing_is_restored_unconfirmed() -> None:
    before = psql(TRADES)
    rc, output = play("restore", "-e", "restore_source=trades")
    assert rc == 2 and output.count("was not confirmed") >= len(NODES)
    rc, output = play("restore", "-e", "restore_source=trades", "-e", "restore_confirm=00000000")
    assert rc == 2 and output.count("another plan") >= len(NODES)
    assert psql(TRADES) == before


def test_a_destroyed_database_comes_back_and_goes_again() -> None:
    before = psql(TRADES)
    psql("delete from trades where id > 5; drop materialized view totals")
    broken = psql(TRADES)
    undo = confirmed("trades")
    assert psql(TRADES) == before and psql("select count from totals") == dict.fromkeys(NODES, "20000")
    good("restore", "-e", json.dumps({"restore_source": "trades", "ids": undo, "restore_undo": "{{ ids[inventory_hostname] }}"}))
    assert psql(TRADES) == broken
    confirmed("trades")
    assert psql(TRADES) == before


def test_a_destroyed_sqlite_file_comes_back_while_its_writer_is_stopped() -> None:
    rows = 'sqlite3 /srv/exchange/orders.db "select count(*) from buys"'
    everywhere("systemctl stop exchange-writer && sqlite3 /srv/exchange/orders.db 'delete from buys; delete from sells'")
    assert everywhere(rows) == dict.fromkeys(NODES, "0")
    confirmed("orders")
    everywhere("systemctl is-active exchange-writer")
    assert all(int(count) > 0 for count in everywhere(rows).values())
    everywhere("ls /srv/exchange/orders.db.before-*")


def test_a_destroyed_tree_comes_back() -> None:
    before = everywhere(TREE.format("/srv/settings"))
    everywhere("cd /srv/settings && rm -rf deep plain && echo other > hard")
    assert everywhere(TREE.format("/srv/settings")) != before
    confirmed("settings")
    assert everywhere(TREE.format("/srv/settings")) == before


def test_a_backup_with_one_byte_changed_is_found_and_not_restored() -> None:
    """Its place is taken by the one before."""
    good("backup", "-e", '{"backup_only": ["orders"], "backup_sources_again": [{"name": "orders", "fresh": null}]}')
    for name in NODES:
        path = newest(node(name), "sqlite", "orders")
        node(name).check_output(f"printf '\\377' | dd of={path}.data.sqlite.zst bs=1 seek=3000 conv=notrunc")
    rc, output = play("verify_backups", "-e", '{"backup_only": ["orders"], "backup_verify_fresh_seconds": 0}')
    assert rc == 2 and output.count("P2 backup of orders") == len(NODES)
    plan = good("restore", "--check", "--diff", "-e", "restore_source=orders", "-e", "restore_select=latest")
    assert "check: 2" in plan and not any(Path(newest(node(name), "sqlite", "orders")).name in plan for name in NODES)


def test_nothing_is_pruned_when_nothing_is_proven() -> None:
    """Without the proofs there is no telling what is good: nothing goes."""
    folder = f"{STORE}/files/settings"
    everywhere(f"mkdir /root/proofs && mv {folder}/*.proof.restored.* /root/proofs/")
    before = everywhere(f"ls {folder}")
    rc, output = play("prune_backups", "-e", '{"backup_only": ["settings"], "backup_keep": {"last": 1}}')
    assert rc == 2 and output.count("none that is proven") >= len(NODES)
    assert everywhere(f"ls {folder}") == before
    everywhere(f"mv /root/proofs/* {folder}/")
