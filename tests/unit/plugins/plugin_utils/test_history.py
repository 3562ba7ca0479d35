# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history: runs come in whole, also after a crash at any point; questions get the right answers."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, Refused, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.times import rfc3339
from ansible_collections.tradeops.runbook.plugins.plugin_utils import database, journal
from ansible_collections.tradeops.runbook.plugins.plugin_utils import history as history_module
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_queries import HostPlace, Wanted
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_schema import MIGRATIONS
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places, make_key
from ansible_collections.tradeops.runbook.tests.support.children import environment

from .recorded import KEY, START, check, checks, ended, hosts, lay_down, raising, run_id, seal, started, step

APP = HostPlace("app", "nextrade", "production")
HOUR = 3600.0


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    return Places(folder, folder / "reports", folder / "ledger.key")


def measured(value: float, status: str = "ok", **more: Any) -> dict[str, Any]:
    return check("api", status, measures={"latency": value, "status_code": 200, "name": "x", "up": True}, units={"latency": "s"}, **more)


def seal_hourly(where: Places, values: list[tuple[float, str]], **facts: Any) -> None:
    for number, (value, status) in enumerate(values, 1):
        at = START + number * HOUR
        verdict = checks(measured(value, status), measured_at=rfc3339(at))
        seal(where, number, hosts(app="nextrade/production"), verdict, at=at, **facts)


def test_a_sealed_run_is_all_there(where: Places) -> None:
    limit = {"measure": "latency", "level": "warning", "state": "pending", "limit": "> 1 s"}
    crossed = {**limit, "level": "critical", "state": "crossed"}
    failed = step("failed", host="db", message="no", result={"outcome": "refused", "code": "run_not_recorded"})
    anchor = seal(where, 1, hosts(app="nextrade/production"), checks(measured(0.2, "critical", limits=[limit, crossed])), failed)
    with History(where, read_only=True) as history:
        view = history.view(run_id(1))
        assert view and view["anchor"] == anchor and view["status"] == "critical"
        assert history.runs() == [{
            "run_id": run_id(1), "playbook": "daily", "state": "finished", "status": "critical", "exit_code": 0, "started_at": "2026-11-20T02:16:00Z",
            "ended_at": "2026-11-20T02:16:09Z", "duration_seconds": 9.0, "user": "ops", "controller": "ctl", "check_mode": False, "limit": "",
            "systems": [{"name": "nextrade", "environment": "production"}, {"name": "unassigned", "environment": ""}],
        }]  # fmt: skip
        assert history.recent(APP, 60, START) == {
            "api": [{"at": "2026-11-20T02:16:00Z", "status": "critical", "crossed": ["latency:warning", "latency:critical"]}]
        }
        assert history.series(APP) == {
            ("api", name): [{"at": "2026-11-20T02:16:00Z", "value": value, "status": "critical", "run_id": run_id(1)}]
            for name, value in (("latency", 0.2), ("status_code", 200.0))
        }
        assert history.verify(KEY, [(anchor["seq"], anchor["mac"])]) == []
        assert history.counts() == {"runs": 1, "events": 5}
    assert not list(where.open.iterdir())
    assert where.url or where.database.stat().st_mode & 0o777 == 0o600


def test_sealing_twice_changes_nothing(where: Places) -> None:
    first = seal(where, 1)
    path = lay_down(where, run_id(1), [started()])
    with History(where) as history:
        assert history.seal_run(path, KEY) == first
        assert history.counts() == {"runs": 1, "events": 2}


def test_seals_follow_each_other(where: Places) -> None:
    anchors = [seal(where, number) for number in (1, 2, 3)]
    assert [anchor["seq"] for anchor in anchors] == [1, 2, 3]
    with History(where) as history:
        assert history.verify(KEY, [(anchor["seq"], anchor["mac"][:16]) for anchor in anchors]) == []


CRASHES: dict[str, tuple[Any, ...]] = {
    "before its first event": ((), "killed"),
    "in the middle": ((started(), hosts(app="nextrade/production"), step("changed")), "killed"),
    "after its last event": ((started(), ended("finished")), "finished"),
    "after an interruption was written": ((started(), ended("interrupted")), "interrupted"),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_dead_run_is_adopted(where: Places, name: str) -> None:
    drafts, state = CRASHES[name]
    path = lay_down(where, run_id(7), drafts)
    with History(where) as history:
        assert history.adopt(KEY) == ([run_id(7)], [])
        assert history.adopt(KEY) == ([], [])
        assert [(run["run_id"], run["state"]) for run in history.runs()] == [(run_id(7), state)]
        assert history.verify(KEY) == []
    assert not path.exists() and (where.sealed / path.name).exists()


def test_a_killed_run_ended_with_its_last_event(where: Places) -> None:
    lay_down(where, run_id(7), [started(), step("changed"), step("changed")])
    with History(where) as history:
        history.adopt(KEY)
        run = history.runs()[0]
    assert (run["ended_at"], run["duration_seconds"], run["status"], run["exit_code"]) == ("2026-11-20T02:16:02Z", 2.0, "unknown", None)


@pytest.mark.parametrize(
    ("tail", "reason"), [(b'{"seq": 3', "torn"), (b'{"seq": 3}\n', "changed"), (b"\x00" * 4096, "torn"), (b"\xff\n" * 3, "changed")]
)
def test_what_is_not_sound_is_set_aside_with_its_own_entry(where: Places, tail: bytes, reason: str) -> None:
    lay_down(where, run_id(7), [started(), step("changed")], tail=tail)
    with History(where) as history:
        history.adopt(KEY)
        assert history.verify(KEY) == []
        view = history.view(run_id(7))
    assert (where.sealed / f"{run_id(7)}.quarantine").read_bytes() == tail
    body = next(event.data() for event in journal.read(where.sealed / f"{run_id(7)}.jsonl").events if event.type == "quarantined")
    assert (body["reason"], body["bytes"]) == (reason, len(tail))
    assert view and [issue["message"] for issue in view["issues"]][1] == body["message"]


def test_a_run_that_lives_is_left_alone(where: Places) -> None:
    own = journal.JournalFile(where.open, run_id(7))
    with History(where) as history:
        assert history.adopt(KEY) == ([], [])
    own.close()


def test_runs_under_way_are_told(where: Places) -> None:
    where.open.mkdir(parents=True)
    seal(where, 1)
    own = journal.JournalFile(where.open, run_id(7))
    for event in journal.parse_journal("", b"").events or _events(run_id(7)):
        own.append(event)
    lay_down(where, run_id(6), [started(run_id=run_id(6))])
    with History(where, read_only=True) as history:
        found = history.open_runs()
        assert [(run["run_id"], run["state"], run["playbook"]) for run in found] == [(run_id(7), "running", "daily")]
        assert set(found[0]) == set(history.runs()[0]), "the same shape as a run that is over"
    own.close()


def _events(identity: str) -> Any:
    from .recorded import chained

    return chained(identity, [started(run_id=identity), hosts(app="nextrade/production")])


def test_strangers_in_the_folder_are_left_alone(where: Places) -> None:
    where.open.mkdir(parents=True)
    (where.open / "notes.jsonl").write_text("mine", encoding="ascii")
    with History(where) as history:
        assert history.adopt(KEY) == ([], [])


def test_one_journal_that_cannot_be_read_does_not_stop_the_others(where: Places) -> None:
    lay_down(where, run_id(7), [started(), ("hosts", {"hosts": 5})])
    lay_down(where, run_id(8), [started()])
    with History(where) as history:
        adopted, left = history.adopt(KEY)
    assert adopted == [run_id(8)]
    assert left[0].startswith(f"{run_id(7)}.jsonl: ")


def test_a_crash_between_commit_and_move_is_healed(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lay_down(where, run_id(7), [started(), ended()])
    with History(where) as history:
        with monkeypatch.context() as patch:
            patch.setattr(journal, "shelve", raising(OSError("power cut")))
            with pytest.raises(OSError, match="power cut"):
                history.seal_run(path, KEY)
        assert path.exists()
        assert history.adopt(KEY) == ([], [])
        assert not path.exists()
        assert history.verify(KEY) == []


def test_a_crash_before_the_commit_leaves_nothing(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lay_down(where, run_id(7), [started(), ended()])
    with History(where) as history:
        with monkeypatch.context() as patch:
            patch.setattr(history_module, "make_seal", raising(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                history.seal_run(path, KEY)
        assert history.counts() == {"runs": 0, "events": 0}
        assert history.seal_run(path, KEY)["seq"] == 1


SEALER = """
import os, sys
from pathlib import Path
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import places
sys.stdin.readline()
with History(places(sys.argv[1])) as history:
    key = history.ledger_key()
    for path in sys.argv[2:]:
        history.seal_run(Path(path), key)
"""


def test_eight_writers_make_one_chain(where: Places) -> None:
    paths = [lay_down(where, run_id(number), [started(run_id=run_id(number)), ended()]) for number in range(1, 33)]
    given = environment(RUNBOOK_HISTORY_URL=where.url)
    processes = [
        subprocess.Popen([sys.executable, "-c", SEALER, str(where.history), *map(str, paths[number::8])], stdin=subprocess.PIPE, env=given)
        for number in range(8)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0] * 8
    for process in processes:
        assert process.stdin
        process.stdin.close()
    with History(where) as history:
        assert history.counts() == {"runs": 32, "events": 64}
        assert history.verify(history.ledger_key()) == []


def test_a_key_is_made_on_first_use_and_never_again(where: Places) -> None:
    with History(where) as history:
        key = history.ledger_key()
        assert history.ledger_key() == key
        history.seal_run(lay_down(where, run_id(1), [started(), ended()]), key)
        where.key.unlink()
        with pytest.raises(Refused, match="is missing"):
            history.ledger_key()
    where.database.unlink()
    with History(where) as history, pytest.raises(Refused, match="is missing"):
        history.ledger_key()  # the database is gone, too, but there is a sealed journal
    make_key(where.key)


def test_a_reader_creates_nothing_and_writes_nothing(where: Places) -> None:
    with pytest.raises(FileNotFoundError):
        History(where, read_only=True)
    assert not where.history.exists()
    seal(where, 1)
    with History(where, read_only=True) as history:
        assert len(history.runs()) == 1
        with pytest.raises(VerifyFailed, match="readonly"):
            history.seal_run(lay_down(where, run_id(2), [started(), ended()]), KEY)


def test_a_history_of_a_newer_release_is_not_touched(where: Places) -> None:
    seal(where, 1)
    with sqlite3.connect(where.database) as db:
        db.execute("update meta set value = '99'")
    db.close()
    for read_only in (False, True):
        with pytest.raises(VerifyFailed, match="schema version 99") as caught:
            History(where, read_only=read_only)
        assert "newer release" in caught.value.hint


def test_a_new_release_adds_what_is_missing(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(where, 1)
    for module in ("history", "history_schema"):
        monkeypatch.setattr(
            sys.modules[f"{history_module.__name__.rpartition('.')[0]}.{module}"], "MIGRATIONS", (*MIGRATIONS, "create table later (x text)")
        )
    with pytest.raises(VerifyFailed, match=f"schema version {len(MIGRATIONS)}"):
        History(where, read_only=True)
    with History(where) as history:
        assert len(history.runs()) == 1
    with sqlite3.connect(where.database) as db:
        assert db.execute("select value from meta").fetchall() == [(str(len(MIGRATIONS) + 1),)]
        assert db.execute("select count(*) from later").fetchone() == (0,)
    db.close()


def test_a_damaged_file_says_what_to_do(where: Places) -> None:
    where.history.mkdir(parents=True)
    where.database.write_bytes(b"this is no database, " * 400)
    with pytest.raises(VerifyFailed, match="damaged") as caught:
        History(where)
    assert "backup" in caught.value.hint


def test_a_locked_history_is_busy(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    seal(where, 1)
    holder = sqlite3.connect(where.database, isolation_level=None)
    holder.execute("begin exclusive")
    with pytest.raises(Busy, match="locked"):
        seal(where, 2)
    holder.close()


def test_runs_can_be_narrowed(where: Places) -> None:
    seal(where, 1, hosts(app="nextrade/production"))
    seal(where, 2, hosts(app="tft/production"), at=START + 60, playbook="weekly")
    seal(where, 3, hosts(app="nextrade/staging"), at=START + 120)
    with History(where) as history:

        def ask(**how: Any) -> list[int]:
            return [int(run["run_id"][-1]) for run in history.runs(how.pop("limit", 20), Wanted(**how))]

        assert (ask(), ask(limit=2), ask(playbook="weekly"), ask(system="nextrade"), ask(system="nextrade", limit=1)) == (
            [3, 2, 1],
            [3, 2],
            [2],
            [3, 1],
            [3],
        )
        assert (ask(environment="production"), ask(system="nextrade", environment="staging")) == ([2, 1], [3])
        assert ask(system="tft", environment="staging") == []
        assert history.first_run_at() == "2026-11-20T02:16:00Z"
        assert history.first_run_at(Wanted(system="nextrade", environment="staging")) == "2026-11-20T02:18:00Z"
        assert history.first_run_at(Wanted("daily", "tft")) == "2026-11-20T02:17:00Z", "of whichever playbook"
        assert history.first_run_at(Wanted(system="other")) is None


def test_the_run_before_is_of_the_same_playbook_and_system_and_came_to_its_end(where: Places) -> None:
    seal(where, 1, hosts(app="nextrade/production"))
    seal(where, 2, hosts(app="nextrade/production"), at=START + 60, check_mode=True)
    seal(where, 3, hosts(app="tft/production"), at=START + 120)
    seal(where, 4, hosts(app="nextrade/production"), at=START + 180, playbook="weekly")
    lay_down(where, run_id(5), [started(run_id=run_id(5)), hosts(app="nextrade/production")], START + 240)
    with History(where) as history:
        history.adopt(KEY)
    seal(where, 6, hosts(app="nextrade/production", db="tft/staging"), at=START + 300)
    with History(where) as history:
        view = history.view(run_id(6))
        assert view
        before = history.previous(view)
        assert before and before["run_id"] == run_id(1)
        assert history.previous(before) is None


def test_a_baseline_is_the_median_of_good_runs(where: Places) -> None:
    seal_hourly(where, [(9.0, "ok"), (0.1, "ok"), (0.2, "ok"), (50.0, "critical"), (0.3, "ok"), (0.4, "ok"), (0.5, "ok")])
    with History(where) as history:
        assert history.baselines(APP)["api"]["latency"] == pytest.approx(0.35)
        assert history.baselines(APP, runs=5)["api"]["latency"] == pytest.approx(0.3)
        assert history.baselines(APP, minimum=7) == {}
        assert history.baselines(HostPlace("app", "tft", "production")) == {}
        assert history.baselines(HostPlace("app", "nextrade", "staging")) == {}
        assert history.baselines(HostPlace("app")) == history.baselines(APP)


def test_check_mode_moves_nothing(where: Places) -> None:
    seal_hourly(where, [(0.1, "ok")] * 6, check_mode=True)
    with History(where) as history:
        assert (history.baselines(APP), history.recent(APP, 1e9, START), history.trends(APP), history.series(APP)) == ({}, {}, {}, {})
        assert len(history.runs()) == 6


def test_recent_verdicts_come_oldest_first(where: Places) -> None:
    seal_hourly(where, [(0.1, "ok"), (0.1, "critical"), (0.1, "warning")])
    with History(where) as history:
        now = START + 3 * HOUR
        assert [entry["status"] for entry in history.recent(APP, 7200, now)["api"]] == ["ok", "critical", "warning"]
        assert [entry["status"] for entry in history.recent(APP, 7199, now)["api"]] == ["critical", "warning"]


def test_a_trend_is_a_slope_per_day(where: Places) -> None:
    seal_hourly(where, [(1.0 + number, "ok") for number in range(5)])
    with History(where) as history:
        found = history.trends(APP)["api"]["latency"]
        assert found == {"slope_per_day": pytest.approx(24.0), "points": 5, "latest": 5.0}
        assert history.trends(APP, limit=2) == {}


def test_a_series_keeps_its_newest_points(where: Places) -> None:
    seal_hourly(where, [(float(number), "ok") for number in range(6)])
    with History(where) as history:
        assert [point["value"] for point in history.series(APP, limit=3)["api", "latency"]] == [3.0, 4.0, 5.0]


def test_an_old_run_is_held_against_what_was_known_then(where: Places) -> None:
    seal_hourly(where, [(float(number), "ok") for number in range(70)])
    with History(where) as history:
        view = history.view(run_id(3))
        assert view
        _previous, series = history.context(view)
    assert [point["value"] for point in series["nextrade", "production", "app"]["api", "latency"]] == [0.0, 1.0, 2.0]


def test_a_host_whose_clock_is_ahead_keeps_its_own_point(where: Places) -> None:
    for number in (1, 2):
        at = START + number * HOUR
        seal(where, number, hosts(app="nextrade/production"), checks(measured(float(number)), measured_at=rfc3339(at + 600)), at=at)
    with History(where) as history:
        view = history.view(run_id(1))
        assert view
        _previous, series = history.context(view)
    assert [point["value"] for point in series["nextrade", "production", "app"]["api", "latency"]] == [1.0]


def test_environments_are_not_mixed(where: Places) -> None:
    for number, place in enumerate(("nextrade/production", "nextrade/staging", "nextrade/"), 1):
        at = START + number * HOUR
        seal(where, number, hosts(app=place), checks(measured(float(number)), measured_at=rfc3339(at)), at=at)
    with History(where) as history:
        for number, environment in enumerate(("production", "staging", ""), 1):
            view = history.view(run_id(number))
            assert view
            _previous, series = history.context(view)
            assert {place: [point["value"] for point in found["api", "latency"]] for place, found in series.items()} == {
                ("nextrade", environment, "app"): [float(number)]
            }


def test_instants_that_are_none_fall_back_to_the_start(where: Places) -> None:
    seal(where, 1, checks(measured(0.1), measured_at="yesterday"))
    with History(where) as history:
        assert history.series(HostPlace("app", "unassigned", ""))["api", "latency"][0]["at"] == "2026-11-20T02:16:00Z"
        assert json.dumps(history.view(run_id(1)))
        assert history.view(run_id(9)) is None
