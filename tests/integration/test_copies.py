# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of backups in a second repository, a folder or a bucket: the same bytes, what they protect from pruning, and the shipped playbooks."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tradeops.runbook.plugins.module_utils._core.catalog import note_name
from ansible_collections.tradeops.runbook.plugins.module_utils._core.copy import NotTheSame
from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import Busy, InvalidInput, NoSpace, NotThere, RunbookError, TimedOut
from ansible_collections.tradeops.runbook.plugins.module_utils._core.keep import NoRecentProof
from ansible_collections.tradeops.runbook.plugins.module_utils._core.manifest import digest_of
from ansible_collections.tradeops.runbook.plugins.module_utils._core.transfer import Corrupt
from ansible_collections.tradeops.runbook.plugins.module_utils._drivers._directory import Directory
from ansible_collections.tradeops.runbook.tests.integration.conftest import PlaybookRunner
from ansible_collections.tradeops.runbook.tests.support.backup_sites import FilesSite, SqliteSite
from ansible_collections.tradeops.runbook.tests.support.copy_sites import DAY, HOUR, Copied, files_of
from ansible_collections.tradeops.runbook.tests.support.s3_faults import BUCKET, Fault, Server, serving
from ansible_collections.tradeops.runbook.tests.support.service import checks_of, newest_report


@pytest.fixture(params=["directory", "s3"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copied]:
    """With a copy in another folder, and in a bucket."""
    if request.param == "directory":
        yield Copied(SqliteSite(tmp_path))
        return
    pytest.importorskip("boto3", reason="boto3 is not installed")
    with serving() as server:
        yield in_bucket(tmp_path, server)
        assert not server.uploads and not server.unsigned


def in_bucket(folder: Path, server: Server) -> Copied:
    options = {
        "bucket": BUCKET, "prefix": "copy", "endpoint_url": server.url, "allow_http": True, "region": "eu-central-1", "access_key": "AKID",
        "secret_access_key": "geheim-4711", "addressing_style": "path", "part_mib": 5, "max_attempts": 1, "state_dir": str(folder / "s3"),
    }  # fmt: skip
    return Copied(SqliteSite(folder), {"s3": options})


@pytest.fixture
def folders(tmp_path: Path) -> Copied:
    """With a copy in another folder."""
    return Copied(SqliteSite(tmp_path))


def stored(pair: Copied, name: str) -> list[dict[str, Any]]:
    """The parts of an artifact, as its manifest has them."""
    [found] = [artifact for artifact in pair.site.artifacts() if artifact.id == name]
    assert found.manifest is not None
    return list(found.manifest["parts"])


# --- what is copied ----------------------------------------------------------------------------------------------------------------


def test_the_same_names_bytes_and_digests(pair: Copied) -> None:
    made = pair.take()
    before = files_of(pair.site.store)
    done = pair.copy()
    assert (done["changed"], done.get("outcome", "ok"), [step["name"] for step in done["performed"]]) == (True, "ok", [made])
    assert done["copied_bytes"] == sum(part["stored_bytes"] for part in stored(pair, made)) and done["newest"]["id"] == made
    [here], [there] = pair.site.artifacts(), pair.there()
    assert (there.id, there.manifest, there.manifest_sha256, there.state) == (here.id, here.manifest, here.manifest_sha256, "good")
    repository = pair.repository()
    for name, body in before.items():
        with repository.open(name) as reader:
            assert b"".join(iter(lambda: reader.read(1 << 20), b"")) == body, name
    assert here.level == "restored" and there.level == "digest" and there.restored_at is None, "nobody restored from the copy yet"
    again = pair.copy()
    assert (again["changed"], again["plan"], again["copied_bytes"]) == (False, [], 0)


def test_a_copy_restores_without_the_first(pair: Copied) -> None:
    made, wanted = pair.take(), pair.site.content()
    pair.copy()
    shutil.rmtree(pair.site.store)
    pair.site.change()
    proof = pair.site.prove(repository=pair.to)["proof"]
    assert proof["ok"] and proof["id"] == made
    pair.site.restore(repository=pair.to, select=made)
    assert pair.site.content() == wanted and pair.there()[0].level == "restored"


def test_check_mode_says_what_it_would_copy_and_touches_nothing(folders: Copied) -> None:
    assert folders.copy(check_mode=True)["notes"] == ["there is no repository yet"]
    with pytest.raises(NotThere):
        folders.copy()
    made = folders.take()
    told = folders.copy(check_mode=True)
    [step] = told["plan"]
    assert (step["action"], step["name"], step["bytes"]) == ("copy", made, told["copied_bytes"]) and step["bytes"] > 1000
    assert told["changed"] and "performed" not in told and told["diff"] == {"before": "", "after": f"{made}\n"} and told["newest"] is None
    assert not folders.folder.exists()


def test_at_first_the_newest_then_what_is_new_oldest_first_and_everything_on_request(folders: Copied) -> None:
    old = [folders.take(age * DAY) for age in (5, 4)]
    newest = folders.take(3 * DAY)
    assert [step["name"] for step in folders.copy()["performed"]] == [newest]
    later = [folders.take(age * HOUR, proven=False) for age in (4, 3, 2)]
    assert [step["name"] for step in folders.copy()["performed"]] == later
    assert [step["name"] for step in folders.copy(select="all")["performed"]] == old
    assert [artifact.id for artifact in folders.there()] == [*old, newest, *later]
    assert folders.copy(select="all")["plan"] == [] and folders.copy(select=old[0])["plan"] == []
    assert folders.copy(select="latest")["plan"] == []


def test_what_is_encrypted_stays_encrypted_and_needs_no_key(folders: Copied) -> None:
    """Copying never asks for a codec: what is stored need not even be a frame."""
    made = folders.take(proven=False)
    [path] = folders.site.store.rglob(f"{made}.data.*")
    sealed = os.urandom(5000)
    path.write_bytes(sealed)
    manifest = next(folders.site.store.rglob(f"{made}.manifest.json"))
    data = json.loads(manifest.read_text())
    data["parts"][0].update(stored_bytes=5000, stored_sha256=digest_of(sealed), compression="zstd+age", recipients=["age1x", "age1y"])
    manifest.write_text(json.dumps(data))  # nor has a manifest to be spelt as ours are
    folders.copy()
    assert files_of(folders.folder) == files_of(folders.site.store)


def test_a_suspect_one_is_copied_and_stays_suspect(folders: Copied) -> None:
    good, name = folders.take(HOUR), folders.take(proven=False)
    manifest = next(folders.site.store.rglob(f"{name}.manifest.json"))
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "suspect": "a page is torn"}))
    done = folders.copy(select="all")
    assert [step["name"] for step in done["performed"]] == [good, name] and "suspect: a page is torn" in done["plan"][1]["reason"]
    assert [artifact.state for artifact in folders.there()] == ["good", "suspect"] and done["newest"]["id"] == good
    assert folders.copy()["plan"] == []


def test_a_corrupt_one_is_never_copied(folders: Copied) -> None:
    bad, good = folders.take(2 * HOUR), folders.take(HOUR)
    [path] = folders.site.store.rglob(f"{bad}.data.*")
    path.write_bytes(path.read_bytes()[:-1])
    done = folders.copy(select="all")
    assert [step["name"] for step in done["performed"]] == [good] and done["notes"] == [f"{bad} is corrupt, and no copy is made of it"]
    with pytest.raises(Corrupt, match=f"{bad} is corrupt"):
        folders.copy(select=bad)


def test_one_that_was_damaged_since_keeps_no_other_from_being_copied(folders: Copied) -> None:
    first, bad, last = (folders.take(age * HOUR, proven=False) for age in (3, 2, 1))
    [path] = folders.site.store.rglob(f"{bad}.data.*")
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    done = folders.copy(select="all")
    assert (done["outcome"], done["code"]) == ("partial", "corrupt") and path.name in done["msg"]
    assert [step["name"] for step in done["performed"]] == [first, last] == [artifact.id for artifact in folders.there()]
    assert [artifact.state for artifact in folders.site.artifacts()] == ["good", "corrupt", "good"], "and what was seen is kept as a proof"
    assert folders.copy(select="all")["plan"] == []


def test_holds_go_along_and_later_ones_too(folders: Copied) -> None:
    first = folders.take(HOUR)
    hold = note_name(folders.place.prefix, first, "hold", "case-7")
    folders.here().create(hold, b'{"by": "legal"}\n')
    steps = folders.copy()["performed"]
    assert [(step["action"], step["name"]) for step in steps] == [("hold", first), ("copy", first)] and folders.there()[0].holds == ("case-7",)
    folders.here().create(note_name(folders.place.prefix, first, "hold", "case-8"), b"{}\n")
    assert [(step["action"], step["case"]) for step in folders.copy()["performed"]] == [("hold", "case-8")]
    folders.here().delete(hold)
    assert folders.copy()["plan"] == [] and folders.there()[0].holds == ("case-7", "case-8"), "nothing is ever taken from a copy"


# --- refusals ----------------------------------------------------------------------------------------------------------------------


def test_something_else_under_its_name_is_refused_and_named(folders: Copied) -> None:
    folders.take(2 * HOUR)
    folders.copy()
    made = folders.take(HOUR)
    [path] = folders.site.store.rglob(f"{made}.manifest.json")
    other = {**json.loads(path.read_text()), "host": "somebody"}
    target = folders.repository()
    for part in stored(folders, made):
        with folders.here().open(folders.place.prefix + part["name"]) as reader:
            target.create(folders.place.prefix + part["name"], reader.read(1 << 30))
    target.create(note_name(folders.place.prefix, made, "manifest"), json.dumps(other).encode())
    with pytest.raises(NotTheSame, match=f"{made} has another manifest in .*(offsite|s3://)") as caught:
        folders.copy()
    assert caught.value.code == "not_the_same" and [artifact.manifest["host"] for artifact in folders.there()[-1:] if artifact.manifest] == ["somebody"]


def test_a_part_of_other_bytes_is_refused_and_never_written_over(folders: Copied) -> None:
    made = folders.take()
    [part] = stored(folders, made)
    target = folders.repository()
    target.initialize()
    target.create(folders.place.prefix + part["name"], b"x" * part["stored_bytes"])
    done = folders.copy()
    assert (done["outcome"], done["code"]) == ("refused", "not_the_same") and part["name"] in done["msg"] and "by hand" in done["hint"]
    assert [artifact.state for artifact in folders.there()] == ["incomplete"]


def test_a_copy_that_was_damaged_there_is_named(folders: Copied) -> None:
    made = folders.take()
    folders.copy()
    [path] = folders.folder.rglob(f"{made}.data.*")
    path.write_bytes(b"short")
    with pytest.raises(NotTheSame, match=f"{made} is corrupt .* is missing, or not as long"):
        folders.copy()


def test_one_that_was_damaged_there_keeps_no_other_from_being_copied(folders: Copied) -> None:
    folders.take(3 * HOUR)
    bad = folders.take(2 * HOUR)
    folders.copy(select="all")
    [path] = folders.folder.rglob(f"{bad}.data.*")
    path.write_bytes(b"short")
    new = folders.take(HOUR)
    done = folders.copy(select="all")
    assert (done["outcome"], done["code"], [step["name"] for step in done["performed"]]) == ("partial", "not_the_same", [new]) and bad in done["msg"]


def test_after_an_outage_everything_since_goes_there(folders: Copied) -> None:
    """Even what both had was pruned here meanwhile."""
    common = folders.take(9 * HOUR, proven=False)
    folders.copy()
    later = [folders.take(age * HOUR, proven=False) for age in (3, 2, 1)]
    for path in folders.site.store.rglob(f"{common}.*"):
        path.unlink()
    assert [step["name"] for step in folders.copy()["performed"]] == later


def test_what_is_newer_there_and_not_ours_is_told(folders: Copied) -> None:
    folders.take(2 * HOUR)
    foreign = folders.take(HOUR)
    folders.copy()
    for path in folders.site.store.rglob(f"{foreign}.*"):
        path.unlink()
    assert [foreign in note and "who else writes there" in note for note in folders.copy()["notes"]] == [True]


def test_a_repository_is_no_copy_of_itself(folders: Copied, tmp_path: Path) -> None:
    folders.take()
    (tmp_path / "other name").symlink_to(folders.site.store)
    folders.to = {"directory": {"path": str(tmp_path / "other name")}}
    with pytest.raises(InvalidInput, match="is the same repository as"):
        folders.copy()
    with pytest.raises(InvalidInput, match="is the same repository as"):
        folders.prune()


def test_two_at_once(folders: Copied) -> None:
    folders.take()
    folders.repository().initialize()
    with Directory({"path": str(folders.folder)}).locked(folders.place.prefix):
        with pytest.raises(Busy):
            folders.copy()
    assert folders.there() == [] and folders.copy()["performed"]


def test_too_little_room_is_seen_before_anything_is_written(folders: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.take()
    monkeypatch.setattr(Directory, "free_bytes", lambda self: 1000)
    with pytest.raises(NoSpace, match="offsite has 1000 B free"):
        folders.copy()
    assert not folders.folder.exists()


def test_the_time_it_may_take(folders: Copied) -> None:
    folders.take()
    done = folders.copy(timeout_seconds=1e-6)
    assert (done["outcome"], done["code"]) == ("failed", TimedOut.code) and folders.there() == [] and not list(folders.folder.rglob(".*.part"))


def test_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.tradeops.runbook.plugins.module_utils._module.progress._EVERY_SECONDS", 0.0)
    pair = Copied(FilesSite(tmp_path))
    pair.take()
    size = pair.copy(progress_file=str(tmp_path / "progress"))["copied_bytes"]
    body = json.loads((tmp_path / "progress").read_text())
    assert (body["what"], body["done_bytes"], body["total_bytes"]) == ("copy", size, size)


# --- what the network does ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    Fault("PutObject", "flip", 99), Fault("GetObject", "cut", 99, after=3), Fault("ListObjectsV2", "error", 99, status=503),
    Fault("PutObject", "reset", 99, after=1), Fault("PutObject", "lost", 1, after=1),
], ids=lambda fault: f"{fault.operation} {fault.how}")  # fmt: skip
def test_a_bucket_that_breaks(fault: Fault, tmp_path: Path) -> None:
    """Nothing half is seen, and the next run finishes."""
    pytest.importorskip("boto3", reason="boto3 is not installed")
    with serving() as server:
        pair = in_bucket(tmp_path, server)
        first = pair.take(HOUR)
        pair.copy()
        last = pair.take()
        server.faults = [fault]
        try:
            failed = pair.copy().get("outcome", "ok")
        except RunbookError as error:
            failed = error.code
        server.faults = []
        assert failed != "ok" or pair.there()[-1].id == last
        for artifact in pair.there():
            assert artifact.state in ("good", "incomplete") and (artifact.id != first or artifact.state == "good")
            if artifact.state == "good":
                assert pair.site.prove(repository=pair.to, select=artifact.id, level="readable")["proof"]["ok"]
        pair.copy()
        assert [artifact.state for artifact in pair.there()] == ["good", "good"] and not server.uploads


# --- what a copy keeps from being pruned -------------------------------------------------------------------------------------------


def test_nothing_is_pruned_before_the_copy_has_it(pair: Copied) -> None:
    old = [pair.take(age * HOUR) for age in (6, 5)]
    told = pair.prune()
    assert (told["outcome"], told["plan"], told.get("performed", [])) == ("warn", [], []) and "it has no good backup of this source" in told["notes"][0]
    assert [row["rules"] for row in told["decisions"]][1] == ["not yet in offsite"]
    pair.copy()
    later = [pair.take(age * HOUR) for age in (4, 3)]
    done = pair.prune()
    assert [step["name"] for step in done["performed"]] == old[::-1]
    assert [artifact.id for artifact in pair.site.artifacts()] == later and done["outcome"] == "ok"
    rules = {row["id"]: row["rules"] for row in done["decisions"]}
    assert rules[later[0]] == ["not yet in offsite"]
    pair.copy()
    assert [step["name"] for step in pair.prune()["performed"]] == [later[0]]


def test_every_copy_has_to_have_it(folders: Copied, tmp_path: Path) -> None:
    old, _last = folders.take(2 * HOUR), folders.take(HOUR)
    folders.copy()
    both = [{"name": "offsite", **folders.to}, {"name": "vault", "directory": {"path": str(tmp_path / "vault")}}]
    assert folders.prune(both)["plan"] == []
    folders.copy(to={"directory": both[1]["directory"]})
    assert [step["name"] for step in folders.prune(both)["performed"]] == [old]


@pytest.mark.parametrize(("pair", "what"), [("directory", "data"), ("directory", "manifest"), ("directory", "all of it"), ("s3", "data")], indirect=["pair"])
def test_what_was_deleted_in_the_copy_behind_our_back_is_noticed(pair: Copied, what: str) -> None:
    """That it was uploaded once counts for nothing."""
    old = pair.take(3 * HOUR)
    pair.copy()
    middle, last = pair.take(2 * HOUR), pair.take(HOUR)
    pair.copy()
    target = pair.repository()
    for entry in list(target.list(pair.place.prefix)):
        name = entry.name[len(pair.place.prefix) :]
        if name.startswith((middle, last)) and (what == "all of it" or f".{what}." in name):
            target.delete(entry.name)
    done = pair.prune()
    assert [step["name"] for step in done["performed"]] == [old], "the copy of this one is still there"
    assert [artifact.id for artifact in pair.site.artifacts()] == [middle, last]
    assert {row["id"]: row["rules"] for row in done["decisions"]}[middle] == ["not yet in offsite"]


def test_a_copy_that_cannot_be_asked_keeps_everything(tmp_path: Path) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    with serving() as server:
        pair = in_bucket(tmp_path, server)
        names = [pair.take(age * HOUR) for age in (3, 2, 1)]
        pair.copy(select="all")
        assert len(pair.prune(check_mode=True)["plan"]) == 2
        denied = Fault("ListObjectsV2", "error", 99, status=403, code="AccessDenied")
        for fault in (Fault("ListObjectsV2", "error", 99, status=503), denied, Fault("*", "reset", 999)):
            server.faults = [fault]
            told = pair.prune()
            assert (told["outcome"], told["plan"]) == ("warn", []) and "until there is a copy in offsite" in told["notes"][0]
            assert [artifact.id for artifact in pair.site.artifacts()] == names
        server.faults, server.page = [Fault("ListObjectsV2", "error", 99, after=2, status=500)], 1
        assert pair.prune()["plan"] == [], "half a listing"
    told = pair.prune()
    assert told["plan"] == [] and [artifact.id for artifact in pair.site.artifacts()] == names, "nobody is there any more"


def test_a_begun_removal_waits_as_well(folders: Copied) -> None:
    old, last = folders.take(2 * HOUR), folders.take(HOUR)
    folders.here().create(note_name(folders.place.prefix, old, "removed"), b"{}\n")
    assert folders.prune()["plan"] == []
    folders.copy()
    assert [(step["action"], step["name"]) for step in folders.prune()["performed"]] == [("remove", old)]
    assert [artifact.id for artifact in folders.site.artifacts()] == [last]


def test_a_copy_is_pruned_by_what_was_proven_there(folders: Copied) -> None:
    old, last = folders.take(2 * HOUR), folders.take(HOUR)
    folders.copy(select="all")
    store, folders.site.store = folders.site.store, folders.folder
    with pytest.raises(NoRecentProof):
        folders.prune([])
    folders.site.prove(select=last)
    assert [step["name"] for step in folders.prune([])["performed"]] == [old]
    folders.site.store = store
    assert [artifact.id for artifact in folders.site.artifacts()] == [old, last]


# --- the playbooks -----------------------------------------------------------------------------------------------------------------


SECRET = "geheim-4711"


def inventory_of(folder: Path, server: Server) -> Path:
    """A host with one source and two copies, whose bucket has keys."""
    path = folder / "inventory.json"
    bucket = {
        "bucket": BUCKET, "endpoint_url": server.url, "allow_http": True, "region": "eu-central-1", "access_key": "AKIDWRITER",
        "secret_access_key": SECRET, "addressing_style": "path", "max_attempts": 1, "state_dir": str(folder / "s3"),
    }  # fmt: skip
    variables = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbook_system": "exchange", "runbook_environment": "test",
        "backup_repository": {"directory": {"path": str(folder / "repository")}},
        "backup_copies": [{"directory": {"path": str(folder / "offsite")}}, {"name": "bucket", "s3": bucket}],
        "backup_keep": {"last": 1, "minimum_restored": 1}, "backup_max_remove_percent": 60, "backup_prune_access": {"s3": {"access_key": "AKIDPRUNER"}},
        "backup_sources": [{"name": "trades", "source": {"sqlite": {"path": str(folder / "data/trades.db")}}}],
    }  # fmt: skip
    path.write_text(json.dumps({"all": {"hosts": {"node": variables}}}))
    return path


def test_playbooks_take_copy_prune_and_verify(playbook: PlaybookRunner, tmp_path: Path) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    pair = Copied(SqliteSite(tmp_path))
    first = pair.take(HOUR)
    with serving() as server:
        inventory = inventory_of(tmp_path, server)

        def run(name: str, *more: str, rc: int = 0) -> tuple[str, dict[str, Any]]:
            done = playbook(name, "-vvv", "--diff", *more, inventory=inventory)
            assert done.rc == rc and SECRET not in done.stdout + done.stderr, done.stdout[-4000:]
            report = newest_report(done.history)
            assert SECRET not in json.dumps(report)
            return done.stdout, checks_of(report, "node")

        stdout, checks = run("backup.yml")
        names = {"backup of trades", "copy of trades in directory", "copy of trades in bucket"}
        assert {checks[name]["status"] for name in names} == {"ok"} and checks["copy of trades in bucket"]["measures"]["copied"] > 1000
        assert "(item=trades to bucket)" in stdout
        last = pair.site.artifacts()[-1].id
        pair.copy(select="all")
        stored = files_of(pair.site.store)
        assert stored == files_of(pair.folder) and {name: body for name, body in stored.items() if last in name} == {
            name: found.body for name, found in server.objects.items() if found and ".proof." not in name and name != "tradeops-repository.json"
        }
        pair.site.prove(select=last)
        _stdout, checks = run("verify_backups.yml", "-e", "backup_verify_copy=directory")
        assert checks["copy of trades in directory"]["measures"]["rto"] >= 0 and "backup of trades" not in checks
        server.faults = [Fault("*", "error", 9999, status=403, code="AccessDenied")]
        _stdout, checks = run("prune_backups.yml", rc=2)
        assert files_of(pair.site.store) == stored and "until there is a copy in bucket, nothing is removed" in checks["backup of trades"]["message"]
        assert {name: checks[name]["status"] for name in sorted(names)} == {
            "backup of trades": "warning", "copy of trades in bucket": "critical", "copy of trades in directory": "ok",
        }  # fmt: skip
        assert [artifact.id for artifact in pair.there()] == [last] and first in str([*stored]), "each place by what was proven there"
        assert checks["copy of trades in directory"]["measures"]["removed"] == 1
