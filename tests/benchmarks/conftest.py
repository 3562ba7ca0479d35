# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host reached over ssh on loopback, an HTTP endpoint with a latency of one's choice, and a table of paired ratios."""
from __future__ import annotations

import getpass
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.tradeops.runbook.tests.support.ports import free_port

ENDPOINT = """
import asyncio, sys
delay = float(sys.argv[1])
async def serve(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        await asyncio.sleep(delay)
        body = b'{"status": "healthy"}'
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s" % (len(body), body))
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[2]), backlog=512)
    async with server:
        await server.serve_forever()
asyncio.run(main())
"""


def wait_for(port: int) -> None:
    for _attempt in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


@dataclass(frozen=True)
class Remote:
    """An ssh server on loopback for this user alone."""

    port: int
    key: Path

    def options(self) -> list[str]:
        quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return ["-i", str(self.key), "-p", str(self.port), *quiet]

    def inventory(self, folder: Path) -> Path:
        path = folder / "hosts.yml"
        common = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        values = {
            "ansible_host": "127.0.0.1", "ansible_port": str(self.port), "ansible_user": getpass.getuser(),
            "ansible_ssh_private_key_file": str(self.key), "ansible_python_interpreter": "/usr/bin/python3", "ansible_ssh_common_args": f'"{common}"',
        }  # fmt: skip
        lines = "".join(f"      {name}: {value}\n" for name, value in values.items())
        path.write_text(f"all:\n  hosts:\n    remote:\n{lines}", encoding="utf-8")
        return path


@pytest.fixture(scope="session")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    if not os.path.exists("/usr/sbin/sshd"):
        pytest.fail("the benchmark needs openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
    port = free_port()
    settings = [
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/host", f"AuthorizedKeysFile {folder}/authorized", f"PidFile {folder}/pid",
        "StrictModes no", "UsePAM no", "PasswordAuthentication no", "Subsystem sftp internal-sftp", "MaxStartups 100",
    ]  # fmt: skip
    (folder / "config").write_text("\n".join(settings) + "\n", encoding="utf-8")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")], stderr=(folder / "log").open("w"))
    try:
        wait_for(port)
        yield Remote(port, folder / "user")
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def endpoint() -> Iterator[Callable[[float], int]]:
    """Starts an HTTP server whose answers take so many seconds; its port."""
    servers: list[subprocess.Popen[bytes]] = []

    def start(delay: float) -> int:
        port = free_port()
        servers.append(subprocess.Popen([sys.executable, "-c", ENDPOINT, str(delay), str(port)]))
        wait_for(port)
        return port

    yield start
    for server in servers:
        server.terminate()
        server.wait(10)


@dataclass(frozen=True)
class Rounds:
    """Wall times of several contenders, each run once per round, so that a noisy moment hits all of them."""

    seconds: Mapping[str, list[float]]

    def ratio(self, one: str, other: str) -> tuple[float, float, float]:
        """Median, smallest and largest of the paired ratios of two contenders."""
        pairs = [a / b for a, b in zip(self.seconds[one], self.seconds[other], strict=True)]
        return statistics.median(pairs), min(pairs), max(pairs)


def run_rounds(contenders: Mapping[str, Callable[[], None]], rounds: int) -> Rounds:
    """One unmeasured round, then ``rounds`` measured ones, in alternating order."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        order = list(contenders.items())
        for name, contender in order if number % 2 else reversed(order):
            started = time.monotonic()
            contender()
            if number:
                seconds[name].append(time.monotonic() - started)
    return Rounds(seconds)


def evidence(name: str, text: str) -> None:
    """Keep a generated table where RUNBOOK_EVIDENCE_DIR says, and show it."""
    print(f"\n{text}")
    folder = os.environ.get("RUNBOOK_EVIDENCE_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_text(text, encoding="utf-8")
