# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of the local engine: whether they run, are well, stay inside their limits and are made of the right image.

One list, one question per container and per image (see the Docker Engine API), and the files of the kernel and of the log.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterable, Mapping

from .._core.containers import MEASURES, Seen, digest_of, facts_of, measures_of, missing
from .._core.errors import InvalidInput, NotThere, did_you_mean
from .._core.probe import SKIPPED, Probe, Unmeasured
from . import _sample
from ._cgroup import Cgroup
from ._engine_api import EngineApi
from ._time_left import TimeLeft

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MEASURES", "dynamic_measures", "measure"]

_PROJECT, _SERVICE, _ONE_OFF = "com.docker.compose.project", "com.docker.compose.service", "com.docker.compose.oneoff"


def dynamic_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """Every measure once more for each container or service that is named: ``api.memory_percent``. Raises InvalidInput for a mistake."""
    parts = _parts(options)
    if options.get("services") and not options.get("project"):
        raise InvalidInput("container: services are those of a project", "name it (project: ...)")
    for name, digest in (options.get("digests") or {}).items():
        digest_of(digest)
        if name not in parts:
            raise InvalidInput(f'container: digests: "{name}" is not among names and services{did_you_mean(name, parts)}')
    return {f"{part}.{name}": unit for part in parts for name, unit in MEASURES.items()}


def measure(options: dict[str, Any], probe: Probe) -> dict[str, Any]:
    """The worst of all containers, and what limits ask for of each; a container that should be there and is not is measured as missing.

    Raises Unreachable without an engine that answers, RunbookError when it may not be asked, TimedOut.
    """
    left = TimeLeft(probe, options["timeout_seconds"], "asking the container engine", "see whether it hangs (its own log), and how busy the host is")
    facts = _Look(options, probe, left).facts()
    measures = measures_of([one for _part, one in facts])
    for part in _parts(options):
        asked = {name for name in MEASURES if f"{part}.{name}" in probe.wanted}
        found = measures_of([one for name, one in facts if name == part]) if asked else {}
        measures.update({f"{part}.{name}": found[name] for name in sorted(asked)})
    return {name: value for name, value in measures.items() if value is not SKIPPED or name in probe.wanted}


def _parts(options: Mapping[str, Any]) -> list[str]:
    """What must be there: by what is selected, else by what has a digest."""
    return list(options.get("names") or options.get("services") or options.get("digests") or [])


_LOOKS, _LOOK_SECONDS = 3, 0.05
"""How often a container whose process has just ended is looked at again, and after which time."""


class _Look:
    """One look at everything that is selected."""

    def __init__(self, options: Mapping[str, Any], probe: Probe, left: TimeLeft) -> None:
        self._options = options
        self._probe = probe
        self._left = left
        self._api = EngineApi(left)
        self._images: dict[str, Any] = {}

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        """(name or service, facts) of each container, those that are missing among them."""
        found = self._selected()
        now = self._probe.now
        groups = [_group(one) for _part, one in found]
        shares = self._cpu(groups)
        facts = []
        for (part, one), group, share in zip(found, groups, shares):
            one, group = self._as_it_is(one, group)
            label = part if sum(other == part for other, _one in found) == 1 and part else one["Name"].lstrip("/")
            facts.append((part, facts_of(label, one, self._seen(label, one, group, share), now)))
        there = {part for part, _one in found}
        gone = [part for part in _parts(self._options) if part not in there] or ([] if found else [self._selector()])
        return facts + [(part, missing(part)) for part in gone]

    def _as_it_is(self, one: dict[str, Any], group: Cgroup) -> tuple[dict[str, Any], Cgroup]:
        """A container and its group; asked for again when its process has ended since, as in one that is started again and again."""
        for _look in range(_LOOKS):
            if not group.ended():
                break
            time.sleep(min(_LOOK_SECONDS, self._left.timeout()))  # the engine learns of it a little later
            try:
                one = self._api.container(one["Id"])
            except NotThere:
                break
            group = _group(one)
        return one, group

    def _selected(self) -> list[tuple[str, dict[str, Any]]]:
        options = self._options
        if options.get("names"):
            return [(one["Name"].lstrip("/"), one) for one in self._api.named(options["names"])]
        if options.get("label"):
            return [(one["Name"].lstrip("/"), one) for one in self._api.containers({"label": [options["label"]]})]
        found = self._api.containers({"label": [f"{_PROJECT}={options['project']}"]})
        labelled = [(one["Config"].get("Labels") or {}, one) for one in found]
        parts = [(labels.get(_SERVICE, ""), one) for labels, one in labelled if labels.get(_ONE_OFF) != "True"]
        return [(part, one) for part, one in parts if part in options["services"]] if options.get("services") else parts

    def _selector(self) -> str:
        return f"project {self._options['project']}" if self._options.get("project") else f"label {self._options['label']}"

    def _seen(self, label: str, one: Mapping[str, Any], group: Cgroup, share: Any) -> Seen:
        return Seen(
            oom_kills=group.oom_kills(),
            memory=group.memory(),
            pids=group.pids(),
            cpu_percent=share,
            log_size=_log_size(label, one),
            tagged=self._image(one["Config"]["Image"]).get("Id") or Unmeasured(f"the image {one['Config']['Image']} of {label} is gone from this host"),
            digests=self._image(one["Image"]).get("RepoDigests", Unmeasured(f"the image of {label} is gone from this host")) or (),
            pinned=self._pinned(one),
        )

    def _pinned(self, one: Mapping[str, Any]) -> str:
        names = ((one["Config"].get("Labels") or {}).get(_SERVICE), one["Name"].lstrip("/"))
        digests = self._options.get("digests") or {}
        return next((digest_of(digests[name]) for name in names if name in digests), "")

    def _image(self, reference: str) -> dict[str, Any]:
        if reference not in self._images:
            try:
                self._images[reference] = self._api.image(reference)
            except NotThere:
                self._images[reference] = {}
        found: dict[str, Any] = self._images[reference]
        return found

    def _cpu(self, groups: list[Cgroup]) -> list[Any]:
        """Percent of one processor over a short sample, as docker-stats(1) counts; only when a limit asks for it."""
        if not groups or not any(name.rpartition(".")[2] == "cpu_percent" for name in self._probe.wanted):
            return [SKIPPED] * len(groups)
        before, started = [group.cpu_seconds() for group in groups], time.monotonic()
        _sample.wait(self._probe, self._left.timeout())
        after, seconds = [group.cpu_seconds() for group in groups], time.monotonic() - started
        return [_share(first, second, seconds) for first, second in zip(before, after)]


def _group(one: Mapping[str, Any]) -> Cgroup:
    return Cgroup(int(one["State"].get("Pid") or 0), one["Id"])


def _share(first: Any, second: Any, seconds: float) -> Any:
    doubt = next((value for value in (first, second) if isinstance(value, Unmeasured)), None)
    return doubt if doubt is not None else round(100 * max(0.0, second - first) / seconds, 2)


def _log_size(label: str, one: Mapping[str, Any]) -> Any:
    """Bytes of the log and its rotated files; nothing to measure where the engine keeps no file."""
    kind = (one["HostConfig"].get("LogConfig") or {}).get("Type")
    if kind not in ("json-file", "local"):
        return SKIPPED
    path = one.get("LogPath")
    if not path:
        return Unmeasured(f"the engine does not say where the log of {label} is (log driver {kind})")
    try:
        return os.stat(path).st_size + _sizes(glob.glob(f"{glob.escape(path)}.*"))
    except FileNotFoundError:
        return Unmeasured(f"the log of {label} is not at {path} on this host")
    except OSError as error:
        return Unmeasured(f"the log of {label} cannot be looked at: {error.strerror} (use become: true)")


def _sizes(paths: Iterable[str]) -> int:
    found = 0
    for path in paths:
        try:
            found += os.stat(path).st_size
        except FileNotFoundError:  # rotated on since it was listed
            continue
    return found
