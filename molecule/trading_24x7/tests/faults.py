# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on trading_24x7: how each fault is made with plain tools, and every check that must not be well then, as the shipped inventory grades it."""
from __future__ import annotations

from stack import Fault, Grade

Found = dict[str, Grade]
P1, P2, P3 = (("critical", f"P{number}") for number in range(1, 4))
W3, W4 = ("warning", "P3"), ("warning", "P4")
U1, U2, U3 = (("unknown", f"P{number}") for number in range(1, 4))

PRELUDE = r"""
at() { docker exec "$STACK-$1-1" sh -c "$2"; }
root_at() { docker exec --user root "$STACK-$1-1" sh -c "$2"; }
on() { at "$1" "mkdir -p /tmp/faults && touch /tmp/faults/$2"; }
off() { at "$1" "rm -f /tmp/faults/$2"; }
node() { docker exec "$NODE" sh -c "$1"; }
up() { docker compose up --detach --wait "$@" 2>&1; }
until_so() { for _ in $(seq 300); do if eval "$1" > /dev/null 2>&1; then return; fi; sleep 0.2; done; echo "never: $1"; return 1; }
has_positions() { test "$(at redis 'redis-cli exists trading:positions')" = 1; }
anew() { up --force-recreate app redis && until_so has_positions; }
well() { test "$(docker inspect --format '{{.State.Health.Status}}' $STACK-$1-1)" = healthy; }
"""
SETTLED = 'for part in redis app prometheus; do until_so "well $part"; done'
CERTIFICATE = "/etc/letsencrypt/live/trading-24x7.example.org/fullchain.pem"
EXPIRED = ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -subj /CN=trading-24x7.example.org"
           f" -not_before 20250101000000Z -not_after 20250201000000Z -out {CERTIFICATE} 2>/dev/null")  # fmt: skip


def told(name: str, found: Found, *also: str, part: str = "app") -> Fault:
    """One that the service knows by its name."""
    return Fault(f"on {part} {name}", f"off {part} {name}", found, also)


def redis(on: str, off: str, found: Found) -> Fault:
    return Fault(f"at redis 'redis-cli {on}'", f"at redis 'redis-cli {off}'", found)


def host(on: str, off: str, found: Found) -> Fault:
    return Fault(f"node '{on}'", f"node '{off}'", found)


WATCHED = ("prometheus", "prometheus has fresh data")
USED = ("container memory", "container processors")
KEYS: Found = {"wrong key is refused": P1, "no key is refused": P1}
ASKED = ("portfolio", "strategies", "providers", "orders", "last trade")
NO_APP: Found = {"containers": P1, "api answers": P1, "trading status": P1, **KEYS, **dict.fromkeys(ASKED, P2)}

OF_THE_SERVICE = {
    "a wrong key is accepted": told("any_key", KEYS),
    "the result of the day is null": told("null_pnl", {"portfolio": U1}),
    "the result of the day is a text": told("text_pnl", {"portfolio": U1}),
    "the loss of the day is too large": told("loss", {"portfolio": P1}),
    "the last trade is days old": told("stale_trade", {"last trade": P2}),
    "trading is not active": told("inactive", {"trading status": P1}),
    "market data is cut off": told("market_data_down", {"trading status": P1}),
    "a strategy failed": told("strategy_failed", {"strategies": P2, "trading status": W3}),
    "a provider limits us": told("rate_limited", {"providers": W3}),
    "orders pile up": told("stuck_orders", {"orders": P2}),
    "the answer is that of a cache": told("old_answer", {"api answers": W3}),
    "answers are slow": told("slow", {"api answers": W3}, "slow answers", "containers", *WATCHED),
    "a page instead of an answer": told("html", {"api answers": U1, "trading status": U1, **dict.fromkeys(ASKED, U2), "portfolio": U1, **KEYS},
                                        "containers", *WATCHED),
    "errors of the server": Fault("on app server_error; until_so '! well app'", "off app server_error", {**NO_APP, "portfolio": P1}, WATCHED),
    "a burst of errors": Fault("on app error_burst; sleep 8", "off app error_burst", {"errors of 5 minutes": P1}, ("log volume",), after="anew"),
    "a flood of lines": Fault("on app flood; sleep 4", "off app flood", {"log volume": W4}, after="anew"),
    "a secret in the log": Fault("on app leak; sleep 3", "off app leak", {"application log": P2}, after="anew", playbook="daily"),
}  # fmt: skip
OF_CONTAINERS = {
    "the service is not well": Fault("on app unhealthy; until_so '! well app'",
                                     "off app unhealthy", {"containers": P1, "api answers": P1}),
    "the service is stopped": Fault("docker stop --time 2 $STACK-app-1", "", NO_APP, (*USED, *WATCHED), after="anew"),
    "a container is missing": Fault("docker rm --force $STACK-app-1", "",
                                    {**NO_APP, "errors of 5 minutes": U2, "log volume": U2, "slow answers": U2},
                                    (*USED, *WATCHED, "container limits", "container logs"), after="anew"),
    "the service starts again and again": Fault("on app crash; at app 'kill 1'; sleep 4", "", NO_APP, (*USED, *WATCHED), after="anew"),
    "a container has no limits": Fault("docker run --detach --name $STACK-unbounded --memory 64m --label tradeops.runbook.checkout=$RUNBOOK_CHECKOUT"
                                       " --label com.docker.compose.project=$STACK --label com.docker.compose.service=redis $RUNBOOK_REDIS_IMAGE sleep 600",
                                       "docker rm --force $STACK-unbounded", {"container limits": W3}),
}  # fmt: skip
OF_REDIS = {
    "redis is stopped": Fault("docker stop --time 5 $STACK-redis-1", "",
                              {"containers": P1, "api answers": P1, "trading status": P1, "redis answers": P1, "redis": P1, "redis saves": P2,
                               "trading state": P2, "portfolio": P1},
                              ("last trade", "container memory", "container processors", *WATCHED), after="anew"),
    "redis hangs": Fault("docker pause $STACK-redis-1", "docker unpause $STACK-redis-1",
                         {"containers": P1, "api answers": P1, "redis answers": P1, "redis": P1, "redis saves": P2, "trading state": P2},
                         ("last trade", "trading status", "portfolio", "orders", "container memory", "container processors",
                          *WATCHED), after="anew"),
    "redis is full": redis("config set maxmemory 1mb", "config set maxmemory 2gb", {"redis": P1}),
    "redis may evict": redis("config set maxmemory-policy allkeys-lru", "config set maxmemory-policy noeviction", {"redis": P1}),
    "redis has evicted": Fault(
        "at redis \"redis-cli eval \\\"for i=1,5000 do redis.call('setex','junk:'..i,60,string.rep('x',200)) end\\\" 0\""
        "; at redis 'redis-cli config set maxmemory-policy volatile-ttl; redis-cli config set maxmemory 1500kb; redis-cli set more 1'"
        "; at redis 'redis-cli config set maxmemory 2gb; redis-cli config set maxmemory-policy noeviction'",
        "at redis 'redis-cli del more; redis-cli config resetstat'", {"redis": P2}),
    "redis cannot save": Fault(
        "root_at redis 'chmod 555 /data'; at redis 'redis-cli bgsave'; until_so \"at redis 'redis-cli info persistence' | grep bgsave_status:err\"",
        "root_at redis 'chmod 755 /data'; at redis 'redis-cli save'",
        {"redis": P1, "redis saves": P2, "errors of redis": P2, "api answers": P1, "trading status": P1},
        ("last trade", "containers", *WATCHED), after="anew"),
    "positions are lost": redis("del trading:positions", "hset trading:positions SPY 2", {"trading state": P1}),
    "trading is halted": redis("set trading:halt yes", "del trading:halt", {"trading state": W3, "trading status": P1}),
}  # fmt: skip
OF_THE_HOST = {
    "the certificate expired": host(f"cp -p {CERTIFICATE} /root/good.pem && {EXPIRED}", f"mv /root/good.pem {CERTIFICATE}", {"certificate": P2}),
    "the disk is full": host("fallocate --length 15500K /opt/trading-24x7/fill", "rm /opt/trading-24x7/fill", {"disk": P2}),
    "settings can be read by all": host("chmod 644 /opt/trading-24x7/.env", "chmod 600 /opt/trading-24x7/.env", {"settings are private": P2}),
    "keys can be read by all": host("chmod 755 /opt/trading-24x7/keys", "chmod 700 /opt/trading-24x7/keys", {"keys are private": P2}),
    "backups are gone": host("mv /backups/trading-24x7 /backups/away", "rm -rf /backups/trading-24x7; mv /backups/away /backups/trading-24x7",
                             {"backup of the state": U2, "backup of settings and keys": U2, "backup of the container logs": U3,
                              "backup of the documents": U3}),
    "providers are not reached": Fault("docker stop --time 1 $STACK-world-1", "up --no-deps world",
                                       {"finnhub is reached": P2, "twelve data is reached": P2, "names of the providers": P2, "grafana": P3, "log store": P3}),
    "grafana has no database": told("grafana", {"grafana": P3}, part="world"),
    "the log store is red": told("log_store", {"log store": P3}, part="world"),
    "prometheus is stopped": Fault("docker stop --time 2 $STACK-prometheus-1", "docker start $STACK-prometheus-1",
                                   {"prometheus": P3, "prometheus has fresh data": P3}),
    "prometheus has no answer": Fault("at prometheus 'sed -i s/.app:8000.// /data/prometheus.yml && kill -HUP 1'; "
                                      "until_so '! at prometheus \"promtool query instant http://127.0.0.1:9090 up\" | grep -q =\\>'",
                                      "up --no-deps --force-recreate prometheus", {"prometheus has fresh data": U3, "prometheus": P3}),
}  # fmt: skip

EVERY = {**OF_THE_SERVICE, **OF_CONTAINERS, **OF_REDIS, **OF_THE_HOST}
BATCHES = {
    "what the service says": ["a wrong key is accepted", "the result of the day is null", "the last trade is days old", "a strategy failed",
                              "a provider limits us", "orders pile up", "the answer is that of a cache", "a flood of lines", "a container has no limits",
                              "redis may evict", "positions are lost", "the certificate expired", "the disk is full", "settings can be read by all",
                              "keys can be read by all", "backups are gone", "grafana has no database", "the log store is red"],
    "what is not there": ["a container is missing", "redis cannot save", "providers are not reached", "prometheus is stopped"],
}  # fmt: skip
"""Faults that do not hide each other, switched on together where time is short."""
