# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is old is dropped, as recorded and nothing more: every other loss or change is still found."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import VerifyFailed
from ansible_collections.tradeops.runbook.plugins.module_utils._core.ledger import BODIES_DROPPED
from ansible_collections.tradeops.runbook.plugins.plugin_utils import open_runs, retention, retention_plan
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history_queries import HostPlace
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.retention_plan import Limits, Plan

from .recorded import KEY, START, check, checks, ended, hosts, lay_down, raising, run_id, seal, started, step

OLD = 5
SECRET = "word-of-a-person"


@pytest.fixture
def where(tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    return Places(folder, folder / "reports", folder / "ledger.key")


@pytest.fixture
def old(where: Places, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Runs 1 to 5 are to lose their bodies, in groups of two."""
    monkeypatch.setattr(retention_plan, "_GROUP", 2)
    for number in range(1, OLD + 1):
        verdict = checks(check("disk", "warning", measures={"used": 90.0 + number}, units={"used": "percent"}))
        seal(where, number, hosts(app="nextrade/production"), verdict, step("changed", message=SECRET), at=START + number)
    return where


def plan(where: Places, chain: float = 0.0, bodies: float | None = None) -> Plan:
    with History(where, read_only=True) as history:
        return history.plan_prune(KEY, Limits(time.time() + 1 if bodies is None else bodies, chain))


def prune(where: Places, number: int, found: Plan) -> dict[str, Any]:
    """A run that drops what was planned."""
    drafts = [(BODIES_DROPPED, record.body()) for record in found.records]
    return seal(where, number, step("changed", message="pruned"), *drafts, at=START + 100 + number)


def problems(where: Places, anchors: list[tuple[int, str]] | None = None) -> list[tuple[str, str]]:
    with History(where, read_only=True) as history:
        return [(problem["kind"], problem["level"]) for problem in history.verify(KEY, anchors or [])]


def tamper(where: Places, statement: str) -> None:
    db = open_database(where)
    db.execute(statement)
    db.close()


def bodies(where: Places) -> list[tuple[str, str]]:
    db = open_database(where)
    found = db.execute("select run_id, type from events where body is not null order by run_id, seq").fetchall()
    db.close()
    return [(str(run), str(kind)) for run, kind in found]


def test_bodies_go_and_what_trends_rest_on_stays(old: Places) -> None:
    found = plan(old)
    assert [step["step"] for step in found.steps] == ["drop_bodies", "remove_journals"]
    assert (found.steps[0]["first"], found.steps[0]["last"], found.steps[0]["runs"]) == (1, 5, 5)
    assert [(group.first, group.last) for group in found.records[0].groups] == [(1, 2), (3, 4), (5, 5)]
    prune(old, 6, found)
    assert problems(old) == []
    assert {run for run, _kind in bodies(old)} == {run_id(6)}
    assert [path.stem for path in old.sealed.iterdir()] == [run_id(6)]
    with History(old, read_only=True) as history:
        assert len(history.runs()) == 6
        place = HostPlace("app", "nextrade", "production")
        assert [point["value"] for point in history.series(place)["disk", "used"]] == [91.0, 92.0, 93.0, 94.0, 95.0]
        assert history.view(run_id(1)) is None and history.view(run_id(6))
        assert history.recent(place, 1e9, START) == {}


def test_no_copy_is_left_in_the_file(old: Places) -> None:
    prune(old, 6, plan(old))
    if not old.url:
        assert SECRET.encode() not in old.database.read_bytes()


def test_what_is_not_old_stays(old: Places) -> None:
    assert plan(old, bodies=time.time() - 3600).steps == []


def test_runs_under_way_are_not_touched(old: Places) -> None:
    path = lay_down(old, run_id(7), [started(run_id=run_id(7)), step("changed")])
    found = plan(old)
    assert found.steps[0]["last"] == OLD
    prune(old, 6, found)
    assert path.exists()


def test_the_record_of_a_drop_outlives_its_own_run(old: Places) -> None:
    prune(old, 6, plan(old))
    seal(old, 7, step("changed"), at=START + 200)
    prune(old, 8, plan(old))
    assert [one for one in bodies(old) if one[0] != run_id(8)] == [(run_id(6), BODIES_DROPPED)]
    assert problems(old) == []
    tamper(old, f"update events set body = null where run_id = '{run_id(6)}'")
    assert ("body_missing", "critical") in problems(old)


TAMPERING = {
    "another body": (f"update events set body = null where run_id = '{run_id(7)}' and seq = 2", "body_missing"),
    "an event of a run that lost its bodies": (f"update events set at = '2026-01-01T00:00:00Z' where run_id = '{run_id(2)}' and seq = 2", "event_changed"),
    "its type": (f"update events set type = 'x' where run_id = '{run_id(2)}' and seq = 2", "event_changed"),
    "a body put in": (f"update events set body = '{{}}' where run_id = '{run_id(2)}' and seq = 2", "event_changed"),
    "an event removed": (f"delete from events where run_id = '{run_id(2)}' and seq = 2", "order_changed"),
    "a kept measure": (f"update measures set value = 1 where run_id = '{run_id(3)}'", "table_changed"),
    "a kept measure removed": (f"delete from measures where run_id = '{run_id(3)}'", "table_changed"),
    "a kept run": (f"update runs set status = 'ok' where run_id = '{run_id(1)}'", "table_changed"),
    "a measure put in": (
        f"insert into measures (run_id, host, role, name, measure, value) values ('{run_id(1)}', 'app', 'health', 'a', 'b', 1)", "table_changed"
    ),
    "a check put in": (f"insert into checks (run_id, host, role, name) values ('{run_id(1)}', 'app', 'health', 'a')", "table_changed"),
    "the record itself": (f"update events set body = replace(body, '\"last\":5', '\"last\":6') where type = '{BODIES_DROPPED}'", "event_changed"),
    "a seal": ("delete from seals where seq = 3", "seals_missing"),
    "the front of the chain": ("delete from seals where seq <= 2", "seals_missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
def test_nothing_more_than_the_record_is_accepted(old: Places, name: str) -> None:
    prune(old, 6, plan(old))
    seal(old, 7, step("changed"), at=START + 200)
    statement, kind = TAMPERING[name]
    tamper(old, statement)
    assert (kind, "critical") in problems(old)


def test_a_copy_that_came_back_is_told(old: Places) -> None:
    raw = (old.sealed / f"{run_id(2)}.jsonl").read_bytes()
    prune(old, 6, plan(old))
    (old.sealed / f"{run_id(2)}.jsonl").write_bytes(raw)
    assert problems(old) == [("body_kept", "warning")]
    again = plan(old, bodies=0)
    assert [step["step"] for step in again.steps] == ["remove_journals"] and again.records[0].groups == ()
    prune(old, 7, again)
    assert problems(old) == []


def test_a_changed_history_is_not_pruned(old: Places) -> None:
    tamper(old, f"update measures set value = 1 where run_id = '{run_id(3)}'")
    with pytest.raises(VerifyFailed, match="measures") as caught:
        plan(old)
    assert "verify the ledger first" in caught.value.hint


def test_the_front_of_the_chain_is_cut_in_whole_groups(old: Places) -> None:
    prune(old, 6, plan(old))
    found = plan(old, chain=time.time() + 1, bodies=0)
    assert [(step["step"], step["last"], step["runs"]) for step in found.steps] == [("cut_chain", 5, 5)]
    anchor = prune(old, 7, found)
    assert problems(old, [(anchor["seq"], anchor["mac"]), (2, "0" * 16)]) == []
    assert problems(old, [(5, "0" * 16), (99, "0" * 16)]) == [("anchor_mismatch", "critical"), ("anchor_missing", "critical")]
    with History(old, read_only=True) as history:
        assert [run["run_id"] for run in history.runs()] == [run_id(7), run_id(6)]
        assert anchor["seq"] == 7
    tamper(old, "delete from seals where seq = 6")
    assert ("seals_missing", "critical") in problems(old)


def test_the_chain_is_cut_by_a_later_prune_than_the_bodies(old: Places) -> None:
    found = plan(old, chain=time.time() + 1)
    assert [step["step"] for step in found.steps] == ["drop_bodies", "remove_journals"]
    prune(old, 6, found)
    late = time.time() + 1
    assert [step["step"] for step in plan(old, chain=late, bodies=0).steps] == ["cut_chain"]
    prune(old, 7, plan(old, chain=late, bodies=0))
    prune(old, 8, plan(old))
    prune(old, 9, plan(old, chain=time.time() + 1, bodies=0))
    assert problems(old) == []
    with History(old, read_only=True) as history:
        assert [run["run_id"] for run in history.runs()] == [run_id(9), run_id(8)]


def test_a_cut_without_a_record_is_found(old: Places) -> None:
    for table in ("events", "runs", "steps", "checks", "measures"):
        tamper(old, f"delete from {table} where run_id in (select run_id from seals where seq <= 2)")
    tamper(old, "delete from seals where seq <= 2")
    assert ("seals_missing", "critical") in problems(old)


def test_a_crash_leaves_nothing_dropped_or_all_of_it_recorded(old: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(old)
    with monkeypatch.context() as patch:
        patch.setattr(open_runs, "forget", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            prune(old, 6, found)
    assert len({run for run, _kind in bodies(old)}) == OLD and problems(old)[:1] == []
    with History(old) as history:
        assert history.adopt(KEY) == ([run_id(6)], [])
    assert {run for run, _kind in bodies(old)} == {run_id(6)}
    assert {kind for kind, _level in problems(old)} == {"body_kept"}, "the journals go with the next prune"
    prune(old, 7, plan(old, bodies=0))
    assert problems(old) == []


def test_two_prunes_of_the_same_runs_agree(old: Places) -> None:
    first, second = plan(old), plan(old)
    prune(old, 6, first)
    prune(old, 7, second)
    assert problems(old) == []


def test_a_journal_that_wants_to_drop_what_came_after_it_is_left(old: Places) -> None:
    record = plan(old).records[0].body()
    record["groups"][0]["last"] = 99
    lay_down(old, run_id(6), [started(run_id=run_id(6)), (BODIES_DROPPED, record), ended()])
    with History(old) as history:
        adopted, left = history.adopt(KEY)
    assert adopted == [] and "not sealed before it" in left[0]
    assert problems(old) == []


@pytest.mark.parametrize("data", [None, [], {}, {"columns": {"runs": ["run_id"], "measures": ["x; drop"]}, "groups": [], "cut": None}])
def test_what_is_no_record_is_refused(data: Any) -> None:
    with pytest.raises(VerifyFailed):
        retention.parse_record(data)
