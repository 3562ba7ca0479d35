# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds of one source: names, states, and which artifact is meant by "latest".

``<environment>/<system>/<kind>/<source>/<id>.data.<format>.zst``, beside it ``<id>.manifest.json`` (written last: without it there is no
artifact), ``<id>.proof.<level>.<instant>.json``, ``<id>.hold.<case>.json``, ``<id>.pin.<run>.json``, ``<id>.removed.json`` (its removal began).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .backup_types import Entry, Repository
from .errors import InvalidInput, NotThere, RunbookError
from .manifest import digest_of, read_manifest, read_proof
from .times import parse_instant, rfc3339

LEVELS = ("digest", "readable", "restored")
"""Levels of proof, each including the ones before: the stored bytes are those that were written; they unpack; they restore."""

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FILE = re.compile(rf"(?P<id>{_ID.pattern})\.(?P<role>data|manifest|proof|hold|pin|removed|part)(?:\.(?P<rest>.+))?")
LARGEST_NOTE = 64 << 20
"""More bytes than any manifest may have: they are read whole."""

_TOLERANCE = 600.0


@dataclass(frozen=True)
class Place:
    """Where the artifacts of one source are."""

    environment: str
    system: str
    kind: str
    source: str

    def __post_init__(self) -> None:
        for what in ("environment", "system", "kind", "source"):
            value = getattr(self, what)
            if not _NAME.fullmatch(value):
                raise InvalidInput(f'the {what} "{value}" cannot be a part of a file name', "use letters, digits, dots, hyphens and underscores, 63 at most")

    @property
    def prefix(self) -> str:
        """The folder, with ``/`` at its end."""
        return f"{self.environment}/{self.system}/{self.kind}/{self.source}/"


@dataclass(frozen=True)
class Artifact:
    """One backup as the repository shows it.

    ``manifest`` is None while it is not complete; ``problem`` says what is wrong with what is stored. ``proofs`` are all of them, oldest
    first. ``stored`` maps every file of it to its size.
    """

    id: str
    prefix: str
    stored: Mapping[str, int] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None
    manifest_sha256: str = ""
    problem: str = ""
    proofs: tuple[Mapping[str, Any], ...] = ()
    holds: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    removing: bool = False

    @property
    def taken_at(self) -> float:
        """The instant the data is from, by the manifest; without one, by the id."""
        if self.manifest is not None:
            return parse_instant(self.manifest["taken_at"])
        return instant_of(self.id)

    @property
    def level(self) -> str:
        """The highest level proven since the last proof that failed; ``""`` for none."""
        level = ""
        for proof in self.proofs:
            level = "" if not proof["ok"] else max(level, proof["level"], key=lambda name: LEVELS.index(name) if name else -1)
        return level

    @property
    def failed(self) -> bool:
        """Whether a proof failed that no later one of its level, or of a higher one, refutes."""
        failed = -1
        for proof in self.proofs:
            level = LEVELS.index(proof["level"])
            failed = max(failed, level) if not proof["ok"] else -1 if level >= failed else failed
        return failed >= 0

    @property
    def restored_at(self) -> float | None:
        """When it was last proven to restore."""
        found = [parse_instant(proof["at"]) for proof in self.proofs if proof["ok"] and proof["level"] == "restored"]
        return max(found) if found and self.level == "restored" else None

    @property
    def state(self) -> str:
        """``good``, ``suspect`` (complete, but not to be trusted), ``corrupt`` (damaged, or a proof failed), ``incomplete``, ``removing``."""
        if self.removing:
            return "removing"
        if self.problem or self.failed:
            return "corrupt"
        if self.manifest is None:
            return "incomplete"
        return "suspect" if self.manifest["suspect"] else "good"

    @property
    def size_bytes(self) -> int:
        """All its files together."""
        return sum(self.stored.values())

    def summary(self) -> dict[str, Any]:
        """JSON data for people and playbooks."""
        restored = self.restored_at
        manifest = self.manifest or {}
        versions = manifest.get("versions")
        return {
            "id": self.id, "state": self.state, "level": self.level, "taken_at": rfc3339(self.taken_at), "size_bytes": self.size_bytes,
            "restored_at": None if restored is None else rfc3339(restored), "class": manifest.get("class", ""), "host": manifest.get("host", ""),
            "plain_bytes": sum(part["plain_bytes"] for part in manifest.get("parts", [])), "totals": (manifest.get("inventory") or {}).get("totals", {}),
            "holds": list(self.holds), "pins": list(self.pins), "problem": self.problem or manifest.get("suspect", ""),
            "run_id": manifest.get("run_id", ""), "versions": versions if isinstance(versions, dict) else {},
            "manifest_sha256": self.manifest_sha256, "recipients": recipients_of(next(iter(manifest.get("parts", [])), {})),
        }  # fmt: skip


def recipients_of(facts: Mapping[str, Any]) -> list[str]:
    """Whom a part of a manifest, or the facts of a codec, says it is encrypted to; none for what is not."""
    found = facts.get("recipients")
    return [str(recipient) for recipient in found] if isinstance(found, list) else []


def new_id(now: float, random: bytes) -> str:
    """``20261120T021500Z-7f3a9c1e``: sorts by time, and two made in the same second differ."""
    return f"{re.sub('[-:]', '', rfc3339(now))}-{random[:4].hex()}"


def instant_of(artifact: str) -> float:
    """When an id was made, in seconds since 1970."""
    if not _ID.fullmatch(artifact):
        raise InvalidInput(f'"{artifact}" is not the id of a backup', "ids look like 20261120T021500Z-7f3a9c1e; backup_info lists them")
    day, clock = artifact[:8], artifact[9:15]
    return parse_instant(f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z")


def note_name(prefix: str, artifact: str, role: str, rest: str = "") -> str:
    """The name of a small file of an artifact: its manifest, a proof, a hold, a pin, the sign of its removal."""
    return f"{prefix}{artifact}.{role}{f'.{rest}' if rest else ''}.json"


def read_catalog(repository: Repository, place: Place) -> list[Artifact]:
    """Everything of one source, oldest first. Raises when the listing is not whole."""
    files: dict[str, list[tuple[str, str, Entry]]] = {}
    for entry in repository.list(place.prefix):
        found = _FILE.fullmatch(entry.name[len(place.prefix) :])
        if found is not None and is_id(found["id"]):
            files.setdefault(found["id"], []).append((found["role"], (found["rest"] or "").removesuffix("json").removesuffix("."), entry))
    artifacts = [_artifact(repository, place, name, found) for name, found in files.items()]
    return _in_a_row(sorted(artifacts, key=_when))


def _when(artifact: Artifact) -> tuple[float, int, str]:
    """Instants are whole seconds: of two in one second the number tells which came first."""
    return artifact.taken_at, artifact.manifest["sequence"] if artifact.manifest else 0, artifact.id


def is_id(text: str) -> bool:
    """Whether it is that of a backup; those of runs are made alike."""
    try:
        return instant_of(text) >= 0
    except InvalidInput:
        return False


def _in_a_row(artifacts: list[Artifact]) -> list[Artifact]:
    """Each manifest has the digest of the one before: one that is not what the next one saw was exchanged."""
    links = [artifact.manifest["previous"] for artifact in artifacts if artifact.manifest and artifact.manifest.get("previous")]
    seen = {link["id"]: link["manifest_sha256"] for link in links}
    exchanged = "its manifest is not the one that the next backup saw"
    return [
        replace(artifact, problem=exchanged) if artifact.manifest and seen.get(artifact.id, artifact.manifest_sha256) != artifact.manifest_sha256 else artifact
        for artifact in artifacts
    ]


def _artifact(repository: Repository, place: Place, name: str, files: Iterable[tuple[str, str, Entry]]) -> Artifact:
    notes: dict[str, list[str]] = {}
    stored: dict[str, int] = {}
    proofs: list[Mapping[str, Any]] = []
    fields: dict[str, Any] = {}
    for role, rest, entry in files:
        stored[entry.name[len(place.prefix) :]] = entry.size_bytes
        notes.setdefault(role, []).append(rest)
        if role == "proof":
            proofs.append(read_proof(_body(repository, entry), entry.name))
    if note_name("", name, "manifest") in stored:
        fields = _manifest_of(repository, place, name, stored)
    proofs.sort(key=lambda proof: (proof["at"], not proof["ok"]))  # of two in one second the bad one counts
    return Artifact(
        name, place.prefix, stored, proofs=tuple(proofs), holds=tuple(notes.get("hold", ())), pins=tuple(notes.get("pin", ())),
        removing="removed" in notes, **fields,
    )  # fmt: skip


def _manifest_of(repository: Repository, place: Place, name: str, stored: Mapping[str, int]) -> dict[str, Any]:
    file = note_name("", name, "manifest")
    body = _body(repository, Entry(place.prefix + file, stored[file]))
    try:
        manifest = read_manifest(body, name)
    except RunbookError as error:
        return {"problem": error.message}
    wrong = [part["name"] for part in manifest["parts"] if stored.get(part["name"]) != part["stored_bytes"]]
    problem = f"{wrong[0]} is missing, or not as long as it was written" if wrong else ""
    if [manifest[key] for key in ("environment", "system", "kind", "source")] != [place.environment, place.system, place.kind, place.source]:
        problem = f"its manifest is that of {manifest['environment']}/{manifest['system']}/{manifest['kind']}/{manifest['source']}"
    return {"manifest": manifest, "manifest_sha256": digest_of(body), "problem": problem}


def _body(repository: Repository, entry: Entry) -> bytes:
    if entry.size_bytes > LARGEST_NOTE:
        raise RunbookError(f"{entry.name} has {entry.size_bytes} bytes, which no note of ours has", "see who wrote it")
    return read_note(repository, entry.name)


def read_note(repository: Repository, name: str) -> bytes:
    """A small file, whole; of one that grows beyond all notes no more than shows that it is none."""
    found = b""
    with repository.open(name) as reader:
        while True:
            block = reader.read(1 << 20)
            found += block
            if not block or len(found) > LARGEST_NOTE:
                return found


def good_ones(artifacts: Iterable[Artifact], now: float) -> list[Artifact]:
    """Those that are whole, not doubted, and not from the future."""
    return [artifact for artifact in artifacts if artifact.state == "good" and artifact.taken_at <= now + _TOLERANCE]


def newest_good(artifacts: Iterable[Artifact], now: float) -> Artifact | None:
    """The newest one of them."""
    good = good_ones(artifacts, now)
    return good[-1] if good else None


def _instant(wanted: str) -> float:
    try:
        return parse_instant(wanted)
    except InvalidInput as error:
        raise InvalidInput(error.message, "give latest, latest_restored, an id, or an instant such as 2026-11-20T02:15:00Z") from None


def select(artifacts: list[Artifact], wanted: str, now: float) -> Artifact:
    """``latest``, ``latest_restored``, an id, or an instant (RFC 3339: the newest one not after it). Raises NotThere, InvalidInput.

    An artifact that is not good is found by its id alone, so that nobody takes one by accident.
    """
    if _ID.fullmatch(wanted):
        found = next((artifact for artifact in artifacts if artifact.id == wanted), None)
        if found is None:
            raise NotThere(f"there is no backup {wanted}", f"there are {', '.join(artifact.id for artifact in artifacts[-5:]) or 'none'}")
        return found
    good = good_ones(artifacts, now)
    if wanted == "latest_restored":
        good = [artifact for artifact in good if artifact.restored_at is not None]
    elif wanted != "latest":
        instant = _instant(wanted)
        good = [artifact for artifact in good if artifact.taken_at <= instant]
    if not good:
        states = ", ".join(f"{artifact.id} is {artifact.state}" for artifact in artifacts[-5:])
        raise NotThere(f'no good backup fits "{wanted}"', f"newest: {states}" if states else "there is none at all: take one")
    return good[-1]
