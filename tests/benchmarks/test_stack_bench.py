# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily health of cli_trading, its real stack in containers, over ssh: in one pass, as one built-in task for each check, and as a plain script.

The script and the tasks only ask: none of them judges, keeps a deadline, or takes what the engine's statistics cost (two seconds a container).
"""
from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Remote, Rounds, evidence, run_rounds
from test_health_bench import playbook, quiet, version

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "molecule/cli_trading/files"
ROUNDS = 3
LATENCIES = {"0 ms": 0, "100 ms": 100}
IMAGES = ("POSTGRESQL", "REDIS", "JAVASCRIPT", "MONITORING", "EDGE")
SECRETS = {"vault_cli_trading_admin_token": "molecule-admin-token", "vault_cli_trading_database_password": "molecule-database-password"}


def output(command: list[str], **environment: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Stack:
    """The containers under this name, and a folder for what else the inventory names."""

    name: str
    folder: Path

    def compose(self, *arguments: str) -> None:
        output([os.environ["RUNBOOK_COMPOSE"], "--file", str(FILES / "compose.yml"), *arguments], STACK=self.name, RUNBOOK_CHECKOUT="bench")

    def volume(self, name: str) -> str:
        return output(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", f"{self.name}_{name}"]).strip()

    def address(self, service: str) -> str:
        shown = output(["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", f"{self.name}-{service}-1"])
        return shown.strip()

    def size(self) -> int:
        """How many containers run."""
        return len(output(["docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}"]).split())

    def slow(self, milliseconds: int) -> None:
        """Every agent answers that much later from now on."""
        Path(self.volume("logs"), "delay_ms").write_text(str(milliseconds), encoding="utf-8")

    def values(self) -> dict[str, Any]:
        """What the overlay over the shipped inventory says."""
        return {
            **SECRETS, "runbook_environment": "bench", "ansible_become": False, "cli_trading_project": self.name, "cli_trading_root": str(self.folder),
            "cli_trading_mount": "/", "cli_trading_log_dir": self.volume("logs"), "cli_trading_auth_log": str(self.folder / "auth.log"),
            "cli_trading_acme_store": f"{self.volume('traefik-letsencrypt')}/acme.json", "cli_trading_edge_host": self.address("traefik"),
            "cli_trading_edge_ca": f"{self.volume('traefik-letsencrypt')}/ca.pem", "health_checks_backup": [],
            "vault_cli_trading_backup_recipients": [], "ansible_python_interpreter": sys.executable,
        }  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    missing = [name for name in (*(f"RUNBOOK_{image}_IMAGE" for image in IMAGES), "RUNBOOK_COMPOSE") if name not in os.environ]
    if missing:
        pytest.fail(f"tools/pytest benchmarks exports {', '.join(missing)}")
    made = Stack(f"cli_trading-bench{os.getpid()}", tmp_path_factory.mktemp("stack"))
    (made.folder / "secrets").mkdir()
    (made.folder / "docker-compose.yml").write_bytes((FILES / "compose.yml").read_bytes())
    (made.folder / "secrets/admin_token").touch(0o600)
    (made.folder / "auth.log").write_text("2026-01-01T00:00:00+00:00 node sshd[1]: Accepted publickey\n", encoding="utf-8")
    for volume in ("logs", "traefik-letsencrypt"):
        output(["docker", "volume", "create", f"{made.name}_{volume}"])
    Path(made.volume("logs")).chmod(0o1777)
    output(["docker", "tag", os.environ["RUNBOOK_JAVASCRIPT_IMAGE"], f"{made.name}-agent:latest"])
    try:
        made.compose("up", "--detach", "--wait", "--wait-timeout", "180")
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "1")
        output(["docker", "volume", "rm", *(f"{made.name}_{volume}" for volume in ("logs", "traefik-letsencrypt"))])
        output(["docker", "image", "rm", f"{made.name}-agent:latest"])


@pytest.fixture(scope="module")
def inventory(stack: Stack, remote: Remote) -> list[str]:
    """The shipped inventory with one host more, which is reached over ssh."""
    written = yaml.safe_load(remote.inventory(stack.folder).read_text(encoding="utf-8"))
    host = {**written["all"]["hosts"]["remote"], **stack.values()}
    path = stack.folder / "bench.yml"
    path.write_text(yaml.safe_dump({"cli_trading": {"hosts": {"remote": host}}}), encoding="utf-8")
    return ["-i", str(ROOT / "inventories/cli_trading"), "-i", str(path), "--limit", "remote"]


COMPILED = "{{ query('vars', *(query('varnames', '^health_checks(_.+)?$') | sort)) | tradeops.runbook.compile_checks }}"


@pytest.fixture(scope="module")
def checks(stack: Stack, inventory: list[str]) -> list[dict[str, Any]]:
    """The checks as they go to the module."""
    target = stack.folder / "checks.json"
    task = {"name": "Show", "ansible.builtin.copy": {"content": COMPILED.replace(" }}", " | to_json }}"), "dest": str(target), "mode": "0600"}}
    ansible_run(inventory, playbook(stack.folder, "show", [task]))
    found: list[dict[str, Any]] = json.loads(target.read_text(encoding="utf-8"))
    return found


def ansible_run(inventory: list[str], book: Path) -> None:
    settings = book.parent / "ansible.cfg"
    settings.write_text("[connection]\npipelining = true\n", encoding="utf-8")
    quiet(["ansible-playbook", *inventory, str(book)], {**os.environ, "ANSIBLE_CONFIG": str(settings)})


def by_hand(check: dict[str, Any], stack: Stack) -> str:
    """The command that people type for a check of this kind: what it measures is asked for once, and thrown away."""
    kind = next(key for key in check if key in WAYS)
    return f"{WAYS[kind](check[kind] or {}, stack)} > /dev/null"


def request(options: dict[str, Any], stack: Stack) -> str:
    url = str(options["url"])
    if options.get("container"):
        address = stack.address(str(options["container"]).removeprefix(f"{stack.name}-").removesuffix("-1"))
        url = url.replace("127.0.0.1", address)
    headers = {**(options.get("headers") or {}), **(options.get("secret_headers") or {})}
    words = ["curl", "-sS", "-k", "-m", "30", *(word for name, value in headers.items() for word in ("-H", f"{name}: {value}")), url]
    return shlex.join(words)


def prometheus(options: dict[str, Any], stack: Stack) -> str:
    asked = request({**options, "url": f"{options['url']}/api/v1/{'query' if options.get('query') else 'targets'}"}, stack)
    return f"{asked} -G --data-urlencode {shlex.quote('query=' + options['query'])}" if options.get("query") else asked


def containers(options: dict[str, Any], stack: Stack) -> str:
    names = [f"{stack.name}-{service}-1" for service in options.get("services") or ()]
    return f"docker inspect {' '.join(names)}" if names else f"docker ps -aq --filter label=com.docker.compose.project={stack.name} | xargs docker inspect"


def redis(options: dict[str, Any], stack: Stack) -> str:
    ask = f"redis-cli -h {stack.address('redis')}"
    if options.get("get"):
        return f"{ask} hget {next(iter(options['get'].values()))['key']} halted"
    return f"{ask} set runbook:bench 1 ex 5" if options.get("write_test") else f"{ask} info"


def sql(options: dict[str, Any], stack: Stack) -> str:
    query = options.get("query", "select * from pg_stat_database, pg_stat_activity")
    login = f"PGPASSWORD={SECRETS['vault_cli_trading_database_password']} psql -h {stack.address('postgres')} -U trader -d trading -XAtc"
    return f"{login} {shlex.quote(query)}"


def tls(options: dict[str, Any], stack: Stack) -> str:
    if options.get("acme_path"):
        return f"jq -r .le.Certificates[].certificate {options['acme_path']} | base64 -d | openssl x509 -noout -enddate"
    shown = f"openssl s_client -connect {options['host']}:{options['port']} -servername {options['server_name']}"
    return f"{shown} < /dev/null 2> /dev/null | openssl x509 -noout -enddate"


def log(options: dict[str, Any], stack: Stack) -> str:
    pattern = next(iter((options.get("patterns") or {}).values()), "")
    return f"{{ grep -cP {shlex.quote(pattern)} {' '.join(options['files'])} || true; }}"


WAYS: dict[str, Any] = {
    "http": request, "prometheus": prometheus, "container": containers, "redis": redis, "sql": sql, "postgresql": sql, "tls": tls, "log": log,
    "alertmanager": lambda options, stack: request({**options, "url": f"{options['url']}/api/v2/alerts"}, stack),
    "host": lambda options, stack: f"df {options['mount']}" if options.get("mount") else "free",
    "file": lambda options, stack: f"stat {options['path']}",
}  # fmt: skip


def task(number: int, check: dict[str, Any], stack: Stack) -> dict[str, Any]:
    """The same question as a task of its own, by a built-in module."""
    name = {"name": f"Check {number}"}
    if "file" in check:
        return {**name, "ansible.builtin.stat": {"path": check["file"]["path"], "get_checksum": False}}
    if "http" in check:
        words = shlex.split(request(check["http"], stack))
        headers = dict(word.split(": ", 1) for flag, word in zip(words, words[1:]) if flag == "-H")
        return {**name, "ansible.builtin.uri": {"url": words[-1], "headers": headers, "validate_certs": False, "follow_redirects": "none",
                                                "status_code": [200, 302, 401, 403]}}  # fmt: skip
    return {**name, "ansible.builtin.shell": {"cmd": by_hand(check, stack), "executable": "/bin/bash"}}


@pytest.fixture(scope="module")
def measured() -> dict[str, Rounds]:
    return {}


@pytest.mark.parametrize("latency", LATENCIES)
def test_the_daily_health_in_one_pass(
    latency: str, stack: Stack, inventory: list[str], checks: list[dict[str, Any]], remote: Remote, measured: dict[str, Rounds]
) -> None:
    assert len(checks) >= 70
    stack.slow(LATENCIES[latency])
    time.sleep(1)
    folder = stack.folder
    one = [{"name": "Check", "tradeops.runbook.health_check_info": {"connections": "{{ health_connections }}", "checks": COMPILED}}]
    pass_book, tasks_book = playbook(folder, "one", one), playbook(folder, "many", [task(number, check, stack) for number, check in enumerate(checks)])
    script = "set -e\n" + "\n".join(by_hand(check, stack) for check in checks) + "\n"
    whole = {**os.environ, "RUNBOOK_HISTORY_DIR": str(folder / "history"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    contenders = {
        "one pass": lambda: ansible_run(inventory, pass_book),
        "built-in tasks": lambda: ansible_run(inventory, tasks_book),
        "script": lambda: quiet(["ssh", *remote.options(), "127.0.0.1", f"bash -c {shlex.quote(script)}"]),
        "playbook health": lambda: quiet(["ansible-playbook", *inventory, str(ROOT / "playbooks/health.yml"), "-e", "runbook_fail_on=never"], whole),
    }
    measured[latency] = run_rounds(contenders, ROUNDS)


def test_table_is_written(measured: dict[str, Rounds], checks: list[dict[str, Any]], stack: Stack) -> None:
    assert len(measured) == len(LATENCIES)
    kinds: dict[str, int] = {}
    for check in checks:
        kind = next(key for key in check if key in WAYS)
        kinds[kind] = kinds.get(kind, 0) + 1
    lines = [
        "# The daily health of cli_trading",
        "",
        f"{len(checks)} checks ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}) of the real stack",
        f"in {stack.size()} containers, over ssh.",
        "Wall time of one call of `health_check_info` relative to one built-in task for each check, to a plain script with one command of curl, docker,",
        "psql, redis-cli, openssl, df, stat or grep for each, and of the whole playbook `health` (with history, judgement, record and report) relative to",
        f"these; median (smallest to largest) of {ROUNDS} paired runs. Below 1 ours is faster. Tasks and script only ask and throw the answer away; they do",
        "not measure memory and processor of the containers, which the engine's statistics take two seconds each for. The script starts no Ansible.",
        f"ansible-core {version()}, Python {platform.python_version()}, {os.cpu_count()} processors, sshd on loopback. Made by `make bench`.",
        "",
        "| Compared | " + " | ".join(f"agents answer after {latency}" for latency in measured) + " |",
        "|---|" + "---:|" * len(measured),
    ]
    for ours, other in (("one pass", "built-in tasks"), ("one pass", "script"), ("playbook health", "built-in tasks"), ("playbook health", "script")):
        ratios = [rounds.ratio(ours, other) for rounds in measured.values()]
        lines.append(f"| {ours} / {other} | " + " | ".join(f"{median:.3f} ({low:.3f} to {high:.3f})" for median, low, high in ratios) + " |")
    evidence("bench-stack.md", "\n".join(lines) + "\n")
    assert all(rounds.ratio("one pass", "built-in tasks")[0] <= 0.1 for rounds in measured.values())
    assert measured["100 ms"].ratio("one pass", "script")[0] < 1
