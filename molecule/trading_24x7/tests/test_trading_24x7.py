# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped runbook on the stack of trading_24x7."""
from __future__ import annotations

from faults import BATCHES, EVERY, PRELUDE, SETTLED
from stack_tests import StackTests

MINE = '--filter "label=tradeops.runbook.checkout=$RUNBOOK_CHECKOUT" --filter "name=$STACK"'


class TestTrading24x7(StackTests):
    """A service, Redis, and what is around them."""

    system, prelude, settled = "trading_24x7", PRELUDE, SETTLED
    every, batches = EVERY, BATCHES
    fewest, stale, in_session = 40, "the last trade is days old", "last trade in the session"
    still = ("on app still; sleep 4", "off app still")  # the service itself writes all the time
    snapshots = {
        "files": "node \"find / /opt/trading-24x7 -xdev '(' -path /tmp -o -path /var/tmp -o -path /root/.ansible ')' -prune -o"
                 " -type f -printf '%p %s %m %U %T@\\n' | sort\"",  # where a module is unpacked is left out
        "redis": "at redis 'redis-cli keys \"*\" | sort | while read -r key; do echo \"$key\"; redis-cli dump \"$key\" | sha256sum; done;"
                 " redis-cli info persistence | grep -E \"changes_since|last_save_time\"'",
        "containers": f"docker ps --all --quiet --no-trunc {MINE} | sort | xargs docker inspect --format"
                      " '{{.Name}} {{.Image}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{json .Config}} {{json .HostConfig}}'",
        "volumes and networks": "docker volume ls --quiet --filter name=$STACK | sort; docker network ls --quiet --no-trunc --filter name=$STACK | sort",
    }  # fmt: skip
