# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a real service on loopback, the shipped playbooks, faults, the recovery. `make demo` prepares and runs it.

Everything it writes is in .build/demo, made anew by each demo. Exit code 0 when every run found what it should have found.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("BUILD", ROOT / ".build"))
STAGE = BUILD / "stage/ansible_collections/tradeops/runbook"
DEMO = BUILD / "demo"
STATE = DEMO / "state"
HISTORY = DEMO / "history"
SERVICE = ROOT / "demo" / "trading_service.py"
WELL = ("backup", "verify_backups", "prune_backups --check", "health", "health", "daily", "daily")
"""Playbooks while all is well: backups that are restored into scratch, a preview of what would go, and enough runs for courses in the report."""
FAULTS = ("stuck_orders", "llm_down")
BURST = "error_burst"
"""Over before anybody looks: only the log knows."""
BURST_LINES = 60
LINGERING = {"errors of 5 minutes", "errors of 10 minutes"}
"""They look that far back, so they find the burst, and still find it when all is well again."""
BROKEN = {"stuck orders", "language model answers", "application log", *LINGERING}
"""The checks that must find the faults."""
FOLLOWS = {"api answers", "retries", "log volume"}
"""May warn then: a service without its language model calls itself degraded, and a burst is made of many retries."""
BAD = ("critical", "unknown")
MACHINE = ("host", "preflight")
"""Kinds of checks that look at this machine (its disk, memory, clock): true wherever the demo runs, so shown and not judged."""


class DemoFailed(Exception):
    """The demo cannot go on; the message says what was seen and where to look."""


@dataclass(frozen=True)
class Run:
    """One ansible-playbook process and what its record says."""

    playbook: str
    exit_code: int
    view: dict[str, Any]
    html: Path

    @property
    def checks(self) -> list[dict[str, Any]]:
        return [check for system in self.view["systems"] for host in system["hosts"] for check in host["checks"]]

    @property
    def found(self) -> list[dict[str, Any]]:
        return [check for check in self.checks if check["status"] not in ("ok", "skipped")]

    @property
    def news(self) -> list[dict[str, Any]]:
        """Messages of level ERROR in the logs that no earlier review had seen."""
        logs = [log for system in self.view["systems"] for host in system["hosts"] for log in host["logs"] if log["earlier"]["reviewed"]]
        return [found for log in logs for found in log["signatures"] if found["level"] == "ERROR" and found["id"] not in log["earlier"]["signatures"]]

    def unexpected(self, broken: set[str]) -> str:
        """What differs from exactly `broken` being critical; "" when nothing does."""
        service = {check["name"]: check["status"] for check in self.found if check["kind"] not in MACHINE}
        if broken:
            service = {name: status for name, status in service.items() if name not in FOLLOWS or status != "warning"}
        if not self.checks:
            return "the record has no checks"
        if service != dict.fromkeys(broken, "critical"):
            return f"expected {sorted(broken) or 'no'} findings, the record has {service}"
        exit_code = 2 if any(check["status"] in BAD for check in self.found) else 0
        return "" if self.exit_code == exit_code else f"exit code {self.exit_code} instead of {exit_code}"


class Clock:
    """One line per step, with the seconds since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def say(self, subject: str, text: str) -> None:
        print(f"{time.monotonic() - self.start:5.1f} s  {subject:<16} {text}", flush=True)


def environment() -> dict[str, str]:
    """The environment of the playbooks: the staged collection, a history of their own, nothing in the user's home."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RUNBOOK_", "NEXTRADE_"))}
    defaults = {
        "ANSIBLE_HOME": str(BUILD / "home/ansible"),
        "ANSIBLE_COLLECTIONS_PATH": f"{BUILD / 'stage'}{os.pathsep}{BUILD / 'collections'}",
        "ANSIBLE_CONFIG": str(STAGE / "ansible.cfg"),
    }
    return {
        **defaults, **inherited, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "true", "ANSIBLE_FORCE_COLOR": "false",
        "ANSIBLE_REMOTE_TMP": str(DEMO / "tmp"), "ANSIBLE_LOCAL_TEMP": str(DEMO / "tmp"),
        "RUNBOOK_HISTORY_DIR": str(HISTORY), "DEMO_STATE": str(STATE), "DEMO_PORT": (STATE / "nextrade.port").read_text().strip(),
    }


def stop(process: subprocess.Popen[Any], seconds: float = 10) -> None:
    """End a child and what it started; both lead a process group of their own."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def child(command: list[str], output: TextIO, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A child process that is gone when the block is left, however it is left."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True, **options)
    try:
        yield process
    finally:
        stop(process)


def health() -> dict[str, Any]:
    """The service's own answer to GET /health."""
    port = int((STATE / "nextrade.port").read_text())
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/health")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if condition():
                return
        time.sleep(0.05)
    raise DemoFailed(f"{what} within {seconds:.0f} s; see {DEMO / 'log'}")


@contextlib.contextmanager
def service(clock: Clock) -> Iterator[None]:
    """The trading service on a free port of loopback, until the block is left."""
    with open(DEMO / "log" / "service.log", "w", encoding="utf-8") as output:
        with child([sys.executable, str(SERVICE), "--state", str(STATE), "--port", "0"], output) as process:
            wait_until(lambda: health()["status"] == "healthy", "the trading service did not become healthy")
            clock.say("service", f"started, healthy: http://127.0.0.1:{(STATE / 'nextrade.port').read_text().strip()}/health")
            yield
            if process.poll() is not None:
                raise DemoFailed(f"the trading service ended by itself; see {DEMO / 'log' / 'service.log'}")
        clock.say("service", "stopped")


def fault(state: str, name: str) -> None:
    subprocess.run([sys.executable, str(SERVICE), "fault", state, name, "--state", str(STATE)], check=True, timeout=10)


def switch(clock: Clock, state: str) -> None:
    """All lasting faults on or off, and until the service shows it."""
    for name in FAULTS:
        fault(state, name)
    wait_until(lambda: health()["status"] == ("degraded" if state == "on" else "healthy"), f"the faults did not go {state}")
    time.sleep(1)  # the service looks after its stuck orders three times a second
    clock.say("faults", f"switched {state}: {', '.join(FAULTS)}")


def burst(clock: Clock) -> None:
    """Errors in the log, and none any more when this returns."""
    log = STATE / "logs" / "nextrade.log"
    fault("on", BURST)
    wait_until(lambda: errors_in(log) >= BURST_LINES, "the burst of errors did not come")
    fault("off", BURST)
    time.sleep(1)  # the service may be writing the last ones
    clock.say("faults", f"came and went: {BURST}, {errors_in(log)} lines in {log.name}")


def errors_in(log: Path) -> int:
    return log.read_text(encoding="utf-8").count(" - ERROR - ")


def play(clock: Clock, number: int, playbook: str, broken: set[str]) -> Run:
    """One playbook of the staged collection, its record read back, and judged."""
    before = reports()
    playbook, *arguments = playbook.split()
    log = DEMO / "log" / f"{number}.log"
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventories/nextrade", "-i", "inventories/demo",
               f"playbooks/{playbook}.yml", *arguments]
    with open(log, "w", encoding="utf-8") as output, child(command, output, cwd=STAGE, env=environment()) as process:
        try:
            exit_code = process.wait(120)
        except subprocess.TimeoutExpired as error:
            raise DemoFailed(f"{playbook} was not done after 120 s:\n{log.read_text(errors='replace')}") from error
    new = sorted(reports() - before)
    if len(new) != 1:
        raise DemoFailed(f"{playbook} left {len(new)} reports instead of one, exit code {exit_code}:\n{log.read_text(errors='replace')}")
    run = Run(playbook, exit_code, json.loads(new[0].read_text(encoding="utf-8")), new[0].with_suffix(".html"))
    tell(clock, run)
    problem = run.unexpected(broken) or ("" if run.html.is_file() else f"no report {run.html}")
    if problem:
        raise DemoFailed(f"{playbook}: {problem}\n{log.read_text(errors='replace')}")
    return run


def reports() -> set[Path]:
    return set((HISTORY / "reports").glob("*.json"))


def tell(clock: Clock, run: Run) -> None:
    findings = "no finding" if not run.found else "1 finding" if len(run.found) == 1 else f"{len(run.found)} findings"
    clock.say(run.playbook, f"{run.view['status']}, exit code {run.exit_code}: {len(run.checks)} checks, {findings}")
    for check in run.found:
        print(f"{'':26}{check['severity'] or '':2} {check['status']:<8} {check['name']}: {check['message']}", flush=True)


def conclude(good: list[Run], bad: Run, after: Run) -> None:
    print(f"""
{len(good) + 2} runs: {len(good)} while all was well, one with {len(FAULTS) + 1} faults, one after them. Each found what it should:
  before    {good[-1].view['status']}, exit code {good[-1].exit_code}
  faults    {bad.view['status']}, exit code {bad.exit_code} (2 is what a scheduler or AWX sees as failed)""")
    for check in bad.found:
        print(f"            {check['name']}: {check['message']}")
    print(f"""            new in the log, {bad.news[0]['count']} times: {bad.news[0]['text']}
  after     {after.view['status']}, exit code {after.exit_code}: mended, but limits on the last minutes still count the burst""")
    for check in after.found:
        print(f"            {check['name']}: {check['message']}")
    print(f"""
Open the report of the faults:  {bad.html}
and the one after them:         {after.html}
The history of all runs is in   {HISTORY}""")


def demo(clock: Clock) -> None:
    if not all((STAGE / "playbooks" / f"{name.split()[0]}.yml").is_file() for name in WELL):
        raise DemoFailed(f"no collection at {STAGE}; `make demo` puts it there")
    for folder in (DEMO / "log", DEMO / "tmp"):
        folder.mkdir(parents=True)
    with service(clock):
        good = [play(clock, number, playbook, set()) for number, playbook in enumerate(WELL, 1)]
        switch(clock, "on")
        burst(clock)
        bad = play(clock, len(good) + 1, "daily", BROKEN)
        if [found["count"] for found in bad.news] != [errors_in(STATE / "logs" / "nextrade.log")]:
            raise DemoFailed(f"the review should have found one new error, as often as the log has it: {bad.news}")
        switch(clock, "off")
        after = play(clock, len(good) + 2, "daily", LINGERING)
    conclude(good, bad, after)


def clear() -> None:
    """Remove the last demo's folder; a service that a killed demo left running in it is stopped first."""
    with contextlib.suppress(OSError, ValueError), open(STATE / "nextrade.pid", encoding="ascii") as pid_file:
        try:
            fcntl.flock(pid_file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # held: the number in it is that of the living service
            os.kill(int(pid_file.read()), signal.SIGTERM)
            fcntl.flock(pid_file, fcntl.LOCK_SH)
    shutil.rmtree(DEMO, ignore_errors=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that what was started is stopped
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
    clock = Clock()
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "demo.lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another demo is running in this checkout", file=sys.stderr)
            return 1
        clear()
        print("A small trading service, the shipped nextrade inventory, an overlay that points it here. About half a minute.\n", flush=True)
        try:
            demo(clock)
        except DemoFailed as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\ninterrupted; what was started is stopped", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
