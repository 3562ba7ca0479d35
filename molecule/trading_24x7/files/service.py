# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trading service as its guide describes it: FastAPI with four workers, its state in Redis, JSON lines as its log.

A file /tmp/faults/NAME switches the fault of that name on, in all workers at once.
"""
from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import redis.asyncio
from fastapi import FastAPI, Request, Response
from redis.exceptions import RedisError

KEY = os.environ["API_KEY"]
FAULTS = Path("/tmp/faults")
STRATEGIES = ("momentum", "mean_reversion", "arbitrage", "breakout", "news")
STARTED = time.time()
MANY = 50  # lines of a burst, each second and from each of the four workers
store = redis.asyncio.Redis(host="redis", decode_responses=True, socket_timeout=3, socket_connect_timeout=3)


def fault(name: str) -> bool:
    return (FAULTS / name).exists()


def stamp(seconds_ago: float = 0.0) -> str:
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)).isoformat(timespec="milliseconds")


def log(level: str, message: str, **more: object) -> None:
    """One object a line; several workers write to one pipe, whole lines of less than 4 KiB."""
    line = {"timestamp": stamp(), "level": level, "message": message, **more}
    os.write(1, (json.dumps(line) + "\n").encode())


async def tick() -> None:
    """Prices, trades and results into Redis, by whichever worker holds the lease."""
    if not await store.set("trading:engine", str(os.getpid()), nx=True, px=3000) and await store.get("trading:engine") != str(os.getpid()):
        return
    await store.pexpire("trading:engine", 3000)
    await store.hset("trading:prices", mapping={symbol: f"{random.uniform(90, 110):.2f}" for symbol in ("AAPL", "BTC", "ETH", "MSFT", "SPY")})
    if not await store.exists("trading:state"):
        await store.hset("trading:state", mapping={"capital": "1000", "daily_pnl": "12.5", "total_value": "1012.5"})
        await store.hset("trading:positions", mapping={"SPY": "2", "BTC": "0.01"})
    if fault("market_data_down") or await store.exists("trading:halt"):
        return
    await store.incr("trading:placed")
    await store.set("trading:last_trade", stamp())
    log("INFO", "trade buy SPY 1", strategy=random.choice(STRATEGIES))


async def engine() -> None:
    while True:
        try:
            if not fault("still"):  # for a test that looks whether somebody else writes
                await tick()
            await asyncio.sleep(1)
            if fault("error_burst"):
                for _line in range(MANY):
                    log("ERROR", "order failed: exception from the broker")
            if fault("flood"):
                for _line in range(4 * MANY):
                    log("INFO", "heartbeat of a strategy")
            if fault("leak"):
                log("INFO", "connecting with password=Tr0ub4dor-and-3-more")
        except RedisError as problem:
            log("WARNING", "state is not available", reason=type(problem).__name__)
            await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(engine())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def watch(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """The key is asked for everything below /api; every request is logged with its time."""
    began = time.monotonic()
    if fault("slow"):
        await asyncio.sleep(6)
        log("WARNING", "slow answer")
    if fault("html"):
        return Response("<html>maintenance</html>", media_type="text/html")
    if fault("server_error"):
        return Response("broken", status_code=500)
    allowed = not request.url.path.startswith("/api/") or request.headers.get("x-api-key") == KEY or fault("any_key")
    response = await answer(request) if allowed else Response(status_code=401)
    log("INFO", f"{request.method} {request.url.path}", status=response.status_code, duration_ms=round(1000 * (time.monotonic() - began), 2))
    return response


async def reachable() -> bool:
    try:
        return bool(await store.ping())
    except RedisError:
        return False


async def figure(name: str) -> float:
    return float(await store.hget("trading:state", name) or 0)


@app.get("/health")
async def health() -> dict[str, Any]:
    well = await reachable() and not fault("unhealthy")
    return {"status": "healthy" if well else "unhealthy", "timestamp": stamp(600 if fault("old_answer") else 0), "version": "1.0.0"}


@app.get("/api/v1/trading/status")
async def status() -> dict[str, Any]:
    connected = await reachable()
    return {
        "trading_active": connected and not fault("inactive") and not await store.exists("trading:halt"),
        "strategies_running": 4 if fault("strategy_failed") else len(STRATEGIES),
        "market_data_connected": not fault("market_data_down"),
        "redis_connected": connected,
        "last_trade": stamp(5 * 86400) if fault("stale_trade") else await store.get("trading:last_trade") if connected else None,
        "system_uptime": round(time.time() - STARTED, 1),
    }


@app.get("/api/v1/portfolio")
async def portfolio() -> dict[str, Any]:
    odd = {"null_pnl": None, "text_pnl": "12,5", "loss": -75.0}
    pnl: Any = next((value for name, value in odd.items() if fault(name)), await figure("daily_pnl"))
    return {"total_value": await figure("total_value"), "performance": {"daily_pnl": pnl}}


@app.get("/api/v1/performance")
async def performance(period: str = "daily") -> dict[str, Any]:
    return {"period": period, "total_return": 1.2, "win_rate": 0.56, "total_trades": int(await store.get("trading:placed") or 0),
            "profit_factor": 1.4, "max_drawdown": 3.1, "sharpe_ratio": 1.1}  # fmt: skip


@app.get("/api/v1/strategies")
async def strategies() -> dict[str, Any]:
    failed = "news" if fault("strategy_failed") else ""
    return {"strategies": [{"name": name, "status": "error" if name == failed else "running", "win_rate": 0.5, "total_pnl": 2.5} for name in STRATEGIES]}


@app.get("/api/v1/providers")
async def providers() -> dict[str, Any]:
    finnhub = {"status": "limited", "remaining_percent": 2.0} if fault("rate_limited") else {"status": "ok", "remaining_percent": 80.0}
    return {"providers": {"finnhub": finnhub, "twelve_data": {"status": "ok", "remaining_percent": 75.0}}}


@app.get("/metrics")
async def metrics() -> Response:
    placed = int(await store.get("trading:placed") or 0) if await reachable() else 0
    lines = [
        "# TYPE trading_orders_total counter", f'trading_orders_total{{outcome="placed"}} {placed}', 'trading_orders_total{outcome="rejected"} 0',
        "# TYPE trading_order_queue gauge", f"trading_order_queue {600 if fault('stuck_orders') else 0}",
    ]  # fmt: skip
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
