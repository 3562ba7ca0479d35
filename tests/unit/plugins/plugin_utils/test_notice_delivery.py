# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox and its delivery on a real folder: nothing is lost, nothing is sent twice without need, and nobody is flooded."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.channels import parse_policy
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.messages import Message
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notice_delivery import LONGEST_PAUSE, Delivery, Terms
from ansible_collections.tradeops.runbook.plugins.plugin_utils.outbox import Outbox

NOW = 1_790_000_000.0
DAY = 86400.0
PLACE = ("shop", "test")
SECRET = "secret-of-the-room-1234"
POLICY: dict[str, Any] = {
    "channels": {
        "pager": {"pagerduty": {"routing_key": "key-of-the-pager"}},
        "chat": {"slack": {"webhook_url": f"https://hooks.example/{SECRET}"}},
        "mail": {"email": {"to": ["ops@example.org"], "from": "runbook@example.org", "host": "smtp.example.org"}},
    },
    "routes": {"P1": {"channels": ["pager"], "second": ["mail"]}, "P2": {"channels": ["chat"], "second": ["mail"]}},
    "max_messages": {"count": 3, "per": "10 min"},
}
DOWN = {"failed": True, "status": -1, "msg": f"Status code was -1: Request failed: https://hooks.example/{SECRET} refused"}


class Ends:
    """People's ends of the channels: what they answer, and what they got. And the clock."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox")
        (folder / "outbox").mkdir(exist_ok=True)
        self.answers: dict[str, Any] = {}
        self.instead: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None
        """Answers everything, and is not noted."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.got: list[tuple[str, str]] = []
        self.now = NOW
        self.takes = 0.0

    def send(self, module: str, arguments: dict[str, Any], _seconds: float) -> Mapping[str, Any]:
        if self.instead is not None:
            return self.instead(arguments)
        self.asked.append((module, arguments))
        self.now += self.takes
        body = arguments.get("body")
        if module.endswith("mail"):
            channel, subject = "mail", arguments["subject"]
        elif isinstance(body, dict) and "routing_key" in body:
            channel, subject = "pager", body["payload"]["summary"] if "payload" in body else "resolved"
        else:
            assert isinstance(body, dict)
            channel, subject = "chat", body["text"]
        answer = self.answers.get(channel, {"status": 200})
        if isinstance(answer, BaseException):
            raise answer
        if not answer.get("failed"):
            self.got.append((channel, subject))
        found: Mapping[str, Any] = answer
        return found

    def deliver(self, after: float = 0.0, **terms: Any) -> Delivery:
        self.now += after
        policy = parse_policy(POLICY)
        delivery = Delivery(self.outbox, {PLACE: policy}, self.send, Terms(lambda: self.now, **terms))
        delivery.run()
        return delivery

    def add(self, number: int = 1, channel: str = "chat", severity: str = "P2", second: tuple[str, ...] = ("mail",)) -> None:
        name = f"{channel}-{number}"
        self.outbox.add(Message(name, channel, *PLACE, "opened", severity, f"key-{number}", False, 1, f"about {number}", ("line",), self.now + number / 1000,
                                "run", second))  # fmt: skip

    def say(self, change: str, channel: str = "pager", severity: str = "P2", second: tuple[str, ...] = ()) -> None:
        """A message of the one incident that all of these are about, a second later than the one before."""
        self.now += 1
        self.outbox.add(Message(f"{channel}-{change}", channel, *PLACE, change, severity, "incident", False, 1, change, ("line",), self.now, "run", second))

    def left(self) -> list[str]:
        return [waiting.message.id for waiting in self.outbox.waiting()]


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    return Ends(tmp_path)


def test_what_is_delivered_leaves_the_outbox_and_nothing_is_sent_twice(ends: Ends) -> None:
    ends.add(1)
    ends.add(1)  # the same one
    ends.add(2)
    (path, *_rest) = ends.outbox.folder.glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and SECRET not in path.read_text(encoding="utf-8")
    ends.deliver()
    ends.deliver()
    assert ends.got == [("chat", "about 1"), ("chat", "about 2")] and ends.left() == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"failed": True, "status": 404, "msg": f"not found https://hooks.example/{SECRET}"}, "HTTP status 404"),
        ({"failed": True, "status": 503, "msg": "x"}, "HTTP status 503"),
        (DOWN, "Request failed"),
        ({"failed": True, "msg": "Failed to send mail"}, "Failed to send mail"),
        ({"failed": True}, "it gave no reason"),
        (TimedOut("no answer within 15 s"), "no answer within 15 s"),
        (RuntimeError(f"no module {SECRET}"), "no module [redacted]"),
    ],
)
def test_whatever_fails_waits_and_goes_to_the_second_channel_once(ends: Ends, answer: Any, why: str) -> None:
    ends.answers["chat"] = answer
    ends.add(1)
    ends.deliver()
    (waiting,) = ends.outbox.waiting()
    assert why in waiting.error and SECRET not in json.dumps(waiting.data())
    assert (waiting.tries, waiting.replaced, waiting.reached) == (1, True, True)
    assert ends.got == [("mail", "about 1")]
    ends.deliver(after=100)
    assert ends.got == [("mail", "about 1")] and ends.outbox.waiting()[0].tries == 2
    ends.answers.clear()
    ends.deliver(after=LONGEST_PAUSE)
    assert ends.got == [("mail", "about 1"), ("chat", "about 1")] and ends.left() == []


def test_when_both_channels_fail_nobody_was_reached_and_both_are_tried_again(ends: Ends) -> None:
    ends.answers = {"chat": DOWN, "mail": {"failed": True, "msg": "550 no such user"}}
    ends.add(1)
    ends.deliver()
    assert {(waiting.message.channel, waiting.reached) for waiting in ends.outbox.waiting()} == {("chat", False), ("mail", False)}
    ends.answers = {"chat": DOWN}
    ends.deliver(retry=True)
    (chat,) = ends.outbox.waiting()
    assert chat.reached and ends.got == [("mail", "about 1")]


def test_a_channel_that_fails_is_left_alone_longer_each_time(ends: Ends) -> None:
    ends.answers["chat"] = DOWN
    ends.add(1, second=())
    pauses = []
    for _time in range(12):
        ends.deliver()
        (waiting,) = ends.outbox.waiting()
        pauses.append(waiting.next_at - ends.now)
        ends.deliver(after=waiting.next_at - ends.now - 1)  # not yet
        assert ends.outbox.waiting()[0].tries == waiting.tries
        ends.now = waiting.next_at
    assert pauses[:3] == [45.0, 90.0, 180.0] and pauses[-1] == LONGEST_PAUSE == max(pauses)


def test_one_that_is_down_is_asked_once_and_all_its_messages_go_the_other_way(ends: Ends) -> None:
    ends.answers["chat"] = DOWN
    for number in (1, 2, 3):
        ends.add(number)
    ends.deliver()
    assert sum(module.endswith("uri") for module, _arguments in ends.asked) == 1
    assert ends.got == [("mail", "about 1"), ("mail", "about 2"), ("mail", "about 3")]


def test_a_mail_that_one_address_refuses_goes_again_to_that_one_alone(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICY["channels"]["mail"]["email"], "to", ["Ops <ops@example.org>", "gone@example.org"])
    ends.answers["mail"] = {"msg": "Failed to send mail to at least one recipient", "result": {"gone@example.org": [550, "no such user"]}}
    ends.add(1, "mail", second=("chat",))
    ends.say("opened", "mail")
    ends.say("resolved", "mail")
    delivery = ends.deliver()
    assert ends.got == [("mail", "about 1"), ("mail", "opened"), ("mail", "resolved")] and delivery.sent == []  # nothing held back for one address
    first = ends.outbox.waiting()[0]
    assert first.reached and "gone@example.org was refused" in first.error and "no such user" in first.error
    ends.answers["mail"] = DOWN
    ends.deliver(after=50)
    assert len(ends.outbox.waiting()) == 3  # people have it: no second channel

    def only_to_others(arguments: dict[str, Any]) -> Mapping[str, Any]:
        ends.got.append(("mail", arguments["subject"]))
        return {"failed": True, "msg": "all recipients refused"} if arguments["to"] == ["gone@example.org"] else {"status": 200}

    ends.instead = only_to_others
    ends.add(2, "mail", second=("chat",))
    assert [waiting.message.id for waiting in ends.deliver(after=LONGEST_PAUSE).sent] == ["mail-2"]
    ends.instead = None
    ends.answers.clear()
    ends.deliver(after=LONGEST_PAUSE)
    assert ends.left() == [] and ends.asked[3:] and all(arguments["to"] == ["gone@example.org"] for _module, arguments in ends.asked[3:])


def test_an_address_that_the_inventory_names_no_more_keeps_no_mail_waiting(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICY["channels"]["mail"]["email"], "to", ["ops@example.org", "gone@example.org"])
    ends.answers["mail"] = {"result": {"gone@example.org": [550, "no such user"]}}
    ends.add(1, "mail", second=())
    ends.deliver()
    monkeypatch.setitem(POLICY["channels"]["mail"]["email"], "to", ["ops@example.org"])
    ends.deliver(after=50)
    assert ends.left() == [] and ends.got == [("mail", "about 1")]


def test_one_message_that_is_rejected_does_not_hold_the_next(ends: Ends) -> None:
    ends.answers["chat"] = {"failed": True, "status": 400}
    ends.add(1, second=())
    ends.deliver()
    ends.answers.clear()
    ends.add(2)
    ends.deliver()
    assert ends.got == [("chat", "about 2")] and ends.left() == ["chat-1"]


def test_a_recovery_does_not_overtake_the_fault_that_waits(ends: Ends) -> None:
    """The channel was down for long, so the fault has a long pause before it; the recovery is new."""
    ends.answers["pager"] = DOWN
    ends.say("opened")
    for _time in range(6):
        ends.deliver(after=LONGEST_PAUSE)
    ends.answers.clear()
    ends.say("resolved")
    ends.deliver()
    assert ends.got == [("pager", "opened"), ("pager", "resolved")] and ends.left() == []


def test_a_recovery_while_the_channel_is_down_waits_behind_the_fault_also_on_the_second_channel(ends: Ends) -> None:
    ends.answers = {"pager": {"failed": True, "status": 400}, "mail": DOWN}
    ends.say("opened", second=("mail",))
    ends.deliver()
    ends.say("resolved", second=("mail",))
    ends.deliver(after=50)
    assert ends.got == [] and len(ends.left()) == 4
    ends.answers.clear()
    ends.deliver(after=LONGEST_PAUSE)
    assert [subject for channel, subject in ends.got if channel == "pager"] == ["opened", "resolved"]
    assert [subject for channel, subject in ends.got if channel == "mail"] == ["opened", "resolved"]


def test_what_got_worse_goes_in_the_order_in_which_it_happened(ends: Ends) -> None:
    ends.say("opened")
    ends.say("worsened", severity="P1")
    ends.say("resolved", severity="P1")
    ends.add(1, "pager")
    ends.deliver()
    assert [subject for _channel, subject in ends.got][:3] == ["opened", "worsened", "resolved"]


def test_what_is_over_the_rate_becomes_one_message_and_nothing_is_lost(ends: Ends) -> None:
    for number in range(1, 8):
        ends.add(number)
    ends.deliver()
    assert [subject for _channel, subject in ends.got[:2]] == ["about 1", "about 2"]
    assert ends.got[2:] == [("chat", "[P2] shop test: 5 messages in one, because there were too many for chat")]
    ends.add(8)
    delivery = ends.deliver(after=60)
    assert len(ends.got) == 3 and delivery.held == 1 and ends.left() == ["chat-8"]
    ends.add(9)
    ends.deliver(after=600)
    assert [subject for _channel, subject in ends.got[3:]] == ["about 8", "about 9"] and ends.left() == []


def test_what_went_another_way_does_not_go_there_again_inside_of_a_folded_message(ends: Ends) -> None:
    ends.answers["chat"] = DOWN
    for number in range(1, 5):
        ends.add(number)
    ends.deliver()
    assert [channel for channel, _subject in ends.got] == ["mail"] * 3  # the last of them is the folded one
    mails = len(ends.got)
    ends.add(5)
    ends.add(6)
    ends.deliver(after=LONGEST_PAUSE)
    assert len(ends.got) > mails and not any("about 1" in subject or "about 3" in subject for _channel, subject in ends.got[mails:])
    ends.answers.clear()
    ends.deliver(after=LONGEST_PAUSE)
    ends.deliver(after=LONGEST_PAUSE)
    assert ends.left() == []


def test_the_most_urgent_goes_first_and_is_never_held_back(ends: Ends) -> None:
    for number in range(1, 6):
        ends.add(number, "pager", "P2")
    for number in range(6, 12):
        ends.add(number, "pager", "P1")
    delivery = ends.deliver()
    assert [subject for _channel, subject in ends.got[:6]] == [f"about {number}" for number in range(6, 12)]
    assert delivery.held == 5 and len(ends.got) == 6  # each of the others is an incident of its own, so none is folded
    ends.deliver(after=601)
    ends.deliver(after=601)
    assert ends.left() == [] and sorted(subject for _channel, subject in ends.got) == sorted(f"about {number}" for number in range(1, 12))


def test_what_nobody_takes_for_days_is_given_up_and_kept_aside(ends: Ends) -> None:
    ends.answers["chat"] = DOWN
    ends.add(1, second=())
    assert ends.deliver(after=2 * DAY).expired == []
    (expired,) = ends.deliver(after=2 * DAY).expired
    assert expired.message.id == "chat-1" and ends.left() == []
    assert len(list((ends.outbox.folder / "expired").iterdir())) == 1


def test_a_pass_ends_when_its_time_is_over_and_the_rest_waits(ends: Ends) -> None:
    ends.takes = 20.0
    for number in range(1, 4):
        ends.add(number)
    ends.deliver(budget_seconds=30.0)
    assert len(ends.got) == 2 and ends.left() == ["chat-3"]
    ends.deliver()
    assert len(ends.got) == 3


def test_what_is_for_another_system_or_a_channel_that_is_gone_waits(ends: Ends) -> None:
    ends.add(1, "fax")
    ends.outbox.add(ends.outbox.waiting()[0].message._replace(id="other", system="bank", channel="chat"))
    ends.deliver()
    assert sorted(ends.left()) == ["fax-1", "other"] and ends.got == []


def test_what_cannot_be_read_is_set_aside_and_told(ends: Ends) -> None:
    ends.add(1)
    for name, text in {"1-a.json": "{", "2-b.json": "[]", "3-c.json": '{"message": {}, "notices": []}'}.items():
        (ends.outbox.folder / name).write_text(text, encoding="utf-8")
    (ends.outbox.folder / ".sent").write_text("[]", encoding="utf-8")
    assert len(ends.outbox.waiting()) == 1 and list(ends.outbox.folder.glob("*.bad")) == []  # who only looks changes nothing
    ends.deliver()
    assert ends.got == [("chat", "about 1")] and len(ends.outbox.problems) == 3
    assert len(list(ends.outbox.folder.glob("*.bad"))) == 3


def test_what_is_delivered_while_somebody_looks_is_no_trouble(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    ends.add(1)
    ends.add(2)
    files = sorted(ends.outbox.folder.glob("*.json"))
    monkeypatch.setattr(Path, "glob", lambda _folder, _pattern: files)
    files[0].unlink()
    assert ends.left() == ["chat-2"] and ends.outbox.problems == []


def test_two_passes_never_run_at_once_and_a_killed_one_holds_nothing(ends: Ends) -> None:
    code = (
        "import fcntl, os, sys, time; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(ends.outbox.folder / ".lock")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(Busy), ends.outbox.locked(0.2):
            pass
        (ends.outbox.folder / ".half.new").touch()
        other.kill()
        other.wait()
        with ends.outbox.locked(5):
            assert not (ends.outbox.folder / ".half.new").exists()
