# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback run_record: hands what Ansible tells to the recorder."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_record
type: notification
short_description: Records every run, seals it and writes its report
version_added: 0.1.0
author: tradeops.runbook contributors (@tradeops)
description:
  - Writes one journal for each run, chained by hashes, takes it into the history at the end, sealed with a key that only the
    controller holds, and writes the report. The report comes also when hosts were unreachable or the run was interrupted.
  - A run that was killed is sealed as C(killed) by the next one.
  - When the record cannot be written, it warns, and modules that act refuse to run.
  - Results of tasks with C(no_log) are not recorded, only that they happened.
requirements:
  - enable it with C(callbacks_enabled = tradeops.runbook.run_record) in the section C([defaults]) of C(ansible.cfg)
options:
  record:
    description: Record this run. Only what changes nothing, and the removal of the history itself, works without.
    type: bool
    default: true
    env: [{name: RUNBOOK_RECORD}]
    ini: [{section: callback_run_record, key: record}]
  history_dir:
    description:
      - Folder of the history, its journals and its key. Only this user should be able to enter it.
      - The default is C(tradeops) in C($XDG_STATE_HOME), or in C(~/.local/state).
    type: path
    env: [{name: RUNBOOK_HISTORY_DIR}]
    ini: [{section: callback_run_record, key: history_dir}]
  history_url:
    description:
      - Address of a history in PostgreSQL that several controllers share, such as C(postgresql://runbook@db.example.org/runbook); see
        O(tradeops.runbook.run_history_info#module:history_url). All need the same key (O(key_file)). Journals and reports stay here.
      - Events are copied there as they come. A run whose controller was silent for a minute is sealed as C(killed) by another's next run.
    type: str
    env: [{name: RUNBOOK_HISTORY_URL}]
    ini: [{section: callback_run_record, key: history_url}]
  reports_dir:
    description: Folder of the reports. The default is C(reports) in O(history_dir).
    type: path
    env: [{name: RUNBOOK_REPORTS_DIR}]
    ini: [{section: callback_run_record, key: reports_dir}]
  key_file:
    description:
      - File with the key of the ledger. The default is C(ledger.key) in O(history_dir).
      - It is made on first use, and never made anew once a run was sealed.
    type: path
    env: [{name: RUNBOOK_LEDGER_KEY_FILE}]
    ini: [{section: callback_run_record, key: key_file}]
"""

import atexit
import functools
import getpass
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from ansible import context
from ansible.executor.stats import AggregateStats
from ansible.playbook import Playbook
from ansible.playbook.play import Play
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version
from ansible.template import Templar

from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed import Observed, checks, drops, is_worth_a_step, notices, plain, step
from ansible_collections.tradeops.runbook.plugins.plugin_utils.observed_logs import log_reports
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.recorder import Recorder, forget_run, not_recorded
from ansible_collections.tradeops.runbook.plugins.plugin_utils.release import collection_version

_COUNTS = ("ok", "changed", "failures", "unreachable", "skipped", "rescued", "ignored")
_DID = ("changed", "failures", "unreachable")
_LAUNCH = ("awx_", "tower_")


def _survives(method: Callable[..., None]) -> Callable[..., None]:
    """Ansible would only print a traceback and go on unrecorded; here tasks that act refuse from then on."""

    @functools.wraps(method)
    def guarded(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # the record must never break the run
            self.fail(error)

    return guarded


class CallbackModule(CallbackBase):
    """Keeps one recorder per playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "tradeops.runbook.run_record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recorder: Recorder | None = None
        self._pid = os.getpid()
        self._play = ""
        self._identities: dict[str, dict[str, str]] = {}
        self._begun: dict[tuple[str, str], float] = {}
        self._with_items: set[tuple[str, str]] = set()
        self._standby: set[str] = set()
        self._before: dict[str, dict[str, int]] = {}
        atexit.register(self._exit)

    def fail(self, error: Exception) -> None:
        """The record is broken: warn, and let tasks that act refuse."""
        forget_run()
        if self._recorder is not None:
            self._recorder.degrade(error)
        else:
            self._display.warning(not_recorded(error))

    @_survives
    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """A run begins; a second playbook on the same command line is a second run."""
        if not self.get_option("record"):
            forget_run()
            return
        folder, reports, key, url = (self.get_option(name) for name in ("history_dir", "reports_dir", "key_file", "history_url"))
        self._identities, self._begun, self._with_items, self._standby = {}, {}, set(), set()
        self._recorder = Recorder(places(folder, reports, key, url or ""), self._display.warning)
        self._recorder.begin(_facts(playbook))

    @_survives
    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Which hosts take part, and whose they are: once for each host of the run."""
        self._play = play.get_name()
        manager = play.get_variable_manager()
        found: dict[str, dict[str, str]] = {}
        hosts = manager._inventory.get_hosts(play.hosts)  # this machine may only stand by to tell people, and is no part of what the run is about
        self._standby = {host.name for host in hosts if getattr(host, "implicit", False) and len(hosts) > 1} - set(self._identities)
        for host in hosts:
            if host.name not in self._identities and host.name not in self._standby:
                variables = manager.get_vars(play=play, host=host, include_hostvars=False)
                templar = Templar(loader=play.get_loader(), variables=variables)
                found[host.name] = {name: _rendered(templar, variables.get(f"runbook_{name}")) for name in ("system", "environment")}
        if found and self._recorder is not None:
            self._identities |= found
            self._recorder.record("hosts", {"hosts": found})

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A task begins on a host."""
        self._begun[task._uuid, host.name] = time.monotonic()

    @_survives
    def v2_runner_on_ok(self, result: Any) -> None:
        """It went well."""
        self._observe(result, "changed" if result.is_changed() else "ok")

    @_survives
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """It failed."""
        self._observe(result, "ignored" if ignore_errors else "failed")

    @_survives
    def v2_runner_on_unreachable(self, result: Any) -> None:
        """The host could not be reached."""
        self._observe(result, "ignored" if result.task.ignore_unreachable is True else "unreachable")

    @_survives
    def v2_runner_on_skipped(self, result: Any) -> None:
        """Nothing to record but the end."""
        key = (result.task._uuid, result.host.name)
        self._begun.pop(key, None)
        self._with_items.discard(key)

    @_survives
    def v2_runner_item_on_ok(self, result: Any) -> None:
        """One item of a loop went well."""
        self._observe_item(result, "changed" if result.is_changed() else "ok")

    @_survives
    def v2_runner_item_on_failed(self, result: Any) -> None:
        """One item of a loop failed."""
        self._observe_item(result, "ignored" if result.task.ignore_errors is True else "failed")

    def _observe_item(self, result: Any, state: str) -> None:
        label = str(plain(result.result.get("_ansible_item_label", result.result.get("item", ""))))
        self._with_items.add((result.task._uuid, result.host.name))
        self._take(self._observed(result, state, label[:200] or "item"))

    def _observe(self, result: Any, state: str) -> None:
        key = (result.task._uuid, result.host.name)
        if key in self._with_items and state != "unreachable":
            self._with_items.discard(key)  # its items told everything, each when it was done
            self._begun.pop(key, None)
        else:
            self._take(self._observed(result, state, ""))

    def _observed(self, result: Any, state: str, item: str) -> Observed:
        task, host = result.task, result.host.name
        key = (task._uuid, host)
        begun = self._begun.get(key) if item else self._begun.pop(key, None)
        now = time.monotonic()
        if item:
            self._begun[key] = now
        role = task._role.get_name(include_role_fqcn=False) if task._role else ""
        return Observed(
            host=host, task=str(result.task_name).removeprefix(f"{role} : "), action=task.resolved_action or task.action, state=state,
            result=result.result, play=self._play, role=role, item=item, duration_seconds=None if begun is None else round(now - begun, 3),
            hidden=bool(task.no_log is True or result.result.get("_ansible_no_log") or "censored" in result.result),
            identity=self._identities.get(host, {}),
        )  # fmt: skip

    def _take(self, seen: Observed) -> None:
        if self._recorder is None:
            return
        if is_worth_a_step(seen):
            self._recorder.record("step", step(seen))
        for kind, bodies in (("checks", checks), ("log_report", log_reports), ("bodies_dropped", drops), ("notices", notices)):
            for body in bodies(seen):
                self._recorder.record(kind, body)

    @_survives
    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """A run is over. Ansible keeps counting over several playbooks; each run gets its own share."""
        totals = {host: dict(stats.summarize(host)) for host in sorted(stats.processed)}
        share = {host: {name: counts[name] - self._before.get(host, {}).get(name, 0) for name in _COUNTS} for host, counts in totals.items()}
        self._before = totals
        shown = {host: counts for host, counts in share.items() if any(counts[name] for name in (_DID if host in self._standby else _COUNTS))}
        self._finish("finished", shown, _exit_code(share))

    @_survives
    def _exit(self) -> None:
        """The process ends: a run that is still open was interrupted. Forked workers have no say."""
        if os.getpid() == self._pid:
            self._finish("interrupted", {}, None)

    def _finish(self, state: str, stats: dict[str, dict[str, int]], exit_code: int | None) -> None:
        if self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            self._display.display(recorder.finish(state, stats, exit_code).line())


def _exit_code(stats: Mapping[str, Mapping[str, int]]) -> int:
    """How ansible-playbook will exit. The counts leave open what max_fail_percentage and clear_host_errors do to it, so ask the caller."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "run" and type(frame.f_locals.get("self")).__name__ == "PlaybookExecutor":
            found = frame.f_locals.get("result")
            if isinstance(found, int):
                return int(found)
        frame = frame.f_back
    if any(counts["unreachable"] for counts in stats.values()):
        return 4
    return 2 if any(counts["failures"] for counts in stats.values()) else 0


def _facts(playbook: Playbook) -> dict[str, Any]:
    """The body of ``run_started`` without the id of the run."""
    given = context.CLIARGS
    plays = playbook.get_plays()
    extra = plays[0].get_variable_manager().extra_vars if plays else {}
    versions = {"collection": collection_version(), "ansible": ansible_version, "python": platform.python_version()}
    return dict(plain({
        "playbook": Path(str(playbook._file_name or "")).stem,
        "user": _user(),
        "controller": socket.gethostname(),
        "pid": os.getpid(),
        "versions": versions,
        "check_mode": bool(given.get("check")),
        "diff_mode": bool(given.get("diff")),
        "limit": given.get("subset") or "",
        "tags": list(given.get("tags") or ()),
        "skip_tags": list(given.get("skip_tags") or ()),
        "launch": {key: str(value)[:1000] for key, value in extra.items() if key.startswith(_LAUNCH) and isinstance(value, (str, int))},
    }))  # fmt: skip


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return str(os.getuid())


def _rendered(templar: Templar, value: Any) -> str:
    """A variable of the inventory, templates and all; ``""`` when it cannot be rendered yet."""
    try:
        return "" if value is None else str(plain(templar.template(value)))
    except Exception:  # whatever a template may do: the host then belongs to no system
        return ""
