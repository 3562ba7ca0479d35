# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action notify never fails a run: without channels, without a record, without its folder, or with a defect it says so and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.action import notify
from ansible_collections.tradeops.runbook.plugins.action.notify import ActionModule
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import JOURNAL, Places

from ..plugin_utils.recorded import check, checks, hosts, lay_down, run_id, seal, started
from .asked import ask

SECRET = "secret-of-the-room-1234"
POLICY: dict[str, Any] = {
    "hosts": ["app"], "system": "nextrade", "environment": "production", "channels": {"chat": {"slack": {"webhook_url": f"https://hooks.example/{SECRET}"}}},
    "routes": {"P2": {"channels": ["chat"]}},
}  # fmt: skip


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A history with one run in it, and another run under way that found something critical."""
    found = Places(tmp_path, tmp_path / "reports", tmp_path / "ledger.key")
    seal(found, 1, hosts(app="nextrade/production"), checks(check("api")))
    path = lay_down(found, run_id(2), [started(run_id=run_id(2)), hosts(app="nextrade/production"), checks(check("api", "critical", severity="P2"))])
    monkeypatch.setenv(JOURNAL, str(path))
    return found


def tell(where: Places, **more: Any) -> dict[str, Any]:
    return ask(ActionModule, **{"history_dir": str(where.history), "run_id": run_id(2), "policies": [POLICY], **more})


def test_nobody_is_told_where_there_is_no_channel(where: Places) -> None:
    result = tell(where, policies=[])
    assert (result["wanted"], result["notified"], result["summary"]) == (False, False, "nobody is told anything: notify_channels is empty")
    assert not where.outbox.exists() and "outcome" not in result


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"run_id": ""}, "run_not_recorded"),
        ({"policies": [{**POLICY, "channels": {"chat": {"slak": {}}}}]}, "channels_invalid"),
    ],
)
def test_what_cannot_be_told_is_said_and_fails_nothing(where: Places, more: dict[str, Any], code: str) -> None:
    result = tell(where, **more)
    assert (result["code"], result["notified"], result.get("failed", False)) == (code, False, False) and result["hint"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(VerifyFailed("the history is damaged", "look"), "verify_failed"), (OSError(28, "No space left"), "outbox_failed"), (KeyError("x"), "defect")],
)
def test_trouble_of_the_controller_fails_nothing(where: Places, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str) -> None:
    def broken(_where: Places) -> Any:
        raise error

    monkeypatch.setattr(notify, "_memory", broken)
    result = tell(where)
    assert (result["outcome"], result["code"], result.get("failed", False)) == ("warn", code, False)
    assert result["summary"].startswith("notified: false; ")


def test_check_mode_says_what_would_be_sent_and_shows_no_secret(where: Places) -> None:
    result = ask(ActionModule, check_mode=True, history_dir=str(where.history), run_id=run_id(2), policies=[POLICY])
    assert [step["subject"] for step in result["plan"]] == ["[P2] nextrade production: api on app is critical"]
    assert SECRET not in repr(result) and not where.outbox.exists()


@pytest.mark.parametrize("more", [{"run_id": run_id(1)}, {"expire": "soon"}])
def test_bad_input_is_refused(where: Places, more: dict[str, Any]) -> None:
    assert tell(where, **more)["failed"] is True


def test_a_module_that_hangs_is_ended_and_the_message_waits(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_self: Any, **_options: Any) -> dict[str, Any]:
        while True:
            pass

    monkeypatch.setattr(ActionModule, "_execute_module", hang)
    policy = {**POLICY, "channels": {"chat": {"slack": {**POLICY["channels"]["chat"]["slack"], "timeout_seconds": 0.1}}}}
    monkeypatch.setattr("ansible_collections.tradeops.runbook.plugins.plugin_utils.notice_delivery._SPARE_SECONDS", 0.2)
    result = tell(where, policies=[policy])
    assert (result["notified"], result["code"], result["waiting_count"]) == (False, "not_delivered", 1)
    assert result["waiting"][0]["error"].startswith("no answer within") and SECRET not in repr(result)
