# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack of containers and the node beside it: faults that are switched on and off, runs of the shipped playbooks, and what people are told of them."""
from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT.parents[2]))

from ansible_collections.tradeops.runbook.tests.support.sinks import HttpSink, MailSink, http_sink, mail_sink  # noqa: E402 - the path comes first

ANY = "*"

Grade = tuple[str, str]
"""Status and severity."""


@dataclass(frozen=True)
class Fault:
    """How it is switched on and off, and what must be found exactly so then. Checks in ``also`` see it or not, as it happens; ``ANY`` means all of them."""

    on: str
    off: str
    found: Mapping[str, Grade]
    also: tuple[str, ...] = ()
    after: str = ""  # takes away what is left of it; once for all that have the same
    playbook: str = "watch"  # the one that finds it: the review of logs is in daily
    early: str = ""  # what has to begin a while before


@dataclass
class Run:
    """What a playbook ended with, and its report."""

    rc: int
    output: str
    view: dict[str, Any]
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (host,) = [host for system in self.view["systems"] for host in system["hosts"]]
        self.checks = {found["name"]: found for found in host["checks"]}

    def bad(self) -> dict[str, Grade]:
        """What is neither ok nor left out."""
        return {name: (found["status"], found["severity"]) for name, found in self.checks.items() if found["status"] not in ("ok", "skipped")}

    def otherwise(self, faults: Iterable[Fault]) -> list[str]:
        """What it says otherwise than these faults, one line each: not found, graded otherwise, no words, or an alarm that nothing stands for."""
        wanted = {name: grade for fault in faults for name, grade in fault.found.items()}
        unsaid = {name for fault in faults for name in fault.also} - set(wanted)
        bad = self.bad()
        lines = [f"{name} is {bad.get(name)}, not {grade}" for name, grade in wanted.items() if bad.get(name) != grade or not self.checks[name]["message"]]
        alarms = [name for name in bad if name not in wanted and name not in unsaid and ANY not in unsaid]
        return lines + [f"false alarm: {name} is {bad[name]}: {self.checks[name]['message']}" for name in alarms]


class Stack:
    """The stack of ``system``; ``prelude`` are functions of the shell that its faults use, ``settled`` waits until it is well."""

    def __init__(self, system: str, prelude: str, settled: str) -> None:
        listed = subprocess.run([sys.executable, str(ROOT / "molecule/inventory/nodes.py")], check=True, capture_output=True, text=True).stdout
        hosts = json.loads(listed)["_meta"]["hostvars"]
        (self.host,) = [name for name in hosts if name.startswith(f"{system}-")]
        self.system, self.name, self.node = system, hosts[self.host]["node_stack"], hosts[self.host]["ansible_host"]
        self._prelude, self._settled = prelude, settled
        self._environment = {**os.environ, "STACK": self.name, "NODE": self.node, "COMPOSE_FILE": str(ROOT / f"molecule/{system}/files/compose.yml")}

    def shell(self, script: str, seconds: float = 240) -> str:
        """What a script prints on the controller."""
        command = ["bash", "-euo", "pipefail", "-c", f"{self._prelude}\n{script}"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{script}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def settle(self) -> None:
        """Wait until it is well."""
        self.shell(self._settled)

    def play(self, history: Path, *arguments: str, playbook: str = "watch") -> Run:
        """Run a shipped playbook with the shipped inventory and the overlay."""
        inventories = [f"--inventory={ROOT}/{place}" for place in (f"inventories/{self.system}", "molecule/inventory")]
        command = ["ansible-playbook", *inventories, f"--limit={self.host},localhost", *arguments, f"{ROOT}/playbooks/{playbook}.yml"]
        environment = {**os.environ, "RUNBOOK_HISTORY_DIR": str(history), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        output = done.stdout + done.stderr
        reports = sorted((history / "reports").glob("*.json"))
        assert reports, output
        return Run(done.returncode, output, json.loads(reports[-1].read_text(encoding="utf-8")))

    def switch_off(self, faults: Iterable[Fault]) -> None:
        """All of them, what they leave behind, and wait; one that stays on must not keep the others on."""
        given = list(faults)
        off = [fault.off for fault in reversed(given) if fault.off]
        after = dict.fromkeys(fault.after for fault in given if fault.after)
        lines = "\n".join(f"{{ {script}; }} || failed=1" for script in [*off, *after])
        self.shell(f"failed=0\n{lines}\n{self._settled}\ntest $failed = 0")


class Desk:
    """People's ends of every channel that the shipped inventories name."""

    PASSWORD = "molecule-mail"

    def __init__(self, http: HttpSink, mail: MailSink) -> None:
        self._http, self._mail = http, mail

    def channels(self) -> dict[str, Any]:
        """The channels of an inventory, each with a connection that ends here."""
        login = {"username": "runbook", "password": self.PASSWORD, "secure": "never"}
        return {
            "pager": {"pagerduty": {"routing_key": "molecule", "url": f"{self._http.url}/pager"}},
            "chat": {"slack": {"webhook_url": f"{self._http.url}/chat"}},
            "mail": {"email": {"to": ["ops@example.org"], "from": "runbook@example.org", "host": "127.0.0.1", "port": self._mail.port, **login}},
            "tickets": {"webhook": {"url": f"{self._http.url}/tickets"}},
        }

    def messages(self) -> Counter[tuple[str, str, str]]:
        """How often people were written to, for each (channel, change, run)."""
        chats = [re.findall(r"· (\w+) · run (\S+)", json.dumps(body, ensure_ascii=False).replace('"', " "))[0] for body in self._http.bodies("/chat")]
        return Counter([*(("chat", *words) for words in chats), *(("tickets", body["change"], body["run_id"]) for body in self._http.bodies("/tickets"))])

    def incidents(self, action: str) -> set[str]:
        """Those of the pager that were triggered, or resolved."""
        return {str(body["dedup_key"]) for body in self._http.bodies("/pager") if body["event_action"] == action}


@contextmanager
def desk() -> Iterator[Desk]:
    """One that is manned."""
    with http_sink() as http, mail_sink(Desk.PASSWORD) as mail:
        yield Desk(http, mail)


class Story:
    """Runs in one history, and what people were told of them."""

    def __init__(self, stack: Stack, history: Path, people: Desk) -> None:
        self.stack, self.history, self.people = stack, history, people
        self.runs: list[Run] = []

    def play(self, *arguments: str, playbook: str = "watch") -> Run:
        """One more run. Logs are reviewed by window: what faults wrote into them is taken out again, which a review from a bookmark would notice."""
        channels = json.dumps({"notify_channels": self.people.channels(), "log_review_incremental": False})
        self.runs.append(self.stack.play(self.history, "-e", channels, *arguments, playbook=playbook))
        return self.runs[-1]

    def broken(self, faults: Iterable[Fault]) -> Run:
        """A run while these faults are on."""
        given, tried = list(faults), []
        try:
            for fault in given:
                tried.append(fault)
                self.stack.shell(fault.on)
            return self.play(playbook="daily" if any(fault.playbook == "daily" for fault in given) else "watch")
        finally:
            self.stack.switch_off(tried)

    def told(self) -> dict[str, list[str]]:
        """Check to what people were told of it, in order."""
        (path,) = self.history.glob("*.sqlite")
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("select name, change from notices where kind = 'check' order by at, number").fetchall()
        found: dict[str, list[str]] = {}
        for name, change in rows:
            found.setdefault(name, []).append(change)
        return found
