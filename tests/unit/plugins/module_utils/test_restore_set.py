# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host knows of a set while it is restored, and the versions that belong to it; with real databases and a real state folder."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, NotThere, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.restore import changed_versions
from ansible_collections.tradeops.runbook.tests.unit.plugins.module_utils.backups import Site, dump

SET = {"name": "trading", "members": ["orders", "trades"]}


class Pair:
    """Two databases that are a set, on one host."""

    def __init__(self, folder: Path) -> None:
        self.sites = {name: Site(folder / name).make(rows=number + 5) for number, name in enumerate(SET["members"])}
        self.state = folder / "state"

    def call(self, name: str, run: str, **options: Any) -> dict[str, Any]:
        site = self.sites[name]
        return site.restore(**{"name": name, "run_id": run, "state_dir": str(self.state), "set": SET, "select": "latest", **options})

    def back_up(self) -> None:
        for name, site in self.sites.items():
            site.take(name=name)

    def change(self) -> dict[str, str]:
        for site in self.sites.values():
            with closing(sqlite3.connect(site.database)) as connection:
                connection.execute("insert into debits (amount) values (7)")
                connection.commit()
        return self.content()

    def content(self) -> dict[str, str]:
        return {name: dump(site.database) for name, site in self.sites.items()}

    def restore(self, name: str, run: str) -> dict[str, Any]:
        return self.call(name, run, confirm=self.call(name, run, check_mode=True)["confirm"])

    def undo(self, run: str) -> list[bool]:
        """Whether each changed, the last one first."""
        return [bool(self.call(name, "back", undo=run).get("changed")) for name in reversed(SET["members"])]

    def unfinished(self) -> str:
        return str(self.call("trades", "looks", check_mode=True)["unfinished"])


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    made = Pair(tmp_path)
    made.back_up()
    return made


def test_what_is_half_done_is_known_until_it_is_done(pair: Pair) -> None:
    assert pair.unfinished() == ""
    pair.restore("orders", "run-a")
    assert pair.call("trades", "run-a", check_mode=True)["unfinished"] == "", "the run itself is at it"
    assert pair.unfinished() == (
        "the run run-a was interrupted: it restored orders of the set, and not trades; restore the whole set, or take it back with restore_undo=run-a"
    )
    pair.restore("trades", "run-a")
    assert pair.unfinished() == "" and not list(pair.state.glob("intents/*.json"))


def test_a_run_is_taken_back_as_far_as_it_came(pair: Pair) -> None:
    changed = pair.change()
    pair.restore("orders", "run-a")
    assert pair.content()["orders"] != changed["orders"]
    assert pair.undo("run-a") == [False, True] and pair.content() == changed and pair.unfinished() == ""
    assert pair.undo("run-a") == [False, False], "nothing is left to take back"


def test_a_whole_set_is_taken_back_by_its_run(pair: Pair) -> None:
    changed = pair.change()
    for name in SET["members"]:
        pair.restore(name, "run-a")
    assert pair.undo("run-a") == [True, True] and pair.content() == changed


def test_what_an_earlier_run_left_is_known_again_once_the_next_is_taken_back(pair: Pair) -> None:
    pair.restore("orders", "run-a")
    pair.change()
    pair.restore("orders", "run-b")
    assert "the run run-b was interrupted" in pair.unfinished()
    assert pair.undo("run-b") == [False, True]
    assert "the run run-a was interrupted: it restored orders" in pair.unfinished()


def test_a_member_that_is_restored_alone_knows_of_what_is_half_done(pair: Pair) -> None:
    pair.restore("orders", "run-a")
    alone = pair.call("trades", "run-b", set=None, confirm=pair.call("trades", "run-b", set=None, check_mode=True)["confirm"])
    assert "the run run-a was interrupted" in alone["unfinished"]


def test_one_restore_is_no_run_of_a_set(pair: Pair) -> None:
    pair.restore("orders", "run-a")
    one = pair.restore("trades", "run-a")["restore"]["id"]
    with pytest.raises(InvalidInput, match="is one restore"):
        pair.call("trades", "run-b", undo=one)


def test_a_set_stays_half_done_until_every_member_is_taken_back(pair: Pair) -> None:
    """Whatever order they go in, and whatever was not known to be restored."""
    pair.restore("orders", "run-a")
    [note] = pair.state.glob("intents/set-*.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "restored": []}))
    pair.call("trades", "run-b", undo="run-a")
    assert "the run run-a was interrupted" in pair.unfinished()
    pair.call("orders", "run-b", undo="run-a")
    assert pair.unfinished() == ""


def test_what_is_restored_alone_knows_of_no_set(pair: Pair) -> None:
    done = pair.call("orders", "run-a", set=None, confirm=pair.call("orders", "run-a", set=None, check_mode=True)["confirm"])
    assert done["unfinished"] == "" and pair.unfinished() == ""
    with pytest.raises(NotThere):
        pair.call("orders", "run-c", set=None, undo="run-b")
    assert pair.call("orders", "run-c", set=None, undo="run-c").get("changed") is None, "whatever this run did: it did nothing"
    assert pair.call("orders", "run-c", set=None, undo="run-a")["changed"], "a run is as good as the restore it did"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"python": "3.9", "revision": "41"}, {"revision": "42"}, ["the revision was 41 and is now 42"]),
        ({"image api": "sha256:a"}, {"image api": "sha256:b"}, ["the image api was sha256:a and is now sha256:b"]),
        ({"revision": "41"}, {"revision": "41", "git": "x"}, []),
        ({"revision": 41}, {"revision": "41"}, []),
        ({"revision": "41"}, {}, ["the revision was 41, and what it is now is not known"]),
        (None, {"revision": "41"}, []),
        ("damaged", {}, []),
    ],
)
def test_versions_that_changed(before: Any, now: dict[str, str], told: list[str]) -> None:
    assert changed_versions(before, now) == told


def test_versions_are_in_the_manifest_and_a_question_without_an_answer_is_a_note(tmp_path: Path) -> None:
    site = Site(tmp_path).make()
    made = site.take(versions={"git": "4f2a91c", "number": 7}, revision="select max(amount) from credits")
    assert made["artifact"]["versions"].items() >= {"git": "4f2a91c", "number": "7", "revision": "49"}.items() and made["notes"] == []
    other = site.take(revision="select version from migrations", images={"containers": ["none-of-this-name"]})
    assert other["outcome" if "outcome" in other else "changed"] and len(other["notes"]) == 2
    assert "the revision is not known: the query cannot be answered: no such table: migrations" in other["notes"][0]
    assert other["notes"][1].startswith("the images are not known: ") and set(other["artifact"]["versions"]) == {"python"}


def test_a_doubt_does_not_change_the_confirmation_and_a_broken_revision_stops_no_restore(tmp_path: Path) -> None:
    site = Site(tmp_path).make()
    site.take(revision="select max(amount) from credits")
    plans = [site.restore(check_mode=True, select="latest", revision=query) for query in ("select max(amount) from credits", "select 1", "select broken")]
    assert [plan["doubts"][1:] for plan in plans] == [[], ["the revision was 49 and is now 1"], ["the revision was 49, and what it is now is not known"]]
    assert len({plan["confirm"] for plan in plans}) == 1


def test_what_cannot_be_asked_is_a_mistake(tmp_path: Path) -> None:
    site = Site(tmp_path).make()
    with pytest.raises(InvalidInput, match="cannot be asked for its revision") as caught:
        site.take(source={"files": {"root": str(site.data)}}, revision="select 1")
    assert isinstance(caught.value, RunbookError) and not [one for one in site.catalog() if one.manifest]
