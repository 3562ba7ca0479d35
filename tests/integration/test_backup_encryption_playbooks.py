# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped playbooks with encrypted backups: one host takes them and has no identity, another one verifies them, and a restore brings them back.

Meanwhile neither an identity nor what was backed up is seen anywhere but where it belongs.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRun, PlaybookRunner, make_runner
from ansible_collections.tradeops.runbook.tests.support.service import checks_of, newest_report

pytestmark = pytest.mark.skipif(shutil.which("age-keygen") is None, reason="the program age is not installed (Debian package age)")

CANARY = "an-order-that-is-nobody-elses-business"
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}


class Desk:
    """A host with a database and a tree, and a runner; each with an inventory. The identities are in a folder that only the runner's inventory names."""

    def __init__(self, folder: Path, runner: PlaybookRunner) -> None:
        self.folder, self.database, self._playbook = folder, folder / "data/orders.db", runner
        for name in ("data/settings", "keys", "scratch"):
            (folder / name).mkdir(parents=True)
        (folder / "data/settings/limits.yml").write_text(CANARY * 100, encoding="utf-8")
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("create table orders (note text)")
            connection.executemany("insert into orders values (?)", [(f"{CANARY} {number}",) for number in range(1000)])
            connection.commit()
        self.recipients = [self.make("operations"), self.make("escrow")]
        secrets = [CANARY, *(path.read_text(encoding="ascii").split()[-1] for path in sorted((folder / "keys").iterdir()))]
        self.forms = {form for secret in secrets for form in forms(secret)}
        self.app, self.runner = self._app(), self._runner()
        self.runs: list[PlaybookRun] = []

    def make(self, name: str) -> str:
        path = str(self.folder / "keys" / name)
        subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
        return subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True).stdout.strip()

    def key(self, name: str) -> dict[str, str]:
        """What says that this identity opens backups."""
        return {"identity_file": str(self.folder / "keys" / name)}

    def _app(self) -> Path:
        sources = {"orders": {"sqlite": {"path": str(self.database)}}, "settings": {"files": {"root": str(self.folder / "data/settings")}}}
        values = {
            "runbook_system": "desk", "runbook_environment": "test", "backup_repository": {"directory": {"path": str(self.folder / "backups")}},
            "backup_sources": [{"name": name, "class": "secret", "source": source} for name, source in sources.items()],
            "backup_keep": {"daily": 7, "classes": {"secret": {"at_least": "7 d"}}}, "backup_encryption": {"recipients": self.recipients},
            "restore_state_dir": str(self.folder / "state"), "preflight_state_dir": str(self.folder / "state"),
        }  # fmt: skip
        return self._write("app", {"desk": {"hosts": {"app": LOCAL}, "vars": values}})

    def _runner(self) -> Path:
        """As docs/operations.md has it: the same group, so the same sources, with places of its own to look at them."""
        scratch = [
            {"name": "orders", "scratch": {"sqlite": {"path": str(self.folder / "scratch/orders.db")}}},
            {"name": "settings", "scratch": {"files": {"root": str(self.folder / "scratch/settings")}}},
        ]
        values = {**LOCAL, "backup_encryption": self.key("operations"), "backup_sources_runner": scratch}
        return self._write("runner", {"desk": {"hosts": {"runner": values}}})

    def _write(self, name: str, data: dict[str, Any]) -> Path:
        path = self.folder / name / "hosts.yml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    def on_app(self, name: str, *options: str, **variables: Any) -> PlaybookRun:
        """Of the host that takes backups."""
        return self._run(name, "-i", str(self.app), *options, variables=variables)

    def on_runner(self, name: str, *options: str, **variables: Any) -> PlaybookRun:
        """Of the host that verifies them."""
        return self._run(name, "-i", str(self.app), "-i", str(self.runner), "--limit", "runner", *options, variables=variables)

    def _run(self, name: str, *arguments: str, variables: dict[str, Any]) -> PlaybookRun:
        self.runs.append(self._playbook(name, "-vv", "--diff", *arguments, variables=variables))
        return self.runs[-1]

    def rows(self) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute("select count(*), max(note) from orders").fetchall()

    def proofs(self, source: str) -> list[dict[str, Any]]:
        """Oldest first."""
        found = (json.loads(path.read_text(encoding="ascii")) for path in (self.folder / "backups").rglob("*.proof.*.json") if path.parent.name == source)
        return sorted(found, key=lambda proof: str(proof["at"]))

    def seen(self) -> dict[str, set[bytes]]:
        """Which secrets were seen where: in what was printed, and in every file but those that are meant to have them."""
        allowed = [self.folder / name for name in ("data", "keys")]
        places = {f"run {number}": (run.stdout + run.stderr).encode() for number, run in enumerate(self.runs)}
        places |= {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file() and not any(home in path.parents for home in allowed)}
        return {name: found for name, blob in places.items() if (found := leaks(blob, self.forms))}


def forms(secret: str) -> set[bytes]:
    """As it is, in hexadecimal and in Base64 wherever it begins; in lower case."""
    raw = secret.encode()
    found = {raw, raw.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(b"x" * shift + raw)
        found.add(text[4 if shift else 0 : len(text) // 4 * 4 - 4])
    return {form.lower() for form in found}


def leaks(blob: bytes, wanted: set[bytes]) -> set[bytes]:
    """Which forms stand in ``blob``, in any letter case."""
    lower = blob.lower()
    return {form for form in wanted if form in lower}


class Watch:
    """Looks at the command line and the environment of every process, again and again."""

    def __init__(self, wanted: set[bytes]) -> None:
        self.found: set[bytes] = set()
        self.seen: set[bytes] = set()
        self._wanted, self._stop, self._thread = wanted, threading.Event(), threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        read = (process / name).read_bytes()
                    except OSError:
                        continue
                    if read not in self.seen:
                        self.found |= leaks(read, self._wanted)
                        self.seen.add(read)
            time.sleep(0.01)

    def looked_at(self, word: bytes) -> bool:
        """Whether a process with that word in its command line was seen."""
        return any(word in read for read in self.seen)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    return Desk(folder, make_runner(folder))


@pytest.fixture(scope="module")
def taken(desk: Desk) -> Desk:
    """With backups."""
    with Watch(desk.forms) as watch:
        well(desk.on_app("backup.yml"))
    assert watch.found == set() and watch.looked_at(b"backup.yml")
    return desk


def told(run: PlaybookRun) -> str:
    """What it printed, however the lines were broken."""
    return " ".join(run.stdout.split())


def well(run: PlaybookRun) -> PlaybookRun:
    assert run.rc == 0, run.stdout[-4000:]
    return run


def test_a_secret_without_two_recipients_is_refused_also_in_check_mode(desk: Desk) -> None:
    run = desk.on_app("backup.yml", "--check", backup_encryption={"recipients": desk.recipients[:1]}, backup_only=["orders"])
    assert run.rc == 2 and "two recipients at least, and 1 were given" in told(run)
    assert "give encryption.recipients the public keys of the operations and of the escrow" in told(run)
    assert not (desk.folder / "backups").exists()


def test_one_host_takes_another_one_verifies_and_the_escrow_opens_them_too(taken: Desk) -> None:
    stored = {path.name.partition(".")[2] for path in (taken.folder / "backups").rglob("*.data.*")}
    assert stored == {"data.sqlite.zst.age", "data.tar.zst.age"}
    away = shutil.move(taken.folder / "data", taken.folder / "keys/away")  # the runner has nothing but the repository
    with Watch(taken.forms) as watch:
        well(taken.on_runner("verify_backups.yml"))
        drill = well(taken.on_runner("restore_drill.yml", backup_encryption=taken.key("escrow")))
    shutil.move(away, taken.folder / "data")
    found = checks_of(newest_report(drill.history), "runner")
    assert [found[name]["status"] for name in ("backup of orders", "backup of settings")] == ["ok", "ok"]
    for source in ("orders", "settings"):
        assert [(proof["level"], proof.get("opened_with")) for proof in taken.proofs(source)][1:] == [("restored", key) for key in taken.recipients]
    assert not any((taken.folder / "scratch").iterdir()), "what was looked at is gone"
    assert (taken.seen(), watch.found) == ({}, set()) and watch.looked_at(b"restore_drill.yml")


def test_a_restore_on_the_host_itself(taken: Desk) -> None:
    before = taken.rows()
    with closing(sqlite3.connect(taken.database)) as connection:
        connection.execute("delete from orders")
        connection.commit()
    given: dict[str, Any] = {"restore_source": "orders", "restore_select": "latest"}
    taken.make("stranger")
    right, wrong = ({"recipients": taken.recipients, **taken.key(name)} for name in ("operations", "stranger"))
    with Watch(taken.forms) as watch:
        refused = taken.on_app("restore.yml", "--check", **given, restore_encryption=wrong)
        plan = well(taken.on_app("restore.yml", "--check", **given, restore_encryption=right))
        token = re.findall(r"restore_confirm=([0-9a-f]{8})", plan.stdout)[0]
        well(taken.on_app("restore.yml", **given, restore_encryption=right, restore_confirm=token))
    assert refused.rc == 2 and "no identity of this host opens" in told(refused) and " or ".join(taken.recipients) in told(refused)
    assert taken.rows() == before
    assert (taken.seen(), watch.found) == ({}, set()) and watch.looked_at(b"restore.yml")
