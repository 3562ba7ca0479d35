# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped runbook on the stack of cli_trading."""
from __future__ import annotations

from pathlib import Path

from faults import BATCHES, EVERY, PRELUDE, SETTLED
from stack import Stack
from stack_tests import StackTests

CONTAINERS = r"""
docker ps --all --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.State}}' --filter "name=$STACK" | sort
about='{{.Name}} {{.RestartCount}} {{json .Config}} {{json .HostConfig}} {{.State.StartedAt}}'
docker ps --all --quiet --filter "name=^$STACK-" | xargs docker inspect --format "$about" | sort
docker network ls --quiet --filter "name=$STACK" | sort; docker volume ls --quiet --filter "name=$STACK" | sort
"""
FILES = r"""
node 'find /opt/cli-trading /root/identity /etc -xdev -not -path "*/logs/*" -type f -exec sha256sum {} + | sort'
node 'find /opt/cli-trading -xdev -printf "%p %m %u %T@\n" | grep -v /logs | sort'
"""


class TestCliTrading(StackTests):
    """Eight agents, PostgreSQL, Redis, monitoring and an edge."""

    system, prelude, settled = "cli_trading", PRELUDE, SETTLED
    every, batches = EVERY, BATCHES
    fewest, stale, in_session = 80, "stale last trade", "last trade in the session"
    snapshots = {
        "containers": CONTAINERS,
        "files": FILES,
        "database": "docker exec --user postgres $STACK-postgres-1 pg_dump --no-owner trading | grep -v '^.\\(un\\)\\?restrict ' | sha256sum",
        "redis": "docker_redis --scan | sort | while read -r key; do echo $key; docker_redis dump $key | sha256sum; done",
    }  # fmt: skip

    def test_measures_agree_with_plain_tools(self, stack: Stack, tmp_path: Path) -> None:
        measures = {name: found["measures"] for name, found in stack.play(tmp_path).checks.items()}
        used = int(stack.shell("node 'df --output=pcent /opt/cli-trading | tail -1 | tr -dc 0-9'"))
        assert abs(measures["disk of the application"]["disk_used_percent"] - used) <= 1.5
        assert measures["profit and loss of today"]["realized"] == 2.5
        told = stack.shell("told \"select count(*) from pnl_days where date >= (now() at time zone 'utc')::date - 1\"")
        assert measures["profit and loss is written down"]["days"] == int(told)
        ended = stack.shell("at traefik 'date -d \"$(openssl x509 -in /letsencrypt/good.pem -noout -enddate | cut -d= -f2)\" +%s'; date +%s").split()
        assert abs(measures["certificate of the edge"]["expires_in"] - (int(ended[0]) - int(ended[1]))) < 120
        assert measures["redis"]["keys"] == int(stack.shell("docker_redis dbsize").split()[-1])
        assert measures["containers have limits"]["count"] == 16
