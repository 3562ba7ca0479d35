"""Run the tiers of `make test` in two lanes and sum them up.

Ends with one line `N passed, N failed, N skipped`: every test of a tier that writes JUnit files counts, any other tier
counts as one. The exit status is 1 if anything failed.
"""
from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from junit import cases

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
NOT_RUN = 77  # as in tools/env
TAIL_LINES = 60
LINE = 600  # of a failure in the summary; all of it stands above
WITH_ANSIBLE = [
    *(f"tests/unit/plugins/{folder}/" for folder in ("action", "callback", "filter", "lookup", "modules")),
    *(f"tests/unit/plugins/module_utils/test_{name}.py" for name in ("runbook_module", "hints", "health", "kinds")),
]
_DAILY = ("a_clean_service_is_well", "an_unreachable_host_is_unknown_and_the_others_are_checked", "a_limit_without_localhost_changes_nothing",
          "verify_and_remove_end_the_tour")  # fmt: skip
AGAIN = [
    "tests/integration/test_record.py",
    *(f"tests/integration/test_daily.py::test_{name}" for name in _DAILY),
    "tests/integration/test_backups.py::test_a_restore_is_planned_confirmed_done_and_taken_back",
]
LANES = 2
TIER_SECONDS = 1800  # a tier that hangs must not hang the whole run


@dataclass
class Tier:
    """One command on one ansible-core, and what became of it."""

    name: str
    core: str
    command: list[str]
    writes_junit: bool
    result: str = "not run"
    reason: str = ""
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: {"passed": 0, "failed": 0, "skipped": 0})
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """How it is called in the output."""
        return f"{self.name} on {self.core}"

    @property
    def log(self) -> Path:
        """Everything the command printed."""
        return BUILD / "log" / f"{self.name}-{self.core}.log"

    @property
    def junit(self) -> Path:
        """Where the command leaves its JUnit files, if it writes any."""
        return BUILD / "results" / self.core / self.name

    def log_lines(self) -> list[str]:
        """The log, without the blank lines at its end."""
        return self.log.read_text(errors="replace").rstrip().splitlines() or ["it printed nothing"]


def tier(name: str, core: str, *command: str) -> Tier:
    """A tier run by the script of its name, unless another command is given."""
    first, *rest = command or (name,)
    return Tier(name, core, [str(ROOT / "tools" / first), *rest], writes_junit=name != "lint")


def in_order(cores: list[str]) -> list[Tier]:
    """What two lanes, one for each processor, take from in turn: long ones early, so that both end at about the same time.

    Those of `ansible-test`, which wait for each other (tools/env), come where one lane takes them one after the other.

    Every core beyond the first runs only the tests in which Ansible takes part, and of the playbooks those that use all of it (AGAIN).
    """
    main_core, *others = cores
    first = [
        tier("molecule", main_core),
        tier("lint", main_core),
        tier("sanity", main_core),
        tier("unit", main_core),
        tier("integration", main_core, "pytest", "integration"),
        tier("unit-nodes", main_core, "unit", "nodes"),
        tier("servers", main_core, "pytest", "servers"),
        tier("faults", main_core, "pytest", "faults"),
    ]
    again = [[tier("unit", core, "unit", *WITH_ANSIBLE), tier("integration", core, "pytest", "integration", *AGAIN)] for core in others]
    return [*first, *(one for of_core in again for one in of_core)]


def judge(one: Tier, status: int) -> None:
    """Fill in result and counts from the exit status and the JUnit files."""
    for case in cases(one.junit):
        one.counts[case.result] += 1
        if case.result == "failed":
            one.failures.append(f"{case.name}: {case.reason}")
        elif case.result == "skipped":
            one.skips.append(f"{case.name}: {case.reason}")
    ran = any(one.counts.values())
    if status == NOT_RUN or (status == 0 and one.writes_junit and not ran):
        one.result, one.reason = "skipped", one.log_lines()[-1]
        one.counts["skipped"] += 1
    elif status == 0 and not one.failures:
        one.result = "passed"
        one.counts["passed"] += not ran
    else:
        one.result = "failed"
        one.failures = one.failures or [f"exit status {status}: {one.log_lines()[-1]}"]
        one.counts["failed"] = len(one.failures)


class Runner:
    """Runs tiers in lanes; an interrupt ends what runs and starts nothing more."""

    def __init__(self) -> None:
        self.printing = threading.Lock()
        self.stopping = threading.Event()
        self.running: set[subprocess.Popen[bytes]] = set()
        self.environment = {**os.environ, "STAGED": "yes"}  # edits made meanwhile do not reach a running test

    def stop(self) -> None:
        """End the processes of every running tier; they clean up after themselves."""
        self.stopping.set()
        for process in list(self.running):
            os.killpg(process.pid, signal.SIGTERM)

    def execute(self, one: Tier) -> int:
        """Run the command into its log, as a process group of its own."""
        for old in one.junit.glob("*.xml"):
            old.unlink()
        with one.log.open("wb") as log:
            process = subprocess.Popen(one.command, env={**self.environment, "CORE": one.core}, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            self.running.add(process)
            try:
                return process.wait(TIER_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                log.write(f"ended after {TIER_SECONDS} s\n".encode())
                return process.wait() or 1
            finally:
                self.running.discard(process)

    def report(self, one: Tier) -> None:
        """One line, and what is needed to understand a failure."""
        with self.printing:
            print(f"  {one.result:8} {one.title}, {one.seconds:.0f} s {one.reason}", flush=True)
            if one.result == "failed":
                print(*(f"    | {line}" for line in one.log_lines()[-TAIL_LINES:]), *(f"    {failure}" for failure in one.failures),
                      f"    all of it: {one.log}", sep="\n", flush=True)

    def lane(self, waiting: queue.SimpleQueue[Tier]) -> None:
        """Run one tier after the other, as long as any waits."""
        while not self.stopping.is_set():
            try:
                one = waiting.get_nowait()
            except queue.Empty:
                return
            with self.printing:
                print(f"  start    {one.title}", flush=True)
            began = time.monotonic()
            judge(one, self.execute(one))
            one.seconds = time.monotonic() - began
            self.report(one)

    def run(self, tiers: list[Tier]) -> None:
        """Run all of them in two lanes side by side."""
        waiting: queue.SimpleQueue[Tier] = queue.SimpleQueue()
        for one in tiers:
            waiting.put(one)
        threads = [threading.Thread(target=self.lane, args=(waiting,)) for _lane in range(LANES)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self.stop()
            for thread in threads:
                thread.join()


def usable_cores() -> tuple[list[str], list[str]]:
    """The cores to test, the main one first, and why any other is left out."""
    chosen = os.environ.get("CORE")
    cores, notes = [], []
    for core in [chosen] if chosen else ["2.21", "2.19"]:
        made = subprocess.run([str(ROOT / "tools/venv"), core], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        sys.stdout.write(made.stdout)
        if made.returncode == 0:
            cores.append(core)
        else:
            notes.append(f"ansible-core {core} is not tested here: {made.stdout.strip().splitlines()[-1]}")
    return cores, notes


def summary(tiers: list[Tier], notes: list[str]) -> bool:
    """Print the table, every reason for something left out, and the last line; say whether all is well."""
    print(f"\n{'tier':14} {'core':6} {'result':8} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}")
    total = {"passed": 0, "failed": 0, "skipped": len(notes)}
    for one in tiers:
        print(f"{one.name:14} {one.core:6} {one.result:8} {one.counts['passed']:7} {one.counts['failed']:7} "
              f"{one.counts['skipped']:8} {one.seconds:8.0f}  {one.reason}".rstrip())
        for result, number in one.counts.items():
            total[result] += number
    left_out = [f"skipped: {one.title}: {skip}" for one in tiers for skip in one.skips]
    wrong = [f"failed: {one.title}: {failure}"[:LINE] for one in tiers for failure in one.failures]
    for note in [*notes, *left_out, *wrong]:
        print(note)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return total["failed"] == 0 and all(one.result != "not run" for one in tiers)


def interrupt(*_signal: object) -> None:
    """Treat a request to end like Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Prepare, run all tiers, sum up."""
    (BUILD / "log").mkdir(parents=True, exist_ok=True)
    cores, notes = usable_cores()
    if not cores:
        print(*notes, "0 passed, 1 failed, 0 skipped", sep="\n")
        return 1
    python = BUILD / f"venv-{cores[0]}" / "bin/python"
    subprocess.run([str(python), str(ROOT / "tools/stage.py")], check=True)
    signal.signal(signal.SIGTERM, interrupt)
    tiers = in_order(cores)
    Runner().run(tiers)
    return 0 if summary(tiers, notes) else 1


if __name__ == "__main__":
    sys.exit(main())
