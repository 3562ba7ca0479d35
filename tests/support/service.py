# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's trading service on a free port, and the reports of runs on it."""
from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "demo/trading_service.py"
SYSTEM = [f"--inventory={ROOT}/inventories/{name}" for name in ("nextrade", "demo")]
OVERLAY = [*SYSTEM, "--extra-vars", '{"health_checks_backup": []}']
"""Of tests that take no backups: without one, the check of backups rightly complains."""


@dataclass
class Service:
    """A running service, its state folder and how inventories/demo finds it."""

    state: Path
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """What inventories/demo reads."""
        return {"DEMO_STATE": str(self.state), "DEMO_PORT": (self.state / "nextrade.port").read_text(encoding="ascii").strip()}

    def fault(self, name: str, switch: str = "on") -> None:
        """Switch a fault and wait until it shows."""
        subprocess.run([sys.executable, str(PROGRAM), "--state", str(self.state), "fault", switch, name], check=True)
        time.sleep(0.7)  # two ticks of the trader

    def stop(self) -> None:
        """End it as a service manager does."""
        self.process.terminate()
        self.process.wait(15)


@contextmanager
def running_service(state: Path) -> Iterator[Service]:
    """A service that answers, trades and logs."""
    service = Service(state, subprocess.Popen([sys.executable, str(PROGRAM), "--state", str(state), "--port", "0"], stdout=subprocess.DEVNULL))
    try:
        signs = [state / name for name in ("nextrade.port", "data/trading_orders.db", "logs/compliance.log")]
        for _attempt in range(100):
            if all(sign.exists() for sign in signs):
                break
            time.sleep(0.1)
        time.sleep(0.7)
        yield service
    finally:
        service.stop()


def newest_report(history: Path) -> dict[str, Any]:
    """The newest report of a history; there must be one in HTML too."""
    newest = max((history / "reports").glob("*.json"))
    assert newest.with_suffix(".html").stat().st_size > 1000
    found: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
    return found


def hosts_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The hosts of a report by name."""
    return {host["name"]: host for system in report["systems"] for host in system["hosts"]}


def checks_of(report: dict[str, Any], host: str = "nextrade_app") -> dict[str, dict[str, Any]]:
    """The checks of one host of a report by name."""
    return {check["name"]: check for check in hosts_of(report)[host]["checks"]}
