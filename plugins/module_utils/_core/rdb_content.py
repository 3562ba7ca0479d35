# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an RDB file says between its header and its checksum, counted and summed up. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from .backup_types import Inventory
from .rdb_bytes import Bytes, UnknownFormat
from .rdb_values import TYPES, module_parts

SLOT_INFO, FUNCTION, FUNCTION_EARLY, MODULE_AUX, IDLE, FREQUENCY, AUX, SIZES, ENDS_MS, ENDS, DATABASE, END = range(244, 256)
"""RDB_OPCODE_* of rdb.h."""

_LONGEST_AUX = 4096
_MODULE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _summed(parts: list[bytes]) -> int:
    """A number for a list of strings; the sum of such numbers tells a set of lists, whatever their order (modulo 2**256)."""
    lengths = ",".join([str(len(part)) for part in parts])
    found = hashlib.sha256(f"{lengths}:".encode())
    for part in parts if len(parts) < 16 else (b"".join(parts),):
        found.update(part)
    return int.from_bytes(found.digest(), "big")


@dataclass
class _Part:
    """A database, or the functions. ``promised`` is how many keys and ends the file says that there are."""

    figures: dict[str, int]
    sum: int = 0
    promised: list[int] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return f"{self.sum % (1 << 256):064x}"


class Content:
    """``read`` it, then ask for the rest."""

    def __init__(self, data: Bytes, digests: bool) -> None:
        self.aux: dict[str, str] = {}
        self._data = data
        self._digests = digests
        self._databases: dict[int, _Part] = {}
        self._functions = _Part({"libraries": 0})
        self._modules: dict[str, None] = {}
        self._ends: int | None = None
        self._select(0)

    def read(self) -> None:
        """To the end mark. Raises VerifyFailed."""
        byte = self._data.byte
        while True:
            code = byte()
            if code in TYPES:
                self._key(code)
            elif code == END:
                return
            elif code >= SLOT_INFO:
                self._other(code)
            else:
                raise UnknownFormat(f"the RDB file has a key of the unknown type {code}, at byte {self._data.position - 1}")

    def _select(self, number: int) -> None:
        self._database = self._databases.setdefault(number, _Part({"keys": 0, "expires": 0}))
        self._figures = self._database.figures

    def _key(self, code: int) -> None:
        kind, figures, ends = TYPES[code], self._figures, self._ends
        figures["keys"] += 1
        figures[kind.counted] = figures.get(kind.counted, 0) + 1
        if ends is not None:
            figures["expires"] += 1
            self._ends = None
        if not self._digests:
            self._data.skip_string()
            kind.skip(self._data)
            return
        key = self._data.string()
        about = f"{kind.counted} {'never' if ends is None else ends}".encode()
        self._database.sum += _summed([about, key, *kind.read(self._data)])

    def _other(self, code: int) -> None:
        data = self._data
        if code == ENDS_MS:
            self._ends = data.number(8, signed=True)
        elif code == ENDS:
            self._ends = data.number(4, signed=True) * 1000
        elif code == FREQUENCY:
            data.skip(1)
        elif code == IDLE:
            data.length()
        elif code == DATABASE:
            self._select(data.length())
        elif code == SIZES:
            self._database.promised = [data.length(), data.length()]
        elif code == AUX:
            self._aux(data.string(), data.string())
        elif code == FUNCTION:
            self._functions.figures["libraries"] += 1
            self._functions.sum += _summed([data.string()])
        elif code == MODULE_AUX:
            self._modules[_module_name(data.length())] = None
            module_parts(data)
        elif code == SLOT_INFO:
            for _unused in range(3):  # slot, keys, ends
                data.length()
        else:
            raise UnknownFormat("the RDB file has functions as candidates for Redis 7.0 wrote them")

    def _aux(self, name: bytes, value: bytes) -> None:
        if len(value) <= _LONGEST_AUX and name != b"lua":  # cached scripts, which Redis 5 and 6 wrote: no data
            self.aux[name.decode(errors="replace")] = value.decode(errors="replace")

    def inventory(self) -> Inventory:
        """Databases that have keys, and the functions where there are any."""
        parts = {f"database {number}": part for number, part in sorted(self._databases.items()) if part.figures["keys"]}
        if self._functions.figures["libraries"]:
            parts["functions"] = self._functions
        totals = {"objects": 0, "rows": 0}
        for part in parts.values():
            for name, count in part.figures.items():
                totals[name] = totals.get(name, 0) + count
        keys = totals.pop("keys", 0)
        totals["objects"] = totals["rows"] = keys
        if not self._digests:
            return Inventory({name: part.figures for name, part in parts.items()}, totals)
        objects = {name: {**part.figures, "digest": part.digest} for name, part in parts.items()}
        whole = "".join(f"{name} {part.digest}\n" for name, part in parts.items())
        return Inventory(objects, totals, hashlib.sha256(whole.encode()).hexdigest())

    def notes(self) -> list[str]:
        """What should be known of it beside the counts."""
        told = [f"the module {name} has data of its own in it" for name in self._modules]
        for number, part in sorted(self._databases.items()):
            found = [part.figures["keys"], part.figures["expires"]]
            if part.promised and part.promised != found:
                told.append(f"database {number} has {found[0]} keys and {found[1]} with an end, and says {part.promised[0]} and {part.promised[1]}")
        return told


def _module_name(number: int) -> str:
    """Nine letters of six bits each, then ten bits of a version: module.c."""
    return "".join(_MODULE_LETTERS[number >> shift & 63] for shift in range(58, 9, -6))
