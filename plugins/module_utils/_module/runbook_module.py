# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AnsibleModule with one redacted way out and errors that say where."""

from __future__ import annotations

import copy
import sys
import traceback
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._core.errors import RunbookError
from .._core.redaction import Redactor, collect, in_addresses
from .hints import explain


class RunbookModule(AnsibleModule):
    """Every result, warning and failure passes the redactor; a rejected argument is explained with its place.

    ``named`` are mappings whose keys are names that the user chose: option to the specification of each of its values.
    """

    def __init__(self, argument_spec: dict[str, Any], named: dict[str, dict[str, Any]] | None = None, **kwargs: Any) -> None:
        self._spec = dict(argument_spec)
        self._named = named or {}
        self._redactor = Redactor(())
        self._ready = False
        self._given: dict[str, Any] = {}
        try:
            super().__init__(argument_spec=self._spec, **kwargs)
        except (TypeError, AttributeError):  # the native validator breaks on a number where a mapping belongs, as in `mute: true`
            if not explain(self._given, self._spec):
                raise
            self.fail_json(msg="the arguments cannot be read")
        self._learn_secrets()
        self._ready = True

    def _load_params(self) -> None:
        super()._load_params()
        self._given = copy.deepcopy(self.params)  # what cannot be converted is gone from params when it is to be explained
        for name, option in self._named.items():
            given = self.params.get(name)
            if isinstance(given, dict) and given:  # the names become options, so that all that is native holds for their values too
                self._spec[name] = {**self._spec[name], "options": dict.fromkeys(given, option)}

    def _learn_secrets(self) -> None:
        params = getattr(self, "params", None) or {}
        found = secrets_of(self._given, self._spec) | secrets_of(params, self._spec)
        self._redactor = Redactor(found | in_addresses(self._given) | in_addresses(params))

    def exit_json(self, **kwargs: Any) -> None:
        """End well. ``kwargs`` leave redacted."""
        super().exit_json(**self._without_secrets(kwargs))

    def fail_json(self, msg: Any, **kwargs: Any) -> None:
        """End badly. While arguments are still being read, native errors are replaced by all errors, each with its place."""
        if not self._ready:
            self._learn_secrets()
            errors = explain(self._given, self._spec)
            if errors:
                msg, kwargs["errors"] = "; ".join(errors), errors
            kwargs["invocation"] = {"module_args": {}}  # a misspelt option may hold a secret that nobody knows to be one
        current = sys.exc_info()[1]
        if current is not None or isinstance(kwargs.get("exception"), BaseException):
            kwargs["exception"] = _traceback(kwargs.get("exception") or current)  # else Ansible adds it, unredacted
        super().fail_json(**self._without_secrets({"msg": msg, **kwargs}))

    def warn(self, warning: str, **kwargs: Any) -> None:
        """A warning, redacted."""
        super().warn(self.redacted(str(warning)), **self.redacted(kwargs))

    def deprecate(self, msg: str, version: Any = None, date: Any = None, collection_name: Any = None, **kwargs: Any) -> None:
        """A deprecation, redacted."""
        super().deprecate(self.redacted(msg), version=version, date=date, collection_name=collection_name, **self.redacted(kwargs))

    def log(self, msg: Any, log_args: Any = None) -> None:
        """To the system log, redacted: Ansible writes nested options there as they are, and before ``__init__`` has ended."""
        if not self._ready:
            self._learn_secrets()
        super().log(self.redacted(msg), {name: self.redacted(str(value)) for name, value in (log_args or {}).items()})

    def redacted(self, value: Any) -> Any:
        """Text or data without the secrets of this call."""
        return self._redactor.data(value)

    def _without_secrets(self, result: dict[str, Any]) -> dict[str, Any]:
        if "invocation" not in result and getattr(self, "params", None):
            result["invocation"] = {"module_args": self.params}
        cleaned: dict[str, Any] = self.redacted(result)
        return cleaned


def _traceback(error: Any) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)) if isinstance(error, BaseException) else str(error)


def secrets_of(value: Any, spec: dict[str, Any]) -> set[str]:
    """Every value given for an option marked ``no_log``, at any depth."""
    found: set[str] = set()
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            continue
        for name, option in spec.items():
            given = item.get(name)
            if option.get("no_log"):
                found |= collect(given)
            elif option.get("options") and given is not None:
                found |= secrets_of(given, option["options"])
    return found


def run(module: RunbookModule, work: Callable[[], dict[str, Any]]) -> None:
    """Do ``work`` and end the module with its result, or with what went wrong; no traceback passes unredacted."""
    try:
        result = work()
    except RunbookError as error:
        module.fail_json(msg=error.message, code=error.code, hint=error.hint)
    except Exception as error:  # the last net: an unknown error must not print a secret
        module.fail_json(**defect(module, error))
    else:
        module.exit_json(**result)


def defect(module: RunbookModule, error: Exception) -> dict[str, Any]:
    """What a module says of an error that nobody raised on purpose."""
    detail = module.redacted(_traceback(error))[-4000:]  # redacted before it is cut, or half a secret could remain
    return {"msg": f"{type(error).__name__}: {error}", "code": "defect", "hint": "this is a defect; report it with this message", "detail": detail}
