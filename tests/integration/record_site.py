# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place to record runs in: playbooks, local hosts, one that cannot be reached, and the history."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.tradeops.runbook.tests.support.waiting import until

NOTE = {
    "name": "Note",
    "tradeops.runbook.run_note": {"run_id": "{{ lookup('tradeops.runbook.run', 'id') }}", "text": "word of a person", "kind": "reason", "by": "Ada"},
}
CHECK = {
    "name": "disk", "kind": "host", "status": "warning", "severity": "P3", "message": "it is full", "hint": "make room", "measures": {"used": 91.5},
    "units": {"used": "percent"}, "notes": [], "muted": None,
    "limits": [{"measure": "used", "level": "warning", "limit": "> 80 %", "state": "crossed", "severity": "P3", "for_seconds": 0}],
}  # fmt: skip
VERDICT = {
    "name": "Judge",
    "ansible.builtin.set_fact": {
        "health_result": {"status": "warning", "summary": "1 check: 1 warning", "measured_at": "2026-11-20T02:15:00Z", "checks": [CHECK]}
    },
}


class Site:
    """A folder with playbooks and an inventory of local hosts, and the history of its runs."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.folder: Path = runner.home
        self.history: Path = runner.history
        other = self.folder / "other.cfg"
        other.write_text("[defaults]\n", encoding="ascii")
        self.unrecorded = {"ANSIBLE_CONFIG": str(other)}  # the shipped one enables the callback; a user's may not
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbook_environment": "production"}
        away = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_ssh_common_args": "-o ConnectTimeout=1 -o BatchMode=yes"}
        nextrade = {"hosts": {"app": {}, "away": away}, "vars": {"runbook_system": "{{ group_names[0] }}"}}
        self.write("hosts.yml", {"all": {"vars": here, "children": {"nextrade": nextrade}, "hosts": {"localhost": {}}}})

    def write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def play(self, *tasks: dict[str, Any], hosts: str = "app", **more: Any) -> dict[str, Any]:
        return {"name": f"Play on {hosts}", "hosts": hosts, "gather_facts": False, "tasks": list(tasks), **more}

    def run_both(self, first: list[dict[str, Any]], second: Path) -> Any:
        """Two playbooks on one command line."""
        return self.runner(self.write("daily.yml", first), str(second), "--inventory", str(self.folder / "hosts.yml"))

    def run(self, *plays: dict[str, Any], arguments: tuple[str, ...] = (), environment: dict[str, str] | None = None, name: str = "daily.yml") -> Any:
        path = self.write(name, list(plays))
        return self.runner(path, *arguments, inventory=self.folder / "hosts.yml", environment=environment)

    def start(self, *plays: dict[str, Any]) -> subprocess.Popen[str]:
        path = self.write("daily.yml", list(plays))
        command = self.runner.command(path, inventory=self.folder / "hosts.yml")
        return subprocess.Popen(command, env=self.runner.environ(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.history / "history.sqlite") as db:
            found = db.execute(statement).fetchall()
        db.close()
        return found

    def events(self, run_id: str) -> list[dict[str, Any]]:
        lines = (self.history / "sealed" / f"{run_id}.jsonl").read_text("ascii").splitlines()
        return [{"type": event["type"], **json.loads(event["body"])} for event in map(json.loads, lines)]

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text("utf-8")) for path in sorted((self.history / "reports").glob("*.json"))]

    def verify(self, **options: Any) -> dict[str, Any]:
        """The answer of ledger_verify_info, asked by a run that is not recorded itself."""
        show = {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(self.folder / "found.json"), "mode": "0600"}}
        plays = self.play({"tradeops.runbook.ledger_verify_info": options, "register": "found"}, show, hosts="localhost")
        done = self.run(plays, environment=self.unrecorded, name="verify.yml")
        assert done.rc == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads((self.folder / "found.json").read_text("utf-8"))
        return answer


def under_way(site: Site, marker: Path) -> str:
    """The id of the run under way, once its slow task has begun."""
    until(marker.exists)
    return next((site.history / "open").glob("*.jsonl")).stem


def slow(marker: Path, seconds: int = 60) -> dict[str, Any]:
    code = f"import pathlib, time; pathlib.Path({str(marker)!r}).touch(); time.sleep({seconds})"
    return {"name": "Slow", "ansible.builtin.command": {"argv": [sys.executable, "-c", code]}}


def children(pid: int) -> list[int]:
    """Every descendant of a process."""
    found, parents = [], {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    wanted = [pid]
    for parent in wanted:
        wanted += [child for child, its in parents.items() if its == parent]
        found = wanted[1:]
    return found
