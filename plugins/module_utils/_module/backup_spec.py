# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments that modules of backups share. The documentation fragment ``backups`` describes all of them."""

from __future__ import annotations

from typing import Any

from .backup_kinds import KINDS, REPOSITORIES

_Options = dict[str, Any]

SOURCE: _Options = {
    "type": "dict",
    "options": {name: {"type": "dict", "options": kind.options} for name, kind in KINDS.items()},
    "mutually_exclusive": [list(KINDS)],
    "required_one_of": [list(KINDS)],
}
"""What is backed up: its kind is the key."""

REPOSITORY: _Options = {
    "type": "dict",
    "required": True,
    "options": {name: {"type": "dict", "options": options} for name, options in REPOSITORIES.items()},
    "mutually_exclusive": [list(REPOSITORIES)],
    "required_one_of": [list(REPOSITORIES)],
}
"""Where artifacts are kept: its kind is the key."""

PLACE: _Options = {
    "name": {"type": "str", "required": True},
    "system": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
}
"""Whose backups they are."""

SOURCE_KIND: _Options = {"kind": {"type": "str", "choices": list(KINDS), "required": True}}
"""Where the source itself is not needed."""

ENCRYPTION: _Options = {
    "type": "dict",
    "options": {"recipients": {"type": "list", "elements": "str", "default": []}, "identity_file": {"type": "path"}},
}
"""Whom backups are encrypted to, and what opens them on this host."""

UNTIL: _Options = {
    "type": "dict",
    "options": {"time": {"type": "str"}, "lsn": {"type": "str"}, "xid": {"type": "str"}, "name": {"type": "str"}},
    "mutually_exclusive": [["time", "lsn", "xid", "name"]],
}
"""Up to where a log is replayed, for kinds that have one."""

COPY: _Options = {
    "progress_file": {"type": "path"},
    "progress_seconds": {"type": "float", "default": 0.0},
    "timeout_seconds": {"type": "float", "default": 14400.0},
}
"""Of modules that copy for long."""

INVARIANTS: _Options = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"name": {"type": "str", "required": True}, "query": {"type": "str", "required": True}, "limits": {"type": "dict", "required": True}},
}
"""Business invariants of what was restored."""
