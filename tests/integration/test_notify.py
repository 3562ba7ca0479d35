# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifications with real playbooks, a real SMTP server and real HTTP servers: what people get, and what happens when they cannot get it."""
from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tradeops.runbook.tests.support.ports import free_port
from ansible_collections.tradeops.runbook.tests.support.service import newest_report
from ansible_collections.tradeops.runbook.tests.support.sinks import HttpSink, MailSink, http_sink, mail_sink
from conftest import PlaybookRun, make_runner

ROUTING_KEY, ROOM, PASSWORD, TOKEN = "R0utingKeyOfTheTests1234567890ab", "T0RoomOfTheTests/B0/SecretOfTheRoom99", "pass-Word_of-the-tests-77", "t0ken-of-the-tests-42"
SECRETS = (ROUTING_KEY, "SecretOfTheRoom99", PASSWORD, TOKEN)
PAGER, CHAT, TICKETS = "/v2/enqueue", f"/services/{ROOM}", "/tickets"


class Site:
    """A system of one host with conditions that a test switches, its channels, and people's ends of them."""

    def __init__(self, folder: Path, http: HttpSink, mail: MailSink) -> None:
        self.http, self.mail = http, mail
        self.runner = make_runner(folder)
        self.folder = self.runner.home
        self.conditions = self.folder / "conditions"
        self.conditions.mkdir()
        self.outbox = self.runner.history / "outbox"
        self.checks = [self.check("api", "P1"), self.check("disk", "P3")]
        self.routes: dict[str, Any] = {
            "P1": {"channels": ["pager", "chat"], "second": ["mail"], "remind": "1 h"},
            "P2": {"channels": ["chat"], "second": ["mail"]},
            "P3": {"channels": ["chat", "tickets"]},
        }
        self.most: dict[str, Any] = {"count": 100, "per": "10 min"}
        self.more: dict[str, Any] = {}
        self.hosts: dict[str, Any] = {"app": {}}
        self.output: list[str] = []
        for name in ("api", "disk"):
            self.well(name)

    def check(self, name: str, severity: str) -> dict[str, Any]:
        there = {"exists": {"critical": "!= true", "severity": severity}}
        return {"name": name, "file": {"path": str(self.conditions / name)}, "limits": there}

    def well(self, name: str) -> None:
        (self.conditions / name).touch()

    def bad(self, name: str) -> None:
        (self.conditions / name).unlink()

    def channels(self) -> dict[str, Any]:
        login = {"username": "runbook", "password": "{{ vault_mail }}", "secure": "never"}
        return {
            "pager": {"pagerduty": {"routing_key": ROUTING_KEY, "url": f"{self.http.url}{PAGER}", "timeout_seconds": 1}},
            "chat": {"slack": {"webhook_url": f"{self.http.url}{CHAT}", "timeout_seconds": 1}},
            "mail": {"email": {"to": ["ops@example.org"], "from": "runbook@example.org", "host": "127.0.0.1", "port": self.mail.port, **login}},
            "tickets": {"webhook": {"url": f"{self.http.url}{TICKETS}", "secret_headers": {"Authorization": f"Bearer {TOKEN}"}}},
        }

    def inventory(self) -> Path:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        variables = {
            "runbook_system": "shop", "runbook_environment": "test", "health_checks": self.checks, "notify_channels": self.channels(), "vault_mail": PASSWORD,
            "notify_routes": self.routes, "notify_max_messages": self.most, "preflight_clock_seconds": 600, **local, **self.more,
        }  # fmt: skip
        path = self.folder / "hosts.yml"
        path.write_text(yaml.safe_dump({"all": {"children": {"shop": {"hosts": self.hosts, "vars": variables}}}}), encoding="utf-8")
        return path

    def run(self, playbook: str = "watch.yml", *arguments: str) -> PlaybookRun:
        done = self.runner(playbook, *arguments, inventory=self.inventory(), environment={"ANSIBLE_LOCALHOST_WARNING": "false"})
        self.output += [done.stdout, done.stderr]
        assert "[WARNING]" not in done.stderr, done.stderr
        return done

    def start(self) -> subprocess.Popen[str]:
        command = self.runner.command("watch.yml", inventory=self.inventory())
        return subprocess.Popen(command, env=self.runner.environ(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip

    def news(self) -> dict[str, list[str]]:
        """What arrived since the last question, by channel, as subjects."""
        pager = [f"{event['event_action']} {event.get('payload', {}).get('summary', '')}".strip() for event in self.http.bodies(PAGER)]
        chat = [body["text"] for body in self.http.bodies(CHAT)]
        tickets = [body["subject"] for body in self.http.bodies(TICKETS)]
        found = {"pager": pager, "chat": chat, "tickets": tickets, "mail": self.mail.subjects()}
        self.http.clear()
        self.mail.mails.clear()
        return {name: subjects for name, subjects in found.items() if subjects}

    def waiting(self) -> list[str]:
        return sorted(path.name for path in self.outbox.glob("*.json"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with http_sink() as http, mail_sink(PASSWORD) as mail:
        yield Site(tmp_path, http, mail)


def test_from_the_first_fault_to_the_last_message(site: Site) -> None:
    """One system through a bad day, with everything that people get in between."""
    began = time.monotonic()
    assert site.run().rc == 0
    print(time.monotonic() - began)
    assert site.news() == {}
    site.bad("api")
    done = site.run()
    print(done.stdout)
    assert done.rc == 2
    assert site.news() == {}
