#!/usr/bin/python
# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure and judge many things on a host in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_check_info
short_description: Measure and judge many things on a host in one round trip
version_added: 0.1.0
description:
  - Runs a list of checks in parallel on the managed node, each of one kind (the key of the check says which), and holds what they
    measure against limits.
  - A target that refuses, hangs or answers wrongly is C(critical). A probe that could not measure is C(unknown), which is never
    green. A bad verdict is data; the module itself fails only when its arguments make no sense.
  - Writes nothing. The write test of an SQLite database takes the write lock and rolls back; the one of Redis, which has to be asked for, writes
    a key that ends by itself. In check mode both are left out.
author:
  - tradeops.runbook contributors (@tradeops)
extends_documentation_fragment:
  - tradeops.runbook.checks
options:
  deadline_seconds:
    description: Seconds the whole call may take; what has not finished by then is C(unknown).
    type: float
    default: 60.0
  max_parallel:
    description:
      - How many checks run at the same time. Checks with a limit on their latency run four at a time, after the others.
      - One that only waits, for a sample of processor time or for its next attempt, does not count any more.
    type: int
    default: 8
attributes:
  check_mode:
    description: Can run in check mode and gives the same result, without write tests.
    support: full
  diff_mode:
    description: Nothing is ever changed.
    support: none
requirements:
  - python3-jmespath on the managed node for O(checks[].http.read)
  - python3-cryptography on the managed node for O(checks[].tls)
  - python3-psycopg2 on the managed node for connections to PostgreSQL
  - python3-redis on the managed node for connections to Redis
seealso:
  - plugin: tradeops.runbook.compile_checks
    plugin_type: filter
  - plugin: tradeops.runbook.judge_checks
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Check a trading service and its database
  tradeops.runbook.health_check_info:
    connections:
      orders: {path: /opt/nextrade/data/trading_orders.db}
    checks:
      - name: api answers
        http:
          url: http://127.0.0.1:8000/health
          timeout_seconds: 5
          read: {status: status, last_trade: last_trade}
        limits:
          status: {critical: "not in [healthy]"}
          last_trade.age: {warning: "> 1 h", critical: "> 4 h"}
          latency: {warning: "> 1.5 x baseline", critical: "> 30 s"}
      - name: wrong key is refused
        http: {url: "http://127.0.0.1:8000/admin/status", headers: {X-API-KEY: invalid}, expect_refused: true}
      - name: stuck orders
        sql: {connection: orders, query: "select count(*) from orders where status = 'pending'"}
        limits: {value: {critical: "> 10", severity: P1}}
      - name: root disk
        host: {mount: /}
        limits: {disk_used_percent: {warning: "> 80 %", critical: "> 90 %"}}
  register: health
"""

RETURN = r"""
status:
  description: The worst verdict of all checks, one of C(ok), C(skipped), C(warning), C(unknown), C(critical).
  type: str
  returned: success
summary:
  description: One line that counts the verdicts.
  type: str
  returned: success
measured_at:
  description: When the call started (UTC, RFC 3339).
  type: str
  returned: success
duration_seconds:
  description: How long the call took.
  type: float
  returned: success
checks:
  description:
    - One entry per check, in the order given, with C(name), C(kind), C(status), C(severity) (P1 to P4, or null), C(message), C(hint),
      C(measures) (name to value), C(units) (name to unit, durations in s, sizes in B), C(limits) (each with measure, level, limit,
      severity, for_seconds, state and reason), C(notes), C(muted), C(attempts) and C(duration_seconds).
  type: list
  elements: dict
  returned: success
  sample:
    - name: root disk
      kind: host
      status: warning
      severity: P3
      message: "disk_used_percent is 84.1 % (warning: > 80 %)"
      measures: {disk_used_percent: 84.1}
      units: {disk_used_percent: percent}
"""

from ansible_collections.tradeops.runbook.plugins.module_utils._module.data_kinds import CONNECTION
from ansible_collections.tradeops.runbook.plugins.module_utils._module.health import check_health
from ansible_collections.tradeops.runbook.plugins.module_utils._module.kinds import CHECKS, CONNECTIONS
from ansible_collections.tradeops.runbook.plugins.module_utils._module.runbook_module import RunbookModule, run


def main() -> None:
    """Entry point of the module."""
    module = RunbookModule(
        argument_spec={
            "connections": CONNECTIONS,
            "checks": CHECKS,
            "deadline_seconds": {"type": "float", "default": 60.0},
            "max_parallel": {"type": "int", "default": 8},
        },
        named={"connections": CONNECTION},
        supports_check_mode=True,
    )
    run(module, lambda: check_health(module.params, module.check_mode))


if __name__ == "__main__":
    main()
