# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and default limits of the kinds of check that look at containers and at monitoring, and of requests over HTTP."""

from __future__ import annotations

from typing import Any

_Options = dict[str, Any]

_TIMEOUT: _Options = {"timeout_seconds": {"type": "float", "default": 10.0}}

_CONTAINER_ADDRESS: _Options = {"container": {"type": "str"}, "network": {"type": "str", "default": ""}}

_REQUEST: _Options = {
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "no_log": True},
    "max_bytes": {"type": "int", "default": 1048576},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    **_CONTAINER_ADDRESS,
    **_TIMEOUT,
}
"""What every request over HTTP takes."""

HTTP: _Options = {
    "url": {"type": "str", "required": True},
    "method": {"type": "str", "choices": ["GET", "HEAD"], "default": "GET"},
    "read": {"type": "dict", "default": {}},
    "metrics": {"type": "dict", "default": {}},
    "expect_refused": {"type": "bool", "default": False},
    **_REQUEST,
}

TCP: _Options = {"host": {"type": "str"}, "port": {"type": "int", "required": True}, **_CONTAINER_ADDRESS, **_TIMEOUT}
TCP_RULES: _Options = {"mutually_exclusive": [["host", "container"]], "required_one_of": [["host", "container"]]}

TLS: _Options = {
    "host": {"type": "str"},
    "port": {"type": "int", "default": 443},
    "server_name": {"type": "str"},
    "ca_path": {"type": "path"},
    "path": {"type": "path"},
    "acme_path": {"type": "path"},
    **_CONTAINER_ADDRESS,
    **_TIMEOUT,
}
TLS_RULES: _Options = {
    "mutually_exclusive": [["host", "path", "acme_path"]],
    "required_one_of": [["host", "path", "acme_path"]],
    "required_by": {"container": ["host"]},
}

CONTAINER: _Options = {
    "names": {"type": "list", "elements": "str"},
    "project": {"type": "str"},
    "services": {"type": "list", "elements": "str"},
    "label": {"type": "str"},
    "digests": {"type": "dict", "default": {}},
    **_TIMEOUT,
}
CONTAINER_RULES: _Options = {"mutually_exclusive": [["names", "project", "label"]], "required_one_of": [["names", "project", "label"]]}

PROMETHEUS: _Options = {
    "url": {"type": "str", "required": True},
    "query": {"type": "str"},
    "range": {"type": "str"},
    "step": {"type": "str"},
    "min_samples": {"type": "int"},
    "max_age": {"type": "str"},
    "source": {"type": "str"},
    "expect": {"type": "dict", "default": {}},
    "unit": {"type": "str", "default": "number"},
    **_REQUEST,
}

ALERTMANAGER: _Options = {
    "url": {"type": "str", "required": True},
    "filter": {"type": "list", "elements": "str", "default": []},
    "severities": {"type": "list", "elements": "str", "default": ["critical", "warning", "info"]},
    "older_than": {"type": "str", "default": "15 min"},
    "expect": {"type": "list", "elements": "str", "default": []},
    **_REQUEST,
}


def default_http(options: _Options) -> dict[str, Any]:
    """An answer that counts."""
    return {"status_code": {"critical": "not in [401, 403]" if options.get("expect_refused") else ">= 300"}}


def default_container(options: _Options) -> dict[str, Any]:
    """What is bad about any container; ``!= none`` since the message then names it."""
    pinned = {"wrong_image": {"critical": "!= none"}} if options.get("digests") else {}
    return {"down": {"critical": "!= none"}, "unhealthy": {"critical": "!= none"}, "oom_killed": {"warning": "!= none"}, **pinned}


def default_prometheus(options: _Options) -> dict[str, Any]:
    """The server itself; or of a query that nothing expected is missing and that every series can be believed (``max`` is of all of them)."""
    if not options.get("query"):
        return {"ready": {"critical": "!= true"}, "targets": {"critical": "< 1"}, "down": {"warning": "!= none"}}
    missing = {"missing": {"critical": "!= none"}} if options.get("expect") else {}
    return {"max": {"critical": "== null"}, **missing}


def default_alertmanager(options: _Options) -> dict[str, Any]:
    """Whatever fires is told, and what is critical is critical."""
    critical = {"firing_critical": {"critical": "> 0"}} if "critical" in (options.get("severities") or []) else {}
    missing = {"missing": {"critical": "!= none"}} if options.get("expect") else {}
    return {"ready": {"critical": "!= true"}, "alerts": {"warning": "!= none"}, **critical, **missing}
