# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgBackRest has of a backup and of the log after it, as the rules of replay want it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._core.backup_types import Context, Inventory
from .._core.errors import InvalidInput, NotThere, VerifyFailed
from .._core.wal import SEGMENT_BYTES, Archive, Point, Replay, first_gap, parse_history, parse_lsn, parse_segment, plan_replay
from ._pgbackrest import Info, OtherCluster, Pgbackrest

CLUSTER = "cluster"
"""The object of an inventory that has what belongs to no database."""

_HISTORY = re.compile(r"([0-9A-F]{8})\.history")


def point_of(backup: Mapping[str, Any], segment_bytes: int) -> Point:
    """What a backup needs of the log. Raises VerifyFailed when pgBackRest does not tell."""
    try:
        timeline = int(str(backup["archive"]["start"])[:8], 16)
        point = Point(backup["label"], timeline, parse_lsn(backup["lsn"]["start"]), parse_lsn(backup["lsn"]["stop"]), float(backup["timestamp"]["stop"]))
    except (KeyError, TypeError, ValueError, InvalidInput):
        raise VerifyFailed(f"pgBackRest does not tell what the backup {backup.get('label')} needs of the log", "was it taken offline? take another") from None
    if segment_bytes <= 0 or segment_bytes & (segment_bytes - 1):
        raise VerifyFailed(f"a segment of the log has {segment_bytes} bytes, says the manifest", "see where the manifest comes from")
    return point


def read_archive(program: Pgbackrest, identifier: str, segment_bytes: int) -> Archive:
    """Everything archived of one cluster; ``identifier`` as in ``15-1``."""
    folder = f"archive/{program.stanza}/{identifier}"
    segments, histories = {}, {}
    for name, facts in program.listing(folder).items():
        found, history = parse_segment(name, segment_bytes), _HISTORY.fullmatch(name)
        if found and facts.get("type") == "file":
            segments[found] = float(facts["time"])
        elif history:
            histories[int(history[1], 16)] = parse_history(program.run("repo-get", f"{folder}/{name}"))
    return Archive(segments, histories, segment_bytes)


class Way:
    """From the backup of a manifest to where it is to lead. Raises what plan_replay raises, LabelGone, OtherCluster, NotThere."""

    def __init__(self, options: Mapping[str, Any], context: Context, manifest: Mapping[str, Any]) -> None:
        program = Pgbackrest(options, context)
        label = str(manifest.get("label") or "")
        if not label:
            raise NotThere("the manifest names no backup of pgBackRest", "see whether it is one of the kind pgbackrest")
        info = Info(program, label)
        self.backup = info.labelled(label)
        self.cluster = info.database(self.backup["database"]["id"])
        recorded = str(manifest.get("identity", {}).get("system_id") or "")
        if recorded and recorded != str(self.cluster["system-id"]):
            raise OtherCluster(
                f"the backup {label} in the stanza {program.stanza} is of the cluster {self.cluster['system-id']}, and the manifest of {recorded}",
                "see stanza and config: they lead to another repository",
            )
        figures = manifest.get("inventory", {}).get("objects", {}).get(CLUSTER, {})
        self.segment_bytes = int(figures.get("wal_segment_bytes") or SEGMENT_BYTES)
        self._point = point_of(self.backup, self.segment_bytes)
        self._archive = read_archive(program, f"{self.cluster['version']}-{self.cluster['id']}", self.segment_bytes)
        self.replay: Replay = plan_replay(self._point, self._archive, context.until, (context.now, options.get("timeline")))

    def gap(self) -> str:
        """The segment that is missing though later ones are there; "" when none is."""
        return first_gap(self._point, self._archive, self.replay.timeline)


def inventory_of(backup: Mapping[str, Any], cluster: Mapping[str, Any], segment_bytes: int) -> Inventory:
    """Databases and tablespaces by name, and the cluster that they are in."""
    objects: dict[str, dict[str, Any]] = {f"database {one['name']}": {"oid": int(one["oid"])} for one in backup.get("database-ref") or ()}
    objects.update({f"tablespace {one['name']}": {"oid": int(one["oid"])} for one in backup.get("tablespace") or ()})
    totals = {"objects": len(objects), "bytes": int(backup["info"]["size"]), "repository_bytes": int(backup["info"]["repository"]["delta"])}
    objects[CLUSTER] = {"system_id": str(cluster["system-id"]), "version": str(cluster["version"]), "wal_segment_bytes": segment_bytes}
    return Inventory(objects, totals)
