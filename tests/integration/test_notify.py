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
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tradeops.runbook.tests.support.ports import free_port
from ansible_collections.tradeops.runbook.tests.support.service import newest_report
from ansible_collections.tradeops.runbook.tests.support.sinks import HttpSink, MailSink, http_sink, mail_sink
from conftest import PlaybookRun, make_runner
from record_site import children

ROUTING_KEY, ROOM = "R0utingKeyOfTheTests1234567890ab", "T0RoomOfTheTests/B0/SecretOfTheRoom99"
PASSWORD, TOKEN = "pass-Word_of-the-tests-77", "t0ken-of-the-tests-42"
SECRETS = (ROUTING_KEY, "SecretOfTheRoom99", PASSWORD, TOKEN)
EXPECTED = ("sent without encryption", "was killed or could not be sealed")
"""Warnings: the mail server of the tests has no certificate, and one test kills a run."""
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
        self.patience = 10
        self.down = False
        """Nothing listens where the chat should be."""
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
        hidden = {"secret_headers": {"Authorization": f"Bearer {TOKEN}"}}
        login = {"username": "runbook", "password": "{{ vault_mail }}", "secure": "never"}
        return {
            "pager": {"pagerduty": {"routing_key": ROUTING_KEY, "url": f"{self.http.url}{PAGER}"}},
            "chat": {"slack": {"webhook_url": f"http://127.0.0.1:{free_port()}{CHAT}" if self.down else f"{self.http.url}{CHAT}"}},
            "mail": {"email": {"to": ["ops@example.org"], "from": "runbook@example.org", "host": "127.0.0.1", "port": self.mail.port, **login}},
            "tickets": {"webhook": {"timeout_seconds": self.patience, "url": f"{self.http.url}{TICKETS}", **hidden}},
        }

    def inventory(self) -> Path:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        variables = {
            "runbook_system": "shop", "runbook_environment": "test", "health_checks": self.checks, "notify_channels": self.channels(), "vault_mail": PASSWORD,
            "notify_routes": self.routes, "notify_max_messages": self.most, "preflight_clock_seconds": 600, **local,
        }  # fmt: skip
        path = self.folder / "hosts.yml"
        path.write_text(yaml.safe_dump({"all": {"children": {"shop": {"hosts": self.hosts, "vars": variables}}}}), encoding="utf-8")
        return path

    def run(self, playbook: str = "watch.yml", *arguments: str) -> PlaybookRun:
        done = self.runner(playbook, *arguments, inventory=self.inventory(), environment={"ANSIBLE_LOCALHOST_WARNING": "false"})
        self.output += [done.stdout, done.stderr]
        warnings = [line for line in done.stderr.splitlines() if "[WARNING]" in line and not any(known in line for known in EXPECTED)]
        assert warnings == []
        return done

    def say(self, *arguments: str, **checks: tuple[str, str]) -> PlaybookRun:
        """A run that finds this, and tells it."""
        return self.run(str(self._saying(checks)), *arguments)

    def start_saying(self, **checks: tuple[str, str]) -> subprocess.Popen[bytes]:
        command = self.runner.command(self._saying(checks), inventory=self.inventory())
        environment = self.runner.environ({"ANSIBLE_PIPELINING": "false"})  # the worst that a user's ansible.cfg may say
        return subprocess.Popen(command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip

    def _saying(self, checks: dict[str, tuple[str, str]]) -> Path:
        judge = {"name": "Judge", "ansible.builtin.set_fact": {"health_result": verdict(**checks)}, "when": "inventory_hostname == 'app'"}
        tell = {"name": "Tell", "ansible.builtin.import_role": {"name": "tradeops.runbook.notify"}}
        path = self.folder / "saying.yml"
        path.write_text(yaml.safe_dump([{"name": "Say", "hosts": "all:localhost", "gather_facts": False, "tasks": [judge, tell]}]), encoding="utf-8")
        return path

    def secrets_seen(self) -> list[str]:
        """Where a secret stands that should not: everything that was printed or written, also by a run that was killed, but the inventory."""
        texts = {"output": "".join(self.output)}
        texts |= {str(path): path.read_bytes().decode("latin-1") for path in self.folder.rglob("*") if path.is_file() and path.name != "hosts.yml"}
        return [f"{secret} in {name}" for name, text in texts.items() for secret in SECRETS if secret in text]

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


def verdict(**checks: tuple[str, str]) -> dict[str, Any]:
    """The verdict of the role health on some checks, as ``name=(status, severity)``, without measuring anything."""
    found = [
        {"name": name, "kind": "file", "status": status, "severity": severity, "message": f"{name} was found {status}", "hint": "", "measures": {},
         "units": {}, "limits": [], "notes": [], "muted": None}
        for name, (status, severity) in checks.items()
    ]  # fmt: skip
    return {"status": "critical", "summary": "", "measured_at": "2026-11-20T02:15:00Z", "system": "shop", "environment": "test", "checks": found}


def trial_of(channel: str) -> str:
    return f"[test] shop test: a test of the channel {channel}"


def said(run: PlaybookRun) -> str:
    return " ".join(run.stdout.split())


def test_one_bad_day_from_the_first_fault_to_the_last_message(site: Site) -> None:
    """What people get, and that none of it shows a secret, on any way out."""
    site.bad("api")
    began = time.monotonic()
    assert site.run("watch.yml", "-vvv").rc == 2
    print(f"watch.yml took {time.monotonic() - began:.1f} s")
    (event,) = site.http.bodies(PAGER)
    assert (event["routing_key"], event["event_action"], event["payload"]["severity"]) == (ROUTING_KEY, "trigger", "critical")
    opened = "[P1] shop test: api on app is critical"
    assert site.news() == {"pager": [f"trigger {opened}"], "chat": [opened]}

    assert site.say(api=("critical", "P1"), disk=("warning", "P3")).rc == 0
    assert [headers["Authorization"] for path, headers, _body in site.http.got if path == TICKETS] == [f"Bearer {TOKEN}"]
    disk = "[P3] shop test: disk on app is warning"
    assert site.news() == {"chat": [disk], "tickets": [disk]}  # and nothing more of api: it was told, and its reminder is due in an hour

    site.routes["P1"]["remind"] = "1 s"
    site.say(api=("critical", "P1"), disk=("critical", "P1"))
    still, worse = "[P1, still] shop test: api on app is critical", "[P1, worse] shop test: disk on app is critical"
    news = site.news()
    assert sorted(news["pager"]) == sorted([f"trigger {still}", f"trigger {worse}"])
    assert sorted(news["chat"]) == sorted([still, worse]) and news["tickets"] == [worse]

    site.well("api")
    assert site.run().rc == 0
    keys = [body["dedup_key"] for body in site.http.bodies(PAGER)]
    news = site.news()
    assert event["dedup_key"] in keys and len(set(keys)) == 2
    assert news["pager"] == ["resolve", "resolve"]
    assert news["chat"] == ["[resolved] shop test: 2 things are well again, first api on app"]
    assert news["tickets"] == ["[resolved] shop test: disk on app is well again"]

    before = sorted(site.outbox.rglob("*"))
    dry = site.say("--check", api=("critical", "P1"))
    assert opened in said(dry) and "2 messages would be sent" in said(dry)
    assert site.news() == {} and sorted(site.outbox.rglob("*")) == before
    assert site.secrets_seen() == []


def test_what_a_channel_does_not_take_reaches_people_another_way_and_is_not_lost(site: Site) -> None:
    site.http.status[CHAT] = 404
    many = {f"position {number}": ("critical", "P2") for number in range(500)}
    done = site.say(**many)
    assert done.rc == 0 and "notified: true; 1 message sent; 1 waiting, the first for chat: HTTP status 404" in said(done)
    assert site.mail.mails[0]["To"] == "ops@example.org"
    (text,) = site.mail.texts()
    assert "position 9 on app is critical" in text and "sent here because the channel chat failed: HTTP status 404" in text and "and 490 more" in text
    assert site.news() == {"chat": ["[P2] shop test: 500 things need attention, first position 0 on app"],
                           "mail": ["[P2] shop test: 500 things need attention, first position 0 on app"]}  # fmt: skip
    (report,) = [host for system in newest_report(done.history)["systems"] for host in system["hosts"]]
    (step,) = [step for step in report["steps"] if step["role"] == "notify"]
    assert (step["result"]["outcome"], step["result"]["code"]) == ("warn", "not_delivered")
    assert len(site.waiting()) == 1 and {path.stat().st_mode & 0o777 for path in site.outbox.glob("*.json")} == {0o600}

    site.http.status.clear()
    site.down, site.mail.reject = True, "550 no such user"
    done = site.say(disk=("critical", "P2"))
    assert done.rc == 0 and "notified: false; 0 messages sent; 3 waiting" in said(done)
    failed = site.run("notify.yml")
    assert failed.rc == 2 and "notified: false" in said(failed) and site.news() == {}
    site.down, site.mail.reject = False, ""
    done = site.run("notify.yml", "--extra-vars", "notify_test=true")
    assert done.rc == 0, done.stdout
    news = site.news()
    disk = "[P2] shop test: disk on app is critical"
    assert sorted(news["chat"]) == sorted(["[P2] shop test: 500 things need attention, first position 0 on app", disk, trial_of("chat")])  # each once
    assert sorted(news["mail"]) == sorted([disk, trial_of("mail")])
    assert (news["pager"], news["tickets"]) == ([f"trigger {trial_of('pager')}"], [trial_of("tickets")])
    assert site.waiting() == []

    site.most = {"count": 1, "per": "1 s"}
    done = site.say(disk=("ok", "P2"), memory=("critical", "P2"))
    assert site.news()["chat"] == ["[P2] shop test: 2 messages in one, because there were too many for chat"]
    assert site.secrets_seen() == []


def test_a_run_that_is_killed_once_the_message_is_out_sends_it_again_under_the_same_key(site: Site) -> None:
    process = site.start_saying(api=("critical", "P1"))
    site.http.before = lambda path: _kill(process.pid) if path == PAGER else None
    process.wait(60)
    site.http.before = None
    (first,) = site.http.bodies(PAGER)
    assert len(site.waiting()) == 2 and site.secrets_seen() == []
    done = site.say(api=("critical", "P1"))
    assert done.rc == 0
    again = site.http.bodies(PAGER)[1:]
    assert [event["dedup_key"] for event in again] == [first["dedup_key"]]
    assert site.news()["chat"] == ["[P1] shop test: api on app is critical"]
    assert site.waiting() == []
    assert site.say(api=("critical", "P1")).rc == 0 and site.news() == {}
    with sqlite3.connect(site.runner.history / "history.sqlite") as db:
        assert db.execute("select state from runs order by started_at").fetchall() == [("killed",), ("finished",), ("finished",)]
    db.close()


def test_hosts_that_cannot_be_reached_are_told_of_although_a_channel_hangs(site: Site) -> None:
    """Nobody is left in the run but this machine, and the channel that comes first sends a byte now and then."""
    site.hosts = {"away": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": free_port()}}
    site.routes["P2"]["channels"], site.http.drip_seconds, site.patience = ["tickets"], 0.2, 1
    began = time.monotonic()
    done = site.run()
    assert done.rc == 4
    assert time.monotonic() - began < 60
    what = "[P2] shop test: host away cannot be reached"
    assert site.news() == {"tickets": [what], "mail": [what]}
    assert "no answer within" in said(done)
    assert [path for path in Path("/proc").glob("[0-9]*/environ") if _holds(path, str(site.folder))] == []  # nobody goes on sending
    assert len(site.waiting()) == 1


def _kill(pid: int) -> None:
    """A run with its workers, which lead sessions of their own."""
    for victim in [pid, *children(pid)]:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def _holds(path: Path, text: str) -> bool:
    try:
        return text in path.read_text(errors="replace")
    except OSError:
        return False
