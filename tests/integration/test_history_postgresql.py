# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A history that controllers share in a real PostgreSQL server: the same tests as on SQLite, and everything that only sharing can break."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from record_site import NOTE, VERDICT, Site, slow

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, Refused, Unreachable, VerifyFailed
from ansible_collections.tradeops.runbook.plugins.plugin_utils import open_runs, recorder
from ansible_collections.tradeops.runbook.plugins.plugin_utils.database import open_database
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import Places
from ansible_collections.tradeops.runbook.plugins.plugin_utils.recorder import Recorder
from ansible_collections.tradeops.runbook.tests.support.children import environment
from ansible_collections.tradeops.runbook.tests.support.postgresql import ESCAPED, PASSWORD, Server, programs
from ansible_collections.tradeops.runbook.tests.support.waiting import until
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils import test_history, test_history_logs, test_history_notices, test_retention
from ansible_collections.tradeops.runbook.tests.unit.plugins.plugin_utils.recorded import KEY, chained, ended, lay_down, run_id, seal, started

pytestmark = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (Debian package postgresql)")

_OF_THE_FILE = {
    "test_a_key_is_made_on_first_use_and_never_again", "test_a_reader_creates_nothing_and_writes_nothing", "test_a_new_release_adds_what_is_missing",
    "test_a_history_of_a_newer_release_is_not_touched", "test_a_damaged_file_says_what_to_do", "test_a_locked_history_is_busy",
}  # fmt: skip
for module in (test_history, test_history_logs, test_history_notices, test_retention):  # the same tests, on this file's ``where``
    globals().update({name: test for name, test in vars(module).items() if name.startswith("test_") and callable(test) and name not in _OF_THE_FILE})
old = test_retention.old

DEAD = 4
"""Seconds of silence after which a run is dead in these tests."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.fixture
def where(server: Server, tmp_path: Path) -> Places:
    folder = tmp_path / "history"
    return Places(folder, folder / "reports", folder / "ledger.key", server.database())


@pytest.fixture
def elsewhere(where: Places, tmp_path: Path) -> Places:
    """Another controller of the same history."""
    folder = tmp_path / "elsewhere"
    return Places(folder, folder / "reports", where.key, where.url)


def rows(where: Places, statement: str) -> list[Any]:
    db = open_database(where)
    found = db.execute(statement).fetchall()
    db.close()
    return found


def test_a_reader_creates_nothing_and_writes_nothing(where: Places) -> None:
    with pytest.raises(FileNotFoundError):
        History(where, read_only=True)
    assert not where.history.exists() and rows(where, "select 1 from pg_class where relname = 'runs'") == []
    seal(where, 1)
    with History(where, read_only=True) as history, pytest.raises(VerifyFailed, match="read-only"):
        history.seal_run(lay_down(where, run_id(2), [started(), ended()]), KEY)


def test_journals_of_other_controllers_are_elsewhere(where: Places, elsewhere: Places) -> None:
    seal(where, 1)
    seal(elsewhere, 2)
    for one in (where, elsewhere):
        with History(one, read_only=True) as history:
            assert history.verify(KEY) == []


def test_a_second_key_is_refused(where: Places, elsewhere: Places) -> None:
    with History(where) as history:
        history.seal_run(lay_down(where, run_id(1), [started(), ended()]), history.ledger_key())
    other = replace(elsewhere, key=elsewhere.history / "ledger.key")
    with History(other) as history:
        with pytest.raises(Refused, match="is missing"):
            history.ledger_key()
        other.key.write_text("ab" * 32, encoding="ascii")
        other.key.chmod(0o600)
        with pytest.raises(Refused, match=r"has the key [0-9a-f]{16}, and the history is sealed with the key [0-9a-f]{16}"):
            history.ledger_key()
        with pytest.raises(Refused, match="is sealed with the key"):
            history.seal_run(lay_down(other, run_id(2), [started(), ended()]), b"x" * 32)
        assert history.counts() == {"runs": 1, "events": 2}


MIGRATE = """
import sys
from ansible_collections.tradeops.runbook.plugins.plugin_utils.history import History
from ansible_collections.tradeops.runbook.plugins.plugin_utils.places import places
sys.stdin.readline()
with History(places(sys.argv[1])) as history:
    print(history.counts())
"""


def test_four_controllers_can_make_the_tables_at_once(where: Places, tmp_path: Path) -> None:
    given = environment(RUNBOOK_HISTORY_URL=where.url)
    made = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, str(tmp_path / f"controller{number}")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         env=given, text=True)
        for number in range(4)
    ]  # fmt: skip
    time.sleep(1)
    for process in made:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0].strip() for process in made] == ["{'runs': 0, 'events': 0}"] * 4


def test_a_password_is_in_no_message(server: Server, where: Places) -> None:
    for url in (server.by_network(where.url, "wr0ng%2Fsecret"), server.by_network(where.url, "wr0ng/secret"), f"{where.url}&password=wr0ng/secret&x=y",
                "postgresql://runbook:wr0ng/secret@192.0.2.1:port/x"):  # fmt: skip
        with pytest.raises((Unreachable, InvalidInput)) as caught:
            open_database(replace(where, url=url))
        assert "wr0ng" not in caught.value.message + caught.value.hint + str(caught.value.__cause__) + repr(replace(where, url=url))
        assert "secret" not in caught.value.message
    assert open_database(replace(where, url=server.by_network(where.url))).execute("select 1").fetchone() == (1,)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(open_runs.DEAD_SECONDS, str(DEAD))
    monkeypatch.setattr(recorder, "_announce", lambda *_all: None)
    for name in ("RUNBOOK_RUN_ID", "RUNBOOK_RUN_PID", "RUNBOOK_JOURNAL", "RUNBOOK_HISTORY_DIR", "RUNBOOK_HISTORY_URL"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("quick")
def test_a_controller_that_comes_back_after_its_run_was_adopted_doubles_nothing(where: Places, elsewhere: Places) -> None:
    said: list[str] = []
    ours = Recorder(where, said.append)
    ours.begin(dict(started()[1]))
    assert os.environ["RUNBOOK_RUN_ID"] == ours.run_id
    relay = ours._relay
    assert relay
    relay.stop()  # as a controller that hangs
    time.sleep(DEAD + 0.5)
    with History(elsewhere) as history:
        key = history.ledger_key()
        assert history.adopt(key) == ([ours.run_id], []) and history.adopt(key) == ([], [])
    relay._carry()
    ours.record("hosts", {"hosts": {}})
    assert os.environ["RUNBOOK_RUN_ID"] == "" and "another controller took it for dead" in said[0]
    ending = ours.finish("finished", {}, 0)
    assert ending.anchor is None and Path(ending.report).is_file()
    assert "sealed it as killed" in said[-1] and str(where.late) in said[-1]
    assert [path.stem for path in where.late.iterdir()] == [ours.run_id] and not list(where.sealed.glob("*"))
    assert rows(where, "select run_id, state from runs") == [(ours.run_id, "killed")]
    with History(where, read_only=True) as history:
        assert history.verify(key) == []


@pytest.mark.usefixtures("quick")
def test_a_run_invented_in_the_database_is_not_blessed(where: Places) -> None:
    seal(where, 1)
    forged = chained(run_id(7), [started(run_id=run_id(7)), ("bodies_dropped", {"columns": {}, "groups": [], "cut": None})])
    db = open_database(where)
    with db.transaction():
        db.execute("insert into open_runs values (?, 'x', 0)", (run_id(7),))
        db.insert("open_events", [(run_id(7), *event, "0" * 64) for event in forged])
    with History(where) as history:
        assert history.adopt(KEY) == ([run_id(7)], [])
        assert history.verify(KEY) == []
    assert rows(where, f"select type from events where run_id = '{run_id(7)}' order by seq") == [("quarantined",), ("run_ended",)]


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # Ansible forks so, too
def test_a_forked_child_leaves_the_connection_alone(where: Places) -> None:
    said: list[str] = []
    ours = Recorder(where, said.append)
    ours.begin(dict(started()[1]))
    relay = ours._relay
    assert relay
    until(lambda: relay._db is not None)
    for _number in range(30):
        pid = os.fork()
        if pid == 0:
            relay._db = None
            gc.collect()
            with History(where, read_only=True) as history:
                os._exit(len(history.open_runs()))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    ours.record("hosts", {"hosts": {}})
    until(lambda: len(rows(where, "select 1 from open_events")) == 2)
    assert ours.finish("finished", {}, 0).anchor and said == []
    assert rows(where, "select 1 from open_events union all select 1 from open_runs") == []
    assert not relay._thread.is_alive()


@pytest.fixture
def sites(server: Server, tmp_path: Path) -> list[Site]:
    """Two controllers with folders of their own, one history and one key."""
    from conftest import make_runner

    url = server.by_network(server.database())
    key = tmp_path / "ledger.key"
    key.write_text("5a" * 32, encoding="ascii")
    key.chmod(0o600)
    shared = {"RUNBOOK_HISTORY_URL": url, "RUNBOOK_LEDGER_KEY_FILE": str(key)}
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(Site(replace(make_runner(tmp_path / name), environment=shared)))
        made[-1].unrecorded |= shared
    return made


def place(site: Site) -> Places:
    environment = site.runner.environment
    return Places(site.history, site.history / "reports", Path(environment["RUNBOOK_LEDGER_KEY_FILE"]), environment["RUNBOOK_HISTORY_URL"])


def said_by(done: Any) -> str:
    return re.sub(r"\s+", " ", done.stdout + done.stderr)


def test_two_controllers_at_once_make_one_chain(sites: list[Site], tmp_path: Path) -> None:
    barrier = {"name": "Wait for the others", "ansible.builtin.wait_for": {"path": str(tmp_path / "go"), "timeout": 120, "sleep": 1}}
    running = [site.start(site.play(barrier, VERDICT, NOTE)) for site in sites for _number in range(2)]
    until(lambda: sum(len(list((site.history / "open").glob("*.jsonl"))) for site in sites) == 4, 120)
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=180)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4, outputs
    assert sorted(re.findall(r"ledger (\d):", "".join(outputs))) == ["1", "2", "3", "4"]
    for site in sites:
        found = site.verify()
        assert (found["status"], found["runs"], found["problems"]) == ("ok", 4, [])
    assert not any((site.history / "history.sqlite").exists() for site in sites)


def test_a_killed_run_is_adopted_once_by_another_controller(sites: list[Site], tmp_path: Path) -> None:
    for site in sites:
        site.runner = replace(site.runner, environment={**site.runner.environment, open_runs.DEAD_SECONDS: str(DEAD)})
    marker = tmp_path / "slow"
    process = sites[0].start(sites[0].play(NOTE, slow(marker, 20)))
    until(marker.exists)
    until(lambda: len(rows(place(sites[0]), "select 1 from open_events")) >= 3)
    identity = rows(place(sites[0]), "select run_id from open_runs")[0][0]
    process.kill()
    process.communicate()
    time.sleep(DEAD + 1)
    outputs = [said_by(sites[1].run(sites[1].play(NOTE))) for _time in range(2)]
    assert [text.count(f"Run {identity} was killed") for text in outputs] == [1, 0]
    assert sorted(rows(place(sites[0]), "select state from runs")) == [("finished",), ("finished",), ("killed",)]
    assert "another controller sealed it as killed" not in said_by(sites[1].run(sites[1].play(NOTE)))
    back = said_by(sites[0].run(sites[0].play(NOTE)))
    assert "another controller sealed it as killed" in back and f"Run {identity} was killed" not in back
    assert [path.stem for path in (sites[0].history / "late").iterdir()] == [identity]
    for site in sites:
        assert site.verify()["problems"] == []


def test_a_server_that_is_away_at_the_start_costs_the_record_and_nothing_else(server: Server, sites: list[Site]) -> None:
    site = sites[0]
    server.stop()
    try:
        done = site.run(site.play(VERDICT, NOTE))
    finally:
        server.start()
    said = said_by(done)
    assert done.rc == 2 and said.count("This run is not recorded") == 1 and "run_not_recorded" in said
    assert re.search(r"run record: critical · (\S+\.html) · not in the ledger", said) and PASSWORD not in said and ESCAPED not in said
    done = site.run(site.play(NOTE))
    assert done.rc == 0 and "could not be sealed at its end" in said_by(done)
    assert sorted(rows(place(site), "select state, exit_code from runs")) == [("finished", 0), ("finished", 2)]
    assert site.verify()["problems"] == []


def test_a_server_that_is_away_in_the_middle_costs_nothing(server: Server, sites: list[Site], tmp_path: Path) -> None:
    site = sites[0]
    gate = {"name": "Wait", "ansible.builtin.wait_for": {"path": str(tmp_path / "go"), "timeout": 120, "sleep": 1}}
    process = site.start(site.play(NOTE, slow(tmp_path / "slow", 1), gate, NOTE))
    until((tmp_path / "slow").exists)
    server.stop()
    time.sleep(2)
    server.start()
    (tmp_path / "go").touch()
    output = re.sub(r"\s+", " ", process.communicate(timeout=120)[0])
    assert process.returncode == 0 and "ledger 1:" in output and output.count("The shared history cannot be reached") == 1, output
    assert PASSWORD not in output and ESCAPED not in output
    events = rows(place(site), "select type from events order by seq")
    assert [row[0] for row in events] == ["run_started", "hosts", "step", "step", "step", "run_ended"]
    assert rows(place(site), "select state, exit_code from runs") == [("finished", 0)]
    assert site.verify()["problems"] == []


def test_tasks_see_no_password_and_actions_find_the_history(sites: list[Site]) -> None:
    site = sites[0]
    show = {"name": "Show", "ansible.builtin.command": {"argv": [sys.executable, "-c", "import os; print(os.environ['RUNBOOK_HISTORY_URL'])"]}}
    ask = {"tradeops.runbook.run_history_info": {}, "register": "found"}
    tell = {"ansible.builtin.debug": {"msg": "{{ found.runs | length }} runs"}}
    site.run(site.play(NOTE))
    done = site.run(site.play(show, ask, tell), arguments=("-vvv",))
    assert done.rc == 0 and "postgresql://runbook@127.0.0.1" in done.stdout and "1 runs" in done.stdout
    assert PASSWORD not in said_by(done) and ESCAPED not in said_by(done)
    dump = json.dumps(rows(place(site), "select body from events"))
    assert PASSWORD not in dump and ESCAPED not in dump
    broken = {**site.runner.environment, "RUNBOOK_HISTORY_URL": site.runner.environment["RUNBOOK_HISTORY_URL"].replace(ESCAPED, "wr0ng")}
    done = site.run(site.play(NOTE), environment=broken, arguments=("-vvv",))
    assert done.rc == 2 and "password authentication failed" in said_by(done) and "wr0ng" not in said_by(done)


def test_the_playbook_prunes_a_shared_history(sites: list[Site], collection_root: Path) -> None:
    site = sites[0]
    for _number in range(2):
        site.run(site.play(NOTE, VERDICT))
    later = time.time() + 100 * 86400
    prune = {"tradeops.runbook.run_history_prune": {"run_id": "{{ lookup('tradeops.runbook.run', 'id') }}", "now": later}}
    before = rows(place(site), "select count(*) from events where body is not null")
    assert site.run(site.play(prune, hosts="localhost"), arguments=("--check",)).rc == 0
    assert rows(place(site), "select count(*) from events where body is null") == [(0,)] and before
    assert site.runner(collection_root / "playbooks/prune_history.yml").rc == 0, "nothing is old enough"
    done = site.run(site.play(prune, hosts="localhost"))
    assert done.rc == 0, done.stdout
    assert rows(place(site), "select count(*) from events where body is not null and type <> 'bodies_dropped'")[0][0] < 6
    assert len(list((site.history / "sealed").glob("*.jsonl"))) == 1
    assert site.verify()["problems"] == []
    assert len(rows(place(site), "select 1 from measures")) == 2
    rows_changed = open_database(place(site))
    rows_changed.execute("update measures set value = 1")
    rows_changed.close()
    assert {problem["kind"] for problem in site.verify()["problems"]} == {"table_changed"}
    shutil.rmtree(site.history / "sealed")
