# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where notifications go: channels and routes as an inventory lists them, validated, with every mistake named.

A mistake must not silence the rest: what cannot be read is left out and told as a problem. No problem ever shows the value of an option.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from .errors import InvalidInput, did_you_mean
from .limits import SEVERITIES
from .notices import TOLD
from .redaction import collect
from .units import parse_duration

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"

_EVERY = {"timeout_seconds": 10.0, "changes": list(TOLD)}
_HTTP = {"ca_path": ""}
_OPTIONS: dict[str, dict[str, Any]] = {
    "pagerduty": {"routing_key": None, "url": PAGERDUTY_URL, **_HTTP, **_EVERY},
    "slack": {"webhook_url": None, **_HTTP, **_EVERY},
    "email": {
        "to": None, "from": None, "host": None, "port": 25, "secure": "starttls", "username": "", "password": "", **_EVERY,
    },
    "webhook": {"url": None, "headers": {}, "secret_headers": {}, "body": {}, **_HTTP, **_EVERY},
}  # fmt: skip
"""Kind to its options with their defaults; None has to be given."""

KINDS = tuple(_OPTIONS)
_SECRET = ("routing_key", "webhook_url", "password", "secret_headers")
_ADDRESSES = ("url", "webhook_url")
_SECURE = ("never", "starttls", "always", "try")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

BY_INCIDENT = ("pagerduty", "webhook")
"""Kinds whose other end keeps one thing per incident, and closes it by its key."""

Value = Any


class Channel(NamedTuple):
    """One way to people."""

    name: str
    kind: str
    options: Mapping[str, Value]

    def __repr__(self) -> str:
        """Never with its options: they hold secrets."""
        return f"Channel({self.name}, {self.kind})"


class Route(NamedTuple):
    """Where a severity goes, what takes its place when a channel fails, and how often people are reminded."""

    channels: tuple[str, ...]
    second: tuple[str, ...] = ()
    remind: Optional[float] = None


class Policy(NamedTuple):
    """All of it for one system."""

    channels: Mapping[str, Channel]
    routes: Mapping[str, Route]
    most: int
    per: float
    heartbeat: Optional[Route]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    """What is as it was written, and may not be what was meant."""

    def remind(self) -> dict[str, Optional[float]]:
        """Severity to the seconds between reminders."""
        return {severity: route.remind for severity, route in self.routes.items()}


def parse_policy(raw: Mapping[str, Any]) -> Policy:
    """What can be used of ``channels``, ``routes``, ``max_messages`` and ``heartbeat``, and what is wrong with the rest."""
    problems: list[str] = []
    channels = _each(_mapping(raw.get("channels"), "notify_channels", problems), _channel, problems)
    routes = _each(_mapping(raw.get("routes"), "notify_routes", problems), lambda name, given: _route(name, given, problems), problems)
    for severity, route in routes.items():
        routes[severity] = _known(route, channels, f"notify_routes: {severity}", problems)
    heartbeat = _heartbeat(raw.get("heartbeat"), channels, problems)
    most, per = _most(raw.get("max_messages"), problems)
    unrouted = [severity for severity in SEVERITIES if severity not in routes or not routes[severity].channels]
    notes = (f"{', '.join(unrouted)} goes nowhere: notify_routes has no channel for it",) if unrouted and channels else ()
    return Policy(channels, routes, most, per, heartbeat, tuple(problems), notes)


def _mapping(given: Any, name: str, problems: list[str]) -> dict[str, Any]:
    if given is None or isinstance(given, Mapping):
        return {str(key): value for key, value in (given or {}).items()}
    problems.append(f"{name} must be a mapping")
    return {}


def _each(given: Mapping[str, Any], read: Any, problems: list[str]) -> dict[str, Any]:
    found = {}
    for name, value in given.items():
        try:
            found[name] = read(name, value)
        except InvalidInput as error:
            problems.append(error.advice)
    return found


def _channel(name: str, given: Any) -> Channel:
    place = f"notify_channels: {name}"
    if not isinstance(given, Mapping) or len(given) != 1:
        raise InvalidInput(f"{place} needs one kind as its key", f"kinds are {', '.join(KINDS)}")
    kind, raw = next(iter(given.items()))
    if kind not in _OPTIONS:
        raise InvalidInput(f'{place}: unknown kind "{kind}"{did_you_mean(kind, KINDS)}', f"kinds are {', '.join(KINDS)}")
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"{place} {kind}: its options must be a mapping")
    known = _OPTIONS[kind]
    for key in raw:
        if key not in known:
            raise InvalidInput(f'{place} {kind}: unknown key "{key}"{did_you_mean(key, known)}')
    options = {**known, **{str(key): value for key, value in raw.items() if value is not None}}
    missing = [key for key, default in known.items() if default is None and not options[key]]
    if missing:
        raise InvalidInput(f"{place} {kind}: {', '.join(missing)} is missing")
    return Channel(name, str(kind), _checked(f"{place} {kind}", kind, options))


def _checked(place: str, kind: str, options: dict[str, Any]) -> dict[str, Any]:
    for key in _ADDRESSES:
        if key in options and not _is_address(str(options[key])):
            raise InvalidInput(f"{place}: {key} is no address that begins with https:// or http://")
    for key in ("headers", "secret_headers", "body"):
        if key in options and not isinstance(options[key], Mapping):
            raise InvalidInput(f"{place}: {key} must be a mapping")
    for key in ("timeout_seconds", "port"):
        options |= {key: _positive(options[key], f"{place}: {key}")} if key in options else {}
    changes = options["changes"] if isinstance(options["changes"], (list, tuple)) else [options["changes"]]
    strange = [change for change in changes if change not in TOLD]
    if strange:
        raise InvalidInput(f'{place}: unknown change "{strange[0]}"{did_you_mean(strange[0], TOLD)}', f"changes are {', '.join(TOLD)}")
    return {**options, **(_mail(place, options) if kind == "email" else {}), "changes": list(changes)}


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket that is not closed, a port that is no number
        return False


def _mail(place: str, options: dict[str, Any]) -> dict[str, Any]:
    if options["secure"] not in _SECURE:
        raise InvalidInput(f"{place}: unknown value of secure", f"it is one of {', '.join(_SECURE)}")
    if bool(options["username"]) != bool(options["password"]):
        raise InvalidInput(f"{place}: username and password are given together, or neither")
    if options["password"] and options["secure"] in ("never", "try") and options["host"] not in _LOOPBACK:
        raise InvalidInput(f"{place}: the password could go over the network in the clear", "use secure: starttls, or always")
    to = [options["to"]] if isinstance(options["to"], str) else options["to"]
    if not isinstance(to, (list, tuple)) or not all(isinstance(one, str) and "@" in one for one in to):
        raise InvalidInput(f"{place}: to must be a list of addresses")
    return {"to": list(to), "port": int(options["port"])}


def _positive(value: Any, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= 65535:
        raise InvalidInput(f"{place} must be a number above 0")
    return number


def _names(value: Any, place: str) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) for name in found):
        raise InvalidInput(f"{place} must be a list of channels")
    return tuple(found)


def _route(severity: str, given: Any, problems: list[str]) -> Route:
    place = f"notify_routes: {severity}"
    if severity not in SEVERITIES:
        raise InvalidInput(f"{place} is no severity", f"severities are {', '.join(SEVERITIES)}")
    return _read_route(place, given, ("channels", "second", "remind"), problems)


def _read_route(place: str, given: Any, keys: tuple[str, ...], problems: list[str]) -> Route:
    """The channels, whatever is wrong beside them: a mistake in how often people are reminded must not silence what they are reminded of."""
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{place}: write it as {{channels: [...]}}")
    problems += [f'{place}: unknown key "{key}"{did_you_mean(key, keys)}' for key in given if key not in keys]
    route = Route(_names(given.get("channels") or [], f"{place}: channels"))
    try:
        every = given.get(keys[-1])
        route = route._replace(remind=parse_duration(every) if every else None)
    except InvalidInput as error:
        problems.append(f"{place}: {keys[-1]}: {error.advice}")
    try:
        return route._replace(second=_names(given.get("second") or [], f"{place}: second"))
    except InvalidInput as error:
        problems.append(error.message)
        return route


def _known(route: Route, channels: Mapping[str, Channel], place: str, problems: list[str]) -> Route:
    strange = [name for name in (*route.channels, *route.second) if name not in channels]
    problems += [f'{place}: there is no channel "{name}"{did_you_mean(name, channels)}' for name in strange]
    return route._replace(channels=tuple(name for name in route.channels if name in channels),
                          second=tuple(name for name in route.second if name in channels))  # fmt: skip


def _heartbeat(given: Any, channels: Mapping[str, Channel], problems: list[str]) -> Optional[Route]:
    if not given:
        return None
    place = "notify_heartbeat"
    try:
        route = _known(_read_route(place, given, ("channels", "every"), problems), channels, place, problems)
    except InvalidInput as error:
        problems.append(error.message)
        return None
    paged = [name for name in route.channels if channels[name].kind == "pagerduty"]
    if paged or route.remind is None:
        problems.append(f"{place}: {paged[0]} would page somebody for a sign of life" if paged else f"{place}: every is missing, such as 1 d")
    kept = tuple(name for name in route.channels if name not in paged)
    return route._replace(channels=kept) if kept and route.remind is not None else None


def _most(given: Any, problems: list[str]) -> tuple[int, float]:
    try:
        if not given:
            return 10, 600.0
        if not isinstance(given, Mapping) or set(given) != {"count", "per"}:
            raise InvalidInput("write it as {count: 10, per: 10 min}")
        return max(1, int(_positive(given["count"], "count"))), parse_duration(given["per"])
    except InvalidInput as error:
        problems.append(f"notify_max_messages: {error.message}")
        return 10, 600.0


def secrets_of(channels: Iterable[Channel]) -> set[str]:
    """Everything that must not be seen of them. The path of an address is one, too: that of a chat room is its key."""
    found: set[str] = set()
    for channel in channels:
        for key, value in channel.options.items():
            found |= collect(value) if key in _SECRET else set()
            if key in _ADDRESSES and str(value) != PAGERDUTY_URL:
                parts = urlsplit(str(value))
                found |= {str(value), parts.path, parts.query, parts.password or ""} | {part for part in parts.path.split("/") if len(part) >= 16}
    return {text for text in found if len(text) >= 4}
