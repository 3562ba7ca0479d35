# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the stack: how each is switched on and off from outside, and what must be found then, as the inventory grades it."""
from __future__ import annotations

from dataclasses import dataclass

P1, P2, P3, P4 = (("critical", f"P{number}") for number in range(1, 5))
W3, W4 = ("warning", "P3"), ("warning", "P4")
U1, U2 = ("unknown", "P1"), ("unknown", "P2")
Found = dict[str, tuple[str, str]]
RESTORE = "{compose} up --detach --wait --force-recreate app redis && " + "until docker exec {redis} redis-cli exists trading:positions | grep -q 1; do sleep 0.5; done"
CERTIFICATE = "/etc/letsencrypt/live/trading-24x7.example.org/fullchain.pem"
EXPIRED = "-not_before 20250101000000Z -not_after 20250201000000Z -subj /CN=trading-24x7.example.org -keyout /dev/null"


@dataclass(frozen=True)
class Fault:
    """``found`` must be found exactly so; of the checks in ``also`` nothing is said, since they may or may not see it."""

    on: str
    off: str
    found: Found
    also: tuple[str, ...] = ()
    playbook: str = "health"


def told(name: str, found: Found, *also: str) -> Fault:
    """One that the service knows by its name."""
    return Fault(f"docker exec {{app}} sh -c '{{fault}}/{name}'", f"docker exec {{app}} rm -f /tmp/faults/{name}", found, also)


def redis(on: str, off: str, found: Found, *also: str) -> Fault:
    return Fault(f"docker exec {{redis}} redis-cli {on}", f"docker exec {{redis}} redis-cli {off}", found, also)


def host(on: str, off: str, found: Found) -> Fault:
    return Fault(f"docker exec {{node}} sh -c '{on}'", f"docker exec {{node}} sh -c '{off}'", found)


OF_API = ("trading status", "last trade", "portfolio", "strategies", "providers", "orders", "wrong key is refused", "no key is refused")
SEEN_LATER = ("errors of 5 minutes", "slow answers", "prometheus", "prometheus has fresh data")
NO_APP: Found = {"containers": P1, "api answers": P1, "trading status": P1, "wrong key is refused": P1, "no key is refused": P1, "portfolio": P2,
                 "strategies": P2, "providers": P2, "orders": P2, "last trade": P2}  # fmt: skip

FAULTS = {
    "key accepted that is wrong": told("any_key", {"wrong key is refused": P1, "no key is refused": P1}),
    "result of the day is null": told("null_pnl", {"portfolio": U1}),
    "result of the day is a text": told("text_pnl", {"portfolio": U1}),
    "loss of the day": told("loss", {"portfolio": P1}),
    "last trade is days old": told("stale_trade", {"last trade": P2}),
    "trading is not active": told("inactive", {"trading status": P1}),
    "market data is cut off": told("market_data_down", {"trading status": P1}),
    "a strategy failed": told("strategy_failed", {"strategies": P2, "trading status": W3}),
    "provider limits us": told("rate_limited", {"providers": W3}),
    "orders pile up": told("stuck_orders", {"orders": P2}),
    "answer of a cache": told("old_answer", {"api answers": W3}),
    "slow answers": told("slow", {"api answers": W3}, *SEEN_LATER, "containers"),
    "a page instead of an answer": told("html", {"api answers": U1, "trading status": U1, "portfolio": U2, "strategies": U2, "providers": U2,
                                                 "orders": U2, "last trade": U2, "wrong key is refused": P1, "no key is refused": P1},
                                        *SEEN_LATER, "containers"),
    "errors of the server": told("server_error", {"api answers": P1, "trading status": P1, "portfolio": P2, "strategies": P2, "providers": P2,
                                                  "orders": P2, "last trade": P2, "wrong key is refused": P1, "no key is refused": P1},
                                 *SEEN_LATER, "containers"),
    "burst of errors": Fault("docker exec {app} sh -c '{fault}/error_burst' && sleep 8", RESTORE, {"errors of 5 minutes": P1}, ("log volume",)),
    "flood of the log": Fault("docker exec {app} sh -c '{fault}/flood' && sleep 4", RESTORE, {"log volume": W4}),
    "a secret in the log": Fault("docker exec {app} sh -c '{fault}/leak' && sleep 3", RESTORE, {"application log": P2}, playbook="log_review"),
    "service is not well": Fault("docker exec {app} sh -c '{fault}/unhealthy' && until docker inspect {app} | grep -q '\"Status\": \"unhealthy\"'; do sleep 1; done",
                                 "docker exec {app} rm -f /tmp/faults/unhealthy && {compose} up --detach --wait app", {"containers": P1, "api answers": P1}),
    "service is stopped": Fault("docker stop --time 2 {app}", RESTORE, NO_APP, (*SEEN_LATER, "workers", "container processors", "container memory")),
    "container is missing": Fault("docker rm --force {app}", RESTORE,
                                  {**NO_APP, "errors of 5 minutes": U2, "log volume": U2, "slow answers": U2},
                                  (*SEEN_LATER, "workers", "container processors", "container memory", "container limits", "container logs")),
    "service starts again and again": Fault("docker exec {app} sh -c '{fault}/crash; kill 1' && sleep 4", RESTORE, NO_APP,
                                            (*SEEN_LATER, "workers", "container processors", "container memory")),
    "container without limits": Fault("docker run --detach --name {stack}-unbounded --memory 64m --label tradeops.runbook.checkout=$RUNBOOK_CHECKOUT"
                                      " --label com.docker.compose.project={stack} --label com.docker.compose.service=redis $RUNBOOK_REDIS_IMAGE sleep 600",
                                      "docker rm --force {stack}-unbounded", {"container limits": W3}),
    "redis is stopped": Fault("docker stop --time 5 {redis}", RESTORE,
                              {"containers": P1, "api answers": P1, "trading status": P1, "redis": P1, "redis saves": P2, "trading state": P2,
                               "portfolio": P2}, (*SEEN_LATER, "last trade", "container processors", "container memory", "errors of redis")),
    "redis hangs": Fault("docker pause {redis}", "docker unpause {redis} && " + RESTORE,
                         {"containers": P1, "api answers": P1, "redis": P1, "redis saves": P2, "trading state": P2},
                         (*SEEN_LATER, "last trade", "trading status", "portfolio", "container processors", "container memory")),
    "redis is full": redis("config set maxmemory 1mb", "config set maxmemory 2gb", {"redis": P1}),
    "redis may evict": redis("config set maxmemory-policy allkeys-lru", "config set maxmemory-policy noeviction", {"redis": P1}),
    "redis evicted": Fault("docker exec {redis} redis-cli eval \"for i=1,5000 do redis.call('setex','junk:'..i,60,string.rep('x',200)) end\" 0 && "
                           "docker exec {redis} sh -c 'redis-cli config set maxmemory-policy volatile-ttl; redis-cli config set maxmemory 1500kb; sleep 2;"
                           " redis-cli set more 1; redis-cli config set maxmemory 2gb; redis-cli config set maxmemory-policy noeviction'",
                           "docker exec {redis} sh -c 'redis-cli del more; redis-cli config resetstat'", {"redis": P2}, ("redis saves",)),
    "redis cannot save": Fault("docker exec --user root {redis} chmod 555 /data && docker exec {redis} sh -c"
                               " 'redis-cli bgsave; until redis-cli info persistence | grep -q bgsave_status:err; do sleep 0.2; done'",
                               "docker exec --user root {redis} chmod 755 /data && docker exec {redis} redis-cli save && " + RESTORE,
                               {"redis": P1, "redis saves": P2, "errors of redis": P2}, SEEN_LATER),
    "positions are lost": redis("del trading:positions", "hset trading:positions SPY 2", {"trading state": P1}),
    "trading is halted": redis("set trading:halt yes", "del trading:halt", {"trading state": W3, "trading status": P1}),
    "certificate expired": host(f"cp -p {CERTIFICATE} /root/good.pem && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes {EXPIRED}"
                                f" -out {CERTIFICATE} 2>/dev/null", f"mv /root/good.pem {CERTIFICATE}", {"certificate": P2}),
    "disk is full": host("fallocate --length 15500K /opt/trading-24x7/fill", "rm /opt/trading-24x7/fill", {"disk": P2}),
    "settings may be read by all": host("chmod 644 /opt/trading-24x7/.env", "chmod 600 /opt/trading-24x7/.env", {"settings are private": P2}),
    "keys may be read by all": host("chmod 755 /opt/trading-24x7/keys", "chmod 700 /opt/trading-24x7/keys", {"keys are private": P2}),
    "backups are gone": host("mv /backups/trading-24x7 /backups/away", "mv /backups/away /backups/trading-24x7",
                             {"backup of the state": P2, "backup of settings and keys": P2, "backup of the container logs": P2}),
    "providers are not reached": Fault("docker stop --time 1 {world}", "{compose} up --detach --wait world",
                                       {"finnhub is reached": P2, "twelve data is reached": P2, "names of the providers": P2, "grafana": P3, "log store": P3}),
    "grafana has no database": Fault("docker exec {world} sh -c '{fault}/grafana'", "docker exec {world} rm /tmp/faults/grafana", {"grafana": P3}),
    "log store is red": Fault("docker exec {world} sh -c '{fault}/log_store'", "docker exec {world} rm /tmp/faults/log_store", {"log store": P3}),
    "prometheus is stopped": Fault("docker stop --time 2 {prometheus}", "{compose} up --detach --wait prometheus",
                                   {"prometheus": P3, "prometheus has fresh data": P3}),
    "prometheus has no answer": Fault("docker exec {prometheus} sh -c 'sed -i s/job_name:.trading/job_name:\\ other/ /data/prometheus.yml && kill -HUP 1' && sleep 5",
                                      "{compose} up --detach --wait --force-recreate prometheus", {"prometheus has fresh data": ("critical", "P3")}),
}  # fmt: skip

BATCHES = [
    ["key accepted that is wrong", "result of the day is null", "last trade is days old", "a strategy failed", "provider limits us", "orders pile up",
     "answer of a cache", "container without limits", "redis may evict", "positions are lost", "certificate expired", "disk is full",
     "settings may be read by all", "keys may be read by all", "backups are gone", "grafana has no database", "log store is red", "flood of the log"],
    ["container is missing", "redis cannot save", "providers are not reached", "prometheus is stopped"],
]  # fmt: skip
"""Faults that do not hide each other: switched on together where time is short."""
