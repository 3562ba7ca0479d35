# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nextrade does all day: orders in SQLite, logs on disk, and the faults that disturb both. No HTTP here."""
from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import random
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

TICK_SECONDS = 0.3
STALE_TRADE_SECONDS = 2 * 3600
STALE_LOG_SECONDS = 5 * 86400  # longer than any weekend
UNROTATED_BYTES = 100_000_000
STUCK_IDS = (-1, -2, -3)  # real orders count upwards, so a fault's rows can always be told apart and removed
SYMBOLS = {"AAPL": 228.0, "MSFT": 415.0, "NVDA": 141.0, "SPY": 590.0}
FAULTS = {
    "slow": "answers take VALUE seconds (default 8)",
    "dripping": "the body comes one byte every 0.5 s",
    "degraded": "/health says degraded, with 200",
    "llm_down": "the language model provider does not answer",
    "database_locked": "an exclusive transaction is held open, nobody else can write",
    "stuck_orders": "three orders are pending since two hours",
    "null_values": "every field of an answer is null",
    "html_error": "an HTML page with 200 instead of JSON",
    "error_burst": "VALUE error lines per tick (default 20)",
    "safety_violation": "the compliance log gets a SAFETY_VIOLATION per tick",
    "stale_trade": "no order is placed; the last trade is two hours old",
    "no_logs": "nothing is logged; the log files look five days old",
    "unrotated_log": "a log of 100 MB lies beside the rotated ones (sparse: it takes no space)",
    "market_data_down": "the external market data answers 503",
    "open_admin": "/admin/status answers without a key",
}
SCHEMA = """
create table if not exists orders (id integer primary key, symbol text not null, side text not null,
  quantity integer not null, status text not null, created_at text not null, filled_at text);
create index if not exists orders_status on orders (status, created_at);
create table if not exists positions (symbol text primary key, quantity integer not null);
"""
PENDING = "select id, symbol, side, quantity from orders where status = 'pending' and id >= 0"
PLACE = "insert into orders (symbol, side, quantity, status, created_at) values (?, ?, ?, 'pending', datetime('now'))"
FILL = "update orders set status = 'filled', filled_at = datetime('now') where id = ?"
MOVE = ("insert into positions values (?, ?)"
        " on conflict (symbol) do update set quantity = positions.quantity + excluded.quantity")


@dataclass(frozen=True)
class Faults:
    """The control directory. Content of a file, if any, is the fault's value."""

    directory: Path

    def on(self, name: str) -> bool:
        return (self.directory / name).exists()

    def value(self, name: str, default: float) -> float:
        try:
            value = float((self.directory / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return default
        return value if 0 <= value <= 10_000 else default

    def switch(self, name: str, state: str, value: str = "") -> None:
        if state == "on":
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / name).write_text(value, encoding="ascii")
        else:
            with contextlib.suppress(FileNotFoundError):
                (self.directory / name).unlink()


@dataclass(frozen=True)
class Store:
    """The order database: WAL mode, one short-lived connection per user, times as SQLite's datetime('now') writes them."""

    path: Path

    @contextlib.contextmanager
    def open(self, timeout: float = 0.25) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(str(self.path), timeout=timeout, isolation_level=None)) as database:
            database.execute("pragma synchronous = normal")
            yield database

    def create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.open(timeout=5) as database:
            database.execute("pragma journal_mode = wal")
            database.executescript(SCHEMA)

    def writable(self) -> bool:
        try:
            with self.open() as database:
                database.execute("begin immediate")
                database.execute("rollback")
            return True
        except sqlite3.Error:
            return False

    def summary(self) -> dict[str, Any]:
        with self.open() as database:
            counts = dict(database.execute("select status, count(*) from orders group by status").fetchall())
        return {"total": sum(counts.values()), "by_status": counts, "timestamp": rfc3339(time.time())}


def rfc3339(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


class Logs:
    """nextrade.log and compliance.log, rotated by size; times are UTC."""

    def __init__(self, directory: Path, max_bytes: int, faults: Faults) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.files = [directory / "nextrade.log", directory / "compliance.log"]
        self.application = logging.getLogger("nextrade")
        self.compliance = logging.getLogger("compliance")
        formats = [logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"),
                   logging.Formatter("%(asctime)s | %(levelname)s | %(message).50s", "%Y-%m-%d %H:%M:%S")]
        for logger, path, layout in zip([self.application, self.compliance], self.files, formats):
            handler = logging.handlers.RotatingFileHandler(path, maxBytes=max_bytes, backupCount=5, encoding="utf-8")
            layout.converter = time.gmtime
            handler.setFormatter(layout)
            handler.addFilter(lambda record: not faults.on("no_logs"))
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False

    def hold_unrotated(self, wanted: bool) -> None:
        path = self.files[0].with_suffix(".log.unrotated")
        if wanted and not path.exists():
            path.touch()
            os.truncate(path, UNROTATED_BYTES)
        elif path.exists() and not wanted:
            path.unlink()

    def age(self) -> None:
        for path in self.files:
            os.utime(path, (time.time() - STALE_LOG_SECONDS,) * 2)


class Trader(threading.Thread):
    """Places and fills orders until told to stop, and keeps the database and the logs as the faults want them."""

    def __init__(self, store: Store, faults: Faults, logs: Logs) -> None:
        super().__init__(name="trader", daemon=True)
        self.store, self.faults, self.logs = store, faults, logs
        self.stopping = threading.Event()
        self.traded_at = time.time()
        self.lock: sqlite3.Connection | None = None

    @property
    def last_trade(self) -> float:
        return time.time() - STALE_TRADE_SECONDS if self.faults.on("stale_trade") else self.traded_at

    def run(self) -> None:
        with self.store.open() as database:  # one connection for life, as a pool keeps it: the -wal file stays
            while not self.stopping.is_set():
                try:
                    self.tick(database)
                except (sqlite3.Error, OSError) as error:
                    self.logs.application.error("order not stored: %s", error)
                self.stopping.wait(TICK_SECONDS)
            self.release()

    def tick(self, database: sqlite3.Connection) -> None:
        self.disturb_logs()
        if not self.faults.on("database_locked"):
            self.release()
        self.hold_stuck(database, self.faults.on("stuck_orders"))
        if not self.faults.on("stale_trade"):
            self.trade(database)
        if self.faults.on("database_locked"):
            self.acquire()

    def disturb_logs(self) -> None:
        self.logs.hold_unrotated(self.faults.on("unrotated_log"))
        if self.faults.on("no_logs"):
            self.logs.age()
        if self.faults.on("error_burst"):
            for number in range(int(self.faults.value("error_burst", 20))):
                self.logs.application.error("LLM provider error: retry attempt %d/3 failed", number % 3 + 1)
        if self.faults.on("safety_violation"):
            self.logs.compliance.warning("SAFETY_VIOLATION malicious pattern in a prompt")

    def acquire(self) -> None:
        if self.lock is None:
            lock = sqlite3.connect(str(self.store.path), timeout=2, isolation_level=None)
            lock.execute("begin exclusive")
            self.lock = lock

    def release(self) -> None:
        if self.lock is not None:
            self.lock.close()  # rolls back
            self.lock = None

    def hold_stuck(self, database: sqlite3.Connection, wanted: bool) -> None:
        present = database.execute("select count(*) from orders where id < 0").fetchone()[0]
        if wanted and not present:
            row = "insert into orders values (?, 'NVDA', 'buy', 100, 'pending', datetime('now', '-2 hours'), null)"
            database.execute("begin immediate")
            with database:
                database.executemany(row, [(number,) for number in STUCK_IDS])
        elif present and not wanted:
            database.execute("delete from orders where id < 0")

    def trade(self, database: sqlite3.Connection) -> None:
        """One new order; the one before is filled and moves its position. All or nothing."""
        symbol, side, quantity = random.choice(list(SYMBOLS)), random.choice(["buy", "sell"]), random.randint(1, 50)
        database.execute("begin immediate")
        with database:
            pending = database.execute(PENDING).fetchall()
            database.executemany(MOVE, [(what, count if way == "buy" else -count) for number, what, way, count in pending])
            database.executemany(FILL, [(row[0],) for row in pending])
            placed = database.execute(PLACE, (symbol, side, quantity)).lastrowid
        self.traded_at = time.time()
        self.logs.application.info("order %d placed: %s %d %s; %d filled", placed, side, quantity, symbol, len(pending))
        self.logs.compliance.info("USER_ACTION order %d %s %d %s", placed, side, quantity, symbol)
