# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on cli_trading: how each fault is made with plain tools, and the check, verdict and severity that the shipped inventory gives it."""
from __future__ import annotations

from typing import Any

from stack import ANY, Fault

PRELUDE = r"""
at() { docker exec --user "${3:-0}" "$STACK-$1-1" bash -c "$2"; }
node() { docker exec "$NODE" bash -c "$1"; }
docker_redis() { docker exec "$STACK-redis-1" redis-cli "$@"; }
redis() { docker exec "$STACK-redis-1" redis-cli "$@" > /dev/null; }
sql() { docker exec "$STACK-postgres-1" psql -U trader -d trading -qXc "$1"; }
age() { sql "update trades set created_at = created_at $1 interval '5 days'"; sql "vacuum trades"; }
told() { docker exec "$STACK-postgres-1" psql -U trader -d trading -XAtc "$1"; }
hold() { docker exec --detach --env PGAPPNAME=stuck "$STACK-postgres-1" psql -U trader -d trading -c "begin; lock table migrations; $1"; }
start() { docker start "$STACK-$1-1"; }
stop() { docker stop --time 3 "$STACK-$1-1"; }
until_so() { for _ in $(seq 150); do if eval "$1" > /dev/null 2>&1; then return; fi; sleep 0.2; done; echo "never: $1"; return 1; }
amtool() { docker exec "$STACK-alertmanager-1" amtool --alertmanager.url=http://127.0.0.1:9093 "$@"; }
serve() { at traefik "cd /letsencrypt; cp $1.pem served.pem; cp $1.key served.key; nginx -c /app/nginx.conf -s reload"; }
forget() { node "for log in /opt/cli-trading/logs/$1.log; do sed '/$2/d' \$log > /root/kept; cat /root/kept > \$log; done"; } # the writer has it open
empty() { until_so "node 'truncate --size 0 /opt/cli-trading/logs/$1.log; sleep 1; test \$(stat --format %s /opt/cli-trading/logs/$1.log) -lt 100000'"; }
saved() { until_so "docker_redis info persistence | grep rdb_last_bgsave_status:$1"; }
state() { docker inspect --format "$2" "$STACK-$1-1"; }
ask() { docker exec "$STACK-prometheus-1" promtool query instant http://127.0.0.1:9090 "$1"; }
admin() { at orchestrator "node -e \"fetch('http://127.0.0.1:7001/admin/orchestrate/$1', {method: 'POST', body: '{\\\"reason\\\": \\\"test\\\"}',
  headers: {'X-Admin-Token': process.env.ADMIN_TOKEN, 'Content-Type': 'application/json'}}).then((answer) => process.exit(answer.status === 200 ? 0 : 1))\""; }
"""

SETTLED = r"""
sql 'vacuum trades'
until_so 'test "$(docker ps --filter "name=^$STACK-" --filter health=healthy --quiet | wc -l)" = 8'
until_so 'ask "count(up == 1)" | grep -q "=> 9 "'
until_so 'ask "max(stream_pending_count) < 1" | grep -q "=> 0 "'
until_so 'amtool alert query alertname=Watchdog | grep -q Watchdog'
"""


def fault(check: str, grade: str, on: str, off: str, *also: str, **more: Any) -> Fault:
    """One that a single check must find; ``grade`` is its status and severity."""
    status, severity = grade.split()
    return Fault(on, off, {check: (status, severity)}, also, **more)


METRICS = ("prometheus", "every agent is watched")


def agent(name: str) -> tuple[str, ...]:
    """What cannot be well while an agent does not run."""
    return (f"agent {name} answers", f"metrics of {name}", *METRICS)


BACKUPS = ("backup of the trading database", "backup of Redis", "backup of the configuration", "backup of the secrets", "backup of the logs")

CONTAINERS = {
    "stopped agent": fault("container market-analyst", "critical P2", "stop market-analyst", "start market-analyst",
                           *agent("market-analyst")),
    "unhealthy container": fault(
        "container portfolio-manager", "critical P2",
        "at portfolio-manager 'touch /tmp/unhealthy'; until_so 'state portfolio-manager {{.State.Health.Status}} | grep -x unhealthy'",
        "at portfolio-manager 'rm -f /tmp/unhealthy'", "agent portfolio-manager answers"),
    "restart loop": fault(
        "container notification-manager", "critical P2",
        "at notification-manager 'touch /logs/crash.notification-manager'; docker kill --signal KILL $STACK-notification-manager-1; "
        "start notification-manager; until_so 'test $(state notification-manager {{.RestartCount}}) -ge 2'",
        "node 'rm -f /opt/cli-trading/logs/crash.*'; docker compose up --detach --no-deps --force-recreate notification-manager; "
        "forget notification-manager fatal",
        *agent("notification-manager"), "errors of 5 minutes", "application logs"),
    "missing container": fault("container loki", "critical P3", "docker rm --force $STACK-loki-1", "docker compose up --detach --no-deps loki", "loki"),
    "container without limits": fault(
        "containers have limits", "warning P3",
        "docker run --detach --name $STACK-extra-1 --label com.docker.compose.project=$STACK --label tradeops.runbook.checkout=$RUNBOOK_CHECKOUT "
        "$STACK-agent:latest sleep infinity", "docker rm --force $STACK-extra-1"),
    "image drifted": fault(
        "containers run what their tags mean", "warning P4",
        "docker tag $RUNBOOK_EDGE_IMAGE $STACK-agent:latest", "docker tag $RUNBOOK_JAVASCRIPT_IMAGE $STACK-agent:latest",
        "containers run the released images"),
    "wrong token accepted": fault("wrong token is refused", "critical P1", "at orchestrator 'touch /tmp/open'", "at orchestrator 'rm -f /tmp/open'",
                                  "no token is refused"),
    "null profit and loss": fault("profit and loss of today", "unknown P1",
                                  "at orchestrator 'touch /tmp/null_pnl'", "at orchestrator 'rm -f /tmp/null_pnl'"),
    "degraded agent": fault("agent risk-manager answers", "warning P3", "at risk-manager 'touch /tmp/degraded'", "at risk-manager 'rm -f /tmp/degraded'"),
    "tools disconnected": fault("hub is connected to its tools", "warning P3", "at mcp-hub-controller 'touch /tmp/disconnected'",
                                "at mcp-hub-controller 'rm -f /tmp/disconnected'"),
    "evicting Redis": fault("redis", "critical P1", "redis config set maxmemory 100mb; redis config set maxmemory-policy allkeys-lru",
                            "redis config set maxmemory 0; redis config set maxmemory-policy noeviction"),
}  # fmt: skip

DATA = {
    "failed save of Redis": fault(
        "redis", "critical P1",
        "at redis 'chmod 0555 /data'; redis set fault 1; redis bgsave; saved err",
        "at redis 'chmod 0755 /data'; redis bgsave; saved ok; redis del fault", "agent orchestrator answers"),
    "stale last trade": fault("last trade", "critical P2", "age -", "age +"),
    "stuck order": fault(
        "orders are not stuck", "critical P2",
        "sql \"insert into trades (symbol, side, quantity, status, created_at) values ('STUCK', 'buy', 1, 'pending', now() - interval '2 hours')\"",
        "sql \"delete from trades where symbol = 'STUCK'\""),
    "unknown profit": fault(
        "profits are known", "critical P2",
        "sql \"insert into trades (symbol, side, quantity, status, created_at) values ('NULL', 'buy', 1, 'filled', now() - interval '9 days')\"",
        "sql \"delete from trades where symbol = 'NULL'\""),
    "critical event": fault(
        "audit has no critical events", "warning P3", "sql \"insert into audit_events (ts, type, severity) values (now(), 'fault', 'critical')\"",
        "sql \"delete from audit_events where type = 'fault'\""),
    "profit and loss not written": fault(
        "profit and loss is written down", "critical P2", "sql \"update pnl_days set date = date - 400\"", "sql \"update pnl_days set date = date + 400\""),
    "log flood": fault("log volume", "warning P4", "at trade-executor 'touch /tmp/flood'; sleep 4",
                       "at trade-executor 'rm -f /tmp/flood'; empty trade-executor"),
    "empty answer of Prometheus": fault("orders of the night", "unknown P3", "at orchestrator 'touch /tmp/no_orders'; sleep 3",
                                        "at orchestrator 'rm -f /tmp/no_orders'; until_so 'ask trading_orders_total | grep -q =\\>'",
                                        "metrics of orchestrator"),
}  # fmt: skip

OUTSIDE = {
    "full disk": fault("disk of the application", "critical P2", "node 'head --bytes 500M /dev/zero > /opt/cli-trading/full || true' 2> /dev/null",
                       "node 'rm -f /opt/cli-trading/full'"),
    "expired certificate": fault(
        "certificate of the edge", "critical P1", "serve ended", "serve good", "edge asks for a sign-in"),
    "expired certificate in the store": fault("certificates in the ACME store", "critical P2", "at traefik 'cd /letsencrypt; cp acme.ended.json acme.json'",
                                              "at traefik 'cd /letsencrypt; cp acme.good.json acme.json'"),
    "firing alert": fault(
        "alerts", "critical P2", "amtool alert add ServiceDown severity=critical instance=test",
        "amtool alert add ServiceDown severity=critical instance=test --start=2019-01-01T00:00:00Z --end=2020-01-01T00:00:00Z"),
    "error burst": fault("errors of 5 minutes", "critical P2", "at risk-manager 'touch /tmp/error_burst'; sleep 4",
                         "at risk-manager 'rm -f /tmp/error_burst'; empty risk-manager", "application logs"),
    "failed logins": fault(
        "failed logins of 5 minutes", "critical P2",
        "node 'for i in $(seq 30); do echo \"$(date -u +%FT%T+00:00) node sshd[1]: Failed password for root from 192.0.2.9\"; done >> /var/log/auth.log'",
        "node 'sed -i /Failed/d /var/log/auth.log'", "logins"),
    "readable secret": fault("secrets are private", "critical P2", "node 'chmod 0644 /opt/cli-trading/secrets/admin_token'",
                             "node 'chmod 0600 /opt/cli-trading/secrets/admin_token'"),
    "project file gone": fault("compose project file", "critical P2", "node 'mv /opt/cli-trading/docker-compose.yml /root/'",
                               "node 'mv /root/docker-compose.yml /opt/cli-trading/'"),
    "halted trading": fault("trading is on", "critical P1", "admin halt", "admin unhalt; redis xtrim notify.events maxlen 0",
                            "halt is the same in Redis"),
    "secret in a log": fault(
        "application logs", "critical P2",
        "node 'echo \"{\\\"level\\\":\\\"info\\\",\\\"msg\\\":\\\"X-Admin-Token: 9f8e7d6c5b4a\\\",\\\"time\\\":\\\"$(date -u +%Y-%m-%dT%H:%M:%S.000Z)\\\"}\" "
        ">> /opt/cli-trading/logs/orchestrator.log'", "forget orchestrator 9f8e7d6c5b4a", playbook="daily"),
    "dead letters": fault("dead letters", "critical P2", "for i in 1 2 3 4 5 6; do redis xadd notify.events.dlq '*' data $i; done",
                          "redis del notify.events.dlq"),
    "streams stand still": fault(
        "streams are worked off", "warning P3",
        "for i in $(seq 60); do echo xadd notify.events '*' data $i; done | docker exec -i $STACK-redis-1 redis-cli > /dev/null; "
        "redis xreadgroup group notify test count 60 streams notify.events '>'",
        "redis xgroup destroy notify.events notify; redis xgroup create notify.events notify '$'; redis xtrim notify.events maxlen 0"),
    "stuck transaction": fault(
        "postgresql", "warning P3", "until_so 'test $(( $(date +%s) - $(stat --format %Y /tmp/$STACK.lock) )) -ge 62' || sleep 32",
        "sql \"select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'stuck'\" > /dev/null; rm -f /tmp/$STACK.lock",
        early="touch /tmp/$STACK.lock; hold 'select pg_sleep(600)'; sleep 1; hold 'select 1'"),
}  # fmt: skip

ALONE = {
    "PostgreSQL stopped": fault("container postgres", "critical P1", "stop postgres", "start postgres; sleep 3", ANY),
    "Redis stopped": fault("container redis", "critical P1", "stop redis",
                           "start redis; sleep 3; forget '*' '\"level\":\"error\"'", ANY),
    "paused agent": fault("container trade-executor", "critical P1", "docker pause $STACK-trade-executor-1", "docker unpause $STACK-trade-executor-1",
                          *agent("trade-executor")),
    "Prometheus stopped": fault("container prometheus", "critical P2", "stop prometheus", "start prometheus; sleep 5",
                                "prometheus", "every agent is watched", "orders of the night", "errors of requests", "latency of requests",
                                "orders that failed", "alerts"),
    "Redis without its log": fault("redis", "critical P2", "redis config set appendonly no", "redis config set appendonly yes; sleep 1"),
    "Redis nearly full": fault(
        "redis", "critical P2",
        "used=$(docker_redis info memory | tr -d '\\r' | sed -n s/^used_memory://p); redis config set maxmemory $((used + used / 50))",
        "redis config set maxmemory 0"),
    "sign-in proxy stopped": fault("container oauth2-proxy", "critical P2", "stop oauth2-proxy", "start oauth2-proxy",
                                   "oauth2 proxy", "edge asks for a sign-in"),
    "backup gone": fault("backup of the trading database", "unknown P2", "node 'mv /opt/cli-trading/backups/molecule/cli_trading/postgresql /root/'",
                         "node 'mv /root/postgresql /opt/cli-trading/backups/molecule/cli_trading/'"),
    "failing orders": fault("orders that failed", "critical P2", "at orchestrator 'touch /tmp/failing_orders'; sleep 20",
                            "at orchestrator 'rm -f /tmp/failing_orders'; docker restart --time 2 $STACK-orchestrator-1; "
                            "at prometheus 'rm -rf /data/*'; docker restart --time 2 $STACK-prometheus-1; "  # else it remembers them for 5 minutes
                            "until_so 'ask \"sum(rate(trading_order_failures_total[5m]))\" | grep -q =\\>'"),
}  # fmt: skip

BATCHES = {"containers and agents": [*CONTAINERS], "data": [*DATA], "host, edge and logs": [*OUTSIDE]}
EVERY = {**CONTAINERS, **DATA, **OUTSIDE, **ALONE}
