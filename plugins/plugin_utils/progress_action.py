# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions that copy for long: the module runs on the host by itself, and while it does, how far it came is shown every few seconds.

A connection that breaks meanwhile does not end the copy; the next question finds it. Without ``progress_seconds``, and in check mode, the module is
run as any other.
"""

from __future__ import annotations

import json
import posixpath
import secrets
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import format_value, is_number

_GRACE_SECONDS = 120
"""What a module may take beyond its own time-out before nobody asks after it any more."""

_STATUS = "ansible.legacy.async_status"


def line(name: str, body: dict[str, Any], earlier: tuple[float, float]) -> str:
    """``backup of orders: 1.2 GiB of 3.4 GiB, 210 MiB/s, about 11 s left``. ``earlier`` are seconds and bytes of the last look."""
    done, total, seconds = (float(body[key]) if is_number(body.get(key)) else 0.0 for key in ("done_bytes", "total_bytes", "seconds"))
    rate = (done - earlier[1]) / (seconds - earlier[0]) if seconds > earlier[0] else 0.0
    known = total > done > 0
    parts = [format_value(done, "B") + (f" of {format_value(total, 'B')}" if known else ""), f"{format_value(rate, 'B')}/s"]
    left = [f"about {format_value(round((total - done) * seconds / done), 's')} left"] if known and seconds > 0 else []
    return f"{body.get('what', 'copy')} of {name}: {', '.join([*parts, *left])}"


class ProgressAction(ActionBase):
    """The base of the actions of backup, backup_verify and restore."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        every = float(self._task.args.get("progress_seconds") or 0)
        if every <= 0 or self._task.check_mode or self._task.async_val:
            return {**result, **self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val)}
        return {**result, **self._watched(every, task_vars or {})}

    def _watched(self, every: float, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Start it, look after it until it is done, and take away what that needed on the host."""
        name = f"progress-{secrets.token_hex(8)}"
        file = self._connection._shell.join_path(self.get_shell_option("async_dir", default="~/.ansible_async"), name)
        seconds = float(self._task.args.get("timeout_seconds") or 14400) + _GRACE_SECONDS
        self._task.async_val = int(seconds)
        try:
            job = self._execute_module(module_args={**self._task.args, "progress_file": file}, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0  # or Ansible would wait for it, too
        if "ansible_job_id" not in job:
            return dict(job)
        folder = posixpath.dirname(str(job["results_file"]))  # as the host sees it
        file, status = posixpath.join(folder, name), {"jid": job["ansible_job_id"], "_async_dir": folder}
        shown, end = (0.0, 0.0), time.monotonic() + seconds
        pause = 0.2
        while time.monotonic() < end:
            time.sleep(pause)
            pause = min(2 * pause, every)  # what is soon done is soon seen
            try:
                found = self._execute_module(module_name=_STATUS, module_args=status, task_vars=task_vars)
                if found.get("finished"):
                    self._tidy(file, status, task_vars)
                    return dict(found)
                shown = self._show(file, shown)
            except AnsibleConnectionFailure as error:
                Display().warning(f"the connection was lost, and the copy goes on: {error}")
        return {"failed": True, "outcome": "unknown", "code": "timed_out", "msg": f"nothing was heard of it for {seconds:.0f} s", "plan": [], "performed": []}

    def _show(self, file: str, shown: tuple[float, float]) -> tuple[float, float]:
        answer = self._low_level_execute_command(f"cat {self._connection._shell.quote(file)} 2>/dev/null", sudoable=True)
        try:
            body = json.loads(answer["stdout"])
        except ValueError:
            return shown
        if not isinstance(body, dict) or not is_number(body.get("seconds")) or body["seconds"] <= shown[0]:
            return shown
        Display().display(f"{line(str(self._task.args.get('name')), body, shown)}")
        return float(body["seconds"]), float(body.get("done_bytes") or 0)

    def _tidy(self, file: str, status: dict[str, Any], task_vars: dict[str, Any]) -> None:
        self._low_level_execute_command(f"rm -f {self._connection._shell.quote(file)}", sudoable=True)
        self._execute_module(module_name=_STATUS, module_args={**status, "mode": "cleanup"}, task_vars=task_vars)
