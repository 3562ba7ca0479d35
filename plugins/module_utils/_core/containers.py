# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of containers: one by one from what the engine and the kernel tell, then of several the worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .errors import InvalidInput
from .probe import SKIPPED, Unmeasured
from .times import parse_instant
from .units import is_number, plural

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

_HIGHEST = {"restarts": "count", "exit_code": "number", "cpu_percent": "percent", "memory": "B", "memory_percent": "percent", "pids": "count", "log_size": "B"}
_NAMES = (
    "down", "missing", "unhealthy", "restarting", "oom_killed", "without_memory_limit", "without_cpu_limit", "without_log_limit", "drifted", "wrong_image",
)  # fmt: skip
_COUNTED = ("missing", "unhealthy")
MEASURES = {
    "count": "count", "running_count": "count", **{f"{name}_count": "count" for name in _COUNTED}, "state": "text", "health": "text", "uptime": "s",
    **_HIGHEST, **{name: "text" for name in _NAMES},
}  # fmt: skip
"""Those of ``_NAMES`` are the names of the containers of which it is true, or ``none``: a message then says which."""

NONE = "none"

_STATES = ("running", "paused", "created", "restarting", "removing", "exited", "dead", "missing")
_HEALTHS = ("healthy", "starting", NONE, "unhealthy")
_KILLED = 137  # by signal 9
_SETTLED_SECONDS = 60.0  # the engine waits at most this long between two attempts to start a container again


class Seen:
    """What of one container is not in the engine's description of it; every value may be Unmeasured."""

    def __init__(self, **values: Any) -> None:
        self.oom_kills: Any = values.get("oom_kills", 0)
        self.usage: dict[str, Any] = {name: values.get(name, Unmeasured(f"{name} was not asked for")) for name in ("memory", "pids", "cpu_percent", "log_size")}
        self.tagged: Any = values.get("tagged")  # id of the image that its tag means now
        self.digests: Any = values.get("digests", ())  # of the image it runs
        self.pinned: str = values.get("pinned", "")


def missing(label: str) -> dict[str, Any]:
    """The facts of a container that should be there and is not."""
    reason = Unmeasured(f"{label} is missing")
    return {**dict.fromkeys((*_HIGHEST, *_NAMES, "health", "uptime"), reason), "state": "missing", "missing": label, "down": f"{label} (missing)"}


def facts_of(label: str, inspected: Mapping[str, Any], seen: Seen, now: float) -> dict[str, Any]:
    """The facts of one container, called ``label``, from the engine's description of it."""
    state, given = inspected["State"], inspected["HostConfig"]
    running = state["Status"] == "running"
    stopped = Unmeasured(f"{label} is not running")
    seconds = max(0.0, now - parse_instant(state["StartedAt"])) if running else 0.0
    health = str((state.get("Health") or {}).get("Status") or NONE) if running else stopped
    restarts = int(inspected.get("RestartCount") or 0)
    flaps = bool(state.get("Restarting")) or (running and restarts > 0 and seconds < _SETTLED_SECONDS)
    streak = int((state.get("Health") or {}).get("FailingStreak") or 0)
    return {
        "state": state["Status"],
        "health": health,
        "uptime": seconds if running else stopped,
        "restarts": restarts,
        "exit_code": int(state["ExitCode"]),
        **{name: value if running or name == "log_size" or value is SKIPPED else stopped for name, value in seen.usage.items()},
        "memory_percent": _percent(label, seen.usage["memory"] if running else stopped, int(given.get("Memory") or 0)),
        "down": _down(label, state, restarts if flaps else 0),
        "missing": "",
        "unhealthy": f"{label} ({plural(streak, 'failure')} in a row)" if health == "unhealthy" else "",
        "restarting": f"{label} ({plural(restarts, 'restart')})" if flaps else "",
        "oom_killed": _oom_killed(label, state, seen.oom_kills),
        "without_memory_limit": "" if given.get("Memory") else label,
        "without_cpu_limit": "" if given.get("NanoCpus") or int(given.get("CpuQuota") or 0) > 0 else label,
        "without_log_limit": label if _grows(given.get("LogConfig") or {}) else "",
        "drifted": seen.tagged if isinstance(seen.tagged, Unmeasured) else "" if seen.tagged == inspected["Image"] else label,
        "wrong_image": _wrong_image(label, inspected, seen),
    }


def _down(label: str, state: Mapping[str, Any], flaps: int) -> str:
    if state["Status"] == "running":  # between two crashes, too, one may be running
        return f"{label} (started again by the engine less than a minute ago, {plural(flaps, 'restart')})" if flaps else ""
    code = f" with code {state['ExitCode']}" if state["Status"] in ("exited", "dead") else ""
    return f"{label} ({state['Status']}{code})"


def _oom_killed(label: str, state: Mapping[str, Any], kills: Any) -> Any:
    if state.get("OOMKilled") or (is_number(kills) and kills > 0):
        return label
    if state["Status"] in ("running", "paused"):
        return kills if isinstance(kills, Unmeasured) else ""
    return Unmeasured(f"{label} was killed (exit code {_KILLED}), and the engine does not say by whom: see dmesg") if state["ExitCode"] == _KILLED else ""


def _percent(label: str, memory: Any, limit: int) -> Any:
    if isinstance(memory, Unmeasured):
        return memory
    return round(100 * memory / limit, 2) if limit else Unmeasured(f"{label} has no memory limit")


def _grows(log: Mapping[str, Any]) -> bool:
    """Only this driver keeps a file that nothing bounds."""
    return log.get("Type") == "json-file" and not (log.get("Config") or {}).get("max-size")


def _wrong_image(label: str, inspected: Mapping[str, Any], seen: Seen) -> Any:
    if not seen.pinned:
        return SKIPPED
    if inspected["Image"] == seen.pinned:
        return ""
    if isinstance(seen.digests, Unmeasured):
        return seen.digests
    return "" if any(digest.endswith(f"@{seen.pinned}") for digest in seen.digests) else label


def digest_of(text: Any) -> str:
    """``repository@sha256:...`` or ``sha256:...`` to the latter. Raises InvalidInput for what is no whole digest."""
    digest = str(text).rpartition("@")[2]
    algorithm, _colon, number = digest.partition(":")
    if algorithm != "sha256" or len(number) != 64 or set(number) - set("0123456789abcdef"):
        raise InvalidInput(f'container: digests: "{text}" is not a digest', "write all of sha256:... as in: docker images --digests --no-trunc")
    return digest


def measures_of(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of several containers the worst of each measure. What could not be measured of one of them is not known of all, unless another is bad anyway."""
    found: dict[str, Any] = {"count": sum(one["state"] != "missing" for one in facts), "running_count": sum(one["state"] == "running" for one in facts)}
    found.update({f"{name}_count": sum(isinstance(one[name], str) and one[name] != "" for one in facts) for name in _COUNTED})
    found["state"] = _worst(facts, "state", lambda values: max(values, key=lambda value: _rank(_STATES, value)))
    found["health"] = _worst(facts, "health", lambda values: max(values, key=lambda value: _rank(_HEALTHS, value)))
    found["uptime"] = _worst(facts, "uptime", min)
    found.update({name: _worst(facts, name, max) for name in _HIGHEST})
    found.update({name: _names(facts, name) for name in _NAMES})
    return found


def _rank(known: Sequence[str], value: str) -> int:
    return known.index(value) if value in known else len(known)  # a newer engine may know more, and nobody knows whether it is good


def _worst(facts: Sequence[Mapping[str, Any]], name: str, pick: Any) -> Any:
    values = [one[name] for one in facts if one[name] is not SKIPPED]
    doubts = [value for value in values if isinstance(value, Unmeasured)]
    return SKIPPED if not values else _doubt(doubts) if doubts else pick(values)


def _names(facts: Sequence[Mapping[str, Any]], name: str) -> Any:
    values = [one[name] for one in facts if one[name] is not SKIPPED]
    told = sorted(value for value in values if isinstance(value, str) and value)
    doubts = [value for value in values if isinstance(value, Unmeasured)]
    return SKIPPED if not values else ", ".join(told) if told else _doubt(doubts) if doubts else NONE


def _doubt(doubts: Iterable[Unmeasured]) -> Unmeasured:
    return Unmeasured("; ".join(sorted({doubt.reason for doubt in doubts})))
