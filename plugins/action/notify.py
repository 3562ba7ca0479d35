# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action notify: tells people what changed on the systems of this run, and delivers what waits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError, TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.messages import Run
from ansible_collections.tradeops.runbook.plugins.module_utils._core.notices import Key, Notice
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import parse_duration
from ansible_collections.tradeops.runbook.plugins.plugin_utils import journal
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_action import HistoryAction, where_of
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notice_delivery import Terms
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notice_pass import NoticePass, Policies, Request, read_policies
from ansible_collections.tradeops.runbook.plugins.plugin_utils.notices_runs import watched
from ansible_collections.tradeops.runbook.plugins.plugin_utils.outbox import Outbox
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places

_NOBODY: dict[str, Any] = {
    "changed": False, "notified": False, "plan": [], "planned": 0, "performed": [], "sent": 0, "waiting": [], "waiting_count": 0, "expired": [],
    "problems": [], "notes": [], "records": [], "hint": "", "code": "ok", "wanted": True,
}  # fmt: skip


class ActionModule(HistoryAction):
    """Sends by modules that run on the controller. Whatever happens to a message, the run goes on: it waits in the outbox."""

    _requires_connection = True
    SPEC: ClassVar[dict[str, Any]] = {
        "run_id": {"type": "str", "required": True},
        "policies": {"type": "list", "elements": "dict", "default": [], "no_log": True},
        "test": {"type": "bool", "default": False},
        "retry": {"type": "bool", "default": False},
        "budget_seconds": {"type": "float", "default": 60.0},
        "expire": {"type": "str", "default": "3 d"},
        "now": {"type": "float"},
    }
    _variables: Mapping[str, Any] = {}

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task."""
        self._variables = task_vars or {}
        return super().run(tmp, task_vars)

    def answer(self, options: dict[str, Any]) -> dict[str, Any]:
        """The result, in the shape of all modules that act."""
        policies = read_policies(options["policies"])
        expire = parse_duration(options["expire"])
        if not policies.wanted:
            return _nobody(policies)
        if not options["run_id"]:
            return {**_NOBODY, "outcome": "refused", "code": "run_not_recorded", "summary": "notified: false; this run is not recorded",
                    "hint": "set callbacks_enabled = tradeops.runbook.run_record in ansible.cfg; if it is set, see its warning above"}  # fmt: skip
        where, shift = where_of(options), 0.0 if options["now"] is None else options["now"] - time.time()
        try:
            request = _request(options, policies, shift)
            work = NoticePass(Outbox(where.outbox), lambda: _memory(where))
            if self._task.check_mode:
                return {**_NOBODY, **work.preview(request)}
            terms = Terms(lambda: time.time() + shift, options["budget_seconds"], expire, options["retry"])
            return {**_NOBODY, **work.run(request, self._send, terms)}
        except InvalidInput:
            raise
        except Exception as error:  # a full disk, a history that is gone, a defect: nobody was told, and the run is not to blame
            return {**_NOBODY, "outcome": "warn", **_why(error)}

    def _send(self, module: str, arguments: dict[str, Any], seconds: float) -> Mapping[str, Any]:
        """The result of a module. ``no_log`` for as long as it runs, or it would write its arguments to the system log."""
        with suppress(OSError):  # a module that is piped in makes it too, and warns
            os.makedirs(os.path.expanduser(self.get_shell_option("remote_tmp", "~/.ansible/tmp")), mode=0o700, exist_ok=True)
        hidden, self._task.no_log = self._task.no_log, True
        before = _children()
        try:
            with _deadline(seconds):
                return dict(self._execute_module(module_name=module, module_args=arguments, task_vars=self._variables))
        except _Late:
            for pid in _children() - before:  # else it would go on, and deliver the message beside a later try
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise TimedOut(f"no answer within {seconds:.0f} s") from None
        finally:
            self._task.no_log = hidden


def _why(error: Exception) -> dict[str, Any]:
    if isinstance(error, RunbookError):
        return {"code": error.code, "hint": error.hint, "summary": f"notified: false; {error.message}"}
    if isinstance(error, OSError):
        return {"code": "outbox_failed", "hint": "see the folder of the history and its free space", "summary": f"notified: false; {error}"}
    hint = "this is a defect of the module notify: report it with this message"
    return {"code": "defect", "hint": hint, "summary": f"notified: false; {type(error).__name__}: {error}"}


def _nobody(policies: Policies) -> dict[str, Any]:
    problems = policies.said("problems")
    if not problems:
        return {**_NOBODY, "code": "no_channels", "wanted": False, "summary": "nobody is told anything: notify_channels is empty"}
    found = {"outcome": "warn", "code": "channels_invalid", "problems": problems, "hint": problems[0]}
    return {**_NOBODY, **found, "summary": "notified: false; no channel can be used"}


def _request(options: Mapping[str, Any], policies: Policies, shift: float) -> Request:
    """What this run saw, from its journal: the history gets it only when the run is over."""
    path = Path(os.environ.get("RUNBOOK_JOURNAL", ""))
    if path.stem != options["run_id"]:
        raise InvalidInput(f"{options['run_id']} is not the run that is being recorded", "give lookup('tradeops.runbook.run', 'id')")
    view = watched(journal.read(path).events, shift)
    return Request(Run(options["run_id"], time.time() + shift), policies, view, options["test"])


def _memory(where: Places) -> Mapping[Key, Notice]:
    with History(where, read_only=True) as history:
        return history.told()


class _Late(BaseException):
    """The time is over. No Exception: what runs the module would take it for a failure of its own, and go on."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Time-outs of sockets are for each read: a server that sends one byte now and then would hold the run for ever."""

    def stop(_signal: int, _frame: Any) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _children() -> set[int]:
    """Every descendant of this process."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    found, wanted = set(), {os.getpid()}
    while wanted:
        wanted = {pid for pid, parent in parents.items() if parent in wanted} - found
        found |= wanted
    return found
