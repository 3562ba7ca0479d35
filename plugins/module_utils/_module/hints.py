# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns Ansible's first native error into all errors, each with its place and the nearest known word.

The native validator stays the only judge: it is run again on every nested mapping by itself.
"""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.validation import check_type_dict

from .._core.errors import did_you_mean

_INTERNAL = re.compile(r"^_ansible_")


def explain(params: dict[str, Any], spec: dict[str, Any]) -> list[str]:
    """All reasons why ``params`` do not fit ``spec``, such as ``checks[0] (api answers) http: unknown key "methd"``."""
    given = {name: value for name, value in params.items() if not _INTERNAL.match(str(name))}
    return _level(given, {"options": spec}, "")


def _level(given: Any, option: dict[str, Any], place: str) -> list[str]:
    if not isinstance(given, dict):
        return []
    spec = option["options"]
    errors = [f'{place}unknown key "{key}"{did_you_mean(key, spec)}' for key in given if key not in spec]
    known = {key: value for key, value in given.items() if key in spec and value is not None}
    errors += [f"{place}{message}" for message in _native_errors(known, option)]
    for name, value in known.items():
        inner = spec[name]
        if inner.get("options") and inner["type"] == "list":
            errors += _elements(value, inner, f"{place}{name}")
        elif inner.get("options"):
            errors += _level(value, inner, f"{place}{name}: ")
    return errors


def _elements(given: Any, option: dict[str, Any], place: str) -> list[str]:
    if not isinstance(given, (list, dict)):  # of a mapping the native validator says so itself
        return [f"{place} must be a list of mappings"]
    errors: list[str] = []
    for index, item in enumerate(given if isinstance(given, list) else []):
        try:
            check_type_dict(item)
        except TypeError as error:
            errors.append(f"{place}[{index}] {error}")  # the native error does not say which one
        errors += _level(item, option, f"{place}[{index}]{_label(item)} ")
    return errors


def _native_errors(known: dict[str, Any], option: dict[str, Any]) -> list[str]:
    """What the native validator says of this level alone (nested options are looked at by themselves)."""
    nested = ("options", "elements")
    flat = {
        name: {key: item for key, item in inner.items() if key not in nested or not inner.get("options")}
        for name, inner in option["options"].items()
    }
    rules = {key: option[key] for key in ("mutually_exclusive", "required_one_of", "required_together", "required_if") if key in option}
    return list(ArgumentSpecValidator(flat, **rules).validate(known).error_messages)


def _label(item: Any) -> str:
    return f" ({item['name']})" if isinstance(item, dict) and item.get("name") else ""
