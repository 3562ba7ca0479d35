# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A planted secret stays where it was put: not in output, record, report or the process list, in no form it tends to take.

The forms are made here once more, not taken from the collection: a scanner that shared its blind spots would prove nothing.
"""
from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml
from conftest import PlaybookRun, PlaybookRunner

from ansible_collections.tradeops.runbook.tests.support.postgresql import Server, programs

SECRET = f'Kx9/tr+Qv"{os.getpid()} ~plant#ed%Value'  # its own in every process: the processes of another test run are watched, too


def forms(secret: str) -> set[bytes]:
    """Every form of the secret that is looked for, in lower case."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), quote(secret).encode(), quote(secret, safe="").encode(), quote_plus(secret).encode()}
    found.add(json.dumps(secret)[1:-1].encode())
    found.add(json.dumps(json.dumps(secret)[1:-1])[1:-1].encode())  # JSON inside JSON, as a journal holds its bodies
    for shift in range(3):
        text = base64.b64encode(b"x" * shift + raw)
        found.add(text[4 if shift else 0 : len(text) // 4 * 4 - 4])
    return {form.lower() for form in found}


def leaks(blob: bytes) -> set[bytes]:
    """Forms of the secret that stand in ``blob``, in any letter case."""
    lower = blob.lower()
    return {form for form in forms(SECRET) if form in lower}


class Echo(BaseHTTPRequestHandler):
    """A careless service that answers with the key it was given, in many forms."""

    def do_GET(self) -> None:
        key = self.headers.get("X-API-KEY", "")
        answer = {
            "raw": key, "upper": key.upper(), "url": quote(key), "json": json.dumps(key), "hex": key.encode().hex(),
            "base64": base64.b64encode(key.encode()).decode(), "basic": base64.b64encode(f"ops:{key}".encode()).decode(), "list": [key],
        }  # fmt: skip
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def echo() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


class ProcessWatch:
    """Looks at the command line and the environment of every process, again and again."""

    def __init__(self) -> None:
        self.found: set[bytes] = set()
        self.looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    for name in ("cmdline", "environ"):
                        try:
                            self.found |= leaks((process / name).read_bytes())
                        except OSError:
                            continue
            self.looks += 1
            time.sleep(0.002)


def inventory(folder: Path, port: int) -> Path:
    """One host whose checks carry the secret and make the service answer with it, well and badly."""
    names = ("raw", "upper", "url", "json", "hex", "base64", "basic", "list")
    wanted = {"url": f"http://127.0.0.1:{port}/", "secret_headers": {"X-API-KEY": "{{ vault_key }}"}, "read": {name: name for name in names}}
    checks = [
        {"name": "echo", "http": wanted, "limits": {name: {"critical": "!= nothing"} for name in names}},
        {"name": "closed", "http": {**wanted, "url": "http://127.0.0.1:1/"}},
        {"name": "basic", "http": {"url": wanted["url"], "secret_headers": {"Authorization": "Basic {{ ('ops:' ~ vault_key) | b64encode }}"}}},
    ]
    host = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "vault_key": SECRET}
    values = {"runbook_system": "planted", "runbook_environment": "test", "health_checks": checks}
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"planted": {"hosts": {"app": host}, "vars": values}}), encoding="utf-8")
    return path


def scan(run: PlaybookRun, home: Path) -> dict[str, set[bytes]]:
    """Where the secret was found: in what was printed, and in every file the run left behind."""
    places = {"stdout": run.stdout.encode(), "stderr": run.stderr.encode()}
    places |= {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return {name: found for name, blob in places.items() if (found := leaks(blob))}


def test_the_scanner_sees_a_leaking_module(playbook: PlaybookRunner, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "leak.py").write_text(
        "#!/usr/bin/python\nimport base64\nfrom ansible.module_utils.basic import AnsibleModule\n"
        "module = AnsibleModule({'key': {'type': 'str', 'no_log': True}})\nkey = module.params['key']\n"
        "module.exit_json(b=base64.b64encode(key.encode()).decode(), h=key.encode().hex(), u=key.upper())\n", encoding="utf-8",
    )
    play = tmp_path / "leak.yml"
    play.write_text(yaml.safe_dump([{"hosts": "app", "gather_facts": False, "tasks": [{"leak": {"key": "{{ vault_key }}"}}]}]), encoding="utf-8")
    run = playbook(play, "-v", inventory=inventory(tmp_path, 1), environment={"ANSIBLE_LIBRARY": str(library)})
    assert run.rc == 0, run.stderr
    assert len(scan(run, playbook.home)["stdout"]) >= 3


@pytest.mark.parametrize("output", ["default", "ansible.posix.json"])
def test_a_planted_secret_appears_nowhere(playbook: PlaybookRunner, tmp_path: Path, echo: int, output: str) -> None:
    environment = {"ANSIBLE_STDOUT_CALLBACK": output, "ANSIBLE_KEEP_REMOTE_FILES": "0"}
    with ProcessWatch() as watch:
        run = playbook("daily.yml", "-vvvv", "--diff", inventory=inventory(tmp_path, echo), environment=environment)
    assert run.rc == 2, run.stdout + run.stderr  # the limits are crossed, so that the values reach messages
    report = json.loads(max((run.history / "reports").glob("*.json")).read_text(encoding="utf-8"))
    found = {check["name"]: check for system in report["systems"] for host in system["hosts"] for check in host["checks"]}
    assert found["echo"]["status"] == "critical" and "[redacted]" in found["echo"]["message"]
    assert found["basic"]["status"] == "ok"
    assert scan(run, playbook.home) == {}
    assert watch.found == set() and watch.looks > 20


def test_a_rejected_argument_does_not_print_the_secret(playbook: PlaybookRunner, tmp_path: Path) -> None:
    path = inventory(tmp_path, 1)
    text = path.read_text(encoding="utf-8").replace("secret_headers:", "secret_heders:", 1)
    path.write_text(text, encoding="utf-8")
    run = playbook("daily.yml", "-vvvv", inventory=path)
    assert run.rc == 2 and "did you mean" in run.stdout + run.stderr
    leaked = scan(run, playbook.home)
    assert leaked == {}, leaked


def test_a_template_that_fails_does_not_print_the_secret(playbook: PlaybookRunner, tmp_path: Path, echo: int) -> None:
    run = playbook("daily.yml", "-vvvv", inventory=inventory(tmp_path, echo), variables={"health_max_parallel": "many"})
    assert run.rc == 2
    assert scan(run, playbook.home) == {}


def three_sources(folder: Path, server: Server) -> Path:
    """An inventory of a database with a password, a database in a file, and a tree."""
    server.sql("postgres", "create database trades", f"alter role runbook password '{SECRET}'")
    server.sql("trades", "create table orders (id int primary key)", "insert into orders values (1), (2)")
    (folder / "data/settings").mkdir(parents=True)
    (folder / "data/settings/limits.yml").write_text("most: 5\n", encoding="utf-8")
    with closing(sqlite3.connect(folder / "data/cache.db")) as connection:
        connection.execute("create table prices (symbol text)")
    database = {"database": "trades", "host": "127.0.0.1", "port": server.port, "user": "runbook", "secret_password": "{{ vault_key }}", "sslmode": "disable"}
    sources = {"orders": {"postgresql": database}, "cache": {"sqlite": {"path": str(folder / "data/cache.db")}},
               "settings": {"files": {"root": str(folder / "data/settings")}}}  # fmt: skip
    values = {
        "runbook_system": "planted", "runbook_environment": "test", "backup_repository": {"directory": {"path": str(folder / "backups")}},
        "backup_sources": [{"name": name, "source": source} for name, source in sources.items()], "restore_state_dir": str(folder / "state"),
        "preflight_state_dir": str(folder / "state"),
    }  # fmt: skip
    host = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3", "vault_key": SECRET}
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"planted": {"hosts": {"app": host}, "vars": values}}), encoding="utf-8")
    return path


@pytest.mark.skipif(programs() is None, reason="no PostgreSQL server here")
def test_the_password_of_a_database_appears_nowhere_from_its_backup_to_its_restore(playbook: PlaybookRunner, tmp_path: Path) -> None:
    with Server() as server:
        path = three_sources(tmp_path, server)
        with ProcessWatch() as watch:
            runs = [playbook(name, "-vvvv", "--diff", inventory=path) for name in ("backup.yml", "verify_backups.yml")]
            for source in ("orders", "cache", "settings"):
                runs.append(playbook("restore.yml", "-vvvv", "--check", inventory=path, variables={"restore_source": source}))
                token = re.findall(r"restore_confirm=([0-9a-f]{8})", runs[-1].stdout)[0]
                runs.append(playbook("restore.yml", "-vvvv", "--diff", inventory=path, variables={"restore_source": source, "restore_confirm": token}))
            runs.append(playbook("prune_backups.yml", "-vvvv", "--diff", inventory=path))
            assert server.sql("trades", "select count(*) from orders") == "2"
    assert [run.rc for run in runs] == [0] * 9, "\n".join(run.stdout[-3000:] for run in runs if run.rc)
    assert [scan(run, tmp_path) for run in runs] == [{path.name: leaks(path.read_bytes())}] * 9, "only where it was planted"
    assert watch.found == set() and watch.looks > 20
